//! Window functions: they stay with DataFusion, so a plan with them mixes both engines.

use datafusion::common::Result;

use super::catalogue::Class;
use super::generator::{Generator, derived};
use super::pool::Domain;
use super::query::Draft;
use super::scope::{Column, Query};

impl Generator<'_> {
    /// `SELECT columns, f() OVER (..) FROM ..`.
    ///
    /// # Errors
    /// A table that the session does not know.
    pub(crate) async fn window(&mut self, depth: usize) -> Result<Query> {
        let from = self.from(depth).await?;
        let filter = self.where_clause(&from).await?;
        let mut outputs: Vec<Column> = Vec::new();
        for _ in 0..1 + self.rng.below(3) {
            outputs.push(self.scalar(&from.columns));
        }
        for _ in 0..1 + self.rng.below(2) {
            if let Some(column) = self.window_call(&from.columns) {
                outputs.push(column);
            }
        }
        let body = format!("FROM {}{filter}", from.from);
        Ok(self.finish(Draft { distinct: false, outputs, body, rows: from.rows }))
    }

    fn window_call(&mut self, columns: &[Column]) -> Option<Column> {
        let by = self.pick_column(columns, Column::comparable)?;
        let partition = match self.rng.chance(70) {
            true => format!("PARTITION BY {} ", by.sql),
            false => String::new(),
        };
        self.cover("window", &by);
        let unique = self.pick_column(columns, |c| c.unique);
        let number = self.pick_column(columns, |c| c.class() == Class::Integer && c.summable())?;
        let n = &number.sql;
        let sql = match (self.rng.below(5), unique) {
            (0, Some(id)) => format!("row_number() OVER ({partition}ORDER BY {})", id.sql),
            (1, Some(id)) => format!("lag({n}) OVER ({partition}ORDER BY {})", id.sql),
            (2, Some(id)) => format!(
                "sum({n}) OVER ({partition}ORDER BY {} ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)",
                id.sql
            ),
            (3, _) => format!("rank() OVER ({partition}ORDER BY {n})"),
            _ => format!("count({n}) OVER ({partition})"),
        };
        Some(derived(&number, sql, Domain::Full, true))
    }
}
