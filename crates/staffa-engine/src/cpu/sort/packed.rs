//! Keys of several numbers in one, where the values' ranges leave room for it.
//!
//! ```text
//! first column: [ value - least | NULL below or above them ]  second column: [ .. ]  ..   at most 128 bits
//! ```
//!
//! Row format takes 9 bytes a number, is written byte by byte and compared in 16 of them. Columns of a table
//! rarely use their types' ranges: an order key, a date and a price take 23, 12 and 24 bits.

use std::ops::BitOr;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::NullBuffer;
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Decimal128Type};
use rayon::prelude::*;

use super::values::{Numbers, visit};

/// How the values of each sort expression become bits of a number.
#[derive(Debug)]
pub(super) struct Packing {
    columns: Vec<Column>,
    bits: u32,
}

#[derive(Debug, Clone, Copy)]
struct Column {
    range: Range,
    options: SortOptions,
    bits: u32,
}

/// What the values of a column lie between.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Range {
    /// Sortable numbers of values that are no NULLs; [`NOTHING`] where there are none.
    low: i128,
    high: i128,
    nulls: bool,
}

const NOTHING: Range = Range { low: i128::MAX, high: i128::MIN, nulls: false };

impl Range {
    fn and(self, other: Self) -> Self {
        Self {
            low: self.low.min(other.low),
            high: self.high.max(other.high),
            nulls: self.nulls || other.nulls,
        }
    }

    /// The greatest code: of a value, or of NULL. `None` beyond 64 bits.
    fn last(self) -> Option<u64> {
        if self.low > self.high {
            return Some(0);
        }
        let span = u64::try_from(self.high.checked_sub(self.low)?).ok()?;
        span.checked_add(u64::from(self.nulls))
    }
}

/// Whether a type's values may take part.
pub(super) fn packs(of: &DataType) -> bool {
    matches!(of, DataType::Decimal128(..)) || super::keys::is_narrow(of)
}

impl Packing {
    /// For the sort expressions' values in all batches; `None` where they take more than 128 bits, or a
    /// column of them more than 64.
    pub(super) fn of(options: &[SortOptions], batches: &[Vec<ArrayRef>]) -> Option<Self> {
        let mut columns = Vec::with_capacity(options.len());
        for (at, options) in options.iter().enumerate() {
            let range = batches
                .par_iter()
                .map(|arrays| range(arrays[at].as_ref()))
                .try_reduce(|| NOTHING, |a, b| Some(a.and(b)))?;
            let bits = u64::BITS - range.last()?.leading_zeros();
            columns.push(Column { range, options: *options, bits });
        }
        let bits = columns.iter().map(|column| column.bits).sum();
        (bits <= 128).then_some(Self { columns, bits })
    }

    /// Bits of a key.
    pub(super) fn bits(&self) -> u32 {
        self.bits
    }

    /// The keys of a batch's rows; `W` must have the bits for it.
    pub(super) fn pack<W: Word>(&self, arrays: &[ArrayRef]) -> Vec<W> {
        let rows = arrays.first().map_or(0, |array| array.len());
        let mut words = vec![W::default(); rows];
        for (column, array) in self.columns.iter().zip(arrays) {
            if column.bits > 0 {
                column.append(array.as_ref(), &mut words);
            }
        }
        words
    }
}

/// A number that keys are packed into.
pub(super) trait Word: Copy + Default + BitOr<Output = Self> + Send {
    /// Itself, higher by `bits`, of which at most 64, with `code` in these.
    fn append(self, bits: u32, code: u64) -> Self;
}

impl Word for u64 {
    #[inline]
    fn append(self, bits: u32, code: u64) -> Self {
        self.checked_shl(bits).unwrap_or(0) | code
    }
}

impl Word for u128 {
    #[inline]
    fn append(self, bits: u32, code: u64) -> Self {
        self << bits | Self::from(code)
    }
}

fn valid(array: &dyn Array) -> Option<&NullBuffer> {
    array.nulls().filter(|nulls| nulls.null_count() > 0)
}

fn range(array: &dyn Array) -> Option<Range> {
    let nulls = valid(array);
    if let DataType::Decimal128(..) = array.data_type() {
        let values = array.as_primitive::<Decimal128Type>().values();
        let (low, high) = ends(values.iter().copied(), nulls, (i128::MAX, i128::MIN));
        return Some(Range { low, high, nulls: nulls.is_some() });
    }
    visit(array, Ends(nulls))
}

struct Ends<'a>(Option<&'a NullBuffer>);

impl Numbers for Ends<'_> {
    type Out = Range;

    fn read(self, numbers: impl ExactSizeIterator<Item = u64>) -> Range {
        let (low, high) = ends(numbers, self.0, (u64::MAX, u64::MIN));
        let nulls = self.0.is_some();
        if low > high {
            return Range { nulls, ..NOTHING };
        }
        Range { low: i128::from(low), high: i128::from(high), nulls }
    }
}

/// The least and the greatest of what is not NULL, from `none` on, which is neither.
fn ends<N: Copy + Ord>(
    numbers: impl Iterator<Item = N>,
    nulls: Option<&NullBuffer>,
    none: (N, N),
) -> (N, N) {
    let join = |(low, high): (N, N), number: N| (low.min(number), high.max(number));
    match nulls {
        None => numbers.fold(none, join),
        Some(nulls) => {
            let numbers = numbers.zip(nulls.iter()).filter_map(|(number, is)| is.then_some(number));
            numbers.fold(none, join)
        }
    }
}

impl Column {
    fn append<W: Word>(self, array: &dyn Array, words: &mut [W]) {
        let nulls = valid(array);
        if let DataType::Decimal128(..) = array.data_type() {
            let values = array.as_primitive::<Decimal128Type>().values().iter();
            // Within the range, the difference has 64 bits; where a row is NULL, any will do.
            let low = if self.range.low > self.range.high { 0 } else { self.range.low };
            let numbers = values.map(|value| value.wrapping_sub(low) as u64);
            let high = self.range.high.wrapping_sub(low) as u64;
            return self.codes(numbers, (0, high), nulls, words);
        }
        let _ = visit(array, Codes { column: self, nulls, words });
    }

    /// Appends a code for each number, which lie in `range` where they are no NULLs'.
    fn codes<W: Word>(
        self,
        numbers: impl Iterator<Item = u64>,
        (low, high): (u64, u64),
        nulls: Option<&NullBuffer>,
        words: &mut [W],
    ) {
        let bits = self.bits;
        // NULLs first: they have 0, and values go on from there. Last: they have what is behind the values.
        let first = u64::from(self.range.nulls && self.options.nulls_first);
        let last = self.range.last().unwrap_or_default();
        let null = if self.options.nulls_first { 0 } else { last };
        // high - n + first, or n - low + first
        let (sign, add) = if self.options.descending {
            (u64::MAX, high.wrapping_add(first).wrapping_add(1))
        } else {
            (0, first.wrapping_sub(low))
        };
        let code = |number: u64| (number ^ sign).wrapping_add(add);
        match nulls {
            None => {
                for (word, number) in words.iter_mut().zip(numbers) {
                    *word = word.append(bits, code(number));
                }
            }
            Some(nulls) => {
                for ((word, number), is) in words.iter_mut().zip(numbers).zip(nulls.iter()) {
                    *word = word.append(bits, if is { code(number) } else { null });
                }
            }
        }
    }
}

struct Codes<'a, W> {
    column: Column,
    nulls: Option<&'a NullBuffer>,
    words: &'a mut [W],
}

impl<W: Word> Numbers for Codes<'_, W> {
    type Out = ();

    fn read(self, numbers: impl ExactSizeIterator<Item = u64>) {
        let Range { low, high, .. } = self.column.range;
        self.column.codes(numbers, (low as u64, high as u64), self.nulls, self.words);
    }
}
