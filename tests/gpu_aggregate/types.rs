//! Types of keys and values, with the values at their edges.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array,
    FixedSizeBinaryArray, Float32Array, Float64Array, Int8Array, Int16Array, Int32Array,
    Int64Array, LargeStringArray, RecordBatch, StringArray, TimestampMicrosecondArray, UInt8Array,
    UInt16Array, UInt32Array, UInt64Array,
};
use arrow::datatypes::i256;

use crate::common::{Both, has_gpu, run};

const ROWS: usize = 3_000;

/// The number of a row's value among `count`, and none for every sixth row or so.
fn pick(row: usize, count: usize, salt: usize) -> Option<usize> {
    let mixed = (row + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_usize).rotate_left(17) ^ (salt * 7919);
    (!mixed.is_multiple_of(6)).then(|| mixed / 6 % count)
}

/// A value of each row, from a list.
fn picked<T: Clone>(values: &[T], salt: usize) -> Vec<Option<T>> {
    (0..ROWS).map(|row| pick(row, values.len(), salt).map(|at| values[at].clone())).collect()
}

macro_rules! column {
    ($array:ident, $salt:expr, $($value:expr),+) => {
        Arc::new($array::from(picked(&[$($value),+], $salt))) as ArrayRef
    };
}

const TEXTS: [&str; 7] =
    ["", "a", "Zürich", "日本語テキスト", "twelve bytes", "thirteen byte", "twelve byte\u{e9}"];

/// A column of each type that is grouped by, edge values and NULLs among them.
fn keys() -> Vec<(&'static str, ArrayRef)> {
    let texts = TEXTS.map(String::from);
    let bytes: Vec<Option<&[u8]>> =
        picked(&[&b""[..], b"\0", b"\0\0", b"\xff\xfe", b"0123456789abcdef"], 17);
    let fixed = picked(&[[0_u8; 16], [255; 16], [7; 16]], 18);
    let fixed = FixedSizeBinaryArray::try_from_sparse_iter_with_size(
        fixed.iter().map(|value| value.as_ref().map(<[u8; 16]>::as_slice)),
        16,
    )
    .expect("fixed");
    let wide = Decimal128Array::from(picked(&[0, -1, i128::MAX / 10, i128::MIN / 10, 1 << 70], 13))
        .with_precision_and_scale(38, 4)
        .expect("a decimal");
    let narrow = Decimal128Array::from(picked(&[0, -1, 99_999, -99_999], 14))
        .with_precision_and_scale(5, 2)
        .expect("a decimal");
    let nan = f64::from_bits(0x7ff8_0000_0000_0001);
    vec![
        ("i8", column!(Int8Array, 1, 0_i8, -1, i8::MIN, i8::MAX)),
        ("i16", column!(Int16Array, 2, 0_i16, -1, i16::MIN, i16::MAX)),
        ("i32", column!(Int32Array, 3, 0_i32, -1, i32::MIN, i32::MAX)),
        ("i64", column!(Int64Array, 4, 0_i64, -1, i64::MIN, i64::MAX, 1 << 32)),
        ("u8", column!(UInt8Array, 5, 0_u8, 1, u8::MAX)),
        ("u16", column!(UInt16Array, 6, 0_u16, 1, u16::MAX)),
        ("u32", column!(UInt32Array, 7, 0_u32, 1, u32::MAX)),
        ("u64", column!(UInt64Array, 8, 0_u64, 1, u64::MAX)),
        ("f32", column!(Float32Array, 9, 0.0_f32, -0.0, f32::NAN, f32::INFINITY, f32::MIN)),
        ("f64", column!(Float64Array, 10, 0.0, -0.0, f64::NAN, nan, f64::NEG_INFINITY)),
        ("flag", column!(BooleanArray, 11, true, false)),
        ("day", column!(Date32Array, 12, 0, -1, i32::MAX, 20_000)),
        ("wide", Arc::new(wide)),
        ("narrow", Arc::new(narrow)),
        ("at", column!(TimestampMicrosecondArray, 15, 0_i64, -1, i64::MAX)),
        ("text", Arc::new(StringArray::from(picked(&texts, 16)))),
        ("large", Arc::new(LargeStringArray::from(picked(&texts, 19)))),
        ("bytes", Arc::new(BinaryArray::from(bytes))),
        ("fixed", Arc::new(fixed)),
    ]
}

/// A column of each type that is aggregated, without NaNs.
fn values() -> Vec<(&'static str, ArrayRef)> {
    let texts = TEXTS.map(String::from);
    let wide = Decimal128Array::from(picked(&[0, -1, i128::MAX / 10, i128::MIN / 10, 1 << 70], 33))
        .with_precision_and_scale(38, 4)
        .expect("a decimal");
    let money = Decimal128Array::from(picked(&[0, -1, 99_999, -99_999], 34))
        .with_precision_and_scale(15, 2)
        .expect("a decimal");
    let widest = [i256::ZERO, i256::MINUS_ONE, i256::from_i128(i128::MAX), i256::from_i128(5)];
    let widest = Decimal256Array::from(picked(&widest, 35))
        .with_precision_and_scale(60, 3)
        .expect("a decimal");
    vec![
        ("i8", column!(Int8Array, 21, 0_i8, -1, i8::MIN, i8::MAX)),
        ("i16", column!(Int16Array, 22, 0_i16, -1, i16::MIN, i16::MAX)),
        ("i32", column!(Int32Array, 23, 0_i32, -1, i32::MIN, i32::MAX)),
        ("i64", column!(Int64Array, 24, 0_i64, -1, i64::MIN, i64::MAX, 1 << 32)),
        ("u8", column!(UInt8Array, 25, 0_u8, 1, u8::MAX)),
        ("u16", column!(UInt16Array, 26, 0_u16, 1, u16::MAX)),
        ("u32", column!(UInt32Array, 27, 0_u32, 1, u32::MAX)),
        ("u64", column!(UInt64Array, 28, 0_u64, 1, u64::MAX)),
        // Sums of these are exact.
        ("f32", column!(Float32Array, 29, 0.0_f32, -1.5, 4096.25)),
        ("f64", column!(Float64Array, 30, 0.0, -1.5, 1048576.125)),
        ("flag", column!(BooleanArray, 31, true, false, true)),
        ("day", column!(Date32Array, 32, 0, -1, i32::MAX, 20_000)),
        ("wide", Arc::new(wide)),
        ("money", Arc::new(money)),
        ("widest", Arc::new(widest)),
        ("at", column!(TimestampMicrosecondArray, 36, 0_i64, -1, i64::MAX)),
        ("text", Arc::new(StringArray::from(picked(&texts, 37)))),
    ]
}

/// The column that keeps plans from being answered by statistics.
fn number() -> (&'static str, ArrayRef) {
    ("n", Arc::new(Int64Array::from_iter_values(0..ROWS as i64)))
}

fn batch(columns: Vec<(&'static str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )
    .expect("a batch")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_every_type() {
    if !has_gpu() {
        return;
    }
    let columns: Vec<_> = keys().into_iter().chain([number()]).collect();
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).filter(|n| *n != "n").collect();
    let both = Both::new(&batch(columns), 1_000, 2).await;
    for key in &names {
        // Plain, behind a filter that drops rows, and with nothing to add up.
        for sql in [
            format!("SELECT {key}, count(*), sum(n), min(n), max(n) FROM t GROUP BY {key}"),
            format!("SELECT {key}, count(*), max(n) FROM t WHERE n % 3 = 1 GROUP BY {key}"),
            format!("SELECT DISTINCT {key} FROM t"),
        ] {
            both.on_the_device(&sql).await;
        }
    }
    for keys in names.windows(3) {
        let keys = keys.join(", ");
        both.on_the_device(&format!("SELECT {keys}, count(*), sum(n) FROM t GROUP BY {keys}"))
            .await;
    }
    // Computed ones.
    for key in ["n % 7", "text || 'x'", "substr(large, 2)", "n % 2 = 0", "i32 IS NULL"] {
        both.on_the_device(&format!("SELECT {key}, count(*), sum(n) FROM t GROUP BY {key}")).await;
    }
    // The best groups, of which the device keeps all.
    let best = "SELECT i32, max(n) AS v FROM t GROUP BY i32 ORDER BY v DESC LIMIT 3";
    both.on_the_device(best).await;
}

/// The functions that a column takes, by its name.
fn functions(name: &str) -> Vec<String> {
    let mut functions = vec!["count", "min", "max"];
    match name {
        "flag" => functions.extend(["bool_and", "bool_or"]),
        "day" | "at" | "text" => {}
        "f32" | "f64" | "money" => functions.extend(["sum", "avg"]),
        // The average of a decimal of 38 digits is summed up in 256 bits.
        "wide" => functions.push("sum"),
        "widest" => functions.extend(["sum", "avg"]),
        _ => functions.extend(["sum", "avg", "bit_and", "bit_or", "bit_xor"]),
    }
    functions.into_iter().map(String::from).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn functions_of_every_type() {
    if !has_gpu() {
        return;
    }
    let key: ArrayRef = Arc::new(Int32Array::from_iter((0..ROWS).map(|row| Some(row as i32 % 11))));
    let word = picked(&["red", "green", "blue"], 41);
    let word: ArrayRef = Arc::new(StringArray::from(word));
    let mut columns = values();
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    columns.extend([("k", key), ("word", word), number()]);
    let both = Both::new(&batch(columns), 1_000, 2).await;
    for name in &names {
        let calls: Vec<String> = functions(name).iter().map(|f| format!("{f}({name})")).collect();
        let filtered: Vec<String> =
            calls.iter().map(|call| format!("{call} FILTER (WHERE n % 5 < 2)")).collect();
        let (calls, filtered) = (calls.join(", "), filtered.join(", "));
        // Values of a group that are all NULL, or all filtered out, are among these.
        for sql in [
            format!("SELECT k, {calls} FROM t GROUP BY k"),
            format!("SELECT word, {calls}, count(*) FROM t GROUP BY word"),
            format!("SELECT k, {filtered} FROM t GROUP BY k"),
            format!("SELECT n, {calls} FROM t WHERE n < 500 GROUP BY n"),
        ] {
            // A column of 256 bits passes only where no row is dropped.
            if *name == "widest" && sql.contains("WHERE n <") {
                continue;
            }
            both.on_the_device(&sql).await;
        }
        if !["f32", "f64", "widest"].contains(name) {
            both.on_the_device(&format!("SELECT {calls} FROM t WHERE n % 3 <> 1")).await;
            both.on_the_device(&format!("SELECT {filtered} FROM t WHERE n >= 0")).await;
        }
    }
    for sql in [
        "SELECT count(f64), sum(f64), avg(f32) FROM t WHERE n >= 10",
        "SELECT k, sum(n * 2 + k), avg(n + 1), count(n + i32) FROM t GROUP BY k",
        "SELECT k, max(substr(text, 2)), min(text || word) FROM t GROUP BY k",
        "SELECT k, sum(n) FILTER (WHERE flag), count(*) FILTER (WHERE flag IS NULL) FROM t GROUP BY k",
        "SELECT k, avg(money) AS a FROM t GROUP BY k HAVING avg(money) > 0 ORDER BY a, k",
    ] {
        both.on_the_device(sql).await;
    }
}

/// Least and greatest floats where a NaN stands: which value follows one depends on the order of rows, so the
/// CPU does them, in DataFusion's order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nan_is_datafusions() {
    if !has_gpu() {
        return;
    }
    let values = picked(&[1.0, f64::NAN, -5.0, f64::INFINITY, 7.5], 3);
    let values: ArrayRef = Arc::new(Float64Array::from(values));
    let key: ArrayRef = Arc::new(Int64Array::from_iter_values((0..ROWS as i64).map(|r| r % 40)));
    let both = Both::new(&batch(vec![("k", key), ("v", values), number()]), 1_000, 1).await;
    // One lane, so that there is an order.
    run(&both.ours, "SET staffa.threads = 1").await;
    for function in ["min", "max"] {
        let seen = both.equal(&format!("SELECT k, {function}(v) FROM t GROUP BY k")).await;
        assert!(seen.aggregates_on_gpu > 0 && seen.of_name("grouped_morsels") > 0, "{seen:?}");
        assert!(seen.of_name("ungrouped_morsels") > 0, "{seen:?}");
    }
    // Sums and counts take NaNs as they are; infinities alone are no NaN.
    both.on_the_device("SELECT k, count(v), sum(v), avg(v) FROM t GROUP BY k").await;
    both.on_the_device("SELECT k, min(v), max(v) FROM t WHERE v > 1 AND v < 1e9 GROUP BY k").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_rows_and_one() {
    if !has_gpu() {
        return;
    }
    let nothing: ArrayRef = Arc::new(Int64Array::from(vec![None; ROWS]));
    let columns = vec![("none", nothing), number()];
    let both = Both::new(&batch(columns), 1_000, 2).await;
    let all = "count(*), count(none), sum(none), avg(none), min(none), max(none)";
    // Rows that statistics do not rule out.
    let no_row = "n % 10 = 11";
    for (sql, grouped) in [
        (format!("SELECT {all} FROM t WHERE {no_row}"), 0),
        (format!("SELECT n, {all} FROM t WHERE {no_row} GROUP BY n"), 0),
        (format!("SELECT {all} FROM t WHERE n % 3000 = 17"), 1),
        (format!("SELECT n, {all} FROM t WHERE n % 3000 = 17 GROUP BY n"), 1),
        (format!("SELECT none, {all} FROM t GROUP BY none"), 3),
        (format!("SELECT {all} FROM t WHERE n >= 0"), 3),
    ] {
        let seen = both.equal(&sql).await;
        assert!(seen.aggregates_on_gpu > 0, "{sql}: {}", seen.plan);
        assert_eq!(seen.of_name("grouped_morsels"), grouped, "{sql}: {seen:?}");
        assert!(seen.of_name("morsels") > 0, "{sql}: {seen:?}");
        assert_eq!(seen.of_name("failed_morsels"), 0, "{sql}: {seen:?}");
    }
}
