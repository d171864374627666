//! Which output a row goes to, and the batches for each output.
//!
//! A producer holds a few morsels and, per output, the places of its rows in them. When the rows
//! are about a batch for every output, each output's rows are gathered, once, from all the morsels: numbers by
//! reading the morsels in order, the rest by their places.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::interleave;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use datafusion_common::hash_utils::create_hashes;
use datafusion_common::{DataFusionError, Result};
use datafusion_execution::memory_pool::MemoryReservation;
use datafusion_physical_expr_common::physical_expr::PhysicalExpr;
use datafusion_physical_plan::repartition::REPARTITION_RANDOM_STATE;
use datafusion_physical_plan::spill::get_record_batch_memory_size;

use super::scatter::scatter;
use crate::bound::BoundExpr;
use crate::cpu::compact::release_views;
use crate::cpu::sort::gather::Gather;
use crate::{Morsel, RunContext};

/// Outputs beyond this number get smaller batches, or a producer would hold too much.
const FULL_OUTPUTS: usize = 16;

/// Distributes one lane's rows.
pub(super) struct Partitioner {
    keys: Vec<BoundExpr>,
    schema: SchemaRef,
    batch_rows: usize,
    full_rows: usize,
    hashes: Vec<u64>,
    held: Vec<RecordBatch>,
    held_rows: usize,
    /// Of each batch held the output of every row.
    outputs: Vec<Vec<u32>>,
    /// Per output the number of its rows.
    counts: Vec<usize>,
    reservation: MemoryReservation,
    /// The memory pool refused: what is held should go on.
    pressed: bool,
}

impl Partitioner {
    /// For morsels of `schema`.
    ///
    /// # Errors
    /// Keys that do not bind.
    pub(super) fn new(
        keys: &[Arc<dyn PhysicalExpr>],
        partitions: usize,
        schema: &SchemaRef,
        context: &RunContext,
    ) -> Result<Self> {
        let batch_rows = context.batch_size().max(1);
        Ok(Self {
            keys: BoundExpr::all(keys, schema)?,
            schema: Arc::clone(schema),
            batch_rows,
            full_rows: batch_rows * partitions.min(FULL_OUTPUTS),
            hashes: Vec::new(),
            held: Vec::new(),
            held_rows: 0,
            outputs: Vec::new(),
            counts: vec![0; partitions],
            reservation: context.reservation("StaffaExchange"),
            pressed: false,
        })
    }

    /// Takes a morsel.
    ///
    /// # Errors
    /// What the keys raise.
    pub(super) fn add(&mut self, morsel: Morsel) -> Result<()> {
        let rows = morsel.rows();
        if rows == 0 {
            return Ok(());
        }
        let arrays =
            self.keys.iter().map(|key| key.array(&morsel)).collect::<Result<Vec<ArrayRef>>>()?;
        self.hashes.clear();
        self.hashes.resize(rows, 0);
        create_hashes(&arrays, REPARTITION_RANDOM_STATE.random_state(), &mut self.hashes)?;
        let batch = morsel.into_batch(&self.schema)?;
        let bytes = get_record_batch_memory_size(&batch);
        self.pressed |= self.reservation.try_grow(bytes).is_err();
        self.pick();
        self.held.push(batch);
        self.held_rows += rows;
        Ok(())
    }

    /// Deals the rows that were hashed last to the outputs.
    fn pick(&mut self) {
        let partitions = self.counts.len() as u64;
        let hashes = self.hashes.iter();
        let outputs: Vec<u32> = match partitions.is_power_of_two() {
            true => hashes.map(|hash| (hash & (partitions - 1)) as u32).collect(),
            false => hashes.map(|hash| (hash % partitions) as u32).collect(),
        };
        for &output in &outputs {
            self.counts[output as usize] += 1;
        }
        self.outputs.push(outputs);
    }

    /// Whether any rows are held.
    pub(super) fn holds_rows(&self) -> bool {
        self.held_rows > 0
    }

    /// Whether it is time to pass on what is held.
    pub(super) fn is_full(&self) -> bool {
        self.held_rows >= self.full_rows || (self.pressed && self.held_rows > 0)
    }

    /// What is held, as batches per output; nothing for outputs that are not `wanted`.
    ///
    /// # Errors
    /// Arrow's.
    pub(super) fn take(
        &mut self,
        wanted: impl Fn(usize) -> bool,
    ) -> Result<Vec<(usize, RecordBatch)>> {
        let most = self.batch_rows + self.batch_rows / 2;
        let out = match self.counts.iter().all(|&rows| rows <= most) {
            true => match self.scattered(&wanted) {
                // Offsets or dictionary keys that would not do for all of an output's rows.
                Err(error) if overflows(&error) => self.gathered(wanted, most)?,
                out => out?,
            },
            false => self.gathered(wanted, most)?,
        };
        self.held.clear();
        self.held_rows = 0;
        self.outputs.clear();
        self.counts.fill(0);
        self.pressed = false;
        self.reservation.free();
        Ok(out)
    }

    /// A batch an output.
    fn scattered(&self, wanted: impl Fn(usize) -> bool) -> Result<Vec<(usize, RecordBatch)>> {
        let mut columns: Vec<Vec<ArrayRef>> = vec![Vec::new(); self.counts.len()];
        let mut picks = None;
        for at in 0..self.schema.fields().len() {
            let arrays: Vec<&dyn Array> =
                self.held.iter().map(|batch| batch.column(at).as_ref()).collect();
            match scatter(&arrays, &self.outputs, &self.counts) {
                Some(arrays) => {
                    for (columns, array) in columns.iter_mut().zip(arrays) {
                        columns.push(array);
                    }
                }
                None => {
                    let picks = picks.get_or_insert_with(|| self.picks());
                    for ((columns, picks), output) in columns.iter_mut().zip(picks).zip(0..) {
                        if wanted(output) && !picks.is_empty() {
                            columns.push(interleave(&arrays, picks)?);
                        }
                    }
                }
            }
        }
        let some = columns.into_iter().zip(&self.counts).enumerate();
        some.filter(|(output, (_, rows))| **rows > 0 && wanted(*output))
            .map(|(output, (columns, &rows))| {
                let options = RecordBatchOptions::new().with_row_count(Some(rows));
                let schema = Arc::clone(&self.schema);
                let batch = RecordBatch::try_new_with_options(schema, columns, &options)?;
                Ok((output, release_views(batch)?))
            })
            .collect()
    }

    /// As few batches an output as can be of at most `most` rows.
    fn gathered(
        &self,
        wanted: impl Fn(usize) -> bool,
        most: usize,
    ) -> Result<Vec<(usize, RecordBatch)>> {
        let gather = Gather::new(&self.schema, self.held.iter());
        let mut out = Vec::with_capacity(self.counts.len());
        let mut batches = Vec::new();
        for (output, picks) in self.picks().into_iter().enumerate() {
            if !picks.is_empty() && wanted(output) {
                let count = picks.len().div_ceil(most);
                for chunk in picks.chunks(picks.len().div_ceil(count)) {
                    gather.take(chunk, &mut batches)?;
                }
                out.extend(batches.drain(..).map(|batch| (output, batch)));
            }
        }
        Ok(out)
    }

    /// Per output its rows: batch among those held, row.
    fn picks(&self) -> Vec<Vec<(usize, usize)>> {
        let mut picks: Vec<Vec<(usize, usize)>> =
            self.counts.iter().map(|&rows| Vec::with_capacity(rows)).collect();
        for (batch, outputs) in self.outputs.iter().enumerate() {
            for (row, &output) in outputs.iter().enumerate() {
                picks[output as usize].push((batch, row));
            }
        }
        picks
    }
}

fn overflows(error: &DataFusionError) -> bool {
    let DataFusionError::ArrowError(error, _) = error else { return false };
    matches!(
        error.as_ref(),
        ArrowError::OffsetOverflowError(_) | ArrowError::DictionaryKeyOverflowError
    )
}
