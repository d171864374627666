//! Functions of numbers.

use arrow::datatypes::DataType;
use datafusion_common::ScalarValue;
use staffa_common::Reason;
use staffa_kernels::expression::{Arithmetic, Comparison, Constant, OnError, Type, Value};

use super::super::cast;
use super::super::lowering::{Lowering, constant_of};
use super::super::types::plain;
use super::Call;

/// `abs(x)`; MIN errs.
pub(super) fn absolute(l: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value, Reason> {
    let of = l.type_of(call.arg(0)?)?;
    let a = l.value(call.arg(0)?)?;
    match plain(&of) {
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => Ok(a),
        DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Decimal128(_, _) => Ok(l.builder.absolute(a)?),
        _ => Err(call.missing()),
    }
}

/// Whether a float is NaN, of any sign and payload: in total order its magnitude is above infinity.
fn not_a_number(l: &mut Lowering<'_>, a: Value) -> Result<Value, Reason> {
    let infinity = match a.kind() {
        Type::F32 => Constant::F32(f32::INFINITY),
        _ => Constant::F64(f64::INFINITY),
    };
    let infinity = l.builder.constant(&infinity)?;
    let magnitude = l.builder.absolute(a)?;
    Ok(l.builder.compare(Comparison::Greater, magnitude, infinity)?)
}

fn float(l: &mut Lowering<'_>, call: &Call<'_>, number: usize) -> Result<Value, Reason> {
    let of = l.type_of(call.arg(number)?)?;
    if !matches!(plain(&of), DataType::Float32 | DataType::Float64) {
        return Err(call.missing());
    }
    l.value(call.arg(number)?)
}

/// `isnan(x)`.
pub(super) fn is_nan(l: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value, Reason> {
    let a = float(l, call, 0)?;
    not_a_number(l, a)
}

/// `nanvl(x, y)`: `y` where `x` is NaN.
pub(super) fn nan_or(l: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value, Reason> {
    let (x, y) = (float(l, call, 0)?, float(l, call, 1)?);
    if x.kind() != y.kind() {
        return Err(call.missing());
    }
    let nan = not_a_number(l, x)?;
    Ok(l.builder.select(nan, y, x)?)
}

/// `to_timestamp_seconds(x)` and its kin, of an integer or a timestamp: a cast.
pub(super) fn to_timestamp(l: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value, Reason> {
    let [arg] = call.args else { return Err(call.missing()) };
    let of = l.type_of(arg)?;
    match plain(&of) {
        from if from.is_integer() => {}
        DataType::Timestamp(_, _) => {}
        _ => return Err(call.missing()),
    }
    cast::lower(l, arg, &call.of, OnError::Raise)
}

/// The largest whole number that is not above `a`: the nearest one, or the one before. Half-way cases are
/// rounded away from zero, so the nearest is at most one too large.
fn floor_of(l: &mut Lowering<'_>, a: Value) -> Result<Value, Reason> {
    let nearest = l.builder.round(a)?;
    let one = l.builder.constant(&Constant::integer(a.kind(), 1))?;
    let before = l.builder.arithmetic(Arithmetic::Subtract, nearest, one)?;
    let above = l.builder.compare(Comparison::Greater, nearest, a)?;
    Ok(l.builder.select(above, before, nearest)?)
}

/// `floor(x)` of a float.
pub(super) fn floor(l: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value, Reason> {
    let a = float(l, call, 0)?;
    floor_of(l, a)
}

/// `ceil(x)` of a float, `-floor(-x)`, which also gives -0.0 where it should.
pub(super) fn ceiling(l: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value, Reason> {
    let a = float(l, call, 0)?;
    let opposite = l.builder.negate(a, false)?;
    let floor = floor_of(l, opposite)?;
    Ok(l.builder.negate(floor, false)?)
}

/// `round(x [, places])` of a float: `(x * 10^places).round() / 10^places`.
pub(super) fn round(l: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value, Reason> {
    let places = match call.args.get(1) {
        None => 0,
        Some(places) => match constant_of(places) {
            Some(ScalarValue::Int32(Some(places))) if places.abs() <= 30 => *places,
            _ => return Err(call.not_constant(places)),
        },
    };
    let a = float(l, call, 0)?;
    let factor = 10f64.powi(places);
    #[expect(clippy::cast_possible_truncation, reason = "DataFusion's own conversion")]
    let factor = match a.kind() {
        Type::F32 => Constant::F32(factor as f32),
        _ => Constant::F64(factor),
    };
    let factor = l.builder.constant(&factor)?;
    let scaled = l.builder.arithmetic(Arithmetic::Multiply, a, factor)?;
    let rounded = l.builder.round(scaled)?;
    Ok(l.builder.arithmetic(Arithmetic::Divide, rounded, factor)?)
}
