//! Random queries on stock DataFusion and on Staffa: 2,000 in CI, more with
//! `STAFFA_DIFFERENTIAL_CASES`, one again with `STAFFA_SEED`.

#![expect(clippy::expect_used, clippy::panic, reason = "a helper of tests fails by panicking")]

use std::future::Future;

use staffa_testkit::differential::{Case, Progress, Report, Source, Suite, Verdict};
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

fn run(cases: u64, engines: Vec<Engine>) -> Report {
    let first = number("STAFFA_DIFFERENTIAL_FIRST", 0);
    let seeds = first..first + cases;
    let report = block_on(Suite { seeds, workers: 4, engines, source: Source::Mixed }.run());
    println!("{}", report.text());
    report
}

#[test]
fn generated_queries_agree_with_datafusion() {
    let report = run(number("STAFFA_DIFFERENTIAL_CASES", 2_000), vec![Engine::cpu()]);
    let cases = report.cases;
    assert!(report.failed.is_empty(), "{} of {cases} cases differ", report.failed.len());
    assert!(
        report.refused() * 20 < cases,
        "{} of {cases} cases say nothing: both engines refuse them",
        report.refused()
    );
    assert!(
        report.stock_errs.len() * 200 < cases,
        "stock DataFusion contradicts itself in {} of {cases} cases: is the generator ambiguous?",
        report.stock_errs.len()
    );
    assert!(
        report.stock_slow.len() * 500 < cases,
        "stock DataFusion is too slow in {} of {cases} cases: seeds {:?}",
        report.stock_slow.len(),
        report.stock_slow
    );
    assert!(
        cases < 500 || report.placed * 50 >= cases,
        "only {} of {cases} cases sort by keys that they hide, and have several",
        report.placed
    );
    assert!(
        report.vacuous.len() * 100 < cases,
        "{} of {cases} cases are vacuous (no Staffa node ran): seeds {:?}",
        report.vacuous.len(),
        &report.vacuous[..report.vacuous.len().min(20)]
    );
}

/// A generator whose queries depend on the order of evaluation would accuse the innocent.
#[test]
fn generated_queries_have_one_answer() {
    let report = run(number("STAFFA_DIFFERENTIAL_CASES", 2_000) / 10, Vec::new());
    assert!(report.failed.is_empty(), "{} queries have two answers", report.failed.len());
    assert_eq!(report.equal, 0, "stock DataFusion ran a Staffa node");
}

/// Runs the case of `STAFFA_SEED` alone, and tells all about it.
#[test]
fn replay() {
    let seed = number("STAFFA_SEED", 1);
    let (text, outcome) = block_on(async move {
        let case = Case::new(seed, Source::Mixed).await.expect("a case");
        let text = case.describe(&Engine::cpu()).await.expect("a description");
        println!("{text}");
        (text, case.run(&[Engine::cpu()], &Progress::default()).await.expect("a verdict"))
    });
    println!("{outcome:?}");
    assert!(text.contains("SELECT"), "a case without a query");
    assert!(!matches!(outcome.verdict, Verdict::Failed(_)), "seed {seed} differs");
}
