//! Which row groups of a file, and which rows of them, can hold matches.

use std::sync::Arc;

use datafusion::common::{Result, exec_err};
use datafusion::datasource::physical_plan::ParquetFileMetrics;
use datafusion::datasource::physical_plan::parquet::{
    BloomFilterStatistics, PagePruningAccessPlanFilter, ParquetAccessPlan, ParquetRowSelection,
    RowGroupAccess, RowGroupAccessPlanFilter,
};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, DynamicFilterPhysicalExpr};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{PhysicalExpr, split_conjunction};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion_pruning::{PruningPredicate, PruningPredicateBuilder};
use parquet::arrow::ParquetRecordBatchStreamBuilder;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, RowSelection, RowSelector,
};
use parquet::arrow::parquet_column;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader, RowGroupMetaData};

use super::open::{GroupToRead, OpenFile, Reader};
use super::rows::Cursor;

/// The row groups of `open` that must be read, in file order. May load the page index.
///
/// # Errors
/// An access plan that does not fit the file; reading the page index.
pub(super) async fn groups(
    open: &mut OpenFile,
    reader: &mut Reader,
    options: ArrowReaderOptions,
) -> Result<Vec<GroupToRead>> {
    let metadata = Arc::clone(open.reader_metadata.metadata());
    let row_groups = metadata.row_groups();
    let mut plan = RowGroupAccessPlanFilter::new(initial_plan(open, row_groups)?);
    if let Some(range) = &open.file.range {
        plan.prune_by_range(row_groups, range);
    }
    let global = open.opener.source.table_parquet_options().global.clone();
    let predicate = open.predicate.as_ref().and_then(|p| pruning_predicate(open, p));
    match &predicate {
        Some(predicate) if global.pruning => plan.prune_by_statistics(
            &open.schema,
            open.reader_metadata.parquet_schema(),
            row_groups,
            predicate,
            &open.metrics,
        ),
        _ => {
            let left = plan.remaining_row_group_count();
            open.metrics.row_groups_pruned_statistics.add_matched(left);
        }
    }
    let pages = match (&open.predicate, global.enable_page_index) {
        (Some(predicate), true) => page_filter(open, predicate),
        _ => None,
    };
    let first = first_rows(open);
    let some_of_a_group = global.enable_page_index
        && first.is_some_and(|rows| {
            let mut groups = plan.row_group_indexes().filter_map(|group| row_groups.get(group));
            groups.next().is_some_and(|group| rows < count(group.num_rows()) / WORTH_AN_INDEX)
        });
    if (pages.is_some() || some_of_a_group) && needs_page_index(open, &plan) {
        load_page_index(open, reader, options).await?;
    }
    match &predicate {
        Some(predicate) if global.bloom_filter_on_read && !plan.is_empty() => {
            let filters = bloom_filters(open, predicate, &plan).await?;
            plan.prune_by_bloom_filters(predicate, &open.metrics, &filters);
        }
        _ => {
            let left = plan.remaining_row_group_count();
            open.metrics.row_groups_pruned_bloom_filter.add_matched(left);
        }
    }
    if let (Some(limit), false) = (open.opener.limit, open.opener.preserve_order) {
        plan.prune_by_limit(limit, row_groups, &open.metrics);
    }
    let mut access = plan.build();
    if let Some(pages) = pages.filter(|_| !access.is_empty()) {
        access = pages.prune_plan_with_page_index(
            access,
            &open.schema,
            open.reader_metadata.parquet_schema(),
            open.reader_metadata.metadata(),
            &open.metrics,
        );
    }
    let groups = to_read(access);
    Ok(match first {
        Some(rows) => cut(groups, rows, row_groups),
        None => groups,
    })
}

/// A page index is worth reading for less than one in so many rows of a row group.
const WORTH_AN_INDEX: u64 = 4;

fn count(rows: i64) -> u64 {
    u64::try_from(rows).unwrap_or(0)
}

/// How many of the file's rows are wanted, where that is its first ones: nobody tests them.
fn first_rows(open: &OpenFile) -> Option<u64> {
    let tested = open.opener.filter.is_some() || open.row_predicate().is_some();
    let limit = open.opener.limit.filter(|_| !tested)?;
    u64::try_from(limit).ok()
}

/// The first `wanted` of the selected rows: others are neither fetched nor decoded.
fn cut(groups: Vec<GroupToRead>, mut wanted: u64, all: &[RowGroupMetaData]) -> Vec<GroupToRead> {
    let mut first = Vec::new();
    for group in groups {
        let rows = all.get(group.index).map_or(0, RowGroupMetaData::num_rows);
        let selected = Cursor::new(rows, group.rows.as_ref()).len();
        if wanted == 0 {
            break;
        }
        if selected <= wanted {
            wanted -= selected;
            first.push(group);
            continue;
        }
        let selected = usize::try_from(wanted).unwrap_or(usize::MAX);
        let rows = Cursor::new(rows, group.rows.as_ref()).take(selected);
        let mut selectors = Vec::new();
        let mut at = 0;
        for range in rows.ranges() {
            selectors.push(RowSelector::skip((range.start - at) as usize));
            selectors.push(RowSelector::select((range.end - range.start) as usize));
            at = range.end;
        }
        first.push(GroupToRead { rows: Some(RowSelection::from(selectors)), ..group });
        wanted = 0;
    }
    first
}

/// What the file's extensions ask for; everything without them.
fn initial_plan(open: &OpenFile, groups: &[RowGroupMetaData]) -> Result<ParquetAccessPlan> {
    let name = &open.file.object_meta.location;
    let extensions = &open.file.extensions;
    let plan = extensions.get::<ParquetAccessPlan>();
    match (plan, extensions.get::<ParquetRowSelection>()) {
        (Some(_), Some(_)) => exec_err!(
            "Invalid parquet access extensions for {name}. \
             Specify either ParquetAccessPlan or ParquetRowSelection, not both"
        ),
        (Some(plan), None) if plan.len() != groups.len() => exec_err!(
            "Invalid ParquetAccessPlan for {name}. Specified {} row groups, but file has {}",
            plan.len(),
            groups.len()
        ),
        (Some(plan), None) => Ok(plan.clone()),
        (None, Some(rows)) => {
            ParquetAccessPlan::try_new_from_overall_row_selection(rows.selection().clone(), groups)
        }
        (None, None) => Ok(ParquetAccessPlan::new_all(groups.len())),
    }
}

fn to_read(access: ParquetAccessPlan) -> Vec<GroupToRead> {
    access
        .into_inner()
        .into_iter()
        .enumerate()
        .filter_map(|(index, access)| match access {
            RowGroupAccess::Skip => None,
            RowGroupAccess::Scan => Some(GroupToRead { index, rows: None }),
            RowGroupAccess::Selection(rows) if !rows.selects_any() => None,
            RowGroupAccess::Selection(rows) => Some(GroupToRead { index, rows: Some(rows) }),
        })
        .collect()
}

/// Whether what a dynamic filter has become by now rules a row group out.
pub(super) fn ruled_out(open: &OpenFile, group: usize) -> bool {
    let Some(predicate) = sayable(open).and_then(|p| pruning_predicate(open, &p)) else {
        return false;
    };
    let groups = open.reader_metadata.metadata().row_groups();
    let mut plan = ParquetAccessPlan::new_none(groups.len());
    plan.scan(group);
    let mut plan = RowGroupAccessPlanFilter::new(plan);
    // Counted on its own, not again as pruned when the file was opened.
    let unseen = ParquetFileMetrics::new(0, "", &ExecutionPlanMetricsSet::new());
    let schema = open.reader_metadata.parquet_schema();
    plan.prune_by_statistics(&open.schema, schema, groups, &predicate, &unseen);
    // A plan is "empty" when the file has no row groups at all.
    let ruled_out = plan.remaining_row_group_count() == 0;
    if ruled_out {
        open.metrics.row_groups_pruned_dynamic_filter.add(1);
    }
    ruled_out
}

/// The scan's predicate without dynamic filters on floats: statistics leave NaNs out, which may be what such a filter
/// looks for.
fn sayable(open: &OpenFile) -> Option<Arc<dyn PhysicalExpr>> {
    let is_float = |column: &Column| {
        let field = open.schema.fields().get(column.index());
        field.is_none_or(|field| field.data_type().is_floating())
    };
    let says = |conjunct: &&Arc<dyn PhysicalExpr>| {
        !conjunct.is::<DynamicFilterPhysicalExpr>()
            || !collect_columns(conjunct).iter().any(is_float)
    };
    let conjuncts = split_conjunction(open.predicate.as_ref()?);
    conjuncts.into_iter().filter(says).cloned().reduce(|all, one| {
        Arc::new(BinaryExpr::new(all, Operator::And, one)) as Arc<dyn PhysicalExpr>
    })
}

fn pruning_predicate(
    open: &OpenFile,
    predicate: &Arc<dyn PhysicalExpr>,
) -> Option<Arc<PruningPredicate>> {
    PruningPredicateBuilder::new()
        .with_file_schema(Arc::clone(&open.schema))
        .with_error_counter(&open.opener.creation_errors)
        .with_max_in_list_size(open.opener.source.max_in_list_size())
        .build(Arc::clone(predicate))
}

fn page_filter(
    open: &OpenFile,
    predicate: &Arc<dyn PhysicalExpr>,
) -> Option<PagePruningAccessPlanFilter> {
    let filter = PagePruningAccessPlanFilter::new(predicate, Arc::clone(&open.schema));
    (filter.filter_number() > 0).then_some(filter)
}

/// Whether some row group is left in which pages could be skipped, and has an index to do it by.
fn needs_page_index(open: &OpenFile, plan: &RowGroupAccessPlanFilter) -> bool {
    let matched = plan.is_fully_matched();
    let metadata = open.reader_metadata.metadata();
    plan.row_group_indexes().filter(|&group| !matched[group]).any(|group| {
        metadata.row_group(group).columns().iter().any(|column| {
            column.column_index_offset().is_some() && column.offset_index_offset().is_some()
        })
    })
}

async fn load_page_index(
    open: &mut OpenFile,
    reader: &mut Reader,
    options: ArrowReaderOptions,
) -> Result<()> {
    let metadata = open.reader_metadata.metadata();
    if metadata.column_index().is_some() && metadata.offset_index().is_some() {
        return Ok(());
    }
    let mut loader = ParquetMetaDataReader::new_with_metadata(metadata.as_ref().clone())
        .with_page_index_policy(PageIndexPolicy::Optional);
    loader.load_page_index(reader).await?;
    let metadata = Arc::new(loader.finish()?);
    let options = options.with_page_index_policy(PageIndexPolicy::Optional);
    open.reader_metadata = ArrowReaderMetadata::try_new(metadata, options)?;
    Ok(())
}

/// The Bloom filters that `predicate` can use, per row group. One that cannot be read is left out.
async fn bloom_filters(
    open: &OpenFile,
    predicate: &PruningPredicate,
    plan: &RowGroupAccessPlanFilter,
) -> Result<Vec<BloomFilterStatistics>> {
    let metadata = &open.reader_metadata;
    let mut filters = vec![BloomFilterStatistics::new(); metadata.metadata().num_row_groups()];
    let schema = metadata.parquet_schema();
    let columns: Vec<(String, usize)> = predicate
        .literal_columns()
        .into_iter()
        .filter_map(|name| {
            let (leaf, _) = parquet_column(schema, &open.schema, &name)?;
            Some((name, leaf))
        })
        .collect();
    let has_any = plan.row_group_indexes().any(|group| {
        let group = metadata.metadata().row_group(group);
        columns.iter().any(|(_, leaf)| group.column(*leaf).bloom_filter_offset().is_some())
    });
    if !has_any {
        return Ok(filters);
    }
    let mut builder =
        ParquetRecordBatchStreamBuilder::new_with_metadata(open.reader()?, metadata.clone());
    for group in plan.row_group_indexes() {
        for (name, leaf) in &columns {
            match builder.get_row_group_column_bloom_filter(group, *leaf).await {
                Ok(Some(filter)) => {
                    let column = schema.column(*leaf);
                    let (of, length) = (column.physical_type(), column.type_length());
                    filters[group].insert(name, filter, of, length);
                }
                Ok(None) => {}
                Err(_) => open.metrics.predicate_evaluation_errors.add(1),
            }
        }
    }
    Ok(filters)
}
