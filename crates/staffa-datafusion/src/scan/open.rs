//! Opening a file: from its footer to the row groups and rows that must be read.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use arrow::datatypes::{SchemaRef, TimeUnit};
use bytes::Bytes;
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::{
    Int96Coercer, ParquetFileReaderFactory, apply_file_schema_type_coercions,
};
use datafusion::datasource::physical_plan::{FileSource, ParquetFileMetrics, ParquetSource};
use datafusion::physical_expr::{PhysicalExpr, PhysicalExprSimplifier, conjunction_opt};
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder};
use datafusion_physical_expr_adapter::rewrite::rewrite_input_file_name_in_projection;
use datafusion_physical_expr_adapter::{PhysicalExprAdapterFactory, replace_columns_with_literals};
use datafusion_pruning::FilePruner;
use parking_lot::Mutex;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, RowSelection, RowSelector,
};
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::basic::{Compression, Encoding};
use parquet::file::metadata::{ColumnChunkMetaData, PageIndexPolicy};
use staffa_common::Reason;
use staffa_engine::bound::through;
use staffa_engine::cuda::aggregate::Grouping;
use staffa_parquet::Footer;

use super::advisory::Advice;
use super::joined::Joined;
use super::local::{LocalFile, LocalStore};
use super::lowered::DevicePlan;
use super::places::Places;
use super::prune;

/// Reads a file's bytes.
pub(super) type Reader = Box<dyn AsyncFileReader>;

/// A scan's output columns, and its predicate.
type Exprs = (Vec<Arc<dyn PhysicalExpr>>, Option<Arc<dyn PhysicalExpr>>);

/// What all files of a scan have in common.
pub(super) struct Opener {
    pub(super) source: ParquetSource,
    pub(super) readers: Arc<dyn ParquetFileReaderFactory>,
    /// Where the files lie on this machine, and nobody has readers of his own.
    pub(super) local: Option<LocalStore>,
    pub(super) adapters: Arc<dyn PhysicalExprAdapterFactory>,
    pub(super) metrics: ExecutionPlanMetricsSet,
    /// What the pipeline has the scan test, over its output columns.
    pub(super) filter: Option<Arc<dyn PhysicalExpr>>,
    /// What joins elsewhere know of the rows that are wanted, over its output columns.
    pub(super) told: Vec<Arc<dyn PhysicalExpr>>,
    /// What the pipeline has the scan compute, over its columns.
    pub(super) output: Option<Vec<Arc<dyn PhysicalExpr>>>,
    /// Where the rows lie that lanes give, if they are asked.
    pub(super) places: Option<Arc<Places>>,
    /// The aggregation that the pipeline has a device do right behind the scan.
    pub(super) grouping: Option<Arc<Grouping>>,
    /// The joins that the pipeline has a device do, known before the first file is opened for one.
    pub(super) joined: OnceLock<Arc<Joined>>,
    pub(super) limit: Option<usize>,
    pub(super) preserve_order: bool,
    pub(super) creation_errors: Count,
    /// Halves of row groups that lanes took off each other.
    pub(super) halves: Count,
    /// Whether dynamic filters may keep single rows out: not where a limit counts them.
    pub(super) advised: bool,
    /// How well dynamic filters do as tests of rows.
    pub(super) advice: Arc<Advice>,
}

/// A file that is open: its metadata, and the scan's expressions as its schema needs them.
pub(super) struct OpenFile {
    pub(super) opener: Arc<Opener>,
    pub(super) file: PartitionedFile,
    pub(super) partition: usize,
    pub(super) reader_metadata: ArrowReaderMetadata,
    /// The columns as the file's reader makes them.
    pub(super) schema: SchemaRef,
    /// The scan's columns, over `schema`: what the pipeline's filter reads.
    pub(super) columns: Vec<Arc<dyn PhysicalExpr>>,
    /// What the scan puts out, over `schema`: its columns, unless the pipeline asks for more.
    pub(super) projection: Vec<Arc<dyn PhysicalExpr>>,
    /// The scan's predicate, over `schema`.
    pub(super) predicate: Option<Arc<dyn PhysicalExpr>>,
    pub(super) metrics: ParquetFileMetrics,
    /// The metadata as our decoder wants it.
    pub(super) footer: Arc<Footer>,
    local: Option<LocalFile>,
    idle: Mutex<Vec<Reader>>,
    device_plan: OnceLock<Result<DevicePlan, Reason>>,
}

/// A row group to read, of it the selected rows.
#[derive(Clone)]
pub(super) struct GroupToRead {
    pub(super) index: usize,
    pub(super) rows: Option<RowSelection>,
}

impl GroupToRead {
    /// The same row group, of it only `rows`.
    pub(super) fn part(&self, rows: &Range<u64>) -> Self {
        let count = |rows: u64| usize::try_from(rows).unwrap_or(usize::MAX);
        let selected = RowSelection::from(vec![
            RowSelector::skip(count(rows.start)),
            RowSelector::select(count(rows.end - rows.start)),
        ]);
        Self { index: self.index, rows: Some(selected) }
    }
}

impl OpenFile {
    /// Bytes of the file.
    ///
    /// # Errors
    /// Reading.
    pub(super) async fn read(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        if let Some(local) = &self.local
            && let Some(bytes) = local.read(ranges).await
        {
            self.metrics.bytes_scanned.add(bytes.iter().map(Bytes::len).sum());
            return Ok(bytes);
        }
        let mut reader = self.reader()?;
        let bytes = reader.get_byte_ranges(ranges.to_vec()).await?;
        self.give_back(reader);
        Ok(bytes)
    }

    /// Where the operating system can read `ranges` ahead by itself, has it do so.
    pub(super) fn expect(&self, ranges: &[Range<u64>]) -> bool {
        self.local.as_ref().map(|local| local.expect(ranges)).is_some()
    }

    /// A reader that nobody uses.
    ///
    /// # Errors
    /// The factory's.
    pub(super) fn reader(&self) -> Result<Reader> {
        if let Some(reader) = self.idle.lock().pop() {
            return Ok(reader);
        }
        self.opener.reader(self.partition, &self.file)
    }

    /// Gives a reader back.
    fn give_back(&self, reader: Reader) {
        self.idle.lock().push(reader);
    }

    /// Whether our decoder can make a column of `schema`.
    pub(super) fn decodes(&self, root: usize) -> bool {
        self.footer.leaf_of(root).is_some_and(|leaf| {
            let column = self.reader_metadata.parquet_schema().column(leaf);
            // Formats that only arrow-rs knows: several stand under the name LZ4, and the oldest
            // files pack levels without runs.
            let mut groups = self.reader_metadata.metadata().row_groups().iter();
            let old = groups.any(|group| {
                let chunk = group.column(leaf);
                chunk.compression() == Compression::LZ4 || packs_levels(chunk)
            });
            let data_type = self.schema.field(root).data_type();
            !old && staffa_parquet::supports(&column, data_type).is_ok()
        })
    }

    /// What a device does with the file, lowered when first asked for.
    ///
    /// # Errors
    /// Why the CPU has to read it.
    pub(super) fn device_plan(&self) -> Result<&DevicePlan, &Reason> {
        self.device_plan.get_or_init(|| DevicePlan::new(self)).as_ref()
    }

    /// The predicate where rows must be tested, not only row groups and pages.
    pub(super) fn row_predicate(&self) -> Option<&Arc<dyn PhysicalExpr>> {
        let tested = self.opener.source.table_parquet_options().global.pushdown_filters;
        self.predicate.as_ref().filter(|_| tested)
    }
}

impl Opener {
    fn reader(&self, partition: usize, file: &PartitionedFile) -> Result<Reader> {
        let hint = file.metadata_size_hint;
        let reader = self.readers.create_reader(partition, file.clone(), hint, &self.metrics)?;
        Ok(reader)
    }

    /// Opens `file` (or the byte range of it that it names): `None` when nothing in it can match.
    ///
    /// # Errors
    /// Reading or parsing the footer, adapting expressions to the file's schema.
    pub(super) async fn open(
        self: &Arc<Self>,
        partition: usize,
        file: PartitionedFile,
    ) -> Result<Option<(Arc<OpenFile>, Vec<GroupToRead>)>> {
        let name = file.object_meta.location.to_string();
        let metrics = ParquetFileMetrics::new(partition, &name, &self.metrics);
        let exprs = self.with_constants(&file, &name)?;
        let predicate = exprs.1.clone();
        if self.prunes_file(&file, predicate.as_ref())? {
            metrics.files_ranges_pruned_statistics.add_pruned(1);
            return Ok(None);
        }
        metrics.files_ranges_pruned_statistics.add_matched(1);

        let (mut open, mut reader, options) = self.load(partition, file, metrics, exprs).await?;
        let groups = prune::groups(&mut open, &mut reader, options).await?;
        // After pruning, which may have loaded the page index.
        open.footer = as_footer(&open.file, &open.reader_metadata);
        open.give_back(reader);
        if !groups.is_empty() {
            let store = self.local.as_ref();
            open.local = store.and_then(|store| store.open(&open.file.object_meta));
        }
        Ok(Some((Arc::new(open), groups)))
    }

    /// Opens `file` once more, to read some of its rows again.
    ///
    /// # Errors
    /// As of [`Opener::open`].
    pub(super) async fn reopen(
        self: &Arc<Self>,
        partition: usize,
        file: PartitionedFile,
    ) -> Result<Arc<OpenFile>> {
        let name = file.object_meta.location.to_string();
        let metrics = ParquetFileMetrics::new(partition, &name, &self.metrics);
        let exprs = self.with_constants(&file, &name)?;
        let (mut open, reader, _) = self.load(partition, file, metrics, exprs).await?;
        open.give_back(reader);
        let store = self.local.as_ref();
        open.local = store.and_then(|store| store.open(&open.file.object_meta));
        Ok(Arc::new(open))
    }

    /// Reads a file's metadata, with the scan's expressions as the file needs them.
    async fn load(
        self: &Arc<Self>,
        partition: usize,
        file: PartitionedFile,
        metrics: ParquetFileMetrics,
        exprs: Exprs,
    ) -> Result<(OpenFile, Reader, ArrowReaderOptions)> {
        let mut reader = self.reader(partition, &file)?;
        let mut options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Skip);
        if let Some(schema) = &file.arrow_schema {
            options = options.with_schema(Arc::clone(schema));
        }
        let timer = metrics.metadata_load_time.timer();
        let reader_metadata = ArrowReaderMetadata::load_async(&mut reader, options.clone()).await?;
        drop(timer);
        let (reader_metadata, options) = self.coerce(reader_metadata, options)?;
        let schema = Arc::clone(reader_metadata.schema());
        let (projection, predicate) = exprs;
        let (columns, predicate) = self.adapt(&schema, projection, predicate)?;
        let projection = match &self.output {
            Some(output) => {
                output.iter().map(|expr| through(expr, &columns)).collect::<Result<_>>()?
            }
            None => columns.clone(),
        };
        let footer = as_footer(&file, &reader_metadata);
        let open = OpenFile {
            opener: Arc::clone(self),
            footer,
            file,
            partition,
            reader_metadata,
            schema,
            columns,
            projection,
            predicate,
            metrics,
            local: None,
            idle: Mutex::new(Vec::new()),
            device_plan: OnceLock::new(),
        };
        Ok((open, reader, options))
    }

    /// The scan's expressions with the file's partition values and name in place.
    fn with_constants(&self, file: &PartitionedFile, name: &str) -> Result<Exprs> {
        let table = self.source.table_schema();
        let values: HashMap<String, ScalarValue> = table
            .table_partition_cols()
            .iter()
            .zip(&file.partition_values)
            .map(|(field, value)| (field.name().clone(), value.clone()))
            .collect();
        let Some(projection) = self.source.projection() else {
            return Err(DataFusionError::Internal("a Parquet scan has no projection".to_string()));
        };
        let mut projection = projection.clone();
        let columns: Vec<_> = projection.iter().map(|e| Arc::clone(&e.expr)).collect();
        let advice = self.told.iter().map(|filter| through(filter, &columns));
        let predicates = self.source.filter().into_iter().map(Ok).chain(advice);
        let mut predicate = conjunction_opt(predicates.collect::<Result<Vec<_>>>()?);
        if !values.is_empty() {
            projection =
                projection.try_map_exprs(|expr| replace_columns_with_literals(expr, &values))?;
            predicate = predicate.map(|p| replace_columns_with_literals(p, &values)).transpose()?;
        }
        let projection = rewrite_input_file_name_in_projection(projection, name)?;
        Ok((projection.iter().map(|e| Arc::clone(&e.expr)).collect(), predicate))
    }

    fn prunes_file(
        &self,
        file: &PartitionedFile,
        predicate: Option<&Arc<dyn PhysicalExpr>>,
    ) -> Result<bool> {
        let Some(predicate) = predicate else {
            return Ok(false);
        };
        let schema = self.source.table_schema().file_schema();
        let pruner =
            FilePruner::try_new(Arc::clone(predicate), schema, file, self.creation_errors.clone());
        pruner.map_or(Ok(false), |mut pruner| pruner.should_prune())
    }

    /// Has the reader make the types that the table asks for, where the file's differ only in form.
    fn coerce(
        &self,
        metadata: ArrowReaderMetadata,
        mut options: ArrowReaderOptions,
    ) -> Result<(ArrowReaderMetadata, ArrowReaderOptions)> {
        let mut schema = Arc::clone(metadata.schema());
        let mut changed = false;
        let table = self.source.table_schema().file_schema();
        if let Some(coerced) = apply_file_schema_type_coercions(table, &schema) {
            schema = Arc::new(coerced);
            changed = true;
        }
        let global = &self.source.table_parquet_options().global;
        if let Some(unit) = &global.coerce_int96 {
            let unit = time_unit(unit)?;
            let zone = global.coerce_int96_tz.as_deref().map(Arc::<str>::from);
            let coercer = Int96Coercer::new(metadata.parquet_schema(), &schema, &unit);
            if let Some(coerced) = coercer.with_timezone(zone).coerce() {
                schema = Arc::new(coerced);
                changed = true;
            }
        }
        if !changed {
            return Ok((metadata, options));
        }
        options = options.with_schema(schema);
        let metadata =
            ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), options.clone())?;
        Ok((metadata, options))
    }

    /// The scan's expressions over the file's own columns.
    fn adapt(
        &self,
        schema: &SchemaRef,
        projection: Vec<Arc<dyn PhysicalExpr>>,
        predicate: Option<Arc<dyn PhysicalExpr>>,
    ) -> Result<Exprs> {
        let logical = self.source.table_schema().file_schema();
        if predicate.is_none() && logical == schema {
            return Ok((projection, predicate));
        }
        let rewriter = self.adapters.create(Arc::clone(logical), Arc::clone(schema))?;
        let simplifier = PhysicalExprSimplifier::new(schema);
        let adapt = |expr| simplifier.simplify(rewriter.rewrite(expr)?);
        let projection = projection.into_iter().map(adapt).collect::<Result<_>>()?;
        Ok((projection, predicate.map(adapt).transpose()?))
    }
}

fn as_footer(file: &PartitionedFile, metadata: &ArrowReaderMetadata) -> Arc<Footer> {
    Arc::new(Footer::from_parts(
        file.object_meta.location.as_ref().into(),
        file.object_meta.size,
        Arc::clone(metadata.metadata()),
        Arc::clone(metadata.schema()),
    ))
}

#[expect(deprecated, reason = "files hold it all the same")]
fn packs_levels(chunk: &ColumnChunkMetaData) -> bool {
    chunk.encodings().any(|encoding| encoding == Encoding::BIT_PACKED)
}

/// Counts predicates that pruning could not use.
pub(super) fn creation_errors(metrics: &ExecutionPlanMetricsSet) -> Count {
    MetricBuilder::new(metrics).global_counter("num_predicate_creation_errors")
}

/// Counts halves of row groups that lanes took off each other.
pub(super) fn halves(metrics: &ExecutionPlanMetricsSet) -> Count {
    MetricBuilder::new(metrics).global_counter("row_group_halves_taken")
}

fn time_unit(name: &str) -> Result<TimeUnit> {
    match name.to_ascii_lowercase().as_str() {
        "ns" => Ok(TimeUnit::Nanosecond),
        "us" => Ok(TimeUnit::Microsecond),
        "ms" => Ok(TimeUnit::Millisecond),
        "s" => Ok(TimeUnit::Second),
        _ => Err(DataFusionError::Configuration(format!(
            "Unknown or unsupported parquet coerce_int96: {name}. Valid values are: ns, us, ms, and s."
        ))),
    }
}
