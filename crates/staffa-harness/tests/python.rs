//! Engines in Python: what is said to them, every fault of theirs, and, where the packages are
//! there, that they answer as DataFusion does.
//!
//! A shell script stands in for the interpreter, so nothing here needs Python but the last test.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by a panic, its helpers too")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Decimal128Array, Float64Array, Int64Array, StringArray};
use arrow::ipc::writer::FileWriter;
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use staffa_harness::bench::{Format, Options, Report, Runs, bench};
use staffa_harness::compare::Tolerance;
use staffa_harness::python::{PythonEngine, PythonOptions};
use staffa_harness::workload::TableFiles;
use staffa_harness::{Engine, NamedQuery, SessionOptions, Workload};
use tempfile::TempDir;

/// A program that is run in Python's place: `body` follows a first answer to the first question.
struct Fake {
    folder: TempDir,
    options: PythonOptions,
}

/// Some shells' `echo` takes a backslash for more than it is.
const SAY: &str = "say() { printf '%s\\n' \"$*\"; }\n";

const READY: &str = "read -r open; say \"$open\" >> \"$LOG\"; say '{\"version\": \"9.9\"}'\n";

impl Fake {
    fn new(body: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("python");
        let log = folder.path().join("log");
        write_script(&path, &format!("#!/bin/sh\n{SAY}LOG='{}'\n{body}\n", log.display()));
        let options = PythonOptions { program: path.into(), limit: Duration::from_secs(20) };
        Self { folder, options }
    }

    fn open(&self) -> PythonEngine {
        let session = SessionOptions { target_partitions: Some(3), ..SessionOptions::default() };
        PythonEngine::open(Engine::DuckDb, &workload(&[]), &session, &self.options).unwrap()
    }

    fn refused(&self) -> String {
        let opened = PythonEngine::open(
            Engine::DuckDb,
            &workload(&[]),
            &SessionOptions::default(),
            &self.options,
        );
        opened.map(|_| ()).unwrap_err().to_string()
    }

    fn log(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.path().join("log")).unwrap();
        text.lines().map(str::to_string).collect()
    }

    async fn bench(&self, queries: &[(&str, &str)], engines: &[Engine]) -> Report {
        bench(&workload(queries), &options(engines, &self.options), &|_| {}).await.unwrap()
    }
}

/// Written by another process: a child that another test starts meanwhile would else inherit the open
/// file, and a file that somebody writes cannot be run.
fn write_script(path: &Path, text: &str) {
    let draft = path.with_extension("txt");
    fs::write(&draft, text).unwrap();
    assert!(Command::new("cp").arg(&draft).arg(path).status().unwrap().success());
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn workload(queries: &[(&str, &str)]) -> Workload {
    let named =
        |(name, sql): &(&str, &str)| NamedQuery { name: name.to_string(), sql: sql.to_string() };
    let queries = queries.iter().map(named).collect();
    Workload { name: "w".to_string(), queries, tables: vec![] }
}

fn options(engines: &[Engine], python: &PythonOptions) -> Options {
    Options {
        engines: engines.to_vec(),
        session: SessionOptions { target_partitions: Some(2), ..SessionOptions::default() },
        runs: Runs::Fixed(2),
        tolerance: Tolerance::default(),
        python: python.clone(),
    }
}

#[test]
fn questions_and_answers_are_lines_of_json() {
    let fake = Fake::new(&format!(
        "{READY}while read -r q; do say \"$q\" >> \"$LOG\"\n\
         say '{{\"seconds\": 0.25, \"rows\": 7}}'; done"
    ));
    let mut engine = fake.open();
    assert_eq!((engine.version(), engine.engine()), ("9.9", Engine::DuckDb));
    let timed = engine.run("SELECT \"a\"\nFROM t").unwrap();
    assert_eq!((timed.elapsed, timed.rows), (Duration::from_millis(250), 7));
    let json = |line: &String| serde_json::from_str::<serde_json::Value>(line).unwrap();
    let said: Vec<_> = fake.log().iter().map(json).collect();
    assert_eq!(said[0]["op"], "open");
    assert_eq!((&said[0]["engine"], &said[0]["threads"]), (&"duckdb".into(), &3.into()));
    assert!(said[0]["memory_bytes"].is_null());
    assert_eq!((&said[1]["op"], &said[1]["sql"]), (&"run".into(), &"SELECT \"a\"\nFROM t".into()));
    assert!(said[1]["result"].is_null());
}

#[test]
fn what_is_missing_is_said_with_how_to_get_it() {
    let fake = Fake::new("read -r q; say '{\"missing\": \"No module named duckdb\"}'");
    let said = fake.refused();
    assert!(said.starts_with("engine 'duckdb': No module named duckdb for '"), "{said}");
    assert!(said.ends_with("get it with: pip install duckdb pyarrow"), "{said}");
    let mut nowhere = fake;
    nowhere.options.program = "/nowhere/python3".into();
    let said = nowhere.refused();
    assert!(said.contains("cannot start '/nowhere/python3'"), "{said}");
    assert!(said.contains("--python or STAFFA_PYTHON"), "{said}");
}

#[test]
fn faults_when_it_starts_are_said() {
    let cases = [
        ("say 'no license' >&2; exit 3", "its process ended (exit status: 3): no license"),
        ("read -r q; say hello", "answered with something unexpected: hello"),
        ("read -r q; say '{\"seconds\": 1, \"rows\": 1}'", "a time, instead of its version"),
        ("read -r q; say '{\"error\": \"IOException: no files\\nmore\"}'", "IOException: no files"),
        ("read -r q; kill -9 $$", "its process ended (signal: 9"),
    ];
    for (body, expected) in cases {
        let said = Fake::new(body).refused();
        assert!(said.contains(expected) && !said.contains("more"), "{body}: {said}");
    }
}

/// After each fault the process is gone, and the next run has another.
#[test]
fn faults_of_a_run_are_said_and_the_next_run_goes_on() {
    let cases = [
        (
            "say 'out of memory' >&2; exit 137",
            "its process ended (exit status: 137): out of memory",
        ),
        ("say '{\"seconds\": '", "answered with something unexpected: {\"seconds\":"),
        ("say '{\"seconds\": -1, \"rows\": 1}'", "something unexpected: -1 seconds"),
        ("say '{\"version\": \"1\"}'", "it is ready, instead of a time"),
        ("exec sleep 60", "no answer within 0.5 s, so it was ended"),
        ("exec >&-; exec sleep 60", "its process ended"),
    ];
    for (body, expected) in cases {
        let mut fake = Fake::new(&format!(
            "{READY}read -r q\ncase $q in *bad*) {body};; esac\n\
                 say '{{\"seconds\": 1, \"rows\": 2}}'; read -r q"
        ));
        fake.options.limit = Duration::from_millis(500);
        let mut engine = fake.open();
        let start = Instant::now();
        let said = engine.run("bad").unwrap_err();
        assert!(said.contains(expected), "{body}: {said}");
        assert!(start.elapsed() < Duration::from_secs(10), "{body}: {:?}", start.elapsed());
        assert_eq!(engine.run("good").unwrap().rows, 2, "{body}");
        assert_eq!(fake.log().len(), 2, "{body}: started twice");
    }
}

/// An error that the engine raises is its first line, and its process stays.
#[test]
fn errors_of_the_engine_are_their_first_line() {
    let fake = Fake::new(&format!(
        "{READY}while read -r q; do say '{{\"error\": \"ParserException: no\\n\\nLINE 1\"}}'; done"
    ));
    let mut engine = fake.open();
    for _ in 0..2 {
        assert_eq!(engine.run("x").unwrap_err(), "ParserException: no");
    }
    assert_eq!(fake.log().len(), 1, "started once");
}

fn write_ipc(path: &Path, batch: &RecordBatch) {
    let mut writer = FileWriter::try_new(fs::File::create(path).unwrap(), &batch.schema()).unwrap();
    writer.write(batch).unwrap();
    writer.finish().unwrap();
}

/// A fake that answers each query of a name in `answers` with that batch, and has no other.
fn answering(answers: &[(&str, RecordBatch)]) -> Fake {
    let fake = Fake::new("");
    let mut cases = String::new();
    for (name, batch) in answers {
        let file = fake.folder.path().join(format!("{name}.arrow"));
        write_ipc(&file, batch);
        let rows = batch.num_rows();
        cases += &format!(
            "*'/* {name} */'*) if [ -n \"$out\" ]; then cp '{}' \"$out\"; fi\n\
             say '{{\"seconds\": 0.001, \"rows\": {rows}}}';;\n",
            file.display()
        );
    }
    let script = format!(
        "#!/bin/sh\n{SAY}LOG=/dev/null\n{READY}while read -r q; do\n\
         out=$(say \"$q\" | sed -n 's/.*\"result\":\"\\([^\"]*\\)\".*/\\1/p')\n\
         case $q in {cases}*) say '{{\"error\": \"no such function\"}}';; esac; done\n"
    );
    write_script(&fake.folder.path().join("python"), &script);
    fake
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter(columns).unwrap()
}

/// The types are another program's; the values, the order and the engine's own queries count.
#[tokio::test]
async fn answers_are_compared_by_value_and_totals_are_of_common_queries() {
    let ints = |values: Vec<i64>| Arc::new(Int64Array::from(values)) as ArrayRef;
    let decimal = |values: Vec<i128>, scale| {
        let array = Decimal128Array::from(values).with_precision_and_scale(38, scale).unwrap();
        Arc::new(array) as ArrayRef
    };
    let fake = answering(&[
        (
            "same",
            batch(vec![
                ("other_name", decimal(vec![1, 2], 0)),
                ("b", Arc::new(Float64Array::from(vec![0.666_666_666_666, 1.5]))),
                ("c", Arc::new(StringArray::from(vec!["x", "y"]))),
            ]),
        ),
        ("swapped", batch(vec![("a", ints(vec![2, 1, 3]))])),
        ("wrong", batch(vec![("a", ints(vec![1, 2, 4]))])),
        ("ties", batch(vec![("k", ints(vec![0])), ("a", ints(vec![3]))])),
        ("types", batch(vec![("a", Arc::new(StringArray::from(vec!["1"])))])),
    ]);
    let queries = [
        (
            "same",
            "SELECT a, CAST(b AS DECIMAL(9, 6)), arrow_cast(c, 'Utf8View') FROM (VALUES \
                  (1, 0.666667, 'x'), (2, 1.5, 'y')) t(a, b, c) /* same */",
        ),
        ("swapped", "SELECT a FROM (VALUES (1), (2), (3)) t(a) ORDER BY a /* swapped */"),
        ("wrong", "SELECT a FROM (VALUES (1), (2), (3)) t(a) ORDER BY a /* wrong */"),
        ("ties", "SELECT 0 AS k, a FROM (VALUES (1), (2), (3)) t(a) ORDER BY k LIMIT 1 /* ties */"),
        ("types", "SELECT 1 AS a /* types */"),
        ("absent", "SELECT 1 AS a"),
    ];
    let report = fake.bench(&queries, &[Engine::DataFusion, Engine::DuckDb]).await;
    let verdicts: Vec<_> =
        report.queries.iter().filter(|q| q.is_python()).map(|q| q.verdict()).collect();
    let expected = ["equal", "differs", "differs", "not compared", "not compared", "cannot run"];
    assert_eq!(verdicts, expected, "{:#?}", report.notes());
    assert_eq!(report.problems(), Vec::<String>::new(), "only Staffa is judged");
    let counts: Vec<_> = report.summary.iter().map(|s| s.queries).collect();
    assert_eq!(counts, [6, 5]);
    assert_eq!(report.summary[1].total_ms, 5.0);
    assert_eq!(report.summary[1].version.as_deref(), Some("9.9"));
    let stock = report.queries.iter().filter(|q| q.engine == "datafusion" && q.query != "absent");
    let common: f64 = stock.filter_map(|q| q.median_ms).sum();
    assert!((report.summary[1].ratio_total.unwrap() - 5.0 / common).abs() < 1e-9);
    let text = report.render(Format::Table).unwrap();
    let markdown = report.render(Format::Markdown).unwrap();
    for said in [
        "absent on duckdb: cannot run: no such function",
        "types on duckdb: not compared: column 'a' has type Int64 against Utf8",
        "ties on duckdb: not compared: other rows than DataFusion's within a LIMIT",
        "swapped on duckdb: differs: different",
    ] {
        assert!(text.contains(said) && markdown.contains(said), "{said}\n{text}\n{markdown}");
    }
    assert!(text.contains("the order by a differs at row 0"), "{text}");
    assert!(markdown.contains("| query | datafusion ms | duckdb 9.9 ms | ratio |"), "{markdown}");
    assert!(markdown.contains("| queries counted | 6 | 5 |  |"), "{markdown}");
}

#[tokio::test]
async fn engines_that_are_not_there_are_left_out_unless_they_are_all() {
    let fake = Fake::new("read -r q; say '{\"missing\": \"No module\"}'");
    let engines = [Engine::DataFusion, Engine::Polars];
    let report = fake.bench(&[("one", "SELECT 1")], &engines).await;
    assert_eq!(report.summary.len(), 1);
    let note = &report.notes()[0];
    assert!(note.contains("'polars'") && note.contains("pip install polars"), "{note}");
    let both = options(&[Engine::DuckDb, Engine::Polars], &fake.options);
    let error = bench(&workload(&[("one", "SELECT 1")]), &both, &|_| {}).await.unwrap_err();
    let said = error.to_string();
    assert!(said.contains("pip install duckdb pyarrow"), "{said}");
    assert!(said.contains("pip install polars"), "{said}");
}

/// With the real packages, where STAFFA_PYTHON or python3 has them; CI's has not.
#[tokio::test]
async fn the_real_engines_answer_as_datafusion_does() {
    let folder = tempfile::tempdir().unwrap();
    let thirds = Decimal128Array::from_iter_values((0..1000).map(|i| i * 3));
    let thirds = thirds.with_precision_and_scale(12, 2).unwrap();
    let table = batch(vec![
        ("k", Arc::new(Int64Array::from_iter_values((0..1000).map(|i| i % 7)))),
        ("v", Arc::new(thirds)),
        ("s", Arc::new(StringArray::from_iter_values((0..1000).map(|i| format!("s{}", i % 13))))),
    ]);
    let path = folder.path().join("t");
    fs::create_dir(&path).unwrap();
    let file = fs::File::create(path.join("part.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, table.schema(), None).unwrap();
    writer.write(&table).unwrap();
    writer.close().unwrap();
    let mut workload = workload(&[
        ("groups", "SELECT k, count(*), sum(v), avg(v), min(s) FROM t GROUP BY k ORDER BY k"),
        ("wrong", "SELECT no_such_function(k) FROM t"),
    ]);
    workload.tables = vec![TableFiles { name: "t".to_string(), path }];
    let asked = [Engine::DataFusion, Engine::DuckDb, Engine::Polars];
    let options = options(&asked, &PythonOptions::default());
    let report = bench(&workload, &options, &|_| {}).await.unwrap();
    for skipped in &report.skipped {
        assert!(skipped.contains("pip install") || skipped.contains("cannot start"), "{skipped}");
        eprintln!("not tested: {skipped}");
    }
    assert_eq!(report.summary.len() + report.skipped.len(), asked.len());
    for query in report.queries.iter().filter(|q| q.is_python()) {
        let expected = if query.query == "groups" { "equal" } else { "cannot run" };
        assert_eq!(query.verdict(), expected, "{query:#?}");
        if query.query == "groups" {
            assert_eq!((query.rows, query.runs_ms.len()), (7, 2));
        }
    }
}
