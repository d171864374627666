//! An open-addressing table from fixed-width keys to dense ids.

use datafusion_common::{Result, resources_err};

/// A key of a fixed number of bits.
pub(super) trait Key: Copy + Eq + Default + Send + 'static {
    /// Number of bits.
    const BITS: u32;

    /// The key with `bits` added at `shift` (where it has none).
    fn with(self, bits: u128, shift: u32) -> Self;

    /// The bits from `shift` on.
    fn bits_at(self, shift: u32) -> u128;

    /// A hash whose top bits are good.
    fn hash(self) -> u64;

    /// The key as an index, if it is a small number.
    fn index(self) -> Option<usize>;
}

/// The golden ratio's fraction: multiples of it lie evenly between 0 and 1. (Those of pi's do not:
/// 113 of them are nearly a whole number, and runs of keys pile up in the table.)
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// Multiplies to 128 bits and folds: every bit of the key reaches every bit of the hash.
#[inline(always)]
fn fold(bits: u64) -> u64 {
    let wide = u128::from(bits).wrapping_mul(u128::from(GOLDEN));
    (wide as u64) ^ ((wide >> 64) as u64)
}

impl Key for u64 {
    const BITS: u32 = 64;

    #[inline(always)]
    fn with(self, bits: u128, shift: u32) -> Self {
        self | ((bits as u64) << shift)
    }

    #[inline(always)]
    fn bits_at(self, shift: u32) -> u128 {
        u128::from(self >> shift)
    }

    #[inline(always)]
    fn hash(self) -> u64 {
        fold(self)
    }

    #[inline(always)]
    fn index(self) -> Option<usize> {
        usize::try_from(self).ok()
    }
}

impl Key for u128 {
    const BITS: u32 = 128;

    #[inline(always)]
    fn with(self, bits: u128, shift: u32) -> Self {
        self | (bits << shift)
    }

    #[inline(always)]
    fn bits_at(self, shift: u32) -> u128 {
        self >> shift
    }

    #[inline(always)]
    fn hash(self) -> u64 {
        fold(self as u64 ^ fold((self >> 64) as u64).rotate_left(32))
    }

    #[inline(always)]
    fn index(self) -> Option<usize> {
        None
    }
}

/// No key has this id. (No key value is reserved.)
const EMPTY: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
struct Slot<K> {
    key: K,
    id: u32,
}

/// Ids that an array from key to id holds at first, at most: it fits a core's cache.
const DENSE: usize = 1 << 16;
/// Ids that such an array holds per key that is looked up with it, or that is in the table, at most:
/// no more memory than a hash table takes.
const SPARSE: usize = 8;

/// A table from keys to ids, which the caller deals out: an array from key to id while all keys are
/// small numbers, then a hash table, of which half of the slots at most are taken. A hash table that
/// would grow becomes an array where that is smaller.
pub(super) struct Slots<K> {
    /// Id by key. While it is not empty, `slots` is.
    direct: Vec<u32>,
    slots: Vec<Slot<K>>,
    /// What brings a hash's top bits down to a slot's number.
    shift: u32,
    taken: usize,
}

impl<K: Key> Default for Slots<K> {
    fn default() -> Self {
        Self { direct: Vec::new(), slots: Vec::new(), shift: 0, taken: 0 }
    }
}

impl<K: Key> Slots<K> {
    fn empty(slots: usize) -> Vec<Slot<K>> {
        let key = K::default();
        vec![Slot { key, id: EMPTY }; slots]
    }

    /// Prepares for looking up these keys: one decision for many.
    pub(super) fn expect(&mut self, keys: &[K]) {
        if !self.slots.is_empty() {
            return;
        }
        let indices = keys.iter().map(|key| key.index().unwrap_or(usize::MAX));
        let wanted = indices.max().unwrap_or(0).saturating_add(1);
        if wanted <= self.direct.len() {
            return;
        }
        let bound = (SPARSE * (self.taken + keys.len())).max(DENSE);
        if wanted <= bound {
            self.direct.resize(wanted.next_power_of_two().max(256), EMPTY);
        } else {
            self.hash();
        }
    }

    /// Makes the array a hash table.
    fn hash(&mut self) {
        let slots = (4 * self.taken).next_power_of_two().max(256);
        self.slots = Self::empty(slots);
        self.shift = 64 - slots.trailing_zeros();
        let direct = std::mem::take(&mut self.direct);
        for (index, id) in direct.into_iter().enumerate().filter(|(_, id)| *id != EMPTY) {
            self.put(Slot { key: K::default().with(index as u128, 0), id });
        }
    }

    /// Puts a key that is not there into the hash table.
    fn put(&mut self, slot: Slot<K>) {
        let mask = self.slots.len() - 1;
        let mut at = (slot.key.hash() >> self.shift) as usize & mask;
        while self.slots[at].id != EMPTY {
            at = (at + 1) & mask;
        }
        self.slots[at] = slot;
    }

    /// The key's id; `next` for a key that is new, which then has it. `next` is below `u32::MAX`.
    #[inline(always)]
    pub(super) fn intern(&mut self, key: K, next: u32) -> u32 {
        if self.slots.is_empty() {
            if let Some(id) = key.index().and_then(|index| self.direct.get_mut(index)) {
                if *id == EMPTY {
                    *id = next;
                    self.taken += 1;
                }
                return *id;
            }
            self.hash();
        }
        let mask = self.slots.len() - 1;
        let mut at = (key.hash() >> self.shift) as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot.key == key && slot.id != EMPTY {
                return slot.id;
            }
            if slot.id == EMPTY {
                self.insert(Slot { key, id: next }, at);
                return next;
            }
            at = (at + 1) & mask;
        }
    }

    #[inline(never)]
    fn insert(&mut self, slot: Slot<K>, at: usize) {
        self.slots[at] = slot;
        self.taken += 1;
        if self.taken * 2 > self.slots.len() {
            self.grow();
        }
    }

    #[cold]
    fn grow(&mut self) {
        let before = std::mem::take(&mut self.slots);
        let slots = before.iter().filter(|slot| slot.id != EMPTY);
        let largest = slots.clone().map(|slot| slot.key.index().unwrap_or(usize::MAX)).max();
        let wanted = largest.unwrap_or(0).saturating_add(1);
        if wanted <= SPARSE * self.taken {
            self.direct.resize(wanted.next_power_of_two(), EMPTY);
            for slot in slots {
                if let Some(id) = slot.key.index().and_then(|index| self.direct.get_mut(index)) {
                    *id = slot.id;
                }
            }
            return;
        }
        // Small tables grow fast to skip rehashing, large ones slowly to save memory.
        let factor: usize = if before.len() < 1 << 14 { 4 } else { 2 };
        self.slots = Self::empty(before.len() * factor);
        self.shift -= factor.trailing_zeros();
        for &slot in slots {
            self.put(slot);
        }
    }

    /// Bytes held.
    pub(super) fn size(&self) -> usize {
        self.slots.capacity() * size_of::<Slot<K>>() + self.direct.capacity() * size_of::<u32>()
    }

    /// Forgets all keys, and stays as large as it is.
    pub(super) fn clear(&mut self) {
        let key = K::default();
        self.slots.fill(Slot { key, id: EMPTY });
        self.direct.fill(EMPTY);
        self.taken = 0;
    }
}

/// An error when `more` keys could run out of ids.
///
/// # Errors
/// At 4 G keys.
pub(super) fn check_room(keys: usize, more: usize) -> Result<()> {
    if keys + more >= EMPTY as usize {
        return resources_err!("more than {EMPTY} groups in one table");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Interns `keys` in batches of `batch`, and compares with a map of the standard library.
    fn check(keys: &[u64], batch: usize) -> Slots<u64> {
        let mut slots = Slots::default();
        let mut known = std::collections::HashMap::new();
        for keys in keys.chunks(batch) {
            slots.expect(keys);
            for &key in keys {
                let next = known.len() as u32;
                let id = *known.entry(key).or_insert(next);
                assert_eq!(slots.intern(key, next), id, "{key}");
            }
        }
        assert_eq!(slots.taken, known.len());
        for (&key, &id) in &known {
            assert_eq!(slots.intern(key, EMPTY - 1), id, "{key} again");
        }
        slots
    }

    #[test]
    fn small_keys_are_an_array() {
        let keys: Vec<u64> = (0..50_000).map(|i| i * 7919 % 30_011).collect();
        assert!(check(&keys, 1000).slots.is_empty());
        assert!(check(&[0], 1).slots.is_empty());
    }

    #[test]
    fn far_keys_are_hashed() {
        let far = [0, 1, u64::MAX, u64::MAX - 1, 1 << 40, 5, 5, u64::MAX, 0];
        assert!(check(&far, 9).direct.is_empty());
        // The array is full of keys when the first far one comes, in the midst of a batch too.
        let mut keys: Vec<u64> = (0..5000).rev().collect();
        keys.push(1 << 50);
        keys.extend(4000..9000);
        assert!(check(&keys, 5000).direct.is_empty());
        assert!(check(&keys, 5003).direct.is_empty());
    }

    #[test]
    fn a_full_hash_table_of_small_keys_becomes_an_array() {
        // Random keys below a million: too sparse for an array until enough have come.
        let keys: Vec<u64> = (0..400_000_u64).map(|i| i * 611_953 % 1_000_003).collect();
        let slots = check(&keys, 1000);
        assert!(slots.slots.is_empty() && slots.direct.len() >= 1_000_003);
        // And a hash table again when a far one comes.
        let mut keys = keys;
        keys.extend([u64::MAX, 7, 1 << 33]);
        assert!(check(&keys, 1000).direct.is_empty());
    }

    #[test]
    fn clearing_forgets_in_either_form() {
        for keys in [[3, 4], [3, u64::MAX]] {
            let mut slots = check(&keys, 2);
            slots.clear();
            assert_eq!((slots.intern(4, 0), slots.intern(3, 1), slots.intern(4, 2)), (0, 1, 0));
        }
    }
}
