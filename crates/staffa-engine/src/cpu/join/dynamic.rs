//! The filters that a join's build side gives to the probe side's source, and to build sides of joins above.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use arrow::array::{Array, ArrayRef, UInt32Array, new_empty_array};
use arrow::compute::{concat, take};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion_common::{NullEquality, Result, ScalarValue};
use datafusion_expr::{Accumulator, Operator};
use datafusion_functions_aggregate_common::min_max::{MaxAccumulator, MinAccumulator};
use datafusion_physical_expr::expressions::{
    BinaryExpr, DynamicFilterPhysicalExpr, InListExpr, IsNullExpr, lit,
};
use datafusion_physical_expr_common::physical_expr::PhysicalExpr;
use parking_lot::Mutex;
use rayon::prelude::*;

use super::key_filter::KeyFilter;
use super::state::JoinState;
use super::table::JoinTable;
use crate::RunContext;
use crate::plan::JoinSpec;

type Expr = Arc<dyn PhysicalExpr>;

/// What one sealed state knows about its keys.
struct Report {
    rows: u32,
    has_null: bool,
    columns: Vec<KeyReport>,
    state: Weak<JoinState>,
}

#[derive(Debug, Clone)]
struct KeyReport {
    /// Least and greatest value, where the type has an order that the probe side shares.
    bounds: Option<(ScalarValue, ScalarValue)>,
    /// The distinct values, if few.
    values: Option<ArrayRef>,
}

#[derive(Default)]
enum Part {
    #[default]
    Open,
    Known(Report),
    Unknown,
}

/// Gathers what the states of one build side know, and updates the filters once all have spoken.
///
/// Until then they stay as they are: advisory, and true. They are marked complete on every way
/// out: after the update, when a state could not be made, and when the sink goes.
pub(super) struct Reports {
    targets: Vec<Target>,
    parts: Mutex<Vec<Part>>,
    complete: AtomicBool,
}

/// A filter, and what the keys are called where it stands.
struct Target {
    filter: Arc<DynamicFilterPhysicalExpr>,
    keys: Vec<Expr>,
    schema: SchemaRef,
    nulls: NullRows,
}

/// When rows with a NULL key are wanted.
#[derive(Clone, Copy)]
enum NullRows {
    Never,
    /// Where the build side has one.
    Matching,
    Always,
}

impl Drop for Reports {
    fn drop(&mut self) {
        self.complete();
    }
}

impl Reports {
    /// For a build side that `states` states hold.
    pub(super) fn new(spec: &JoinSpec, states: usize) -> Self {
        // Where NULL matches NULL, and for NOT IN, which a NULL on the probe side empties.
        let nulls = match spec.null_equality {
            _ if spec.null_aware => NullRows::Always,
            NullEquality::NullEqualsNull => NullRows::Matching,
            NullEquality::NullEqualsNothing => NullRows::Never,
        };
        let own = spec.dynamic_filter.iter().map(|filter| Target {
            filter: Arc::clone(filter),
            keys: spec.on.iter().map(|(_, probe)| Arc::clone(probe)).collect(),
            schema: Arc::clone(&spec.probe_schema),
            nulls,
        });
        let others = spec.sideways.iter().map(|other| Target {
            filter: Arc::clone(&other.filter),
            keys: other.keys.clone(),
            schema: Arc::clone(&other.schema),
            nulls: NullRows::Never,
        });
        Self {
            targets: own.chain(others).collect(),
            parts: Mutex::new((0..states).map(|_| Part::Open).collect()),
            complete: AtomicBool::new(false),
        }
    }

    fn complete(&self) {
        if !self.complete.swap(true, Ordering::AcqRel) {
            self.targets.iter().for_each(|target| target.filter.mark_complete());
        }
    }

    /// Takes what state `at` knows. A filter that cannot be made is no error: nothing is pruned.
    pub(super) fn report(
        &self,
        context: &RunContext,
        at: usize,
        keys: &[ArrayRef],
        state: &Arc<JoinState>,
    ) {
        let Some(target) = self.targets.first() else { return };
        let report = target.observe(context, keys, state);
        let mut parts = self.parts.lock();
        // A shared state is the only one, whatever its number.
        let at = at.min(parts.len().saturating_sub(1));
        if let Some(part) = parts.get_mut(at) {
            *part = Part::Known(report);
        }
        let known: Vec<&Report> = parts
            .iter()
            .filter_map(|part| match part {
                Part::Known(report) => Some(report),
                _ => None,
            })
            .collect();
        if known.len() == parts.len() {
            for target in &self.targets {
                if let Ok(Some(predicate)) = target.predicate(&known) {
                    // An error leaves the filter as it was.
                    let _ = target.filter.update(predicate);
                }
            }
        }
    }

    /// State `at` was made, or could not be.
    pub(super) fn end(&self, at: usize) {
        let mut parts = self.parts.lock();
        let at = at.min(parts.len().saturating_sub(1));
        if let Some(part @ Part::Open) = parts.get_mut(at) {
            *part = Part::Unknown;
        }
        if !parts.iter().any(|part| matches!(part, Part::Open)) {
            self.complete();
        }
    }
}

impl Target {
    fn observe(&self, context: &RunContext, keys: &[ArrayRef], state: &Arc<JoinState>) -> Report {
        let (rows, table): (u32, &JoinTable) = (state.rows, &state.table);
        let options = context.task.session_config().options();
        let most = options.optimizer.hash_join_inlist_pushdown_max_distinct_values;
        let bytes: usize = keys.iter().map(|key| key.get_array_memory_size()).sum();
        let small = rows > 0 && bytes <= options.optimizer.hash_join_inlist_pushdown_max_size;
        let sample = small.then(|| table.representatives(most)).flatten().map(UInt32Array::from);
        let columns = keys
            .iter()
            .zip(&self.keys)
            .map(|(key, probe)| {
                let same = probe
                    .data_type(&self.schema)
                    .is_ok_and(|data_type| data_type == *key.data_type());
                if !same || key.data_type().is_nested() || is_encoded(key.data_type()) {
                    return KeyReport { bounds: None, values: None };
                }
                let values = match &sample {
                    Some(sample) if !key.data_type().is_floating() => {
                        take(key.as_ref(), sample, None).ok()
                    }
                    _ => None,
                };
                KeyReport { bounds: bounds(key).ok().flatten(), values }
            })
            .collect();
        Report {
            rows,
            has_null: keys.iter().any(|key| key.logical_null_count() > 0),
            columns,
            state: Arc::downgrade(state),
        }
    }

    /// The condition that every row with a match meets; `None` if there is no good one.
    fn predicate(&self, reports: &[&Report]) -> Result<Option<Expr>> {
        let filled: Vec<&&Report> = reports.iter().filter(|report| report.rows > 0).collect();
        if filled.is_empty() {
            return self.with_nulls(lit(false), false).map(Some);
        }
        let mut all: Option<Expr> = None;
        for (column, probe) in self.keys.iter().enumerate() {
            let parts: Vec<&KeyReport> =
                filled.iter().filter_map(|report| report.columns.get(column)).collect();
            for condition in [union_bounds(&parts, probe), self.union_values(&parts, probe)?]
                .into_iter()
                .flatten()
            {
                all = Some(match all {
                    Some(all) => binary(all, Operator::And, condition),
                    None => condition,
                });
            }
        }
        // Behind the conditions that files and row groups are pruned by: the table itself, for rows.
        if let ([report], [_]) = (filled.as_slice(), reports)
            && let Some(known) = all.take()
        {
            let table = KeyFilter::new(self.keys.clone(), Weak::clone(&report.state));
            all = Some(binary(known, Operator::And, Arc::new(table)));
        }
        let has_null = filled.iter().any(|report| report.has_null);
        all.map(|all| self.with_nulls(all, has_null)).transpose()
    }

    fn union_values(&self, parts: &[&KeyReport], probe: &Expr) -> Result<Option<Expr>> {
        let values: Option<Vec<&dyn Array>> =
            parts.iter().map(|part| part.values.as_ref().map(AsRef::as_ref)).collect();
        let Some(values) = values else {
            return Ok(None);
        };
        let values = match values.is_empty() {
            true => new_empty_array(&probe.data_type(&self.schema)?),
            false => concat(&values)?,
        };
        if values.is_empty() {
            return Ok(Some(lit(false)));
        }
        let list = InListExpr::try_new_from_array(Arc::clone(probe), values, false, &self.schema)?;
        Ok(Some(Arc::new(list)))
    }

    /// Lets rows with a NULL key pass where the join must see them.
    fn with_nulls(&self, predicate: Expr, build_has_null: bool) -> Result<Expr> {
        let wanted = match self.nulls {
            NullRows::Never => false,
            NullRows::Matching => build_has_null,
            NullRows::Always => true,
        };
        if !wanted {
            return Ok(predicate);
        }
        let mut out = predicate;
        for key in self.keys.iter().rev() {
            if key.nullable(&self.schema)? {
                let is_null: Expr = Arc::new(IsNullExpr::new(Arc::clone(key)));
                out = binary(is_null, Operator::Or, out);
            }
        }
        Ok(out)
    }
}

fn is_encoded(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Dictionary(..) | DataType::RunEndEncoded(..) | DataType::Null)
}

fn binary(left: Expr, op: Operator, right: Expr) -> Expr {
    Arc::new(BinaryExpr::new(left, op, right))
}

/// Rows that one task looks at.
const TASK_ROWS: usize = 1 << 16;

/// The least and greatest value; `None` when all are NULL.
fn bounds(key: &ArrayRef) -> Result<Option<(ScalarValue, ScalarValue)>> {
    let tasks = (0..key.len()).into_par_iter().step_by(TASK_ROWS);
    let found = tasks
        .map(|at| {
            let part = key.slice(at, TASK_ROWS.min(key.len() - at));
            Ok((extreme(part.clone(), false)?, extreme(part, true)?))
        })
        .collect::<Result<Vec<_>>>()?;
    if found.is_empty() {
        return Ok(None);
    }
    let (least, greatest): (Vec<_>, Vec<_>) = found.into_iter().unzip();
    let min = extreme(ScalarValue::iter_to_array(least)?, false)?;
    let max = extreme(ScalarValue::iter_to_array(greatest)?, true)?;
    Ok((!min.is_null() && !max.is_null()).then(|| (down_zero(min), up_zero(max))))
}

fn extreme(values: ArrayRef, greatest: bool) -> Result<ScalarValue> {
    if greatest {
        let mut max = MaxAccumulator::try_new(values.data_type())?;
        max.update_batch(&[values])?;
        return max.evaluate();
    }
    let mut min = MinAccumulator::try_new(values.data_type())?;
    min.update_batch(&[values])?;
    min.evaluate()
}

/// Zeros of either sign are equal as keys, but may not be to who compares with a bound: a lower
/// bound becomes -0.0, an upper one 0.0 (which is -0.0 + 0.0; every other value stays).
fn down_zero(value: ScalarValue) -> ScalarValue {
    match value {
        ScalarValue::Float32(Some(0.0)) => ScalarValue::Float32(Some(-0.0)),
        ScalarValue::Float64(Some(0.0)) => ScalarValue::Float64(Some(-0.0)),
        other => other,
    }
}

fn up_zero(value: ScalarValue) -> ScalarValue {
    match value {
        // Makes 0.0 of -0.0, and leaves every other value as it is.
        ScalarValue::Float32(Some(v)) => ScalarValue::Float32(Some(v + 0.0)),
        ScalarValue::Float64(Some(v)) => ScalarValue::Float64(Some(v + 0.0)),
        other => other,
    }
}

fn union_bounds(parts: &[&KeyReport], probe: &Expr) -> Option<Expr> {
    let mut bounds: Option<(ScalarValue, ScalarValue)> = None;
    for part in parts {
        let (min, max) = part.bounds.clone()?;
        bounds = Some(match bounds {
            None => (min, max),
            Some((low, high)) => {
                (if min < low { min } else { low }, if max > high { max } else { high })
            }
        });
    }
    let (min, max) = bounds?;
    let low = binary(Arc::clone(probe), Operator::GtEq, lit(min));
    let high = binary(Arc::clone(probe), Operator::LtEq, lit(max));
    Some(binary(low, Operator::And, high))
}
