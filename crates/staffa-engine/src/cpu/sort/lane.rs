//! One lane's part of a sort: collects rows, and spills them as sorted runs when memory ends.

use std::any::Any;
use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion_common::{DataFusionError, Result};
use datafusion_execution::memory_pool::MemoryReservation;

use super::Shared;
use super::run::{Run, write_run};
use super::top::{Top, TopContext};
use crate::Morsel;
use crate::cpu::compact::{Compactor, release_views};
use crate::engine::SinkLocal;

/// A lane holds as much even if the memory pool has nothing left, provided that it can spill.
const RUN_BYTES: usize = 1 << 20;

/// What a lane collects.
enum Rows {
    /// All rows.
    All { compactor: Compactor, batches: Vec<RecordBatch> },
    /// The first K.
    First(Top, Arc<TopContext>),
}

/// A lane's state.
pub(super) struct SortLocal {
    shared: Arc<Shared>,
    rows: Rows,
    reservation: MemoryReservation,
    runs: Vec<Run>,
}

/// What a lane leaves for the seal.
pub(super) struct Collected {
    pub(super) batches: Vec<RecordBatch>,
    pub(super) reservation: MemoryReservation,
    pub(super) runs: Vec<Run>,
}

impl SortLocal {
    /// A state that collects all rows, or the first ones only when `top` is set.
    pub(super) fn new(shared: &Arc<Shared>, top: Option<Arc<TopContext>>) -> Self {
        let rows = match top {
            Some(context) => Rows::First(Top::new(&shared.keys), context),
            None => Rows::All {
                compactor: Compactor::new(
                    Arc::clone(&shared.schema),
                    shared.context.morsel_rows,
                    None,
                ),
                batches: Vec::new(),
            },
        };
        Self {
            rows,
            reservation: shared.reservation("StaffaSort"),
            shared: Arc::clone(shared),
            runs: Vec::new(),
        }
    }

    /// What was collected. When `spill` is set, all of it as runs.
    ///
    /// # Errors
    /// Out of memory or disk.
    pub(super) async fn finish(mut self, spill: bool) -> Result<Collected> {
        self.end().await?;
        if spill {
            self.spill().await?;
        }
        let batches = self.take()?;
        Ok(Collected { batches, reservation: self.reservation, runs: self.runs })
    }

    /// Whether some of it is on disk.
    pub(super) fn has_spilled(&self) -> bool {
        !self.runs.is_empty()
    }

    /// Nothing more comes: holds what was still too sparse to be held.
    pub(super) async fn end(&mut self) -> Result<()> {
        if let Rows::All { compactor, .. } = &mut self.rows {
            compactor.end();
        }
        self.drain().await
    }

    async fn drain(&mut self) -> Result<()> {
        loop {
            let Rows::All { compactor, .. } = &mut self.rows else {
                return Ok(());
            };
            let Some(morsel) = compactor.next()? else {
                return Ok(());
            };
            let batch = release_views(morsel.into_batch(&self.shared.schema)?)?;
            self.hold(batch).await?;
        }
    }

    async fn hold(&mut self, batch: RecordBatch) -> Result<()> {
        let bytes = self.shared.footprint.sorting(&batch);
        if let Err(error) = self.reservation.try_grow(bytes) {
            if !self.shared.may_spill() {
                return Err(out_of_memory(error));
            }
            if self.reservation.size() > RUN_BYTES {
                self.spill().await?;
            }
            if self.reservation.try_grow(bytes).is_err() {
                // Others have it all. The batch is here already, and runs of single batches
                // would be many: a little more is held than there should be.
                self.reservation.grow(bytes);
            }
        }
        if let Rows::All { batches, .. } = &mut self.rows {
            batches.push(batch);
        }
        Ok(())
    }

    /// Accounts for what a top-K holds.
    async fn account(&mut self) -> Result<()> {
        for compacted in [false, true] {
            let Rows::First(top, context) = &mut self.rows else {
                return Ok(());
            };
            if compacted {
                top.compact(context)?;
            }
            let done = self.reservation.try_resize(top.bytes());
            match done {
                Ok(()) => return Ok(()),
                Err(error) if compacted && !self.shared.may_spill() => {
                    return Err(out_of_memory(error));
                }
                Err(_) => {}
            }
        }
        self.spill().await
    }

    fn take(&mut self) -> Result<Vec<RecordBatch>> {
        match &mut self.rows {
            Rows::All { batches, .. } => Ok(std::mem::take(batches)),
            Rows::First(top, context) => {
                top.compact(context)?;
                Ok(top.take())
            }
        }
    }

    /// Sorts what is held, writes it to disk and lets go of it.
    async fn spill(&mut self) -> Result<()> {
        let batches = self.take()?;
        if !batches.is_empty() {
            let shared = Arc::clone(&self.shared);
            let run =
                self.shared.context.runtime.compute(move || write_run(&shared, batches)).await?;
            self.runs.extend(run);
        }
        self.reservation.free();
        Ok(())
    }
}

/// Says what can be done about it.
fn out_of_memory(error: DataFusionError) -> DataFusionError {
    error.context(
        "Not enough memory to sort, and no disk to spill to. Consider a higher \
         'datafusion.runtime.memory_limit'",
    )
}

#[async_trait]
impl SinkLocal for SortLocal {
    async fn push(&mut self, morsel: Morsel) -> Result<()> {
        if self.done() {
            return Ok(());
        }
        match &mut self.rows {
            Rows::All { compactor, .. } => {
                compactor.push(morsel)?;
                self.drain().await
            }
            Rows::First(top, context) => {
                if top.push(&morsel, context)? {
                    self.account().await?;
                }
                Ok(())
            }
        }
    }

    fn done(&self) -> bool {
        self.shared.fetch == Some(0)
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}
