//! Every operator and function over every type: what lowers, and that it agrees.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, Field, IntervalUnit, Schema, TimeUnit};

use crate::check::{Verdict, check, is_text, plan};
use crate::values;

/// Columns `a` and `b` with all pairs of the types' edge values.
pub(crate) fn batch_of(left: &DataType, right: &DataType) -> RecordBatch {
    let (a, b) = values::pairs(&values::of(left), &values::of(right));
    let schema = Schema::new(vec![
        Field::new("a", left.clone(), true),
        Field::new("b", right.clone(), true),
    ]);
    RecordBatch::try_new(Arc::new(schema), vec![a, b]).unwrap()
}

/// Columns `a` and `b` with the edge values in another order each.
fn single(of: &DataType) -> RecordBatch {
    let a = values::of(of);
    let order: Vec<u32> = (0..a.len() as u32).rev().collect();
    let b = values::rows(a.as_ref(), &order);
    let schema =
        Schema::new(vec![Field::new("a", of.clone(), true), Field::new("b", of.clone(), true)]);
    RecordBatch::try_new(Arc::new(schema), vec![a, b]).unwrap()
}

/// Checks SQL over a batch; with strings also as codes.
fn sql(sql: &str, batch: &RecordBatch) -> Option<Verdict> {
    let of = batch.schema().field(0).data_type().clone();
    let expr = plan(sql, batch.schema_ref()).ok()?;
    let what = format!("{sql} over {of}");
    let verdict = check(&what, &expr, batch, false);
    if is_text(&of) && verdict.refused.is_none() {
        check(&format!("{what}, as codes"), &expr, batch, true);
    }
    Some(verdict)
}

/// A cell of the printed matrix.
fn cell(verdict: Option<&Verdict>) -> String {
    match verdict {
        None => "-".into(),
        Some(Verdict { refused: Some(reason), .. }) => reason.code.to_string(),
        Some(v) if v.reruns > 0 => format!("ok, {} of {} rerun", v.reruns, v.rows),
        Some(v) if v.errors > 0 => format!("ok, {} err", v.errors),
        Some(_) => "ok".into(),
    }
}

fn print(title: &str, rows: &BTreeMap<String, Vec<(String, Option<Verdict>)>>) {
    println!("\n{title}");
    for (name, verdicts) in rows {
        let cells: Vec<String> =
            verdicts.iter().map(|(of, v)| format!("{of}: {}", cell(v.as_ref()))).collect();
        println!("  {name:<28} {}", cells.join(" | "));
    }
}

fn timestamp(unit: TimeUnit) -> DataType {
    DataType::Timestamp(unit, None)
}

fn utc(unit: TimeUnit) -> DataType {
    DataType::Timestamp(unit, Some("UTC".into()))
}

fn numbers() -> Vec<DataType> {
    vec![
        DataType::Int8,
        DataType::Int16,
        DataType::Int32,
        DataType::Int64,
        DataType::UInt8,
        DataType::UInt16,
        DataType::UInt32,
        DataType::UInt64,
        DataType::Float32,
        DataType::Float64,
        DataType::Decimal128(12, 2),
        DataType::Decimal128(38, 10),
        DataType::Decimal128(7, 0),
    ]
}

fn times() -> Vec<DataType> {
    vec![
        DataType::Date32,
        DataType::Date64,
        timestamp(TimeUnit::Second),
        timestamp(TimeUnit::Millisecond),
        timestamp(TimeUnit::Microsecond),
        timestamp(TimeUnit::Nanosecond),
        utc(TimeUnit::Microsecond),
        utc(TimeUnit::Nanosecond),
        DataType::Time32(TimeUnit::Second),
        DataType::Time32(TimeUnit::Millisecond),
        DataType::Time64(TimeUnit::Microsecond),
        DataType::Time64(TimeUnit::Nanosecond),
        DataType::Duration(TimeUnit::Millisecond),
    ]
}

fn texts() -> Vec<DataType> {
    let key = Box::new(DataType::Int32);
    vec![
        DataType::Utf8,
        DataType::LargeUtf8,
        DataType::Utf8View,
        DataType::Binary,
        DataType::Dictionary(key, Box::new(DataType::Utf8)),
    ]
}

fn everything() -> Vec<DataType> {
    let mut all = vec![DataType::Boolean];
    all.extend(numbers());
    all.extend(times());
    all.extend(texts());
    all.push(DataType::Interval(IntervalUnit::MonthDayNano));
    all
}

/// Runs each SQL text over each type, prints, and counts the rows that were rerun without need.
fn run(
    title: &str,
    texts: &[&str],
    types: &[DataType],
    batch: impl Fn(&DataType) -> RecordBatch,
) -> Sum {
    let mut rows = BTreeMap::new();
    let mut sum = Sum::default();
    for text in texts {
        let mut verdicts = Vec::new();
        for of in types {
            let verdict = sql(text, &batch(of));
            sum.add(verdict.as_ref());
            verdicts.push((of.to_string(), verdict));
        }
        rows.insert((*text).to_owned(), verdicts);
    }
    print(title, &rows);
    println!("  {sum:?}");
    sum
}

/// What became of a matrix.
#[derive(Debug, Default)]
struct Sum {
    agreed: usize,
    refused: usize,
    unplanned: usize,
    rows: usize,
    errors: usize,
    reruns: usize,
}

impl Sum {
    fn add(&mut self, verdict: Option<&Verdict>) {
        match verdict {
            None => self.unplanned += 1,
            Some(Verdict { refused: Some(_), .. }) => self.refused += 1,
            Some(v) => {
                self.agreed += 1;
                self.rows += v.rows;
                self.errors += v.errors;
                self.reruns += v.reruns;
            }
        }
    }
}

#[test]
fn comparisons() {
    let all = everything();
    let texts = [
        "a = b",
        "a <> b",
        "a < b",
        "a <= b",
        "a > b",
        "a >= b",
        "a IS DISTINCT FROM b",
        "a IS NOT DISTINCT FROM b",
        "a BETWEEN b AND a",
        "a IS NULL",
        "a IS NOT NULL",
        "nullif(a, b)",
        "coalesce(a, b)",
        "nvl(a, b)",
        "nvl2(a, b, a)",
        "CASE WHEN a < b THEN a ELSE b END",
        "CASE a WHEN b THEN 1 ELSE 2 END",
        "greatest(a, b)",
        "least(a, b)",
        "a IN (b, a)",
    ];
    let sum = run("comparisons", &texts, &all, |of| batch_of(of, of));
    assert_eq!(sum.reruns, 0, "no comparison is left to the host");
    assert_eq!(sum.errors, 0, "no comparison errs");
}

#[test]
fn arithmetic() {
    let texts = [
        "a + b",
        "a - b",
        "a * b",
        "a / b",
        "a % b",
        "a & b",
        "a | b",
        "a # b",
        "-a",
        "abs(a)",
        "a << 3",
        "a >> 3",
        "a << 70",
        "a >> 33",
        "a + 1",
        "2 * a",
        "a % 7",
        "a / 3",
        "a IN (1, 7, NULL)",
        "a IN (0, 1)",
        "CASE a WHEN 0 THEN 1 WHEN 1 THEN 2 END",
        "floor(a)",
        "ceil(a)",
        "round(a)",
        "round(a, 2)",
        "round(a, -1)",
        "isnan(a)",
        "nanvl(a, b)",
        "a < 0",
        "a = 0",
        "a >= 0.0",
        "to_timestamp_seconds(a)",
        "to_timestamp_nanos(a)",
        "CAST(a AS DOUBLE) <= 0",
        "a NOT IN (1, 7)",
        "a BETWEEN 1 AND 100",
    ];
    let mut types = numbers();
    types.extend([DataType::Date32, DataType::Date64, timestamp(TimeUnit::Second)]);
    types.extend([timestamp(TimeUnit::Nanosecond), DataType::Duration(TimeUnit::Millisecond)]);
    let sum = run("arithmetic", &texts, &types, |of| batch_of(of, of));
    // Dates plus days outside of the years 1 to 9999 are the host's.
    assert!(sum.reruns * 500 <= sum.rows, "{sum:?}");
    assert!(sum.errors > 0);
    assert!(sum.agreed >= 250, "{sum:?}");
}

#[test]
fn decimals_of_different_scales() {
    let types = [
        DataType::Decimal128(12, 2),
        DataType::Decimal128(15, 2),
        DataType::Decimal128(38, 0),
        DataType::Decimal128(38, 38),
        DataType::Decimal128(20, 10),
        DataType::Decimal128(5, 5),
    ];
    let texts =
        ["a + b", "a - b", "a * b", "a / b", "a % b", "a < b", "a * (1 - b)", "nullif(a, b)"];
    for left in &types {
        let sum = run(&format!("{left} with"), &texts, &types, |right| batch_of(left, right));
        assert_eq!(sum.reruns, 0);
    }
}

#[test]
fn logic() {
    let texts = [
        "a AND b",
        "a OR b",
        "NOT a",
        "a IS TRUE",
        "a IS FALSE",
        "a IS UNKNOWN",
        "a IS NOT TRUE",
        "a IS NOT FALSE",
        "a IS NOT UNKNOWN",
        "a AND NOT b OR b AND NOT a",
        "a = b",
        "a IN (b, true)",
        "CASE WHEN a THEN 1 WHEN b THEN 2 END",
        "CASE WHEN a THEN b ELSE NOT b END",
        "coalesce(a, b)",
    ];
    let sum = run("logic", &texts, &[DataType::Boolean], |of| batch_of(of, of));
    assert_eq!((sum.reruns, sum.refused, sum.unplanned), (0, 0, 0));
}

#[test]
fn casts() {
    let mut rows = BTreeMap::new();
    let mut sum = Sum::default();
    let mut names: Vec<&str> = vec![
        "TINYINT",
        "SMALLINT",
        "INT",
        "BIGINT",
        "TINYINT UNSIGNED",
        "SMALLINT UNSIGNED",
        "INT UNSIGNED",
        "BIGINT UNSIGNED",
        "FLOAT",
        "DOUBLE",
        "BOOLEAN",
        "DECIMAL(12,2)",
        "DECIMAL(38,10)",
        "DECIMAL(5,0)",
        "DATE",
        "TIMESTAMP",
        "TIMESTAMP(0)",
        "TIMESTAMP(6)",
        "TIME",
        "VARCHAR",
    ];
    names.sort_unstable();
    for from in everything() {
        let batch = single(&from);
        let mut verdicts = Vec::new();
        for to in &names {
            for cast in ["CAST", "TRY_CAST"] {
                let verdict = sql(&format!("{cast}(a AS {to})"), &batch);
                sum.add(verdict.as_ref());
                let name = if cast == "CAST" { (*to).to_owned() } else { format!("try {to}") };
                verdicts.push((name, verdict));
            }
        }
        rows.insert(from.to_string(), verdicts);
    }
    print("casts", &rows);
    println!("  {sum:?}");
    assert!(sum.agreed >= 300, "{sum:?}");
    assert!(sum.reruns * 100 <= sum.rows, "{sum:?}");
}

#[test]
fn arrow_casts() {
    // Types that SQL has no name for.
    let to = [
        "Date64",
        "Time32(Second)",
        "Time32(Millisecond)",
        "Time64(Microsecond)",
        "Time64(Nanosecond)",
        "Duration(Second)",
        "Duration(Nanosecond)",
        "Timestamp(Millisecond, None)",
        "Timestamp(Microsecond, Some(\"UTC\"))",
        "Timestamp(Second, Some(\"Europe/Paris\"))",
        "LargeUtf8",
        "Utf8View",
        "Binary",
        "Float16",
        "Interval(MonthDayNano)",
    ];
    let texts: Vec<String> = to.iter().map(|to| format!("arrow_cast(a, '{to}')")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let sum = run("arrow casts", &texts, &everything(), single);
    assert!(sum.reruns * 100 <= sum.rows, "{sum:?}");
}

#[test]
fn dates() {
    let mut texts: Vec<String> = [
        "year",
        "quarter",
        "month",
        "week",
        "day",
        "doy",
        "dow",
        "isodow",
        "isoyear",
        "hour",
        "minute",
        "second",
        "millisecond",
        "microsecond",
        "nanosecond",
        "epoch",
    ]
    .map(|part| format!("date_part('{part}', a)"))
    .to_vec();
    texts.extend(
        [
            "year",
            "quarter",
            "month",
            "week",
            "day",
            "hour",
            "minute",
            "second",
            "millisecond",
            "microsecond",
        ]
        .map(|part| format!("date_trunc('{part}', a)")),
    );
    texts.extend(
        [
            "a + INTERVAL '1' MONTH",
            "a - INTERVAL '3' MONTH",
            "a + INTERVAL '1 year 2 days 3 hours'",
            "a - INTERVAL '90 days'",
            "a + INTERVAL '1.5 seconds'",
            "a - INTERVAL '1 nanosecond'",
            "extract(year from a) * 100 + extract(month from a)",
        ]
        .map(str::to_owned),
    );
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let sum = run("dates and times", &texts, &times(), single);
    // The years 1 to 9999, and 1680 to 2260 where DataFusion counts nanoseconds: the rest is the host's.
    assert!(sum.reruns * 4 <= sum.rows, "{sum:?}");
    assert!(sum.agreed >= 200, "{sum:?}");
}

#[test]
fn intervals_of_columns() {
    let interval = DataType::Interval(IntervalUnit::MonthDayNano);
    let types =
        [DataType::Date32, timestamp(TimeUnit::Microsecond), timestamp(TimeUnit::Nanosecond)];
    let sum = run("plus a column", &["a + b", "a - b"], &types, |of| batch_of(of, &interval));
    assert_eq!((sum.refused, sum.unplanned), (0, 0));
    assert!(sum.reruns * 4 <= sum.rows, "{sum:?}");
}

#[test]
fn strings_of_columns() {
    let texts = [
        "a || b",
        "concat(a, b)",
        "concat(a, '-', b)",
        "starts_with(a, b)",
        "ends_with(a, b)",
        "contains(a, b)",
        "a = b",
        "a < b",
        "a >= b",
        "nullif(a, b)",
        "coalesce(a, b)",
        "greatest(a, b)",
        "substr(a, character_length(b))",
        "CASE WHEN a < b THEN a ELSE b || a END",
    ];
    let sum = run("strings", &texts, &self::texts(), |of| batch_of(of, of));
    assert!(sum.reruns * 20 <= sum.rows, "{sum:?}");
}

#[test]
fn strings() {
    let mut texts: Vec<String> = [
        "a%",
        "%a",
        "%a%",
        "a_b",
        "a\\%b",
        "%b%d%",
        "",
        "%",
        "_",
        "__",
        "%é%",
        "%日_語%",
        "a%b%c%d%e",
        "%ö%",
        "special%slyly",
        "a\\\\b",
        "ABC%",
    ]
    .iter()
    .flat_map(|pattern| ["LIKE", "NOT LIKE", "ILIKE"].map(|like| format!("a {like} '{pattern}'")))
    .collect();
    texts.extend(
        [
            "character_length(a)",
            "octet_length(a)",
            "bit_length(a)",
            "upper(a)",
            "lower(a)",
            "btrim(a)",
            "ltrim(a)",
            "rtrim(a)",
            "btrim(a, 'ab')",
            "ltrim(a, 'a')",
            "rtrim(a, 'eé')",
            "trim(a)",
            "substr(a, 2)",
            "substr(a, 1, 2)",
            "substr(a, 0)",
            "substr(a, -2, 4)",
            "substr(a, 3, 100)",
            "left(a, 2)",
            "left(a, -2)",
            "left(a, 0)",
            "right(a, 2)",
            "right(a, -2)",
            "right(a, 0)",
            "right(a, 100)",
            "a = 'abc'",
            "a < 'b'",
            "'abcdefgh' <= a",
            "a IN ('a', 'abc', 'héllo')",
            "a NOT IN ('a', NULL)",
            "a IN ('a', 'b') OR a IS NULL",
            "a LIKE 'a%' AND a LIKE '%b'",
            "starts_with(a, 'ab')",
            "ends_with(a, 'é')",
            "contains(a, 'b')",
            "upper(a) = 'ABC'",
            "substr(a, 1, 1) IN ('a', 'h')",
            "character_length(a) > 3 AND a <> 'abcd'",
            "a || '!'",
            "'<' || a || '>'",
            "concat(a, NULL, 'x')",
            "CASE WHEN a = 'a' THEN 'one' WHEN a LIKE 'ab%' THEN a END",
            "coalesce(a, 'none')",
            "nullif(a, '')",
            "a IS NULL",
            "CASE a WHEN 'a' THEN 1 WHEN 'b' THEN 2 ELSE 3 END",
            "substr(a, 1, -1)",
            "a IS DISTINCT FROM 'a'",
        ]
        .map(str::to_owned),
    );
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let sum = run("strings with constants", &texts, &self::texts(), single);
    // Upper, lower and ILIKE of letters beyond ASCII are the host's.
    assert!(sum.reruns * 10 <= sum.rows, "{sum:?}");
    assert!(sum.agreed >= 250, "{sum:?}");
}

#[test]
fn shapes_of_batches() {
    let texts = ["a + b", "a < b", "CASE WHEN a < b THEN a END", "coalesce(a, b)"];
    for of in [DataType::Int32, DataType::Decimal128(12, 2), DataType::Float64] {
        let whole = batch_of(&of, &of);
        let nulls = RecordBatch::try_new(
            whole.schema(),
            vec![arrow::array::new_null_array(&of, 40), arrow::array::new_null_array(&of, 40)],
        )
        .unwrap();
        let middle = whole.num_rows() / 2;
        let valid: Vec<u32> = (0..whole.num_rows() as u32)
            .filter(|r| whole.columns().iter().all(|c| c.is_valid(*r as usize)))
            .collect();
        let valid = RecordBatch::try_new(
            whole.schema(),
            whole.columns().iter().map(|c| values::rows(c.as_ref(), &valid)).collect(),
        )
        .unwrap();
        for batch in [whole.slice(0, 0), whole.slice(3, 1), whole.slice(middle, 37), nulls, valid] {
            for text in texts {
                assert!(sql(text, &batch).unwrap().refused.is_none());
            }
        }
    }
}
