//! Smallest and largest values so far, as a filter on the source.
//!
//! `SELECT min(a), max(b)` needs no row any more of which `a` is not smaller and `b` not larger than what was found:
//! the scan leaves out row groups whose statistics say so, and the rest of the one that it reads.

use std::sync::Arc;

use datafusion_common::{Result, ScalarValue};
use datafusion_expr::{Accumulator, Operator};
use datafusion_functions_aggregate::min_max::Max;
use datafusion_physical_expr::expressions::{BinaryExpr, DynamicFilterPhysicalExpr, lit};
use datafusion_physical_expr_common::physical_expr::PhysicalExpr;
use parking_lot::Mutex;

use crate::CancelFlag;
use crate::plan::AggregateSpec;

/// What all lanes have found together.
pub(super) struct Bounds {
    filter: Arc<DynamicFilterPhysicalExpr>,
    /// Per function its column, and how a row compares that matters yet.
    columns: Vec<(Arc<dyn PhysicalExpr>, Operator)>,
    /// Per function its value; NULL while there is none.
    values: Mutex<Vec<ScalarValue>>,
}

impl Bounds {
    /// None where the source has no such filter, or states come in place of rows.
    ///
    /// # Errors
    /// DataFusion's, when the filter cannot be updated.
    pub(super) fn new(spec: &AggregateSpec) -> Result<Option<Self>> {
        let Some(filter) = spec.dynamic_filter.as_ref().filter(|_| !spec.stage.reads_states())
        else {
            return Ok(None);
        };
        let mut columns = Vec::with_capacity(spec.aggregates.len());
        for function in &spec.aggregates {
            let [column] = &function.expressions()[..] else { return Ok(None) };
            let of: &dyn std::any::Any = function.fun().inner().as_ref();
            let operator = if of.is::<Max>() { Operator::Gt } else { Operator::Lt };
            columns.push((Arc::clone(column), operator));
        }
        // A plan that runs once more starts anew.
        filter.update(lit(true))?;
        Ok(Some(Self {
            filter: Arc::clone(filter),
            values: Mutex::new(vec![ScalarValue::Null; columns.len()]),
            columns,
        }))
    }

    /// Takes a lane's values into account; of no effect on the source once the region was cancelled, whose rows may
    /// be another's then.
    ///
    /// # Errors
    /// DataFusion's, when the filter cannot be updated.
    pub(super) fn tighten(
        &self,
        states: &mut [Box<dyn Accumulator>],
        cancel: &CancelFlag,
    ) -> Result<()> {
        let found = states.iter_mut().map(|state| state.evaluate()).collect::<Result<Vec<_>>>()?;
        let mut values = self.values.lock();
        let mut tighter = false;
        for ((value, found), (_, operator)) in values.iter_mut().zip(found).zip(&self.columns) {
            if !found.is_null() && (value.is_null() || goes_beyond(&found, *operator, value)) {
                *value = found;
                tighter = true;
            }
        }
        // A function that has seen no value yet may find its one in any row.
        if !tighter || values.iter().any(ScalarValue::is_null) {
            return Ok(());
        }
        let matters =
            |((column, operator), value): (&(Arc<dyn PhysicalExpr>, Operator), &ScalarValue)| {
                let value = lit(value.clone());
                Arc::new(BinaryExpr::new(Arc::clone(column), *operator, value))
                    as Arc<dyn PhysicalExpr>
            };
        let any = self.columns.iter().zip(values.iter()).map(matters).reduce(|all, one| {
            Arc::new(BinaryExpr::new(all, Operator::Or, one)) as Arc<dyn PhysicalExpr>
        });
        // Under the lock, so that the filter never goes back to what let more through.
        cancel.unless_cancelled(|| any.map_or(Ok(()), |any| self.filter.update(any)))
    }
}

fn goes_beyond(found: &ScalarValue, operator: Operator, value: &ScalarValue) -> bool {
    match operator {
        Operator::Gt => found > value,
        _ => found < value,
    }
}
