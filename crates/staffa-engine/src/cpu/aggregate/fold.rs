//! Rows of few groups, brought down to a row a group before DataFusion's states see them.
//!
//! DataFusion's states take rows one by one: load the group's sum, add, store it. Where the next row is of the same
//! group it waits for that store, which few groups make the rule (2.2 ns a row and function in TPC-H Q1, which has
//! four groups and eight functions; a fifth of its time). Here the rows go to four sums a group in turn, which
//! functions of the same argument share, and what comes of a morsel is merged as states. Wrapping sums of integers
//! and decimals are the same in any order; those of floats are not, and stay as they are.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, AsArray, Int64Array, PrimitiveArray,
    UInt64Array,
};
use arrow::datatypes::{DataType, Decimal128Type, Int64Type, SchemaRef, UInt64Type};
use datafusion_common::Result;
use datafusion_functions_aggregate::average::Avg;
use datafusion_functions_aggregate::count::Count;
use datafusion_functions_aggregate::sum::Sum;
use datafusion_physical_expr::aggregate::AggregateFunctionExpr;

use super::plan::Plan;

/// Groups that are few. A power of two.
const FEW: usize = 64;
/// Rows a group at least: then the states' own work does not count.
const ROWS_A_GROUP: usize = 16;
/// Sums a group that are added to in turn.
const TURNS: usize = 4;

/// What a function's states are, where rows can be summed before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A count of rows.
    Count,
    /// A sum.
    Sum,
    /// A count and a sum.
    Average,
}

/// What a morsel's rows come to, group by group.
pub(super) struct Folds {
    /// By function; none where it takes rows.
    kinds: Vec<Option<Kind>>,
    state_types: Vec<Vec<DataType>>,
    /// The groups that the morsel has rows of.
    groups: Vec<usize>,
    /// How many rows those have.
    counts: Vec<i64>,
    /// Sums by argument, of the morsel at hand.
    sums: Vec<(ArrayRef, ArrayRef)>,
}

impl Folds {
    /// For the functions of `plan`.
    pub(super) fn new(plan: &Plan) -> Self {
        let mut at = plan.key_width();
        let widths = plan.state_widths.iter().map(|width| {
            at += width;
            types(&plan.state_schema, at - width, at)
        });
        let state_types: Vec<Vec<DataType>> = widths.collect();
        let functions = plan.spec.aggregates.iter().zip(&state_types);
        let kinds = match plan.spec.stage.reads_states() {
            true => vec![None; state_types.len()],
            false => functions.map(|(function, states)| kind(function, states)).collect(),
        };
        Self { kinds, state_types, groups: Vec::new(), counts: Vec::new(), sums: Vec::new() }
    }

    /// Looks at a morsel whose rows are of the groups `ids`, among `groups`. Whether it is one to be summed before.
    pub(super) fn begin(&mut self, ids: &[usize], groups: usize) -> bool {
        self.sums.clear();
        if groups > FEW
            || ids.len() < ROWS_A_GROUP * groups
            || self.kinds.iter().all(Option::is_none)
        {
            return false;
        }
        let mut counts = [[0_i64; FEW]; TURNS];
        let (fours, rest) = ids.as_chunks::<TURNS>();
        for ids in fours {
            for (counts, id) in counts.iter_mut().zip(ids) {
                counts[id % FEW] += 1;
            }
        }
        rest.iter().for_each(|id| counts[0][id % FEW] += 1);
        self.groups.clear();
        self.counts.clear();
        for group in 0..groups {
            let count = counts.iter().map(|counts| counts[group]).sum();
            if count > 0 {
                self.groups.push(group);
                self.counts.push(count);
            }
        }
        true
    }

    /// The groups that rows were found of.
    pub(super) fn groups(&self) -> &[usize] {
        &self.groups
    }

    /// The states of function `at` that the morsel's rows come to, one a group; `None` where it had better take
    /// the rows.
    ///
    /// # Errors
    /// Arrow's, for types that are not those of the function.
    pub(super) fn states(
        &mut self,
        at: usize,
        arguments: &[ArrayRef],
        ids: &[usize],
    ) -> Result<Option<Vec<ArrayRef>>> {
        let (Some(kind), [argument]) = (self.kinds[at], arguments) else { return Ok(None) };
        if argument.logical_null_count() > 0 || argument.len() != ids.len() {
            return Ok(None);
        }
        if kind == Kind::Count {
            return Ok(Some(vec![Arc::new(Int64Array::from(self.counts.clone()))]));
        }
        let Some(state) = self.state_types[at].last().cloned() else { return Ok(None) };
        let same = match (argument.data_type(), &state) {
            (DataType::Decimal128(_, scale), DataType::Decimal128(_, sums)) => scale == sums,
            (argument, state) => argument == state,
        };
        let Some(sums) = self.sums(argument, ids).filter(|_| same) else { return Ok(None) };
        // The same numbers, of the precision that the states have.
        let sums = sums.to_data().into_builder().data_type(state).build()?;
        let sums = arrow::array::make_array(sums);
        if kind == Kind::Sum {
            return Ok(Some(vec![sums]));
        }
        let counts = self.counts.iter().map(|count| count.cast_unsigned());
        Ok(Some(vec![Arc::new(UInt64Array::from_iter_values(counts)), sums]))
    }

    fn sums(&mut self, argument: &ArrayRef, ids: &[usize]) -> Option<ArrayRef> {
        let known = self.sums.iter().find(|(of, _)| Arc::ptr_eq(of, argument));
        if let Some((_, sums)) = known {
            return Some(Arc::clone(sums));
        }
        let sums = match argument.data_type() {
            DataType::Int64 => self.sums_of::<Int64Type>(argument, ids)?,
            DataType::UInt64 => self.sums_of::<UInt64Type>(argument, ids)?,
            DataType::Decimal128(..) => self.sums_of::<Decimal128Type>(argument, ids)?,
            _ => return None,
        };
        self.sums.push((Arc::clone(argument), Arc::clone(&sums)));
        Some(sums)
    }

    fn sums_of<T: ArrowPrimitiveType>(
        &self,
        argument: &ArrayRef,
        ids: &[usize],
    ) -> Option<ArrayRef> {
        let sums = sums(argument.as_primitive_opt::<T>()?.values(), ids);
        let of_groups = self.groups.iter().map(|&group| sums[group % FEW]);
        Some(Arc::new(PrimitiveArray::<T>::from_iter_values(of_groups)))
    }
}

/// The wrapping sum of each group's values. A group's number is below [`FEW`].
fn sums<N: ArrowNativeTypeOp>(values: &[N], ids: &[usize]) -> [N; FEW] {
    let mut sums = [[N::ZERO; FEW]; TURNS];
    let ((fours, rest), (ids, last)) = (values.as_chunks::<TURNS>(), ids.as_chunks::<TURNS>());
    for (values, ids) in fours.iter().zip(ids) {
        for ((sums, &value), id) in sums.iter_mut().zip(values).zip(ids) {
            let sum = &mut sums[id % FEW];
            *sum = sum.add_wrapping(value);
        }
    }
    let [mut all, others @ ..] = sums;
    for (&value, id) in rest.iter().zip(last) {
        all[id % FEW] = all[id % FEW].add_wrapping(value);
    }
    for (group, sum) in all.iter_mut().enumerate() {
        *sum = others.iter().fold(*sum, |sum, others| sum.add_wrapping(others[group]));
    }
    all
}

fn types(schema: &SchemaRef, from: usize, to: usize) -> Vec<DataType> {
    let fields = schema.fields().iter().take(to).skip(from);
    fields.map(|field| field.data_type().clone()).collect()
}

/// DataFusion's own functions, told by their types: a user's may bear their names.
fn kind(function: &AggregateFunctionExpr, states: &[DataType]) -> Option<Kind> {
    if function.is_distinct() || !function.order_bys().is_empty() {
        return None;
    }
    let of: &dyn std::any::Any = function.fun().inner().as_ref();
    let sums =
        |of: &DataType| matches!(of, DataType::Int64 | DataType::UInt64 | DataType::Decimal128(..));
    match states {
        [DataType::Int64] if of.is::<Count>() => Some(Kind::Count),
        [sum] if of.is::<Sum>() && sums(sum) => Some(Kind::Sum),
        [DataType::UInt64, sum @ DataType::Decimal128(..)] if of.is::<Avg>() && sums(sum) => {
            Some(Kind::Average)
        }
        _ => None,
    }
}
