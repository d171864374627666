//! Dense values to rows: the one inner loop that all nullable columns share.

use crate::encoding::bitmap::{Rows, low_mask};

/// Appends one value per row to `out`: the next of `values`, converted, or the default for a row
/// without a value.
///
/// `values` holds exactly `rows.valid` values. Blocks of 64 rows are told apart: all valid is a
/// plain loop; all NULL writes nothing but zeros; a mixed block that has 64 values left to read is
/// done without branches (every slot takes the next value or zero); few values go bit by bit.
#[inline]
pub(crate) fn scatter<S: Copy, T: Copy + Default>(
    values: &[S],
    rows: &Rows<'_>,
    out: &mut Vec<T>,
    convert: impl Fn(S) -> T,
) {
    debug_assert_eq!(values.len(), rows.valid);
    let Some((bits, first)) = rows.bits.filter(|_| rows.valid < rows.len) else {
        out.extend(values.iter().map(|v| convert(*v)));
        return;
    };
    let start = out.len();
    out.resize(start + rows.len, T::default());
    let mut rest = values;
    let mut at = first;
    for block in out[start..].chunks_mut(64) {
        let n = block.len();
        let word = bits.word(at) & low_mask(n);
        at += n;
        let set = (word.count_ones() as usize).min(rest.len());
        if set == n {
            for (o, v) in block.iter_mut().zip(rest) {
                *o = convert(*v);
            }
        } else if set >= 12
            && let Some(source) = rest.first_chunk::<64>()
        {
            let mut k = 0usize;
            for (i, o) in block.iter_mut().enumerate() {
                let bit = word >> i & 1;
                let v = convert(source[k & 63]);
                *o = if bit == 1 { v } else { T::default() };
                k += bit as usize;
            }
        } else {
            let mut w = word;
            for v in &rest[..set] {
                block[w.trailing_zeros() as usize & 63] = convert(*v);
                w &= w.wrapping_sub(1);
            }
        }
        rest = &rest[set..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::bitmap::Bitmap;

    #[test]
    fn every_density_and_offset() {
        let mut seed = 5u64;
        for density in 0..=8u64 {
            for first in [0usize, 1, 63, 64, 100] {
                let valid: Vec<bool> = (0..500)
                    .map(|_| {
                        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        (seed >> 33) % 8 < density
                    })
                    .collect();
                let mut bits = Bitmap::default();
                valid.iter().for_each(|v| bits.append_run(*v, 1));
                let window = &valid[first..first + 300];
                let count = window.iter().filter(|v| **v).count();
                let values: Vec<u32> = (1..=count as u32).collect();
                let mut next = 0;
                let want: Vec<u64> = window
                    .iter()
                    .map(|v| {
                        next += u64::from(*v);
                        if *v { next } else { 0 }
                    })
                    .collect();
                let rows = Rows { len: 300, valid: count, bits: Some((&bits, first)) };
                let mut out = vec![77u64];
                scatter(&values, &rows, &mut out, u64::from);
                assert_eq!(out[1..], want, "density {density}, first {first}");
            }
        }
        let mut out = vec![];
        scatter(&[1u8, 2], &Rows::all(2), &mut out, |v| v);
        assert_eq!(out, [1, 2]);
    }
}
