//! Subqueries in WHERE: semi, anti, mark and null-aware joins, and scalar subqueries.

use datafusion::common::Result;

use super::catalogue::Class;
use super::generator::Generator;
use super::pool::Domain;
use super::scope::{Column, Relation};

impl Generator<'_> {
    /// A WHERE clause (with its keyword) over `relation`, or nothing.
    ///
    /// # Errors
    /// A table that the session does not know.
    pub(crate) async fn where_clause(&mut self, relation: &Relation) -> Result<String> {
        let mut terms = Vec::new();
        if self.rng.chance(45) {
            terms.push(self.predicate(&relation.columns));
        }
        if self.joins_left > 0 && self.rng.chance(30) {
            self.joins_left -= 1;
            if let Some(term) = self.subquery_term(relation).await? {
                // Under OR, a subquery cannot be a semi join: DataFusion plans a mark join.
                terms.push(match self.rng.chance(35) {
                    true => {
                        *self.coverage.entry(("mark", "OR".to_string())).or_default() += 1;
                        format!("({term} OR {})", self.predicate(&relation.columns))
                    }
                    false => term,
                });
            }
        }
        if terms.is_empty() {
            return Ok(String::new());
        }
        Ok(format!(" WHERE {}", terms.join(" AND ")))
    }

    async fn subquery_term(&mut self, outer: &Relation) -> Result<Option<String>> {
        let inner = self.base().await?;
        if outer.rows * inner.rows > 100.0 * self.max_rows {
            return Ok(None);
        }
        let Some(column) = self.pick_column(&outer.columns, Column::comparable) else {
            return Ok(None);
        };
        let same = |c: &Column| c.data_type == column.data_type && c.comparable();
        let Some(partner) = self.pick_column(&inner.columns, same) else {
            return Ok(None);
        };
        let filter = match self.rng.chance(50) {
            true => format!(" WHERE {}", self.predicate(&inner.columns)),
            false => String::new(),
        };
        let (a, b, from) = (&column.sql, &partner.sql, &inner.from);
        let not = if self.rng.chance(50) { "NOT " } else { "" };
        let (name, term) = match self.rng.below(5) {
            0 | 1 => {
                let name = if not.is_empty() { "IN" } else { "NOT IN" };
                (name, format!("{a} {not}IN (SELECT {b} FROM {from}{filter})"))
            }
            2 => {
                let name = if not.is_empty() { "EXISTS" } else { "NOT EXISTS" };
                let and = self.correlation(outer, &inner);
                (name, format!("{not}EXISTS (SELECT 1 FROM {from} WHERE {a} = {b}{and})"))
            }
            3 => {
                if partner.signed_zero() {
                    return Ok(None);
                }
                let function = if self.rng.chance(50) { "min" } else { "max" };
                let op = *self.rng.pick(&["<", "<=", ">", "=", "<>"]);
                (
                    "scalar subquery",
                    format!("{a} {op} (SELECT {function}({b}) FROM {from}{filter})"),
                )
            }
            _ => return Ok(self.correlated_scalar(outer, &inner)),
        };
        self.cover(name, &column);
        Ok(Some(term))
    }

    /// A second condition inside EXISTS that names both sides.
    fn correlation(&mut self, outer: &Relation, inner: &Relation) -> String {
        let Some(a) = self.pick_column(&outer.columns, Column::comparable) else {
            return String::new();
        };
        let same = |c: &Column| c.data_type == a.data_type && c.comparable();
        match self.pick_column(&inner.columns, same) {
            Some(b) if self.rng.chance(50) => {
                let op = *self.rng.pick(&["<", "<>", ">="]);
                format!(" AND {} {op} {}", a.sql, b.sql)
            }
            _ => String::new(),
        }
    }

    /// `x > (SELECT count(*) FROM t WHERE t.k = outer.k)`.
    fn correlated_scalar(&mut self, outer: &Relation, inner: &Relation) -> Option<String> {
        let key = self.pick_column(&outer.columns, Column::comparable)?;
        let same = |c: &Column| c.data_type == key.data_type && c.comparable();
        let partner = self.pick_column(&inner.columns, same)?;
        let value = self.pick_column(&outer.columns, |c| {
            c.class() == Class::Integer && c.domain == Domain::Small && c.exact
        })?;
        self.cover("correlated scalar", &key);
        Some(format!(
            "{} > (SELECT count(*) FROM {} WHERE {} = {})",
            value.sql, inner.from, partner.sql, key.sql
        ))
    }
}
