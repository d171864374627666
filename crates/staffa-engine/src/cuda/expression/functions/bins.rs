//! `date_bin`: instants and times of day cut down to multiples of a constant stride.

use arrow::datatypes::DataType;
use datafusion_common::ScalarValue;
use staffa_common::Reason;
use staffa_kernels::expression::{Arithmetic, Constant, OnError, Type, Value};

use super::super::interval::divide;
use super::super::lowering::{Lowering, constant_of};
use super::super::types::{per_second, plain};
use super::Call;

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;

/// `date_bin(stride, x[, origin])`. In nanoseconds, as DataFusion computes it: what leaves their range is NULL,
/// and a zone does not count. Strides of months, and those that DataFusion refuses, are left to it.
pub(super) fn date_bin(l: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value, Reason> {
    let stride = stride(call)?;
    let of = l.type_of(call.arg(1)?)?;
    let (units, time) = match plain(&of) {
        DataType::Timestamp(unit, _) => (per_second(*unit), false),
        DataType::Time32(unit) | DataType::Time64(unit) => (per_second(*unit), true),
        _ => return Err(call.missing()),
    };
    if time && stride >= DAY {
        return Err(call.missing());
    }
    let origin = origin(call, time)?;
    let scale = SECOND / units;
    let a = l.value(call.arg(1)?)?;
    let kind = a.kind();
    let wide = l.builder.convert(a, Type::I64, OnError::Raise)?;
    let nanoseconds = by(l, Arithmetic::MultiplyChecked, wide, scale, 1)?;
    let since = by(l, Arithmetic::SubtractChecked, nanoseconds, origin, 0)?;
    let bin = match stride {
        1 => since,
        _ => l.builder.floor_multiple(since, i128::from(stride))?,
    };
    let binned = by(l, Arithmetic::AddChecked, bin, origin, 0)?;
    let binned = match time {
        true => by(l, Arithmetic::Remainder, binned, DAY, 0)?,
        false => binned,
    };
    let coarse = divide(l, binned, scale)?;
    Ok(l.builder.convert(coarse, kind, OnError::Raise)?)
}

/// `a op b`, NULL where it errs; `a` itself where `b` is `neutral`.
fn by(
    l: &mut Lowering<'_>,
    op: Arithmetic,
    a: Value,
    b: i64,
    neutral: i64,
) -> Result<Value, Reason> {
    if b == neutral {
        return Ok(a);
    }
    let b = l.builder.constant(&Constant::I64(b))?;
    Ok(l.builder.arithmetic_or(op, a, b, OnError::Null)?)
}

/// Nanoseconds, above 0.
fn stride(call: &Call<'_>) -> Result<i64, Reason> {
    let stride = call.arg(0)?;
    let nanoseconds = match constant_of(stride) {
        Some(ScalarValue::IntervalDayTime(Some(v))) => {
            i128::from(v.days) * i128::from(DAY) + i128::from(v.milliseconds) * 1_000_000
        }
        Some(ScalarValue::IntervalMonthDayNano(Some(v))) if v.months == 0 => {
            i128::from(v.days) * i128::from(DAY) + i128::from(v.nanoseconds)
        }
        Some(_) => return Err(call.missing()),
        None => return Err(call.not_constant(stride)),
    };
    match i64::try_from(nanoseconds) {
        Ok(nanoseconds) if nanoseconds > 0 => Ok(nanoseconds),
        _ => Err(call.missing()),
    }
}

/// Nanoseconds since 1970 or midnight; both by default.
fn origin(call: &Call<'_>, time: bool) -> Result<i64, Reason> {
    let Some(origin) = call.args.get(2) else { return Ok(0) };
    let scaled = |value: i64, units: i64| value.checked_mul(SECOND / units);
    let nanoseconds = match constant_of(origin) {
        Some(ScalarValue::TimestampNanosecond(Some(v), _)) if !time => Some(*v),
        Some(ScalarValue::Time32Second(Some(v))) if time => scaled(i64::from(*v), 1),
        Some(ScalarValue::Time32Millisecond(Some(v))) if time => scaled(i64::from(*v), 1_000),
        Some(ScalarValue::Time64Microsecond(Some(v))) if time => scaled(*v, 1_000_000),
        Some(ScalarValue::Time64Nanosecond(Some(v))) if time => Some(*v),
        Some(_) => None,
        None => return Err(call.not_constant(origin)),
    };
    nanoseconds.ok_or_else(|| call.missing())
}
