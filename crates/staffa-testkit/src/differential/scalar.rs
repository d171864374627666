//! Random scalar expressions: what a projection, a group key or an aggregate's argument may be.

use super::catalogue::Class;
use super::generator::{Generator, derived};
use super::pool::Domain;
use super::scope::Column;

impl Generator<'_> {
    /// An expression over `columns`; half of the time a column as it is.
    pub(crate) fn scalar(&mut self, columns: &[Column]) -> Column {
        let Some(column) = self.pick_column(columns, |_| true) else {
            return constant();
        };
        self.cover("projection", &column);
        if self.rng.chance(50) || !column.exact {
            return column;
        }
        if self.rng.chance(35) {
            return self.conditional(columns, &column);
        }
        self.function(&column)
    }

    /// CASE, COALESCE, NULLIF, or a predicate as a value.
    fn conditional(&mut self, columns: &[Column], column: &Column) -> Column {
        let name = &column.sql;
        let same =
            |c: &Column| c.data_type == column.data_type && c.exact && c.domain == column.domain;
        let other = self.pick_column(columns, same).unwrap_or_else(|| column.clone());
        let sql = match self.rng.below(5) {
            0 => {
                format!("CASE WHEN {} THEN {name} ELSE {} END", self.predicate(columns), other.sql)
            }
            1 => format!("CASE WHEN {} THEN {name} END", self.predicate(columns)),
            2 => format!("coalesce({name}, {})", other.sql),
            3 if column.comparable() => format!("nullif({name}, {})", other.sql),
            _ => {
                let sql = format!("({})", self.predicate(columns));
                return derived(column, sql, Domain::Small, true);
            }
        };
        derived(column, sql, column.domain, true)
    }

    /// A function of one column that cannot err on any value.
    fn function(&mut self, column: &Column) -> Column {
        let name = &column.sql;
        let small = column.domain == Domain::Small;
        let sql = match column.class() {
            Class::Integer if small => match self.rng.below(4) {
                0 => format!("{name} + 1"),
                1 => format!("({name} * 2 - 3)"),
                2 => format!("{name} / 3"),
                _ => format!("abs({name})"),
            },
            Class::Integer => match self.rng.below(3) {
                0 => format!("{name} % 7"),
                1 => format!("try_cast({name} AS SMALLINT)"),
                _ => format!("CAST({name} AS VARCHAR)"),
            },
            Class::Float if small => format!("({name} * 2.0 + 0.25)"),
            Class::Float => match self.rng.below(2) {
                0 => format!("try_cast({name} AS INT)"),
                _ => format!("({name} * 0.5)"),
            },
            Class::Decimal if small => match self.rng.below(3) {
                0 => format!("-{name}"),
                1 => format!("CAST({name} AS DOUBLE)"),
                _ => format!("CAST({name} AS VARCHAR)"),
            },
            Class::Boolean => format!("NOT {name}"),
            Class::Timestamp if small => match self.rng.below(3) {
                0 => format!("date_trunc('month', {name})"),
                1 => format!("date_part('hour', {name})"),
                _ => format!("CAST({name} AS DATE)"),
            },
            Class::Date if small => match self.rng.below(2) {
                0 => format!("date_part('month', {name})"),
                _ => format!("({name} + INTERVAL '1 month')"),
            },
            Class::Text => self.text_function(name),
            _ => return column.clone(),
        };
        // Casts of decimals to double and the like keep their exactness, but are no round numbers.
        let stays = small
            && matches!(
                column.class(),
                Class::Integer | Class::Float | Class::Date | Class::Timestamp
            );
        derived(column, sql, if stays { Domain::Small } else { Domain::Full }, true)
    }

    fn text_function(&mut self, name: &str) -> String {
        let shape = self.rng.below(6);
        match shape {
            0 => format!("upper({name})"),
            1 => format!("substr({name}, 1, 2)"),
            2 => format!("({name} || 'é')"),
            3 => format!("character_length({name})"),
            4 => format!("replace({name}, 'a', '日')"),
            _ => format!("try_cast({name} AS INT)"),
        }
    }
}

/// A literal, for relations that show no column.
fn constant() -> Column {
    Column {
        sql: "7".to_string(),
        data_type: arrow::datatypes::DataType::Int64,
        domain: Domain::Small,
        exact: true,
        unique: false,
        distinct: 1.0,
        literals: std::sync::Arc::default(),
    }
}
