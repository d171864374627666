//! An open-addressing table from hashes to dense ids. The keys are the caller's.

/// Of a hash, what a slot keeps.
const UPPER: u64 = 0xFFFF_FFFF_0000_0000;
/// A table has no more slots: so many bits of the hash stand in a slot.
const MOST_SLOTS: usize = 1 << 32;
/// Slots of the first table.
const FIRST_SLOTS: usize = 256;
/// Slots per id from which a table is given up when it is cleared.
const SPARSE: usize = 16;
/// Smaller tables are in a core's cache anyway.
const FAR_SLOTS: usize = 1 << 13;
/// Keys whose slots are touched at once: they stay in a core's first cache.
pub(super) const TOUCHED: usize = 256;

/// Ids by hash. A slot is 8 bytes, the upper half of the hash and the id plus one, and free while it is
/// zero, so that a new table need not be written: a quarter of what keys of 128 bits with their ids would take.
/// Half of the slots are taken at most.
#[derive(Default)]
pub(super) struct HashedIds {
    slots: Vec<u64>,
    /// What brings a hash's top bits down to a slot's number.
    shift: u32,
    taken: usize,
    /// What [`touch`](Self::touch) read.
    touched: u64,
}

impl HashedIds {
    /// Reads the slots of hashes (as many as [`TOUCHED`] at most) that are looked up next, and with `read` what
    /// they will be compared with: the cache misses then overlap, where each would else wait for the comparisons of
    /// the row before.
    pub(super) fn touch(&mut self, hashes: impl Iterator<Item = u64>, read: impl Fn(u32) -> u64) {
        if self.slots.len() < FAR_SLOTS {
            return;
        }
        let mask = self.slots.len() - 1;
        let mut met = [(0, 0); TOUCHED];
        let mut rows = 0;
        for (met, hash) in met.iter_mut().zip(hashes) {
            *met = (hash, self.slots[(hash >> self.shift) as usize & mask]);
            rows += 1;
        }
        let alike = |(hash, slot): &&(u64, u64)| (slot ^ hash) & UPPER == 0;
        let ids = met[..rows].iter().filter(alike).filter_map(|(_, slot)| id_in(*slot));
        self.touched = ids.fold(self.touched, |sum, id| sum ^ read(id));
    }

    /// The id with this hash (whose top bits must be good) that `is` knows; `next` where there is none, which
    /// then is in the table. `next` is below `u32::MAX`.
    #[inline(always)]
    pub(super) fn intern(&mut self, hash: u64, next: u32, is: impl Fn(u32) -> bool) -> u32 {
        if self.slots.is_empty() {
            self.enlarge(FIRST_SLOTS);
        }
        let mask = self.slots.len() - 1;
        let mut at = (hash >> self.shift) as usize & mask;
        loop {
            let slot = self.slots[at];
            let Some(id) = id_in(slot) else {
                self.insert((hash & UPPER) | (u64::from(next) + 1), at);
                return next;
            };
            if (slot ^ hash) & UPPER == 0 && is(id) {
                return id;
            }
            at = (at + 1) & mask;
        }
    }

    #[inline(never)]
    fn insert(&mut self, slot: u64, at: usize) {
        self.slots[at] = slot;
        self.taken += 1;
        if self.taken * 2 > self.slots.len() && self.slots.len() < MOST_SLOTS {
            // Small tables grow fast to skip rehashing, large ones slowly to save memory.
            let factor = if self.slots.len() < 1 << 14 { 4 } else { 2 };
            self.enlarge(self.slots.len() * factor);
        }
    }

    #[cold]
    fn enlarge(&mut self, slots: usize) {
        let before = std::mem::replace(&mut self.slots, vec![0; slots]);
        self.shift = 64 - slots.trailing_zeros();
        let mask = slots - 1;
        for slot in before.into_iter().filter(|&slot| slot as u32 != 0) {
            let mut at = (slot >> self.shift) as usize & mask;
            while self.slots[at] as u32 != 0 {
                at = (at + 1) & mask;
            }
            self.slots[at] = slot;
        }
    }

    /// Makes room for `more` ids.
    pub(super) fn reserve(&mut self, more: usize) {
        let slots = (2 * (self.taken + more)).next_power_of_two().clamp(FIRST_SLOTS, MOST_SLOTS);
        if slots > self.slots.len() {
            self.enlarge(slots);
        }
    }

    /// Bytes held.
    pub(super) fn size(&self) -> usize {
        self.slots.capacity() * size_of::<u64>()
    }

    /// Forgets all ids, and stays as large as it is, unless hardly any of that was used.
    pub(super) fn clear(&mut self) {
        match self.slots.len() > SPARSE * self.taken.max(FIRST_SLOTS) {
            true => self.slots = Vec::new(),
            false => self.slots.fill(0),
        }
        self.taken = 0;
    }
}

/// The id in a slot that is taken.
#[inline(always)]
fn id_in(slot: u64) -> Option<u32> {
    (slot as u32).checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_hashes_in_a_slot_are_not_equal_keys() {
        // Keys of which many share the half of the hash that a slot holds, or all of it.
        let keys: Vec<u64> = (0..50_000).map(|i| i * 7919 % 20_011).collect();
        let hash = |key: u64| (key % 5_003).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (key & 1);
        let mut table = HashedIds::default();
        for round in 0..2 {
            let mut by_id: Vec<u64> = Vec::new();
            let mut known = std::collections::HashMap::new();
            for batch in keys.chunks(199) {
                table.touch(batch.iter().map(|&key| hash(key)), |id| by_id[id as usize]);
                for &key in batch {
                    let next = by_id.len() as u32;
                    let id = table.intern(hash(key), next, |id| by_id[id as usize] == key);
                    if id == next {
                        by_id.push(key);
                    }
                    assert_eq!(id, *known.entry(key).or_insert(next), "{key}, round {round}");
                }
            }
            assert_eq!(table.taken, by_id.len());
            table.clear();
        }
    }
}
