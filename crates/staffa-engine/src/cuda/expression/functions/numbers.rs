//! Functions of numbers.

use arrow::datatypes::DataType;
use staffa_common::Reason;
use staffa_kernels::expression::Value;

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
