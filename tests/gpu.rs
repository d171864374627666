//! The CUDA engine through SQL: TPC-H equal to stock DataFusion, what a morsel asks of the device, and
//! what happens when the device cannot. Needs a device: `scripts/with-emulated-gpu cargo test --test gpu`.

#![expect(clippy::expect_used, clippy::panic, reason = "a helper of tests fails by panicking")]

use std::collections::BTreeMap;
use std::fs::File;
use std::process::Command;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int64Array, Int64Builder, ListBuilder, RecordBatch, StringArray, StringBuilder,
    StructArray,
};
use arrow::datatypes::{DataType, Field, FieldRef};
use arrow::util::pretty::pretty_format_batches;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use staffa::{Place, ReasonCode, StaffaConfig, report};
use staffa_harness::compare::{Rules, compare};
use staffa_harness::{Engine, Run, SessionOptions, Workload, run_query, tpch};

const SCALE: f64 = 0.01;

/// Whether there is a device, or a note.
fn has_gpu() -> bool {
    let required = std::env::var_os("STAFFA_REQUIRE_GPU").is_some_and(|value| value == "1");
    match staffa::gpu(&StaffaConfig::default()) {
        Ok(_) => true,
        Err(reason) if required => panic!("STAFFA_REQUIRE_GPU=1: {reason}"),
        Err(reason) => {
            eprintln!("SKIPPED: {reason}");
            false
        }
    }
}

fn workload(queries: &[usize]) -> Workload {
    let folder = tpch::prepare(&tpch::data_dir(), SCALE, &|_| {}).expect("TPC-H data");
    tpch::workload(&folder, SCALE, queries).expect("queries")
}

async fn session(engine: Engine, workload: &Workload) -> SessionContext {
    let options = SessionOptions { target_partitions: Some(2), ..SessionOptions::default() };
    let ctx = engine.session(&options).expect("a session");
    workload.register(&ctx).await.expect("tables");
    ctx
}

async fn run(ctx: &SessionContext, sql: &str) -> Run {
    run_query(ctx, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

fn assert_equal(name: &str, expected: &Run, actual: &Run) {
    let rules = Rules { order: expected.order.clone(), ..Rules::default() };
    let comparison = compare(&expected.answer, &actual.answer, &rules).expect("comparable");
    assert!(comparison.is_equal(), "{name}: {}", comparison.render("datafusion", "gpu"));
}

/// The sums of all scans' figures that begin with `gpu_`, times excepted.
fn figures(plan: &Arc<dyn ExecutionPlan>) -> BTreeMap<String, usize> {
    let mut sums = BTreeMap::new();
    add(plan, &mut sums);
    sums
}

fn add(plan: &Arc<dyn ExecutionPlan>, sums: &mut BTreeMap<String, usize>) {
    for metric in plan.metrics().iter().flat_map(|metrics| metrics.iter()) {
        let value = metric.value();
        if let Some(name) = value.name().strip_prefix("gpu_").filter(|n| !n.ends_with("_time")) {
            *sums.entry(name.to_string()).or_default() += value.as_usize();
        }
    }
    for child in plan.children() {
        add(child, sums);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tpch_equals_stock_with_scans_on_the_device() {
    if !has_gpu() {
        return;
    }
    let all: Vec<usize> = (1..=22).collect();
    let workload = workload(&all);
    let stock = session(Engine::DataFusion, &workload).await;
    let ours = session(Engine::Gpu, &workload).await;
    for query in &workload.queries {
        let (expected, actual) = (run(&stock, &query.sql).await, run(&ours, &query.sql).await);
        assert_equal(&query.name, &expected, &actual);
        let seen = report(&actual.plan);
        assert!(seen.gpu_nodes() > 0, "{}: no node on a GPU", query.name);
        let figures = figures(&actual.plan);
        // Dynamic filters may leave nothing to read.
        let read = figures.get("launches").copied().unwrap_or(0);
        assert!(read == 0 || seen.gpu_morsels() > 0, "{}: {figures:?}", query.name);
        assert_eq!(figures.get("failed_morsels"), Some(&0), "{}: {figures:?}", query.name);
    }
}

/// Any change to these figures is a decision: what a morsel of TPC-H's scans asks of the device.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_morsel_of_q1_and_q6_asks_of_the_device() {
    if !has_gpu() {
        return;
    }
    let workload = workload(&[1, 6]);
    let stock = session(Engine::DataFusion, &workload).await;
    let ours = session(Engine::Gpu, &workload).await;
    let pinned: [&[(&str, usize)]; 2] = [
        &[
            ("morsels", 1),
            ("failed_morsels", 0),
            ("launches", 54),
            ("uploads", 22),
            ("upload_bytes", 535_669),
            ("downloads", 21),
            ("download_bytes", 584),
            ("awaits", 4),
            ("blocking_waits", 0),
        ],
        &[
            ("morsels", 1),
            ("failed_morsels", 0),
            ("launches", 23),
            ("uploads", 15),
            ("upload_bytes", 479_285),
            ("downloads", 4),
            ("download_bytes", 56),
            ("awaits", 3),
            ("blocking_waits", 0),
        ],
    ];
    for (query, pinned) in workload.queries.iter().zip(pinned) {
        let (expected, actual) = (run(&stock, &query.sql).await, run(&ours, &query.sql).await);
        assert_equal(&query.name, &expected, &actual);
        let figures = figures(&actual.plan);
        let found: Vec<(&str, usize)> = pinned
            .iter()
            .map(|(name, _)| (*name, figures.get(*name).copied().unwrap_or(0)))
            .collect();
        assert_eq!(found, pinned, "{}", query.name);
        let places: Vec<_> = report(&actual.plan)
            .nodes
            .into_iter()
            .filter(|node| ["FilterExec", "DataSourceExec"].contains(&node.name.as_str()))
            .map(|node| node.place)
            .collect();
        assert_eq!(places, [Place::Gpu(0), Place::Gpu(0)], "{}", query.name);
    }
}

/// Where rows are dealt out between scan and filter, the filter reaches the device all the same; plain
/// strings come back by offsets and bytes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_runs_where_explain_says() {
    if !has_gpu() {
        return;
    }
    let workload = workload(&[6]);
    let stock = session(Engine::DataFusion, &workload).await;
    let ours = session(Engine::Gpu, &workload).await;
    for (sql, most_bytes) in [
        ("SELECT o_orderkey, o_comment FROM orders WHERE o_totalprice < 5000", 100_000),
        ("SELECT c_name, upper(c_mktsegment) FROM customer WHERE c_acctbal > 9000", 100_000),
        ("SELECT p_name, p_size + 1 FROM part WHERE p_name LIKE '%green%'", 100_000),
        ("SELECT n_name, n_comment FROM nation", 10_000),
    ] {
        let (expected, actual) = (run(&stock, sql).await, run(&ours, sql).await);
        assert_equal(sql, &expected, &actual);
        let seen = report(&actual.plan);
        let wrong = seen.nodes.iter().find(|node| {
            ["FilterExec", "DataSourceExec"].contains(&node.name.as_str())
                && node.place != Place::Gpu(0)
        });
        assert!(wrong.is_none(), "{sql}: {wrong:?}");
        let figures = figures(&actual.plan);
        assert_eq!(figures.get("failed_morsels"), Some(&0), "{sql}: {figures:?}");
        let bytes = figures.get("download_bytes").copied().unwrap_or(0);
        assert!(bytes > 0 && bytes < most_bytes, "{sql}: {figures:?}");
    }
}

/// What the device has no program for stays on the CPU with a reason; the scan below still goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_lower_says_why() {
    if !has_gpu() {
        return;
    }
    let workload = workload(&[6]);
    let stock = session(Engine::DataFusion, &workload).await;
    let ours = session(Engine::Gpu, &workload).await;
    let sql = "SELECT l_shipmode, l_quantity FROM lineitem \
               WHERE regexp_like(l_shipmode, '^A.R') ORDER BY 1, 2";
    let (expected, actual) = (run(&stock, sql).await, run(&ours, sql).await);
    assert_equal(sql, &expected, &actual);
    let seen = report(&actual.plan);
    let filter = seen.nodes.iter().find(|node| node.name == "FilterExec").expect("a filter");
    assert_eq!(filter.place, Place::Cpu);
    assert!(filter.reason.as_ref().is_some_and(|why| why.starts_with('A')), "{filter:?}");
    assert!(seen.gpu_morsels() > 0, "{seen:?}");
    let strict = "SET staffa.on_unsupported = error";
    run(&ours, strict).await;
    let error = run_query(&ours, sql).await.map(drop).expect_err("refused").to_string();
    assert!(error.contains("FilterExec is not on a GPU: A0"), "{error}");
}

/// A row on which DataFusion errs: the device asks for a rerun, and DataFusion decides.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_are_datafusions() {
    if !has_gpu() {
        return;
    }
    let workload = workload(&[6]);
    let stock = session(Engine::DataFusion, &workload).await;
    let ours = session(Engine::Gpu, &workload).await;
    let sql = "SELECT sum(100 / (l_linenumber - 1)) FROM lineitem WHERE l_quantity < 10";
    let expected = run_query(&stock, sql).await.map(drop).expect_err("stock errs").to_string();
    let actual = run_query(&ours, sql).await.map(drop).expect_err("ours errs").to_string();
    assert_eq!(actual, expected);
    let sql = "SELECT count(*) FROM lineitem WHERE 100 / (l_linenumber - 1) > 3";
    let expected = run_query(&stock, sql).await.map(drop).expect_err("stock errs").to_string();
    let actual = run_query(&ours, sql).await.map(drop).expect_err("ours errs").to_string();
    assert_eq!(actual, expected);
}

/// Runs Q1 and Q6 in a process of its own, with faults of the emulated driver on demand.
#[test]
fn faults_cost_speed_and_no_row() {
    if std::env::var_os("STAFFA_EMULATED_KERNELS").is_none() {
        eprintln!("SKIPPED: needs scripts/with-emulated-gpu");
        return;
    }
    let faults = [
        // The context is lost in the middle of a decode, as a kernel runs, and at a copy back.
        ("cuLaunchKernel:5=700", true),
        ("kernel:7=719", true),
        ("copy:9=700", true),
        ("cuMemcpyDtoHAsync:1=999", true),
        // No memory for once: the pool makes room and asks again. And none from some call on.
        ("alloc:3=2", false),
        ("alloc:4+=2", true),
        ("hostalloc:2+=2", true),
    ];
    for (fault, trouble) in faults {
        let outcome = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "child_runs_q1_and_q6", "--ignored", "--nocapture"])
            .env("STAFFA_EMULATOR_FAULTS", fault)
            .output()
            .expect("a child");
        let text = String::from_utf8_lossy(&outcome.stdout);
        let errors = String::from_utf8_lossy(&outcome.stderr);
        assert!(outcome.status.success(), "{fault}: {text}\n{errors}");
        let told = format!("q1 and q6 are equal, with trouble: {trouble}");
        assert!(text.contains(&told), "{fault}: {text}\n{errors}");
    }
}

#[ignore = "run by faults_cost_speed_and_no_row, with faults"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_runs_q1_and_q6() {
    let workload = workload(&[1, 6]);
    let stock = session(Engine::DataFusion, &workload).await;
    let mut trouble = 1;
    // Where not even a context is to be had, the session says so and nothing is left to test.
    if staffa::gpu(&StaffaConfig::default()).is_ok() {
        trouble = 0;
        let ours = session(Engine::Gpu, &workload).await;
        for _ in 0..2 {
            for query in &workload.queries {
                let expected = run(&stock, &query.sql).await;
                let actual = run(&ours, &query.sql).await;
                assert_equal(&query.name, &expected, &actual);
                let figures = figures(&actual.plan);
                println!("{}: {figures:?}", query.name);
                let seen = ["failed_morsels", "refused_lanes"];
                trouble += seen.iter().filter_map(|name| figures.get(*name)).sum::<usize>();
                trouble += usize::from(report(&actual.plan).gpu_nodes() == 0);
            }
        }
    }
    println!("q1 and q6 are equal, with trouble: {}", trouble > 0);
}

/// The context is lost while a lane has row groups queued: those are read on the CPU, each once, also when
/// the lane fetches what comes after them in the meantime.
#[test]
fn a_device_lost_between_row_groups_costs_no_row() {
    if std::env::var_os("STAFFA_EMULATED_KERNELS").is_none() {
        eprintln!("SKIPPED: needs scripts/with-emulated-gpu");
        return;
    }
    for fault in ["cuLaunchKernel:1=700", "kernel:12=719", "copy:20=700", "cuLaunchKernel:30=700"] {
        let outcome = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "child_reads_many_row_groups", "--ignored", "--nocapture"])
            .env("STAFFA_EMULATOR_FAULTS", fault)
            .output()
            .expect("a child");
        let text = String::from_utf8_lossy(&outcome.stdout);
        let errors = String::from_utf8_lossy(&outcome.stderr);
        assert!(outcome.status.success(), "{fault}: {text}\n{errors}");
        assert!(text.contains("all rows, with trouble: true"), "{fault}: {text}\n{errors}");
    }
}

#[ignore = "run by a_device_lost_between_row_groups_costs_no_row, with faults"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_reads_many_row_groups() {
    const ROWS: i64 = 500_000;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("t.parquet");
    let id: ArrayRef = Arc::new(Int64Array::from_iter_values(0..ROWS));
    let batch = RecordBatch::try_from_iter([("id", id)]).expect("a batch");
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(50_000)).build();
    let file = File::create(&path).expect("a file");
    let mut writer =
        ArrowWriter::try_new(file, batch.schema(), Some(properties)).expect("a writer");
    writer.write(&batch).expect("rows");
    writer.close().expect("a footer");

    let options = SessionOptions { target_partitions: Some(2), ..SessionOptions::default() };
    let ctx = Engine::Gpu.session(&options).expect("a session");
    let path = path.to_str().expect("a path");
    ctx.register_parquet("t", path, ParquetReadOptions::default()).await.expect("a table");
    let sql = "SELECT count(*), sum(id) FROM t WHERE id % 5 <> 9";
    let actual = run(&ctx, sql).await;
    let text = pretty_format_batches(&actual.answer.batches).expect("text").to_string();
    assert!(text.contains(&format!(" {ROWS} ")), "{text}");
    assert!(text.contains(&format!(" {} ", ROWS * (ROWS - 1) / 2)), "{text}");
    let figures = figures(&actual.plan);
    println!("all rows, with trouble: {}", figures.get("failed_morsels").is_some_and(|n| *n > 0));
}

/// In `auto`, what was measured decides, and the emulated device is slow: everything stays on the CPU, with
/// both estimates. With `gpu` the setting decides, and the estimate is made to be shown.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_measured_places_scans_in_auto() {
    if !has_gpu() {
        return;
    }
    let figures =
        staffa::figures(&staffa::gpu(&StaffaConfig::default()).expect("a GPU")).expect("figures");
    println!("{figures}");
    let workload = workload(&[6]);
    let stock = session(Engine::DataFusion, &workload).await;
    let ours = session(Engine::Gpu, &workload).await;
    let sql = &workload.queries[0].sql;
    let plan = run(&ours, &format!("EXPLAIN {sql}")).await;
    let text = pretty_format_batches(&plan.answer.batches).expect("text").to_string();
    assert!(text.contains("DataSourceExec [gpu:0]: "), "{text}");
    let plan = run(&ours, &format!("EXPLAIN VERBOSE {sql}")).await;
    let text = pretty_format_batches(&plan.answer.batches).expect("text").to_string();
    assert!(text.contains("DataSourceExec [gpu:0, estimated "), "{text}");
    let plan = run(&ours, &format!("EXPLAIN ANALYZE {sql}")).await;
    let text = pretty_format_batches(&plan.answer.batches).expect("text").to_string();
    assert!(text.contains("gpu_morsel_time=") && text.contains("gpu_morsels=1"), "{text}");

    run(&ours, "SET staffa.device = auto").await;
    let (expected, actual) = (run(&stock, sql).await, run(&ours, sql).await);
    assert_equal("Q6", &expected, &actual);
    let seen = report(&actual.plan);
    if std::env::var_os("STAFFA_EMULATED_KERNELS").is_none() {
        return;
    }
    assert_eq!((seen.gpu_nodes(), seen.gpu_morsels()), (0, 0), "{seen:?}");
    let scan = seen.nodes.iter().find(|node| node.name == "DataSourceExec").expect("a scan");
    assert_eq!(scan.code, Some(ReasonCode::NotFaster), "{scan:?}");
    let why = scan.reason.as_deref().unwrap_or_default();
    assert!(why.contains("estimated ") && why.contains(" ms on the CPU"), "{why}");
}

/// A device that is lost while it is measured costs no query: they stay on the CPU with the reason.
#[test]
fn a_device_that_cannot_be_measured_gets_nothing() {
    if std::env::var_os("STAFFA_EMULATED_KERNELS").is_none() {
        eprintln!("SKIPPED: needs scripts/with-emulated-gpu");
        return;
    }
    for fault in ["cuLaunchKernel:1=700", "cuMemcpyDtoHAsync:1=999", "hostalloc:1+=2"] {
        let outcome = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "child_measures_and_runs_q6", "--ignored", "--nocapture"])
            .env("STAFFA_EMULATOR_FAULTS", fault)
            .output()
            .expect("a child");
        let text = String::from_utf8_lossy(&outcome.stdout);
        let errors = String::from_utf8_lossy(&outcome.stderr);
        assert!(outcome.status.success(), "{fault}: {text}\n{errors}");
        assert!(text.contains("q6 is equal, without a device"), "{fault}: {text}\n{errors}");
    }
}

#[ignore = "run by a_device_that_cannot_be_measured_gets_nothing, with faults"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_measures_and_runs_q6() {
    let workload = workload(&[6]);
    let stock = session(Engine::DataFusion, &workload).await;
    let ours = session(Engine::Gpu, &workload).await;
    run(&ours, "SET staffa.device = auto").await;
    let sql = &workload.queries[0].sql;
    for _ in 0..2 {
        let (expected, actual) = (run(&stock, sql).await, run(&ours, sql).await);
        assert_equal("Q6", &expected, &actual);
        assert_eq!(report(&actual.plan).gpu_nodes(), 0);
    }
    let why = staffa::gpu(&StaffaConfig::default())
        .and_then(|gpu| staffa::figures(&gpu))
        .expect_err("no figures");
    println!("q6 is equal, without a device: {why}");
}

/// Rows with columns that have no device form: a list, a struct, a list of strings; NULLs in all.
fn nested(rows: i64) -> RecordBatch {
    let mut lists = ListBuilder::new(Int64Builder::new());
    let mut tags = ListBuilder::new(StringBuilder::new());
    for row in 0..rows {
        for value in 0..row % 4 {
            lists.values().append_option((value != 2).then_some(row * 10 + value));
            tags.values().append_value(format!("tag-{}", (row + value) % 7));
        }
        lists.append(row % 11 != 0);
        tags.append(row % 5 != 0);
    }
    let pairs: Vec<(FieldRef, ArrayRef)> = vec![
        (
            Arc::new(Field::new("low", DataType::Int64, true)),
            Arc::new(Int64Array::from_iter((0..rows).map(|row| (row % 3 != 0).then_some(row)))),
        ),
        (
            Arc::new(Field::new("name", DataType::Utf8, false)),
            Arc::new(StringArray::from_iter_values((0..rows).map(|row| format!("n{}", row % 9)))),
        ),
    ];
    let names = StringArray::from_iter_values((0..rows).map(|row| format!("name {}", row % 97)));
    let columns: [(&str, ArrayRef); 5] = [
        ("id", Arc::new(Int64Array::from_iter_values(0..rows))),
        ("list", Arc::new(lists.finish())),
        ("name", Arc::new(names)),
        ("pair", Arc::new(StructArray::from(pairs))),
        ("tags", Arc::new(tags.finish())),
    ];
    RecordBatch::try_from_iter(columns).expect("a batch")
}

/// Columns that only the CPU decodes ride along with the device's, row by row: for all rows, most, few and
/// none, over several row groups and pages that the page index drops.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nested_columns_ride_along() {
    if !has_gpu() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("nested.parquet");
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(20_000))
        .set_data_page_row_count_limit(1_000)
        .set_write_batch_size(500)
        .build();
    let batch = nested(50_000);
    let file = File::create(&path).expect("a file");
    let mut writer =
        ArrowWriter::try_new(file, batch.schema(), Some(properties)).expect("a writer");
    writer.write(&batch).expect("rows");
    writer.close().expect("a footer");
    let path = path.to_str().expect("a path");
    let options = SessionOptions { target_partitions: Some(2), ..SessionOptions::default() };
    let [stock, ours] = [Engine::DataFusion, Engine::Gpu]
        .map(|engine| engine.session(&options).expect("a session"));
    for ctx in [&stock, &ours] {
        ctx.register_parquet("t", path, ParquetReadOptions::default()).await.expect("a table");
    }
    // With the nodes on the device, and how many columns ride with each morsel.
    for (sql, nodes, riding) in [
        ("SELECT * FROM t ORDER BY id", 1, 3),
        ("SELECT list, id, tags, name FROM t WHERE id % 5 <> 0 ORDER BY id", 2, 2),
        ("SELECT id, pair, name FROM t WHERE name = 'name 13' ORDER BY id", 2, 1),
        ("SELECT tags, list FROM t WHERE id % 1000 = 7 ORDER BY tags, list", 2, 2),
        ("SELECT id + 1, pair FROM t WHERE id BETWEEN 12300 AND 31400 ORDER BY 1", 2, 1),
        ("SELECT id, list FROM t WHERE id % 10 = 11", 2, 1),
        ("SELECT id, cardinality(tags), pair FROM t WHERE id % 3 = 1 ORDER BY 1", 2, 2),
    ] {
        let (expected, actual) = (run(&stock, sql).await, run(&ours, sql).await);
        assert_equal(sql, &expected, &actual);
        let seen = report(&actual.plan);
        assert!(seen.gpu_nodes() >= nodes, "{sql}: {seen:?}");
        let figures = figures(&actual.plan);
        assert_eq!(figures.get("failed_morsels"), Some(&0), "{sql}: {figures:?}");
        assert_eq!(figures.get("refused_row_groups"), Some(&0), "{sql}: {figures:?}");
        let morsels = seen.gpu_morsels();
        assert!(morsels > 0, "{sql}: {figures:?}");
        let none = expected.answer.rows() == 0;
        let riding = if none { 0 } else { riding * morsels };
        assert_eq!(figures.get("riding_columns"), Some(&riding), "{sql}: {figures:?}");
    }
    // A filter that reads one stays on the CPU, with its reason.
    let sql = "SELECT id FROM t WHERE cardinality(list) = 2 ORDER BY id";
    let (expected, actual) = (run(&stock, sql).await, run(&ours, sql).await);
    assert_equal(sql, &expected, &actual);
    let seen = report(&actual.plan);
    let filter = seen.nodes.iter().find(|node| node.name == "FilterExec").expect("a filter");
    assert_eq!((&filter.place, filter.code), (&Place::Cpu, Some(ReasonCode::DataType)));
}

/// Limits below what a scan needs leave it to the CPU with a reason; at and above, they hold, and what does
/// not fit runs on the CPU too. Never an error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_limits_cost_speed_and_no_row() {
    if !has_gpu() {
        return;
    }
    let workload = workload(&[1, 6]);
    let stock = session(Engine::DataFusion, &workload).await;
    for (setting, value) in [
        ("memory.device_limit", "16MiB"),
        ("memory.device_limit", "0%"),
        ("memory.pinned_limit", "8MiB"),
    ] {
        let ours = session(Engine::Gpu, &workload).await;
        run(&ours, &format!("SET staffa.{setting} = '{value}'")).await;
        for query in &workload.queries {
            let (expected, actual) = (run(&stock, &query.sql).await, run(&ours, &query.sql).await);
            assert_equal(&query.name, &expected, &actual);
            let seen = report(&actual.plan);
            assert_eq!(seen.gpu_nodes(), 0, "{setting} = {value}: {seen:?}");
            let scan = seen.nodes.iter().find(|node| node.name == "DataSourceExec");
            let why = scan.and_then(|scan| scan.reason.as_deref()).unwrap_or_default();
            assert!(
                why.starts_with("A015 ") && why.contains(&format!("staffa.{setting}")),
                "{why}"
            );
        }
    }
    let ours = session(Engine::Gpu, &workload).await;
    let config = StaffaConfig {
        memory_device_limit: "32MiB".parse().expect("a limit"),
        memory_pinned_limit: "32MiB".parse().expect("a limit"),
        ..StaffaConfig::default()
    };
    run(&ours, "SET staffa.memory.device_limit = '32MiB'").await;
    run(&ours, "SET staffa.memory.pinned_limit = '32MiB'").await;
    for query in &workload.queries {
        let (expected, actual) = (run(&stock, &query.sql).await, run(&ours, &query.sql).await);
        assert_equal(&query.name, &expected, &actual);
        assert!(report(&actual.plan).gpu_nodes() > 0, "{}", query.name);
    }
    let gpu = staffa::gpu(&config).expect("the same pools");
    let (device, (_, pinned)) = (gpu.usage(), gpu.pinned().pinned_bytes());
    assert_eq!(device.budget_bytes, 32 << 20);
    assert!(device.held_high_bytes > 0 && device.held_high_bytes <= 32 << 20, "{device:?}");
    assert!(pinned > 0 && pinned <= 32 << 20, "{pinned}");
    let wrong = run_query(&ours, "SET staffa.memory.device_limit = 'much'").await;
    let error = wrong.map(drop).expect_err("no amount").to_string();
    assert!(error.contains("staffa.memory.device_limit: cannot take 'much'"), "{error}");
}

/// Rows that the page index leaves in many ranges: those near each other are decoded together, and what lies
/// between is dropped on the device, also for columns that ride along; far scattered ones are the CPU's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scattered_pages_go_to_the_device() {
    if !has_gpu() {
        return;
    }
    const ROWS: i64 = 120_000;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("pages.parquet");
    // Pages of 200 rows, each with one value of `part`, which so decides on whole pages.
    let part: ArrayRef =
        Arc::new(Int64Array::from_iter_values((0..ROWS).map(|row| row / 200 % 30)));
    let name: ArrayRef =
        Arc::new(StringArray::from_iter_values((0..ROWS).map(|row| format!("row {}", row * 7))));
    let all = nested(ROWS);
    let [id, list] = ["id", "list"].map(|name| Arc::clone(all.column_by_name(name).expect("it")));
    let batch =
        RecordBatch::try_from_iter([("part", part), ("id", id), ("list", list), ("name", name)])
            .expect("a batch");
    let properties = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_data_page_row_count_limit(200)
        .set_write_batch_size(200)
        .build();
    let file = File::create(&path).expect("a file");
    let mut writer =
        ArrowWriter::try_new(file, batch.schema(), Some(properties)).expect("a writer");
    writer.write(&batch).expect("rows");
    writer.close().expect("a footer");
    let path = path.to_str().expect("a path");
    let options = SessionOptions { target_partitions: Some(1), ..SessionOptions::default() };
    let [stock, ours] = [Engine::DataFusion, Engine::Gpu]
        .map(|engine| engine.session(&options).expect("a session"));
    for ctx in [&stock, &ours] {
        ctx.register_parquet("t", path, ParquetReadOptions::default()).await.expect("a table");
    }
    // Of 600 pages 360, 300 and 100 in as many ranges or fewer; and 20, far apart.
    let most = "1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 15, 17, 19, 21, 22, 23";
    let half = "1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29";
    for (sql, morsels, on_the_cpu) in [
        (format!("SELECT id, name FROM t WHERE part IN ({most})"), 16, 0),
        (format!("SELECT id, list, name FROM t WHERE part IN ({half})"), 16, 0),
        ("SELECT id, list FROM t WHERE part IN (0, 2, 4, 6, 8) AND id % 30 = 1".to_string(), 16, 0),
        ("SELECT id, list FROM t WHERE part = 4".to_string(), 0, 1),
    ] {
        let sql = format!("{sql} ORDER BY 1");
        let (expected, actual) = (run(&stock, &sql).await, run(&ours, &sql).await);
        assert_equal(&sql, &expected, &actual);
        let figures = figures(&actual.plan);
        let of = |name: &str| figures.get(name).copied().unwrap_or(0);
        println!("{sql}: {figures:?}");
        assert_eq!(of("failed_morsels"), 0, "{sql}: {figures:?}");
        assert_eq!((of("morsels"), of("page_selected_row_groups")), (morsels, on_the_cpu), "{sql}");
    }
}
