//! A sealed state of finished batches.

use std::any::Any;
use std::sync::Arc;

use arrow::array::RecordBatch;

use crate::engine::Sealed;
use crate::{LaneStream, Morsel};

/// Batches that lanes read by turns: lane `i` of `n` reads chunks `i`, `i + n`, ..
/// A single lane reads them all, in order.
#[derive(Debug)]
pub struct Batches {
    chunks: Vec<RecordBatch>,
}

impl Batches {
    /// A state of these chunks. Large ones are sliced to at most `chunk_rows` rows (no copy).
    pub fn new(batches: impl IntoIterator<Item = RecordBatch>, chunk_rows: usize) -> Self {
        let mut chunks = Vec::new();
        for batch in batches {
            let mut offset = 0;
            while offset < batch.num_rows() {
                let length = chunk_rows.max(1).min(batch.num_rows() - offset);
                chunks.push(batch.slice(offset, length));
                offset += length;
            }
        }
        Self { chunks }
    }
}

impl Sealed for Batches {
    fn open(self: Arc<Self>, lane: usize, lanes: usize) -> LaneStream {
        let count = self.chunks.len();
        Box::pin(futures::stream::iter(
            (lane..count)
                .step_by(lanes.max(1))
                .map(move |at| Ok(Morsel::from_batch(self.chunks[at].clone()))),
        ))
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
