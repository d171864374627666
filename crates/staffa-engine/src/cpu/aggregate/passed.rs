//! Rows that wait until there are enough to go on together: from a lane into a run, from runs into a table.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::concat;
use arrow::datatypes::DataType;

/// Rows per partition of a run, about: enough that a call for each costs little, few enough that what they are dealt
/// from stays in a core's caches.
const PARTITION_ROWS: usize = 512;
/// Bytes that are gathered at most, but for the last piece.
const BYTES: usize = 32 << 20;

/// Whether arrays of this type are joined at no risk: dictionaries may have more entries together than their keys can
/// say, and lists more values than their offsets, on which Arrow panics.
pub(super) fn joins(data_type: &DataType) -> bool {
    !matches!(data_type, DataType::Dictionary(..) | DataType::RunEndEncoded(..))
        && !data_type.is_nested()
}

/// The same for columns.
pub(super) fn join(columns: &[ArrayRef]) -> bool {
    columns.iter().all(|column| joins(column.data_type()))
}

/// Bytes of values, those of strings included, which the array may share with others.
fn bytes(array: &ArrayRef) -> usize {
    let own = array.to_data().get_slice_memory_size().unwrap_or(0);
    own + match array.data_type() {
        DataType::Utf8View => array.as_string_view().total_buffer_bytes_used(),
        DataType::BinaryView => array.as_binary_view().total_buffer_bytes_used(),
        _ => 0,
    }
}

/// Rows in pieces of equal columns.
#[derive(Default)]
pub(super) struct Pieces {
    pieces: Vec<Vec<ArrayRef>>,
    rows: usize,
    bytes: usize,
}

impl Pieces {
    pub(super) fn push(&mut self, columns: Vec<ArrayRef>, rows: usize) {
        // Numbers are bounded by their rows, and strings of views stay where they are.
        let copied = |column: &&ArrayRef| {
            let data_type = column.data_type();
            !data_type.is_primitive()
                && !matches!(data_type, DataType::Utf8View | DataType::BinaryView)
        };
        self.bytes += columns.iter().filter(copied).map(bytes).sum::<usize>();
        self.pieces.push(columns);
        self.rows += rows;
    }

    /// Whether there are so many rows, or as many bytes as should be copied at once.
    pub(super) fn reach(&self, rows: usize) -> bool {
        self.rows >= rows || self.bytes >= BYTES
    }

    /// All of them, in one piece where that is not too large for an array, and whether they were copied for it.
    pub(super) fn take(&mut self) -> Vec<(Vec<ArrayRef>, bool)> {
        let Self { pieces, .. } = std::mem::take(self);
        let apart =
            |pieces: Vec<Vec<ArrayRef>>| pieces.into_iter().map(|piece| (piece, false)).collect();
        if pieces.len() < 2 || !join(&pieces[0]) {
            return apart(pieces);
        }
        let width = pieces.first().map_or(0, Vec::len);
        let column = |at: usize| {
            let parts: Vec<&dyn Array> = pieces.iter().map(|piece| piece[at].as_ref()).collect();
            concat(&parts)
        };
        match (0..width).map(column).collect() {
            Ok(columns) => vec![(columns, true)],
            // More bytes than 32-bit offsets can say.
            Err(_) => apart(pieces),
        }
    }
}

/// Rows that pass a lane's table by, until there are enough for a run.
#[derive(Default)]
pub(super) struct Passed {
    pieces: Vec<Vec<ArrayRef>>,
    rows: usize,
    pub(super) bytes: usize,
}

impl Passed {
    /// Adds rows.
    pub(super) fn push(&mut self, columns: Vec<ArrayRef>, rows: usize) {
        self.bytes += columns.iter().map(bytes).sum::<usize>();
        self.pieces.push(columns);
        self.rows += rows;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Whether there is enough for a run of so many partitions, and of so many rows at least.
    pub(super) fn fill(&self, partitions: usize, least: usize) -> bool {
        self.rows >= least.max(PARTITION_ROWS * partitions) || self.bytes >= BYTES
    }

    /// All of it, in pieces.
    pub(super) fn take(&mut self) -> Vec<Vec<ArrayRef>> {
        std::mem::take(self).pieces
    }
}
