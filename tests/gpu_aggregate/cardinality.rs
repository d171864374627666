//! A sweep over the number of groups, through each tier: keys as slots, accumulators that stay in shared
//! memory, those that do not, and tables that grow, up to a million groups.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, UInt8Array};

use crate::common::{Both, has_gpu};

/// The sweep's table: 20,000 rows in three row groups.
const ROWS: i64 = 20_000;
const GROUP_ROWS: usize = 7_000;

/// Accumulators that a block keeps in shared memory.
const SHARED: i64 = 1_024;
/// Room in a new table.
const ROOM: i64 = 16_384;

/// Rows of `groups` keys as bytes (which are slots), numbers (which are packed) and strings (which are hashed), all
/// keys in every part of the table.
fn table(rows: i64, groups: i64) -> RecordBatch {
    let keys = (0..rows).map(|row| row * 7_919 % groups);
    let byte = keys.clone().map(|key| u8::try_from(key % 256).expect("a byte"));
    let byte: ArrayRef = Arc::new(UInt8Array::from_iter_values(byte));
    let number: ArrayRef = Arc::new(Int64Array::from_iter_values(keys.clone()));
    let word: ArrayRef =
        Arc::new(StringArray::from_iter_values(keys.map(|key| format!("the key number {key}"))));
    let value: ArrayRef = Arc::new(Int64Array::from_iter_values((0..rows).map(|row| row * 31)));
    let columns = [("b", byte), ("k", number), ("w", word), ("v", value)];
    RecordBatch::try_from_iter(columns).expect("a batch")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_tier_counts_its_groups() {
    if !has_gpu() {
        return;
    }
    for groups in [1, 2, 31, 256, SHARED, SHARED + 1, ROOM, ROOM + 1, ROWS] {
        let both = Both::new(&table(ROWS, groups), GROUP_ROWS, 1).await;
        for (key, of_key) in [("b", groups.min(256)), ("k", groups), ("w", groups)] {
            let sql = format!("SELECT {key}, count(*), sum(v), max(v) FROM t GROUP BY {key}");
            let seen = both.on_the_device(&sql).await;
            assert_eq!(seen.of_name("grouped_rows"), ROWS as usize, "{groups}: {sql}: {seen:?}");
            let found = seen.of_name("groups");
            assert!(found >= of_key as usize, "{groups}: {sql}: {seen:?}");
            // One lane meets all rows, unless another takes half of a row group.
            assert!(found <= ROWS as usize, "{groups}: {sql}: {seen:?}");
        }
    }
}

/// Beyond what grows once: 16,384, 131,072, then a million. In files of their own, so that a lane's share is still
/// more than a table holds that has grown once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_groups() {
    if !has_gpu() {
        return;
    }
    const MILLION: i64 = 1_000_000;
    let both = Both::new(&table(MILLION, MILLION), 500_000, 1).await;
    let seen = both.on_the_device("SELECT k, count(*), sum(v) FROM t GROUP BY k").await;
    assert_eq!(seen.of_name("grouped_rows"), MILLION as usize, "{seen:?}");
    assert_eq!(seen.of_name("groups"), MILLION as usize, "{seen:?}");
    assert!(seen.of_name("table_growths") >= 2, "{seen:?}");
}
