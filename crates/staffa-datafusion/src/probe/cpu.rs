//! A core's side of the probe.

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::filter_record_batch;
use datafusion::common::DataFusionError;
use staffa_common::StaffaError;
use staffa_parquet::{ColumnReader, Selection};

use super::shortest;
use super::work::{COLUMNS, OPERATIONS, ROWS, Work, datafusion_fault};

/// As the CPU engine's default.
const MORSEL_ROWS: u64 = 16_384;
const RUNS: usize = 3;

/// What a core takes.
pub(super) struct Core {
    /// For decoding a value.
    pub(super) value_ns: f64,
    /// For an operation on a row.
    pub(super) operation_ns: f64,
}

pub(super) fn measure(work: &Work) -> Result<Core, StaffaError> {
    let decode_ns = shortest(RUNS, || decode(work).map(drop))?;
    let morsels = decode(work)?;
    let compute_ns = shortest(RUNS, || {
        morsels.iter().try_for_each(|morsel| compute(work, morsel)).map_err(datafusion_fault)
    })?;
    Ok(Core {
        value_ns: decode_ns / (ROWS * COLUMNS) as f64,
        operation_ns: compute_ns / (ROWS * OPERATIONS) as f64,
    })
}

fn decode(work: &Work) -> Result<Vec<RecordBatch>, StaffaError> {
    let mut readers = work
        .chunks()?
        .enumerate()
        .map(|(at, (chunk, bytes))| ColumnReader::new(chunk, bytes, &work.options(at)))
        .collect::<staffa_parquet::Result<Vec<_>>>()?;
    let mut morsels = Vec::new();
    for rows in Selection::all(ROWS as u64).batches(MORSEL_ROWS) {
        let columns = readers
            .iter_mut()
            .map(|reader| reader.decode(&rows)?.into_array())
            .collect::<staffa_parquet::Result<Vec<_>>>()?;
        let batch = RecordBatch::try_new(work.schema.clone(), columns);
        morsels.push(batch.map_err(|error| datafusion_fault(error.into()))?);
    }
    Ok(morsels)
}

fn compute(work: &Work, morsel: &RecordBatch) -> Result<(), DataFusionError> {
    let mask = work.filter.evaluate(morsel)?.into_array(morsel.num_rows())?;
    let kept = filter_record_batch(morsel, mask.as_boolean())?;
    work.output.evaluate(&kept)?;
    Ok(())
}
