//! Frames whose ends are found from positions alone.

use std::ops::Range;

use super::function::Needs;
use datafusion_common::ScalarValue;
use datafusion_expr::{WindowFrame, WindowFrameBound, WindowFrameUnits};

/// One end of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    /// The partition's.
    Partition,
    /// That of the row's peers.
    Peers,
    /// So many rows behind the current one (before it, if negative).
    Rows(i64),
}

/// Which rows a row's frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) start: Bound,
    pub(super) end: Bound,
}

/// Offsets beyond this are left to DataFusion, so that adding them to a row's number cannot overflow.
const MOST_ROWS: u64 = 1 << 40;

impl Frame {
    /// Every row of the partition.
    pub(super) const WHOLE: Frame = Frame { start: Bound::Partition, end: Bound::Partition };

    /// `frame`, of a window that has an ORDER BY or not. `None` where the values of the order decide
    /// (an offset of RANGE) or groups of peers are counted (an offset of GROUPS).
    pub(super) fn of(frame: &WindowFrame, ordered: bool) -> Option<Self> {
        if frame.units == WindowFrameUnits::Groups && !ordered {
            return None;
        }
        let bound = |bound: &WindowFrameBound| match bound {
            bound if bound.is_unbounded() => Some(Bound::Partition),
            WindowFrameBound::CurrentRow if frame.units == WindowFrameUnits::Rows => {
                Some(Bound::Rows(0))
            }
            // Without an order all rows are peers.
            WindowFrameBound::CurrentRow if ordered => Some(Bound::Peers),
            WindowFrameBound::CurrentRow => Some(Bound::Partition),
            _ if frame.units != WindowFrameUnits::Rows => None,
            WindowFrameBound::Preceding(rows) => Some(Bound::Rows(-offset(rows)?)),
            WindowFrameBound::Following(rows) => Some(Bound::Rows(offset(rows)?)),
        };
        let start = match &frame.start_bound {
            WindowFrameBound::Following(rows) if rows.is_null() => return None,
            start => bound(start)?,
        };
        let end = match &frame.end_bound {
            WindowFrameBound::Preceding(rows) if rows.is_null() => return None,
            end => bound(end)?,
        };
        // DataFusion has no answer for a frame that ends before it starts.
        match (start, end) {
            (Bound::Rows(start), Bound::Rows(end)) if start > end => None,
            _ => Some(Self { start, end }),
        }
    }

    /// The frame of `row`, which lies in `partition` and among `peers`. Never out of the partition.
    pub(super) fn range(
        self,
        row: usize,
        partition: &Range<usize>,
        peers: &Range<usize>,
    ) -> Range<usize> {
        let start = match self.start {
            Bound::Partition => partition.start,
            Bound::Peers => peers.start,
            Bound::Rows(by) => shifted(row, by, partition),
        };
        let end = match self.end {
            Bound::Partition => partition.end,
            Bound::Peers => peers.end,
            Bound::Rows(by) => shifted(row, by + 1, partition),
        };
        start..end
    }

    /// What of the partition must be known for a row's value, where the function keeps what it needs of the rows
    /// before.
    pub(super) fn needs(self) -> Needs {
        match (self.start, self.end) {
            (Bound::Partition, Bound::Rows(0)) => Needs::Earlier,
            (Bound::Partition, Bound::Peers) => Needs::Peers,
            _ => Needs::Partition,
        }
    }

    /// Whether either end asks for the row's peers.
    pub(super) fn reads_peers(self) -> bool {
        self.start == Bound::Peers || self.end == Bound::Peers
    }
}

fn offset(rows: &ScalarValue) -> Option<i64> {
    match rows {
        ScalarValue::UInt64(Some(rows)) if *rows <= MOST_ROWS => i64::try_from(*rows).ok(),
        _ => None,
    }
}

fn shifted(row: usize, by: i64, within: &Range<usize>) -> usize {
    let distance = by.unsigned_abs() as usize;
    if by < 0 {
        // Not `row - distance`: the row may stand near the front of everything.
        if row - within.start < distance { within.start } else { row - distance }
    } else if within.end - row < distance {
        within.end
    } else {
        row + distance
    }
}
