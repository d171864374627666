//! Carries out a plan.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};

use crate::chunk::ChunkBytes;
use crate::error::Result;
use crate::file::chunk::ColumnChunk;
use crate::file::plan::FetchPlan;
use crate::file::source::Source;

/// The fetched chunks of a row group, in the order of the plan's leaves.
#[derive(Debug, Clone)]
pub struct RowGroupBytes {
    chunks: Vec<(Arc<ColumnChunk>, ChunkBytes)>,
}

impl RowGroupBytes {
    /// Chunks cut from what somebody fetched for `plan`: its ranges' first bytes and contents.
    pub fn divide(plan: &FetchPlan, parts: &[(u64, Bytes)]) -> Self {
        divide(plan, parts)
    }

    /// Each chunk and its bytes, for [`ColumnReader::new`](crate::ColumnReader::new).
    pub fn into_chunks(self) -> Vec<(Arc<ColumnChunk>, ChunkBytes)> {
        self.chunks
    }

    /// The `i`-th leaf's chunk and bytes; cheap, shares the buffers.
    pub fn get(&self, i: usize) -> Option<(Arc<ColumnChunk>, ChunkBytes)> {
        self.chunks.get(i).cloned()
    }

    /// Columns.
    pub fn len(&self) -> usize {
        self.chunks.len()
    }

    /// Whether no column was asked for.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }
}

pub(crate) fn blocking(source: &Source, plan: &FetchPlan) -> Result<RowGroupBytes> {
    let mut parts = Vec::with_capacity(plan.ranges.len());
    for range in &plan.ranges {
        parts.push((range.start, source.read_blocking(range.clone())?));
    }
    Ok(divide(plan, &parts))
}

pub(crate) async fn fetch(source: &Source, plan: &FetchPlan) -> Result<RowGroupBytes> {
    if source.is_local() {
        return blocking(source, plan);
    }
    // Ranges are few and bounded; `buffered` keeps at most `concurrency` of them in flight.
    let requests = plan.ranges.iter().cloned().map(|range| async move {
        let start = range.start;
        source.read(range).await.map(|bytes| (start, bytes))
    });
    let parts: Vec<(u64, Bytes)> =
        futures::stream::iter(requests).buffered(plan.concurrency).try_collect().await?;
    Ok(divide(plan, &parts))
}

/// Gives each chunk the parts that overlap it. A chunk that is larger than a request lies in one
/// part all the same: ranges are only ever joined, never cut.
fn divide(plan: &FetchPlan, parts: &[(u64, Bytes)]) -> RowGroupBytes {
    let chunks = plan.chunks.iter().map(|chunk| {
        let range = chunk.range();
        let overlapping = parts
            .iter()
            .filter(|(at, b)| *at < range.end && at + b.len() as u64 > range.start)
            .cloned();
        (chunk.clone(), ChunkBytes::new(range.clone(), overlapping))
    });
    RowGroupBytes { chunks: chunks.collect() }
}
