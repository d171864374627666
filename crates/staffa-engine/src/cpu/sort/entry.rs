//! Sort entries: a normalised key and the row that it stands for, in a few machine words.
//!
//! ```text
//! Narrow (u128)   [ NULL rank: 1 | key: 64 | batch: 31 | row: 32 ]   one key of at most 8 bytes, packed ones
//! Wide            [ first 16 bytes of the row format ] [ batch: 32 | row: 32 ]   or a packed key
//! ```
//!
//! The row's position is part of the order: rows of equal keys keep the order in which they
//! arrived, and a sort of entries need not be stable itself.

use std::cmp::Ordering;

use arrow::row::Rows;

/// Bits of a row's position in a narrow entry.
const POSITION_BITS: u32 = 63;
/// Bits of the row number within a batch.
const ROW_BITS: u32 = 32;

/// The batch and the row of a position.
pub(super) fn place(position: u64) -> (usize, usize) {
    ((position >> ROW_BITS) as usize, (position & u64::from(u32::MAX)) as usize)
}

/// The position of a row.
pub(super) fn position(batch: usize, row: usize) -> u64 {
    ((batch as u64) << ROW_BITS) | row as u64
}

/// What is sorted instead of rows.
pub(super) trait Entry: Copy + Send + Sync + 'static {
    /// Where the row is.
    fn position(&self) -> u64;

    /// The same key, for a row elsewhere.
    fn moved(self, position: u64) -> Self;

    /// The normalised key, or the first bytes of it.
    fn key(&self) -> u128;

    /// Orders by key, then by position. `rows` holds the whole keys per batch where entries hold
    /// only their first bytes, and is empty where they hold them all.
    fn compare(&self, other: &Self, rows: &[Rows]) -> Ordering;
}

/// An entry of a single key of at most 8 bytes.
pub(super) type Narrow = u128;

/// Makes a narrow entry for a row of the first batch.
#[inline]
pub(super) fn narrow(rank: bool, key: u64, row: usize) -> Narrow {
    (u128::from(rank) << 127) | (u128::from(key) << POSITION_BITS) | row as u128
}

impl Entry for Narrow {
    #[inline]
    fn position(&self) -> u64 {
        (*self as u64) & (u64::MAX >> 1)
    }

    #[inline]
    fn moved(self, position: u64) -> Self {
        (self >> POSITION_BITS << POSITION_BITS) | u128::from(position)
    }

    #[inline]
    fn key(&self) -> u128 {
        *self >> POSITION_BITS
    }

    #[inline]
    fn compare(&self, other: &Self, _: &[Rows]) -> Ordering {
        self.cmp(other)
    }
}

/// An entry of any other key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wide {
    high: u64,
    low: u64,
    position: u64,
}

impl Wide {
    /// An entry from the key in row format.
    #[inline]
    pub(super) fn new(key: &[u8], position: u64) -> Self {
        let (high, low) = prefix(key);
        Self { high, low, position }
    }

    /// An entry from a key that is a number.
    #[inline]
    pub(super) fn of(key: u128, position: u64) -> Self {
        Self { high: (key >> 64) as u64, low: key as u64, position }
    }

    /// An entry from the first byte of a key and those from `skip` bytes after it on.
    #[inline]
    pub(super) fn without(key: &[u8], skip: usize, position: u64) -> Self {
        let (Some((first, rest)), true) = (key.split_first(), skip > 0) else {
            return Self::new(key, position);
        };
        let (high, low) = prefix(rest.get(skip..).unwrap_or_default());
        let shifted = ((u128::from(high) << 64) | u128::from(low)) >> 8;
        let whole = (u128::from(*first) << 120) | shifted;
        Self { high: (whole >> 64) as u64, low: whole as u64, position }
    }
}

/// The first 16 bytes, in an order that agrees with that of the bytes; zeros where there are fewer.
#[inline]
fn prefix(key: &[u8]) -> (u64, u64) {
    let mut bytes = [0u8; 16];
    let length = key.len().min(16);
    bytes[..length].copy_from_slice(&key[..length]);
    let whole = u128::from_be_bytes(bytes);
    ((whole >> 64) as u64, whole as u64)
}

impl Entry for Wide {
    #[inline]
    fn position(&self) -> u64 {
        self.position
    }

    #[inline]
    fn moved(self, position: u64) -> Self {
        Self { position, ..self }
    }

    #[inline]
    fn key(&self) -> u128 {
        (u128::from(self.high) << 64) | u128::from(self.low)
    }

    #[inline]
    fn compare(&self, other: &Self, rows: &[Rows]) -> Ordering {
        let order = self.key().cmp(&other.key());
        if order != Ordering::Equal {
            return order;
        }
        if !rows.is_empty() {
            let (batch, row) = place(self.position);
            let (other_batch, other_row) = place(other.position);
            let order = rows[batch].row(row).cmp(&rows[other_batch].row(other_row));
            if order != Ordering::Equal {
                return order;
            }
        }
        self.position.cmp(&other.position)
    }
}
