//! Runs: groups in the order of their radix partition.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::compute::{concat, take};
use arrow::datatypes::DataType;
use datafusion_common::Result;
use datafusion_common::hash_utils::{RandomState, create_hashes};

use super::apart::Ends;

/// Not DataFusion's seed for exchanges: the rows of one of its partitions share hash bits.
const SEED: RandomState = RandomState::with_seed(0x57AF_FA00_A66E_6A7E);

/// A column of a run.
enum Column {
    /// All rows.
    Whole(ArrayRef),
    /// The rows of each partition, with the bytes of just their strings: whoever reads a partition then reads
    /// memory in order, and holds no more than that.
    Parts(Vec<ArrayRef>),
}

/// Columns of the state schema whose rows are sorted by partition.
pub(super) struct Run {
    columns: Vec<Column>,
    /// Where each partition starts, and the end.
    offsets: Vec<u32>,
    bytes: usize,
    /// The range of a key column, where it is known.
    pub(super) ends: Option<Ends>,
    /// Whether no key is there twice.
    pub(super) unique: bool,
}

impl Run {
    /// Sorts rows into `partitions` (a power of two) partitions by the hash of the first
    /// `key_width` columns. Keeps the order of rows within a partition.
    pub(super) fn new(columns: &[ArrayRef], key_width: usize, partitions: usize) -> Result<Self> {
        let rows = columns.first().map_or(0, |column| column.len());
        let mut hashes = vec![0; rows];
        create_hashes(&columns[..key_width], &SEED, &mut hashes)?;
        let (order, offsets) = scatter(&hashes, partitions);
        let columns = columns
            .iter()
            .map(|column| Ok(Column::new(take(column.as_ref(), &order, None)?, &offsets)))
            .collect::<Result<Vec<_>>>()?;
        let bytes = columns.iter().map(Column::size).sum();
        Ok(Self { columns, offsets, bytes, ends: None, unique: false })
    }

    /// The rows of some partitions, and how many they are; none if they have none.
    ///
    /// # Errors
    /// Arrow's, where several partitions are too large for one array.
    pub(super) fn slice(&self, partitions: Range<usize>) -> Result<Option<(Vec<ArrayRef>, usize)>> {
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
    /// Of rows in the order of their partitions, which start at `offsets`.
    fn new(column: ArrayRef, offsets: &[u32]) -> Self {
        let parts = |part: &dyn Fn(ArrayRef) -> ArrayRef| {
            let ends = offsets.windows(2).map(|ends| (ends[0] as usize, ends[1] as usize));
            Self::Parts(ends.map(|(start, end)| part(column.slice(start, end - start))).collect())
        };
        match column.data_type() {
            DataType::Utf8View => parts(&|part| Arc::new(part.as_string_view().gc())),
            DataType::BinaryView => parts(&|part| Arc::new(part.as_binary_view().gc())),
            _ => Self::Whole(column),
        }
    }

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

/// Row numbers in partition order, and where each partition starts. A counting sort.
fn scatter(hashes: &[u64], partitions: usize) -> (UInt32Array, Vec<u32>) {
    let shift = 64 - partitions.trailing_zeros();
    // Multiplying brings all bits of the hash to bear on the top ones.
    let of = |hash: u64| {
        (hash.wrapping_mul(0x9E37_79B9_7F4A_7C15)).checked_shr(shift).unwrap_or(0) as usize
    };
    let mut offsets = vec![0_u32; partitions + 1];
    for &hash in hashes {
        offsets[of(hash) + 1] += 1;
    }
    for i in 0..partitions {
        offsets[i + 1] += offsets[i];
    }
    let mut next = offsets.clone();
    let mut order = vec![0_u32; hashes.len()];
    for (row, &hash) in hashes.iter().enumerate() {
        let at = &mut next[of(hash)];
        order[*at as usize] = row as u32;
        *at += 1;
    }
    (UInt32Array::from(order), offsets)
}
