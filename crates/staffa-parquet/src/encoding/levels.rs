//! Definition levels of flat columns: a level is 0 or 1, so they are the validity bitmap.
//!
//! The stream is the RLE hybrid of width 1 (see [`hybrid`](super::hybrid)), whose packed runs are
//! bitmaps as they stand. Where NULLs are scattered, writers change between runs and packed
//! groups every dozen rows, in no order that a processor could predict. So a run of up to 64 rows
//! of either kind is appended by the same straight code.

use crate::encoding::bitmap::{Bitmap, low_mask};
use crate::encoding::varint::uleb;
use crate::error::{Flaw, Flawed};

/// Decodes the `n` levels of a page into `bits`, which is cleared first. Returns the rows that
/// have a value; when that is all of them, `bits` may stay empty.
///
/// # Errors
/// When there are fewer levels, or a level above 1.
pub(crate) fn read_validity(data: &[u8], n: usize, bits: &mut Bitmap) -> Flawed<usize> {
    bits.clear();
    let mut pos = 0;
    let mut left = n;
    while left > 0 {
        if let Some((word, len, bytes)) = short_run(data.get(pos..).unwrap_or_default()) {
            let len = len.min(left);
            bits.append_word(word & low_mask(len), len);
            left -= len;
            pos += bytes;
            continue;
        }
        let header = uleb(data, &mut pos)?;
        let count = usize::try_from(header >> 1).map_err(|_| Flaw::bad("run length"))?;
        let rest = data.get(pos..).unwrap_or_default();
        if count == 0 || rest.is_empty() {
            return Err(Flaw::bad("too few definition levels"));
        }
        if header & 1 == 1 {
            // What a last run that is cut short holds counts.
            let take = left.min(count.saturating_mul(8)).min(rest.len().saturating_mul(8));
            bits.append_packed(rest, take)?;
            left -= take;
            pos += count.min(rest.len());
            continue;
        }
        if rest[0] > 1 {
            return Err(Flaw::bad("a definition level above 1"));
        }
        let take = count.min(left);
        // Most pages of most columns have no NULL: one run says so.
        if take == n && rest[0] == 1 {
            return Ok(n);
        }
        bits.append_run(rest[0] == 1, take);
        left -= take;
        pos += 1;
    }
    Ok(bits.count(0, n))
}

/// A run of at most 64 rows with nine bytes from its header: its bits, rows and bytes.
#[inline(always)]
fn short_run(data: &[u8]) -> Option<(u64, usize, usize)> {
    let chunk = data.first_chunk::<9>()?;
    let (header, value) = (chunk[0], chunk[1]);
    let packed = header & 1 == 1;
    let count = usize::from(header >> 1);
    let len = if packed { count * 8 } else { count };
    // Longer, a header of two bytes, an empty run, or a level above 1: told apart by the caller.
    if len > 64 || header >= 0x80 || len == 0 || (!packed & (value > 1)) {
        return None;
    }
    let payload = u64::from_le_bytes([
        chunk[1], chunk[2], chunk[3], chunk[4], chunk[5], chunk[6], chunk[7], chunk[8],
    ]);
    let repeated = u64::from(value & 1).wrapping_neg();
    let mask = u64::from(packed).wrapping_neg();
    let word = payload & mask | repeated & !mask;
    Some((word, len, if packed { count + 1 } else { 2 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_and_bits() {
        let mut bits = Bitmap::default();
        for tail in [0, 20] {
            // With bytes behind the levels, and without: both ways of reading a run.
            let read = |levels: &[u8], n: usize, bits: &mut Bitmap| {
                let mut data = levels.to_vec();
                data.resize(levels.len() + tail, 0);
                read_validity(&data, n, bits)
            };
            assert_eq!(read(&[20, 0], 10, &mut bits), Ok(0));
            assert_eq!(bits.len(), 10);
            assert_eq!(read(&[20, 1], 10, &mut bits), Ok(10));
            assert_eq!(read(&[0xa0, 0x06, 1], 400, &mut bits), Ok(400));
            assert_eq!(bits.len(), 0);
            // Three valid, then eight packed.
            assert_eq!(read(&[6, 1, 3, 0b0101_0101], 11, &mut bits), Ok(7));
            assert_eq!(bits.word(0), 0b010_1010_1111);
            assert!(read(&[20, 2], 10, &mut bits).is_err());
            assert!(read(&[18, 1], 10, &mut bits).is_err());
        }
        assert!(read_validity(&[], 1, &mut bits).is_err());
        assert!(read_validity(&[0, 0, 0, 0], 1, &mut bits).is_err());
        // A packed run cut short.
        assert_eq!(read_validity(&[0x21, 0xff, 0x0f], 16, &mut bits), Ok(12));
        assert!(read_validity(&[0x21, 0xff, 0x0f], 17, &mut bits).is_err());
        assert_eq!(read_validity(&[], 0, &mut bits), Ok(0));
    }

    #[test]
    fn random_runs_equal_a_vector() {
        let mut seed = 17u64;
        for _ in 0..500 {
            let mut data = vec![];
            let mut want: Vec<bool> = vec![];
            while want.len() < 700 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let r = seed >> 20;
                if r & 1 == 1 {
                    let groups = (r >> 1) as usize % 20 + 1;
                    data.push((groups << 1 | 1) as u8);
                    for g in 0..groups {
                        let byte = (seed >> (g % 50)) as u8;
                        data.push(byte);
                        want.extend((0..8).map(|b| byte >> b & 1 == 1));
                    }
                } else {
                    let count = (r >> 1) as usize % 90 + 1;
                    match count << 1 {
                        h if h < 128 => data.push(h as u8),
                        h => data.extend([(h & 0x7f | 0x80) as u8, (h >> 7) as u8]),
                    }
                    data.push((r >> 30 & 1) as u8);
                    want.extend(std::iter::repeat_n(r >> 30 & 1 == 1, count));
                }
            }
            let mut bits = Bitmap::default();
            for n in [want.len(), want.len() / 2, 65] {
                let valid = want[..n].iter().filter(|v| **v).count();
                assert_eq!(read_validity(&data, n, &mut bits), Ok(valid));
                if bits.len() > 0 {
                    assert!((0..n).all(|i| (bits.word(i) & 1 == 1) == want[i]));
                }
            }
        }
    }
}
