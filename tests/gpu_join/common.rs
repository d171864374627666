//! Tables, sessions, and the comparison with stock.

use std::collections::BTreeMap;
use std::fs::File;
use std::process::Command;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::util::pretty::pretty_format_batches;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use staffa::{Place, PlanReport, StaffaConfig, report};
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

/// A table of these columns, all of which may hold NULLs.
pub(crate) fn table(columns: &[(&str, ArrayRef)]) -> RecordBatch {
    let columns = columns.iter().map(|(name, array)| (*name, Arc::clone(array), true));
    RecordBatch::try_from_iter_with_nullable(columns).expect("a batch")
}

/// Stock and ours, over the same tables.
pub(crate) struct Both {
    pub(crate) stock: SessionContext,
    pub(crate) ours: SessionContext,
    _folder: TempDir,
}

impl Both {
    /// Over tables of one file each, with row groups of so many rows.
    pub(crate) async fn new(
        tables: &[(&str, RecordBatch)],
        group_rows: usize,
        partitions: usize,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let [stock, ours] =
            [Engine::DataFusion, Engine::Gpu].map(|engine| session(engine, partitions));
        for (name, batch) in tables {
            let path = folder.path().join(format!("{name}.parquet"));
            let rows = Some(group_rows);
            let properties = WriterProperties::builder().set_max_row_group_row_count(rows).build();
            let file = File::create(&path).expect("a file");
            let mut writer =
                ArrowWriter::try_new(file, batch.schema(), Some(properties)).expect("a writer");
            writer.write(batch).expect("rows");
            writer.close().expect("a footer");
            let path = path.to_str().expect("a path");
            for ctx in [&stock, &ours] {
                let options = ParquetReadOptions::default();
                ctx.register_parquet(*name, path, options).await.expect("a table");
            }
        }
        Self { stock, ours, _folder: folder }
    }

    /// Runs statements on both that give no rows.
    pub(crate) async fn set(&self, statements: &[&str]) {
        for sql in statements {
            for ctx in [&self.stock, &self.ours] {
                run(ctx, sql).await;
            }
        }
    }

    /// Runs a query on both; the answers must be equal.
    pub(crate) async fn equal(&self, sql: &str) -> Seen {
        let (expected, actual) = (run(&self.stock, sql).await, run(&self.ours, sql).await);
        assert_equal(sql, &expected, &actual);
        Seen::of(&actual)
    }

    /// The same, and the device must have joined so many times, with nothing left to the CPU.
    pub(crate) async fn on_the_device(&self, sql: &str, joins: usize) -> Seen {
        let seen = self.equal(sql).await;
        assert_eq!(seen.joins_on_gpu, joins, "{sql}: {}", seen.plan);
        assert_eq!(seen.of_name("build_uploads"), joins, "{sql}: {seen:?}");
        for left in [
            "failed_morsels",
            "ungrouped_morsels",
            "unprobed_morsels",
            "refused_row_groups",
            "refused_builds",
        ] {
            assert_eq!(seen.of_name(left), 0, "{left} of {sql}: {seen:?}");
        }
        seen
    }
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
    /// Joins that are placed on a device.
    pub(crate) joins_on_gpu: usize,
    /// Rows that came out of each node, in the plan's order.
    pub(crate) rows: Vec<(String, usize)>,
    pub(crate) plan: String,
}

impl Seen {
    pub(crate) fn of(run: &Run) -> Self {
        let mut figures = BTreeMap::new();
        add(&run.plan, &mut figures);
        let seen = report(&run.plan);
        let rows = seen.nodes.iter().map(|n| (n.name.clone(), n.output_rows.unwrap_or(0)));
        let rows = rows.collect();
        Self {
            figures,
            joins_on_gpu: on_gpu(&seen, "HashJoinExec"),
            rows,
            plan: format!("{seen:?}"),
        }
    }

    /// A figure by its name without `gpu_`; 0 where there is none.
    pub(crate) fn of_name(&self, name: &str) -> usize {
        self.figures.get(name).copied().unwrap_or(0)
    }
}

/// Nodes of this name that are placed on a device.
pub(crate) fn on_gpu(seen: &PlanReport, name: &str) -> usize {
    let nodes = seen.nodes.iter().filter(|node| node.name == name);
    nodes.filter(|node| matches!(node.place, Place::Gpu(_))).count()
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
