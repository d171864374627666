//! From one group to as many as there are rows: tables that grow, groups that leave and come again.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};

use crate::common::{Both, has_gpu, run};

const ROWS: i64 = 210_000;
const GROUP_ROWS: usize = 35_000;

/// Rows of `groups` keys as numbers and as strings, all keys in every part of the table.
fn spread(groups: i64) -> RecordBatch {
    let key = |row: i64| row * 7_919 % groups;
    table((0..ROWS).map(key))
}

fn table(keys: impl Iterator<Item = i64> + Clone) -> RecordBatch {
    let number: ArrayRef = Arc::new(Int64Array::from_iter_values(keys.clone()));
    let word = keys.map(|key| format!("the key that is number {key}, né {}", key % 10));
    let word: ArrayRef = Arc::new(StringArray::from_iter_values(word));
    let value: ArrayRef = Arc::new(Int64Array::from_iter_values((0..ROWS).map(|row| row * 31)));
    RecordBatch::try_from_iter([("k", number), ("w", word), ("v", value)]).expect("a batch")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_grow_with_their_groups() {
    if !has_gpu() {
        return;
    }
    for (groups, partitions) in [(1, 2), (100, 8), (16_384, 1), (16_385, 1), (200_000, 2)] {
        let both = Both::new(&spread(groups), GROUP_ROWS, partitions).await;
        let sql = "SELECT k, count(*), sum(v), min(v), max(v) FROM t GROUP BY k";
        let seen = both.on_the_device(sql).await;
        let grown = seen.of_name("table_growths");
        // A new table has room for 16,384.
        assert_eq!(grown > 0, groups > 16_384, "{groups}: {seen:?}");
        assert_eq!(seen.of_name("grouped_rows"), ROWS as usize, "{groups}: {seen:?}");
        let found = seen.of_name("groups");
        assert!(found >= groups as usize && found <= ROWS as usize, "{groups}: {seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_of_strings_grow_too() {
    if !has_gpu() {
        return;
    }
    let both = Both::new(&spread(40_000), GROUP_ROWS, 2).await;
    let seen = both.on_the_device("SELECT w, count(*), sum(v), min(w) FROM t GROUP BY w").await;
    assert!(seen.of_name("table_growths") > 0, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hot_keys() {
    if !has_gpu() {
        return;
    }
    let keys = (0..ROWS).map(|row| if row % 10 < 9 { 7 } else { row });
    let both = Both::new(&table(keys), GROUP_ROWS, 2).await;
    both.on_the_device("SELECT k, count(*), sum(v), min(v) FROM t GROUP BY k").await;
    both.on_the_device("SELECT w, count(*), sum(v), max(v) FROM t WHERE v % 5 < 2 GROUP BY w")
        .await;
}

/// With little memory the groups leave for the host and begin again; a table that cannot grow leaves morsels
/// to the CPU. The rows are the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn little_memory_costs_speed_and_no_row() {
    if !has_gpu() {
        return;
    }
    let both = Both::new(&spread(60_000), GROUP_ROWS, 2).await;
    run(&both.ours, "SET staffa.memory.device_limit = '32MiB'").await;
    for sql in [
        "SELECT w, count(*), sum(v) FROM t GROUP BY w",
        "SELECT k, count(*), sum(v), min(v), max(v), avg(v) FROM t GROUP BY k",
        "SELECT k % 100, count(*), sum(v), min(w) FROM t GROUP BY 1",
    ] {
        let seen = both.equal(sql).await;
        assert!(seen.aggregates_on_gpu > 0, "{sql}: {}", seen.plan);
        let done = seen.of_name("grouped_morsels") + seen.of_name("failed_morsels");
        assert!(done > 0, "{sql}: {seen:?}");
        println!("{sql}: {:?}", seen.figures);
    }
    let seen = both.equal("SELECT w, count(*) FROM t WHERE k < 3000 GROUP BY w").await;
    // A morsel's strings are more than the groups may keep.
    assert!(seen.of_name("group_downloads") > 2, "{seen:?}");
}
