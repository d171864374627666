//! How much memory sorting takes.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::DataType;
use datafusion_physical_plan::spill::get_record_batch_memory_size;

use super::keys::SortKeys;

/// Bytes per row for an entry, twice: as encoded, and in its bucket.
const ENTRY_BYTES: usize = 2 * 24;

/// Estimates from the keys' form.
#[derive(Debug)]
pub(super) struct Footprint {
    /// Columns whose values are held a second time, in row format.
    key_columns: Vec<usize>,
}

impl Footprint {
    pub(super) fn new(keys: &SortKeys) -> Self {
        Self {
            key_columns: if keys.holds_rows() {
                keys.plain_columns().collect()
            } else {
                Vec::new()
            },
        }
    }

    /// What holding a batch and sorting it later takes: itself, its rows in order, their entries.
    pub(super) fn sorting(&self, batch: &RecordBatch) -> usize {
        let keys: usize = self
            .key_columns
            .iter()
            .map(|at| array_bytes(batch.column(*at)) * 9 / 8 + batch.num_rows() * 10)
            .sum();
        get_record_batch_memory_size(batch)
            + batch_bytes(batch)
            + keys
            + batch.num_rows() * ENTRY_BYTES
    }
}

/// What the rows of a batch would take in buffers of their own.
pub(in crate::cpu) fn batch_bytes(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(array_bytes).sum()
}

fn array_bytes(array: &std::sync::Arc<dyn Array>) -> usize {
    let sliced = array.to_data().get_slice_memory_size().unwrap_or_default();
    sliced
        + match array.data_type() {
            DataType::Utf8View => array.as_string_view().total_buffer_bytes_used(),
            DataType::BinaryView => array.as_binary_view().total_buffer_bytes_used(),
            _ => 0,
        }
}
