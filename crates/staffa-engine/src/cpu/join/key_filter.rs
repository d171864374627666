//! A join's table as a predicate on the probe side: may a row's key have a match?
//!
//! It is a part of the dynamic filter that the build side publishes, so that a scan drops rows before it
//! decodes their other columns. Whoever does not know it may take it for true.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Weak};

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion_common::Result;
use datafusion_expr::{ColumnarValue, Operator};
use datafusion_physical_expr::expressions::{BinaryExpr, lit};
use datafusion_physical_expr::utils::split_conjunction;
use datafusion_physical_expr_common::physical_expr::PhysicalExpr;
use parking_lot::Mutex;

use super::lookup::{Hits, Scratch, may_match};
use super::state::JoinState;

/// True for rows whose key the build side has, and for a few others; never NULL. True for all rows once
/// the join is over.
///
/// It does not keep the build side alive, whose memory is the join's.
#[derive(Clone)]
pub(crate) struct KeyFilter {
    keys: Vec<Arc<dyn PhysicalExpr>>,
    state: Weak<JoinState>,
    /// Buffers that evaluations use again.
    buffers: Arc<Mutex<Vec<(Scratch, Hits)>>>,
}

impl KeyFilter {
    /// Whether a row's `keys` are among those of `state`.
    pub(super) fn new(keys: Vec<Arc<dyn PhysicalExpr>>, state: Weak<JoinState>) -> Self {
        Self { keys, state, buffers: Arc::default() }
    }
}

impl PhysicalExpr for KeyFilter {
    fn return_field(&self, _: &Schema) -> Result<FieldRef> {
        Ok(Arc::new(Field::new("may_match", DataType::Boolean, false)))
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let rows = batch.num_rows();
        let Some(state) = self.state.upgrade() else {
            return Ok(ColumnarValue::Array(Arc::new(BooleanArray::from(vec![true; rows]))));
        };
        let keys = self.keys.iter().map(|key| key.evaluate(batch)?.into_array(rows));
        let keys = keys.collect::<Result<Vec<ArrayRef>>>()?;
        let mut buffers = self.buffers.lock().pop().unwrap_or_default();
        let matched = may_match(&state.keys, &state.table, &keys, rows, &mut buffers)?;
        self.buffers.lock().push(buffers);
        let matched = BooleanArray::new(matched, None);
        Ok(ColumnarValue::Array(Arc::new(matched)))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        self.keys.iter().collect()
    }

    fn with_new_children(
        self: Arc<Self>,
        keys: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        Ok(Arc::new(Self { keys, ..self.as_ref().clone() }))
    }

    fn snapshot(&self) -> Result<Option<Arc<dyn PhysicalExpr>>> {
        Ok(Some(lit(true)))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for KeyFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("may_match(")?;
        for (at, key) in self.keys.iter().enumerate() {
            write!(f, "{}{key}", if at > 0 { ", " } else { "" })?;
        }
        f.write_str(")")
    }
}

impl fmt::Debug for KeyFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PartialEq for KeyFilter {
    fn eq(&self, other: &Self) -> bool {
        self.keys == other.keys && Weak::ptr_eq(&self.state, &other.state)
    }
}

impl Eq for KeyFilter {}

impl Hash for KeyFilter {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.keys.hash(state);
    }
}

/// What is left to test of a join's dynamic filter for single rows: where the table itself stands among
/// its conjuncts, the others follow from it.
pub fn row_test(filter: &Arc<dyn PhysicalExpr>) -> Arc<dyn PhysicalExpr> {
    let conjuncts = split_conjunction(filter);
    if let Some(table) = conjuncts.iter().find(|part| part.is::<KeyFilter>()) {
        return Arc::clone(table);
    }
    match filter.downcast_ref::<BinaryExpr>() {
        Some(either) if *either.op() == Operator::Or => Arc::new(BinaryExpr::new(
            row_test(either.left()),
            Operator::Or,
            row_test(either.right()),
        )),
        _ => Arc::clone(filter),
    }
}
