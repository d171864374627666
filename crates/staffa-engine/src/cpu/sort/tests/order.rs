//! Order: types, options, fetch, ties, sizes.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::SortOptions;
use datafusion_execution::runtime_env::RuntimeEnv;

use super::data::{batches, plain};
use super::{check, context};

pub(super) const OPTIONS: [SortOptions; 4] = [
    SortOptions { descending: false, nulls_first: true },
    SortOptions { descending: false, nulls_first: false },
    SortOptions { descending: true, nulls_first: true },
    SortOptions { descending: true, nulls_first: false },
];

#[tokio::test]
async fn every_type_sorts_as_datafusion_does() {
    let context = context(Arc::new(RuntimeEnv::default()));
    let lanes = [batches(&[0, 1, 300, 17, 900], 1, 0), batches(&[256, 40], 2, 10_000)];
    let schema = lanes[0][0].schema();
    for field in schema.fields() {
        for options in OPTIONS {
            for fetch in [None, Some(0), Some(1), Some(7), Some(600), Some(5000)] {
                // With two lanes a top-K may keep either of two equal rows.
                let lanes = if fetch.is_some() { &lanes[..1] } else { &lanes[..] };
                check(lanes, &schema, &[(field.name(), options)], fetch, &context).await;
            }
        }
    }
}

#[tokio::test]
async fn several_keys_sort_as_datafusion_does() {
    let context = context(Arc::new(RuntimeEnv::default()));
    let lanes = [batches(&[700, 5, 700], 3, 0)];
    let schema = lanes[0][0].schema();
    let [a, b, c, d] = OPTIONS;
    for keys in [
        vec![("Boolean", a), ("Utf8", d)],
        vec![("Int8", d), ("UInt8", b), ("Float32", c)],
        vec![("Boolean", b), ("Int32", c)],
        vec![("Utf8View", c), ("Int64", a)],
        vec![("Dictionary", b), ("List", c), ("Float64", a)],
        vec![("Null", a), ("DayTime", c), ("MonthDayNano", b)],
        vec![("Null", b), ("DayTime", a), ("Decimal128(38, 2)", d)],
    ] {
        for fetch in [None, Some(3), Some(50), Some(1200)] {
            check(&lanes, &schema, &keys, fetch, &context).await;
        }
    }
}

#[tokio::test]
async fn many_rows_spread_over_buckets() {
    let context = context(Arc::new(RuntimeEnv::default()));
    let lanes = [
        plain(150_000, 8192, 5, 0),
        plain(1, 1, 6, 150_000),
        Vec::<RecordBatch>::new(),
        plain(120_000, 5000, 7, 150_001),
    ];
    let schema = lanes[0][0].schema();
    let [a, b, c, _] = OPTIONS;
    check(&lanes, &schema, &[("k", a)], None, &context).await;
    check(&lanes, &schema, &[("w", b), ("k", c)], None, &context).await;
    check(&lanes, &schema, &[("w", c)], None, &context).await;
    for fetch in [10, 2000, 100_000] {
        check(&lanes[..1], &schema, &[("k", c)], Some(fetch), &context).await;
        check(&lanes[..1], &schema, &[("w", b)], Some(fetch), &context).await;
    }
}

#[tokio::test]
async fn no_rows_at_all() {
    let context = context(Arc::new(RuntimeEnv::default()));
    let schema = plain(1, 1, 1, 0)[0].schema();
    for fetch in [None, Some(4)] {
        check(&[vec![], vec![]], &schema, &[("k", OPTIONS[0])], fetch, &context).await;
    }
}
