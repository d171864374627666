//! Tables of the shapes that break operators: `(k: any type, v Int64, id Int64)`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, IntervalUnit, Schema, TimeUnit};
use datafusion::common::Result;
use datafusion::datasource::MemTable;

use crate::differential::pool::{Domain, Pool};
use crate::rng::Rng;

/// How a table's rows are laid out and distributed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// No rows.
    Empty,
    /// One row.
    OneRow,
    /// Twenty rows whose keys are all NULL.
    AllNull,
    /// Slices of a larger batch: offsets in values, validity and strings.
    Sliced,
    /// Many small batches, empty ones among them, in three partitions.
    ManyBatches,
    /// Nine rows of ten have one key.
    Skewed,
}

impl Shape {
    /// All shapes.
    pub const ALL: [Self; 6] =
        [Self::Empty, Self::OneRow, Self::AllNull, Self::Sliced, Self::ManyBatches, Self::Skewed];
}

/// Key types, one of each way in which engines lay keys out.
pub fn key_types() -> Vec<DataType> {
    let dictionary = |value| DataType::Dictionary(Box::new(DataType::Int32), Box::new(value));
    vec![
        DataType::Int8,
        DataType::Int32,
        DataType::Int64,
        DataType::UInt16,
        DataType::UInt64,
        DataType::Float32,
        DataType::Float64,
        DataType::Boolean,
        DataType::Date32,
        DataType::Time64(TimeUnit::Nanosecond),
        DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        DataType::Interval(IntervalUnit::MonthDayNano),
        DataType::Decimal32(9, 2),
        DataType::Decimal128(38, 10),
        DataType::Decimal256(76, 0),
        DataType::Utf8,
        DataType::LargeUtf8,
        DataType::Utf8View,
        DataType::Binary,
        DataType::BinaryView,
        DataType::FixedSizeBinary(4),
        dictionary(DataType::Utf8),
    ]
}

/// How many rows a table of `shape` has.
pub(super) fn rows_of(shape: Shape) -> usize {
    match shape {
        Shape::Empty => 0,
        Shape::OneRow => 1,
        Shape::AllNull => 20,
        Shape::Sliced | Shape::ManyBatches => 60,
        Shape::Skewed => 100,
    }
}

/// The keys of a table of `shape`, drawn from `values`.
pub(super) fn key_column(values: &ArrayRef, shape: Shape, rng: &mut Rng) -> Result<ArrayRef> {
    let keys: UInt32Array = (0..rows_of(shape))
        .map(|row| match shape {
            Shape::AllNull => None,
            Shape::Skewed if row % 10 != 0 => Some(0),
            // A NULL now and then, and always one where there are many rows.
            _ if row % 9 == 4 => None,
            _ => u32::try_from(rng.below(values.len())).ok(),
        })
        .collect();
    Ok(take(values, &keys, None)?)
}

/// A table of `shape` whose keys are drawn from edge values of `data_type`. Tables of one type
/// draw from the same values, so that their keys meet; `salt` tells them apart.
pub(super) fn table(data_type: &DataType, shape: Shape, salt: u64) -> Result<Arc<MemTable>> {
    let pool = Pool::new(&mut Rng::new(11), data_type, Domain::Full, 12)?;
    let mut rng = Rng::new(salt);
    let rows = rows_of(shape);
    let k = key_column(&pool.values, shape, &mut rng)?;
    let v: Int64Array =
        (0..rows).map(|_| (!rng.chance(15)).then(|| rng.between(-50, 50))).collect();
    let id: Int64Array = (0i64..).take(rows).map(Some).collect();
    let schema = Arc::new(Schema::new(vec![
        Field::new("k", data_type.clone(), true),
        Field::new("v", DataType::Int64, true),
        Field::new("id", DataType::Int64, true),
    ]));
    let columns: Vec<ArrayRef> = vec![k, Arc::new(v), Arc::new(id)];
    debug_assert!(shape != Shape::AllNull || columns[0].logical_null_count() == rows);
    let whole = RecordBatch::try_new(schema.clone(), columns)?;
    Ok(Arc::new(MemTable::try_new(schema, cut(shape, &whole))?))
}

/// The partitions of a table of `shape`, as batches.
pub(super) fn cut(shape: Shape, whole: &RecordBatch) -> Vec<Vec<RecordBatch>> {
    let rows = whole.num_rows();
    match shape {
        Shape::Sliced => {
            vec![vec![whole.slice(3, 20), whole.slice(29, 31)], vec![whole.slice(23, 6)]]
        }
        Shape::ManyBatches => (0..3)
            .map(|partition| {
                let mut batches = vec![whole.slice(0, 0)];
                batches
                    .extend((partition * 20..(partition + 1) * 20).map(|row| whole.slice(row, 1)));
                batches
            })
            .collect(),
        Shape::Skewed => {
            vec![vec![whole.slice(0, rows / 2)], vec![whole.slice(rows / 2, rows - rows / 2)]]
        }
        Shape::Empty | Shape::OneRow | Shape::AllNull => vec![vec![whole.clone()], vec![]],
    }
}
