//! Dates, timestamps and times plus intervals.

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use datafusion_common::ScalarValue;
use staffa_common::{Reason, ReasonCode};
use staffa_kernels::expression::{Arithmetic, Constant, OnError, Type, Unit, Value};

use super::literal::month_day_nano;
use super::lowering::{Expr, Lowering, constant_of};
use super::types::{calendar_unit, per_second, plain};

/// `a` divided by a constant, truncated.
///
/// # Errors
/// `ExpressionSize`.
pub(super) fn divide(l: &mut Lowering<'_>, a: Value, divisor: i64) -> Result<Value, Reason> {
    if divisor == 1 {
        return Ok(a);
    }
    let divisor = l.builder.constant(&Constant::integer(a.kind(), i128::from(divisor)))?;
    Ok(l.builder.arithmetic(Arithmetic::Divide, a, divisor)?)
}

/// `base` plus (`minus`: less) `interval`, which is of type Interval.
///
/// # Errors
/// `Expression` where the device has no such sum.
pub(super) fn add(
    l: &mut Lowering<'_>,
    expr: &Expr,
    base: &Expr,
    interval: &Expr,
    minus: bool,
) -> Result<Value, Reason> {
    let of = l.type_of(base)?;
    match plain(&of) {
        DataType::Date64 => {
            // A day like a Date32's: whatever hours there are, go.
            const DAY: i64 = 86_400_000;
            let a = l.value(base)?;
            let days = divide(l, a, DAY)?;
            let days = l.builder.convert(days, Type::I32, OnError::Raise)?;
            let b = whole(l, expr, interval)?;
            let sum = l.builder.add_interval(days, Unit::Day, b, minus)?;
            let wide = l.builder.convert(sum, Type::I64, OnError::Raise)?;
            let day = l.builder.constant(&Constant::I64(DAY))?;
            Ok(l.builder.arithmetic(Arithmetic::MultiplyChecked, wide, day)?)
        }
        DataType::Date32 | DataType::Timestamp(_, _) => {
            let unit = calendar_unit(&of)?;
            let a = l.value(base)?;
            let b = whole(l, expr, interval)?;
            Ok(l.builder.add_interval(a, unit, b, minus)?)
        }
        DataType::Time32(unit) | DataType::Time64(unit) => {
            time(l, expr, base, *unit, interval, minus)
        }
        _ => Err(Reason::new(ReasonCode::Expression, expr.to_string())),
    }
}

/// An interval as months, days and nanoseconds.
fn whole(l: &mut Lowering<'_>, expr: &Expr, interval: &Expr) -> Result<Value, Reason> {
    let of = l.type_of(interval)?;
    match (plain(&of), constant_of(interval)) {
        (DataType::Interval(IntervalUnit::MonthDayNano), _) => l.value(interval),
        (DataType::Interval(IntervalUnit::YearMonth), _) => {
            let months = l.value(interval)?;
            let months = l.builder.convert_wrapping(months, Type::U32)?;
            Ok(l.builder.convert_wrapping(months, Type::I128)?)
        }
        (_, Some(ScalarValue::IntervalDayTime(Some(v)))) => {
            let nanoseconds = i64::from(v.milliseconds) * 1_000_000;
            let bits = month_day_nano(0, v.days, nanoseconds);
            Ok(l.builder.constant(&Constant::I128(bits))?)
        }
        (_, Some(scalar)) if scalar.is_null() => Ok(l.builder.null(Type::I128)?),
        _ => Err(Reason::new(ReasonCode::Expression, expr.to_string())),
    }
}

/// A time of day wraps at midnight; months and days of the interval do not count.
fn time(
    l: &mut Lowering<'_>,
    expr: &Expr,
    base: &Expr,
    unit: TimeUnit,
    interval: &Expr,
    minus: bool,
) -> Result<Value, Reason> {
    const DAY: i64 = 86_400_000_000_000;
    let nanoseconds = match constant_of(interval) {
        Some(ScalarValue::IntervalMonthDayNano(Some(v))) => Some(v.nanoseconds % DAY),
        Some(ScalarValue::IntervalMonthDayNano(None)) => None,
        _ => return Err(Reason::new(ReasonCode::NotConstant, format!("{expr}: the interval"))),
    };
    let a = l.value(base)?;
    let kind = a.kind();
    let Some(nanoseconds) = nanoseconds else {
        return Ok(l.builder.null(kind)?);
    };
    let signed = if minus { -nanoseconds } else { nanoseconds };
    let delta = signed.div_euclid(1_000_000_000 / per_second(unit));
    let wide = l.builder.convert(a, Type::I64, OnError::Raise)?;
    let delta = l.builder.constant(&Constant::I64(delta))?;
    let sum = l.builder.arithmetic(Arithmetic::AddChecked, wide, delta)?;
    let days = l.builder.floor_multiple(sum, i128::from(86_400 * per_second(unit)))?;
    let wrapped = l.builder.arithmetic(Arithmetic::Subtract, sum, days)?;
    Ok(l.builder.convert(wrapped, kind, OnError::Raise)?)
}
