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
}

/// No key has this id. (No key value is reserved.)
const EMPTY: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
struct Slot<K> {
    key: K,
    id: u32,
}

/// A table from keys to ids, which the caller deals out. Half of the slots at most are taken.
pub(super) struct Slots<K> {
    slots: Vec<Slot<K>>,
    /// What brings a hash's top bits down to a slot's number.
    shift: u32,
    taken: usize,
}

impl<K: Key> Default for Slots<K> {
    fn default() -> Self {
        Self { slots: Self::empty(1 << 8), shift: 64 - 8, taken: 0 }
    }
}

impl<K: Key> Slots<K> {
    fn empty(slots: usize) -> Vec<Slot<K>> {
        let key = K::default();
        vec![Slot { key, id: EMPTY }; slots]
    }

    /// The key's id; `next` for a key that is new, which then has it. `next` is below `u32::MAX`.
    #[inline(always)]
    pub(super) fn intern(&mut self, key: K, next: u32) -> u32 {
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
        // Small tables grow fast to skip rehashing, large ones slowly to save memory.
        let factor: usize = if self.slots.len() < 1 << 14 { 4 } else { 2 };
        let before = std::mem::take(&mut self.slots);
        self.slots = Self::empty(before.len() * factor);
        self.shift -= factor.trailing_zeros();
        let mask = self.slots.len() - 1;
        for slot in before.into_iter().filter(|slot| slot.id != EMPTY) {
            let mut at = (slot.key.hash() >> self.shift) as usize & mask;
            while self.slots[at].id != EMPTY {
                at = (at + 1) & mask;
            }
            self.slots[at] = slot;
        }
    }

    /// Bytes held.
    pub(super) fn size(&self) -> usize {
        self.slots.capacity() * size_of::<Slot<K>>()
    }

    /// Forgets all keys, and stays as large as it is.
    pub(super) fn clear(&mut self) {
        let key = K::default();
        self.slots.fill(Slot { key, id: EMPTY });
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
