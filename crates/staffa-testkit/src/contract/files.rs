//! The shapes of [`super::tables`] as Parquet files, for what reads files: a scan, and what runs
//! with it on a device.

use std::fs::{File, create_dir};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::{Result, exec_datafusion_err};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::{WriterProperties, WriterVersion};
use tempfile::TempDir;

use super::tables::{Shape, cut, key_column, rows_of};
use crate::differential::pool::{Domain, Pool};
use crate::rng::Rng;

/// A folder with a Parquet file per partition of `(k, m, v, id)`: `k` of the key type with NULLs, `m`
/// of the same type without, `v` Int64 with NULLs, `id` the rows' numbers.
pub(super) struct Files {
    folder: TempDir,
    /// Values of the key type that occur, as SQL literals.
    pub(super) literals: Vec<String>,
}

impl Files {
    /// A table of `shape`; codec, page version and encoding follow from shape and type.
    ///
    /// # Errors
    /// A type that Parquet does not have, or no disk.
    pub(super) fn write(data_type: &DataType, shape: Shape, salt: u64) -> Result<Self> {
        let pool = Pool::new(&mut Rng::new(11), data_type, Domain::Full, 12)?;
        let mut rng = Rng::new(salt);
        let rows = rows_of(shape);
        let k = key_column(&pool.values, shape, &mut rng)?;
        let picks: UInt32Array =
            (0..rows).map(|_| u32::try_from(rng.below(pool.values.len())).ok()).collect();
        let m = take(&pool.values, &picks, None)?;
        let v: Int64Array =
            (0..rows).map(|_| (!rng.chance(15)).then(|| rng.between(-50, 50))).collect();
        let id: Int64Array = (0i64..).take(rows).map(Some).collect();
        let schema = Arc::new(Schema::new(vec![
            Field::new("k", data_type.clone(), true),
            Field::new("m", data_type.clone(), false),
            Field::new("v", DataType::Int64, true),
            Field::new("id", DataType::Int64, false),
        ]));
        let columns: Vec<ArrayRef> = vec![k, m, Arc::new(v), Arc::new(id)];
        let whole = RecordBatch::try_new(schema, columns)?;
        let folder = tempfile::tempdir()?;
        create_dir(folder.path().join("t"))?;
        for (part, batches) in cut(shape, &whole).iter().enumerate() {
            // A listing needs a file to find the schema in, and takes ones without rows.
            let path = folder.path().join(format!("t/{part}.parquet"));
            write_file(&path, &whole.schema(), batches, properties(data_type, shape, salt))?;
        }
        Ok(Self { folder, literals: pool.literals })
    }

    /// The folder's path, as DataFusion takes it.
    pub(super) fn path(&self) -> Result<String> {
        let path = self.folder.path().join("t");
        let text = path.to_str().map(str::to_owned);
        text.ok_or_else(|| exec_datafusion_err!("a folder whose name is no text: {path:?}"))
    }
}

fn write_file(
    path: &Path,
    schema: &Arc<Schema>,
    batches: &[RecordBatch],
    properties: WriterProperties,
) -> Result<()> {
    let file = File::create(path)?;
    let mut writer = ArrowWriter::try_new(file, schema.clone(), Some(properties))?;
    for batch in batches {
        writer.write(batch)?;
    }
    writer.close()?;
    Ok(())
}

/// Small row groups and pages, so that a table of sixty rows has several of each.
fn properties(data_type: &DataType, shape: Shape, salt: u64) -> WriterProperties {
    let turn = shape as usize + data_type.to_string().len() + salt as usize;
    let codec = [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::LZ4_RAW][turn % 3];
    let version = [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0][turn / 3 % 2];
    WriterProperties::builder()
        .set_compression(codec)
        .set_writer_version(version)
        .set_dictionary_enabled(turn.is_multiple_of(2))
        .set_max_row_group_row_count(Some(16))
        .set_data_page_row_count_limit(5)
        .set_write_batch_size(3)
        .build()
}
