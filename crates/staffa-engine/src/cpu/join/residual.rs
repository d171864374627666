//! The residual condition of a join, over pairs that match by key.

use std::sync::Arc;

use arrow::array::{Array, BooleanArray, UInt32Array};
use arrow::compute::prep_null_mask_filter;
use datafusion_common::Result;
use datafusion_physical_plan::joins::utils::JoinFilter;

use super::emit::Layout;
use super::lookup::Hits;
use super::loops::{Limits, Loops};
use super::pairs::{Cursor, Pairs, covers};
use super::state::JoinState;
use crate::Morsel;
use crate::bound::BoundExpr;
use crate::plan::{JoinKind, JoinSpec};

/// A residual condition; it gathers only the columns that it reads.
pub(super) struct Residual {
    predicate: BoundExpr,
    layout: Layout,
    /// Where there are no keys.
    loops: Option<Loops>,
}

impl Residual {
    /// Binds a join's filter.
    pub(super) fn new(filter: &JoinFilter, spec: &JoinSpec) -> Result<Self> {
        Ok(Self {
            predicate: BoundExpr::new(filter.expression(), filter.schema())?,
            layout: Layout::new(filter.column_indices(), spec),
            loops: match spec.kind {
                JoinKind::Loop => Some(Loops::new(filter, spec)?),
                JoinKind::Hash => None,
            },
        })
    }

    /// The next pairs of hits for which the condition holds.
    pub(super) fn pairs(
        &self,
        state: &JoinState,
        probe: &Morsel,
        hits: &Hits,
        cursor: &mut Cursor,
        limits: Limits<'_>,
    ) -> Result<Pairs> {
        if let Some(loops) = &self.loops
            && let Some(pairs) = loops.pairs(state, probe, hits, cursor, &limits)?
        {
            return Ok(pairs);
        }
        let mut pairs = Pairs::default();
        cursor.expand(hits, &state.table, limits.pairs, limits.skip, &mut pairs);
        if let Some(done) = limits.done {
            pairs.retain(|build, _| !done(build));
        }
        self.retain(state, probe, &mut pairs)?;
        Ok(pairs)
    }

    /// Keeps the pairs for which the condition holds.
    fn retain(&self, state: &JoinState, probe: &Morsel, pairs: &mut Pairs) -> Result<()> {
        if pairs.build.is_empty() {
            return Ok(());
        }
        let build = Arc::new(UInt32Array::from(std::mem::take(&mut pairs.build)));
        let probe_rows = Arc::new(UInt32Array::from(std::mem::take(&mut pairs.probe)));
        let mask = {
            // Each row once, as when the other side is a single value: nothing to gather.
            let some = (!covers(probe_rows.values(), probe.rows())).then_some(&probe_rows);
            let morsel = self.layout.pairs(state, &build, probe, some)?;
            self.predicate.mask(&morsel)?
        };
        let mask = match mask.nulls() {
            Some(_) => prep_null_mask_filter(&mask),
            None => mask,
        };
        pairs.build = kept(build, &mask);
        pairs.probe = kept(probe_rows, &mask);
        Ok(())
    }
}

/// The values for which `mask` is true, in the same memory if nobody else holds it.
fn kept(values: Arc<UInt32Array>, mask: &BooleanArray) -> Vec<u32> {
    let (_, values, _) = Arc::unwrap_or_clone(values).into_parts();
    let mut values = Vec::from(values);
    let mut count = 0;
    for at in mask.values().set_indices() {
        values[count] = values[at];
        count += 1;
    }
    values.truncate(count);
    values
}
