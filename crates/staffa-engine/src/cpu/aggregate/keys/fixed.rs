//! Fixed-width key columns as bits of a packed key, and back.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::*;
use datafusion_common::{Result, internal_err};

use super::slots::Key;

/// A native value as bits.
pub(super) trait Native: Copy {
    /// Its bits, equal for values of one group.
    fn bits(self) -> u128;
    /// The value that has these (lowest) bits.
    fn of(bits: u128) -> Self;
}

macro_rules! integers {
    ($($signed:ty as $unsigned:ty),+) => {$(
        impl Native for $signed {
            #[inline(always)]
            fn bits(self) -> u128 {
                self as $unsigned as u128
            }

            #[inline(always)]
            fn of(bits: u128) -> Self {
                bits as $unsigned as $signed
            }
        }
    )+};
}

integers!(i8 as u8, i16 as u16, i32 as u32, i64 as u64, i128 as u128);
integers!(u8 as u8, u16 as u16, u32 as u32, u64 as u64);

// DataFusion puts -0.0 with 0.0 (and gives the group as 0.0), and NaNs together by their bits.
macro_rules! floats {
    ($($float:ty as $unsigned:ty),+) => {$(
        impl Native for $float {
            #[inline(always)]
            fn bits(self) -> u128 {
                let bits = self.to_bits();
                (if bits << 1 == 0 { 0 } else { bits }) as u128
            }

            #[inline(always)]
            fn of(bits: u128) -> Self {
                Self::from_bits(bits as $unsigned)
            }
        }
    )+};
}

floats!(f32 as u32, f64 as u64);

/// Runs `$body` with `$t` as the Arrow type of a data type, for those that are packed.
macro_rules! with_type {
    ($data_type:expr, $t:ident => $body:expr, $otherwise:expr) => {{
        macro_rules! run {
            ($type:ty) => {{
                type $t = $type;
                $body
            }};
        }
        match $data_type {
            DataType::Int8 => run!(Int8Type),
            DataType::Int16 => run!(Int16Type),
            DataType::Int32 => run!(Int32Type),
            DataType::Int64 => run!(Int64Type),
            DataType::UInt8 => run!(UInt8Type),
            DataType::UInt16 => run!(UInt16Type),
            DataType::UInt32 => run!(UInt32Type),
            DataType::UInt64 => run!(UInt64Type),
            DataType::Float32 => run!(Float32Type),
            DataType::Float64 => run!(Float64Type),
            DataType::Date32 => run!(Date32Type),
            DataType::Date64 => run!(Date64Type),
            DataType::Time32(TimeUnit::Second) => run!(Time32SecondType),
            DataType::Time32(TimeUnit::Millisecond) => run!(Time32MillisecondType),
            DataType::Time64(TimeUnit::Microsecond) => run!(Time64MicrosecondType),
            DataType::Time64(TimeUnit::Nanosecond) => run!(Time64NanosecondType),
            DataType::Timestamp(TimeUnit::Second, _) => run!(TimestampSecondType),
            DataType::Timestamp(TimeUnit::Millisecond, _) => run!(TimestampMillisecondType),
            DataType::Timestamp(TimeUnit::Microsecond, _) => run!(TimestampMicrosecondType),
            DataType::Timestamp(TimeUnit::Nanosecond, _) => run!(TimestampNanosecondType),
            DataType::Duration(TimeUnit::Second) => run!(DurationSecondType),
            DataType::Duration(TimeUnit::Millisecond) => run!(DurationMillisecondType),
            DataType::Duration(TimeUnit::Microsecond) => run!(DurationMicrosecondType),
            DataType::Duration(TimeUnit::Nanosecond) => run!(DurationNanosecondType),
            DataType::Decimal128(_, _) => run!(Decimal128Type),
            _ => $otherwise,
        }
    }};
}

/// How many bits a value takes; none for types that are not packed.
pub(super) fn width(data_type: &DataType) -> Option<u32> {
    if matches!(data_type, DataType::Boolean) {
        return Some(1);
    }
    with_type!(
        data_type,
        T => Some(8 * size_of::<<T as ArrowPrimitiveType>::Native>() as u32),
        None
    )
}

/// Puts a column's values into `keys` at `shift`; a NULL puts no bits.
pub(super) fn pack<K: Key>(array: &ArrayRef, shift: u32, keys: &mut [K]) -> Result<()> {
    if let Some(bits) = array.as_boolean_opt() {
        for (row, key) in keys.iter_mut().enumerate() {
            if bits.is_valid(row) {
                *key = key.with(u128::from(bits.value(row)), shift);
            }
        }
        return Ok(());
    }
    with_type!(
        array.data_type(),
        T => {
            let values = array.as_primitive::<T>();
            pack_values(values.values(), values.nulls(), shift, keys);
            Ok(())
        },
        internal_err!("no packed keys of {}", array.data_type())
    )
}

fn pack_values<N: Native, K: Key>(
    values: &[N],
    nulls: Option<&NullBuffer>,
    shift: u32,
    keys: &mut [K],
) {
    match nulls.filter(|nulls| nulls.null_count() > 0) {
        None => {
            for (key, value) in keys.iter_mut().zip(values) {
                *key = key.with(value.bits(), shift);
            }
        }
        // What stands under a NULL is arbitrary.
        Some(nulls) => {
            for ((key, value), valid) in keys.iter_mut().zip(values).zip(nulls) {
                *key = key.with(if valid { value.bits() } else { 0 }, shift);
            }
        }
    }
}

/// The column of `data_type` that [`pack`] put into `keys` at `shift`.
pub(super) fn unpack<K: Key>(
    data_type: &DataType,
    keys: &[K],
    shift: u32,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef> {
    if matches!(data_type, DataType::Boolean) {
        let bits = BooleanBuffer::collect_bool(keys.len(), |i| keys[i].bits_at(shift) & 1 == 1);
        return Ok(Arc::new(BooleanArray::new(bits, nulls)));
    }
    with_type!(
        data_type,
        T => {
            let values = keys.iter().map(|key| Native::of(key.bits_at(shift))).collect::<Vec<_>>();
            let array = PrimitiveArray::<T>::try_new(values.into(), nulls)?;
            Ok(Arc::new(array.with_data_type(data_type.clone())))
        },
        internal_err!("no packed keys of {data_type}")
    )
}
