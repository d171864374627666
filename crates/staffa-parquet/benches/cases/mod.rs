//! What the benchmarks read, and both readers.
#![allow(clippy::unwrap_used, clippy::allow_attributes, reason = "a benchmark; each uses a part")]

use std::hint::black_box;
use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::*;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::{Compression, Encoding};
use parquet::file::properties::WriterProperties;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use staffa_parquet::*;

/// Rows of a file.
pub(crate) const ROWS: usize = 1 << 20;
const BATCH: u64 = 8192;

/// A kind of column.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    array: fn(&mut StdRng, Option<f64>) -> ArrayRef,
    read_as: Option<DataType>,
    pub(crate) dictionary: bool,
    encoding: Encoding,
}

fn some<T>(rng: &mut StdRng, nulls: Option<f64>, make: impl FnOnce(&mut StdRng) -> T) -> Option<T> {
    match nulls {
        Some(p) if rng.random_bool(p) => None,
        _ => Some(make(rng)),
    }
}

fn array<A: FromIterator<Option<T>> + Array + 'static, T>(
    rng: &mut StdRng,
    nulls: Option<f64>,
    mut make: impl FnMut(&mut StdRng) -> T,
) -> ArrayRef {
    Arc::new((0..ROWS).map(|_| some(rng, nulls, &mut make)).collect::<A>())
}

/// All kinds.
pub(crate) fn cases() -> Vec<Case> {
    use Encoding::*;
    let plain =
        |name, array| Case { name, array, read_as: None, dictionary: false, encoding: PLAIN };
    let dictionary = |name, array| Case { dictionary: true, ..plain(name, array) };
    let views = |case| Case { read_as: Some(DataType::Utf8View), ..case };
    vec![
        views(dictionary("dict_string_25", |r, n| {
            array::<StringArray, _>(r, n, |r| format!("value number {}", r.random_range(0..25)))
        })),
        views(dictionary("dict_string_10k", |r, n| {
            array::<StringArray, _>(r, n, |r| format!("customer {:06}", r.random_range(0..10_000)))
        })),
        views(dictionary("dict_string_short", |r, n| {
            array::<StringArray, _>(r, n, |r| ["A", "N", "R"][r.random_range(0..3)].to_owned())
        })),
        dictionary("dict_i64_1k", |r, n| {
            array::<Int64Array, _>(r, n, |r| r.random_range(0..1000i64) * 1_000_003)
        }),
        dictionary("dict_date_2500", |r, n| {
            array::<Date32Array, _>(r, n, |r| r.random_range(8000..10_500))
        }),
        dictionary("dict_decimal_50", |r, n| {
            let a = (0..ROWS).map(|_| some(r, n, |r| i128::from(r.random_range(1..=50i64)) * 100));
            let a = a.collect::<Decimal128Array>();
            Arc::new(a.with_precision_and_scale(15, 2).unwrap())
        }),
        plain("plain_i32", |r, n| array::<Int32Array, _>(r, n, |r| r.random::<i32>())),
        plain("plain_i64", |r, n| array::<Int64Array, _>(r, n, |r| r.random::<i64>())),
        plain("plain_f64", |r, n| array::<Float64Array, _>(r, n, |r| r.random::<f64>())),
        plain("plain_decimal_i64", |r, n| {
            let a = (0..ROWS).map(|_| some(r, n, |r| i128::from(r.random_range(0..10_000_000i64))));
            let a = a.collect::<Decimal128Array>();
            Arc::new(a.with_precision_and_scale(15, 2).unwrap())
        }),
        plain("plain_decimal_flba", |r, n| {
            let a = (0..ROWS).map(|_| some(r, n, |r| i128::from(r.random::<i64>())));
            let a = a.collect::<Decimal128Array>();
            Arc::new(a.with_precision_and_scale(25, 2).unwrap())
        }),
        plain("plain_bool", |r, n| array::<BooleanArray, _>(r, n, |r| r.random_bool(0.4))),
        Case {
            encoding: DELTA_BINARY_PACKED,
            ..plain("delta_i64", |r, n| {
                let mut at = 0i64;
                array::<Int64Array, _>(r, n, move |r| {
                    at += r.random_range(0..50);
                    at
                })
            })
        },
        views(plain("plain_string", |r, n| {
            array::<StringArray, _>(r, n, |r| {
                let n = r.random_range(10..44);
                "the quick brown fox jumps over the lazy dog"[..n].to_owned()
            })
        })),
        views(plain("plain_string_short", |r, n| {
            array::<StringArray, _>(r, n, |r| "abcdefghijkl"[..r.random_range(1..12)].to_owned())
        })),
        Case {
            read_as: Some(DataType::Utf8),
            ..plain("plain_string_utf8", |r, n| {
                array::<StringArray, _>(r, n, |r| {
                    let n = r.random_range(10..44);
                    "the quick brown fox jumps over the lazy dog"[..n].to_owned()
                })
            })
        },
    ]
}

/// A case's file, ready for both readers.
pub(crate) struct Ready {
    bytes: Bytes,
    metadata: ArrowReaderMetadata,
    file: ParquetFile,
    options: ReadOptions,
}

impl Ready {
    pub(crate) fn new(case: &Case, nulls: Option<f64>, codec: Compression) -> Self {
        let (bytes, schema) = write(case, nulls, codec);
        let asked = ArrowReaderOptions::new().with_schema(schema.clone());
        let metadata = ArrowReaderMetadata::load(&bytes, asked).unwrap();
        let source = Source::memory("bench", bytes.clone());
        let footer = Footer::read(&source, &FooterOptions::default()).unwrap();
        let file = ParquetFile::new(source, Arc::new(footer));
        let options = ReadOptions::new(schema.field(0).data_type().clone());
        let ready = Self { bytes, metadata, file, options };
        assert_eq!(ready.arrow_rs(), ROWS);
        assert_eq!(ready.staffa(false), ROWS);
        ready
    }

    pub(crate) fn staffa(&self, codes: bool) -> usize {
        let mut options = self.options.clone();
        options.codes = codes;
        let mut rows = 0;
        for group in 0..self.file.footer().row_groups() {
            let plan = self.file.plan(group, &[0], None, &FetchOptions::default()).unwrap();
            let (chunk, bytes) = self.file.fetch_blocking(&plan).unwrap().get(0).unwrap();
            let total = chunk.rows();
            let mut reader = ColumnReader::new(chunk, bytes, &options).unwrap();
            for s in Selection::all(total).batches(BATCH) {
                rows += black_box(reader.decode(&s).unwrap()).len();
            }
        }
        rows
    }

    pub(crate) fn arrow_rs(&self) -> usize {
        let (bytes, metadata) = (self.bytes.clone(), self.metadata.clone());
        ParquetRecordBatchReaderBuilder::new_with_metadata(bytes, metadata)
            .with_batch_size(BATCH as usize)
            .build()
            .unwrap()
            .map(|b| black_box(b.unwrap()).num_rows())
            .sum()
    }
}

fn write(case: &Case, nulls: Option<f64>, codec: Compression) -> (Bytes, SchemaRef) {
    let mut rng = StdRng::seed_from_u64(42);
    let data = (case.array)(&mut rng, nulls);
    let field = Field::new("c", data.data_type().clone(), nulls.is_some());
    let schema = Arc::new(Schema::new(vec![field.clone()]));
    let mut b =
        WriterProperties::builder().set_compression(codec).set_dictionary_enabled(case.dictionary);
    if !case.dictionary {
        b = b.set_encoding(case.encoding);
    }
    let mut out = vec![];
    let mut w = ArrowWriter::try_new(&mut out, schema.clone(), Some(b.build())).unwrap();
    w.write(&RecordBatch::try_new(schema, vec![data]).unwrap()).unwrap();
    w.close().unwrap();
    let asked = case.read_as.clone().unwrap_or_else(|| field.data_type().clone());
    (Bytes::from(out), Arc::new(Schema::new(vec![field.with_data_type(asked)])))
}
