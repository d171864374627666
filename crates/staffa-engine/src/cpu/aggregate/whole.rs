//! Groups that came as a set without a key twice, as a device makes them of all of a region's rows.
//!
//! Where such a set is all that an aggregation got, nothing is left to merge: its states only become values. Else
//! they go into the tables as any states do.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::record_batch::RecordBatch;
use datafusion_common::Result;
use rayon::prelude::*;

use super::grouped::GroupedLocal;
use super::plan::Plan;
use super::table;
use crate::{GroupSet, RunContext};

/// States of a lane that belong to sets.
#[derive(Default)]
pub(super) struct Whole {
    pieces: Vec<(GroupSet, Vec<ArrayRef>)>,
    rows: usize,
    bytes: usize,
}

impl Whole {
    pub(super) fn push(&mut self, set: &GroupSet, states: Vec<ArrayRef>) {
        let bytes = |array: &ArrayRef| array.to_data().get_slice_memory_size().unwrap_or(0);
        self.bytes += states.iter().map(bytes).sum::<usize>();
        self.rows += states.first().map_or(0, |column| column.len());
        self.pieces.push((set.clone(), states));
    }

    /// Groups.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The columns of the state schema.
    pub(super) fn into_states(self) -> impl Iterator<Item = Vec<ArrayRef>> {
        self.pieces.into_iter().map(|(_, states)| states)
    }
}

/// The states of one set, if that is all that the lanes hold. They are taken out of the lanes then.
pub(super) fn take(locals: &mut [GroupedLocal]) -> Option<Vec<Vec<ArrayRef>>> {
    let mut pieces = locals.iter().flat_map(|local| &local.whole.pieces);
    let (set, _) = pieces.next()?;
    if !pieces.all(|(other, _)| other == set) || !locals.iter().all(GroupedLocal::is_bare) {
        return None;
    }
    let whole = locals.iter_mut().map(|local| std::mem::take(&mut local.whole));
    Some(whole.flat_map(Whole::into_states).collect())
}

/// The output's batches from the states of a set.
pub(super) fn batches(
    plan: &Arc<Plan>,
    context: &RunContext,
    states: Vec<Vec<ArrayRef>>,
) -> Result<Vec<RecordBatch>> {
    let batch = |states: Vec<ArrayRef>| {
        context.cancel.check()?;
        let rows = states.first().map_or(0, |column| column.len());
        let columns = match plan.spec.stage.writes_states() {
            true => states,
            false => table::values(plan, &states)?,
        };
        plan.output(columns, rows)
    };
    states.into_par_iter().map(batch).collect()
}
