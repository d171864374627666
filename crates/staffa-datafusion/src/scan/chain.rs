//! A lane's part of a device behind the place where rows enter it, whether a file's or the host's: joins, filters and
//! projections, groups, and the way back to the host.

use std::sync::Arc;

use arrow::datatypes::DataType;
use staffa_common::StaffaError;
use staffa_cuda::DeviceBuffer;
use staffa_engine::cuda::{Gpu, GpuLane};
use staffa_engine::{Morsel, Passed};
use staffa_kernels::abi::ErrorSlot;
use staffa_kernels::expression::InputColumn;
use staffa_parquet::cuda::{DecodeContext, DeviceColumn, HostColumn};

use super::grouping::{Entering, Here, LaneGroups, Outcome};
use super::joined::{Joined, ProbeMetrics};
use super::metrics::DeviceMetrics;
use super::probing::{Leaf, narrow, probe};
use super::together::{Parked, Together};

/// A lane's stream and memory, and what it does there. `W` is what a morsel stands for, that the CPU has to do where
/// the device fails.
pub(super) struct DeviceChain<W> {
    pub(super) gpu: Arc<Gpu>,
    pub(super) lane: GpuLane,
    pub(super) metrics: DeviceMetrics,
    /// Where the device aggregates too.
    pub(super) groups: Option<LaneGroups<W>>,
    /// Where it joins: figures of each operator that is a probe.
    pub(super) probes: Vec<Option<ProbeMetrics>>,
}

/// A morsel at the chain's entry.
pub(super) struct Uploaded<'a> {
    pub(super) columns: Vec<InputColumn>,
    pub(super) rows: u32,
    /// Columns that hold the dictionaries of those that are codes.
    pub(super) sources: &'a [DeviceColumn],
}

/// The CPU does again what groups were made of that nobody brings out.
pub(super) fn undone<W>(parked: Option<Parked<W>>) -> Outcome<W> {
    let undone = parked.map_or_else(Vec::new, |parked| parked.counted);
    Outcome { undone, ..Outcome::default() }
}

/// What became of a morsel.
pub(super) enum Came<W> {
    /// Rows on the host; the first morsel tells what all have passed.
    Rows(Vec<(Morsel, Passed)>),
    /// The device has it, or had it: what came out in exchange.
    Grouped(Outcome<W>),
    /// The CPU has to do it.
    Undone(W),
}

impl<W> DeviceChain<W> {
    /// `None` when the device has nothing for a lane (any more); the CPU goes on.
    pub(super) fn open(
        gpu: &Arc<Gpu>,
        name: &str,
        metrics: DeviceMetrics,
        groups: Option<LaneGroups<W>>,
        probes: Vec<Option<ProbeMetrics>>,
    ) -> Option<Self> {
        match gpu.lane(name) {
            Ok(lane) => Some(Self { gpu: Arc::clone(gpu), lane, metrics, groups, probes }),
            Err(_) => {
                metrics.lanes_refused.add(1);
                None
            }
        }
    }

    /// Whether the device may still be used.
    pub(super) fn lives(&self) -> bool {
        !self.groups.as_ref().is_some_and(LaneGroups::is_retired) && self.gpu.lost().is_none()
    }

    /// Whether groups are still to come out.
    pub(super) fn holds_groups(&self) -> bool {
        self.groups.as_ref().is_some_and(LaneGroups::holds)
    }

    /// Brings the groups out.
    pub(super) async fn flush(&mut self) -> Outcome<W> {
        let Self { gpu, lane, groups, .. } = self;
        let Some(groups) = groups else { return Outcome::default() };
        let outcome = groups.flush(Here { gpu, lane }).await;
        self.noted(outcome)
    }

    /// Ends a lane of several that make one set of groups.
    pub(super) async fn end(&mut self, together: &Together<Parked<W>>) -> Outcome<W> {
        let Self { gpu, lane, groups, .. } = self;
        let Some(groups) = groups else { return undone(together.leave()) };
        let outcome = groups.end(Here { gpu, lane }, together).await;
        self.noted(outcome)
    }

    /// Brings out what other lanes have left to this one, which has grouped nothing.
    pub(super) async fn bring_out(&mut self, parked: Parked<W>) -> Outcome<W> {
        let Self { gpu, lane, groups, .. } = self;
        let Some(groups) = groups else { return undone(Some(parked)) };
        let outcome = groups.bring_out(Here { gpu, lane }, parked).await;
        self.noted(outcome)
    }

    /// Takes note of what the groups left to the CPU.
    fn noted(&self, outcome: Outcome<W>) -> Outcome<W> {
        self.metrics.record(&self.lane.counters.snapshot());
        self.metrics.failed_morsels.add(outcome.undone.len());
        self.metrics.awaits.add(outcome.awaits);
        outcome
    }

    pub(super) fn context<'a>(&'a self, error: &'a DeviceBuffer<ErrorSlot>) -> DecodeContext<'a> {
        Here { gpu: &self.gpu, lane: &self.lane }.context(error)
    }

    /// Adds a morsel to the groups.
    pub(super) async fn group(&mut self, morsel: Entering<W>) -> Came<W> {
        let Self { gpu, lane, groups, .. } = self;
        let outcome = match groups {
            Some(groups) if morsel.rows > 0 => groups.add(Here { gpu, lane }, morsel).await,
            Some(_) => Outcome::default(),
            None => return Came::Undone(morsel.work),
        };
        Came::Grouped(self.noted(outcome))
    }

    /// Takes a morsel through the chain, and into the groups where they are its end.
    pub(super) async fn join(
        &mut self,
        joined: &Joined,
        entering: Uploaded<'_>,
        work: W,
    ) -> Came<W> {
        let Uploaded { columns, rows, sources } = entering;
        let columns = columns.into_iter().map(|column| narrow(column, rows)).collect();
        let here = Here { gpu: &self.gpu, lane: &self.lane };
        let (passed, probes, leaves) = match probe(here, joined, columns, rows).await {
            Ok(probed) => {
                self.metrics.awaits.add(probed.awaits);
                (joined.passed(rows, &probed.counts), probed.probes, probed.leaves)
            }
            Err(_) => return self.unjoined(joined, work),
        };
        let came = match (joined.grouped, leaves) {
            (true, mut leaves) if leaves.len() == 1 => {
                let Leaf { columns, rows } = leaves.remove(0);
                let morsel = Entering { columns, rows, passed: Some(passed), work };
                self.group(morsel).await
            }
            // Groups take a morsel as a whole.
            (true, leaves) if leaves.len() > 1 => return self.unjoined(joined, work),
            (_, leaves) => match self.rows_of(joined, leaves, passed, sources).await {
                Ok(rows) => Came::Rows(rows),
                Err(_) => return self.unjoined(joined, work),
            },
        };
        for (probe, (rows, out)) in joined.chain.probes().zip(probes) {
            if let Some(Some(metrics)) = self.probes.get(probe.operator) {
                metrics.morsels.add(1);
                metrics.rows.add(rows);
                metrics.joined.add(out);
            }
        }
        came
    }

    /// Leaves a morsel to the CPU that could not go through the chain.
    pub(super) fn unjoined(&self, joined: &Joined, work: W) -> Came<W> {
        self.metrics.failed_morsels.add(1);
        for probe in joined.chain.probes() {
            if let Some(Some(metrics)) = self.probes.get(probe.operator) {
                metrics.left.add(1);
            }
        }
        Came::Undone(work)
    }

    /// Brings what came out to the host; the first morsel tells what all have passed.
    async fn rows_of(
        &self,
        joined: &Joined,
        leaves: Vec<Leaf>,
        passed: Passed,
        sources: &[DeviceColumn],
    ) -> Result<Vec<(Morsel, Passed)>, StaffaError> {
        if leaves.is_empty() {
            return Ok(vec![(Morsel::from_arrays(Vec::new(), 0), passed)]);
        }
        let mut rows = Vec::with_capacity(leaves.len());
        let none = Passed { source: 0, operators: vec![0; passed.operators.len()] };
        let told = std::iter::once(passed).chain(std::iter::repeat(none));
        for (leaf, passed) in leaves.into_iter().zip(told) {
            rows.push((self.to_host(&joined.chain.types, leaf, sources).await?, passed));
        }
        Ok(rows)
    }

    /// Brings columns to the host. Waits for the bytes of strings, and for the columns.
    async fn to_host(
        &self,
        types: &[DataType],
        leaf: Leaf,
        sources: &[DeviceColumn],
    ) -> Result<Morsel, StaffaError> {
        let Leaf { columns, rows } = leaf;
        let GpuLane { stream, memory, mailbox, .. } = &self.lane;
        let slot = memory.buffer::<ErrorSlot>(1, stream)?;
        let context = self.context(&slot);
        let columns = columns.iter().zip(types).map(|(column, of)| {
            DeviceColumn::of_parts(of, &column.descriptor, &column.buffers, sources)
        });
        let columns = columns.collect::<staffa_parquet::Result<Vec<_>>>()?;
        let totals = memory.buffer::<u64>(columns.len().max(1), stream)?;
        let strings = columns.iter().enumerate();
        let strings = strings
            .map(|(number, column)| column.string_offsets(&context, None, &totals, number))
            .collect::<staffa_parquet::Result<Vec<_>>>()?;
        let mut known = Vec::new();
        if strings.iter().any(Option::is_some) {
            self.metrics.awaits.add(1);
            known = mailbox.post(&totals.freeze(), stream)?.await?;
        }
        let returning =
            columns.iter().zip(&strings).enumerate().map(|(number, (column, offsets))| {
                let offsets = offsets.as_ref().zip(known.get(number).copied());
                column.to_host(&context, rows, offsets)
            });
        let returning = returning.collect::<staffa_parquet::Result<Vec<_>>>()?;
        self.metrics.awaits.add(usize::from(!returning.is_empty()));
        let mut morsel = Morsel::from_arrays(Vec::new(), rows as usize);
        for column in returning {
            morsel = match column.arrived().await? {
                HostColumn::Array(array) => morsel.with_column(array),
                HostColumn::Codes { codes, values } => morsel.with_codes(values, Arc::new(codes)),
            };
        }
        Ok(morsel)
    }
}
