//! The order by keys that are not selected is compared, where it leaves no choice.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic, its helpers too")]

use arrow::array::UInt64Array;
use arrow::compute::{concat_batches, take_record_batch};
use datafusion::prelude::SessionContext;
use staffa_harness::compare::{Answer, Rules, compare, compare_hidden, revealed};
use staffa_harness::run_query;

async fn session() -> SessionContext {
    let ctx = SessionContext::new();
    let rows = "(1, 4, 'd'), (1, 3, 'c'), (2, 2, 'b'), (2, 1, 'a'), (NULL, 0, 'e')";
    let sql = format!("CREATE TABLE t AS SELECT * FROM (VALUES {rows}) AS v (a, b, c)");
    ctx.sql(&sql).await.unwrap().collect().await.unwrap();
    ctx
}

/// Whether the order is found to be right when these two rows of DataFusion's answer change places;
/// none where nothing is compared.
async fn swapped(sql: &str, x: usize, y: usize) -> Option<bool> {
    let ctx = session().await;
    let run = run_query(&ctx, sql).await.unwrap();
    let rules = Rules { order: run.order.clone(), ..Rules::default() };
    let whole = concat_batches(&run.answer.schema, &run.answer.batches).unwrap();
    let mut rows: Vec<u64> = (0..whole.num_rows() as u64).collect();
    rows.swap(x, y);
    let batch = take_record_batch(&whole, &UInt64Array::from(rows)).unwrap();
    let other = Answer { schema: run.answer.schema.clone(), batches: vec![batch] };
    let blind = compare(&run.answer, &other, &rules).unwrap();
    assert!(blind.is_equal(), "{sql}: the keys that are shown must not tell");
    let plan = ctx.state().create_logical_plan(sql).await.unwrap();
    let comparison = compare_hidden(&ctx, &plan, &other, &rules).await.unwrap()?;
    let text = comparison.render("datafusion", "staffa");
    assert_eq!(text.contains("keys that are not selected"), !comparison.is_equal(), "{text}");
    Some(comparison.is_equal())
}

/// The planted fault: two rows that have changed places.
#[tokio::test]
async fn rows_that_do_not_tie_have_one_place() {
    for sql in [
        "SELECT c FROM t ORDER BY b",
        "SELECT c FROM t ORDER BY -b",
        "SELECT c FROM t ORDER BY b + 1",
        "SELECT c FROM t ORDER BY a NULLS FIRST, b DESC LIMIT 3",
        "SELECT c FROM t ORDER BY b LIMIT 3 OFFSET 1",
        "SELECT upper(c) FROM t ORDER BY b % 5 DESC",
        "SELECT c FROM t GROUP BY c ORDER BY max(b)",
        "SELECT c, b FROM t ORDER BY c || 'x'",
        "SELECT c FROM (SELECT * FROM t ORDER BY b LIMIT 4) ORDER BY b",
    ] {
        assert_eq!(swapped(sql, 0, 1).await, Some(false), "{sql}");
        assert_eq!(swapped(sql, 1, 1).await, Some(true), "{sql}");
    }
}

#[tokio::test]
async fn rows_that_tie_may_change_places_and_only_they() {
    let sql = "SELECT c FROM t ORDER BY a";
    assert_eq!(swapped(sql, 0, 1).await, Some(true));
    assert_eq!(swapped(sql, 2, 3).await, Some(true));
    assert_eq!(swapped(sql, 1, 2).await, Some(false));
}

#[tokio::test]
async fn nothing_is_asked_where_nothing_is_hidden() {
    let ctx = session().await;
    for sql in [
        "SELECT c FROM t",
        "SELECT b, c FROM t ORDER BY b, c LIMIT 2",
        "SELECT c FROM t ORDER BY random()",
        "SELECT * FROM (SELECT c FROM t ORDER BY b)",
    ] {
        let plan = ctx.state().create_logical_plan(sql).await.unwrap();
        assert!(revealed(&plan).unwrap().is_none(), "{sql}");
    }
}
