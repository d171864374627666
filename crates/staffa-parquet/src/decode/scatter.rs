//! Dense values to rows: the one inner loop that all nullable columns share.

use crate::encoding::bitmap::{Rows, low_mask};
use crate::error::{Flaw, Flawed};

/// Appends one value per row to `out`: the next of `values`, converted, or the default for a row
/// without a value.
///
/// `values` holds exactly `rows.valid` values. Blocks of 64 rows are told apart: all valid is a
/// plain loop; all NULL stays zero; a block with few values, or near the end of `values`, goes bit
/// by bit. Else every slot takes the next value, without a branch, and the slots of NULLs are
/// zeroed afterwards: choosing per slot costs three times as much, as the compiler makes it a
/// branch that a processor cannot predict.
#[inline]
pub(crate) fn scatter<S: Copy, T: Copy + Default>(
    values: &[S],
    rows: &Rows<'_>,
    out: &mut Vec<T>,
    mut convert: impl FnMut(S) -> T,
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
    let (blocks, tail) = out[start..].as_chunks_mut::<64>();
    for block in blocks {
        let word = bits.word(at);
        at += 64;
        let set = (word.count_ones() as usize).min(rest.len());
        match rest.first_chunk::<64>() {
            Some(source) if word == u64::MAX => {
                for (o, v) in block.iter_mut().zip(source) {
                    *o = convert(*v);
                }
            }
            Some(source) if set >= 12 => {
                let (mut k, mut w) = (0usize, word);
                for o in block.iter_mut() {
                    *o = convert(source[k & 63]);
                    k += (w & 1) as usize;
                    w >>= 1;
                }
                let mut nulls = !word;
                while nulls != 0 {
                    block[nulls.trailing_zeros() as usize & 63] = T::default();
                    nulls &= nulls - 1;
                }
            }
            _ => place(word, &rest[..set], block, &mut convert),
        }
        rest = &rest[set..];
    }
    place(bits.word(at) & low_mask(tail.len()), rest, tail, &mut convert);
}

/// Puts each value where the next bit is set.
#[inline]
fn place<S: Copy, T>(
    mut word: u64,
    values: &[S],
    block: &mut [T],
    convert: &mut impl FnMut(S) -> T,
) {
    for v in values {
        if let Some(o) = block.get_mut(word.trailing_zeros() as usize) {
            *o = convert(*v);
        }
        word &= word.wrapping_sub(1);
    }
}

/// [`scatter`] of dictionary entries by their codes.
///
/// # Errors
/// When a code is beyond the dictionary.
#[inline]
pub(crate) fn gather<T: Copy + Default>(
    codes: &[u32],
    rows: &Rows<'_>,
    dictionary: &[T],
    out: &mut Vec<T>,
) -> Flawed<()> {
    let mut beyond = false;
    scatter(codes, rows, out, |c| match dictionary.get(c as usize) {
        Some(v) => *v,
        None => {
            beyond = true;
            T::default()
        }
    });
    match beyond {
        true => Err(beyond_dictionary(dictionary.len())),
        false => Ok(()),
    }
}

#[cold]
pub(crate) fn beyond_dictionary(entries: usize) -> Flaw {
    Flaw::bad(format!("a code beyond the dictionary's {entries} entries"))
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
