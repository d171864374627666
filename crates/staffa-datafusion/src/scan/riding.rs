//! Columns that ride along with a device's morsel: the CPU decodes them, for the rows that the device kept.
//!
//! What has no device form (lists, structs, maps, codecs' older framings) does not keep the rest of a file
//! off the device: filter and other columns are done there, and these are decoded when it is known which
//! rows stayed, by the same [`GroupStream`] that reads a row group without a device.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{BooleanArray, BooleanBufferBuilder};
use datafusion::common::{Result, internal_err};
use datafusion::physical_expr::PhysicalExpr;
use staffa_engine::{Morsel, Passed, RunContext};

use super::group::GroupStream;
use super::left::SPARSE;
use super::open::{GroupToRead, OpenFile};
use super::ranges::selection;

/// A device's morsel, and what else belongs to its rows.
pub(super) struct Made {
    /// The device's columns, and constants.
    pub(super) morsel: Morsel,
    /// Where the riding columns come from, if there are any.
    pub(super) riding: Option<Riders>,
    /// The operators behind the scan that the rows have passed.
    pub(super) passed: Option<Passed>,
}

impl Made {
    /// Rows that have passed operators behind the scan.
    pub(super) fn of((morsel, passed): (Morsel, Passed)) -> Self {
        Self { morsel, riding: None, passed: Some(passed) }
    }
}

/// Which rows of which row group the riding columns are decoded for.
pub(super) struct Riders {
    pub(super) file: Arc<OpenFile>,
    /// The row group that the morsel was made from.
    pub(super) index: usize,
    /// Its rows, and those that stayed, counted from the first; all of them without a filter.
    pub(super) rows: Range<u64>,
    pub(super) kept: Option<Vec<u32>>,
    /// What rides, over the file's columns.
    pub(super) exprs: Vec<Arc<dyn PhysicalExpr>>,
    /// Each output of the scan, as a number of the morsel's columns followed by the riding ones.
    pub(super) order: Vec<usize>,
}

/// Puts out a device's morsel in pieces.
pub(super) struct Putting {
    morsel: Morsel,
    done: usize,
    riding: Option<Riding>,
    /// What the next piece tells of the operators that it has passed; the first piece tells it for all.
    passed: Option<Passed>,
}

struct Riding {
    stream: GroupStream,
    /// For every row that `stream` gives, whether it stays; `None` if it gives no other rows.
    mask: Option<(BooleanArray, usize)>,
    order: Vec<usize>,
}

impl Putting {
    /// Reads nothing yet.
    ///
    /// # Errors
    /// Expressions that do not bind.
    pub(super) fn new(made: Made, context: &RunContext) -> Result<Self> {
        let riding = match made.riding {
            Some(riders) if made.morsel.rows() > 0 => Some(riders.open(context)?),
            _ => None,
        };
        Ok(Self { morsel: made.morsel, done: 0, riding, passed: made.passed })
    }

    /// The next piece, of about so many rows: one that fits caches. `None` at the end.
    ///
    /// # Errors
    /// Reading and decoding the riding columns.
    pub(super) async fn next(&mut self, morsel_rows: usize) -> Result<Option<Morsel>> {
        let left = self.morsel.rows() - self.done;
        if let Some(passed) = &mut self.passed {
            let told = Passed { source: 0, operators: vec![0; passed.operators.len()] };
            let told = std::mem::replace(passed, told);
            if left == 0 {
                self.passed = None;
                // Rows that came out nowhere are counted all the same.
                let any = told.source > 0;
                return Ok(any.then(|| self.morsel.clone().with_passed(told)));
            }
            let rows = morsel_rows.min(left);
            let piece = self.morsel.slice(self.done, rows)?;
            self.done += rows;
            return Ok(Some(piece.with_passed(told)));
        }
        if left == 0 {
            return Ok(None);
        }
        let Some(riding) = &mut self.riding else {
            let rows = morsel_rows.min(left);
            let piece = self.morsel.slice(self.done, rows)?;
            self.done += rows;
            return Ok(Some(piece));
        };
        let Some(host) = riding.next().await? else {
            return internal_err!("{left} rows of a device have no riding columns");
        };
        let rows = host.rows();
        if rows > left {
            return internal_err!("{rows} riding rows for {left} of a device");
        }
        let piece = self.morsel.slice(self.done, rows)?.zip(host).project(&riding.order);
        self.done += rows;
        Ok(Some(piece))
    }
}

impl Riders {
    fn open(self, context: &RunContext) -> Result<Riding> {
        let Self { file, index, rows, kept, exprs, order } = self;
        let all = GroupToRead { index, rows: None }.part(&rows);
        let count = rows.end - rows.start;
        let (group, mask) = match kept {
            None => (all, None),
            Some(kept) if (kept.len() as u64) < count / SPARSE as u64 => {
                let rows = Some(selection(rows.start, &kept));
                (GroupToRead { index, rows }, None)
            }
            Some(kept) => (all, Some((mask(count, &kept), 0))),
        };
        let stream = GroupStream::riding(file, group, &exprs, context)?;
        Ok(Riding { stream, mask, order })
    }
}

impl Riding {
    /// The next rows that stayed.
    async fn next(&mut self) -> Result<Option<Morsel>> {
        while let Some(morsel) = self.stream.next().await? {
            let Some((mask, at)) = &mut self.mask else { return Ok(Some(morsel)) };
            let end = *at + morsel.rows();
            if end > mask.len() {
                return internal_err!("{end} riding rows, not {}", mask.len());
            }
            let own = mask.slice(*at, morsel.rows());
            *at = end;
            if own.true_count() > 0 {
                return morsel.filter(&own).map(Some);
            }
        }
        Ok(None)
    }
}

fn mask(rows: u64, kept: &[u32]) -> BooleanArray {
    let rows = usize::try_from(rows).unwrap_or(usize::MAX);
    let mut bits = BooleanBufferBuilder::new(rows);
    bits.append_n(rows, false);
    for row in kept {
        bits.set_bit(*row as usize, true);
    }
    BooleanArray::new(bits.finish(), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_rows_are_set() {
        let kept = [0, 1, 2, 7, 9, 10];
        let mask = mask(12, &kept);
        let set: Vec<u32> = (0..12).filter(|row| mask.value(*row as usize)).collect();
        assert_eq!(set, kept);
    }
}
