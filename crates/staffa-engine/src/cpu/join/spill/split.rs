//! Which partition a row belongs to, and rows gathered by partition.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion_common::Result;
use datafusion_common::hash_utils::{RandomState, create_hashes};

use super::super::lookup::as_types;
use crate::cpu::compact::release_views;

/// Neither the seed of exchanges, whose partitions share hash bits, nor the one of tables.
const SEED: RandomState = RandomState::with_seed(0x57af_fa20_5b11_1d5e);

/// Most partitions. A partition is what is in memory at a time, so a build side may be so many times
/// larger than memory before its partitions are read in pieces.
const MOST: usize = 32;

/// Files that the lanes of one join write at a time, all together: several joins may be at it, and
/// 1,024 open files are a common limit.
const OPEN_FILES: usize = 256;

/// How many partitions a join of so many lanes has (a power of two); one where there are no keys.
pub(in super::super) fn partitions(keys: usize, lanes: usize) -> usize {
    match keys {
        0 => 1,
        _ => (OPEN_FILES / lanes.max(1).next_power_of_two()).clamp(4, MOST),
    }
}

/// The partition of each of `rows` rows with these keys, in the types of the build side's.
pub(super) fn numbers(
    keys: &[ArrayRef],
    types: &[DataType],
    rows: usize,
    partitions: usize,
) -> Result<Vec<u8>> {
    let mut hashes = vec![0; rows];
    if !keys.is_empty() {
        create_hashes(&as_types(keys, types.iter())?, &SEED, &mut hashes)?;
    }
    let shift = 64 - partitions.trailing_zeros();
    // Multiplying brings all bits of the hash to bear on the top ones.
    let of = |hash: u64| hash.wrapping_mul(0x9e37_79b9_7f4a_7c15).checked_shr(shift).unwrap_or(0);
    // There are at most 32.
    Ok(hashes.into_iter().map(|hash| of(hash) as u8).collect())
}

/// The rows of a batch by partition.
pub(in super::super) struct Split {
    order: UInt32Array,
    /// Where each partition starts in `order`, and the end.
    offsets: Vec<usize>,
}

impl Split {
    /// Of `rows` rows with these keys, in the types of the build side's.
    pub(in super::super) fn new(
        keys: &[ArrayRef],
        types: &[DataType],
        rows: usize,
        partitions: usize,
    ) -> Result<Self> {
        let numbers = numbers(keys, types, rows, partitions)?;
        let mut offsets = vec![0; partitions + 1];
        for &number in &numbers {
            offsets[usize::from(number) + 1] += 1;
        }
        for at in 0..partitions {
            offsets[at + 1] += offsets[at];
        }
        let mut next = offsets.clone();
        let mut order = vec![0_u32; rows];
        for (row, &number) in numbers.iter().enumerate() {
            let at = &mut next[usize::from(number)];
            // A morsel has fewer rows than u32::MAX.
            order[*at] = row as u32;
            *at += 1;
        }
        Ok(Self { order: order.into(), offsets })
    }

    /// The rows of a partition, ascending.
    fn rows(&self, partition: usize) -> UInt32Array {
        let start = self.offsets[partition];
        self.order.slice(start, self.offsets[partition + 1] - start)
    }

    /// Copies of a partition's rows; none where it has none.
    pub(in super::super) fn gather(
        &self,
        batch: &RecordBatch,
        partition: usize,
    ) -> Result<Option<RecordBatch>> {
        let rows = self.rows(partition);
        if rows.is_empty() {
            return Ok(None);
        }
        let columns = batch
            .columns()
            .iter()
            .map(|column| Ok(take(column.as_ref(), &rows, None)?))
            .collect::<Result<Vec<_>>>()?;
        release_views(of_rows(&batch.schema(), columns, rows.len())?).map(Some)
    }
}

/// A batch of `rows` rows, which may have no columns.
pub(super) fn of_rows(
    schema: &SchemaRef,
    columns: Vec<ArrayRef>,
    rows: usize,
) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

/// Bytes of a batch's values, whatever else their buffers hold: the columns of a batch that was read
/// from a file all lie in one.
pub(super) fn batch_bytes(batch: &RecordBatch) -> usize {
    let views = |column: &ArrayRef| -> usize {
        let buffers = match column.data_type() {
            DataType::Utf8View => column.as_string_view().data_buffers(),
            DataType::BinaryView => column.as_binary_view().data_buffers(),
            _ => return 0,
        };
        buffers.iter().map(|buffer| buffer.len()).sum()
    };
    let values = |column: &ArrayRef| {
        let sliced = column.to_data().get_slice_memory_size();
        sliced.unwrap_or_else(|_| column.get_array_memory_size())
    };
    batch.columns().iter().map(|column| values(column) + views(column)).sum()
}
