//! One batch while it is decoded: its validity, codes, and which of the rows read are selected.

use std::ops::Range;

use arrow::array::{BooleanArray, BooleanBufferBuilder};
use arrow::buffer::BooleanBuffer;

use crate::decode::scatter::beyond_dictionary;
use crate::decode::sink::Sink;
use crate::encoding::bitmap::{Bitmap, Rows};
use crate::encoding::hybrid::HybridReader;
use crate::error::Flawed;

/// What a batch has so far.
pub(crate) struct Batch {
    pub(crate) rows: usize,
    pub(crate) nulls: Option<BooleanBufferBuilder>,
    /// Codes of all rows so far; `None` once a row came that has no code.
    pub(crate) codes: Option<Vec<u32>>,
    /// Which of the rows are selected, unless all are. Each entry is a run of rows.
    pub(crate) keep: Vec<(u64, bool)>,
    pub(crate) gaps: bool,
    /// The same as a bitmap, when the selection was one.
    pub(crate) mask: Option<BooleanBuffer>,
}

/// In a mask, a stretch without a row is passed over when it has this many words of 64 rows.
const SKIP_WORDS: usize = 2;

/// Codes unpacked at a time: 16 KiB of them, half of a first-level cache.
const CODES: usize = 4096;

/// Gives the values of a batch's codes to the sink, when a page without codes follows. The slot of
/// a NULL, which has code 0, must not be looked up: the dictionary may be empty.
pub(crate) fn look_up(
    sink: &mut dyn Sink,
    codes: &[u32],
    batch: &Batch,
    new_rows: usize,
) -> Flawed<()> {
    let len = codes.len();
    debug_assert_eq!(batch.rows, len + new_rows);
    let Some(nulls) = &batch.nulls else {
        let rows = Rows { len, valid: len, bits: None };
        return sink.gather(codes, &rows);
    };
    let mut bits = Bitmap::default();
    bits.append_packed(nulls.as_slice(), len)?;
    let dense: Vec<u32> = (0..len).filter(|i| bits.word(*i) & 1 == 1).map(|i| codes[i]).collect();
    let rows = Rows { len, valid: dense.len(), bits: Some((&bits, 0)) };
    sink.gather(&dense, &rows)
}

/// Checks that all codes are below the number of entries. Slots of NULLs hold 0, which is fine
/// also for an empty dictionary: nothing looks them up.
pub(crate) fn check_codes(codes: &[u32], width: u8, entries: usize) -> Flawed<()> {
    if width < 32 && 1usize << width <= entries {
        return Ok(()); // No code of this width can be too large.
    }
    // `last - code` is negative exactly for a code too large, as both are below 2^31; the baseline
    // instruction set has no maximum of 32-bit integers, which takes three times as long.
    let last = u32::try_from(entries.max(1) - 1).unwrap_or(u32::MAX >> 1).min(u32::MAX >> 1);
    let (signs, all) = codes.iter().fold((0, 0), |(s, a), c| (s | last.wrapping_sub(*c), a | *c));
    if (signs | all) >> 31 == 1 {
        return Err(beyond_dictionary(entries));
    }
    Ok(())
}

/// Unpacks codes piece by piece and hands them on.
pub(crate) fn for_codes(
    reader: &mut HybridReader,
    rows: Rows<'_>,
    scratch: &mut Vec<u32>,
    mut each: impl FnMut(&[u32], &Rows<'_>) -> Flawed<()>,
) -> Flawed<()> {
    scratch.resize(CODES, 0);
    let mut done = 0;
    while done < rows.len {
        let len = (rows.len - done).min(CODES);
        let (valid, bits) = match rows.bits {
            Some((b, first)) => (b.count(first + done, len), Some((b, first + done))),
            None => (len, None),
        };
        let codes = &mut scratch[..valid];
        reader.read(codes)?;
        each(codes, &Rows { len, valid, bits })?;
        done += len;
    }
    Ok(())
}

impl Batch {
    pub(crate) fn keep_rows(&mut self, rows: u64, keep: bool) {
        self.keep.push((rows, keep));
        self.gaps |= !keep;
    }

    /// The rows to keep, if some were read only because they lie between others.
    pub(crate) fn filter(&self) -> Option<BooleanArray> {
        if let Some(mask) = &self.mask {
            return Some(BooleanArray::new(mask.clone(), None));
        }
        self.gaps.then(|| {
            let mut mask = BooleanBufferBuilder::new(self.rows);
            self.keep.iter().for_each(|(rows, keep)| mask.append_n(*rows as usize, *keep));
            BooleanArray::new(mask.finish(), None)
        })
    }

    pub(crate) fn append_validity(&mut self, rows: &Rows<'_>) {
        if rows.bits.is_none() && self.nulls.is_none() {
            return;
        }
        let before = self.rows;
        let nulls = self.nulls.get_or_insert_with(|| {
            let mut b = BooleanBufferBuilder::new(before + rows.len);
            b.append_n(before, true);
            b
        });
        match rows.bits {
            Some((bits, first)) => nulls.append_packed_range(first..first + rows.len, bits.bytes()),
            None => nulls.append_n(rows.len, true),
        }
    }
}

/// The parts of a mask to decode: all but stretches of [`SKIP_WORDS`] words of 64 without a bit.
pub(crate) fn spans(mask: &BooleanBuffer) -> Vec<Range<usize>> {
    let mut spans: Vec<Range<usize>> = vec![];
    for start in (0..mask.len()).step_by(64) {
        let end = (start + 64).min(mask.len());
        if mask.slice(start, end - start).count_set_bits() == 0 {
            continue;
        }
        match spans.last_mut() {
            Some(last) if start - last.end < SKIP_WORDS * 64 => last.end = end,
            _ => spans.push(start..end),
        }
    }
    spans
}
