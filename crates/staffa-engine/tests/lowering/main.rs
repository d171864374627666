//! Expressions lowered to device programs, against DataFusion's own evaluation.

mod cells;
mod check;
mod device;
mod matrix;
mod matrix_functions;
mod random;
mod special;
mod tpch;
mod values;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, col, lit};
use staffa_engine::cuda::expression::{OutputFrom, lower};

#[test]
fn columns_pass_and_the_rest_is_computed() {
    let schema = Schema::new(vec![
        Field::new("a", DataType::Int64, true),
        Field::new("b", DataType::Utf8, true),
    ]);
    let a = col("a", &schema).unwrap();
    let sum: Arc<dyn PhysicalExpr> =
        Arc::new(BinaryExpr::new(Arc::clone(&a), Operator::Plus, lit(1i64)));
    let lowered = lower(None, &[a, sum], &schema).unwrap();
    assert_eq!(lowered.columns(), [0]);
    let compiled = lowered.compile(&lowered.general(false)).unwrap();
    assert_eq!(compiled.outputs, [OutputFrom::Column(0), OutputFrom::Program(0)]);
}
