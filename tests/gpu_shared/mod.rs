//! What the programs that test queries on a device have in common.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;

use arrow::util::pretty::pretty_format_batches;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use staffa::{Place, PlanReport, StaffaConfig};
use staffa_harness::compare::{Rules, compare};
use staffa_harness::{Engine, Run, SessionOptions, run_query};

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

pub(crate) async fn run(ctx: &SessionContext, sql: &str) -> Run {
    run_query(ctx, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

pub(crate) fn assert_equal(name: &str, expected: &Run, actual: &Run) {
    let rules = Rules { order: expected.order.clone(), ..Rules::default() };
    let comparison = compare(&expected.answer, &actual.answer, &rules).expect("comparable");
    assert!(comparison.is_equal(), "{name}: {}", comparison.render("datafusion", "gpu"));
}

/// Nodes of this name that are placed on a device.
pub(crate) fn on_gpu(seen: &PlanReport, name: &str) -> usize {
    let nodes = seen.nodes.iter().filter(|node| node.name == name);
    nodes.filter(|node| matches!(node.place, Place::Gpu(_))).count()
}

/// The sums of all nodes' figures that begin with `gpu_`, times excepted.
pub(crate) fn figures(plan: &Arc<dyn ExecutionPlan>) -> BTreeMap<String, usize> {
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

/// Every so many of the faults are tried: `STAFFA_FAULT_STRIDE`, 1 for a night.
pub(crate) fn stride() -> usize {
    let set = std::env::var("STAFFA_FAULT_STRIDE").ok();
    set.map_or(5, |stride| stride.parse().expect("a number")).max(1)
}
