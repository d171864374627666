//! Selected rows only, with and without an offset index, equal the same rows of the whole column.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic, its helpers too")]

mod common;

use std::sync::Arc;

use arrow::array::*;
use arrow::compute::{concat, take};
use arrow::datatypes::*;
use common::*;
use parquet::basic::{Compression, Encoding};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use rand::Rng;
use staffa_parquet::*;

const ROWS: usize = 5000;

fn random_selection(rows: u64, rng: &mut rand::rngs::StdRng) -> Selection {
    let mut s = Selection::none();
    let longest = [2, 40, 2000][rng.random_range(0..3)];
    let mut at = 0;
    while at < rows {
        at += rng.random_range(0..longest);
        let n = rng.random_range(1..=longest);
        s.push(at..(at + n).min(rows));
        at += n;
    }
    s
}

fn check(bytes: &bytes::Bytes, what: &str, rng: &mut rand::rngs::StdRng) -> (u64, u64) {
    let want = arrow_rs(bytes, None).unwrap();
    let file = open(bytes).unwrap();
    let (mut fetched, mut whole) = (0, 0);
    for (leaf, field) in want.schema().fields().iter().enumerate() {
        for codes in [false, true] {
            let mut options = ReadOptions::new(field.data_type().clone());
            options.codes = codes;
            let rows = random_selection(ROWS as u64, rng);
            let fetch = FetchOptions { gap_bytes: 0, ..FetchOptions::default() };
            let plan = file.plan(0, &[leaf], Some(&rows), &fetch).unwrap();
            fetched += plan.fetched_bytes();
            whole += file.column_chunk(0, leaf).unwrap().range().end
                - file.column_chunk(0, leaf).unwrap().range().start;
            let (chunk, bytes) = file.fetch_blocking(&plan).unwrap().get(0).unwrap();
            let mut reader = ColumnReader::new(chunk, bytes, &options).unwrap();
            let mut parts = vec![];
            for s in rows.batches(rng.random_range(1..1500)) {
                let column = reader.decode(&s).unwrap();
                parts.push(column.into_array().unwrap());
            }
            let parts: Vec<&dyn Array> = parts.iter().map(|p| p.as_ref()).collect();
            if parts.is_empty() {
                continue;
            }
            let got = concat(&parts).unwrap();
            let index: UInt64Array = rows.ranges().iter().cloned().flatten().collect();
            let want = take(want.column(leaf), &index, None).unwrap();
            assert_eq!(&got, &want, "{what} {} codes {codes}", field.name());
        }
    }
    (fetched, whole)
}

#[test]
fn any_rows_in_any_batches() {
    let mut rng = rng(11);
    for round in 0..6 {
        let (mut fields, mut columns) = (vec![], vec![]);
        for dt in types() {
            let nulls = Nulls::ALL[rng.random_range(0..6)];
            columns.push(array(&dt, ROWS, 200, nulls, &mut rng));
            fields.push(Field::new(format!("{dt} {nulls:?}"), dt, nulls != Nulls::Required));
        }
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
        let indexed = round % 2 == 0;
        let props = WriterProperties::builder()
            .set_dictionary_enabled(round < 3)
            .set_compression([Compression::SNAPPY, Compression::UNCOMPRESSED][round % 2])
            .set_writer_version([WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0][round / 3])
            .set_statistics_enabled(EnabledStatistics::Page)
            .set_offset_index_disabled(!indexed)
            .set_data_page_row_count_limit(130)
            .set_write_batch_size(130)
            .build();
        let bytes = write(&batch, props);
        let (fetched, whole) = check(&bytes, &format!("round {round}"), &mut rng);
        println!("round {round}: index {indexed}, fetched {fetched} of {whole} bytes");
        assert!(!indexed || fetched < whole);
    }
}

#[test]
fn rows_go_forward_only_and_pages_must_be_there() {
    let batch = RecordBatch::try_from_iter([(
        "a",
        Arc::new(Int32Array::from_iter_values(0..1000)) as ArrayRef,
    )])
    .unwrap();
    let props = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_encoding(Encoding::PLAIN)
        .set_data_page_row_count_limit(100)
        .set_write_batch_size(100)
        .build();
    let file = open(&write(&batch, props)).unwrap();
    let options = ReadOptions::new(DataType::Int32);
    let asked = Selection::range(500..600);
    let mut r = reader(&file, 0, 0, Some(&asked), &options).unwrap();
    assert_eq!(r.pages().pages.len(), 10);
    assert_eq!(r.pages().pages.iter().filter(|p| p.header.is_some()).count(), 1);
    assert_eq!(r.decode(&Selection::range(510..520)).unwrap().len(), 10);
    let back = r.decode(&Selection::range(500..520)).unwrap_err();
    assert!(back.to_string().contains("column a"), "{back}");
    let mut r = reader(&file, 0, 0, Some(&asked), &options).unwrap();
    assert!(r.decode(&Selection::range(0..10)).is_err());
    assert!(r.decode(&asked).is_err(), "a reader that failed stays failed");
    let mut r = reader(&file, 0, 0, None, &options).unwrap();
    assert!(r.decode(&Selection::range(990..1001)).is_err());
}
