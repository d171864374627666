//! Joins whose build side does not fit into memory.
//!
//! A hybrid hash join ([DeWitt et al., 1984](https://doi.org/10.1145/602259.602261)): when a reservation of
//! the build side fails, its rows are split into partitions by bits of their keys' hash, and the
//! largest partitions go to disk, as many as it takes.
//!
//! ```text
//!  build lanes ─► Local ─ no memory ─► Parts ┬─ in memory ─► JoinState, probed at once
//!                                            └─ files ─────► Spilled
//!  probe lane  ─► partition in memory? ┬─ yes ─► probed at once
//!                                      └─ no ──► files of this lane
//!      its end ─► for each spilled partition: load its table, probe it with the lane's rows
//! ```
//!
//! A lane goes through the spilled partitions by itself, so that each row comes out of the lane it came
//! into, and no lane waits for another one. Lanes that are at the same partition share its table. A
//! partition that does not fit even by itself (a single key may be larger than memory) is read in pieces,
//! and the lane's rows are probed with each of them: always some memory is taken for a piece, whatever
//! the pool says, so that it ends. Build rows that come out unmatched (or matched) do so from the last
//! lane to leave their partition.

mod divide;
mod files;
mod load;
mod parts;
mod passes;
mod pieces;
mod residents;
mod split;

use std::any::Any;
use std::sync::Arc;

use datafusion_common::{Result, internal_datafusion_err, internal_err};
use datafusion_execution::memory_pool::MemoryReservation;
use parking_lot::Mutex;

use super::build::Shared;
use super::seal::emits_build_rows;
use super::state::{Countdown, JoinState, Seen};
use super::visited::Visited;
use crate::engine::Sealed;
use crate::{LaneStream, Morsel};

pub(super) use divide::{Divide, ProbeColumns};
use files::Stored;
pub(super) use files::manager;
use load::Slot;
pub(super) use parts::{Flags, Parts, is_exhausted};
pub(super) use residents::{Settled, settle};
pub(super) use split::partitions;

/// A partition of the build side on disk.
struct Partition {
    rows: Stored,
    /// Which of its rows have matched, where the join type asks for it.
    visited: Option<Visited>,
    /// Lanes that are not done with it.
    lanes: Countdown,
    /// Its table, while some lane probes it.
    loaded: Mutex<Slot>,
}

/// The partitions on disk.
pub(super) struct Spilled {
    shared: Arc<Shared>,
    /// None for those in memory.
    partitions: Vec<Option<Partition>>,
    seen: Arc<Seen>,
    /// For the bitmaps.
    _reservation: MemoryReservation,
}

/// A sealed build side that is in part on disk.
pub(super) struct Hybrid {
    /// The partitions in memory, until all lanes have probed them.
    resident: Mutex<Option<Arc<JoinState>>>,
    pub(super) spilled: Arc<Spilled>,
}

impl Spilled {
    fn new(shared: &Arc<Shared>, stored: Vec<Stored>, seen: &Arc<Seen>) -> Self {
        let emits = emits_build_rows(shared.spec.join_type);
        let reservation = shared.context.reservation("StaffaJoinBuild");
        let partition = |rows: Stored| {
            let visited = (emits && rows.rows > 0).then(|| Visited::new(rows.rows));
            // A bit a row of what was too much for memory: it is accounted for, but never refused.
            reservation.grow(visited.as_ref().map_or(0, |_| Visited::bytes(rows.rows)));
            (rows.rows > 0).then(|| Partition {
                rows,
                visited,
                lanes: Countdown::default(),
                loaded: Mutex::default(),
            })
        };
        let partitions = stored.into_iter().map(partition).collect();
        Self {
            shared: Arc::clone(shared),
            partitions,
            seen: Arc::clone(seen),
            _reservation: reservation,
        }
    }

    /// Notes that `lanes` lanes go through the partitions.
    pub(super) fn share(&self, lanes: usize) {
        self.partitions.iter().flatten().for_each(|partition| partition.lanes.share(lanes));
    }

    /// Number of partitions.
    fn len(&self) -> usize {
        self.partitions.len()
    }

    fn is_spilled(&self, partition: usize) -> bool {
        self.partitions[partition].is_some()
    }

    fn partition(&self, at: usize) -> Result<&Partition> {
        let partition = self.partitions.get(at).and_then(Option::as_ref);
        partition.ok_or_else(|| internal_datafusion_err!("partition {at} was not spilled"))
    }
}

impl Hybrid {
    /// The partitions in memory.
    pub(super) fn resident(&self) -> Result<Arc<JoinState>> {
        let resident = self.resident.lock().clone();
        resident.ok_or_else(|| internal_datafusion_err!("a lane came after all had ended"))
    }

    /// All lanes have probed the partitions in memory: they make room for the others.
    pub(super) fn let_go(&self) {
        self.resident.lock().take();
    }
}

impl Sealed for Hybrid {
    fn open(self: Arc<Self>, _: usize, _: usize) -> LaneStream {
        let error: Result<Morsel> = internal_err!("a join's build side is not read as rows");
        Box::pin(futures::stream::once(futures::future::ready(error)))
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
