//! Which output a row goes to, and the batches for each output.
//!
//! A producer holds a few morsels and, per output, the places of its rows in them. When the rows
//! are about a batch for every output, each output's rows are gathered, once, from all the morsels.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use datafusion_common::Result;
use datafusion_common::hash_utils::create_hashes;
use datafusion_execution::memory_pool::MemoryReservation;
use datafusion_physical_expr_common::physical_expr::PhysicalExpr;
use datafusion_physical_plan::repartition::REPARTITION_RANDOM_STATE;
use datafusion_physical_plan::spill::get_record_batch_memory_size;

use crate::bound::BoundExpr;
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
    /// Per output its rows: batch among `held`, row.
    picks: Vec<Vec<(usize, usize)>>,
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
            picks: vec![Vec::new(); partitions],
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
        let batch = self.held.len();
        let outputs = self.picks.len() as u64;
        if outputs.is_power_of_two() {
            let mask = outputs - 1;
            for (row, hash) in self.hashes.iter().enumerate() {
                self.picks[(hash & mask) as usize].push((batch, row));
            }
        } else {
            for (row, hash) in self.hashes.iter().enumerate() {
                self.picks[(hash % outputs) as usize].push((batch, row));
            }
        }
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
        let gather = Gather::new(&self.schema, self.held.iter());
        let mut out = Vec::with_capacity(self.picks.len());
        let mut batches = Vec::new();
        for (output, picks) in self.picks.iter_mut().enumerate() {
            if !picks.is_empty() && wanted(output) {
                // As few batches as can be of at most one and a half times the usual size.
                let count = picks.len().div_ceil(self.batch_rows + self.batch_rows / 2);
                for chunk in picks.chunks(picks.len().div_ceil(count)) {
                    gather.take(chunk, &mut batches)?;
                }
                out.extend(batches.drain(..).map(|batch| (output, batch)));
            }
            picks.clear();
        }
        self.held.clear();
        self.held_rows = 0;
        self.pressed = false;
        self.reservation.free();
        Ok(out)
    }
}
