//! Binary operators and negation.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion_common::ScalarValue;
use datafusion_expr::Operator;
use datafusion_physical_expr::expressions::BinaryExpr;
use staffa_common::{Reason, ReasonCode};
use staffa_kernels::expression::{
    Arithmetic, Comparison, Constant, DecimalArithmetic, OnError, Type, Value,
};

use super::lowering::{Expr, Lowering, constant_of, same_values};
use super::types::{decimal, is_text, plain, register};
use super::{interval, strings};

fn refused(expr: &Expr) -> Reason {
    Reason::new(ReasonCode::Expression, expr.to_string())
}

/// An operator with its operands.
///
/// # Errors
/// `Expression` for operators and types that the interpreter does not have; those of the operands.
pub(super) fn lower(
    l: &mut Lowering<'_>,
    expr: &Expr,
    binary: &BinaryExpr,
) -> Result<Value, Reason> {
    let (left, right) = (binary.left(), binary.right());
    match binary.op() {
        Operator::And | Operator::Or => logic(l, left, *binary.op(), right),
        Operator::Eq => compare(l, expr, Comparison::Equal, left, right),
        Operator::NotEq => compare(l, expr, Comparison::NotEqual, left, right),
        Operator::Lt => compare(l, expr, Comparison::Less, left, right),
        Operator::LtEq => compare(l, expr, Comparison::LessOrEqual, left, right),
        Operator::Gt => compare(l, expr, Comparison::Greater, left, right),
        Operator::GtEq => compare(l, expr, Comparison::GreaterOrEqual, left, right),
        Operator::IsDistinctFrom => distinct(l, expr, left, right, false),
        Operator::IsNotDistinctFrom => distinct(l, expr, left, right, true),
        Operator::Plus
        | Operator::Minus
        | Operator::Multiply
        | Operator::Divide
        | Operator::Modulo => arithmetic(l, expr, binary),
        Operator::BitwiseAnd => bitwise(l, expr, Arithmetic::BitAnd, left, right),
        Operator::BitwiseOr => bitwise(l, expr, Arithmetic::BitOr, left, right),
        Operator::BitwiseXor => bitwise(l, expr, Arithmetic::BitXor, left, right),
        Operator::BitwiseShiftLeft => shift(l, expr, left, right, true),
        Operator::BitwiseShiftRight => shift(l, expr, left, right, false),
        Operator::StringConcat => strings::concatenate(l, left, right),
        Operator::LikeMatch => strings::like(l, left, right, false, false),
        Operator::NotLikeMatch => strings::like(l, left, right, false, true),
        Operator::ILikeMatch => strings::like(l, left, right, true, false),
        Operator::NotILikeMatch => strings::like(l, left, right, true, true),
        _ => Err(refused(expr)),
    }
}

/// AND and OR. DataFusion evaluates the right side on all rows unless few depend on it, so the right side is
/// not masked here: where it errs on a row that did not need it, the rerun decides.
fn logic(l: &mut Lowering<'_>, left: &Expr, op: Operator, right: &Expr) -> Result<Value, Reason> {
    let a = l.value_as(left, &DataType::Boolean)?;
    let b = l.value_as(right, &DataType::Boolean)?;
    Ok(if op == Operator::And { l.builder.and(a, b)? } else { l.builder.or(a, b)? })
}

/// Both operands of a comparison, of one type that has an order on the device.
fn comparable(
    l: &mut Lowering<'_>,
    expr: &Expr,
    left: &Expr,
    right: &Expr,
) -> Result<(Value, Value), Reason> {
    let (of_left, of_right) = (l.type_of(left)?, l.type_of(right)?);
    let of = if plain(&of_left) == &DataType::Null { &of_right } else { &of_left };
    if matches!(plain(of), DataType::Interval(_) | DataType::Null)
        || plain(&of_right) != &DataType::Null && !same_values(of, &of_right)
    {
        return Err(refused(expr));
    }
    let (a, b) = (l.value_as(left, of)?, l.value_as(right, of)?);
    if !a.kind().is_float() {
        return Ok((a, b));
    }
    Ok((positive_zero(l, a, left, right)?, positive_zero(l, b, right, left)?))
}

/// A float as comparisons of DataFusion see it: -0.0 is 0.0. The order is total otherwise, so beside a
/// constant that is no zero both zeros stand on the same side, and nothing needs to be done.
fn positive_zero(
    l: &mut Lowering<'_>,
    value: Value,
    expr: &Expr,
    other: &Expr,
) -> Result<Value, Reason> {
    let zero = |expr: &Expr| match constant_of(expr) {
        Some(ScalarValue::Float32(v)) => v.map(|v| v == 0.0),
        Some(ScalarValue::Float64(v)) => v.map(|v| v == 0.0),
        _ => None,
    };
    match (zero(expr), zero(other)) {
        (Some(false), _) | (_, Some(false)) => Ok(value),
        (Some(true), _) => Ok(l.builder.constant(&Constant::integer(value.kind(), 0))?),
        _ => {
            let negative = match value.kind() {
                Type::F32 => Constant::F32(-0.0),
                _ => Constant::F64(-0.0),
            };
            let negative = l.builder.constant(&negative)?;
            let positive = l.builder.constant(&Constant::integer(value.kind(), 0))?;
            let found = l.builder.compare(Comparison::Equal, value, negative)?;
            Ok(l.builder.select(found, positive, value)?)
        }
    }
}

fn compare(
    l: &mut Lowering<'_>,
    expr: &Expr,
    comparison: Comparison,
    left: &Expr,
    right: &Expr,
) -> Result<Value, Reason> {
    let (a, b) = comparable(l, expr, left, right)?;
    Ok(l.builder.compare(comparison, a, b)?)
}

fn distinct(
    l: &mut Lowering<'_>,
    expr: &Expr,
    left: &Expr,
    right: &Expr,
    negated: bool,
) -> Result<Value, Reason> {
    // IS [NOT] TRUE, FALSE and UNKNOWN come as these.
    if let Some(ScalarValue::Boolean(truth)) = constant_of(right) {
        let a = l.value_as(left, &DataType::Boolean)?;
        return Ok(match truth {
            Some(truth) => l.builder.is_truth(a, *truth, !negated)?,
            None => l.builder.is_null(a, !negated),
        });
    }
    let (a, b) = comparable(l, expr, left, right)?;
    Ok(l.builder.distinct(a, b, negated)?)
}

/// Whether overflow of integers is an error: the expression does not tell, but differs from one that wraps.
fn checked(binary: &BinaryExpr) -> bool {
    let wraps =
        BinaryExpr::new(Arc::clone(binary.left()), *binary.op(), Arc::clone(binary.right()));
    *binary != wraps
}

fn arithmetic(l: &mut Lowering<'_>, expr: &Expr, binary: &BinaryExpr) -> Result<Value, Reason> {
    let (left, right) = (binary.left(), binary.right());
    let (of_left, of_right) = (l.type_of(left)?, l.type_of(right)?);
    let (a, b) = (plain(&of_left).clone(), plain(&of_right).clone());
    let minus = *binary.op() == Operator::Minus;
    match (&a, &b) {
        (DataType::Decimal128(_, _), DataType::Decimal128(_, _)) => decimals(l, expr, binary),
        _ if a == b && (a.is_integer() || matches!(a, DataType::Float32 | DataType::Float64)) => {
            numbers(l, expr, binary, &a)
        }
        (DataType::Date32, DataType::Date32) if minus => {
            let (x, y) = (l.value(left)?, l.value(right)?);
            let x = l.builder.convert(x, Type::I64, OnError::Raise)?;
            let y = l.builder.convert(y, Type::I64, OnError::Raise)?;
            Ok(l.builder.arithmetic(Arithmetic::Subtract, x, y)?)
        }
        (DataType::Date64, DataType::Date64) if minus => {
            let (x, y) = (l.value(left)?, l.value(right)?);
            let milliseconds = l.builder.arithmetic(Arithmetic::Subtract, x, y)?;
            interval::divide(l, milliseconds, 86_400_000)
        }
        (DataType::Timestamp(u, _), DataType::Timestamp(v, _)) if minus && u == v => {
            let (x, y) = (l.value(left)?, l.value(right)?);
            Ok(l.builder.arithmetic(Arithmetic::SubtractChecked, x, y)?)
        }
        (DataType::Timestamp(u, _) | DataType::Duration(u), DataType::Duration(v))
        | (DataType::Duration(u), DataType::Timestamp(v, _))
            if u == v
                && (*binary.op() == Operator::Plus
                    || minus && !matches!(b, DataType::Timestamp(_, _))) =>
        {
            let (x, y) = (l.value(left)?, l.value(right)?);
            let op = if minus { Arithmetic::SubtractChecked } else { Arithmetic::AddChecked };
            Ok(l.builder.arithmetic(op, x, y)?)
        }
        (_, DataType::Interval(_)) if minus || *binary.op() == Operator::Plus => {
            interval::add(l, expr, left, right, minus)
        }
        (DataType::Interval(_), _) if *binary.op() == Operator::Plus => {
            interval::add(l, expr, right, left, false)
        }
        _ => Err(refused(expr)),
    }
}

fn numbers(
    l: &mut Lowering<'_>,
    expr: &Expr,
    binary: &BinaryExpr,
    of: &DataType,
) -> Result<Value, Reason> {
    let errs = of.is_integer() && checked(binary);
    let op = match (binary.op(), errs) {
        (Operator::Plus, false) => Arithmetic::Add,
        (Operator::Plus, true) => Arithmetic::AddChecked,
        (Operator::Minus, false) => Arithmetic::Subtract,
        (Operator::Minus, true) => Arithmetic::SubtractChecked,
        (Operator::Multiply, false) => Arithmetic::Multiply,
        (Operator::Multiply, true) => Arithmetic::MultiplyChecked,
        (Operator::Divide, _) => Arithmetic::Divide,
        (Operator::Modulo, _) => Arithmetic::Remainder,
        _ => return Err(refused(expr)),
    };
    let (a, b) = (l.value_as(binary.left(), of)?, l.value_as(binary.right(), of)?);
    Ok(l.builder.arithmetic(op, a, b)?)
}

fn decimals(l: &mut Lowering<'_>, expr: &Expr, binary: &BinaryExpr) -> Result<Value, Reason> {
    let op = match binary.op() {
        Operator::Plus => DecimalArithmetic::Add,
        Operator::Minus => DecimalArithmetic::Subtract,
        Operator::Multiply => DecimalArithmetic::Multiply,
        Operator::Divide => DecimalArithmetic::Divide,
        Operator::Modulo => DecimalArithmetic::Remainder,
        _ => return Err(refused(expr)),
    };
    let of = |l: &Lowering<'_>, side: &Expr| -> Result<_, Reason> {
        decimal(&l.type_of(side)?).ok_or_else(|| refused(expr))
    };
    let (of_left, of_right) = (of(l, binary.left())?, of(l, binary.right())?);
    let (a, b) = (l.value(binary.left())?, l.value(binary.right())?);
    let (value, result) = l.builder.decimal_arithmetic(op, (a, of_left), (b, of_right))?;
    if decimal(&l.type_of(expr)?) != Some(result) {
        return Err(Reason::new(
            ReasonCode::DataType,
            format!(
                "{expr}: a decimal of {} digits, {} behind the point",
                result.precision, result.scale
            ),
        ));
    }
    Ok(value)
}

fn bitwise(
    l: &mut Lowering<'_>,
    expr: &Expr,
    op: Arithmetic,
    left: &Expr,
    right: &Expr,
) -> Result<Value, Reason> {
    let of = l.type_of(left)?;
    if !plain(&of).is_integer() {
        return Err(refused(expr));
    }
    let (a, b) = (l.value_as(left, &of)?, l.value_as(right, &of)?);
    Ok(l.builder.arithmetic(op, a, b)?)
}

fn shift(
    l: &mut Lowering<'_>,
    expr: &Expr,
    left: &Expr,
    right: &Expr,
    to_left: bool,
) -> Result<Value, Reason> {
    let of = l.type_of(left)?;
    let kind = register(&of)?;
    let Some(count) = constant_of(right) else {
        return Err(Reason::new(ReasonCode::NotConstant, format!("{expr}: the shift")));
    };
    if !kind.is_integer() || !same_values(&of, &count.data_type()) {
        return Err(refused(expr));
    }
    let count = match count {
        ScalarValue::Int8(Some(n)) => i64::from(*n),
        ScalarValue::Int16(Some(n)) => i64::from(*n),
        ScalarValue::Int32(Some(n)) => i64::from(*n),
        ScalarValue::Int64(Some(n)) => *n,
        ScalarValue::UInt8(Some(n)) => i64::from(*n),
        ScalarValue::UInt16(Some(n)) => i64::from(*n),
        ScalarValue::UInt32(Some(n)) => i64::from(*n),
        ScalarValue::UInt64(Some(n)) => n.cast_signed(),
        _ => return Ok(l.builder.null(kind)?),
    };
    let a = l.value(left)?;
    // arrow takes the low 32 bits, and those modulo the width, which is a power of two.
    let count = u32::try_from(count & 0xff).unwrap_or(0);
    Ok(l.builder.shift(a, count, to_left)?)
}

/// `-x`: integers wrap, decimals and durations err on MIN.
///
/// # Errors
/// `Expression` for intervals and what has no sign.
pub(super) fn negate(l: &mut Lowering<'_>, arg: &Expr) -> Result<Value, Reason> {
    let of = l.type_of(arg)?;
    let errs = match plain(&of) {
        DataType::Decimal128(_, _) | DataType::Duration(_) => true,
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => false,
        DataType::Float32 | DataType::Float64 => false,
        _ => return Err(Reason::new(ReasonCode::Expression, format!("-{arg} of type {of}"))),
    };
    let a = l.value(arg)?;
    Ok(l.builder.negate(a, errs)?)
}

/// Whether both sides are strings.
pub(super) fn texts(l: &Lowering<'_>, exprs: &[&Expr]) -> Result<bool, Reason> {
    for expr in exprs {
        if !is_text(&l.type_of(expr)?) {
            return Ok(false);
        }
    }
    Ok(true)
}
