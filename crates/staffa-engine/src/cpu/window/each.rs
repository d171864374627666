//! Any window function, by DataFusion's own evaluation of one partition after the other.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::compute::concat;
use arrow::datatypes::SchemaRef;
use datafusion_common::Result;
use datafusion_physical_expr::window::WindowExpr;

use super::function::Function;
use super::unit::Unit;

/// A function of which only DataFusion knows what it does. It reads every column.
#[derive(Debug)]
pub(super) struct Each {
    pub(super) expr: Arc<dyn WindowExpr>,
    pub(super) schema: SchemaRef,
}

impl Function for Each {
    fn evaluate(&mut self, unit: &Unit) -> Result<ArrayRef> {
        let batch = unit.morsel.to_batch(&self.schema)?;
        let results = unit
            .partitions()
            .map(|rows| self.expr.evaluate(&batch.slice(rows.start, rows.len())))
            .collect::<Result<Vec<_>>>()?;
        let results: Vec<&dyn Array> = results.iter().map(AsRef::as_ref).collect();
        Ok(concat(&results)?)
    }
}
