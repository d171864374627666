//! `staffa bench`: a workload on several engines side by side.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::Subcommand;
use datafusion::common::{DataFusionError, Result};
use indicatif::{ProgressBar, ProgressStyle};
use staffa_harness::bench::{self, Format, Options, Runs};
use staffa_harness::compare::Tolerance;
use staffa_harness::python::PythonOptions;
use staffa_harness::{self as harness, Engine, Progress, SessionOptions, clickbench, tpcds, tpch};

use crate::{operators, output, size};

/// Options of `staffa bench`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Each query: a warm-up run whose answer is compared with DataFusion's cell by cell, \
                  then runs interleaved between the engines, planning included. The exit code is 1 \
                  if an answer differs, a query fails, or an accelerated engine ran no node of a \
                  plan; what duckdb and polars answer is compared by value and only noted. They are \
                  had by: pip install duckdb pyarrow polars"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    workload: Workload,
}

#[derive(Debug, Subcommand)]
enum Workload {
    /// Single operators over tables in memory, DataFusion's beside Staffa's
    Operators(operators::Args),
    /// The 22 TPC-H queries over Parquet, made on first use and kept
    Tpch {
        /// Which queries, e.g. 1,6,8-10 [default: all]
        #[arg(long, value_parser = Kind::Tpch.parser())]
        queries: Option<Numbers>,
        #[command(flatten)]
        options: Measure,
    },
    /// The 99 TPC-DS queries over Parquet, which scripts/tpcds-data makes
    Tpcds {
        /// Which queries, e.g. 1,6,8-10 [default: all]
        #[arg(long, value_parser = Kind::Tpcds.parser())]
        queries: Option<Numbers>,
        #[command(flatten)]
        options: Measure,
    },
    /// The 43 ClickBench queries (0 to 42) over a table like hits, made on first use and kept
    Clickbench {
        /// Which queries, e.g. 1,6,8-10 [default: all]
        #[arg(long, value_parser = Kind::Clickbench.parser())]
        queries: Option<Numbers>,
        #[command(flatten)]
        options: Measure,
    },
}

/// What all workloads are measured with.
#[derive(Debug, clap::Args)]
struct Measure {
    /// 1 is 8.7 M rows of TPC-H, 19.6 M of TPC-DS, 10 M of ClickBench
    #[arg(long, default_value = "1", value_parser = scale, allow_negative_numbers = true)]
    scale: f64,

    /// Any of datafusion, cpu, gpu, duckdb, polars (the last two through Python, where it has them)
    #[arg(long, value_delimiter = ',', default_value = "datafusion,cpu")]
    engines: Vec<Engine>,

    /// How results are written: table, json, html or markdown
    #[arg(long, default_value_t = Format::Table)]
    format: Format,

    /// Target partitions of every session [default: one per core]
    #[arg(long, value_parser = positive)]
    partitions: Option<usize>,

    /// Counted runs of each query on each engine [default: 15 below 200 ms, else 5]
    #[arg(long, value_parser = positive)]
    runs: Option<usize>,

    /// Write the results to this file instead of standard output
    #[arg(long)]
    output: Option<PathBuf>,

    /// Where generated data is kept [default: $STAFFA_DATA_DIR, else target/staffa-data]
    #[arg(long)]
    data_dir: Option<PathBuf>,

    /// Limit of every session's memory pool, e.g. 10g [default: none]
    #[arg(short = 'm', long, value_parser = size::parse)]
    memory_limit: Option<usize>,

    /// The Python that has duckdb, pyarrow and polars [default: $STAFFA_PYTHON, else python3]
    #[arg(long, value_name = "PROGRAM")]
    python: Option<PathBuf>,

    /// Seconds after which a query on duckdb or polars is given up
    #[arg(long, default_value = "300", value_parser = scale)]
    python_limit: f64,
}

/// Query numbers, from a list with ranges.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Numbers(Vec<usize>);

impl Numbers {
    fn parse(text: &str, known: &RangeInclusive<usize>) -> Result<Self, String> {
        let number = |word: &str| {
            let digits = word.trim().trim_start_matches(['q', 'Q']);
            let number = digits.parse().map_err(|_| format!("'{word}' is not a query number"))?;
            known.contains(&number).then_some(number).ok_or_else(|| {
                format!("there is no query {number}, only {} to {}", known.start(), known.end())
            })
        };
        let mut numbers = vec![];
        for item in text.split(',') {
            match item.split_once('-') {
                Some((first, last)) => numbers.extend(number(first)?..=number(last)?),
                None => numbers.push(number(item)?),
            }
        }
        if numbers.is_empty() { Err(format!("'{text}' names no query")) } else { Ok(Self(numbers)) }
    }
}

impl Workload {
    /// Measures and writes the report; false if something is wrong with an answer.
    async fn run(self) -> Result<bool> {
        match self {
            Self::Operators(args) => operators::run(args).await,
            Self::Tpch { queries, options } => run_queries(Kind::Tpch, queries, options).await,
            Self::Tpcds { queries, options } => run_queries(Kind::Tpcds, queries, options).await,
            Self::Clickbench { queries, options } => {
                run_queries(Kind::Clickbench, queries, options).await
            }
        }
    }
}

/// Which workload.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Tpch,
    Tpcds,
    Clickbench,
}

impl Kind {
    /// The numbers of its queries.
    fn numbers(self) -> RangeInclusive<usize> {
        match self {
            Self::Tpch => 1..=tpch::QUERIES.len(),
            Self::Tpcds => 1..=tpcds::QUERIES,
            Self::Clickbench => 0..=clickbench::QUERIES.len() - 1,
        }
    }

    /// Reads lists of these numbers.
    fn parser(self) -> impl Fn(&str) -> Result<Numbers, String> + Clone {
        move |text| Numbers::parse(text, &self.numbers())
    }

    /// Its queries, and its data, made if need be and possible.
    async fn workload(self, args: &Measure, numbers: &[usize]) -> Result<harness::Workload> {
        let (data_dir, scale) = (args.data_dir.clone(), args.scale);
        match self {
            Self::Tpch => tpch::workload(&data(data_dir, scale).await?, scale, numbers),
            Self::Tpcds => {
                let data_dir = data_dir.unwrap_or_else(harness::data_dir);
                tpcds::workload(&tpcds::folder(&data_dir, scale)?, scale, numbers)
            }
            Self::Clickbench => {
                let folder = made("ClickBench", data_dir, scale, clickbench::prepare).await?;
                clickbench::workload(&folder, scale, numbers)
            }
        }
    }
}

/// Measures and writes the report; false if something is wrong with an answer.
pub(crate) async fn run(args: Args) -> Result<bool> {
    args.workload.run().await
}

async fn run_queries(kind: Kind, queries: Option<Numbers>, args: Measure) -> Result<bool> {
    let numbers = queries.map_or_else(|| kind.numbers().collect(), |list| list.0);
    let session = SessionOptions {
        target_partitions: args.partitions,
        batch_size: None,
        memory_limit_bytes: args.memory_limit,
    };
    let options = Options {
        engines: args.engines.clone(),
        session,
        runs: args.runs.map_or(Runs::Auto, Runs::Fixed),
        tolerance: Tolerance::default(),
        python: python(&args)?,
    };
    // An engine that this build lacks is refused before data are made.
    for engine in options.engines.iter().filter(|engine| !engine.is_python()) {
        engine.session(&options.session)?;
    }
    let workload = kind.workload(&args, &numbers).await?;
    let bar =
        bar(workload.queries.len() as u64, "running   {bar:30} {pos}/{len} queries {elapsed}");
    let report = bench::bench(&workload, &options, &|done| bar.set_position(done as u64)).await?;
    bar.finish_and_clear();
    let text = report.render(args.format)?;
    match args.output {
        Some(path) => write(&path, &text)?,
        None => output::print(&text)?,
    }
    let problems = report.problems();
    for line in report.skipped.iter().chain(&problems) {
        eprintln!("{line}");
    }
    Ok(problems.is_empty())
}

fn python(args: &Measure) -> Result<PythonOptions> {
    let limit = Duration::try_from_secs_f64(args.python_limit).map_err(|error| {
        DataFusionError::Configuration(format!("--python-limit {}: {error}", args.python_limit))
    })?;
    let known = PythonOptions::default();
    let program = args.python.as_ref().map_or(known.program, |path| path.clone().into_os_string());
    Ok(PythonOptions { program, limit })
}

/// The folder of the TPC-H tables, made with a progress bar if need be.
pub(crate) async fn data(data_dir: Option<PathBuf>, scale: f64) -> Result<PathBuf> {
    made("TPC-H", data_dir, scale, tpch::prepare).await
}

/// What makes a workload's data, given the folder of all data and the scale.
type Prepare = fn(&Path, f64, &(dyn Fn(Progress) + Sync)) -> Result<PathBuf>;

/// The folder of a workload's data, made with a progress bar if need be.
async fn made(
    name: &'static str,
    data_dir: Option<PathBuf>,
    scale: f64,
    prepare: Prepare,
) -> Result<PathBuf> {
    let data_dir = data_dir.unwrap_or_else(harness::data_dir);
    let make = move || {
        let bar = bar(0, "making    {bar:30} {human_pos}/{human_len} rows {elapsed}");
        let most = AtomicU64::new(0);
        let folder = prepare(&data_dir, scale, &|progress| {
            if most.fetch_max(progress.rows_done, Ordering::Relaxed) == 0 {
                eprintln!("making {name} data of scale {scale} in {}", data_dir.display());
                bar.set_length(progress.rows_total);
            }
            bar.set_position(most.load(Ordering::Relaxed));
        });
        bar.finish_and_clear();
        folder
    };
    tokio::task::spawn_blocking(make).await.map_err(|e| DataFusionError::External(Box::new(e)))?
}

/// On standard error; invisible when that is not a terminal.
pub(crate) fn bar(length: u64, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template);
    ProgressBar::new(length).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(|error| {
        DataFusionError::Configuration(format!("cannot write '{}': {error}", path.display()))
    })
}

/// A scale factor.
pub(crate) fn scale(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(scale) if scale.is_finite() && scale > 0.0 => Ok(scale),
        _ => Err(format!("'{text}' is not a number above 0")),
    }
}

/// A count that cannot be zero.
pub(crate) fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err(format!("'{text}' is not a number above 0")),
        Ok(number) => Ok(number),
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, Numbers};

    #[test]
    fn query_lists() {
        let numbers = |kind: Kind, text: &str| kind.parser()(text).map(|Numbers(list)| list);
        assert_eq!(numbers(Kind::Tpch, "1,q6,8-10"), Ok(vec![1, 6, 8, 9, 10]));
        assert_eq!(numbers(Kind::Clickbench, "0,42"), Ok(vec![0, 42]));
        for bad in ["", "0", "23", "x", "5-3", "1,,2"] {
            assert!(numbers(Kind::Tpch, bad).is_err(), "{bad}");
        }
        assert_eq!(
            numbers(Kind::Clickbench, "43").unwrap_err(),
            "there is no query 43, only 0 to 42"
        );
    }
}
