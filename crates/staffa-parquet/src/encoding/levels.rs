//! Definition levels of flat columns: a level is 0 or 1, so they are the validity bitmap.

use bytes::Bytes;

use crate::encoding::bitmap::Bitmap;
use crate::encoding::hybrid::HybridReader;
use crate::error::Flawed;

/// Decodes the `n` levels of a page into `bits`, which is cleared first. Returns the rows that
/// have a value; when that is all of them, `bits` may stay empty.
///
/// # Errors
/// When there are fewer levels, or a level above 1.
pub(crate) fn read_validity(data: Bytes, n: usize, bits: &mut Bitmap) -> Flawed<usize> {
    bits.clear();
    if n == 0 {
        return Ok(0);
    }
    let mut reader = HybridReader::new(data, 1)?;
    // Most pages of most columns have no NULL: one run says so.
    if reader.peek_constant(n)? == Some(1) {
        return Ok(n);
    }
    reader.read_bits(bits, n)?;
    Ok(bits.count(0, n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_and_bits() {
        let mut bits = Bitmap::default();
        let levels = |b: &[u8]| Bytes::copy_from_slice(b);
        assert_eq!(read_validity(levels(&[20, 1]), 10, &mut bits), Ok(10));
        assert_eq!(bits.len(), 0);
        assert_eq!(read_validity(levels(&[20, 0]), 10, &mut bits), Ok(0));
        assert_eq!(bits.len(), 10);
        // Three valid, then eight packed.
        assert_eq!(read_validity(levels(&[6, 1, 3, 0b0101_0101]), 11, &mut bits), Ok(7));
        assert_eq!(bits.word(0), 0b010_1010_1111);
        assert!(read_validity(levels(&[20, 2]), 10, &mut bits).is_err());
        assert!(read_validity(levels(&[18, 1]), 10, &mut bits).is_err());
    }
}
