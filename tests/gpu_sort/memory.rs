//! Sorts that do not fit: the device's memory, the host's.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};

use crate::common::{Both, table};
use crate::shared::{has_gpu, run};

/// Rows of a number in no order and of a string, of so many bytes.
fn rows(rows: i64, bytes: usize) -> Vec<(&'static str, ArrayRef)> {
    let number = (0..rows).map(|row| row * 7_919 % 10_007);
    let number: ArrayRef = Arc::new(Int64Array::from_iter_values(number.clone()));
    let word = (0..rows).map(|row| format!("{:bytes$}", row * 7_919 % 10_007));
    let word: ArrayRef = Arc::new(StringArray::from_iter_values(word));
    vec![("k", number), ("w", word)]
}

/// The keys alone are more than the device may hold.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_larger_than_the_device_are_sorted_by_the_cpu() {
    if !has_gpu() {
        return;
    }
    let both = Both::new(&table(&rows(800, 50_000)), 1);
    run(&both.ours, "SET staffa.memory.device_limit = '32MiB'").await;
    let seen = both.equal("SELECT id FROM t ORDER BY w DESC", 1).await;
    assert!(seen.sorts_on_gpu == 1 && seen.of_name("sorts") == 0, "{seen:?}");
    assert_eq!(seen.of_name("refused_sorts"), 1, "{seen:?}");
    // What is not a key stays on the host.
    both.on_the_device("SELECT k, w FROM t ORDER BY k", 2).await;
}

/// What does not fit the host's memory goes to disk in runs, each sorted by the device.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_on_disk_are_sorted_by_the_device() {
    if !has_gpu() {
        return;
    }
    let both = Both::with_memory(&table(&rows(4_000, 1_500)), 6 << 20);
    // Small batches, and a merge that is content with them.
    for set in [
        "staffa.morsel_rows = 512",
        "datafusion.execution.batch_size = 128",
        "datafusion.execution.sort_spill_reservation_bytes = 65536",
    ] {
        run(&both.ours, &format!("SET {set}")).await;
    }
    let seen = both.on_the_device("SELECT k, w, id FROM t ORDER BY k DESC, id", 3).await;
    assert!(seen.of_name("sorts") > 1, "{seen:?}");
    assert_eq!(seen.of_name("sorted_rows"), 4_000, "{seen:?}");
}
