//! A row group on the device: decoded, tested and projected there, and back as morsels.
//!
//! What is read of which file is decided as on the CPU; this is [`GroupStream`](super::group::GroupStream)'s
//! twin for the row groups that a device can do. Anything that goes wrong on the device (memory, a lost
//! context, bytes that it refuses, a row that only DataFusion may decide) leaves the row group to
//! `GroupStream`: nothing was put out before.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::UInt32Array;
use datafusion::common::Result;
use staffa_common::StaffaError;
use staffa_cuda::{DeviceSlice, Download, Letter, PinnedKind, Timer};
use staffa_engine::Morsel;
use staffa_engine::cuda::{Gpu, GpuLane};
use staffa_kernels::abi::ErrorSlot;
use staffa_kernels::expression::{self as interpreter, InputColumn, Options, Selection};
use staffa_parquet::ReadOptions;
use staffa_parquet::cuda::{Decoded, DeviceChunk, DeviceColumn, HostColumn, StringOffsets, decode};

use super::chain::DeviceChain;
use super::columns::fetch;
use super::grouping::{LaneGroups, Outcome};
use super::joined::ProbeMetrics;
use super::lowered::{DevicePlan, Origin, Output};
use super::metrics::DeviceMetrics;
use super::open::{GroupToRead, OpenFile};
use super::ranges::{Piece, fetched, pieces};
use super::riding::Made;
use super::rows::Cursor;

/// Bytes for strings that expressions make, per row and at least.
const HEAP_ROW_BYTES: usize = 32;
const LEAST_HEAP_BYTES: usize = 1 << 16;

/// Bytes for the strings that a program makes of so many rows.
pub(super) fn heap_bytes(rows: u32) -> usize {
    (rows as usize * HEAP_ROW_BYTES).max(LEAST_HEAP_BYTES)
}

/// Row numbers as they came from the device.
fn as_numbers(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

/// Rows that the CPU may have to read after all.
pub(super) type Work = (Arc<OpenFile>, GroupToRead);

/// A lane's part of the device.
pub(super) struct DeviceLane {
    pub(super) on: DeviceChain<Work>,
    /// A row group with fewer to read is not worth a morsel.
    least_rows: u64,
}

/// A morsel whose work is queued.
pub(super) struct Queued {
    pub(super) file: Arc<OpenFile>,
    /// What it is of the file, for the CPU to do again.
    pub(super) group: GroupToRead,
    origin: Origin,
    /// As many as come out without a filter.
    pub(super) rows: u32,
    /// Their numbers, where the device drops others and has no filter of its own.
    picked: Option<Vec<u32>>,
    pub(super) decoded: Decoded,
    columns: Vec<DeviceColumn>,
    /// Of the columns that are strings.
    strings: Vec<Option<StringOffsets>>,
    totals: Option<Letter<u64>>,
    pub(super) slot: Letter<ErrorSlot>,
    pub(super) count: Option<Letter<u32>>,
    /// The rows that stay, where something rides along.
    kept: Option<DeviceSlice<u32>>,
    /// The columns of an aggregation or a join, in the place of `columns`.
    pub(super) entering: Option<Vec<InputColumn>>,
    pub(super) timer: Option<Timer>,
    pub(super) began: Instant,
}

/// Morsels, or the row group that the CPU has to do.
pub(super) enum Finished {
    Morsel(Box<Made>),
    /// The same of rows that have passed joins, or none of whom came out of them.
    Joined(Vec<Made>),
    /// The device has it, or had it: what came out in exchange.
    Grouped(Outcome<Work>),
    Undone(Arc<OpenFile>, GroupToRead),
}

impl DeviceLane {
    /// `None` when the device has nothing for a lane (any more); the CPU goes on.
    pub(super) fn open(
        gpu: &Arc<Gpu>,
        metrics: DeviceMetrics,
        groups: Option<LaneGroups<Work>>,
        probes: Vec<Option<ProbeMetrics>>,
        least_rows: u64,
    ) -> Option<Self> {
        let on = DeviceChain::open(gpu, "scan", metrics, groups, probes)?;
        Some(Self { on, least_rows })
    }

    /// Reads a row group's bytes and queues its work, in one morsel or several; what the device cannot do
    /// comes back undone.
    ///
    /// # Errors
    /// Reading the bytes.
    pub(super) async fn queue(
        &mut self,
        file: &Arc<OpenFile>,
        group: GroupToRead,
        queue: &mut VecDeque<Step>,
    ) -> Result<()> {
        let undone = |group| Step::Undone(Arc::clone(file), group);
        let all = file.reader_metadata.metadata().row_group(group.index).num_rows();
        let selected = Cursor::new(all, group.rows.as_ref()).take(usize::MAX).ranges().to_vec();
        let plan = match file.device_plan() {
            Ok(plan) => plan,
            Err(_) => {
                self.on.metrics.refused_groups.add(1);
                queue.push_back(undone(group));
                return Ok(());
            }
        };
        let drops = |piece: &Piece| piece.picked.is_some();
        let pieces = pieces(&selected)
            .filter(|pieces| plan.lowered.takes_selection() || !pieces.iter().any(drops));
        let Some(pieces) = pieces else {
            self.on.metrics.selected_groups.add(1);
            queue.push_back(undone(group));
            return Ok(());
        };
        let rows: u64 = selected.iter().map(|rows| rows.end - rows.start).sum();
        if rows < self.least_rows.saturating_mul(pieces.len() as u64) {
            self.on.metrics.small_groups.add(1);
            queue.push_back(undone(group));
            return Ok(());
        }
        let wanted = fetched(&group, &pieces);
        let chunks = fetch(file, &wanted, plan.lowered.columns()).await?.into_chunks();
        let opened = chunks
            .into_iter()
            .zip(plan.lowered.columns())
            .map(|((chunk, bytes), &root)| {
                let data_type = file.schema.field(root).data_type();
                let mut options = ReadOptions::new(data_type.clone());
                options.codes = staffa_parquet::is_byte_string(data_type);
                DeviceChunk::new(chunk, bytes, &options)
            })
            .collect::<staffa_parquet::Result<Vec<_>>>();
        let Ok(mut chunks) = opened else {
            // The CPU decoder says what is wrong.
            self.on.metrics.failed_morsels.add(1);
            queue.push_back(undone(group));
            return Ok(());
        };
        for piece in pieces {
            let part = piece.of(&group);
            queue.push_back(match self.submit(file, plan, &mut chunks, &piece, part.clone()) {
                Ok(queued) => Step::Queued(Box::new(queued)),
                Err(_) => {
                    self.on.metrics.failed_morsels.add(1);
                    undone(part)
                }
            });
        }
        Ok(())
    }

    fn submit(
        &self,
        file: &Arc<OpenFile>,
        plan: &DevicePlan,
        chunks: &mut [DeviceChunk],
        piece: &Piece,
        group: GroupToRead,
    ) -> Result<Queued, StaffaError> {
        let began = Instant::now();
        let lane = &self.on.lane;
        let mut slot = lane.memory.buffer::<ErrorSlot>(1, &lane.stream)?;
        slot.zero(&lane.stream)?;
        let mut timer = Timer::start(&lane.stream)?;
        let context = self.on.context(&slot);
        let origin = Origin { index: group.index, rows: piece.rows.clone() };
        let decoded = decode(&context, chunks, piece.rows.clone())?;
        let picked = match &piece.picked {
            Some(picked) => Some(self.picked(picked)?),
            None => None,
        };
        let selection = picked.as_ref().map(|(rows, count)| Selection { rows, count });
        let inputs: Vec<InputColumn> = decoded
            .columns
            .iter()
            .map(|column| InputColumn {
                descriptor: column.descriptor(),
                buffers: column.buffers(),
            })
            .collect();
        let programs = interpreter::Context {
            kernels: context.kernels.kernels,
            stream: &lane.stream,
            memory: &lane.memory,
            ring: &lane.ring,
            error: &slot,
        };
        let heap_bytes = heap_bytes(decoded.rows);
        // Row numbers are only asked for where the CPU has to decode the same rows.
        let options = Options { selection: !plan.riding.is_empty(), heap_bytes, operator: 0 };
        let ran = plan.lowered.run(&programs, &inputs, decoded.rows, selection, options)?;
        let columns = match plan.stays() {
            // They stay.
            true => Vec::new(),
            false => returning(plan, &ran.columns, &decoded.columns)?,
        };
        let totals = lane.memory.buffer::<u64>(columns.len(), &lane.stream)?;
        let strings = columns
            .iter()
            .enumerate()
            .map(|(number, c)| c.string_offsets(&context, ran.count.as_ref(), &totals, number))
            .collect::<staffa_parquet::Result<Vec<_>>>()?;
        timer.stop(&lane.stream)?;
        let totals = match strings.iter().any(Option::is_some) {
            true => Some(lane.mailbox.post(&totals.freeze(), &lane.stream)?),
            false => None,
        };
        let count = match &ran.count {
            Some(count) => Some(lane.mailbox.post(count, &lane.stream)?),
            None => None,
        };
        let slot = lane.mailbox.post_buffer(&slot, 0..1, &lane.stream)?;
        Ok(Queued {
            file: Arc::clone(file),
            group,
            origin,
            rows: picked.map_or(decoded.rows, |(rows, _)| rows.len() as u32),
            picked: piece.picked.clone().filter(|_| ran.count.is_none()),
            decoded,
            columns,
            strings,
            totals,
            slot,
            count,
            kept: ran.selection,
            entering: plan.stays().then_some(ran.columns),
            timer: Some(timer),
            began,
        })
    }

    /// Waits for a queued morsel.
    pub(super) async fn finish(&mut self, queued: Box<Queued>) -> Finished {
        let (file, group, began) = (Arc::clone(&queued.file), queued.group.clone(), queued.began);
        if queued.entering.is_some() {
            return self.stay(*queued).await;
        }
        let finished = self.morsel(*queued).await;
        self.on.metrics.record(&self.on.lane.counters.snapshot());
        match finished {
            Ok(made) => {
                self.on.metrics.morsels.add(1);
                self.on.metrics.morsel_time.add_duration(began.elapsed());
                Finished::Morsel(Box::new(made))
            }
            Err(_) => {
                self.on.metrics.failed_morsels.add(1);
                Finished::Undone(file, group)
            }
        }
    }

    /// The rows that came out; two waits: for their count, and for the columns.
    async fn morsel(&self, queued: Queued) -> Result<Made, StaffaError> {
        let Queued {
            file, origin, rows, decoded, columns, strings, totals, slot, count, kept, ..
        } = queued;
        let (timer, picked) = (queued.timer, queued.picked);
        let rows = self.rows(&decoded, slot, count, rows).await?;
        let totals = match totals {
            Some(totals) => totals.await?,
            None => Vec::new(),
        };
        if let Some(timer) = timer {
            // Both marks were passed; the time goes to the lane's counters.
            drop(timer.elapsed_ns()?);
        }
        let plan = file.device_plan().map_err(|why| StaffaError::bug(why.to_string()))?;
        let mut morsel = Morsel::from_arrays(Vec::new(), rows as usize);
        if rows == 0 {
            return Ok(Made { morsel, riding: None, passed: None });
        }
        let slot = self.on.lane.memory.buffer::<ErrorSlot>(1, &self.on.lane.stream)?;
        let context = self.on.context(&slot);
        let returning = columns
            .iter()
            .enumerate()
            .map(|(number, column)| {
                let offsets = strings.get(number).and_then(Option::as_ref);
                column.to_host(&context, rows, offsets.zip(totals.get(number).copied()))
            })
            .collect::<staffa_parquet::Result<Vec<_>>>()?;
        let kept = kept.map(|kept| self.row_numbers(&kept, rows)).transpose()?;
        let mut arrived = Vec::with_capacity(returning.len());
        self.on.metrics.awaits.add(usize::from(!returning.is_empty() || kept.is_some()));
        for column in returning {
            arrived.push(Some(column.arrived().await?));
        }
        let kept = match kept {
            Some(kept) => Some(as_numbers(&kept.await?)),
            None => picked,
        };
        for output in &plan.columns {
            morsel = match output {
                Output::Constant(value) => {
                    let codes = UInt32Array::from(vec![0; rows as usize]);
                    morsel.with_codes(Arc::clone(value), Arc::new(codes))
                }
                Output::Lowered(number) => match arrived.get_mut(*number).and_then(Option::take) {
                    Some(HostColumn::Array(array)) => morsel.with_column(array),
                    Some(HostColumn::Codes { codes, values }) => {
                        morsel.with_codes(values, Arc::new(codes))
                    }
                    None => return Err(StaffaError::bug("an output came back twice or never")),
                },
            };
        }
        self.on.metrics.riding.add(plan.riding.len());
        Ok(Made { morsel, riding: plan.riders(&file, origin, kept), passed: None })
    }

    /// Waits for the error slot and the count of a morsel.
    pub(super) async fn rows(
        &self,
        decoded: &Decoded,
        slot: Letter<ErrorSlot>,
        count: Option<Letter<u32>>,
        most: u32,
    ) -> Result<u32, StaffaError> {
        self.on.metrics.awaits.add(1);
        for slot in &slot.await? {
            decoded.check(slot)?;
        }
        Ok(match count {
            Some(count) => count.await?.first().copied().unwrap_or(0).min(most),
            None => most,
        })
    }

    /// Row numbers on the device, and how many they are.
    fn picked(&self, numbers: &[u32]) -> Result<(DeviceSlice<u32>, DeviceSlice<u32>), StaffaError> {
        let GpuLane { stream, memory, staging, ring, .. } = &self.on.lane;
        let mut rows = memory.buffer::<u32>(numbers.len(), stream)?;
        // The large slabs are few.
        let small = size_of_val(numbers) <= ring.slab_bytes();
        rows.write(0, numbers, if small { ring } else { staging }, stream)?;
        let mut count = memory.buffer::<u32>(1, stream)?;
        // Below a morsel's rows.
        count.write(0, &[numbers.len() as u32], ring, stream)?;
        Ok((rows.freeze(), count.freeze()))
    }

    /// The numbers of the rows that stayed, on their way to the host.
    fn row_numbers(
        &self,
        kept: &DeviceSlice<u32>,
        rows: u32,
    ) -> Result<Download<u32>, StaffaError> {
        let kept = kept.slice(0..rows as usize)?;
        let bytes = rows as usize * size_of::<u32>();
        let into =
            self.on.gpu.pinned().buffer(PinnedKind::ToHost, bytes, &self.on.lane.counters)?;
        Ok(kept.download(into, &self.on.lane.stream)?)
    }
}

/// A program's outputs as columns that go back.
fn returning(
    plan: &DevicePlan,
    columns: &[InputColumn],
    decoded: &[DeviceColumn],
) -> staffa_parquet::Result<Vec<DeviceColumn>> {
    let columns = columns.iter().zip(plan.lowered.types());
    columns
        .map(|(column, of)| {
            DeviceColumn::of_parts(of, &column.descriptor, &column.buffers, decoded)
        })
        .collect()
}

/// What a device lane has before it, in the order of its rows.
pub(super) enum Step {
    /// Queued on the device.
    Queued(Box<Queued>),
    /// For the CPU.
    Undone(Arc<OpenFile>, GroupToRead),
}
