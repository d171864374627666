//! SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): the same numbers on every machine.

use std::cell::Cell;

/// Its methods take `&self`, so that one number may bound the next.
pub(crate) struct Random(Cell<u64>);

impl Random {
    /// A generator for a test, moved by `STAFFA_TEST_SEED`.
    pub(crate) fn new(salt: u64) -> Self {
        let seed =
            std::env::var("STAFFA_TEST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(1u64);
        Self(Cell::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ salt))
    }

    pub(crate) fn next(&self) -> u64 {
        self.0.set(self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
        let mut z = self.0.get();
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 to n - 1.
    pub(crate) fn below(&self, n: usize) -> usize {
        if n == 0 { 0 } else { (self.next() % n as u64) as usize }
    }

    pub(crate) fn one_in(&self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn bytes(&self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.next() as u8).collect()
    }
}
