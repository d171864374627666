//! What functions are evaluated over: rows in order, with where partitions and peers begin.

use std::ops::Range;

use arrow::array::ArrayRef;
use arrow::compute::{concat, partition};
use arrow::error::ArrowError;
use datafusion_common::Result;

use crate::Morsel;
use crate::bound::BoundExpr;

/// Runs of rows: where each begins.
#[derive(Debug, Clone)]
pub(in crate::cpu) struct Runs {
    /// Ascending; the first is 0.
    pub(in crate::cpu) starts: Vec<usize>,
    /// Whether the first run began before these rows.
    pub(in crate::cpu) continues: bool,
}

impl Runs {
    /// The runs of `rows` rows, in order.
    pub(super) fn ranges(&self, rows: usize) -> impl Iterator<Item = Range<usize>> + '_ {
        let ends = self.starts.iter().skip(1).copied().chain(std::iter::once(rows));
        self.starts.iter().copied().zip(ends).map(|(start, end)| start..end)
    }

    /// The runs that begin where one of either does.
    pub(super) fn refined(&self, by: &Self) -> Self {
        let mut starts = Vec::with_capacity(self.starts.len().max(by.starts.len()));
        let (mut left, mut right) = (self.starts.as_slice(), by.starts.as_slice());
        while let (Some(&a), Some(&b)) = (left.first(), right.first()) {
            starts.push(a.min(b));
            left = &left[usize::from(a <= b)..];
            right = &right[usize::from(b <= a)..];
        }
        starts.extend_from_slice(left);
        starts.extend_from_slice(right);
        Self { starts, continues: self.continues && by.continues }
    }
}

/// Finds runs of equal keys in rows that come morsel after morsel.
#[derive(Debug)]
pub(in crate::cpu) struct Edges {
    keys: Vec<BoundExpr>,
    /// The keys of the row before.
    last: Option<Vec<ArrayRef>>,
}

impl Edges {
    pub(in crate::cpu) fn new(keys: Vec<BoundExpr>) -> Self {
        Self { keys, last: None }
    }

    /// The runs of a morsel that has rows. Without keys, all rows there are make one run.
    ///
    /// # Errors
    /// What the keys raise.
    pub(in crate::cpu) fn runs(&mut self, morsel: &Morsel) -> Result<Runs> {
        let rows = morsel.rows();
        let keys = self.keys.iter().map(|key| key.array(morsel)).collect::<Result<Vec<_>>>()?;
        let starts = match keys.is_empty() {
            true => vec![0],
            false => partition(&keys)?.ranges().into_iter().map(|run| run.start).collect(),
        };
        let first: Vec<ArrayRef> = keys.iter().map(|key| key.slice(0, 1)).collect();
        let continues = match &self.last {
            Some(last) => are_equal(last, &first)?,
            None => false,
        };
        self.last = Some(keys.iter().map(|key| key.slice(rows - 1, 1)).collect());
        Ok(Runs { starts, continues })
    }
}

/// Whether two rows are equal, by the rule that splits a morsel.
fn are_equal(a: &[ArrayRef], b: &[ArrayRef]) -> Result<bool> {
    if a.is_empty() {
        return Ok(true);
    }
    let both = a.iter().zip(b).map(|(a, b)| concat(&[a.as_ref(), b.as_ref()]));
    let both = both.collect::<Result<Vec<_>, ArrowError>>()?;
    Ok(partition(&both)?.len() == 1)
}

/// Rows to evaluate functions over. Partitions are whole, but for the first and the last where all
/// functions stream.
pub(super) struct Unit {
    /// The columns that functions read; others are NULLs.
    pub(super) morsel: Morsel,
    /// Number of rows.
    pub(super) rows: usize,
    pub(super) partitions: Runs,
    /// Groups of peers within partitions, for each ORDER BY that some function has.
    pub(super) peers: Vec<Runs>,
}

impl Unit {
    pub(super) fn partitions(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.partitions.ranges(self.rows)
    }

    /// Calls `visit` with each partition and its groups of peers by an order; without one, with the partition
    /// as its only group.
    ///
    /// # Errors
    /// Those of `visit`.
    pub(super) fn with_peers(
        &self,
        order: Option<usize>,
        mut visit: impl FnMut(Range<usize>, &mut dyn Iterator<Item = Range<usize>>) -> Result<()>,
    ) -> Result<()> {
        let runs = order.map_or(&self.partitions, |order| &self.peers[order]);
        let mut groups = runs.ranges(self.rows).peekable();
        for partition in self.partitions() {
            let end = partition.end;
            visit(partition, &mut std::iter::from_fn(|| groups.next_if(|group| group.end <= end)))?;
        }
        Ok(())
    }
}
