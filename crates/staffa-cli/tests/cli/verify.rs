//! `staffa verify` says equal, or shows rows.

use crate::common::{DATA, staffa};

const SERIES: &str = "SELECT value % 3 AS k, count(*) AS n FROM generate_series(1, 100) GROUP BY k";

#[test]
fn equal_answers_are_said_to_be_equal_and_nodes_are_counted() {
    let outcome = staffa(&["verify", "--allow-vacuous", SERIES]);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""));
    assert!(outcome.stdout.starts_with("equal, 3 rows\n"), "{}", outcome.stdout);
    assert!(outcome.stdout.contains(" nodes on Staffa\n"), "{}", outcome.stdout);
}

#[test]
fn different_answers_are_shown_and_exit_with_1() {
    let sql = "SELECT value AS v, random() AS r FROM generate_series(1, 20) ORDER BY value";
    let outcome = staffa(&["verify", "--rows", "2", "--allow-vacuous", sql]);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (1, ""));
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    assert_eq!(
        lines[0],
        "different: datafusion has 20 rows, staffa has 20; 20 only in datafusion, 20 only in staffa"
    );
    assert!(lines[1].starts_with("  only datafusion [row 0]: v=1, r=0."), "{}", lines[1]);
    assert!(lines[3].starts_with("  only staffa [row 0]: v=1, r=0."), "{}", lines[3]);
    assert_eq!(lines.iter().filter(|line| line.contains("  only ")).count(), 4);
}

#[test]
fn a_comparison_that_proves_nothing_fails() {
    let outcome = staffa(&["verify", "SET staffa.enabled = false; SELECT 1 AS one"]);
    // The setting exists in the accelerated session only.
    assert_eq!(outcome.code, 1);
    let outcome = staffa(&["verify", "SHOW TABLES"]);
    assert_eq!(outcome.code, 1, "{}{}", outcome.stdout, outcome.stderr);
}

#[test]
fn files_tables_and_several_statements() {
    let folder = tempfile::tempdir().unwrap();
    let rows = folder.path().join("rows.csv");
    std::fs::write(&rows, "a,b\n1,x\n2,y\n2,z\n").unwrap();
    let script = folder.path().join("queries.sql");
    let sql = "CREATE VIEW v AS SELECT a, count(*) AS n FROM t GROUP BY a;\n\
               SELECT * FROM v ORDER BY a;\nSELECT max(b) FROM t;";
    std::fs::write(&script, sql).unwrap();
    let table = format!("t={}", rows.display());
    let script = script.to_str().unwrap();
    let outcome = staffa(&["verify", script, "--table", &table, "--allow-vacuous"]);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""));
    let verdicts: Vec<&str> =
        outcome.stdout.lines().filter(|line| line.starts_with("equal")).collect();
    assert_eq!(verdicts, ["equal, 2 rows", "equal, 1 rows"]);
}

#[test]
fn tpch_tables_are_made_on_demand() {
    let outcome = staffa(&[
        "verify",
        "--tpch",
        "0.001",
        "--data-dir",
        DATA,
        "--allow-vacuous",
        "SELECT count(*) FROM nation JOIN region ON n_regionkey = r_regionkey",
    ]);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    assert!(outcome.stdout.starts_with("equal, 1 rows\n"), "{}", outcome.stdout);
}

#[test]
fn what_cannot_be_verified_is_refused_with_a_reason() {
    let cases = [
        ("COPY (SELECT 1) TO 'x.parquet'", "refuses one that writes"),
        ("EXPLAIN SELECT 1", "plans differ by design"),
        ("SELECT * FROM nowhere", "nowhere"),
        ("CREATE TABLE t AS SELECT 1", "there is no query to verify"),
        ("missing.sql", "cannot read 'missing.sql'"),
        ("SELEC 1", "SELEC"),
    ];
    for (sql, expected) in cases {
        let outcome = staffa(&["verify", sql]);
        assert_eq!(outcome.code, 1, "{sql}");
        assert!(outcome.stderr.contains(expected), "{sql}: {}", outcome.stderr);
    }
    let outcome = staffa(&["verify", "--table", "t=/no/such.parquet", "SELECT 1"]);
    assert_eq!(outcome.code, 1);
    assert!(
        outcome.stderr.contains("table t: cannot read '/no/such.parquet'"),
        "{}",
        outcome.stderr
    );
}
