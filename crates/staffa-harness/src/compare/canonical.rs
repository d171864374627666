//! Rows as byte strings, equal where their values count as equal bit by bit.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float16Type, Float32Type, Float64Type};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use arrow::row::{RowConverter, Rows, SortField};

use super::{Answer, Tolerance};

/// Some columns of an answer in arrow's row format, with floats made canonical.
pub(super) struct Encoded {
    rows: Option<Rows>,
    count: usize,
}

impl Encoded {
    /// Every column.
    pub(super) fn all_columns(answer: &Answer, tolerance: &Tolerance) -> Result<Self, ArrowError> {
        let columns: Vec<usize> = (0..answer.schema.fields().len()).collect();
        Self::columns(answer, &columns, tolerance)
    }

    /// The named columns. With none, all rows are equal.
    pub(super) fn columns(
        answer: &Answer,
        columns: &[usize],
        tolerance: &Tolerance,
    ) -> Result<Self, ArrowError> {
        let count = answer.rows();
        if columns.is_empty() {
            return Ok(Self { rows: None, count });
        }
        let fields = columns
            .iter()
            .map(|&c| SortField::new(answer.schema.field(c).data_type().clone()))
            .collect();
        let converter = RowConverter::new(fields)?;
        let mut rows = converter.empty_rows(count, 0);
        for batch in &answer.batches {
            converter.append(&mut rows, &canonical(batch, columns, tolerance))?;
        }
        Ok(Self { rows: Some(rows), count })
    }

    /// Number of rows.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// The bytes of row `index`.
    pub(super) fn row(&self, index: usize) -> &[u8] {
        self.rows.as_ref().map_or(&[], |rows| rows.row(index).data())
    }
}

fn canonical(batch: &RecordBatch, columns: &[usize], tolerance: &Tolerance) -> Vec<ArrayRef> {
    let keep_sign = tolerance.is_exact();
    columns.iter().map(|&column| canonical_column(batch.column(column), keep_sign)).collect()
}

/// One NaN for all; one zero for both unless `keep_sign`.
fn canonical_column(column: &ArrayRef, keep_sign: bool) -> ArrayRef {
    macro_rules! floats {
        ($arrow:ty, $nan:expr, $zero:expr) => {
            Arc::new(column.as_primitive::<$arrow>().unary::<_, $arrow>(|value| {
                if value.is_nan() {
                    $nan
                } else if !keep_sign && value == $zero {
                    $zero
                } else {
                    value
                }
            }))
        };
    }
    match column.data_type() {
        DataType::Float16 => {
            type Half = <Float16Type as arrow::datatypes::ArrowPrimitiveType>::Native;
            floats!(Float16Type, Half::NAN, Half::ZERO)
        }
        DataType::Float32 => floats!(Float32Type, f32::NAN, 0.0),
        DataType::Float64 => floats!(Float64Type, f64::NAN, 0.0),
        _ => Arc::clone(column),
    }
}
