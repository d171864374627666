//! Faults in the middle of joins: the right rows, each once, and nothing left behind.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use staffa::StaffaConfig;

use crate::common::{Both, child, is_emulated, table};
use crate::shared::stride;

fn side(rows: i64, of: i64) -> RecordBatch {
    let key: ArrayRef = Arc::new(Int64Array::from_iter_values((0..rows).map(|row| row * 7 % of)));
    let word = (0..rows).map(|row| format!("word {}", row % 7));
    let word: ArrayRef = Arc::new(StringArray::from_iter_values(word));
    let value: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
    table(&[("k", key), ("w", word), ("v", value)])
}

/// One of a kind for each way to the device, in the build, in the first morsels and in later ones.
fn lost() -> Vec<String> {
    let mut faults = Vec::new();
    for at in [3, 12, 25, 40, 60, 90, 130, 180] {
        faults.push(format!("cuLaunchKernel:{at}=700"));
        faults.push(format!("kernel:{at}=719"));
    }
    for at in [5, 20, 40, 80] {
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
        let told = child("faults::child_joins", &fault);
        assert!(told.contains("all rows are right"), "{fault}: {told}");
        assert!(!told.contains("left behind"), "{fault}: {told}");
        troubled += usize::from(told.contains("left to the CPU: true"));
    }
    assert!(troubled * 3 >= tried, "{troubled} of {tried}");
}

#[test]
fn no_memory_costs_no_row() {
    if !is_emulated() {
        return;
    }
    let once = (1..80).step_by(3).map(|at| format!("alloc:{at}=2"));
    let from = (2..140).step_by(6).map(|at| format!("alloc:{at}+=2"));
    let pinned = [2, 5, 9, 14].map(|at| format!("hostalloc:{at}+=2"));
    let mut troubled = 0;
    for fault in once.chain(from).chain(pinned).step_by(stride()) {
        let told = child("faults::child_joins", &fault);
        assert!(told.contains("all rows are right"), "{fault}: {told}");
        assert!(!told.contains("left behind"), "{fault}: {told}");
        troubled += usize::from(told.contains("left to the CPU: true"));
    }
    assert!(troubled > 0);
}

#[ignore = "run with faults by the tests above"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_joins() {
    let tables = [("a", side(500, 400)), ("b", side(9_000, 600)), ("c", side(7, 7))];
    let both = Both::new(&tables, 3_000, 2).await;
    both.set(&["SET datafusion.optimizer.join_reordering = false"]).await;
    let mut left = false;
    for sql in [
        "SELECT a.w, b.v FROM a JOIN b ON a.k = b.k",
        "SELECT a.v, b.v FROM a FULL JOIN b ON a.k = b.k AND b.v % 3 = 1",
        "SELECT a.v FROM a LEFT ANTI JOIN b ON a.k = b.k AND a.v < b.v",
        "SELECT c.w, count(*), sum(x.v) FROM c JOIN (SELECT a.w, b.v FROM a JOIN b ON a.k = b.k) x \
         ON c.w = x.w GROUP BY c.w",
    ] {
        let seen = both.equal(sql).await;
        println!("{sql}: {:?}", seen.figures);
        let left_over =
            ["unprobed_morsels", "refused_builds", "failed_morsels", "ungrouped_morsels"];
        left |= left_over.iter().any(|name| seen.of_name(name) > 0);
    }
    println!("all rows are right, left to the CPU: {left}");
    if let Ok(gpu) = staffa::gpu(&StaffaConfig::default()) {
        let used = gpu.usage().used_bytes;
        if used > 0 {
            println!("left behind: {used} bytes");
        }
    }
}
