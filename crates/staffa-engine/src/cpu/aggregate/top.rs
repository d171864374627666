//! The best groups, where a sort above keeps no others.
//!
//! `GROUP BY k ORDER BY max(v) DESC LIMIT 10` needs no row whose `v` is not larger than the tenth largest maximum
//! so far: whatever group it belongs to, that row does not lift it among the first ten. So a lane keeps what its table
//! holds down to the groups wanted whenever there are a good many more, and drops rows from then on that do not come
//! before the last of them, before their keys are looked at. (DataFusion keeps a heap of groups and asks it row by row.)

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::{SortOptions, sort_to_indices, take};
use arrow::datatypes::{DataType, Float16Type, Float32Type, Float64Type};
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::Operator;
use datafusion_functions_aggregate::min_max::{Max, Min};
use datafusion_physical_expr::expressions::{BinaryExpr, Column, lit};
use datafusion_physical_expr_common::physical_expr::PhysicalExpr;
use datafusion_physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder};

use super::grouped::GROUPS;
use super::plan::Plan;
use super::table::Table;
use crate::Morsel;
use crate::bound::BoundExpr;

/// Fewer groups than this are not worth looking through.
const MANY: usize = 1024;

/// How good a group of one lane has to be.
pub(super) struct Top {
    wanted: usize,
    greatest: bool,
    /// What groups are sorted by, of a row of the input.
    value: Arc<dyn PhysicalExpr>,
    /// Where it is among a group's columns.
    at: usize,
    /// Whether a row comes before the last of the groups wanted, or is a NULL that is a key; none while fewer are known.
    comes_before: Option<BoundExpr>,
    /// Groups from which on the table is looked through.
    many: usize,
    /// Tells NaNs, for functions have their own ideas of them. After one, all groups are kept.
    float: Option<BoundExpr>,
    nan_seen: bool,
    /// Whether keys of rows dropped are evaluated nevertheless, because they may err.
    evaluates_keys: bool,
    skipped: Count,
}

impl Top {
    /// None where all groups are wanted, or values have an order of their own.
    pub(super) fn new(plan: &Plan, metrics: &ExecutionPlanMetricsSet) -> Result<Option<Self>> {
        let spec = &plan.spec;
        let Some(top) = spec.top.filter(|top| (1..=GROUPS / 4).contains(&top.limit)) else {
            return Ok(None);
        };
        let [(key, _)] = spec.group_by.expr() else { return Ok(None) };
        if !spec.group_by.is_single() || spec.filters.iter().any(Option::is_some) {
            return Ok(None);
        }
        let at = spec.aggregates.len();
        let value = match &spec.aggregates[..] {
            [] => Arc::clone(key),
            [function] => {
                let of: &dyn std::any::Any = function.fun().inner().as_ref();
                let fits = if top.greatest { of.is::<Max>() } else { of.is::<Min>() };
                match &function.expressions()[..] {
                    _ if !fits => return Ok(None),
                    _ if spec.stage.reads_states() => {
                        Arc::new(Column::new(spec.input_schema.field(at).name(), at))
                    }
                    [argument] => Arc::clone(argument),
                    _ => return Ok(None),
                }
            }
            _ => return Ok(None),
        };
        let of = value.data_type(&spec.input_schema)?;
        if of != *plan.state_schema.field(at).data_type() || !is_ordered(&of) {
            return Ok(None);
        }
        let float = match of.is_floating() {
            true => Some(BoundExpr::new(&value, &spec.input_schema)?),
            false => None,
        };
        Ok(Some(Self {
            many: MANY.max(2 * top.limit),
            float,
            nan_seen: false,
            wanted: top.limit,
            greatest: top.greatest,
            value,
            at,
            comes_before: None,
            evaluates_keys: !plan.keys_are_infallible(),
            skipped: MetricBuilder::new(metrics).global_counter("top_groups_rows_skipped"),
        }))
    }

    /// The rows that may matter, unless all do.
    pub(super) fn passing(&mut self, plan: &Plan, morsel: &Morsel) -> Result<Option<Morsel>> {
        if self.nan_seen {
            return Ok(None);
        }
        if let Some(float) = &self.float
            && has_nan(&float.array(morsel)?)
        {
            self.nan_seen = true;
            return Ok(None);
        }
        let Some(comes_before) = &self.comes_before else { return Ok(None) };
        let mask = comes_before.mask(morsel)?;
        let skipped = morsel.rows() - mask.true_count();
        if skipped == 0 {
            return Ok(None);
        }
        if self.evaluates_keys {
            plan.keys(morsel)?;
        }
        self.skipped.add(skipped);
        morsel.filter(&mask).map(Some)
    }

    /// Leaves the best groups in the table where it holds a good many more.
    pub(super) fn tighten(&mut self, plan: &Plan, table: &mut Table) -> Result<()> {
        let groups = table.len();
        if self.nan_seen || groups < self.many {
            return Ok(());
        }
        let columns = table.states()?;
        let values = &columns[self.at];
        if groups - values.null_count() < self.wanted {
            self.many = 2 * groups;
            return table.merge(&columns);
        }
        let order = SortOptions { descending: self.greatest, nulls_first: false };
        let best = sort_to_indices(values, Some(order), Some(self.wanted))?;
        let last = ScalarValue::try_from_array(values, best.value(self.wanted - 1) as usize)?;
        let kept = match values.nulls() {
            // A NULL key may come first.
            Some(valid) if self.at == 0 => {
                let null = (0..groups as u32).filter(|&row| valid.is_null(row as usize));
                best.values().iter().copied().chain(null).collect()
            }
            // A function without a value comes behind those that have one.
            _ => best,
        };
        let take = |column: &ArrayRef| take(column, &kept, None);
        table.merge(&columns.iter().map(take).collect::<Result<Vec<_>, _>>()?)?;
        self.comes_before = Some(self.before(plan, last)?);
        Ok(())
    }

    fn before(&self, plan: &Plan, last: ScalarValue) -> Result<BoundExpr> {
        let schema = &plan.spec.input_schema;
        let operator = if self.greatest { Operator::Gt } else { Operator::Lt };
        let value = Arc::clone(&self.value);
        let mut before: Arc<dyn PhysicalExpr> =
            Arc::new(BinaryExpr::new(value, operator, lit(last)));
        if self.at == 0 && self.value.nullable(schema)? {
            before = Arc::new(BinaryExpr::new(before, Operator::IsDistinctFrom, lit(false)));
        }
        BoundExpr::new(&before, schema)
    }
}

/// Whether comparisons order a type as sorts do.
fn is_ordered(of: &DataType) -> bool {
    of.is_numeric()
        || of.is_temporal() && !matches!(of, DataType::Interval(_))
        || matches!(of, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn has_nan(values: &ArrayRef) -> bool {
    if let Some(values) = values.as_primitive_opt::<Float64Type>() {
        return values.iter().flatten().any(f64::is_nan);
    }
    if let Some(values) = values.as_primitive_opt::<Float32Type>() {
        return values.iter().flatten().any(f32::is_nan);
    }
    values
        .as_primitive_opt::<Float16Type>()
        .is_none_or(|values| values.iter().flatten().any(|v| v.is_nan()))
}
