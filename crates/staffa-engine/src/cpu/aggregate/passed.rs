//! Rows on their way into one.

use arrow::array::{Array, ArrayRef};
use arrow::compute::concat;

/// Rows per partition of a run, about: enough that a call for each costs little, few enough that what they are dealt
/// from stays in a core's caches.
const PARTITION_ROWS: usize = 512;
/// Bytes of rows that pass a table by, at most.
const BYTES: usize = 32 << 20;

/// Rows in pieces of equal columns.
#[derive(Default)]
pub(super) struct Pieces {
    pieces: Vec<Vec<ArrayRef>>,
    pub(super) rows: usize,
}

impl Pieces {
    pub(super) fn push(&mut self, columns: Vec<ArrayRef>, rows: usize) {
        self.pieces.push(columns);
        self.rows += rows;
    }

    /// All of them, in one piece where that is not too large for an array, and whether they were copied for it.
    pub(super) fn take(&mut self) -> Vec<(Vec<ArrayRef>, bool)> {
        let Self { pieces, .. } = std::mem::take(self);
        let apart =
            |pieces: Vec<Vec<ArrayRef>>| pieces.into_iter().map(|piece| (piece, false)).collect();
        if pieces.len() < 2 {
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
        let bytes = |array: &ArrayRef| array.to_data().get_slice_memory_size().unwrap_or(0);
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
