//! Functions of dates, times and timestamps.

use std::str::FromStr;

use arrow::compute::kernels::cast_utils::IntervalUnit;
use arrow::datatypes::DataType;
use staffa_common::Reason;
use staffa_kernels::expression::{Arithmetic, Constant, Field, OnError, Type, Unit, Value};

use super::super::interval::divide;
use super::super::lowering::Lowering;
use super::super::strings::text_of;
use super::super::types::{calendar_unit, fixed_offset, per_second, plain, unit_of};
use super::Call;
use super::times::{TimePart, time_part};

/// What `date_part` is asked for.
enum Part {
    Field(Field),
    /// Seconds of the minute in units of this many a second.
    Seconds(i64),
    /// Monday is 1.
    IsoWeekday,
    Epoch,
}

fn part_of(name: &str) -> Option<Part> {
    let unquoted =
        name.strip_prefix(['\'', '"']).and_then(|s| s.strip_suffix(['\'', '"'])).unwrap_or(name);
    if let Ok(unit) = IntervalUnit::from_str(unquoted) {
        return Some(match unit {
            IntervalUnit::Year => Part::Field(Field::Year),
            IntervalUnit::Month => Part::Field(Field::Month),
            IntervalUnit::Week => Part::Field(Field::Week),
            IntervalUnit::Day => Part::Field(Field::Day),
            IntervalUnit::Hour => Part::Field(Field::Hour),
            IntervalUnit::Minute => Part::Field(Field::Minute),
            IntervalUnit::Second => Part::Field(Field::Second),
            IntervalUnit::Millisecond => Part::Seconds(1_000),
            IntervalUnit::Microsecond => Part::Seconds(1_000_000),
            IntervalUnit::Nanosecond => Part::Seconds(1_000_000_000),
            _ => return None,
        });
    }
    Some(match unquoted.to_lowercase().as_str() {
        "isoyear" => Part::Field(Field::IsoYear),
        "qtr" | "quarter" => Part::Field(Field::Quarter),
        "doy" => Part::Field(Field::DayOfYear),
        "dow" => Part::Field(Field::WeekdayFromSunday),
        "isodow" => Part::IsoWeekday,
        "epoch" => Part::Epoch,
        _ => return None,
    })
}

/// `date_part('part', x)`, which EXTRACT is.
pub(super) fn date_part(l: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value, Reason> {
    let name = call.arg(0)?;
    let part = match text_of(name) {
        Some(Some(name)) => part_of(name).ok_or_else(|| call.missing())?,
        _ => return Err(call.not_constant(name)),
    };
    let of = l.type_of(call.arg(1)?)?;
    let date = matches!(plain(&of), DataType::Date32 | DataType::Date64);
    match (plain(&of), &part) {
        (_, Part::Epoch) => return epoch(l, call, &of),
        (DataType::Time32(unit) | DataType::Time64(unit), _) => {
            let part = match part {
                Part::Field(field) => TimePart::Field(field),
                Part::Seconds(units) => TimePart::Seconds(units),
                _ => return Err(call.missing()),
            };
            let a = l.value(call.arg(1)?)?;
            return time_part(l, call, a, per_second(*unit), &part);
        }
        (DataType::Timestamp(_, _), _) => {}
        _ if date => {}
        _ => return Err(call.missing()),
    }
    let a = l.value(call.arg(1)?)?;
    let (unit, shift) = calendar(&of)?;
    let a = shifted(l, a, shift)?;
    match part {
        Part::Field(field) => Ok(l.builder.date_part(a, unit, field)?),
        Part::IsoWeekday => {
            let day = l.builder.date_part(a, unit, Field::WeekdayFromMonday)?;
            let one = l.builder.constant(&Constant::I32(1))?;
            Ok(l.builder.arithmetic(Arithmetic::Add, day, one)?)
        }
        Part::Seconds(units) if date => zero(l, a, units),
        Part::Seconds(units) => fraction(l, a, unit, units),
        Part::Epoch => Err(call.missing()),
    }
}

/// What one unit of a date or timestamp is, and how many units its local time is ahead of UTC, where that is
/// the same for all instants.
fn calendar(of: &DataType) -> Result<(Unit, i64), Reason> {
    if let DataType::Timestamp(unit, Some(zone)) = plain(of)
        && let Some(seconds) = fixed_offset(zone)
    {
        return Ok((unit_of(*unit), seconds * per_second(*unit)));
    }
    Ok((calendar_unit(of)?, 0))
}

/// `a` so many units later; at the end of 64 bits the host decides.
fn shifted(l: &mut Lowering<'_>, a: Value, units: i64) -> Result<Value, Reason> {
    if units == 0 {
        return Ok(a);
    }
    let units = l.builder.constant(&Constant::I64(units))?;
    Ok(l.builder.arithmetic(Arithmetic::AddChecked, a, units)?)
}

/// 0 where `a` is not NULL: dates have no seconds.
fn zero(l: &mut Lowering<'_>, a: Value, units: i64) -> Result<Value, Reason> {
    let kind = if units == 1_000_000_000 { Type::I64 } else { Type::I32 };
    let present = l.builder.is_null(a, true);
    let zero = l.builder.constant(&Constant::integer(kind, 0))?;
    let null = l.builder.null(kind)?;
    Ok(l.builder.select(present, zero, null)?)
}

/// Seconds and their fraction in `units` a second: of nanoseconds as i64, else as i32.
fn fraction(l: &mut Lowering<'_>, a: Value, unit: Unit, units: i64) -> Result<Value, Reason> {
    let mut seconds = l.builder.date_part(a, unit, Field::Second)?;
    let mut rest = l.builder.date_part(a, unit, Field::Nanosecond)?;
    if units == 1_000_000_000 {
        seconds = l.builder.convert(seconds, Type::I64, OnError::Raise)?;
        rest = l.builder.convert(rest, Type::I64, OnError::Raise)?;
    }
    let factor = l.builder.constant(&Constant::integer(seconds.kind(), i128::from(units)))?;
    let whole = l.builder.arithmetic(Arithmetic::Multiply, seconds, factor)?;
    let rest = divide(l, rest, 1_000_000_000 / units)?;
    Ok(l.builder.arithmetic(Arithmetic::Add, whole, rest)?)
}

/// Seconds since 1970 as a double.
fn epoch(l: &mut Lowering<'_>, call: &Call<'_>, of: &DataType) -> Result<Value, Reason> {
    if matches!(plain(of), DataType::Duration(_) | DataType::Interval(_)) {
        return Err(call.missing());
    }
    let a = l.value(call.arg(1)?)?;
    let float = l.builder.convert(a, Type::F64, OnError::Raise)?;
    #[expect(clippy::cast_precision_loss, reason = "powers of ten to 10^9")]
    let (op, by) = match plain(of) {
        DataType::Date32 => (Arithmetic::Multiply, 86_400.0),
        DataType::Date64 => (Arithmetic::Divide, 1_000.0),
        DataType::Timestamp(unit, _) | DataType::Time32(unit) | DataType::Time64(unit) => {
            (Arithmetic::Divide, per_second(*unit) as f64)
        }
        _ => return Err(call.missing()),
    };
    let by = l.builder.constant(&Constant::F64(by))?;
    Ok(l.builder.arithmetic(op, float, by)?)
}

/// `date_trunc('unit', x)`.
pub(super) fn date_trunc(l: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value, Reason> {
    let name = call.arg(0)?;
    let granularity = match text_of(name) {
        Some(Some(name)) => name.to_lowercase(),
        _ => return Err(call.not_constant(name)),
    };
    let of = l.type_of(call.arg(1)?)?;
    let (per_second, zone) = match plain(&of) {
        DataType::Timestamp(unit, zone) => (per_second(*unit), zone.is_some()),
        DataType::Time32(unit) | DataType::Time64(unit) => {
            return truncate_time(l, call, &granularity, per_second(*unit));
        }
        _ => return Err(call.missing()),
    };
    let (unit, shift) = calendar(&of)?;
    let a = l.value(call.arg(1)?)?;
    let field = match granularity.as_str() {
        "year" => Some(Field::Year),
        "quarter" => Some(Field::Quarter),
        "month" => Some(Field::Month),
        "week" => Some(Field::Week),
        _ => None,
    };
    if let Some(field) = field {
        let local = shifted(l, a, shift)?;
        let truncated = l.builder.truncate_date(local, unit, field)?;
        return shifted(l, truncated, -shift);
    }
    let units = units_of(&granularity, per_second).ok_or_else(|| call.missing())?;
    if zone && matches!(granularity.as_str(), "hour" | "day") {
        // With a zone, DataFusion goes through nanoseconds, which end in 2262: beyond, the host decides.
        const MOST_SECONDS: i64 = 9_223_000_000;
        let most = i128::from(MOST_SECONDS) * i128::from(per_second);
        let inside =
            l.builder.check_magnitude(a, most.min(i128::from(i64::MAX)), OnError::Raise)?;
        let local = shifted(l, inside, shift)?;
        let truncated = l.builder.floor_multiple(local, i128::from(units))?;
        return shifted(l, truncated, -shift);
    }
    // Offsets are whole minutes.
    if units == 1 {
        return Ok(a);
    }
    Ok(l.builder.floor_multiple(a, i128::from(units))?)
}

/// How many units a granularity of days or less has; 1 if it is finer than a unit.
fn units_of(granularity: &str, per_second: i64) -> Option<i64> {
    Some(match granularity {
        "day" => 86_400 * per_second,
        "hour" => 3_600 * per_second,
        "minute" => 60 * per_second,
        "second" => per_second,
        "millisecond" => (per_second / 1_000).max(1),
        "microsecond" => (per_second / 1_000_000).max(1),
        _ => return None,
    })
}

/// Times of day: `x - x % units`.
fn truncate_time(
    l: &mut Lowering<'_>,
    call: &Call<'_>,
    granularity: &str,
    per_second: i64,
) -> Result<Value, Reason> {
    let units = match (granularity, units_of(granularity, per_second)) {
        ("day", _) | (_, None) => return Err(call.missing()),
        (_, Some(units)) => units,
    };
    let a = l.value(call.arg(1)?)?;
    if units == 1 {
        return Ok(a);
    }
    let units = l.builder.constant(&Constant::integer(a.kind(), i128::from(units)))?;
    let rest = l.builder.arithmetic(Arithmetic::Remainder, a, units)?;
    Ok(l.builder.arithmetic(Arithmetic::Subtract, a, rest)?)
}
