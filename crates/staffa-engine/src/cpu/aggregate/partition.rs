//! Runs: groups in the order of their radix partition.

use std::ops::Range;

use arrow::array::{ArrayRef, AsArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::DataType;
use datafusion_common::Result;
use datafusion_common::hash_utils::{RandomState, create_hashes};

use crate::cpu::compact::release;

/// Not DataFusion's seed for exchanges: the rows of one of its partitions share hash bits.
const SEED: RandomState = RandomState::with_seed(0x57AF_FA00_A66E_6A7E);

/// Columns of the state schema whose rows are sorted by partition.
pub(super) struct Run {
    columns: Vec<ArrayRef>,
    /// Where each partition starts, and the end.
    offsets: Vec<u32>,
    bytes: usize,
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
            .map(|column| Ok(release_view(take(column.as_ref(), &order, None)?)))
            .collect::<Result<Vec<_>>>()?;
        let bytes = columns.iter().map(|c| c.get_array_memory_size()).sum();
        Ok(Self { columns, offsets, bytes })
    }

    /// The rows of some partitions, and how many they are; none if they have none.
    pub(super) fn slice(&self, partitions: Range<usize>) -> Option<(Vec<ArrayRef>, usize)> {
        let start = self.offsets[partitions.start] as usize;
        let rows = self.offsets[partitions.end] as usize - start;
        (rows > 0).then(|| {
            let slice = |column: &ArrayRef| column.slice(start, rows);
            (self.columns.iter().map(slice).collect(), rows)
        })
    }

    /// Number of rows.
    pub(super) fn rows(&self) -> usize {
        self.offsets.last().map_or(0, |&end| end as usize)
    }

    /// All rows.
    pub(super) fn into_columns(self) -> Vec<ArrayRef> {
        self.columns
    }

    /// Bytes held.
    pub(super) fn size(&self) -> usize {
        self.bytes
    }
}

/// Rows that passed by a table may hold on to buffers of the input that they use little of.
fn release_view(array: ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Utf8View => release(array.as_string_view(), &array),
        DataType::BinaryView => release(array.as_binary_view(), &array),
        _ => array,
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
