//! The pages of a column chunk that a morsel needs: their bodies, checked as the CPU decoder checks them.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use bytes::Bytes;
use parquet::basic::{Encoding, Type as Physical};
use staffa_kernels::parquet::PageLevels;

use super::target::{DeviceTarget, target};
use crate::chunk::ChunkBytes;
use crate::codec::{Codec, Decompressor};
use crate::decode::{ColumnReader, ReadOptions};
use crate::error::{Error, Flaw, Flawed, Place, Result};
use crate::file::ColumnChunk;
use crate::limits::Limits;
use crate::page::{Page, PageHeader, PageKind, PageTable};

/// A column chunk whose page headers were checked and whose type has a device form.
///
/// Nothing was decompressed yet. It can be decoded any number of times, over any ranges of rows whose
/// pages were fetched.
pub struct DeviceChunk {
    pub(super) chunk: Arc<ColumnChunk>,
    pub(super) bytes: ChunkBytes,
    pub(super) target: DeviceTarget,
    pub(super) data_type: DataType,
    pub(super) codes: bool,
    pub(super) limits: Limits,
    /// Lists the pages, and reads the dictionary for the host.
    reader: ColumnReader,
    host_dictionary: Option<ArrayRef>,
}

/// A page's body on its way to the device.
pub(super) struct Body {
    /// The bytes to copy: as they are in the file, or what the host decompressed.
    pub(super) raw: Bytes,
    /// The first of them stay as they are: levels of a version-2 page.
    pub(super) plain: u32,
    /// What the rest is compressed with on the device, and the bytes that it stands for.
    pub(super) packed: Option<(staffa_kernels::parquet::Codec, u32)>,
}

impl Body {
    /// Bytes of the body once it is expanded.
    pub(super) fn bytes(&self) -> u64 {
        match self.packed {
            Some((_, bytes)) => u64::from(self.plain) + u64::from(bytes),
            None => self.raw.len() as u64,
        }
    }
}

impl DeviceChunk {
    /// Checks the chunk's page headers.
    ///
    /// # Errors
    /// `Unsupported` when the type has no device form; what [`ColumnReader::new`] answers.
    pub fn new(chunk: Arc<ColumnChunk>, bytes: ChunkBytes, options: &ReadOptions) -> Result<Self> {
        let target = target(chunk.leaf(), &options.data_type)
            .map_err(|what| Flaw::unsupported(what).at(chunk.place()))?;
        let reader = ColumnReader::new(Arc::clone(&chunk), bytes.clone(), options)?;
        Ok(Self {
            chunk,
            bytes,
            target,
            data_type: options.data_type.clone(),
            codes: options.codes,
            limits: options.limits.clone(),
            reader,
            host_dictionary: None,
        })
    }

    /// The chunk's pages.
    pub fn table(&self) -> &PageTable {
        self.reader.pages()
    }

    /// Rows of the row group.
    pub fn rows(&self) -> u64 {
        self.chunk.rows()
    }

    /// What the column becomes.
    pub fn target(&self) -> DeviceTarget {
        self.target
    }

    /// Bytes to copy to the device for some rows, before the host decompresses anything, and bytes of
    /// the bodies once they are expanded: what a cost estimate or a reservation needs.
    pub fn bytes_for(&self, rows: &Range<u64>) -> (u64, u64) {
        let table = self.table();
        let pages = table.pages[self.pages_of(rows)].iter().chain(&table.dictionary);
        pages.fold((0, 0), |(raw, expanded), page| {
            let whole = page.header.map_or(0, |header| u64::from(header.uncompressed_bytes));
            (raw + (page.body.end - page.body.start), expanded + whole)
        })
    }

    /// The numbers of the pages that hold rows of a range.
    pub(super) fn pages_of(&self, rows: &Range<u64>) -> Range<usize> {
        if rows.is_empty() {
            return 0..0;
        }
        let table = self.table();
        let end = table.page_of(rows.end - 1) + 1;
        table.page_of(rows.start)..end.min(table.pages.len())
    }

    /// The dictionary's entries as an array, if there is a dictionary; read once.
    pub(super) fn host_dictionary(&mut self) -> Result<Option<ArrayRef>> {
        if self.host_dictionary.is_none() {
            self.host_dictionary = self.reader.dictionary_values()?;
        }
        Ok(self.host_dictionary.clone())
    }

    /// Where a page lies; `None` stands for the dictionary.
    pub(super) fn place(&self, page: Option<usize>) -> Place {
        let table = self.table();
        let offset = match page {
            Some(page) => table.pages.get(page).map(|page| page.offset),
            None => table.dictionary.as_ref().map(|page| page.offset),
        };
        Place { page, offset, ..self.chunk.place() }
    }

    /// A page's header and body, ready to be copied.
    pub(super) fn body(&self, page: &Page, host: &mut Decompressor) -> Flawed<(PageHeader, Body)> {
        let header = page.header.ok_or_else(|| Flaw::bug("the page was not fetched"))?;
        let raw = self.bytes.slice(page.body.clone());
        let raw = raw.ok_or_else(|| Flaw::bug("the page's bytes were not fetched"))?;
        if let Some(crc) = header.crc.filter(|_| self.limits.check_crc)
            && crc != crate::decode::crc32(&raw)
        {
            return Err(Flaw::bad("the page's checksum differs from its bytes"));
        }
        let (plain, packed) = match header.kind {
            PageKind::Dictionary => {
                let plain = [Encoding::PLAIN, Encoding::PLAIN_DICTIONARY, Encoding::RLE_DICTIONARY];
                if !plain.contains(&header.encoding) {
                    return Err(Flaw::unsupported(format!("dictionary in {}", header.encoding)));
                }
                (0, header.uncompressed_bytes != 0)
            }
            PageKind::DataV1 { levels } => {
                if self.chunk.leaf.nullable && levels != Encoding::RLE {
                    return Err(Flaw::unsupported(format!("definition levels in {levels}")));
                }
                (0, true)
            }
            PageKind::DataV2 { repetition_bytes, definition_bytes, compressed, .. } => {
                (repetition_bytes + definition_bytes, compressed)
            }
            PageKind::Index => return Err(Flaw::bug("no data page")),
        };
        if !packed || self.chunk.codec() == Codec::Uncompressed {
            return Ok((header, Body { raw, plain: 0, packed: None }));
        }
        let bytes = header.uncompressed_bytes.saturating_sub(plain);
        let split = plain as usize;
        if matches!(header.kind, PageKind::DataV2 { .. }) && bytes == 0 {
            // A page of NULLs has nothing to decompress.
            return Ok((header, Body { raw: raw.slice(..split), plain: 0, packed: None }));
        }
        let codec = match self.chunk.codec() {
            Codec::Snappy => staffa_kernels::parquet::Codec::Snappy,
            Codec::Lz4Raw => staffa_kernels::parquet::Codec::Lz4Raw,
            _ => {
                let mut out = Vec::new();
                host.decompress(&raw[split..], bytes as usize, &mut out)?;
                if plain > 0 {
                    out.splice(..0, raw[..split].iter().copied());
                }
                return Ok((header, Body { raw: out.into(), plain: 0, packed: None }));
            }
        };
        self.chunk.codec().check_claim(raw.len() - split, bytes as usize)?;
        Ok((header, Body { raw, plain, packed: Some((codec, bytes)) }))
    }

    /// Where the levels of a page stand.
    pub(super) fn levels(&self, header: &PageHeader) -> PageLevels {
        match header.kind {
            PageKind::DataV2 { repetition_bytes, definition_bytes, .. } => {
                PageLevels::At { offset: repetition_bytes, bytes: definition_bytes }
            }
            _ if self.chunk.leaf.nullable => PageLevels::Prefixed,
            _ => PageLevels::None,
        }
    }

    /// Checks that a dictionary's bytes can hold the entries that its header claims, so that memory for
    /// them may be asked for.
    pub(super) fn entries(&self, header: &PageHeader, body_bytes: u64) -> Flawed<u32> {
        let least = match self.chunk.leaf.physical {
            Physical::BYTE_ARRAY => 4,
            Physical::BOOLEAN => return Err(Flaw::bad("a dictionary of booleans")),
            _ => self.chunk.leaf.width as u64,
        };
        if u64::from(header.values) > body_bytes / least.max(1) {
            return Err(Flaw::bad("page holds fewer values than its rows need"));
        }
        Ok(header.values)
    }

    /// An error of a page.
    pub(super) fn error(&self, page: Option<usize>) -> impl Fn(Flaw) -> Error {
        let place = self.place(page);
        move |flaw| flaw.at(place.clone())
    }
}
