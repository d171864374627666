//! Sub-plans that stand twice: run once, within a region and across a scalar subquery's.

use std::sync::Arc;

use datafusion::physical_plan::{ExecutionPlan, collect};
use parquet::basic::Compression;
use staffa_harness::{Engine, SessionOptions, run_query};

use crate::{batch, both, register, write};

/// A CTE that is used twice runs once where nobody sees its partitions, also where a join filters one of its uses by the other; two that
/// differ run both.
#[test]
fn a_sub_plan_that_stands_twice_runs_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("t.parquet");
    write(&path, &[batch(0..9000)], Compression::SNAPPY);
    let sums =
        "WITH s AS (SELECT id % 50 AS k, word, sum(id) AS n FROM t WHERE price > 3 GROUP BY 1, 2)";
    let top =
        "WITH s AS (SELECT id AS k, word, price AS n FROM t ORDER BY price DESC, id LIMIT 70)";
    let cases = [
        (
            sums,
            "SELECT a.k, a.n, b.n FROM s a JOIN s b ON a.k = b.k + 1 AND a.word = b.word ORDER BY 1, 2, 3",
            1,
        ),
        (sums, "SELECT k, n FROM s UNION ALL SELECT k, -n FROM s WHERE n > 900 ORDER BY 1, 2", 1),
        (
            sums,
            "SELECT a.n FROM s a JOIN (SELECT k FROM s WHERE k < 9) b ON a.k = b.k ORDER BY 1",
            2,
        ),
        (top, "SELECT a.k, b.n FROM s a LEFT JOIN s b ON a.k = b.k + 20 ORDER BY 1, 2", 1),
        // In a scalar subquery, which is a region of its own.
        (sums, "SELECT k, word FROM s WHERE n = (SELECT max(n) FROM s) ORDER BY 1, 2", 1),
        (sums, "SELECT k FROM s WHERE n > (SELECT avg(n) FROM s WHERE k > 3) ORDER BY 1", 2),
        (
            sums,
            "SELECT k FROM s WHERE n < (SELECT max(n) FROM s) AND n > (SELECT min(n) FROM s) ORDER BY 1",
            2,
        ),
        (
            sums,
            "SELECT s.n, t.word FROM s JOIN t ON s.k % 7 = t.id AND t.id < 9 WHERE n > (SELECT avg(n) FROM s) ORDER BY 1, 2",
            2,
        ),
    ];
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let options = SessionOptions { target_partitions: Some(2), ..SessionOptions::default() };
        let stock = Engine::DataFusion.session(&options).expect("a session");
        let staffa = Engine::Cpu.session(&options).expect("a session");
        for ctx in [&stock, &staffa] {
            register(ctx, "t", &path).await;
        }
        staffa.sql("SET staffa.min_rows = 0").await.expect("a setting");
        for (cte, query, runs) in cases {
            let sql = format!("{cte} {query}");
            both(&stock, &staffa, &sql).await;
            let ran = run_query(&staffa, &sql).await.expect("an answer");
            assert_eq!(scans_that_ran(&ran.plan), runs, "{sql}");
        }
    });
}

/// A plan that is run again makes what its subquery and the rest of it share again, and one of which the
/// rest is not read leaves nothing that a later run would take.
#[test]
fn what_a_subquery_shares_is_made_for_each_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("t.parquet");
    write(&path, &[batch(0..9000)], Compression::SNAPPY);
    let sql = "WITH s AS (SELECT id % 50 AS k, sum(id) AS n FROM t GROUP BY 1) \
               SELECT k, n FROM s WHERE n > (SELECT avg(n) FROM s) ORDER BY k";
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let options = SessionOptions { target_partitions: Some(2), ..SessionOptions::default() };
        let staffa = Engine::Cpu.session(&options).expect("a session");
        register(&staffa, "t", &path).await;
        staffa.sql("SET staffa.min_rows = 0").await.expect("a setting");
        let frame = staffa.sql(sql).await.expect("a plan");
        let plan = frame.clone().create_physical_plan().await.expect("a plan");
        let expected = frame.collect().await.expect("rows");
        let (first, second) = (staffa.task_ctx(), staffa.task_ctx());
        for context in [&first, &first, &second] {
            let unread = plan.execute(0, Arc::clone(context)).expect("a stream");
            drop(unread);
            let rows = collect(Arc::clone(&plan), Arc::clone(context)).await.expect("rows");
            assert_eq!(rows, expected);
        }
    });
}

fn scans_that_ran(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let below: usize = plan.children().into_iter().map(scans_that_ran).sum();
    let rows = plan.metrics().and_then(|metrics| metrics.output_rows()).unwrap_or(0);
    below + usize::from(plan.name() == "DataSourceExec" && rows > 0)
}
