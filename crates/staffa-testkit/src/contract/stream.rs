//! Streams: partitions read in any order, late, never, or dropped midway, over plans whose
//! operators share state between partitions.

use std::time::Duration;

use arrow::datatypes::DataType;
use datafusion::common::{Result, exec_datafusion_err};
use datafusion::physical_plan::ExecutionPlanProperties;
use futures::{StreamExt, TryStreamExt};

use super::files::Files;
use super::tables::{Shape, table};
use super::{Bench, Source};
use crate::differential::Consumption;
use crate::engine::{Engine, Planned};
use crate::oracle::Comparison;

/// Far above what these plans take; a read that is not done by then hangs.
const LIMIT: Duration = Duration::from_secs(20);

const QUERIES: [&str; 5] = [
    "SELECT l.k, l.id, r.id FROM l JOIN r ON l.k = r.k",
    "SELECT l.k, l.id, r.id FROM l FULL JOIN r ON l.k = r.k AND l.v < r.v",
    "SELECT k, count(*), sum(v) FROM l GROUP BY k",
    "SELECT l.k, count(r.v) FROM l LEFT JOIN r ON l.k = r.k GROUP BY l.k",
    "SELECT k, id FROM l UNION ALL SELECT k, id FROM r",
];

/// Over batches; on a device over Parquet files, since it reads nothing else.
fn bench(engine: &Engine) -> Result<Bench<'_>> {
    let int = DataType::Int32;
    let shapes = [("l", Shape::ManyBatches, 1), ("r", Shape::Skewed, 2)];
    let tables = shapes.into_iter().map(|(name, shape, salt)| {
        let source: Source = match engine.uses_a_device() {
            true => Files::write(&int, shape, salt)?.into(),
            false => table(&int, shape, salt)?.into(),
        };
        Ok((name, source))
    });
    Ok(Bench::new(engine, tables.collect::<Result<Vec<_>>>()?).with(&[
        ("execution.target_partitions", "4"),
        ("execution.batch_size", "3"),
        ("optimizer.hash_join_single_partition_threshold", "0"),
        ("optimizer.hash_join_single_partition_threshold_rows", "0"),
    ]))
}

async fn planned(bench: &Bench<'_>, sql: &str) -> Result<Planned> {
    let planned = bench.plan(bench.engine, sql).await?;
    let seen = planned.report();
    if seen.staffa_nodes() == 0 {
        return Err(exec_datafusion_err!("{sql}\nno Staffa node in the plan"));
    }
    if bench.engine.uses_a_device() && seen.gpu_nodes() == 0 {
        return Err(exec_datafusion_err!("{sql}\nno node on a device: {seen:?}"));
    }
    Ok(planned)
}

/// Partitions read one after the other, and in turns, in random orders: all rows come.
///
/// # Errors
/// A read that hangs, or rows that differ from stock DataFusion's.
pub async fn out_of_order(engine: &Engine) -> Result<()> {
    let bench = bench(engine)?;
    for sql in QUERIES {
        let expected = bench.plan(&Engine::stock(), sql).await?.answer().await?;
        for seed in 0..8 {
            for consumption in [Consumption::Shuffled(seed), Consumption::Interleaved(seed)] {
                let planned = planned(&bench, sql).await?;
                let actual = tokio::time::timeout(LIMIT, consumption.read(&planned)).await;
                let actual =
                    actual.map_err(|_| exec_datafusion_err!("{sql}\n{consumption:?} hangs"))??;
                if let Some(text) = Comparison::default().difference(&expected, &actual)? {
                    return Err(exec_datafusion_err!("{sql}\n{consumption:?}: {text}"));
                }
            }
        }
    }
    Ok(())
}

/// One partition read to its end while the others are executed and never polled, or not even
/// executed: it ends, and gives the rows that stock DataFusion's same partition gives.
///
/// # Errors
/// As [`out_of_order`].
pub async fn never_polled(engine: &Engine) -> Result<()> {
    let bench = bench(engine)?;
    for sql in QUERIES {
        let count = planned(&bench, sql).await?.plan.output_partitioning().partition_count();
        let mut rows = 0;
        for partition in 0..count {
            for execute_siblings in [false, true] {
                let planned = planned(&bench, sql).await?;
                let siblings = (0..count).filter(|&p| execute_siblings && p != partition);
                let idle = siblings
                    .map(|p| planned.plan.execute(p, planned.task.clone()))
                    .collect::<Result<Vec<_>>>()?;
                let read = planned.plan.execute(partition, planned.task.clone())?;
                let read = tokio::time::timeout(LIMIT, read.try_collect::<Vec<_>>()).await;
                let batches =
                    read.map_err(|_| exec_datafusion_err!("{sql}\npartition {partition} hangs"))??;
                drop(idle);
                if execute_siblings {
                    rows += batches.iter().map(|b| b.num_rows()).sum::<usize>();
                }
            }
        }
        let expected = bench.plan(&Engine::stock(), sql).await?.answer().await?.rows();
        if rows != expected {
            return Err(exec_datafusion_err!("{sql}\n{rows} rows one by one, {expected} on stock"));
        }
    }
    Ok(())
}

/// Streams dropped before, after the first and after the second batch, in every partition; the
/// same session then answers the query whole.
///
/// # Errors
/// As [`out_of_order`].
pub async fn dropped(engine: &Engine) -> Result<()> {
    let mut bench = bench(engine)?;
    for sql in QUERIES {
        for batches in 0..3 {
            let planned = planned(&bench, sql).await?;
            let count = planned.plan.output_partitioning().partition_count();
            for partition in 0..count {
                let stream = planned.plan.execute(partition, planned.task.clone())?;
                let read = stream.take(batches).try_collect::<Vec<_>>();
                let read = tokio::time::timeout(LIMIT, read).await;
                read.map_err(|_| exec_datafusion_err!("{sql}\nhangs after a dropped sibling"))??;
            }
        }
        bench.check(sql, &[], &[]).await?;
    }
    Ok(())
}
