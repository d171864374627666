//! Sortable numbers: unsigned ones whose order is that of the values.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, DurationMicrosecondType,
    DurationMillisecondType, DurationNanosecondType, DurationSecondType, Float16Type, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, IntervalUnit, IntervalYearMonthType,
    Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};

/// Calls `$go` with the Arrow type that a data type stands for, and with what makes numbers of its values.
macro_rules! by_type {
    ($of:expr, $go:ident) => {
        match $of {
            DataType::Int8 => $go!(Int8Type, |v| signed(i64::from(v))),
            DataType::Int16 => $go!(Int16Type, |v| signed(i64::from(v))),
            DataType::Int32 => $go!(Int32Type, |v| signed(i64::from(v))),
            DataType::Int64 => $go!(Int64Type, signed),
            DataType::UInt8 => $go!(UInt8Type, u64::from),
            DataType::UInt16 => $go!(UInt16Type, u64::from),
            DataType::UInt32 => $go!(UInt32Type, u64::from),
            DataType::UInt64 => $go!(UInt64Type, |v| v),
            DataType::Float16 => $go!(Float16Type, |v| float16(v.to_bits())),
            DataType::Float32 => $go!(Float32Type, |v| float32(v.to_bits())),
            DataType::Float64 => $go!(Float64Type, |v| float64(v.to_bits())),
            DataType::Decimal32(..) => $go!(Decimal32Type, |v| signed(i64::from(v))),
            DataType::Decimal64(..) => $go!(Decimal64Type, signed),
            DataType::Date32 => $go!(Date32Type, |v| signed(i64::from(v))),
            DataType::Date64 => $go!(Date64Type, signed),
            DataType::Time32(TimeUnit::Second) => {
                $go!(Time32SecondType, |v| signed(i64::from(v)))
            }
            DataType::Time32(_) => $go!(Time32MillisecondType, |v| signed(i64::from(v))),
            DataType::Time64(TimeUnit::Microsecond) => $go!(Time64MicrosecondType, signed),
            DataType::Time64(_) => $go!(Time64NanosecondType, signed),
            DataType::Timestamp(TimeUnit::Second, _) => $go!(TimestampSecondType, signed),
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                $go!(TimestampMillisecondType, signed)
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                $go!(TimestampMicrosecondType, signed)
            }
            DataType::Timestamp(TimeUnit::Nanosecond, _) => $go!(TimestampNanosecondType, signed),
            DataType::Duration(TimeUnit::Second) => $go!(DurationSecondType, signed),
            DataType::Duration(TimeUnit::Millisecond) => $go!(DurationMillisecondType, signed),
            DataType::Duration(TimeUnit::Microsecond) => $go!(DurationMicrosecondType, signed),
            DataType::Duration(TimeUnit::Nanosecond) => $go!(DurationNanosecondType, signed),
            DataType::Interval(IntervalUnit::YearMonth) => {
                $go!(IntervalYearMonthType, |v| signed(i64::from(v)))
            }
            _ => None,
        }
    };
}

/// What is done with an array's numbers, whatever the type of its values.
pub(super) trait Numbers {
    type Out;

    /// Reads a number for each row; where a row is NULL, any.
    fn read(self, numbers: impl ExactSizeIterator<Item = u64>) -> Self::Out;
}

/// Has `then` read the numbers of an array; `None` for types of more than 8 bytes and of no fixed width.
pub(super) fn visit<N: Numbers>(array: &dyn Array, then: N) -> Option<N::Out> {
    if let DataType::Boolean = array.data_type() {
        return Some(then.read(array.as_boolean().values().iter().map(u64::from)));
    }
    macro_rules! primitive {
        ($t:ty, $number:expr) => {{
            let values = array.as_primitive::<$t>().values().iter();
            Some(then.read(values.copied().map($number)))
        }};
    }
    by_type!(array.data_type(), primitive)
}

fn signed(value: i64) -> u64 {
    (value as u64) ^ (1 << 63)
}

/// IEEE total order, as Arrow sorts floats: -NaN < -inf < .. < -0.0 < 0.0 < .. < inf < NaN.
fn float64(bits: u64) -> u64 {
    let negative = (bits >> 63) as i64;
    bits ^ ((-negative) as u64 | (1 << 63))
}

fn float32(bits: u32) -> u64 {
    let negative = (bits >> 31) as i32;
    u64::from(bits ^ ((-negative) as u32 | (1 << 31)))
}

fn float16(bits: u16) -> u64 {
    let negative = (bits >> 15) as i16;
    u64::from(bits ^ ((-negative) as u16 | (1 << 15)))
}
