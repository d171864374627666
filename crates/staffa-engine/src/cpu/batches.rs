//! A sealed state of finished batches.

use std::any::Any;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion_common::Result;

use super::window::Edges;
use crate::bound::BoundExpr;
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

    /// The first place at or behind chunk `at` where keys differ from those of the row before.
    fn group_start(&self, keys: &[BoundExpr], mut at: usize) -> Result<(usize, usize)> {
        while let (Some(before), Some(chunk)) = (at.checked_sub(1), self.chunks.get(at)) {
            let before = &self.chunks[before];
            let mut edges = Edges::new(keys.to_vec());
            edges.runs(&Morsel::from_batch(before.slice(before.num_rows() - 1, 1)))?;
            let runs = edges.runs(&Morsel::from_batch(chunk.clone()))?;
            if let Some(&start) = runs.starts.get(usize::from(runs.continues)) {
                return Ok((at, start));
            }
            at += 1;
        }
        Ok((at, 0))
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

    fn open_groups(
        self: Arc<Self>,
        keys: &[BoundExpr],
        lane: usize,
        lanes: usize,
    ) -> Result<LaneStream> {
        let count = self.chunks.len();
        let (first, row) = self.group_start(keys, lane * count / lanes)?;
        let (last, end) = self.group_start(keys, (lane + 1) * count / lanes)?;
        let part = move |at: usize| {
            let chunk = &self.chunks[at];
            let start = if at == first { row } else { 0 };
            let end = if at == last { end } else { chunk.num_rows() };
            Ok(Morsel::from_batch(chunk.slice(start, end - start)))
        };
        let end = if end > 0 { last + 1 } else { last };
        Ok(Box::pin(futures::stream::iter((first..end).map(part))))
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
