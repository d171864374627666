//! BYTE_ARRAY to Utf8, LargeUtf8, Binary and LargeBinary: bytes are copied, offsets written.

use std::marker::PhantomData;

use arrow::array::{ArrayRef, OffsetSizeTrait};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{ArrowNativeType, ByteArrayType};
use bytes::Bytes;

use crate::decode::body::{Body, Span, too_few};
use crate::decode::scatter::{gather, scatter};
use crate::decode::sink::Sink;
use crate::decode::trusted;
use crate::decode::views::{check_adjacent, check_prefixed};
use crate::encoding::bitmap::Rows;
use crate::error::{Flaw, Flawed};

/// Collects values behind each other. `T` gives the offsets' width; `utf8` whether to validate.
pub(crate) struct StringSink<T: ByteArrayType> {
    utf8: bool,
    limit_bytes: usize,
    offsets: Vec<T::Offset>,
    values: Vec<u8>,
    dense: Vec<Span>,
    rows: Vec<Span>,
    dictionary: Vec<Span>,
    dictionary_bytes: Bytes,
    array: PhantomData<T>,
}

impl<T: ByteArrayType> StringSink<T> {
    pub(crate) fn new(utf8: bool, limit_bytes: usize) -> Self {
        Self {
            utf8,
            limit_bytes,
            offsets: vec![],
            values: vec![],
            dense: vec![],
            rows: vec![],
            dictionary: vec![],
            dictionary_bytes: Bytes::new(),
            array: PhantomData,
        }
    }

    /// Appends the spans in `rows`, which lie in `bytes`.
    fn copy(&mut self, bytes: &[u8]) -> Flawed<()> {
        let total: u64 = self.rows.iter().map(|s| u64::from(s.len)).sum();
        let end = self.values.len() as u64 + total;
        let limit = if T::Offset::IS_LARGE { u64::MAX } else { i32::MAX as u64 };
        if end > limit.min(self.limit_bytes as u64) {
            return Err(Flaw::too_large(format!("{end} bytes of strings in one batch")));
        }
        self.values.reserve(total as usize + SPARE);
        self.offsets.reserve(self.rows.len() + 1);
        if self.offsets.is_empty() {
            self.offsets.push(T::Offset::default());
        }
        for span in &self.rows {
            append(bytes, *span, &mut self.values);
            // It fits: the sum was compared with the limit.
            self.offsets.push(T::Offset::usize_as(self.values.len()));
        }
        Ok(())
    }
}

/// Appends a string. Most are short: a copy of fixed size, of which the rest is taken back, beats
/// a call of `memcpy`.
#[inline]
fn append(bytes: &[u8], span: Span, out: &mut Vec<u8>) {
    let len = span.len as usize;
    match bytes.get(span.start as usize..).and_then(|b| b.first_chunk::<SPARE>()) {
        Some(chunk) if len <= SPARE => {
            let end = out.len() + len;
            out.extend_from_slice(chunk);
            out.truncate(end);
        }
        _ => out.extend_from_slice(span.of(bytes)),
    }
}

/// Bytes that are copied at once.
const SPARE: usize = 32;

impl<T: ByteArrayType> Sink for StringSink<T> {
    fn reserve(&mut self, rows: usize) {
        self.offsets.reserve_exact(rows + 1);
    }

    fn take(&mut self, body: &mut Body, rows: &Rows<'_>) -> Flawed<()> {
        self.dense.clear();
        let prefixed = matches!(body, Body::Prefixed { .. });
        let bytes = body.take_spans(rows.valid, &mut self.dense)?;
        match self.utf8 {
            true if prefixed => check_prefixed(&bytes, &self.dense)?,
            true => check_adjacent(&bytes, &self.dense)?,
            false => {}
        }
        if rows.valid == rows.len {
            std::mem::swap(&mut self.dense, &mut self.rows);
        } else {
            self.rows.clear();
            scatter(&self.dense, rows, &mut self.rows, |s| s);
        }
        self.copy(&bytes)
    }

    fn set_dictionary(&mut self, data: Bytes, entries: usize) -> Flawed<()> {
        if entries > data.len() / 4 {
            return Err(too_few());
        }
        let mut spans = vec![];
        Body::Prefixed { bytes: data.clone(), at: 0 }.take_spans(entries, &mut spans)?;
        if self.utf8 {
            check_prefixed(&data, &spans)?;
        }
        self.dictionary = spans;
        self.dictionary_bytes = data;
        Ok(())
    }

    fn gather(&mut self, codes: &[u32], rows: &Rows<'_>) -> Flawed<()> {
        self.rows.clear();
        gather(codes, rows, &self.dictionary, &mut self.rows)?;
        let bytes = self.dictionary_bytes.clone();
        self.copy(&bytes)
    }

    fn dictionary(&self) -> Flawed<ArrayRef> {
        let mut copy = Self::new(self.utf8, self.limit_bytes);
        copy.rows.clone_from(&self.dictionary);
        copy.copy(&self.dictionary_bytes)?;
        copy.finish(None)
    }

    fn finish(&mut self, nulls: Option<NullBuffer>) -> Flawed<ArrayRef> {
        let mut offsets = std::mem::take(&mut self.offsets);
        if offsets.is_empty() {
            offsets.push(T::Offset::default());
        }
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        trusted::byte_array::<T>(offsets, std::mem::take(&mut self.values), nulls)
    }
}
