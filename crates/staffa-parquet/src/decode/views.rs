//! BYTE_ARRAY to Utf8View and BinaryView, sharing the page's bytes.
//!
//! A PLAIN string is `length (u32) bytes`, and Arrow's inline view is `length (u32) 12 bytes`: the
//! sixteen bytes at a short string's prefix *are* its view once what lies behind the string is
//! masked off. A long string's view keeps the first eight of them (length and prefix).

use arrow::array::ArrayRef;
use arrow::buffer::{Buffer, NullBuffer};
use bytes::Bytes;

use crate::decode::body::{Body, Span, too_few};
use crate::decode::scatter::{gather, scatter};
use crate::decode::sink::Sink;
use crate::decode::trusted::CheckedViews;
use crate::encoding::bitmap::Rows;
use crate::error::{Flaw, Flawed};

/// Bytes of a string that fit into its view.
const INLINE: u32 = 12;

/// `MASK[n]` keeps the length and the first `n` bytes of an inline view.
const MASK: [u128; 13] = {
    let mut m = [0; 13];
    let mut n = 0;
    while n < 13 {
        m[n] = if n == 12 { u128::MAX } else { (1u128 << (32 + 8 * n)) - 1 };
        n += 1;
    }
    m
};

/// Collects views. The buffers they point to are those of pages and of the dictionary.
pub(crate) struct ViewSink {
    utf8: bool,
    out: Vec<u128>,
    buffers: Vec<Buffer>,
    /// Views of a page's values before NULLs are put between them.
    dense: Vec<u128>,
    spans: Vec<Span>,
    /// Views of the dictionary's entries, into buffer 0.
    dictionary: Vec<u128>,
    dictionary_buffer: Option<Buffer>,
    /// Number of the dictionary's buffer in `buffers`.
    dictionary_at: Option<u32>,
}

impl ViewSink {
    pub(crate) fn new(utf8: bool) -> Self {
        Self {
            utf8,
            out: vec![],
            buffers: vec![],
            dense: vec![],
            spans: vec![],
            dictionary: vec![],
            dictionary_buffer: None,
            dictionary_at: None,
        }
    }

    /// The number that `bytes` has, or gets when [`keep`](Self::keep) is called with it.
    fn number_of(&self, bytes: &Bytes) -> u32 {
        match self.buffers.last() {
            Some(b) if b.as_ptr() == bytes.as_ptr() && b.len() == bytes.len() => {
                self.buffers.len() as u32 - 1
            }
            _ => self.buffers.len() as u32,
        }
    }

    fn keep(&mut self, number: u32, bytes: &Bytes) {
        if self.buffers.len() == number as usize {
            self.buffers.push(Buffer::from(bytes.clone()));
        }
    }

    /// Appends `n` views of the body's next values to `dense`.
    fn views_of(&mut self, body: &mut Body, n: usize) -> Flawed<()> {
        let any_long;
        let bytes;
        let number;
        if let Body::Prefixed { bytes: b, at } = body {
            bytes = b.clone();
            number = self.number_of(&bytes);
            any_long = plain_views(&bytes, at, n, number, self.utf8, &mut self.dense)?;
        } else {
            self.spans.clear();
            bytes = body.take_spans(n, &mut self.spans)?;
            number = self.number_of(&bytes);
            if self.utf8 {
                check_adjacent(&bytes, &self.spans)?;
            }
            any_long = self.spans.iter().any(|s| s.len > INLINE);
            self.dense.extend(self.spans.iter().map(|s| view(&bytes, *s, number)));
        }
        if any_long {
            self.keep(number, &bytes);
        }
        Ok(())
    }
}

/// Appends `n` views of length-prefixed strings from byte `*at`; returns whether one is long.
fn plain_views(
    bytes: &[u8],
    at: &mut usize,
    n: usize,
    number: u32,
    utf8: bool,
    out: &mut Vec<u128>,
) -> Flawed<bool> {
    let first = out.len();
    out.resize(first + n, 0);
    let mut check = Utf8Check::new(bytes, *at);
    let mut longest = 0u32;
    // A local: the position is on the critical path of every string.
    let mut pos = *at;
    for view in &mut out[first..] {
        let word = match bytes.get(pos..).and_then(|b| b.first_chunk::<16>()) {
            Some(chunk) => u128::from_le_bytes(*chunk),
            None => last_word(bytes, pos)?,
        };
        let len = word as u32;
        if len >= 128 && utf8 {
            check.pass_prefix(pos)?;
        }
        let place = (pos as u64 + 4) << 32 | u64::from(number);
        let long = u128::from(word as u64) | u128::from(place) << 64;
        let short = word & MASK[len.min(INLINE) as usize];
        *view = if len <= INLINE { short } else { long };
        longest = longest.max(len);
        pos += 4 + len as usize;
        if pos > bytes.len() {
            return Err(Flaw::bad("a byte array goes beyond its page"));
        }
    }
    if utf8 {
        check.finish(pos)?;
    }
    *at = pos;
    Ok(longest > INLINE)
}

/// The sixteen bytes from `at`, zeros behind the end.
#[cold]
fn last_word(bytes: &[u8], at: usize) -> Flawed<u128> {
    let rest = bytes.get(at..).filter(|r| r.len() >= 4).ok_or_else(too_few)?;
    let mut chunk = [0; 16];
    chunk[..rest.len()].copy_from_slice(rest);
    Ok(u128::from_le_bytes(chunk))
}

/// Validates length-prefixed strings as UTF-8 in runs as long as possible.
///
/// The four bytes of a length below 128 are ASCII, so such prefixes may be part of the run: each
/// string stands between ASCII bytes and is valid exactly if the run is. A longer prefix is passed.
struct Utf8Check<'a> {
    bytes: &'a [u8],
    from: usize,
}

impl<'a> Utf8Check<'a> {
    fn new(bytes: &'a [u8], from: usize) -> Self {
        Self { bytes, from }
    }

    fn pass_prefix(&mut self, at: usize) -> Flawed<()> {
        self.finish(at)?;
        self.from = at + 4;
        Ok(())
    }

    fn finish(&self, to: usize) -> Flawed<()> {
        check_utf8(self.bytes.get(self.from..to).unwrap_or_default())
    }
}

/// Validates length-prefixed strings, each of which ends where the next one's prefix starts.
pub(crate) fn check_prefixed(bytes: &[u8], spans: &[Span]) -> Flawed<()> {
    let (Some(first), Some(last)) = (spans.first(), spans.last()) else { return Ok(()) };
    let mut check = Utf8Check::new(bytes, (first.start as usize).saturating_sub(4));
    for s in spans.iter().filter(|s| s.len >= 128) {
        check.pass_prefix((s.start as usize).saturating_sub(4))?;
    }
    check.finish(last.start as usize + last.len as usize)
}

/// # Errors
/// When `bytes` are no UTF-8.
pub(crate) fn check_utf8(bytes: &[u8]) -> Flawed<()> {
    // The test for ASCII is made of wide words, and most columns are.
    if bytes.is_ascii() {
        return Ok(());
    }
    simdutf8::basic::from_utf8(bytes).map(drop).map_err(|_| Flaw::bad("a string is no UTF-8"))
}

/// Strings one behind the other: one check of all bytes, and each must start on a character.
pub(crate) fn check_adjacent(bytes: &[u8], spans: &[Span]) -> Flawed<()> {
    let (Some(first), Some(last)) = (spans.first(), spans.last()) else { return Ok(()) };
    let all = bytes
        .get(first.start as usize..last.start as usize + last.len as usize)
        .ok_or_else(too_few)?;
    check_utf8(all)?;
    let split = spans
        .iter()
        .any(|s| s.len > 0 && bytes.get(s.start as usize).is_some_and(|b| b.cast_signed() < -0x40));
    if split {
        return Err(Flaw::bad("a string starts inside a character"));
    }
    Ok(())
}

/// The view of a range of `bytes`, which is buffer `number`.
fn view(bytes: &[u8], span: Span, number: u32) -> u128 {
    let text = span.of(bytes);
    let len = text.len();
    if len <= INLINE as usize {
        let mut chunk = [0; 16];
        chunk[..4].copy_from_slice(&(len as u32).to_le_bytes());
        chunk[4..4 + len].copy_from_slice(text);
        u128::from_le_bytes(chunk)
    } else {
        let prefix = u32::from_le_bytes([text[0], text[1], text[2], text[3]]);
        len as u128
            | u128::from(prefix) << 32
            | u128::from(number) << 64
            | u128::from(span.start) << 96
    }
}

impl Sink for ViewSink {
    fn reserve(&mut self, rows: usize) {
        self.out.reserve_exact(rows);
    }

    fn take(&mut self, body: &mut Body, rows: &Rows<'_>) -> Flawed<()> {
        if rows.valid == rows.len {
            // No NULL: straight to the output.
            std::mem::swap(&mut self.out, &mut self.dense);
            let done = self.views_of(body, rows.valid);
            std::mem::swap(&mut self.out, &mut self.dense);
            return done;
        }
        self.dense.clear();
        self.views_of(body, rows.valid)?;
        scatter(&self.dense, rows, &mut self.out, |v| v);
        self.dense.clear();
        Ok(())
    }

    fn set_dictionary(&mut self, data: Bytes, entries: usize) -> Flawed<()> {
        let mut views = vec![];
        // A claimed number of entries beyond what the bytes can hold must not be reserved.
        if entries > data.len() / 4 {
            return Err(too_few());
        }
        plain_views(&data, &mut 0, entries, 0, self.utf8, &mut views)?;
        self.dictionary = views;
        self.dictionary_buffer = Some(Buffer::from(data));
        Ok(())
    }

    fn gather(&mut self, codes: &[u32], rows: &Rows<'_>) -> Flawed<()> {
        let number = match (self.dictionary_at, &self.dictionary_buffer) {
            (Some(n), _) => n,
            (None, None) if rows.valid == 0 => 0,
            (None, None) => return Err(Flaw::bad("codes without a dictionary")),
            (None, Some(buffer)) => {
                let n = self.buffers.len() as u32;
                self.buffers.push(buffer.clone());
                self.dictionary_at = Some(n);
                n
            }
        };
        let start = self.out.len();
        gather(codes, rows, &self.dictionary, &mut self.out)?;
        if number > 0 {
            // Rare: a chunk that changed from plain pages to codes within a batch.
            let add = u128::from(number) << 64;
            for v in self.out[start..].iter_mut().filter(|v| **v as u32 > INLINE) {
                *v += add;
            }
        }
        Ok(())
    }

    fn dictionary(&self) -> Flawed<ArrayRef> {
        let buffers = self.dictionary_buffer.iter().cloned().collect();
        CheckedViews { views: self.dictionary.clone(), buffers, utf8: self.utf8 }.into_array(None)
    }

    fn finish(&mut self, nulls: Option<NullBuffer>) -> Flawed<ArrayRef> {
        let views = std::mem::take(&mut self.out);
        let buffers = std::mem::take(&mut self.buffers);
        self.dictionary_at = None;
        CheckedViews { views, buffers, utf8: self.utf8 }.into_array(nulls)
    }
}
