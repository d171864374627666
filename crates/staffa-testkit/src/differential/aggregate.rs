//! Aggregations: every function the rule accelerates, and some that go through DataFusion's own
//! accumulators; FILTER, DISTINCT, grouping sets, HAVING.

use datafusion::common::Result;

use super::catalogue::Class;
use super::generator::{Generator, derived};
use super::pool::Domain;
use super::query::Draft;
use super::scope::{Column, Query};

impl Generator<'_> {
    /// `SELECT keys, aggregates FROM .. GROUP BY .. HAVING ..`.
    ///
    /// # Errors
    /// A table that the session does not know.
    pub(crate) async fn aggregate(&mut self, depth: usize) -> Result<Query> {
        let from = self.from(depth).await?;
        let filter = self.where_clause(&from).await?;
        let count = *self.rng.pick(&[0, 1, 1, 1, 2, 2, 3]);
        let mut keys: Vec<Column> = Vec::new();
        for _ in 0..count {
            if let Some(key) = self.group_key(&from.columns)
                && !keys.iter().any(|k| k.sql == key.sql)
            {
                self.cover("group key", &key);
                keys.push(key);
            }
        }
        let grouping = self.grouping(&keys);
        let sets = keys.len() > 1 && grouping.contains('(');
        let mut outputs: Vec<Column> = keys
            .iter()
            .map(|k| {
                let unique = keys.len() == 1 && !sets && false_for_null(k);
                Column { unique, exact: k.exact && !k.signed_zero(), ..k.clone() }
            })
            .collect();
        if sets && self.rng.chance(50) {
            let sql = format!("grouping({})", keys[0].sql);
            outputs.push(derived(&keys[0], sql, Domain::Small, true));
        }
        for _ in 0..1 + self.rng.below(4) {
            let output = self.aggregate_call(&from.columns);
            outputs.push(output);
        }
        let having = match self.rng.chance(20) {
            true => format!(" HAVING {}", self.having(&from.columns)),
            false => String::new(),
        };
        let body = format!("FROM {}{filter}{grouping}{having}", from.from);
        let rows = if keys.is_empty() { 1.0 } else { from.rows * if sets { 4.0 } else { 1.0 } };
        Ok(self.finish(Draft { distinct: false, outputs, body, rows }))
    }

    fn group_key(&mut self, columns: &[Column]) -> Option<Column> {
        if self.rng.chance(4) {
            return self.pick_column(columns, |c| c.exact && c.class() == Class::Nested);
        }
        if self.rng.chance(15) {
            let key = self.scalar(columns);
            return (key.comparable() && key.sql.contains('s')).then_some(key);
        }
        self.pick_column(columns, Column::comparable)
    }

    fn grouping(&mut self, keys: &[Column]) -> String {
        let list: Vec<&str> = keys.iter().map(|k| k.sql.as_str()).collect();
        if list.is_empty() {
            return String::new();
        }
        let all = list.join(", ");
        if list.len() == 1 || self.rng.chance(70) {
            return format!(" GROUP BY {all}");
        }
        *self.coverage.entry(("grouping sets", list.len().to_string())).or_default() += 1;
        match self.rng.below(3) {
            0 => format!(" GROUP BY ROLLUP ({all})"),
            1 => format!(" GROUP BY CUBE ({all})"),
            _ => format!(" GROUP BY GROUPING SETS (({all}), ({}), ())", list[list.len() - 1]),
        }
    }

    fn having(&mut self, columns: &[Column]) -> String {
        let integer = |c: &Column| c.exact && c.class() == Class::Integer;
        match self.pick_column(columns, integer) {
            Some(column) if self.rng.chance(50) => format!("max({}) > 1", column.sql),
            _ => format!("count(*) > {}", self.rng.below(4)),
        }
    }

    /// One aggregate over `columns`, FILTER included.
    fn aggregate_call(&mut self, columns: &[Column]) -> Column {
        let mut output = self.bare_aggregate(columns);
        if self.rng.chance(20) && !output.sql.contains("first_value") {
            let condition = self.predicate(columns);
            *self.coverage.entry(("aggregate", "FILTER".to_string())).or_default() += 1;
            output.sql = format!("{} FILTER (WHERE {condition})", output.sql);
        }
        output
    }

    fn bare_aggregate(&mut self, columns: &[Column]) -> Column {
        let picked = self.pick_column(columns, |c| c.exact);
        let Some(column) = picked.filter(|_| !self.rng.chance(12)) else {
            return count_star();
        };
        let x = &column.sql;
        if self.rng.chance(15) {
            return self.accumulated(columns, &column);
        }
        let numeric = matches!(column.class(), Class::Integer | Class::Float | Class::Decimal);
        let (name, sql, exact): (&'static str, String, bool) = match self.rng.below(8) {
            0 => ("count", format!("count({x})"), true),
            1 if column.comparable() => ("count distinct", format!("count(DISTINCT {x})"), true),
            2 | 3 if numeric => return self.numeric_aggregate(&column),
            4 if column.class() == Class::Integer => {
                let function = *self.rng.pick(&["bit_and", "bit_or", "bit_xor"]);
                ("bit", format!("{function}({x})"), true)
            }
            _ if column.class() == Class::Boolean => {
                let function = *self.rng.pick(&["bool_and", "bool_or"]);
                (function, format!("{function}({x})"), true)
            }
            _ if numeric && self.rng.chance(50) => return self.numeric_aggregate(&column),
            _ if column.comparable() => {
                let function = *self.rng.pick(&["min", "max"]);
                let x = column.without_nan();
                (function, format!("{function}({x})"), !column.signed_zero())
            }
            _ => ("count", format!("count({x})"), true),
        };
        self.cover(name, &column);
        derived(&column, sql, column.domain, exact)
    }

    /// SUM, AVG, STDDEV and VAR; the last two in floats that depend on the order of the input.
    fn numeric_aggregate(&mut self, column: &Column) -> Column {
        let x = &column.sql;
        if !column.summable() {
            // Wrapping sums are exact in every order; float sums of any values are not.
            let float = column.class() == Class::Float;
            let function = if float { "count" } else { "sum" };
            self.cover(function, column);
            return derived(column, format!("{function}({x})"), Domain::Full, true);
        }
        match self.rng.below(6) {
            0 | 1 => {
                self.cover("sum", column);
                derived(column, format!("sum({x})"), Domain::Full, true)
            }
            2 => {
                self.cover("sum distinct", column);
                derived(column, format!("sum(DISTINCT {x})"), Domain::Full, true)
            }
            3 | 4 => {
                self.cover("avg", column);
                derived(column, format!("avg({x})"), Domain::Full, true)
            }
            _ => {
                let function = *self.rng.pick(&["stddev", "stddev_pop", "var", "var_pop"]);
                self.cover(function, column);
                derived(column, format!("{function}({x})"), Domain::Full, false)
            }
        }
    }

    /// Functions that run through DataFusion's own accumulators.
    fn accumulated(&mut self, columns: &[Column], column: &Column) -> Column {
        let x = &column.sql;
        let unique = self.pick_column(columns, |c| c.unique);
        let shape = self.rng.below(6);
        let (name, sql) = match (shape, unique) {
            (0, _) if column.summable() => ("median", format!("median({x})")),
            (1, _) => ("approx_distinct", format!("approx_distinct({x})")),
            (2, Some(id)) => ("array_agg", format!("array_agg({x} ORDER BY {})", id.sql)),
            (3, Some(id)) => ("first_value", format!("first_value({x} ORDER BY {})", id.sql)),
            (4, Some(id)) => ("last_value", format!("last_value({x} ORDER BY {} DESC)", id.sql)),
            (5, _) if column.class() == Class::Text => {
                ("string_agg", format!("string_agg({x}, ',' ORDER BY {x})"))
            }
            _ => ("count", format!("count({x})")),
        };
        self.cover(name, column);
        derived(column, sql, Domain::Full, true)
    }
}

fn count_star() -> Column {
    Column {
        sql: "count(*)".to_string(),
        data_type: arrow::datatypes::DataType::Int64,
        domain: Domain::Full,
        exact: true,
        unique: false,
        distinct: 10.0,
        literals: std::sync::Arc::default(),
    }
}

/// A group key shows each value once, NULL too, so only a unique column stays free of NULL.
fn false_for_null(key: &Column) -> bool {
    key.unique
}
