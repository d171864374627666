//! FROM: one to four relations under every kind of join that DataFusion plans.

use datafusion::common::Result;

use super::generator::Generator;
use super::scope::{Column, Relation};

/// The joins that SQL can spell, with the coverage name of each.
const JOINS: [(&str, &str); 8] = [
    ("JOIN", "join inner"),
    ("LEFT JOIN", "join left"),
    ("RIGHT JOIN", "join right"),
    ("FULL JOIN", "join full"),
    ("LEFT SEMI JOIN", "join left semi"),
    ("LEFT ANTI JOIN", "join left anti"),
    ("RIGHT SEMI JOIN", "join right semi"),
    ("RIGHT ANTI JOIN", "join right anti"),
];

impl Generator<'_> {
    /// A FROM clause of `depth` levels of sub-queries, with joins while the budget lasts.
    ///
    /// # Errors
    /// A table that the session does not know.
    pub(crate) async fn from(&mut self, depth: usize) -> Result<Relation> {
        let mut relation = self.relation(depth).await?;
        while self.joins_left > 0 && self.rng.chance(60) {
            self.joins_left -= 1;
            let right = self.relation(depth.min(1)).await?;
            relation = self.join(relation, right);
        }
        Ok(relation)
    }

    fn join(&mut self, left: Relation, right: Relation) -> Relation {
        let product = left.rows * right.rows;
        if product <= self.max_rows {
            match self.rng.below(12) {
                0 => return cross(left, right),
                1 => return self.nested_loop(left, right),
                _ => {}
            }
        }
        let (keys, distinct) = self.join_keys(&left, &right);
        if keys.is_empty() {
            return if product <= self.max_rows { self.nested_loop(left, right) } else { left };
        }
        let (word, name) = *self.rng.pick(&JOINS);
        for key in &keys {
            self.cover(name, &key.0);
        }
        let mut on: Vec<String> = Vec::new();
        for (a, b) in &keys {
            let op = if self.rng.chance(20) { "IS NOT DISTINCT FROM" } else { "=" };
            // DataFusion parses IS NOT DISTINCT FROM as binding looser than AND.
            on.push(format!("({} {op} {})", a.sql, b.sql));
        }
        let both = both(&left, &right);
        if self.rng.chance(30) {
            *self.coverage.entry(("join residual", name.to_string())).or_default() += 1;
            on.push(self.residual(&left, &right, &both));
        }
        // Skewed columns put up to 80 % of their rows on one value.
        let matches = product / distinct.max(1.0) * 2.0;
        if matches > self.max_rows {
            return left;
        }
        let rows = matches + left.rows + right.rows;
        let (columns, rows) = match word {
            "LEFT SEMI JOIN" | "LEFT ANTI JOIN" => (left.columns, left.rows),
            "RIGHT SEMI JOIN" | "RIGHT ANTI JOIN" => (right.columns, right.rows),
            _ => (not_unique(both), rows),
        };
        Relation {
            from: format!("{} {word} {} ON {}", left.from, right.from, on.join(" AND ")),
            columns,
            rows,
        }
    }

    /// One to three pairs of columns of one type, and roughly how many distinct pairs there are.
    fn join_keys(&mut self, left: &Relation, right: &Relation) -> (Vec<(Column, Column)>, f64) {
        let mut keys = Vec::new();
        let mut distinct: f64 = 1.0;
        let wanted = *self.rng.pick(&[1, 1, 1, 2, 3]);
        for _ in 0..wanted {
            let Some(a) = self.pick_column(&left.columns, Column::comparable) else { break };
            let same = |c: &Column| {
                c.data_type == a.data_type && c.comparable() && c.sql.ends_with(suffix(&a.sql))
            };
            let partner = self.pick_column(&right.columns, same).or_else(|| {
                self.pick_column(&right.columns, |c| c.data_type == a.data_type && c.comparable())
            });
            if let Some(b) = partner {
                distinct *= a.distinct.max(b.distinct).max(1.0);
                keys.push((a, b));
            }
        }
        (keys, distinct)
    }

    /// What ON says besides equalities: a comparison across both sides, or a test of one.
    fn residual(&mut self, left: &Relation, right: &Relation, both: &[Column]) -> String {
        let a = self.pick_column(&left.columns, Column::comparable);
        let b = a.as_ref().and_then(|a| {
            self.pick_column(&right.columns, |c| c.data_type == a.data_type && c.comparable())
        });
        match (a, b, self.rng.below(3)) {
            (Some(a), Some(b), 1 | 2) => {
                let op = *self.rng.pick(&["<", "<=", ">", "<>", "IS DISTINCT FROM"]);
                format!("({} {op} {})", a.sql, b.sql)
            }
            _ => self.predicate(both),
        }
    }

    /// A join without equality: every kind of join over a comparison.
    fn nested_loop(&mut self, left: Relation, right: Relation) -> Relation {
        let both = both(&left, &right);
        let on = self.residual(&left, &right, &both);
        let (word, _) = *self.rng.pick(&JOINS);
        *self.coverage.entry(("join nested loop", word.to_string())).or_default() += 1;
        let rows = left.rows * right.rows + left.rows + right.rows;
        let (columns, rows) = match word {
            "LEFT SEMI JOIN" | "LEFT ANTI JOIN" => (left.columns, left.rows),
            "RIGHT SEMI JOIN" | "RIGHT ANTI JOIN" => (right.columns, right.rows),
            _ => (not_unique(both), rows),
        };
        Relation { from: format!("{} {word} {} ON {on}", left.from, right.from), columns, rows }
    }
}

fn cross(left: Relation, right: Relation) -> Relation {
    let columns = not_unique(both(&left, &right));
    Relation {
        from: format!("{} CROSS JOIN {}", left.from, right.from),
        columns,
        rows: left.rows * right.rows,
    }
}

fn both(left: &Relation, right: &Relation) -> Vec<Column> {
    left.columns.iter().chain(&right.columns).cloned().collect()
}

fn not_unique(columns: Vec<Column>) -> Vec<Column> {
    columns.into_iter().map(|c| Column { unique: false, ..c }).collect()
}

/// `.k0` of `s1.k0`: key columns of one name share a pool of values.
fn suffix(sql: &str) -> &str {
    sql.find('.').map_or(sql, |at| &sql[at..])
}
