//! The device's side of the probe.

use std::ops::Range;

use staffa_common::StaffaError;
use staffa_cuda::{DeviceBuffer, PinnedKind};
use staffa_engine::cuda::expression::{Lowered, lower};
use staffa_engine::cuda::{Gpu, GpuLane};
use staffa_kernels::abi::ErrorSlot;
use staffa_kernels::expression::{self as interpreter, InputColumn, Options};
use staffa_kernels::parquet::Context;
use staffa_parquet::cuda::{DecodeContext, DeviceChunk, decode};

use super::shortest;
use super::work::{COLUMNS, FEW_ROWS, OPERATIONS, ROWS, Work};

/// Bytes of a copy that is timed: a staging slab, of which scans copy many.
const COPY_BYTES: usize = 8 << 20;
const RUNS: usize = 3;
/// A small morsel that takes longer than this is no device's worth measuring further.
const SLOW_NS: f64 = 10e6;
/// Bytes of a value of the probe's columns: what decoding writes at least.
const VALUE_BYTES: f64 = 8.0;

/// What the device does. Rates in bytes a nanosecond.
pub(super) struct Device {
    pub(super) to_device: f64,
    pub(super) to_host: f64,
    pub(super) copy: f64,
    pub(super) launch_ns: f64,
    pub(super) wait_ns: f64,
    pub(super) value_ns: f64,
    pub(super) operation_ns: f64,
}

/// A morsel's time from its bytes to the count of rows on the host, and what it asked for.
#[derive(Clone, Copy)]
struct Timed {
    ns: f64,
    launches: f64,
    upload_bytes: f64,
}

pub(super) fn measure(gpu: &Gpu, work: &Work) -> Result<Device, StaffaError> {
    let runner = Runner {
        gpu,
        lane: gpu.lane("probe")?,
        work,
        lowered: lower(Some(&work.filter), std::slice::from_ref(&work.output), &work.schema)
            .map_err(|reason| StaffaError::bug(reason.to_string()))?,
    };
    let wait_ns = runner.wait()?;
    let (to_device, to_host, copy) = runner.copies(wait_ns)?;
    // The first run loads kernels and fills pools.
    runner.time(1, FEW_ROWS, true)?;
    let few = runner.time(1, FEW_ROWS, true)?;
    let work_ns = |timed: Timed| (timed.ns - timed.upload_bytes / to_device).max(1.0);
    if few.ns > SLOW_NS {
        // One size does not tell launches from values from operations: each is given all of the time.
        let values = (FEW_ROWS * COLUMNS) as f64;
        let per_value = work_ns(few) / values;
        let launch_ns = work_ns(few) / few.launches;
        let operation_ns = per_value / OPERATIONS as f64;
        let value_ns = per_value;
        return Ok(Device { to_device, to_host, copy, launch_ns, wait_ns, value_ns, operation_ns });
    }
    let few = runner.time(RUNS, FEW_ROWS, true)?;
    let many = runner.time(RUNS, ROWS, true)?;
    let (few_decoded, decoded) =
        (runner.time(RUNS, FEW_ROWS, false)?, runner.time(RUNS, ROWS, false)?);
    // Below this, differences are noise: a value must be written at least.
    let least_ns = VALUE_BYTES / copy;
    let more = (ROWS - FEW_ROWS) as f64;
    let decode_ns = (work_ns(decoded) - work_ns(few_decoded)) / more;
    let all_ns = (work_ns(many) - work_ns(few)) / more;
    let value_ns = (decode_ns / COLUMNS as f64).max(least_ns);
    let operation_ns = ((all_ns - decode_ns) / OPERATIONS as f64).max(least_ns / 8.0);
    let launch_ns = ((work_ns(few) - wait_ns) / few.launches).max(100.0);
    Ok(Device { to_device, to_host, copy, launch_ns, wait_ns, value_ns, operation_ns })
}

struct Runner<'a> {
    gpu: &'a Gpu,
    lane: GpuLane,
    work: &'a Work,
    lowered: Lowered,
}

impl Runner<'_> {
    /// From posting a value until the host has it.
    fn wait(&self) -> Result<f64, StaffaError> {
        let GpuLane { stream, memory, mailbox, .. } = &self.lane;
        let mut value = memory.buffer::<u32>(1, stream)?;
        value.zero(stream)?;
        let value = value.freeze();
        shortest(2 * RUNS, || Ok(mailbox.post(&value, stream)?.read().map(drop)?))
    }

    /// Bytes a nanosecond to the device, back, and within it.
    fn copies(&self, wait_ns: f64) -> Result<(f64, f64, f64), StaffaError> {
        let GpuLane { stream, memory, counters, .. } = &self.lane;
        let pinned = self.gpu.pinned();
        let mut up = pinned.buffer(PinnedKind::ToDevice, COPY_BYTES, counters)?;
        up.fill(0x5a);
        let up = up.seal();
        let mut on_device: DeviceBuffer<u8> = memory.buffer(COPY_BYTES, stream)?;
        let to_device = shortest(RUNS, || {
            on_device.upload(0, &up, 0..COPY_BYTES, stream)?;
            Ok(stream.synchronize()?)
        })?;
        let on_device = on_device.freeze();
        let mut other: DeviceBuffer<u8> = memory.buffer(COPY_BYTES, stream)?;
        let copy = shortest(RUNS, || {
            other.copy_from(&on_device, stream)?;
            Ok(stream.synchronize()?)
        })?;
        let to_host = shortest(RUNS, || {
            let back = pinned.buffer(PinnedKind::ToHost, COPY_BYTES, counters)?;
            Ok(on_device.download(back, stream)?.finish().map(drop)?)
        })?;
        // Waiting is no part of a copy, but at most half of what was seen is waiting.
        let rate = |ns: f64| COPY_BYTES as f64 / (ns - wait_ns).max(ns / 2.0);
        Ok((rate(to_device), rate(to_host), rate(copy)))
    }

    /// The shortest of some runs.
    fn time(&self, runs: usize, rows: usize, computes: bool) -> Result<Timed, StaffaError> {
        let before = self.lane.counters.snapshot();
        let ns = shortest(runs, || self.morsel(0..rows as u64, computes))?;
        let asked = self.lane.counters.snapshot().since(before);
        Ok(Timed {
            ns,
            launches: (asked.launches as f64 / runs as f64).max(1.0),
            upload_bytes: asked.upload_bytes as f64 / runs as f64,
        })
    }

    /// Decodes some rows and, if asked, filters and projects them, until the host knows how that went.
    fn morsel(&self, rows: Range<u64>, computes: bool) -> Result<(), StaffaError> {
        let lane = &self.lane;
        let mut chunks = self
            .work
            .chunks()?
            .enumerate()
            .map(|(at, (chunk, bytes))| DeviceChunk::new(chunk, bytes, &self.work.options(at)))
            .collect::<staffa_parquet::Result<Vec<_>>>()?;
        let mut slot = lane.memory.buffer::<ErrorSlot>(1, &lane.stream)?;
        slot.zero(&lane.stream)?;
        let context = self.context(&slot);
        let decoded = decode(&context, &mut chunks, rows)?;
        let computed = match computes {
            true => Some(self.compute(&slot, &decoded)?),
            false => None,
        };
        let count = computed.as_ref().and_then(|ran| ran.count.as_ref());
        let count = count.map(|count| lane.mailbox.post(count, &lane.stream)).transpose()?;
        let errors = lane.mailbox.post_buffer(&slot, 0..1, &lane.stream)?.read()?;
        errors.iter().try_for_each(|error| decoded.check(error))?;
        if let Some(count) = count {
            count.read()?;
        }
        Ok(())
    }

    fn compute(
        &self,
        slot: &DeviceBuffer<ErrorSlot>,
        decoded: &staffa_parquet::cuda::Decoded,
    ) -> Result<staffa_engine::cuda::expression::Ran, StaffaError> {
        let lane = &self.lane;
        let inputs: Vec<InputColumn> = decoded
            .columns
            .iter()
            .map(|column| InputColumn {
                descriptor: column.descriptor(),
                buffers: column.buffers(),
            })
            .collect();
        let context = interpreter::Context {
            kernels: self.gpu.kernels(),
            stream: &lane.stream,
            memory: &lane.memory,
            ring: &lane.ring,
            error: slot,
        };
        let options = Options { selection: false, heap_bytes: 0, operator: 0 };
        Ok(self.lowered.run(&context, &inputs, decoded.rows, None, options)?)
    }

    fn context<'a>(&'a self, error: &'a DeviceBuffer<ErrorSlot>) -> DecodeContext<'a> {
        DecodeContext {
            kernels: Context {
                kernels: self.gpu.kernels(),
                stream: &self.lane.stream,
                memory: &self.lane.memory,
                ring: &self.lane.ring,
                error,
            },
            staging: &self.lane.staging,
            results: &self.lane.results,
            pinned: self.gpu.pinned(),
        }
    }
}
