//! Aggregations: keys of every type and shape, and no keys at all.

use arrow::datatypes::DataType;
use datafusion::common::Result;

use super::Bench;
use super::tables::{Shape, table};
use crate::engine::Engine;

/// One stage; two stages of three partitions; two stages that give up the first early.
const MODES: [&[(&str, &str)]; 3] = [
    &[("execution.target_partitions", "1")],
    &[("execution.target_partitions", "3"), ("execution.batch_size", "7")],
    &[
        ("execution.target_partitions", "3"),
        ("execution.batch_size", "5"),
        ("execution.skip_partial_aggregation_probe_rows_threshold", "4"),
        ("execution.skip_partial_aggregation_probe_ratio_threshold", "0.1"),
    ],
];

/// GROUP BY a key of `data_type`, alone and with others; gives how many aggregations ran.
///
/// # Errors
/// The first answer that differs, or an aggregation that stayed with DataFusion.
pub async fn grouped(engine: &Engine, data_type: &DataType) -> Result<usize> {
    // Which of 0.0 and -0.0 stands for their group is open, so float keys are not shown.
    let key = if data_type.is_floating() { "count(k)" } else { "k" };
    let mut ran = 0;
    for shape in Shape::ALL {
        for mode in MODES {
            let tables = vec![("t", table(data_type, shape, 3)?)];
            let mut bench = Bench::new(engine, tables).with(mode);
            for sql in [
                format!(
                    "SELECT {key}, count(*), count(v), sum(v), min(v), max(v), avg(v) FROM t GROUP BY k"
                ),
                format!("SELECT {key}, v, count(*) FROM t GROUP BY v, k"),
                format!(
                    "SELECT {key}, count(DISTINCT v), sum(v) FILTER (WHERE v > 0) FROM t GROUP BY k"
                ),
                format!("SELECT {key}, v, count(*) FROM t GROUP BY ROLLUP (k, v)"),
                format!("SELECT {key}, v, grouping(k), sum(id) FROM t GROUP BY CUBE (k, v)"),
                "SELECT v, count(k), count(DISTINCT k) FROM t GROUP BY v".to_string(),
                "SELECT count(*) FROM (SELECT DISTINCT k FROM t) AS d".to_string(),
            ] {
                bench.check(&sql, &["AggregateExec"], &[]).await?;
            }
            if !data_type.is_floating() {
                let sql = "SELECT v % 4 AS g, min(k), max(k) FROM t GROUP BY g";
                bench.check(sql, &["AggregateExec"], &[]).await?;
            }
            ran += bench.finish()?;
        }
    }
    Ok(ran)
}

/// Aggregates without keys: one row, also over nothing.
///
/// # Errors
/// As [`grouped`].
pub async fn ungrouped(engine: &Engine) -> Result<usize> {
    let mut ran = 0;
    for shape in Shape::ALL {
        for mode in MODES {
            let tables = vec![("t", table(&DataType::Int32, shape, 3)?)];
            let mut bench = Bench::new(engine, tables).with(mode);
            for sql in [
                "SELECT sum(v), avg(v), min(k), max(k), count(v) FROM t WHERE id >= 0",
                "SELECT sum(v), count(*), bool_and(v > 0), bool_or(v > 0) FROM t WHERE id < 0",
                "SELECT count(DISTINCT k), sum(DISTINCT v), bit_and(v), bit_or(v), bit_xor(v) FROM t",
                "SELECT sum(v) FILTER (WHERE k > 0), count(*) FILTER (WHERE v IS NULL) FROM t",
            ] {
                bench.check(sql, &["AggregateExec"], &[]).await?;
            }
            ran += bench.finish()?;
        }
    }
    Ok(ran)
}
