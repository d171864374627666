//! The runs.

use datafusion::common::{DataFusionError, Result};
use datafusion::prelude::SessionContext;

use super::{Options, QueryResult, Report, Runs, median};
use crate::compare::compare_runs;
use crate::engine::Engine;
use crate::machine::Machine;
use crate::run::{Run, run_query};
use crate::workload::{NamedQuery, Workload};

/// Counted runs of [`Runs::Auto`], and the median below which a query gets the larger number.
const FEW_RUNS: usize = 5;
const MANY_RUNS: usize = 15;
const SHORT_MS: f64 = 200.0;

/// One engine's session, and what it has shown of the current query.
struct Lane {
    engine: Engine,
    ctx: SessionContext,
    result: QueryResult,
    /// Once a run has failed, the query is not tried again.
    failed: bool,
}

impl Lane {
    fn fail(&mut self, error: &DataFusionError) {
        self.failed = true;
        self.result.equal = false;
        self.result.runs_ms.clear();
        self.result.problem = Some(error.to_string());
    }
}

/// Measures every query of `workload`; `done` is called after each with the number of finished
/// queries.
///
/// # Errors
/// An engine that this build lacks, tables that cannot be registered, no engine, or no run asked
/// for. A query that fails is no error: its result says so.
pub async fn bench(
    workload: &Workload,
    options: &Options,
    done: &(dyn Fn(usize) + Sync),
) -> Result<Report> {
    if options.engines.is_empty() || options.runs == Runs::Fixed(0) {
        let what = "a benchmark needs at least one engine and one run";
        return Err(DataFusionError::Configuration(what.to_string()));
    }
    let mut sessions = vec![];
    for &engine in &options.engines {
        sessions.push((engine, session(engine, workload, options).await?));
    }
    // Answers are compared with DataFusion's even when it is not timed.
    let reference = session(Engine::DataFusion, workload, options).await?;
    let mut queries = vec![];
    for (index, query) in workload.queries.iter().enumerate() {
        let lane = |(engine, ctx): &(Engine, SessionContext)| Lane {
            engine: *engine,
            ctx: ctx.clone(),
            result: QueryResult::unmeasured(&workload.name, &query.name, *engine),
            failed: false,
        };
        let mut lanes: Vec<Lane> = sessions.iter().map(lane).collect();
        warm_up(&mut lanes, &reference, query, options).await;
        time(&mut lanes, query, options.runs).await;
        finish(&mut lanes);
        queries.extend(lanes.into_iter().map(|lane| lane.result));
        done(index + 1);
    }
    Ok(Report::new(Machine::read(), queries))
}

async fn session(engine: Engine, workload: &Workload, options: &Options) -> Result<SessionContext> {
    let ctx = engine.session(&options.session)?;
    workload.register(&ctx).await?;
    Ok(ctx)
}

impl QueryResult {
    fn unmeasured(workload: &str, query: &str, engine: Engine) -> Self {
        Self {
            workload: workload.to_string(),
            query: query.to_string(),
            engine: engine.name(),
            median_ms: None,
            runs_ms: vec![],
            ratio_to_datafusion: None,
            equal: false,
            rows: 0,
            staffa_nodes: 0,
            gpu_nodes: 0,
            gpu_morsels: 0,
            datafusion_nodes: 0,
            places: vec![],
            reasons: vec![],
            problem: None,
        }
    }
}

/// Runs the query once on each engine and compares; the answers are dropped before timing starts.
async fn warm_up(
    lanes: &mut [Lane],
    reference: &SessionContext,
    query: &NamedQuery,
    options: &Options,
) {
    let expected = run_query(reference, &query.sql).await;
    for lane in lanes {
        match run_query(&lane.ctx, &query.sql).await {
            Err(error) => lane.fail(&error),
            Ok(run) => check(lane, &run, (reference, &expected), query, options).await,
        }
    }
}

async fn check(
    lane: &mut Lane,
    run: &Run,
    (reference, expected): (&SessionContext, &Result<Run>),
    query: &NamedQuery,
    options: &Options,
) {
    let report = staffa::report(&run.plan);
    let result = &mut lane.result;
    result.rows = run.answer.rows();
    result.staffa_nodes = report.staffa_nodes();
    result.gpu_nodes = report.gpu_nodes();
    result.gpu_morsels = report.gpu_morsels();
    result.datafusion_nodes = report.datafusion_nodes();
    result.places = report.nodes.iter().map(|n| format!("{} {}", n.name, n.place)).collect();
    if lane.engine.is_accelerated() {
        result.reasons = report.reasons();
    }
    let expected = match expected {
        Ok(expected) => expected,
        Err(error) => {
            result.problem = Some(format!("no answer to compare with: {error}"));
            return;
        }
    };
    if lane.engine == Engine::DataFusion {
        result.equal = true;
        return;
    }
    let (left, right) = ((reference, expected), (&lane.ctx, run));
    match compare_runs(&query.sql, left, right, options.tolerance).await {
        Ok(comparison) if comparison.is_equal() => result.equal = true,
        Ok(comparison) => {
            result.problem = Some(comparison.render("datafusion", lane.engine.name()));
        }
        Err(error) => result.problem = Some(format!("cannot compare: {error}")),
    }
}

/// Counted runs, one per engine and round.
async fn time(lanes: &mut [Lane], query: &NamedQuery, runs: Runs) {
    let mut round = 0;
    while round < rounds(lanes, round, runs) {
        for turn in 0..lanes.len() {
            // Rotating, so that no engine always runs after the same neighbour.
            let place = (round + turn) % lanes.len();
            let lane = &mut lanes[place];
            if lane.failed {
                continue;
            }
            match run_query(&lane.ctx, &query.sql).await {
                Err(error) => lane.fail(&error),
                Ok(run) => count(&mut lane.result, &run),
            }
        }
        round += 1;
    }
}

/// How many rounds are needed, as far as can be told after `round` of them.
fn rounds(lanes: &[Lane], round: usize, runs: Runs) -> usize {
    match runs {
        Runs::Fixed(runs) => runs,
        Runs::Auto if round < FEW_RUNS => FEW_RUNS,
        Runs::Auto => {
            let short = |lane: &Lane| median(&lane.result.runs_ms).is_some_and(|ms| ms < SHORT_MS);
            if lanes.iter().any(short) { MANY_RUNS } else { FEW_RUNS }
        }
    }
}

fn count(result: &mut QueryResult, run: &Run) {
    // Whole microseconds: more digits would claim a precision that the clock does not have.
    result.runs_ms.push(run.elapsed.as_micros() as f64 / 1e3);
    let rows = run.answer.rows();
    if rows != result.rows && result.problem.is_none() {
        result.equal = false;
        result.problem = Some(format!("{} rows at first, {rows} in a later run", result.rows));
    }
}

fn finish(lanes: &mut [Lane]) {
    for lane in lanes.iter_mut() {
        lane.result.median_ms = median(&lane.result.runs_ms);
    }
    let vanilla = lanes.iter().find(|lane| lane.engine == Engine::DataFusion);
    let Some(base) = vanilla.and_then(|lane| lane.result.median_ms) else {
        return;
    };
    for lane in lanes {
        lane.result.ratio_to_datafusion = lane.result.median_ms.map(|ms| ms / base);
    }
}
