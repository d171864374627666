//! Loads a spilled partition as a whole, once for all lanes that are at it at the same time.

use std::sync::Arc;

use datafusion_common::{DataFusionError, Result};
use futures::future::{BoxFuture, Shared as SharedFuture, WeakShared};
use futures::{FutureExt, TryStreamExt};

use super::super::seal::{MOST_ROWS, Rows, make, table_bytes};
use super::super::state::JoinState;
use super::Spilled;

/// A loaded partition, or nothing where it does not fit.
pub(super) type Loaded = Option<Arc<JoinState>>;

type Loading = BoxFuture<'static, Result<Loaded, Arc<DataFusionError>>>;

/// The loading of a partition. Whoever waits for it drives it, so that no lane depends on another one
/// being polled; whoever probes the partition keeps it, and the last to let go frees it.
pub(super) type Slot = Option<WeakShared<Loading>>;

/// Keeps a loaded partition in its slot.
pub(super) type Keep = SharedFuture<Loading>;

/// About what a table of so many rows takes while it is made.
pub(super) fn roughly(rows: usize) -> usize {
    rows * 64
}

impl Spilled {
    /// The table of a spilled partition.
    pub(super) async fn load(
        self: &Arc<Self>,
        at: usize,
    ) -> Result<Option<(Arc<JoinState>, Keep)>> {
        let loading = {
            let mut slot = self.partition(at)?.loaded.lock();
            match slot.as_ref().and_then(WeakShared::upgrade) {
                Some(loading) => loading,
                None => {
                    let spilled = Arc::clone(self);
                    let load = async move { spilled.read_whole(at).await.map_err(Arc::new) };
                    let loading = load.boxed().shared();
                    *slot = loading.downgrade();
                    loading
                }
            }
        };
        let loaded = loading.clone().await.map_err(|error| DataFusionError::from(&error))?;
        Ok(loaded.map(|state| (state, loading)))
    }

    async fn read_whole(self: Arc<Self>, at: usize) -> Result<Loaded> {
        let partition = self.partition(at)?;
        let stored = &partition.rows;
        let reservation = self.shared.context.reservation("StaffaJoinPartition");
        let table = roughly(stored.rows);
        if stored.rows > MOST_ROWS || reservation.try_grow(stored.bytes + table).is_err() {
            return Ok(None);
        }
        let batches = stored.read(self.shared.spill_manager())?.try_collect::<Vec<_>>().await?;
        let rows = stored.rows;
        let visited = partition.visited.as_ref().map(|visited| visited.part(0, rows));
        let spilled = Arc::clone(&self);
        let work = move || {
            let shared = &spilled.shared;
            // A table of few rows may take more than one would think, but not much.
            let prepaid = table_bytes(shared, &batches, rows)?.max(table);
            reservation.grow(prepaid - table);
            let rows = Rows { batches, rows, reservation, prepaid };
            Ok(Some(make(shared, rows, visited, &spilled.seen)?.state))
        };
        self.shared.context.runtime.compute(work).await
    }
}
