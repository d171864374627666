//! One case: built from its seed, run on both engines, judged.

use std::sync::{Arc, OnceLock};

use arrow::error::ArrowError;
use arrow::util::pretty::pretty_format_batches;
use datafusion::common::{DataFusionError, Result};
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::{ExecutionPlan, InputOrderMode, displayable};
use datafusion::prelude::SessionContext;
use tempfile::TempDir;

use super::catalogue::orderable;
use super::consume::Consumption;
use super::generator::{Coverage, Generator};
use super::pool::{Domain, Pool};
use super::progress::Progress;
use super::scope::Query;
use super::settings::Settings;
use super::table::Table;
use super::{catalogue, generator};
use crate::engine::{Engine, Planned};
use crate::oracle::{self, Answer, Comparison};
use crate::rng::Rng;
use staffa_datafusion::{KeptExec, NodeReport, Place};

/// Drafts of SQL tried before a case that the planner refuses is taken as it is.
const DRAFTS: usize = 8;

/// Nodes that read or make rows: a plan of nothing else leaves nothing to accelerate.
const SOURCES: [&str; 4] = ["DataSourceExec", "EmptyExec", "PlaceholderRowExec", "CooperativeExec"];

/// Tables, settings and a query.
pub struct Case {
    /// The seed that makes it.
    pub seed: u64,
    /// The query.
    pub sql: String,
    /// What it exercises.
    pub coverage: Coverage,
    settings: Settings,
    tables: Vec<Table>,
    folder: TempDir,
    query: Query,
    /// Of stock's rows by keys that the query hides.
    places: OnceLock<Vec<u64>>,
    consumption: Consumption,
    morsel_rows: usize,
}

/// What became of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Equal, and accelerated nodes ran.
    Equal,
    /// Equal, but no node was accelerated: it says nothing.
    Vacuous,
    /// Both engines refused it, the oracle with this message.
    BothErr(String),
    /// Different, but stock DataFusion's plan contradicts its simplest plan too: no oracle.
    StockErs(String),
    /// Stock DataFusion did not end in time: no oracle.
    StockSlow,
    /// Different.
    Failed(String),
}

/// The verdict, and what ran.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The verdict.
    pub verdict: Verdict,
    /// Operators of the last plan under test: name, and whether it was accelerated.
    pub nodes: Vec<(String, bool)>,
    /// `name: reason` for each node that stayed with DataFusion.
    pub reasons: Vec<String>,
    /// Morsels that a device made, as the last plan's metrics say.
    pub device_morsels: usize,
    /// Whether rows were compared by their places under sort keys that the query hides.
    pub placed: bool,
}

/// Where a case's tables come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Mostly from memory, some from Parquet.
    Mixed,
    /// From Parquet: what a device reads.
    Files,
}

/// How often stock DataFusion runs again where another engine's answer differs.
const RUN_AGAIN: usize = 12;

impl Case {
    /// Builds the case of `seed`.
    ///
    /// # Errors
    /// Data that Arrow cannot build, or a temporary folder that cannot be written.
    pub async fn new(seed: u64, source: Source) -> Result<Self> {
        let mut rng = Rng::new(seed);
        // The more joins, the fewer rows, so that products stay small.
        let joins = rng.weighted(&[25, 35, 25, 15]);
        let max_rows = match (joins, rng.below(10)) {
            (0, 0) => 20_000,
            (0 | 1, 1..4) => 2_000,
            (0 | 1, _) | (2, 0..3) => 400,
            _ => 60,
        };
        let tables = tables(&mut rng, max_rows, source)?;
        let folder = tempfile::tempdir()?;
        for table in &tables {
            table.write_files(folder.path())?;
        }
        let settings = Settings::new(&mut rng, max_rows);
        let ctx = Engine::stock().session(settings.session_config()?);
        for table in &tables {
            table.register(&ctx, folder.path()).await?;
        }
        let (query, coverage) = draft(&mut rng, &ctx, &tables, joins).await?;
        Ok(Self {
            seed,
            sql: query.sql.clone(),
            coverage,
            settings,
            tables,
            folder,
            query,
            places: OnceLock::new(),
            consumption: Consumption::random(&mut rng),
            morsel_rows: *rng.pick(&[16, 256, 1024, 16_384]),
        })
    }

    /// Runs the case on stock DataFusion and on each of `engines`, and compares. The first difference
    /// ends it.
    ///
    /// # Errors
    /// Only what is wrong with the case itself; a failing engine is a verdict.
    pub async fn run(&self, engines: &[Engine], progress: &Progress) -> Result<Outcome> {
        self.run_with(engines, &self.settings, &self.consumption, progress).await
    }

    /// Runs stock DataFusion against itself, with other parallelism and batch sizes.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn run_against_itself(&self, progress: &Progress) -> Result<Outcome> {
        let other =
            self.settings.with("execution.target_partitions", 5).with("execution.batch_size", 911);
        self.run_with(&[Engine::stock()], &other, &Consumption::Whole, progress).await
    }

    async fn run_with(
        &self,
        engines: &[Engine],
        settings: &Settings,
        consumption: &Consumption,
        progress: &Progress,
    ) -> Result<Outcome> {
        progress.stock();
        let expected = self.answer(&Engine::stock(), &self.settings).await;
        self.find_places(&expected).await?;
        let mut last = self.outcome(None, Verdict::Vacuous);
        for engine in engines {
            progress.tested();
            last = self.compare(&expected, engine, settings, consumption, progress).await?;
            if !matches!(last.verdict, Verdict::Equal) {
                break;
            }
        }
        Ok(last)
    }

    /// Runs `engine` and judges it by stock's answer.
    async fn compare(
        &self,
        expected: &Result<Answer>,
        engine: &Engine,
        settings: &Settings,
        consumption: &Consumption,
        progress: &Progress,
    ) -> Result<Outcome> {
        let engine = engine.clone().with_morsel_rows(self.morsel_rows);
        let planned = match self.plan(&engine, settings).await {
            Ok(planned) => planned,
            Err(error) => return Ok(self.outcome(None, judge_error(expected, &error))),
        };
        let (actual, ordered) = self.read(&planned, &engine, settings, consumption).await;
        let verdict = self.judge(&planned, expected, &actual, ordered)?;
        let Verdict::Failed(text) = verdict else {
            return Ok(self.outcome(Some(&planned), verdict));
        };
        let contradicted = self.stock_contradicts(&planned, expected, settings, progress).await?;
        let text = format!("{}: {text}", engine.name());
        let verdict = if contradicted { Verdict::StockErs(text) } else { Verdict::Failed(text) };
        Ok(self.outcome(Some(&planned), verdict))
    }

    /// Whether there is no oracle: stock DataFusion has bugs of its own, so that its simplest plan
    /// contradicts the plan of this case, or running it again does (rows that come in another order,
    /// plans that depend on the order of a hash map), or its own nodes in the very plan under test.
    /// Such cases are counted, and may not be many.
    async fn stock_contradicts(
        &self,
        planned: &Planned,
        expected: &Result<Answer>,
        settings: &Settings,
        progress: &Progress,
    ) -> Result<bool> {
        progress.stock();
        if trusts_false_order(&planned.plan) {
            return Ok(true);
        }
        let stock = Engine::stock();
        let simplest = self.answer(&stock, &self.settings.simplest()).await;
        if matches!(self.judge(planned, &simplest, expected, true)?, Verdict::Failed(_)) {
            return Ok(true);
        }
        for _ in 0..RUN_AGAIN {
            progress.stock();
            let without = planned.without_staffa()?.caught_answer().await;
            let again = self.answer(&stock, settings).await;
            for answer in [without, again] {
                if matches!(self.judge(planned, expected, &answer, true)?, Verdict::Failed(_)) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Reads `planned` as the case asks for, and says whether its rows came in order.
    async fn read(
        &self,
        planned: &Planned,
        engine: &Engine,
        settings: &Settings,
        consumption: &Consumption,
    ) -> (Result<Answer>, bool) {
        let consumption =
            if waits_for_siblings(planned) { &Consumption::Whole } else { consumption };
        if !consumption.complete() {
            // A stream dropped midway must leave the next run of the query whole.
            drop(consumption.read(planned).await);
            return (self.answer(engine, settings).await, true);
        }
        let partitions = planned.plan.properties().partitioning.partition_count();
        (consumption.read(planned).await, consumption.ordered(partitions))
    }

    /// Asks stock DataFusion for the sort keys that the query hides. Where it answers with another number
    /// of rows, or not at all, the places of rows are not compared.
    async fn find_places(&self, expected: &Result<Answer>) -> Result<()> {
        let (Some(hidden), Ok(expected)) = (&self.query.hidden, expected) else {
            return Ok(());
        };
        let ctx = self.session(&Engine::stock(), &self.settings).await?;
        if let Ok(answer) = Planned::answer_of(&ctx, &hidden.sql).await
            && answer.rows() == expected.rows()
        {
            // A case that runs again has the same places.
            let _ = self.places.set(oracle::places(&answer, hidden.keys)?);
        }
        Ok(())
    }

    async fn answer(&self, engine: &Engine, settings: &Settings) -> Result<Answer> {
        Planned::answer_of(&self.session(engine, settings).await?, &self.sql).await
    }

    async fn session(&self, engine: &Engine, settings: &Settings) -> Result<SessionContext> {
        let ctx = engine.session(settings.session_config()?);
        for table in &self.tables {
            table.register(&ctx, self.folder.path()).await?;
        }
        Ok(ctx)
    }

    async fn plan(&self, engine: &Engine, settings: &Settings) -> Result<Planned> {
        Planned::new(&self.session(engine, settings).await?, &self.sql).await
    }

    fn judge(
        &self,
        planned: &Planned,
        expected: &Result<Answer>,
        actual: &Result<Answer>,
        ordered: bool,
    ) -> Result<Verdict> {
        let (expected, actual) = match (expected, actual) {
            (Ok(expected), Ok(actual)) => (expected, actual),
            (_, Err(error)) => return Ok(judge_error(expected, error)),
            // What stock DataFusion has not implemented, another engine may have.
            (Err(error), Ok(_))
                if matches!(error.find_root(), DataFusionError::NotImplemented(_)) =>
            {
                return Ok(Verdict::BothErr(format!("stock lacks: {error}")));
            }
            (Err(error), Ok(_)) if is_limit(error) => {
                return Ok(Verdict::StockErs(format!("a limit of stock's own: {error}")));
            }
            (Err(error), Ok(_)) => {
                return Ok(Verdict::Failed(format!("stock errs, this engine does not: {error}")));
            }
        };
        let order = if ordered { self.query.order.clone() } else { Vec::new() };
        let inexact = self.inexact(expected);
        let places = if ordered { self.places.get().cloned() } else { None };
        let how = Comparison { order, inexact, places: places.unwrap_or_default() };
        let difference = how.difference(expected, actual)?;
        let accelerated = planned.report().staffa_nodes() > 0;
        Ok(match difference {
            Some(text) => Verdict::Failed(text),
            None if accelerated => Verdict::Equal,
            None => Verdict::Vacuous,
        })
    }

    fn inexact(&self, answer: &Answer) -> Vec<usize> {
        let float = |i: &usize| answer.schema.field(*i).data_type().is_floating();
        let columns = self.query.columns.iter().enumerate();
        columns.filter(|(_, c)| !c.exact).map(|(i, _)| i).filter(float).collect()
    }

    fn outcome(&self, planned: Option<&Planned>, verdict: Verdict) -> Outcome {
        let report = planned.map(Planned::report).unwrap_or_default();
        let nodes = report.nodes.iter().map(|n| (n.name.clone(), n.place != Place::DataFusion));
        Outcome {
            verdict,
            nodes: nodes.collect(),
            reasons: report.reasons(),
            device_morsels: report.gpu_morsels(),
            placed: self.places.get().is_some_and(|places| places.last() > places.first()),
        }
    }

    /// The line that replays the case.
    pub fn replay_line(seed: u64, source: Source) -> String {
        match source {
            Source::Mixed => {
                format!("STAFFA_SEED={seed} scripts/test --test differential -- replay --nocapture")
            }
            Source::Files => format!(
                "STAFFA_SEED={seed} scripts/with-emulated-gpu scripts/test --test gpu_differential \
                 -- replay --nocapture"
            ),
        }
    }

    /// Everything there is to know about the case, for the one who replays it.
    ///
    /// # Errors
    /// Rows that cannot be shown.
    pub async fn describe(&self, engine: &Engine) -> Result<String> {
        let mut text = format!("seed {}\n{}\n\n", self.seed, self.sql);
        text.push_str(&format!("settings {:?}\n", self.settings.pairs));
        text.push_str(&format!("read {:?}, morsels of {}\n", self.consumption, self.morsel_rows));
        for table in &self.tables {
            text.push_str(&format!("\n{}\n", table.layout()));
            let whole = table.whole()?;
            if whole.num_rows() <= 40 {
                text.push_str(&format!("{}\n", pretty_format_batches(&[whole])?));
            }
        }
        for engine in [&Engine::stock(), engine] {
            match self.plan(engine, &self.settings).await {
                Ok(planned) => {
                    text.push_str(&format!(
                        "\n{}",
                        displayable(planned.plan.as_ref()).indent(false)
                    ));
                }
                Err(error) => text.push_str(&format!("\ncannot plan: {error}\n")),
            }
        }
        Ok(text)
    }
}

/// Whether DataFusion's own aggregation takes rows under GROUPING SETS for sorted by their keys: it declares
/// that they are, but keys that a set leaves out are NULL. What comes of it depends on which partition's
/// rows arrive first, so that stock may repeat one answer by chance.
fn trusts_false_order(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let theirs = KeptExec::of(plan.as_ref()).map(KeptExec::inner);
    let aggregate = theirs.and_then(|node| node.downcast_ref::<AggregateExec>());
    let false_order = aggregate.is_some_and(|aggregate| {
        let keys = aggregate.group_expr();
        let mut names = keys.expr().iter().map(|(_, name)| name);
        let sets = keys.groups().len() > 1 || names.any(|name| name == "__grouping_id");
        sets && *aggregate.input_order_mode() != InputOrderMode::Linear
    });
    false_order || plan.children().into_iter().any(trusts_false_order)
}

/// Whether a partition's end may wait for its siblings' start: DataFusion's own partitioned hash
/// join publishes its dynamic filter when every partition has built, so that reading partitions
/// one after the other hangs (stock DataFusion too).
fn waits_for_siblings(planned: &Planned) -> bool {
    let theirs = |n: &NodeReport| n.place == Place::DataFusion && n.name == "HashJoinExec";
    planned.report().nodes.iter().any(theirs)
}

/// Whether an error says nothing about the query: a bug, or keys that a dictionary has no room for
/// because of how batches were joined.
fn is_limit(error: &DataFusionError) -> bool {
    match error.find_root() {
        DataFusionError::Internal(_) => true,
        DataFusionError::ArrowError(error, _) => {
            matches!(error.as_ref(), ArrowError::DictionaryKeyOverflowError)
        }
        _ => false,
    }
}

fn judge_error(expected: &Result<Answer>, error: &DataFusionError) -> Verdict {
    match expected {
        Ok(_) => Verdict::Failed(format!("stock answers, this engine errs: {error}")),
        Err(stock) => Verdict::BothErr(stock.to_string()),
    }
}

fn tables(rng: &mut Rng, max_rows: usize, source: Source) -> Result<Vec<Table>> {
    let types: Vec<_> = catalogue::of(source).into_iter().filter(orderable).collect();
    let mut keys = Vec::new();
    for _ in 0..1 + rng.below(3) {
        let data_type = rng.pick(&types).clone();
        let domain = if rng.chance(50) { Domain::Small } else { Domain::Full };
        let distinct = *rng.pick(&[1, 3, 10, 40, 400]);
        keys.push(Pool::new(rng, &data_type, domain, distinct)?);
    }
    (0..1 + rng.below(3))
        .map(|i| {
            let rows = if rng.chance(70) { max_rows } else { 1 + max_rows / 10 };
            Table::random(rng, &format!("t{i}"), &keys, rows, source)
        })
        .collect()
}

/// Writes SQL until the stock planner takes it and finds at least one operator to run.
async fn draft(
    rng: &mut Rng,
    ctx: &SessionContext,
    tables: &[Table],
    joins: usize,
) -> Result<(Query, Coverage)> {
    let mut last = None;
    for _ in 0..DRAFTS {
        let mut generator = generator::Generator::new(Rng::new(rng.bits()), ctx, tables, joins);
        let query = write(&mut generator).await?;
        let planned = Planned::new(ctx, &query.sql).await;
        let useful = planned.is_ok_and(|p| has_operator(&p.plan));
        last = Some((query, generator.coverage));
        if useful {
            break;
        }
    }
    last.ok_or_else(|| datafusion::common::internal_datafusion_err!("no draft"))
}

async fn write(generator: &mut Generator<'_>) -> Result<Query> {
    let depth = generator.rng.below(3);
    generator.query(depth).await
}

fn has_operator(plan: &Arc<dyn ExecutionPlan>) -> bool {
    !SOURCES.contains(&plan.name()) && !plan.name().contains("Window")
        || plan.children().into_iter().any(has_operator)
}
