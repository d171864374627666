//! Files to corrupt, and how.
#![allow(
    clippy::unwrap_used,
    clippy::allow_attributes,
    reason = "a helper of tests fails by a panic"
)]

use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::*;
use bytes::Bytes;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;
use rand::Rng;
use rand::rngs::StdRng;

use crate::common::*;

/// An intact file and where its pages lie.
pub(crate) struct Original {
    pub(crate) bytes: Bytes,
    /// Header start, body start, body end.
    pages: Vec<(usize, usize, usize)>,
    footer: usize,
}

fn properties(i: usize, schema: &Schema) -> WriterProperties {
    let codec = [
        Compression::UNCOMPRESSED,
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::UNCOMPRESSED,
        Compression::ZSTD(ZstdLevel::default()),
        Compression::LZ4_RAW,
    ][i % 6];
    let dictionary = i.is_multiple_of(2);
    let mut b = WriterProperties::builder()
        .set_compression(codec)
        .set_writer_version([WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0][i / 3 % 2])
        .set_dictionary_enabled(dictionary)
        .set_data_page_row_count_limit(60)
        .set_write_batch_size(20);
    if !dictionary {
        for f in schema.fields() {
            let kinds = match f.data_type() {
                DataType::Int32 | DataType::Int64 => {
                    [Encoding::PLAIN, Encoding::DELTA_BINARY_PACKED, Encoding::BYTE_STREAM_SPLIT]
                }
                DataType::Utf8View | DataType::Utf8 => {
                    [Encoding::PLAIN, Encoding::DELTA_LENGTH_BYTE_ARRAY, Encoding::DELTA_BYTE_ARRAY]
                }
                DataType::Boolean => [Encoding::PLAIN, Encoding::RLE, Encoding::PLAIN],
                _ => [Encoding::PLAIN, Encoding::BYTE_STREAM_SPLIT, Encoding::DELTA_BYTE_ARRAY],
            };
            let encoding = match (f.data_type(), kinds[i / 2 % 3]) {
                (DataType::Float64, Encoding::DELTA_BYTE_ARRAY) => Encoding::PLAIN,
                (_, e) => e,
            };
            b = b.set_column_encoding(ColumnPath::from(f.name().as_str()), encoding);
        }
    }
    b.build()
}

/// Twenty-four files over all encodings, page versions and four codecs.
pub(crate) fn originals() -> Vec<Original> {
    let mut rng = rng(77);
    (0..24)
        .map(|i| {
            let all = [
                DataType::Int32,
                DataType::Int64,
                DataType::Utf8View,
                DataType::Boolean,
                DataType::Float64,
                DataType::FixedSizeBinary(5),
                DataType::Utf8,
                DataType::Decimal128(25, 2),
            ];
            let (mut fields, mut columns) = (vec![], vec![]);
            for k in 0..3 {
                let dt = all[(i * 3 + k) % all.len()].clone();
                let nulls = Nulls::ALL[rng.random_range(0..6)];
                columns.push(array(&dt, 200, 20, nulls, &mut rng));
                fields.push(Field::new(format!("c{k}"), dt, nulls != Nulls::Required));
            }
            let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
            let bytes = write(&batch, properties(i, &batch.schema()));
            original(bytes)
        })
        .collect()
}

fn original(bytes: Bytes) -> Original {
    let file = open(&bytes).unwrap();
    let batch = arrow_rs(&bytes, None).unwrap();
    let mut pages = vec![];
    for leaf in 0..batch.num_columns() {
        let options =
            staffa_parquet::ReadOptions::new(batch.schema().field(leaf).data_type().clone());
        let r = reader(&file, 0, leaf, None, &options).unwrap();
        let table = r.pages();
        for p in table.dictionary.iter().chain(&table.pages) {
            pages.push((p.offset as usize, p.body.start as usize, p.body.end as usize));
        }
    }
    let n = bytes.len();
    let len = u32::from_le_bytes(bytes[n - 8..n - 4].try_into().unwrap()) as usize;
    Original { footer: n - 8 - len, bytes, pages }
}

const INTERESTING: [u8; 12] = [0, 1, 2, 3, 7, 0x10, 0x7e, 0x7f, 0x80, 0x81, 0xfe, 0xff];

fn poke(bytes: &mut [u8], at: usize, rng: &mut StdRng) -> String {
    if bytes.is_empty() {
        return String::new();
    }
    let at = at.min(bytes.len() - 1);
    let old = bytes[at];
    bytes[at] = match rng.random_range(0..4) {
        0 => old ^ (1 << rng.random_range(0..8)),
        1 => INTERESTING[rng.random_range(0..INTERESTING.len())],
        2 => old.wrapping_add([1, 255, 2, 16][rng.random_range(0..4)]),
        _ => rng.random(),
    };
    format!("byte {at} {old:#x} -> {:#x}; ", bytes[at])
}

/// One corrupted file and what was done to it. The same seed gives the same file.
pub(crate) fn mutate(original: &Original, seed: u64) -> (Bytes, String) {
    let mut rng = rng(seed);
    let mut bytes = original.bytes.to_vec();
    let (header, body, end) = original.pages[rng.random_range(0..original.pages.len())];
    let mut what = String::new();
    let n = bytes.len();
    match rng.random_range(0..12) {
        // A page header: sizes, counts, encodings, types.
        0..=3 => {
            for _ in 0..rng.random_range(1..3) {
                let at = rng.random_range(header..body);
                what += &poke(&mut bytes, at, &mut rng);
            }
        }
        // The front of a body: level lengths, bit widths, run and delta headers, string lengths.
        4..=6 if end > body => {
            for _ in 0..rng.random_range(1..3) {
                let at = rng.random_range(body..end.min(body + 16));
                what += &poke(&mut bytes, at, &mut rng);
            }
        }
        // Anywhere in a body.
        7 | 8 if end > body => {
            for _ in 0..rng.random_range(1..5) {
                let at = rng.random_range(body..end);
                what += &poke(&mut bytes, at, &mut rng);
            }
        }
        // The footer.
        9 => {
            for _ in 0..rng.random_range(1..3) {
                let at = rng.random_range(original.footer..n);
                what += &poke(&mut bytes, at, &mut rng);
            }
        }
        // A large number where a small varint was.
        10 => {
            let at = rng.random_range(header..body);
            for (k, b) in [0xff, 0xff, 0xff, 0xff, 0x0f].into_iter().enumerate() {
                if at + k < body {
                    bytes[at + k] = b;
                }
            }
            what = format!("varint at {at}");
        }
        // Bytes cut out, doubled or cut off.
        _ => {
            let at = rng.random_range(4..n);
            let k = rng.random_range(1..40).min(n - at);
            match rng.random_range(0..3) {
                0 => drop(bytes.drain(at..at + k)),
                1 => {
                    let copy = bytes[at..at + k].to_vec();
                    bytes.splice(at..at, copy);
                }
                _ => bytes.truncate(at),
            }
            what = format!("{k} bytes at {at} cut or doubled");
        }
    }
    (Bytes::from(bytes), what)
}

/// What is wrong with an error's place, if anything: all errors behind the footer name row group and
/// column, those of the pages' bytes the page too.
pub(crate) fn misplaced(error: &staffa_parquet::Error, opens: bool) -> Option<&'static str> {
    let place = error.place();
    let of_chunk = OF_CHUNK.iter().any(|known| error.what().contains(known));
    match () {
        () if place.file.is_none() => Some("no file"),
        () if !opens => None,
        () if place.row_group.is_none() => Some("no row group"),
        () if place.column.is_none() => Some("no column"),
        () if place.page.is_none() && place.offset.is_none() && !of_chunk => Some("no page"),
        () => None,
    }
}

/// Errors of what the footer says of a column chunk, before there is a page.
const OF_CHUNK: &[&str] = &["outside its file", "values in a row group of"];
