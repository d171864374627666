//! The state of the SQL generator: its randomness, the tables, and what has been covered.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::prelude::SessionContext;

use super::catalogue::label;
use super::pool::Domain;
use super::scope::{Column, Query, Relation};
use super::table::Table;
use crate::rng::Rng;

/// How often each operator met each type: (operator, type label) -> cases.
pub type Coverage = BTreeMap<(&'static str, String), usize>;

/// Writes one random query over a case's tables.
pub(crate) struct Generator<'a> {
    /// The case's randomness.
    pub rng: Rng,
    /// A stock session that knows the tables; asked for the types of sub-queries.
    pub ctx: &'a SessionContext,
    /// The base tables.
    pub tables: &'a [Table],
    /// Joins that may still be added; each one spends.
    pub joins_left: usize,
    /// Rows that no intermediate relation should exceed.
    pub max_rows: f64,
    /// What the query exercises.
    pub coverage: Coverage,
    aliases: usize,
}

impl<'a> Generator<'a> {
    /// A generator over `tables`, all of them registered in `ctx`.
    pub(crate) fn new(
        rng: Rng,
        ctx: &'a SessionContext,
        tables: &'a [Table],
        joins: usize,
    ) -> Self {
        Self {
            rng,
            ctx,
            tables,
            joins_left: joins,
            max_rows: 60_000.0,
            coverage: Coverage::new(),
            aliases: 0,
        }
    }

    /// A name that the query does not use yet.
    pub(crate) fn alias(&mut self) -> String {
        self.aliases += 1;
        format!("s{}", self.aliases)
    }

    /// Notes that `operator` met the type of `column`.
    pub(crate) fn cover(&mut self, operator: &'static str, column: &Column) {
        *self.coverage.entry((operator, label(&column.data_type))).or_default() += 1;
    }

    /// A base table under a fresh alias.
    ///
    /// # Errors
    /// A table that the session does not know.
    pub(crate) async fn base(&mut self) -> Result<Relation> {
        let alias = self.alias();
        let at = self.rng.below(self.tables.len());
        self.tables[at].relation(self.ctx, &alias).await
    }

    /// Something to select from: mostly a base table, else a sub-query of one level less.
    ///
    /// # Errors
    /// A table that the session does not know.
    pub(crate) async fn relation(&mut self, depth: usize) -> Result<Relation> {
        if depth == 0 || self.rng.chance(65) {
            return self.base().await;
        }
        let query = Box::pin(self.query(depth - 1)).await?;
        match self.typed(query).await {
            Ok(query) => {
                let alias = self.alias();
                Ok(nest(&format!("({})", query.sql), &alias, query))
            }
            // What the planner refuses as a sub-query would make the whole case say nothing.
            Err(_) => self.base().await,
        }
    }

    /// `query` with its columns' types as the planner sees them.
    ///
    /// # Errors
    /// A query that the planner refuses.
    pub(crate) async fn typed(&self, mut query: Query) -> Result<Query> {
        let plan = self.ctx.state().create_logical_plan(&query.sql).await?;
        for (column, field) in query.columns.iter_mut().zip(plan.schema().fields()) {
            if &column.data_type != field.data_type() {
                column.data_type = field.data_type().clone();
                column.literals = Arc::default();
            }
        }
        Ok(query)
    }

    /// One of the columns that `keep` accepts.
    pub(crate) fn pick_column(
        &mut self,
        columns: &[Column],
        keep: impl Fn(&Column) -> bool,
    ) -> Option<Column> {
        let fit: Vec<&Column> = columns.iter().filter(|c| keep(c)).collect();
        if fit.is_empty() { None } else { Some((*self.rng.pick(&fit)).clone()) }
    }

    /// A literal of a value that occurs in `column`, where there is one.
    pub(crate) fn literal(&mut self, column: &Column) -> Option<String> {
        if column.literals.is_empty() {
            None
        } else {
            Some(self.rng.pick(&column.literals).clone())
        }
    }
}

/// `query` in FROM, as `text` (its SQL in parentheses, or the name of a CTE) under `alias`.
pub(crate) fn nest(text: &str, alias: &str, query: Query) -> Relation {
    let columns =
        query.columns.into_iter().map(|c| Column { sql: format!("{alias}.{}", c.sql), ..c });
    Relation { from: format!("{text} AS {alias}"), columns: columns.collect(), rows: query.rows }
}

/// A column that an expression yields: never unique, its type found by the planner later.
pub(crate) fn derived(like: &Column, sql: String, domain: Domain, exact: bool) -> Column {
    Column { sql, domain, exact, unique: false, ..like.clone() }
}
