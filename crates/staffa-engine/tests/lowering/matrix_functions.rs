//! Functions of dates, times and strings over every type that has them.

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};

use crate::matrix::{batch_of, run, single, texts as text_types, times, timestamp};

/// Every part, and every granularity, of `a`.
fn parts() -> Vec<String> {
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
    texts
}

#[test]
fn dates() {
    let mut texts = parts();
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

/// Zones that are an offset have their fields and beginnings by arithmetic; others are the host's.
#[test]
fn fixed_offsets() {
    let zoned = |unit, zone: &str| DataType::Timestamp(unit, Some(zone.into()));
    let types = [
        zoned(TimeUnit::Second, "+14"),
        zoned(TimeUnit::Millisecond, "-0930"),
        zoned(TimeUnit::Microsecond, "+05:30"),
        zoned(TimeUnit::Nanosecond, "-08:00"),
    ];
    let texts = parts();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let sum = run("fixed offsets", &texts, &types, single);
    assert_eq!((sum.refused, sum.unplanned), (0, 0), "{sum:?}");
    assert!(sum.reruns * 3 <= sum.rows && sum.agreed >= 100, "{sum:?}");
    let sum = run("a zone", &texts, &[zoned(TimeUnit::Microsecond, "Europe/Oslo")], single);
    assert!(sum.refused >= 20, "{sum:?}");
}

#[test]
fn bins() {
    let mut texts: Vec<String> = [
        "1 nanosecond",
        "7 nanoseconds",
        "15 milliseconds",
        "1.5 seconds",
        "15 minutes",
        "23 hours 59 minutes",
    ]
    .map(|stride| format!("date_bin(INTERVAL '{stride}', a)"))
    .to_vec();
    let times: Vec<DataType> = times()
        .into_iter()
        .filter(|of| !matches!(of, DataType::Date32 | DataType::Date64))
        .collect();
    let of_times = texts.clone();
    texts.extend(
        ["1 day", "7 days 3 hours", "36500 days"]
            .map(|stride| format!("date_bin(INTERVAL '{stride}', a)")),
    );
    for origin in ["1970-01-01T00:00:00.000000007Z", "2001-02-03T04:05:06Z", "1700-01-01T00:00:00Z"]
    {
        texts.push(format!("date_bin(INTERVAL '15 minutes', a, TIMESTAMP '{origin}')"));
    }
    let stamps: Vec<DataType> =
        times.iter().filter(|of| matches!(of, DataType::Timestamp(_, _))).cloned().collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let sum = run("bins", &texts, &stamps, single);
    assert_eq!((sum.refused, sum.unplanned), (0, 0), "{sum:?}");
    assert!(sum.reruns * 20 <= sum.rows && sum.agreed >= 60, "{sum:?}");
    let of_times: Vec<&str> = of_times.iter().map(String::as_str).collect();
    let clocks: Vec<DataType> = times
        .into_iter()
        .filter(|of| matches!(of, DataType::Time32(_) | DataType::Time64(_)))
        .collect();
    let sum = run("bins of a day", &of_times, &clocks, single);
    assert_eq!((sum.refused, sum.unplanned), (0, 0), "{sum:?}");
    assert!(sum.reruns * 20 <= sum.rows && sum.agreed >= 20, "{sum:?}");
    let left = ["date_bin(INTERVAL '1 month', a)", "date_bin(INTERVAL '-1 hour', a)"];
    let sum = run("no bins", &left, &stamps, single);
    assert_eq!(sum.agreed, 0, "{sum:?}");
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
