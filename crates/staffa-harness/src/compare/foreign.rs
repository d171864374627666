//! Whether another program's answer has DataFusion's values, though perhaps not its types.
//!
//! Columns are taken by position, their names and nullability do not matter, and each pair of types
//! is compared as one that both fit:
//!
//! | types | compared as |
//! |---|---|
//! | integers, and decimals of one scale | decimals, exactly |
//! | decimals of different scales, or a float and another number | Float64, within the tolerance and one unit of the coarser decimal's last digit |
//! | strings of any layout | strings, exactly |
//! | dates and timestamps | microseconds, exactly, whatever the time zone |
//!
//! Rows and order then follow the rule of [`super`].

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::compute::CastOptions;
use arrow::compute::cast_with_options;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use super::{Answer, Rules, Tolerance, compare, order};

/// The outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Values {
    /// The same values.
    Equal,
    /// What differs, in words.
    Different(String),
    /// Why it cannot be said.
    NotCompared(String),
}

/// Compares the values of two answers, the left one DataFusion's.
pub fn compare_values(left: &Answer, right: &Answer, rules: &Rules, sides: [&str; 2]) -> Values {
    let (left, right, rules) = match aligned(left, right, rules) {
        Ok(aligned) => aligned,
        Err(outcome) => return outcome,
    };
    match compare(&left, &right, &rules) {
        Ok(comparison) if comparison.is_equal() => Values::Equal,
        Ok(comparison) => Values::Different(comparison.render(sides[0], sides[1])),
        Err(error) => Values::NotCompared(error.to_string()),
    }
}

/// Whether the sort keys that are columns of the answers have the same values; true without any.
pub(super) fn same_keys(left: &Answer, right: &Answer, rules: &Rules) -> bool {
    let Ok((left, right, rules)) = aligned(left, right, rules) else {
        return false;
    };
    matches!(order::first_difference(&left, &right, &rules), Ok(None))
}

/// Both answers under one schema, and the tolerance that its types need.
fn aligned(
    left: &Answer,
    right: &Answer,
    rules: &Rules,
) -> Result<(Answer, Answer, Rules), Values> {
    let (l, r) = (left.schema.fields(), right.schema.fields());
    if l.len() != r.len() {
        return Err(Values::Different(format!("{} columns against {}", l.len(), r.len())));
    }
    let mut fields = vec![];
    let mut coarsest: f64 = 0.0;
    for (left, right) in l.iter().zip(r) {
        let (a, b) = (left.data_type(), right.data_type());
        let Some((common, unit)) = common(a, b) else {
            let name = left.name();
            let what = format!("column '{name}' has type {a} against {b}");
            return Err(Values::NotCompared(what));
        };
        coarsest = coarsest.max(unit);
        fields.push(Field::new(left.name(), common, true));
    }
    let schema = Arc::new(Schema::new(fields));
    let Tolerance { relative, absolute } = rules.tolerance;
    let tolerance = Tolerance { relative, absolute: absolute.max(coarsest) };
    let rules = Rules { tolerance, ..rules.clone() };
    let recast = |answer| recast(answer, &schema).map_err(|e| Values::NotCompared(e.to_string()));
    Ok((recast(left)?, recast(right)?, rules))
}

/// A type for both, and how far its values may be apart for lack of digits; none where there is no
/// such type.
fn common(a: &DataType, b: &DataType) -> Option<(DataType, f64)> {
    let (a, b) = (plain(a), plain(b));
    if let (Some(x), Some(y)) = (scale(&a), scale(&b)) {
        if x == y || (a.is_integer() && y >= 0) || (b.is_integer() && x >= 0) {
            return Some((DataType::Decimal256(76, x.max(y)), 0.0));
        }
        return Some((DataType::Float64, unit(x.min(y))));
    }
    match (&a, &b) {
        (DataType::Null, other) | (other, DataType::Null) => Some((other.clone(), 0.0)),
        _ if a == b => Some((a, 0.0)),
        _ if a.is_numeric() && b.is_numeric() => {
            let decimal =
                |t: &DataType| if t.is_decimal() { scale(t).map_or(0.0, unit) } else { 0.0 };
            Some((DataType::Float64, decimal(&a).max(decimal(&b))))
        }
        _ => None,
    }
}

/// The one type that stands for all layouts of the same values.
fn plain(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, values) => plain(values),
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => DataType::LargeUtf8,
        DataType::Binary | DataType::BinaryView | DataType::LargeBinary => DataType::LargeBinary,
        DataType::Float16 | DataType::Float32 => DataType::Float64,
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(_, _) => {
            DataType::Timestamp(TimeUnit::Microsecond, None)
        }
        other => other.clone(),
    }
}

/// Digits behind the point, of an integer or a decimal.
fn scale(data_type: &DataType) -> Option<i8> {
    match data_type {
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale) => Some(*scale),
        other => other.is_integer().then_some(0),
    }
}

/// One unit of the last digit.
fn unit(scale: i8) -> f64 {
    10_f64.powi(-i32::from(scale))
}

/// The same rows under another schema; a value that does not fit is an error.
fn recast(answer: &Answer, schema: &Arc<Schema>) -> Result<Answer, ArrowError> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let one = |batch: &RecordBatch| {
        let columns = batch.columns().iter().zip(schema.fields());
        let columns = columns
            .map(|(column, field)| cast_with_options(column, field.data_type(), &options))
            .collect::<Result<Vec<ArrayRef>, _>>()?;
        RecordBatch::try_new(Arc::clone(schema), columns)
    };
    let batches = answer.batches.iter().map(one).collect::<Result<_, _>>()?;
    Ok(Answer { schema: Arc::clone(schema), batches })
}
