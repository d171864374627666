//! TPC-H at scale 0.01: 22 queries on Staffa equal stock DataFusion's and DuckDB's answers, and
//! all their nodes but the scalar-subquery wrapper run on Staffa.

#![expect(clippy::expect_used, clippy::panic, reason = "a helper of tests fails by panicking")]

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use staffa::{Place, report};
use staffa_harness::compare::{Answer, Rules, compare};
use staffa_harness::{Engine, Run, SessionOptions, Workload, run_query, tpch};

const SCALE: f64 = 0.01;

/// The nodes that may stay with DataFusion: the wrapper that hands on the values of scalar
/// subqueries.
const STAY: [&str; 1] = ["ScalarSubqueryExec"];

fn workload() -> Workload {
    let folder = tpch::prepare(&tpch::data_dir(), SCALE, &|_| {}).expect("TPC-H data");
    let all: Vec<usize> = (1..=22).collect();
    tpch::workload(&folder, SCALE, &all).expect("22 queries")
}

/// Runs all queries, in order.
fn run_all(engine: Engine, partitions: usize) -> Vec<(String, Run)> {
    let workload = workload();
    let options =
        SessionOptions { target_partitions: Some(partitions), ..SessionOptions::default() };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let ctx = engine.session(&options).expect("a session");
        workload.register(&ctx).await.expect("tables");
        let mut runs = Vec::new();
        for query in &workload.queries {
            let run = run_query(&ctx, &query.sql).await;
            runs.push((query.name.clone(), run.unwrap_or_else(|e| panic!("{}: {e}", query.name))));
        }
        runs
    })
}

fn equals_stock(partitions: usize) {
    let stock = run_all(Engine::DataFusion, partitions);
    let staffa = run_all(Engine::Cpu, partitions);
    assert_eq!(stock.len(), 22);
    let mut problems = Vec::new();
    for ((name, expected), (_, actual)) in stock.iter().zip(&staffa) {
        let rules = Rules { order: expected.order.clone(), ..Rules::default() };
        let comparison = compare(&expected.answer, &actual.answer, &rules).expect("comparable");
        if !comparison.is_equal() {
            problems.push(format!("{name}: {}", comparison.render("DataFusion", "Staffa")));
        }
        if report(&actual.plan).staffa_nodes() == 0 {
            problems.push(format!("{name}: no Staffa node ran, so the comparison says nothing"));
        }
    }
    assert!(problems.is_empty(), "{partitions} partitions:\n{}", problems.join("\n"));
}

#[test]
fn equals_stock_with_one_partition() {
    equals_stock(1);
}

#[test]
fn equals_stock_with_two_partitions() {
    equals_stock(2);
}

#[test]
fn equals_stock_with_eight_partitions() {
    equals_stock(8);
}

#[test]
fn only_subquery_wrappers_stay_with_datafusion() {
    let mut stayed = Vec::new();
    for partitions in [1, 2, 8] {
        for (name, run) in run_all(Engine::Cpu, partitions) {
            for node in report(&run.plan).nodes {
                if node.place == Place::DataFusion && !STAY.contains(&node.name.as_str()) {
                    let reason = node.reason.unwrap_or_else(|| "no reason".to_string());
                    stayed
                        .push(format!("{name}, {partitions} partitions: {} ({reason})", node.name));
                }
            }
        }
    }
    assert!(stayed.is_empty(), "nodes left to DataFusion:\n{}", stayed.join("\n"));
}

#[test]
fn equals_duckdb() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tpch/answers");
    let mut problems = Vec::new();
    for (number, (name, run)) in run_all(Engine::Cpu, 2).into_iter().enumerate() {
        let expected = duckdb_rows(&folder.join(format!("q{:02}.csv", number + 1)));
        let actual = text_rows(&run.answer);
        if let Some(text) = difference(&expected, &actual) {
            problems.push(format!("{name}: {text}"));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// The committed answer, every cell as text, NULL as `None`.
fn duckdb_rows(path: &Path) -> Vec<Vec<Option<String>>> {
    let header = std::fs::read_to_string(path).expect("an answer");
    let names = header.lines().next().expect("a header").split(',');
    let fields: Vec<Field> = names.map(|n| Field::new(n, DataType::Utf8, true)).collect();
    let reader = arrow::csv::ReaderBuilder::new(Arc::new(Schema::new(fields)))
        .with_header(true)
        .build(File::open(path).expect("an answer"))
        .expect("a CSV file");
    let batches: Vec<RecordBatch> = reader.map(|b| b.expect("rows")).collect();
    batches.iter().flat_map(rows_of).collect()
}

fn text_rows(answer: &Answer) -> Vec<Vec<Option<String>>> {
    answer.batches.iter().flat_map(rows_of).collect()
}

fn rows_of(batch: &RecordBatch) -> Vec<Vec<Option<String>>> {
    let columns: Vec<_> =
        batch.columns().iter().map(|c| cast(c, &DataType::Utf8).expect("text")).collect();
    (0..batch.num_rows())
        .map(|row| {
            columns
                .iter()
                .map(|c| (!c.is_null(row)).then(|| c.as_string::<i32>().value(row).to_string()))
                .map(|cell| cell.filter(|text| !text.is_empty()))
                .collect()
        })
        .collect()
}

/// Rows as multisets: what ties in ORDER BY may stand in any order, and stock DataFusion's order
/// is checked elsewhere.
fn difference(expected: &[Vec<Option<String>>], actual: &[Vec<Option<String>>]) -> Option<String> {
    if expected.len() != actual.len() {
        return Some(format!("{} rows from DuckDB, {} from Staffa", expected.len(), actual.len()));
    }
    let mut open: Vec<usize> = (0..actual.len()).collect();
    for row in expected {
        let agrees = |&&i: &&usize| {
            row.len() == actual[i].len() && row.iter().zip(&actual[i]).all(|(a, b)| close(a, b))
        };
        let Some(&partner) = open.iter().find(agrees) else {
            return Some(format!(
                "DuckDB's row {row:?} is not among Staffa's, e.g. {:?}",
                actual[open[0]]
            ));
        };
        open.retain(|&i| i != partner);
    }
    None
}

/// Text must be equal. Numbers may differ by 1e-6, because DataFusion averages decimals to six
/// digits where DuckDB makes a double, or by a relative 1e-9, the noise of double sums.
fn close(a: &Option<String>, b: &Option<String>) -> bool {
    let number = |t: &Option<String>| t.as_ref().and_then(|t| t.parse::<f64>().ok());
    match (number(a), number(b)) {
        (Some(x), Some(y)) => (x - y).abs() <= 1e-6_f64.max(1e-9 * x.abs().max(y.abs())),
        _ => a == b,
    }
}
