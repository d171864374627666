//! Times a workload on several engines, interleaved in one process, and compares the answers.
//!
//! Per query: one warm-up run on every engine, whose answers are compared with DataFusion's; then
//! counted runs in rounds, each round one run per engine, the order rotating from round to round.
//! A run is the whole of SQL text to last row, planning included. The median counts.
//!
//! DuckDB and Polars run in processes of their own ([`crate::python`]), in the same rounds. Their
//! answers are compared by value; one that differs, or a query that they cannot run, is a note of
//! the report and no problem: what is judged is Staffa.

mod html;
mod markdown;
mod measure;
mod seat;
mod summary;
mod table;

use std::fmt;
use std::str::FromStr;

use datafusion::common::{DataFusionError, Result};
use serde::Serialize;

use crate::compare::Tolerance;
use crate::engine::{Engine, SessionOptions};
use crate::machine::Machine;
use crate::python::PythonOptions;

pub use measure::bench;
use measure::count;
pub use summary::median;

/// How many counted runs a query gets on each engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Runs {
    /// 15 when some engine's median is below 200 ms, else 5.
    #[default]
    Auto,
    /// This many, at least 1.
    Fixed(usize),
}

/// What to measure, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// In the order in which results are shown.
    pub engines: Vec<Engine>,
    /// Of every engine's session.
    pub session: SessionOptions,
    /// Counted runs.
    pub runs: Runs,
    /// For the comparison of answers.
    pub tolerance: Tolerance,
    /// For the engines in Python.
    pub python: PythonOptions,
}

/// Everything measured: one JSON object.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Where.
    pub machine: Machine,
    /// One entry per query and engine.
    pub queries: Vec<QueryResult>,
    /// One entry per engine.
    pub summary: Vec<EngineSummary>,
    /// Each Staffa engine against each engine in Python.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub versus: Vec<Versus>,
    /// Engines that were asked for and are not there, each with what to do about it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<String>,
}

/// One query on one engine.
#[derive(Debug, Clone, Serialize)]
pub struct QueryResult {
    /// Name and size of the workload.
    pub workload: String,
    /// Name of the query.
    pub query: String,
    /// Name of the engine.
    pub engine: &'static str,
    /// Median of `runs_ms`; none when the query failed.
    pub median_ms: Option<f64>,
    /// Every counted run, in order.
    pub runs_ms: Vec<f64>,
    /// This engine's median over DataFusion's: below 1 is faster. None without either.
    pub ratio_to_datafusion: Option<f64>,
    /// Whether the answer is DataFusion's; true for DataFusion itself, false when it failed.
    pub equal: bool,
    /// Why it cannot be said whether the answer is DataFusion's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_compared: Option<String>,
    /// Rows of the answer.
    pub rows: usize,
    /// Nodes of the plan on a Staffa engine.
    pub staffa_nodes: usize,
    /// Nodes of the plan on a GPU.
    pub gpu_nodes: usize,
    /// Morsels that a GPU has made in the run that was compared.
    pub gpu_morsels: usize,
    /// Nodes of the plan on DataFusion.
    pub datafusion_nodes: usize,
    /// Each node of the plan with its place, in pre-order, e.g. `FilterExec gpu:0`.
    pub places: Vec<String>,
    /// Why nodes of an accelerated plan stayed with DataFusion, as `node: reason`.
    pub reasons: Vec<String>,
    /// What differs from DataFusion's answer, or the error; absent when all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl QueryResult {
    /// Whether an accelerated engine ran no node, or the GPU engine made nothing on a GPU: such a
    /// comparison proves nothing.
    pub fn is_vacuous(&self) -> bool {
        let idle = match self.engine {
            engine if engine == Engine::DataFusion.name() => false,
            engine if engine == Engine::Gpu.name() => self.gpu_morsels == 0,
            _ if self.is_python() => false,
            _ => self.staffa_nodes == 0,
        };
        idle && self.median_ms.is_some()
    }

    /// Whether another program ran it.
    pub fn is_python(&self) -> bool {
        Engine::named(self.engine).is_some_and(Engine::is_python)
    }

    /// A word or two on the outcome.
    pub fn verdict(&self) -> &'static str {
        match (self.median_ms, self.equal) {
            (None, _) if self.is_python() => "cannot run",
            (None, _) => "failed",
            (_, false) if self.not_compared.is_some() => "not compared",
            (_, false) if self.is_python() => "differs",
            (_, false) => "DIFFERENT",
            _ if self.is_vacuous() => "vacuous",
            _ if self.engine == Engine::DataFusion.name() => "reference",
            _ => "equal",
        }
    }
}

/// One engine over all queries that it finished, and with it DataFusion and Staffa's engines.
#[derive(Debug, Clone, Serialize)]
pub struct EngineSummary {
    /// Name of the engine.
    pub engine: &'static str,
    /// Version of the package, of an engine in Python.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// How many queries that are.
    pub queries: usize,
    /// Sum of the medians.
    pub total_ms: f64,
    /// `total_ms` over DataFusion's of the same queries; none when DataFusion was not timed.
    pub ratio_total: Option<f64>,
    /// Geometric mean of the queries' ratios; none when DataFusion was not timed.
    pub geomean_ratio: Option<f64>,
}

/// One engine's time over another's, over the queries that both finished.
#[derive(Debug, Clone, Serialize)]
pub struct Versus {
    /// Whose time is divided.
    pub engine: &'static str,
    /// By whose.
    pub other: &'static str,
    /// How many queries both finished.
    pub queries: usize,
    /// Ratio of the sums of medians.
    pub ratio_total: Option<f64>,
    /// Geometric mean of the queries' ratios.
    pub geomean_ratio: Option<f64>,
}

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Text, for terminals.
    #[default]
    Table,
    /// One object.
    Json,
    /// A table for a page of documentation.
    Markdown,
    /// One self-contained page.
    Html,
}

impl Report {
    /// Sums up the measured queries.
    pub fn new(machine: Machine, queries: Vec<QueryResult>) -> Self {
        let (summary, versus) = (summary::summarise(&queries), summary::versus(&queries));
        Self { machine, queries, summary, versus, skipped: vec![] }
    }

    /// The report as text that ends with a newline.
    ///
    /// # Errors
    /// JSON that cannot be written, which no report causes.
    pub fn render(&self, format: Format) -> Result<String> {
        match format {
            Format::Table => Ok(table::render(self)),
            Format::Html => Ok(html::render(self)),
            Format::Markdown => Ok(markdown::render(self)),
            Format::Json => {
                let json = serde_json::to_string_pretty(self);
                json.map(|text| text + "\n").map_err(|e| DataFusionError::External(Box::new(e)))
            }
        }
    }

    /// One line for each engine that is not there, and for each query that another program cannot
    /// run or whose answer is not known to be DataFusion's.
    pub fn notes(&self) -> Vec<String> {
        let odd =
            |q: &&QueryResult| matches!(q.verdict(), "cannot run" | "differs" | "not compared");
        let line = |q: &QueryResult| {
            let why = q.not_compared.as_deref().or(q.problem.as_deref()).unwrap_or_default();
            format!("{} on {}: {}: {why}", q.query, q.engine, q.verdict())
        };
        self.skipped.iter().cloned().chain(self.queries.iter().filter(odd).map(line)).collect()
    }

    /// One line for each pair of engines that [`Report::versus`] has.
    pub fn comparisons(&self) -> Vec<String> {
        let line = |v: &Versus| {
            let (total, mean) = (table::ratio(v.ratio_total), table::ratio(v.geomean_ratio));
            let Versus { engine, other, queries, .. } = v;
            format!("{engine} / {other}, {queries} queries: total {total}, geomean {mean}")
        };
        self.versus.iter().map(line).collect()
    }

    /// One line for each query that failed, differs or proves nothing.
    pub fn problems(&self) -> Vec<String> {
        let bad = |q: &&QueryResult| matches!(q.verdict(), "failed" | "DIFFERENT" | "vacuous");
        let line = |q: &QueryResult| {
            let why = q.problem.clone().unwrap_or_else(|| vacuous(q));
            format!("{} on {}: {}: {why}", q.query, q.engine, q.verdict())
        };
        self.queries.iter().filter(bad).map(line).collect()
    }
}

/// That nothing was accelerated, with each coded reason once.
fn vacuous(query: &QueryResult) -> String {
    let mut reasons: Vec<&str> =
        query.reasons.iter().filter(|r| r.contains(": ")).map(String::as_str).collect();
    reasons.sort_unstable();
    reasons.dedup();
    let nodes = query.staffa_nodes + query.datafusion_nodes;
    let what = match (query.staffa_nodes, query.gpu_nodes) {
        (0, _) => format!("none of {nodes} nodes ran on Staffa"),
        (_, 0) => format!("none of {nodes} nodes was placed on a GPU"),
        (_, placed) => {
            format!("{placed} of {nodes} nodes were placed on a GPU, which made no morsel")
        }
    };
    format!("{what}, so nothing is proved. {}", reasons.join("; ")).trim_end().to_string()
}

impl FromStr for Format {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "table" => Ok(Self::Table),
            "json" => Ok(Self::Json),
            "html" => Ok(Self::Html),
            "markdown" => Ok(Self::Markdown),
            other => Err(format!("'{other}' is not one of: table, json, html, markdown")),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Table => "table",
            Self::Json => "json",
            Self::Html => "html",
            Self::Markdown => "markdown",
        })
    }
}
