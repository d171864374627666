//! Rows that the device counted and rows that the CPU did, in one aggregation.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};

use crate::common::{Both, has_gpu};

const GROUP_ROWS: i64 = 4_000;

/// Ten row groups; in some of them a letter that only the host turns into a capital.
fn table() -> RecordBatch {
    let rows = 0..10 * GROUP_ROWS;
    let word = |row: i64| {
        let group = row / GROUP_ROWS;
        let strange = group % 3 == 1 && row % GROUP_ROWS == 77;
        if strange { "größe".to_string() } else { format!("word {}", row % 23) }
    };
    let words: ArrayRef = Arc::new(StringArray::from_iter_values(rows.clone().map(word)));
    let number: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.clone()));
    let zero = rows.map(|row| if row == 9 * GROUP_ROWS + 5 { 0 } else { row % 13 + 1 });
    let zero: ArrayRef = Arc::new(Int64Array::from_iter_values(zero));
    let columns = [("w", words, false), ("n", number, false), ("z", zero, true)];
    RecordBatch::try_from_iter_with_nullable(columns).expect("a batch")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_groups_that_the_device_refuses_are_the_cpus() {
    if !has_gpu() {
        return;
    }
    for partitions in [1, 2, 8] {
        let both = Both::new(&table(), GROUP_ROWS as usize, partitions).await;
        for sql in [
            "SELECT upper(w), count(*), sum(n), min(n), avg(n) FROM t GROUP BY 1",
            "SELECT n % 1000, count(*), max(upper(w)) FROM t GROUP BY 1",
            "SELECT count(*), sum(n), max(upper(w)) FROM t WHERE n % 2 = 0",
            "SELECT n % 7, count(*) FILTER (WHERE upper(w) > 'X'), avg(n) FROM t GROUP BY 1",
        ] {
            let seen = both.equal(sql).await;
            assert!(seen.aggregates_on_gpu > 0, "{sql}: {}", seen.plan);
            // Row groups 1, 4 and 7.
            assert_eq!(seen.of_name("failed_morsels"), 3, "{sql}: {seen:?}");
            assert_eq!(seen.of_name("grouped_morsels"), 7, "{sql}: {seen:?}");
            assert_eq!(seen.of_name("ungrouped_morsels"), 0, "{sql}: {seen:?}");
        }
    }
}

/// A row on which DataFusion errs is DataFusion's, also behind rows that were counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_are_datafusions() {
    if !has_gpu() {
        return;
    }
    let both = Both::new(&table(), GROUP_ROWS as usize, 1).await;
    for sql in [
        "SELECT n % 10, sum(100 / z) FROM t GROUP BY 1",
        "SELECT sum(100 / z) FROM t WHERE n > 10",
        "SELECT 100 / z, count(*) FROM t GROUP BY 1",
    ] {
        let stock = both.stock.sql(sql).await.expect("a plan").collect().await;
        let ours = both.ours.sql(sql).await.expect("a plan").collect().await;
        let (stock, ours) = (stock.expect_err("stock errs"), ours.expect_err("ours errs"));
        assert_eq!(ours.strip_backtrace(), stock.strip_backtrace(), "{sql}");
    }
}

/// Files of one table that differ: a column that is not in all of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_differ() {
    if !has_gpu() {
        return;
    }
    let whole = table().slice(0, 9_000);
    let part = table().slice(9_000, 9_000).project(&[0, 1]).expect("two columns");
    let both = Both::with_files(&[whole, part], GROUP_ROWS as usize, 2).await;
    for sql in [
        "SELECT w, count(z), sum(z), max(n) FROM t GROUP BY w",
        "SELECT z, count(*), sum(n) FROM t GROUP BY z",
        "SELECT count(z), avg(z) FROM t WHERE n % 3 = 0",
    ] {
        both.on_the_device(sql).await;
    }
}
