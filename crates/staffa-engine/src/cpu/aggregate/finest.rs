//! Grouping sets by way of all their keys.
//!
//! `ROLLUP (a, b, c)` asks for four groupings of every row. Here a row is grouped once, by all keys; what its group
//! came to goes into the groups of every set when the table is full or the rows are at their end. As long as there
//! are fewer groups than rows that is less work, and it is left as soon as there are not.

use std::sync::Arc;

use arrow::array::ArrayRef;
use datafusion_common::Result;

use super::plan::Plan;
use super::table::Table;
use crate::Morsel;

/// Groups by all keys that are held at most: as many as fit a core's cache.
const GROUPS: usize = 32 * 1024;
/// Rows per group below which grouping by all keys first is given up.
const WORTH: usize = 2;

/// Groups by all keys.
pub(super) struct Finest {
    plan: Arc<Plan>,
    table: Table,
    rows: usize,
}

/// States of groups by all keys, and how many rows they stand for.
pub(super) struct Taken {
    pub(super) states: Vec<ArrayRef>,
    pub(super) rows: usize,
    /// Whether there were enough rows a group to go on.
    pub(super) worth: bool,
}

impl Finest {
    /// For an aggregation by grouping sets; `None` for another one.
    pub(super) fn new(plan: &Plan) -> Result<Option<Self>> {
        let Some(plan) = plan.finest().map(Arc::new) else { return Ok(None) };
        Ok(Some(Self { table: Table::new(&plan)?, plan, rows: 0 }))
    }

    /// Adds rows; whether the groups should be taken now.
    pub(super) fn add(&mut self, morsel: &Morsel) -> Result<bool> {
        self.table.add(&self.plan.evaluate(morsel)?)?;
        self.rows += morsel.rows();
        Ok(self.table.len() >= GROUPS)
    }

    /// All groups; none is left.
    pub(super) fn take(&mut self) -> Result<Taken> {
        let rows = std::mem::take(&mut self.rows);
        let worth = rows / WORTH >= self.table.len();
        Ok(Taken { states: self.table.states()?, rows, worth })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.table.len() == 0
    }

    /// Bytes held.
    pub(super) fn size(&self) -> usize {
        self.table.size()
    }
}
