//! Window functions: of a row's place, of other rows' values, and aggregates over frames.

use datafusion::common::Result;

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
        let mut keys = Vec::new();
        for _ in 0..*self.rng.pick(&[0, 1, 1, 1, 2]) {
            let key = self.pick_column(columns, Column::comparable)?;
            self.cover("window", &key);
            keys.push(key.sql);
        }
        let partition = match keys.is_empty() {
            true => String::new(),
            false => format!("PARTITION BY {} ", keys.join(", ")),
        };
        match self.pick_column(columns, |c| c.unique) {
            Some(id) if self.rng.chance(60) => self.by_row(columns, &partition, &id),
            _ => self.by_peers(columns, &partition),
        }
    }

    /// A function that tells tied rows apart, so that the order has none.
    fn by_row(&mut self, columns: &[Column], partition: &str, id: &Column) -> Option<Column> {
        let number = self.pick_column(columns, Column::summable)?;
        let value = self.pick_column(columns, Column::comparable)?;
        self.cover("window order", id);
        self.cover("window value", &value);
        let direction = *self.rng.pick(&["", " DESC", " NULLS FIRST"]);
        let frame = self.rows_frame();
        let order = format!("{partition}ORDER BY {}{direction}", id.sql);
        let (n, v) = (&number.sql, &value.sql);
        let nulls = *self.rng.pick(&["", "", " IGNORE NULLS"]);
        let by = self.rng.below(4);
        let (like, sql) = match self.rng.below(9) {
            0 => (&number, format!("row_number() OVER ({order})")),
            1 => (&number, format!("ntile({}) OVER ({order})", by + 1)),
            2 => (&value, format!("lag({v}, {by}){nulls} OVER ({order})")),
            3 => (&value, format!("lead({v}, {by}){nulls} OVER ({order})")),
            4 => (&value, format!("first_value({v}){nulls} OVER ({order} {frame})")),
            5 => (&value, format!("last_value({v}){nulls} OVER ({order} {frame})")),
            6 => (&value, format!("nth_value({v}, {}){nulls} OVER ({order} {frame})", by + 1)),
            7 => (&number, format!("sum({n}) OVER ({order} {frame})")),
            _ => (&number, format!("count({v}) OVER ({order} {frame})")),
        };
        Some(derived(like, sql, Domain::Full, true))
    }

    fn rows_frame(&mut self) -> String {
        let (before, behind) = (self.rng.below(4), self.rng.below(4));
        match self.rng.below(5) {
            0 => String::new(),
            1 => "ROWS UNBOUNDED PRECEDING".to_string(),
            2 => format!("ROWS BETWEEN {before} PRECEDING AND {behind} FOLLOWING"),
            3 => format!("ROWS BETWEEN {} PRECEDING AND {before} PRECEDING", before + behind),
            _ => format!("ROWS BETWEEN {before} FOLLOWING AND UNBOUNDED FOLLOWING"),
        }
    }

    /// A function that gives tied rows one value.
    fn by_peers(&mut self, columns: &[Column], partition: &str) -> Option<Column> {
        let number = self.pick_column(columns, Column::summable)?;
        let key = self.pick_column(columns, Column::comparable)?;
        self.cover("window order", &key);
        let frames = [
            "",
            "RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING",
            "GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING",
        ];
        let frame = *self.rng.pick(&frames);
        let direction = *self.rng.pick(&["", " DESC", " NULLS FIRST"]);
        let order = format!("{partition}ORDER BY {}{direction}", key.sql);
        let n = &number.sql;
        let sql = match self.rng.below(9) {
            0 => format!("rank() OVER ({order})"),
            1 => format!("dense_rank() OVER ({order})"),
            2 => format!("percent_rank() OVER ({order})"),
            3 => format!("cume_dist() OVER ({order})"),
            4 => format!("sum({n}) OVER ({order} {frame})"),
            5 => format!("count({n}) OVER ({order} {frame})"),
            6 => format!("min({n}) OVER ({order} {frame})"),
            7 => format!("avg({n}) OVER ({partition})"),
            _ => format!("max({n}) OVER ({partition})"),
        };
        Some(derived(&number, sql, Domain::Full, true))
    }
}
