//! Staffa's own Parquet scan: DataFusion's plan of what to read, read and decoded by us.
//!
//! What is read is decided as DataFusion decides it, by its own building blocks: file statistics,
//! row-group statistics, Bloom filters, page index, partition columns, schema adaption and dynamic
//! filters ([`open`]). How it is read is ours: lanes take row groups from a queue and halves of each other's row groups at its end ([`run`]),
//! columns are decoded into morsels, a dictionary's codes becoming row numbers into its values
//! ([`group`]). A column that our decoder does not know is decoded by arrow-rs, in the same morsels.
//! Where the scan was placed on a GPU, row groups go there first ([`device`]), and back to [`group`]
//! when it cannot do them; columns that it has no form for are read beside it ([`riding`]). Where all rows go
//! into an aggregation, the device may do that too ([`grouping`]), and joins that rows probe on their way
//! ([`joined`], [`probing`]) against build sides that it was given ([`resident`]). Rows of other sources than scans go
//! through the same chains ([`lift`]).

mod advisory;
mod chain;
mod columns;
mod computed;
mod device;
mod estimate;
mod group;
mod grouping;
mod joined;
mod left;
mod lift;
mod lift_lane;
mod local;
mod lowered;
mod metrics;
mod open;
mod piece;
mod places;
mod probing;
mod prune;
mod ranges;
mod resident;
mod riding;
mod rows;
mod run;
mod sizes;
mod sorted;
mod states;
mod stay;
mod together;

use std::any::Any;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::FileGroup;
use datafusion::datasource::physical_plan::{FileScanConfig, FileSource, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{Column, DynamicFilterPhysicalExpr};
use datafusion::physical_expr::utils::{collect_columns, split_conjunction};
use datafusion::physical_plan::ExecutionPlan;
pub(crate) use lift::HostLifter;
use staffa_common::{Reason, ReasonCode};
use staffa_engine::RunContext;
use staffa_engine::cuda::cost::ScanSize;
use staffa_engine::plan::{NodeOp, Same, Scan, ScanRequest, ScanRun};

use crate::lower::{Lowered, Setting};
pub(crate) use sorted::DeviceSort;

/// A Parquet scan as DataFusion planned it.
#[derive(Debug)]
pub(crate) struct ParquetScan {
    config: FileScanConfig,
    source: ParquetSource,
    /// Whether dynamic filters may keep single rows out.
    advised: bool,
}

/// The scan that `plan` is, if it reads Parquet files.
pub(crate) fn lower(plan: &Arc<dyn ExecutionPlan>, setting: Setting) -> Option<Lowered> {
    let exec = plan.downcast_ref::<DataSourceExec>()?;
    let (config, source) = exec.downcast_to_file_source::<ParquetSource>()?;
    Some(check(source).map(|()| {
        let advised = !setting.cut && config.limit.is_none();
        let scan = ParquetScan { config: config.clone(), source: source.clone(), advised };
        NodeOp::Scan(Arc::new(scan))
    }))
}

fn check(source: &ParquetSource) -> Result<(), Reason> {
    let refuse = |detail: &str| Err(Reason::new(ReasonCode::ScanOption, detail));
    if !source.table_schema().virtual_columns().is_empty() {
        return refuse("virtual columns");
    }
    let crypto = &source.table_parquet_options().crypto;
    if crypto.file_decryption.is_some() || crypto.factory_id.is_some() {
        return refuse("encrypted files");
    }
    if reads_into_structs(source) {
        return refuse("a path into a struct");
    }
    Ok(())
}

/// Whether the scan computes something from a struct: DataFusion then decodes only the leaves on the
/// path, we would decode them all.
fn reads_into_structs(source: &ParquetSource) -> bool {
    let schema = source.table_schema().table_schema();
    source.projection().is_some_and(|projection| {
        projection.iter().filter(|output| !output.expr.is::<Column>()).any(|output| {
            let fields = collect_columns(&output.expr).into_iter();
            fields
                .filter_map(|column| schema.fields().get(column.index()).cloned())
                .any(|field| matches!(field.data_type(), DataType::Struct(_)))
        })
    })
}

/// Bytes of files for which another lane is worth having: lanes share row groups too.
const LANE_BYTES: u64 = 1 << 20;

/// A row of a file that nobody has counted the rows of.
const GUESSED_ROW_BYTES: u64 = 64;

/// What the scan reads of a file at most.
fn bytes(file: &PartitionedFile) -> u64 {
    match &file.range {
        Some(range) => u64::try_from(range.end - range.start).unwrap_or(0),
        None => file.object_meta.size,
    }
}

fn same_groups(a: &[FileGroup], b: &[FileGroup]) -> bool {
    let same = |a: &FileGroup, b: &FileGroup| {
        a.len() == b.len() && a.files().iter().zip(b.files()).all(|(a, b)| same_file(a, b))
    };
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
}

/// Whether two entries name the same rows of the same version of a file.
fn same_file(a: &PartitionedFile, b: &PartitionedFile) -> bool {
    // Extensions may choose rows, and cannot be compared.
    a.object_meta == b.object_meta
        && a.range == b.range
        && a.partition_values == b.partition_values
        && a.extensions.is_empty()
        && b.extensions.is_empty()
}

impl Scan for ParquetScan {
    fn pieces(&self) -> usize {
        let files = self.config.file_groups.iter().flat_map(|group| group.files());
        files.map(|file| 1 + bytes(file) / LANE_BYTES).sum::<u64>().try_into().unwrap_or(usize::MAX)
    }

    fn rows(&self) -> Option<u64> {
        let counted = self.config.statistics().num_rows.get_value().copied();
        let files = || self.config.file_groups.iter().flat_map(|group| group.files());
        let guessed = || files().map(|file| bytes(file) / GUESSED_ROW_BYTES).sum();
        Some(counted.map_or_else(guessed, |rows| rows as u64))
    }

    fn computes(&self) -> bool {
        let projection = self.source.projection();
        projection.is_some_and(|all| all.iter().any(|output| !output.expr.is::<Column>()))
    }

    fn reads(&self, filter: &DynamicFilterPhysicalExpr) -> bool {
        let Some(predicate) = self.source.filter() else { return false };
        let read = split_conjunction(&predicate);
        read.iter().any(|part| part.expression_id() == filter.expression_id())
    }

    fn shares(&self) -> bool {
        self.config.limit.is_none()
    }

    fn is_same(&self, other: &dyn Scan, same: &Same) -> bool {
        let Some(other) = other.as_any().downcast_ref::<Self>() else {
            return false;
        };
        let (a, b) = (&self.config, &other.config);
        let (own, others) = (&self.source, &other.source);
        let schemas = own.table_schema().table_schema() == others.table_schema().table_schema();
        schemas
            && a.object_store_url == b.object_store_url
            && same_groups(&a.file_groups, &b.file_groups)
            && a.limit == b.limit
            && a.preserve_order == b.preserve_order
            && own.projection() == others.projection()
            && own.table_parquet_options() == others.table_parquet_options()
            && same.predicates(own.filter().as_ref(), others.filter().as_ref())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn on_device(
        &self,
        filter: Option<&Arc<dyn PhysicalExpr>>,
        output: Option<&[Arc<dyn PhysicalExpr>]>,
        threads: usize,
    ) -> Result<ScanSize, Reason> {
        computed::lowers(&self.source)?;
        estimate::on_device(&self.config, &self.source, filter, output, threads)
    }

    fn start(&self, context: &Arc<RunContext>, request: &ScanRequest) -> Result<Arc<dyn ScanRun>> {
        run::start(&self.config, &self.source, self.advised, context, request)
    }
}
