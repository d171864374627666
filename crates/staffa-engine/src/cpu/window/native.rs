//! Fixed-width values as plain numbers, whatever the numbers stand for.

use std::ops::Range;

use arrow::array::{Array, ArrayData, ArrayRef, BooleanBufferBuilder, PrimitiveArray, make_array};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::datatypes::{ArrowNativeType, DataType, Float64Type};
use datafusion_common::Result;

/// How a type's values are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    I32,
    I64,
    U64,
    I128,
    F64,
}

impl Held {
    /// Of a type whose order and sums are those of the numbers.
    pub(super) fn of(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Int32 | DataType::Date32 | DataType::Time32(_) | DataType::Decimal32(..) => {
                Self::I32
            }
            DataType::Int64
            | DataType::Date64
            | DataType::Time64(_)
            | DataType::Timestamp(..)
            | DataType::Duration(_)
            | DataType::Decimal64(..) => Self::I64,
            DataType::UInt64 => Self::U64,
            DataType::Decimal128(..) => Self::I128,
            DataType::Float64 => Self::F64,
            _ => return None,
        })
    }
}

/// A column of numbers.
#[derive(Debug)]
pub(super) struct Numbers<T: ArrowNativeType> {
    pub(super) values: ScalarBuffer<T>,
    pub(super) nulls: Option<NullBuffer>,
}

impl<T: ArrowNativeType> Numbers<T> {
    /// The numbers of an array whose type is held as `T`.
    pub(super) fn new(array: &ArrayRef) -> Self {
        let data = array.to_data();
        Self {
            values: ScalarBuffer::new(data.buffers()[0].clone(), data.offset(), data.len()),
            nulls: array.nulls().filter(|nulls| nulls.null_count() > 0).cloned(),
        }
    }

    pub(super) fn is_valid(&self, row: usize) -> bool {
        self.nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row))
    }

    /// How many values are not NULL.
    pub(super) fn count(&self, rows: &Range<usize>) -> usize {
        match &self.nulls {
            None => rows.len(),
            Some(nulls) if rows.len() == 1 => usize::from(nulls.is_valid(rows.start)),
            Some(nulls) => nulls.inner().slice(rows.start, rows.len()).count_set_bits(),
        }
    }

    /// The values of some rows that are not NULL.
    pub(super) fn valid(&self, rows: Range<usize>) -> impl Iterator<Item = T> + '_ {
        rows.filter(|&row| self.is_valid(row)).map(|row| self.values[row])
    }
}

impl Numbers<f64> {
    /// The sum as Arrow's kernel adds it, on whose order its last bits depend.
    pub(super) fn sum(&self, rows: Range<usize>) -> Option<f64> {
        if rows.len() == 1 {
            return self.is_valid(rows.start).then(|| 0.0 + self.values[rows.start]);
        }
        let values = self.values.slice(rows.start, rows.len());
        let nulls = self.nulls.as_ref().map(|nulls| nulls.slice(rows.start, rows.len()));
        arrow::compute::sum(&PrimitiveArray::<Float64Type>::new(values, nulls))
    }
}

/// An array in the making.
pub(super) struct Builder<T: ArrowNativeType> {
    values: Vec<T>,
    valid: BooleanBufferBuilder,
}

impl<T: ArrowNativeType> Builder<T> {
    pub(super) fn new(rows: usize) -> Self {
        Self { values: Vec::with_capacity(rows), valid: BooleanBufferBuilder::new(rows) }
    }

    /// Adds `value`, so many times.
    pub(super) fn push(&mut self, value: Option<T>, times: usize) {
        self.values.extend(std::iter::repeat_n(value.unwrap_or_default(), times));
        self.valid.append_n(times, value.is_some());
    }

    /// An array of `data_type`, which is held as `T`.
    ///
    /// # Errors
    /// Arrow's, for another type.
    pub(super) fn finish(mut self, data_type: &DataType) -> Result<ArrayRef> {
        let rows = self.values.len();
        let nulls = NullBuffer::new(self.valid.finish());
        let values = ScalarBuffer::from(self.values).into_inner();
        let nulls = (nulls.null_count() > 0).then_some(nulls);
        let data = ArrayData::builder(data_type.clone()).len(rows).add_buffer(values).nulls(nulls);
        Ok(make_array(data.build()?))
    }
}

/// Rows of an array, as functions that take arrays want them.
pub(super) fn slices(arrays: &[ArrayRef], rows: &Range<usize>) -> Vec<ArrayRef> {
    arrays.iter().map(|array| array.slice(rows.start, rows.len())).collect()
}
