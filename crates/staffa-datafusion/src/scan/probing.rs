//! A morsel's way through a chain of joins on the device.
//!
//! A probe says how many pairs there are, for which the lane waits; they are made in chunks, and what the rest of the
//! chain reads of them is gathered. So what a chunk needs is known before it is made, and no more than one count is
//! read a probe and one a filter. Nothing is told to anybody before all of it has gone well.

use staffa_common::StaffaError;
use staffa_cuda::{DeviceBuffer, DeviceSlice, PinnedKind};
use staffa_engine::cuda::join::{Compute, Finds, From, Probe, Residual, Step, Work};
use staffa_kernels::abi::{Column, ColumnKind, ErrorSlot, KeyRule, NONE};
use staffa_kernels::columns::{RowList, gather, gather_codes, mark_rows, select_rows};
use staffa_kernels::expression::{self as interpreter, InputColumn, Options};
use staffa_kernels::join::{JoinSide, Probe as Found, ProbeOptions};
use staffa_kernels::keys::{KeyColumn, KeyColumns};
use staffa_kernels::parquet::Context;

use super::device::heap_bytes;
use super::grouping::Here;
use super::joined::{Joined, Side};

/// Pairs that are made at a time, where rows go back.
const CHUNK: u32 = 1 << 20;
/// Pairs of a morsel that the device makes in all: beyond, the CPU joins it, a few at a time.
const MOST_PAIRS: u64 = 1 << 22;

/// Columns of so many rows.
pub(super) struct Leaf {
    pub(super) columns: Vec<InputColumn>,
    pub(super) rows: u32,
}

/// What a morsel came to.
pub(super) struct Probed {
    /// Rows that came out of each operator.
    pub(super) counts: Vec<usize>,
    /// Rows that went into each probe, and that came out of it, in the chain's order.
    pub(super) probes: Vec<(usize, usize)>,
    pub(super) leaves: Vec<Leaf>,
    /// Times that the device was waited for.
    pub(super) awaits: usize,
}

/// What is to be done: columns before a step, or pairs of a probe from one on.
enum Frame {
    Columns { step: usize, leaf: Leaf },
    Pairs { step: usize, found: Box<Found>, leaf: Leaf, first: u64, total: u64 },
}

/// A bitmap of a build side's rows.
struct Marks {
    bits: DeviceBuffer<u32>,
    rows: u32,
}

struct Probing<'a> {
    here: Here<'a>,
    slot: &'a DeviceBuffer<ErrorSlot>,
    joined: &'a Joined,
    chunk: u32,
    pairs: u64,
    marks: Vec<Option<Marks>>,
    probed: Probed,
    frames: Vec<Frame>,
}

/// Takes a morsel, whose columns are those of the chain's entry, to the chain's end. Waits without holding the
/// thread. Build rows that have a match are noted once everything is done.
///
/// # Errors
/// More pairs than the device makes; a row on which DataFusion decides; out of memory; the device's fault.
pub(super) async fn probe(
    here: Here<'_>,
    joined: &Joined,
    columns: Vec<InputColumn>,
    rows: u32,
) -> Result<Probed, StaffaError> {
    let mut slot = here.lane.memory.buffer::<ErrorSlot>(1, &here.lane.stream)?;
    slot.zero(&here.lane.stream)?;
    let probes = joined.sides.len();
    let probed = Probed {
        counts: vec![0; joined.chain.operators],
        probes: vec![(0, 0); probes],
        leaves: Vec::new(),
        awaits: 0,
    };
    let leaf = Leaf { columns, rows };
    let mut probing = Probing {
        here,
        slot: &slot,
        joined,
        // Groups take a morsel as a whole.
        chunk: if joined.grouped { MOST_PAIRS as u32 } else { CHUNK },
        pairs: 0,
        marks: (0..probes).map(|_| None).collect(),
        probed,
        frames: vec![Frame::Columns { step: 0, leaf }],
    };
    probing.count(&joined.chain.counts, rows);
    while let Some(frame) = probing.frames.pop() {
        match frame {
            Frame::Columns { leaf, .. } if leaf.rows == 0 => {}
            Frame::Columns { step, leaf } => match joined.chain.steps.get(step) {
                None => probing.probed.leaves.push(leaf),
                Some(Step::Compute(compute)) => probing.compute(step, compute, leaf).await?,
                Some(Step::Probe(of)) => probing.find(step, of, leaf).await?,
            },
            Frame::Pairs { step, found, leaf, first, total } => {
                probing.pairs(step, found, leaf, first, total)?;
            }
        }
    }
    probing.end().await
}

impl<'a> Probing<'a> {
    fn context(&self) -> Context<'a> {
        self.here.context(self.slot).kernels
    }

    /// Waits for a number that the device has.
    async fn number(&mut self, at: &DeviceSlice<u32>) -> Result<u32, StaffaError> {
        self.probed.awaits += 1;
        let lane = self.here.lane;
        let letter = lane.mailbox.post(at, &lane.stream)?;
        Ok(letter.await?.first().copied().unwrap_or(0))
    }

    /// Which of the probes a step is, and its build side.
    fn side(&self, step: usize) -> Result<(usize, &'a Side), StaffaError> {
        let before = self.joined.chain.steps.iter().take(step);
        let number = before.filter(|step| matches!(step, Step::Probe(_))).count();
        let side = self.joined.sides.get(number);
        Ok((number, side.ok_or_else(|| StaffaError::bug("a probe without a build side"))?))
    }

    fn count(&mut self, operators: &[usize], rows: u32) {
        for &operator in operators {
            if let Some(count) = self.probed.counts.get_mut(operator) {
                *count += rows as usize;
            }
        }
    }

    async fn compute(
        &mut self,
        step: usize,
        compute: &Compute,
        leaf: Leaf,
    ) -> Result<(), StaffaError> {
        let leaf = match &compute.work {
            Work::Columns(columns) => {
                let columns = columns.iter().map(|&at| pick(&leaf.columns, at));
                Leaf { columns: columns.collect::<Result<_, _>>()?, rows: leaf.rows }
            }
            Work::Program(lowered) => {
                let (columns, count) = self.run(lowered, &leaf)?;
                let rows = match count {
                    Some(count) => self.number(&count).await?.min(leaf.rows),
                    None => leaf.rows,
                };
                Leaf { columns: columns.into_iter().map(|c| narrow(c, rows)).collect(), rows }
            }
        };
        self.count(&compute.counts, leaf.rows);
        self.frames.push(Frame::Columns { step: step + 1, leaf });
        Ok(())
    }

    /// Runs a program over the columns of a leaf; its outputs, and how many rows stayed.
    fn run(
        &self,
        lowered: &staffa_engine::cuda::expression::Lowered,
        leaf: &Leaf,
    ) -> Result<(Vec<InputColumn>, Option<DeviceSlice<u32>>), StaffaError> {
        let kernels = self.context();
        let context = interpreter::Context {
            kernels: kernels.kernels,
            stream: kernels.stream,
            memory: kernels.memory,
            ring: kernels.ring,
            error: self.slot,
        };
        let inputs = lowered.columns().iter().map(|&at| pick(&leaf.columns, at));
        let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
        let options = Options { selection: false, heap_bytes: heap_bytes(leaf.rows), operator: 0 };
        let ran = lowered.run(&context, &inputs, leaf.rows, None, options)?;
        Ok((ran.columns, ran.count))
    }

    async fn find(&mut self, step: usize, of: &Probe, leaf: Leaf) -> Result<(), StaffaError> {
        let (number, side) = self.side(step)?;
        self.probed.probes[number].0 += leaf.rows as usize;
        let context = self.context();
        let columns = of
            .keys
            .iter()
            .map(|key| Ok(KeyColumn { column: pick(&leaf.columns, key.column)?, rule: key.rule }));
        let keys = KeyColumns::new(&context, columns.collect::<Result<Vec<_>, StaffaError>>()?)?;
        let pairs = matches!(of.finds, Finds::Pairs { .. });
        let tries = pairs || of.marks || of.residual.is_some();
        let options = ProbeOptions {
            outer: of.finds == Finds::Pairs { outer: true },
            mark: false,
            matches_only: !tries,
        };
        let list = RowList::all(leaf.rows);
        let found = {
            let mut table = side.resident.table.lock();
            table.probe(&context, JoinSide { keys: &keys, list }, options)?
        };
        let total = match found.offsets() {
            Some(offsets) => {
                let rows = leaf.rows as usize;
                self.total(&offsets.slice(rows..rows + 1)?).await?
            }
            None => 0,
        };
        if pairs {
            if of.marks {
                self.tries(of, number, side, &found, &leaf, total)?;
            }
            if total > 0 {
                let found = Box::new(found);
                self.frames.push(Frame::Pairs { step, found, leaf, first: 0, total });
            }
            return Ok(());
        }
        let tried = match tries {
            true => self.tries(of, number, side, &found, &leaf, total)?,
            false => None,
        };
        let matches = tried.unwrap_or_else(|| found.matches().clone());
        self.rows(step, of, leaf, &matches).await
    }

    async fn total(&mut self, at: &DeviceSlice<u64>) -> Result<u64, StaffaError> {
        self.probed.awaits += 1;
        let lane = self.here.lane;
        let letter = lane.mailbox.post(at, &lane.stream)?;
        let total = letter.await?.first().copied().unwrap_or(0);
        self.pairs = self.pairs.saturating_add(total);
        if self.pairs > MOST_PAIRS {
            return Err(StaffaError::unsupported(format!("{} pairs of a morsel", self.pairs)));
        }
        Ok(total)
    }

    /// The rows of a probe that makes no pairs.
    async fn rows(
        &mut self,
        step: usize,
        of: &Probe,
        leaf: Leaf,
        matches: &DeviceSlice<u32>,
    ) -> Result<(), StaffaError> {
        let (number, side) = self.side(step)?;
        let leaf = match of.finds {
            Finds::Rows { matched } => {
                let context = self.context();
                let (numbers, count) = select_rows(&context, matches, leaf.rows, !matched)?;
                let rows = self.number(&count).await?.min(leaf.rows);
                let columns = match rows {
                    0 => Vec::new(),
                    rows => {
                        let ids = numbers.slice(0..rows as usize)?;
                        self.gather(&of.gathers, side, &leaf, &ids, &ids)?
                    }
                };
                Leaf { columns, rows }
            }
            Finds::Mark => {
                let mark = bits(matches, leaf.rows)?;
                let columns = of.gathers.iter().map(|from| match from {
                    From::Probe(at) => pick(&leaf.columns, *at),
                    From::Mark => Ok(mark.clone()),
                    From::Build(_) => Err(StaffaError::bug("a build column without pairs")),
                });
                Leaf { columns: columns.collect::<Result<_, _>>()?, rows: leaf.rows }
            }
            Finds::Nothing | Finds::Pairs { .. } => Leaf { columns: Vec::new(), rows: 0 },
        };
        self.probed.probes[number].1 += leaf.rows as usize;
        self.count(&of.counts, leaf.rows);
        self.frames.push(Frame::Columns { step: step + 1, leaf });
        Ok(())
    }

    /// A chunk of a probe's pairs.
    fn pairs(
        &mut self,
        step: usize,
        found: Box<Found>,
        leaf: Leaf,
        first: u64,
        total: u64,
    ) -> Result<(), StaffaError> {
        let Some(Step::Probe(of)) = self.joined.chain.steps.get(step) else {
            return Err(StaffaError::bug("pairs of no probe"));
        };
        let (number, side) = self.side(step)?;
        let (build, probe, rows) = self.chunk(side, &found, &leaf, first, total)?;
        let columns = self.gather(&of.gathers, side, &leaf, &build, &probe)?;
        self.probed.probes[number].1 += rows as usize;
        self.count(&of.counts, rows);
        let first = first + u64::from(rows);
        if first < total {
            self.frames.push(Frame::Pairs { step, found, leaf, first, total });
        }
        self.frames.push(Frame::Columns { step: step + 1, leaf: Leaf { columns, rows } });
        Ok(())
    }

    /// Row numbers of pairs from `first` on, of build side and probe side, and how many they are.
    fn chunk(
        &self,
        side: &Side,
        found: &Found,
        leaf: &Leaf,
        first: u64,
        total: u64,
    ) -> Result<(DeviceSlice<u32>, DeviceSlice<u32>, u32), StaffaError> {
        let left = total.saturating_sub(first).min(u64::from(self.chunk));
        let rows = u32::try_from(left).unwrap_or(self.chunk);
        let context = self.context();
        let table = side.resident.table.lock();
        let pairs = found.retrieve(&context, &table, RowList::all(leaf.rows), first, rows)?;
        drop(table);
        let len = rows as usize;
        Ok((pairs.build.slice(0..len)?, pairs.probe.slice(0..len)?, rows))
    }

    /// Tries all pairs: marks the build rows of those that meet the condition, and gives the probe rows of those as
    /// a bitmap, where there is a condition.
    fn tries(
        &mut self,
        of: &Probe,
        number: usize,
        side: &Side,
        found: &Found,
        leaf: &Leaf,
        total: u64,
    ) -> Result<Option<DeviceSlice<u32>>, StaffaError> {
        let context = self.context();
        let zeroed = |rows: u32| -> Result<DeviceBuffer<u32>, StaffaError> {
            let words = rows.div_ceil(32).max(1) as usize;
            let mut bits = context.memory.buffer::<u32>(words, context.stream)?;
            bits.zero(context.stream)?;
            Ok(bits)
        };
        if of.marks && self.marks[number].is_none() {
            let rows = side.resident.rows;
            self.marks[number] = Some(Marks { bits: zeroed(rows)?, rows });
        }
        let mut matches = match &of.residual {
            Some(_) => Some(zeroed(leaf.rows)?),
            None => None,
        };
        let mut first = 0;
        while first < total {
            let (build, probe, rows) = self.chunk(side, found, leaf, first, total)?;
            first += u64::from(rows);
            let filter = match &of.residual {
                Some(residual) => {
                    let Residual { gathers, lowered } = residual.as_ref();
                    let columns = self.gather(gathers, side, leaf, &build, &probe)?;
                    let (outputs, _) = self.run(lowered, &Leaf { columns, rows })?;
                    outputs.into_iter().next()
                }
                None => None,
            };
            let list = |numbers| RowList { rows, selection: Some(numbers), count: None };
            if let Some(Marks { bits, rows }) = &mut self.marks[number] {
                mark_rows(&context, list(&build), filter.as_ref(), bits, *rows)?;
            }
            if let Some(matches) = &mut matches {
                mark_rows(&context, list(&probe), filter.as_ref(), matches, leaf.rows)?;
            }
        }
        Ok(matches.map(DeviceBuffer::freeze))
    }

    /// Columns of pairs.
    fn gather(
        &self,
        gathers: &[From],
        side: &Side,
        leaf: &Leaf,
        build: &DeviceSlice<u32>,
        probe: &DeviceSlice<u32>,
    ) -> Result<Vec<InputColumn>, StaffaError> {
        let context = self.context();
        let columns = gathers.iter().map(|from| match from {
            From::Build(kept) => taken(&context, side.resident.column(*kept)?, build),
            From::Probe(at) => taken(&context, &pick(&leaf.columns, *at)?, probe),
            From::Mark => Err(StaffaError::bug("a mark of pairs")),
        });
        columns.collect()
    }

    /// Whether all that was queued went well; then the build rows that were met are noted.
    async fn end(mut self) -> Result<Probed, StaffaError> {
        let lane = self.here.lane;
        let slot = lane.mailbox.post_buffer(self.slot, 0..1, &lane.stream)?;
        let mut marks = Vec::new();
        for (side, marked) in self.joined.sides.iter().zip(self.marks) {
            let Some(Marks { bits, rows }) = marked.filter(|marks| marks.rows > 0) else {
                continue;
            };
            let bytes = 4 * rows.div_ceil(32) as usize;
            let pinned = self.here.gpu.pinned();
            let into = pinned.buffer(PinnedKind::ToHost, bytes, &lane.counters)?;
            marks.push((side, bits.freeze().download(into, &lane.stream)?));
        }
        self.probed.awaits += 1;
        if slot.await?.iter().any(|slot| slot.code != 0) {
            return Err(StaffaError::unsupported("a row that DataFusion decides"));
        }
        for (side, bits) in marks {
            let bytes = bits.await?;
            let words = bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            side.build.mark(&words.collect::<Vec<_>>());
        }
        Ok(self.probed)
    }
}

fn pick(columns: &[InputColumn], at: usize) -> Result<InputColumn, StaffaError> {
    let missing = || StaffaError::bug(format!("no column {at} of {}", columns.len()));
    columns.get(at).cloned().ok_or_else(missing)
}

/// The first `rows` rows of a column.
pub(super) fn narrow(mut column: InputColumn, rows: u32) -> InputColumn {
    column.descriptor.rows = rows.min(column.descriptor.rows);
    column
}

/// A bitmap as a column.
fn bits(words: &DeviceSlice<u32>, rows: u32) -> Result<InputColumn, StaffaError> {
    let descriptor =
        Column { values: words.address(), rows, kind: ColumnKind::Bits as u8, ..Column::default() };
    Ok(InputColumn { descriptor, buffers: vec![words.clone().cast::<u8>()?] })
}

/// The rows of a column that `ids` names; codes stay codes.
fn taken(
    context: &Context<'_>,
    column: &InputColumn,
    ids: &DeviceSlice<u32>,
) -> Result<InputColumn, StaffaError> {
    if column.descriptor.kind == ColumnKind::Codes as u8 {
        return Ok(gather_codes(context, column, ids, None)?);
    }
    let rows = u32::try_from(ids.len()).unwrap_or(NONE);
    let mut taken = gather(context, column, KeyRule::Bits, ids, None)?.freeze(rows)?;
    if column.descriptor.kind == ColumnKind::Spans as u8 {
        taken.buffers.extend(column.buffers.iter().cloned());
    }
    Ok(taken)
}
