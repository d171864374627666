//! The RLE / bit-packing hybrid.
//!
//! ```text
//! hybrid  = run*
//! run     = varint(count << 1)          value in ceil(width / 8) bytes      (RLE run)
//!         | varint(groups << 1 | 1)     groups * width bytes                (8 * groups packed values)
//! ```
//! A last packed run may be cut short by its writer; what its bytes hold counts.

use bytes::Bytes;

use crate::encoding::bitmap::Bitmap;
use crate::encoding::bitpack::{self, BLOCK};
use crate::encoding::varint::uleb;
use crate::error::{Flaw, Flawed};

#[derive(Debug, Clone, Copy)]
enum Run {
    Repeated {
        value: u32,
        left: usize,
    },
    /// Packed values from byte `start`; `done` of them are read.
    Packed {
        start: usize,
        done: usize,
        left: usize,
    },
}

/// A run of at most so many equal values is short.
const SHORT: usize = 16;

/// Reads the values of one hybrid stream in order.
#[derive(Debug)]
pub(crate) struct HybridReader {
    data: Bytes,
    pos: usize,
    width: u8,
    run: Run,
}

impl HybridReader {
    /// # Errors
    /// When `width` is above 32.
    pub(crate) fn new(data: Bytes, width: u8) -> Flawed<Self> {
        if width > 32 {
            return Err(Flaw::bad(format!("bit width {width} of a run of codes is above 32")));
        }
        Ok(Self { data, pos: 0, width, run: Run::Repeated { value: 0, left: 0 } })
    }

    /// Bits of a value; a value is below `1 << width`.
    pub(crate) fn width(&self) -> u8 {
        self.width
    }

    /// Values known to be left in the current run: at least 1, or an error.
    #[inline]
    fn next_run(&mut self) -> Flawed<()> {
        let header = match self.data.get(self.pos) {
            // Most are one byte.
            Some(&byte) if byte < 0x80 => {
                self.pos += 1;
                u64::from(byte)
            }
            _ => uleb(&self.data, &mut self.pos)?,
        };
        let count = usize::try_from(header >> 1).map_err(|_| Flaw::bad("run length"))?;
        if count == 0 {
            return Err(Flaw::bad("run of length zero before the page's last value"));
        }
        let rest = self.data.len() - self.pos;
        if header & 1 == 0 {
            let bytes = usize::from(self.width).div_ceil(8);
            if rest < bytes {
                return Err(Flaw::bad("bytes end inside a run"));
            }
            let value = self.value(bytes);
            self.pos += bytes;
            if self.width < 32 && value >> self.width != 0 {
                return Err(Flaw::bad("a run's value needs more bits than its width"));
            }
            self.run = Run::Repeated { value, left: count };
            return Ok(());
        }
        if self.width == 0 {
            self.run = Run::Repeated { value: 0, left: count.saturating_mul(8) };
            return Ok(());
        }
        let bytes = count.saturating_mul(usize::from(self.width)).min(rest);
        let left = count.saturating_mul(8).min(rest.saturating_mul(8) / usize::from(self.width));
        if left == 0 {
            return Err(Flaw::bad("bytes end inside a packed run"));
        }
        self.run = Run::Packed { start: self.pos, done: 0, left };
        self.pos += bytes;
        Ok(())
    }

    /// The next `bytes` bytes, which there are, as a number.
    #[inline]
    fn value(&self, bytes: usize) -> u32 {
        let data = self.data.get(self.pos..).unwrap_or_default();
        match data.first_chunk::<4>() {
            // One load, and what belongs to others cut off.
            Some(word) => (u64::from(u32::from_le_bytes(*word)) & ((1 << (8 * bytes)) - 1)) as u32,
            None => {
                let mut value = [0; 4];
                value.iter_mut().zip(data.iter().take(bytes)).for_each(|(to, from)| *to = *from);
                u32::from_le_bytes(value)
            }
        }
    }

    /// Fills `out`.
    ///
    /// # Errors
    /// When the stream holds fewer values.
    pub(crate) fn read(&mut self, mut out: &mut [u32]) -> Flawed<()> {
        while !out.is_empty() {
            match &mut self.run {
                Run::Repeated { left: 0, .. } | Run::Packed { left: 0, .. } => self.next_run()?,
                Run::Repeated { value, left } => {
                    let n = (*left).min(out.len());
                    match out.first_chunk_mut::<SHORT>() {
                        // A few stores in the place of a loop; what lies behind is written next.
                        Some(short) if n <= SHORT => *short = [*value; SHORT],
                        _ => out[..n].fill(*value),
                    }
                    *left -= n;
                    out = &mut out[n..];
                }
                Run::Packed { start, done, left } => {
                    let n = (*left).min(out.len());
                    unpack(self.width, &self.data[*start..], *done, out, n);
                    *done += n;
                    *left -= n;
                    out = &mut out[n..];
                }
            }
        }
        Ok(())
    }

    /// Passes over `n` values without unpacking them.
    ///
    /// # Errors
    /// When the stream holds fewer values.
    pub(crate) fn skip(&mut self, mut n: usize) -> Flawed<()> {
        while n > 0 {
            match &mut self.run {
                Run::Repeated { left: 0, .. } | Run::Packed { left: 0, .. } => self.next_run()?,
                Run::Repeated { left, .. } => {
                    let take = n.min(*left);
                    *left -= take;
                    n -= take;
                }
                Run::Packed { done, left, .. } => {
                    let take = n.min(*left);
                    *done += take;
                    *left -= take;
                    n -= take;
                }
            }
        }
        Ok(())
    }

    /// Appends `n` values of width 1 to a bitmap: a packed run of width 1 *is* a bitmap.
    ///
    /// # Errors
    /// When the stream holds fewer values.
    pub(crate) fn read_bits(&mut self, bits: &mut Bitmap, mut n: usize) -> Flawed<()> {
        if self.width != 1 {
            return Err(Flaw::bug("bits are read from streams of width 1"));
        }
        while n > 0 {
            match &mut self.run {
                Run::Repeated { left: 0, .. } | Run::Packed { left: 0, .. } => self.next_run()?,
                Run::Repeated { value, left } => {
                    let take = n.min(*left);
                    bits.append_run(*value == 1, take);
                    *left -= take;
                    n -= take;
                }
                Run::Packed { start, done, left } => {
                    // Only ever read from a run's start: `done` is 0 unless an error came before.
                    let take = n.min(*left);
                    bits.append_packed(&self.data[*start + *done / 8..], take)?;
                    *done += take;
                    *left -= take;
                    n -= take;
                }
            }
        }
        Ok(())
    }
}

/// Unpacks `n` values from number `done` of a packed run into the front of `out`, which may be
/// longer: what lies behind `n` may be overwritten.
fn unpack(width: u8, src: &[u8], done: usize, out: &mut [u32], n: usize) {
    let w = usize::from(width);
    let mut i = 0;
    // Up to the next multiple of 8 values, which starts on a byte.
    while i < n && !(done + i).is_multiple_of(8) {
        out[i] = bitpack::get(width, src, (done + i) * w);
        i += 1;
    }
    let from = (done + i) / 8 * w;
    let src = src.get(from..).unwrap_or_default();
    // Whole blocks, the last of which may go beyond `n` if there is room for it.
    let room = out.len() - i;
    let want = (n - i).next_multiple_of(BLOCK).min(room);
    let got = bitpack::unpack_blocks(width, src, &mut out[i..i + want]);
    for k in got..n - i {
        out[i + k] = bitpack::get(width, src, k * w);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(bytes: &[u8], width: u8) -> HybridReader {
        HybridReader::new(Bytes::copy_from_slice(bytes), width).unwrap()
    }

    #[test]
    fn specification_example_and_runs() {
        // 0..8 at width 3, from the format's own text, then five times 4.
        let bytes = [0x03, 0b1000_1000, 0b1100_0110, 0b1111_1010, 10, 4];
        let mut out = [9; 13];
        reader(&bytes, 3).read(&mut out).unwrap();
        assert_eq!(out, [0, 1, 2, 3, 4, 5, 6, 7, 4, 4, 4, 4, 4]);
        for skip in 0..13 {
            let mut r = reader(&bytes, 3);
            r.skip(skip).unwrap();
            let mut rest = vec![9; 13 - skip];
            r.read(&mut rest).unwrap();
            assert_eq!(rest, out[skip..]);
        }
        assert!(reader(&bytes, 3).read(&mut [0; 14]).is_err());
    }

    #[test]
    fn hostile_runs() {
        assert!(reader(&[], 3).read(&mut [0]).is_err());
        assert!(reader(&[0], 3).read(&mut [0]).is_err());
        assert!(reader(&[2], 3).read(&mut [0]).is_err());
        assert!(reader(&[2, 8], 3).read(&mut [0]).is_err(), "value 8 in 3 bits");
        let endless = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 1];
        let mut out = [0; 40];
        reader(&endless, 3).read(&mut out).unwrap();
        assert_eq!(out, [1; 40]);
        let cut = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 1, 2, 3];
        assert!(reader(&cut, 8).read(&mut [0; 3]).is_ok());
        assert!(reader(&cut, 8).read(&mut [0; 4]).is_err());
        assert!(HybridReader::new(Bytes::new(), 33).is_err());
        let mut zero = [7; 9];
        reader(&[5], 0).read(&mut zero).unwrap();
        assert_eq!(zero, [0; 9]);
    }
}
