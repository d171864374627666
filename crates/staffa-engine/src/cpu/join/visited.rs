//! Which build rows have found a match: a bitmap that all lanes write.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// One bit per build row. Set while lanes probe, read by the last lane to end.
pub(super) struct Visited {
    words: Arc<[AtomicU64]>,
    /// The bit of row 0.
    base: usize,
    rows: usize,
}

impl Visited {
    /// Bytes that a bitmap of `rows` rows takes.
    pub(super) fn bytes(rows: usize) -> usize {
        rows.div_ceil(64) * 8
    }

    /// A bitmap of `rows` rows, none set.
    pub(super) fn new(rows: usize) -> Self {
        let words = (0..rows.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        Self { words, base: 0, rows }
    }

    /// The same bits, of the `rows` rows from `from` on only.
    pub(super) fn part(&self, from: usize, rows: usize) -> Self {
        Self { words: Arc::clone(&self.words), base: self.base + from, rows }
    }

    /// Number of rows.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Whether the row was set. Relaxed: the countdown of the lanes orders the last reads.
    pub(super) fn get(&self, row: u32) -> bool {
        let at = self.base + row as usize;
        let word = self.words[at / 64].load(Ordering::Relaxed);
        word & (1 << (at % 64)) != 0
    }

    /// Sets the row. Reads first: most rows of a popular key are set already, and a read does
    /// not take the cache line away from the other lanes.
    pub(super) fn set(&self, row: u32) {
        let at = self.base + row as usize;
        let word = &self.words[at / 64];
        let bit = 1 << (at % 64);
        if word.load(Ordering::Relaxed) & bit == 0 {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Sets the rows of a bitmap: words of 32 bits, the least significant first.
    pub(super) fn set_all(&self, bits: &[u32]) {
        for (word, pair) in self.words.iter().zip(bits.chunks(2)) {
            let high = pair.get(1).copied().unwrap_or(0);
            let bits = u64::from(pair[0]) | u64::from(high) << 32;
            if bits != 0 {
                word.fetch_or(bits, Ordering::Relaxed);
            }
        }
    }

    /// Appends up to `limit` of the rows from `from` on whose bit is `wanted`; gives the row
    /// to go on from.
    pub(super) fn collect(
        &self,
        from: usize,
        wanted: bool,
        limit: usize,
        out: &mut Vec<u32>,
    ) -> usize {
        let mut at = self.base + from;
        let rows_end = self.base + self.rows;
        while at < rows_end && out.len() < limit {
            let word = self.words[at / 64].load(Ordering::Relaxed);
            let word = if wanted { word } else { !word };
            let end = (at / 64 * 64 + 64).min(rows_end);
            if word >> (at % 64) == 0 {
                at = end;
                continue;
            }
            while at < end && out.len() < limit {
                if word >> (at % 64) & 1 == 1 {
                    // A state holds fewer rows than u32::MAX.
                    out.push(u32::try_from(at - self.base).unwrap_or(u32::MAX));
                }
                at += 1;
            }
        }
        at - self.base
    }
}
