//! Tables, sessions, and the comparison with stock.

use std::collections::BTreeMap;
use std::fs::File;

use arrow::array::RecordBatch;
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use staffa::report;
use staffa_harness::{Engine, Run};
use tempfile::TempDir;

pub(crate) use crate::shared::{assert_equal, child, has_gpu, is_emulated, run, session, text};
use crate::shared::{figures, on_gpu};

/// Stock and ours, over the same tables.
pub(crate) struct Both {
    pub(crate) stock: SessionContext,
    pub(crate) ours: SessionContext,
    _folder: TempDir,
}

impl Both {
    /// Over one table `t` of one file, with row groups of so many rows.
    pub(crate) async fn new(batch: &RecordBatch, group_rows: usize, partitions: usize) -> Self {
        Self::with_files(std::slice::from_ref(batch), group_rows, partitions).await
    }

    /// Over one table `t` of a file for each batch.
    pub(crate) async fn with_files(
        batches: &[RecordBatch],
        group_rows: usize,
        partitions: usize,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for (number, batch) in batches.iter().enumerate() {
            write(&folder, &format!("t/{number}.parquet"), batch, group_rows);
        }
        let path = folder.path().join("t");
        let path = path.to_str().expect("a path");
        let [stock, ours] =
            [Engine::DataFusion, Engine::Gpu].map(|engine| session(engine, partitions));
        for ctx in [&stock, &ours] {
            let options = ParquetReadOptions::default();
            ctx.register_parquet("t", path, options).await.expect("a table");
        }
        Self { stock, ours, _folder: folder }
    }

    /// Runs a query on both; the answers must be equal.
    pub(crate) async fn equal(&self, sql: &str) -> Seen {
        let (expected, actual) = (run(&self.stock, sql).await, run(&self.ours, sql).await);
        assert_equal(sql, &expected, &actual);
        Seen::of(&actual)
    }

    /// The same, and all of the aggregation must have run on the device.
    pub(crate) async fn on_the_device(&self, sql: &str) -> Seen {
        let seen = self.equal(sql).await;
        assert!(seen.aggregates_on_gpu > 0, "{sql}: {}", seen.plan);
        assert!(seen.of_name("grouped_morsels") > 0, "{sql}: {seen:?}");
        assert_eq!(seen.of_name("failed_morsels"), 0, "{sql}: {seen:?}");
        assert_eq!(seen.of_name("ungrouped_morsels"), 0, "{sql}: {seen:?}");
        assert_eq!(seen.of_name("refused_row_groups"), 0, "{sql}: {seen:?}");
        seen
    }
}

fn write(folder: &TempDir, name: &str, batch: &RecordBatch, group_rows: usize) {
    let path = folder.path().join(name);
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
    let properties =
        WriterProperties::builder().set_max_row_group_row_count(Some(group_rows)).build();
    let file = File::create(path).expect("a file");
    let mut writer =
        ArrowWriter::try_new(file, batch.schema(), Some(properties)).expect("a writer");
    writer.write(batch).expect("rows");
    writer.close().expect("a footer");
}

/// What plan and metrics show of a run.
#[derive(Debug)]
pub(crate) struct Seen {
    /// The sums of all nodes' figures that begin with `gpu_`, times excepted.
    pub(crate) figures: BTreeMap<String, usize>,
    /// Aggregations that are placed on a device.
    pub(crate) aggregates_on_gpu: usize,
    pub(crate) plan: String,
}

impl Seen {
    pub(crate) fn of(run: &Run) -> Self {
        let figures = figures(&run.plan);
        let seen = report(&run.plan);
        let on_gpu = on_gpu(&seen, "AggregateExec");
        Self { figures, aggregates_on_gpu: on_gpu, plan: format!("{seen:?}") }
    }

    /// A figure by its name without `gpu_`; 0 where there is none.
    pub(crate) fn of_name(&self, name: &str) -> usize {
        self.figures.get(name).copied().unwrap_or(0)
    }
}
