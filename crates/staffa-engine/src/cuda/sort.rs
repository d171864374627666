//! Sorting on a device: which types it orders, and what does it for a sink of the CPU engine.
//!
//! The rows of a sort are on the host when its input has ended. Only their keys go to the device, and row numbers
//! come back: the sink gathers its rows by these as it does by its own (docs/design/sort.md).

use std::fmt;

use arrow::array::ArrayRef;
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, IntervalUnit, Schema};
use datafusion_physical_expr_common::sort_expr::LexOrdering;
use datafusion_physical_plan::metrics::ExecutionPlanMetricsSet;
use staffa_common::{Reason, ReasonCode};
use staffa_kernels::abi::ValueOrder;

/// The values of a sort expression, in the arrays that they came in.
pub struct OrderKey {
    /// One after the other they have all rows.
    pub chunks: Vec<ArrayRef>,
    /// Their direction, and where NULLs stand.
    pub options: SortOptions,
}

/// Puts rows in order on a device.
pub trait OrderRows: fmt::Debug + Send + Sync {
    /// The numbers of all rows, or of the first `fetch`, in the order of `keys`, of which there is one at least. Rows
    /// whose keys are equal stay in their order. `None` where the device cannot, for whatever reason: the caller
    /// sorts then. Waits for the device. Figures go to `metrics`.
    fn order(
        &self,
        keys: Vec<OrderKey>,
        fetch: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Option<Vec<u32>>;
}

/// How a device compares values of a type; those of a dictionary as what they stand for.
///
/// # Errors
/// `KeyType` for types that have no device form, or no order there.
pub fn value_order(of: &DataType) -> Result<ValueOrder, Reason> {
    use DataType as D;
    Ok(match of {
        D::Boolean | D::UInt8 | D::UInt16 | D::UInt32 | D::UInt64 => ValueOrder::Unsigned,
        D::Int8 | D::Int16 | D::Int32 | D::Int64 | D::Date32 | D::Date64 => ValueOrder::Signed,
        D::Time32(_) | D::Time64(_) | D::Timestamp(..) | D::Duration(_) => ValueOrder::Signed,
        // One number; the other intervals compare field by field.
        D::Interval(IntervalUnit::YearMonth) => ValueOrder::Signed,
        D::Decimal32(..) | D::Decimal64(..) | D::Decimal128(..) | D::Decimal256(..) => {
            ValueOrder::Signed
        }
        D::Float16 | D::Float32 | D::Float64 => ValueOrder::Float,
        D::Utf8 | D::LargeUtf8 | D::Utf8View => ValueOrder::Bytes,
        D::Binary | D::LargeBinary | D::BinaryView => ValueOrder::Bytes,
        D::FixedSizeBinary(width) if *width > 0 => ValueOrder::Bytes,
        D::Dictionary(_, values) => return value_order(values),
        other => {
            let what = format!("the device does not sort by {other}");
            return Err(Reason::new(ReasonCode::KeyType, what));
        }
    })
}

/// The types of an order's keys, if a device has the order.
///
/// # Errors
/// As [`value_order`]; `LoweringFault` for expressions that have no type over `schema`.
pub fn key_types(ordering: &LexOrdering, schema: &Schema) -> Result<Vec<DataType>, Reason> {
    let types = ordering.iter().map(|key| {
        let of = key.expr.data_type(schema);
        let of = of.map_err(|e| Reason::new(ReasonCode::LoweringFault, e.strip_backtrace()))?;
        value_order(&of)?;
        Ok(of)
    });
    types.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_without_an_order_of_numbers_or_bytes_stay() {
        use DataType as D;
        let words = D::Dictionary(Box::new(D::Int32), Box::new(D::Utf8));
        assert_eq!(value_order(&words).unwrap(), ValueOrder::Bytes);
        assert_eq!(value_order(&D::Decimal256(70, -3)).unwrap(), ValueOrder::Signed);
        let days = D::Interval(IntervalUnit::DayTime);
        let of_days = D::Dictionary(Box::new(D::Int8), Box::new(days.clone()));
        for of in [days, of_days, D::Null, D::FixedSizeBinary(0), D::new_list(D::Int8, true)] {
            assert_eq!(value_order(&of).unwrap_err().code, ReasonCode::KeyType, "{of}");
        }
    }
}
