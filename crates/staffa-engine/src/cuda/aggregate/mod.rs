//! Aggregation on the device: what an [`AggregateSpec`](crate::plan::AggregateSpec) becomes there, and a lane's
//! groups.
//!
//! [`lower`] says which columns a morsel must have (keys, arguments, masks of FILTER clauses), how groups are
//! found and what is added to them, or why a device cannot; it asks no device. [`Groups`] are a table and its
//! accumulators in device memory, to which a lane adds morsels. What comes back in the end are DataFusion's
//! partial states, so that groups of a device and of the CPU merge. docs/design/group-by.md has the order of
//! launches and what happens when something goes wrong.

mod functions;
mod groups;
mod keys;
mod lowering;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion_physical_expr_common::physical_expr::PhysicalExpr;
use staffa_common::{Reason, ReasonCode};
use staffa_kernels::abi::KeyRule;
use staffa_kernels::group_by::{Function, GroupKeys, ValueType};

pub use groups::{Finished, Groups, Settled};
pub(crate) use keys::rule as key_rule;
pub use lowering::lower;

/// An aggregation as a device does it.
#[derive(Debug)]
pub struct Grouping {
    columns: Vec<Arc<dyn PhysicalExpr>>,
    keys: Vec<Key>,
    form: GroupKeys,
    accumulators: Vec<Aggregate>,
    states: Vec<State>,
}

/// A key: one of the columns.
#[derive(Debug)]
struct Key {
    column: usize,
    data_type: DataType,
    rule: KeyRule,
}

/// An accumulator. Functions that need the same one share it: AVG's count, another's COUNT.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Aggregate {
    function: Function,
    value: ValueType,
    /// Bytes of a value; 0 for booleans, 16 for strings.
    width: u32,
    /// The column of values; absent where rows are counted.
    argument: Option<usize>,
    /// The column that says which rows count.
    mask: Option<usize>,
    /// Bytes of a result; 0 for booleans.
    result_width: u32,
}

/// A column of the state schema behind the keys.
#[derive(Debug)]
struct State {
    accumulator: usize,
    data_type: DataType,
    /// NULL where the result of this accumulator is: AVG's count.
    null_with: Option<usize>,
}

impl Grouping {
    /// What a morsel's columns are computed by, over the aggregation's input.
    pub fn columns(&self) -> &[Arc<dyn PhysicalExpr>] {
        &self.columns
    }

    /// Whether columns of these types, one for each of [`Grouping::columns`], are what was lowered.
    ///
    /// # Errors
    /// `DataType`.
    pub fn check_types(&self, types: &[DataType]) -> Result<(), Reason> {
        let keys = self.keys.iter().map(|key| types.get(key.column) == Some(&key.data_type));
        let values = self.accumulators.iter().map(|of| {
            let counts = of.function == Function::Count;
            let value = of.argument.map(|at| types.get(at).and_then(functions::value));
            counts || value == Some(Some((of.value, of.width)))
        });
        let masks = self.accumulators.iter().filter_map(|of| of.mask);
        let masks = masks.map(|at| types.get(at) == Some(&DataType::Boolean));
        match keys.chain(values).chain(masks).all(|fits| fits) {
            true => Ok(()),
            false => Err(Reason::new(ReasonCode::DataType, "columns of other types")),
        }
    }

    /// Whether there are keys; else all rows are one group.
    pub fn is_keyed(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Values of a row that take part: keys, and one per accumulator.
    pub fn values(&self) -> usize {
        self.keys.len() + self.accumulators.len()
    }

    /// The types of the key columns, and of each accumulator's results.
    pub fn types(&self) -> (Vec<&DataType>, Vec<&DataType>) {
        let result = |at: usize| self.states.iter().find(|state| state.accumulator == at);
        let results = (0..self.accumulators.len()).filter_map(|at| Some(&result(at)?.data_type));
        (self.keys.iter().map(|key| &key.data_type).collect(), results.collect())
    }

    /// The columns of the state schema behind the keys: accumulator, type, and the accumulator with whose NULLs it
    /// is NULL.
    pub fn states(&self) -> impl Iterator<Item = (usize, &DataType, Option<usize>)> {
        self.states.iter().map(|state| (state.accumulator, &state.data_type, state.null_with))
    }
}
