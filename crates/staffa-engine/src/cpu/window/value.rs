//! Functions that pick another row's value: `lag`, `lead`, `first_value`, `last_value`, `nth_value`.

use std::ops::Range;

use arrow::array::{ArrayRef, UInt64Array, UInt64Builder};
use arrow::compute::{interleave, take};
use datafusion_common::{Result, ScalarValue, internal_datafusion_err};

use super::frame::Frame;
use super::function::{Function, Needs};
use super::unit::Unit;
use crate::bound::BoundExpr;

/// `lag` (a shift of more than 0) or `lead`, NULLs counted like other values.
#[derive(Debug)]
pub(super) struct Shift {
    pub(super) value: BoundExpr,
    /// From which row before the current one, or behind it where negative.
    pub(super) by: i64,
    /// Where there is no such row.
    pub(super) default: ScalarValue,
}

impl Function for Shift {
    fn evaluate(&mut self, unit: &Unit) -> Result<ArrayRef> {
        let values = self.value.array(&unit.morsel)?;
        let distance = usize::try_from(self.by.unsigned_abs()).unwrap_or(usize::MAX);
        // The rows whose value is asked for, and the ones that ask for them.
        let ends = |partition: &Range<usize>| {
            let missing = distance.min(partition.len());
            match self.by > 0 {
                true => (missing, partition.start..partition.end - missing, 0),
                false => (0, partition.start + missing..partition.end, missing),
            }
        };
        if !self.default.is_null() {
            let mut rows = Vec::with_capacity(unit.rows);
            for partition in unit.partitions() {
                let (before, asked, behind) = ends(&partition);
                rows.extend(std::iter::repeat_n((1, 0), before));
                rows.extend(asked.map(|row| (0, row)));
                rows.extend(std::iter::repeat_n((1, 0), behind));
            }
            let default = self.default.to_array_of_size(1)?;
            return Ok(interleave(&[values.as_ref(), default.as_ref()], &rows)?);
        }
        let mut rows = UInt64Builder::with_capacity(unit.rows);
        for partition in unit.partitions() {
            let (before, asked, behind) = ends(&partition);
            rows.append_nulls(before);
            rows.extend(asked.map(|row| Some(row as u64)));
            rows.append_nulls(behind);
        }
        Ok(take(values.as_ref(), &rows.finish(), None)?)
    }
}

/// Which row of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pick {
    /// So many rows behind the first.
    FromFirst(usize),
    /// So many rows before the last.
    FromLast(usize),
}

impl Pick {
    fn of(self, frame: Range<usize>) -> Option<u64> {
        let row = match self {
            Self::FromFirst(by) => frame.start.checked_add(by)?,
            Self::FromLast(by) => frame.end.checked_sub(by.checked_add(1)?)?,
        };
        frame.contains(&row).then_some(row as u64)
    }
}

/// The value in a certain row of the frame, NULLs counted like other values.
#[derive(Debug)]
pub(super) struct Nth {
    pub(super) value: BoundExpr,
    pub(super) frame: Frame,
    /// Of the peers, where the frame asks for them.
    pub(super) order: Option<usize>,
    pub(super) pick: Pick,
    /// The first value of the open partition, where it comes in parts.
    pub(super) first: Option<ArrayRef>,
}

impl Function for Nth {
    fn evaluate(&mut self, unit: &Unit) -> Result<ArrayRef> {
        let values = self.value.array(&unit.morsel)?;
        let mut rows: Vec<Option<u64>> = Vec::with_capacity(unit.rows);
        let pick = |row, partition: &Range<usize>, peers: &Range<usize>| {
            self.pick.of(self.frame.range(row, partition, peers))
        };
        if self.frame == Frame::WHOLE {
            for partition in unit.partitions() {
                let row = pick(partition.start, &partition, &partition);
                rows.extend(std::iter::repeat_n(row, partition.len()));
            }
        } else {
            unit.with_peers(self.order, |partition, groups| {
                for peers in groups {
                    rows.extend(peers.clone().map(|row| pick(row, &partition, &peers)));
                }
                Ok(())
            })?;
        }
        if self.needs() == Needs::Partition || self.pick != Pick::FromFirst(0) {
            return Ok(take(values.as_ref(), &UInt64Array::from(rows), None)?);
        }
        let before = self.first.take().filter(|_| unit.partitions.continues);
        let last = unit.partitions().last().map_or(0, |partition| partition.start);
        let goes_on = before.is_some() && unit.partitions.starts.len() == 1;
        self.first = if goes_on { before.clone() } else { Some(values.slice(last, 1)) };
        let Some(before) = before else {
            return Ok(take(values.as_ref(), &UInt64Array::from(rows), None)?);
        };
        // Of the first partition all rows have the value that came before.
        let own = unit.partitions.starts.get(1).copied().unwrap_or(unit.rows);
        let first = vec![Some((0, 0)); own];
        let places = rows[own..].iter().map(|row| row.map(|row| (1, row as usize)));
        let places: Option<Vec<(usize, usize)>> = first.into_iter().chain(places).collect();
        let places = places.ok_or_else(|| internal_datafusion_err!("an empty frame"))?;
        Ok(interleave(&[before.as_ref(), values.as_ref()], &places)?)
    }

    fn needs(&self) -> Needs {
        match self.pick {
            // The last row of a frame that ends here, or the first of all.
            Pick::FromLast(0) | Pick::FromFirst(0) => self.frame.needs(),
            _ => Needs::Partition,
        }
    }
}
