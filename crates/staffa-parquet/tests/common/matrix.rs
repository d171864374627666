//! The files of the matrix: every type x encoding x codec x page version x nullability x dictionary.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema};
use parquet::basic::{BrotliLevel, Compression, Encoding, GzipLevel, ZstdLevel};
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;

use super::{Nulls, array, rng, types};

/// Rows of a file; its row groups hold up to 1,700.
pub(crate) const ROWS: usize = 2500;

/// The encodings that arrow-rs writes for a type besides dictionaries.
pub(crate) fn encodings(dt: &DataType) -> Vec<Encoding> {
    use DataType::*;
    let mut v = vec![Encoding::PLAIN];
    match dt {
        Boolean => v.push(Encoding::RLE),
        Utf8 | LargeUtf8 | Utf8View | Binary | LargeBinary | BinaryView => {
            v.extend([Encoding::DELTA_LENGTH_BYTE_ARRAY, Encoding::DELTA_BYTE_ARRAY]);
        }
        Float32 | Float64 => v.push(Encoding::BYTE_STREAM_SPLIT),
        Float16 | FixedSizeBinary(_) | Interval(_) => {
            v.extend([Encoding::BYTE_STREAM_SPLIT, Encoding::DELTA_BYTE_ARRAY]);
        }
        Decimal128(p, _) | Decimal256(p, _) if *p > 18 => {
            v.extend([Encoding::BYTE_STREAM_SPLIT, Encoding::DELTA_BYTE_ARRAY]);
        }
        _ => v.extend([Encoding::DELTA_BINARY_PACKED, Encoding::BYTE_STREAM_SPLIT]),
    }
    v
}

/// How one file is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Config {
    pub(crate) codec: Compression,
    pub(crate) version: WriterVersion,
    pub(crate) dictionary: bool,
    /// Which of a type's encodings, when there is no dictionary.
    pub(crate) encoding: usize,
    pub(crate) small_pages: bool,
}

/// Of a file with these columns.
pub(crate) fn properties(c: Config, schema: &Schema) -> WriterProperties {
    let mut b = WriterProperties::builder()
        .set_compression(c.codec)
        .set_writer_version(c.version)
        .set_dictionary_enabled(c.dictionary)
        .set_max_row_group_row_count(Some(1700));
    if c.small_pages {
        b = b.set_data_page_row_count_limit(93).set_write_batch_size(31);
    }
    if c.dictionary && c.small_pages {
        // Some dictionaries overflow: their chunks go on in PLAIN.
        b = b.set_dictionary_page_size_limit(600);
    }
    if !c.dictionary {
        for f in schema.fields() {
            let e = encodings(f.data_type());
            let path = ColumnPath::from(f.name().as_str());
            b = b.set_column_encoding(path, e[c.encoding % e.len()]);
        }
    }
    b.build()
}

/// A column per type and kind of NULLs.
pub(crate) fn batch(seed: u64) -> RecordBatch {
    let mut rng = rng(seed);
    let mut fields = vec![];
    let mut columns = vec![];
    for (i, dt) in types().into_iter().enumerate() {
        for nulls in Nulls::ALL {
            let pool = [3, 40, 1000][(i + nulls as usize) % 3];
            columns.push(array(&dt, ROWS, pool, nulls, &mut rng));
            let name = format!("{dt} {nulls:?}").replace('.', "_");
            fields.push(Field::new(name, dt.clone(), nulls != Nulls::Required));
        }
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

/// How files are written.
pub(crate) fn configs() -> Vec<Config> {
    let (v1, v2) = (WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0);
    let mut all = vec![];
    let main =
        [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::ZSTD(ZstdLevel::default())];
    for codec in main {
        for version in [v1, v2] {
            for small_pages in [false, true] {
                let c = Config { codec, version, dictionary: true, encoding: 0, small_pages };
                all.push(c);
                all.push(Config { dictionary: false, ..c });
            }
        }
    }
    for encoding in [1, 2] {
        for version in [v1, v2] {
            let codec = [Compression::SNAPPY, Compression::UNCOMPRESSED][encoding - 1];
            let small_pages = version == v1;
            all.push(Config { codec, version, dictionary: false, encoding, small_pages });
        }
    }
    let rest = [
        Compression::GZIP(GzipLevel::default()),
        Compression::BROTLI(BrotliLevel::default()),
        Compression::LZ4,
        Compression::LZ4_RAW,
    ];
    for (i, codec) in rest.into_iter().enumerate() {
        let version = [v1, v2][i % 2];
        all.push(Config { codec, version, dictionary: false, encoding: 0, small_pages: true });
    }
    all
}
