//! `staffa verify`: the same statements with and without Staffa, answers compared.

use std::fmt::Write;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Instant;

use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use staffa_harness::compare::{Comparison, Rules, Tolerance, compare, compare_hidden};
use staffa_harness::{Engine, Run, SessionOptions, run_plan, tpch};

use crate::bench::{data, positive, scale};
use crate::files;
use crate::output::print;

/// Options of `staffa verify`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Several statements may be given: tables may be created and settings made, and \
                  every query is compared. The exit code is 1 if an answer differs, or if no node \
                  of a query ran on Staffa (unless --allow-vacuous)."
)]
pub(crate) struct Args {
    /// SQL, or the path of a file with SQL, or - for standard input
    #[arg(value_name = "QUERY|FILE")]
    query: String,

    /// A file, folder or URL (Parquet, CSV, JSON, Arrow, Avro) to know as a table; repeatable
    #[arg(long = "table", value_name = "NAME=PATH", value_parser = table)]
    tables: Vec<(String, String)>,

    /// The TPC-H tables of this scale, made on first use
    #[arg(long, value_name = "SCALE", value_parser = scale, allow_negative_numbers = true)]
    tpch: Option<f64>,

    /// Where generated data is kept [default: $STAFFA_DATA_DIR, else target/staffa-data]
    #[arg(long)]
    data_dir: Option<PathBuf>,

    /// What is compared with DataFusion: cpu or gpu
    #[arg(long, default_value = "cpu")]
    engine: Engine,

    /// Target partitions of both sessions [default: one per core]
    #[arg(long, value_parser = positive)]
    partitions: Option<usize>,

    /// Rows per batch in both sessions [default: DataFusion's]
    #[arg(long, value_parser = positive)]
    batch_size: Option<usize>,

    /// Floats must be bit-identical [default: a relative difference up to 1e-9 is equal]
    #[arg(long)]
    exact: bool,

    /// Differing rows to show per side
    #[arg(long, default_value = "10", value_parser = positive)]
    rows: usize,

    /// Succeed even if no node ran on Staffa
    #[arg(long)]
    allow_vacuous: bool,
}

fn table(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, path)) if !name.is_empty() && !path.is_empty() => {
            Ok((name.to_string(), path.to_string()))
        }
        _ => Err(format!("'{text}' is not NAME=PATH")),
    }
}

/// Both sessions, in step.
struct Pair {
    vanilla: SessionContext,
    staffa: SessionContext,
}

/// Runs and compares; false if an answer differs or a comparison proves nothing.
pub(crate) async fn run(args: Args) -> Result<bool> {
    let statements = parse(&text(&args.query)?)?;
    let pair = open(&args).await?;
    let (mut compared, mut ok) = (0, true);
    for statement in statements {
        let shown = statement.to_string();
        // Planned once per session: a plan holds the tables of its own session.
        let (left, right) = pair.plan(&statement).await?;
        match left {
            LogicalPlan::Ddl(_) | LogicalPlan::Statement(_) => pair.apply(left, right).await?,
            LogicalPlan::Dml(_) | LogicalPlan::Copy(_) => {
                let what = "verify runs every statement twice, and so refuses one that writes";
                return Err(DataFusionError::Configuration(format!("{what}: {shown}")));
            }
            LogicalPlan::Explain(_) | LogicalPlan::Analyze(_) => {
                let what = "plans differ by design: verify the query, not its EXPLAIN";
                return Err(DataFusionError::Configuration(format!("{what}: {shown}")));
            }
            _ => {
                compared += 1;
                ok &= pair.compare(left, right, &args).await?;
            }
        }
    }
    if compared == 0 {
        return Err(DataFusionError::Configuration("there is no query to verify".to_string()));
    }
    Ok(ok)
}

async fn open(args: &Args) -> Result<Pair> {
    let options = SessionOptions {
        target_partitions: args.partitions,
        batch_size: args.batch_size,
        memory_limit_bytes: None,
    };
    let vanilla = files::with_url_tables(Engine::DataFusion.session(&options)?).await?;
    let staffa = files::with_url_tables(args.engine.session(&options)?).await?;
    let workload = match args.tpch {
        Some(scale) => {
            Some(tpch::workload(&data(args.data_dir.clone(), scale).await?, scale, &[])?)
        }
        None => None,
    };
    for ctx in [&vanilla, &staffa] {
        if let Some(workload) = &workload {
            workload.register(ctx).await?;
        }
        for (name, path) in &args.tables {
            files::register(ctx, name, path).await?;
        }
    }
    Ok(Pair { vanilla, staffa })
}

/// The SQL that the argument means.
fn text(query: &str) -> Result<String> {
    let unreadable = |error: std::io::Error| {
        DataFusionError::Configuration(format!("cannot read '{query}': {error}"))
    };
    if query == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(unreadable)?;
        return Ok(text);
    }
    // A query never ends with .sql: a misspelt path is to be told, not parsed.
    if Path::new(query).is_file() || query.ends_with(".sql") {
        return std::fs::read_to_string(query).map_err(unreadable);
    }
    Ok(query.to_string())
}

fn parse(sql: &str) -> Result<Vec<Statement>> {
    Ok(DFParserBuilder::new(sql).build()?.parse_statements()?.into())
}

impl Pair {
    async fn plan(&self, statement: &Statement) -> Result<(LogicalPlan, LogicalPlan)> {
        let left = self.vanilla.state().statement_to_plan(statement.clone()).await?;
        let right = self.staffa.state().statement_to_plan(statement.clone()).await?;
        Ok((left, right))
    }

    async fn apply(&self, left: LogicalPlan, right: LogicalPlan) -> Result<()> {
        run_plan(&self.vanilla, left, Instant::now()).await?;
        run_plan(&self.staffa, right, Instant::now()).await?;
        Ok(())
    }

    async fn compare(&self, left: LogicalPlan, right: LogicalPlan, args: &Args) -> Result<bool> {
        let plan = left.clone();
        let left = run_plan(&self.vanilla, left, Instant::now()).await;
        let right = run_plan(&self.staffa, right, Instant::now()).await;
        let (left, right) = match (left, right) {
            (Ok(left), Ok(right)) => (left, right),
            (Err(left), Err(right)) => {
                print(&format!("both fail\n  datafusion: {left}\n  staffa: {right}\n"))?;
                return Ok(false);
            }
            (Err(left), Ok(_)) => {
                print(&format!("different: only datafusion fails: {left}\n"))?;
                return Ok(false);
            }
            (Ok(_), Err(right)) => {
                print(&format!("different: only staffa fails: {right}\n"))?;
                return Ok(false);
            }
        };
        let tolerance = if args.exact { Tolerance::EXACT } else { Tolerance::default() };
        let rules = Rules { order: left.order.clone(), tolerance, shown: args.rows };
        let mut comparison = compare(&left.answer, &right.answer, &rules)?;
        if comparison.is_equal() {
            let hidden = compare_hidden(&self.vanilla, &plan, &right.answer, &rules).await?;
            comparison = hidden.unwrap_or(comparison);
        }
        outcome(&comparison, &right, args)
    }
}

fn outcome(comparison: &Comparison, right: &Run, args: &Args) -> Result<bool> {
    let report = staffa::report(&right.plan);
    let (ours, all) = (report.staffa_nodes(), report.nodes.len());
    let mut text = comparison.render("datafusion", "staffa");
    // Writing to a String does not fail.
    let _ = write!(text, "\n  {ours} of {all} nodes on Staffa");
    for reason in report.reasons() {
        let _ = write!(text, "\n  on DataFusion: {reason}");
    }
    if args.engine == Engine::Gpu {
        let (nodes, morsels) = (report.gpu_nodes(), report.gpu_morsels());
        let _ = write!(text, "\n  {nodes} of {all} nodes on a GPU, which made {morsels} morsels");
    }
    let vacuous = ours == 0 || (args.engine == Engine::Gpu && report.gpu_morsels() == 0);
    if vacuous {
        text.push_str(
            "\n  vacuous: nothing was accelerated as asked, so this comparison proves nothing",
        );
    }
    text.push('\n');
    print(&text)?;
    Ok(comparison.is_equal() && (!vacuous || args.allow_vacuous))
}
