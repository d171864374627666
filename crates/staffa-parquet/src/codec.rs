//! Decompression of pages into buffers whose size is bounded before they are allocated.

use std::io::Read;

use parquet::basic::Compression;

use crate::error::{Flaw, Flawed};
use crate::{lz4, snappy};

/// A codec of this package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// Bytes as they are.
    Uncompressed,
    /// Snappy, raw format.
    Snappy,
    /// Gzip, several members allowed.
    Gzip,
    /// Brotli.
    Brotli,
    /// LZ4 in Hadoop's framing, with a fallback to raw blocks.
    Lz4Hadoop,
    /// LZ4 raw block.
    Lz4Raw,
    /// Zstandard.
    Zstd,
}

impl Codec {
    pub(crate) fn of(compression: Compression) -> Flawed<Self> {
        Ok(match compression {
            Compression::UNCOMPRESSED => Self::Uncompressed,
            Compression::SNAPPY => Self::Snappy,
            Compression::GZIP(_) => Self::Gzip,
            Compression::BROTLI(_) => Self::Brotli,
            Compression::LZ4 => Self::Lz4Hadoop,
            Compression::LZ4_RAW => Self::Lz4Raw,
            Compression::ZSTD(_) => Self::Zstd,
            other => return Err(Flaw::unsupported(format!("codec {other}"))),
        })
    }

    /// The most bytes that `compressed` bytes of a well-formed stream can stand for, where the
    /// format has such a bound.
    ///
    /// Snappy's best element is a copy of 64 bytes in 3 (rounded up to 22 a byte). LZ4 adds 255
    /// bytes per length byte. Deflate's best is 1,032 to 1. Zstandard (128 KiB in 4 bytes) and
    /// Brotli (16 MiB in a few bytes) have none worth using: they grow as they produce.
    fn bound(self, compressed: usize) -> usize {
        match self {
            Self::Uncompressed => compressed,
            Self::Snappy => compressed.saturating_mul(22).saturating_add(64),
            Self::Lz4Raw | Self::Lz4Hadoop => compressed.saturating_mul(256).saturating_add(64),
            Self::Gzip => compressed.saturating_mul(1100).saturating_add(64),
            Self::Brotli | Self::Zstd => usize::MAX,
        }
    }

    /// Checks that so many compressed bytes can stand for `size`, before memory is asked for.
    pub(crate) fn check_claim(self, compressed: usize, size: usize) -> Flawed<()> {
        if size > self.bound(compressed) {
            return Err(Flaw::bad(format!(
                "a page claims {size} bytes, more than its {compressed} compressed bytes can hold"
            )));
        }
        Ok(())
    }
}

/// A page of this size is allocated at once on the header's word; a larger one of a codec with no
/// bound grows as bytes come out.
const TRUSTED_BYTES: usize = 8 << 20;

/// Decompresses pages of one codec, one after the other.
pub(crate) struct Decompressor {
    codec: Codec,
    zstd: Option<zstd::bulk::Decompressor<'static>>,
}

impl Decompressor {
    pub(crate) fn new(codec: Codec) -> Self {
        Self { codec, zstd: None }
    }

    pub(crate) fn codec(&self) -> Codec {
        self.codec
    }

    /// Makes `out` the `size` bytes that `input` stands for. What it held does not matter: bytes
    /// that will be overwritten are not zeroed again.
    ///
    /// # Errors
    /// When `input` stands for another number of bytes, or is no such stream.
    pub(crate) fn decompress(
        &mut self,
        input: &[u8],
        size: usize,
        out: &mut Vec<u8>,
    ) -> Flawed<()> {
        self.codec.check_claim(input.len(), size)?;
        match self.codec {
            Codec::Uncompressed => {
                out.clear();
                out.extend_from_slice(input);
            }
            Codec::Snappy => {
                snappy::decompress(input, size, out).map_err(|e| of_snappy(e, size))?;
            }
            Codec::Lz4Raw => lz4_raw(input, size, out)?,
            Codec::Lz4Hadoop => lz4_hadoop(input, size, out)?,
            Codec::Zstd if size <= TRUSTED_BYTES => self.zstd_bulk(input, size, out)?,
            Codec::Zstd => {
                let reader = zstd::stream::read::Decoder::new(input);
                stream("Zstandard", reader.map_err(|e| broken("Zstandard", e))?, size, out)?;
            }
            Codec::Gzip => stream("gzip", flate2::bufread::MultiGzDecoder::new(input), size, out)?,
            Codec::Brotli => stream("Brotli", brotli::Decompressor::new(input, 4096), size, out)?,
        }
        if out.len() != size {
            return Err(wrong_size(out.len(), size));
        }
        Ok(())
    }

    /// As [`decompress`](Self::decompress), of two pages at once; says of the second whether it was decompressed. A
    /// codec that gains nothing by it leaves that one alone.
    ///
    /// # Errors
    /// As [`decompress`](Self::decompress), about the first.
    pub(crate) fn decompress_two(
        &mut self,
        (input, size, out): snappy::Page<'_>,
        second: snappy::Page<'_>,
    ) -> Flawed<bool> {
        let claims = |page: (&[u8], usize)| self.codec.check_claim(page.0.len(), page.1);
        if self.codec != Codec::Snappy || claims((second.0, second.1)).is_err() {
            return self.decompress(input, size, out).map(|()| false);
        }
        claims((input, size))?;
        let [first, second] = snappy::decompress_two((input, size, out), second);
        first.map_err(|e| of_snappy(e, size))?;
        Ok(second.is_ok())
    }

    fn zstd_bulk(&mut self, input: &[u8], size: usize, out: &mut Vec<u8>) -> Flawed<()> {
        let zstd = match &mut self.zstd {
            Some(z) => z,
            none => {
                none.insert(zstd::bulk::Decompressor::new().map_err(|e| broken("Zstandard", e))?)
            }
        };
        out.resize(size, 0);
        let n = zstd.decompress_to_buffer(input, &mut out[..]);
        out.truncate(n.map_err(|e| broken("Zstandard", e))?);
        Ok(())
    }
}

/// Reads at most `size + 1` bytes, growing as they come.
fn stream(name: &str, reader: impl Read, size: usize, out: &mut Vec<u8>) -> Flawed<()> {
    out.clear();
    out.reserve(size.min(TRUSTED_BYTES));
    let limit = (size as u64).saturating_add(1);
    reader.take(limit).read_to_end(out).map_err(|e| broken(name, e))?;
    if out.len() > size {
        return Err(Flaw::bad(format!(
            "a page of {name} holds more than the {size} bytes claimed"
        )));
    }
    Ok(())
}

fn lz4_raw(input: &[u8], size: usize, out: &mut Vec<u8>) -> Flawed<()> {
    out.resize(size, 0);
    lz4::block(input, out)
}

/// Hadoop's framing: per block, decompressed and compressed size as big-endian `u32`, then a raw
/// block. Older writers put a raw block under the same name.
fn lz4_hadoop(input: &[u8], size: usize, out: &mut Vec<u8>) -> Flawed<()> {
    out.clear();
    if hadoop_blocks(input, size, out).is_some() && out.len() == size {
        return Ok(());
    }
    if input.starts_with(&LZ4_FRAME) {
        return Err(Flaw::unsupported("LZ4 frames"));
    }
    lz4_raw(input, size, out)
}

/// The magic number of the LZ4 frame format, which some writers put under the name of Hadoop's.
const LZ4_FRAME: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];

fn hadoop_blocks(mut input: &[u8], end: usize, out: &mut Vec<u8>) -> Option<()> {
    while !input.is_empty() {
        let (head, rest) = input.split_first_chunk::<8>()?;
        let raw = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let packed = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let (block, rest) = rest.split_at_checked(packed)?;
        let at = out.len();
        if raw > end - at {
            return None;
        }
        out.resize(at + raw, 0);
        lz4::block(block, &mut out[at..]).ok()?;
        input = rest;
    }
    Some(())
}

fn of_snappy(error: snappy::Error, size: usize) -> Flaw {
    match error {
        snappy::Error::Size(other) => wrong_size(other, size),
        other => broken("Snappy", other),
    }
}

fn broken(name: &str, e: impl std::fmt::Display) -> Flaw {
    Flaw::bad(format!("{name}: {e}"))
}

fn wrong_size(got: impl std::fmt::Display, want: usize) -> Flaw {
    Flaw::bad(format!("a page decompressed to {got} bytes; its header says {want}"))
}
