//! Files: where their bytes come from, their footers, and what to fetch of them.

mod bloom;
mod chunk;
mod fetch;
mod footer;
mod plan;
mod source;
mod statistics;

pub use bloom::BloomFilter;
pub use chunk::ColumnChunk;
pub use fetch::RowGroupBytes;
pub use footer::{Footer, FooterOptions};
pub use plan::{FetchOptions, FetchPlan};
pub use source::Source;
pub use statistics::ColumnStatistics;

pub(crate) use chunk::locations;

use std::sync::Arc;

use crate::error::Result;
use crate::selection::Selection;

/// A file whose footer is loaded. Cloning shares everything.
#[derive(Debug, Clone)]
pub struct ParquetFile {
    source: Source,
    footer: Arc<Footer>,
}

impl ParquetFile {
    /// Opens a local file and reads its footer.
    ///
    /// # Errors
    /// When the file cannot be read or its footer is no Parquet footer.
    pub fn open(path: impl AsRef<std::path::Path>) -> Result<Self> {
        let source = Source::local(path)?;
        let footer = Arc::new(Footer::read(&source, &FooterOptions::default())?);
        Ok(Self { source, footer })
    }

    /// A file of which the footer is known, from the caller's cache for instance.
    pub fn new(source: Source, footer: Arc<Footer>) -> Self {
        Self { source, footer }
    }

    /// Opens any source and reads its footer.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub async fn load(source: Source, options: &FooterOptions) -> Result<Self> {
        let footer = Arc::new(Footer::load(&source, options).await?);
        Ok(Self { source, footer })
    }

    /// The footer.
    pub fn footer(&self) -> &Arc<Footer> {
        &self.footer
    }

    /// Where the bytes come from.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// What to fetch of a row group to read the given leaves; `rows` absent: all of them.
    ///
    /// # Errors
    /// When the footer's offsets are impossible.
    pub fn plan(
        &self,
        row_group: usize,
        leaves: &[usize],
        rows: Option<&Selection>,
        options: &FetchOptions,
    ) -> Result<FetchPlan> {
        FetchPlan::new(&self.footer, row_group, leaves, rows, options)
    }

    /// A leaf column's chunk in a row group.
    ///
    /// # Errors
    /// `Unsupported` when the leaf cannot be decoded by this package, `BadInput` when the footer's
    /// figures for it are impossible.
    pub fn column_chunk(&self, row_group: usize, leaf: usize) -> Result<Arc<ColumnChunk>> {
        ColumnChunk::new(&self.footer, row_group, leaf).map(Arc::new)
    }

    /// Fetches what a plan asks for, on this thread. Local and in-memory sources only.
    ///
    /// # Errors
    /// `Retryable` when reading fails; `Unsupported` for an object store.
    pub fn fetch_blocking(&self, plan: &FetchPlan) -> Result<RowGroupBytes> {
        fetch::blocking(&self.source, plan)
    }

    /// Fetches plans, row groups for instance, in order and ahead of the caller: while one is
    /// decoded, the next are on their way, as many as `budget_bytes` holds (always at least one).
    /// Requests make progress while the stream is polled: spawn it for full overlap.
    ///
    /// What was yielded no longer counts. Dropping the stream cancels its requests.
    pub fn prefetch(
        &self,
        plans: Vec<FetchPlan>,
        budget_bytes: u64,
    ) -> impl futures::Stream<Item = Result<RowGroupBytes>> + Send + use<> {
        fetch::prefetch(self.source.clone(), plans, budget_bytes)
    }

    /// Fetches what a plan asks for. Local files are read by the calling task.
    ///
    /// # Errors
    /// `Retryable` when reading fails.
    pub async fn fetch(&self, plan: &FetchPlan) -> Result<RowGroupBytes> {
        fetch::fetch(&self.source, plan).await
    }
}
