//! Faults in the middle of a sort: the right rows in the right order, each once, and nothing left behind.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use staffa::StaffaConfig;

use crate::common::{Both, table};
use crate::shared::{child, is_emulated, stride};

fn rows() -> Vec<(&'static str, ArrayRef)> {
    let number: ArrayRef =
        Arc::new(Int64Array::from_iter_values((0..400).map(|row| row * 7_919 % 90)));
    let word = (0..400).map(|row| format!("the same beginning {}", row * 31 % 60));
    let word: ArrayRef = Arc::new(StringArray::from_iter_values(word));
    vec![("k", number), ("w", word)]
}

/// Which of the sorts below found no way: told by the child.
fn try_all(faults: impl Iterator<Item = String>) -> (usize, usize) {
    let (mut troubled, mut tried) = (0, 0);
    for fault in faults.step_by(stride()) {
        tried += 1;
        let told = child("faults::child_sorts", &fault);
        assert!(told.contains("all rows are right"), "{fault}: {told}");
        assert!(!told.contains("left behind"), "{fault}: {told}");
        troubled += usize::from(told.contains("sorted by the CPU: true"));
    }
    (troubled, tried)
}

#[test]
fn a_lost_context_costs_no_row() {
    if !is_emulated() {
        return;
    }
    let launches = [1, 2, 5, 9, 14, 20, 28, 38, 50].into_iter().flat_map(|at| {
        [format!("cuLaunchKernel:{at}=700"), format!("kernel:{at}=719"), format!("copy:{at}=700")]
    });
    let reads = (1..8).map(|at| format!("cuMemcpyDtoHAsync:{at}=719"));
    let (troubled, tried) = try_all(launches.chain(reads));
    assert!(troubled * 2 >= tried, "{troubled} of {tried}");
}

#[test]
fn no_memory_costs_no_row() {
    if !is_emulated() {
        return;
    }
    let once = (1..30).map(|at| format!("alloc:{at}=2"));
    let from = (1..40).step_by(3).map(|at| format!("alloc:{at}+=2"));
    let pinned = [1, 2, 3, 5].map(|at| format!("hostalloc:{at}+=2"));
    let (troubled, _) = try_all(from.chain(once).chain(pinned));
    assert!(troubled > 0);
}

#[ignore = "run with faults by the tests above"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_sorts() {
    let both = Both::new(&table(&rows()), 2);
    let mut left = false;
    for (sql, keys) in [
        ("SELECT w, k, id FROM t ORDER BY w DESC, k, id", 3),
        ("SELECT k, id FROM t ORDER BY k, id LIMIT 30", 2),
        ("SELECT k, id FROM t ORDER BY k", 1),
    ] {
        let seen = both.equal(sql, keys).await;
        println!("{sql}: {:?}", seen.figures);
        let (sorts, refused) = (seen.of_name("sorts"), seen.of_name("refused_sorts"));
        // A plan that comes after the fault is not placed there any more.
        assert_eq!(sorts + refused > 0, seen.sorts_on_gpu > 0, "{sql}: {seen:?}");
        left |= refused > 0 || seen.sorts_on_gpu == 0;
    }
    println!("all rows are right, sorted by the CPU: {left}");
    if let Ok(gpu) = staffa::gpu(&StaffaConfig::default()) {
        let used = gpu.usage().used_bytes;
        if used > 0 {
            println!("left behind: {used} bytes");
        }
    }
}
