//! Tables in memory, sessions, and the comparison with stock.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{cast, concat_batches, take_record_batch};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;
use staffa::report;
use staffa_harness::{Engine, Run, SessionOptions};

use crate::shared::{assert_equal, figures, on_gpu, run, session};

/// Rows of the batches that a table is dealt out in.
pub(crate) const BATCH_ROWS: usize = 61;

/// Stock and ours, over the same table `t`.
pub(crate) struct Both {
    pub(crate) stock: SessionContext,
    pub(crate) ours: SessionContext,
}

impl Both {
    /// Over batches of [`BATCH_ROWS`] rows, dealt out to partitions.
    pub(crate) fn new(table: &RecordBatch, partitions: usize) -> Self {
        let mut parts = vec![Vec::new(); partitions];
        for (at, start) in (0..table.num_rows()).step_by(BATCH_ROWS).enumerate() {
            let rows = BATCH_ROWS.min(table.num_rows() - start);
            parts[at % partitions].push(table.slice(start, rows));
        }
        let (stock, ours) =
            (session(Engine::DataFusion, partitions), session(Engine::Gpu, partitions));
        Self::over(table.schema(), parts, stock, ours)
    }

    /// The same in one partition, with so much host memory for ours.
    pub(crate) fn with_memory(table: &RecordBatch, memory_limit_bytes: usize) -> Self {
        let starts = (0..table.num_rows()).step_by(BATCH_ROWS);
        let batch = |start: usize| {
            let rows = BATCH_ROWS.min(table.num_rows() - start);
            let rows = UInt32Array::from_iter_values((start..start + rows).map(|row| row as u32));
            take_record_batch(table, &rows).expect("rows")
        };
        let options = SessionOptions {
            target_partitions: Some(1),
            memory_limit_bytes: Some(memory_limit_bytes),
            ..SessionOptions::default()
        };
        let ours = Engine::Gpu.session(&options).expect("a session");
        let parts = vec![starts.map(batch).collect()];
        Self::over(table.schema(), parts, session(Engine::DataFusion, 1), ours)
    }

    fn over(
        schema: SchemaRef,
        parts: Vec<Vec<RecordBatch>>,
        stock: SessionContext,
        ours: SessionContext,
    ) -> Self {
        for ctx in [&stock, &ours] {
            let of_memory = MemTable::try_new(Arc::clone(&schema), parts.clone()).expect("a table");
            ctx.register_table("t", Arc::new(of_memory)).expect("a name");
        }
        Self { stock, ours }
    }

    /// Runs a query on both: the same rows, and exactly the same values of the first `keys` columns in the same order.
    pub(crate) async fn equal(&self, sql: &str, keys: usize) -> Seen {
        let (expected, actual) = (run(&self.stock, sql).await, run(&self.ours, sql).await);
        same_order(sql, &expected, &actual, keys);
        // A limit may cut through ties, of which either side may take other rows.
        if !sql.contains("LIMIT") {
            assert_equal(sql, &expected, &actual);
        }
        Seen::of(&actual)
    }

    /// The same, and the device has sorted.
    pub(crate) async fn on_the_device(&self, sql: &str, keys: usize) -> Seen {
        let seen = self.equal(sql, keys).await;
        assert!(seen.sorts_on_gpu > 0, "{sql}: {}", seen.plan);
        assert!(seen.of_name("sorts") > 0 && seen.of_name("sorted_rows") > 0, "{sql}: {seen:?}");
        assert!(seen.of_name("sort_launches") > 0, "{sql}: {seen:?}");
        assert_eq!(seen.of_name("refused_sorts"), 0, "{sql}: {seen:?}");
        seen
    }
}

fn same_order(sql: &str, expected: &Run, actual: &Run, keys: usize) {
    let columns = |run: &Run| -> Vec<ArrayRef> {
        let all = concat_batches(&run.answer.schema, &run.answer.batches).expect("one batch");
        let plain = |column: &ArrayRef| match column.data_type() {
            DataType::Dictionary(_, values) => cast(column, values).expect("values"),
            _ => Arc::clone(column),
        };
        all.columns()[..keys].iter().map(plain).collect()
    };
    for (at, (expected, actual)) in columns(expected).iter().zip(columns(actual)).enumerate() {
        assert_eq!(expected.len(), actual.len(), "{sql}: rows");
        let differ = (0..expected.len())
            .find(|&row| expected.slice(row, 1).to_data() != actual.slice(row, 1).to_data());
        if let Some(row) = differ {
            let near = row.saturating_sub(2);
            let rows = 5.min(expected.len() - near);
            panic!(
                "{sql}: column {at} differs from row {row} on: {:?} is not {:?}",
                actual.slice(near, rows),
                expected.slice(near, rows)
            );
        }
    }
}

/// What plan and metrics show of a run.
#[derive(Debug)]
pub(crate) struct Seen {
    /// The sums of all nodes' figures that begin with `gpu_`, times excepted.
    pub(crate) figures: BTreeMap<String, usize>,
    /// Sorts that are placed on a device.
    pub(crate) sorts_on_gpu: usize,
    pub(crate) plan: String,
}

impl Seen {
    fn of(run: &Run) -> Self {
        let seen = report(&run.plan);
        // A top-K has another name than a sort.
        let sorts_on_gpu = on_gpu(&seen, "SortExec") + on_gpu(&seen, "SortExec(TopK)");
        Self { figures: figures(&run.plan), sorts_on_gpu, plan: format!("{seen:?}") }
    }

    /// A figure by its name without `gpu_`; 0 where there is none.
    pub(crate) fn of_name(&self, name: &str) -> usize {
        self.figures.get(name).copied().unwrap_or(0)
    }
}

/// A table of these columns and a number for each row, `id`.
pub(crate) fn table(columns: &[(&str, ArrayRef)]) -> RecordBatch {
    let rows = columns.first().map_or(0, |(_, column)| column.len());
    let id: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows as i64));
    let columns = columns.iter().cloned().chain([("id", id)]);
    RecordBatch::try_from_iter(columns).expect("a batch")
}

/// `rows` rows that are picked from the first ones, each many times, in no order.
pub(crate) fn picked(columns: &[(&str, ArrayRef)], rows: u32) -> RecordBatch {
    let of = columns.first().map_or(1, |(_, column)| column.len() as u32);
    let batch = RecordBatch::try_from_iter(columns.iter().cloned()).expect("a batch");
    let rows =
        UInt32Array::from_iter_values((0..rows).map(|row| row.wrapping_mul(7_919) % 8_191 % of));
    let batch = take_record_batch(&batch, &rows).expect("rows");
    let columns: Vec<_> =
        columns.iter().map(|(name, _)| *name).zip(batch.columns().iter().cloned()).collect();
    table(&columns)
}
