//! Expressions that are computed once for each entry of a dictionary instead of once a row.
//!
//! Such an expression reads one string column, is NULL where the column is (so that a NULL needs no entry),
//! and cannot err: an entry may belong to no row. What only the host can do (letters beyond ASCII in upper,
//! lower and ILIKE) is let in: then an entry that no row has may ask for a rerun.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use datafusion_common::ScalarValue;
use datafusion_expr::Operator;
use datafusion_physical_expr::ScalarFunctionExpr;
use datafusion_physical_expr::expressions::{
    BinaryExpr, Column, InListExpr, LikeExpr, Literal, NotExpr,
};

use super::lowering::{Expr, constant_of};
use super::types::is_text;

/// An expression over one column's dictionary.
#[derive(Debug, Clone)]
pub(super) struct Lookup {
    pub(super) expr: Expr,
    /// Of the input schema.
    pub(super) column: usize,
}

/// The largest such expressions within others.
pub(super) fn find<'a>(schema: &Schema, exprs: impl Iterator<Item = &'a Expr>) -> Vec<Lookup> {
    let mut lookups = Vec::new();
    for expr in exprs {
        walk(schema, expr, &mut lookups);
    }
    lookups
}

fn walk(schema: &Schema, expr: &Expr, lookups: &mut Vec<Lookup>) {
    if expr.is::<Column>() {
        return;
    }
    if let Some(column) = strict(schema, expr) {
        if !lookups.iter().any(|known| &known.expr == expr) {
            lookups.push(Lookup { expr: Arc::clone(expr), column });
        }
        return;
    }
    for child in expr.children() {
        walk(schema, child, lookups);
    }
}

/// The one column that the expression reads, if it is NULL where that is and cannot err.
fn strict(schema: &Schema, expr: &Expr) -> Option<usize> {
    if let Some(column) = expr.downcast_ref::<Column>() {
        let field = schema.fields().get(column.index())?;
        return is_text(field.data_type()).then_some(column.index());
    }
    let operands: Vec<&Expr> = if let Some(binary) = expr.downcast_ref::<BinaryExpr>() {
        match binary.op() {
            Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::LikeMatch
            | Operator::NotLikeMatch
            | Operator::ILikeMatch
            | Operator::NotILikeMatch => vec![binary.left(), binary.right()],
            // NULL on both sides is NULL; a constant beside could decide.
            Operator::And | Operator::Or
                if constant_of(binary.left()).is_none()
                    && constant_of(binary.right()).is_none() =>
            {
                vec![binary.left(), binary.right()]
            }
            _ => return None,
        }
    } else if let Some(like) = expr.downcast_ref::<LikeExpr>() {
        vec![like.expr(), like.pattern()]
    } else if let Some(list) = expr.downcast_ref::<InListExpr>() {
        if !list.list().iter().all(|entry| entry.is::<Literal>()) {
            return None;
        }
        vec![list.expr()]
    } else if let Some(not) = expr.downcast_ref::<NotExpr>() {
        vec![not.arg()]
    } else if let Some(function) = expr.downcast_ref::<ScalarFunctionExpr>() {
        if !harmless(function) {
            return None;
        }
        function.args().iter().collect()
    } else {
        return None;
    };
    let mut found = None;
    for operand in operands {
        if let Some(scalar) = constant_of(operand) {
            if scalar.is_null() {
                return None;
            }
            continue;
        }
        let column = strict(schema, operand)?;
        if found.is_some_and(|found| found != column) {
            return None;
        }
        found = Some(column);
    }
    found
}

/// Functions that are strict and do not err on any string. That they are DataFusion's own is found out when
/// they are lowered.
fn harmless(function: &ScalarFunctionExpr) -> bool {
    let constant =
        |scalar: Option<&ScalarValue>| matches!(scalar, Some(ScalarValue::Int64(Some(_))));
    let args = function.args();
    match function.fun().name() {
        "starts_with" | "ends_with" | "contains" | "octet_length" | "bit_length"
        | "character_length" | "upper" | "lower" | "btrim" | "ltrim" | "rtrim" => true,
        "left" | "right" => constant(args.get(1).and_then(constant_of)),
        "substr" => {
            let count = args.get(2).map(constant_of);
            constant(args.get(1).and_then(constant_of))
                && args.get(1).and_then(constant_of) != Some(&ScalarValue::Int64(Some(i64::MIN)))
                && match count {
                    None => true,
                    Some(Some(ScalarValue::Int64(Some(count)))) => *count >= 0,
                    Some(_) => false,
                }
        }
        _ => false,
    }
}

/// Whether values of the type are kept per entry and gathered.
pub(super) fn gathers(of: &DataType) -> bool {
    super::types::storage(of).is_some() && !matches!(of, DataType::Dictionary(_, _))
}
