//! `staffa bench` makes data once, measures, and judges.

use crate::common::{DATA, Outcome, staffa, staffa_on_gpu};

fn bench(data: &str, more: &[&str]) -> Outcome {
    let first = ["bench", "tpch", "--scale", "0.001", "--data-dir", data];
    staffa(&[&first, more].concat())
}

#[test]
fn the_json_is_on_standard_output_and_progress_is_not() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().to_str().unwrap();
    let arguments =
        ["--queries", "1,6", "--engines", "datafusion", "--runs", "2", "--format", "json"];
    let outcome = bench(folder, &arguments);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    assert!(outcome.stderr.starts_with("making TPC-H data of scale 0.001"), "{}", outcome.stderr);
    let json: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    let queries = json["queries"].as_array().unwrap();
    let names: Vec<_> = queries.iter().map(|q| q["query"].as_str().unwrap()).collect();
    assert_eq!(names, ["q1", "q6"]);
    assert_eq!(queries[0]["workload"], "tpch-sf0.001");
    assert_eq!(queries[0]["rows"], 4);
    assert_eq!(queries[1]["runs_ms"].as_array().unwrap().len(), 2);
    let again = bench(folder, &arguments);
    assert_eq!(again.stderr, "", "the data is made once");
}

#[test]
fn an_accelerated_engine_is_judged_from_its_plan() {
    let arguments = ["--queries", "3", "--runs", "1", "--format", "json", "--partitions", "2"];
    let outcome = bench(DATA, &arguments);
    let json: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    let cpu = &json["queries"][1];
    assert_eq!((&cpu["engine"], &cpu["equal"]), (&"cpu".into(), &true.into()));
    let vacuous = cpu["staffa_nodes"] == 0;
    assert_eq!(outcome.code, i32::from(vacuous), "{}", outcome.stderr);
    assert_eq!(outcome.stderr.contains("q3 on cpu: vacuous"), vacuous, "{}", outcome.stderr);
}

#[test]
fn reports_can_be_written_to_files() {
    let data = tempfile::tempdir().unwrap();
    let page = data.path().join("report.html");
    let path = page.to_str().unwrap();
    let arguments = ["--queries", "6", "--engines", "datafusion", "--runs", "1"];
    let outcome = bench(DATA, &[&arguments[..], &["--format", "html", "--output", path]].concat());
    assert_eq!((outcome.code, outcome.stdout.as_str()), (0, ""));
    assert!(std::fs::read_to_string(page).unwrap().contains("<td>q6</td>"));
    let table = bench(DATA, &arguments).stdout;
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("tpch-sf0.001 on "), "{table}");
    assert_eq!(
        lines[2].split_whitespace().collect::<Vec<_>>(),
        ["query", "rows", "datafusion", "ms"]
    );
    assert!(lines[3].starts_with("q6") && lines[4].starts_with("total"), "{table}");
}

#[test]
fn an_engine_that_this_machine_lacks_is_named_before_data_are_made() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().to_str().unwrap();
    let outcome = bench(folder, &["--engines", "datafusion,gpu"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (1, ""));
    assert!(outcome.stderr.contains("engine 'gpu': A015 "), "{}", outcome.stderr);
    assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 0);
}

/// Beside others they are left out with a line; alone, there is nothing to measure.
#[test]
fn an_engine_that_python_lacks_is_said() {
    let said = "cannot start '/nowhere/python3'";
    let arguments = ["--queries", "6", "--runs", "1", "--python", "/nowhere/python3", "--engines"];
    let beside = bench(DATA, &[&arguments[..], &["datafusion,polars"]].concat());
    assert_eq!(beside.code, 0, "{}", beside.stderr);
    assert!(beside.stderr.contains(said) && beside.stdout.contains(said), "{}", beside.stdout);
    let alone = bench(DATA, &[&arguments[..], &["duckdb,polars"]].concat());
    assert_eq!((alone.code, alone.stdout.as_str()), (1, ""));
    assert!(alone.stderr.contains("engine 'duckdb'"), "{}", alone.stderr);
    assert!(alone.stderr.contains("engine 'polars'"), "{}", alone.stderr);
}

#[test]
fn clickbench_counts_its_queries_from_0() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().to_str().unwrap();
    let arguments = ["bench", "clickbench", "--scale", "0.001", "--data-dir", folder];
    let more = ["--queries", "0,7,24", "--runs", "1", "--format", "json"];
    let outcome = staffa(&[&arguments[..], &more].concat());
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    assert!(outcome.stderr.starts_with("making ClickBench data of scale 0.001"));
    let json: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    let queries = json["queries"].as_array().unwrap();
    let seen: Vec<_> =
        queries.iter().map(|q| (q["query"].as_str().unwrap(), &q["equal"])).collect();
    let equal = serde_json::Value::Bool(true);
    assert_eq!(seen, ["q0", "q0", "q7", "q7", "q24", "q24"].map(|name| (name, &equal)));
}

#[test]
fn tpcds_without_data_names_the_script_that_makes_them() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().to_str().unwrap();
    let outcome = staffa(&["bench", "tpcds", "--scale", "0.5", "--data-dir", folder]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (1, ""));
    assert!(
        outcome.stderr.contains("scripts/tpcds-data --scale 0.5 makes it"),
        "{}",
        outcome.stderr
    );
}

/// Some of the queries as a user would compare the engines, each node of each on the device but what starts a scalar
/// subquery, or it would be an error.
#[test]
fn the_gpu_equals_datafusion_and_every_node_is_on_it() {
    let command = ["bench", "tpch", "--scale", "0.01", "--data-dir", DATA];
    let what = ["--queries", "1,6,13,18,22", "--engines", "datafusion,gpu"];
    let how = ["--runs", "1", "--partitions", "2", "--format", "json"];
    let arguments = [&command[..], &what, &how].concat();
    let strict = [("STAFFA_ON_UNSUPPORTED", "error")];
    let Some(outcome) = staffa_on_gpu(&arguments, &strict) else { return };
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    let json: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    let on_gpu: Vec<_> =
        json["queries"].as_array().unwrap().iter().filter(|q| q["engine"] == "gpu").collect();
    assert_eq!(on_gpu.len(), 5);
    for result in on_gpu {
        assert_eq!(result["equal"], true, "{result}");
        assert!(result["gpu_morsels"].as_u64().unwrap() > 0, "{result}");
        let places = result["places"].as_array().unwrap().iter().map(|p| p.as_str().unwrap());
        let elsewhere: Vec<_> = places.filter(|place| !place.ends_with(" gpu:0")).collect();
        let starts = elsewhere.iter().all(|place| place.starts_with("ScalarSubqueryExec "));
        assert!(starts && elsewhere.len() < 2, "{elsewhere:?}");
    }
}
