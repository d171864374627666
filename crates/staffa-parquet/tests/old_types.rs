//! What arrow's writer does not write: INT96, decimals in BYTE_ARRAY, and dictionaries of them.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic, its helpers too")]

mod common;

use std::sync::Arc;

use arrow::datatypes::*;
use bytes::Bytes;
use common::*;
use parquet::data_type::{ByteArray, ByteArrayType, Int96, Int96Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use rand::Rng;
use staffa_parquet::*;

const ROWS: usize = 3000;

fn file(dictionary: bool, seed: u64) -> Bytes {
    let schema =
        "message m { optional int96 t; required int96 u; optional binary d (DECIMAL(30,2));
                              required binary e (DECIMAL(50,1)); }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let props = WriterProperties::builder()
        .set_dictionary_enabled(dictionary)
        .set_data_page_row_count_limit(400)
        .set_write_batch_size(100)
        .build();
    let mut out = vec![];
    let mut writer = SerializedFileWriter::new(&mut out, schema, Arc::new(props)).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut rng = rng(seed);
    let mut column = 0;
    while let Some(mut w) = group.next_column().unwrap() {
        let optional = column % 2 == 0;
        let levels: Vec<i16> = (0..ROWS).map(|_| i16::from(rng.random_bool(0.8))).collect();
        let n = if optional { levels.iter().filter(|l| **l == 1).count() } else { ROWS };
        let levels = optional.then_some(&levels[..]);
        if column < 2 {
            let values: Vec<Int96> = (0..n)
                .map(|_| {
                    let mut v = Int96::new();
                    let nanos: u64 = rng.random_range(0..86_400_000_000_000);
                    let day = rng.random_range(2_400_000..2_500_000) + rng.random_range(0..3) / 2;
                    v.set_data(nanos as u32, (nanos >> 32) as u32, day);
                    v
                })
                .collect();
            w.typed::<Int96Type>().write_batch(&values, levels, None).unwrap();
        } else {
            let most = if column == 2 { 12 } else { 20 };
            let values: Vec<ByteArray> = (0..n)
                .map(|_| {
                    let len = rng.random_range(1..=most);
                    let bytes: Vec<u8> = (0..len).map(|_| rng.random_range(0..8) * 36).collect();
                    ByteArray::from(bytes)
                })
                .collect();
            w.typed::<ByteArrayType>().write_batch(&values, levels, None).unwrap();
        }
        w.close().unwrap();
        column += 1;
    }
    group.close().unwrap();
    writer.close().unwrap();
    Bytes::from(out)
}

#[test]
fn int96_and_byte_array_decimals() {
    for (seed, dictionary) in [(1, false), (2, true)] {
        let bytes = file(dictionary, seed);
        let ours = open(&bytes).unwrap();
        let default = arrow_rs(&bytes, None).unwrap();
        let mut asked = vec![default.schema()];
        for unit in [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond] {
            let schema = default.schema();
            let fields = schema.fields().iter().map(|f| match f.data_type() {
                DataType::Timestamp(..) => {
                    f.as_ref().clone().with_data_type(DataType::Timestamp(unit, None))
                }
                _ => f.as_ref().clone(),
            });
            asked.push(Arc::new(Schema::new(fields.collect::<Vec<_>>())));
        }
        for schema in asked {
            let want = arrow_rs(&bytes, Some(schema)).unwrap();
            for (leaf, field) in want.schema().fields().iter().enumerate() {
                let options = ReadOptions::new(field.data_type().clone());
                let got = column(&ours, leaf, &options, 777).unwrap();
                assert_eq!(&got, want.column(leaf), "{field}");
                let got = column(&ours, leaf, &options.with_codes(), 777).unwrap();
                assert_eq!(&got, want.column(leaf), "{field} codes");
            }
        }
    }
}

#[test]
fn what_is_not_read_is_refused_with_a_reason() {
    let schema =
        "message m { optional group l (LIST) { repeated group list { optional int32 element; } }
                              required group s { required int32 x; } required int32 p; }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let leaves = parquet::schema::types::SchemaDescriptor::new(schema);
    let refused = |i, t: &DataType| supports(&leaves.column(i), t).unwrap_err();
    assert!(refused(0, &DataType::Int32).contains("list"));
    assert!(refused(1, &DataType::Int32).contains("struct"));
    assert!(refused(2, &DataType::Utf8).contains("INT32 read as Utf8"));
    assert_eq!(supports(&leaves.column(2), &DataType::Int32), Ok(()));
}
