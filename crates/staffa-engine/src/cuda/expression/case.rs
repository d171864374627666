//! CASE, and what is made of it.

use std::collections::VecDeque;

use arrow::datatypes::DataType;
use datafusion_physical_expr::expressions::CaseExpr;
use staffa_common::Reason;
use staffa_kernels::expression::{Comparison, Value};

use super::lowering::{Expr, Lowering};

/// CASE WHEN c THEN x .. ELSE y END, and CASE b WHEN v THEN x ..: conditions are tested on the rows that no
/// earlier one took, results computed on the rows that take them.
///
/// # Errors
/// Those of the parts; `Expression` when their types differ.
pub(super) fn lower(l: &mut Lowering<'_>, expr: &Expr, case: &CaseExpr) -> Result<Value, Reason> {
    let of = l.type_of(expr)?;
    let base = match case.expr() {
        Some(base) => Some((l.value(base)?, l.type_of(base)?)),
        None => None,
    };
    let mut branches: VecDeque<_> = case.when_then_expr().iter().collect();
    branch(l, base.as_ref(), &mut branches, case.else_expr(), &of)
}

fn branch(
    l: &mut Lowering<'_>,
    base: Option<&(Value, DataType)>,
    branches: &mut VecDeque<&(Expr, Expr)>,
    otherwise: Option<&Expr>,
    of: &DataType,
) -> Result<Value, Reason> {
    let Some((when, then)) = branches.pop_front() else {
        return match otherwise {
            Some(otherwise) => l.value_as(otherwise, of),
            None => Ok(l.builder.null(super::types::register(of)?)?),
        };
    };
    let condition = match base {
        None => l.value_as(when, &DataType::Boolean)?,
        Some((value, of)) => {
            // Rows whose base is NULL take ELSE without testing anything.
            let present = l.builder.is_null(*value, true);
            let rows = l.builder.rows_where(present)?;
            let when = l.on(rows, |l| l.value_as(when, of))?;
            l.builder.compare(Comparison::Equal, when, *value)?
        }
    };
    let rows = l.builder.rows_where(condition)?;
    let a = l.on(rows, |l| l.value_as(then, of))?;
    let rows = l.builder.rows_unless(condition)?;
    let b = l.on(rows, |l| branch(l, base, branches, otherwise, of))?;
    Ok(l.builder.select(condition, a, b)?)
}
