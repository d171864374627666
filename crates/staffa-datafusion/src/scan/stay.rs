//! A device's morsel that does not go back as it is: it goes through the joins behind the scan, or into groups, or
//! both.

use std::sync::Arc;

use arrow::datatypes::DataType;
use staffa_common::StaffaError;
use staffa_engine::cuda::GpuLane;
use staffa_engine::{Morsel, Passed};
use staffa_kernels::abi::ErrorSlot;
use staffa_kernels::expression::InputColumn;
use staffa_parquet::cuda::{Decoded, DeviceColumn, HostColumn};

use super::device::{DeviceLane, Finished, Queued};
use super::grouping::{Entering, Here, Outcome};
use super::joined::Joined;
use super::open::{GroupToRead, OpenFile};
use super::probing::{Leaf, narrow, probe};
use super::riding::Made;

impl DeviceLane {
    /// Joins or groups a morsel, once it is known that it may be believed.
    pub(super) async fn stay(&mut self, queued: Queued) -> Finished {
        let Queued { file, group, rows, decoded, slot, count, entering, timer, began, .. } = queued;
        let known = self.rows(&decoded, slot, count, rows).await;
        let (Ok(rows), Some(columns)) = (known, entering) else {
            self.metrics.record(&self.lane.counters.snapshot());
            self.metrics.failed_morsels.add(1);
            return Finished::Undone(file, group);
        };
        if let Some(timer) = timer {
            // Both marks were passed; the time goes to the lane's counters.
            drop(timer.elapsed_ns());
        }
        self.metrics.morsels.add(1);
        let joined = file.device_plan().ok().and_then(|plan| plan.joined.clone());
        let finished = match joined {
            Some(joined) => self.join(&joined, columns, rows, decoded, (file, group)).await,
            None => self.group(Entering { columns, rows, passed: None, work: (file, group) }).await,
        };
        self.metrics.record(&self.lane.counters.snapshot());
        self.metrics.morsel_time.add_duration(began.elapsed());
        finished
    }

    /// Adds a morsel to the groups.
    async fn group(&mut self, morsel: Entering) -> Finished {
        let Self { gpu, lane, groups, .. } = self;
        let outcome = match groups {
            Some(groups) if morsel.rows > 0 => groups.add(Here { gpu, lane }, morsel).await,
            Some(_) => Outcome::default(),
            None => return Finished::Undone(morsel.work.0, morsel.work.1),
        };
        Finished::Grouped(self.noted(outcome))
    }

    /// Takes a morsel through the joins behind the scan.
    async fn join(
        &mut self,
        joined: &Joined,
        columns: Vec<InputColumn>,
        rows: u32,
        decoded: Decoded,
        work: (Arc<OpenFile>, GroupToRead),
    ) -> Finished {
        let columns = columns.into_iter().map(|column| narrow(column, rows)).collect();
        let here = Here { gpu: &self.gpu, lane: &self.lane };
        let (passed, probes, leaves) = match probe(here, joined, columns, rows).await {
            Ok(probed) => {
                self.metrics.awaits.add(probed.awaits);
                (joined.passed(rows, &probed.counts), probed.probes, probed.leaves)
            }
            Err(_) => return self.unjoined(joined, work),
        };
        let finished = match (joined.grouped, leaves) {
            (true, mut leaves) if leaves.len() == 1 => {
                let Leaf { columns, rows } = leaves.remove(0);
                let morsel = Entering { columns, rows, passed: Some(passed), work };
                self.group(morsel).await
            }
            // Groups take a morsel as a whole.
            (true, leaves) if leaves.len() > 1 => return self.unjoined(joined, work),
            (_, leaves) => match self.rows_of(joined, leaves, passed, &decoded).await {
                Ok(made) => Finished::Joined(made),
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
        finished
    }

    /// Leaves a morsel to the CPU that could not be joined.
    fn unjoined(&self, joined: &Joined, (file, group): (Arc<OpenFile>, GroupToRead)) -> Finished {
        self.metrics.failed_morsels.add(1);
        for probe in joined.chain.probes() {
            if let Some(Some(metrics)) = self.probes.get(probe.operator) {
                metrics.left.add(1);
            }
        }
        Finished::Undone(file, group)
    }

    /// Brings what came out of joins to the host; the first morsel tells what all have passed.
    async fn rows_of(
        &self,
        joined: &Joined,
        leaves: Vec<Leaf>,
        passed: Passed,
        decoded: &Decoded,
    ) -> Result<Vec<Made>, StaffaError> {
        if leaves.is_empty() {
            let morsel = Morsel::from_arrays(Vec::new(), 0);
            return Ok(vec![Made { morsel, riding: None, passed: Some(passed) }]);
        }
        let mut made = Vec::with_capacity(leaves.len());
        let none = Passed { source: 0, operators: vec![0; passed.operators.len()] };
        let told = std::iter::once(passed).chain(std::iter::repeat(none));
        for (leaf, passed) in leaves.into_iter().zip(told) {
            let morsel = self.to_host(&joined.chain.types, leaf, decoded).await?;
            made.push(Made { morsel, riding: None, passed: Some(passed) });
        }
        Ok(made)
    }

    /// Brings columns to the host. Waits for the bytes of strings, and for the columns.
    async fn to_host(
        &self,
        types: &[DataType],
        leaf: Leaf,
        decoded: &Decoded,
    ) -> Result<Morsel, StaffaError> {
        let Leaf { columns, rows } = leaf;
        let GpuLane { stream, memory, mailbox, .. } = &self.lane;
        let slot = memory.buffer::<ErrorSlot>(1, stream)?;
        let context = self.context(&slot);
        let columns = columns.iter().zip(types).map(|(column, of)| {
            DeviceColumn::of_parts(of, &column.descriptor, &column.buffers, &decoded.columns)
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
