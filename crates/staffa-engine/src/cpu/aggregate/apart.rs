//! Runs that share no key: their groups are complete as they are, and need no table to meet in.
//!
//! Rows often come in the order of a key (facts by their id or by time), or nearly: then a lane's table, each time that
//! it is full, holds keys that nobody else has, but for those that were being read when it filled up.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::compute::{cast, filter, max, min, not};
use arrow::datatypes::{DataType, Int64Type, Schema};
use datafusion_common::Result;
use rayon::prelude::*;

use super::partition::Run;
use super::plan::Evaluated;
use crate::CancelFlag;

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
pub(super) fn stretches(integers: &ArrayRef) -> Result<Vec<(usize, usize)>> {
    /// A leap is a part of the range.
    const LEAP: u64 = 4;
    const MOST_LEAPS: usize = 8;
    let rows = integers.len();
    let Some((low, high)) = ends(integers)? else {
        return Ok(vec![(0, rows)]);
    };
    let integers = cast(integers, &DataType::Int64)?;
    let leap = (high.abs_diff(low) / LEAP).max(1);
    let pairs = integers.as_primitive::<Int64Type>().values().windows(2).zip(1..);
    let leaps = pairs.filter(|(pair, _)| pair[0].abs_diff(pair[1]) > leap).map(|(_, at)| at);
    let cuts: Vec<usize> = leaps.take(MOST_LEAPS + 1).collect();
    if cuts.len() > MOST_LEAPS {
        return Ok(vec![(0, rows)]);
    }
    let starts = std::iter::once(0).chain(cuts.iter().copied());
    Ok(starts.zip(cuts.iter().copied().chain([rows])).collect())
}

/// Whether a lane's keys come in some order.
#[derive(Default)]
pub(super) struct Order {
    /// Of the first morsel that the table holds.
    first: Option<Ends>,
    /// A run met keys of another before.
    pub(super) lost: bool,
}

impl Order {
    /// Looks at the first morsel of a table, or at the one that filled it: whether that has none of the first one's keys.
    ///
    /// # Errors
    /// Arrow's.
    pub(super) fn see(&mut self, input: &Evaluated, ranged: usize, full: bool) -> Result<bool> {
        let [keys] = input.keys.as_slice() else { return Ok(false) };
        if self.lost {
            return Ok(false);
        }
        let seen = ends(&keys[ranged])?;
        if !full {
            self.first = seen;
            return Ok(false);
        }
        Ok(self.first.zip(seen).is_some_and(|(first, last)| first.1 < last.0 || last.1 < first.0))
    }

    /// A run with these ends joins others.
    pub(super) fn keeps(&mut self, ends: Option<Ends>, others: &[Run]) {
        if self.lost {
            return;
        }
        let overlaps = |(low, high): Ends| {
            let others = others.iter().filter_map(|other| other.ends);
            others.into_iter().any(|other| low < other.1 && other.0 < high)
        };
        self.lost = ends.is_none_or(overlaps);
    }
}

/// What becomes of a run.
pub(super) enum Part {
    /// Its groups must meet those of others.
    Together,
    /// Its groups are complete, in columns of the state schema, but for the rest, which must meet others.
    Complete(Vec<ArrayRef>, Option<Vec<ArrayRef>>),
}

/// Sorts out `runs` by their column `ranged`; none where nothing is complete.
///
/// # Errors
/// Arrow's; a cancelled query's.
pub(super) fn sort_out(
    runs: &[&Run],
    ranged: Option<usize>,
    cancel: &CancelFlag,
) -> Result<Option<Vec<Part>>> {
    let ends: Option<Vec<Ends>> = runs.iter().map(|run| run.ends).collect();
    let (Some(ranged), Some(ends)) = (ranged, ends) else {
        return Ok(None);
    };
    let lone = lone(&ends);
    let completes = |lone: &Lone| matches!(lone, Lone::But(run, _) if runs[*run].unique);
    if !lone.iter().any(completes) {
        return Ok(None);
    }
    let parts = lone.into_par_iter().map(|lone| {
        cancel.check()?;
        Ok(match lone {
            Lone::But(run, shared) if runs[run].unique => (run, cut(runs[run], ranged, &shared)?),
            Lone::But(run, _) | Lone::No(run) => (run, Part::Together),
        })
    });
    let mut parts = parts.collect::<Result<Vec<(usize, Part)>>>()?;
    // The rows of a group meet in the order of runs.
    parts.sort_unstable_by_key(|(run, _)| *run);
    Ok(Some(parts.into_iter().map(|(_, part)| part).collect()))
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

/// A run's rows, and apart from them those of some keys.
fn cut(run: &Run, ranged: usize, keys: &[i64]) -> Result<Part> {
    let columns = run.columns()?;
    if keys.is_empty() {
        return Ok(Part::Complete(columns, None));
    }
    let key = cast(&columns[ranged], &DataType::Int64)?;
    let values = key.as_primitive::<Int64Type>().values();
    let shared: BooleanArray = values.iter().map(|value| Some(keys.contains(value))).collect();
    let own = not(&shared)?;
    // Slices would hold, and be charged for, all of it.
    let rows = |of: &BooleanArray| -> Result<Vec<ArrayRef>> {
        columns.iter().map(|column| Ok(filter(column, of)?)).collect()
    };
    Ok(Part::Complete(rows(&own)?, Some(rows(&shared)?)))
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
        assert_eq!(cut(vec![]), [(0, 0)]);
        assert_eq!(cut(vec![7, 7, 8]), [(0, 3)]);
        assert_eq!(cut((0..50).chain(900..1000).collect()), [(0, 50), (50, 150)]);
        assert_eq!(cut((900..950).chain((0..50).rev()).collect()), [(0, 50), (50, 100)]);
        let wild = (0..100).map(|i| i * 7919 % 100).collect();
        assert_eq!(cut(wild), [(0, 100)], "no order at all");
        assert_eq!(cut(vec![i64::MIN, i64::MAX]), [(0, 1), (1, 2)]);
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
