//! Faults in the middle of an aggregation: the right rows, each counted once, and nothing left behind.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use staffa::StaffaConfig;

use crate::common::{Both, child, is_emulated};
use crate::shared::stride;

const GROUP_ROWS: i64 = 3_000;

fn table() -> RecordBatch {
    let rows = 0..12 * GROUP_ROWS;
    let key: ArrayRef =
        Arc::new(Int64Array::from_iter_values(rows.clone().map(|row| row * 7_919 % 20_000)));
    let word = rows.clone().map(|row| format!("word {}", row % 7));
    let word: ArrayRef = Arc::new(StringArray::from_iter_values(word));
    let value: ArrayRef = Arc::new(Int64Array::from_iter_values(rows));
    RecordBatch::try_from_iter([("k", key), ("w", word), ("v", value)]).expect("a batch")
}

/// One of a kind for each way to the device, in the first morsels, in later ones and at the end, where the
/// states come back.
fn lost() -> Vec<String> {
    let mut faults = Vec::new();
    for at in [3, 30, 60, 90, 120, 150, 200, 250] {
        faults.push(format!("cuLaunchKernel:{at}=700"));
        faults.push(format!("kernel:{at}=719"));
    }
    for at in [5, 20, 40, 60] {
        faults.push(format!("copy:{at}=700"));
        faults.push(format!("cuMemcpyDtoHAsync:{at}=719"));
    }
    faults
}

#[test]
fn a_lost_context_costs_no_row() {
    if !is_emulated() {
        return;
    }
    let (mut troubled, mut tried) = (0, 0);
    for fault in lost().into_iter().step_by(stride()) {
        tried += 1;
        let told = child("faults::child_aggregates", &fault);
        assert!(told.contains("all rows are right"), "{fault}: {told}");
        assert!(!told.contains("left behind"), "{fault}: {told}");
        troubled += usize::from(told.contains("groups lost: true"));
    }
    // In many of these the device had counted rows that the CPU then counted again.
    assert!(troubled * 3 >= tried, "{troubled} of {tried}");
}

#[test]
fn no_memory_costs_no_row() {
    if !is_emulated() {
        return;
    }
    let once = (1..60).step_by(3).map(|at| format!("alloc:{at}=2"));
    let from = (2..140).step_by(6).map(|at| format!("alloc:{at}+=2"));
    let pinned = [2, 5, 9, 14].map(|at| format!("hostalloc:{at}+=2"));
    for fault in once.chain(from).chain(pinned).step_by(stride()) {
        let told = child("faults::child_aggregates", &fault);
        assert!(told.contains("all rows are right"), "{fault}: {told}");
        assert!(!told.contains("left behind"), "{fault}: {told}");
    }
}

#[ignore = "run with faults by the tests above"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_aggregates() {
    let both = Both::new(&table(), GROUP_ROWS as usize, 2).await;
    let mut lost = false;
    for sql in [
        "SELECT k, count(*), sum(v), min(v), avg(v) FROM t GROUP BY k",
        "SELECT w, count(*), sum(v), max(w) FROM t WHERE v % 3 <> 1 GROUP BY w",
        "SELECT count(*), sum(v), avg(v), max(w) FROM t WHERE v % 3 <> 1",
    ] {
        let seen = both.equal(sql).await;
        println!("{sql}: {:?}", seen.figures);
        lost |= seen.of_name("ungrouped_morsels") > 0;
    }
    println!("all rows are right, groups lost: {lost}");
    if let Ok(gpu) = staffa::gpu(&StaffaConfig::default()) {
        let used = gpu.usage().used_bytes;
        if used > 0 {
            println!("left behind: {used} bytes");
        }
    }
}
