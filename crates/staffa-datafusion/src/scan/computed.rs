//! Whether a device has a form of what the scan itself computes: DataFusion moves projections into it,
//! and with `pushdown_filters` predicates.

use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::physical_plan::{FileSource, ParquetSource};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{Column, DynamicFilterPhysicalExpr, Literal};
use staffa_common::Reason;
use staffa_engine::cuda::expression::lower;

/// Lowers the scan's own expressions over the table's columns, as each file's are when it is opened: so
/// that EXPLAIN does not promise a device that no file can use.
///
/// # Errors
/// Why the CPU has to run the scan.
pub(super) fn lowers(source: &ParquetSource) -> Result<(), Reason> {
    let table = source.table_schema().table_schema();
    let tested = source.table_parquet_options().global.pushdown_filters;
    // What a dynamic filter will be, nobody knows yet.
    if let Some(predicate) = source.filter().filter(|expr| tested && !is_dynamic(expr)) {
        lower(Some(&predicate), &[], table)?;
    }
    let plain = |expr: &Arc<dyn PhysicalExpr>| expr.is::<Column>() || expr.is::<Literal>();
    let outputs = source.projection().into_iter().flat_map(|projection| projection.iter());
    let outputs: Vec<_> = outputs.map(|output| Arc::clone(&output.expr)).collect();
    // One that has no form rides along with the others.
    let mut refused = None;
    for output in &outputs {
        match lower(None, std::slice::from_ref(output), table) {
            Err(reason) if !plain(output) => refused = Some(reason),
            _ => return Ok(()),
        }
    }
    refused.map_or(Ok(()), Err)
}

fn is_dynamic(expr: &Arc<dyn PhysicalExpr>) -> bool {
    let mut found = false;
    let walked = expr.apply(|node| {
        found = node.is::<DynamicFilterPhysicalExpr>();
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    found || walked.is_err()
}
