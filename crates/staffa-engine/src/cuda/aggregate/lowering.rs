//! From an aggregation of a plan to what a device does.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion_common::DataFusionError;
use datafusion_physical_expr::aggregate::AggregateFunctionExpr;
use datafusion_physical_expr::expressions::{CastExpr, Literal};
use datafusion_physical_expr_common::physical_expr::PhysicalExpr;
use staffa_common::{Reason, ReasonCode};
use staffa_kernels::group_by::{Function, ValueType};

use super::functions::{Kept, check, kept, value};
use super::keys::{form, rule};
use super::{Aggregate, Grouping, Holds, Key, ResultOf, Set, State};
use crate::cpu::aggregate::{GroupingSet, grouping_sets};
use crate::plan::AggregateSpec;

type Expr = Arc<dyn PhysicalExpr>;

/// An aggregation from rows as a device does it. Whether the device computes its columns is for
/// [`lower`](crate::cuda::expression::lower) to say.
///
/// # Errors
/// The first thing found that the device does not do.
pub fn lower(spec: &AggregateSpec) -> Result<Grouping, Reason> {
    let option = |what: &str| Err(Reason::new(ReasonCode::AggregateOption, what));
    if spec.stage.reads_states() {
        return option("it reads states");
    }
    if spec.limit.is_some() {
        return option("it stops after some groups");
    }
    let by = &spec.group_by;
    let sets = grouping_sets(by.groups(), by.has_grouping_set()).map_err(fault)?;
    let by_all = |set: &GroupingSet| !set.absent.contains(&true);
    if !by.has_grouping_set() && (sets.len() > 1 || !sets.iter().all(by_all)) {
        return option("groups by some of the keys");
    }
    let mut lowering = Lowering { spec, columns: Vec::new(), accumulators: Vec::new() };
    let mut keys = Vec::with_capacity(by.expr().len());
    for (expr, _) in by.expr() {
        let data_type = lowering.type_of(expr)?;
        let rule = rule(&data_type)?;
        keys.push(Key { column: lowering.column(expr), data_type, rule });
    }
    let mut states = Vec::new();
    for (at, function) in spec.aggregates.iter().enumerate() {
        let filter = spec.filters.get(at).and_then(Option::as_ref);
        lowering.function(function, filter, !keys.is_empty(), &mut states)?;
    }
    let form = form(keys.iter().map(|key| &key.data_type));
    let Lowering { columns, accumulators, .. } = lowering;
    // Many groups by all keys are one of a set's, and moments merge one with one.
    if by.has_grouping_set() && accumulators.iter().any(|of| of.holds == Holds::Moments) {
        return option("variances of grouping sets");
    }
    let all = Grouping { columns, keys, form, accumulators, states, sets: Vec::new() };
    let sets = sets.into_iter().filter_map(|set| of_set(&all, set)).collect();
    Ok(Grouping { sets, ..all })
}

/// A grouping set of the groups by all keys; none where it has no id, as nobody asked for sets.
fn of_set(all: &Grouping, set: GroupingSet) -> Option<Set> {
    let id = set.id?;
    let mut own = Vec::new();
    let keys = all.keys.iter().zip(&set.absent).map(|(key, absent)| {
        (!absent).then(|| {
            own.push(key.clone());
            own.len() - 1
        })
    });
    let keys = keys.collect();
    let grouping = Grouping {
        columns: all.columns.clone(),
        form: form(own.iter().map(|key| &key.data_type)),
        keys: own,
        accumulators: all.accumulators.clone(),
        states: all.states.clone(),
        sets: Vec::new(),
    };
    Some(Set { grouping: Arc::new(grouping), keys, id })
}

struct Lowering<'a> {
    spec: &'a AggregateSpec,
    columns: Vec<Expr>,
    accumulators: Vec<Aggregate>,
}

impl Lowering<'_> {
    fn type_of(&self, expr: &Expr) -> Result<DataType, Reason> {
        expr.data_type(&self.spec.input_schema).map_err(fault)
    }

    /// The number of a column, the same for the same expression.
    fn column(&mut self, expr: &Expr) -> usize {
        number(&mut self.columns, expr)
    }

    fn accumulator(&mut self, aggregate: Aggregate) -> usize {
        number(&mut self.accumulators, &aggregate)
    }

    /// Adds a function's accumulators, and its state columns to `states`.
    fn function(
        &mut self,
        function: &AggregateFunctionExpr,
        filter: Option<&Expr>,
        keyed: bool,
        states: &mut Vec<State>,
    ) -> Result<(), Reason> {
        let kept = kept(function)?;
        let fields = function.state_fields().map_err(fault)?;
        let expressions = function.expressions();
        let [argument] = expressions.as_slice() else {
            return Err(Reason::new(ReasonCode::AggregateOption, function.name()));
        };
        let mask = filter.map(|filter| self.column(filter));
        let mut types = fields.iter().map(|field| field.data_type().clone());
        let mut next = || {
            let missing = || Reason::new(ReasonCode::LoweringFault, "a function without a state");
            types.next().ok_or_else(missing)
        };
        match kept {
            Kept::Count => {
                let accumulator = self.count(argument, mask)?;
                let result = accumulator.into();
                states.push(State { result, data_type: next()?, null_with: None });
            }
            Kept::Moments => {
                let accumulator = self.moments(argument, mask)?;
                for part in 0..3 {
                    let result = ResultOf { accumulator, part };
                    states.push(State { result, data_type: next()?, null_with: None });
                }
            }
            Kept::Average => {
                let (count, sum) = (next()?, next()?);
                let counted = self.count(argument, mask)?;
                let summed = self.one(Function::Sum, argument, mask, &sum, keyed)?;
                let null_with = Some(summed.into());
                states.push(State { result: counted.into(), data_type: count, null_with });
                states.push(State { result: summed.into(), data_type: sum, null_with: None });
            }
            Kept::One(function) => {
                let data_type = next()?;
                let accumulator = self.one(function, argument, mask, &data_type, keyed)?;
                states.push(State { result: accumulator.into(), data_type, null_with: None });
            }
        }
        Ok(())
    }

    /// Counts values; rows where no value is NULL.
    fn count(&mut self, argument: &Expr, mask: Option<usize>) -> Result<usize, Reason> {
        let nullable = argument.nullable(&self.spec.input_schema).map_err(fault)?;
        let constant = argument.downcast_ref::<Literal>().is_some_and(|l| !l.value().is_null());
        let counts_rows = constant || !nullable;
        let argument = (!counts_rows).then(|| self.column(argument));
        Ok(self.accumulator(Aggregate {
            holds: Holds::One(Function::Count),
            value: ValueType::Unsigned,
            width: 8,
            argument,
            mask,
            result_width: 8,
        }))
    }

    /// Moments of values as doubles, which DataFusion's accumulators cast them to.
    fn moments(&mut self, argument: &Expr, mask: Option<usize>) -> Result<usize, Reason> {
        let of = self.type_of(argument)?;
        let argument = match of {
            DataType::Float64 => Arc::clone(argument),
            _ if of.is_numeric() => {
                Arc::new(CastExpr::new(Arc::clone(argument), DataType::Float64, None)) as Expr
            }
            _ => return Err(Reason::new(ReasonCode::Function, format!("moments of {of}"))),
        };
        let argument = Some(self.column(&argument));
        Ok(self.accumulator(Aggregate {
            holds: Holds::Moments,
            value: ValueType::Float,
            width: 8,
            argument,
            mask,
            result_width: 8,
        }))
    }

    fn one(
        &mut self,
        function: Function,
        argument: &Expr,
        mask: Option<usize>,
        state: &DataType,
        keyed: bool,
    ) -> Result<usize, Reason> {
        let of = self.type_of(argument)?;
        check(function, &of, state, keyed)?;
        let unknown = || Reason::new(ReasonCode::DataType, of.to_string());
        let (value_type, width) = value(&of).ok_or_else(unknown)?;
        let (_, result_width) = value(state).ok_or_else(unknown)?;
        let argument = Some(self.column(argument));
        let value = value_type;
        let holds = Holds::One(function);
        Ok(self.accumulator(Aggregate { holds, value, width, argument, mask, result_width }))
    }
}

/// Where an item is, after it was added if it was not there.
fn number<T: Clone + PartialEq>(items: &mut Vec<T>, item: &T) -> usize {
    match items.iter().position(|known| known == item) {
        Some(at) => at,
        None => {
            items.push(item.clone());
            items.len() - 1
        }
    }
}

fn fault(error: DataFusionError) -> Reason {
    Reason::new(ReasonCode::LoweringFault, error.strip_backtrace())
}
