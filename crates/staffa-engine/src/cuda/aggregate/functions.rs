//! DataFusion's aggregate functions as accumulators and state columns.

use arrow::datatypes::DataType;
use datafusion_functions_aggregate::average::avg_udaf;
use datafusion_functions_aggregate::bit_and_or_xor::{bit_and_udaf, bit_or_udaf, bit_xor_udaf};
use datafusion_functions_aggregate::bool_and_or::{bool_and_udaf, bool_or_udaf};
use datafusion_functions_aggregate::count::count_udaf;
use datafusion_functions_aggregate::min_max::{max_udaf, min_udaf};
use datafusion_functions_aggregate::stddev::{stddev_pop_udaf, stddev_udaf};
use datafusion_functions_aggregate::sum::sum_udaf;
use datafusion_functions_aggregate::variance::{var_pop_udaf, var_samp_udaf};
use datafusion_physical_expr::aggregate::AggregateFunctionExpr;
use staffa_common::{Reason, ReasonCode};
use staffa_kernels::group_by::{Function, ValueType};

/// What a function keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// How many rows have a value.
    Count,
    /// The count, NULL where there is none, and the sum.
    Average,
    /// Count, mean and sum of squared deviations of the values as doubles.
    Moments,
    /// What this accumulator holds.
    One(Function),
}

/// Whether `function` is DataFusion's own, and which.
///
/// # Errors
/// `Function` for others, `AggregateOption` for what they can do and the device cannot.
pub(super) fn kept(function: &AggregateFunctionExpr) -> Result<Kept, Reason> {
    let option = |what: &str| {
        let what = format!("{}: {what}", function.name());
        Err(Reason::new(ReasonCode::AggregateOption, what))
    };
    if function.is_distinct() {
        return option("DISTINCT");
    }
    if !function.order_bys().is_empty() {
        return option("ORDER BY");
    }
    let own = [
        (count_udaf(), Kept::Count),
        (avg_udaf(), Kept::Average),
        (sum_udaf(), Kept::One(Function::Sum)),
        (min_udaf(), Kept::One(Function::Min)),
        (max_udaf(), Kept::One(Function::Max)),
        (bool_and_udaf(), Kept::One(Function::And)),
        (bool_or_udaf(), Kept::One(Function::Or)),
        (bit_and_udaf(), Kept::One(Function::And)),
        (bit_or_udaf(), Kept::One(Function::Or)),
        (bit_xor_udaf(), Kept::One(Function::Xor)),
        (var_samp_udaf(), Kept::Moments),
        (var_pop_udaf(), Kept::Moments),
        (stddev_udaf(), Kept::Moments),
        (stddev_pop_udaf(), Kept::Moments),
    ];
    let known = own.into_iter().find(|(udaf, _)| udaf.as_ref() == function.fun());
    let Some((_, kept)) = known else {
        let what = format!("aggregate {}", function.fun().name());
        return Err(Reason::new(ReasonCode::Function, what));
    };
    if function.expressions().len() != 1 {
        return option("several arguments");
    }
    Ok(kept)
}

/// What values of a type are to an accumulator, and their bytes.
pub(super) fn value(of: &DataType) -> Option<(ValueType, u32)> {
    use DataType as D;
    let width = of.primitive_width().and_then(|width| u32::try_from(width).ok());
    Some(match of {
        D::Boolean => (ValueType::Boolean, 0),
        D::Utf8 | D::LargeUtf8 | D::Utf8View => (ValueType::Bytes, 16),
        D::Binary | D::LargeBinary | D::BinaryView => (ValueType::Bytes, 16),
        D::UInt8 | D::UInt16 | D::UInt32 | D::UInt64 => (ValueType::Unsigned, width?),
        D::Float16 | D::Float32 | D::Float64 => (ValueType::Float, width?),
        D::Int8 | D::Int16 | D::Int32 | D::Int64 | D::Date32 | D::Date64 => {
            (ValueType::Signed, width?)
        }
        D::Time32(_) | D::Time64(_) | D::Timestamp(..) | D::Duration(_) => {
            (ValueType::Signed, width?)
        }
        D::Decimal32(..) | D::Decimal64(..) | D::Decimal128(..) | D::Decimal256(..) => {
            (ValueType::Signed, width?)
        }
        _ => return None,
    })
}

/// Whether an accumulator of `function` over values of `from` gives DataFusion's state of type `to`. Without keys
/// DataFusion finds least and greatest floats by another rule than by groups.
///
/// # Errors
/// `Function`.
pub(super) fn check(
    function: Function,
    from: &DataType,
    to: &DataType,
    keyed: bool,
) -> Result<(), Reason> {
    let (Some((value, width)), Some((result, result_width))) = (value(from), value(to)) else {
        return Err(no(function, from));
    };
    let narrow = |width: u32| matches!(width, 1 | 2 | 4 | 8);
    let fits = match (function, value) {
        (Function::Sum, ValueType::Float) => from == &DataType::Float64 && from == to,
        // Modulo 2^64, then cut: as DataFusion's sums wrap. Wider ones are as wide as their values.
        (Function::Sum, ValueType::Signed | ValueType::Unsigned) => {
            result == value
                && ((narrow(width) && narrow(result_width) && width <= result_width)
                    || (width == result_width && width > 8))
        }
        (Function::Min | Function::Max, ValueType::Float) => keyed && from == to,
        (Function::Min | Function::Max, _) => from == to,
        (Function::And | Function::Or, ValueType::Boolean) => from == to,
        (Function::And | Function::Or | Function::Xor, _) => from.is_integer() && from == to,
        _ => false,
    };
    if fits { Ok(()) } else { Err(no(function, from)) }
}

fn no(function: Function, of: &DataType) -> Reason {
    Reason::new(ReasonCode::Function, format!("aggregate {function:?} of {of}"))
}
