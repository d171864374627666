//! Inner joins: one, several, with filters and projections between them, and an aggregation above.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};

use crate::common::{Both, has_gpu, run, table};

const ROWS: i64 = 9_000;
const GROUP_ROWS: usize = 3_000;

/// Facts, of which most have a row in `d`, and `d`'s rows have one in `e`.
fn tables() -> [(&'static str, RecordBatch); 3] {
    let numbers = |values: Vec<Option<i64>>| -> ArrayRef { Arc::new(Int64Array::from(values)) };
    let words = |values: Vec<String>| -> ArrayRef { Arc::new(StringArray::from(values)) };
    let null = |row: i64, of: i64, value: i64| (row % of != 0).then_some(value);
    let f = table(&[
        ("k", numbers((0..ROWS).map(|row| null(row, 17, row * 7 % 450)).collect())),
        ("v", numbers((0..ROWS).map(Some).collect())),
        ("w", words((0..ROWS).map(|row| format!("wört {}", row % 11)).collect())),
    ]);
    let d = table(&[
        ("dk", numbers((0..400).map(|row| null(row, 50, row)).collect())),
        ("name", words((0..400).map(|row| format!("näme {row}")).collect())),
        ("ek", numbers((0..400).map(|row| Some(row % 30)).collect())),
        ("x", numbers((0..400).map(|row| null(row, 3, row * row)).collect())),
    ]);
    let e = table(&[
        ("id", numbers((0..25).map(Some).collect())),
        ("region", words((0..25).map(|row| format!("region {}", row % 4)).collect())),
    ]);
    [("f", f), ("d", d), ("e", e)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_join() {
    if !has_gpu() {
        return;
    }
    for partitions in [1, 3] {
        let both = Both::new(&tables(), GROUP_ROWS, partitions).await;
        for sql in [
            "SELECT v, w, name, x FROM d JOIN f ON dk = k",
            "SELECT v FROM d JOIN f ON dk = k WHERE v % 3 = 1",
            "SELECT w, name FROM d JOIN f ON dk = k WHERE dk < 20 AND v > 100",
            "SELECT v + 1, k FROM d JOIN f ON dk = k + 2",
            "SELECT v * x, length(name) FROM d JOIN f ON dk = k",
            "SELECT count(*) FROM d JOIN f ON dk = k",
            "SELECT name, count(*), sum(v), min(x), max(w) FROM d JOIN f ON dk = k GROUP BY name",
            "SELECT w, sum(v + x) FROM d JOIN f ON dk = k GROUP BY w",
            "SELECT sum(v), avg(x) FROM d JOIN f ON dk = k WHERE name > 'näme 2'",
        ] {
            let seen = both.on_the_device(sql, 1).await;
            assert_eq!(seen.of_name("probed_morsels"), 3, "{sql}: {seen:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chains_of_joins() {
    if !has_gpu() {
        return;
    }
    for partitions in [1, 3] {
        let both = Both::new(&tables(), GROUP_ROWS, partitions).await;
        both.set(&["SET datafusion.optimizer.join_reordering = false"]).await;
        for sql in [
            "SELECT v, name, region FROM e JOIN (d JOIN f ON dk = k) ON id = ek",
            "SELECT region, count(*), sum(v * x) FROM e JOIN (d JOIN f ON dk = k) ON id = ek \
             GROUP BY region",
            "SELECT region, w, sum(v) FROM e JOIN (SELECT * FROM d JOIN f ON dk = k WHERE x + v > 90) \
             ON id = ek GROUP BY region, w",
            "SELECT region, name, v FROM e JOIN (SELECT name, v, ek + 1 AS next FROM d JOIN f \
             ON dk = k WHERE v % 5 <> dk % 5) ON id = next WHERE v % 7 <> id % 7",
        ] {
            both.on_the_device(sql, 2).await;
        }
    }
}

/// The nodes that the device does count the rows that come out of them, as DataFusion's do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_counts_its_rows() {
    if !has_gpu() {
        return;
    }
    let both = Both::new(&tables(), GROUP_ROWS, 1).await;
    // A scan tests them on rows on the CPU only.
    let filters = "SET datafusion.optimizer.enable_dynamic_filter_pushdown = false";
    both.set(&["SET datafusion.optimizer.join_reordering = false", filters]).await;
    for (sql, joins) in [
        ("SELECT v, name FROM d JOIN f ON dk = k WHERE v % 3 = 1", 1),
        ("SELECT w, sum(v) FROM d JOIN f ON dk = k WHERE x > v GROUP BY w", 1),
        (
            "SELECT region, sum(v) FROM e JOIN (SELECT * FROM d JOIN f ON dk = k WHERE x + v > 90) \
          ON id = ek GROUP BY region",
            2,
        ),
        (
            "SELECT region, sum(v) FROM e JOIN (d JOIN f ON dk = k) ON id = ek WHERE v < 0 \
          GROUP BY region",
            2,
        ),
    ] {
        let seen = both.on_the_device(sql, joins).await;
        run(&both.ours, "SET staffa.device = cpu").await;
        let cpu = both.equal(sql).await;
        run(&both.ours, "SET staffa.device = gpu").await;
        let joined = |seen: &[(String, usize)]| {
            let nodes = seen.iter().filter(|(name, _)| !name.contains("DataSource"));
            nodes.cloned().collect::<Vec<_>>()
        };
        assert_eq!(joined(&seen.rows), joined(&cpu.rows), "{sql}: {}", seen.plan);
    }
}

/// One key that 5,000 build rows have, and one that most probe rows have; no rows on either side; only NULLs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn skew_and_nothing() {
    if !has_gpu() {
        return;
    }
    let numbers = |values: Vec<Option<i64>>| -> ArrayRef { Arc::new(Int64Array::from(values)) };
    let hot = |rows: i64, other: i64| {
        (0..rows).map(move |row| Some(if row % other == 0 { row } else { 7 }))
    };
    let side = |values: Vec<Option<i64>>| {
        let rows = numbers((0..values.len() as i64).map(Some).collect());
        table(&[("k", numbers(values)), ("n", rows)])
    };
    let tables = [
        ("many", side(hot(5_000, 1_000_000).collect())),
        ("few", side((0..300).map(|row| (row % 3 != 0).then_some(row % 30)).collect())),
        ("hot", side(hot(6_000, 10).collect())),
        ("ones", side((0..50).map(Some).collect())),
        ("nulls", side(vec![None; 40])),
        ("none", side(Vec::new())),
    ];
    let both = Both::new(&tables, 2_500, 2).await;
    both.set(&["SET datafusion.optimizer.join_reordering = false"]).await;
    for (sql, joins) in [
        ("SELECT sum(a.n), sum(b.n), count(*) FROM many a JOIN few b ON a.k = b.k", 1),
        ("SELECT a.n, b.n FROM many a JOIN few b ON a.k = b.k WHERE b.n < 60", 1),
        ("SELECT a.k, count(*), sum(b.n) FROM ones a JOIN hot b ON a.k = b.k GROUP BY a.k", 1),
        ("SELECT a.n, b.n FROM nulls a JOIN hot b ON a.k = b.k", 1),
        ("SELECT a.n, b.n FROM ones a JOIN nulls b ON a.k = b.k", 1),
    ] {
        let seen = both.equal(sql).await;
        assert_eq!(seen.joins_on_gpu, joins, "{sql}: {}", seen.plan);
        assert_eq!(seen.of_name("unprobed_morsels"), 0, "{sql}: {seen:?}");
        assert_eq!(seen.of_name("failed_morsels"), 0, "{sql}: {seen:?}");
    }
    for sql in [
        "SELECT a.n, b.n FROM none a JOIN hot b ON a.k = b.k",
        "SELECT a.n, b.n FROM ones a JOIN none b ON a.k = b.k",
        "SELECT count(*) FROM none a JOIN none b ON a.k = b.k",
    ] {
        both.equal(sql).await;
    }
    // More pairs than the device makes of a morsel: the CPU's, with nothing lost.
    let sql = "SELECT a.n % 10, count(*), sum(b.n) FROM many a JOIN hot b ON a.k = b.k WHERE b.n < 1000 GROUP BY 1";
    let seen = both.equal(sql).await;
    assert!(seen.of_name("unprobed_morsels") > 0, "{seen:?}");
}
