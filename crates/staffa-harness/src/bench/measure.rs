//! The runs.

use std::time::Duration;

use datafusion::common::{DataFusionError, Result};
use datafusion::prelude::SessionContext;

use super::seat::{Reference, Seat, seats, session};
use super::{Options, QueryResult, Report, Runs, median};
use crate::engine::Engine;
use crate::machine::Machine;
use crate::run::run_query;
use crate::workload::{NamedQuery, Workload};

/// Counted runs of [`Runs::Auto`], and the median below which a query gets the larger number.
const FEW_RUNS: usize = 5;
const MANY_RUNS: usize = 15;
const SHORT_MS: f64 = 200.0;

/// One engine, and what it has shown of the current query.
struct Lane<'a> {
    seat: &'a mut Seat,
    result: QueryResult,
    /// Once a run has failed, the query is not tried again.
    failed: bool,
}

impl Lane<'_> {
    fn fail(&mut self, error: String) {
        self.failed = true;
        self.result.equal = false;
        self.result.not_compared = None;
        self.result.runs_ms.clear();
        self.result.problem = Some(error);
    }
}

/// Measures every query of `workload`; `done` is called after each with the number of finished
/// queries.
///
/// # Errors
/// An engine that this build lacks, tables that cannot be registered, no engine that can be had, or
/// no run asked for. A query that fails is no error: its result says so. Neither is an engine in
/// Python that is not there beside others that are: the report says so.
pub async fn bench(
    workload: &Workload,
    options: &Options,
    done: &(dyn Fn(usize) + Sync),
) -> Result<Report> {
    if options.engines.is_empty() || options.runs == Runs::Fixed(0) {
        let what = "a benchmark needs at least one engine and one run";
        return Err(DataFusionError::Configuration(what.to_string()));
    }
    let (mut seats, skipped) = seats(workload, options).await?;
    // Answers are compared with DataFusion's even when it is not timed.
    let reference = session(Engine::DataFusion, workload, options).await?;
    let mut queries = vec![];
    for (index, query) in workload.queries.iter().enumerate() {
        let lane = |seat| Lane::new(seat, &workload.name, &query.name);
        let mut lanes: Vec<Lane<'_>> = seats.iter_mut().map(lane).collect();
        warm_up(&mut lanes, &reference, query, options).await;
        time(&mut lanes, query, options.runs).await;
        finish(&mut lanes);
        queries.extend(lanes.into_iter().map(|lane| lane.result));
        done(index + 1);
    }
    let mut report = Report::new(Machine::read(), queries);
    for summary in &mut report.summary {
        let seat = seats.iter().find(|seat| seat.engine.name() == summary.engine);
        summary.version = seat.and_then(Seat::version);
    }
    report.skipped = skipped;
    Ok(report)
}

impl<'a> Lane<'a> {
    fn new(seat: &'a mut Seat, workload: &str, query: &str) -> Self {
        let result = QueryResult::unmeasured(workload, query, seat.engine);
        Self { seat, result, failed: false }
    }
}

impl QueryResult {
    pub(super) fn unmeasured(workload: &str, query: &str, engine: Engine) -> Self {
        Self {
            workload: workload.to_string(),
            query: query.to_string(),
            engine: engine.name(),
            median_ms: None,
            runs_ms: vec![],
            ratio_to_datafusion: None,
            equal: false,
            not_compared: None,
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
    lanes: &mut [Lane<'_>],
    ctx: &SessionContext,
    query: &NamedQuery,
    options: &Options,
) {
    let run = run_query(ctx, &query.sql).await;
    let reference = Reference { ctx, run: &run };
    for lane in lanes {
        if let Err(error) = lane.seat.warm_up(&reference, query, options, &mut lane.result).await {
            lane.fail(error);
        }
    }
}

/// Counted runs, one per engine and round.
async fn time(lanes: &mut [Lane<'_>], query: &NamedQuery, runs: Runs) {
    let mut round = 0;
    while round < rounds(lanes, round, runs) {
        for turn in 0..lanes.len() {
            // Rotating, so that no engine always runs after the same neighbour.
            let place = (round + turn) % lanes.len();
            let lane = &mut lanes[place];
            if lane.failed {
                continue;
            }
            if let Err(error) = lane.seat.run(&query.sql, &mut lane.result).await {
                lane.fail(error);
            }
        }
        round += 1;
    }
}

/// How many rounds are needed, as far as can be told after `round` of them.
fn rounds(lanes: &[Lane<'_>], round: usize, runs: Runs) -> usize {
    match runs {
        Runs::Fixed(runs) => runs,
        Runs::Auto if round < FEW_RUNS => FEW_RUNS,
        Runs::Auto => {
            let short =
                |lane: &Lane<'_>| median(&lane.result.runs_ms).is_some_and(|ms| ms < SHORT_MS);
            if lanes.iter().any(short) { MANY_RUNS } else { FEW_RUNS }
        }
    }
}

/// Counts one run.
pub(super) fn count(result: &mut QueryResult, elapsed: Duration, rows: usize) {
    // Whole microseconds: more digits would claim a precision that the clock does not have.
    result.runs_ms.push(elapsed.as_micros() as f64 / 1e3);
    if rows != result.rows && result.problem.is_none() {
        result.equal = false;
        result.not_compared = None;
        result.problem = Some(format!("{} rows at first, {rows} in a later run", result.rows));
    }
}

fn finish(lanes: &mut [Lane<'_>]) {
    for lane in lanes.iter_mut() {
        lane.result.median_ms = median(&lane.result.runs_ms);
    }
    let vanilla = lanes.iter().find(|lane| lane.seat.engine == Engine::DataFusion);
    let Some(base) = vanilla.and_then(|lane| lane.result.median_ms) else {
        return;
    };
    for lane in lanes {
        lane.result.ratio_to_datafusion = lane.result.median_ms.map(|ms| ms / base);
    }
}
