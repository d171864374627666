//! Rows on their way to where groups meet: keys, and what the functions are given.
//!
//! A row as a state of each function is wider, and costs a conversion: COUNT(*) alone makes a number of every row.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::DataType;
use datafusion_common::{Result, internal_err};

use super::plan::{Evaluated, Plan};

/// What a value of variable length counts for, in bytes.
const LONG: usize = 64;

fn bytes(data_type: &DataType) -> usize {
    data_type.primitive_width().unwrap_or(match data_type {
        DataType::Boolean => 1,
        _ => LONG,
    })
}

impl Plan {
    /// Whether rows are better kept [`raw`](Self::raw) than as states.
    pub(super) fn keeps_raw(&self) -> bool {
        let stage = &self.spec.stage;
        if stage.reads_states() || stage.writes_states() {
            return false;
        }
        let kept = self.kept().into_iter();
        let kept = kept.map(|(of, at)| {
            self.values[self.arguments[of][at]].data_type().map_or(LONG, |of| bytes(&of))
        });
        let masks = self.filters.iter().flatten().count();
        let states = self.state_schema.fields().iter().skip(self.key_width());
        kept.sum::<usize>() + masks < states.map(|field| bytes(field.data_type())).sum()
    }

    /// Functions and arguments where a value that is kept with a row stands first.
    fn kept(&self) -> Vec<(usize, usize)> {
        let mut seen = HashSet::new();
        let arguments = self.arguments.iter().enumerate();
        let places = arguments.flat_map(|(function, values)| {
            values.iter().enumerate().map(move |(at, value)| ((function, at), *value))
        });
        let kept = |value: &usize| self.values[*value].literal().is_none();
        let first = places.filter(|(_, value)| kept(value) && seen.insert(*value));
        first.map(|(place, _)| place).collect()
    }

    /// An input's rows for each grouping set: key columns as the schema has them, each different argument that is
    /// not a literal, and FILTERs.
    ///
    /// # Errors
    /// Arrow's.
    pub(super) fn raw(&self, input: &Evaluated) -> Result<Vec<Vec<ArrayRef>>> {
        let of_function = |(function, at): (usize, usize)| input.arguments[function][at].clone();
        let mut rest: Vec<ArrayRef> = self.kept().into_iter().map(of_function).collect();
        for mask in input.masks.iter().flatten() {
            rest.push(Arc::new(mask.clone()));
        }
        let with_rest = |keys: &Vec<ArrayRef>| {
            let keys = keys.iter().enumerate().map(|(at, key)| self.plain(at, key));
            keys.chain(rest.iter().cloned().map(Ok)).collect()
        };
        input.keys.iter().map(with_rest).collect()
    }

    /// What [`raw`](Self::raw) made `columns` of, of one grouping set.
    ///
    /// # Errors
    /// DataFusion's, where a literal has no array.
    pub(super) fn of_raw(&self, columns: &[ArrayRef]) -> Result<Evaluated> {
        let rows = columns.first().map_or(0, |column| column.len());
        let (keys, mut rest) = columns.split_at(self.key_width());
        let mut values = vec![None; self.values.len()];
        for (function, at) in self.kept() {
            let (first, others) = rest.split_at(1);
            values[self.arguments[function][at]] = first.first().cloned();
            rest = others;
        }
        let value = |&value: &usize| match (&values[value], self.values[value].literal()) {
            (Some(array), _) => Ok(array.clone()),
            (None, Some(literal)) => literal.to_array_of_size(rows),
            (None, None) => internal_err!("an argument that was not kept"),
        };
        let arguments = self.arguments.iter().map(|of| of.iter().map(value).collect());
        let arguments = arguments.collect::<Result<_>>()?;
        let mut masks = rest.iter();
        let mut mask = |filter: &Option<_>| {
            filter.as_ref().and_then(|_| masks.next()).map(|mask| mask.as_boolean().clone())
        };
        let masks = self.filters.iter().map(&mut mask).collect();
        Ok(Evaluated { keys: vec![keys.to_vec()], arguments, masks })
    }
}
