//! Between arrow arrays and the interpreter's host columns.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Date64Array, Decimal128Array,
    DurationSecondArray, IntervalMonthDayNanoArray, PrimitiveArray, StringArray, StringViewArray,
    TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray,
    TimestampSecondArray,
};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Date64Type, Decimal128Type, DurationSecondType,
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, IntervalMonthDayNano,
    IntervalMonthDayNanoType, IntervalUnit, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use staffa_kernels::expression::reference::{Cell, HostColumn};
use staffa_kernels::expression::{Constant, Input, Type};

/// The register type of an arrow type.
pub(crate) fn register_type(kind: &DataType) -> Type {
    match kind {
        DataType::Boolean => Type::Bits,
        DataType::Int8 => Type::I8,
        DataType::Int16 => Type::I16,
        DataType::Int32 | DataType::Date32 => Type::I32,
        DataType::Int64 | DataType::Date64 | DataType::Timestamp(..) | DataType::Duration(_) => {
            Type::I64
        }
        DataType::Decimal128(..) | DataType::Interval(IntervalUnit::MonthDayNano) => Type::I128,
        DataType::UInt8 => Type::U8,
        DataType::UInt16 => Type::U16,
        DataType::UInt32 => Type::U32,
        DataType::UInt64 => Type::U64,
        DataType::Float32 => Type::F32,
        DataType::Float64 => Type::F64,
        DataType::Utf8 | DataType::Utf8View => Type::Span,
        other => panic!("no register type for {other}"),
    }
}

pub(crate) fn input(array: &ArrayRef) -> Input {
    Input { kind: register_type(array.data_type()), nullable: array.null_count() > 0 }
}

fn primitive<T: ArrowPrimitiveType>(
    array: &dyn Array,
    f: impl Fn(T::Native) -> Constant,
) -> Vec<Cell> {
    array.as_primitive::<T>().iter().map(|v| v.map(&f)).collect()
}

pub(crate) fn interval_bits(v: IntervalMonthDayNano) -> i128 {
    let low = (v.months as u32 as u128) | (v.days as u32 as u128) << 32;
    (low | (v.nanoseconds as u64 as u128) << 64) as i128
}

pub(crate) fn cells(array: &dyn Array) -> Vec<Cell> {
    match array.data_type() {
        DataType::Boolean => array.as_boolean().iter().map(|v| v.map(Constant::Bool)).collect(),
        DataType::Int8 => primitive::<Int8Type>(array, Constant::I8),
        DataType::Int16 => primitive::<Int16Type>(array, Constant::I16),
        DataType::Int32 => primitive::<Int32Type>(array, Constant::I32),
        DataType::Int64 => primitive::<Int64Type>(array, Constant::I64),
        DataType::UInt8 => primitive::<UInt8Type>(array, Constant::U8),
        DataType::UInt16 => primitive::<UInt16Type>(array, Constant::U16),
        DataType::UInt32 => primitive::<UInt32Type>(array, Constant::U32),
        DataType::UInt64 => primitive::<UInt64Type>(array, Constant::U64),
        DataType::Float32 => primitive::<Float32Type>(array, Constant::F32),
        DataType::Float64 => primitive::<Float64Type>(array, Constant::F64),
        DataType::Date32 => primitive::<Date32Type>(array, Constant::I32),
        DataType::Date64 => primitive::<Date64Type>(array, Constant::I64),
        DataType::Timestamp(TimeUnit::Second, _) => {
            primitive::<TimestampSecondType>(array, Constant::I64)
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            primitive::<TimestampMillisecondType>(array, Constant::I64)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            primitive::<TimestampMicrosecondType>(array, Constant::I64)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            primitive::<TimestampNanosecondType>(array, Constant::I64)
        }
        DataType::Duration(TimeUnit::Second) => {
            primitive::<DurationSecondType>(array, Constant::I64)
        }
        DataType::Decimal128(..) => primitive::<Decimal128Type>(array, Constant::I128),
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            primitive::<IntervalMonthDayNanoType>(array, |v| Constant::I128(interval_bits(v)))
        }
        DataType::Utf8 => array.as_string::<i32>().iter().map(|v| v.map(Constant::text)).collect(),
        DataType::Utf8View => {
            array.as_string_view().iter().map(|v| v.map(Constant::text)).collect()
        }
        other => panic!("no cells of {other}"),
    }
}

pub(crate) fn host(array: &ArrayRef) -> HostColumn {
    HostColumn::Plain(cells(array.as_ref()))
}

pub(crate) fn array_of<T: ArrowPrimitiveType>(values: Vec<Option<T::Native>>) -> ArrayRef
where
    PrimitiveArray<T>: From<Vec<Option<T::Native>>>,
{
    Arc::new(PrimitiveArray::<T>::from(values))
}

pub(crate) fn booleans(values: Vec<Option<bool>>) -> ArrayRef {
    Arc::new(BooleanArray::from(values))
}

pub(crate) fn decimals(values: Vec<Option<i128>>, precision: u8, scale: i8) -> ArrayRef {
    Arc::new(Decimal128Array::from(values).with_precision_and_scale(precision, scale).unwrap())
}

pub(crate) fn strings(values: Vec<Option<&str>>) -> ArrayRef {
    Arc::new(StringArray::from(values))
}

#[expect(dead_code, reason = "for the string functions")]
pub(crate) fn string_views(values: Vec<Option<&str>>) -> ArrayRef {
    Arc::new(StringViewArray::from(values))
}

pub(crate) fn temporal(kind: &DataType, values: Vec<Option<i64>>) -> ArrayRef {
    match kind {
        DataType::Date32 => {
            Arc::new(Date32Array::from_iter(values.into_iter().map(|v| v.map(|v| v as i32))))
        }
        DataType::Date64 => Arc::new(Date64Array::from(values)),
        DataType::Timestamp(TimeUnit::Second, _) => Arc::new(TimestampSecondArray::from(values)),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            Arc::new(TimestampMillisecondArray::from(values))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            Arc::new(TimestampMicrosecondArray::from(values))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            Arc::new(TimestampNanosecondArray::from(values))
        }
        DataType::Duration(TimeUnit::Second) => Arc::new(DurationSecondArray::from(values)),
        other => panic!("not temporal: {other}"),
    }
}

pub(crate) fn intervals(values: Vec<Option<IntervalMonthDayNano>>) -> ArrayRef {
    Arc::new(IntervalMonthDayNanoArray::from(values))
}
