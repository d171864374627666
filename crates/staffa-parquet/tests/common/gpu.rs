//! The device, and whole columns through it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::{Array, ArrayRef, new_empty_array};
use arrow::compute::{concat, take};
use staffa_cuda::{
    Counters, Device, DeviceBuffer, DevicePool, PinnedConfig, PinnedKind, PinnedPool, PoolConfig,
    Reservation, StagingRing, Stream,
};
use staffa_kernels::Kernels;
use staffa_kernels::abi::ErrorSlot;
use staffa_kernels::parquet::Context;
use staffa_parquet::cuda::{
    DecodeContext, DeviceChunk, DeviceColumn, HostColumn, Returning, decode,
};
use staffa_parquet::*;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

pub(crate) struct Gpu {
    pub(crate) kernels: Kernels,
    pub(crate) stream: Stream,
    pub(crate) pool: DevicePool,
    pub(crate) memory: Reservation,
    pub(crate) ring: StagingRing,
    pub(crate) staging: StagingRing,
    pub(crate) results: StagingRing,
    pub(crate) pinned: PinnedPool,
    pub(crate) counters: Arc<Counters>,
    _turn: MutexGuard<'static, ()>,
}

/// The device, or `None` and a note. `reuse`: whether blocks are kept; without, the emulated driver's
/// guard pages lie right behind each buffer.
pub(crate) fn gpu(reuse: bool) -> Option<Gpu> {
    let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let required = std::env::var_os("STAFFA_REQUIRE_GPU").is_some_and(|value| value == "1");
    let opened = Device::open(0).and_then(|device| Ok((Kernels::new(&device)?, device)));
    let (kernels, device) = match opened {
        Ok(opened) => opened,
        Err(error) if required => panic!("STAFFA_REQUIRE_GPU=1: {error}"),
        Err(error) => {
            eprintln!("SKIPPED: {error}");
            return None;
        }
    };
    let counters = device.counters();
    let pool = DevicePool::new(&device, PoolConfig { budget_bytes: 1 << 30, reuse }).unwrap();
    let pinned = PinnedPool::new(&device, PinnedConfig { budget_bytes: 256 << 20 });
    Some(Gpu {
        kernels,
        stream: device.stream(&counters).unwrap(),
        memory: pool.reserve("test", &counters),
        pool,
        ring: StagingRing::new(&pinned, PinnedKind::ToDevice, 64 << 10, 64),
        staging: StagingRing::new(&pinned, PinnedKind::ToDevice, 1 << 20, 3),
        results: StagingRing::new(&pinned, PinnedKind::ToHost, 1 << 20, 2),
        pinned,
        counters,
        _turn: turn,
    })
}

/// Every so many of a matrix's files; which, is up to the seed of the emulated driver.
pub(crate) fn stride() -> (usize, usize) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<usize>().ok());
    let stride = number("STAFFA_DEVICE_MATRIX_STRIDE").unwrap_or(1).max(1);
    (stride, number("STAFFA_EMULATOR_SEED").unwrap_or(0) % stride)
}

impl Gpu {
    pub(crate) fn slot(&self) -> DeviceBuffer<ErrorSlot> {
        let mut slot = self.memory.buffer(1, &self.stream).unwrap();
        slot.zero(&self.stream).unwrap();
        slot
    }

    pub(crate) fn context<'a>(&'a self, error: &'a DeviceBuffer<ErrorSlot>) -> DecodeContext<'a> {
        DecodeContext {
            kernels: Context {
                kernels: &self.kernels,
                stream: &self.stream,
                memory: &self.memory,
                ring: &self.ring,
                error,
            },
            staging: &self.staging,
            results: &self.results,
            pinned: &self.pinned,
        }
    }

    /// Columns of the whole file, in morsels of at most `morsel` rows; codes are looked up.
    pub(crate) fn columns(
        &self,
        file: &ParquetFile,
        leaves: &[usize],
        options: &[ReadOptions],
        morsel: u64,
    ) -> Result<Vec<ArrayRef>> {
        let mut parts: Vec<Vec<ArrayRef>> =
            options.iter().map(|o| vec![new_empty_array(&o.data_type)]).collect();
        for group in 0..file.footer().row_groups() {
            let rows = file.footer().rows(group)?;
            let plan = file.plan(group, leaves, None, &FetchOptions::default())?;
            let fetched = file.fetch_blocking(&plan)?.into_chunks();
            let mut chunks = fetched
                .into_iter()
                .zip(options)
                .map(|((chunk, bytes), options)| DeviceChunk::new(chunk, bytes, options))
                .collect::<Result<Vec<_>>>()?;
            let mut start = 0;
            while start < rows {
                let end = rows.min(start + morsel);
                let found = self.morsel(&mut chunks, start..end)?;
                for (part, column) in parts.iter_mut().zip(found) {
                    part.push(column);
                }
                start = end;
            }
        }
        let whole = |parts: Vec<ArrayRef>| {
            let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
            concat(&parts).unwrap()
        };
        Ok(parts.into_iter().map(whole).collect())
    }

    fn morsel(
        &self,
        chunks: &mut [DeviceChunk],
        rows: std::ops::Range<u64>,
    ) -> Result<Vec<ArrayRef>> {
        let slot = self.slot();
        let context = self.context(&slot);
        let decoded = decode(&context, chunks, rows)?;
        let found = slot.read(&self.results, &self.stream).unwrap();
        decoded.check(&found[0])?;
        let queued: Vec<_> = decoded
            .columns
            .iter()
            .map(|column| self.to_host(&context, column))
            .collect::<Result<_>>()?;
        let arrays = queued.into_iter().map(|column| match column.wait()? {
            HostColumn::Array(array) => Ok(array),
            HostColumn::Codes { codes, values } => Ok(take(&values, &codes, None).unwrap()),
        });
        arrays.collect()
    }

    pub(crate) fn to_host(
        &self,
        context: &DecodeContext<'_>,
        column: &DeviceColumn,
    ) -> Result<Returning> {
        let totals = self.memory.buffer::<u64>(1, &self.stream).unwrap();
        let offsets = column.string_offsets(context, None, &totals, 0)?;
        let strings = offsets
            .as_ref()
            .map(|offsets| (offsets, totals.read(&self.results, &self.stream).unwrap()[0]));
        column.to_host(context, column.rows, strings)
    }
}
