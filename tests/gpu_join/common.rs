//! Tables, sessions, and the comparison with stock.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use staffa::report;
use staffa_harness::{Engine, Run};
use tempfile::TempDir;

use crate::shared::figures;
pub(crate) use crate::shared::{
    assert_equal, child, has_gpu, is_emulated, on_gpu, run, session, text,
};

/// A table of these columns, all of which may hold NULLs.
pub(crate) fn table(columns: &[(&str, ArrayRef)]) -> RecordBatch {
    let columns = columns.iter().map(|(name, array)| (*name, Arc::clone(array), true));
    RecordBatch::try_from_iter_with_nullable(columns).expect("a batch")
}

/// Stock and ours, over the same tables.
pub(crate) struct Both {
    pub(crate) stock: SessionContext,
    pub(crate) ours: SessionContext,
    _folder: TempDir,
}

impl Both {
    /// Over tables of one file each, with row groups of so many rows.
    pub(crate) async fn new(
        tables: &[(&str, RecordBatch)],
        group_rows: usize,
        partitions: usize,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let [stock, ours] =
            [Engine::DataFusion, Engine::Gpu].map(|engine| session(engine, partitions));
        for (name, batch) in tables {
            let path = folder.path().join(format!("{name}.parquet"));
            let rows = Some(group_rows);
            let properties = WriterProperties::builder().set_max_row_group_row_count(rows).build();
            let file = File::create(&path).expect("a file");
            let mut writer =
                ArrowWriter::try_new(file, batch.schema(), Some(properties)).expect("a writer");
            writer.write(batch).expect("rows");
            writer.close().expect("a footer");
            let path = path.to_str().expect("a path");
            for ctx in [&stock, &ours] {
                let options = ParquetReadOptions::default();
                ctx.register_parquet(*name, path, options).await.expect("a table");
            }
        }
        Self { stock, ours, _folder: folder }
    }

    /// Runs statements on both that give no rows.
    pub(crate) async fn set(&self, statements: &[&str]) {
        for sql in statements {
            for ctx in [&self.stock, &self.ours] {
                run(ctx, sql).await;
            }
        }
    }

    /// Runs a query on both; the answers must be equal.
    pub(crate) async fn equal(&self, sql: &str) -> Seen {
        let (expected, actual) = (run(&self.stock, sql).await, run(&self.ours, sql).await);
        assert_equal(sql, &expected, &actual);
        Seen::of(&actual)
    }

    /// The same, and the device must have joined so many times, with nothing left to the CPU.
    pub(crate) async fn on_the_device(&self, sql: &str, joins: usize) -> Seen {
        let seen = self.equal(sql).await;
        assert_eq!(seen.joins_on_gpu, joins, "{sql}: {}", seen.plan);
        assert_eq!(seen.of_name("build_uploads"), joins, "{sql}: {seen:?}");
        for left in [
            "failed_morsels",
            "ungrouped_morsels",
            "unprobed_morsels",
            "refused_row_groups",
            "refused_builds",
        ] {
            assert_eq!(seen.of_name(left), 0, "{left} of {sql}: {seen:?}");
        }
        seen
    }
}

/// What plan and metrics show of a run.
#[derive(Debug)]
pub(crate) struct Seen {
    /// The sums of all nodes' figures that begin with `gpu_`, times excepted.
    pub(crate) figures: BTreeMap<String, usize>,
    /// Joins that are placed on a device.
    pub(crate) joins_on_gpu: usize,
    /// Rows that came out of each node, in the plan's order.
    pub(crate) rows: Vec<(String, usize)>,
    pub(crate) plan: String,
}

impl Seen {
    pub(crate) fn of(run: &Run) -> Self {
        let figures = figures(&run.plan);
        let seen = report(&run.plan);
        let rows = seen.nodes.iter().map(|n| (n.name.clone(), n.output_rows.unwrap_or(0)));
        let rows = rows.collect();
        Self {
            figures,
            joins_on_gpu: on_gpu(&seen, "HashJoinExec"),
            rows,
            plan: format!("{seen:?}"),
        }
    }

    /// A figure by its name without `gpu_`; 0 where there is none.
    pub(crate) fn of_name(&self, name: &str) -> usize {
        self.figures.get(name).copied().unwrap_or(0)
    }
}
