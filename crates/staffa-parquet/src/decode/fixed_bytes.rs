//! FIXED_LEN_BYTE_ARRAY to FixedSizeBinary.

use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeBinaryArray};
use arrow::buffer::{Buffer, NullBuffer};
use bytes::Bytes;

use crate::decode::body::{Body, too_few};
use crate::decode::scatter::beyond_dictionary;
use crate::decode::sink::Sink;
use crate::encoding::bitmap::Rows;
use crate::error::{Flaw, Flawed};

/// Values of any one width above 0.
pub(crate) struct FixedBytesSink {
    width: usize,
    out: Vec<u8>,
    dictionary: Vec<u8>,
    entries: usize,
}

impl FixedBytesSink {
    pub(crate) fn new(width: usize) -> Self {
        Self { width, out: vec![], dictionary: vec![], entries: 0 }
    }

    fn array(&self, values: Vec<u8>, nulls: Option<NullBuffer>) -> Flawed<ArrayRef> {
        let width = i32::try_from(self.width).map_err(|_| Flaw::bug("width"))?;
        let array = FixedSizeBinaryArray::try_new(width, Buffer::from_vec(values), nulls)
            .map_err(|e| Flaw::bug(e.to_string()))?;
        Ok(Arc::new(array))
    }
}

/// Appends the next value, or zeros, for each row.
fn scatter<'a>(
    mut values: impl Iterator<Item = &'a [u8]>,
    rows: &Rows<'_>,
    width: usize,
    out: &mut Vec<u8>,
) {
    match rows.bits {
        None => values.for_each(|v| out.extend_from_slice(v)),
        Some((bits, first)) => {
            for i in 0..rows.len {
                match bits.word(first + i) & 1 {
                    1 => out.extend_from_slice(values.next().unwrap_or_default()),
                    _ => out.resize(out.len() + width, 0),
                }
            }
        }
    }
}

impl Sink for FixedBytesSink {
    fn reserve(&mut self, rows: usize) {
        self.out.reserve_exact(rows * self.width);
    }

    fn take(&mut self, body: &mut Body, rows: &Rows<'_>) -> Flawed<()> {
        let values = body.take_fixed(rows.valid)?;
        if rows.valid == rows.len {
            self.out.extend_from_slice(values);
        } else {
            scatter(values.chunks_exact(self.width), rows, self.width, &mut self.out);
        }
        Ok(())
    }

    fn set_dictionary(&mut self, data: Bytes, entries: usize) -> Flawed<()> {
        let size = entries.checked_mul(self.width).ok_or_else(too_few)?;
        self.dictionary = data.get(..size).ok_or_else(too_few)?.to_vec();
        self.entries = entries;
        Ok(())
    }

    fn gather(&mut self, codes: &[u32], rows: &Rows<'_>) -> Flawed<()> {
        if codes.iter().any(|c| *c as usize >= self.entries) {
            return Err(beyond_dictionary(self.entries));
        }
        let (w, d) = (self.width, &self.dictionary[..]);
        let values = codes.iter().map(|c| &d[*c as usize * w..][..w]);
        scatter(values, rows, w, &mut self.out);
        Ok(())
    }

    fn dictionary(&self) -> Flawed<ArrayRef> {
        self.array(self.dictionary.clone(), None)
    }

    fn finish(&mut self, nulls: Option<NullBuffer>) -> Flawed<ArrayRef> {
        let values = std::mem::take(&mut self.out);
        self.array(values, nulls)
    }
}
