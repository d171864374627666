//! What the footer says about one column chunk, checked.

use std::ops::Range;
use std::sync::Arc;

use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::page_index::offset_index::PageLocation;

use crate::codec::Codec;
use crate::decode::LeafType;
use crate::error::{Flaw, Flawed, Place, Result};
use crate::file::footer::Footer;

/// A leaf column in a row group.
#[derive(Debug)]
pub struct ColumnChunk {
    footer: Arc<Footer>,
    row_group: usize,
    leaf_index: usize,
    path: Arc<str>,
    pub(crate) leaf: LeafType,
    pub(crate) codec: Codec,
    pub(crate) rows: u64,
    range: Range<u64>,
}

impl ColumnChunk {
    /// # Errors
    /// `Unsupported` when the leaf cannot be decoded here, `BadInput` for impossible figures.
    pub(crate) fn new(footer: &Arc<Footer>, row_group: usize, leaf: usize) -> Result<Self> {
        let rows = footer.rows(row_group)?;
        let group = footer.metadata().row_group(row_group);
        let meta = group.columns().get(leaf).ok_or_else(|| {
            Flaw::bug(format!("no leaf column {leaf}")).at(footer.place(Some(row_group)))
        })?;
        let path: Arc<str> = meta.column_path().string().into();
        let place = Place { column: Some(path.clone()), ..footer.place(Some(row_group)) };
        let checked = || -> Flawed<_> {
            let leaf = LeafType::of(meta.column_descr())?;
            if u64::try_from(meta.num_values()) != Ok(rows) {
                return Err(Flaw::bad(format!(
                    "{} values in a row group of {rows} rows",
                    meta.num_values()
                )));
            }
            Ok((leaf, Codec::of(meta.compression())?, byte_range(meta, footer.file_bytes())?))
        };
        let (leaf_type, codec, range) = checked().map_err(|f| f.at(place))?;
        let footer = footer.clone();
        Ok(Self { footer, row_group, leaf_index: leaf, path, leaf: leaf_type, codec, rows, range })
    }

    /// Where the chunk lies in the file.
    pub fn range(&self) -> Range<u64> {
        self.range.clone()
    }

    /// Rows of the row group.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The codec of its pages.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// The leaf's type.
    pub fn leaf(&self) -> &LeafType {
        &self.leaf
    }

    /// The row group's number.
    pub fn row_group(&self) -> usize {
        self.row_group
    }

    /// The leaf's number.
    pub fn leaf_index(&self) -> usize {
        self.leaf_index
    }

    /// File, row group and column, for errors.
    pub fn place(&self) -> Place {
        Place { column: Some(self.path.clone()), ..self.footer.place(Some(self.row_group)) }
    }

    /// Page locations of the offset index, if it was loaded.
    pub(crate) fn locations(&self) -> Option<&[PageLocation]> {
        locations(&self.footer, self.row_group, self.leaf_index)
    }
}

pub(crate) fn locations(footer: &Footer, row_group: usize, leaf: usize) -> Option<&[PageLocation]> {
    let index = footer.metadata().offset_index()?.get(row_group)?.get(leaf)?;
    Some(index.page_locations()).filter(|l| !l.is_empty()).map(|l| &l[..])
}

/// Where a chunk lies: from its dictionary, or else its first data page.
pub(crate) fn byte_range(meta: &ColumnChunkMetaData, file_bytes: u64) -> Flawed<Range<u64>> {
    let bad = || Flaw::bad("the column chunk lies outside its file");
    let data = u64::try_from(meta.data_page_offset()).map_err(|_| bad())?;
    // Some writers give 0 for "no dictionary": nothing can start there, "PAR1" does.
    let start = match meta.dictionary_page_offset().map(u64::try_from) {
        Some(Ok(d)) if d > 0 && d < data => d,
        Some(Err(_)) => return Err(bad()),
        _ => data,
    };
    let len = u64::try_from(meta.compressed_size()).map_err(|_| bad())?;
    let end = start.checked_add(len).filter(|e| *e <= file_bytes).ok_or_else(bad)?;
    Ok(start..end)
}
