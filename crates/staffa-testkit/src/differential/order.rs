//! ORDER BY and LIMIT: by output columns, by expressions over them, by keys that are not selected.

use super::catalogue::{Class, orderable};
use super::generator::Generator;
use super::scope::{Column, Hidden, Query};

impl Generator<'_> {
    /// Adds ORDER BY to one query in two, and LIMIT where the order leaves no choice of rows.
    pub(crate) fn order(&mut self, mut query: Query) -> Query {
        if self.rng.chance(50) {
            return query;
        }
        let sortable = |c: &Column| c.exact && orderable(&c.data_type);
        let every: Vec<usize> =
            (0..query.columns.len()).filter(|&i| sortable(&query.columns[i])).collect();
        let unique = every.iter().copied().find(|&i| query.columns[i].unique);
        let total = every.len() == query.columns.len() || unique.is_some();
        let mut keys = every;
        if keys.is_empty() {
            return query;
        }
        self.rng.shuffle(&mut keys);
        let whole = total && self.rng.chance(70);
        if !whole {
            keys.truncate(1 + self.rng.below(2));
        } else if let Some(id) = unique {
            keys.retain(|&k| k != id);
            keys.truncate(self.rng.below(3));
            keys.push(id);
        }
        for &key in &keys {
            let column = query.columns[key].clone();
            self.cover("sort", &column);
        }
        let limit =
            if whole && self.rng.chance(50) { self.limit(&mut query) } else { String::new() };
        if self.rng.chance(40) {
            return self.hide(query, &keys, &limit);
        }
        let terms: Vec<String> = keys
            .iter()
            .map(|&key| format!("{}{}", query.columns[key].sql, self.direction()))
            .collect();
        query.sql = format!("{} ORDER BY {}{limit}", query.sql, terms.join(", "));
        query.order = keys;
        query
    }

    fn direction(&mut self) -> &'static str {
        self.rng.pick::<&str>(&["", " ASC", " DESC", " DESC NULLS LAST", " NULLS FIRST"])
    }

    /// LIMIT, sometimes with OFFSET.
    fn limit(&mut self, query: &mut Query) -> String {
        let limit = *self.rng.pick(&[0, 1, 2, 5, 10, 100, 1000]);
        *self.coverage.entry(("limit", limit.to_string())).or_default() += 1;
        query.rows = query.rows.min(f64::from(limit));
        match self.rng.chance(25) {
            true => format!(" LIMIT {limit} OFFSET {}", self.rng.below(8)),
            false => format!(" LIMIT {limit}"),
        }
    }

    /// The query as a sub-query, sorted from outside: some of its `keys` are not selected any more, or
    /// are expressions over its columns. An expression may make ties, so it comes before the key that it
    /// is made of, and a LIMIT leaves as little choice as before.
    fn hide(&mut self, inner: Query, keys: &[usize], limit: &str) -> Query {
        let alias = self.alias();
        let mut terms = Vec::new();
        for &key in keys {
            let column = &inner.columns[key];
            let named = Column { sql: format!("{alias}.{}", column.sql), ..column.clone() };
            if self.rng.chance(40) {
                let term = self.key_expression(&named);
                self.cover("sort expression", column);
                terms.push(term);
            }
            self.cover("sort hidden", column);
            terms.push(named.sql);
        }
        let mut shown: Vec<usize> =
            (0..inner.columns.len()).filter(|i| !keys.contains(i) || self.rng.chance(30)).collect();
        if shown.is_empty() {
            shown = vec![self.rng.below(inner.columns.len())];
        }
        let name = |&at: &usize| format!("{alias}.{0} AS {0}", inner.columns[at].sql);
        let list: Vec<String> = shown.iter().map(name).collect();
        let by: Vec<String> =
            terms.iter().map(|term| format!("{term}{}", self.direction())).collect();
        let revealed: Vec<String> = list
            .iter()
            .cloned()
            .chain(terms.iter().enumerate().map(|(at, term)| format!("{term} AS k{at}")))
            .collect();
        let sql = |list: &[String]| {
            let (list, by) = (list.join(", "), by.join(", "));
            format!("SELECT {list} FROM ({}) AS {alias} ORDER BY {by}{limit}", inner.sql)
        };
        Query {
            sql: sql(&list),
            columns: shown.iter().map(|&at| inner.columns[at].clone()).collect(),
            rows: inner.rows,
            order: Vec::new(),
            hidden: Some(Hidden { sql: sql(&revealed), keys: terms.len() }),
        }
    }

    /// An expression to sort by, with one value for every value of `key`.
    fn key_expression(&mut self, key: &Column) -> String {
        let sql = &key.sql;
        match (key.class(), self.rng.below(3)) {
            (Class::Integer, 1) => format!("{sql} % 3"),
            (Class::Text, 1) => format!("char_length({sql})"),
            (Class::Text, 2) => format!("upper({sql})"),
            (_, 0) => format!("{sql} IS NULL"),
            _ => format!("CASE WHEN {sql} IS NULL THEN 1 WHEN {sql} = {sql} THEN 2 END"),
        }
    }
}
