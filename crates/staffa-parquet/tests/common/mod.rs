//! Arrays of every type, files of them, and both readers.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::allow_attributes,
    reason = "each test file uses a part; a test fails by a panic, its helpers too"
)]

pub(crate) mod cells;
pub(crate) mod gpu;
pub(crate) mod matrix;

use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::{Buffer, NullBuffer};
use arrow::compute::{concat, take};
use arrow::datatypes::*;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::file::properties::WriterProperties;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use staffa_parquet::*;

/// Every type that arrow-rs's reader gives for flat columns.
pub(crate) fn types() -> Vec<DataType> {
    use DataType::*;
    use TimeUnit::*;
    let mut v = vec![
        Boolean,
        Int8,
        Int16,
        Int32,
        Int64,
        UInt8,
        UInt16,
        UInt32,
        UInt64,
        Float16,
        Float32,
        Float64,
        Date32,
        Date64,
        Time32(Second),
        Time32(Millisecond),
        Time64(Microsecond),
        Time64(Nanosecond),
        Interval(IntervalUnit::YearMonth),
        Interval(IntervalUnit::DayTime),
        Decimal32(9, 2),
        Decimal64(9, 2),
        Decimal64(18, 4),
        Decimal128(5, 2),
        Decimal128(15, 2),
        Decimal128(25, 3),
        Decimal128(38, 10),
        Decimal256(9, 1),
        Decimal256(18, 1),
        Decimal256(30, 2),
        Decimal256(76, 5),
        Utf8,
        LargeUtf8,
        Utf8View,
        Binary,
        LargeBinary,
        BinaryView,
        FixedSizeBinary(3),
        FixedSizeBinary(16),
    ];
    for unit in [Second, Millisecond, Microsecond, Nanosecond] {
        v.push(Timestamp(unit, None));
        v.push(Timestamp(unit, Some("UTC".into())));
        v.push(Timestamp(unit, Some("Europe/Oslo".into())));
        v.push(Duration(unit));
    }
    v
}

/// How many rows of a generated array are NULL.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Nulls {
    Required,
    None,
    Some,
    Most,
    Runs,
    All,
}

impl Nulls {
    pub(crate) const ALL: [Nulls; 6] =
        [Nulls::Required, Nulls::None, Nulls::Some, Nulls::Most, Nulls::Runs, Nulls::All];

    pub(crate) fn mask(self, rows: usize, rng: &mut StdRng) -> Option<NullBuffer> {
        let mut run = (false, 0);
        match self {
            Nulls::Required | Nulls::None => None,
            Nulls::Some => Some((0..rows).map(|_| rng.random_range(0..10) > 0).collect()),
            Nulls::Most => Some((0..rows).map(|_| rng.random_range(0..20) == 0).collect()),
            Nulls::All => Some(NullBuffer::new_null(rows)),
            Nulls::Runs => Some(
                (0..rows)
                    .map(|_| {
                        if run.1 == 0 {
                            run = (!run.0, rng.random_range(1..400));
                        }
                        run.1 -= 1;
                        run.0
                    })
                    .collect(),
            ),
        }
    }
}

fn fixed(dt: &DataType, width: usize, rows: usize, rng: &mut StdRng) -> ArrayRef {
    let values: Vec<u8> = (0..rows * width).map(|_| rng.random()).collect();
    let data = ArrayData::builder(dt.clone()).len(rows).add_buffer(Buffer::from_vec(values));
    make_array(data.align_buffers(true).build().unwrap())
}

pub(crate) fn string(rng: &mut StdRng) -> String {
    const PARTS: [&str; 8] = ["a", "bc", "é", "日本", "🦀", " ", "x-y", "0123456789"];
    let n = match rng.random_range(0..20) {
        0 => 0,
        1 => 60,
        2 => 15,
        _ => rng.random_range(1..6),
    };
    (0..n).map(|_| PARTS[rng.random_range(0..PARTS.len())]).collect()
}

fn distinct(dt: &DataType, n: usize, rng: &mut StdRng) -> ArrayRef {
    use DataType::*;
    match dt {
        Boolean => Arc::new((0..n).map(|_| Some(rng.random_bool(0.3))).collect::<BooleanArray>()),
        Float32 => Arc::new((0..n).map(|i| Some(i as f32 / 7.0 - 3.0)).collect::<Float32Array>()),
        Float64 => Arc::new((0..n).map(|i| Some(i as f64 / 7.0 - 3.0)).collect::<Float64Array>()),
        Float16 => {
            let values = (0..n).map(|i| half::f16::from_f32(i as f32));
            Arc::new(Float16Array::from_iter_values(values))
        }
        Decimal32(p, s) => {
            let max = 10i32.pow(u32::from(*p)) - 1;
            let v = (0..n).map(|_| rng.random_range(-max..=max));
            Arc::new(Decimal32Array::from_iter_values(v).with_precision_and_scale(*p, *s).unwrap())
        }
        Decimal64(p, s) => {
            let max = 10i64.pow(u32::from(*p)) - 1;
            let v = (0..n).map(|_| rng.random_range(-max..=max));
            Arc::new(Decimal64Array::from_iter_values(v).with_precision_and_scale(*p, *s).unwrap())
        }
        Decimal128(p, s) => {
            let max = 10i128.pow(u32::from(*p)) - 1;
            let v = (0..n).map(|_| rng.random_range(-max..=max));
            Arc::new(Decimal128Array::from_iter_values(v).with_precision_and_scale(*p, *s).unwrap())
        }
        Decimal256(p, s) => {
            let max = 10i128.pow(u32::from(*p).min(38)) - 1;
            let v = (0..n).map(|_| {
                let low = i256::from_i128(rng.random_range(-max..=max));
                if *p > 70 { low.wrapping_mul(i256::from_i128(max / 1000)) } else { low }
            });
            Arc::new(Decimal256Array::from_iter_values(v).with_precision_and_scale(*p, *s).unwrap())
        }
        Utf8 => Arc::new((0..n).map(|_| Some(string(rng))).collect::<StringArray>()),
        LargeUtf8 => Arc::new((0..n).map(|_| Some(string(rng))).collect::<LargeStringArray>()),
        Utf8View => Arc::new((0..n).map(|_| Some(string(rng))).collect::<StringViewArray>()),
        Binary => Arc::new((0..n).map(|_| Some(string(rng))).collect::<BinaryArray>()),
        LargeBinary => Arc::new((0..n).map(|_| Some(string(rng))).collect::<LargeBinaryArray>()),
        BinaryView => Arc::new((0..n).map(|_| Some(string(rng))).collect::<BinaryViewArray>()),
        Date64 => {
            // Whole days, or a writer that stores days would lose the rest.
            let days = (0..n).map(|_| i64::from(rng.random_range(-1_000_000..1_000_000)));
            Arc::new(Date64Array::from_iter_values(days.map(|d| d * 86_400_000)))
        }
        FixedSizeBinary(w) => fixed(dt, *w as usize, n, rng),
        other => fixed(dt, other.primitive_width().unwrap(), n, rng),
    }
}

/// `rows` values drawn from `pool` distinct ones.
pub(crate) fn array(
    dt: &DataType,
    rows: usize,
    pool: usize,
    nulls: Nulls,
    rng: &mut StdRng,
) -> ArrayRef {
    let values = distinct(dt, pool.max(1), rng);
    let pick: Vec<u32> = (0..rows).map(|_| rng.random_range(0..pool.max(1)) as u32).collect();
    let mask = nulls.mask(rows, rng);
    take(&values, &UInt32Array::new(pick.into(), mask), None).unwrap()
}

pub(crate) fn rng(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

pub(crate) fn write(batch: &RecordBatch, props: WriterProperties) -> Bytes {
    let mut out = vec![];
    let mut writer = ArrowWriter::try_new(&mut out, batch.schema(), Some(props)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    Bytes::from(out)
}

/// The whole file through arrow-rs's reader, with `schema` as the types asked for.
pub(crate) fn arrow_rs(bytes: &Bytes, schema: Option<SchemaRef>) -> Result<RecordBatch, String> {
    let mut options = ArrowReaderOptions::new();
    if let Some(schema) = schema {
        options = options.with_schema(schema);
    }
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(bytes.clone(), options)
        .map_err(|e| e.to_string())?;
    let schema = builder.schema().clone();
    let reader = builder.with_batch_size(1 << 20).build().map_err(|e| e.to_string())?;
    let batches: Vec<RecordBatch> =
        reader.collect::<Result<_, _>>().map_err(|e: arrow::error::ArrowError| e.to_string())?;
    arrow::compute::concat_batches(&schema, &batches).map_err(|e| e.to_string())
}

pub(crate) fn open(bytes: &Bytes) -> staffa_parquet::Result<ParquetFile> {
    let source = Source::memory("test.parquet", bytes.clone());
    let footer = Footer::read(&source, &FooterOptions::default())?;
    Ok(ParquetFile::new(source, Arc::new(footer)))
}

/// A reader of one leaf in one row group.
pub(crate) fn reader(
    file: &ParquetFile,
    row_group: usize,
    leaf: usize,
    rows: Option<&Selection>,
    options: &ReadOptions,
) -> staffa_parquet::Result<ColumnReader> {
    let plan = file.plan(row_group, &[leaf], rows, &FetchOptions::default())?;
    let (chunk, bytes) = file.fetch_blocking(&plan)?.get(0).unwrap();
    ColumnReader::new(chunk, bytes, options)
}

/// A whole column, in batches.
pub(crate) fn column(
    file: &ParquetFile,
    leaf: usize,
    options: &ReadOptions,
    batch: u64,
) -> staffa_parquet::Result<ArrayRef> {
    let mut parts = vec![new_empty_array(&options.data_type)];
    for group in 0..file.footer().row_groups() {
        let rows = file.footer().rows(group)?;
        let mut reader = reader(file, group, leaf, None, options)?;
        for selection in Selection::all(rows).batches(batch) {
            let part = reader.decode(&selection)?;
            assert_eq!(part.len() as u64, selection.len());
            parts.push(part.into_array()?);
        }
    }
    let parts: Vec<&dyn Array> = parts.iter().map(|p| p.as_ref()).collect();
    Ok(concat(&parts).unwrap())
}

/// Every rule of Arrow's own that an array must keep; our constructors skip some checks.
pub(crate) fn validate(array: &ArrayRef) {
    array.to_data().validate_full().unwrap();
}
