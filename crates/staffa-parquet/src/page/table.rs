//! The page table of a column chunk: plain data that both engines decode from.

use std::ops::Range;

use bytes::Bytes;
use parquet::basic::Encoding;
use parquet::file::page_index::offset_index::PageLocation;

use crate::chunk::ChunkBytes;
use crate::codec::Codec;
use crate::error::{Flaw, Flawed};
use crate::limits::Limits;
use crate::page::header::{PageHeader, PageKind};

/// One page of a column chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The header; `None` when the page's bytes were not fetched.
    pub header: Option<PageHeader>,
    /// The page's first row in its row group.
    pub first_row: u64,
    /// Rows, NULLs included; 0 for a dictionary.
    pub rows: u32,
    /// Where the header starts in the file.
    pub offset: u64,
    /// Where the bytes behind the header lie in the file; empty when they were not fetched.
    pub body: Range<u64>,
}

impl Page {
    /// The row behind the page's last one.
    pub fn end_row(&self) -> u64 {
        self.first_row + u64::from(self.rows)
    }
}

/// What the footer says about the chunk whose pages are listed.
#[derive(Debug, Clone, Copy)]
pub struct TableInput<'a> {
    /// The chunk's bytes, or those of them that were fetched.
    pub chunk: &'a ChunkBytes,
    /// Rows of the row group.
    pub rows: u64,
    /// Codec of the chunk.
    pub codec: Codec,
    /// Page locations of the offset index; required when not all bytes were fetched.
    pub locations: Option<&'a [PageLocation]>,
    /// Bounds on what a header may claim.
    pub limits: &'a Limits,
}

/// The pages of a column chunk, checked against the chunk and against each other: bodies lie
/// inside the chunk, rows are dense from 0 to the row group's last, at most one dictionary stands
/// in front, and no page claims more bytes than its codec or the limits allow.
///
/// Not checked here, because only decompressed bytes show it: levels, run lengths, dictionary
/// indexes, lengths of byte arrays. The `nulls` of a v2 header is a claim.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PageTable {
    /// The dictionary, if the chunk has one.
    pub dictionary: Option<Page>,
    /// Data pages by row.
    pub pages: Vec<Page>,
}

/// A flaw and the byte offset in the file where it lies.
pub(crate) type Located<T> = Result<T, (Flaw, u64)>;

impl PageTable {
    /// Lists the pages of a chunk.
    pub(crate) fn build(input: &TableInput<'_>) -> Located<Self> {
        match input.locations {
            Some(locations) if !input.chunk.is_whole() => by_index(input, locations),
            _ => by_walking(input),
        }
    }

    /// Whether all data pages whose header is known hold dictionary codes.
    pub fn all_codes(&self) -> bool {
        self.dictionary.is_some()
            && self.pages.iter().all(|p| {
                p.header.is_none_or(|h| {
                    matches!(h.encoding, Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY)
                })
            })
    }

    /// The number of the data page that holds `row`.
    pub fn page_of(&self, row: u64) -> usize {
        self.pages.partition_point(|p| p.end_row() <= row)
    }
}

fn by_walking(input: &TableInput<'_>) -> Located<PageTable> {
    let mut table = PageTable::default();
    let Range { start: mut at, end } = input.chunk.range();
    let mut row = 0u64;
    // Behind the last row there may be padding.
    while row < input.rows {
        let page = parse(input, at, end, row).map_err(|f| (f, at))?;
        let next = page.body.end;
        match page.header.map(|h| h.kind) {
            Some(PageKind::Index) | None => {}
            Some(PageKind::Dictionary) => {
                if table.dictionary.is_some() || !table.pages.is_empty() {
                    return Err((Flaw::bad("a second or late dictionary page"), at));
                }
                table.dictionary = Some(page);
            }
            Some(PageKind::DataV1 { .. } | PageKind::DataV2 { .. }) => {
                row = page.end_row();
                if row > input.rows {
                    return Err((Flaw::bad("pages hold more rows than their row group"), at));
                }
                // A page of no rows has nothing to read; keeping it would let a file of nothing but
                // such headers take ten times its size.
                if page.rows > 0 {
                    table.pages.push(page);
                }
            }
        }
        at = next;
    }
    Ok(table)
}

fn parse(input: &TableInput<'_>, at: u64, end: u64, row: u64) -> Flawed<Page> {
    if at >= end {
        return Err(Flaw::bad("pages hold fewer rows than their row group"));
    }
    let bytes: Bytes = input
        .chunk
        .slice(at..end)
        .ok_or_else(|| Flaw::bug("the bytes of a page header were not fetched"))?;
    let header = PageHeader::parse(&bytes)?;
    let start = at + u64::from(header.header_bytes);
    let stop = start + u64::from(header.compressed_bytes);
    if stop > end {
        return Err(Flaw::bad("a page goes beyond its column chunk"));
    }
    check_size(input, &header)?;
    let rows = if header.kind == PageKind::Dictionary { 0 } else { header.values };
    Ok(Page { header: Some(header), first_row: row, rows, offset: at, body: start..stop })
}

fn check_size(input: &TableInput<'_>, header: &PageHeader) -> Flawed<()> {
    if header.kind == PageKind::Index {
        return Ok(());
    }
    let limit = input.limits.page_bytes;
    if header.uncompressed_bytes as usize > limit || header.compressed_bytes as usize > limit {
        return Err(Flaw::too_large(format!("a page of more than {limit} bytes")));
    }
    Ok(())
}

/// The offset index is a claim like any other: every page that is looked at must have a header
/// that agrees with it.
fn by_index(input: &TableInput<'_>, locations: &[PageLocation]) -> Located<PageTable> {
    let chunk = input.chunk.range();
    let mut table = PageTable::default();
    let bad = |what: &'static str| (Flaw::bad(what), chunk.start);
    let mut expected = 0u64;
    for (i, location) in locations.iter().enumerate() {
        let offset = u64::try_from(location.offset).unwrap_or(u64::MAX);
        let size = u64::try_from(location.compressed_page_size).unwrap_or(u64::MAX);
        let first = u64::try_from(location.first_row_index).unwrap_or(u64::MAX);
        let next = match locations.get(i + 1) {
            Some(n) => u64::try_from(n.first_row_index).unwrap_or(u64::MAX),
            None => input.rows,
        };
        let end = offset.checked_add(size).filter(|e| offset >= chunk.start && *e <= chunk.end);
        let end = end.ok_or_else(|| bad("the offset index points outside its column chunk"))?;
        let rows = next.checked_sub(first).and_then(|n| u32::try_from(n).ok());
        let rows = rows.ok_or_else(|| bad("rows of the offset index do not ascend"))?;
        if first != expected {
            return Err(bad("rows of the offset index do not start at 0"));
        }
        expected = next;
        let page = if input.chunk.slice(offset..end).is_some() {
            let page = parse(input, offset, end, first).map_err(|f| (f, offset))?;
            let data = matches!(
                page.header.map(|h| h.kind),
                Some(PageKind::DataV1 { .. } | PageKind::DataV2 { .. })
            );
            if page.rows != rows || !data {
                return Err((Flaw::bad("a page differs from its offset index entry"), offset));
            }
            page
        } else {
            Page { header: None, first_row: first, rows, offset, body: offset..offset }
        };
        table.pages.push(page);
    }
    if expected != input.rows && input.rows > 0 {
        return Err(bad("the offset index has fewer rows than the row group"));
    }
    // Whatever lies before the first data page is the dictionary.
    let first = table.pages.first().map_or(chunk.end, |p| p.offset);
    if first > chunk.start && input.chunk.slice(chunk.start..first).is_some() {
        let page = parse(input, chunk.start, first, 0).map_err(|f| (f, chunk.start))?;
        if page.header.is_some_and(|h| h.kind == PageKind::Dictionary) {
            table.dictionary = Some(page);
        }
    }
    Ok(table)
}
