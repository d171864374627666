//! Random queries over Parquet files on stock DataFusion, Staffa's CPU engine and its CUDA engine: three equal
//! answers, and the metrics say how often a device made morsels. `STAFFA_GPU_CASES` for other numbers of
//! cases (from `STAFFA_DIFFERENTIAL_FIRST` on), one again with `STAFFA_SEED`. Needs a device:
//! `scripts/with-emulated-gpu cargo test --test gpu_differential`.

#![expect(clippy::expect_used, clippy::panic, reason = "a helper of tests fails by panicking")]

use std::future::Future;

use staffa::StaffaConfig;
use staffa_testkit::differential::{Case, Progress, Source, Suite, Verdict};
use staffa_testkit::engine::Engine;

/// Runs `future` on a runtime that is left behind, so that a hanging case ends as a failure.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .expect("a runtime");
    let result = runtime.block_on(future);
    runtime.shutdown_background();
    result
}

fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")),
        Err(_) => default,
    }
}

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

#[test]
fn three_engines_agree() {
    if !has_gpu() {
        return;
    }
    let first = number("STAFFA_DIFFERENTIAL_FIRST", 0);
    let seeds = first..first + number("STAFFA_GPU_CASES", 200);
    let engines = vec![Engine::cpu(), Engine::gpu()];
    let report = block_on(Suite { seeds, workers: 8, engines, source: Source::Files }.run());
    println!("{}", report.text());
    let cases = report.cases;
    assert!(report.failed.is_empty(), "{} of {cases} cases differ", report.failed.len());
    assert!(
        report.on_a_device * 2 > cases,
        "a device made morsels in only {} of {cases} cases",
        report.on_a_device
    );
    // What says nothing. Few cases say little about these shares.
    let silent = report.refused() + report.stock_errs.len() + report.stock_slow.len();
    assert!(silent * 10 < cases + 50, "{silent} of {cases} cases have no oracle");
    assert!(
        report.vacuous.len() * 100 < cases + 100,
        "{} of {cases} cases are vacuous: seeds {:?}",
        report.vacuous.len(),
        &report.vacuous[..report.vacuous.len().min(20)]
    );
}

/// Runs the case of `STAFFA_SEED` alone, and tells all about it.
#[test]
fn replay() {
    if !has_gpu() {
        return;
    }
    let seed = number("STAFFA_SEED", 1);
    let (text, outcome) = block_on(async move {
        let case = Case::new(seed, Source::Files).await.expect("a case");
        let text = case.describe(&Engine::gpu()).await.expect("a description");
        println!("{text}");
        let engines = [Engine::cpu(), Engine::gpu()];
        (text, case.run(&engines, &Progress::default()).await.expect("a verdict"))
    });
    println!("{outcome:?}");
    assert!(text.contains("SELECT"), "a case without a query");
    assert!(!matches!(outcome.verdict, Verdict::Failed(_)), "seed {seed} differs");
}
