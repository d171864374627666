//! The CUDA engine through SQL: TPC-H equal to stock DataFusion, what a morsel asks of the device, and
//! what happens when the device cannot. Needs a device: `scripts/with-emulated-gpu cargo test --test gpu`.

#![expect(clippy::expect_used, clippy::panic, reason = "a helper of tests fails by panicking")]

mod auto;
mod child;
mod faults;
mod memory;
mod pages;
mod riding;
mod tpch;

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use staffa::StaffaConfig;
use staffa_harness::compare::{Rules, compare};
use staffa_harness::{Engine, Run, SessionOptions, Workload, run_query};

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
    let folder = staffa_harness::tpch::prepare(&staffa_harness::tpch::data_dir(), SCALE, &|_| {})
        .expect("TPC-H data");
    staffa_harness::tpch::workload(&folder, SCALE, queries).expect("queries")
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
