//! What EXPLAIN says, and what stays on the CPU with its reason.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, IntervalDayTimeArray, StringArray};
use arrow::datatypes::IntervalDayTime;
use staffa::{Place, ReasonCode, report};
use staffa_harness::run_query;

use crate::common::{Both, table};
use crate::shared::{has_gpu, is_emulated, run, text};

fn rows() -> Vec<(&'static str, ArrayRef)> {
    let number: ArrayRef =
        Arc::new(Int64Array::from_iter_values((0..500).map(|row| row * 37 % 101)));
    let word = (0..500).map(|row| format!("w{}", row % 7));
    let word: ArrayRef = Arc::new(StringArray::from_iter_values(word));
    let days = (0..500).map(|row| IntervalDayTime::new(row % 13, row % 5));
    let days: ArrayRef = Arc::new(IntervalDayTimeArray::from_iter_values(days));
    vec![("k", number), ("w", word), ("d", days)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_shows_where_a_sort_runs() {
    if !has_gpu() {
        return;
    }
    let both = Both::new(&table(&rows()), 2);
    for sql in [
        "SELECT k, id FROM t ORDER BY k, id",
        "SELECT k, id FROM t ORDER BY k DESC LIMIT 9",
        // The merge is by a column, too, that has one value.
        "SELECT k AS a, w AS b, id AS c FROM t WHERE k = 5 ORDER BY w, k, id",
    ] {
        let plan = text(&run(&both.ours, &format!("EXPLAIN {sql}")).await);
        assert!(plan.contains("SortExec [gpu:0]: "), "{plan}");
        assert!(plan.contains("SortPreservingMergeExec [gpu:0]: "), "{plan}");
        let plan = text(&run(&both.ours, &format!("EXPLAIN ANALYZE {sql}")).await);
        for figure in ["gpu_sorts=1", "gpu_sorted_rows=", "gpu_sort_launches=", "gpu_sort_time="] {
            assert!(plan.contains(figure), "{figure}: {plan}");
        }
    }
    run(&both.ours, "SET staffa.device = cpu").await;
    let plan = text(&run(&both.ours, "EXPLAIN SELECT k FROM t ORDER BY k").await);
    assert!(plan.contains("SortExec [cpu]: "), "{plan}");
    let seen = both.equal("SELECT k FROM t ORDER BY k", 1).await;
    assert_eq!((seen.sorts_on_gpu, seen.of_name("sorts")), (0, 0), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_device_does_not_sort_says_why() {
    if !has_gpu() {
        return;
    }
    let both = Both::new(&table(&rows()), 2);
    for sql in [
        "SELECT d, id FROM t ORDER BY d, id",
        "SELECT d, id FROM t ORDER BY id % 3, d DESC, id",
        "SELECT [k], id FROM t ORDER BY [k], id LIMIT 20",
    ] {
        let seen = both.equal(sql, 0).await;
        assert_eq!(seen.of_name("sorts"), 0, "{sql}: {seen:?}");
        let ran = report(&run(&both.ours, sql).await.plan);
        let sorts: Vec<_> =
            ran.nodes.iter().filter(|node| node.name.starts_with("SortExec")).collect();
        assert!(!sorts.is_empty() && sorts.iter().all(|node| node.place == Place::Cpu), "{ran:?}");
        assert_eq!(sorts[0].code, Some(ReasonCode::KeyType), "{sql}: {sorts:?}");
    }
    run(&both.ours, "SET staffa.on_unsupported = error").await;
    let sql = "SELECT d, id FROM t ORDER BY d";
    let error = run_query(&both.ours, sql).await.map(drop).expect_err("refused").to_string();
    assert!(error.contains("is not on a GPU: A012"), "{error}");
    both.on_the_device("SELECT k, id FROM t ORDER BY k, id", 2).await;
}

/// In `auto` the emulated device is too slow for it, and EXPLAIN says so; where nothing is scanned, no device is asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_measured_places_sorts_in_auto() {
    if !has_gpu() || !is_emulated() {
        return;
    }
    let both = Both::new(&table(&rows()), 2);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("t.parquet").display().to_string();
    run(&both.ours, &format!("COPY (SELECT k, id FROM t) TO '{file}' STORED AS PARQUET")).await;
    let create = format!("CREATE EXTERNAL TABLE f STORED AS PARQUET LOCATION '{file}'");
    for ctx in [&both.stock, &both.ours] {
        run(ctx, &create).await;
    }
    run(&both.ours, "SET staffa.device = auto").await;
    for (table, shown) in [("f", "SortExec [cpu: A014 estimated "), ("t", "SortExec [cpu]")] {
        let sql = format!("SELECT k, id FROM {table} ORDER BY k, id");
        let plan = text(&run(&both.ours, &format!("EXPLAIN {sql}")).await);
        assert!(plan.contains(shown), "{plan}");
        let seen = both.equal(&sql, 2).await;
        assert_eq!((seen.sorts_on_gpu, seen.of_name("sorts")), (0, 0), "{seen:?}");
    }
}
