//! Whole queries: plain, DISTINCT, grouped, set operations, CTEs used twice, window functions.

use datafusion::common::Result;

use super::generator::{Generator, derived, nest};
use super::pool::Domain;
use super::scope::{Column, Query, Relation};

/// A query before its outputs have names and its rows an order.
pub(crate) struct Draft {
    /// Whether it starts with SELECT DISTINCT.
    pub distinct: bool,
    /// The output expressions.
    pub outputs: Vec<Column>,
    /// All SQL from FROM on.
    pub body: String,
    /// Roughly how many rows come out, from above.
    pub rows: f64,
}

impl Generator<'_> {
    /// A random query of at most `depth` nested levels.
    ///
    /// # Errors
    /// A table that the session does not know.
    pub(crate) async fn query(&mut self, depth: usize) -> Result<Query> {
        match self.rng.weighted(&[30, 38, 10, 9, 8]) {
            0 => self.select(depth).await,
            1 => self.aggregate(depth).await,
            2 => self.set_operation(depth).await,
            3 => self.shared(depth).await,
            _ => self.window(depth).await,
        }
    }

    async fn select(&mut self, depth: usize) -> Result<Query> {
        let from = self.from(depth).await?;
        let filter = self.where_clause(&from).await?;
        let mut outputs: Vec<Column> = Vec::new();
        for _ in 0..1 + self.rng.below(6) {
            outputs.push(self.scalar(&from.columns));
        }
        let comparable = outputs.iter().all(|c| c.comparable());
        let distinct = comparable && self.rng.chance(15);
        if distinct {
            // -0.0 and 0.0 are one value for DISTINCT, and either may show.
            outputs.iter_mut().for_each(|c| c.exact = c.exact && !c.signed_zero());
            for column in outputs.clone() {
                self.cover("distinct", &column);
            }
        }
        let body = format!("FROM {}{filter}", from.from);
        Ok(self.finish(Draft { distinct, outputs, body, rows: from.rows }))
    }

    /// Names the outputs `o0`, `o1`, .. and sometimes orders and limits the rows.
    pub(crate) fn finish(&mut self, draft: Draft) -> Query {
        let Draft { distinct, outputs, body, rows } = draft;
        let list: Vec<String> =
            outputs.iter().enumerate().map(|(i, c)| format!("{} AS o{i}", c.sql)).collect();
        let word = if distinct { "SELECT DISTINCT" } else { "SELECT" };
        let sql = format!("{word} {} {body}", list.join(", "));
        let columns: Vec<Column> = outputs
            .into_iter()
            .enumerate()
            .map(|(i, c)| Column { sql: format!("o{i}"), unique: c.unique && !distinct, ..c })
            .collect();
        self.order(Query { sql, columns, rows, order: Vec::new(), hidden: None })
    }

    /// UNION, INTERSECT or EXCEPT of two queries over columns of equal types.
    async fn set_operation(&mut self, depth: usize) -> Result<Query> {
        let left = self.relation(depth).await?;
        let right = self.relation(depth).await?;
        let mut pairs: Vec<(Column, Column)> = Vec::new();
        for _ in 0..1 + self.rng.below(3) {
            let Some(a) = self.pick_column(&left.columns, Column::comparable) else { break };
            let same = |c: &Column| c.data_type == a.data_type && c.comparable();
            if let Some(b) = self.pick_column(&right.columns, same) {
                pairs.push((a, b));
            }
        }
        if pairs.is_empty() {
            return self.select(depth).await;
        }
        let words = [
            "UNION ALL",
            "UNION ALL",
            "UNION",
            "INTERSECT",
            "EXCEPT",
            "INTERSECT ALL",
            "EXCEPT ALL",
        ];
        let word = *self.rng.pick(&words);
        let mut outputs = Vec::new();
        let (mut a_list, mut b_list) = (Vec::new(), Vec::new());
        for (i, (a, b)) in pairs.iter().enumerate() {
            self.cover(word, a);
            let exact = word == "UNION ALL" || !(a.signed_zero() || b.signed_zero());
            let domain = if a.domain == b.domain { a.domain } else { Domain::Full };
            outputs.push(Column { exact, ..derived(a, format!("o{i}"), domain, true) });
            a_list.push(format!("{} AS o{i}", a.sql));
            b_list.push(format!("{} AS o{i}", b.sql));
        }
        let a_filter = self.where_clause(&left).await?;
        let b_filter = self.where_clause(&right).await?;
        let sql = format!(
            "SELECT {} FROM {}{a_filter} {word} SELECT {} FROM {}{b_filter}",
            a_list.join(", "),
            left.from,
            b_list.join(", "),
            right.from
        );
        let rows = left.rows + right.rows;
        Ok(self.order(Query { sql, columns: outputs, rows, order: Vec::new(), hidden: None }))
    }

    /// `WITH w AS (..) SELECT .. FROM w AS a JOIN w AS b`: one sub-plan that stands twice.
    async fn shared(&mut self, depth: usize) -> Result<Query> {
        let inner = Box::pin(self.query(depth.min(1).saturating_sub(1))).await?;
        let Ok(inner) = self.typed(inner).await else {
            return self.select(depth).await;
        };
        let name = format!("w{}", self.alias());
        let (a, b) = (self.alias(), self.alias());
        let left = nest(&name, &a, inner.clone());
        let right = nest(&name, &b, inner.clone());
        let key = self.pick_column(&inner.columns, Column::comparable);
        let small = left.rows * right.rows <= 4.0 * self.max_rows;
        let body = match key.filter(|_| small) {
            Some(key) => {
                self.cover("cte twice", &key);
                let word = *self.rng.pick(&["JOIN", "LEFT JOIN", "FULL JOIN"]);
                let name = &key.sql;
                format!("FROM {} {word} {} ON {a}.{name} = {b}.{name}", left.from, right.from)
            }
            None => return self.union_twice(&name, inner),
        };
        let all: Relation = Relation {
            from: String::new(),
            columns: left
                .columns
                .iter()
                .chain(&right.columns)
                .cloned()
                .map(|c| Column { unique: false, ..c })
                .collect(),
            rows: left.rows * right.rows,
        };
        let outputs = (0..1 + self.rng.below(4)).map(|_| self.scalar(&all.columns)).collect();
        let mut query = self.finish(Draft { distinct: false, outputs, body, rows: all.rows });
        let with = format!("WITH {name} AS ({})", inner.sql);
        query.sql = format!("{with} {}", query.sql);
        if let Some(hidden) = &mut query.hidden {
            hidden.sql = format!("{with} {}", hidden.sql);
        }
        Ok(query)
    }

    fn union_twice(&mut self, name: &str, inner: Query) -> Result<Query> {
        let list: Vec<&str> = inner.columns.iter().map(|c| c.sql.as_str()).collect();
        let list = list.join(", ");
        let sql = format!(
            "WITH {name} AS ({}) SELECT {list} FROM {name} UNION ALL SELECT {list} FROM {name}",
            inner.sql
        );
        let columns = inner.columns.into_iter().map(|c| Column { unique: false, ..c }).collect();
        Ok(self.order(Query {
            sql,
            columns,
            rows: 2.0 * inner.rows,
            order: Vec::new(),
            hidden: None,
        }))
    }
}
