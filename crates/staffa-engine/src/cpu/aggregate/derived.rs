//! Keys that follow from other keys.
//!
//! `GROUP BY ip, ip - 1, ip - 2` has the groups of `ip`: an expression over columns that are keys themselves has one
//! value in each group. It is left out of the table and evaluated once a group, when groups are put out. Errors stay:
//! a group has the values of one of its rows at least.

use std::sync::Arc;

use arrow::array::{ArrayRef, NullArray};
use arrow::datatypes::{DataType, Schema};
use datafusion_common::{Result, internal_err};
use datafusion_physical_expr::expressions::Column;
use datafusion_physical_expr::utils::collect_columns;
use datafusion_physical_plan::aggregates::PhysicalGroupBy;

use crate::Morsel;
use crate::bound::BoundExpr;

/// Where the keys of the output come from.
pub(super) struct Derived {
    /// The keys that the table has, by their places in the GROUP BY.
    pub(super) kept: Vec<usize>,
    /// In the order of the GROUP BY.
    keys: Vec<Key>,
    /// Of the input's columns those that keys are computed of, by where the table has them.
    sources: Vec<Option<usize>>,
}

enum Key {
    /// One that the table has, by its place there.
    Kept(usize),
    /// One computed from the others, over the input's schema.
    Computed(BoundExpr),
}

impl Derived {
    /// None where all keys are needed.
    ///
    /// # Errors
    /// Expressions that do not bind.
    pub(super) fn new(by: &PhysicalGroupBy, input: &Schema) -> Result<Option<Self>> {
        if !by.is_single() {
            return Ok(None);
        }
        let keys = by.expr().iter().map(|(key, _)| key);
        let plain: Vec<Option<usize>> =
            keys.clone().map(|key| key.downcast_ref::<Column>().map(Column::index)).collect();
        let tells = |column: &Column| {
            plain.contains(&Some(column.index()))
                && input.fields().get(column.index()).is_some_and(|f| is_identity(f.data_type()))
        };
        let follows = |key| {
            let columns = collect_columns(key);
            !columns.is_empty() && columns.iter().all(tells)
        };
        let computed: Vec<bool> =
            keys.clone().zip(&plain).map(|(key, plain)| plain.is_none() && follows(key)).collect();
        if !computed.contains(&true) {
            return Ok(None);
        }
        let kept: Vec<usize> = (0..computed.len()).filter(|&at| !computed[at]).collect();
        let place = |key: usize| kept.iter().position(|&kept| kept == key);
        let key = |(at, key)| match place(at) {
            Some(place) => Ok(Key::Kept(place)),
            None => BoundExpr::new(key, input).map(Key::Computed),
        };
        let sources = (0..input.fields().len())
            .map(|column| plain.iter().position(|key| *key == Some(column)).and_then(place));
        Ok(Some(Self {
            keys: keys.enumerate().map(key).collect::<Result<_>>()?,
            sources: sources.collect(),
            kept,
        }))
    }

    /// Whether there are at least as many columns as keys.
    pub(super) fn fits(&self, columns: usize) -> bool {
        columns >= self.keys.len()
    }

    /// Of columns that begin with all keys, those that begin with the table's.
    pub(super) fn without<T: Clone>(&self, columns: &[T]) -> Vec<T> {
        let kept = self.kept.iter().map(|&key| &columns[key]);
        kept.chain(columns.iter().skip(self.keys.len())).cloned().collect()
    }

    /// Of columns that begin with the table's keys, those that begin with all.
    ///
    /// # Errors
    /// What the expressions raise.
    pub(super) fn with(&self, columns: &[ArrayRef], rows: usize) -> Result<Vec<ArrayRef>> {
        let Some((kept, rest)) = columns.split_at_checked(self.kept.len()) else {
            return internal_err!("{} columns for {} keys", columns.len(), self.kept.len());
        };
        let unread: ArrayRef = Arc::new(NullArray::new(rows));
        let source = |source: &Option<usize>| source.map_or(&unread, |place| &kept[place]);
        let sources = self.sources.iter().map(source).cloned().collect();
        let morsel = Morsel::from_arrays(sources, rows);
        let key = |key: &Key| match key {
            Key::Kept(place) => Ok(Arc::clone(&kept[*place])),
            Key::Computed(expr) => expr.array(&morsel),
        };
        let mut all = self.keys.iter().map(key).collect::<Result<Vec<_>>>()?;
        all.extend(rest.iter().cloned());
        Ok(all)
    }
}

/// Whether values of a type that are one group are one value: 0.0 and -0.0 are not.
fn is_identity(of: &DataType) -> bool {
    of.is_integer()
        || of.is_decimal()
        || (of.is_temporal() && !matches!(of, DataType::Interval(_)))
        || matches!(
            of,
            DataType::Boolean
                | DataType::Utf8
                | DataType::LargeUtf8
                | DataType::Utf8View
                | DataType::Binary
                | DataType::LargeBinary
                | DataType::BinaryView
        )
}
