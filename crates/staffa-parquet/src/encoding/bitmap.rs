//! A growable bitmap of 64-bit words: validity and PLAIN booleans of one page.

use crate::error::{Flaw, Flawed};

/// Bits, least significant first; bits behind `len` in the last word are zero.
#[derive(Debug, Default, Clone)]
pub(crate) struct Bitmap {
    words: Vec<u64>,
    len: usize,
}

impl Bitmap {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn clear(&mut self) {
        self.words.clear();
        self.len = 0;
    }

    /// Appends `n` bits of one value.
    pub(crate) fn append_run(&mut self, bit: bool, n: usize) {
        let (from, to) = (self.len, self.len + n);
        self.words.resize(to.div_ceil(64), 0);
        self.len = to;
        if !bit || n == 0 {
            return;
        }
        let (first, last) = (from / 64, (to - 1) / 64);
        let head = u64::MAX << (from % 64);
        let tail = u64::MAX >> (63 - (to - 1) % 64);
        if first == last {
            self.words[first] |= head & tail;
        } else {
            self.words[first] |= head;
            self.words[first + 1..last].fill(u64::MAX);
            self.words[last] |= tail;
        }
    }

    /// Appends the first `n` bits of `bytes`.
    ///
    /// # Errors
    /// When `bytes` holds fewer.
    pub(crate) fn append_packed(&mut self, bytes: &[u8], n: usize) -> Flawed<()> {
        let bytes = bytes.get(..n.div_ceil(8)).ok_or_else(|| Flaw::bad("too few packed bits"))?;
        self.words.reserve(n / 64 + 2);
        let shift = self.len % 64;
        let (whole, rest) = bytes.as_chunks::<8>();
        for c in whole {
            self.push_word(u64::from_le_bytes(*c), shift);
        }
        let mut c = [0; 8];
        c[..rest.len()].copy_from_slice(rest);
        if !rest.is_empty() {
            self.push_word(u64::from_le_bytes(c), shift);
        }
        self.len += n;
        self.words.resize(self.len.div_ceil(64), 0);
        if !self.len.is_multiple_of(64)
            && let Some(last) = self.words.last_mut()
        {
            *last &= (1 << (self.len % 64)) - 1;
        }
        Ok(())
    }

    fn push_word(&mut self, word: u64, shift: usize) {
        if shift == 0 {
            self.words.push(word);
        } else {
            if let Some(last) = self.words.last_mut() {
                *last |= word << shift;
            }
            self.words.push(word >> (64 - shift));
        }
    }

    /// Appends the lowest `n` (1 to 64) bits of a word whose other bits are zero.
    #[inline]
    pub(crate) fn append_word(&mut self, word: u64, n: usize) {
        let shift = self.len % 64;
        match self.words.last_mut() {
            Some(last) if shift > 0 => {
                *last |= word << shift;
                if shift + n > 64 {
                    self.words.push(word >> (64 - shift));
                }
            }
            _ => self.words.push(word),
        }
        self.len += n;
    }

    /// 64 bits from bit `at`; zeros behind the end.
    #[inline]
    pub(crate) fn word(&self, at: usize) -> u64 {
        let (i, shift) = (at / 64, at % 64);
        let low = self.words.get(i).copied().unwrap_or(0) >> shift;
        if shift == 0 {
            return low;
        }
        low | self.words.get(i + 1).copied().unwrap_or(0) << (64 - shift)
    }

    /// Set bits in `at..at + n`.
    pub(crate) fn count(&self, at: usize, n: usize) -> usize {
        let mut total = 0usize;
        let mut done = 0;
        while done < n {
            let take = (n - done).min(64);
            total += (self.word(at + done) & low_mask(take)).count_ones() as usize;
            done += take;
        }
        total
    }

    /// The words as bytes, for arrow's builders.
    pub(crate) fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.words)
    }
}

/// The lowest `n` (up to 64) bits set.
#[inline]
pub(crate) fn low_mask(n: usize) -> u64 {
    if n >= 64 { u64::MAX } else { (1 << n) - 1 }
}

/// A run of rows of one page, and which of them have a value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows<'a> {
    /// Rows in the run.
    pub(crate) len: usize,
    /// Rows that have a value.
    pub(crate) valid: usize,
    /// The page's validity and the run's first row in it; `None`: all rows have a value.
    pub(crate) bits: Option<(&'a Bitmap, usize)>,
}

impl Rows<'_> {
    /// Rows that all have a value.
    #[cfg(test)]
    pub(crate) fn all(len: usize) -> Self {
        Self { len, valid: len, bits: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_a_vector_of_bools() {
        let mut bits = Bitmap::default();
        let mut plain: Vec<bool> = vec![];
        let mut seed = 7u64;
        for step in 0..400usize {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let n = (seed >> 33) as usize % 150;
            if step % 2 == 0 {
                let bit = seed >> 40 & 1 == 1;
                bits.append_run(bit, n);
                plain.extend(std::iter::repeat_n(bit, n));
            } else {
                let bytes: Vec<u8> = (0..n.div_ceil(8)).map(|i| (seed >> (i % 56)) as u8).collect();
                bits.append_packed(&bytes, n).unwrap();
                plain.extend((0..n).map(|i| bytes[i / 8] >> (i % 8) & 1 == 1));
            }
        }
        assert_eq!(bits.len(), plain.len());
        for (i, b) in plain.iter().enumerate() {
            assert_eq!(bits.word(i) & 1 == 1, *b, "bit {i}");
        }
        for (at, n) in [(0, plain.len()), (3, 1000), (64, 64), (65, 63), (100, 0)] {
            let want = plain[at..at + n].iter().filter(|b| **b).count();
            assert_eq!(bits.count(at, n), want);
        }
        assert!(bits.append_packed(&[1], 9).is_err());
    }
}
