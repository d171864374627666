//! Which byte ranges to fetch: chunks, or the pages that hold selected rows, coalesced.

use std::ops::Range;
use std::sync::Arc;

use crate::error::Result;
use crate::file::chunk::{ColumnChunk, locations};
use crate::file::footer::Footer;
use crate::selection::Selection;

/// How ranges are joined.
#[derive(Debug, Clone)]
pub struct FetchOptions {
    /// Ranges with at most this many unwanted bytes between them become one request.
    pub gap_bytes: u64,
    /// Joining stops at this size; a single page or chunk may be larger.
    pub max_bytes: u64,
    /// Requests in flight at a time.
    pub concurrency: usize,
}

impl Default for FetchOptions {
    /// Gaps up to 1 MiB (what an object store sends in the time a request takes), requests up to
    /// 16 MiB, 8 at a time.
    fn default() -> Self {
        Self { gap_bytes: 1 << 20, max_bytes: 16 << 20, concurrency: 8 }
    }
}

/// What to fetch of one row group.
#[derive(Debug, Clone)]
pub struct FetchPlan {
    pub(crate) chunks: Vec<Arc<ColumnChunk>>,
    pub(crate) ranges: Vec<Range<u64>>,
    pub(crate) concurrency: usize,
    wanted_bytes: u64,
}

impl FetchPlan {
    /// What to fetch of a row group to read the given leaves; `rows` absent: all of them.
    ///
    /// # Errors
    /// When the footer's offsets are impossible.
    pub fn new(
        footer: &Arc<Footer>,
        row_group: usize,
        leaves: &[usize],
        rows: Option<&Selection>,
        options: &FetchOptions,
    ) -> Result<Self> {
        let mut chunks = Vec::with_capacity(leaves.len());
        let mut wanted = vec![];
        for &leaf in leaves {
            let chunk = Arc::new(ColumnChunk::new(footer, row_group, leaf)?);
            match rows {
                Some(rows) => pages(footer, &chunk, rows, &mut wanted),
                None => wanted.push(chunk.range()),
            }
            chunks.push(chunk);
        }
        let ranges = coalesce(&mut wanted, options);
        let wanted_bytes = wanted.iter().map(|r| r.end - r.start).sum();
        Ok(Self { chunks, ranges, concurrency: options.concurrency.max(1), wanted_bytes })
    }

    /// The requests: ascending, disjoint.
    pub fn ranges(&self) -> &[Range<u64>] {
        &self.ranges
    }

    /// Bytes that the requests ask for.
    pub fn fetched_bytes(&self) -> u64 {
        self.ranges.iter().map(|r| r.end - r.start).sum()
    }

    /// Bytes that will be read; the rest of `fetched_bytes` fills gaps.
    pub fn wanted_bytes(&self) -> u64 {
        self.wanted_bytes
    }
}

/// The pages of a chunk that hold selected rows, and what lies before its first page: the
/// dictionary. The whole chunk when there is no offset index or it makes no sense.
fn pages(footer: &Footer, chunk: &ColumnChunk, rows: &Selection, out: &mut Vec<Range<u64>>) {
    if rows.is_empty() {
        return;
    }
    let whole = chunk.range();
    let Some(locations) = locations(footer, chunk.row_group(), chunk.leaf_index()) else {
        return out.push(whole);
    };
    let from = out.len();
    let number = |v: i64| u64::try_from(v).ok();
    for (i, l) in locations.iter().enumerate() {
        let next = locations.get(i + 1).map_or(Some(chunk.rows()), |n| number(n.first_row_index));
        let size = u64::try_from(l.compressed_page_size).ok();
        let parts = number(l.offset).zip(size).zip(number(l.first_row_index)).zip(next);
        let Some((((offset, size), first), next)) = parts else {
            out.truncate(from);
            return out.push(whole);
        };
        let inside =
            offset >= whole.start && offset.checked_add(size).is_some_and(|e| e <= whole.end);
        if !inside || first > next {
            out.truncate(from);
            return out.push(whole);
        }
        if i == 0 && offset > whole.start {
            out.push(whole.start..offset);
        }
        if rows.overlaps(&(first..next)) {
            out.push(offset..offset + size);
        }
    }
}

/// Sorts and joins ranges.
fn coalesce(wanted: &mut Vec<Range<u64>>, options: &FetchOptions) -> Vec<Range<u64>> {
    wanted.retain(|r| r.start < r.end);
    wanted.sort_by_key(|r| (r.start, r.end));
    let mut out: Vec<Range<u64>> = vec![];
    for r in wanted.iter() {
        match out.last_mut() {
            Some(last)
                if r.start < last.end
                    || (r.start - last.end <= options.gap_bytes
                        && r.end - last.start <= options.max_bytes) =>
            {
                last.end = last.end.max(r.end);
            }
            _ => out.push(r.clone()),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::single_range_in_vec_init, reason = "lists of ranges")]
    fn joins_by_gap_and_size() {
        let o = FetchOptions { gap_bytes: 10, max_bytes: 100, concurrency: 1 };
        let join = |mut r: Vec<Range<u64>>| coalesce(&mut r, &o);
        assert_eq!(join(vec![30..40, 0..10, 15..20]), [0..40]);
        assert_eq!(join(vec![0..10, 21..30]), [0..10, 21..30]);
        assert_eq!(join(vec![0..90, 95..120]), [0..90, 95..120]);
        assert_eq!(join(vec![0..90, 80..120, 5..5]), [0..120]);
        assert_eq!(join(vec![0..500, 500..501]), [0..500, 500..501]);
    }
}
