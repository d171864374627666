//! `staffa sql` does what datafusion-cli does, with Staffa in the session.

use crate::common::{staffa, staffa_in};

#[test]
fn commands_print_tables() {
    let outcome = staffa(&["sql", "-q", "-c", "SELECT 1 AS a, NULL AS b", "SELECT 'x' AS c"]);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""));
    assert_eq!(
        outcome.stdout,
        "\
+---+------+
| a | b    |
+---+------+
| 1 | NULL |
+---+------+
+---+
| c |
+---+
| x |
+---+
"
    );
}

#[test]
fn formats_are_those_of_datafusion_cli() {
    let sql = "SELECT value AS v, value * 2.5 AS w FROM generate_series(1, 2)";
    let printed = |format: &str| staffa(&["sql", "-q", "--format", format, "-c", sql]).stdout;
    assert_eq!(printed("csv"), "v,w\n1,2.5\n2,5.0\n");
    assert_eq!(printed("tsv"), "v\tw\n1\t2.5\n2\t5.0\n");
    assert_eq!(printed("nd-json"), "{\"v\":1,\"w\":2.5}\n{\"v\":2,\"w\":5.0}\n");
    assert_eq!(printed("json").trim_end(), "[{\"v\":1,\"w\":2.5},{\"v\":2,\"w\":5.0}]");
}

#[test]
fn without_quiet_the_banner_and_the_row_count_are_printed() {
    let outcome = staffa(&["sql", "-c", "SELECT 1"]);
    let version = env!("CARGO_PKG_VERSION");
    assert!(outcome.stdout.starts_with(&format!("Staffa {version} (DataFusion 55.2)\n")));
    assert!(outcome.stdout.contains("1 row(s) fetched."), "{}", outcome.stdout);
}

#[test]
fn settings_of_staffa_can_be_set_and_shown() {
    let show = "SELECT name, value FROM information_schema.df_settings \
                WHERE name IN ('staffa.min_rows', 'staffa.enabled') ORDER BY name";
    let csv = ["sql", "-q", "--format", "csv", "-c"];
    let set = staffa(&[&csv[..], &["SET staffa.enabled = false", show]].concat());
    assert_eq!(set.stdout, "name,value\nstaffa.enabled,false\nstaffa.min_rows,4096\n");
    let here = std::path::Path::new(".");
    let variable = [("STAFFA_MIN_ROWS", "17")];
    let from_environment = staffa_in(here, &[&csv[..], &[show]].concat(), &variable);
    assert_eq!(from_environment.stdout, "name,value\nstaffa.enabled,true\nstaffa.min_rows,17\n");
    let wrong = staffa(&[&csv[..], &["SET staffa.device = 'abacus'"]].concat());
    assert_eq!(wrong.code, 1);
    assert!(wrong.stderr.contains("staffa.device"), "{}", wrong.stderr);
    let variable = [("STAFFA_DEVICE", "abacus")];
    let wrong = staffa_in(here, &[&csv[..], &["SELECT 1"]].concat(), &variable);
    assert_eq!(wrong.code, 1);
    assert!(wrong.stderr.contains("staffa.device"), "{}", wrong.stderr);
}

#[test]
fn a_failing_command_exits_with_1_and_stops() {
    let outcome = staffa(&["sql", "-q", "-c", "SELECT * FROM nowhere", "SELECT 1"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (1, ""));
    assert!(outcome.stderr.starts_with("Error: "), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("nowhere"), "{}", outcome.stderr);
}

#[test]
fn files_run_to_their_end_and_failures_reach_the_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let script = "-- makes a table\nCREATE TABLE t AS\n  SELECT 7 AS a;\nSELECT a / 0 FROM t;\nSELECT a FROM t";
    std::fs::write(folder.path().join("script.sql"), script).unwrap();
    let arguments = ["sql", "-q", "--format", "csv", "-f", "script.sql"];
    let outcome = staffa_in(folder.path(), &arguments, &[]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (1, "a\n7\n"));
    assert!(outcome.stderr.to_lowercase().contains("divide by zero"), "{}", outcome.stderr);
}

#[test]
fn paths_are_tables_and_results_can_be_written() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rows.csv"), "a,b\n1,x\n2,y\n").unwrap();
    let path = folder.path().to_str().unwrap();
    let outcome = staffa(&[
        "sql",
        "-q",
        "-p",
        path,
        "--format",
        "csv",
        "-c",
        "COPY (SELECT a, b FROM 'rows.csv') TO 'rows.parquet'",
        "SELECT b, a FROM 'rows.parquet' ORDER BY a DESC",
        "SELECT total_compressed_size > 0 AS ok FROM parquet_metadata('rows.parquet') LIMIT 1",
    ]);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""));
    assert_eq!(outcome.stdout, "count\n2\nb,a\ny,2\nx,1\nok\ntrue\n");
}

#[test]
fn a_memory_limit_gives_a_resource_error() {
    let sql = "SELECT array_agg(value) FROM generate_series(1, 3000000)";
    for pool in ["greedy", "fair"] {
        let arguments = ["sql", "-q", "-m", "1m", "--mem-pool-type", pool, "-d", "1m", "-c", sql];
        let outcome = staffa(&arguments);
        assert_eq!(outcome.code, 1, "{pool}");
        assert!(outcome.stderr.contains("Resources exhausted"), "{pool}: {}", outcome.stderr);
    }
}

#[test]
fn startup_files_run_before_the_shell() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("start.sql"),
        "CREATE TABLE t AS SELECT 5 AS five;\nSELECT five FROM t;\n",
    )
    .unwrap();
    let arguments = ["sql", "-q", "--format", "csv", "--rc", "start.sql"];
    let outcome = staffa_in(folder.path(), &arguments, &[]);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    assert!(outcome.stdout.starts_with("five\n5\n"), "{}", outcome.stdout);
}

#[test]
fn a_batch_size_reaches_the_session() {
    let outcome = staffa(&[
        "sql",
        "-q",
        "-b",
        "123",
        "--format",
        "csv",
        "-c",
        "SHOW datafusion.execution.batch_size",
    ]);
    assert_eq!(outcome.stdout, "name,value\ndatafusion.execution.batch_size,123\n");
}
