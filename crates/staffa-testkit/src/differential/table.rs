//! Base tables: random schemas and data, cut into partitions and batches in awkward ways.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{SortColumn, SortOptions, cast, concat_batches, lexsort_to_indices, take};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::MemTable;
use datafusion::logical_expr::SortExpr;
use datafusion::prelude::{ParquetReadOptions, SessionContext, col};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

use super::case::Source;
use super::catalogue::{self, Class, class, parquet_writes};
use super::pool::{Domain, Pool};
use super::scope::{Column, Relation};
use crate::rng::Rng;

/// One base table of a case.
pub(crate) struct Table {
    /// Its name in both sessions.
    pub name: String,
    schema: SchemaRef,
    partitions: Vec<Vec<RecordBatch>>,
    /// The column by which each partition is sorted and declared so, if any.
    sorted_by: Option<String>,
    /// Whether it is read from Parquet files rather than from memory.
    parquet: bool,
    columns: Vec<Column>,
    rows: usize,
}

impl Table {
    /// A table with a unique `id`, one column `k0`, `k1`, .. per shared key pool, and up to five
    /// columns `c0`, `c1`, .. of any type.
    ///
    /// # Errors
    /// Data that Arrow cannot build.
    pub(crate) fn random(
        rng: &mut Rng,
        name: &str,
        keys: &[Pool],
        max_rows: usize,
        source: Source,
    ) -> Result<Self> {
        let rows = match rng.below(12) {
            0 => 0,
            1 => 1,
            2 => max_rows,
            _ => 1 + rng.below(max_rows),
        };
        let mut pools: Vec<(String, Pool)> =
            keys.iter().enumerate().map(|(i, p)| (format!("k{i}"), p.clone())).collect();
        let types = catalogue::of(source);
        for i in 0..1 + rng.below(5) {
            let domain = if rng.chance(60) { Domain::Small } else { Domain::Full };
            let distinct = *rng.pick(&[1, 2, 5, 30, rows.clamp(1, 300)]);
            let data_type = rng.pick(&types).clone();
            pools.push((format!("c{i}"), Pool::new(rng, &data_type, domain, distinct)?));
        }
        let mut ids: Vec<i64> = (0..).take(rows).collect();
        if rng.chance(70) {
            rng.shuffle(&mut ids);
        }
        let mut arrays: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(ids))];
        let mut fields = vec![Field::new("id", DataType::Int64, false)];
        let mut columns = vec![id_column(rows)];
        for (column, pool) in &pools {
            let array = draw(rng, pool, rows)?;
            let nullable = array.logical_null_count() > 0 || rng.chance(60);
            fields.push(Field::new(column, pool.data_type.clone(), nullable));
            columns.push(describe(column, pool));
            arrays.push(array);
        }
        let schema = Arc::new(Schema::new(fields));
        let whole = RecordBatch::try_new(schema.clone(), arrays)?;
        let drawn = rng.chance(12) || source == Source::Files;
        let parquet = drawn && schema.fields().iter().all(|f| parquet_writes(f.data_type()));
        let sorted_by = (!parquet && rng.chance(15)).then(|| {
            let at = rng.below(1 + keys.len());
            if at == 0 { "id".to_string() } else { format!("k{}", at - 1) }
        });
        let whole = match &sorted_by {
            Some(column) => sort(&whole, column)?,
            None => whole,
        };
        let partitions = split(rng, &whole)?;
        Ok(Self { name: name.to_string(), schema, partitions, sorted_by, parquet, columns, rows })
    }

    /// How the table is laid out, for the replay.
    pub(crate) fn layout(&self) -> String {
        let batches: Vec<Vec<usize>> = self
            .partitions
            .iter()
            .map(|p| p.iter().take(12).map(RecordBatch::num_rows).collect())
            .collect();
        let place = if self.parquet { "parquet" } else { "memory" };
        let fields: Vec<String> = self
            .schema
            .fields()
            .iter()
            .map(|f| {
                format!(
                    "{} {}{}",
                    f.name(),
                    f.data_type(),
                    if f.is_nullable() { "" } else { " not null" }
                )
            })
            .collect();
        format!(
            "{} ({}) in {place}, sorted by {:?}, {} rows, batches {batches:?}",
            self.name,
            fields.join(", "),
            self.sorted_by,
            self.rows
        )
    }

    /// All rows as one batch, for the replay.
    ///
    /// # Errors
    /// None for batches of one schema.
    pub(crate) fn whole(&self) -> Result<RecordBatch> {
        Ok(concat_batches(&self.schema, self.partitions.iter().flatten())?)
    }

    /// Writes the table's Parquet files under `folder`, when it is to be read from there.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub(crate) fn write_files(&self, folder: &Path) -> Result<()> {
        if !self.parquet {
            return Ok(());
        }
        let folder = folder.join(&self.name);
        std::fs::create_dir_all(&folder)?;
        for (i, batches) in self.partitions.iter().enumerate() {
            let file = std::fs::File::create(folder.join(format!("part-{i}.parquet")))?;
            let properties = WriterProperties::builder()
                .set_max_row_group_row_count(Some(1 + self.rows / 3))
                .build();
            let mut writer = ArrowWriter::try_new(file, self.schema.clone(), Some(properties))?;
            for batch in batches {
                writer.write(batch)?;
            }
            writer.close()?;
        }
        Ok(())
    }

    /// Makes the table known to a session.
    ///
    /// # Errors
    /// Files under `folder` that [`Self::write_files`] did not write.
    pub(crate) async fn register(&self, ctx: &SessionContext, folder: &Path) -> Result<()> {
        if self.parquet {
            let path = folder.join(&self.name);
            let path = path.to_string_lossy();
            return ctx.register_parquet(&self.name, path, ParquetReadOptions::default()).await;
        }
        let mut table = MemTable::try_new(self.schema.clone(), self.partitions.clone())?;
        if let Some(column) = &self.sorted_by {
            table =
                table.with_sort_order(vec![vec![SortExpr::new(col(column.as_str()), true, true)]]);
        }
        ctx.register_table(&self.name, Arc::new(table))?;
        Ok(())
    }

    /// The table as a relation called `alias`, with the types that `ctx` sees.
    ///
    /// # Errors
    /// A table that `ctx` does not know.
    pub(crate) async fn relation(&self, ctx: &SessionContext, alias: &str) -> Result<Relation> {
        // Parquet shows strings as views, so the session has the last word on types.
        let schema = ctx.table_provider(self.name.as_str()).await?.schema();
        let columns = self.columns.iter().zip(schema.fields()).map(|(column, field)| Column {
            sql: format!("{alias}.{}", column.sql),
            data_type: field.data_type().clone(),
            ..column.clone()
        });
        Ok(Relation {
            from: format!("{} AS {alias}", self.name),
            columns: columns.collect(),
            rows: self.rows as f64,
        })
    }
}

fn id_column(rows: usize) -> Column {
    let literals = [0, rows / 2, rows].map(|n| format!("arrow_cast('{n}', 'Int64')"));
    Column {
        sql: "id".to_string(),
        data_type: DataType::Int64,
        domain: Domain::Small,
        exact: true,
        unique: true,
        distinct: rows as f64,
        literals: Arc::new(literals.to_vec()),
    }
}

fn describe(name: &str, pool: &Pool) -> Column {
    Column {
        sql: name.to_string(),
        data_type: pool.data_type.clone(),
        domain: pool.domain,
        exact: true,
        unique: false,
        distinct: pool.values.len() as f64,
        literals: Arc::new(pool.literals.clone()),
    }
}

/// Draws `rows` cells: evenly or skewed to one value, with no, few, many or only NULLs.
fn draw(rng: &mut Rng, pool: &Pool, rows: usize) -> Result<ArrayRef> {
    let nulls = *rng.pick(&[0, 0, 0, 10, 10, 60, 100]);
    let nulls = if nulls == 100 && !rng.chance(30) { 5 } else { nulls };
    let skewed = rng.chance(20);
    let indices: UInt32Array = (0..rows)
        .map(|_| {
            let at = if skewed && rng.chance(80) { 0 } else { rng.below(pool.values.len()) };
            u32::try_from(at).ok().filter(|_| !rng.chance(nulls))
        })
        .collect();
    let mut array = take(&pool.values, &indices, None)?;
    if class(&pool.data_type) == Class::Text && matches!(pool.data_type, DataType::Dictionary(..)) {
        // The pool's dictionary holds each value; a rebuilt one holds what occurs, in other codes.
        if rng.chance(50)
            && let DataType::Dictionary(_, value) = &pool.data_type
        {
            array = cast(&cast(&array, value)?, &pool.data_type)?;
        }
    }
    Ok(array)
}

fn sort(batch: &RecordBatch, column: &str) -> Result<RecordBatch> {
    let at = batch.schema().index_of(column)?;
    let options = SortOptions { descending: false, nulls_first: true };
    let key = SortColumn { values: batch.column(at).clone(), options: Some(options) };
    let indices = lexsort_to_indices(&[key], None)?;
    let columns = batch
        .columns()
        .iter()
        .map(|c| take(c, &indices, None))
        .collect::<std::result::Result<Vec<_>, _>>()?;
    Ok(RecordBatch::try_new(batch.schema(), columns)?)
}

/// Cuts into one to four partitions of contiguous rows, each into batches that share buffers
/// (sliced) or not, some of them empty.
fn split(rng: &mut Rng, whole: &RecordBatch) -> Result<Vec<Vec<RecordBatch>>> {
    let partitions = *rng.pick(&[1, 1, 2, 3, 4]);
    let mut cuts: Vec<usize> = (1..partitions).map(|_| rng.below(whole.num_rows() + 1)).collect();
    cuts.extend([0, whole.num_rows()]);
    cuts.sort_unstable();
    let mut result = Vec::new();
    for range in cuts.windows(2) {
        let mut batches = Vec::new();
        let mut at = range[0];
        let step = *rng.pick(&[1, 3, 10, 100, 1000, 10_000]);
        // At most some 20 batches a partition keep the cost of a case in bounds.
        let step = step.max((range[1] - range[0]) / 20);
        while at < range[1] {
            let length = (1 + rng.below(2 * step)).min(range[1] - at);
            let slice = whole.slice(at, length);
            batches.push(if rng.chance(50) { slice } else { copy(&slice)? });
            at += length;
            if rng.chance(8) {
                batches.push(whole.slice(at, 0));
            }
        }
        result.push(batches);
    }
    Ok(result)
}

fn copy(batch: &RecordBatch) -> Result<RecordBatch> {
    let all: UInt32Array = (0..batch.num_rows()).map(|i| u32::try_from(i).ok()).collect();
    let columns = batch.columns().iter().map(|c| take(c, &all, None));
    let columns = columns.collect::<std::result::Result<Vec<_>, _>>()?;
    RecordBatch::try_new(batch.schema(), columns).map_err(DataFusionError::from)
}
