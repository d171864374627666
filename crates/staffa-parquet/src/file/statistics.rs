//! Statistics of row groups and pages as Arrow arrays: what a pruning predicate is evaluated on.

use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::array::{ArrayRef, UInt64Array};
use arrow::datatypes::Field;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;

use crate::error::{Error, Flaw, Result};
use crate::file::footer::Footer;
use crate::file::locations;

/// Smallest and largest values, one slot per row group or page. A slot is NULL where the file does
/// not say; a value may be beyond the true one (truncated strings), never inside.
///
/// Statistics are claims of the file: a wrong one prunes rows that a full scan would find, as it
/// does in every reader that uses them.
#[derive(Debug, Clone)]
pub struct ColumnStatistics {
    /// Lower bounds, of the field's type.
    pub mins: ArrayRef,
    /// Upper bounds, of the field's type.
    pub maxes: ArrayRef,
    /// NULLs; NULL where unknown.
    pub null_counts: UInt64Array,
    /// Rows, never NULL.
    pub row_counts: UInt64Array,
}

impl Footer {
    /// Statistics of a leaf column, one slot per row group of `row_groups`, in that order.
    ///
    /// # Errors
    /// `BadInput` when statistics do not fit the column's type.
    pub fn row_group_statistics(
        &self,
        leaf: usize,
        field: &Field,
        row_groups: &[usize],
    ) -> Result<ColumnStatistics> {
        let rows = row_groups.iter().map(|g| self.rows(*g)).collect::<Result<Vec<_>>>()?;
        let groups = || row_groups.iter().map(|g| self.metadata().row_group(*g));
        self.guarded(|| {
            let of = StatisticsConverter::from_column_index(leaf, field, self.leaves())?
                .with_missing_null_counts_as_zero(false);
            Ok(ColumnStatistics {
                mins: of.row_group_mins(groups())?,
                maxes: of.row_group_maxes(groups())?,
                null_counts: of.row_group_null_counts(groups())?,
                row_counts: UInt64Array::from(rows),
            })
        })
    }

    /// Statistics of a leaf column in one row group, one slot per data page, and each page's first
    /// row; `None` when the file has no page index for it.
    ///
    /// # Errors
    /// `BadInput` when the index does not fit the column or the row group.
    pub fn page_statistics(
        &self,
        leaf: usize,
        field: &Field,
        row_group: usize,
    ) -> Result<Option<(ColumnStatistics, Vec<u64>)>> {
        let rows = self.rows(row_group)?;
        let Some(locations) = locations(self, row_group, leaf) else { return Ok(None) };
        let (Some(columns), Some(offsets)) =
            (self.metadata().column_index(), self.metadata().offset_index())
        else {
            return Ok(None);
        };
        let wrong = || {
            let flaw = Flaw::bad(format!("the page index of leaf {leaf} does not fit its rows"));
            flaw.at(self.place(Some(row_group)))
        };
        let mut firsts = Vec::with_capacity(locations.len());
        for l in locations {
            let first = u64::try_from(l.first_row_index).map_err(|_| wrong())?;
            if firsts.last().is_some_and(|p| *p > first) || first > rows {
                return Err(wrong());
            }
            firsts.push(first);
        }
        if firsts.first() != Some(&0) {
            return Err(wrong());
        }
        let ends = firsts.iter().skip(1).copied().chain([rows]);
        let counts: Vec<u64> = ends.zip(&firsts).map(|(e, f)| e - f).collect();
        let statistics = self.guarded(|| {
            let of = StatisticsConverter::from_column_index(leaf, field, self.leaves())?
                .with_missing_null_counts_as_zero(false);
            Ok(ColumnStatistics {
                mins: of.data_page_mins(columns, offsets, [&row_group])?,
                maxes: of.data_page_maxes(columns, offsets, [&row_group])?,
                null_counts: of.data_page_null_counts(columns, offsets, [&row_group])?,
                row_counts: UInt64Array::from(counts),
            })
        })?;
        let slots = statistics.mins.len();
        if slots != firsts.len()
            || statistics.maxes.len() != slots
            || statistics.null_counts.len() != slots
        {
            return Err(wrong());
        }
        Ok(Some((statistics, firsts)))
    }

    /// The converter is another crate's and meets bytes of statistics that nobody checked.
    fn guarded<T>(&self, convert: impl FnOnce() -> parquet::errors::Result<T>) -> Result<T> {
        let bad = |what: String| -> Error { Flaw::bad(what).at(self.place(None)) };
        match catch_unwind(AssertUnwindSafe(convert)) {
            Ok(done) => done.map_err(|e| bad(format!("statistics: {e}"))),
            Err(_) => Err(bad("statistics: malformed (their parser gave up)".into())),
        }
    }
}
