//! Top-Ks that read most columns for the rows that are left only.
//!
//! `SELECT * .. WHERE .. ORDER BY x LIMIT 10` needs the columns of the filter and of the order to find ten rows, and
//! the others of those ten. Where a top-K stands right above a scan, the scan gives the first kind and where each row
//! lies; the second kind is fetched once the top-K is sealed ([`Source::Fetched`]).

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion_common::{Result, internal_err};
use datafusion_physical_expr::expressions::Column;
use datafusion_physical_expr::utils::collect_columns;
use datafusion_physical_expr_common::physical_expr::PhysicalExpr;
use datafusion_physical_expr_common::sort_expr::{LexOrdering, PhysicalSortExpr};

use super::{Draft, holds};
use crate::plan::{LateColumn, LateColumns, OpKind, Place, ProjectSpec, SortSpec, Source};

type Expr = Arc<dyn PhysicalExpr>;

/// Rows that are fetched one by one at most: each may lie in another page of every column.
const MOST_ROWS: usize = 256;
/// Columns for which it is worth opening files a second time.
const LEAST_COLUMNS: usize = 8;
/// Rows of a scan from which on it is.
const LEAST_ROWS: u64 = 1 << 17;
/// Rows of a scan for each that is fetched: about as many as stand in a page, or most pages are read in any case.
/// (TPC-H's `orders`, 1.5 M rows of 9 columns, by o_totalprice LIMIT 100: 85 ms in one step, 95 in two.)
const ROWS_A_FETCH: u64 = 1 << 14;

/// What becomes of a top-K whose input is read in two steps.
pub(super) struct Late {
    /// Over the columns that are read at once.
    pub(super) spec: Arc<SortSpec>,
    /// What its rows come to in the end.
    pub(super) columns: Arc<LateColumns>,
}

/// Has the scan below `spec` read only what finds the rows, if that pays.
///
/// # Errors
/// Internal ones.
pub(super) fn split(draft: &mut Draft, spec: &SortSpec) -> Result<Option<Late>> {
    let Some(origins) = origins(draft) else { return Ok(None) };
    let Some(fetch) = spec.fetch.filter(|fetch| (1..=MOST_ROWS).contains(fetch)) else {
        return Ok(None);
    };
    let Source::Scan(scan, request) = &mut draft.source else { return Ok(None) };
    let plain = request.output.is_none()
        && request.aggregate.is_none()
        && request.behind.is_none()
        && matches!(request.place, Place::Cpu)
        && scan.shares()
        && !scan.computes();
    let least = LEAST_ROWS.max(fetch as u64 * ROWS_A_FETCH);
    if !plain || spec.device.is_some() || scan.rows().is_none_or(|rows| rows < least) {
        return Ok(None);
    }
    let mut held = Vec::new();
    for key in spec.ordering.iter() {
        for column in collect_columns(&key.expr) {
            match origins.get(column.index()) {
                Some(&origin) => held.push(origin),
                None => return internal_err!("a sort by {column}, which is not there"),
            }
        }
    }
    // What the filter reads is decoded in any case.
    let filtered = request.filter.iter().flat_map(collect_columns).map(|column| column.index());
    held.extend(filtered.filter(|origin| origins.contains(origin)));
    held.sort_unstable();
    held.dedup();
    let mut read: Vec<usize> =
        origins.iter().copied().filter(|origin| held.binary_search(origin).is_err()).collect();
    read.sort_unstable();
    read.dedup();
    if read.len() < LEAST_COLUMNS {
        return Ok(None);
    }
    let columns = origins.iter().map(|origin| match held.binary_search(origin) {
        Ok(at) => LateColumn::Held(at),
        // Each is one or the other.
        Err(_) => LateColumn::Read(read.partition_point(|read| read < origin)),
    });
    let columns = columns.collect();
    let narrow = narrow(&draft.source_schema, &held);
    let over = |&origin: &usize| {
        let field = draft.source_schema.field(origin);
        Arc::new(Column::new(field.name(), origin)) as Expr
    };
    request.output = Some(held.iter().map(over).collect());
    request.located = true;
    let ordering = moved(&spec.ordering, &origins, &held)?;
    for op in &mut draft.ops {
        let exprs = narrow.fields().iter().enumerate();
        let exprs = exprs.map(|(at, field)| Arc::new(Column::new(field.name(), at)) as Expr);
        op.kind = OpKind::Project(Arc::new(ProjectSpec { exprs: exprs.collect() }));
        op.input = Arc::clone(&narrow);
        op.schema = Arc::clone(&narrow);
    }
    draft.source_schema = Arc::clone(&narrow);
    draft.schema = narrow;
    let told = spec.ordering.clone();
    let spec = Arc::new(SortSpec { ordering, told: Some(told), ..spec.clone() });
    Ok(Some(Late { spec, columns: Arc::new(LateColumns { columns, read }) }))
}

/// The scan's column that each of a draft's columns is; `None` where operators do more than pick.
fn origins(draft: &Draft) -> Option<Vec<usize>> {
    let mut origins: Vec<usize> = (0..draft.source_schema.fields().len()).collect();
    for op in &draft.ops {
        match &op.kind {
            OpKind::Filter(spec) if holds(spec) => {
                if let Some(projection) = &spec.projection {
                    origins = pick(&origins, projection.iter().copied())?;
                }
            }
            OpKind::Project(spec) => {
                let columns = spec.exprs.iter().map(|expr| expr.downcast_ref::<Column>());
                let columns: Option<Vec<usize>> =
                    columns.map(|column| column.map(Column::index)).collect();
                origins = pick(&origins, columns?.into_iter())?;
            }
            _ => return None,
        }
    }
    Some(origins)
}

fn pick(origins: &[usize], columns: impl Iterator<Item = usize>) -> Option<Vec<usize>> {
    columns.map(|column| origins.get(column).copied()).collect()
}

/// The columns that are read at once, and where a row lies.
fn narrow(schema: &SchemaRef, held: &[usize]) -> SchemaRef {
    let place = Arc::new(Field::new("place", DataType::UInt64, false));
    let fields = held.iter().map(|&at| Arc::clone(&schema.fields()[at])).chain([place]);
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// `ordering`, which is over columns of these origins, over the columns `held`.
fn moved(ordering: &LexOrdering, origins: &[usize], held: &[usize]) -> Result<LexOrdering> {
    let over = |expr: &Expr| {
        Arc::clone(expr)
            .transform_up(|node| {
                let Some(column) = node.downcast_ref::<Column>() else {
                    return Ok(Transformed::no(node));
                };
                let origin = origins.get(column.index());
                match origin.and_then(|origin| held.binary_search(origin).ok()) {
                    Some(at) => {
                        let column: Expr = Arc::new(Column::new(column.name(), at));
                        Ok(Transformed::yes(column))
                    }
                    None => internal_err!("a sort by {column}, which is not held"),
                }
            })
            .data()
    };
    let keys = ordering
        .iter()
        .map(|key| Ok(PhysicalSortExpr { expr: over(&key.expr)?, options: key.options }));
    match LexOrdering::new(keys.collect::<Result<Vec<_>>>()?) {
        Some(ordering) => Ok(ordering),
        None => internal_err!("a sort without keys"),
    }
}
