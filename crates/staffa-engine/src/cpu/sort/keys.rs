//! From sort expressions to normalised keys.

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::compute::SortOptions;
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

use super::entry::{Narrow, Wide, narrow};
use crate::Morsel;
use crate::bound::BoundExpr;

/// The sort expressions of an order, and how their values become entries.
#[derive(Debug)]
pub(super) struct SortKeys {
    exprs: Vec<BoundExpr>,
    first: SortOptions,
    /// Whether the first key alone makes narrow entries.
    leads: bool,
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

/// The keys of a batch, with positions in a first batch.
pub(super) enum Encoded {
    /// One key of at most 8 bytes.
    Narrow(Vec<Narrow>),
    /// Anything else; with the whole keys, unless the entries hold them.
    Wide(Vec<Wide>, Option<Rows>),
}

impl SortKeys {
    /// Keys for `ordering`, which is written against `schema`.
    ///
    /// # Errors
    /// Types that cannot be sorted, expressions that do not bind.
    pub(super) fn new(ordering: &LexOrdering, schema: &Schema) -> Result<Self> {
        let exprs = BoundExpr::all(ordering.iter().map(|key| &key.expr), schema)?;
        let types = ordering
            .iter()
            .map(|key| key.expr.data_type(schema))
            .collect::<Result<Vec<_>>>()?;
        let leads = is_narrow(&types[0]);
        let form = if leads && types.len() == 1 {
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
        Ok(Self {
            exprs,
            first: ordering.first().options,
            leads,
            form,
        })
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

    /// Entries for all rows.
    ///
    /// # Errors
    /// Arrow's.
    pub(super) fn encode(&self, arrays: &[ArrayRef]) -> Result<Encoded> {
        match &self.form {
            Form::Narrow => Ok(Encoded::Narrow(self.first_keys(arrays, None)?)),
            Form::Wide { converter, exact } => {
                let rows = converter.convert_columns(arrays)?;
                let entries = rows
                    .iter()
                    .enumerate()
                    .map(|(at, row)| Wide::new(row.data(), at))
                    .collect();
                Ok(Encoded::Wide(entries, (!exact).then_some(rows)))
            }
        }
    }

    /// Narrow entries of the first key alone, where its type has them: of those rows only whose
    /// key is at most `limit`.
    ///
    /// # Errors
    /// An internal error for other types.
    pub(super) fn first_keys(
        &self,
        arrays: &[ArrayRef],
        limit: Option<u128>,
    ) -> Result<Vec<Narrow>> {
        encode_narrow(arrays[0].as_ref(), self.first, limit)
    }

    /// Whether [`SortKeys::first_keys`] serves.
    pub(super) fn first_is_narrow(&self) -> bool {
        self.leads
    }

    /// An empty set of whole keys.
    pub(super) fn no_rows(&self) -> Option<Rows> {
        match &self.form {
            Form::Wide {
                converter,
                exact: false,
            } => Some(converter.empty_rows(0, 0)),
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

fn encode_narrow(
    array: &dyn Array,
    options: SortOptions,
    limit: Option<u128>,
) -> Result<Vec<Narrow>> {
    if let DataType::Boolean = array.data_type() {
        let values = array.as_boolean().values();
        let keys = values.iter().map(u64::from);
        return Ok(entries(keys, array, options, limit));
    }
    macro_rules! primitive {
        ($t:ty, $key:expr) => {
            Ok(primitive_entries::<$t>(
                array.as_primitive(),
                $key,
                options,
                limit,
            ))
        };
    }
    by_type!(array.data_type(), primitive)
}

fn primitive_entries<T: ArrowPrimitiveType>(
    array: &PrimitiveArray<T>,
    key: impl Fn(T::Native) -> u64,
    options: SortOptions,
    limit: Option<u128>,
) -> Vec<Narrow> {
    entries(
        array.values().iter().map(|value| key(*value)),
        array,
        options,
        limit,
    )
}

fn entries(
    keys: impl ExactSizeIterator<Item = u64>,
    array: &dyn Array,
    options: SortOptions,
    limit: Option<u128>,
) -> Vec<Narrow> {
    let flip = if options.descending { u64::MAX } else { 0 };
    let valid = options.nulls_first;
    let all = keys
        .enumerate()
        .map(|(row, key)| narrow(valid, key ^ flip, row));
    let Some(nulls) = array.nulls().filter(|nulls| nulls.null_count() > 0) else {
        return below(all, limit);
    };
    let all = all.zip(nulls.iter()).enumerate().map(|(row, (entry, is))| {
        if is {
            entry
        } else {
            narrow(!valid, 0, row)
        }
    });
    below(all, limit)
}

fn below(entries: impl Iterator<Item = Narrow>, limit: Option<u128>) -> Vec<Narrow> {
    match limit {
        None => entries.collect(),
        Some(limit) => {
            // Whatever the position, a key at the limit stays at or below this.
            let limit = (limit << 63) | POSITION;
            entries.filter(|entry| *entry <= limit).collect()
        }
    }
}

/// All bits of a position.
const POSITION: u128 = (1 << 63) - 1;

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
