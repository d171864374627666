//! Every type x encoding x codec x page version x nullability x dictionary, against arrow-rs.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic, its helpers too")]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::*;
use common::*;
use parquet::basic::{BrotliLevel, Compression, Encoding, GzipLevel, ZstdLevel};
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;
use staffa_parquet::*;

const ROWS: usize = 2500;

/// The encodings that arrow-rs writes for a type besides dictionaries.
fn encodings(dt: &DataType) -> Vec<Encoding> {
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

#[derive(Clone, Copy, Debug)]
struct Config {
    codec: Compression,
    version: WriterVersion,
    dictionary: bool,
    /// Which of a type's encodings, when there is no dictionary.
    encoding: usize,
    small_pages: bool,
}

fn properties(c: Config, schema: &Schema) -> WriterProperties {
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

fn batch(seed: u64) -> RecordBatch {
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

fn configs() -> Vec<Config> {
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

#[test]
fn every_type_equals_arrow_rs() {
    let mut table: BTreeMap<String, usize> = BTreeMap::new();
    for (n, config) in configs().into_iter().enumerate() {
        let batch = batch(n as u64);
        let bytes = write(&batch, properties(config, &batch.schema()));
        let want = arrow_rs(&bytes, None).unwrap();
        let file = open(&bytes).unwrap();
        assert_eq!(file.footer().schema(), &want.schema());
        for (leaf, field) in want.schema().fields().iter().enumerate() {
            let column_of = file.footer().leaves().column(leaf);
            assert_eq!(supports(&column_of, field.data_type()), Ok(()), "{field}");
            let options = ReadOptions::new(field.data_type().clone());
            let size = [1 << 20, 333, 64][(n + leaf) % 3];
            let got = column(&file, leaf, &options, size)
                .unwrap_or_else(|e| panic!("{config:?} {}: {e}", field.name()));
            validate(&got);
            assert_eq!(&got, want.column(leaf), "{config:?} {}", field.name());
            if config.dictionary {
                let got = column(&file, leaf, &options.with_codes(), size).unwrap();
                assert_eq!(&got, want.column(leaf), "codes, {config:?} {}", field.name());
            }
            let kind = match config.dictionary {
                true => "dictionary".to_owned(),
                false => {
                    let e = encodings(field.data_type());
                    e[config.encoding % e.len()].to_string()
                }
            };
            let codec = config.codec.to_string();
            let codec = codec.split('(').next().unwrap().to_owned();
            *table.entry(format!("{kind:24} {codec:13} {:?}", config.version)).or_default() += 1;
        }
    }
    println!("columns compared with arrow-rs ({} types x {} kinds of NULLs):", types().len(), 6);
    for (k, n) in &table {
        println!("  {k:56} {n:5}");
    }
    assert!(table.len() >= 20, "{table:?}");
}

/// Types that a caller asks for although the file says another: what DataFusion does with views.
#[test]
fn strings_as_other_strings() {
    use DataType::*;
    let mut rng = rng(5);
    for (from, to) in [
        (Utf8, vec![Utf8, LargeUtf8, Utf8View]),
        (Binary, vec![Binary, LargeBinary, BinaryView, Utf8, LargeUtf8, Utf8View]),
    ] {
        for nulls in [Nulls::Required, Nulls::Some] {
            let data = array(&from, 3000, 300, nulls, &mut rng);
            let field = Field::new("s", from.clone(), nulls != Nulls::Required);
            let schema = Arc::new(Schema::new(vec![field.clone()]));
            let batch = RecordBatch::try_new(schema, vec![data]).unwrap();
            for dictionary in [false, true] {
                let props = WriterProperties::builder().set_dictionary_enabled(dictionary);
                let bytes = write(&batch, props.build());
                for to in &to {
                    let asked = field.clone().with_data_type(to.clone());
                    let want = arrow_rs(&bytes, Some(Arc::new(Schema::new(vec![asked])))).unwrap();
                    let file = open(&bytes).unwrap();
                    let got = column(&file, 0, &ReadOptions::new(to.clone()), 700).unwrap();
                    validate(&got);
                    assert_eq!(&got, want.column(0), "{from} as {to}");
                }
            }
        }
    }
}
