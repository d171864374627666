//! Regions as DataFusion runs them: places in EXPLAIN, partitions in any order, dropped outputs.

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::util::pretty::pretty_format_batches;
use datafusion::execution::SessionStateBuilder;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, displayable};
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::StreamExt;
use staffa_datafusion::{Policy, StaffaConfig, register, report, rewrite};

fn table(rows: i64, offset: i64) -> RecordBatch {
    let ids = Int64Array::from_iter((0..rows).map(|i| (i % 7 != 3).then_some(i + offset)));
    let names = StringArray::from_iter((0..rows).map(|i| Some(format!("näme {}", i % 5))));
    RecordBatch::try_from_iter([("id", Arc::new(ids) as _), ("name", Arc::new(names) as _)])
        .unwrap()
}

fn session(partitions: usize, staffa: bool) -> SessionContext {
    let config = SessionConfig::new().with_target_partitions(partitions).with_batch_size(128);
    let builder = SessionStateBuilder::new().with_default_features().with_config(config);
    let settings = StaffaConfig { min_rows: 0, ..StaffaConfig::default() };
    let builder = if staffa { register(builder, settings) } else { builder };
    let context = SessionContext::new_with_state(builder.build());
    let schema = table(8, 0).schema(); // try_from_iter infers nullability from the values
    let parts = (0..4).map(|p| (0..5).map(|b| table(200, p * 1000 + b * 200)).collect()).collect();
    let memory = datafusion::datasource::MemTable::try_new(schema, parts).unwrap();
    context.register_table("t", Arc::new(memory)).unwrap();
    context
}

async fn plan(context: &SessionContext, sql: &str) -> Arc<dyn ExecutionPlan> {
    context.sql(sql).await.unwrap().create_physical_plan().await.unwrap()
}

async fn rows(context: &SessionContext, sql: &str) -> Vec<String> {
    let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
    let text = pretty_format_batches(&batches).unwrap().to_string();
    let mut lines: Vec<String> = text.lines().map(ToString::to_string).collect();
    lines.sort();
    lines
}

const QUERIES: &[&str] = &[
    "SELECT id * 2 AS twice, name FROM t WHERE id % 3 = 0",
    "SELECT name FROM t WHERE id IS NULL",
    "SELECT id FROM t WHERE name LIKE '%ä%4' UNION ALL SELECT id + 1 FROM t WHERE id < 100",
    "SELECT count(*), sum(id), min(name) FROM t WHERE id > 10",
    "SELECT name, count(id), avg(id) FROM t GROUP BY name",
    "SELECT a.id, b.name FROM t a JOIN t b ON a.id = b.id + 1",
    "SELECT a.id, b.name FROM t a LEFT JOIN t b ON a.id = b.id + 1000 AND b.name <> 'x'",
    "SELECT id, name FROM t WHERE id NOT IN (SELECT id FROM t WHERE id > 500 AND id IS NOT NULL)",
    "SELECT id, name FROM t ORDER BY name DESC NULLS LAST, id LIMIT 17",
    "SELECT id, row_number() OVER (PARTITION BY name ORDER BY id) FROM t WHERE id < 900",
];

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_datafusions() {
    for partitions in [1, 3, 8] {
        let (vanilla, staffa) = (session(partitions, false), session(partitions, true));
        for sql in QUERIES {
            let seen = report(&plan(&staffa, sql).await);
            assert!(seen.staffa_nodes() > 0, "{sql}: {:?}", seen.reasons());
            assert_eq!(rows(&staffa, sql).await, rows(&vanilla, sql).await, "{sql}");
        }
    }
}

/// Keys that the input is ordered by, here because they are constants of a union's branches.
#[tokio::test(flavor = "multi_thread")]
async fn aggregates_of_ordered_input_run_unless_a_function_may_see_the_order() {
    let query = |function: &str| {
        format!(
            "SELECT tag, day, {function} FROM (SELECT 'a' AS tag, name AS day, id FROM t \
             UNION ALL SELECT 'b' AS tag, name AS day, id FROM t WHERE id > 7) GROUP BY tag, day"
        )
    };
    for partitions in [1, 4] {
        let (vanilla, staffa) = (session(partitions, false), session(partitions, true));
        let counted = query("count(*), sum(id), avg(id), min(id), max(id)");
        let seen = report(&plan(&staffa, &counted).await);
        let stayed: Vec<String> =
            seen.reasons().into_iter().filter(|r| !r.contains("A007")).collect();
        assert!(stayed.is_empty(), "{stayed:?}");
        assert_eq!(rows(&staffa, &counted).await, rows(&vanilla, &counted).await);
        let listed = report(&plan(&staffa, &query("array_agg(id)")).await);
        let reasons = listed.reasons();
        let kept = |reason: &String| {
            reason.contains("A009 array_agg(") && reason.contains("may depend on the input's order")
        };
        assert!(reasons.iter().any(kept), "{reasons:?}");
    }
}

#[tokio::test]
async fn explain_names_the_place_or_the_reason() {
    let context = session(2, true);
    let plan = plan(&context, "SELECT id + 1 FROM t WHERE id > 5").await;
    let text = displayable(plan.as_ref()).indent(false).to_string();
    assert!(text.contains("ProjectionExec [cpu]: expr=[id@0 + 1 as t.id + Int64(1)]"), "{text}");
    assert!(text.contains("FilterExec [cpu]: id@0 > 5"), "{text}");
    assert!(text.contains("DataSourceExec [datafusion: A007 source]: partitions=4"), "{text}");
}

#[tokio::test]
async fn rewriting_twice_changes_nothing() {
    let context = session(2, true);
    let once = plan(&context, QUERIES[0]).await;
    let policy = Policy { config: StaffaConfig { min_rows: 0, ..StaffaConfig::default() } };
    let twice = rewrite(Arc::clone(&once), &policy).unwrap();
    let show = |plan: &Arc<dyn ExecutionPlan>| displayable(plan.as_ref()).indent(true).to_string();
    assert_eq!(show(&once), show(&twice));
}

#[tokio::test]
async fn disabled_or_small_plans_stay_as_they_are() {
    let context = session(2, true);
    for set in ["SET staffa.enabled = false", "SET staffa.min_rows = 1000000"] {
        let context = SessionContext::new_with_state(context.state());
        context.sql(set).await.unwrap().collect().await.unwrap();
        let seen = report(&plan(&context, QUERIES[0]).await);
        assert_eq!(seen.staffa_nodes(), 0, "{set}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_polled_late_twice_or_never_lose_no_rows() {
    let context = session(3, true);
    for sql in QUERIES {
        let plan = plan(&context, sql).await;
        let total: usize = count(&plan, &context, |_| true).await;
        // The same plan again, outputs in reverse order, each read to its end before the next.
        assert_eq!(count(&plan, &context, |_| true).await, total, "{sql}");
        let partitions = plan.output_partitioning().partition_count();
        // One output is dropped unread: the others end.
        for skipped in 0..partitions {
            let some = count(&plan, &context, |p| p != skipped).await;
            assert!(some <= total, "{sql}");
        }
    }
}

async fn count(
    plan: &Arc<dyn ExecutionPlan>,
    context: &SessionContext,
    wanted: impl Fn(usize) -> bool,
) -> usize {
    let partitions = plan.output_partitioning().partition_count();
    let mut streams: Vec<_> = (0..partitions)
        .map(|p| plan.execute(p, context.task_ctx()).unwrap())
        .enumerate()
        .filter(|(p, _)| wanted(*p))
        .collect();
    let mut rows = 0;
    while let Some((_, mut stream)) = streams.pop() {
        let read = async {
            while let Some(batch) = stream.next().await {
                rows += batch.unwrap().num_rows();
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), read).await.expect("a deadlock");
    }
    rows
}
