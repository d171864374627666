//! Decompression of raw Snappy blocks.
//!
//! Format: <https://github.com/google/snappy/blob/main/format_description.txt>.
//!
//! Snappy's cost on pages of plain 64-bit values is the chain "token length -> address of the next token", not the
//! bytes moved. Two things shorten it:
//!
//! - a literal of one to four bytes and the copy after it, which is what nearly every value of such a page is, are
//!   decoded as *one* step without a branch that depends on their lengths ([`fused`]);
//! - two pages take turns in one loop, so that one's chain runs while the other's waits.
//!
//! Text gains by the second alone, with a token at a time. Pages of packed dictionary codes are long literals, and
//! gain nothing. A look at a page's ratio and first tokens tells which it is ([`probe`]).
//!
//! Input is untrusted: a hostile block ends in an [`Error`], never in an access outside its slices. The loops use raw
//! pointers, because checked indices cost more than they check (docs/design/parquet.md has the figures); every other
//! way to read Snappy that was tried was slower than the `snap` crate, which the tests compare with.

mod fused;
mod probe;
mod stream;
mod tables;
#[cfg(test)]
mod tests;

use std::fmt;
use std::mem::MaybeUninit;

use self::probe::Kind;
use self::stream::Stream;

/// Why a block could not be decompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Error {
    /// The leading length is missing or malformed.
    Header,
    /// The leading length is this one.
    Size(u64),
    /// A token reaches outside the input or the output, or copies from before the output.
    Token,
    /// The block ended before, or after, the promised number of bytes.
    Length,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => f.write_str("its length is malformed"),
            Self::Size(size) => write!(f, "it says that it holds {size} bytes"),
            Self::Token => f.write_str("a copy or a literal is out of bounds"),
            Self::Length => f.write_str("it ends at the wrong length"),
        }
    }
}

/// A compressed block and where its bytes go.
#[derive(Debug)]
struct Block<'a> {
    /// The compressed block, its length header included. Untrusted.
    input: &'a [u8],
    /// Its output, of the uncompressed length.
    output: &'a mut [MaybeUninit<u8>],
}

/// Makes `out` the `size` bytes that `input` stands for. What it held does not matter; after an error it is empty.
/// The caller bounds `size`, which is allocated.
///
/// # Errors
/// [`Error`] where the block is malformed or holds another number of bytes.
pub(crate) fn decompress(input: &[u8], size: usize, out: &mut Vec<u8>) -> Result<(), Error> {
    let result = alone(Block { input, output: room(out, size) });
    keep(out, size, result)
}

/// A page to decompress: its bytes, how many they stand for, and where those go.
pub(crate) type Page<'a> = (&'a [u8], usize, &'a mut Vec<u8>);

/// As [`decompress`], two pages in one loop where both are of the same kind. An error in one leaves the other as it is.
///
/// # Errors
/// As [`decompress`], each page for itself.
pub(crate) fn decompress_two(a: Page<'_>, b: Page<'_>) -> [Result<(), Error>; 2] {
    let first = Block { input: a.0, output: room(a.2, a.1) };
    let second = Block { input: b.0, output: room(b.2, b.1) };
    let [of_a, of_b] = both(first, second);
    [keep(a.2, a.1, of_a), keep(b.2, b.1, of_b)]
}

/// Room for `size` bytes in an empty vector.
fn room(out: &mut Vec<u8>, size: usize) -> &mut [MaybeUninit<u8>] {
    out.clear();
    out.reserve(size);
    &mut out.spare_capacity_mut()[..size]
}

/// Gives `out` the bytes that `room` was filled with.
#[expect(unsafe_code, reason = "bytes that are overwritten need not be zeroed first")]
fn keep(out: &mut Vec<u8>, size: usize, result: Result<(), Error>) -> Result<(), Error> {
    if result.is_ok() {
        // SAFETY: the result is of `Stream::finish`, which says so only where as many bytes were written as `room`
        // had, which is `size`.
        unsafe { out.set_len(size) };
    }
    result
}

fn alone(block: Block<'_>) -> Result<(), Error> {
    let (stream, kind) = begin(block)?;
    finish(stream, kind)
}

fn both(a: Block<'_>, b: Block<'_>) -> [Result<(), Error>; 2] {
    match (begin(a), begin(b)) {
        (Ok((a, kind)), Ok((b, other))) if kind == other => {
            let mut two = [a, b];
            // A bad token stops the loop in front of itself; the stream that has it meets it again below, alone, and
            // the other goes on.
            let _ = match kind {
                Kind::Pairs => fused::run::<2, true>(&mut two),
                Kind::Tokens => fused::run::<2, false>(&mut two),
            };
            two.map(|stream| finish(stream, kind))
        }
        (a, b) => [a, b].map(|begun| begun.and_then(|(stream, kind)| finish(stream, kind))),
    }
}

/// The tokens of a block, and of what kind they are.
fn begin(block: Block<'_>) -> Result<(Stream<'_>, Kind), Error> {
    let (size, at) = probe::header(block.input).ok_or(Error::Header)?;
    if usize::try_from(size) != Ok(block.output.len()) {
        return Err(Error::Size(size));
    }
    let kind = probe::kind(&block.input[at..], block.output.len());
    Ok((Stream::new(block.input, at, block.output), kind))
}

fn finish(stream: Stream<'_>, kind: Kind) -> Result<(), Error> {
    let mut one = [stream];
    match kind {
        Kind::Pairs => fused::run::<1, true>(&mut one)?,
        Kind::Tokens => fused::run::<1, false>(&mut one)?,
    }
    let [mut stream] = one;
    stream.finish()
}
