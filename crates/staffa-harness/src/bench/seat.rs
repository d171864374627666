//! Who takes part: a session of ours, or another program.

use datafusion::common::{DataFusionError, Result};
use datafusion::prelude::SessionContext;

use super::{Options, QueryResult, count};
use crate::compare::{Values, compare_foreign, compare_runs};
use crate::engine::Engine;
use crate::python::PythonEngine;
use crate::run::{Run, run_query};
use crate::workload::{NamedQuery, Workload};

/// An engine with the workload's tables.
pub(super) struct Seat {
    pub(super) engine: Engine,
    place: Place,
}

enum Place {
    Session(SessionContext),
    Python(Box<PythonEngine>),
}

/// DataFusion's answer, and the session that gave it.
pub(super) struct Reference<'a> {
    pub(super) ctx: &'a SessionContext,
    pub(super) run: &'a Result<Run>,
}

/// Those that can be had of the engines asked for, and why the others cannot.
///
/// # Errors
/// A session that cannot be made, or none at all can be had.
pub(super) async fn seats(
    workload: &Workload,
    options: &Options,
) -> Result<(Vec<Seat>, Vec<String>)> {
    let (mut seats, mut skipped) = (vec![], vec![]);
    for &engine in &options.engines {
        let place = if engine.is_python() {
            match PythonEngine::open(engine, workload, &options.session, &options.python) {
                Ok(python) => Place::Python(Box::new(python)),
                Err(why) => {
                    skipped.push(why.to_string());
                    continue;
                }
            }
        } else {
            Place::Session(session(engine, workload, options).await?)
        };
        seats.push(Seat { engine, place });
    }
    if seats.is_empty() {
        return Err(DataFusionError::Configuration(skipped.join("\n")));
    }
    Ok((seats, skipped))
}

/// A session that knows the workload's tables.
pub(super) async fn session(
    engine: Engine,
    workload: &Workload,
    options: &Options,
) -> Result<SessionContext> {
    let ctx = engine.session(&options.session)?;
    workload.register(&ctx).await?;
    Ok(ctx)
}

impl Seat {
    /// Version of the package, of an engine in Python.
    pub(super) fn version(&self) -> Option<String> {
        match &self.place {
            Place::Session(_) => None,
            Place::Python(python) => Some(python.version().to_string()),
        }
    }

    /// Runs the query, compares, and drops the answer.
    ///
    /// # Errors
    /// Whatever the engine raises, as text.
    pub(super) async fn warm_up(
        &mut self,
        reference: &Reference<'_>,
        query: &NamedQuery,
        options: &Options,
        result: &mut QueryResult,
    ) -> Result<(), String> {
        match &mut self.place {
            Place::Session(ctx) => {
                let run = run_query(ctx, &query.sql).await.map_err(|e| e.to_string())?;
                describe(self.engine, &run, result);
                check(self.engine, (ctx, &run), reference, query, options, result).await;
            }
            Place::Python(python) => {
                let (timed, answer) = python.answer(&query.sql)?;
                result.rows = timed.rows;
                let outcome = match (reference.run, answer) {
                    (_, Err(why)) => Ok(Values::NotCompared(why)),
                    (Err(error), _) => Ok(Values::NotCompared(unanswered(error))),
                    (Ok(run), Ok(answer)) => {
                        let left = (reference.ctx, run);
                        let name = self.engine.name();
                        compare_foreign(&query.sql, left, &answer, options.tolerance, name).await
                    }
                };
                match outcome {
                    Ok(Values::Equal) => result.equal = true,
                    Ok(Values::Different(what)) => result.problem = Some(what),
                    Ok(Values::NotCompared(why)) => result.not_compared = Some(why),
                    Err(error) => result.not_compared = Some(error.to_string()),
                }
            }
        }
        Ok(())
    }

    /// One counted run.
    ///
    /// # Errors
    /// Whatever the engine raises, as text.
    pub(super) async fn run(&mut self, sql: &str, result: &mut QueryResult) -> Result<(), String> {
        match &mut self.place {
            Place::Session(ctx) => {
                let run = run_query(ctx, sql).await.map_err(|e| e.to_string())?;
                count(result, run.elapsed, run.answer.rows());
            }
            Place::Python(python) => {
                let timed = python.run(sql)?;
                count(result, timed.elapsed, timed.rows);
            }
        }
        Ok(())
    }
}

/// What the plan says of itself.
fn describe(engine: Engine, run: &Run, result: &mut QueryResult) {
    let report = staffa::report(&run.plan);
    result.rows = run.answer.rows();
    result.staffa_nodes = report.staffa_nodes();
    result.gpu_nodes = report.gpu_nodes();
    result.gpu_morsels = report.gpu_morsels();
    result.datafusion_nodes = report.datafusion_nodes();
    result.places = report.nodes.iter().map(|n| format!("{} {}", n.name, n.place)).collect();
    if engine.is_accelerated() {
        result.reasons = report.reasons();
    }
}

async fn check(
    engine: Engine,
    (ctx, run): (&SessionContext, &Run),
    reference: &Reference<'_>,
    query: &NamedQuery,
    options: &Options,
    result: &mut QueryResult,
) {
    let expected = match reference.run {
        Ok(expected) => expected,
        Err(error) => {
            result.problem = Some(unanswered(error));
            return;
        }
    };
    if engine == Engine::DataFusion {
        result.equal = true;
        return;
    }
    let (left, right) = ((reference.ctx, expected), (ctx, run));
    match compare_runs(&query.sql, left, right, options.tolerance).await {
        Ok(comparison) if comparison.is_equal() => result.equal = true,
        Ok(comparison) => result.problem = Some(comparison.render("datafusion", engine.name())),
        Err(error) => result.problem = Some(format!("cannot compare: {error}")),
    }
}

fn unanswered(error: &DataFusionError) -> String {
    format!("no answer to compare with: {error}")
}
