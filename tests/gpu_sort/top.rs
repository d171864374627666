//! The first rows of an order: lanes keep what may be among them, the device sorts that.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};

use crate::common::{Both, table};
use crate::shared::has_gpu;

const ROWS: i64 = 900;

fn rows() -> Vec<(&'static str, ArrayRef)> {
    let number = (0..ROWS).map(|row| (row % 9 != 4).then_some(row * 7_919 % 53));
    let number: ArrayRef = Arc::new(Int64Array::from_iter(number));
    let word = (0..ROWS).map(|row| Some(format!("a common beginning, then {}", row * 31 % 200)));
    let word: ArrayRef = Arc::new(StringArray::from_iter(word));
    vec![("k", number), ("w", word)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_rows() {
    if !has_gpu() {
        return;
    }
    for partitions in [1, 3] {
        let both = Both::new(&table(&rows()), partitions);
        for k in [1, 7, 100, 899, 900, 5_000] {
            for (order, keys) in
                [("k DESC NULLS LAST, id", 2), ("k NULLS FIRST", 1), ("w DESC, k, id", 3)]
            {
                let columns = if keys == 3 { "w, k, id" } else { "k, id" };
                let sql = format!("SELECT {columns} FROM t ORDER BY {order} LIMIT {k}");
                let seen = both.on_the_device(&sql, keys).await;
                // Lanes drop what cannot be among the first, each for itself at first.
                let most = (k * partitions).min(ROWS as usize);
                let sorted = seen.of_name("sorted_rows");
                assert!(sorted >= k.min(ROWS as usize) && sorted <= most, "{sql}: {seen:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_rows_and_later_ones() {
    if !has_gpu() {
        return;
    }
    let both = Both::new(&table(&rows()), 2);
    let seen = both.equal("SELECT k, id FROM t ORDER BY k, id LIMIT 0", 2).await;
    assert_eq!(seen.of_name("sorts"), 0, "{seen:?}");
    both.on_the_device("SELECT k, id FROM t ORDER BY k, id LIMIT 5 OFFSET 40", 2).await;
    both.on_the_device("SELECT k, id FROM t ORDER BY k, id LIMIT 20 OFFSET 890", 2).await;
}
