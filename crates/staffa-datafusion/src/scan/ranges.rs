//! Which ranges of a row group's rows become morsels of a device.
//!
//! A morsel is one range, since a decode is. Where the page index leaves many, the ones with the least
//! between them are decoded as one, and the device drops the rows in between by their numbers: few morsels,
//! and few rows too many.

use std::ops::Range;

use parquet::arrow::arrow_reader::{RowSelection, RowSelector};

use super::open::GroupToRead;

/// The most rows of a device morsel. Larger row groups are several.
pub(super) const MORSEL_ROWS: u64 = 1 << 21;
/// The most ranges of a row group that are morsels of their own.
const MOST_RANGES: usize = 16;
/// Rows that may be decoded for each one that is selected. Scattered further, the CPU reads only their pages.
const MOST_PER_SELECTED: u64 = 4;

/// A range of rows to decode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    /// What is decoded.
    pub(super) rows: Range<u64>,
    /// Of it, counted from the first: what is selected; `None` for all.
    pub(super) picked: Option<Vec<u32>>,
}

/// The selected ranges of rows, ascending, as pieces; `None` where they lie too far apart for a device.
pub(super) fn pieces(selected: &[Range<u64>]) -> Option<Vec<Piece>> {
    let groups = neighbours(selected);
    let length = |rows: &Range<u64>| rows.end - rows.start;
    let decoded: u64 = groups.iter().map(|group| length(&hull(group))).sum();
    if decoded > selected.iter().map(length).sum::<u64>().saturating_mul(MOST_PER_SELECTED) {
        return None;
    }
    Some(groups.into_iter().flat_map(cut).collect())
}

/// Ranges that are decoded together: split where most lies in between.
fn neighbours(selected: &[Range<u64>]) -> Vec<&[Range<u64>]> {
    if selected.len() <= MOST_RANGES {
        return selected.chunks(1).collect();
    }
    let gap = |at: &usize| selected[*at].start - selected[at - 1].end;
    let mut splits: Vec<usize> = (1..selected.len()).collect();
    splits.sort_by_key(|at| std::cmp::Reverse(gap(at)));
    splits.truncate(MOST_RANGES - 1);
    splits.sort_unstable();
    let ends = splits.iter().copied().chain([selected.len()]);
    let starts = [0].into_iter().chain(splits.iter().copied());
    starts.zip(ends).map(|(start, end)| &selected[start..end]).collect()
}

/// From the first row of some ranges to the last.
fn hull(ranges: &[Range<u64>]) -> Range<u64> {
    match (ranges.first(), ranges.last()) {
        (Some(first), Some(last)) => first.start..last.end,
        _ => 0..0,
    }
}

/// Ranges that are decoded together, in pieces that a morsel may have.
fn cut(ranges: &[Range<u64>]) -> Vec<Piece> {
    let whole = hull(ranges);
    let starts = (whole.start..whole.end).step_by(MORSEL_ROWS as usize);
    let pieces = starts.map(|start| start..whole.end.min(start + MORSEL_ROWS));
    if ranges.len() == 1 {
        return pieces.map(|rows| Piece { rows, picked: None }).collect();
    }
    let picked = |rows: Range<u64>| {
        let inside = |part: &Range<u64>| part.start.max(rows.start)..part.end.min(rows.end);
        // Below MORSEL_ROWS.
        let numbers = ranges.iter().flat_map(inside).map(|row| (row - rows.start) as u32);
        let numbers: Vec<u32> = numbers.collect();
        (!numbers.is_empty()).then(|| Piece { rows: rows.clone(), picked: Some(numbers) })
    };
    pieces.filter_map(picked).collect()
}

/// The row group, of it the rows that pieces decode: what has to be fetched.
pub(super) fn fetched(group: &GroupToRead, pieces: &[Piece]) -> GroupToRead {
    if group.rows.is_none() || pieces.iter().all(|piece| piece.picked.is_none()) {
        return group.clone();
    }
    let mut at = 0;
    let mut selectors = Vec::with_capacity(pieces.len() * 2);
    for Piece { rows, .. } in pieces {
        selectors.push(RowSelector::skip(count(rows.start - at)));
        selectors.push(RowSelector::select(count(rows.end - rows.start)));
        at = rows.end;
    }
    GroupToRead { index: group.index, rows: Some(RowSelection::from(selectors)) }
}

/// Some rows, ascending, counted from row `start` of a row group.
pub(super) fn selection(start: u64, rows: &[u32]) -> RowSelection {
    let mut selectors = vec![RowSelector::skip(count(start))];
    let mut next = 0;
    for run in rows.chunk_by(|a, b| a + 1 == *b) {
        let first = run.first().copied().unwrap_or(next);
        selectors.push(RowSelector::skip((first - next) as usize));
        selectors.push(RowSelector::select(run.len()));
        next = first + run.len() as u32;
    }
    RowSelection::from(selectors)
}

impl Piece {
    /// Of a row group, the piece's selected rows.
    pub(super) fn of(&self, group: &GroupToRead) -> GroupToRead {
        match &self.picked {
            None => group.part(&self.rows),
            Some(picked) => {
                GroupToRead { index: group.index, rows: Some(selection(self.rows.start, picked)) }
            }
        }
    }
}

fn count(rows: u64) -> usize {
    usize::try_from(rows).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::rows::Cursor;

    /// All rows that pieces select, as numbers of the row group.
    fn selected(pieces: &[Piece]) -> Vec<u64> {
        let rows = |piece: &Piece| match &piece.picked {
            None => piece.rows.clone().collect::<Vec<u64>>(),
            Some(picked) => picked.iter().map(|row| piece.rows.start + u64::from(*row)).collect(),
        };
        pieces.iter().flat_map(rows).collect()
    }

    #[test]
    fn few_ranges_are_morsels_of_their_own() {
        let ranges: Vec<Range<u64>> = (0..16).map(|at| at * 1000..at * 1000 + 10).collect();
        let pieces = pieces(&ranges).expect("few");
        assert_eq!(pieces.iter().map(|piece| piece.rows.clone()).collect::<Vec<_>>(), ranges);
        assert!(pieces.iter().all(|piece| piece.picked.is_none()));
        let large = cut(std::slice::from_ref(&(3..3 + 2 * MORSEL_ROWS + 1)));
        assert_eq!(large.len(), 3);
        assert_eq!(large[2].rows, 3 + 2 * MORSEL_ROWS..4 + 2 * MORSEL_ROWS);
        assert_eq!(super::pieces(&[]), Some(vec![]));
    }

    #[test]
    fn many_ranges_are_joined_where_least_lies_between() {
        // Twenty clusters of three; within, 10 rows between 20 and 20.
        let ranges: Vec<Range<u64>> =
            (0..60).map(|at| at / 3 * 200 + at % 3 * 30).map(|start| start..start + 20).collect();
        let pieces = pieces(&ranges).expect("near enough");
        assert_eq!(pieces.len(), MOST_RANGES);
        assert!(pieces.iter().all(|piece| piece.rows.end - piece.rows.start >= 80));
        let all: Vec<u64> = ranges.iter().cloned().flatten().collect();
        assert_eq!(selected(&pieces), all);
        let group = GroupToRead { index: 0, rows: Some(selection(0, &[1])) };
        let rows = fetched(&group, &pieces).rows.expect("a selection");
        let fetched = Cursor::new(10_000, Some(&rows)).take(usize::MAX);
        let hulls: Vec<Range<u64>> = pieces.iter().map(|piece| piece.rows.clone()).collect();
        assert_eq!(fetched.ranges(), hulls);
        for piece in &pieces {
            let rows = piece.of(&group).rows.expect("a selection");
            let own: Vec<u64> = Cursor::new(10_000, Some(&rows))
                .take(usize::MAX)
                .ranges()
                .iter()
                .cloned()
                .flatten()
                .collect();
            assert_eq!(own, selected(std::slice::from_ref(piece)));
        }
    }

    #[test]
    fn what_is_scattered_is_the_cpus() {
        let ranges: Vec<Range<u64>> = (0..100).map(|at| at * 1000..at * 1000 + 20).collect();
        assert_eq!(pieces(&ranges), None);
        let denser: Vec<Range<u64>> = (0..100).map(|at| at * 1000..at * 1000 + 300).collect();
        assert!(pieces(&denser).is_some());
    }
}
