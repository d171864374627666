//! Tables from fixed-width keys to dense ids.

use datafusion_common::{Result, resources_err};

use super::hashed::HashedIds;

/// A key of a fixed number of bits.
pub(super) trait Key: Copy + Eq + Default + Send + 'static {
    /// Number of bits.
    const BITS: u32;

    /// What tells keys of this width apart.
    type Ids: Ids<Self>;

    /// The key with `bits` added at `shift` (where it has none).
    fn with(self, bits: u128, shift: u32) -> Self;

    /// The bits from `shift` on.
    fn bits_at(self, shift: u32) -> u128;

    /// A hash whose top bits are good.
    fn hash(self) -> u64;
}

/// A table from keys to ids, which are dealt out in order. The caller keeps the keys by id.
pub(super) trait Ids<K>: Default + Send {
    /// Prepares for looking up these keys: one decision for many.
    fn expect(&mut self, keys: &[K]);

    /// Reads what a few keys that are looked up next are compared with, so that cache misses overlap. `known` are
    /// the keys by id.
    fn touch(&mut self, keys: &[K], known: &[K]);

    /// The key's id; a key that is new has the next one, and is put at the end of `keys`, which must be all
    /// those before it by id, and fewer than `u32::MAX`.
    fn intern(&mut self, key: K, keys: &mut Vec<K>) -> u32;

    /// Makes room for `more` keys, as far as these are hashed.
    fn reserve(&mut self, more: usize);

    /// Bytes held.
    fn size(&self) -> usize;

    /// Forgets all keys, and stays about as large as it is.
    fn clear(&mut self);
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
    type Ids = Slots;

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
}

impl Key for u128 {
    const BITS: u32 = 128;
    type Ids = WideIds;

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
}

/// 256 bits: three numbers of 64 bits with their NULLs, and more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Wide {
    low: u128,
    high: u128,
}

impl Key for Wide {
    const BITS: u32 = 256;
    type Ids = WideIds;

    #[inline(always)]
    fn with(self, bits: u128, shift: u32) -> Self {
        let Self { low, high } = self;
        match shift {
            0 => Self { low: low | bits, high },
            // What does not fit below goes on above.
            1..128 => Self { low: low | bits << shift, high: high | bits >> (128 - shift) },
            _ => Self { low, high: high | bits << (shift - 128) },
        }
    }

    #[inline(always)]
    fn bits_at(self, shift: u32) -> u128 {
        match shift {
            0 => self.low,
            1..128 => self.low >> shift | self.high << (128 - shift),
            _ => self.high >> (shift - 128),
        }
    }

    #[inline(always)]
    fn hash(self) -> u64 {
        fold(self.low.hash() ^ self.high.hash().rotate_left(32))
    }
}

/// Ids of keys that are too wide to stand in a slot.
#[derive(Default)]
pub(super) struct WideIds(HashedIds);

impl<K: Key> Ids<K> for WideIds {
    fn expect(&mut self, _: &[K]) {}

    fn touch(&mut self, keys: &[K], known: &[K]) {
        let read = |id: u32| known.get(id as usize).map_or(0, |key| key.bits_at(0) as u64);
        self.0.touch(keys.iter().map(|key| key.hash()), read);
    }

    #[inline(always)]
    fn intern(&mut self, key: K, keys: &mut Vec<K>) -> u32 {
        let next = keys.len() as u32;
        let id = self.0.intern(key.hash(), next, |id| keys.get(id as usize) == Some(&key));
        if id == next {
            keys.push(key);
        }
        id
    }

    fn reserve(&mut self, more: usize) {
        self.0.reserve(more);
    }

    fn size(&self) -> usize {
        self.0.size()
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

/// No key has this id. (No key value is reserved.)
const EMPTY: u32 = u32::MAX;

/// A hash table has no more slots: so many bits of the hash stand in a slot.
const MOST_SLOTS: usize = 1 << 32;

/// Ids that an array from key to id holds at first, at most: it fits a core's cache.
const DENSE: usize = 1 << 16;
/// Ids that such an array holds per key that is looked up with it, or that is in the table, at most:
/// no more memory than a hash table takes.
const SPARSE: usize = 8;

/// An array from key to id while all keys are small numbers, then a hash table, of which half of the slots at
/// most are taken. A hash table that would grow becomes an array where that is smaller.
#[derive(Default)]
pub(super) struct Slots {
    /// Id by key. While it is not empty, `slots` is.
    direct: Vec<u32>,
    /// The key and its id, plus one: one cache miss a look-up. All zeros where it is free.
    slots: Vec<[u64; 2]>,
    /// What brings a hash's top bits down to a slot's number.
    shift: u32,
    taken: usize,
    /// What [`touch`](Ids::touch) read.
    touched: u64,
}

impl Slots {
    /// Makes the array a hash table.
    fn hash(&mut self) {
        let slots = (4 * self.taken).next_power_of_two().max(256);
        self.slots = vec![[0; 2]; slots];
        self.shift = 64 - slots.trailing_zeros();
        let direct = std::mem::take(&mut self.direct);
        for (key, id) in direct.into_iter().enumerate().filter(|(_, id)| *id != EMPTY) {
            self.put([key as u64, u64::from(id) + 1]);
        }
    }

    /// Puts a slot whose key is not there into the hash table.
    fn put(&mut self, slot: [u64; 2]) {
        let mask = self.slots.len() - 1;
        let mut at = (slot[0].hash() >> self.shift) as usize & mask;
        while self.slots[at][1] != 0 {
            at = (at + 1) & mask;
        }
        self.slots[at] = slot;
    }

    #[inline(never)]
    fn insert(&mut self, slot: [u64; 2], at: usize, keys: &[u64]) {
        self.slots[at] = slot;
        self.taken += 1;
        if self.taken * 2 > self.slots.len() && self.slots.len() < MOST_SLOTS {
            self.grow(keys);
        }
    }

    #[cold]
    fn grow(&mut self, keys: &[u64]) {
        let before = std::mem::take(&mut self.slots);
        let taken = before.iter().filter(|slot| slot[1] != 0);
        // `keys` may hold more than the table does; the caller's other keys only make an array less likely.
        let largest = keys.iter().max().copied().unwrap_or(u64::MAX);
        let wanted = usize::try_from(largest).unwrap_or(usize::MAX).saturating_add(1);
        if wanted <= SPARSE * self.taken {
            self.direct.resize(wanted.next_power_of_two(), EMPTY);
            for &[key, id] in taken {
                if let Some(place) = self.direct.get_mut(key as usize) {
                    *place = (id - 1) as u32;
                }
            }
            return;
        }
        // Small tables grow fast to skip rehashing, large ones slowly to save memory.
        let factor: usize = if before.len() < 1 << 14 { 4 } else { 2 };
        let slots = before.len() * factor;
        self.refill(before, slots);
    }

    /// Puts the hash table's slots into a new one.
    fn refill(&mut self, before: Vec<[u64; 2]>, slots: usize) {
        self.slots = vec![[0; 2]; slots];
        self.shift = 64 - slots.trailing_zeros();
        for slot in before.into_iter().filter(|slot| slot[1] != 0) {
            self.put(slot);
        }
    }
}

impl Ids<u64> for Slots {
    fn expect(&mut self, keys: &[u64]) {
        if !self.slots.is_empty() {
            return;
        }
        // No less than the largest, and quicker to find. (The array's length is a power of two.)
        let bits = keys.iter().fold(0, |bits, key| bits | key);
        if usize::try_from(bits).is_ok_and(|bits| bits < self.direct.len()) {
            return;
        }
        let largest = keys.iter().max().copied().unwrap_or(0);
        let wanted = usize::try_from(largest).unwrap_or(usize::MAX).saturating_add(1);
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

    fn touch(&mut self, keys: &[u64], _: &[u64]) {
        if let Some(mask) = self.slots.len().checked_sub(1) {
            let read = |key: &u64| self.slots[(key.hash() >> self.shift) as usize & mask][0];
            self.touched = keys.iter().fold(self.touched, |sum, key| sum ^ read(key));
        }
    }

    #[inline(always)]
    fn intern(&mut self, key: u64, keys: &mut Vec<u64>) -> u32 {
        let next = keys.len() as u32;
        if self.slots.is_empty() {
            let index = usize::try_from(key).ok();
            if let Some(id) = index.and_then(|index| self.direct.get_mut(index)) {
                if *id == EMPTY {
                    *id = next;
                    self.taken += 1;
                    keys.push(key);
                }
                return *id;
            }
            self.hash();
        }
        let mask = self.slots.len() - 1;
        let mut at = (key.hash() >> self.shift) as usize & mask;
        loop {
            let slot = self.slots[at];
            let Some(id) = slot[1].checked_sub(1) else {
                keys.push(key);
                self.insert([key, u64::from(next) + 1], at, keys);
                return next;
            };
            if slot[0] == key {
                return id as u32;
            }
            at = (at + 1) & mask;
        }
    }

    fn reserve(&mut self, more: usize) {
        let slots = (2 * (self.taken + more)).next_power_of_two().min(MOST_SLOTS);
        // An array knows by itself what it will need.
        if !self.slots.is_empty() && slots > self.slots.len() {
            let before = std::mem::take(&mut self.slots);
            self.refill(before, slots);
        }
    }

    fn size(&self) -> usize {
        self.slots.capacity() * size_of::<[u64; 2]>() + self.direct.capacity() * size_of::<u32>()
    }

    fn clear(&mut self) {
        let used = 2 * SPARSE * self.taken.max(256);
        match self.slots.len().max(self.direct.len()) > used.max(DENSE) {
            true => *self = Self::default(),
            false => {
                self.slots.fill([0; 2]);
                self.direct.fill(EMPTY);
                self.taken = 0;
            }
        }
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
    fn check<K: Key + std::hash::Hash + std::fmt::Debug>(keys: &[K], batch: usize) -> K::Ids {
        let mut slots = K::Ids::default();
        let mut known = std::collections::HashMap::new();
        let mut by_id = Vec::new();
        for keys in keys.chunks(batch) {
            slots.expect(keys);
            slots.touch(keys, &by_id);
            for &key in keys {
                let next = known.len() as u32;
                let id = *known.entry(key).or_insert(next);
                assert_eq!(slots.intern(key, &mut by_id), id, "{key:?}");
            }
        }
        assert_eq!(by_id.len(), known.len());
        for (&key, &id) in &known {
            assert_eq!(slots.intern(key, &mut by_id), id, "{key:?} again");
        }
        assert_eq!(by_id.len(), known.len());
        slots
    }

    #[test]
    fn small_keys_are_an_array() {
        let keys: Vec<u64> = (0..50_000).map(|i| i * 7919 % 30_011).collect();
        assert!(check(&keys, 1000).slots.is_empty());
        assert!(check(&[0_u64], 1).slots.is_empty());
    }

    #[test]
    fn far_keys_are_hashed() {
        let far = [0_u64, 1, u64::MAX, u64::MAX - 1, 1 << 40, 5, 5, u64::MAX, 0];
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
        for keys in [[3_u64, 4], [3, u64::MAX]] {
            let mut slots = check(&keys, 2);
            slots.clear();
            let mut keys = Vec::new();
            let ids = [4, 3, 4].map(|key: u64| slots.intern(key, &mut keys));
            assert_eq!((ids, keys), ([0, 1, 0], vec![4, 3]));
        }
    }

    #[test]
    fn wide_keys_are_told_apart_by_themselves() {
        // Few bits in either half, so that halves repeat; and keys that follow each other.
        let keys: Vec<u128> = (0..120_000_u128)
            .map(|i| ((i * 7919 % 300_007) << 64) | ((i % 3) << 100) | (i % 5))
            .chain((0..60_000).map(|i| u128::MAX - i % 40_000))
            .chain([0, u128::MAX, 1 << 127])
            .collect();
        for batch in [1, 1000, 200_000] {
            check(&keys, batch);
        }
    }

    /// Slots of wide keys hold a part of the hash only: two keys that agree in it are two keys.
    #[test]
    fn equal_hashes_in_a_slot_are_not_equal_keys() {
        let mut by_hash = std::collections::HashMap::new();
        let mut state = 1_u64;
        let mut half = || {
            // Steele's splitmix64: as good as random.
            state = state.wrapping_add(GOLDEN);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            u128::from(mixed ^ (mixed >> 27))
        };
        let twins = (0..10_000_000).find_map(|_| {
            let key = (half() << 64) | half();
            let other = by_hash.insert(key.hash() >> 32, key)?;
            Some([other, key])
        });
        let twins = twins.unwrap();
        let (mut slots, mut keys) = (WideIds::default(), Vec::new());
        let ids = [0, 1, 0, 1].map(|at| slots.intern(twins[at], &mut keys));
        assert_eq!((ids, keys.as_slice()), ([0, 1, 0, 1], twins.as_slice()));
    }
}
