//! What EXPLAIN says, and what stays on the CPU with its reason.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, ListBuilder, RecordBatch, StringBuilder};
use staffa::{ReasonCode, report};

use crate::common::{Both, has_gpu, is_emulated, run, table, text};

fn side(rows: i64) -> RecordBatch {
    let mut lists = ListBuilder::new(StringBuilder::new());
    for row in 0..rows {
        lists.values().append_value(format!("tag {}", row % 3));
        lists.append(row % 7 != 0);
    }
    let numbers = |of: i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values((0..rows).map(|row| row % of)))
    };
    table(&[("k", numbers(40)), ("v", numbers(rows)), ("tags", Arc::new(lists.finish()))])
}

async fn both() -> Both {
    let both = Both::new(&[("a", side(60)), ("b", side(4_000))], 2_000, 2).await;
    both.set(&["SET datafusion.optimizer.join_reordering = false"]).await;
    both
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_shows_where_a_join_runs() {
    if !has_gpu() {
        return;
    }
    let both = both().await;
    let sql = "SELECT a.k, sum(b.v) FROM a JOIN b ON a.k = b.k GROUP BY a.k";
    let plan = text(&run(&both.ours, &format!("EXPLAIN {sql}")).await);
    assert!(plan.contains("HashJoinExec [gpu:0]"), "{plan}");
    assert!(plan.contains("AggregateExec [gpu:0]: mode=Partial"), "{plan}");
    let plan = text(&run(&both.ours, &format!("EXPLAIN ANALYZE {sql}")).await);
    for figure in
        ["gpu_build_uploads=1", "gpu_probed_morsels=2", "gpu_probed_rows=4", "gpu_joined_rows=6"]
    {
        assert!(plan.contains(figure), "{figure}: {plan}");
    }
    run(&both.ours, "SET staffa.on_unsupported = error").await;
    both.on_the_device("SELECT a.k, b.v FROM a JOIN b ON a.k = b.k", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_device_does_not_join_says_why() {
    if !has_gpu() {
        return;
    }
    let both = both().await;
    let option = ReasonCode::JoinOption;
    for (sql, code) in [
        ("SELECT a.v, b.v FROM a RIGHT JOIN b ON a.k = b.k AND a.v < b.v", option),
        ("SELECT a.v, b.v FROM a JOIN b ON a.v < b.v AND b.v < 5", option),
        ("SELECT v FROM a WHERE k NOT IN (SELECT k FROM b WHERE v > 3990)", option),
        ("SELECT a.tags, b.v FROM a JOIN b ON a.k = b.k", ReasonCode::DataType),
        ("SELECT b.tags, a.v FROM a JOIN b ON a.k = b.k", ReasonCode::DataType),
        (
            "SELECT a.v, b.v FROM a JOIN b ON a.k = b.k AND repeat('x', a.v % 3) < repeat('y', b.v % 2)",
            ReasonCode::Function,
        ),
    ] {
        let seen = both.equal(sql).await;
        assert_eq!(seen.joins_on_gpu, 0, "{sql}: {}", seen.plan);
        let ran = run(&both.ours, sql).await;
        let seen = report(&ran.plan);
        let found = seen.nodes.iter().filter(|node| node.name.ends_with("JoinExec"));
        let found: Vec<_> = found.filter_map(|node| node.code).collect();
        assert_eq!(found, [code], "{sql}: {seen:?}");
    }
}

/// What stands above a join that the device does not do is the CPU's; what stands below it is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_goes_as_far_as_it_can() {
    if !has_gpu() {
        return;
    }
    let both = both().await;
    let sql = "SELECT c.tags, x.v FROM a c JOIN (SELECT a.k, b.v FROM a JOIN b ON a.k = b.k) x ON c.v = x.k";
    let seen = both.equal(sql).await;
    assert_eq!(seen.joins_on_gpu, 1, "{}", seen.plan);
    assert!(seen.of_name("probed_morsels") > 0, "{seen:?}");
    // A limit that may stop early.
    let sql = "SELECT a.v FROM a JOIN b ON a.k = b.k LIMIT 3";
    let ran = run(&both.ours, sql).await;
    assert_eq!(crate::common::on_gpu(&report(&ran.plan), "HashJoinExec"), 0);
    assert_eq!(ran.answer.batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 3);
}

/// In `auto` the emulated device is too slow for it, and EXPLAIN says so at the join too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_measured_places_joins_in_auto() {
    if !has_gpu() || !is_emulated() {
        return;
    }
    let both = both().await;
    run(&both.ours, "SET staffa.device = auto").await;
    let sql = "SELECT a.v, b.v FROM a JOIN b ON a.k = b.k";
    let seen = both.equal(sql).await;
    assert_eq!(seen.joins_on_gpu, 0, "{}", seen.plan);
    let plan = text(&run(&both.ours, &format!("EXPLAIN {sql}")).await);
    assert!(plan.contains("HashJoinExec [cpu: A014 estimated "), "{plan}");
}

/// Where each partition is joined on its own and somebody sees it, the CPU does; else exchanges do not count.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitioned_joins() {
    if !has_gpu() {
        return;
    }
    let both = both().await;
    both.set(&[
        "SET datafusion.execution.batch_size = 1000",
        "SET datafusion.optimizer.hash_join_single_partition_threshold = 0",
        "SET datafusion.optimizer.hash_join_single_partition_threshold_rows = 0",
    ])
    .await;
    let joined = "SELECT a.v x, b.v y FROM a JOIN b ON a.k = b.k";
    let seen = both.equal(joined).await;
    let plan = text(&run(&both.ours, &format!("EXPLAIN {joined}")).await);
    assert!(seen.joins_on_gpu == 0 && plan.contains("mode=Partitioned"), "{plan}");
    let sql = format!("SELECT x % 7, count(*), sum(y) FROM ({joined}) GROUP BY 1");
    let seen = both.on_the_device(&sql, 1).await;
    let plan = text(&run(&both.ours, &format!("EXPLAIN {sql}")).await);
    assert!(seen.joins_on_gpu == 1 && plan.contains("mode=Partitioned"), "{plan}");
    let sql = format!("SELECT x, y FROM ({joined}) ORDER BY x, y");
    both.on_the_device(&sql, 1).await;
}
