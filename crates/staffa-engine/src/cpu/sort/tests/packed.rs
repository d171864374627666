//! Keys of several columns packed into numbers.

use std::sync::Arc;

use arrow::array::*;
use arrow::compute::{SortOptions, cast};
use arrow::datatypes::DataType;
use datafusion_execution::runtime_env::RuntimeEnv;

use super::super::packed::Packing;
use super::data::Random;
use super::order::OPTIONS;
use super::{check, context};

/// One in `nulls` is NULL (none with 0); the others lie within `span` above `low`.
fn decimals(rows: usize, low: i128, span: u64, nulls: u64, random: &mut Random) -> Decimal128Array {
    let values = (0..rows).map(|_| {
        let value = low + i128::from(random.below(span));
        (nulls == 0 || random.below(nulls) > 0).then_some(value)
    });
    values.collect::<Decimal128Array>().with_precision_and_scale(38, 0).expect("38 digits")
}

fn integers(of: &DataType, low: i128, span: u64, nulls: u64, random: &mut Random) -> ArrayRef {
    let values: ArrayRef = Arc::new(decimals(ROWS, low, span, nulls, random));
    let wide = if matches!(of, DataType::UInt64) { DataType::UInt64 } else { DataType::Int64 };
    cast(&cast(&values, &wide).expect("it fits"), of).expect("it fits")
}

const ROWS: usize = 700;

fn batch(seed: u64) -> RecordBatch {
    let random = &mut Random(seed);
    let floats: Float32Array = (0..ROWS)
        .map(|at| match at % 7 {
            0 => None,
            1 => Some([0.0, -0.0, f32::NAN, -f32::NAN][at / 7 % 4]),
            _ => Some(random.below(9) as f32 / 3.0 - 1.0),
        })
        .collect();
    let time = |unit| DataType::Timestamp(unit, Some("+02:00".into()));
    let nanoseconds = time(arrow::datatypes::TimeUnit::Nanosecond);
    let wide = |nulls: usize, random: &mut Random| -> ArrayRef {
        let values = (0..ROWS).map(|at| match at {
            0 => Some(i64::MIN),
            1 => Some(i64::MAX - 1),
            _ => (nulls == 0 || at % nulls > 0).then(|| (random.next() << 11) as i64 >> (at % 3)),
        });
        Arc::new(values.collect::<Int64Array>())
    };
    let columns: Vec<(&str, ArrayRef)> = vec![
        (
            "bits",
            Arc::new(
                (0..ROWS)
                    .map(|_| (random.below(5) > 0).then(|| random.below(2) == 0))
                    .collect::<BooleanArray>(),
            ),
        ),
        ("small", integers(&DataType::Int8, -128, 256, 9, random)),
        ("least", integers(&DataType::Int64, i64::MIN.into(), 30, 0, random)),
        ("greatest", integers(&DataType::Int64, (i64::MAX - 29).into(), 30, 5, random)),
        ("unsigned", integers(&DataType::UInt64, (u64::MAX - 9).into(), 10, 4, random)),
        ("days", integers(&DataType::Int32, -4, 9, 0, random)),
        (
            "date",
            cast(&integers(&DataType::Int32, -40, 90, 3, random), &DataType::Date32)
                .expect("dates"),
        ),
        (
            "time",
            cast(&integers(&DataType::Int64, 1 << 60, 25, 3, random), &nanoseconds).expect("times"),
        ),
        ("float", Arc::new(floats)),
        ("price", Arc::new(decimals(ROWS, -(10_i128.pow(37)), 40, 6, random))),
        ("same", integers(&DataType::Int64, 7, 1, 0, random)),
        ("same or none", integers(&DataType::Int64, 7, 1, 2, random)),
        ("none", Arc::new(Int32Array::new_null(ROWS))),
        ("wide", wide(0, random)),
        ("wide or none", wide(8, random)),
        (
            "id",
            Arc::new(UInt64Array::from_iter_values(
                (0..ROWS as u64).map(|row| row + seed * ROWS as u64),
            )),
        ),
    ];
    RecordBatch::try_from_iter(columns).expect("equal lengths")
}

/// Batches of one schema: a column that has no NULLs in one has some in the other.
fn lanes() -> [Vec<RecordBatch>; 2] {
    let batches = [0, 1, 2].map(batch);
    let fields = batches[0]
        .schema()
        .fields()
        .iter()
        .map(|field| field.as_ref().clone().with_nullable(true))
        .collect::<Vec<_>>();
    let schema = Arc::new(arrow::datatypes::Schema::new(fields));
    let [a, b, c] = batches.map(|batch| {
        RecordBatch::try_new(Arc::clone(&schema), batch.columns().to_vec()).expect("nullable")
    });
    [vec![a.slice(13, 600), b.slice(0, 0), b], vec![c.slice(1, 350), c.slice(351, 349)]]
}

#[tokio::test]
async fn packed_keys_sort_as_datafusion_does() {
    let context = context(Arc::new(RuntimeEnv::default()));
    let lanes = lanes();
    let schema = lanes[0][0].schema();
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let names = &names[..names.len() - 1];
    for (at, first) in names.iter().enumerate() {
        for (next, second) in names.iter().enumerate() {
            let (a, b) = (OPTIONS[(at + next) % 4], OPTIONS[(at + 3 * next + 1) % 4]);
            check(&lanes, &schema, &[(first, a), (second, b)], None, &context).await;
        }
    }
    for options in OPTIONS {
        check(&lanes, &schema, &[("price", options)], None, &context).await;
        let many =
            ["date", "bits", "small", "none", "float", "price", "time"].map(|name| (name, options));
        check(&lanes, &schema, &many, None, &context).await;
        check(&lanes[..1], &schema, &many, Some(40), &context).await;
    }
}

#[test]
fn keys_take_the_bits_of_their_ranges() {
    let lanes = lanes();
    let batches: Vec<&RecordBatch> = lanes.iter().flatten().collect();
    let bits = |names: &[&str]| {
        let arrays: Vec<Vec<ArrayRef>> = batches
            .iter()
            .map(|batch| {
                names
                    .iter()
                    .map(|name| Arc::clone(batch.column_by_name(name).expect("a column")))
                    .collect()
            })
            .collect();
        let options = vec![SortOptions::default(); names.len()];
        Packing::of(&options, &arrays).map(|packing| packing.bits())
    };
    assert_eq!(bits(&["least"]), Some(5));
    // 256 values and NULL.
    assert_eq!(bits(&["small"]), Some(9));
    assert_eq!(bits(&["price", "days"]), Some(6 + 4));
    assert_eq!(bits(&["same", "none"]), Some(0));
    assert_eq!(bits(&["same or none"]), Some(1));
    assert_eq!(bits(&["wide", "wide"]), Some(128));
    assert_eq!(bits(&["wide", "wide", "bits"]), None);
    assert_eq!(bits(&["wide or none", "wide"]), Some(128));
    assert_eq!(Packing::of(&[SortOptions::default()], &[]).map(|packing| packing.bits()), Some(0));
    // 2^64 values are one too many with a NULL.
    let ends: ArrayRef = Arc::new(Int64Array::from(vec![Some(i64::MIN), Some(i64::MAX), None]));
    assert!(Packing::of(&[SortOptions::default()], &[vec![Arc::clone(&ends)]]).is_none());
    assert!(Packing::of(&[SortOptions::default()], &[vec![ends.slice(0, 2)]]).is_some());
    let far: ArrayRef = Arc::new(Decimal128Array::from(vec![i128::MIN, i128::MAX]));
    assert!(Packing::of(&[SortOptions::default()], &[vec![far]]).is_none());
}
