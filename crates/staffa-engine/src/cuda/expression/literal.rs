//! Constants.

use datafusion_common::ScalarValue;
use staffa_common::Reason;
use staffa_kernels::expression::{Builder, Constant, Value};

use super::types::{no_type, register};

/// A scalar as a constant of a program; `None` for NULL.
///
/// # Errors
/// `DataType` for types without device arithmetic.
pub(super) fn constant(scalar: &ScalarValue) -> Result<Option<Constant>, Reason> {
    use ScalarValue as S;
    Ok(match scalar {
        S::Dictionary(_, value) => return constant(value),
        S::Boolean(v) => v.map(Constant::Bool),
        S::Int8(v) => v.map(Constant::I8),
        S::Int16(v) => v.map(Constant::I16),
        S::Int32(v)
        | S::Date32(v)
        | S::Time32Second(v)
        | S::Time32Millisecond(v)
        | S::IntervalYearMonth(v) => v.map(Constant::I32),
        S::Int64(v)
        | S::Date64(v)
        | S::Time64Microsecond(v)
        | S::Time64Nanosecond(v)
        | S::TimestampSecond(v, _)
        | S::TimestampMillisecond(v, _)
        | S::TimestampMicrosecond(v, _)
        | S::TimestampNanosecond(v, _)
        | S::DurationSecond(v)
        | S::DurationMillisecond(v)
        | S::DurationMicrosecond(v)
        | S::DurationNanosecond(v) => v.map(Constant::I64),
        S::Decimal128(v, _, _) => v.map(Constant::I128),
        S::IntervalDayTime(v) => v.map(|v| {
            Constant::I64(i64::from(v.days) & 0xffff_ffff | i64::from(v.milliseconds) << 32)
        }),
        S::IntervalMonthDayNano(v) => {
            v.map(|v| Constant::I128(month_day_nano(v.months, v.days, v.nanoseconds)))
        }
        S::UInt8(v) => v.map(Constant::U8),
        S::UInt16(v) => v.map(Constant::U16),
        S::UInt32(v) => v.map(Constant::U32),
        S::UInt64(v) => v.map(Constant::U64),
        S::Float32(v) => v.map(Constant::F32),
        S::Float64(v) => v.map(Constant::F64),
        S::Utf8(v) | S::LargeUtf8(v) | S::Utf8View(v) => v.as_deref().map(Constant::text),
        S::Binary(v) | S::LargeBinary(v) | S::BinaryView(v) => v.clone().map(Constant::Bytes),
        other => return Err(no_type(&other.data_type())),
    })
}

/// An interval as arrow lays it out in 16 bytes, little endian: months, days, nanoseconds.
pub(super) fn month_day_nano(months: i32, days: i32, nanoseconds: i64) -> i128 {
    i128::from(months.cast_unsigned())
        | i128::from(days.cast_unsigned()) << 32
        | i128::from(nanoseconds) << 64
}

/// A scalar as a value of the program.
///
/// # Errors
/// As [`constant`]; `ExpressionSize` when the program has too many constants.
pub(super) fn literal(builder: &mut Builder, scalar: &ScalarValue) -> Result<Value, Reason> {
    match constant(scalar)? {
        Some(constant) => Ok(builder.constant(&constant)?),
        None => Ok(builder.null(register(&scalar.data_type())?)?),
    }
}
