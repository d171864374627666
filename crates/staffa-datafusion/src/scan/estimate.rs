//! Whether a device can make a scan's morsels, and what that costs, as far as the plan tells.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::physical_plan::{FileScanConfig, FileSource, ParquetSource};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use staffa_common::{Reason, ReasonCode};
use staffa_engine::cuda::cost::{JoinSize, ScanSize};
use staffa_engine::cuda::expression::{lower, storage};

use super::{bytes, sizes};

/// A row of a table whose statistics nobody gathered, per column that is read.
const GUESSED_VALUE_BYTES: f64 = 4.0;

/// See [`staffa_engine::plan::Scan::on_device`]. Files may still differ from the table: each is lowered
/// again when it is opened.
pub(super) fn on_device(
    config: &FileScanConfig,
    source: &ParquetSource,
    filter: Option<&Arc<dyn PhysicalExpr>>,
    output: Option<&[Arc<dyn PhysicalExpr>]>,
    threads: usize,
) -> Result<ScanSize, Reason> {
    if config.limit.is_some() {
        return Err(Reason::new(ReasonCode::ScanOption, "a limit stops early"));
    }
    let fault =
        |error: DataFusionError| Reason::new(ReasonCode::LoweringFault, error.strip_backtrace());
    let schema = config.projected_schema().map_err(fault)?;
    let columns: Vec<Arc<dyn PhysicalExpr>> = schema
        .fields()
        .iter()
        .enumerate()
        .map(|(at, field)| Arc::new(Column::new(field.name(), at)) as Arc<dyn PhysicalExpr>)
        .collect();
    let outputs = output.unwrap_or(&columns);
    // Columns without a device form ride along, where nothing is computed from them.
    let mut refused = None;
    let mut made = Vec::with_capacity(outputs.len());
    let mut riding = 0;
    for output in outputs {
        match decodes(output, &schema) {
            Ok(()) => made.push(Arc::clone(output)),
            Err(reason) if output.is::<Column>() => {
                refused = refused.or(Some(reason));
                riding += 1;
            }
            Err(reason) => return Err(reason),
        }
    }
    if let Some(filter) = filter {
        decodes(filter, &schema)?;
    }
    let lowered = lower(filter, &made, &schema)?;
    if lowered.columns().is_empty() {
        let none = || Reason::new(ReasonCode::ScanOption, "no column is read");
        return Err(refused.unwrap_or_else(none));
    }
    let operations = filter.into_iter().chain(&made).map(operations).sum::<usize>();
    let size = size(config, source, &made, &schema, lowered.columns().len(), threads);
    Ok(ScanSize { operations: operations as f64, riding: f64::from(riding), ..size })
}

/// Whether the device decodes all columns that an expression reads, as far as their types tell.
fn decodes(expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<(), Reason> {
    for column in collect_columns(expr) {
        let of = schema.fields().get(column.index()).map(|field| field.data_type());
        match of {
            Some(of) if storage(of).is_some() || is_wide(of) => {}
            Some(of) => {
                let what = format!("column {}: {of} is decoded on the host", column.name());
                return Err(Reason::new(ReasonCode::DataType, what));
            }
            None => return Err(Reason::new(ReasonCode::LoweringFault, "no such column")),
        }
    }
    Ok(())
}

/// Nodes of an expression that are no leaves.
fn operations(expr: &Arc<dyn PhysicalExpr>) -> usize {
    let children = expr.children();
    usize::from(!children.is_empty()) + children.into_iter().map(operations).sum::<usize>()
}

/// Types that pass through, wider than what expressions compute with.
fn is_wide(of: &DataType) -> bool {
    matches!(of, DataType::Decimal256(..) | DataType::FixedSizeBinary(_))
}

fn size(
    config: &FileScanConfig,
    source: &ParquetSource,
    outputs: &[Arc<dyn PhysicalExpr>],
    schema: &Schema,
    columns: usize,
    threads: usize,
) -> ScanSize {
    let files = || config.file_groups.iter().flat_map(|group| group.files());
    let in_files = source.table_schema().file_schema().fields().len().max(1);
    let file_bytes = files().map(|file| bytes(file) as f64).sum::<f64>()
        * (columns as f64 / in_files as f64).min(1.0);
    let rows = match config.statistics().num_rows.get_value() {
        Some(rows) => *rows as f64,
        None => file_bytes / (columns as f64 * GUESSED_VALUE_BYTES),
    };
    let width = |expr: &Arc<dyn PhysicalExpr>| {
        let of = expr.data_type(schema).ok();
        of.and_then(|of| of.primitive_width()).unwrap_or(4) as f64
    };
    ScanSize {
        rows,
        morsels: sizes::morsels(config, source, rows),
        columns: columns as f64,
        operations: 0.0,
        grouped: 0.0,
        riding: 0.0,
        file_bytes,
        output_row_bytes: outputs.iter().map(width).sum(),
        threads: threads as f64,
        joins: JoinSize::default(),
    }
}
