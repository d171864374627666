//! The order of rows that a device found, as places in batches.

use arrow::array::RecordBatch;
use datafusion_common::Result;
use rayon::prelude::*;

use super::Shared;
use super::parallel::{self, BUCKET_ROWS};
use crate::Morsel;
use crate::cuda::sort::OrderKey;

/// Rows of a step of [`Places`]: half of a usual batch.
const STEP_BITS: u32 = 12;

/// Sorts the rows of `batches`, on the device if the sort was given one that can. `finish` gets, part after part (but
/// in parallel), the rows' places in order; its results come back in order.
///
/// # Errors
/// What the keys or `finish` raise; "cancelled".
pub(super) fn sort<R: Send>(
    shared: &Shared,
    batches: &[RecordBatch],
    finish: impl Fn(&[(usize, usize)]) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let cancel = &shared.context.cancel;
    let Some(order) = order(shared, batches)? else {
        return parallel::sort(batches, &shared.keys, shared.fetch, cancel, finish);
    };
    let places = Places::of(batches);
    order
        .par_chunks(BUCKET_ROWS)
        .map(|rows| {
            cancel.check()?;
            let places: Vec<_> = rows.iter().map(|row| places.find(*row)).collect();
            finish(&places)
        })
        .collect()
}

/// The rows' numbers over all batches, in order.
fn order(shared: &Shared, batches: &[RecordBatch]) -> Result<Option<Vec<u32>>> {
    let Some(device) = &shared.device else { return Ok(None) };
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    if rows == 0 {
        return Ok(None);
    }
    let mut keys: Vec<OrderKey> = shared
        .ordering
        .iter()
        .map(|key| OrderKey { chunks: Vec::with_capacity(batches.len()), options: key.options })
        .collect();
    for batch in batches {
        shared.context.cancel.check()?;
        let arrays = shared.keys.arrays(&Morsel::from_batch(batch.clone()))?;
        for (key, array) in keys.iter_mut().zip(arrays) {
            key.chunks.push(array);
        }
    }
    let order = device.order(keys, shared.fetch, &shared.metrics);
    // A device is not trusted with the memory of the host.
    let wanted = shared.fetch.map_or(rows, |fetch| fetch.min(rows));
    let valid = |order: &Vec<u32>| {
        order.len() == wanted && order.par_iter().all(|row| (*row as usize) < rows)
    };
    Ok(order.filter(valid))
}

/// From a row's number over all batches to its batch and the number there.
struct Places {
    /// The first row of each batch, and behind the last one.
    starts: Vec<usize>,
    /// The batch of every so many-th row.
    steps: Vec<u32>,
}

impl Places {
    fn of(batches: &[RecordBatch]) -> Self {
        let mut starts = Vec::with_capacity(batches.len() + 1);
        let mut steps = Vec::new();
        let mut end = 0;
        starts.push(0);
        for (at, batch) in batches.iter().enumerate() {
            end += batch.num_rows();
            starts.push(end);
            while steps.len() << STEP_BITS < end {
                steps.push(at as u32);
            }
        }
        Self { starts, steps }
    }

    #[inline]
    fn find(&self, row: u32) -> (usize, usize) {
        let row = row as usize;
        let mut batch = self.steps[row >> STEP_BITS] as usize;
        while self.starts[batch + 1] <= row {
            batch += 1;
        }
        (batch, row - self.starts[batch])
    }
}
