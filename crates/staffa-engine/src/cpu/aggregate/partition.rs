//! Runs: groups in the order of their radix partition.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::compute::concat;
use datafusion_common::Result;

use super::apart::Ends;
use super::deal::Deal;

/// A column of a run.
pub(super) enum Column {
    /// All rows.
    Whole(ArrayRef),
    /// The rows of each partition, with the bytes of just their strings: whoever reads a partition then reads
    /// memory in order, and holds no more than that.
    Parts(Vec<ArrayRef>),
}

/// Columns, most often of the state schema, whose rows are sorted by partition.
pub(super) struct Run {
    columns: Vec<Column>,
    /// Where each partition starts, and the end.
    offsets: Vec<u32>,
    bytes: usize,
    /// The range of a key column, where it is known.
    pub(super) ends: Option<Ends>,
    /// Whether no key is there twice.
    pub(super) unique: bool,
    /// Whether rows are not states but as [`Plan::raw`](super::plan::Plan::raw) makes them.
    pub(super) raw: bool,
}

impl Run {
    /// Sorts the rows of `pieces` into `partitions` (a power of two) partitions by the hash of the first
    /// `key_width` columns. Keeps the order of rows within a partition.
    ///
    /// # Errors
    /// Arrow's; DataFusion's for types without a hash.
    pub(super) fn new(
        pieces: &[Vec<ArrayRef>],
        key_width: usize,
        partitions: usize,
    ) -> Result<Self> {
        let deal = Deal::new(pieces, key_width, partitions)?;
        let columns = (0..pieces.first().map_or(0, Vec::len)).map(|at| {
            let column: Vec<&dyn Array> = pieces.iter().map(|piece| piece[at].as_ref()).collect();
            deal.column(&column)
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let bytes = columns.iter().map(Column::size).sum();
        let offsets = deal.offsets;
        Ok(Self { columns, offsets, bytes, ends: None, unique: false, raw: false })
    }

    /// Number of partitions.
    pub(super) fn partitions(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Number of rows in some partitions `of` a power of two, no more than the run's own.
    pub(super) fn rows_in(&self, partitions: Range<usize>, of: usize) -> usize {
        let own = self.own(partitions, of);
        (self.offsets[own.end] - self.offsets[own.start]) as usize
    }

    /// The run's own partitions that make up others, which are fewer and thus larger: both go by the hash's top bits.
    fn own(&self, partitions: Range<usize>, of: usize) -> Range<usize> {
        let each = self.partitions() / of;
        partitions.start * each..partitions.end * each
    }

    /// The rows of some partitions `of` a power of two, no more than the run's own, and how many rows they are; none
    /// if they have none.
    ///
    /// # Errors
    /// Arrow's, where several partitions are too large for one array.
    pub(super) fn slice(
        &self,
        partitions: Range<usize>,
        of: usize,
    ) -> Result<Option<(Vec<ArrayRef>, usize)>> {
        let partitions = self.own(partitions, of);
        let start = self.offsets[partitions.start] as usize;
        let rows = self.offsets[partitions.end] as usize - start;
        if rows == 0 {
            return Ok(None);
        }
        let slice = |column: &Column| match column {
            Column::Whole(column) => Ok(column.slice(start, rows)),
            Column::Parts(parts) => joined(&parts[partitions.clone()]),
        };
        Ok(Some((self.columns.iter().map(slice).collect::<Result<_>>()?, rows)))
    }

    /// Number of rows.
    pub(super) fn rows(&self) -> usize {
        self.offsets.last().map_or(0, |&end| end as usize)
    }

    /// All rows.
    ///
    /// # Errors
    /// As [`slice`](Self::slice).
    pub(super) fn columns(&self) -> Result<Vec<ArrayRef>> {
        let whole = |column: &Column| match column {
            Column::Whole(column) => Ok(Arc::clone(column)),
            Column::Parts(parts) => joined(parts),
        };
        self.columns.iter().map(whole).collect()
    }

    /// Bytes held.
    pub(super) fn size(&self) -> usize {
        self.bytes
    }
}

impl Column {
    fn size(&self) -> usize {
        match self {
            Self::Whole(column) => column.get_array_memory_size(),
            Self::Parts(parts) => parts.iter().map(|part| part.get_array_memory_size()).sum(),
        }
    }
}

fn joined(parts: &[ArrayRef]) -> Result<ArrayRef> {
    match parts {
        [part] => Ok(Arc::clone(part)),
        parts => Ok(concat(&parts.iter().map(|part| part.as_ref()).collect::<Vec<_>>())?),
    }
}
