//! Functions of dates, times and strings over every type that has them.

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};

use crate::matrix::{batch_of, run, single, texts as text_types, times, timestamp};

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
    let sum = run("strings", &texts, &text_types(), |of| batch_of(of, of));
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
    let sum = run("strings with constants", &texts, &text_types(), single);
    // Upper, lower and ILIKE of letters beyond ASCII are the host's.
    assert!(sum.reruns * 10 <= sum.rows, "{sum:?}");
    assert!(sum.agreed >= 250, "{sum:?}");
}
