//! The data is what TPC-H says, the queries plan, and a broken run leaves nothing behind.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic, its helpers too")]

use std::sync::Mutex;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use datafusion::prelude::SessionContext;
use staffa_harness::compare::Order;
use staffa_harness::tpch::{self, Table};
use staffa_harness::{Engine, SessionOptions, run_query};

async fn registered(folder: &std::path::Path, scale: f64) -> SessionContext {
    let ctx = Engine::DataFusion.session(&SessionOptions::default()).unwrap();
    let numbers: Vec<usize> = (1..=22).collect();
    tpch::workload(folder, scale, &numbers).unwrap().register(&ctx).await.unwrap();
    ctx
}

async fn count(ctx: &SessionContext, sql: &str) -> i64 {
    let run = run_query(ctx, sql).await.unwrap();
    run.answer.batches[0].column(0).as_primitive::<Int64Type>().value(0)
}

#[tokio::test]
async fn tables_have_the_rows_of_the_specification_and_every_query_answers() {
    let data = tempfile::tempdir().unwrap();
    let last = Mutex::new(0);
    let folder = tpch::prepare(data.path(), 0.01, &|progress| {
        let mut last = last.lock().unwrap();
        *last = progress.rows_done.max(*last);
    })
    .unwrap();
    let ctx = registered(&folder, 0.01).await;
    let mut all = 0;
    for table in Table::ALL {
        let rows = count(&ctx, &format!("SELECT count(*) FROM {}", table.name())).await;
        // 60,175 is the row count of lineitem at scale 0.01 in dbgen's own output.
        let expected = if table == Table::Lineitem { 60_175 } else { table.rows(0.01) };
        assert_eq!(rows as u64, expected, "{}", table.name());
        all += expected;
    }
    assert_eq!(*last.lock().unwrap(), all);
    // Referential integrity across the parts that were generated apart.
    let orphans = "SELECT count(*) FROM lineitem LEFT JOIN orders ON l_orderkey = o_orderkey \
                   WHERE o_orderkey IS NULL";
    assert_eq!(count(&ctx, orphans).await, 0);
    for (index, sql) in tpch::QUERIES.iter().enumerate() {
        let run = run_query(&ctx, sql).await.unwrap_or_else(|e| panic!("q{}: {e}", index + 1));
        let ordered = ![6, 14, 17, 19].contains(&(index + 1));
        assert_eq!(run.order != Order::Any, ordered, "q{}", index + 1);
    }
}

#[test]
fn data_is_made_once_and_nothing_else_is_left() {
    let data = tempfile::tempdir().unwrap();
    let first = tpch::prepare(data.path(), 0.001, &|_| {}).unwrap();
    let again = tpch::prepare(data.path(), 0.001, &|_| panic!("made twice")).unwrap();
    assert_eq!(first, again);
    assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 1);
    assert!(tpch::prepare(data.path(), 0.0, &|_| {}).is_err());
    assert!(tpch::prepare(data.path(), f64::NAN, &|_| {}).is_err());
}

#[test]
fn a_failed_run_is_not_taken_for_data() {
    let data = tempfile::tempdir().unwrap();
    let broken = std::panic::catch_unwind(|| {
        let _ = tpch::prepare(data.path(), 0.001, &|_| panic!("disk full"));
    });
    assert!(broken.is_err());
    assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 0);
    assert!(tpch::prepare(data.path(), 0.001, &|_| {}).unwrap().join("region").is_dir());
}

#[test]
fn unknown_queries_are_refused() {
    assert!(tpch::workload(std::path::Path::new("."), 1.0, &[23]).is_err());
    assert!(tpch::workload(std::path::Path::new("."), 1.0, &[0]).is_err());
}

#[tokio::test]
async fn the_order_of_a_query_is_read_from_its_plan() {
    let ctx = SessionContext::new();
    let order = |sql: &'static str| {
        let ctx = ctx.clone();
        async move { run_query(&ctx, sql).await.unwrap().order }
    };
    let t = "FROM (VALUES (1, 2, 3.0), (2, 1, 4.0)) AS t (a, b, c)";
    let sql = |select: &str, tail: &str| -> &'static str {
        Box::leak(format!("SELECT {select} {t} {tail}").into_boxed_str())
    };
    assert_eq!(order(sql("a, b", "")).await, Order::Any);
    assert_eq!(order(sql("a, b", "ORDER BY b, a")).await, Order::Columns(vec![1, 0]));
    assert_eq!(order(sql("a, b", "ORDER BY b DESC LIMIT 1")).await, Order::Columns(vec![1]));
    // A key outside the SELECT list ends the list; an alias is followed.
    assert_eq!(order(sql("b AS x", "ORDER BY b, a")).await, Order::Columns(vec![0]));
    assert_eq!(order(sql("b", "ORDER BY a, b")).await, Order::Columns(vec![]));
    assert_eq!(order(sql("a, b", "ORDER BY a + b, a")).await, Order::Columns(vec![]));
}
