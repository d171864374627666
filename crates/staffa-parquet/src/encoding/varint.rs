//! ULEB128 and zigzag integers.

use crate::error::{Flaw, Flawed};

/// Reads a ULEB128 integer at `*pos` and moves `*pos` behind it.
///
/// # Errors
/// When the bytes end first, or the value needs more than 64 bits.
pub(crate) fn uleb(data: &[u8], pos: &mut usize) -> Flawed<u64> {
    let mut value = 0u64;
    let mut shift = 0u32;
    loop {
        let byte = *data.get(*pos).ok_or_else(|| Flaw::bad("bytes end inside a varint"))?;
        *pos += 1;
        if shift == 63 && byte > 1 {
            return Err(Flaw::bad("varint of more than 64 bits"));
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
        shift += 7;
        if shift > 63 {
            return Err(Flaw::bad("varint of more than 64 bits"));
        }
    }
}

/// Undoes zigzag: 0, 1, 2, 3 are 0, -1, 1, -2.
#[inline]
pub(crate) fn unzigzag(v: u64) -> i64 {
    (v >> 1).cast_signed() ^ -(v & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_refuses() {
        let mut pos = 0;
        assert_eq!(uleb(&[0xac, 0x02, 9], &mut pos), Ok(300));
        assert_eq!(pos, 2);
        let max = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(uleb(&max, &mut 0), Ok(u64::MAX));
        assert!(uleb(&[0xff; 9], &mut 0).is_err());
        assert!(uleb(&[0xff; 20], &mut 0).is_err());
        let over = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        assert!(uleb(&over, &mut 0).is_err());
        let back: Vec<i64> = (0..5).map(unzigzag).collect();
        assert_eq!(back, [0, -1, 1, -2, 2]);
        assert_eq!(unzigzag(u64::MAX), i64::MIN);
    }
}
