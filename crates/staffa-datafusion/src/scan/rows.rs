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
    fn takes_all_without_a_selection() {
        let mut cursor = Cursor::new(5, None);
        assert_eq!(cursor.take(3).bounds(), Some(0..3));
        assert_eq!(cursor.take(3).bounds(), Some(3..5));
        assert!(cursor.take(3).is_empty());
        assert!(Cursor::new(0, None).take(3).is_empty());
    }
}
