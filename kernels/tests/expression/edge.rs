//! Values at which arithmetic goes wrong.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, Float64Array};
use arrow::datatypes::{
    DataType, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};

use crate::arrays::{array_of, booleans, decimals, strings};

macro_rules! integers {
    ($t:ty, $n:ty) => {
        array_of::<$t>(vec![
            Some(0),
            Some(1),
            None,
            Some(<$n>::MAX),
            Some(<$n>::MIN),
            Some((0 as $n).wrapping_sub(1)),
            Some(2),
            Some(7),
            Some(10),
            Some(100),
            Some(<$n>::MAX - 1),
            Some(<$n>::MIN + 1),
            Some(<$n>::MAX / 2),
            Some((0 as $n).wrapping_sub(7)),
        ])
    };
}

pub(crate) const FLOATS: [f64; 22] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    1.5,
    2.5,
    -2.5,
    127.9,
    -128.9,
    255.5,
    f64::MAX,
    f64::MIN,
    f64::MIN_POSITIVE,
    5e-324,
    f64::INFINITY,
    f64::NEG_INFINITY,
    9.223372036854776e18,
    -9.223372036854776e18,
    1.8446744073709552e19,
    1.7e38,
];

fn doubles() -> Vec<Option<f64>> {
    let mut values: Vec<Option<f64>> = FLOATS.iter().copied().map(Some).collect();
    values.extend([
        None,
        Some(f64::NAN),
        Some(-f64::NAN),
        Some(f64::from_bits(0x7ff8_0000_0000_1234)),
        Some(2147483647.5),
        Some(4294967295.9),
        Some(1e-10),
        Some(-170141183460469231731687303715884105728.0),
        Some(170141183460469231731687303715884105728.0),
    ]);
    values
}

/// Edge values of every type that has numbers, booleans and strings, with NULLs.
pub(crate) fn values(kind: &DataType) -> ArrayRef {
    match kind {
        DataType::Boolean => booleans(vec![Some(true), Some(false), None]),
        DataType::Int8 => integers!(Int8Type, i8),
        DataType::Int16 => integers!(Int16Type, i16),
        DataType::Int32 => integers!(Int32Type, i32),
        DataType::Int64 => integers!(Int64Type, i64),
        DataType::UInt8 => integers!(UInt8Type, u8),
        DataType::UInt16 => integers!(UInt16Type, u16),
        DataType::UInt32 => integers!(UInt32Type, u32),
        DataType::UInt64 => integers!(UInt64Type, u64),
        DataType::Float64 => Arc::new(Float64Array::from(doubles())),
        DataType::Float32 => {
            let mut values: Vec<Option<f32>> =
                doubles().iter().map(|v| v.map(|v| v as f32)).collect();
            values.extend([Some(f32::MAX), Some(f32::MIN_POSITIVE), Some(1e-45)]);
            Arc::new(Float32Array::from(values))
        }
        DataType::Decimal128(precision, scale) => {
            let most = 10i128.pow(u32::from(*precision)) - 1;
            let mut values = vec![
                Some(0),
                Some(1),
                None,
                Some(-1),
                Some(5),
                Some(-5),
                Some(49),
                Some(50),
                Some(-50),
            ];
            values.extend(
                [most, -most, most / 2, most / 7, -most / 3, 123_456, -99_999_999].map(Some),
            );
            values.extend(
                [1 << 62, 1 << 63, 1 << 64, (1 << 64) - 1, -(1 << 64), 1 << 100, i128::MAX / 3]
                    .map(Some),
            );
            values.retain(|v| v.is_none_or(|v: i128| v.abs() <= most));
            decimals(values, *precision, *scale)
        }
        DataType::Utf8 => strings(vec![
            Some(""),
            None,
            Some("a"),
            Some("A"),
            Some("ab"),
            Some("a\0"),
            Some("a\0b"),
            Some("abcd"),
            Some("abce"),
            Some("abcde"),
            Some("abcdefghijklm"),
            Some("abcdefghijkln"),
            Some("é"),
            Some("日本語テキスト"),
            Some("日本語テキストx"),
            Some("😀"),
            Some("zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"),
            Some("\n"),
            Some(" "),
        ]),
        other => panic!("no edge values of {other}"),
    }
}

pub(crate) const INTEGERS: [DataType; 8] = [
    DataType::Int8,
    DataType::Int16,
    DataType::Int32,
    DataType::Int64,
    DataType::UInt8,
    DataType::UInt16,
    DataType::UInt32,
    DataType::UInt64,
];
pub(crate) const FLOAT_TYPES: [DataType; 2] = [DataType::Float32, DataType::Float64];
