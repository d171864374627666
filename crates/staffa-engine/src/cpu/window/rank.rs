//! Functions of a row's place alone: `row_number`, `rank`, `dense_rank`, `percent_rank`, `cume_dist`
//! and `ntile`.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, UInt64Array};
use datafusion_common::Result;

use super::function::{Function, Needs};
use super::unit::Unit;

/// `row_number`.
#[derive(Debug, Default)]
pub(super) struct RowNumber {
    /// The number of the row before.
    last: u64,
}

impl Function for RowNumber {
    fn evaluate(&mut self, unit: &Unit) -> Result<ArrayRef> {
        let mut numbers = Vec::with_capacity(unit.rows);
        let mut continues = unit.partitions.continues;
        for partition in unit.partitions() {
            let before = if std::mem::take(&mut continues) { self.last } else { 0 };
            self.last = before + partition.len() as u64;
            numbers.extend(before + 1..=self.last);
        }
        Ok(Arc::new(UInt64Array::from(numbers)))
    }

    fn needs(&self) -> Needs {
        Needs::Earlier
    }
}

/// `rank`, or `dense_rank`.
#[derive(Debug)]
pub(super) struct Rank {
    dense: bool,
    order: usize,
    /// Of the open partition: rows so far, and the ranks of the last one.
    rows: u64,
    rank: u64,
    dense_rank: u64,
}

impl Rank {
    pub(super) fn new(dense: bool, order: usize) -> Self {
        Self { dense, order, rows: 0, rank: 0, dense_rank: 0 }
    }
}

impl Function for Rank {
    fn evaluate(&mut self, unit: &Unit) -> Result<ArrayRef> {
        let mut ranks = Vec::with_capacity(unit.rows);
        let mut continues = unit.partitions.continues;
        let mut tied = unit.peers[self.order].continues;
        unit.with_peers(Some(self.order), |_, groups| {
            if !std::mem::take(&mut continues) {
                (self.rows, self.rank, self.dense_rank) = (0, 0, 0);
            }
            for group in groups {
                if !std::mem::take(&mut tied) {
                    self.rank = self.rows + 1;
                    self.dense_rank += 1;
                }
                self.rows += group.len() as u64;
                let rank = if self.dense { self.dense_rank } else { self.rank };
                ranks.extend(std::iter::repeat_n(rank, group.len()));
            }
            Ok(())
        })?;
        Ok(Arc::new(UInt64Array::from(ranks)))
    }

    fn needs(&self) -> Needs {
        Needs::Earlier
    }
}

/// `percent_rank`, or `cume_dist`.
#[derive(Debug)]
pub(super) struct Share {
    /// Counts the row's peers in.
    pub(super) cumulative: bool,
    pub(super) order: usize,
}

impl Function for Share {
    fn evaluate(&mut self, unit: &Unit) -> Result<ArrayRef> {
        let mut shares = Vec::with_capacity(unit.rows);
        unit.with_peers(Some(self.order), |partition, groups| {
            let rows = partition.len() as f64;
            for group in groups {
                let share = match self.cumulative {
                    true => (group.end - partition.start) as f64 / rows,
                    false => (group.start - partition.start) as f64 / (rows - 1.0).max(1.0),
                };
                shares.extend(std::iter::repeat_n(share, group.len()));
            }
            Ok(())
        })?;
        Ok(Arc::new(Float64Array::from(shares)))
    }
}

/// `ntile` of so many tiles (at least one).
#[derive(Debug)]
pub(super) struct Ntile(pub(super) u64);

impl Function for Ntile {
    fn evaluate(&mut self, unit: &Unit) -> Result<ArrayRef> {
        let mut tiles = Vec::with_capacity(unit.rows);
        for partition in unit.partitions() {
            // The first tiles are a row larger, as many as there are rows too many.
            let rows = partition.len() as u64;
            let (size, larger) = (rows / self.0, rows % self.0);
            for tile in 1..=self.0.min(rows) {
                let size = size + u64::from(tile <= larger);
                tiles.extend(std::iter::repeat_n(tile, size as usize));
            }
        }
        Ok(Arc::new(UInt64Array::from(tiles)))
    }
}
