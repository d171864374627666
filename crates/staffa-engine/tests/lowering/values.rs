//! Edge values of every type.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Decimal128Array, Float32Array, Float64Array,
    Int32Array, Int64Array, IntervalMonthDayNanoArray, LargeStringArray, StringArray,
    StringViewArray, UInt32Array,
};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, IntervalMonthDayNano, IntervalUnit, TimeUnit};

const INTEGERS: [i128; 16] =
    [0, 1, -1, 2, 7, -7, 10, 100, 63, 127, -128, 255, 32_767, -32_768, 2_147_483_647, 9_999];

fn integers(of: &DataType) -> ArrayRef {
    let (least, most): (i128, i128) = match of {
        DataType::Int8 => (i8::MIN.into(), i8::MAX.into()),
        DataType::Int16 => (i16::MIN.into(), i16::MAX.into()),
        DataType::Int32 => (i32::MIN.into(), i32::MAX.into()),
        DataType::Int64 => (i64::MIN.into(), i64::MAX.into()),
        DataType::UInt8 => (0, u8::MAX.into()),
        DataType::UInt16 => (0, u16::MAX.into()),
        DataType::UInt32 => (0, u32::MAX.into()),
        _ => (0, u64::MAX.into()),
    };
    let mut values: Vec<Option<i128>> = INTEGERS
        .into_iter()
        .chain([least, most, least + 1, most - 1, most / 2])
        .filter(|v| (least..=most).contains(v))
        .map(Some)
        .collect();
    values.push(None);
    let wide = Decimal128Array::from(values).with_precision_and_scale(38, 0).unwrap();
    cast(&wide, of).unwrap()
}

fn doubles() -> Vec<Option<f64>> {
    let mut values: Vec<Option<f64>> = vec![
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        1.5,
        2.5,
        -2.5,
        127.9,
        255.5,
        1e-10,
        5e-324,
        1e300,
        -1e300,
        9.223372036854776e18,
        1.8446744073709552e19,
        1.7e38,
        2147483647.5,
        123456.789,
    ]
    .into_iter()
    .chain([f64::MAX, f64::MIN, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, -f64::NAN])
    .map(Some)
    .collect();
    values.push(None);
    values
}

fn decimals(precision: u8, scale: i8) -> ArrayRef {
    let most = 10i128.pow(u32::from(precision)) - 1;
    let mut values: Vec<Option<i128>> = [
        0,
        1,
        -1,
        5,
        -5,
        49,
        50,
        -50,
        100,
        123_456,
        -99_999_999,
        most,
        -most,
        most / 2,
        most / 7,
        1 << 62,
        -(1 << 64),
        1 << 100,
    ]
    .into_iter()
    .filter(|v: &i128| v.abs() <= most)
    .map(Some)
    .collect();
    values.push(None);
    Arc::new(Decimal128Array::from(values).with_precision_and_scale(precision, scale).unwrap())
}

/// Strings of all sorts: empty, short, beyond the prefix and the view, of several bytes a character.
pub(crate) const TEXTS: [Option<&str>; 24] = [
    Some(""),
    None,
    Some("a"),
    Some("A"),
    Some("b"),
    Some("ab"),
    Some("abc"),
    Some("abcd"),
    Some("abcde"),
    Some("ABCDE"),
    Some("  padded  "),
    Some(" "),
    Some("a%b"),
    Some("a_b"),
    Some("a\\b"),
    Some("abcdefghijklm"),
    Some("abcdefghijklmnopqrstuvwxyz"),
    Some("special deposits sleep slyly"),
    Some("héllo"),
    Some("Ünïcödé und mehr davon"),
    Some("日本語の文字列です"),
    Some("🦀🦀"),
    Some("12345"),
    Some("nul\0byte"),
];

fn days() -> Vec<Option<i32>> {
    vec![
        Some(0),
        None,
        Some(-1),
        Some(1),
        Some(59),
        Some(60),
        Some(10_957),
        Some(11_016),
        Some(19_782),
        Some(-719_162),
        Some(2_932_896),
        Some(-800_000),
        Some(3_000_000),
        Some(8_035),
        Some(9_132),
        Some(18_993),
        Some(20_088),
        Some(-365),
        Some(106_751),
    ]
}

fn instants(per_second: i64) -> ArrayRef {
    let seconds = [
        0,
        1,
        -1,
        59,
        60,
        86_399,
        86_400,
        -86_401,
        951_782_400,
        1_709_164_800,
        1_719_835_199,
        -62_135_596_800,
        253_402_300_799,
        9_000_000_000,
        -9_000_000_000,
        1_700_000_000,
    ];
    let mut values: Vec<Option<i64>> =
        seconds.iter().filter_map(|s: &i64| s.checked_mul(per_second)).map(Some).collect();
    values.extend([Some(1_234_567_890_123), Some(-1_234_567), None]);
    Arc::new(Int64Array::from(values))
}

fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// Edge values of a type, with NULL, short enough for all pairs.
pub(crate) fn of(kind: &DataType) -> ArrayRef {
    match kind {
        DataType::Boolean => Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])),
        DataType::Float64 => Arc::new(Float64Array::from(doubles())),
        DataType::Float32 => {
            Arc::new(Float32Array::from_iter(doubles().into_iter().map(|v| v.map(|v| v as f32))))
        }
        DataType::Decimal128(precision, scale) => decimals(*precision, *scale),
        DataType::Utf8 => Arc::new(StringArray::from_iter(TEXTS)),
        DataType::LargeUtf8 => Arc::new(LargeStringArray::from_iter(TEXTS)),
        DataType::Utf8View => Arc::new(StringViewArray::from_iter(TEXTS)),
        DataType::Binary => Arc::new(BinaryArray::from_iter(TEXTS.map(|t| t.map(str::as_bytes)))),
        DataType::Dictionary(_, values) => cast(&of(values), kind).unwrap(),
        DataType::Date32 => cast(&Int32Array::from(days()), kind).unwrap(),
        DataType::Date64 => {
            cast(&cast(&Int32Array::from(days()), &DataType::Date32).unwrap(), kind).unwrap()
        }
        DataType::Timestamp(unit, _) | DataType::Duration(unit) => {
            cast(&instants(per_second(*unit)), kind).unwrap()
        }
        DataType::Time32(unit) => {
            let n = i32::try_from(per_second(*unit)).unwrap();
            let values = [0, 1, 59, 60, 3_599, 3_600, 86_399].map(|s| Some(s * n));
            cast(&Int32Array::from_iter(values.into_iter().chain([None])), kind).unwrap()
        }
        DataType::Time64(unit) => {
            let n = per_second(*unit);
            let values = [0, 1, 59, 60, 3_599, 3_600, 86_399].map(|s| Some(s * n + s));
            cast(&Int64Array::from_iter(values.into_iter().chain([None])), kind).unwrap()
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let value = |m, d, n| Some(IntervalMonthDayNano::new(m, d, n));
            Arc::new(IntervalMonthDayNanoArray::from(vec![
                value(0, 0, 0),
                value(1, 0, 0),
                value(-1, 0, 0),
                value(12, 3, 5),
                None,
                value(0, 31, -1_000),
                value(1, -30, 86_400_000_000_000),
            ]))
        }
        other => integers(other),
    }
}

/// Rows of an array.
pub(crate) fn rows(array: &dyn Array, rows: &[u32]) -> ArrayRef {
    take(array, &UInt32Array::from(rows.to_vec()), None).unwrap()
}

/// All pairs of two arrays' rows.
pub(crate) fn pairs(a: &ArrayRef, b: &ArrayRef) -> (ArrayRef, ArrayRef) {
    let (n, m) = (a.len() as u32, b.len() as u32);
    let left: Vec<u32> = (0..n * m).map(|i| i / m).collect();
    let right: Vec<u32> = (0..n * m).map(|i| i % m).collect();
    (rows(a, &left), rows(b, &right))
}
