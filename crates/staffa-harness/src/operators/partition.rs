//! Dealing rows out by the hash of a key.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::physical_expr::expressions::col;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, Partitioning};
use datafusion::prelude::SessionContext;
use staffa::{Policy, rewrite};

use super::tables::{Column, Tables, ints, texts, uniform};
use super::{Case, Work};

pub(super) fn cases(rows: usize) -> Vec<Case> {
    let mut cases = Vec::new();
    for partitions in [16, 256] {
        for kind in ["int", "string"] {
            let tables = move || {
                let key = uniform(rows);
                let key: Column = match kind {
                    "int" => ints(key),
                    _ => texts(move |row| format!("key number {:>12} of a row", key(row))),
                };
                let value = |row: usize| row as i64;
                let columns = vec![("k", key), ("v", ints(value)), ("w", ints(value))];
                Tables::default().with("t", rows, columns)
            };
            cases.push(Case {
                name: format!("partition/{kind}/{partitions}"),
                rows,
                tables: Box::new(tables),
                work: Work::Partition(partitions),
            });
        }
    }
    cases
}

/// The table `t` dealt out to so many partitions, by the session's engine.
pub(super) async fn plan(
    session: &SessionContext,
    partitions: usize,
) -> Result<Arc<dyn ExecutionPlan>> {
    let scan = session.table("t").await?.create_physical_plan().await?;
    let key = col("k", &scan.schema())?;
    let plan = RepartitionExec::try_new(scan, Partitioning::Hash(vec![key], partitions))?;
    let state = session.state();
    // A session of plain DataFusion has no settings of Staffa's.
    match state.config_options().extensions.get::<staffa::StaffaConfig>() {
        Some(_) => rewrite(Arc::new(plan), &Policy::from_options(state.config_options())),
        None => Ok(Arc::new(plan)),
    }
}
