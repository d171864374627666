//! What EXPLAIN says, and what stays on the CPU with its reason.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, ListBuilder, RecordBatch, StringArray, StringBuilder};
use staffa::{Place, ReasonCode, report};
use staffa_harness::run_query;

use crate::common::{Both, has_gpu, is_emulated, run, text};

fn table() -> RecordBatch {
    let mut lists = ListBuilder::new(StringBuilder::new());
    for row in 0..6_000 {
        lists.values().append_value(format!("tag {}", row % 3));
        lists.append(row % 7 != 0);
    }
    let columns: [(&str, ArrayRef); 4] = [
        ("k", Arc::new(Int64Array::from_iter_values((0..6_000).map(|row| row % 17)))),
        ("v", Arc::new(Int64Array::from_iter_values(0..6_000))),
        ("w", Arc::new(StringArray::from_iter_values((0..6_000).map(|r| format!("w{}", r % 5))))),
        ("tags", Arc::new(lists.finish())),
    ];
    RecordBatch::try_from_iter(columns).expect("a batch")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_shows_where_an_aggregation_runs() {
    if !has_gpu() {
        return;
    }
    let both = Both::new(&table(), 2_000, 2).await;
    let sql = "SELECT w, count(*), sum(v) FROM t WHERE k <> 3 GROUP BY w";
    let plan = text(&run(&both.ours, &format!("EXPLAIN {sql}")).await);
    assert!(plan.contains("AggregateExec [gpu:0]: mode=Partial"), "{plan}");
    assert!(plan.contains("AggregateExec [gpu:0]: mode=FinalPartitioned"), "{plan}");
    let plan = text(&run(&both.ours, &format!("EXPLAIN ANALYZE {sql}")).await);
    for figure in ["gpu_grouped_morsels=3", "gpu_groups=", "gpu_table_growths=0"] {
        assert!(plan.contains(figure), "{figure}: {plan}");
    }
    // The nodes that the device does count the rows that went through them.
    let ran = run(&both.ours, sql).await;
    let seen = report(&ran.plan);
    let rows = |name: &str| {
        let node = seen.nodes.iter().find(|node| node.name == name).expect("a node");
        node.output_rows
    };
    let passed = (0..6_000).filter(|row| row % 17 != 3).count();
    assert_eq!(rows("FilterExec"), Some(passed), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_device_does_not_aggregate_says_why() {
    if !has_gpu() {
        return;
    }
    let both = Both::new(&table(), 2_000, 2).await;
    let option = ReasonCode::AggregateOption;
    for (sql, code) in [
        ("SELECT k, count(DISTINCT v), count(DISTINCT w) FROM t GROUP BY k", option),
        ("SELECT k, count(DISTINCT v), sum(v) FROM t GROUP BY ROLLUP (k)", option),
        ("SELECT k, stddev(v) FROM t GROUP BY ROLLUP (k)", option),
        ("SELECT k, corr(v, v) FROM t GROUP BY k", ReasonCode::Function),
        ("SELECT k, median(v) FROM t GROUP BY k", ReasonCode::Function),
        ("SELECT tags, count(*) FROM t GROUP BY tags", ReasonCode::KeyType),
        ("SELECT k, count(tags) FROM t WHERE v > 5 GROUP BY k", ReasonCode::DataType),
        ("SELECT max(CAST(v AS DOUBLE)) FROM t WHERE k > 5", ReasonCode::Function),
        ("SELECT regexp_replace(w, 'w', 'x'), count(*) FROM t GROUP BY 1", ReasonCode::Function),
        ("SELECT DISTINCT k FROM t LIMIT 3", option),
    ] {
        if !sql.contains("LIMIT") {
            both.equal(sql).await;
        }
        let ran = run(&both.ours, sql).await;
        let seen = report(&ran.plan);
        let nodes: Vec<_> = seen.nodes.iter().filter(|n| n.name == "AggregateExec").collect();
        assert!(nodes.iter().all(|node| node.place == Place::Cpu), "{sql}: {nodes:?}");
        let refused = nodes.iter().find(|node| node.code.is_some());
        assert_eq!(refused.and_then(|node| node.code), Some(code), "{sql}: {nodes:?}");
    }
    both.on_the_device("SELECT w, sum(v) FROM t GROUP BY w").await;
    run(&both.ours, "SET staffa.on_unsupported = error").await;
    let sql = "SELECT k, median(v) FROM t GROUP BY k";
    let error = run_query(&both.ours, sql).await.map(drop).expect_err("refused").to_string();
    assert!(error.contains("AggregateExec is not on a GPU: A020"), "{error}");
}

/// In `auto` the emulated device is too slow for it, and EXPLAIN says so at the aggregation too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_measured_places_aggregations_in_auto() {
    if !has_gpu() || !is_emulated() {
        return;
    }
    let both = Both::new(&table(), 2_000, 2).await;
    run(&both.ours, "SET staffa.device = auto").await;
    let seen = both.equal("SELECT w, count(*), sum(v) FROM t GROUP BY w").await;
    assert_eq!(seen.aggregates_on_gpu, 0, "{}", seen.plan);
    let sql = "EXPLAIN SELECT w, count(*), sum(v) FROM t GROUP BY w";
    let plan = text(&run(&both.ours, sql).await);
    assert!(plan.contains("AggregateExec [cpu: A014 estimated "), "{plan}");
}
