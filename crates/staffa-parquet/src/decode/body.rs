//! A page's values, ready to be taken in order.

use bytes::Bytes;

use crate::encoding::bitmap::Bitmap;
use crate::encoding::hybrid::HybridReader;
use crate::error::{Flaw, Flawed};

/// The values of one page (those that are not NULL) and how many are taken.
#[derive(Debug)]
pub(crate) enum Body {
    /// Values of `width` bytes from byte `at`.
    Fixed { values: Values, width: usize, at: usize },
    /// Length-prefixed byte strings from byte `at`.
    Prefixed { bytes: Bytes, at: usize },
    /// Byte strings one behind the other; `next` is the number of the next, `at` its first byte.
    Lengths { bytes: Bytes, lengths: Vec<u32>, next: usize, at: usize },
    /// Booleans from bit `at`.
    Bits { bits: Bitmap, at: usize },
    /// Dictionary codes.
    Codes { reader: HybridReader },
    /// Nothing: all rows are NULL.
    Empty,
}

/// Where fixed-width values lie: in the page, or in words that were decoded from it.
#[derive(Debug)]
pub(crate) enum Values {
    Page(Bytes),
    Words(Vec<u64>),
}

impl Values {
    fn bytes(&self) -> &[u8] {
        match self {
            Values::Page(bytes) => bytes,
            Values::Words(words) => bytemuck::cast_slice(words),
        }
    }
}

/// A byte string of a page or dictionary: first byte and length.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) len: u32,
}

impl Span {
    pub(crate) fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.start as usize..self.start as usize + self.len as usize).unwrap_or_default()
    }
}

impl Body {
    /// Takes `n` fixed-width values.
    pub(crate) fn take_fixed(&mut self, n: usize) -> Flawed<&[u8]> {
        match self {
            Body::Fixed { values, width, at } => {
                let end = *at + n * *width;
                let taken = values.bytes().get(*at..end).ok_or_else(too_few)?;
                *at = end;
                Ok(taken)
            }
            Body::Empty if n == 0 => Ok(&[]),
            _ => Err(Flaw::bug("page body of another form than fixed width")),
        }
    }

    /// Appends the places of the next `n` byte strings, and returns the buffer they lie in.
    pub(crate) fn take_spans(&mut self, n: usize, out: &mut Vec<Span>) -> Flawed<Bytes> {
        match self {
            Body::Prefixed { bytes, at } => {
                out.reserve(n);
                for _ in 0..n {
                    let (start, end) = prefixed(bytes, *at)?;
                    out.push(Span { start: start as u32, len: (end - start) as u32 });
                    *at = end;
                }
                Ok(bytes.clone())
            }
            Body::Lengths { bytes, lengths, next, at } => {
                let taken = lengths.get(*next..*next + n).ok_or_else(too_few)?;
                out.extend(taken.iter().map(|len| {
                    let start = *at as u32;
                    *at += *len as usize;
                    Span { start, len: *len }
                }));
                *next += n;
                Ok(bytes.clone())
            }
            Body::Empty if n == 0 => Ok(Bytes::new()),
            _ => Err(Flaw::bug("page body of another form than byte strings")),
        }
    }

    /// Passes over `n` values.
    pub(crate) fn skip(&mut self, n: usize) -> Flawed<()> {
        match self {
            Body::Fixed { .. } => self.take_fixed(n).map(drop),
            Body::Prefixed { bytes, at } => {
                for _ in 0..n {
                    *at = prefixed(bytes, *at)?.1;
                }
                Ok(())
            }
            Body::Lengths { lengths, next, at, .. } => {
                let taken = lengths.get(*next..*next + n).ok_or_else(too_few)?;
                *at += taken.iter().map(|l| *l as usize).sum::<usize>();
                *next += n;
                Ok(())
            }
            Body::Bits { at, .. } => {
                *at += n;
                Ok(())
            }
            Body::Codes { reader } => reader.skip(n),
            Body::Empty if n == 0 => Ok(()),
            Body::Empty => Err(too_few()),
        }
    }
}

/// Start and end of the length-prefixed string whose prefix is at `at`.
#[inline]
pub(crate) fn prefixed(bytes: &[u8], at: usize) -> Flawed<(usize, usize)> {
    let rest = bytes.get(at..).unwrap_or_default();
    let (len, rest) = rest.split_first_chunk::<4>().ok_or_else(too_few)?;
    let len = u32::from_le_bytes(*len) as usize;
    if len > rest.len() {
        return Err(Flaw::bad("a byte array goes beyond its page"));
    }
    Ok((at + 4, at + 4 + len))
}

#[cold]
pub(crate) fn too_few() -> Flaw {
    Flaw::bad("page holds fewer values than its rows need")
}
