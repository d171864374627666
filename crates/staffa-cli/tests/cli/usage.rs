//! Help texts and exit codes.

use crate::common::staffa;

#[test]
fn the_help_names_every_command() {
    let help = staffa(&["--help"]);
    assert_eq!(help.code, 0);
    assert_eq!(
        help.stdout,
        "\
Apache DataFusion, accelerated

Usage: staffa <COMMAND>

Commands:
  sql     Run SQL: a shell, or commands and files (everything datafusion-cli does, accelerated)
  bench   Time a workload on several engines side by side, and compare their answers
  verify  Run a query with and without Staffa, and show where the answers differ
  doctor  Show what this machine offers, the settings, and whether a small query is accelerated
  help    Print this message or the help of the given subcommand(s)

Options:
  -h, --help     Print help
  -V, --version  Print version

Exit codes: 0 success; 1 an error, a different answer or a failed self-test; 2 a bad command line.
Settings: SET staffa.<key> in SQL, or STAFFA_<KEY> in the environment; `staffa doctor` lists them.
"
    );
    for command in [&["sql"][..], &["bench", "tpch"], &["verify"], &["doctor"]] {
        let help = staffa(&[command, &["--help"]].concat());
        assert_eq!(help.code, 0, "{command:?}");
        assert!(help.stdout.contains("Usage: staffa"), "{command:?}");
    }
}

#[test]
fn the_version_names_staffa_and_datafusion() {
    let version = staffa(&["--version"]).stdout;
    assert_eq!(version, concat!("staffa ", env!("CARGO_PKG_VERSION"), " (DataFusion 55.2)\n"));
}

#[test]
fn a_bad_command_line_exits_with_2_and_says_why() {
    let cases: [(&[&str], &str); 12] = [
        (&[], "Usage: staffa <COMMAND>"),
        (&["frobnicate"], "unrecognized subcommand 'frobnicate'"),
        (&["sql", "-m", "much"], "'much' is not a size such as 512m or 10g"),
        (&["sql", "-b", "0"], "'0' is not a number above 0"),
        (&["sql", "-p", "/no/such/folder"], "no such folder"),
        (&["sql", "-f", "/no/such/file.sql"], "no such file"),
        (&["sql", "--format", "papyrus"], "invalid value 'papyrus'"),
        (&["bench", "tpch", "--scale", "-1"], "'-1' is not a number above 0"),
        (&["bench", "tpch", "--queries", "23"], "there is no query 23"),
        (&["bench", "tpch", "--engines", "abacus"], "'abacus' is not one of: datafusion, cpu, gpu"),
        (&["bench", "tpch", "--format", "xml"], "'xml' is not one of: table, json, html"),
        (&["verify", "SELECT 1", "--table", "t"], "'t' is not NAME=PATH"),
    ];
    for (arguments, expected) in cases {
        let outcome = staffa(arguments);
        assert_eq!(outcome.code, 2, "{arguments:?}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(expected), "{arguments:?}: {}", outcome.stderr);
        assert!(outcome.stdout.is_empty(), "{arguments:?}");
    }
}
