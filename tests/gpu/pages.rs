//! Pages that the page index leaves, scattered over a row group.

use std::fs::File;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use datafusion::prelude::ParquetReadOptions;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use staffa_harness::{Engine, SessionOptions};

use crate::riding::nested;
use crate::{assert_equal, figures, has_gpu, run};

/// Rows that the page index leaves in many ranges: those near each other are decoded together, and what lies
/// between is dropped on the device, also for columns that ride along; far scattered ones are the CPU's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scattered_pages_go_to_the_device() {
    if !has_gpu() {
        return;
    }
    const ROWS: i64 = 120_000;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("pages.parquet");
    // Pages of 200 rows, each with one value of `part`, which so decides on whole pages.
    let part: ArrayRef =
        Arc::new(Int64Array::from_iter_values((0..ROWS).map(|row| row / 200 % 30)));
    let name: ArrayRef =
        Arc::new(StringArray::from_iter_values((0..ROWS).map(|row| format!("row {}", row * 7))));
    let all = nested(ROWS);
    let [id, list] = ["id", "list"].map(|name| Arc::clone(all.column_by_name(name).expect("it")));
    let batch =
        RecordBatch::try_from_iter([("part", part), ("id", id), ("list", list), ("name", name)])
            .expect("a batch");
    let properties = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_data_page_row_count_limit(200)
        .set_write_batch_size(200)
        .build();
    let file = File::create(&path).expect("a file");
    let mut writer =
        ArrowWriter::try_new(file, batch.schema(), Some(properties)).expect("a writer");
    writer.write(&batch).expect("rows");
    writer.close().expect("a footer");
    let path = path.to_str().expect("a path");
    let options = SessionOptions { target_partitions: Some(1), ..SessionOptions::default() };
    let [stock, ours] = [Engine::DataFusion, Engine::Gpu]
        .map(|engine| engine.session(&options).expect("a session"));
    for ctx in [&stock, &ours] {
        ctx.register_parquet("t", path, ParquetReadOptions::default()).await.expect("a table");
    }
    // Of 600 pages 360, 300 and 100 in as many ranges or fewer; and 20, far apart.
    let most = "1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 15, 17, 19, 21, 22, 23";
    let half = "1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29";
    for (sql, morsels, on_the_cpu) in [
        (format!("SELECT id, name FROM t WHERE part IN ({most})"), 16, 0),
        (format!("SELECT id, list, name FROM t WHERE part IN ({half})"), 16, 0),
        ("SELECT id, list FROM t WHERE part IN (0, 2, 4, 6, 8) AND id % 30 = 1".to_string(), 16, 0),
        ("SELECT id, list FROM t WHERE part = 4".to_string(), 0, 1),
    ] {
        let sql = format!("{sql} ORDER BY 1");
        let (expected, actual) = (run(&stock, &sql).await, run(&ours, &sql).await);
        assert_equal(&sql, &expected, &actual);
        let figures = figures(&actual.plan);
        let of = |name: &str| figures.get(name).copied().unwrap_or(0);
        println!("{sql}: {figures:?}");
        assert_eq!(of("failed_morsels"), 0, "{sql}: {figures:?}");
        assert_eq!((of("morsels"), of("page_selected_row_groups")), (morsels, on_the_cpu), "{sql}");
    }
}
