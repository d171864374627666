//! Rows of other sources than lanes of ours: batches of DataFusion's, and the columns of a top-K's rows that were not
//! read to find them.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{SchemaRef, UInt64Type};
use datafusion_common::{Result, internal_datafusion_err, internal_err};
use datafusion_execution::SendableRecordBatchStream;
use futures::{StreamExt, TryStreamExt};

use crate::plan::{LateColumn, LateColumns, ScanRun};
use crate::{LaneStream, Morsel};

/// The rows of `found`, which are of `schema` and end in their places, with all their columns, in the same order.
///
/// # Errors
/// What reading them raises.
pub(super) async fn fetched(
    found: LaneStream,
    schema: &SchemaRef,
    late: &LateColumns,
    run: Arc<dyn ScanRun>,
) -> Result<Morsel> {
    let found: Vec<Morsel> = found.try_collect().await?;
    let found = found.iter().map(|morsel| morsel.to_batch(schema)).collect::<Result<Vec<_>>>()?;
    let found = concat_batches(schema, &found)?;
    let rows = found.num_rows();
    let Some((places, held)) = found.columns().split_last() else {
        return internal_err!("rows without a place");
    };
    let Some(places) = places.as_primitive_opt::<UInt64Type>() else {
        return internal_err!("places of type {}", places.data_type());
    };
    let read = match rows {
        0 => return Ok(Morsel::from_arrays(Vec::new(), 0)),
        _ => run.fetch(places.clone(), late.read.clone()).await?,
    };
    let column = |column: &LateColumn| -> Result<ArrayRef> {
        let (columns, at) = match column {
            LateColumn::Held(at) => (held, at),
            LateColumn::Read(at) => (read.as_slice(), at),
        };
        columns.get(*at).cloned().ok_or_else(|| internal_datafusion_err!("no late column {at}"))
    };
    let columns = late.columns.iter().map(column).collect::<Result<Vec<_>>>()?;
    if columns.iter().any(|column| column.len() != rows) {
        return internal_err!("late columns have other rows");
    }
    Ok(Morsel::from_arrays(columns, rows))
}

/// The batches of a DataFusion stream as morsels.
pub(super) fn morsels(stream: SendableRecordBatchStream) -> LaneStream {
    Box::pin(stream.map(|batch| Ok(Morsel::from_batch(batch?))))
}
