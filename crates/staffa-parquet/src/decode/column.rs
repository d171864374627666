//! Reads one column chunk, batch by batch.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanBufferBuilder, UInt32Array};
use arrow::buffer::{BooleanBuffer, NullBuffer, ScalarBuffer};
use arrow::compute::{filter, take};
use arrow::datatypes::{DataType, UInt32Type};

use crate::chunk::ChunkBytes;
use crate::decode::batch::{Batch, check_codes, for_codes, look_up, spans};
use crate::decode::body::Body;
use crate::decode::page::{OpenPage, Opener};
use crate::decode::scatter::scatter;
use crate::decode::sink::Sink;
use crate::decode::target::{self};
use crate::encoding::bitmap::Rows;
use crate::error::{Flaw, Flawed, Place, Result};
use crate::file::ColumnChunk;
use crate::limits::Limits;
use crate::page::{PageTable, TableInput};
use crate::selection::{Rows as SelectedRows, Selection};

/// Between selected ranges, up to this many rows are decoded and then filtered out: starting a
/// range anew takes about as long.
const GAP_ROWS: u64 = 24;

/// A decoded batch of one column.
#[derive(Debug, Clone)]
pub enum Column {
    /// Values.
    Plain(ArrayRef),
    /// Codes into a dictionary that is the same (`Arc::ptr_eq`) for all batches of a chunk.
    Dictionary {
        /// One per row, below `values.len()`; 0 where the row is NULL.
        codes: ScalarBuffer<u32>,
        /// Which rows are not NULL; absent: all.
        nulls: Option<NullBuffer>,
        /// The entries, of the requested type, none NULL. They need not be distinct.
        values: ArrayRef,
    },
}

impl Column {
    /// Rows.
    pub fn len(&self) -> usize {
        match self {
            Column::Plain(a) => a.len(),
            Column::Dictionary { codes, .. } => codes.len(),
        }
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The values: looks codes up in their dictionary.
    ///
    /// # Errors
    /// When arrow's `take` does.
    pub fn into_array(self) -> Result<ArrayRef> {
        match self {
            Column::Plain(a) => Ok(a),
            Column::Dictionary { codes, nulls, values } => {
                let codes = UInt32Array::new(codes, nulls);
                take(&values, &codes, None)
                    .map_err(|e| Flaw::bug(e.to_string()).at(Place::default()))
            }
        }
    }
}

/// How to read a column.
#[derive(Debug, Clone)]
pub struct ReadOptions {
    /// The Arrow type to produce. [`supports`](crate::supports) says which.
    pub data_type: DataType,
    /// Return codes and dictionary for batches that lie wholly in dictionary-encoded pages.
    pub codes: bool,
    /// Bounds on memory.
    pub limits: Limits,
}

impl ReadOptions {
    /// Values of a type, default limits.
    pub fn new(data_type: DataType) -> Self {
        Self { data_type, codes: false, limits: Limits::default() }
    }

    /// Codes and dictionary where possible.
    pub fn with_codes(mut self) -> Self {
        self.codes = true;
        self
    }
}

/// Decodes rows of one column chunk, forward only. It is `Send`: different columns can be decoded
/// on different threads.
///
/// A page is decompressed when the first of its selected rows is asked for and kept until a later
/// page is; pages without selected rows are never touched.
pub struct ColumnReader {
    chunk: Arc<ColumnChunk>,
    bytes: ChunkBytes,
    table: PageTable,
    opener: Opener,
    sink: Box<dyn Sink>,
    keep_codes: bool,
    dictionary: Dictionary,
    page: Option<(usize, OpenPage)>,
    /// The first row that may still be asked for.
    next_row: u64,
    scratch: Vec<u32>,
    failed: bool,
}

enum Dictionary {
    Unread,
    Absent,
    Read { entries: usize, array: Option<ArrayRef> },
}

impl ColumnReader {
    /// A reader for a chunk whose bytes, or those of the pages that will be asked for, are
    /// `bytes`.
    ///
    /// # Errors
    /// `Unsupported` when the column cannot be read as the type asked for; `BadInput` when a page
    /// header, or their sum, is wrong.
    pub fn new(chunk: Arc<ColumnChunk>, bytes: ChunkBytes, options: &ReadOptions) -> Result<Self> {
        let limits = options.limits.clone();
        let sink = target::sink(&chunk.leaf, &options.data_type, &limits)
            .map_err(|f| f.at(chunk.place()))?;
        let input = TableInput {
            chunk: &bytes,
            rows: chunk.rows,
            codec: chunk.codec,
            locations: chunk.locations(),
            limits: &limits,
        };
        let table = PageTable::build(&input)
            .map_err(|(f, offset)| f.at(Place { offset: Some(offset), ..chunk.place() }))?;
        let opener = Opener::new(chunk.leaf, chunk.codec, limits);
        Ok(Self {
            chunk,
            bytes,
            table,
            opener,
            sink,
            keep_codes: options.codes,
            dictionary: Dictionary::Unread,
            page: None,
            next_row: 0,
            scratch: vec![],
            failed: false,
        })
    }

    /// The chunk's pages.
    pub fn pages(&self) -> &PageTable {
        &self.table
    }

    /// Rows of the row group.
    pub fn rows(&self) -> u64 {
        self.chunk.rows
    }

    /// The dictionary's entries, if the chunk has a dictionary: for testing predicates before any
    /// row is decoded.
    ///
    /// # Errors
    /// `BadInput` when the dictionary page is wrong.
    pub fn dictionary_values(&mut self) -> Result<Option<ArrayRef>> {
        let at = self.table.dictionary.as_ref().map(|p| p.offset);
        self.dictionary_array().map_err(|f| f.at(Place { offset: at, ..self.chunk.place() }))
    }

    /// Decodes the selected rows. Rows may only be asked for in ascending order, over all calls.
    ///
    /// # Errors
    /// `BadInput` when the bytes are wrong: the error names page and offset, and the reader cannot
    /// be used any more. `Bug` when rows lie before rows already read, behind the row group's end,
    /// or in pages that were not fetched.
    pub fn decode(&mut self, rows: &Selection) -> Result<Column> {
        if self.failed {
            return Err(Flaw::bug("the reader failed before").at(self.chunk.place()));
        }
        self.failed = true;
        let column = self.decode_batch(rows)?;
        self.failed = false;
        Ok(column)
    }

    fn decode_batch(&mut self, rows: &Selection) -> Result<Column> {
        if let Some(bounds) = rows.bounds() {
            if bounds.start < self.next_row || bounds.end > self.chunk.rows {
                let what = format!("rows {bounds:?} asked for at row {}", self.next_row);
                return Err(Flaw::bug(what).at(self.chunk.place()));
            }
            self.next_row = bounds.end;
        }
        let len = rows.len() as usize;
        let codes = self.keep_codes.then(|| Vec::with_capacity(len));
        let mut batch =
            Batch { rows: 0, nulls: None, codes, keep: vec![], gaps: false, mask: None };
        if batch.codes.is_none() {
            self.sink.reserve(len);
        }
        if let SelectedRows::Mask { first, mask, .. } = &rows.rows {
            return self.decode_mask(*first, mask, batch);
        }
        let ranges = rows.ranges();
        let mut ranges = ranges.iter().cloned().peekable();
        let mut rest = ranges.next();
        while let Some(range) = rest.take() {
            let index = self.turn_to(range.start)?;
            let page_end = self.table.pages[index].end_row();
            let mut span = range.start..range.end.min(page_end);
            batch.keep_rows(span.end - span.start, true);
            // Ranges that lie close together are read as one and filtered at the end.
            while let Some(next) = ranges.next_if(|n| {
                n.start - span.end <= GAP_ROWS && n.end <= page_end && range.end <= page_end
            }) {
                batch.keep_rows(next.start - span.end, false);
                batch.keep_rows(next.end - next.start, true);
                span.end = next.end;
            }
            self.read(index, span, &mut batch).map_err(|f| f.at(self.place_of(index)))?;
            rest = match range.end > page_end {
                true => Some(page_end..range.end),
                false => ranges.next(),
            };
        }
        self.finish(batch).map_err(|f| f.at(self.chunk.place()))
    }

    /// Decodes the rows between the first and the last set bit, but for long stretches without
    /// any, and filters.
    fn decode_mask(
        &mut self,
        first: u64,
        mask: &BooleanBuffer,
        mut batch: Batch,
    ) -> Result<Column> {
        let spans = spans(mask);
        for span in &spans {
            let (mut row, end) = (first + span.start as u64, first + span.end as u64);
            while row < end {
                let index = self.turn_to(row)?;
                let stop = end.min(self.table.pages[index].end_row());
                self.read(index, row..stop, &mut batch).map_err(|f| f.at(self.place_of(index)))?;
                row = stop;
            }
        }
        batch.mask = Some(match &spans[..] {
            [all] if all.end - all.start == mask.len() => mask.clone(),
            _ => {
                let mut kept = BooleanBufferBuilder::new(batch.rows);
                spans.iter().for_each(|s| kept.append_buffer(&mask.slice(s.start, s.len())));
                kept.finish()
            }
        });
        self.finish(batch).map_err(|f| f.at(self.chunk.place()))
    }

    fn place_of(&self, index: usize) -> Place {
        let offset = self.table.pages.get(index).map(|p| p.offset);
        Place { page: Some(index), offset, ..self.chunk.place() }
    }

    /// Opens the page that holds `row`, unless it is open; returns its number.
    fn turn_to(&mut self, row: u64) -> Result<usize> {
        let index = match &self.page {
            Some((i, _)) if row < self.table.pages[*i].end_row() => return Ok(*i),
            Some((i, _)) if self.table.pages.get(i + 1).is_some_and(|p| row < p.end_row()) => i + 1,
            _ => self.table.page_of(row),
        };
        // Read even when no code asks for it, so that a wrong dictionary is an error either way.
        let dictionary = self.table.dictionary.as_ref().map(|p| p.offset);
        self.entries().map_err(|f| f.at(Place { offset: dictionary, ..self.chunk.place() }))?;
        self.open(index).map_err(|f| f.at(self.place_of(index)))?;
        Ok(index)
    }

    fn open(&mut self, index: usize) -> Flawed<()> {
        // A reader that comes from the page before goes on to the one behind, most likely.
        let mut goes_on = false;
        if let Some((before, page)) = self.page.take() {
            goes_on = before + 1 == index;
            self.opener.close(page);
        }
        let page = self.table.pages.get(index).ok_or_else(|| Flaw::bug("row without a page"))?;
        let header = page.header.ok_or_else(|| Flaw::bug("the page was not fetched"))?;
        let body = self.bytes.slice(page.body.clone());
        let body = body.ok_or_else(|| Flaw::bug("the page's bytes were not fetched"))?;
        let next =
            self.table.pages.get(index + 1).filter(|_| goes_on).and_then(|next| {
                Some((next.header.as_ref()?, self.bytes.slice(next.body.clone())?))
            });
        let has_dictionary = self.table.dictionary.is_some();
        let open = self.opener.open(index, &header, body, next, has_dictionary)?;
        self.page = Some((index, open));
        Ok(())
    }

    /// Number of entries, reading the dictionary page if that was not done yet.
    fn entries(&mut self) -> Flawed<Option<usize>> {
        if matches!(self.dictionary, Dictionary::Unread) {
            self.dictionary = match &self.table.dictionary {
                None => Dictionary::Absent,
                Some(page) => {
                    let header = page.header.ok_or_else(|| Flaw::bug("dictionary header"))?;
                    let body = self.bytes.slice(page.body.clone());
                    let body = body.ok_or_else(|| Flaw::bug("the dictionary was not fetched"))?;
                    let data = self.opener.dictionary(&header, body)?;
                    let entries = header.values as usize;
                    self.sink.set_dictionary(data.clone(), entries)?;
                    self.opener.take_back(data);
                    Dictionary::Read { entries, array: None }
                }
            };
        }
        match &self.dictionary {
            Dictionary::Read { entries, .. } => Ok(Some(*entries)),
            _ => Ok(None),
        }
    }

    fn dictionary_array(&mut self) -> Flawed<Option<ArrayRef>> {
        self.entries()?;
        if let Dictionary::Read { array, .. } = &mut self.dictionary {
            if array.is_none() {
                *array = Some(self.sink.dictionary()?);
            }
            return Ok(array.clone());
        }
        Ok(None)
    }

    /// Reads rows that lie in the open page.
    fn read(&mut self, index: usize, rows: Range<u64>, batch: &mut Batch) -> Flawed<()> {
        let first = self.table.pages[index].first_row;
        let entries = self.entries()?.unwrap_or(0);
        let Some((_, page)) = &mut self.page else { return Err(Flaw::bug("no open page")) };
        let (start, len) = ((rows.start - first) as usize, (rows.end - rows.start) as usize);
        let passed = start.checked_sub(page.row).ok_or_else(|| Flaw::bug("row order"))?;
        let has_value = |at: usize, n: usize| match &page.validity {
            Some(bits) => bits.count(at, n),
            None => n,
        };
        if passed > 0 {
            page.body.skip(has_value(page.row, passed))?;
        }
        page.row = start + len;
        let valid = has_value(start, len);
        let bits = page.validity.as_ref().filter(|_| valid < len).map(|b| (b, start));
        let rows = Rows { len, valid, bits };
        batch.append_validity(&rows);
        batch.rows += len;
        match &mut page.body {
            Body::Codes { reader } => {
                let Some(out) = &mut batch.codes else {
                    let sink = &mut self.sink;
                    return for_codes(reader, rows, &mut self.scratch, |codes, rows| {
                        sink.gather(codes, rows)
                    });
                };
                let from = out.len();
                if rows.bits.is_none() {
                    out.resize(from + len, 0);
                    reader.read(&mut out[from..])?;
                } else {
                    for_codes(reader, rows, &mut self.scratch, |codes, rows| {
                        scatter(codes, rows, out, |c| c);
                        Ok(())
                    })?;
                }
                check_codes(&out[from..], reader.width(), entries)
            }
            // A page of NULLs fits either form.
            Body::Empty if batch.codes.is_some() && self.table.dictionary.is_some() => {
                if let Some(out) = &mut batch.codes {
                    out.resize(out.len() + len, 0);
                }
                Ok(())
            }
            body => {
                if let Some(codes) = batch.codes.take()
                    && !codes.is_empty()
                {
                    look_up(&mut *self.sink, &codes, batch, len)?;
                }
                self.sink.take(body, &rows)
            }
        }
    }

    fn finish(&mut self, batch: Batch) -> Flawed<Column> {
        let keep = batch.filter();
        let nulls = batch.nulls.map(|mut b| NullBuffer::new(b.finish()));
        if let Some(codes) = batch.codes
            && let Some(values) = self.dictionary_array()?
        {
            let Some(keep) = keep else {
                return Ok(Column::Dictionary { codes: ScalarBuffer::from(codes), nulls, values });
            };
            let codes = UInt32Array::new(codes.into(), nulls);
            let kept = filter(&codes, &keep).map_err(|e| Flaw::bug(e.to_string()))?;
            let (_, codes, nulls) = kept.as_primitive::<UInt32Type>().clone().into_parts();
            return Ok(Column::Dictionary { codes, nulls, values });
        }
        let array = self.sink.finish(nulls)?;
        match keep {
            Some(keep) => {
                let kept = filter(&array, &keep).map_err(|e| Flaw::bug(e.to_string()))?;
                Ok(Column::Plain(kept))
            }
            None => Ok(Column::Plain(array)),
        }
    }
}

impl std::fmt::Debug for ColumnReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ColumnReader")
            .field("place", &self.chunk.place().to_string())
            .field("next_row", &self.next_row)
            .finish_non_exhaustive()
    }
}

#[expect(dead_code, reason = "a compile-time check")]
fn readers_are_send(reader: ColumnReader) -> impl Send {
    reader
}
