//! ClickBench on 20,000 rows: 43 queries on Staffa equal stock DataFusion's answers, and all their
//! nodes run on Staffa.

#![expect(clippy::expect_used, clippy::panic, reason = "a helper of tests fails by panicking")]

use datafusion::prelude::SessionContext;
use staffa::{Place, report};
use staffa_harness::compare::{Tolerance, compare_runs};
use staffa_harness::{Engine, SessionOptions, clickbench, data_dir, run_query};

const SCALE: f64 = 0.002;

/// What the queries count on at 100 million rows, and what leaves rows to compare at 20,000.
const SMALLER: [(&str, &str); 4] = [
    ("COUNT(*) > 100000", "COUNT(*) > 50"),
    ("OFFSET 10000", "OFFSET 1"),
    ("OFFSET 1000", "OFFSET 1"),
    ("OFFSET 100", "OFFSET 1"),
];

/// What DataFusion answers from the files' footers: no node that reads is left to accelerate.
const ANSWERED_BY_STATISTICS: [&str; 2] = ["q0", "q6"];

async fn session(engine: Engine, partitions: usize) -> SessionContext {
    let options =
        SessionOptions { target_partitions: Some(partitions), ..SessionOptions::default() };
    let ctx = engine.session(&options).expect("a session");
    let folder = clickbench::prepare(&data_dir(), SCALE, &|_| {}).expect("ClickBench data");
    let workload = clickbench::workload(&folder, SCALE, &[]).expect("the table");
    workload.register(&ctx).await.expect("tables");
    ctx
}

fn queries() -> Vec<(String, String)> {
    let all: Vec<usize> = (0..clickbench::QUERIES.len()).collect();
    let workload = clickbench::workload(std::path::Path::new(""), SCALE, &all).expect("43 queries");
    let smaller = |sql: String| {
        SMALLER.iter().fold(sql, |sql, (large, small)| match sql.contains(large) {
            true => sql.replace(large, small),
            false => sql,
        })
    };
    workload.queries.into_iter().map(|query| (query.name, smaller(query.sql))).collect()
}

async fn equals_stock(partitions: usize) {
    let stock = session(Engine::DataFusion, partitions).await;
    let staffa = session(Engine::Cpu, partitions).await;
    let (mut problems, mut empty) = (vec![], vec![]);
    for (name, sql) in queries() {
        let expected = run_query(&stock, &sql).await.unwrap_or_else(|e| panic!("{name}: {e}"));
        let actual = run_query(&staffa, &sql).await.unwrap_or_else(|e| panic!("{name}: {e}"));
        let (left, right) = ((&stock, &expected), (&staffa, &actual));
        let comparison = compare_runs(&sql, left, right, Tolerance::default()).await;
        let comparison = comparison.unwrap_or_else(|e| panic!("{name}: {e}"));
        if !comparison.is_equal() {
            problems.push(format!("{name}: {}", comparison.render("DataFusion", "Staffa")));
        }
        if expected.answer.rows() == 0 {
            empty.push(name.clone());
        }
        if ANSWERED_BY_STATISTICS.contains(&name.as_str()) {
            continue;
        }
        for node in report(&actual.plan).nodes {
            if node.place == Place::DataFusion {
                let reason = node.reason.unwrap_or_else(|| "no reason".to_string());
                problems.push(format!("{name}: {} stays with DataFusion: {reason}", node.name));
            }
        }
    }
    assert!(problems.is_empty(), "{partitions} partitions:\n{}", problems.join("\n"));
    assert!(empty.is_empty(), "these answers have no rows, so they say nothing: {empty:?}");
}

#[tokio::test]
async fn equals_stock_with_one_partition() {
    equals_stock(1).await;
}

#[tokio::test]
async fn equals_stock_with_four_partitions() {
    equals_stock(4).await;
}
