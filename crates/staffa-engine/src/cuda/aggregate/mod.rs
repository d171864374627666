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

use arrow::array::{ArrayRef, new_null_array};
use arrow::datatypes::DataType;
use datafusion_common::{Result as DataFusionResult, ScalarValue};
use datafusion_physical_expr_common::physical_expr::PhysicalExpr;
use staffa_common::{Reason, ReasonCode};
use staffa_kernels::abi::KeyRule;
use staffa_kernels::expression::InputColumn;
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
    /// GROUPING SETS, CUBE, ROLLUP; empty where groups are by all keys.
    sets: Vec<Set>,
}

/// A grouping set: it is made of the groups by all keys.
#[derive(Debug)]
pub struct Set {
    /// By the keys that it has.
    grouping: Arc<Grouping>,
    /// Of all keys, which one that is of its own; `None` for NULL.
    keys: Vec<Option<usize>>,
    /// The value of `__grouping_id`.
    id: ScalarValue,
}

/// A key: one of the columns.
#[derive(Debug, Clone)]
struct Key {
    column: usize,
    data_type: DataType,
    rule: KeyRule,
}

/// What an accumulator holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    One(Function),
    /// Three results: count, mean, and sum of squared deviations.
    Moments,
}

/// An accumulator. Functions that need the same one share it: AVG's count, another's COUNT.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Aggregate {
    holds: Holds,
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
#[derive(Debug, Clone)]
struct State {
    result: ResultOf,
    data_type: DataType,
    /// NULL where the result of this accumulator is: AVG's count.
    null_with: Option<ResultOf>,
}

/// A result of an accumulator: its number, and which of the accumulator's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ResultOf {
    accumulator: usize,
    part: usize,
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
            let counts = of.holds == Holds::One(Function::Count);
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

    /// The types of the key columns, and of the results.
    pub fn types(&self) -> (Vec<&DataType>, Vec<&DataType>) {
        let keys = self.keys.iter().map(|key| &key.data_type).collect();
        let accumulators = self.accumulators.iter().enumerate();
        let results = accumulators
            .flat_map(|(accumulator, of)| {
                (0..of.results()).map(move |part| ResultOf { accumulator, part })
            })
            .filter_map(|result| self.states.iter().find(|state| state.result == result))
            .map(|state| &state.data_type);
        (keys, results.collect())
    }

    /// The columns of the state schema behind the keys: the number of the result, the type, and the result with whose
    /// NULLs it is NULL.
    pub fn states(&self) -> impl Iterator<Item = (usize, &DataType, Option<usize>)> {
        let number = |of: ResultOf| {
            let before = self.accumulators.iter().take(of.accumulator);
            before.map(Aggregate::results).sum::<usize>() + of.part
        };
        self.states
            .iter()
            .map(move |state| (number(state.result), &state.data_type, state.null_with.map(number)))
    }

    /// The numbers of results that must be finite: a mean's and a deviation's. Others depend on how rows were added up,
    /// as sums of the largest doubles do, or on where a NaN or an infinity stands.
    pub fn finite(&self) -> impl Iterator<Item = usize> {
        let accumulators = self.accumulators.iter().scan(0, |before, of| {
            let first = *before;
            *before += of.results();
            Some((first, of))
        });
        accumulators
            .filter(|(_, of)| of.holds == Holds::Moments)
            .flat_map(|(first, of)| first + 1..first + of.results())
    }

    /// The grouping sets; none where groups are by all keys.
    pub fn sets(&self) -> &[Set] {
        &self.sets
    }
}

impl Aggregate {
    /// Columns of results.
    fn results(&self) -> usize {
        match self.holds {
            Holds::One(_) => 1,
            Holds::Moments => 3,
        }
    }
}

impl From<usize> for ResultOf {
    /// The only result, or the first.
    fn from(accumulator: usize) -> Self {
        Self { accumulator, part: 0 }
    }
}

impl Set {
    /// The grouping of the set, by the keys that it has.
    pub fn grouping(&self) -> &Arc<Grouping> {
        &self.grouping
    }

    /// Whether it has all keys: groups by all keys are its own.
    pub fn is_all(&self) -> bool {
        self.keys.iter().all(Option::is_some)
    }

    /// The columns of the groups by all keys that [`Groups::absorb`] takes.
    pub fn columns(&self, all: &Finished) -> Vec<InputColumn> {
        let keys = all.keys.iter().zip(&self.keys).filter(|(_, own)| own.is_some());
        keys.map(|(key, _)| key).chain(&all.results).cloned().collect()
    }

    /// The key columns of the state schema from the set's own, `rows` long, and those behind them.
    ///
    /// # Errors
    /// An id that makes no array.
    pub fn states(
        &self,
        all: &Grouping,
        columns: &[ArrayRef],
        rows: usize,
    ) -> DataFusionResult<Vec<ArrayRef>> {
        let (own, states) = columns.split_at(self.grouping.keys.len().min(columns.len()));
        let key = |(key, at): (&Key, &Option<usize>)| match at.and_then(|at| own.get(at)) {
            Some(array) => Arc::clone(array),
            None => new_null_array(&key.data_type, rows),
        };
        let mut of_set: Vec<ArrayRef> = all.keys.iter().zip(&self.keys).map(key).collect();
        of_set.push(self.id.to_array_of_size(rows)?);
        of_set.extend(states.iter().cloned());
        Ok(of_set)
    }
}
