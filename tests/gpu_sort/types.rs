//! Every type of key, in every direction, with NULLs and the ends of its range.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Decimal128Array, Decimal256Array, FixedSizeBinaryArray,
    Float32Array, Float64Array, Int32Array, Int64Array, StringArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, IntervalUnit, TimeUnit, i256};

use crate::common::{Both, picked};
use crate::shared::has_gpu;

const ROWS: u32 = 140;
const DIRECTIONS: [&str; 4] =
    ["ASC NULLS FIRST", "ASC NULLS LAST", "DESC NULLS FIRST", "DESC NULLS LAST"];

fn of(values: &ArrayRef, to: &DataType) -> ArrayRef {
    cast(values, to).unwrap_or_else(|error| panic!("{to}: {error}"))
}

/// The bits of 32 or 64 as another type of that width.
fn bits(values: &ArrayRef, to: &DataType) -> ArrayRef {
    let data = values.to_data().into_builder().data_type(to.clone()).build();
    arrow::array::make_array(data.expect("the same layout"))
}

fn numbers() -> Vec<ArrayRef> {
    let ends = |low: i64, high: i64| -> ArrayRef {
        let all = [low, low + 1, -1, 0, 1, 7, high - 1, high];
        Arc::new(Int64Array::from_iter(all.into_iter().map(Some).chain([None, Some(0)])))
    };
    let long = ends(i64::MIN, i64::MAX);
    let int = of(&ends(i64::from(i32::MIN), i64::from(i32::MAX)), &DataType::Int32);
    let mut columns = vec![Arc::clone(&long), Arc::clone(&int)];
    columns.push(of(&ends(-128, 127), &DataType::Int8));
    columns.push(of(&ends(-32_768, 32_767), &DataType::Int16));
    // The bits of negative numbers are the greatest ones without a sign.
    columns.push(bits(&long, &DataType::UInt64));
    columns.push(bits(&int, &DataType::UInt32));
    let small: ArrayRef = Arc::new(Int32Array::from(vec![Some(0), Some(1), Some(255), None]));
    columns.push(of(&small, &DataType::UInt8));
    columns.push(of(&small, &DataType::UInt16));
    columns.push(Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])));
    for unit in
        [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond]
    {
        columns.push(bits(&long, &DataType::Timestamp(unit, None)));
        columns.push(bits(&long, &DataType::Duration(unit)));
    }
    columns.push(bits(&long, &DataType::Timestamp(TimeUnit::Microsecond, Some("+02:00".into()))));
    columns.push(bits(&long, &DataType::Date64));
    columns.push(bits(&int, &DataType::Date32));
    columns.push(bits(&int, &DataType::Time32(TimeUnit::Second)));
    columns.push(bits(&int, &DataType::Time32(TimeUnit::Millisecond)));
    columns.push(bits(&long, &DataType::Time64(TimeUnit::Nanosecond)));
    columns.push(bits(&int, &DataType::Interval(IntervalUnit::YearMonth)));
    columns.push(bits(&int, &DataType::Decimal32(9, 2)));
    columns.push(bits(&long, &DataType::Decimal64(18, -2)));
    let wide = [0, 1, -1, i128::MIN, i128::MAX, 1 << 64, -(1 << 64), (1 << 64) + 1];
    let some = wide.into_iter().map(Some).chain([None]);
    let decimal = Decimal128Array::from_iter(some).with_precision_and_scale(38, 3);
    columns.push(Arc::new(decimal.expect("a decimal")));
    let wide = wide.map(i256::from_i128).into_iter().chain([i256::MIN, i256::MAX]);
    let decimal = Decimal256Array::from_iter(wide.map(Some).chain([None]));
    columns.push(Arc::new(decimal.with_precision_and_scale(76, 3).expect("a decimal")));
    columns
}

fn floats() -> Vec<ArrayRef> {
    let negative_nan = f64::from_bits(f64::NAN.to_bits() | 1 << 63);
    let all = [0.0, -0.0, 1.5, -1.5, f64::MIN, f64::MAX, f64::INFINITY, f64::NEG_INFINITY];
    let more = [f64::NAN, negative_nan, f64::MIN_POSITIVE, 5e-324, -5e-324];
    let all = all.into_iter().chain(more).map(Some).chain([None]);
    let double: ArrayRef = Arc::new(Float64Array::from_iter(all));
    let negative_nan = f32::from_bits(f32::NAN.to_bits() | 1 << 31);
    let all = [0.0, -0.0, 2.0, -2.0, 1e-45, f32::MAX, f32::NAN, negative_nan, f32::NEG_INFINITY];
    let float: ArrayRef =
        Arc::new(Float32Array::from_iter(all.map(Some).into_iter().chain([None])));
    let half = of(&float, &DataType::Float16);
    vec![double, float, half]
}

fn bytes() -> Vec<ArrayRef> {
    let long = "the same beginning of many bytes ".repeat(3);
    let words =
        ["", "a", "ab", "abcdefgh", "abcdefghi", "né", "\u{1F980}", "zzzzzzzz\0", "zzzzzzzz"];
    let mut words: Vec<Option<String>> = words.map(|word| Some(word.to_string())).into();
    words.extend([None, Some(long.clone()), Some(format!("{long}b")), Some(format!("{long}a"))]);
    words.push(Some(format!("{long}\u{10FFFF}")));
    let words: ArrayRef = Arc::new(StringArray::from(words));
    let raw: [&[u8]; 6] =
        [b"", b"\0", b"\0\0", b"\xff", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"\x80a"];
    let raw = raw.into_iter().map(Some).chain([None]);
    let raw: ArrayRef = Arc::new(BinaryArray::from_iter(raw));
    let fixed =
        [Some(*b"\0\0\0\0\0\0\0\0\0\0"), Some(*b"\0\0\0\0\0\0\0\0\0\x01"), None, Some([0xff; 10])];
    let fixed = FixedSizeBinaryArray::try_from_sparse_iter_with_size(fixed.into_iter(), 10);
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let mut columns: Vec<ArrayRef> = vec![Arc::new(fixed.expect("bytes"))];
    for to in [DataType::Utf8, DataType::LargeUtf8, DataType::Utf8View, dictionary] {
        columns.push(of(&words, &to));
    }
    for to in [DataType::Binary, DataType::LargeBinary, DataType::BinaryView] {
        columns.push(of(&raw, &to));
    }
    columns
}

/// A type in two of the four directions alone, in the other two with a second key.
async fn in_all_directions(columns: Vec<ArrayRef>) {
    for (at, column) in columns.into_iter().enumerate() {
        let both = Both::new(&picked(&[("k", Arc::clone(&column))], ROWS), 2);
        for (number, direction) in DIRECTIONS.into_iter().enumerate() {
            let (sql, keys) = match (at + number) % 2 {
                0 => (format!("SELECT k, id FROM t ORDER BY k {direction}"), 1),
                _ => (format!("SELECT k, id FROM t ORDER BY k {direction}, id DESC"), 2),
            };
            let seen = both.on_the_device(&sql, keys).await;
            let of = column.data_type();
            assert_eq!(seen.of_name("sorted_rows"), ROWS as usize, "{of}, {sql}: {seen:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_in_all_directions() {
    if has_gpu() {
        in_all_directions(numbers()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floats_in_all_directions() {
    if has_gpu() {
        in_all_directions(floats()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strings_in_all_directions() {
    if has_gpu() {
        in_all_directions(bytes()).await;
    }
}
