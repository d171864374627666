//! A small filter before a large index: where most probe rows have no match, one look into a
//! cache answers instead of one into memory.

use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;

use super::partition::cut;
use super::{RowKeys, mix};

/// Codes from which on a bit for each pays: their index outgrows the second-level cache.
const MIN_CODES: usize = 1 << 18;

/// Bytes of a directory from which on a filter pays. Small: it saves the mispredicted branches
/// of a search that finds nothing, 10 ns a row.
const MIN_DIRECTORY_BYTES: usize = 1 << 14;

/// A directory of exact codes has a bit per code rather than a Bloom filter where there are at most so
/// many codes a row: no hash, no false "maybe", and where the probe side comes in the order of the codes,
/// as facts often do, bits are read in order too.
const CODES_PER_ROW: u64 = 32;
/// The same, while all bits fit the second-level cache ([`CACHED_CODES`]).
const CACHED_CODES_PER_ROW: u64 = 256;
/// See [`CACHED_CODES_PER_ROW`].
const CACHED_CODES: u64 = 1 << 23;

/// Of codes that lie about where rows' codes do, [`Stretches`] let at most this part pass wrongly.
const MOST_WRONG: f64 = 1.0 / 16.0;

/// Says "no" or "maybe" to a key.
pub(in super::super) enum Prefilter {
    /// One bit per code; exact.
    Codes(Vec<u64>),
    /// Codes of a directory, in their order.
    Stretches(Stretches),
    /// Keys of a directory.
    Keys(Bloom),
}

impl Prefilter {
    /// A bit per code for which `has` holds, if the index by code is large.
    pub(super) fn of_codes(codes: usize, has: impl Fn(usize) -> bool + Sync) -> Option<Self> {
        if codes < MIN_CODES {
            return None;
        }
        let words = (0..codes.div_ceil(64)).into_par_iter().with_min_len(1 << 12).map(|word| {
            let from = word * 64;
            let to = (from + 64).min(codes);
            (from..to).fold(0, |word, code| word | u64::from(has(code)) << (code - from))
        });
        Some(Self::Codes(words.collect()))
    }

    /// Of codes up to `last`, in their order, where a directory of so many rows and bytes should have that:
    /// a bit per code, or a word per stretch of codes.
    pub(super) fn of_keys(keys: &RowKeys, last: u64, directory_bytes: usize) -> Option<Self> {
        if directory_bytes < MIN_DIRECTORY_BYTES {
            return None;
        }
        let rows = keys.keys.len() as u64;
        let most = CACHED_CODES.min(CACHED_CODES_PER_ROW.saturating_mul(rows));
        let most = most.max(CODES_PER_ROW.saturating_mul(rows));
        if last < most {
            return Some(Self::Codes(fill(keys, last, 6, |code| 1 << (code & 63))));
        }
        Stretches::of_keys(keys, last).map(Self::Stretches)
    }

    /// Bytes that it holds.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Codes(words) => words.capacity() * 8,
            Self::Stretches(stretches) => stretches.words.capacity() * 8,
            Self::Keys(bloom) => bloom.words.capacity() * 8,
        }
    }
}

/// A word for each stretch of `1 << shift` codes, in which each row's code at most `last` sets `bits`.
fn fill(keys: &RowKeys, last: u64, shift: u32, bits: impl Fn(u64) -> u64 + Sync) -> Vec<u64> {
    const TASK_ROWS: usize = 1 << 16;
    let mut words = Vec::new();
    words.resize_with((last >> shift) as usize + 1, AtomicU64::default);
    keys.keys.par_chunks(TASK_ROWS).enumerate().for_each(|(task, codes)| {
        for (row, &code) in codes.iter().enumerate() {
            let taken = keys.matchable.as_ref().is_none_or(|all| all[task * TASK_ROWS + row]);
            // Rows that match nothing have any code.
            if let Some(word) = words.get((code >> shift) as usize).filter(|_| taken) {
                let bits = bits(code);
                if word.load(Ordering::Relaxed) & bits != bits {
                    word.fetch_or(bits, Ordering::Relaxed);
                }
            }
        }
    });
    words.into_iter().map(AtomicU64::into_inner).collect()
}

/// A blocked Bloom filter whose words stand in the order of the codes: a probe side that comes in their
/// order, as facts often do, reads it in order.
pub(in super::super) struct Stretches {
    words: Vec<u64>,
    shift: u32,
}

impl Stretches {
    /// `None` where the codes lie so unevenly that a few words would be full.
    fn of_keys(keys: &RowKeys, last: u64) -> Option<Self> {
        // One to four rows a word.
        let words = (keys.keys.len() as u64 / 2).next_power_of_two();
        let shift = (last / words).checked_ilog2().map_or(0, |bits| bits + 1);
        let words = fill(keys, last, shift, |code| pattern(mix(code)));
        let (mut all, mut wrong) = (0.0, 0.0);
        for word in &words {
            let bits = f64::from(word.count_ones());
            all += bits;
            wrong += bits * (bits / 64.0).powi(3);
        }
        (wrong <= all * MOST_WRONG).then_some(Self { words, shift })
    }

    /// False when no row has the code.
    #[inline(always)]
    pub(in super::super) fn may_have(&self, code: u64) -> bool {
        let bits = pattern(mix(code));
        self.words.get((code >> self.shift) as usize).copied().unwrap_or(0) & bits == bits
    }
}

/// A blocked Bloom filter: three bits of one word per key, 16 bits a key or more, so that about
/// one key in fifty passes wrongly.
pub(in super::super) struct Bloom {
    words: Vec<u64>,
    shift: u32,
}

impl Bloom {
    /// Whether a directory of so many bytes should have one.
    pub(super) fn wanted(bytes: usize) -> bool {
        bytes >= MIN_DIRECTORY_BYTES
    }

    /// For so many rows in `1 << part_bits` partitions.
    pub(super) fn new(rows: usize, part_bits: u32) -> Self {
        let bits = (rows / 4).next_power_of_two().ilog2().max(part_bits).max(1);
        Self { words: vec![0; 1 << bits], shift: 64 - bits }
    }

    /// The words of each partition: the upper bits of a mixed key select both.
    pub(super) fn parts(&mut self, parts: usize) -> Vec<&mut [u64]> {
        let each = self.words.len() / parts;
        cut(&mut self.words, (0..parts).map(|_| each))
    }

    /// Adds a partition's mixed keys to its words. A partition's words are a power of two, found
    /// by the lower bits of the word's number.
    pub(super) fn fill(words: &mut [u64], shift: u32, mixed: impl Iterator<Item = u64>) {
        let mask = words.len() - 1;
        for mixed in mixed {
            words[(mixed >> shift) as usize & mask] |= pattern(mixed);
        }
    }

    /// How far a mixed key is shifted for its word's number.
    pub(super) fn shift(&self) -> u32 {
        self.shift
    }

    /// False when no row has the key.
    #[inline(always)]
    pub(in super::super) fn may_have(&self, mixed: u64) -> bool {
        let bits = pattern(mixed);
        self.words[(mixed >> self.shift) as usize] & bits == bits
    }
}

/// Three bits, from the middle of a mixed key: its ends select partitions, words and slots.
#[inline(always)]
fn pattern(mixed: u64) -> u64 {
    let mixed = mixed >> 8;
    1 << (mixed & 63) | 1 << (mixed >> 6 & 63) | 1 << (mixed >> 12 & 63)
}
