//! From sort expressions to normalised keys.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray, Scalar,
};
use arrow::compute::kernels::cmp::{gt, gt_eq, lt, lt_eq};
use arrow::compute::{SortOptions, is_null};
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, DurationMicrosecondType,
    DurationMillisecondType, DurationNanosecondType, DurationSecondType, Float16Type, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, IntervalUnit, IntervalYearMonthType,
    Schema, Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType,
    TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::row::{RowConverter, Rows, SortField};
use datafusion_common::{Result, internal_err};
use datafusion_physical_expr_common::sort_expr::LexOrdering;

use super::entry::{Narrow, Wide, narrow, position};
use crate::Morsel;
use crate::bound::BoundExpr;

/// The sort expressions of an order, and how their values become entries.
#[derive(Debug)]
pub(super) struct SortKeys {
    exprs: Vec<BoundExpr>,
    first: SortOptions,
    form: Form,
}

#[derive(Debug)]
enum Form {
    Narrow,
    Wide {
        converter: RowConverter,
        /// Whether an entry holds its whole key.
        exact: bool,
    },
}

impl SortKeys {
    /// Keys for `ordering`, which is written against `schema`.
    ///
    /// # Errors
    /// Types that cannot be sorted, expressions that do not bind.
    pub(super) fn new(ordering: &LexOrdering, schema: &Schema) -> Result<Self> {
        let exprs = BoundExpr::all(ordering.iter().map(|key| &key.expr), schema)?;
        let types =
            ordering.iter().map(|key| key.expr.data_type(schema)).collect::<Result<Vec<_>>>()?;
        let form = if is_narrow(&types[0]) && types.len() == 1 {
            Form::Narrow
        } else {
            let width: Option<usize> = types.iter().map(row_width).sum();
            let fields = types
                .into_iter()
                .zip(ordering.iter())
                .map(|(of, key)| SortField::new_with_options(of, key.options))
                .collect();
            Form::Wide {
                converter: RowConverter::new(fields)?,
                exact: width.is_some_and(|width| width <= 16),
            }
        };
        Ok(Self { exprs, first: ordering.first().options, form })
    }

    /// The values of the sort expressions.
    ///
    /// # Errors
    /// What an expression raises.
    pub(super) fn arrays(&self, morsel: &Morsel) -> Result<Vec<ArrayRef>> {
        self.exprs.iter().map(|expr| expr.array(morsel)).collect()
    }

    /// Whether entries are narrow.
    pub(super) fn is_narrow(&self) -> bool {
        matches!(self.form, Form::Narrow)
    }

    /// The columns that serve as keys as they are.
    pub(super) fn plain_columns(&self) -> impl Iterator<Item = usize> + '_ {
        self.exprs.iter().filter_map(BoundExpr::as_column)
    }

    /// Whether whole keys are held beside the entries.
    pub(super) fn holds_rows(&self) -> bool {
        matches!(self.form, Form::Wide { exact: false, .. })
    }

    /// Wide entries for all rows, with the whole keys unless the entries hold them.
    ///
    /// # Errors
    /// Arrow's; an internal error where entries are narrow.
    pub(super) fn encode(&self, arrays: &[ArrayRef]) -> Result<(Vec<Wide>, Option<Rows>)> {
        let rows = self.rows(arrays)?;
        let keys = rows.iter().enumerate();
        let entries = keys.map(|(at, row)| Wide::new(row.data(), position(0, at))).collect();
        Ok((entries, self.holds_rows().then_some(rows)))
    }

    /// Narrow entries for all rows.
    ///
    /// # Errors
    /// An internal error where entries are wide.
    pub(super) fn narrow(&self, arrays: &[ArrayRef]) -> Result<Vec<Narrow>> {
        encode_narrow(arrays[0].as_ref(), self.first)
    }

    /// The rows that may stand before `bound`, the sort expressions' values at some row, as far as
    /// the first of them says; `None` where it cannot say. Compares natively, without entries.
    pub(super) fn may_precede(
        &self,
        arrays: &[ArrayRef],
        bound: &ArrayRef,
    ) -> Option<BooleanArray> {
        let array = &arrays[0];
        // A dictionary's value may be NULL where its key is not.
        let nulls = bound.logical_nulls();
        if nulls.is_some_and(|nulls| nulls.is_null(0)) {
            return self.first.nulls_first.then(|| is_null(array).ok()).flatten();
        }
        let bound = Scalar::new(Arc::clone(bound));
        // Rows that equal a single key stand at the bound, not before it.
        let compare = match (self.first.descending, self.exprs.len() == 1) {
            (false, true) => lt,
            (false, false) => lt_eq,
            (true, true) => gt,
            (true, false) => gt_eq,
        };
        let mask = compare(array, &bound).ok()?;
        let (values, nulls) = mask.into_parts();
        let values = match nulls.filter(|nulls| nulls.null_count() > 0) {
            None => values,
            Some(valid) if self.first.nulls_first => &values | &!valid.inner(),
            Some(valid) => &values & valid.inner(),
        };
        Some(BooleanArray::new(values, None))
    }

    /// The keys of all rows in row format.
    ///
    /// # Errors
    /// Arrow's; an internal error where entries are narrow.
    pub(super) fn rows(&self, arrays: &[ArrayRef]) -> Result<Rows> {
        match &self.form {
            Form::Narrow => internal_err!("narrow keys have no row format"),
            Form::Wide { converter, .. } => Ok(converter.convert_columns(arrays)?),
        }
    }

    /// An empty set of whole keys.
    pub(super) fn no_rows(&self) -> Option<Rows> {
        match &self.form {
            Form::Wide { converter, exact: false } => Some(converter.empty_rows(0, 0)),
            _ => None,
        }
    }
}

/// Bytes of a value in row format, for types where all values have as many.
fn row_width(of: &DataType) -> Option<usize> {
    match of {
        DataType::Null => Some(0),
        DataType::Boolean => Some(2),
        DataType::FixedSizeBinary(width) => usize::try_from(*width).ok().map(|width| width + 1),
        _ => of.primitive_width().map(|width| width + 1),
    }
}

fn is_narrow(of: &DataType) -> bool {
    match of {
        DataType::Boolean => true,
        DataType::Interval(unit) => *unit == IntervalUnit::YearMonth,
        _ => of.primitive_width().is_some_and(|width| width <= 8),
    }
}

/// Calls `signed`, `unsigned` or `float` with the Arrow type that a data type stands for.
macro_rules! by_type {
    ($of:expr, $go:ident) => {
        match $of {
            DataType::Int8 => $go!(Int8Type, |v| signed(i64::from(v))),
            DataType::Int16 => $go!(Int16Type, |v| signed(i64::from(v))),
            DataType::Int32 => $go!(Int32Type, |v| signed(i64::from(v))),
            DataType::Int64 => $go!(Int64Type, signed),
            DataType::UInt8 => $go!(UInt8Type, u64::from),
            DataType::UInt16 => $go!(UInt16Type, u64::from),
            DataType::UInt32 => $go!(UInt32Type, u64::from),
            DataType::UInt64 => $go!(UInt64Type, |v| v),
            DataType::Float16 => $go!(Float16Type, |v| float16(v.to_bits())),
            DataType::Float32 => $go!(Float32Type, |v| float32(v.to_bits())),
            DataType::Float64 => $go!(Float64Type, |v| float64(v.to_bits())),
            DataType::Decimal32(..) => $go!(Decimal32Type, |v| signed(i64::from(v))),
            DataType::Decimal64(..) => $go!(Decimal64Type, signed),
            DataType::Date32 => $go!(Date32Type, |v| signed(i64::from(v))),
            DataType::Date64 => $go!(Date64Type, signed),
            DataType::Time32(TimeUnit::Second) => {
                $go!(Time32SecondType, |v| signed(i64::from(v)))
            }
            DataType::Time32(_) => $go!(Time32MillisecondType, |v| signed(i64::from(v))),
            DataType::Time64(TimeUnit::Microsecond) => $go!(Time64MicrosecondType, signed),
            DataType::Time64(_) => $go!(Time64NanosecondType, signed),
            DataType::Timestamp(TimeUnit::Second, _) => $go!(TimestampSecondType, signed),
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                $go!(TimestampMillisecondType, signed)
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                $go!(TimestampMicrosecondType, signed)
            }
            DataType::Timestamp(TimeUnit::Nanosecond, _) => $go!(TimestampNanosecondType, signed),
            DataType::Duration(TimeUnit::Second) => $go!(DurationSecondType, signed),
            DataType::Duration(TimeUnit::Millisecond) => $go!(DurationMillisecondType, signed),
            DataType::Duration(TimeUnit::Microsecond) => $go!(DurationMicrosecondType, signed),
            DataType::Duration(TimeUnit::Nanosecond) => $go!(DurationNanosecondType, signed),
            DataType::Interval(IntervalUnit::YearMonth) => {
                $go!(IntervalYearMonthType, |v| signed(i64::from(v)))
            }
            other => internal_err!("{other} has no narrow sort key"),
        }
    };
}

fn encode_narrow(array: &dyn Array, options: SortOptions) -> Result<Vec<Narrow>> {
    if let DataType::Boolean = array.data_type() {
        let values = array.as_boolean().values();
        return Ok(entries(values.iter().map(u64::from), array, options));
    }
    macro_rules! primitive {
        ($t:ty, $key:expr) => {
            Ok(primitive_entries::<$t>(array.as_primitive(), $key, options))
        };
    }
    by_type!(array.data_type(), primitive)
}

fn primitive_entries<T: ArrowPrimitiveType>(
    array: &PrimitiveArray<T>,
    key: impl Fn(T::Native) -> u64,
    options: SortOptions,
) -> Vec<Narrow> {
    entries(array.values().iter().map(|value| key(*value)), array, options)
}

fn entries(
    keys: impl ExactSizeIterator<Item = u64>,
    array: &dyn Array,
    options: SortOptions,
) -> Vec<Narrow> {
    let flip = if options.descending { u64::MAX } else { 0 };
    let valid = options.nulls_first;
    let all = keys.enumerate().map(|(row, key)| narrow(valid, key ^ flip, row));
    let Some(nulls) = array.nulls().filter(|nulls| nulls.null_count() > 0) else {
        return all.collect();
    };
    let all = all
        .zip(nulls.iter())
        .enumerate()
        .map(|(row, (entry, is))| if is { entry } else { narrow(!valid, 0, row) });
    all.collect()
}

fn signed(value: i64) -> u64 {
    (value as u64) ^ (1 << 63)
}

/// IEEE total order, as Arrow sorts floats: -NaN < -inf < .. < -0.0 < 0.0 < .. < inf < NaN.
fn float64(bits: u64) -> u64 {
    let negative = (bits >> 63) as i64;
    bits ^ ((-negative) as u64 | (1 << 63))
}

fn float32(bits: u32) -> u64 {
    let negative = (bits >> 31) as i32;
    u64::from(bits ^ ((-negative) as u32 | (1 << 31)))
}

fn float16(bits: u16) -> u64 {
    let negative = (bits >> 15) as i16;
    u64::from(bits ^ ((-negative) as u16 | (1 << 15)))
}
