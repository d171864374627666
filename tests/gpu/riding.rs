//! Columns that have no device form ride along.

use std::fs::File;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int64Array, Int64Builder, ListBuilder, RecordBatch, StringArray, StringBuilder,
    StructArray,
};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::prelude::ParquetReadOptions;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use staffa::{Place, ReasonCode, report};
use staffa_harness::{Engine, SessionOptions};

use crate::{assert_equal, figures, has_gpu, run};

/// Rows with columns that have no device form: a list, a struct, a list of strings; NULLs in all.
pub(crate) fn nested(rows: i64) -> RecordBatch {
    let mut lists = ListBuilder::new(Int64Builder::new());
    let mut tags = ListBuilder::new(StringBuilder::new());
    for row in 0..rows {
        for value in 0..row % 4 {
            lists.values().append_option((value != 2).then_some(row * 10 + value));
            tags.values().append_value(format!("tag-{}", (row + value) % 7));
        }
        lists.append(row % 11 != 0);
        tags.append(row % 5 != 0);
    }
    let pairs: Vec<(FieldRef, ArrayRef)> = vec![
        (
            Arc::new(Field::new("low", DataType::Int64, true)),
            Arc::new(Int64Array::from_iter((0..rows).map(|row| (row % 3 != 0).then_some(row)))),
        ),
        (
            Arc::new(Field::new("name", DataType::Utf8, false)),
            Arc::new(StringArray::from_iter_values((0..rows).map(|row| format!("n{}", row % 9)))),
        ),
    ];
    let names = StringArray::from_iter_values((0..rows).map(|row| format!("name {}", row % 97)));
    let columns: [(&str, ArrayRef); 5] = [
        ("id", Arc::new(Int64Array::from_iter_values(0..rows))),
        ("list", Arc::new(lists.finish())),
        ("name", Arc::new(names)),
        ("pair", Arc::new(StructArray::from(pairs))),
        ("tags", Arc::new(tags.finish())),
    ];
    RecordBatch::try_from_iter(columns).expect("a batch")
}

/// Columns that only the CPU decodes ride along with the device's, row by row: for all rows, most, few and
/// none, over several row groups and pages that the page index drops.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nested_columns_ride_along() {
    if !has_gpu() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("nested.parquet");
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(20_000))
        .set_data_page_row_count_limit(1_000)
        .set_write_batch_size(500)
        .build();
    let batch = nested(50_000);
    let file = File::create(&path).expect("a file");
    let mut writer =
        ArrowWriter::try_new(file, batch.schema(), Some(properties)).expect("a writer");
    writer.write(&batch).expect("rows");
    writer.close().expect("a footer");
    let path = path.to_str().expect("a path");
    let options = SessionOptions { target_partitions: Some(2), ..SessionOptions::default() };
    let [stock, ours] = [Engine::DataFusion, Engine::Gpu]
        .map(|engine| engine.session(&options).expect("a session"));
    for ctx in [&stock, &ours] {
        ctx.register_parquet("t", path, ParquetReadOptions::default()).await.expect("a table");
    }
    // With the nodes on the device, and how many columns ride with each morsel.
    for (sql, nodes, riding) in [
        ("SELECT * FROM t ORDER BY id", 1, 3),
        ("SELECT list, id, tags, name FROM t WHERE id % 5 <> 0 ORDER BY id", 2, 2),
        ("SELECT id, pair, name FROM t WHERE name = 'name 13' ORDER BY id", 2, 1),
        ("SELECT tags, list FROM t WHERE id % 1000 = 7 ORDER BY tags, list", 2, 2),
        ("SELECT id + 1, pair FROM t WHERE id BETWEEN 12300 AND 31400 ORDER BY 1", 2, 1),
        ("SELECT id, list FROM t WHERE id % 10 = 11", 2, 1),
        ("SELECT id, cardinality(tags), pair FROM t WHERE id % 3 = 1 ORDER BY 1", 2, 2),
    ] {
        let (expected, actual) = (run(&stock, sql).await, run(&ours, sql).await);
        assert_equal(sql, &expected, &actual);
        let seen = report(&actual.plan);
        assert!(seen.gpu_nodes() >= nodes, "{sql}: {seen:?}");
        let figures = figures(&actual.plan);
        assert_eq!(figures.get("failed_morsels"), Some(&0), "{sql}: {figures:?}");
        assert_eq!(figures.get("refused_row_groups"), Some(&0), "{sql}: {figures:?}");
        let morsels = seen.gpu_morsels();
        assert!(morsels > 0, "{sql}: {figures:?}");
        let none = expected.answer.rows() == 0;
        let riding = if none { 0 } else { riding * morsels };
        assert_eq!(figures.get("riding_columns"), Some(&riding), "{sql}: {figures:?}");
    }
    // A filter that reads one stays on the CPU, with its reason.
    let sql = "SELECT id FROM t WHERE cardinality(list) = 2 ORDER BY id";
    let (expected, actual) = (run(&stock, sql).await, run(&ours, sql).await);
    assert_equal(sql, &expected, &actual);
    let seen = report(&actual.plan);
    let filter = seen.nodes.iter().find(|node| node.name == "FilterExec").expect("a filter");
    assert_eq!((&filter.place, filter.code), (&Place::Cpu, Some(ReasonCode::DataType)));
}
