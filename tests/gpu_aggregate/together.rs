//! The lanes' groups meet on the device: each group comes out once, and nothing is left to merge on the host.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
};
use staffa::{Place, report};

use crate::common::{Both, has_gpu, run, text};

const ROWS: i64 = 4_000;
const FILES: i64 = 6;

/// Rows of one file: all keys in each file, some values NULL.
fn table(file: i64) -> RecordBatch {
    let rows = || (0..ROWS).map(move |row| row * FILES + file);
    let some = |row: i64| (row % 11 != 3).then_some(row);
    let key = Int64Array::from_iter(rows().map(|row| some(row).map(|row| row * 7_919 % 501)));
    let word = rows().map(|row| some(row / 5).map(|row| format!("Straße {}", row % 37)));
    let price = rows().map(|row| some(row).map(|row| i128::from(row) * 1_000_003 - 5_000));
    let price = Decimal128Array::from_iter(price).with_precision_and_scale(20, 2);
    let half = rows().map(|row| some(row).map(|row| row as f64 * 0.25));
    let columns: [(&str, ArrayRef); 6] = [
        ("k", Arc::new(key)),
        ("w", Arc::new(StringArray::from_iter(word))),
        ("v", Arc::new(Int64Array::from_iter(rows().map(some)))),
        ("p", Arc::new(price.expect("a decimal"))),
        ("f", Arc::new(Float64Array::from_iter(half))),
        ("b", Arc::new(BooleanArray::from_iter(rows().map(|row| some(row).map(|r| r % 3 == 0))))),
    ];
    RecordBatch::try_from_iter(columns).expect("a batch")
}

async fn both(files: i64, partitions: usize) -> Both {
    let tables: Vec<_> = (0..files).map(table).collect();
    let both = Both::with_files(&tables, 2_000, partitions).await;
    // Any node that is not on the device is an error.
    run(&both.ours, "SET staffa.on_unsupported = error").await;
    both
}

const FUNCTIONS: &str = "count(*), count(v), sum(v), sum(p), avg(p), avg(v), min(p), max(w), min(f), max(f), sum(f), \
    bool_and(b), bool_or(b), bit_xor(v), bit_and(v), bit_or(v), count(v) FILTER (WHERE b)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_group_comes_out_once() {
    if !has_gpu() {
        return;
    }
    for (files, partitions) in [(FILES, 2), (FILES, 8), (1, 8)] {
        let both = both(files, partitions).await;
        for (keys, groups) in [("k", 502), ("w", 38), ("k % 5, b", 11), ("w, k", 0)] {
            let sql = format!("SELECT {keys}, {FUNCTIONS} FROM t GROUP BY {keys}");
            let seen = both.on_the_device(&sql).await;
            assert_eq!(seen.of_name("group_downloads"), 1, "{sql}: {seen:?}");
            let found = run(&both.stock, &sql).await;
            let rows = found.answer.rows();
            assert_eq!(seen.of_name("groups"), rows, "{sql}: {seen:?}");
            if files > 1 {
                assert!(groups == 0 || rows == groups, "{rows} groups of {sql}");
                assert!(seen.of_name("merged_groups") > 0, "{sql}: {seen:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_group_of_all_rows() {
    if !has_gpu() {
        return;
    }
    for (files, partitions) in [(FILES, 4), (1, 8)] {
        let both = both(files, partitions).await;
        let sql = "SELECT count(*), count(v), sum(v), sum(p), avg(p), min(p), max(w), sum(f), bool_and(b) FROM t";
        let seen = both.on_the_device(sql).await;
        assert_eq!(seen.of_name("groups"), 1, "{seen:?}");
        // No row passes.
        both.equal(&format!("{sql} WHERE v < -5")).await;
        both.equal("SELECT k, count(*) FROM t WHERE v < -5 GROUP BY k").await;
    }
}

/// Both halves of an aggregation are where its rows are, whoever sees their partitions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_halves_are_on_the_device() {
    if !has_gpu() {
        return;
    }
    let both = both(FILES, 4).await;
    for sql in [
        "SELECT k, sum(v) FROM t GROUP BY k",
        "SELECT k, sum(v) AS s FROM t GROUP BY k HAVING sum(v) > 100 ORDER BY s, k",
        "SELECT count(*) FROM (SELECT k, w, max(v) AS m FROM t GROUP BY k, w) WHERE m % 2 = 0",
        "SELECT a.k, a.s, b.n FROM (SELECT k, sum(v) AS s FROM t GROUP BY k) a \
         JOIN (SELECT k, count(*) AS n FROM t GROUP BY k) b ON a.k = b.k ORDER BY a.k",
    ] {
        let seen = both.equal(sql).await;
        let ran = run(&both.ours, sql).await;
        let nodes = report(&ran.plan).nodes;
        let aggregates: Vec<_> = nodes.iter().filter(|n| n.name == "AggregateExec").collect();
        assert!(aggregates.len() >= 2, "{}", seen.plan);
        let all = aggregates.iter().all(|node| node.place == Place::Gpu(0));
        assert!(all, "{sql}: {}", seen.plan);
        assert_eq!(seen.of_name("ungrouped_morsels"), 0, "{sql}: {seen:?}");
    }
}

/// Groups by all keys become those of each set on the device.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grouping_sets() {
    if !has_gpu() {
        return;
    }
    let sets = [
        "ROLLUP (k % 7, w)",
        "CUBE (b, w, k % 3)",
        "GROUPING SETS ((w), (b), ())",
        "GROUPING SETS ((w, b), (w, b), (b))",
        "w, ROLLUP (b)",
    ];
    for (files, partitions, sets) in [(FILES, 4, &sets[..]), (1, 2, &sets[..2])] {
        let both = both(files, partitions).await;
        for sets in sets {
            let sql = format!("SELECT w, {FUNCTIONS} FROM t GROUP BY {sets}");
            let seen = both.on_the_device(&sql).await;
            assert_eq!(seen.of_name("group_downloads"), 1, "{sql}: {seen:?}");
            let found = run(&both.stock, &sql).await;
            let rows = found.answer.rows();
            assert_eq!(seen.of_name("groups"), rows, "{sql}: {seen:?}");
        }
        let sql = "SELECT w, b, grouping(w, b), sum(p) FROM t WHERE v > 50 GROUP BY CUBE (w, b)";
        both.on_the_device(sql).await;
        // An empty set has a group without a row, the others none.
        both.equal("SELECT w, count(*), sum(v) FROM t WHERE v < -5 GROUP BY ROLLUP (w)").await;
    }
}

/// More groups than a table begins with, of nearly unique keys, at every level of a rollup.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_grow_where_groups_meet() {
    if !has_gpu() {
        return;
    }
    let both = both(FILES, 4).await;
    let seen = both.on_the_device("SELECT v, k, count(*) FROM t GROUP BY v, k").await;
    assert!(seen.of_name("table_growths") > 0, "{seen:?}");
    let seen = both.on_the_device("SELECT v, w, max(f) FROM t GROUP BY ROLLUP (v, w)").await;
    assert!(seen.of_name("table_growths") > 0, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn variances() {
    if !has_gpu() {
        return;
    }
    let both = both(FILES, 4).await;
    let moments = "stddev(v), stddev_pop(f), var_samp(p), var_pop(k), stddev(f) FILTER (WHERE b), \
        avg(v), count(v), stddev(CASE WHEN v < 30 THEN f END)";
    for keys in ["k", "w", "v % 4000, b"] {
        both.on_the_device(&format!("SELECT {keys}, {moments} FROM t GROUP BY {keys}")).await;
    }
    both.on_the_device(&format!("SELECT {moments} FROM t")).await;
    both.equal(&format!("SELECT {moments} FROM t WHERE v < -5")).await;
    let of = |value: &str| {
        format!(
            "SELECT k % 3, stddev_pop(CASE WHEN k % 3 = 1 THEN {value} ELSE f END) AS s FROM t GROUP BY k % 3"
        )
    };
    for value in ["CAST('NaN' AS DOUBLE)", "CAST('inf' AS DOUBLE)"] {
        both.equal(&of(value)).await;
    }
    // Squares beyond all doubles: DataFusion's answer is infinite, or a NaN where a partition without a value takes
    // part, as its partitions happen to share the rows.
    let answer = text(&run(&both.ours, &of("1e200 * (v % 2 * 2 - 1)")).await);
    assert!(answer.contains("inf") || answer.contains("NaN"), "{answer}");
    // One value a group: the sample's is NULL.
    both.on_the_device("SELECT v, stddev(f), stddev_pop(f) FROM t WHERE k = 3 GROUP BY v").await;
}
