//! Flags by code: which rows have a code whose flag is set, as bits.
//!
//! A predicate over a dictionary comes down to this for every row of the column, so it is the inner loop of
//! most filters. The flags of a small dictionary fit into registers, where eight or sixteen rows are looked up by a
//! permutation each; the instruction that gathers from memory is slower than the plain loop on processors that
//! are patched against data sampling. On one core of a Xeon of 2.5 GHz, per row: a byte loaded, its bit shifted by the
//! row's number 1.4 ns; eight rows a byte 0.7 ns; 256 flags in one register (AVX2) 0.12 ns; 4,096 flags in eight
//! registers (AVX-512) 0.18 ns. It was a fifth of the time of TPC-H Q6.
#![expect(unsafe_code, reason = "calls what needs AVX2 or AVX-512, once the processor has it")]

use arrow::buffer::BooleanBuffer;

/// Flags of a register of the kinds below.
#[cfg(target_arch = "x86_64")]
const WORDS: usize = 8;

/// A flag for each of some codes.
#[derive(Debug)]
pub(super) struct Flags {
    /// 0 or 1.
    bytes: Vec<u8>,
    /// The same, 32 to a word; at least as many words as [`WORDS`].
    #[cfg(target_arch = "x86_64")]
    words: Vec<u32>,
}

impl Flags {
    /// Of the codes from 0.
    pub(super) fn new(flags: impl Iterator<Item = bool>) -> Self {
        let bytes: Vec<u8> = flags.map(u8::from).collect();
        #[cfg(target_arch = "x86_64")]
        let words = {
            let mut words = vec![0; bytes.len().div_ceil(32).max(WORDS)];
            for (code, &flag) in bytes.iter().enumerate() {
                words[code / 32] |= u32::from(flag) << (code % 32);
            }
            words
        };
        Self {
            bytes,
            #[cfg(target_arch = "x86_64")]
            words,
        }
    }

    /// The last code's.
    pub(super) fn last(&self) -> bool {
        self.bytes.last() == Some(&1)
    }

    /// The flag of each of `codes`. What is found for a code that has none is not said.
    pub(super) fn at(&self, codes: &[u32]) -> BooleanBuffer {
        let mut found = Vec::with_capacity(codes.len().div_ceil(64));
        let (whole, rest) = codes.as_chunks::<64>();
        self.look_up(whole, &mut found);
        if !rest.is_empty() {
            let mut last = [0; 64];
            last[..rest.len()].copy_from_slice(rest);
            self.look_up(&[last], &mut found);
        }
        BooleanBuffer::new(found.into(), 0, codes.len())
    }

    #[cfg(target_arch = "x86_64")]
    fn look_up(&self, codes: &[[u32; 64]], found: &mut Vec<u64>) {
        use std::is_x86_feature_detected as has;
        if self.words.len() <= WORDS && has!("avx2") {
            // SAFETY: the processor has AVX2.
            unsafe { wide::of_256(&self.words, codes, found) };
        } else if self.words.len() <= wide::MOST_WORDS && has!("avx512f") {
            // SAFETY: the processor has AVX-512F.
            unsafe { wide::of_4096(&self.words, codes, found) };
        } else {
            plain(&self.bytes, codes, found);
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn look_up(&self, codes: &[[u32; 64]], found: &mut Vec<u64>) {
        plain(&self.bytes, codes, found);
    }
}

/// Byte by byte.
fn plain(flags: &[u8], codes: &[[u32; 64]], found: &mut Vec<u64>) {
    let last = flags.len().saturating_sub(1);
    let flag = |code: u32| flags.get((code as usize).min(last)).copied().unwrap_or(0);
    for codes in codes {
        let (eights, _) = codes.as_chunks::<8>();
        let bytes = eights.iter().map(|&[a, b, c, d, e, f, g, h]| {
            let low = flag(a) | flag(b) << 1 | flag(c) << 2 | flag(d) << 3;
            low | flag(e) << 4 | flag(f) << 5 | flag(g) << 6 | flag(h) << 7
        });
        found.push(bytes.rev().fold(0, |word, byte| word << 8 | u64::from(byte)));
    }
}

/// With all flags in registers.
#[cfg(target_arch = "x86_64")]
mod wide {
    use std::arch::x86_64::{
        __m256i, __m512i, _mm256_andnot_si256, _mm256_castsi256_ps, _mm256_movemask_ps,
        _mm256_permutevar8x32_epi32, _mm256_set1_epi32, _mm256_setr_epi32, _mm256_sllv_epi32,
        _mm256_srli_epi32, _mm512_and_si512, _mm512_mask_blend_epi32, _mm512_permutex2var_epi32,
        _mm512_set1_epi32, _mm512_setr_epi32, _mm512_sllv_epi32, _mm512_srli_epi32,
        _mm512_test_epi32_mask,
    };

    /// Words of flags that fit into eight registers of 512 bits.
    pub(super) const MOST_WORDS: usize = 128;

    /// At most 256 flags: the word by a permutation, the bit by a shift that makes it the sign.
    #[target_feature(enable = "avx2")]
    pub(super) fn of_256(words: &[u32], codes: &[[u32; 64]], found: &mut Vec<u64>) {
        let mut table = [0; 8];
        for (to, &word) in table.iter_mut().zip(words) {
            *to = word;
        }
        let table = eight(&table);
        let low = _mm256_set1_epi32(31);
        for codes in codes {
            let (eights, _) = codes.as_chunks::<8>();
            let mut bits = 0;
            for (at, codes) in eights.iter().enumerate() {
                let codes = eight(codes);
                let words = _mm256_permutevar8x32_epi32(table, _mm256_srli_epi32::<5>(codes));
                let signs = _mm256_sllv_epi32(words, _mm256_andnot_si256(codes, low));
                let mask = _mm256_movemask_ps(_mm256_castsi256_ps(signs));
                bits |= u64::from(mask.cast_unsigned()) << (8 * at);
            }
            found.push(bits);
        }
    }

    /// At most 4,096 flags: four permutations of 32 words each, of which bits 5 and 6 of the word's number choose.
    #[target_feature(enable = "avx512f")]
    pub(super) fn of_4096(words: &[u32], codes: &[[u32; 64]], found: &mut Vec<u64>) {
        let mut table = [[0; 16]; MOST_WORDS / 16];
        for (to, &word) in table.as_flattened_mut().iter_mut().zip(words) {
            *to = word;
        }
        let tables = table.map(|words| sixteen(&words));
        let [one, low] = [_mm512_set1_epi32(1), _mm512_set1_epi32(31)];
        let [of_32, of_64] = [_mm512_set1_epi32(32), _mm512_set1_epi32(64)];
        for codes in codes {
            let (sixteens, _) = codes.as_chunks::<16>();
            let mut bits = 0;
            for (at, codes) in sixteens.iter().enumerate() {
                let codes = sixteen(codes);
                let word = _mm512_srli_epi32::<5>(codes);
                let pair = |pair: usize| {
                    _mm512_permutex2var_epi32(tables[2 * pair], word, tables[2 * pair + 1])
                };
                let odd = _mm512_test_epi32_mask(word, of_32);
                let first = _mm512_mask_blend_epi32(odd, pair(0), pair(1));
                let second = _mm512_mask_blend_epi32(odd, pair(2), pair(3));
                let upper = _mm512_test_epi32_mask(word, of_64);
                let words = _mm512_mask_blend_epi32(upper, first, second);
                let bit = _mm512_sllv_epi32(one, _mm512_and_si512(codes, low));
                bits |= u64::from(_mm512_test_epi32_mask(words, bit)) << (16 * at);
            }
            found.push(bits);
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn eight(from: &[u32; 8]) -> __m256i {
        let [a, b, c, d, e, f, g, h] = from.map(u32::cast_signed);
        _mm256_setr_epi32(a, b, c, d, e, f, g, h)
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn sixteen(from: &[u32; 16]) -> __m512i {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = from.map(u32::cast_signed);
        _mm512_setr_epi32(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes around those at which another loop takes over.
    const SIZES: [usize; 16] =
        [1, 2, 31, 32, 33, 255, 256, 257, 1023, 1024, 1025, 3000, 4095, 4096, 4097, 70_000];

    fn flag(code: usize) -> bool {
        code.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 61 < 3
    }

    #[test]
    fn rows_have_the_flags_of_their_codes() {
        for size in SIZES {
            let flags = Flags::new((0..size).map(flag));
            assert_eq!(flags.last(), flag(size - 1));
            for rows in [0, 1, 7, 63, 64, 65, 1000] {
                // All codes of small sizes, and the ends of large ones.
                let code = |row: usize| match row % 3 {
                    0 => row % size,
                    1 => size - 1 - row % size,
                    _ => row.wrapping_mul(0x9e37_79b9_7f4a_7c15) % size,
                };
                let codes: Vec<u32> = (0..rows).map(|row| code(row) as u32).collect();
                let wanted: BooleanBuffer = (0..rows).map(|row| flag(code(row))).collect();
                assert_eq!(flags.at(&codes), wanted, "{size} flags, {rows} rows");
            }
        }
    }

    #[test]
    fn every_code_of_every_size_is_found() {
        for size in SIZES {
            for set in [0, size / 2, size - 1] {
                let flags = Flags::new((0..size).map(|code| code == set));
                let codes: Vec<u32> = (0..size as u32).collect();
                let found: Vec<usize> = flags.at(&codes).set_indices().collect();
                assert_eq!(found, [set], "{size} flags");
            }
        }
    }

    #[test]
    fn all_loops_agree() {
        let flags = Flags::new((0..200).map(flag));
        let codes: [u32; 64] = std::array::from_fn(|row| (row * 37 % 200) as u32);
        let mut found = Vec::new();
        plain(&flags.bytes, &[codes], &mut found);
        #[cfg(target_arch = "x86_64")]
        {
            if std::is_x86_feature_detected!("avx2") {
                // SAFETY: the processor has AVX2.
                unsafe { wide::of_256(&flags.words, &[codes], &mut found) };
            }
            if std::is_x86_feature_detected!("avx512f") {
                // SAFETY: the processor has AVX-512F.
                unsafe { wide::of_4096(&flags.words, &[codes], &mut found) };
            }
        }
        assert!(found.iter().all(|&word| word == found[0]), "{found:x?}");
    }

    #[test]
    fn a_code_without_a_flag_harms_nobody() {
        for size in SIZES {
            let flags = Flags::new((0..size).map(flag));
            let codes = [u32::MAX, 0, 1 << 31, size as u32];
            let found = flags.at(&codes);
            assert_eq!(found.len(), codes.len());
            assert_eq!(found.value(1), flag(0));
        }
    }
}
