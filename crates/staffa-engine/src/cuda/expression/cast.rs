//! CAST and TRY_CAST.

use std::cmp::Ordering;

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use staffa_common::{Reason, ReasonCode};
use staffa_kernels::expression::{Arithmetic, Constant, OnError, Type, Value};

use super::interval::divide;
use super::lowering::{Expr, Lowering, same_values};
use super::types::{decimal, is_binary, is_text, is_utc, per_second, plain, register};

const DAY: i64 = 86_400;

/// `expr` as `to`: what `cast_with_options` computes, and on rows where it fails an error or NULL.
///
/// # Errors
/// `Cast` for pairs of types that the device does not have, `TimeZone` where rules of a zone decide.
pub(super) fn lower(
    l: &mut Lowering<'_>,
    expr: &Expr,
    to: &DataType,
    on_error: OnError,
) -> Result<Value, Reason> {
    let from = l.type_of(expr)?;
    let (from, to) = (plain(&from).clone(), plain(to).clone());
    let kind = register(&to)?;
    if from == DataType::Null {
        return Ok(l.builder.null(kind)?);
    }
    register(&from)?;
    if same_values(&from, &to) || is_text(&from) && is_binary(&to) {
        return l.value(expr);
    }
    let missing = || Reason::new(ReasonCode::Cast, format!("{from} to {to}"));
    let a = l.value(expr)?;
    if let Some(value) = numeric(l, a, &from, &to, on_error)? {
        return Ok(value);
    }
    temporal(l, a, &from, &to, on_error)?.ok_or_else(missing)
}

fn is_number(of: &DataType) -> bool {
    of.is_integer() || matches!(of, DataType::Float32 | DataType::Float64)
}

/// Among numbers, booleans and decimals.
fn numeric(
    l: &mut Lowering<'_>,
    a: Value,
    from: &DataType,
    to: &DataType,
    on_error: OnError,
) -> Result<Option<Value>, Reason> {
    let kind = register(to)?;
    let b = &mut l.builder;
    Ok(Some(match (decimal(from), decimal(to)) {
        (Some(from), Some(to)) => b.decimal_rescale(a, from, to, on_error)?,
        (None, Some(to)) if from.is_integer() => b.decimal_from_integer(a, to, on_error)?,
        (None, Some(to)) if is_number(from) => b.decimal_from_float(a, to, on_error)?,
        (Some(from), None) if is_number(to) => b.decimal_to_number(a, from, kind, on_error)?,
        (None, None)
            if is_number(from) && (is_number(to) || to == &DataType::Boolean)
                || from == &DataType::Boolean && is_number(to) =>
        {
            b.convert(a, kind, on_error)?
        }
        _ => return Ok(None),
    }))
}

fn times(l: &mut Lowering<'_>, a: Value, factor: i64, on_error: OnError) -> Result<Value, Reason> {
    if factor == 1 {
        return Ok(a);
    }
    let factor = l.builder.constant(&Constant::integer(a.kind(), i128::from(factor)))?;
    Ok(l.builder.arithmetic_or(Arithmetic::MultiplyChecked, a, factor, on_error)?)
}

/// From one unit of a second to another: truncated towards zero, or checked for overflow.
fn rescale(
    l: &mut Lowering<'_>,
    a: Value,
    from: i64,
    to: i64,
    on_error: OnError,
) -> Result<Value, Reason> {
    match from.cmp(&to) {
        Ordering::Greater => divide(l, a, from / to),
        Ordering::Equal => Ok(a),
        Ordering::Less => times(l, a, to / from, on_error),
    }
}

/// Dates, times, timestamps, durations, intervals, and integers as any of them.
fn temporal(
    l: &mut Lowering<'_>,
    a: Value,
    from: &DataType,
    to: &DataType,
    on_error: OnError,
) -> Result<Option<Value>, Reason> {
    use DataType as D;
    Ok(Some(match (from, to) {
        (D::Date32, D::Date64) => {
            let wide = l.builder.convert(a, Type::I64, on_error)?;
            times(l, wide, DAY * 1_000, on_error)?
        }
        (D::Date64, D::Date32) => {
            let days = divide(l, a, DAY * 1_000)?;
            l.builder.convert(days, Type::I32, on_error)?
        }
        (D::Date32, D::Timestamp(unit, zone)) => {
            local(zone.as_deref())?;
            let wide = l.builder.convert(a, Type::I64, on_error)?;
            times(l, wide, DAY * per_second(*unit), on_error)?
        }
        (D::Date64, D::Timestamp(unit, zone)) => {
            local(zone.as_deref())?;
            // TRY_CAST wraps where it overflows, in builds that wrap: left to the host.
            rescale(l, a, 1_000, per_second(*unit), OnError::Raise)?
        }
        (D::Timestamp(unit, from), D::Timestamp(to_unit, to)) => {
            if from.is_none() {
                local(to.as_deref())?;
            }
            rescale(l, a, per_second(*unit), per_second(*to_unit), on_error)?
        }
        (D::Timestamp(unit, zone), D::Date32) => {
            local(zone.as_deref())?;
            let day = DAY * per_second(*unit);
            let midnight = l.builder.floor_multiple(a, i128::from(day))?;
            let days = divide(l, midnight, day)?;
            l.builder.convert(days, Type::I32, OnError::Raise)?
        }
        (D::Timestamp(unit, _), D::Date64) => rescale(l, a, per_second(*unit), 1_000, on_error)?,
        (D::Duration(from), D::Duration(to)) => {
            rescale(l, a, per_second(*from), per_second(*to), on_error)?
        }
        (D::Time32(from) | D::Time64(from), D::Time32(to_unit) | D::Time64(to_unit)) => {
            times_of_day(l, a, *from, to, *to_unit, on_error)?
        }
        (D::Timestamp(unit, zone), D::Time32(to_unit) | D::Time64(to_unit)) => {
            local(zone.as_deref())?;
            time_of_day(l, a, *unit, to, *to_unit)?
        }
        (D::Interval(IntervalUnit::YearMonth), D::Interval(IntervalUnit::MonthDayNano)) => {
            let months = l.builder.convert_wrapping(a, Type::U32)?;
            l.builder.convert_wrapping(months, Type::I128)?
        }
        // Through Int64 or Int32, whatever number it is.
        (D::Timestamp(_, _) | D::Duration(_), _) if to.is_numeric() => {
            numeric(l, a, &D::Int64, to, on_error)?.ok_or_else(|| pair(from, to))?
        }
        (D::Date32 | D::Time32(_), D::Int32 | D::Int64)
        | (D::Date64, D::Int32 | D::Int64)
        | (D::Time64(_), D::Int64) => l.builder.convert(a, register(to)?, on_error)?,
        (_, D::Timestamp(_, zone)) if from.is_numeric() => {
            local(zone.as_deref())?;
            numeric(l, a, from, &D::Int64, on_error)?.unwrap_or(a)
        }
        (_, D::Duration(_)) if from.is_numeric() => {
            numeric(l, a, from, &D::Int64, on_error)?.unwrap_or(a)
        }
        // Days.
        (D::Int32, D::Date64) => temporal(l, a, &D::Date32, to, on_error)?.unwrap_or(a),
        (D::Int32, D::Date32 | D::Time32(_)) | (D::Int64, D::Date32 | D::Date64 | D::Time64(_)) => {
            l.builder.convert(a, register(to)?, on_error)?
        }
        _ => return Ok(None),
    }))
}

/// The time of an instant. Beyond the years that chrono knows the host decides, and TRY_CAST errs too.
fn time_of_day(
    l: &mut Lowering<'_>,
    a: Value,
    from: TimeUnit,
    to: &DataType,
    to_unit: TimeUnit,
) -> Result<Value, Reason> {
    const MOST_SECONDS: i128 = 8_000_000_000_000;
    let units = per_second(from);
    let most = (MOST_SECONDS * i128::from(units)).min(i128::from(i64::MAX));
    let known = l.builder.check_magnitude(a, most, OnError::Raise)?;
    let midnight = l.builder.floor_multiple(known, i128::from(DAY * units))?;
    let time = l.builder.arithmetic(Arithmetic::Subtract, known, midnight)?;
    let time = rescale(l, time, units, per_second(to_unit), OnError::Raise)?;
    Ok(l.builder.convert(time, register(to)?, OnError::Raise)?)
}

fn times_of_day(
    l: &mut Lowering<'_>,
    a: Value,
    from: TimeUnit,
    to: &DataType,
    to_unit: TimeUnit,
    on_error: OnError,
) -> Result<Value, Reason> {
    let kind = register(to)?;
    let (from, to) = (per_second(from), per_second(to_unit));
    if kind.width() < a.kind().width() {
        // arrow divides, then cuts.
        let coarse = rescale(l, a, from, to, on_error)?;
        return Ok(l.builder.convert_wrapping(coarse, kind)?);
    }
    let wide = l.builder.convert(a, kind, on_error)?;
    rescale(l, wide, from, to, on_error)
}

fn pair(from: &DataType, to: &DataType) -> Reason {
    Reason::new(ReasonCode::Cast, format!("{from} to {to}"))
}

/// # Errors
/// `TimeZone` unless local time is UTC.
fn local(zone: Option<&str>) -> Result<(), Reason> {
    if is_utc(zone) {
        return Ok(());
    }
    Err(Reason::new(ReasonCode::TimeZone, format!("time zone {}", zone.unwrap_or_default())))
}
