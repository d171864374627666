//! A morsel's columns: pages to the device, then values, all queued on one stream.

use std::ops::Range;

use staffa_kernels::abi::{ErrorCode, ErrorSlot};

use super::column::DeviceColumn;
use super::pages::{Body, DeviceChunk};
use super::stage::{Placed, Staged, stage};
use super::values::column;
use super::{DecodeContext, at};
use crate::codec::Decompressor;
use crate::error::{Error, Flaw, Place, Result};
use crate::page::{PageHeader, PageKind};

/// A morsel's columns. The work that makes them is queued; they may be believed once the error slot of
/// the context was read and [`Decoded::check`] found nothing in it.
pub struct Decoded {
    /// Rows of every column.
    pub rows: u32,
    /// In the order of the chunks.
    pub columns: Vec<DeviceColumn>,
    origins: Vec<Origin>,
}

/// What the ordinals in the error slot stand for.
enum Origin {
    Page(Place),
    /// A whole column: the pages' places, with the row of the morsel behind each.
    Column(Vec<(u64, Place)>),
}

/// A page that is decoded, and where its body is.
pub(super) struct PlacedPage {
    /// Its number among the chunk's data pages; none for the dictionary.
    pub(super) number: Option<usize>,
    pub(super) header: PageHeader,
    /// Row of the morsel of the page's first; negative where the page begins before the morsel.
    pub(super) first_row: i64,
    pub(super) rows: u32,
    pub(super) ordinal: u32,
    pub(super) body: usize,
}

/// A column's pages, as indexes into the staged bodies.
pub(super) struct ColumnPages {
    pub(super) dictionary: Option<PlacedPage>,
    pub(super) pages: Vec<PlacedPage>,
    /// What errors about the whole column name.
    pub(super) ordinal: u32,
}

impl ColumnPages {
    /// The bodies' places.
    pub(super) fn places<'a>(&'a self, staged: &'a Staged) -> impl Iterator<Item = Placed> + 'a {
        let all = self.dictionary.iter().chain(&self.pages);
        all.filter_map(|page| staged.places.get(page.body).copied())
    }
}

/// Queues the decoding of rows `rows` of the row group, for all columns.
///
/// # Errors
/// `BadInput` when a page's header or, on a codec of the host's, its body is wrong; `Unsupported` when an
/// encoding has no kernel; out of memory; the device's faults. What the device finds wrong in the bytes
/// is in the error slot, not here.
pub fn decode(
    context: &DecodeContext<'_>,
    chunks: &mut [DeviceChunk],
    rows: Range<u64>,
) -> Result<Decoded> {
    let file =
        chunks.first().map(|c| Place { column: None, ..c.chunk.place() }).unwrap_or_default();
    let count = rows.end.saturating_sub(rows.start);
    let count = u32::try_from(count).ok().filter(|&n| n <= i32::MAX as u32).ok_or_else(|| {
        Flaw::unsupported(format!("a morsel of {count} rows on a device")).at(file.clone())
    })?;
    let mut listed = Listed::default();
    let mut columns = Vec::with_capacity(chunks.len());
    for chunk in chunks.iter() {
        if rows.end > chunk.rows() {
            return Err(Flaw::bug(format!("rows {rows:?} asked for")).at(chunk.chunk.place()));
        }
        columns.push(listed.column(chunk, &rows)?);
    }
    let staged = stage(context, &listed.bodies, &listed.ordinals).map_err(at(file))?;
    let columns = columns
        .iter()
        .zip(chunks)
        .map(|(pages, chunk)| column(context, chunk, pages, &staged, count))
        .collect::<Result<_>>()?;
    Ok(Decoded { rows: count, columns, origins: listed.origins })
}

/// Bodies and ordinals of all columns so far.
#[derive(Default)]
struct Listed {
    bodies: Vec<Body>,
    ordinals: Vec<u32>,
    origins: Vec<Origin>,
}

impl Listed {
    fn column(&mut self, chunk: &DeviceChunk, rows: &Range<u64>) -> Result<ColumnPages> {
        let mut host = Decompressor::new(chunk.chunk.codec());
        let table = chunk.table();
        let dictionary = match &table.dictionary {
            Some(page) if !rows.is_empty() => {
                let (header, body) = chunk.body(page, &mut host).map_err(chunk.error(None))?;
                let ordinal = self.ordinal(Origin::Page(chunk.place(None)));
                let body = self.body(body, ordinal);
                let rows = header.values;
                Some(PlacedPage { number: None, header, first_row: 0, rows, ordinal, body })
            }
            _ => None,
        };
        let numbers = chunk.pages_of(rows);
        let mut pages = Vec::with_capacity(numbers.len());
        let mut ends = Vec::with_capacity(numbers.len());
        for number in numbers {
            let page = &table.pages[number];
            let (header, body) = chunk.body(page, &mut host).map_err(chunk.error(Some(number)))?;
            if matches!(header.kind, PageKind::Dictionary | PageKind::Index) {
                return Err(chunk.error(Some(number))(Flaw::bug("no data page")));
            }
            let ordinal = self.ordinal(Origin::Page(chunk.place(Some(number))));
            let body = self.body(body, ordinal);
            ends.push((page.end_row().saturating_sub(rows.start), chunk.place(Some(number))));
            let first_row = page.first_row as i64 - rows.start as i64;
            let (number, rows) = (Some(number), page.rows);
            pages.push(PlacedPage { number, header, first_row, rows, ordinal, body });
        }
        let ordinal = self.ordinal(Origin::Column(ends));
        Ok(ColumnPages { dictionary, pages, ordinal })
    }

    fn ordinal(&mut self, origin: Origin) -> u32 {
        self.origins.push(origin);
        // Fewer than the bytes of a row group.
        (self.origins.len() - 1) as u32
    }

    fn body(&mut self, body: Body, ordinal: u32) -> usize {
        self.bodies.push(body);
        self.ordinals.push(ordinal);
        self.bodies.len() - 1
    }
}

impl Decoded {
    /// What the device found wrong in the pages, if anything, with column and page.
    ///
    /// # Errors
    /// `BadInput` with the place; `Bug` for a number that no decode kernel writes.
    pub fn check(&self, slot: &ErrorSlot) -> Result<()> {
        if slot.code == 0 {
            return Ok(());
        }
        let place = match self.origins.get(slot.where_ as usize) {
            Some(Origin::Page(place)) => place.clone(),
            Some(Origin::Column(pages)) => {
                let at = pages.partition_point(|(end, _)| *end <= u64::from(slot.row));
                pages.get(at).map(|(_, place)| place.clone()).unwrap_or_default()
            }
            None => Place::default(),
        };
        let Some(code) = ErrorCode::from_number(slot.code) else {
            let what = format!("a kernel reported the unknown error {}", slot.code);
            return Err(Flaw::bug(what).at(place));
        };
        let what = format!(
            "P{:03} {} (row {}: {} against {})",
            slot.code,
            code.meaning(),
            slot.row,
            slot.detail,
            slot.bound
        );
        Err(Error::new(staffa_common::FaultClass::BadInput, what, place))
    }
}
