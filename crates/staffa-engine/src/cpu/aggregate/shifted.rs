//! Sums of `x + constant` as sums of `x`.
//!
//! `SUM(x + 3)` is `SUM(x) + 3 * COUNT(x)`, to the bit: Int64 wraps around in either. So `x` is evaluated, summed and
//! counted once for all constants, which is all that ClickBench's q29 asks for, ninety times.

use std::any::Any;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::compute::sum;
use arrow::datatypes::{DataType, Int64Type, Schema};
use datafusion_common::ScalarValue;
use datafusion_expr::Operator;
use datafusion_functions_aggregate::sum::Sum;
use datafusion_physical_expr::aggregate::AggregateFunctionExpr;
use datafusion_physical_expr::expressions::{BinaryExpr, Literal};
use datafusion_physical_expr_common::physical_expr::PhysicalExpr;

type Expr = Arc<dyn PhysicalExpr>;

/// A sum's argument without its constant, and that.
pub(super) fn without_constant(
    function: &AggregateFunctionExpr,
    input: &Schema,
) -> Option<(Expr, i64)> {
    let of: &dyn Any = function.fun().inner().as_ref();
    if !of.is::<Sum>() || function.is_distinct() || !function.order_bys().is_empty() {
        return None;
    }
    let arguments = function.expressions();
    let [argument] = arguments.as_slice() else { return None };
    let binary = argument.downcast_ref::<BinaryExpr>()?;
    let (left, right) = (binary.left(), binary.right());
    // One that errs where it overflows is not this one.
    let wraps = BinaryExpr::new(Arc::clone(left), *binary.op(), Arc::clone(right)) == *binary;
    let (of, by) = match (binary.op(), constant(left), constant(right)) {
        (Operator::Plus, None, Some(by)) => (left, by),
        (Operator::Plus, Some(by), None) => (right, by),
        (Operator::Minus, None, Some(by)) => (left, by.wrapping_neg()),
        _ => return None,
    };
    let integer = of.data_type(input).is_ok_and(|data_type| data_type == DataType::Int64);
    (wraps && integer).then(|| (Arc::clone(of), by))
}

fn constant(expr: &Expr) -> Option<i64> {
    match expr.downcast_ref::<Literal>()?.value() {
        ScalarValue::Int64(value) => *value,
        _ => None,
    }
}

/// Sums of a morsel's columns, each made once.
#[derive(Default)]
pub(super) struct Sums {
    known: Vec<(ArrayRef, Option<(i64, i64)>)>,
}

impl Sums {
    /// Forgets all sums: the next morsel comes.
    pub(super) fn clear(&mut self) {
        self.known.clear();
    }

    /// One value that adds to a sum what the values of `column`, each and `by`, would. None where there are none,
    /// or where it is no column of Int64.
    pub(super) fn of(&mut self, column: &ArrayRef, by: i64) -> Option<ArrayRef> {
        let known = self.known.iter().find(|(of, _)| Arc::ptr_eq(of, column));
        let found = match known {
            Some((_, found)) => *found,
            None => {
                let values = column.as_primitive_opt::<Int64Type>()?;
                let rows = (values.len() - values.null_count()) as i64;
                let found = sum(values).map(|sum| (sum, rows));
                self.known.push((Arc::clone(column), found));
                found
            }
        };
        let (sum, rows) = found?;
        Some(Arc::new(Int64Array::from(vec![sum.wrapping_add(rows.wrapping_mul(by))])))
    }
}
