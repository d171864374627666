//! The column types that cases draw from, and what SQL may do with each.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, IntervalUnit, TimeUnit};

use super::case::Source;

/// What a type's values are, as far as SQL functions are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Signed and unsigned integers.
    Integer,
    /// Float32 and Float64.
    Float,
    /// Decimals of any width.
    Decimal,
    /// Booleans.
    Boolean,
    /// Dates.
    Date,
    /// Times of day.
    Time,
    /// Timestamps with or without a zone.
    Timestamp,
    /// Intervals.
    Interval,
    /// Strings, dictionaries of strings included.
    Text,
    /// Byte strings.
    Bytes,
    /// Lists and structs: payload.
    Nested,
    /// Anything else that an expression may yield.
    Other,
}

/// The class of `data_type`.
pub(crate) fn class(data_type: &DataType) -> Class {
    match data_type {
        t if t.is_integer() => Class::Integer,
        DataType::Float32 | DataType::Float64 => Class::Float,
        t if t.is_decimal() => Class::Decimal,
        DataType::Boolean => Class::Boolean,
        DataType::Date32 | DataType::Date64 => Class::Date,
        DataType::Time32(_) | DataType::Time64(_) => Class::Time,
        DataType::Timestamp(..) => Class::Timestamp,
        DataType::Interval(_) => Class::Interval,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Class::Text,
        DataType::Dictionary(_, value) => class(value),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Class::Bytes,
        DataType::FixedSizeBinary(_) => Class::Bytes,
        DataType::List(_) | DataType::LargeList(_) | DataType::Struct(_) => Class::Nested,
        _ => Class::Other,
    }
}

/// The short name under which a type stands in the coverage table.
pub(crate) fn label(data_type: &DataType) -> String {
    match data_type {
        DataType::Timestamp(_, Some(_)) => "TimestampTz".to_string(),
        DataType::Timestamp(..) => "Timestamp".to_string(),
        DataType::Interval(_) => "Interval".to_string(),
        DataType::Dictionary(..) => "Dictionary".to_string(),
        DataType::FixedSizeBinary(_) => "FixedBinary".to_string(),
        DataType::Time32(_) => "Time32".to_string(),
        DataType::Time64(_) => "Time64".to_string(),
        other => {
            let text = other.to_string();
            text.split(['(', ' ']).next().unwrap_or(&text).to_string()
        }
    }
}

/// Every type that a base table's column may have.
pub(crate) fn all() -> Vec<DataType> {
    use DataType::*;
    let mut types = vec![Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64];
    types.extend([Float32, Float64, Boolean, Date32, Date64]);
    types.extend([Decimal32(9, 2), Decimal64(18, 4), Decimal128(15, 2), Decimal128(38, 10)]);
    types.extend([Decimal256(50, 5), Decimal256(76, 0)]);
    types.extend([Time32(TimeUnit::Second), Time32(TimeUnit::Millisecond)]);
    types.extend([Time64(TimeUnit::Microsecond), Time64(TimeUnit::Nanosecond)]);
    for unit in
        [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond]
    {
        types.push(Timestamp(unit, None));
    }
    types.push(Timestamp(TimeUnit::Nanosecond, Some("+02:00".into())));
    types.push(Timestamp(TimeUnit::Microsecond, Some("UTC".into())));
    types.extend(
        [IntervalUnit::YearMonth, IntervalUnit::DayTime, IntervalUnit::MonthDayNano].map(Interval),
    );
    types.extend([Utf8, LargeUtf8, Utf8View, Utf8, Utf8View]);
    types.extend([Binary, LargeBinary, BinaryView, FixedSizeBinary(4), FixedSizeBinary(20)]);
    types.extend([dictionary(Int32, Utf8), dictionary(Int8, Utf8), dictionary(UInt16, LargeUtf8)]);
    types.extend(nested());
    types
}

/// Those of them that tables of such a source have.
pub(crate) fn of(source: Source) -> Vec<DataType> {
    let mut types = all();
    types.retain(|data_type| source == Source::Mixed || parquet_writes(data_type));
    types
}

/// The nested types.
pub(crate) fn nested() -> Vec<DataType> {
    let fields: Fields =
        vec![Field::new("a", DataType::Int32, true), Field::new("b", DataType::Utf8, true)].into();
    vec![
        DataType::List(Arc::new(Field::new_list_field(DataType::Int64, true))),
        DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true))),
        DataType::Struct(fields),
    ]
}

fn dictionary(key: DataType, value: DataType) -> DataType {
    DataType::Dictionary(Box::new(key), Box::new(value))
}

/// Whether SQL can sort by the type, and compare and group its values one by one.
pub(crate) fn orderable(data_type: &DataType) -> bool {
    !matches!(class(data_type), Class::Nested | Class::Other)
}

/// Whether the Parquet writer takes the type (it has no MonthDayNano interval).
pub(crate) fn parquet_writes(data_type: &DataType) -> bool {
    !matches!(data_type, DataType::Interval(IntervalUnit::MonthDayNano))
}
