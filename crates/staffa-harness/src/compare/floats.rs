//! The float columns of an answer, as Float64.

use arrow::array::{Array, AsArray, Float64Array};
use arrow::compute::{cast, concat};
use arrow::datatypes::{DataType, Float64Type};
use arrow::error::ArrowError;

use super::{Answer, Tolerance};

/// The float columns, each over all rows.
pub(super) struct Floats {
    columns: Vec<Float64Array>,
}

/// Whether a column is compared within the tolerance.
pub(super) fn is_float(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Float16 | DataType::Float32 | DataType::Float64)
}

impl Floats {
    /// The named columns, which must be floats.
    pub(super) fn read(answer: &Answer, columns: &[usize]) -> Result<Self, ArrowError> {
        let read = |&column: &usize| {
            let parts = answer
                .batches
                .iter()
                .map(|batch| cast(batch.column(column), &DataType::Float64))
                .collect::<Result<Vec<_>, _>>()?;
            if parts.is_empty() {
                return Ok(Float64Array::from(Vec::<f64>::new()));
            }
            let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
            Ok(concat(&parts)?.as_primitive::<Float64Type>().clone())
        };
        let columns = columns.iter().map(read).collect::<Result<_, ArrowError>>()?;
        Ok(Self { columns })
    }

    /// Whether all columns of two rows are equal within `tolerance`.
    pub(super) fn close(
        &self,
        row: usize,
        other: &Self,
        other_row: usize,
        tolerance: &Tolerance,
    ) -> bool {
        self.columns.iter().zip(&other.columns).all(|(a, b)| {
            match (value(a, row), value(b, other_row)) {
                (None, None) => true,
                (Some(a), Some(b)) => close(a, b, tolerance),
                _ => false,
            }
        })
    }

    /// An order of rows by their floats: NULL first, NaN last.
    pub(super) fn order(&self, row: usize, other_row: usize) -> std::cmp::Ordering {
        let compare = |column: &Float64Array| match (value(column, row), value(column, other_row)) {
            (None, None) => std::cmp::Ordering::Equal,
            (None, Some(_)) => std::cmp::Ordering::Less,
            (Some(_), None) => std::cmp::Ordering::Greater,
            (Some(a), Some(b)) => plain(a).total_cmp(&plain(b)),
        };
        let differing = self.columns.iter().map(compare).find(|order| order.is_ne());
        differing.unwrap_or(std::cmp::Ordering::Equal)
    }
}

fn value(column: &Float64Array, row: usize) -> Option<f64> {
    column.is_valid(row).then(|| column.value(row))
}

/// One NaN and one zero, so that sorting agrees with [`close`].
fn plain(value: f64) -> f64 {
    if value.is_nan() { f64::NAN } else { value + 0.0 }
}

fn close(a: f64, b: f64, tolerance: &Tolerance) -> bool {
    if a.is_nan() || b.is_nan() {
        return a.is_nan() && b.is_nan();
    }
    if tolerance.is_exact() {
        return a.to_bits() == b.to_bits();
    }
    // Infinities equal themselves only: their difference is NaN or infinite.
    a == b
        || (a.is_finite()
            && b.is_finite()
            && (a - b).abs() <= tolerance.absolute + tolerance.relative * a.abs().max(b.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_follows_the_rule() {
        let default = Tolerance::default();
        assert!(close(1e20, 1e20 + 1e10, &default));
        assert!(!close(1.0, 1.0 + 1e-8, &default));
        assert!(close(0.0, -0.0, &default) && !close(0.0, -0.0, &Tolerance::EXACT));
        assert!(close(f64::NAN, -f64::NAN, &default));
        assert!(!close(f64::NAN, 0.0, &default));
        assert!(close(f64::INFINITY, f64::INFINITY, &default));
        assert!(!close(f64::INFINITY, f64::NEG_INFINITY, &default));
        assert!(!close(f64::INFINITY, f64::MAX, &default));
        assert!(!close(1e308, -1e308, &default));
    }
}
