//! A LIMIT that leaves a choice is compared as a query that leaves none, and differences still show.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic, its helpers too")]

use datafusion::prelude::SessionContext;
use staffa_harness::compare::{Tolerance, compare_runs};
use staffa_harness::run_query;

/// A session whose table `t` holds these rows in this order, all in one batch.
async fn session(rows: &str) -> SessionContext {
    let ctx = SessionContext::new();
    let sql = format!("CREATE TABLE t AS SELECT * FROM (VALUES {rows}) AS v (a, b, c)");
    ctx.sql(&sql).await.unwrap().collect().await.unwrap();
    ctx
}

async fn equal(sql: &str, left: &str, right: &str) -> bool {
    let (l, r) = (session(left).await, session(right).await);
    let (a, b) = (run_query(&l, sql).await.unwrap(), run_query(&r, sql).await.unwrap());
    compare_runs(sql, (&l, &a), (&r, &b), Tolerance::default()).await.unwrap().is_equal()
}

/// Three rows that tie in `a`, in two orders.
const FORWARD: &str = "(1, 10, 0.5), (1, 20, 0.25), (1, 30, 0.125), (2, 40, 1.5)";
const BACKWARD: &str = "(2, 40, 1.5), (1, 30, 0.125), (1, 20, 0.25), (1, 10, 0.5)";
/// As the first, but for one cell.
const OTHER: &str = "(2, 40, 1.5), (1, 30, 0.125), (1, 20, 0.25), (1, 11, 0.5)";
/// As the first, but for a key.
const OTHER_KEY: &str = "(1, 40, 1.5), (0, 30, 0.125), (1, 20, 0.25), (1, 10, 0.5)";

#[tokio::test]
async fn rows_that_tie_may_be_chosen_freely() {
    for sql in [
        "SELECT * FROM t ORDER BY a LIMIT 1",
        "SELECT * FROM t LIMIT 2",
        "SELECT b FROM t ORDER BY a LIMIT 1 OFFSET 1",
        "SELECT b, count(*) AS n FROM t GROUP BY b ORDER BY n DESC LIMIT 2",
    ] {
        assert!(equal(sql, FORWARD, BACKWARD).await, "{sql}");
    }
}

#[tokio::test]
async fn rows_that_are_wrong_still_differ() {
    for sql in [
        "SELECT * FROM t ORDER BY a LIMIT 3",
        "SELECT * FROM t LIMIT 4",
        "SELECT b FROM t ORDER BY a LIMIT 3",
        "SELECT b FROM t",
    ] {
        assert!(!equal(sql, FORWARD, OTHER).await, "{sql}");
    }
    let sql = "SELECT a, c FROM t ORDER BY a LIMIT 1";
    assert!(!equal(sql, FORWARD, OTHER_KEY).await, "the key that was asked for differs");
}
