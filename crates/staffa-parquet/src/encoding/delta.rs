//! DELTA_BINARY_PACKED.
//!
//! ```text
//! stream = block_size miniblocks count zigzag(first) block*
//! block  = zigzag(min_delta) width-per-miniblock(bytes) miniblock*
//! ```
//! A page is decoded whole when it is opened, into exactly as many values as the page has rows
//! with a value: what the header claims is only compared.

use crate::encoding::bitpack;
use crate::encoding::varint::{uleb, unzigzag};
use crate::error::{Flaw, Flawed};

/// The integer type of a stream: sums wrap at its width.
pub(crate) trait DeltaInt: Copy + Default + bytemuck::Pod {
    const BITS: u8;
    fn from_i64(v: i64) -> Flawed<Self>;
    fn from_bits(v: u64) -> Self;
    fn wrapping_add(self, other: Self) -> Self;
}

impl DeltaInt for i32 {
    const BITS: u8 = 32;
    fn from_i64(v: i64) -> Flawed<Self> {
        i32::try_from(v).map_err(|_| Flaw::bad("delta stream of INT32 holds a wider value"))
    }
    #[expect(clippy::cast_possible_truncation, reason = "at most 32 bits were unpacked")]
    fn from_bits(v: u64) -> Self {
        v as i32
    }
    fn wrapping_add(self, other: Self) -> Self {
        i32::wrapping_add(self, other)
    }
}

impl DeltaInt for i64 {
    const BITS: u8 = 64;
    fn from_i64(v: i64) -> Flawed<Self> {
        Ok(v)
    }
    fn from_bits(v: u64) -> Self {
        v.cast_signed()
    }
    fn wrapping_add(self, other: Self) -> Self {
        i64::wrapping_add(self, other)
    }
}

struct Header {
    miniblocks: usize,
    per_miniblock: usize,
    count: usize,
    first: i64,
}

fn header(data: &[u8], pos: &mut usize) -> Flawed<Header> {
    let size = |v: u64| usize::try_from(v).map_err(|_| Flaw::bad("delta header out of range"));
    let block = size(uleb(data, pos)?)?;
    let miniblocks = size(uleb(data, pos)?)?;
    let count = size(uleb(data, pos)?)?;
    let first = unzigzag(uleb(data, pos)?);
    if miniblocks == 0 || !block.is_multiple_of(128) || !block.is_multiple_of(miniblocks) {
        return Err(Flaw::bad("delta blocks of an impossible size"));
    }
    let per_miniblock = block / miniblocks;
    if per_miniblock == 0 || !per_miniblock.is_multiple_of(32) {
        return Err(Flaw::bad("delta miniblocks that are no multiple of 32 values"));
    }
    Ok(Header { miniblocks, per_miniblock, count, first })
}

/// The number of values that a stream claims to hold.
pub(crate) fn claimed_count(data: &[u8]) -> Flawed<usize> {
    Ok(header(data, &mut 0)?.count)
}

/// Decodes the first `need` values; returns them and the byte behind the last block read.
///
/// # Errors
/// When the stream holds fewer, or is malformed.
pub(crate) fn decode<T: DeltaInt>(data: &[u8], need: usize) -> Flawed<(Vec<T>, usize)> {
    if need > 0 && claimed_count(data)? < need {
        return Err(Flaw::bad("delta stream holds too few values"));
    }
    let mut out = vec![T::default(); need];
    let end = decode_into(data, &mut out)?;
    Ok((out, end))
}

/// Fills `out` with the first values; returns the byte behind the last block read.
///
/// # Errors
/// As for [`decode`].
pub(crate) fn decode_into<T: DeltaInt>(data: &[u8], out: &mut [T]) -> Flawed<usize> {
    let need = out.len();
    let mut pos = 0;
    let head = header(data, &mut pos)?;
    if head.count < need {
        return Err(Flaw::bad("delta stream holds too few values"));
    }
    if need == 0 {
        return Ok(pos);
    }
    let mut last = T::from_i64(head.first)?;
    out[0] = last;
    let mut done = 1;
    let mut scratch = [0u32; 32];
    while done < need {
        let min = T::from_i64(unzigzag(uleb(data, &mut pos)?))?;
        let widths_end = pos.checked_add(head.miniblocks).filter(|e| *e <= data.len());
        let widths_end = widths_end.ok_or_else(|| Flaw::bad("delta bit widths cut short"))?;
        let widths = &data[pos..widths_end];
        pos = widths_end;
        for &width in widths {
            let n = head.per_miniblock.min(need - done);
            if n == 0 {
                break; // Trailing miniblocks hold nothing; their widths may be anything.
            }
            if width > T::BITS {
                return Err(Flaw::bad(format!("delta bit width {width} is too large")));
            }
            // The last miniblock may be cut behind its last value.
            let whole = head.per_miniblock / 8 * usize::from(width);
            let needed = (n * usize::from(width)).div_ceil(8);
            let rest = &data[pos..];
            if rest.len() < needed {
                return Err(Flaw::bad("delta miniblock cut short"));
            }
            let bytes = &rest[..whole.min(rest.len())];
            pos += bytes.len();
            last = miniblock(width, bytes, min, last, &mut out[done..done + n], &mut scratch);
            done += n;
        }
    }
    Ok(pos)
}

fn miniblock<T: DeltaInt>(
    width: u8,
    bytes: &[u8],
    min: T,
    mut last: T,
    out: &mut [T],
    scratch: &mut [u32; 32],
) -> T {
    let w = usize::from(width);
    for (i, out) in out.chunks_mut(32).enumerate() {
        let block = bytes.get(i * 4 * w..).unwrap_or_default();
        // The sum of delta and minimum first: one addition per value waits for the one before.
        if width <= 32 && bitpack::unpack_blocks(width, block, &mut scratch[..]) == 32 {
            for (o, d) in out.iter_mut().zip(&*scratch) {
                last = min.wrapping_add(T::from_bits(u64::from(*d))).wrapping_add(last);
                *o = last;
            }
        } else {
            for (i, o) in out.iter_mut().enumerate() {
                let d = T::from_bits(bitpack::get_wide(width, block, i * w));
                last = min.wrapping_add(d).wrapping_add(last);
                *o = last;
            }
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specification_examples() {
        // 1..=5: block 128, 4 miniblocks, 5 values, first 1; deltas all 1.
        let bytes = [0x80, 0x01, 4, 5, 2, 2, 0, 0, 0, 0];
        assert_eq!(decode::<i32>(&bytes, 5), Ok((vec![1, 2, 3, 4, 5], 10)));
        assert_eq!(decode::<i64>(&bytes, 2), Ok((vec![1, 2], 10)));
        assert!(decode::<i32>(&bytes, 6).is_err());
        // 7 5 3 1 2 3 4 5: min delta -2, width 2 in the first miniblock.
        let bytes = [0x80, 0x01, 4, 8, 14, 3, 2, 0, 0, 0, 0b1100_0000, 0b0011_1111, 0, 0];
        assert_eq!(decode::<i64>(&bytes, 8).map(|r| r.0), Ok(vec![7, 5, 3, 1, 2, 3, 4, 5]));
    }

    #[test]
    fn hostile_headers() {
        assert!(decode::<i32>(&[], 1).is_err());
        assert!(decode::<i32>(&[0x80, 1, 0, 5, 2], 5).is_err());
        assert!(decode::<i32>(&[0, 1, 5, 2, 0, 0], 5).is_err());
        assert!(decode::<i32>(&[0x80, 1, 4, 5, 2, 2, 33, 0, 0, 0], 5).is_err());
        assert!(decode::<i64>(&[0x80, 1, 4, 5, 2, 2, 64, 0, 0, 0], 5).is_err());
        // A claim of 2^60 values allocates nothing.
        let huge =
            [0x80, 1, 4, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10, 2, 2, 0, 0, 0, 0];
        assert_eq!(decode::<i32>(&huge, 3).map(|r| r.0), Ok(vec![1, 2, 3]));
    }
}
