//! The bound that a top-K's lanes share: no row at or behind it can be among the first K.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use arrow::array::ArrayRef;
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::Operator;
use datafusion_physical_expr::expressions::{
    BinaryExpr, DynamicFilterPhysicalExpr, is_not_null, is_null, lit,
};
use datafusion_physical_expr_common::physical_expr::PhysicalExpr;
use datafusion_physical_expr_common::sort_expr::LexOrdering;
use parking_lot::RwLock;

use crate::CancelFlag;

/// A key that K rows are at or before.
#[derive(Debug, Clone)]
pub(super) struct Bound {
    /// As an entry holds it.
    pub(super) key: u128,
    /// The whole key, where entries hold only its first bytes.
    pub(super) row: Option<Box<[u8]>>,
    /// The value of the first sort expression there.
    pub(super) first: ArrayRef,
}

impl Bound {
    /// Whether a key stands strictly before this bound.
    #[inline]
    pub(super) fn admits<'a>(&self, key: u128, row: impl FnOnce() -> Option<&'a [u8]>) -> bool {
        if key != self.key {
            return key < self.key;
        }
        match (&self.row, row()) {
            (Some(bound), Some(row)) => row < bound.as_ref(),
            _ => false,
        }
    }
}

/// The tightest bound that any lane has found, and the filter on the source that follows it.
#[derive(Debug)]
pub(super) struct SharedBound {
    current: RwLock<Option<Arc<Bound>>>,
    filter: Option<Arc<DynamicFilterPhysicalExpr>>,
    ordering: LexOrdering,
    /// States that are not sealed yet.
    open: AtomicUsize,
    complete: AtomicBool,
}

impl SharedBound {
    /// For a top-K that `states` states make together.
    pub(super) fn new(
        ordering: &LexOrdering,
        filter: Option<&Arc<DynamicFilterPhysicalExpr>>,
        states: usize,
    ) -> Self {
        Self {
            current: RwLock::new(None),
            filter: filter.map(Arc::clone),
            ordering: ordering.clone(),
            open: AtomicUsize::new(states.max(1)),
            complete: AtomicBool::new(false),
        }
    }

    /// The bound now.
    pub(super) fn current(&self) -> Option<Arc<Bound>> {
        self.current.read().clone()
    }

    /// Tightens the bound; `values` gives the sort expressions' values at it.
    ///
    /// # Errors
    /// What `values` raises, or DataFusion's when the filter cannot be updated.
    pub(super) fn tighten(
        &self,
        bound: Bound,
        cancel: &CancelFlag,
        values: impl FnOnce() -> Result<Vec<ScalarValue>>,
    ) -> Result<()> {
        if !improves(&bound, self.current.read().as_deref()) {
            return Ok(());
        }
        let predicate = match &self.filter {
            Some(_) => Some(before(&self.ordering, &values()?)?),
            None => None,
        };
        // The filter is updated under the lock, so that it never goes back to a looser bound.
        let mut current = self.current.write();
        if !improves(&bound, current.as_deref()) {
            return Ok(());
        }
        *current = Some(Arc::new(bound));
        match (&self.filter, predicate) {
            // The rows of a cancelled region may be another's.
            (Some(filter), Some(predicate)) => cancel.unless_cancelled(|| filter.update(predicate)),
            _ => Ok(()),
        }
    }

    /// A state is sealed, or will never be. After the last one the filter is complete.
    pub(super) fn close(&self) {
        let last =
            self.open.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| n.checked_sub(1));
        if last == Ok(1) {
            self.complete();
        }
    }

    fn complete(&self) {
        if let Some(filter) = &self.filter
            && !self.complete.swap(true, Ordering::AcqRel)
        {
            filter.mark_complete();
        }
    }
}

impl Drop for SharedBound {
    fn drop(&mut self) {
        self.complete();
    }
}

fn improves(bound: &Bound, current: Option<&Bound>) -> bool {
    current.is_none_or(|current| current.admits(bound.key, || bound.row.as_deref()))
}

/// The predicate "stands strictly before these values in this order", NULLs ordered too:
///
/// ```text
/// k1 < v1  OR  (k1 = v1 AND k2 < v2)  OR  (k1 = v1 AND k2 = v2 AND k3 < v3) ..
/// ```
fn before(ordering: &LexOrdering, values: &[ScalarValue]) -> Result<Arc<dyn PhysicalExpr>> {
    let mut equal: Option<Arc<dyn PhysicalExpr>> = None;
    let mut any: Option<Arc<dyn PhysicalExpr>> = None;
    for (key, value) in ordering.iter().zip(values) {
        let smaller = smaller(&key.expr, key.options.descending, key.options.nulls_first, value)?;
        let term = match &equal {
            Some(equal) => binary(equal, Operator::And, &smaller),
            None => smaller,
        };
        any = Some(match &any {
            Some(any) => binary(any, Operator::Or, &term),
            None => term,
        });
        let same = if value.is_null() {
            is_null(Arc::clone(&key.expr))?
        } else {
            binary(&key.expr, Operator::Eq, &lit(value.clone()))
        };
        equal = Some(match &equal {
            Some(equal) => binary(equal, Operator::And, &same),
            None => same,
        });
    }
    Ok(any.unwrap_or_else(|| lit(true)))
}

/// One key stands before a value: NULLs, too, have their place.
fn smaller(
    key: &Arc<dyn PhysicalExpr>,
    descending: bool,
    nulls_first: bool,
    value: &ScalarValue,
) -> Result<Arc<dyn PhysicalExpr>> {
    // A comparison takes zeros of either sign for equal, the order does not: both pass.
    let zero = matches!(value, ScalarValue::Float64(Some(v)) if *v == 0.0)
        || matches!(value, ScalarValue::Float32(Some(v)) if *v == 0.0)
        || matches!(value, ScalarValue::Float16(Some(v)) if v.to_f32() == 0.0);
    let operator = match (descending, zero) {
        (true, false) => Operator::Gt,
        (true, true) => Operator::GtEq,
        (false, false) => Operator::Lt,
        (false, true) => Operator::LtEq,
    };
    Ok(match (nulls_first, value.is_null()) {
        (true, true) => lit(false),
        (false, true) => is_not_null(Arc::clone(key))?,
        (false, false) => binary(key, operator, &lit(value.clone())),
        (true, false) => binary(
            &is_null(Arc::clone(key))?,
            Operator::Or,
            &binary(key, operator, &lit(value.clone())),
        ),
    })
}

fn binary(
    left: &Arc<dyn PhysicalExpr>,
    operator: Operator,
    right: &Arc<dyn PhysicalExpr>,
) -> Arc<dyn PhysicalExpr> {
    Arc::new(BinaryExpr::new(Arc::clone(left), operator, Arc::clone(right)))
}
