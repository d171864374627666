//! Runs that share no key: their groups are complete as they are, and need no table to meet in.
//!
//! Rows often come in the order of a key (facts by their id or by time), or nearly: then a lane's table, each time that
//! it is full, holds keys that nobody else has, but for those that were being read when it filled up.

use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::compute::{cast, concat, max, min, take};
use arrow::datatypes::{DataType, Int64Type, Schema};
use datafusion_common::Result;

use super::partition::Run;

/// A run with more rows than so many at the ends of its range, which others may have too, meets them all.
const MOST_AT_ENDS: usize = 64;

/// The least and the greatest value of a run's first integer key column.
pub(super) type Ends = (i64, i64);

/// The first of these key columns that has [`Ends`].
pub(super) fn ranged(keys: &Schema) -> Option<usize> {
    keys.fields().iter().position(|key| {
        use DataType::*;
        let whole = key.data_type().is_integer() && *key.data_type() != UInt64;
        whole || matches!(key.data_type(), Date32 | Date64 | Timestamp(..))
    })
}

/// The least and the greatest of integers; none where one is NULL.
///
/// # Errors
/// Arrow's.
pub(super) fn ends(integers: &ArrayRef) -> Result<Option<Ends>> {
    if integers.null_count() > 0 {
        return Ok(None);
    }
    let integers = cast(integers, &DataType::Int64)?;
    let integers = integers.as_primitive::<Int64Type>();
    Ok(min(integers).zip(max(integers)))
}

/// Keys in the order in which they came, cut where they leap: a table that was filled from two places of a file has the
/// keys between them in its range. Keys without order are not cut.
///
/// # Errors
/// Arrow's.
pub(super) fn stretches(integers: &ArrayRef) -> Result<Vec<Range<usize>>> {
    /// A leap is a part of the range.
    const LEAP: u64 = 4;
    const MOST_LEAPS: usize = 8;
    let rows = integers.len();
    let Some((low, high)) = ends(integers)? else {
        return Ok(vec![0..rows]);
    };
    let integers = cast(integers, &DataType::Int64)?;
    let leap = (high.abs_diff(low) / LEAP).max(1);
    let pairs = integers.as_primitive::<Int64Type>().values().windows(2).zip(1..);
    let leaps = pairs.filter(|(pair, _)| pair[0].abs_diff(pair[1]) > leap).map(|(_, at)| at);
    let cuts: Vec<usize> = leaps.take(MOST_LEAPS + 1).collect();
    if cuts.len() > MOST_LEAPS {
        return Ok(vec![0..rows]);
    }
    let starts = std::iter::once(0).chain(cuts.iter().copied());
    Ok(starts.zip(cuts.iter().copied().chain([rows])).map(|(start, end)| start..end).collect())
}

/// Complete groups, and those that must still meet others.
#[derive(Default)]
pub(super) struct Apart {
    /// Columns of the state schema: each row a group, no key twice, and no key in `together`.
    pub(super) complete: Vec<Vec<ArrayRef>>,
    /// Numbers of runs that must meet others.
    pub(super) together: Vec<usize>,
    /// Rows of the other runs that must, too.
    pub(super) rest: Option<Vec<ArrayRef>>,
}

impl Apart {
    /// Sorts out `runs` by their column `ranged`; none where nothing is complete.
    ///
    /// # Errors
    /// Arrow's.
    pub(super) fn of(runs: &[&Run], ranged: Option<usize>) -> Result<Option<Self>> {
        let ends: Option<Vec<Ends>> = runs.iter().map(|run| run.ends).collect();
        let (Some(ranged), Some(ends)) = (ranged, ends) else {
            return Ok(None);
        };
        let mut apart = Self::default();
        let mut rests: Vec<Vec<ArrayRef>> = Vec::new();
        for lone in lone(&ends) {
            match lone {
                Lone::No(run) => apart.together.push(run),
                Lone::But(run, _) if !runs[run].unique => apart.together.push(run),
                Lone::But(run, shared) => match Cut::new(runs[run], ranged, &shared)? {
                    Some(cut) => {
                        apart.complete.extend(cut.complete);
                        rests.extend(cut.rest);
                    }
                    None => apart.together.push(run),
                },
            }
        }
        if apart.complete.is_empty() {
            return Ok(None);
        }
        if let Some(first) = rests.first() {
            let column = |at: usize| {
                let parts: Vec<&dyn Array> = rests.iter().map(|rest| rest[at].as_ref()).collect();
                Ok(concat(&parts)?)
            };
            apart.rest = Some((0..first.len()).map(column).collect::<Result<_>>()?);
        }
        Ok(Some(apart))
    }
}

/// A run, by its number.
#[derive(Debug, PartialEq)]
enum Lone {
    /// Its range overlaps another's.
    No(usize),
    /// No other has a value of its range, but for these at its ends.
    But(usize, Vec<i64>),
}

/// Which ranges overlap.
fn lone(ends: &[Ends]) -> Vec<Lone> {
    let mut order: Vec<usize> = (0..ends.len()).collect();
    order.sort_by_key(|&run| ends[run]);
    let mut out = Vec::with_capacity(ends.len());
    // Runs whose ranges overlap, from one to the next, are a stretch; neighbours share no more than an end.
    let mut at = 0;
    let mut before = None;
    while let Some(&first) = order.get(at) {
        let mut last = ends[first].1;
        let mut end = at + 1;
        while let Some(&next) = order.get(end).filter(|&&next| ends[next].0 < last) {
            last = last.max(ends[next].1);
            end += 1;
        }
        if end - at > 1 {
            out.extend(order[at..end].iter().map(|&run| Lone::No(run)));
        } else {
            let (low, high) = ends[first];
            let behind = order.get(end).map(|&next| ends[next].0);
            let mut shared = Vec::new();
            shared.extend(before.filter(|&before| before == low));
            shared.extend(behind.filter(|&behind| behind == high));
            shared.dedup();
            out.push(Lone::But(first, shared));
        }
        (at, before) = (end, Some(last));
    }
    out
}

/// A run's rows without those of some keys.
struct Cut {
    complete: Vec<Vec<ArrayRef>>,
    rest: Option<Vec<ArrayRef>>,
}

impl Cut {
    /// None where too many rows have these keys.
    fn new(run: &Run, ranged: usize, keys: &[i64]) -> Result<Option<Self>> {
        let columns = run.columns()?;
        let whole = |columns| Some(Self { complete: vec![columns], rest: None });
        if keys.is_empty() {
            return Ok(whole(columns));
        }
        let key = cast(&columns[ranged], &DataType::Int64)?;
        let values = key.as_primitive::<Int64Type>().values();
        let rows = values.iter().zip(0_u32..).filter(|(value, _)| keys.contains(value));
        let cut: Vec<u32> = rows.map(|(_, row)| row).take(MOST_AT_ENDS + 1).collect();
        if cut.len() > MOST_AT_ENDS {
            return Ok(None);
        }
        let mut complete = Vec::with_capacity(cut.len() + 1);
        let mut from = 0;
        for end in cut.iter().map(|&row| row as usize).chain([values.len()]) {
            if end > from {
                complete.push(columns.iter().map(|c| c.slice(from, end - from)).collect());
            }
            from = end + 1;
        }
        let cut = UInt32Array::from(cut);
        let rest = columns.iter().map(|c| Ok(take(c, &cut, None)?)).collect::<Result<_>>()?;
        Ok(Some(Self { complete, rest: Some(rest) }))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Int64Array;

    use super::*;

    #[test]
    fn keys_are_cut_where_they_leap() {
        let cut = |keys: Vec<i64>| {
            let keys: ArrayRef = Arc::new(Int64Array::from(keys));
            stretches(&keys).unwrap()
        };
        assert_eq!(cut(vec![]), [0..0]);
        assert_eq!(cut(vec![7, 7, 8]), [0..3]);
        assert_eq!(cut((0..50).chain(900..1000).collect()), [0..50, 50..150]);
        assert_eq!(cut((900..950).chain((0..50).rev()).collect()), [0..50, 50..100]);
        let wild = (0..100).map(|i| i * 7919 % 100).collect();
        assert_eq!(cut(wild), [0..100], "no order at all");
        assert_eq!(cut(vec![i64::MIN, i64::MAX]), [0..1, 1..2]);
    }

    #[test]
    fn ranges_that_share_an_end_at_most_are_lone() {
        use Lone::{But, No};
        assert_eq!(lone(&[]), []);
        assert_eq!(lone(&[(1, 5)]), [But(0, vec![])]);
        assert_eq!(lone(&[(6, 9), (1, 5)]), [But(1, vec![]), But(0, vec![])]);
        let touching = [(5, 9), (1, 5), (9, 9), (9, 12), (20, 20)];
        assert_eq!(
            lone(&touching),
            [But(1, vec![5]), But(0, vec![5, 9]), But(2, vec![9]), But(3, vec![9]), But(4, vec![])]
        );
        // One spans two others, and touches a third.
        let spanning = [(0, 100), (10, 20), (90, 100), (100, 200), (-5, 0)];
        assert_eq!(lone(&spanning), [But(4, vec![0]), No(0), No(1), No(2), But(3, vec![100])]);
        assert_eq!(lone(&[(i64::MIN, i64::MAX), (0, 1)]), [No(0), No(1)]);
        assert_eq!(lone(&[(3, 3), (3, 3)]), [But(0, vec![3]), But(1, vec![3])]);
    }
}
