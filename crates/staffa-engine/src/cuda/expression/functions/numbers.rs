//! Functions of numbers.

use arrow::datatypes::DataType;
use staffa_common::Reason;
use staffa_kernels::expression::{Comparison, Constant, OnError, Type, Value};

use super::super::cast;
use super::super::lowering::Lowering;
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
