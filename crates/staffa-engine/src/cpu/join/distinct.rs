//! Drops build rows whose key a lane has seen, where a join only asks whether a key is there.
//!
//! `x IN (SELECT fk FROM facts)` builds a table of every fact row to ask it for a few thousand keys. Numbers that lie
//! close together are remembered as bits, a row costs one test of a bit, and what is collected, copied and put into
//! the table is a row a key.

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::buffer::{BooleanBuffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::{ArrowNativeType, DataType};
use datafusion_common::JoinType;
use datafusion_execution::memory_pool::MemoryReservation;

use crate::plan::{JoinKind, JoinSpec};

/// The keys that are told apart lie at most so far from each other: 4 MiB of bits a lane.
const MOST_KEYS: u64 = 1 << 25;
/// The range is looked at again after so many rows.
const LEAST_ROWS: usize = 1 << 16;
/// Keeps looking where fewer than so many of four rows have new keys.
const FEW: usize = 3;

/// See the module.
#[derive(Debug)]
pub(super) struct Distinct {
    /// The key of the first bit.
    base: i64,
    bits: Vec<u64>,
    null: bool,
    /// Rows that were looked at, and how many of them had a new key.
    rows: usize,
    kept: usize,
    /// Accounts for the bits.
    reservation: MemoryReservation,
}

/// Whether a join asks of its build side only which keys there are, and these can be told apart.
pub(super) fn is_of_keys(spec: &JoinSpec, kept: &[usize], keys: &[DataType]) -> bool {
    let exists =
        matches!(spec.join_type, JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark);
    let narrow = |of: &DataType| matches!(of.primitive_width(), Some(4 | 8));
    let hashed = spec.kind == JoinKind::Hash && spec.filter.is_none();
    exists && hashed && kept.is_empty() && matches!(keys, [only] if narrow(only))
}

impl Distinct {
    pub(super) fn new(reservation: MemoryReservation) -> Self {
        Self { base: 0, bits: Vec::new(), null: false, rows: 0, kept: 0, reservation }
    }

    /// The rows of `keys` whose key is new; `None` where telling is not worth it any more.
    pub(super) fn first(&mut self, keys: &ArrayRef) -> Option<BooleanArray> {
        let looked = self.rows >= LEAST_ROWS && self.kept * 4 >= self.rows * FEW;
        if looked {
            return None;
        }
        let data = keys.to_data();
        let buffer = data.buffers().first()?.clone();
        let (offset, len, nulls) = (data.offset(), data.len(), data.nulls());
        let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
        // Equal bits are equal values; what is equal besides comes twice.
        let mask = match data.data_type().primitive_width()? {
            4 => self.mark(&ScalarBuffer::<i32>::new(buffer, offset, len), nulls, i64::from),
            8 => self.mark(&ScalarBuffer::<i64>::new(buffer, offset, len), nulls, |key| key),
            _ => None,
        }?;
        self.rows += len;
        self.kept += mask.count_set_bits();
        Some(BooleanArray::new(mask, None))
    }

    fn mark<T: ArrowNativeType + Ord>(
        &mut self,
        keys: &[T],
        nulls: Option<&NullBuffer>,
        number: impl Fn(T) -> i64,
    ) -> Option<BooleanBuffer> {
        let valid = |row: usize| nulls.is_none_or(|nulls| nulls.is_valid(row));
        let range = match nulls {
            None => keys.iter().min().copied().zip(keys.iter().max().copied()),
            Some(nulls) => {
                let known = || nulls.valid_indices().filter_map(|row| keys.get(row).copied());
                known().min().zip(known().max())
            }
        };
        if let Some((low, high)) = range {
            self.cover(number(low), number(high))?;
        }
        let base = self.base;
        let (bits, null) = (&mut self.bits, &mut self.null);
        let mut is_new = |row: usize, key: T| {
            if !valid(row) {
                return !std::mem::replace(null, true);
            }
            let at = number(key).wrapping_sub(base) as u64;
            // It is covered.
            let Some(word) = bits.get_mut((at >> 6) as usize) else { return true };
            let bit = 1 << (at & 63);
            let new = *word & bit == 0;
            *word |= bit;
            new
        };
        let words = keys.chunks(64).enumerate().map(|(chunk, keys)| {
            let rows = keys.iter().enumerate();
            rows.fold(0, |word, (at, &key)| word | u64::from(is_new(64 * chunk + at, key)) << at)
        });
        let words: Vec<u64> = words.collect();
        Some(BooleanBuffer::new(words.into(), 0, keys.len()))
    }

    /// Has bits for the keys from `low` to `high` too; `None` where these are too many.
    fn cover(&mut self, low: i64, high: i64) -> Option<()> {
        let have = 64 * self.bits.len() as u64;
        let covers = |key: i64| key >= self.base && (key.wrapping_sub(self.base) as u64) < have;
        if have > 0 && covers(low) && covers(high) {
            return Some(());
        }
        let low = if have > 0 { low.min(self.base) } else { low } & !63;
        let last = self.base.checked_add_unsigned(have.saturating_sub(1));
        let high = if have > 0 { high.max(last?) } else { high };
        let keys = (high.wrapping_sub(low) as u64).checked_add(1)?;
        if keys > MOST_KEYS {
            return None;
        }
        // Room to grow, as the next rows may well go a little further.
        let words = (keys.next_power_of_two().min(MOST_KEYS) as usize).div_ceil(64);
        let mut bits = Vec::new();
        self.reservation.try_resize(8 * words).ok()?;
        bits.resize(words, 0);
        let skip = (self.base.wrapping_sub(low) as u64 >> 6) as usize;
        if have > 0 {
            bits.get_mut(skip..skip + self.bits.len())?.copy_from_slice(&self.bits);
        }
        (self.base, self.bits) = (low, bits);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Arc;

    use arrow::array::{Int32Array, Int64Array, UInt64Array};
    use datafusion_execution::memory_pool::{
        GreedyMemoryPool, MemoryConsumer, MemoryPool, UnboundedMemoryPool,
    };

    use super::*;

    fn distinct(pool: Arc<dyn MemoryPool>) -> Distinct {
        Distinct::new(MemoryConsumer::new("test").register(&pool))
    }

    fn unbounded() -> Distinct {
        distinct(Arc::new(UnboundedMemoryPool::default()))
    }

    /// What is kept of some batches is each key once, in the order in which they come.
    fn check(batches: Vec<Vec<Option<i64>>>) {
        let mut told = unbounded();
        let mut seen = HashSet::new();
        for batch in batches {
            let keys: ArrayRef = Arc::new(Int64Array::from(batch.clone()));
            let mask = told.first(&keys).unwrap();
            let wanted: Vec<bool> = batch.iter().map(|key| seen.insert(*key)).collect();
            assert_eq!(mask, BooleanArray::from(wanted), "{batch:?}");
        }
    }

    #[test]
    fn each_key_is_new_once() {
        check(vec![vec![Some(5), Some(5), None, Some(-3), None], vec![Some(-3), None, Some(6)]]);
        check(vec![vec![], vec![None], vec![None, Some(0)]]);
        let far = |by: i64| (0..500).map(|key| Some(key % 77 * 13 - by)).collect();
        check(vec![far(0), far(1000), far(-100_000), far(1000), far(3_000_000), far(0)]);
        for edge in [i64::MIN, i64::MIN + 63, i64::MAX - 64, i64::MAX] {
            check(vec![vec![Some(edge), None, Some(edge)], vec![Some(edge)]]);
        }
    }

    #[test]
    fn keys_too_far_from_each_other_are_not_told_apart() {
        for keys in [vec![i64::MIN, i64::MAX], vec![0, MOST_KEYS as i64 + 64]] {
            assert!(unbounded().first(&(Arc::new(Int64Array::from(keys)) as ArrayRef)).is_none());
        }
        let unsigned: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX, u64::MAX, 0, 1]));
        let mask = unbounded().first(&unsigned).unwrap();
        assert_eq!(mask, BooleanArray::from(vec![true, false, true, true]));
    }

    #[test]
    fn the_bits_of_null_rows_say_nothing() {
        let nulls = NullBuffer::from(vec![true, false, true, false]);
        let keys = Int32Array::new(vec![7, i32::MIN, 7, i32::MAX].into(), Some(nulls));
        let mask = unbounded().first(&(Arc::new(keys) as ArrayRef)).unwrap();
        assert_eq!(mask, BooleanArray::from(vec![true, true, false, false]));
    }

    #[test]
    fn it_stops_where_most_keys_are_new() {
        let mut told = unbounded();
        let keys = |from: i64| Arc::new((from..from + 40_000).collect::<Int64Array>()) as ArrayRef;
        assert!(told.first(&keys(0)).is_some());
        assert!(told.first(&keys(40_000)).is_some());
        assert!(told.first(&keys(80_000)).is_none());
        assert!(told.first(&keys(0)).is_none());
    }

    #[test]
    fn it_does_without_memory_that_it_does_not_get() {
        let mut told = distinct(Arc::new(GreedyMemoryPool::new(1 << 10)));
        let keys = |from: i64| Arc::new((from..from + 10).collect::<Int64Array>()) as ArrayRef;
        assert!(told.first(&keys(0)).is_some());
        assert!(told.first(&keys(1 << 20)).is_none());
    }
}
