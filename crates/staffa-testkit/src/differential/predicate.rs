//! Random predicates over the columns of a relation.

use super::catalogue::Class;
use super::generator::Generator;
use super::pool::Domain;
use super::scope::Column;

impl Generator<'_> {
    /// A condition over `columns`, of one to three terms.
    pub(crate) fn predicate(&mut self, columns: &[Column]) -> String {
        let first = self.term(columns);
        match self.rng.below(6) {
            0 => format!("({first} AND {})", self.term(columns)),
            1 => format!("({first} OR {})", self.term(columns)),
            2 => format!("NOT ({first})"),
            3 => format!("({first} OR ({} AND {}))", self.term(columns), self.term(columns)),
            _ => first,
        }
    }

    fn term(&mut self, columns: &[Column]) -> String {
        let Some(column) = self.pick_column(columns, |c| c.exact) else {
            return "1 = 1".to_string();
        };
        self.cover("filter", &column);
        let name = &column.sql;
        match self.rng.below(5) {
            0 => return self.null_test(name),
            1 => {
                let same = |c: &Column| c.data_type == column.data_type && c.comparable();
                if let Some(other) = self.pick_column(columns, same) {
                    let op = self.comparison();
                    return format!("({name} {op} {})", other.sql);
                }
            }
            _ => {}
        }
        match column.class() {
            Class::Boolean => self.boolean(name),
            Class::Text if self.rng.chance(50) => self.text_term(name),
            Class::Timestamp | Class::Date
                if column.domain == Domain::Small && self.rng.chance(40) =>
            {
                let year = self.rng.between(2019, 2021);
                format!("extract(year FROM {name}) {} {year}", self.comparison())
            }
            Class::Integer if self.rng.chance(20) => format!("{name} % 3 = {}", self.rng.below(3)),
            Class::Nested => match self.rng.chance(50) {
                true => self.null_test(name),
                false => nested_term(&column),
            },
            _ => self.literal_term(&column),
        }
    }

    fn null_test(&mut self, name: &str) -> String {
        format!("{name} IS {}NULL", if self.rng.chance(50) { "NOT " } else { "" })
    }

    fn comparison(&mut self) -> &'static str {
        const ALL: [&str; 8] =
            ["=", "<>", "<", "<=", ">", ">=", "IS DISTINCT FROM", "IS NOT DISTINCT FROM"];
        ALL[self.rng.below(ALL.len())]
    }

    fn boolean(&mut self, name: &str) -> String {
        let shape = self.rng.below(5);
        match shape {
            0 => name.to_string(),
            1 => format!("NOT {name}"),
            2 => format!("{name} IS TRUE"),
            3 => format!("{name} IS NOT FALSE"),
            _ => format!("{name} IS UNKNOWN"),
        }
    }

    fn text_term(&mut self, name: &str) -> String {
        let pattern =
            *self.rng.pick(&["a%", "%b", "%é%", "_", "%", "a_b%", "%twelve%", "日本_", ""]);
        match self.rng.below(5) {
            0 => format!("{name} LIKE '{pattern}'"),
            1 => format!("{name} NOT LIKE '{pattern}'"),
            2 => format!("{name} ILIKE '{pattern}'"),
            3 => format!("character_length({name}) > {}", self.rng.below(6)),
            _ => format!("starts_with({name}, 'a')"),
        }
    }

    fn literal_term(&mut self, column: &Column) -> String {
        let name = &column.sql;
        let (Some(a), Some(b)) = (self.literal(column), self.literal(column)) else {
            return self.null_test(name);
        };
        match self.rng.below(8) {
            0 => format!("{name} BETWEEN {a} AND {b}"),
            1 => format!("{name} IN ({a}, {b})"),
            2 => format!("{name} NOT IN ({a}, {b}, NULL)"),
            3 => {
                let list: Vec<String> = (0..5).filter_map(|_| self.literal(column)).collect();
                format!("{name} NOT IN ({})", list.join(", "))
            }
            _ => format!("({name} {} {a})", self.comparison()),
        }
    }
}

fn nested_term(column: &Column) -> String {
    match &column.data_type {
        arrow::datatypes::DataType::Struct(_) => format!("{}['a'] >= 0", column.sql),
        _ => format!("array_length({}) > 1", column.sql),
    }
}
