//! Sealing: what the lanes hold becomes batches.

use std::any::Any;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::DataType;
use datafusion_common::Result;
use datafusion_execution::memory_pool::MemoryReservation;
use rayon::prelude::*;

use super::apart::{Part, sort_out};
use super::grouped::{GroupedLocal, Layout, exhausted, expected_groups};
use super::partition::Run;
use super::passed::Pieces;
use super::plan::Plan;
use super::spill::SpilledGroups;
use super::table::{Table, values};
use super::whole;
use crate::cpu::batches::Batches;
use crate::engine::Sealed;
use crate::{LaneStream, RunContext};

/// So many groups over all lanes are merged in one table: splitting them would cost more.
const FEW: usize = 8 * 1024;

/// Rows of runs that meet in one table, about: keys and states of so many groups fit a core's cache.
const MERGED_ROWS: usize = 16 * 1024;
/// What part of these rows tells how many groups they make. (One lane's alone may have each key once.)
const GUESS: usize = 2;

/// Brings the lanes' groups together.
pub(super) async fn seal(
    plan: &Arc<Plan>,
    layout: &Layout,
    context: &Arc<RunContext>,
    locals: Vec<GroupedLocal>,
) -> Result<Arc<dyn Sealed>> {
    let (owned, partitions) = (Arc::clone(plan), layout.partitions);
    let shared = Arc::clone(context);
    context
        .runtime
        .compute(move || Merger { plan: owned, partitions, context: shared }.seal(locals))
        .await
}

struct Merger {
    plan: Arc<Plan>,
    partitions: usize,
    context: Arc<RunContext>,
}

impl Merger {
    fn seal(&self, mut locals: Vec<GroupedLocal>) -> Result<Arc<dyn Sealed>> {
        if let Some(states) = whole::take(&mut locals) {
            drop(locals);
            let batches = whole::batches(&self.plan, &self.context, states)?;
            return Ok(self.sealed(batches, self.context.reservation("StaffaAggregate")));
        }
        locals.par_iter_mut().try_for_each(GroupedLocal::settle)?;
        if locals.iter().any(|local| local.spilled.used()) {
            return self.spill(locals);
        }
        // What passed a table by did so because an earlier part of it is a run already.
        let overflowed = locals.iter().any(|local| !local.runs.is_empty());
        let groups: usize = locals.iter().map(|local| local.table.len()).sum();
        if self.plan.spec.stage.writes_states() {
            return self.emit(locals);
        }
        if !overflowed && groups == 0 {
            return self.empty(locals);
        }
        if !overflowed && locals.iter().filter(|l| l.table.len() > 0).count() == 1 {
            locals.retain(|local| local.table.len() > 0);
            return self.emit(locals);
        }
        if !overflowed && groups <= FEW {
            return self.merge_few(locals);
        }
        let parts = locals.par_iter_mut().try_for_each(GroupedLocal::flush).and_then(|()| {
            let runs: Vec<&Run> = locals.iter().flat_map(|local| &local.runs).collect();
            self.merge_runs(&runs)
        });
        match parts {
            Ok((batches, reservation)) => Ok(self.sealed(batches, reservation)),
            Err(error) if exhausted(&error) && self.spills() => self.spill(locals),
            Err(error) => Err(error),
        }
    }

    fn spills(&self) -> bool {
        self.context.task.runtime_env().disk_manager.tmp_files_enabled()
    }

    /// What the input without rows gives.
    fn empty(&self, locals: Vec<GroupedLocal>) -> Result<Arc<dyn Sealed>> {
        drop(locals);
        let reservation = self.context.reservation("StaffaAggregate");
        let Some(input) = self.plan.empty_input()? else {
            return Ok(self.sealed(Vec::new(), reservation));
        };
        let mut table = Table::new(&self.plan)?;
        table.add(&input)?;
        Ok(self.sealed(vec![self.batch(&mut table)?], reservation))
    }

    /// Everything as it is.
    fn emit(&self, locals: Vec<GroupedLocal>) -> Result<Arc<dyn Sealed>> {
        let mut batches = Vec::new();
        let total = self.context.reservation("StaffaAggregate");
        for mut local in locals {
            local.flush_passed()?;
            for run in std::mem::take(&mut local.runs) {
                let rows = run.rows();
                batches.push(self.plan.output(run.columns()?, rows)?);
            }
            if local.table.len() > 0 {
                batches.push(self.batch(&mut local.table)?);
            }
            // It takes the place of what the lane held.
            drop(local);
        }
        if batches.is_empty() {
            return self.empty(Vec::new());
        }
        Ok(self.sealed(batches, total))
    }

    fn merge_few(&self, locals: Vec<GroupedLocal>) -> Result<Arc<dyn Sealed>> {
        let mut merged = Table::new(&self.plan)?;
        let reservation = self.context.reservation("StaffaAggregate");
        for mut local in locals {
            if local.table.len() > 0 {
                merged.merge(&local.table.states()?)?;
                reservation.try_resize(merged.size())?;
            }
        }
        Ok(self.sealed(vec![self.batch(&mut merged)?], reservation))
    }

    /// Brings together what may share keys; the other groups are complete.
    fn merge_runs(&self, runs: &[&Run]) -> Result<(Vec<RecordBatch>, MemoryReservation)> {
        let Some(parts) = sort_out(runs, self.plan.ranged(), &self.context.cancel)? else {
            return self.merge_partitions(runs);
        };
        let mut complete = Vec::with_capacity(parts.len());
        let (mut meet, mut rests) = (Vec::new(), Vec::new());
        for (part, run) in parts.into_iter().zip(runs) {
            let rest = match part {
                Part::Together => None,
                Part::Complete(states, rest) => {
                    // A run of shared keys only has none.
                    if states.first().is_some_and(|column| !column.is_empty()) {
                        complete.push(states);
                    }
                    let Some(rest) = rest else { continue };
                    Some(Run::new(&[rest], self.plan.key_width(), self.partitions)?)
                }
            };
            meet.push(*run);
            rests.push(rest);
        }
        let together = meet.iter().zip(&rests).map(|(run, rest)| rest.as_ref().unwrap_or(run));
        let together: Vec<&Run> = together.collect();
        let (mut batches, total) = self.merge_partitions(&together)?;
        let complete = complete.into_par_iter().map(|states| {
            self.context.cancel.check()?;
            let rows = states.first().map_or(0, |column| column.len());
            let batch = self.plan.output(values(&self.plan, &states)?, rows)?;
            let reservation = total.new_empty();
            reservation.try_resize(bytes(&batch))?;
            Ok((batch, reservation))
        });
        for (batch, mut reservation) in complete.collect::<Result<Vec<_>>>()? {
            batches.push(batch);
            total.grow(reservation.take().free());
        }
        Ok((batches, total))
    }

    fn merge_partitions(&self, runs: &[&Run]) -> Result<(Vec<RecordBatch>, MemoryReservation)> {
        let total = self.context.reservation("StaffaAggregate");
        let rows: usize = runs.iter().map(|run| run.rows()).sum();
        let finest = runs.iter().map(|run| run.partitions()).max().unwrap_or(self.partitions);
        let partitions = (rows / MERGED_ROWS).max(1).next_power_of_two();
        let wanted = partitions.clamp(self.partitions, finest);
        let (partitions, finer) = match self.finer(runs, wanted, &total) {
            Ok(finer) => (wanted, finer),
            // Fewer and larger ones need no copies.
            Err(error) if exhausted(&error) => {
                let least = runs.iter().map(|run| run.partitions()).min();
                (least.unwrap_or(self.partitions), runs.iter().map(|_| None).collect())
            }
            Err(error) => return Err(error),
        };
        let runs = runs.iter().zip(&finer);
        let runs: Vec<&Run> =
            runs.map(|(run, finer)| finer.as_ref().map_or(*run, |(finer, _)| finer)).collect();
        let batches = (0..partitions)
            .into_par_iter()
            .map_init(
                || None,
                |table, partition| {
                    let reservation = total.new_empty();
                    let place = (partition, partitions);
                    let batch = self.merge_partition(place, &runs, &reservation, table)?;
                    // What the table took is freed; what it leaves is kept until it is read.
                    reservation.try_resize(batch.as_ref().map_or(0, bytes))?;
                    Ok(batch.map(|batch| (batch, reservation)))
                },
            )
            .collect::<Result<Vec<_>>>()?;
        let mut kept = Vec::with_capacity(batches.len());
        for (batch, mut reservation) in batches.into_iter().flatten() {
            kept.push(batch);
            total.grow(reservation.take().free());
        }
        Ok((kept, total))
    }

    /// Copies of those runs that have fewer than so many partitions.
    fn finer(
        &self,
        runs: &[&Run],
        partitions: usize,
        total: &MemoryReservation,
    ) -> Result<Vec<Option<(Run, MemoryReservation)>>> {
        let finer = runs.par_iter().map(|run| {
            self.context.cancel.check()?;
            if run.partitions() >= partitions {
                return Ok(None);
            }
            let reservation = total.new_empty();
            reservation.try_resize(run.size())?;
            let mut finer = Run::new(&[run.columns()?], self.plan.key_width(), partitions)?;
            finer.raw = run.raw;
            reservation.try_resize(finer.size())?;
            Ok(Some((finer, reservation)))
        });
        finer.collect()
    }

    /// The groups of one partition of several, made in `table` or in a new one, which is left there.
    fn merge_partition(
        &self,
        (partition, partitions): (usize, usize),
        runs: &[&Run],
        reservation: &MemoryReservation,
        table: &mut Option<Table>,
    ) -> Result<Option<RecordBatch>> {
        let place = partition..partition + 1;
        let rows: usize = runs.iter().map(|run| run.rows_in(place.clone(), partitions)).sum();
        if rows == 0 {
            return Ok(None);
        }
        let mut merged = match table.take() {
            Some(table) => table,
            None => Table::of_kept(&self.plan)?,
        };
        let (mut seen, mut guessed, mut held) = (0, false, 0);
        // Many small slices would cost a call for each to every function, and states would grow, and move, again and
        // again.
        let mut slices = Pieces::default();
        for (at, run) in runs.iter().enumerate() {
            self.context.cancel.check()?;
            if let Some((columns, of_run)) = run.slice(place.clone(), partitions)? {
                slices.push(columns, of_run);
            }
            let goes_on = runs.get(at + 1).is_some_and(|next| next.raw == run.raw);
            if !slices.reach(MERGED_ROWS) && goes_on {
                continue;
            }
            for (columns, copied) in slices.take() {
                seen += columns.first().map_or(0, |column| column.len());
                let groups = merged.len();
                match run.raw {
                    true => merged.add(&self.plan.of_raw(&columns)?)?,
                    false => merged.merge(&columns)?,
                }
                // Nobody refers to rows whose keys were there.
                if copied && merged.len() > groups {
                    held += kept_bytes(&columns[..self.plan.key_width()]);
                }
            }
            if !guessed && seen * GUESS >= rows && seen < rows {
                guessed = true;
                let groups = merged.len();
                let more = expected_groups(seen, groups).saturating_sub(groups);
                merged.reserve(more.min(rows - seen));
            }
            reservation.try_resize(merged.size() + held)?;
        }
        let batch = self.batch(&mut merged)?;
        merged.renew()?;
        *table = Some(merged);
        Ok(Some(batch))
    }

    fn spill(&self, mut locals: Vec<GroupedLocal>) -> Result<Arc<dyn Sealed>> {
        locals.par_iter_mut().try_for_each(GroupedLocal::spill)?;
        let writers = locals.into_iter().map(|local| local.spilled).collect();
        SpilledGroups::sealed(&self.plan, &self.context, writers)
    }

    fn batch(&self, table: &mut Table) -> Result<RecordBatch> {
        let rows = table.len();
        self.plan.output(table.output()?, rows)
    }

    fn sealed(&self, batches: Vec<RecordBatch>, reservation: MemoryReservation) -> Arc<dyn Sealed> {
        // The groups are there whatever the pool says, and the tables that held them are gone.
        reservation.resize(batches.iter().map(bytes).sum());
        Arc::new(Groups {
            batches: Arc::new(Batches::new(batches, self.context.morsel_rows)),
            _reservation: reservation,
        })
    }
}

/// Bytes of the strings among these columns, which a table of kept columns holds on to. Those of views are the run's.
fn kept_bytes(columns: &[ArrayRef]) -> usize {
    let bytes = |column: &ArrayRef| match column.data_type() {
        DataType::Utf8View | DataType::BinaryView => column.len() * size_of::<u128>(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Binary | DataType::LargeBinary => {
            column.get_array_memory_size()
        }
        _ => 0,
    };
    columns.iter().map(bytes).sum()
}

fn bytes(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(|c| c.get_array_memory_size()).sum()
}

/// Finished groups and the memory they take.
struct Groups {
    batches: Arc<Batches>,
    _reservation: MemoryReservation,
}

impl Sealed for Groups {
    fn open(self: Arc<Self>, lane: usize, lanes: usize) -> LaneStream {
        use futures::StreamExt;
        let morsels = Arc::clone(&self.batches).open(lane, lanes);
        Box::pin(morsels.inspect(move |_| {
            let _held = &self;
        }))
    }

    fn outlives_region(&self) -> bool {
        true
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
