//! Rows of a morsel on their way through a scan's tests.

use std::sync::Arc;

use arrow::array::{BooleanArray, UInt32Array};
use datafusion::common::Result;
use staffa_engine::Morsel;
use staffa_engine::cpu::predicate::{Predicate, spread};
use staffa_parquet::Selection;

use super::advisory::Advice;

/// Below one row in so many, the columns that no predicate reads are decoded for the rows that
/// pass only. Above, decoding all of a page's values at once is faster than jumping between them.
pub(super) const SPARSE: usize = 8;

/// A test looks at all rows while more than so many of eight have passed the ones before: then picking
/// out those costs more than testing the others.
const DENSE_EIGHTHS: usize = 6;

/// Rows that passed so far, and their columns.
pub(super) struct Left {
    pub(super) morsel: Morsel,
    /// The rows of the morsel.
    pub(super) rows: Selection,
    /// Which of them passed; `None` for all.
    pub(super) mask: Option<BooleanArray>,
}

impl Left {
    /// All of `rows`.
    pub(super) fn all(morsel: Morsel, rows: Selection) -> Self {
        Self { morsel, rows, mask: None }
    }

    /// Keeps the rows that are set in `mask` too; takes them out of the others where they are few.
    ///
    /// # Errors
    /// Arrow's.
    pub(super) fn keep(&mut self, mask: &BooleanArray) -> Result<()> {
        let mask = match &self.mask {
            Some(before) => BooleanArray::new(before.values() & mask.values(), None),
            None => mask.clone(),
        };
        let kept = mask.true_count();
        if kept > 0 && kept < mask.len() / SPARSE {
            self.morsel = self.morsel.filter(&mask)?;
            self.rows = self.rows.filter(mask.values());
            self.mask = None;
        } else {
            self.mask = (kept < mask.len()).then_some(mask);
        }
        Ok(())
    }

    /// Keeps the rows that pass `tests`, and notes in `advice` how many do. All rows of the morsel are tested.
    ///
    /// # Errors
    /// The tests'.
    pub(super) fn keep_tested(&mut self, tests: Option<&Predicate>, advice: &Advice) -> Result<()> {
        let Some(tests) = tests else {
            return Ok(());
        };
        let mask = tests.mask(&self.morsel)?;
        advice.learn_tests(mask.len(), mask.true_count());
        self.keep(&mask)
    }

    /// Keeps the rows that pass `test`; gives how many were tested, and how many of them passed.
    ///
    /// # Errors
    /// The test's.
    pub(super) fn test(
        &mut self,
        test: impl Fn(&Morsel) -> Result<BooleanArray>,
    ) -> Result<(usize, usize)> {
        let before = self.count();
        let dense = before * 8 >= self.morsel.rows() * DENSE_EIGHTHS;
        let mask = match &self.mask {
            Some(mask) if !dense => {
                let numbers = UInt32Array::from_iter_values(mask.values().set_indices_u32());
                let numbers = Arc::new(numbers);
                let passed = test(&self.morsel.select(&numbers)?)?;
                BooleanArray::new(spread(&numbers, passed.values(), mask.len()), None)
            }
            _ => test(&self.morsel)?,
        };
        self.keep(&mask)?;
        Ok((before, self.count()))
    }

    /// Whether a row is left.
    pub(super) fn any(&self) -> bool {
        self.mask.as_ref().is_none_or(BooleanArray::has_true)
    }

    fn count(&self) -> usize {
        self.mask.as_ref().map_or(self.morsel.rows(), BooleanArray::true_count)
    }
}
