//! Operators on strings.

use datafusion_common::ScalarValue;
use staffa_common::{Reason, ReasonCode};
use staffa_kernels::expression::{Type, Value};

use super::binary::texts;
use super::lowering::{Expr, Lowering, constant_of};

/// The string of a constant expression; inner `None` is NULL.
pub(super) fn text_of(expr: &Expr) -> Option<Option<&str>> {
    constant_of(expr).and_then(ScalarValue::try_as_str)
}

/// `a [NOT] LIKE|ILIKE pattern`, with a constant pattern.
///
/// # Errors
/// `NotConstant` for other patterns, `Expression` for what is no string.
pub(super) fn like(
    l: &mut Lowering<'_>,
    a: &Expr,
    pattern: &Expr,
    ignore_case: bool,
    negated: bool,
) -> Result<Value, Reason> {
    if !texts(l, &[a])? {
        return Err(Reason::new(ReasonCode::Expression, format!("LIKE of {a}")));
    }
    match text_of(pattern) {
        None => Err(Reason::new(ReasonCode::NotConstant, format!("the pattern {pattern}"))),
        Some(None) => Ok(l.builder.null(Type::Bits)?),
        Some(Some(pattern)) => {
            let a = l.value(a)?;
            Ok(l.builder.like(a, pattern, ignore_case, negated)?)
        }
    }
}

/// `a || b`.
///
/// # Errors
/// `Expression` unless both are strings.
pub(super) fn concatenate(l: &mut Lowering<'_>, a: &Expr, b: &Expr) -> Result<Value, Reason> {
    if !texts(l, &[a, b])? {
        return Err(Reason::new(ReasonCode::Expression, format!("{a} || {b}")));
    }
    let (a, b) = (l.value(a)?, l.value(b)?);
    Ok(l.builder.concatenate(a, b)?)
}
