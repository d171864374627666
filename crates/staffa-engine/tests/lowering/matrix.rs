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
pub(crate) fn single(of: &DataType) -> RecordBatch {
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

pub(crate) fn timestamp(unit: TimeUnit) -> DataType {
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

pub(crate) fn times() -> Vec<DataType> {
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

pub(crate) fn texts() -> Vec<DataType> {
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
pub(crate) fn run(
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
pub(crate) struct Sum {
    pub(crate) agreed: usize,
    pub(crate) refused: usize,
    pub(crate) unplanned: usize,
    pub(crate) rows: usize,
    pub(crate) errors: usize,
    pub(crate) reruns: usize,
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
