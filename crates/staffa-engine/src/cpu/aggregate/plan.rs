//! What an aggregation computes from a morsel: keys per grouping set, arguments, filters.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, DictionaryArray, RecordBatch, RecordBatchOptions,
    new_null_array,
};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt32Type};
use datafusion_common::{Result, ScalarValue, internal_err, not_impl_err};
use datafusion_expr::Aggregate;
use datafusion_physical_expr::aggregate::AggregateFunctionExpr;
use datafusion_physical_expr_common::physical_expr::PhysicalExpr;

use super::apart::ranged;
use super::keys::takes_codes;
use super::shifted::without_constant;
use crate::Morsel;
use crate::bound::BoundExpr;
use crate::cpu::predicate::infallible;
use crate::plan::AggregateSpec;

/// One grouping set: which keys it leaves out, and the id that tells it from the others.
#[derive(Clone)]
pub(crate) struct GroupingSet {
    pub(crate) absent: Vec<bool>,
    /// The value of `__grouping_id`; none without GROUPING SETS, CUBE or ROLLUP.
    pub(crate) id: Option<ScalarValue>,
}

/// Keys, arguments and filters bound to the input's columns.
pub(super) struct Plan {
    /// What was asked for.
    pub(super) spec: Arc<AggregateSpec>,
    /// The key columns, `__grouping_id` included.
    pub(super) key_schema: SchemaRef,
    /// Keys, then the states of each function.
    pub(super) state_schema: SchemaRef,
    /// How many state columns each function has.
    pub(super) state_widths: Vec<usize>,
    keys: Vec<BoundExpr>,
    /// Per key, whether the table takes the codes of a dictionary.
    takes_codes: Vec<bool>,
    nulls: Vec<BoundExpr>,
    sets: Vec<GroupingSet>,
    /// Different argument expressions, each evaluated once per morsel.
    pub(super) values: Vec<BoundExpr>,
    /// Per function, the arguments as indices into `values`.
    pub(super) arguments: Vec<Vec<usize>>,
    pub(super) filters: Vec<Option<BoundExpr>>,
    /// Per function what is added to each of its argument's values. Without keys only.
    constants: Vec<Option<i64>>,
}

/// What [`Plan::evaluate`] gives.
pub(super) struct Evaluated {
    /// Per grouping set the key columns; strings may be dictionary arrays with `u32` keys, which
    /// [`Plan::plain`] gathers.
    pub(super) keys: Vec<Vec<ArrayRef>>,
    /// Per function its arguments (or states).
    pub(super) arguments: Vec<Vec<ArrayRef>>,
    /// Per function the rows that its FILTER lets in.
    pub(super) masks: Vec<Option<BooleanArray>>,
}

impl Plan {
    pub(super) fn new(spec: &Arc<AggregateSpec>) -> Result<Self> {
        let input = &spec.input_schema;
        let by = &spec.group_by;
        let key_schema = by.group_schema(input)?;
        let mut fields: Vec<Arc<Field>> = key_schema.fields().iter().cloned().collect();
        let mut state_widths = Vec::with_capacity(spec.aggregates.len());
        for function in &spec.aggregates {
            let states = function.state_fields()?;
            state_widths.push(states.len());
            fields.extend(states);
        }
        let reads_states = spec.stage.reads_states();
        let shifts = by.is_true_no_grouping() && !spec.filters.iter().any(Option::is_some);
        let shifted = |function: &Arc<AggregateFunctionExpr>| match shifts && !reads_states {
            true => without_constant(function, input),
            false => None,
        };
        let shifted: Vec<_> = spec.aggregates.iter().map(shifted).collect();
        let constants = shifted.iter().map(|of| of.as_ref().map(|(_, by)| *by)).collect();
        let (values, arguments) = if reads_states {
            (Vec::new(), Vec::new())
        } else {
            let exprs = spec.aggregates.iter().zip(shifted).map(|(function, shifted)| {
                shifted.map_or_else(|| argument_exprs(function), |(of, _)| vec![of])
            });
            bind_arguments(exprs, input)?
        };
        // The filters were applied where the states were made.
        let filters = (0..spec.aggregates.len())
            .map(|function| match spec.filters.get(function) {
                Some(Some(filter)) if !spec.stage.reads_states() => {
                    Ok(Some(BoundExpr::new(filter, input)?))
                }
                _ => Ok(None),
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            takes_codes: takes_codes(&key_schema),
            key_schema,
            state_schema: Arc::new(Schema::new(fields)),
            state_widths,
            keys: BoundExpr::all(by.expr().iter().map(|(expr, _)| expr), input)?,
            nulls: BoundExpr::all(by.null_expr().iter().map(|(expr, _)| expr), input)?,
            sets: grouping_sets(by.groups(), by.has_grouping_set())?,
            values,
            arguments,
            filters,
            constants,
            spec: Arc::clone(spec),
        })
    }

    /// The same by all keys at once, whose groups' states are those of every grouping set's groups taken apart;
    /// none where there is one set, or where states may be as large as the rows.
    pub(super) fn finest(&self) -> Option<Self> {
        let keys = self.keys.len();
        let states = self.state_schema.fields().iter().skip(self.key_width());
        let small = states.map(|field| field.data_type()).all(is_small);
        let ids = self.sets.iter().all(|set| set.id.is_some());
        if self.sets.len() < 2
            || !ids
            || !small
            || self.spec.stage.reads_states()
            || !self.converts()
        {
            return None;
        }
        let key_fields = self.key_schema.fields().iter().take(keys).cloned();
        let key_schema = Arc::new(Schema::new(key_fields.collect::<Vec<_>>()));
        let states = self.state_schema.fields().iter().skip(self.key_width());
        let fields: Vec<_> = key_schema.fields().iter().chain(states).cloned().collect();
        Some(Self {
            spec: Arc::clone(&self.spec),
            takes_codes: takes_codes(&key_schema),
            key_schema,
            state_schema: Arc::new(Schema::new(fields)),
            state_widths: self.state_widths.clone(),
            keys: self.keys.clone(),
            nulls: self.nulls.clone(),
            sets: vec![GroupingSet { absent: vec![false; keys], id: None }],
            values: self.values.clone(),
            arguments: self.arguments.clone(),
            filters: self.filters.clone(),
            constants: self.constants.clone(),
        })
    }

    /// The states of each grouping set's groups, some of them several times, from those of [`finest`](Self::finest).
    pub(super) fn of_finest(
        &self,
        columns: &[ArrayRef],
    ) -> impl Iterator<Item = Result<Vec<ArrayRef>>> {
        let (keys, states) = columns.split_at(self.keys.len().min(columns.len()));
        let rows = columns.first().map_or(0, |column| column.len());
        self.sets.iter().map(move |set| {
            let key = |(key, absent): (&ArrayRef, &bool)| match absent {
                true => new_null_array(key.data_type(), rows),
                false => Arc::clone(key),
            };
            let mut of_set: Vec<ArrayRef> = keys.iter().zip(&set.absent).map(key).collect();
            if let Some(id) = &set.id {
                of_set.push(id.to_array_of_size(rows)?);
            }
            of_set.extend(states.iter().cloned());
            Ok(of_set)
        })
    }

    /// Number of grouping sets.
    pub(super) fn set_count(&self) -> usize {
        self.sets.len()
    }

    /// Number of key columns.
    pub(super) fn key_width(&self) -> usize {
        self.key_schema.fields().len()
    }

    /// The key column by whose range runs are told apart.
    pub(super) fn ranged(&self) -> Option<usize> {
        ranged(&self.key_schema)
    }

    /// Whether merging states gives the same bits as adding all rows to one state. Sums of floats
    /// depend on the order of additions, and DataFusion's least and greatest floats on where a NaN
    /// stands.
    pub(super) fn merges_exactly(&self) -> bool {
        let states = self.state_schema.fields().iter().skip(self.key_width());
        !states.map(|field| field.data_type()).any(DataType::is_floating)
    }

    /// Whether single rows can be made states at little cost.
    pub(super) fn converts(&self) -> bool {
        let reads_states = self.spec.stage.reads_states();
        let mut functions = self.spec.aggregates.iter();
        reads_states || functions.all(|function| function.groups_accumulator_supported())
    }

    /// Whether keys can be evaluated of every row.
    pub(super) fn keys_are_infallible(&self) -> bool {
        self.spec.group_by.expr().iter().all(|(key, _)| infallible(key))
    }

    /// Evaluates keys, arguments and filters over a morsel.
    pub(super) fn evaluate(&self, morsel: &Morsel) -> Result<Evaluated> {
        Ok(Evaluated {
            keys: self.keys(morsel)?,
            arguments: self.arguments(morsel)?,
            masks: self
                .filters
                .iter()
                .map(|filter| filter.as_ref().map(|f| f.mask(morsel)).transpose())
                .collect::<Result<_>>()?,
        })
    }

    pub(super) fn keys(&self, morsel: &Morsel) -> Result<Vec<Vec<ArrayRef>>> {
        let rows = morsel.rows();
        let evaluate = |exprs: &[BoundExpr]| -> Result<Vec<ArrayRef>> {
            exprs.iter().map(|expr| expr.array(morsel)).collect()
        };
        let keys = self.keys.iter().zip(&self.takes_codes);
        let keys =
            keys.map(|(expr, codes)| key(expr, morsel, *codes)).collect::<Result<Vec<_>>>()?;
        let nulls = evaluate(&self.nulls)?;
        self.sets
            .iter()
            .map(|set| {
                let mut columns: Vec<ArrayRef> = set
                    .absent
                    .iter()
                    .enumerate()
                    .map(|(i, absent)| Arc::clone(if *absent { &nulls[i] } else { &keys[i] }))
                    .collect();
                if let Some(id) = &set.id {
                    columns.push(id.to_array_of_size(rows)?);
                }
                Ok(columns)
            })
            .collect()
    }

    /// A key column in the type that the schema declares.
    pub(super) fn plain(&self, at: usize, column: &ArrayRef) -> Result<ArrayRef> {
        match column.as_dictionary_opt::<UInt32Type>() {
            Some(codes) if column.data_type() != self.key_schema.field(at).data_type() => {
                Ok(take(codes.values(), codes.keys(), None)?)
            }
            _ => Ok(Arc::clone(column)),
        }
    }

    /// Per function its arguments, or its states where the input are states.
    pub(super) fn arguments(&self, morsel: &Morsel) -> Result<Vec<Vec<ArrayRef>>> {
        if self.spec.stage.reads_states() {
            let mut at = self.key_width();
            return self
                .state_widths
                .iter()
                .map(|width| {
                    at += width;
                    (at - width..at).map(|i| morsel.column(i)).collect()
                })
                .collect();
        }
        let values =
            self.values.iter().map(|value| value.array(morsel)).collect::<Result<Vec<_>>>()?;
        Ok(self
            .arguments
            .iter()
            .map(|indices| indices.iter().map(|&i| Arc::clone(&values[i])).collect())
            .collect())
    }

    /// The columns of a morsel of partial states.
    ///
    /// # Errors
    /// An internal error where they are not those of the state schema.
    pub(super) fn states(&self, morsel: &Morsel) -> Result<Vec<ArrayRef>> {
        let fields = self.state_schema.fields();
        let fits = morsel.width() == fields.len()
            && fields.iter().enumerate().all(|(at, f)| f.data_type() == morsel.data_type(at));
        if !fits || self.spec.stage.reads_states() {
            return internal_err!("states that are not those of the aggregation");
        }
        (0..fields.len()).map(|at| morsel.column(at)).collect()
    }

    /// The arguments of one function alone.
    pub(super) fn arguments_of(&self, function: usize, morsel: &Morsel) -> Result<Vec<ArrayRef>> {
        self.arguments[function].iter().map(|&i| self.values[i].array(morsel)).collect()
    }

    /// What is added to each value of a function's argument, where the argument is given without it.
    pub(super) fn constant(&self, function: usize) -> Option<i64> {
        self.constants.get(function).copied().flatten()
    }

    /// The FILTER of a function.
    pub(super) fn filter(&self, function: usize) -> Option<&BoundExpr> {
        self.filters[function].as_ref()
    }

    /// What stands for an input without rows: per empty grouping set `()` one row of keys, and
    /// arguments that no row passes. Nothing where there is no such set.
    pub(super) fn empty_input(&self) -> Result<Option<Evaluated>> {
        if self.spec.stage.reads_states() {
            return Ok(None);
        }
        let input = &self.spec.input_schema;
        let keys = self
            .sets
            .iter()
            .filter(|set| set.absent.iter().all(|absent| *absent))
            .filter_map(|set| {
                let id = set.id.as_ref()?;
                let nulls = self.key_schema.fields().iter().take(set.absent.len());
                let mut columns: Vec<ArrayRef> =
                    nulls.map(|field| new_null_array(field.data_type(), 1)).collect();
                Some(id.to_array_of_size(1).map(|id| {
                    columns.push(id);
                    columns
                }))
            })
            .collect::<Result<Vec<_>>>()?;
        if keys.is_empty() {
            return Ok(None);
        }
        // One row that a filter rejects, not no rows: DataFusion's sums take "no nulls among no
        // rows" for "every group has a value", and would give 0 instead of NULL.
        let arguments = self
            .spec
            .aggregates
            .iter()
            .map(|function| {
                argument_exprs(function)
                    .iter()
                    .map(|expr| Ok(new_null_array(&expr.data_type(input)?, 1)))
                    .collect::<Result<Vec<_>>>()
            })
            .collect::<Result<Vec<_>>>()?;
        let masks = vec![Some(BooleanArray::from(vec![false])); arguments.len()];
        Ok(Some(Evaluated { keys, arguments, masks }))
    }

    /// A batch of the output's schema.
    pub(super) fn output(&self, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
        batch(&self.spec.schema, columns, rows)
    }

    /// Keys, then per function its states, split off a row of columns in the state schema.
    pub(super) fn split<'a>(
        &self,
        columns: &'a [ArrayRef],
    ) -> (&'a [ArrayRef], Vec<&'a [ArrayRef]>) {
        let (keys, mut rest) = columns.split_at(self.key_width());
        let mut states = Vec::with_capacity(self.state_widths.len());
        for &width in &self.state_widths {
            let (own, others) = rest.split_at(width);
            states.push(own);
            rest = others;
        }
        (keys, states)
    }
}

/// A batch of `schema`, which may have no columns.
pub(super) fn batch(
    schema: &SchemaRef,
    columns: Vec<ArrayRef>,
    rows: usize,
) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

/// A key's values, or its codes where the scan left them and the table takes them.
fn key(expr: &BoundExpr, morsel: &Morsel, takes_codes: bool) -> Result<ArrayRef> {
    if let Some(column) = expr.as_column().filter(|_| takes_codes)
        && let Some((values, codes, true)) = morsel.codes(column)
        && values.null_count() == 0
    {
        let codes = codes.as_ref().clone();
        return Ok(Arc::new(DictionaryArray::try_new(codes, Arc::clone(values))?));
    }
    expr.array(morsel)
}

/// Whether states of a type take little, whatever they were made of: no lists, no sketches.
fn is_small(state: &DataType) -> bool {
    let strings = [DataType::Utf8, DataType::LargeUtf8, DataType::Utf8View];
    state.is_primitive() || *state == DataType::Boolean || strings.contains(state)
}

/// Arguments, then the keys of the function's ORDER BY, which order-sensitive functions expect.
fn argument_exprs(function: &AggregateFunctionExpr) -> Vec<Arc<dyn PhysicalExpr>> {
    let mut exprs = function.expressions();
    exprs.extend(function.order_bys().iter().map(|by| Arc::clone(&by.expr)));
    exprs
}

/// Binds each different argument once: (expressions, per function its arguments' indices).
fn bind_arguments(
    functions: impl Iterator<Item = Vec<Arc<dyn PhysicalExpr>>>,
    input: &Schema,
) -> Result<(Vec<BoundExpr>, Vec<Vec<usize>>)> {
    let mut exprs: Vec<Arc<dyn PhysicalExpr>> = Vec::new();
    let arguments = functions
        .map(|arguments| {
            arguments
                .into_iter()
                .map(|expr| match exprs.iter().position(|known| known == &expr) {
                    Some(at) => at,
                    None => {
                        exprs.push(expr);
                        exprs.len() - 1
                    }
                })
                .collect()
        })
        .collect();
    Ok((BoundExpr::all(&exprs, input)?, arguments))
}

/// The sets with their ids. An id holds a bit per absent key (the last key lowest) and above them
/// how often the same set stood before it, in the type that DataFusion declares for the column.
pub(crate) fn grouping_sets(groups: &[Vec<bool>], with_ids: bool) -> Result<Vec<GroupingSet>> {
    let mut counts: HashMap<&[bool], usize> = HashMap::new();
    for group in groups {
        *counts.entry(group).or_insert(0) += 1;
    }
    let most = counts.values().max().copied().unwrap_or(0).saturating_sub(1);
    let mut seen: HashMap<&[bool], usize> = HashMap::new();
    groups
        .iter()
        .map(|group| {
            let ordinal = seen.entry(group).or_insert(0);
            let id = with_ids.then(|| grouping_id(group, *ordinal, most)).transpose()?;
            *ordinal += 1;
            Ok(GroupingSet { absent: group.clone(), id })
        })
        .collect()
}

fn grouping_id(group: &[bool], ordinal: usize, most: usize) -> Result<ScalarValue> {
    let ordinal_bits = (usize::BITS - most.leading_zeros()) as usize;
    if group.len() + ordinal_bits > 64 {
        return not_impl_err!("Grouping sets that need more than 64 bits are not supported");
    }
    let absent = group.iter().fold(0_u64, |id, absent| (id << 1) | u64::from(*absent));
    // With 64 keys no bits are left for ordinals, and then there are none.
    let above = (ordinal as u64).checked_shl(group.len() as u32).unwrap_or(0);
    let data_type: DataType = Aggregate::grouping_id_type(group.len(), most);
    ScalarValue::UInt64(Some(absent | above)).cast_to(&data_type)
}
