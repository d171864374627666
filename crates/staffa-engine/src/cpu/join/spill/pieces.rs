//! A spilled partition that is read piece by piece, because it does not fit as a whole.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion_common::Result;
use datafusion_execution::SendableRecordBatchStream;
use datafusion_execution::memory_pool::MemoryLimit;
use futures::StreamExt;
use tokio::sync::OnceCell;

use super::super::columns::{BuildColumn, BuildColumns};
use super::super::lookup::KeyPlan;
use super::super::seal::{MOST_ROWS, Rows, make, table_bytes};
use super::super::state::{Countdown, JoinState};
use super::super::table::JoinTable;
use super::Spilled;
use super::load::roughly;
use super::split::batch_bytes;

/// A piece takes this part of the pool without asking, within bounds: each piece is one more pass over
/// the probe rows, so small ones would take forever.
const LEAST_PART: usize = 64;
const LEAST_BYTES: std::ops::RangeInclusive<usize> = 32 << 10..=64 << 20;

/// Reads the build rows of a partition.
pub(super) struct Pieces {
    spilled: Arc<Spilled>,
    at: usize,
    stream: SendableRecordBatchStream,
    next: Option<RecordBatch>,
    /// Rows before the next piece.
    base: usize,
}

impl Pieces {
    /// From the first row of partition `at`.
    pub(super) async fn open(spilled: &Arc<Spilled>, at: usize) -> Result<Self> {
        let stored = &spilled.partition(at)?.rows;
        let mut stream = stored.read(spilled.shared.spill_manager())?;
        let next = stream.next().await.transpose()?;
        Ok(Self { spilled: Arc::clone(spilled), at, stream, next, base: 0 })
    }

    /// Whether there is nothing more.
    pub(super) fn ended(&self) -> bool {
        self.next.is_none()
    }

    /// The table of as many of the next rows as fit; nothing at the end.
    pub(super) async fn table(&mut self) -> Result<Option<Arc<JoinState>>> {
        let spilled = Arc::clone(&self.spilled);
        let context = Arc::clone(&spilled.shared.context);
        let reservation = context.reservation("StaffaJoinPiece");
        let least = least_bytes(context.task.memory_pool().memory_limit());
        let (mut batches, mut rows) = (Vec::new(), 0);
        while let Some(batch) = &self.next {
            context.cancel.check()?;
            let more = batch.num_rows();
            let bytes = batch_bytes(batch) + roughly(more);
            if !batches.is_empty()
                && (rows + more > MOST_ROWS
                    || (reservation.size() + bytes > least && reservation.try_grow(bytes).is_err()))
            {
                break;
            }
            if reservation.size() + bytes <= least || batches.is_empty() {
                reservation.grow(bytes);
            }
            rows += more;
            batches.extend(self.next.take());
            self.next = self.stream.next().await.transpose()?;
        }
        if batches.is_empty() {
            return Ok(None);
        }
        let visited = self.visited(rows)?;
        self.base += rows;
        let work = move || {
            let shared = &spilled.shared;
            let prepaid = table_bytes(shared, &batches, rows)?;
            reservation.grow(prepaid.saturating_sub(roughly(rows)));
            let rows = Rows { batches, rows, reservation, prepaid };
            Ok(make(shared, rows, visited, &spilled.seen)?.state)
        };
        context.runtime.compute(work).await.map(Some)
    }

    /// The next rows without a table, to be put out; nothing at the end.
    pub(super) async fn rows(&mut self) -> Result<Option<Arc<JoinState>>> {
        let shared = &self.spilled.shared;
        let Some(batch) = self.next.take() else {
            return Ok(None);
        };
        self.next = self.stream.next().await.transpose()?;
        let rows = batch.num_rows();
        let visited = self.visited(rows)?;
        self.base += rows;
        let key_nulls = match (shared.spec.null_aware, shared.key_places.first()) {
            (true, Some(&place)) => batch.column(place).nulls().cloned(),
            _ => None,
        };
        let kept = batch.columns().iter().take(shared.kept.len());
        let columns = kept.map(|column| BuildColumn::One(Arc::clone(column))).collect();
        let reservation = shared.context.reservation("StaffaJoinPiece");
        reservation.grow(batch_bytes(&batch));
        Ok(Some(Arc::new(JoinState {
            columns: BuildColumns::new(columns, rows),
            // A batch has fewer rows than u32::MAX.
            rows: rows as u32,
            table: JoinTable::empty(),
            keys: KeyPlan::None,
            visited,
            key_nulls,
            seen: Arc::clone(&self.spilled.seen),
            device_keys: None,
            on_device: OnceCell::new(),
            lanes: Countdown::default(),
            _reservation: reservation,
        })))
    }

    fn visited(&self, rows: usize) -> Result<Option<super::Visited>> {
        let visited = self.spilled.partition(self.at)?.visited.as_ref();
        Ok(visited.map(|visited| visited.part(self.base, rows)))
    }
}

fn least_bytes(limit: MemoryLimit) -> usize {
    let part = match limit {
        MemoryLimit::Finite(bytes) => bytes / LEAST_PART,
        MemoryLimit::Infinite | MemoryLimit::Unknown => *LEAST_BYTES.end(),
    };
    part.clamp(*LEAST_BYTES.start(), *LEAST_BYTES.end())
}
