//! Tables, sessions, and the comparison with stock.

use std::collections::BTreeMap;
use std::fs::File;
use std::process::Command;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use staffa::{Place, StaffaConfig, report};
use staffa_harness::compare::{Rules, compare};
use staffa_harness::{Engine, Run, SessionOptions, run_query};
use tempfile::TempDir;

/// Whether there is a device, or a note.
pub(crate) fn has_gpu() -> bool {
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

/// Whether the driver is ours, which does what tests ask of it.
pub(crate) fn is_emulated() -> bool {
    let emulated = std::env::var_os("STAFFA_EMULATED_KERNELS").is_some();
    if !emulated {
        eprintln!("SKIPPED: needs scripts/with-emulated-gpu");
    }
    emulated
}

/// A session without tables.
pub(crate) fn session(engine: Engine, partitions: usize) -> SessionContext {
    let options =
        SessionOptions { target_partitions: Some(partitions), ..SessionOptions::default() };
    engine.session(&options).expect("a session")
}

/// Stock and ours, over the same tables.
pub(crate) struct Both {
    pub(crate) stock: SessionContext,
    pub(crate) ours: SessionContext,
    _folder: TempDir,
}

impl Both {
    /// Over one table `t` of one file, with row groups of so many rows.
    pub(crate) async fn new(batch: &RecordBatch, group_rows: usize, partitions: usize) -> Self {
        Self::with_files(std::slice::from_ref(batch), group_rows, partitions).await
    }

    /// Over one table `t` of a file for each batch.
    pub(crate) async fn with_files(
        batches: &[RecordBatch],
        group_rows: usize,
        partitions: usize,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for (number, batch) in batches.iter().enumerate() {
            write(&folder, &format!("t/{number}.parquet"), batch, group_rows);
        }
        let path = folder.path().join("t");
        let path = path.to_str().expect("a path");
        let [stock, ours] =
            [Engine::DataFusion, Engine::Gpu].map(|engine| session(engine, partitions));
        for ctx in [&stock, &ours] {
            let options = ParquetReadOptions::default();
            ctx.register_parquet("t", path, options).await.expect("a table");
        }
        Self { stock, ours, _folder: folder }
    }

    /// Runs a query on both; the answers must be equal.
    pub(crate) async fn equal(&self, sql: &str) -> Seen {
        let (expected, actual) = (run(&self.stock, sql).await, run(&self.ours, sql).await);
        assert_equal(sql, &expected, &actual);
        Seen::of(&actual)
    }

    /// The same, and all of the aggregation must have run on the device.
    pub(crate) async fn on_the_device(&self, sql: &str) -> Seen {
        let seen = self.equal(sql).await;
        assert!(seen.aggregates_on_gpu > 0, "{sql}: {}", seen.plan);
        assert!(seen.of_name("grouped_morsels") > 0, "{sql}: {seen:?}");
        assert_eq!(seen.of_name("failed_morsels"), 0, "{sql}: {seen:?}");
        assert_eq!(seen.of_name("ungrouped_morsels"), 0, "{sql}: {seen:?}");
        assert_eq!(seen.of_name("refused_row_groups"), 0, "{sql}: {seen:?}");
        seen
    }
}

fn write(folder: &TempDir, name: &str, batch: &RecordBatch, group_rows: usize) {
    let path = folder.path().join(name);
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
    let properties =
        WriterProperties::builder().set_max_row_group_row_count(Some(group_rows)).build();
    let file = File::create(path).expect("a file");
    let mut writer =
        ArrowWriter::try_new(file, batch.schema(), Some(properties)).expect("a writer");
    writer.write(batch).expect("rows");
    writer.close().expect("a footer");
}

pub(crate) async fn run(ctx: &SessionContext, sql: &str) -> Run {
    run_query(ctx, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

pub(crate) fn assert_equal(name: &str, expected: &Run, actual: &Run) {
    let rules = Rules { order: expected.order.clone(), ..Rules::default() };
    let comparison = compare(&expected.answer, &actual.answer, &rules).expect("comparable");
    assert!(comparison.is_equal(), "{name}: {}", comparison.render("datafusion", "gpu"));
}

/// What plan and metrics show of a run.
#[derive(Debug)]
pub(crate) struct Seen {
    /// The sums of all nodes' figures that begin with `gpu_`, times excepted.
    pub(crate) figures: BTreeMap<String, usize>,
    /// Aggregations that are placed on a device.
    pub(crate) aggregates_on_gpu: usize,
    pub(crate) plan: String,
}

impl Seen {
    pub(crate) fn of(run: &Run) -> Self {
        let mut figures = BTreeMap::new();
        add(&run.plan, &mut figures);
        let seen = report(&run.plan);
        let aggregates = seen.nodes.iter().filter(|node| node.name == "AggregateExec");
        let on_gpu = aggregates.filter(|node| matches!(node.place, Place::Gpu(_))).count();
        Self { figures, aggregates_on_gpu: on_gpu, plan: format!("{seen:?}") }
    }

    /// A figure by its name without `gpu_`; 0 where there is none.
    pub(crate) fn of_name(&self, name: &str) -> usize {
        self.figures.get(name).copied().unwrap_or(0)
    }
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

/// The text of a run's answer.
pub(crate) fn text(run: &Run) -> String {
    pretty_format_batches(&run.answer.batches).expect("text").to_string()
}

/// Runs an ignored test of this program in a process of its own, with a fault of the emulated driver.
pub(crate) fn child(test: &str, fault: &str) -> String {
    let outcome = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env("STAFFA_EMULATOR_FAULTS", fault)
        .output()
        .expect("a child");
    let text = String::from_utf8_lossy(&outcome.stdout).into_owned();
    let errors = String::from_utf8_lossy(&outcome.stderr);
    assert!(outcome.status.success(), "{fault}: {text}\n{errors}");
    text
}
