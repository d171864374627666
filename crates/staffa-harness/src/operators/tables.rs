//! Tables in memory.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::Result;
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;

use crate::dice::{even, mix, unit};

/// Rows of a batch, as scans give them.
const BATCH: usize = 8192;
/// Partitions of a table: both engines deal them out to their lanes.
const PARTITIONS: usize = 8;

/// A column's values by row number.
pub(super) enum Column {
    /// 64-bit integers.
    Int(Box<dyn Fn(usize) -> i64 + Send>),
    /// Strings.
    Text(Box<dyn Fn(usize) -> String + Send>),
}

/// A column of numbers.
pub(super) fn ints(value: impl Fn(usize) -> i64 + Send + 'static) -> Column {
    Column::Int(Box::new(value))
}

/// A column of strings.
pub(super) fn texts(value: impl Fn(usize) -> String + Send + 'static) -> Column {
    Column::Text(Box::new(value))
}

/// A number below `below` for every row, as if at random.
pub(super) fn uniform(below: usize) -> impl Fn(usize) -> i64 + Send + Copy {
    move |row| even(mix(row as u64), below as u64) as i64
}

/// As [`uniform`], but small numbers more often: the logarithms are spread evenly, as Zipf's law has it.
pub(super) fn skewed(below: usize) -> impl Fn(usize) -> i64 + Send + Copy {
    let most = (below.max(2) as f64).ln();
    move |row| ((unit(mix(row as u64)) * most).exp() as i64 - 1).min(below as i64 - 1)
}

/// Tables by name.
#[derive(Default)]
pub(super) struct Tables {
    tables: Vec<(&'static str, Arc<MemTable>)>,
}

impl Tables {
    /// Adds a table of `rows` rows, at least one.
    pub(super) fn with(
        mut self,
        name: &'static str,
        rows: usize,
        columns: Vec<(&str, Column)>,
    ) -> Result<Self> {
        let mut partitions = vec![Vec::new(); PARTITIONS];
        for (at, start) in (0..rows).step_by(BATCH).enumerate() {
            let rows = start..(start + BATCH).min(rows);
            let arrays = columns.iter().map(|(name, column)| {
                let array: ArrayRef = match column {
                    Column::Int(value) => Arc::new(rows.clone().map(value).collect::<Int64Array>()),
                    Column::Text(value) => {
                        let values = rows.clone().map(|row| Some(value(row)));
                        Arc::new(values.collect::<StringViewArray>())
                    }
                };
                (*name, array)
            });
            partitions[at % PARTITIONS].push(RecordBatch::try_from_iter(arrays)?);
        }
        let schema = partitions[0]
            .first()
            .map_or_else(|| SchemaRef::new(Schema::empty()), RecordBatch::schema);
        self.tables.push((name, Arc::new(MemTable::try_new(schema, partitions)?)));
        Ok(self)
    }

    /// Makes them known to a session.
    pub(super) fn register(&self, session: &SessionContext) -> Result<()> {
        for (name, table) in &self.tables {
            session.register_table(*name, Arc::clone(table) as _)?;
        }
        Ok(())
    }
}
