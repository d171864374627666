//! Keys and columns of every type, at their edges.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Decimal128Array, Decimal256Array, FixedSizeBinaryArray,
    Float32Array, Float64Array, Int8Array, Int16Array, Int64Array, LargeStringArray, StringArray,
    StringViewArray, UInt64Array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit, i256};

use crate::common::{Both, has_gpu, table};

const ROWS: usize = 400;

/// `values` over and over, every seventh a NULL.
fn repeated<T: Clone>(values: &[T], shift: usize) -> Vec<Option<T>> {
    (0..ROWS)
        .map(|row| (row % 7 != 3).then(|| values[(row + shift) % values.len()].clone()))
        .collect()
}

/// Columns of many types, whose values overlap between two `shift`s.
pub(crate) fn columns(shift: usize) -> Vec<(&'static str, ArrayRef)> {
    let longs = [0, -1, i64::MIN, i64::MAX, 7, 1 << 40, shift as i64 + 100];
    let doubles = [0.0, -0.0, f64::NAN, f64::INFINITY, f64::MIN, 1.5, shift as f64 + 0.25];
    let floats = doubles.map(|value| value as f32);
    let words = ["", "ä", "größe", "a much longer string than fits", "x\0y", "日本語"];
    let wide = [0, -1, i128::from(i64::MAX) * 1_000, -99_999_999_999_999_999_999, 5];
    let decimals = Decimal128Array::from(repeated(&wide, shift));
    let wider = wide.map(i256::from_i128);
    let wider = Decimal256Array::from(repeated(&wider, shift));
    let days: ArrayRef = Arc::new(Int64Array::from(repeated(&[0, -1, 19_000, 8], shift)));
    let as_type = |of: DataType| cast(&days, &of).expect("a cast");
    let bytes: [&[u8]; 3] = [b"abcd", b"\0\0\0\0", b"wxyz"];
    let fixed = repeated(&bytes, shift).into_iter();
    let fixed = FixedSizeBinaryArray::try_from_sparse_iter_with_size(fixed, 4).expect("four bytes");
    vec![
        ("long", Arc::new(Int64Array::from(repeated(&longs, shift)))),
        ("short", Arc::new(Int16Array::from(repeated(&[0, -1, i16::MIN, i16::MAX], shift)))),
        ("byte", Arc::new(Int8Array::from(repeated(&[0, -1, i8::MIN, i8::MAX], shift)))),
        ("unsigned", Arc::new(UInt64Array::from(repeated(&[0, 1, u64::MAX, 1 << 63], shift)))),
        ("bool", Arc::new(BooleanArray::from(repeated(&[true, false, true], shift)))),
        ("double", Arc::new(Float64Array::from(repeated(&doubles, shift)))),
        ("single", Arc::new(Float32Array::from(repeated(&floats, shift)))),
        ("word", Arc::new(StringArray::from(repeated(&words, shift)))),
        ("large", Arc::new(LargeStringArray::from(repeated(&words, shift)))),
        ("view", Arc::new(StringViewArray::from(repeated(&words, shift)))),
        ("binary", Arc::new(BinaryArray::from(repeated(&bytes, shift)))),
        ("fixed", Arc::new(fixed)),
        ("decimal", Arc::new(decimals.with_precision_and_scale(30, 2).expect("a decimal"))),
        ("wider", Arc::new(wider.with_precision_and_scale(60, 3).expect("a decimal"))),
        (
            "date",
            as_type(DataType::Int32).pipe(|days| cast(&days, &DataType::Date32).expect("a cast")),
        ),
        ("time", as_type(DataType::Timestamp(TimeUnit::Microsecond, None))),
    ]
}

trait Pipe: Sized {
    fn pipe<R>(self, f: impl FnOnce(Self) -> R) -> R {
        f(self)
    }
}

impl<T> Pipe for T {}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn join_keys_of_every_type() {
    if !has_gpu() {
        return;
    }
    let number =
        |rows: usize| -> ArrayRef { Arc::new(Int64Array::from_iter_values(0..rows as i64)) };
    let with = |mut columns: Vec<(&'static str, ArrayRef)>, name| {
        columns.push((name, number(ROWS)));
        table(&columns)
    };
    let both =
        Both::new(&[("l", with(columns(0), "a")), ("r", with(columns(1), "b"))], 250, 2).await;
    let names: Vec<&str> = columns(0).iter().map(|(name, _)| *name).collect();
    for name in &names {
        let sql = format!(
            "SELECT a % 50, count(*), sum(b) FROM l JOIN r ON l.{name} = r.{name} GROUP BY 1"
        );
        both.on_the_device(&sql, 1).await;
        let sql = format!("SELECT b FROM l RIGHT ANTI JOIN r ON l.{name} = r.{name}");
        both.on_the_device(&sql, 1).await;
    }
    for (one, two) in [("long", "word"), ("short", "byte"), ("decimal", "date"), ("double", "bool")]
    {
        let on = format!("l.{one} = r.{one} AND l.{two} = r.{two}");
        both.on_the_device(&format!("SELECT count(*), sum(a), sum(b) FROM l JOIN r ON {on}"), 1)
            .await;
    }
    // Each type on either side, with NULLs for what has no match.
    let both_sides: Vec<String> = names
        .iter()
        .flat_map(|name| [format!("l.{name} l_{name}"), format!("r.{name} r_{name}")])
        .collect();
    let of = both_sides.join(", ");
    let sql = format!("SELECT {of} FROM l FULL JOIN r ON l.a = r.b + 350");
    both.on_the_device(&sql, 1).await;
}
