//! Window functions: every function over every kind of frame, with keys of a type as partitions, as order and
//! as values. ORDER BYs are unique (`id`), or the functions do not tell ties apart.

use arrow::datatypes::DataType;
use datafusion::common::{Result, exec_datafusion_err};

use super::Bench;
use super::tables::{Shape, table};
use crate::engine::Engine;

const NODES: [&str; 2] = ["WindowAggExec", "BoundedWindowAggExec"];

fn modes() -> [Vec<(&'static str, &'static str)>; 3] {
    [
        vec![("execution.target_partitions", "1")],
        vec![("execution.target_partitions", "2")],
        vec![("execution.target_partitions", "8"), ("execution.batch_size", "7")],
    ]
}

/// Frames of rows, the first that of running values.
const ROWS: [&str; 8] = [
    "ROWS UNBOUNDED PRECEDING",
    "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING",
    "ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING",
    "ROWS BETWEEN 2 PRECEDING AND CURRENT ROW",
    "ROWS BETWEEN 3 PRECEDING AND 2 PRECEDING",
    "ROWS BETWEEN 1 PRECEDING AND 2 FOLLOWING",
    "ROWS BETWEEN 2 FOLLOWING AND 4 FOLLOWING",
    "ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING",
];

/// Frames of peers and of values of the order, which is a number.
const RANGES: [&str; 6] = [
    "RANGE UNBOUNDED PRECEDING",
    "RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING",
    "RANGE BETWEEN CURRENT ROW AND CURRENT ROW",
    "RANGE BETWEEN 10 PRECEDING AND 5 FOLLOWING",
    "GROUPS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
    "GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING",
];

/// Aggregates whose values do not depend on the order of tied rows.
const AGGREGATES: [&str; 8] =
    ["sum(v)", "count(v)", "count(*)", "avg(v)", "min(v)", "max(v)", "sum(d)", "avg(d)"];

/// The table with decimals and floats of `v`.
const WIDER: &str =
    "(SELECT id, k, v, CAST(v AS DECIMAL(9, 2)) AS d, CAST(v AS DOUBLE) / 7 AS f FROM t)";

fn over(functions: &[&str], window: &str) -> String {
    let calls: Vec<String> = functions
        .iter()
        .enumerate()
        .map(|(at, f)| format!("{f} OVER ({window}) AS f{at}"))
        .collect();
    calls.join(", ")
}

/// Every query, for keys of `data_type`.
fn queries(data_type: &DataType) -> Vec<String> {
    // DataFusion orders no window by these: it has no ranges of them.
    let ordered = !matches!(
        data_type,
        DataType::Interval(_)
            | DataType::Time64(_)
            | DataType::Binary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_)
    );
    let mut windows = vec!["ORDER BY id", "PARTITION BY k ORDER BY id DESC"];
    if ordered {
        windows.push("PARTITION BY v % 3 ORDER BY k NULLS FIRST, id");
    }
    let places = ["row_number()", "ntile(3)", "lag(k)", "lag(k, 2)", "lead(v, 3, 7)", "lead(k)"];
    let skipping = [
        "lag(k, 2) IGNORE NULLS",
        "lead(k) IGNORE NULLS",
        "first_value(v) IGNORE NULLS",
        "nth_value(v, 2) IGNORE NULLS",
    ];
    let mut queries = Vec::new();
    for window in &windows {
        queries.push(over(&places, window));
        // Without `ntile` and `lead`, rows go on as they come.
        queries.push(over(&["row_number()", "rank()", "dense_rank()"], window));
        queries.push(over(&skipping, window));
    }
    for frame in ROWS {
        let picks = ["first_value(k)", "last_value(k)", "nth_value(k, 2)", "nth_value(k, -2)"];
        let floats = ["sum(f)", "avg(f)", "max(f)"];
        queries.push(over(&picks, &format!("PARTITION BY v % 3 ORDER BY id {frame}")));
        queries.push(over(&floats, &format!("PARTITION BY v % 2 ORDER BY id {frame}")));
        queries.push(over(&AGGREGATES, &format!("PARTITION BY k ORDER BY id {frame}")));
        queries.push(over(&["count(k)", "sum(v)"], &format!("ORDER BY id DESC {frame}")));
    }
    for frame in RANGES {
        let window = format!("PARTITION BY k ORDER BY v {frame}");
        queries.push(over(&AGGREGATES, &window));
        queries.push(over(&["first_value(v)", "last_value(v)"], &window));
        queries.push(over(&AGGREGATES[..4], &format!("ORDER BY v DESC NULLS LAST {frame}")));
    }
    let ranks = ["rank()", "dense_rank()", "percent_rank()", "cume_dist()", "count(v)", "sum(v)"];
    for order in ["v", "v DESC NULLS LAST"] {
        queries.push(over(&ranks, &format!("PARTITION BY k ORDER BY {order}")));
    }
    if ordered {
        queries.push(over(&ranks, "ORDER BY k"));
        queries.push(over(&ranks, "PARTITION BY v % 4 ORDER BY k DESC, v"));
        queries.push(over(&["rank()", "min(id)"], "PARTITION BY k, v % 2 ORDER BY k"));
    }
    for window in ["PARTITION BY k", "PARTITION BY k, v", ""] {
        queries.push(over(&AGGREGATES, window));
        queries.push(over(&["count(DISTINCT v)", "sum(v) FILTER (WHERE v > 0)"], window));
    }
    queries
}

/// A query of every `parts`, from that at `turn` on, over tables of every shape, with keys of `data_type`; gives
/// how many window nodes ran. Types of other turns take other queries, so that all of them are asked.
///
/// # Errors
/// The first answer that differs, or a node that stayed.
pub async fn windowed(
    engine: &Engine,
    data_type: &DataType,
    turn: usize,
    parts: usize,
) -> Result<usize> {
    let mut ran = 0;
    let queries = queries(data_type);
    for shape in Shape::ALL {
        for (number, mode) in modes().into_iter().enumerate() {
            let tables = vec![("t", table(data_type, shape, 4)?)];
            let mut bench = Bench::new(engine, tables).with(&mode);
            // Small shapes do not come in more ways than one.
            let step = if matches!(shape, Shape::Sliced | Shape::ManyBatches) { 1 } else { 3 };
            let turn = turn + number * parts / 3;
            for calls in queries.iter().skip(turn % (step * parts)).step_by(step * parts) {
                let sql = format!("SELECT id, k, v, {calls} FROM {WIDER}");
                bench.check(&sql, &NODES, &[]).await?;
            }
            ran += bench.finish()?;
        }
    }
    Ok(ran)
}

/// Windows above windows, below LIMIT, aggregates and joins, and plans whose values nobody reads.
///
/// # Errors
/// As [`windowed`].
pub async fn nested_windows(engine: &Engine) -> Result<usize> {
    let queries = [
        "SELECT id, r, sum(r) OVER (PARTITION BY v ORDER BY id) FROM (SELECT id, v, rank() OVER (PARTITION BY k \
         ORDER BY v) AS r FROM t)",
        "SELECT id, sum(v) OVER (PARTITION BY k ORDER BY id), sum(v) OVER (PARTITION BY v ORDER BY id), \
         sum(v) OVER (ORDER BY id), count(*) OVER () FROM t",
        "SELECT id, row_number() OVER (ORDER BY id) AS n FROM t ORDER BY n LIMIT 5",
        "SELECT r, count(*) FROM (SELECT rank() OVER (PARTITION BY k ORDER BY v) AS r FROM t) GROUP BY r",
        "SELECT k, sum(v), rank() OVER (ORDER BY sum(v) DESC), sum(sum(v)) OVER (PARTITION BY count(*)) FROM t \
         GROUP BY k",
        "SELECT a.id, b.n FROM t AS a JOIN (SELECT id, row_number() OVER (PARTITION BY k ORDER BY id) AS n FROM t) \
         AS b ON a.id = b.id WHERE b.n < 4",
        "SELECT id FROM t QUALIFY row_number() OVER (PARTITION BY k ORDER BY id) = 1",
        "WITH w AS (SELECT id, k, lag(v) OVER (PARTITION BY k ORDER BY id) AS l FROM t) SELECT x.id, y.l FROM w AS x \
         JOIN w AS y ON x.id = y.id + 1",
    ];
    let mut ran = 0;
    for shape in Shape::ALL {
        for mode in modes() {
            let tables = vec![("t", table(&DataType::Int32, shape, 4)?)];
            let mut bench = Bench::new(engine, tables).with(&mode);
            for sql in queries {
                bench.check(sql, &NODES, &[]).await?;
            }
            ran += bench.finish()?;
        }
    }
    Ok(ran)
}

/// One partition, some, and as many as there are rows, in more rows than a morsel holds.
///
/// # Errors
/// As [`windowed`].
pub async fn many_partitions(engine: &Engine, rows: usize) -> Result<usize> {
    let mut ran = 0;
    let v = "CASE WHEN value % 11 <> 0 THEN value * 7919 % 1000 - 500 END";
    let columns = format!("value AS id, {v} AS v, CAST({v} AS DECIMAL(9, 2)) AS d");
    for partitions in [1, 3, 100, rows] {
        for target in ["1", "8"] {
            let tables = vec![("t", table(&DataType::Int32, Shape::OneRow, 4)?)];
            let settings = [("execution.target_partitions", target)];
            let mut bench = Bench::new(engine, tables).with(&settings);
            let by = format!("PARTITION BY id * 31 % {partitions}");
            let from = format!("FROM (SELECT {columns} FROM generate_series(1, {rows}))");
            let ranks = ["rank()", "dense_rank()", "cume_dist()", "count(v)", "sum(v)", "max(v)"];
            let running = ["row_number()", "sum(v)", "avg(v)", "min(v)", "first_value(v)"];
            let frame = "ORDER BY id ROWS UNBOUNDED PRECEDING";
            for calls in [
                over(&ranks, &format!("{by} ORDER BY v")),
                over(&running, &format!("{by} {frame}")),
                over(&running[..4], &format!("{by} {frame}")),
                over(&["lag(v, 3)", "lead(v)", "ntile(7)"], &format!("{by} ORDER BY id")),
                over(&AGGREGATES, &by),
            ] {
                bench.check(&format!("SELECT id, {calls} {from}"), &NODES, &[]).await?;
            }
            ran += bench.finish()?;
        }
    }
    Ok(ran)
}

/// A LIMIT above functions that need no later row: they see hardly more rows than it takes.
///
/// # Errors
/// As [`windowed`], or too many rows.
pub async fn limited_windows(engine: &Engine) -> Result<usize> {
    let tables = vec![("t", table(&DataType::Int32, Shape::OneRow, 4)?)];
    let mut bench = Bench::new(engine, tables).with(&[("execution.target_partitions", "1")]);
    for calls in ["row_number() OVER ()", "sum(value) OVER (ROWS UNBOUNDED PRECEDING)"] {
        let sql = format!("SELECT value, {calls} FROM generate_series(1, 1000000) LIMIT 10");
        bench.check(&sql, &NODES, &[]).await?;
        let planned = bench.plan(engine, &sql).await?;
        planned.answer().await?;
        let nodes = planned.report().nodes;
        let window = nodes.iter().find(|node| NODES.contains(&node.name.as_str()));
        let rows = window.and_then(|node| node.output_rows);
        if rows.is_none_or(|rows| rows > 100_000) {
            return Err(exec_datafusion_err!("{sql}\nthe window put out {rows:?} rows"));
        }
    }
    bench.finish()
}
