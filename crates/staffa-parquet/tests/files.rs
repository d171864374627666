//! Footers, caches, object stores, byte ranges, statistics and bloom filters.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic, its helpers too")]

mod common;

use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::*;
use bytes::Bytes;
use common::*;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use staffa_common::FaultClass;
use staffa_parquet::*;

fn sample(rows: i64) -> Bytes {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
    let names: ArrayRef =
        Arc::new(StringArray::from_iter_values((0..rows).map(|i| format!("name {:05}", i * 2))));
    let batch = RecordBatch::try_from_iter([("id", ids), ("name", names)]).unwrap();
    let props = WriterProperties::builder()
        .set_max_row_group_row_count(Some(1000))
        .set_data_page_row_count_limit(100)
        .set_write_batch_size(100)
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_bloom_filter_enabled(true)
        .build();
    write(&batch, props)
}

async fn in_store(bytes: &Bytes) -> (Arc<dyn ObjectStore>, object_store::path::Path) {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let path = object_store::path::Path::from("dir/a.parquet");
    store.put(&path, PutPayload::from_bytes(bytes.clone())).await.unwrap();
    (store, path)
}

#[tokio::test]
async fn an_object_store_gives_the_same_rows() {
    let bytes = sample(2500);
    let (store, path) = in_store(&bytes).await;
    let source = Source::head(store, &path).await.unwrap();
    // A tail too short for the footer takes a second request, and gives the same.
    for tail_bytes in [8, 100, 64 << 10] {
        let options = FooterOptions { tail_bytes, ..FooterOptions::default() };
        let file = ParquetFile::load(source.clone(), &options).await.unwrap();
        assert_eq!(file.footer().row_groups(), 3);
        assert!(file.footer().metadata().offset_index().is_some());
    }
    let options = FooterOptions::default();
    let file = ParquetFile::load(source, &options).await.unwrap();
    let want = arrow_rs(&bytes, None).unwrap();
    let rows = Selection::from_iter([150..160, 420..430]);
    let fetch = FetchOptions { gap_bytes: 0, max_bytes: 1000, concurrency: 3 };
    let plan = file.plan(1, &[1, 0], Some(&rows), &fetch).unwrap();
    assert_eq!(plan.ranges().len(), 4);
    assert_eq!(plan.fetched_bytes(), plan.wanted_bytes());
    let fetched = file.fetch(&plan).await.unwrap();
    for (i, leaf) in [1, 0].into_iter().enumerate() {
        let (chunk, bytes) = fetched.get(i).unwrap();
        assert!(!bytes.is_whole());
        let options = ReadOptions::new(want.schema().field(leaf).data_type().clone());
        let got = ColumnReader::new(chunk, bytes, &options).unwrap().decode(&rows).unwrap();
        let index: UInt64Array =
            rows.ranges().iter().cloned().flatten().map(|r| r + 1000).collect();
        let want = arrow::compute::take(want.column(leaf), &index, None).unwrap();
        assert_eq!(&got.into_array().unwrap(), &want);
    }
    assert_eq!(file.fetch_blocking(&plan).unwrap_err().class(), FaultClass::Unsupported);
}

#[tokio::test]
async fn row_groups_are_fetched_ahead_in_order() {
    use futures::StreamExt;
    let bytes = sample(5500);
    let (store, path) = in_store(&bytes).await;
    let source = Source::head(store, &path).await.unwrap();
    let file = ParquetFile::load(source, &FooterOptions::default()).await.unwrap();
    for budget_bytes in [0, 20_000, 1 << 30] {
        let plan = |g| file.plan(g, &[0], None, &FetchOptions::default()).unwrap();
        let plans: Vec<_> = (0..6).map(plan).collect();
        let mut stream = std::pin::pin!(file.prefetch(plans, budget_bytes));
        let mut next = 0;
        while let Some(fetched) = stream.next().await {
            let (chunk, bytes) = fetched.unwrap().get(0).unwrap();
            let rows = Selection::all(chunk.rows());
            let options = ReadOptions::new(DataType::Int64);
            let got = ColumnReader::new(chunk, bytes, &options).unwrap().decode(&rows).unwrap();
            for v in got.into_array().unwrap().as_primitive::<Int64Type>().values() {
                assert_eq!(*v, next);
                next += 1;
            }
        }
        assert_eq!(next, 5500);
    }
}

#[tokio::test]
async fn a_replaced_object_is_not_mixed_in() {
    let bytes = sample(1000);
    let (store, path) = in_store(&bytes).await;
    let source = Source::head(store.clone(), &path).await.unwrap();
    let file = ParquetFile::load(source, &FooterOptions::default()).await.unwrap();
    store.put(&path, PutPayload::from_bytes(bytes)).await.unwrap();
    let plan = file.plan(0, &[0], None, &FetchOptions::default()).unwrap();
    let e = file.fetch(&plan).await.unwrap_err();
    assert_eq!(e.class(), FaultClass::BadInput, "{e}");
}

#[test]
fn statistics_of_row_groups_and_pages() {
    let file = open(&sample(2500)).unwrap();
    let schema = file.footer().schema().clone();
    let s = file.footer().row_group_statistics(0, schema.field(0), &[0, 2]).unwrap();
    assert_eq!(s.mins.as_primitive::<Int64Type>().values()[..], [0, 2000]);
    assert_eq!(s.maxes.as_primitive::<Int64Type>().values()[..], [999, 2499]);
    assert_eq!(s.row_counts.values()[..], [1000, 500]);
    assert_eq!(s.null_counts.values()[..], [0, 0]);
    let (pages, first_rows) =
        file.footer().page_statistics(1, schema.field(1), 2).unwrap().unwrap();
    assert_eq!(first_rows, [0, 100, 200, 300, 400]);
    assert_eq!(pages.row_counts.values()[..], [100; 5]);
    assert_eq!(pages.mins.as_string::<i32>().value(1), "name 04200");
    assert!(file.footer().row_group_statistics(0, schema.field(0), &[3]).is_err());
}

#[tokio::test]
async fn bloom_filters_prune_and_never_lie() {
    let file = open(&sample(2000)).unwrap();
    let ids = file.bloom_filter(1, 0).await.unwrap().unwrap();
    let present = Int64Array::from_iter_values(1000..2000);
    assert_eq!(ids.may_contain(&present).true_count(), 1000);
    let absent = Int64Array::from_iter_values(5000..6000);
    assert!(ids.may_contain(&absent).true_count() < 200);
    let names = file.bloom_filter(0, 1).await.unwrap().unwrap();
    let asked = StringViewArray::from(vec![Some("name 00002"), Some("name 00003"), None]);
    let hits = names.may_contain(&asked);
    assert!(hits.value(0) && hits.value(2));
    // Another type than the column's prunes nothing.
    assert_eq!(names.may_contain(&absent).true_count(), 1000);
}

#[test]
fn what_is_no_parquet_file_is_refused_with_its_name() {
    let bytes = sample(10);
    let n = bytes.len();
    let cut = |range: std::ops::Range<usize>| open(&bytes.slice(range)).unwrap_err();
    for e in [cut(0..0), cut(0..7), cut(0..n - 1), cut(n - 8..n)] {
        assert_eq!(e.class(), FaultClass::BadInput);
        assert!(e.to_string().contains("test.parquet"), "{e}");
    }
    let missing = ParquetFile::open("/no/such/file.parquet").unwrap_err();
    assert!(missing.to_string().contains("/no/such/file.parquet"), "{missing}");
}

#[test]
fn local_files() {
    let bytes = sample(1500);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    std::fs::write(&path, &bytes).unwrap();
    let file = ParquetFile::open(&path).unwrap();
    let want = arrow_rs(&bytes, None).unwrap();
    let got = column(&file, 1, &ReadOptions::new(DataType::Utf8), 400).unwrap();
    assert_eq!(&got, want.column(1));
    assert_eq!(file.footer().leaf_of(1), Some(1));
    // Cut short behind our back: an error, not a crash.
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(100).unwrap();
    let plan = file.plan(1, &[0], None, &FetchOptions::default()).unwrap();
    assert!(file.fetch_blocking(&plan).is_err());
}
