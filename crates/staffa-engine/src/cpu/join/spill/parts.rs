//! The build rows of one lane once memory has run out: by partition, in memory or on disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::concat_batches;
use datafusion_common::{DataFusionError, Result};
use datafusion_execution::memory_pool::MemoryReservation;

use super::super::build::Shared;
use super::files::{Files, Stored};
use super::split::{Split, batch_bytes};

/// Rows that are split at a time: some thousands for each partition, so that files are read in
/// batches worth having.
const SPLIT_ROWS: usize = 1 << 16;

/// Bytes that are split at a time, where rows are long.
const SPLIT_BYTES: usize = 16 << 20;

/// Which partitions go to disk: what one lane has written, the others write, too.
pub(in super::super) struct Flags(Vec<AtomicBool>);

impl Flags {
    pub(in super::super) fn new(partitions: usize) -> Arc<Self> {
        Arc::new(Self((0..partitions).map(|_| AtomicBool::new(false)).collect()))
    }

    /// Number of partitions.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    // Relaxed: a lane that learns of a flag late keeps rows in memory until the end.
    pub(super) fn get(&self, partition: usize) -> bool {
        self.0[partition].load(Ordering::Relaxed)
    }

    fn set(&self, partition: usize) {
        self.0[partition].store(true, Ordering::Relaxed);
    }
}

/// A partition's rows in memory.
#[derive(Default)]
pub(super) struct Held {
    pub(super) batches: Vec<RecordBatch>,
    pub(super) rows: usize,
    pub(super) bytes: usize,
}

/// See the module.
pub(in super::super) struct Parts {
    shared: Arc<Shared>,
    pub(super) flags: Arc<Flags>,
    /// Rows that are not split yet, and what is reserved for them.
    pending: Vec<RecordBatch>,
    pending_rows: usize,
    pending_bytes: usize,
    pub(super) held: Vec<Held>,
    files: Files,
    pub(super) reservation: MemoryReservation,
}

impl Parts {
    /// Parts without rows; `reservation` is an empty one.
    pub(in super::super) fn new(
        shared: &Arc<Shared>,
        flags: &Arc<Flags>,
        reservation: MemoryReservation,
    ) -> Self {
        Self {
            shared: Arc::clone(shared),
            flags: Arc::clone(flags),
            pending: Vec::new(),
            pending_rows: 0,
            pending_bytes: 0,
            held: (0..flags.len()).map(|_| Held::default()).collect(),
            files: Files::new(shared.spill_manager().clone(), flags.len()),
            reservation,
        }
    }

    /// Takes the rows that a lane held before, for which `held` accounts.
    pub(in super::super) fn take_over(
        &mut self,
        batches: Vec<RecordBatch>,
        held: &MemoryReservation,
    ) -> Result<()> {
        let each = held.size() / batches.len().max(1);
        for batch in batches {
            // Gives way to the copies bit by bit.
            held.shrink(each.min(held.size()));
            self.push(batch)?;
        }
        held.free();
        Ok(())
    }

    /// Takes rows. Never fails for want of memory.
    pub(in super::super) fn push(&mut self, batch: RecordBatch) -> Result<()> {
        let bytes = batch_bytes(&batch);
        let fits = self.reservation.try_grow(bytes).is_ok();
        self.pending_bytes += if fits { bytes } else { 0 };
        self.pending_rows += batch.num_rows();
        self.pending.push(batch);
        let more = self.pending_rows < SPLIT_ROWS && self.pending_bytes < SPLIT_BYTES;
        match fits && more {
            true => Ok(()),
            false => self.split(),
        }
    }

    /// Splits the rows that wait for it.
    pub(super) fn split(&mut self) -> Result<()> {
        let pending = std::mem::take(&mut self.pending);
        self.pending_rows = 0;
        self.reservation.shrink(std::mem::take(&mut self.pending_bytes));
        let joined = match pending.len() {
            0 | 1 => pending,
            // Together the values may be too many for a dictionary's keys.
            _ => match concat_batches(&self.shared.schema, &pending) {
                Ok(batch) => vec![batch],
                Err(_) => pending,
            },
        };
        joined.into_iter().try_for_each(|batch| self.split_batch(&batch))
    }

    fn split_batch(&mut self, batch: &RecordBatch) -> Result<()> {
        self.shared.context.cancel.check()?;
        let keys: Vec<ArrayRef> =
            self.shared.key_places.iter().map(|&place| Arc::clone(batch.column(place))).collect();
        let types = self.shared.key_types();
        let split = Split::new(&keys, &types, batch.num_rows(), self.flags.len())?;
        for partition in 0..self.flags.len() {
            if let Some(rows) = split.gather(batch, partition)? {
                self.add(partition, rows)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, partition: usize, rows: RecordBatch) -> Result<()> {
        let bytes = batch_bytes(&rows);
        loop {
            if self.flags.get(partition) {
                return self.files.write(partition, &rows);
            }
            match self.reservation.try_grow(bytes) {
                Ok(()) => {
                    let held = &mut self.held[partition];
                    held.rows += rows.num_rows();
                    held.bytes += bytes;
                    held.batches.push(rows);
                    return Ok(());
                }
                Err(error) if is_exhausted(&error) => {
                    let victim = self.victim().unwrap_or(partition);
                    self.evict(victim)?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The partition to write: one that goes to disk anyway, or else the largest.
    fn victim(&self) -> Option<usize> {
        let held = (0..self.held.len()).filter(|&at| self.held[at].bytes > 0);
        held.max_by_key(|&at| (self.flags.get(at), self.held[at].bytes))
    }

    /// Writes what is in memory of a partition, and from now on all of it.
    pub(super) fn evict(&mut self, partition: usize) -> Result<()> {
        self.flags.set(partition);
        let held = std::mem::take(&mut self.held[partition]);
        for batch in &held.batches {
            self.shared.context.cancel.check()?;
            self.files.write(partition, batch)?;
        }
        drop(held.batches);
        self.reservation.shrink(held.bytes);
        Ok(())
    }

    /// Rows of a partition on disk, and their bytes.
    pub(super) fn stored(&self, partition: usize) -> (usize, usize) {
        self.files.written(partition)
    }

    /// Ends the files: what is on disk of each partition.
    pub(super) fn finish(self) -> Result<Vec<Stored>> {
        self.files.finish()
    }
}

/// Whether memory (and nothing else) has run out.
pub(in super::super) fn is_exhausted(error: &DataFusionError) -> bool {
    matches!(error.find_root(), DataFusionError::ResourcesExhausted(_))
}
