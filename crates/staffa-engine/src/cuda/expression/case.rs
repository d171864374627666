//! CASE.
//!
//! Conditions are tested on the rows that no earlier one took, results computed on the rows that take them,
//! one after the other into one register. Regions do not nest: which rows are left is kept in bits, worked out
//! outside of the regions. A warp that jumps over a region leaves a condition's old bits behind, but
//! only where an earlier condition took all its rows, and those are masked out.

use arrow::datatypes::DataType;
use datafusion_physical_expr::expressions::CaseExpr;
use staffa_common::Reason;
use staffa_kernels::expression::{Comparison, Value};

use super::lowering::{Expr, Lowering};
use super::types::register;

/// CASE WHEN c THEN x .. ELSE y END, and CASE b WHEN v THEN x ...
///
/// # Errors
/// Those of the parts; `Expression` when their types differ.
pub(super) fn lower(l: &mut Lowering<'_>, expr: &Expr, case: &CaseExpr) -> Result<Value, Reason> {
    let of = l.type_of(expr)?;
    let base = match case.expr() {
        Some(base) => Some((l.value(base)?, l.type_of(base)?)),
        None => None,
    };
    // Rows that no condition has taken yet; at first all.
    let mut left: Option<Value> = None;
    let mut result: Option<Value> = None;
    let branches = case.when_then_expr();
    for (number, (when, then)) in branches.iter().enumerate() {
        let taken = condition(l, base.as_ref(), left, when)?;
        let rows = l.builder.rows_where(taken)?;
        let value = l.on(rows, |l| l.value_as(then, &of))?;
        result = Some(match result {
            Some(result) => l.builder.select(taken, value, result)?,
            // ELSE fills what is not taken at last.
            None if case.else_expr().is_some() => value,
            None => {
                let null = l.builder.null(register(&of)?)?;
                l.builder.select(taken, value, null)?
            }
        });
        if number + 1 < branches.len() || case.else_expr().is_some() {
            let others = l.builder.not(taken)?;
            left = Some(match left {
                Some(left) => l.builder.and(left, others)?,
                None => others,
            });
        }
    }
    let result = match result {
        Some(result) => result,
        None => l.builder.null(register(&of)?)?,
    };
    match (case.else_expr(), left) {
        (Some(otherwise), Some(left)) => {
            let rows = l.builder.rows_where(left)?;
            let value = l.on(rows, |l| l.value_as(otherwise, &of))?;
            Ok(l.builder.select(left, value, result)?)
        }
        _ => Ok(result),
    }
}

/// The rows, of those that are left, on which a WHEN holds: a boolean that is never NULL.
fn condition(
    l: &mut Lowering<'_>,
    base: Option<&(Value, DataType)>,
    left: Option<Value>,
    when: &Expr,
) -> Result<Value, Reason> {
    let tests = |l: &mut Lowering<'_>| match base {
        None => l.value_as(when, &DataType::Boolean),
        Some((value, of)) => {
            // Rows whose base is NULL take ELSE without testing anything.
            let present = l.builder.is_null(*value, true);
            let rows = l.builder.rows_where(present)?;
            let when = l.on(rows, |l| l.value_as(when, of))?;
            Ok(l.builder.compare(Comparison::Equal, when, *value)?)
        }
    };
    let holds = match left {
        None => tests(l)?,
        Some(left) => {
            let rows = l.builder.rows_where(left)?;
            l.on(rows, tests)?
        }
    };
    let holds = l.builder.is_truth(holds, true, false)?;
    match left {
        Some(left) => Ok(l.builder.and(holds, left)?),
        None => Ok(holds),
    }
}
