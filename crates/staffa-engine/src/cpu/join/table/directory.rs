//! Open addressing: slots of (key, run), linear probing, no reserved key.

use std::hint::black_box;

use datafusion_common::{DataFusionError, Result, resources_err};
use rayon::prelude::*;

use super::filter::{Bloom, Prefilter};
use super::partition::{Chunk, counts, cut, partition_bits, split};
use super::{Index, JoinTable, RowKeys, Run};
use crate::CancelFlag;
use crate::cpu::join::equal::Equal;

/// 16 bytes, so that a lookup touches one cache line. Free when `len` is 0.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    /// The code, or the hash.
    key: u64,
    first: u32,
    len: u32,
}

impl Slot {
    /// The run of the slot's key.
    #[inline(always)]
    fn run(&self) -> Run {
        Run { first: self.first, len: self.len }
    }
}

/// A partition's stretch of slots, a power of two.
#[derive(Debug, Clone, Copy)]
struct Part {
    base: usize,
    mask: usize,
}

/// Finds a key's run by open addressing. At least a third of every partition's slots is free,
/// so that a search ends.
pub(in super::super) struct Directory {
    slots: Vec<Slot>,
    parts: Vec<Part>,
    /// `64 - bits`, in two steps so that no shift is 64 wide.
    shift: u32,
    distinct: usize,
}

/// Spreads a key over 64 bits: integers that follow each other must not fill slots in a row,
/// and the upper bits select the partition.
#[inline(always)]
pub(in super::super) fn mix(key: u64) -> u64 {
    const SEED: u64 = 0x5bf0_3635_dcf0_9a1f;
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let product = u128::from(key ^ SEED) * u128::from(FACTOR);
    (product as u64) ^ (product >> 64) as u64
}

/// Slots for so many rows: at most two thirds full. Lookups in small directories cost no cache misses, but
/// collisions, each a mispredicted branch: they are at most half full, and an eighth where that stays in a
/// core's second cache.
fn capacity(rows: usize) -> usize {
    let slots = match rows {
        0..SMALL_ROWS => rows * 8,
        SMALL_ROWS..ROOMY_ROWS => rows * 2,
        _ => rows + rows / 2 + 1,
    };
    slots.next_power_of_two().max(4)
}

/// See [`capacity`].
const SMALL_ROWS: usize = 1 << 12;
const ROOMY_ROWS: usize = 1 << 14;

/// Fewer slots are in a core's second cache anyway.
const FAR_SLOTS: usize = 1 << 15;

impl Directory {
    /// Bytes of the slots for so many rows.
    pub(super) fn bytes(rows: usize) -> usize {
        capacity(rows) * size_of::<Slot>()
    }

    /// Of codes that are none greater than `last`, or of hashes: `equal` then compares two build rows.
    pub(super) fn build(
        keys: &RowKeys,
        last: Option<u64>,
        equal: Option<&Equal>,
        cancel: &CancelFlag,
    ) -> Result<JoinTable> {
        let bits = partition_bits(keys.keys.len());
        let count = 1usize << bits;
        let shift = 63 - bits;
        let chunks = split(keys, count, |key| (mix(key) >> 1 >> shift) as usize, cancel)?;
        let counts = counts(&chunks, count);
        let total: usize = counts.iter().sum();
        if total == 0 {
            return Ok(JoinTable::empty());
        }
        if counts.iter().any(|&rows| rows > 1 << 31) {
            return resources_err!(
                "a join's build side has more than 2^31 rows of one hash prefix"
            );
        }
        let mut base = 0;
        let parts: Vec<Part> = counts
            .iter()
            .map(|&rows| {
                let slots = capacity(rows);
                base += slots;
                Part { base: base - slots, mask: slots - 1 }
            })
            .collect();
        let mut slots = vec![Slot::default(); base];
        let mut rows = vec![0u32; total];
        let mut row_base = 0;
        let bases: Vec<usize> = counts
            .iter()
            .map(|count| {
                row_base += count;
                row_base - count
            })
            .collect();
        let bytes = base * size_of::<Slot>();
        let by_code = last.and_then(|last| Prefilter::of_keys(keys, last, bytes));
        let wanted = by_code.is_none() && Bloom::wanted(bytes);
        let mut bloom = wanted.then(|| Bloom::new(total, bits));
        let bloom_shift = bloom.as_ref().map_or(0, Bloom::shift);
        let words = bloom.as_mut().map(|bloom| bloom.parts(count));
        let words: Vec<Option<&mut [u64]>> = match words {
            Some(words) => words.into_iter().map(Some).collect(),
            None => (0..count).map(|_| None).collect(),
        };
        let distinct = cut(&mut slots, parts.iter().map(|part| part.mask + 1))
            .into_par_iter()
            .zip(cut(&mut rows, counts.iter().copied()))
            .zip(words)
            .enumerate()
            .map(|(part, ((slots, rows), words))| {
                cancel.check()?;
                if let Some(words) = words {
                    let keys = chunks.iter().flat_map(|chunk| chunk.part(part));
                    Bloom::fill(words, bloom_shift, keys.map(|(key, _)| mix(key)));
                }
                Ok(fill(&chunks, part, slots, rows, bases[part], equal))
            })
            .collect::<Result<Vec<usize>, DataFusionError>>()?
            .into_iter()
            .sum();
        if distinct == total {
            rows = Vec::new();
        }
        Ok(JoinTable {
            index: Index::Directory(Self { slots, parts, shift, distinct }),
            rows,
            filter: by_code.or(bloom.map(Prefilter::Keys)),
        })
    }

    #[inline(always)]
    fn part(&self, mixed: u64) -> Part {
        self.parts[(mixed >> 1 >> self.shift) as usize]
    }

    /// The run of a key; its length is 0 where there is none.
    #[inline(always)]
    fn find(&self, key: u64) -> Run {
        let mixed = mix(key);
        self.find_in(self.part(mixed), mixed, key)
    }

    #[inline(always)]
    fn find_in(&self, part: Part, mixed: u64, key: u64) -> Run {
        let mut at = mixed as usize & part.mask;
        loop {
            let slot = &self.slots[part.base + at];
            if slot.len == 0 || slot.key == key {
                return slot.run();
            }
            at = (at + 1) & part.mask;
        }
    }

    /// Reads the slots at which searches for these keys begin, so that cache misses overlap: a search waits at every
    /// collision for what it compares.
    #[inline(always)]
    fn touch(&self, keys: &[u64]) {
        if self.slots.len() < FAR_SLOTS {
            return;
        }
        let read = |key: u64| {
            let mixed = mix(key);
            let part = self.part(mixed);
            self.slots[part.base + (mixed as usize & part.mask)].key
        };
        black_box(keys.iter().fold(0, |sum, &key| sum ^ read(key)));
    }

    /// Overwrites `runs` with those of these keys: of length 0 where a key has none.
    #[inline(always)]
    pub(in super::super) fn find_all(&self, keys: &[u64], runs: &mut [Run]) {
        self.touch(keys);
        for (run, &key) in runs.iter_mut().zip(keys) {
            *run = self.find(key);
        }
    }

    /// Overwrites `rows` with row + 1 of each key, or 0. Keys have one row each.
    #[inline(always)]
    pub(in super::super) fn find_rows(&self, keys: &[u64], rows: &mut [u32]) {
        self.touch(keys);
        // A free slot's are 0 both, a taken one's length is 1.
        let row_of = |run: Run| run.first + run.len;
        if let [part] = self.parts[..] {
            for (row, &key) in rows.iter_mut().zip(keys) {
                *row = row_of(self.find_in(part, mix(key), key));
            }
            return;
        }
        for (row, &key) in rows.iter_mut().zip(keys) {
            *row = row_of(self.find(key));
        }
    }

    /// The run of a hash whose rows pass `test`: several keys may have the same hash.
    pub(in super::super) fn find_equal(
        &self,
        key: u64,
        mut test: impl FnMut(Run) -> bool,
    ) -> Option<Run> {
        let mixed = mix(key);
        let part = self.part(mixed);
        let mut at = mixed as usize & part.mask;
        loop {
            let slot = &self.slots[part.base + at];
            if slot.len == 0 {
                return None;
            }
            if slot.key == key && test(slot.run()) {
                return Some(slot.run());
            }
            at = (at + 1) & part.mask;
        }
    }

    /// Number of runs.
    pub(super) fn distinct(&self) -> usize {
        self.distinct
    }

    /// All runs.
    pub(super) fn runs(&self) -> impl Iterator<Item = Run> + '_ {
        self.slots.iter().filter(|slot| slot.len != 0).map(Slot::run)
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>()
    }
}

/// Puts a partition's rows into its slots, and the rows of keys that have several next to each
/// other. Gives the number of keys.
fn fill(
    chunks: &[Chunk],
    part: usize,
    slots: &mut [Slot],
    rows: &mut [u32],
    rows_base: usize,
    equal: Option<&Equal>,
) -> usize {
    let mask = slots.len() - 1;
    let mut slot_of: Vec<u32> = Vec::with_capacity(rows.len());
    let mut distinct = 0;
    for (key, row) in chunks.iter().flat_map(|chunk| chunk.part(part)) {
        let mut at = mix(key) as usize & mask;
        loop {
            let slot = &mut slots[at];
            if slot.len == 0 {
                *slot = Slot { key, first: row, len: 1 };
                distinct += 1;
                break;
            }
            if slot.key == key
                && equal.is_none_or(|equal| equal.equal(slot.first as usize, row as usize))
            {
                slot.len += 1;
                break;
            }
            at = (at + 1) & mask;
        }
        // A partition has at most 2^32 slots.
        slot_of.push(at as u32);
    }
    if distinct == rows.len() {
        return distinct;
    }
    let mut next = 0;
    for slot in slots.iter_mut().filter(|slot| slot.len > 1) {
        slot.first = next;
        next += slot.len;
    }
    let all = chunks.iter().flat_map(|chunk| chunk.part(part));
    for ((_, row), &at) in all.zip(&slot_of) {
        let slot = &mut slots[at as usize];
        if slot.len > 1 {
            rows[slot.first as usize] = row;
            slot.first += 1;
        }
    }
    let rows_base = rows_base as u32;
    for slot in slots.iter_mut().filter(|slot| slot.len > 1) {
        slot.first = slot.first - slot.len + rows_base;
    }
    distinct
}
