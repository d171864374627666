//! The contract of each operator: what any engine must answer for the awkward keys, batches and
//! shapes, compared with stock DataFusion, with proof from the plan that the operator ran there.
//!
//! Every function takes the [`Engine`] under test, so a new engine is held to the same contract by
//! one more call.

mod aggregate;
mod exchange;
mod files;
mod join;
mod rows;
mod sort;
mod stream;
mod tables;
mod window;

pub use aggregate::{grouped, ungrouped};
pub use exchange::partitions_as_datafusion;
pub use join::{hash_joins, joins_without_equality, null_aware, sort_merge_joins};
pub use rows::{Tally, filtered, projected, scanned, who_errs};
pub use sort::{sorted, top_k};
pub use stream::{dropped, never_polled, out_of_order};
pub use tables::{Shape, key_types};
pub use window::{limited_windows, many_partitions, nested_windows, windowed};

use std::sync::Arc;

use datafusion::common::{Result, exec_datafusion_err};
use datafusion::datasource::MemTable;
use datafusion::prelude::{ParquetReadOptions, SessionConfig};
use staffa_datafusion::Place;

use crate::engine::{Engine, Planned};
use crate::oracle::Comparison;
use files::Files;

/// What a session reads a table from.
enum Source {
    Memory(Arc<MemTable>),
    Parquet(Files),
}

impl From<Arc<MemTable>> for Source {
    fn from(table: Arc<MemTable>) -> Self {
        Self::Memory(table)
    }
}

impl From<Files> for Source {
    fn from(files: Files) -> Self {
        Self::Parquet(files)
    }
}

/// Two sessions, stock and under test, over the same tables.
struct Bench<'a> {
    engine: &'a Engine,
    tables: Vec<(&'a str, Source)>,
    settings: Vec<(&'a str, &'a str)>,
    /// Nodes of the operator under test that ran on the engine so far.
    ran: usize,
}

impl<'a> Bench<'a> {
    fn new<S: Into<Source>>(engine: &'a Engine, tables: Vec<(&'a str, S)>) -> Self {
        let tables = tables.into_iter().map(|(name, table)| (name, table.into())).collect();
        Self { engine, tables, settings: Vec::new(), ran: 0 }
    }

    fn with(mut self, settings: &[(&'a str, &'a str)]) -> Self {
        self.settings = settings.to_vec();
        self
    }

    async fn plan(&self, engine: &Engine, sql: &str) -> Result<Planned> {
        let mut config = SessionConfig::new();
        for (key, value) in &self.settings {
            config.options_mut().set(&format!("datafusion.{key}"), value)?;
        }
        let ctx = engine.session(config);
        for (name, table) in &self.tables {
            match table {
                Source::Memory(table) => drop(ctx.register_table(*name, table.clone())?),
                Source::Parquet(files) => {
                    let options = ParquetReadOptions::default();
                    ctx.register_parquet(*name, files.path()?, options).await?;
                }
            }
        }
        Planned::new(&ctx, sql).await
    }

    /// Runs `sql` both ways; the answers must agree (in the order of the output columns `order`),
    /// and every node whose name ends in one of `operators` must have run on the engine.
    async fn check(&mut self, sql: &str, operators: &[&str], order: &[usize]) -> Result<()> {
        let expected = self.plan(&Engine::stock(), sql).await?.answer().await?;
        let planned = self.plan(self.engine, sql).await?;
        let actual = planned.answer().await.map_err(|e| exec_datafusion_err!("{sql}\n{e}"))?;
        let how = Comparison { order: order.to_vec(), ..Comparison::default() };
        if let Some(difference) = how.difference(&expected, &actual)? {
            return Err(exec_datafusion_err!("{sql}\nwith {:?}\n{difference}", self.settings));
        }
        for node in planned.report().nodes {
            if operators.iter().any(|o| node.name.starts_with(o)) {
                if node.place == Place::DataFusion {
                    let reason = node.reason.unwrap_or_default();
                    return Err(exec_datafusion_err!("{sql}\n{} stayed: {reason}", node.name));
                }
                self.ran += 1;
            }
        }
        Ok(())
    }

    /// Fails where the operator under test never ran: then nothing was tested.
    fn finish(self) -> Result<usize> {
        if self.ran == 0 {
            return Err(exec_datafusion_err!("the operator under test never ran"));
        }
        Ok(self.ran)
    }
}
