//! Arrow's types as the interpreter's.

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use staffa_common::{Reason, ReasonCode};
use staffa_kernels::expression::{Decimal, Type, Unit};

/// The type without its dictionary: what its values are.
pub(super) fn plain(of: &DataType) -> &DataType {
    match of {
        DataType::Dictionary(_, values) => values,
        other => other,
    }
}

/// The register in which values of a column are loaded and stored; `None` when it has to stay on the host
/// or is wider than a register.
pub fn storage(of: &DataType) -> Option<Type> {
    Some(match plain(of) {
        DataType::Boolean => Type::Bits,
        DataType::Int8 => Type::I8,
        DataType::Int16 => Type::I16,
        DataType::Int32
        | DataType::Date32
        | DataType::Time32(_)
        | DataType::Decimal32(_, _)
        | DataType::Interval(IntervalUnit::YearMonth) => Type::I32,
        DataType::Int64
        | DataType::Date64
        | DataType::Time64(_)
        | DataType::Timestamp(_, _)
        | DataType::Duration(_)
        | DataType::Decimal64(_, _)
        | DataType::Interval(IntervalUnit::DayTime) => Type::I64,
        DataType::Decimal128(_, _)
        | DataType::FixedSizeBinary(16)
        | DataType::Interval(IntervalUnit::MonthDayNano) => Type::I128,
        DataType::UInt8 | DataType::FixedSizeBinary(1) => Type::U8,
        DataType::UInt16 | DataType::Float16 | DataType::FixedSizeBinary(2) => Type::U16,
        DataType::UInt32 | DataType::FixedSizeBinary(4) => Type::U32,
        DataType::UInt64 | DataType::FixedSizeBinary(8) => Type::U64,
        DataType::Float32 => Type::F32,
        DataType::Float64 => Type::F64,
        DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View
        | DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView => Type::Span,
        _ => return None,
    })
}

/// The register of a type that expressions compute with.
///
/// # Errors
/// `DataType` for types that are only loaded and stored, or not even that.
pub(super) fn register(of: &DataType) -> Result<Type, Reason> {
    let passes = matches!(
        plain(of),
        DataType::Float16
            | DataType::Decimal32(_, _)
            | DataType::Decimal64(_, _)
            | DataType::FixedSizeBinary(_)
    );
    match storage(of) {
        Some(kind) if !passes => Ok(kind),
        _ => Err(no_type(of)),
    }
}

pub(super) fn no_type(of: &DataType) -> Reason {
    Reason::new(ReasonCode::DataType, format!("{of} has no device arithmetic"))
}

/// Precision and scale, when it is a decimal of 128 bits.
pub(super) fn decimal(of: &DataType) -> Option<Decimal> {
    match plain(of) {
        DataType::Decimal128(precision, scale) => {
            Some(Decimal { precision: *precision, scale: *scale })
        }
        _ => None,
    }
}

/// Whether the type is a string of any layout.
pub(super) fn is_text(of: &DataType) -> bool {
    matches!(plain(of), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// Whether the type holds bytes that need not be UTF-8.
pub(super) fn is_binary(of: &DataType) -> bool {
    matches!(plain(of), DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
}

/// What one unit of a time unit is.
pub(super) fn unit_of(unit: TimeUnit) -> Unit {
    match unit {
        TimeUnit::Second => Unit::Second,
        TimeUnit::Millisecond => Unit::Millisecond,
        TimeUnit::Microsecond => Unit::Microsecond,
        TimeUnit::Nanosecond => Unit::Nanosecond,
    }
}

/// How many of a time unit make a second.
pub(super) fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// Whether a timestamp's fields are those of UTC.
pub(super) fn is_utc(zone: Option<&str>) -> bool {
    zone.is_none_or(|zone| matches!(zone, "UTC" | "+00:00" | "-00:00" | "+0000" | "Z"))
}

/// Seconds that local time is ahead of UTC, of a zone that is an offset: `+05:30`, `-0800`, `+02`.
pub(super) fn fixed_offset(zone: &str) -> Option<i64> {
    let (sign, digits) = match zone.as_bytes() {
        [b'+', digits @ ..] => (1, digits),
        [b'-', digits @ ..] => (-1, digits),
        _ => return None,
    };
    let digits = match digits {
        [a, b, b':', c, d] | [a, b, c, d] => [*a, *b, *c, *d],
        [a, b] => [*a, *b, b'0', b'0'],
        _ => return None,
    };
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let [a, b, c, d] = digits.map(|digit| i64::from(digit - b'0'));
    let seconds = (a * 10 + b) * 3_600 + (c * 10 + d) * 60;
    (seconds < 86_400).then_some(sign * seconds)
}

/// What one unit of a date or timestamp is, for its calendar fields.
///
/// # Errors
/// `TimeZone` for zones other than UTC; `DataType` for other types.
pub(super) fn calendar_unit(of: &DataType) -> Result<Unit, Reason> {
    match plain(of) {
        DataType::Date32 => Ok(Unit::Day),
        DataType::Date64 => Ok(Unit::Millisecond),
        DataType::Timestamp(_, Some(zone)) if !is_utc(Some(zone)) => {
            Err(Reason::new(ReasonCode::TimeZone, format!("time zone {zone}")))
        }
        DataType::Timestamp(unit, _) => Ok(unit_of(*unit)),
        other => Err(no_type(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_those_that_arrow_knows() {
        use std::str::FromStr;

        use arrow::array::timezone::Tz;
        for (zone, seconds) in [
            ("+05:30", 19_800),
            ("-0800", -28_800),
            ("+02", 7_200),
            ("+00:00", 0),
            ("+23:59", 86_340),
            ("-09:99", -38_340),
        ] {
            assert_eq!(fixed_offset(zone), Some(seconds), "{zone}");
            assert!(Tz::from_str(zone).is_ok(), "{zone}");
        }
        for zone in ["Europe/Oslo", "UTC", "", "+", "+5", "+24:00", "+05-30", "05:30", "+0a:00"] {
            assert_eq!(fixed_offset(zone), None, "{zone}");
        }
    }
}
