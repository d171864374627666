//! Fields of times of day.

use staffa_common::Reason;
use staffa_kernels::expression::{Arithmetic, Comparison, Constant, Field, OnError, Type, Value};

use super::super::interval::divide;
use super::super::lowering::Lowering;
use super::Call;

/// What is asked of a time of day.
pub(super) enum TimePart {
    Field(Field),
    /// Seconds of the minute in units of this many a second.
    Seconds(i64),
}

fn remainder(l: &mut Lowering<'_>, a: Value, by: i64) -> Result<Value, Reason> {
    let by = l.builder.constant(&Constant::integer(a.kind(), i128::from(by)))?;
    Ok(l.builder.arithmetic(Arithmetic::Remainder, a, by)?)
}

fn times(l: &mut Lowering<'_>, a: Value, by: i64) -> Result<Value, Reason> {
    let by = l.builder.constant(&Constant::integer(a.kind(), i128::from(by)))?;
    Ok(l.builder.arithmetic(Arithmetic::Multiply, a, by)?)
}

/// A field of `a`, a time of day of `per_second` units a second; NULL outside of a day.
pub(super) fn time_part(
    l: &mut Lowering<'_>,
    call: &Call<'_>,
    a: Value,
    per_second: i64,
    part: &TimePart,
) -> Result<Value, Reason> {
    let bound = |l: &mut Lowering<'_>, n: i64| {
        l.builder.constant(&Constant::integer(a.kind(), i128::from(n)))
    };
    let (zero, day) = (bound(l, 0)?, bound(l, 86_400 * per_second)?);
    let before = l.builder.compare(Comparison::Less, a, zero)?;
    let behind = l.builder.compare(Comparison::GreaterOrEqual, a, day)?;
    let outside = l.builder.or(before, behind)?;
    let a = l.builder.null_if(a, outside)?;
    let second = |l: &mut Lowering<'_>| -> Result<Value, Reason> {
        let seconds = divide(l, a, per_second)?;
        remainder(l, seconds, 60)
    };
    let (value, to) = match part {
        TimePart::Field(Field::Hour) => (divide(l, a, 3_600 * per_second)?, Type::I32),
        TimePart::Field(Field::Minute) => {
            let minutes = divide(l, a, 60 * per_second)?;
            (remainder(l, minutes, 60)?, Type::I32)
        }
        TimePart::Field(Field::Second) => (second(l)?, Type::I32),
        TimePart::Seconds(units) => {
            let to = if *units == 1_000_000_000 { Type::I64 } else { Type::I32 };
            let whole = second(l)?;
            let whole = l.builder.convert(whole, Type::I64, OnError::Raise)?;
            let whole = times(l, whole, *units)?;
            let rest = remainder(l, a, per_second)?;
            let rest = l.builder.convert(rest, Type::I64, OnError::Raise)?;
            let rest = times(l, rest, 1_000_000_000 / per_second)?;
            let rest = divide(l, rest, 1_000_000_000 / units)?;
            (l.builder.arithmetic(Arithmetic::Add, whole, rest)?, to)
        }
        TimePart::Field(_) => return Err(call.missing()),
    };
    Ok(l.builder.convert(value, to, OnError::Raise)?)
}
