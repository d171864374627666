//! What a piece of SQL can refer to: columns, and the relations that show them.

use std::sync::Arc;

use arrow::datatypes::DataType;

use super::catalogue::{Class, class, orderable};
use super::pool::Domain;

/// A column as an expression may name it.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    /// The SQL that names it, e.g. `s1.k0`.
    pub sql: String,
    /// Its type.
    pub data_type: DataType,
    /// The range of its values.
    pub domain: Domain,
    /// Whether its bits are the same for every order of evaluation.
    pub exact: bool,
    /// Whether no value occurs twice and none is NULL.
    pub unique: bool,
    /// Roughly how many distinct values it has.
    pub distinct: f64,
    /// SQL literals of values that occur in it.
    pub literals: Arc<Vec<String>>,
}

impl Column {
    /// The class of its type.
    pub(crate) fn class(&self) -> Class {
        class(&self.data_type)
    }

    /// Whether it can be compared, grouped, joined and sorted with one answer.
    pub(crate) fn comparable(&self) -> bool {
        self.exact && orderable(&self.data_type)
    }

    /// Whether it is a float column in which -0.0 may stand for 0.0: the two are one group, and
    /// which of them shows is not promised.
    pub(crate) fn signed_zero(&self) -> bool {
        self.class() == Class::Float && self.domain == Domain::Full
    }

    /// The column without NaNs: DataFusion's least and greatest float depend on where one stands.
    pub(crate) fn without_nan(&self) -> String {
        let Self { sql, data_type, .. } = self;
        match self.signed_zero() {
            true => format!("CASE WHEN {sql} <> arrow_cast('NaN', '{data_type}') THEN {sql} END"),
            false => sql.clone(),
        }
    }

    /// Whether sums and averages of it are exact in every order.
    pub(crate) fn summable(&self) -> bool {
        self.exact
            && match self.class() {
                Class::Integer | Class::Float | Class::Decimal => self.domain == Domain::Small,
                _ => false,
            }
    }
}

/// Something that can stand in FROM.
#[derive(Debug, Clone)]
pub(crate) struct Relation {
    /// The FROM text, alias included.
    pub from: String,
    /// The columns it shows.
    pub columns: Vec<Column>,
    /// Roughly how many rows it has, from above.
    pub rows: f64,
}

/// A complete query.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    /// Its SQL.
    pub sql: String,
    /// Its output columns; `sql` of each is the bare output name.
    pub columns: Vec<Column>,
    /// Roughly how many rows it yields, from above.
    pub rows: f64,
    /// Output positions of its sort keys, empty when it does not order.
    pub order: Vec<usize>,
    /// Where it orders by keys that it does not show.
    pub hidden: Option<Hidden>,
}

/// A query that shows the sort keys that another hides.
#[derive(Debug, Clone)]
pub(crate) struct Hidden {
    /// The same query with its keys as its last columns.
    pub sql: String,
    /// How many keys.
    pub keys: usize,
}
