//! Scans of Parquet files, filters and projections: of every type and shape, alone and together.
//!
//! An engine on a device runs each node there, or says on the CPU with a code why not; which types
//! and expressions have no device form is stated here, so that nothing is lost silently.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, IntervalUnit};
use datafusion::common::{Result, exec_datafusion_err, exec_err};
use datafusion::physical_plan::ExecutionPlan;
use staffa_common::ReasonCode;
use staffa_datafusion::{NodeReport, Place};

use super::Bench;
use super::files::Files;
use super::tables::Shape;
use crate::engine::{Engine, Planned};
use crate::oracle::Comparison;

/// One stage; several with small batches; filters pushed into the scan.
const MODES: [&[(&str, &str)]; 3] = [
    &[("execution.target_partitions", "1")],
    &[("execution.target_partitions", "3"), ("execution.batch_size", "7")],
    &[
        ("execution.target_partitions", "2"),
        ("execution.parquet.pushdown_filters", "true"),
        ("execution.parquet.reorder_filters", "true"),
    ],
];

/// The nodes that these contracts are about.
const OPERATORS: [&str; 3] = ["DataSourceExec", "FilterExec", "ProjectionExec"];

/// Why such a node may run on the CPU although a device was asked for.
const NO_DEVICE_FORM: [ReasonCode; 7] = [
    ReasonCode::DataType,
    ReasonCode::Expression,
    ReasonCode::Function,
    ReasonCode::Cast,
    ReasonCode::TimeZone,
    ReasonCode::NotConstant,
    ReasonCode::ExpressionSize,
];

/// Where the nodes of a contract's queries ran.
#[derive(Debug, Default)]
pub struct Tally {
    /// On the engine under test: on the device, if it has one.
    pub ran: usize,
    /// On the CPU engine, by reason, though a device was asked for.
    pub refused: BTreeMap<&'static str, usize>,
    /// Morsels that a device made, and those of them that it left to the CPU.
    pub morsels: (usize, usize),
}

impl Tally {
    fn add(&mut self, other: Tally) {
        self.ran += other.ran;
        self.morsels.0 += other.morsels.0;
        self.morsels.1 += other.morsels.1;
        for (code, count) in other.refused {
            *self.refused.entry(code).or_default() += count;
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (made, left) = self.morsels;
        write!(f, "{} nodes ran, {made} device morsels, {left} left to the CPU", self.ran)?;
        self.refused.iter().try_for_each(|(code, count)| write!(f, ", {code}: {count}"))
    }
}

/// Whether Parquet has a form of the type at all.
fn has_a_file_form(data_type: &DataType) -> bool {
    *data_type != DataType::Interval(IntervalUnit::MonthDayNano)
}

/// Why a device does not even scan a column of this type.
fn scanned_by_host(data_type: &DataType) -> Option<ReasonCode> {
    matches!(data_type, DataType::Dictionary(..)).then_some(ReasonCode::DataType)
}

/// Why a device does not compute with a column of this type, which it only scans.
fn computed_by_host(data_type: &DataType) -> Option<ReasonCode> {
    use DataType::{Decimal32, Decimal256, FixedSizeBinary};
    matches!(data_type, Decimal32(..) | Decimal256(..) | FixedSizeBinary(_))
        .then_some(ReasonCode::DataType)
}

/// What a contract asks of a table with these literals.
type Queries = fn(&[String]) -> Vec<String>;

/// Runs the queries over every shape, each in one of the modes. `salt` shifts which.
async fn over_shapes(engine: &Engine, data_type: &DataType, queries: Queries) -> Result<Tally> {
    let mut tally = Tally::default();
    if !has_a_file_form(data_type) {
        if Files::write(data_type, Shape::Sliced, 1).is_ok() {
            return exec_err!("{data_type} can be written, and no contract reads it");
        }
        return Ok(tally);
    }
    let salt = data_type.to_string().len();
    for (at, shape) in Shape::ALL.into_iter().enumerate() {
        let files = Files::write(data_type, shape, 6)?;
        let queries = queries(&files.literals);
        let mode = MODES[(at + salt) % MODES.len()];
        let bench = Bench::new(engine, vec![("t", files)]).with(mode);
        for sql in queries {
            tally.add(check(&bench, data_type, &sql).await?);
        }
    }
    if tally.ran == 0 && scanned_by_host(data_type).is_none() {
        return exec_err!("{data_type}: no operator under test ran where it should");
    }
    Ok(tally)
}

/// One query both ways: same rows, and its nodes where they belong.
async fn check(bench: &Bench<'_>, data_type: &DataType, sql: &str) -> Result<Tally> {
    let expected = bench.plan(&Engine::stock(), sql).await?.answer().await?;
    let planned = bench.plan(bench.engine, sql).await?;
    let actual = planned.answer().await.map_err(|e| exec_datafusion_err!("{sql}\n{e}"))?;
    if let Some(difference) = Comparison::default().difference(&expected, &actual)? {
        return exec_err!("{sql}\nwith {:?}\n{difference}", bench.settings);
    }
    let mut tally = Tally::default();
    let nodes = planned.report().nodes;
    for (at, node) in nodes.iter().enumerate() {
        // DataFusion computes what occurs twice in a projection of its own, and a device does one step of
        // each kind above a scan: what stands on such a projection has no reason of its own.
        let above = nodes.iter().skip(at + 1).any(|node| node.name == "ProjectionExec");
        if OPERATORS.contains(&node.name.as_str()) && !(above && node.place == Place::Cpu) {
            place(bench.engine, data_type, sql, node, &mut tally)?;
        }
    }
    tally.morsels =
        (figure(&planned.plan, "gpu_morsels"), figure(&planned.plan, "gpu_failed_morsels"));
    let on_device = nodes.iter().any(|node| matches!(node.place, Place::Gpu(_)));
    // Statistics may leave nothing to read, and then there is no row.
    if on_device && expected.rows() > 0 && tally.morsels.0 == 0 {
        // Some files are refused when they are opened, not when the scan is placed: Arrow dictionaries, and
        // columns without device arithmetic beside a predicate in the scan.
        let left = figure(&planned.plan, "gpu_refused_row_groups");
        let known = scanned_by_host(data_type).or(computed_by_host(data_type));
        let Some(code) = known.filter(|_| left > 0) else {
            let seen = format!("{nodes:?}");
            return exec_err!("{sql}\nwith {:?}\nno morsel on the device: {seen}", bench.settings);
        };
        *tally.refused.entry(code.code()).or_default() += 1;
    }
    if tally.morsels.1 > 0 {
        return exec_err!("{sql}\nwith {:?}\nleft to the CPU: {tally}", bench.settings);
    }
    Ok(tally)
}

/// Notes a node that is where it belongs.
fn place(
    engine: &Engine,
    data_type: &DataType,
    sql: &str,
    node: &NodeReport,
    tally: &mut Tally,
) -> Result<()> {
    let why = node.reason.as_deref().unwrap_or("no reason");
    match (&node.place, engine.uses_a_device()) {
        (Place::Gpu(_), true) | (Place::Cpu, false) => tally.ran += 1,
        (Place::Cpu, true) => {
            let Some(code) = node.code.filter(|code| NO_DEVICE_FORM.contains(code)) else {
                return exec_err!("{sql}\n{} on the CPU: {why}", node.name);
            };
            // A scan that only reads has a device form for every type but those that are named; one that
            // also computes may have an expression without.
            let reads = node.name == "DataSourceExec" && code == ReasonCode::DataType;
            let computes = sql.contains(" WHERE ") || sql.contains(" AS a,");
            let computed = computed_by_host(data_type).filter(|_| computes);
            if reads && scanned_by_host(data_type).or(computed) != Some(code) {
                return exec_err!("{sql}\nthe scan is on the CPU: {why}");
            }
            *tally.refused.entry(code.code()).or_default() += 1;
        }
        _ => return exec_err!("{sql}\n{} is not on the engine: {why}", node.name),
    }
    Ok(())
}

/// The sum of a metric over all nodes.
fn figure(plan: &Arc<dyn ExecutionPlan>, name: &str) -> usize {
    let own = plan.metrics().and_then(|m| m.sum_by_name(name)).map_or(0, |m| m.as_usize());
    own + plan.children().into_iter().map(|child| figure(child, name)).sum::<usize>()
}

/// Reads columns of `data_type`, all and some, in any order.
///
/// # Errors
/// The first answer that differs, or a node that is not where it belongs.
pub async fn scanned(engine: &Engine, data_type: &DataType) -> Result<Tally> {
    over_shapes(engine, data_type, |_| {
        [
            "SELECT * FROM t",
            "SELECT id, k FROM t",
            "SELECT m FROM t",
            "SELECT k, m, k AS again FROM t",
        ]
        .map(str::to_owned)
        .to_vec()
    })
    .await
}

/// WHERE over columns of `data_type` and integers: comparisons, NULL rules, AND, OR and IN.
///
/// # Errors
/// As [`scanned`].
pub async fn filtered(engine: &Engine, data_type: &DataType) -> Result<Tally> {
    over_shapes(engine, data_type, |literals| {
        let literal = |at: usize| literals.get(at % literals.len().max(1)).cloned();
        let mut all: Vec<String> = [
            "k IS NULL",
            "k IS NOT NULL AND v IS NOT NULL",
            "k = m",
            "k <> m OR k IS NULL",
            "k < m",
            "NOT (k >= m)",
            "(k IS DISTINCT FROM m) AND v > -20",
            "v > 0 AND id % 3 = 1 OR v IS NULL",
            "v BETWEEN -10 AND 10 AND v IN (1, 2, 3, -4, 5, 8, NULL)",
            "(v > 0) IS NOT TRUE",
            "CASE WHEN v > 0 THEN k = m ELSE v IS NULL END",
            "id < 0",
        ]
        .map(|condition| format!("SELECT id, v, k FROM t WHERE {condition}"))
        .to_vec();
        if let (Some(a), Some(b)) = (literal(0), literal(3)) {
            all.push(format!("SELECT id FROM t WHERE k = {a}"));
            all.push(format!("SELECT id, m FROM t WHERE k IN ({a}, {b}) OR m = {b}"));
            all.push(format!("SELECT k FROM t WHERE k > {a} AND v <> 7"));
        }
        all
    })
    .await
}

/// SELECT of expressions over columns of `data_type` and integers, alone and above a filter.
///
/// # Errors
/// As [`scanned`].
pub async fn projected(engine: &Engine, data_type: &DataType) -> Result<Tally> {
    over_shapes(engine, data_type, |_| {
        let mut all = Vec::new();
        for outputs in [
            "id, id AS again, k, m",
            "v + id AS a, -v AS b, v * 2 - id AS c, 7 AS d",
            "k IS NULL AS a, k = m AS b, k < m AS c, id",
            "coalesce(k, m) AS a, id",
            "CASE WHEN v > 0 THEN k ELSE m END AS a, CASE WHEN v IS NULL THEN id END AS b",
            "nullif(k, m) AS a, v / nullif(id, 0) AS b",
            "v % 7 AS a, CAST(v AS DOUBLE) AS b, v > 3 AS c, v IS DISTINCT FROM id AS d",
        ] {
            all.push(format!("SELECT {outputs} FROM t"));
            all.push(format!("SELECT {outputs} FROM t WHERE v > -30 AND k IS NOT NULL"));
        }
        all
    })
    .await
}

/// Rows on which DataFusion errs are its to decide: the same message, and none where no such row is
/// asked for.
///
/// # Errors
/// As [`scanned`]; an answer where stock DataFusion errs, or another message.
pub async fn who_errs(engine: &Engine) -> Result<usize> {
    let mut errors = 0;
    for (at, shape) in Shape::ALL.into_iter().enumerate() {
        let files = Files::write(&DataType::Int64, shape, 6)?;
        // Not pushed into the scan: stock then tests one conjunct after the other, in an order of its own.
        let mode = MODES[at % 2];
        let bench = Bench::new(engine, vec![("t", files)]).with(mode);
        for sql in [
            "SELECT 10 / id FROM t",
            "SELECT v FROM t WHERE 10 / id > 3",
            "SELECT 10 / id FROM t WHERE id > 0",
            "SELECT CASE WHEN id = 0 THEN 0 ELSE 10 / id END FROM t",
            "SELECT v FROM t WHERE id <> 0 AND 10 % id = 1",
        ] {
            let expected = bench.plan(&Engine::stock(), sql).await?.answer().await;
            let planned: Planned = bench.plan(engine, sql).await?;
            match (expected, planned.answer().await) {
                (Ok(expected), Ok(actual)) => {
                    if let Some(text) = Comparison::default().difference(&expected, &actual)? {
                        return exec_err!("{shape:?}: {sql}\n{text}");
                    }
                }
                (Err(expected), Err(actual)) if expected.to_string() == actual.to_string() => {
                    errors += 1;
                }
                (expected, actual) => {
                    let tell = |answer: Result<_>| match answer {
                        Ok(_) => "rows".to_owned(),
                        Err(error) => error.to_string(),
                    };
                    return exec_err!(
                        "{shape:?}: {sql}\nexpected {}, came {}",
                        tell(expected.map(drop)),
                        tell(actual.map(drop))
                    );
                }
            }
            let lost = planned.report().nodes.into_iter().find(|n| n.place == Place::DataFusion);
            if let Some(node) = lost {
                return exec_err!("{sql}\n{} is not on the engine: {:?}", node.name, node.reason);
            }
        }
    }
    if errors == 0 {
        return exec_err!("no query erred");
    }
    Ok(errors)
}
