//! Composes output rows: row numbers on both sides, columns in the order of the output.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, UInt32Array, new_null_array};
use datafusion_common::{JoinSide, Result};
use datafusion_physical_expr::utils::collect_columns;
use datafusion_physical_plan::joins::utils::ColumnIndex;

use super::state::JoinState;
use crate::Morsel;
use crate::plan::JoinSpec;

/// The build columns that a join must keep: those of its output and of its residual filter.
pub(crate) fn kept_columns(spec: &JoinSpec) -> Vec<usize> {
    let filter = spec.filter.iter().flat_map(|filter| filter.column_indices());
    let mut kept: Vec<usize> = spec
        .output
        .iter()
        .chain(filter)
        .filter(|column| column.side == JoinSide::Left)
        .map(|column| column.index)
        .collect();
    kept.sort_unstable();
    kept.dedup();
    kept
}

/// The probe columns that a join reads: those of its keys, its output and its residual filter.
pub(super) fn probe_columns(spec: &JoinSpec) -> Vec<usize> {
    let filter = spec.filter.iter().flat_map(|filter| filter.column_indices());
    let mut read: Vec<usize> = spec
        .output
        .iter()
        .chain(filter)
        .filter(|column| column.side == JoinSide::Right)
        .map(|column| column.index)
        .collect();
    let keys = spec.on.iter().map(|(_, key)| key);
    read.extend(keys.flat_map(collect_columns).map(|column| column.index()));
    read.sort_unstable();
    read.dedup();
    read
}

/// Which columns of either side make up a schema, and in which order.
pub(super) struct Layout {
    /// Positions among the kept build columns.
    left: Vec<usize>,
    /// Columns of the probe side.
    right: Vec<usize>,
    /// A single NULL per probe column, for rows that have no probe row.
    right_nulls: Vec<ArrayRef>,
    /// Output columns, among `left`, then `right`, then the mark.
    order: Vec<usize>,
}

impl Layout {
    /// For these columns of a join.
    pub(super) fn new(columns: &[ColumnIndex], spec: &JoinSpec) -> Self {
        let kept = kept_columns(spec);
        let of_side = |side| columns.iter().filter(move |column| column.side == side);
        let left: Vec<usize> = of_side(JoinSide::Left)
            .map(|column| kept.partition_point(|&index| index < column.index))
            .collect();
        let right: Vec<usize> = of_side(JoinSide::Right).map(|column| column.index).collect();
        let right_nulls = right
            .iter()
            .map(|&index| new_null_array(spec.probe_schema.field(index).data_type(), 1))
            .collect();
        let (mut lefts, mut rights) = (0, left.len());
        let order = columns
            .iter()
            .map(|column| {
                let next = match column.side {
                    JoinSide::Left => &mut lefts,
                    JoinSide::Right => &mut rights,
                    JoinSide::None => return left.len() + right.len(),
                };
                *next += 1;
                *next - 1
            })
            .collect();
        Self { left, right, right_nulls, order }
    }

    /// Pairs of a build row (null for none) and a probe row; all probe rows in order without
    /// `probe_rows`.
    pub(super) fn pairs(
        &self,
        state: &JoinState,
        build_rows: &Arc<UInt32Array>,
        probe: &Morsel,
        probe_rows: Option<&Arc<UInt32Array>>,
    ) -> Result<Morsel> {
        let left = state.columns.select(&self.left, build_rows)?;
        let right = probe.project(&self.right);
        let right = match probe_rows {
            Some(rows) => right.select(rows)?,
            None => right,
        };
        Ok(left.zip(right).project(&self.order))
    }

    /// Probe rows alone, with a mark for each if the join type has one.
    pub(super) fn probe_rows(&self, probe: Morsel, mark: Option<BooleanArray>) -> Morsel {
        let out = probe.project(&self.right);
        let out = match mark {
            Some(mark) => out.with_column(Arc::new(mark)),
            None => out,
        };
        out.project(&self.order)
    }

    /// Build rows alone, NULL for the probe side, with a mark for each if there is one.
    pub(super) fn build_rows(
        &self,
        state: &JoinState,
        rows: Vec<u32>,
        mark: Option<BooleanArray>,
    ) -> Result<Morsel> {
        let count = rows.len();
        let out = state.columns.select(&self.left, &Arc::new(UInt32Array::from(rows)))?;
        let none = Arc::new(UInt32Array::from(vec![0; count]));
        let out = out.zip(Morsel::from_arrays(self.right_nulls.clone(), 1).select(&none)?);
        let out = match mark {
            Some(mark) => out.with_column(Arc::new(mark)),
            None => out,
        };
        Ok(out.project(&self.order))
    }
}
