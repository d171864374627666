//! The table has the shape that the queries ask about, and the same one every time.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic, its helpers too")]

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use datafusion::prelude::SessionContext;
use staffa_harness::{Engine, SessionOptions, clickbench, run_query};

const SCALE: f64 = 0.01;

async fn registered(folder: &std::path::Path) -> SessionContext {
    let ctx = Engine::DataFusion.session(&SessionOptions::default()).unwrap();
    clickbench::workload(folder, SCALE, &[]).unwrap().register(&ctx).await.unwrap();
    ctx
}

/// Rows for which `condition` holds.
async fn count(ctx: &SessionContext, condition: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM hits WHERE {condition}");
    let run = run_query(ctx, &sql).await.unwrap();
    run.answer.batches[0].column(0).as_primitive::<Int64Type>().value(0)
}

async fn distinct(ctx: &SessionContext, column: &str) -> i64 {
    let sql = format!("SELECT count(DISTINCT \"{column}\") FROM hits");
    let run = run_query(ctx, &sql).await.unwrap();
    run.answer.batches[0].column(0).as_primitive::<Int64Type>().value(0)
}

/// The original's shares, in parts of 100,000 rows, each with room for chance and for our shapes.
#[tokio::test]
async fn rows_are_distributed_as_in_the_original() {
    let data = tempfile::tempdir().unwrap();
    let folder = clickbench::prepare(data.path(), SCALE, &|_| {}).unwrap();
    let ctx = registered(&folder).await;
    let table = ctx.table("hits").await.unwrap();
    let fields = table.schema().fields();
    assert_eq!(fields.len(), 105);
    assert!(fields.iter().all(|field| !field.is_nullable()));
    assert_eq!(count(&ctx, "true").await, 100_000);
    for (condition, low, high) in [
        ("\"SearchPhrase\" <> ''", 10_000, 17_000),
        ("\"URL\" LIKE '%google%'", 5, 40),
        ("\"Title\" LIKE '%Google%' AND \"URL\" NOT LIKE '%.google.%'", 20, 2_000),
        ("\"AdvEngineID\" <> 0", 500, 800),
        ("\"MobilePhoneModel\" <> ''", 4_000, 10_000),
        ("\"Referer\" <> ''", 70_000, 95_000),
        ("\"CounterID\" = 62", 600, 900),
        ("\"CounterID\" = 62 AND \"URLHash\" = 2868770270353813622", 20, 400),
        ("\"CounterID\" = 62 AND \"RefererHash\" = 3594120000172545465", 10, 400),
        ("\"UserID\" = 435090932899640449", 1, 60),
        ("\"EventDate\" BETWEEN 15887 AND 15917", 100_000, 100_000),
    ] {
        let rows = count(&ctx, condition).await;
        assert!((low..=high).contains(&rows), "{condition}: {rows} rows, not {low} to {high}");
    }
    for (column, low, high) in [
        ("UserID", 14_000, 22_000),
        ("SearchPhrase", 4_500, 8_500),
        ("URL", 14_000, 45_000),
        ("WatchID", 100_000, 100_000),
        ("RegionID", 1_000, 9_000),
        ("CounterID", 4_000, 6_500),
    ] {
        let values = distinct(&ctx, column).await;
        assert!((low..=high).contains(&values), "{column}: {values} values, not {low} to {high}");
    }
}

#[test]
fn the_same_scale_makes_the_same_bytes() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let bytes = |data: &tempfile::TempDir| {
        let folder = clickbench::prepare(data.path(), 0.0005, &|_| {}).unwrap();
        std::fs::read(folder.join("hits/part-00000.parquet")).unwrap()
    };
    assert!(bytes(&first) == bytes(&second));
}

#[test]
fn unknown_queries_and_scales_are_refused() {
    assert!(clickbench::workload(std::path::Path::new("."), 1.0, &[0, 42]).is_ok());
    assert!(clickbench::workload(std::path::Path::new("."), 1.0, &[43]).is_err());
    assert!(clickbench::prepare(std::path::Path::new("."), -1.0, &|_| {}).is_err());
}
