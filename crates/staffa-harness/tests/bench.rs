//! The report has the agreed shape, and says when it proves nothing.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic, its helpers too")]

use staffa_harness::bench::{Format, Options, Report, Runs, bench};
use staffa_harness::compare::Tolerance;
use staffa_harness::python::PythonOptions;
use staffa_harness::{Engine, NamedQuery, SessionOptions, Workload};

async fn measure(queries: &[(&str, &str)], engines: &[Engine], runs: Runs) -> Report {
    let named =
        |(name, sql): &(&str, &str)| NamedQuery { name: name.to_string(), sql: sql.to_string() };
    let workload = Workload {
        name: "sums".to_string(),
        queries: queries.iter().map(named).collect(),
        tables: vec![],
    };
    let options = Options {
        engines: engines.to_vec(),
        session: SessionOptions { target_partitions: Some(2), ..SessionOptions::default() },
        runs,
        tolerance: Tolerance::default(),
        python: PythonOptions::default(),
    };
    bench(&workload, &options, &|_| {}).await.unwrap()
}

const SUM: (&str, &str) = ("sum", "SELECT sum(value) FROM generate_series(1, 1000)");

#[tokio::test]
async fn the_json_has_the_agreed_fields() {
    let report = measure(&[SUM], &[Engine::DataFusion, Engine::Cpu], Runs::Fixed(3)).await;
    let json = report.render(Format::Json).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let keys = |value: &serde_json::Value| -> Vec<String> {
        value.as_object().unwrap().keys().cloned().collect()
    };
    assert_eq!(keys(&json), ["machine", "queries", "summary"]);
    let mut expected = vec![
        "workload",
        "query",
        "engine",
        "median_ms",
        "runs_ms",
        "ratio_to_datafusion",
        "equal",
        "rows",
        "staffa_nodes",
        "gpu_nodes",
        "gpu_morsels",
        "places",
        "datafusion_nodes",
        "reasons",
    ];
    expected.sort_unstable();
    let vanilla = &json["queries"][0];
    let mut found = keys(vanilla);
    found.sort_unstable();
    assert_eq!(found, expected);
    assert_eq!(vanilla["engine"], "datafusion");
    assert_eq!(vanilla["ratio_to_datafusion"], 1.0);
    assert_eq!(vanilla["rows"], 1);
    assert_eq!(vanilla["staffa_nodes"], 0);
    let cpu = &json["queries"][1];
    assert_eq!(cpu["equal"], true);
    assert_eq!(cpu["runs_ms"].as_array().unwrap().len(), 3);
    assert!(cpu["ratio_to_datafusion"].as_f64().unwrap() > 0.0);
    let mut summary = keys(&json["summary"][1]);
    summary.sort_unstable();
    assert_eq!(summary, ["engine", "geomean_ratio", "queries", "ratio_total", "total_ms"]);
}

#[tokio::test]
async fn short_queries_get_fifteen_runs() {
    let report = measure(&[SUM], &[Engine::DataFusion], Runs::Auto).await;
    assert_eq!(report.queries[0].runs_ms.len(), 15);
}

#[tokio::test]
async fn a_failing_query_is_reported_and_left_out_of_the_totals() {
    let bad = ("bad", "SELECT CAST('x' || value AS INT) FROM generate_series(1, 3)");
    let report = measure(&[bad, SUM], &[Engine::DataFusion, Engine::Cpu], Runs::Fixed(1)).await;
    assert_eq!(report.queries[0].verdict(), "failed");
    assert!(report.problems()[0].contains("bad on datafusion: failed"), "{:?}", report.problems());
    let sum = report.queries[2].median_ms.unwrap();
    assert!((report.summary[0].total_ms - sum).abs() < 1e-9);
    for format in [Format::Table, Format::Html] {
        assert!(report.render(format).unwrap().contains("failed"));
    }
}

#[tokio::test]
async fn answers_are_compared_even_when_datafusion_is_not_timed() {
    let random = ("random", "SELECT random() AS r, * FROM generate_series(1, 3)");
    let report = measure(&[random, SUM], &[Engine::Cpu], Runs::Fixed(1)).await;
    assert_eq!(report.queries[0].verdict(), "DIFFERENT");
    assert!(report.queries[0].problem.as_ref().unwrap().contains("only cpu [row 0]: r="));
    assert!(report.queries[1].equal);
    assert_eq!(report.queries[1].ratio_to_datafusion, None);
    assert_eq!(report.summary[0].ratio_total, None);
}

#[tokio::test]
async fn a_plan_without_staffa_nodes_is_vacuous() {
    // No engine ever takes DDL-like metadata queries.
    let schema = ("explain", "EXPLAIN SELECT 1");
    let report = measure(&[schema], &[Engine::DataFusion, Engine::Cpu], Runs::Fixed(1)).await;
    let cpu = &report.queries[1];
    assert_eq!(cpu.staffa_nodes, 0);
    assert!(cpu.is_vacuous());
    assert_eq!(report.problems().len(), 1);
    assert!(!report.queries[0].is_vacuous());
}

#[tokio::test]
async fn pages_need_nothing_from_elsewhere() {
    let report = measure(&[SUM], &[Engine::DataFusion, Engine::Cpu], Runs::Fixed(1)).await;
    let page = report.render(Format::Html).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
    for outside in ["http:", "https:", "<script", "<link", "src=", "@import", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
    let table = report.render(Format::Table).unwrap();
    assert!(table.contains("staffa/all nodes") && table.contains("geomean"), "{table}");
}

#[tokio::test]
async fn senseless_options_are_refused() {
    let workload = Workload { name: String::new(), queries: vec![], tables: vec![] };
    let mut options = Options {
        engines: vec![],
        session: SessionOptions::default(),
        runs: Runs::Auto,
        tolerance: Tolerance::default(),
        python: PythonOptions::default(),
    };
    assert!(bench(&workload, &options, &|_| {}).await.is_err());
    if let Err(reason) = staffa::gpu(&staffa::StaffaConfig::default()) {
        options.engines = vec![Engine::Gpu];
        let error = bench(&workload, &options, &|_| {}).await.unwrap_err().to_string();
        assert!(error.contains(&format!("engine 'gpu': {reason}")), "{error}");
    }
}
