//! BOOLEAN to Boolean.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, BooleanBufferBuilder};
use arrow::buffer::NullBuffer;
use bytes::Bytes;

use crate::decode::body::{Body, too_few};
use crate::decode::sink::Sink;
use crate::encoding::bitmap::{Rows, low_mask};
use crate::error::{Flaw, Flawed};

/// Bits in, bits out.
pub(crate) struct BooleanSink {
    out: BooleanBufferBuilder,
}

impl BooleanSink {
    pub(crate) fn new() -> Self {
        Self { out: BooleanBufferBuilder::new(0) }
    }
}

/// Puts the lowest bits of `source` where `mask` has a bit set.
fn deposit(mut source: u64, mut mask: u64) -> u64 {
    let mut out = 0;
    while mask != 0 {
        let lowest = mask & mask.wrapping_neg();
        if source & 1 == 1 {
            out |= lowest;
        }
        source >>= 1;
        mask ^= lowest;
    }
    out
}

impl Sink for BooleanSink {
    fn reserve(&mut self, rows: usize) {
        self.out.reserve(rows);
    }

    fn take(&mut self, body: &mut Body, rows: &Rows<'_>) -> Flawed<()> {
        let (source, at) = match body {
            Body::Bits { bits, at } => (bits, at),
            Body::Empty if rows.valid == 0 => {
                self.out.append_n(rows.len, false);
                return Ok(());
            }
            _ => return Err(Flaw::bug("page body of another form than bits")),
        };
        if *at + rows.valid > source.len() {
            return Err(too_few());
        }
        match rows.bits.filter(|_| rows.valid < rows.len) {
            None => self.out.append_packed_range(*at..*at + rows.len, source.bytes()),
            Some((valid, first)) => {
                let mut from = *at;
                for start in (0..rows.len).step_by(64) {
                    let n = (rows.len - start).min(64);
                    let mask = valid.word(first + start) & low_mask(n);
                    let word = deposit(source.word(from), mask);
                    self.out.append_packed_range(0..n, &word.to_le_bytes());
                    from += mask.count_ones() as usize;
                }
            }
        }
        *at += rows.valid;
        Ok(())
    }

    fn set_dictionary(&mut self, _: Bytes, _: usize) -> Flawed<()> {
        Err(Flaw::bad("a dictionary of booleans"))
    }

    fn gather(&mut self, _: &[u32], _: &Rows<'_>) -> Flawed<()> {
        Err(Flaw::bad("dictionary codes for booleans"))
    }

    fn dictionary(&self) -> Flawed<ArrayRef> {
        Err(Flaw::bug("booleans have no dictionary"))
    }

    fn finish(&mut self, nulls: Option<NullBuffer>) -> Flawed<ArrayRef> {
        Ok(Arc::new(BooleanArray::new(self.out.finish(), nulls)))
    }
}
