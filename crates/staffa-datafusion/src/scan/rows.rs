//! Walking through the selected rows of a row group.

use std::collections::VecDeque;
use std::ops::Range;

use parquet::arrow::arrow_reader::RowSelection;
use staffa_parquet::Selection;

/// The rows that are left to read.
pub(super) struct Cursor {
    left: VecDeque<Range<u64>>,
}

impl Cursor {
    /// All rows of a row group of `rows` rows, or the selected ones.
    pub(super) fn new(rows: i64, selected: Option<&RowSelection>) -> Self {
        let rows = u64::try_from(rows).unwrap_or(0);
        let mut left = VecDeque::new();
        match selected {
            None if rows > 0 => left.push_back(0..rows),
            None => {}
            Some(selection) => {
                let mut at = 0_u64;
                for part in selection.iter() {
                    let end = at.saturating_add(part.row_count as u64).min(rows);
                    if !part.skip && end > at {
                        left.push_back(at..end);
                    }
                    at = end;
                }
            }
        }
        Self { left }
    }

    /// The next `count` rows, or as many as there are.
    pub(super) fn take(&mut self, count: usize) -> Selection {
        let mut wanted = count as u64;
        let mut taken = Selection::none();
        while wanted > 0
            && let Some(range) = self.left.front_mut()
        {
            let end = range.end.min(range.start.saturating_add(wanted));
            taken.push(range.start..end);
            wanted -= end - range.start;
            if end == range.end {
                self.left.pop_front();
            } else {
                range.start = end;
            }
        }
        taken
    }

    /// Rows that are left.
    pub(super) fn len(&self) -> u64 {
        self.left.iter().map(|range| range.end - range.start).sum()
    }

    /// Leaves no rows.
    pub(super) fn clear(&mut self) {
        self.left.clear();
    }

    /// Takes the second half of the rows that are left off, unless a half has fewer than `least`.
    pub(super) fn split(&mut self, least: u64) -> Option<Self> {
        let rows = self.len();
        if rows / 2 < least.max(1) {
            return None;
        }
        let mut stays = rows - rows / 2;
        let mut at = 0;
        while self.left[at].end - self.left[at].start <= stays {
            stays -= self.left[at].end - self.left[at].start;
            at += 1;
        }
        let mut taken = self.left.split_off(at);
        if stays > 0 {
            let middle = taken[0].start + stays;
            self.left.push_back(taken[0].start..middle);
            taken[0].start = middle;
        }
        Some(Self { left: taken })
    }
}

#[cfg(test)]
mod tests {
    use parquet::arrow::arrow_reader::RowSelector;

    use super::*;

    #[test]
    fn takes_across_gaps_in_order() {
        let selection = RowSelection::from(vec![
            RowSelector::skip(2),
            RowSelector::select(3),
            RowSelector::skip(1),
            RowSelector::select(10),
        ]);
        let mut cursor = Cursor::new(12, Some(&selection));
        assert_eq!(cursor.take(4).ranges(), [2..5, 6..7]);
        assert_eq!(cursor.take(100).bounds(), Some(7..12));
        assert!(cursor.take(1).is_empty());
    }

    #[test]
    fn splits_in_halves_that_together_are_all() {
        // As pairs of (first, end).
        let parts = |cursor: &mut Cursor| -> Vec<(u64, u64)> {
            cursor.take(usize::MAX).ranges().iter().map(|rows| (rows.start, rows.end)).collect()
        };
        let selection = RowSelection::from(vec![
            RowSelector::select(3),
            RowSelector::skip(2),
            RowSelector::select(4),
            RowSelector::skip(1),
            RowSelector::select(3),
        ]);
        let mut first = Cursor::new(13, Some(&selection));
        let mut second = first.split(5).expect("ten rows are two halves of five");
        assert_eq!(parts(&mut first), [(0, 3), (5, 7)]);
        assert_eq!(parts(&mut second), [(7, 9), (10, 13)]);

        let mut first = Cursor::new(13, Some(&selection));
        first.take(4);
        let mut second = first.split(1).expect("six rows are left");
        assert_eq!((first.len(), second.len()), (3, 3));
        assert_eq!(parts(&mut first), [(6, 9)]);
        assert_eq!(parts(&mut second), [(10, 13)]);

        let mut odd = Cursor::new(7, None);
        let mut second = odd.split(3).expect("seven rows are four and three");
        assert_eq!((parts(&mut odd), parts(&mut second)), (vec![(0, 4)], vec![(4, 7)]));
        assert!(Cursor::new(7, None).split(4).is_none());
        assert!(Cursor::new(1, None).split(0).is_none());
        assert!(Cursor::new(0, None).split(0).is_none());
    }

    #[test]
    fn takes_all_without_a_selection() {
        let mut cursor = Cursor::new(5, None);
        assert_eq!(cursor.take(3).bounds(), Some(0..3));
        assert_eq!(cursor.take(3).bounds(), Some(3..5));
        assert!(cursor.take(3).is_empty());
        assert!(Cursor::new(0, None).take(3).is_empty());
    }
}
