//! What a sealed build side is.

use std::any::Any;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use arrow::array::ArrayRef;
use arrow::buffer::NullBuffer;
use datafusion_common::{JoinType, Result, internal_datafusion_err, internal_err};
use datafusion_execution::memory_pool::MemoryReservation;
use tokio::sync::OnceCell;

use super::columns::BuildColumns;
use super::lookup::KeyPlan;
use super::spill::Hybrid;
use super::table::JoinTable;
use super::visited::Visited;
use crate::engine::Sealed;
use crate::{LaneStream, Morsel, RunContext};

/// A sealed build side, shared by the lanes that probe it.
pub(super) struct JoinState {
    /// The columns that the output and the residual filter read.
    pub(super) columns: BuildColumns,
    /// Number of build rows.
    pub(super) rows: u32,
    /// From keys to rows.
    pub(super) table: JoinTable,
    /// How probe keys become what the table is asked for.
    pub(super) keys: KeyPlan,
    /// Rows that have matched, where the join type emits build rows at the end.
    pub(super) visited: Option<Visited>,
    /// For a null-aware anti join: which build keys are NULL.
    pub(super) key_nulls: Option<NullBuffer>,
    /// For a null-aware anti join: what the lanes have seen.
    pub(super) seen: Arc<Seen>,
    /// Where a device may probe it: the keys, in the order of the join's.
    pub(super) device_keys: Option<Vec<ArrayRef>>,
    /// What a device has of it, made once; nothing where it has no room for it.
    pub(super) on_device: OnceCell<Option<Arc<dyn Any + Send + Sync>>>,
    /// Lanes that have not ended.
    pub(super) lanes: Countdown,
    /// Accounts for all of the above while the state lives.
    pub(super) _reservation: MemoryReservation,
}

/// What the lanes of a null-aware anti join have seen of the probe side.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// A row.
    pub(super) row: AtomicBool,
    /// A NULL key.
    pub(super) null: AtomicBool,
}

/// Counts lanes out.
#[derive(Debug, Default)]
pub(super) struct Countdown(OnceLock<AtomicUsize>);

impl Countdown {
    /// Notes that there are `lanes` lanes; the first to say so counts.
    pub(super) fn share(&self, lanes: usize) {
        self.0.get_or_init(|| AtomicUsize::new(lanes.max(1)));
    }

    /// A lane has ended: true for the last one.
    pub(super) fn leave(&self) -> bool {
        // AcqRel: the last lane sees all that the others have marked.
        self.0.get().is_some_and(|lanes| lanes.fetch_sub(1, Ordering::AcqRel) == 1)
    }
}

/// What a lane gets to probe.
pub(super) struct Probed {
    /// The build rows in memory.
    pub(super) state: Arc<JoinState>,
    /// Where the others are, if some were spilled.
    pub(super) hybrid: Option<Arc<Hybrid>>,
}

impl JoinState {
    /// The state behind a pipeline's build side.
    pub(super) fn of(build: Option<&Arc<dyn Sealed>>) -> Result<Probed> {
        let state = build
            .cloned()
            .ok_or_else(|| internal_datafusion_err!("a probe without a build side"))?;
        let state = match state.as_any().downcast::<Self>() {
            Ok(state) => return Ok(Probed { state, hybrid: None }),
            Err(state) => state,
        };
        match state.downcast::<Hybrid>() {
            Ok(hybrid) => Ok(Probed { state: hybrid.resident()?, hybrid: Some(hybrid) }),
            Err(_) => internal_err!("a probe got a state that is no join's"),
        }
    }

    /// What a lane holds that has no more to do with a table.
    pub(super) fn nothing(context: &RunContext) -> Arc<Self> {
        Arc::new(Self {
            columns: BuildColumns::new(Vec::new(), 0),
            rows: 0,
            table: JoinTable::empty(),
            keys: KeyPlan::None,
            visited: None,
            key_nulls: None,
            seen: Arc::default(),
            device_keys: None,
            on_device: OnceCell::new(),
            lanes: Countdown::default(),
            _reservation: context.reservation("StaffaJoinBuild"),
        })
    }

    /// Whether the output is empty whatever the probe side holds.
    pub(super) fn is_decided(&self, join_type: JoinType) -> bool {
        (self.rows == 0 && join_type.empty_build_side_produces_empty_result())
            || (self.table.is_empty() && join_type.empty_map_produces_empty_result())
    }
}

impl Sealed for JoinState {
    fn open(self: Arc<Self>, _: usize, _: usize) -> LaneStream {
        let error: Result<Morsel> = internal_err!("a join's build side is not read as rows");
        Box::pin(futures::stream::once(futures::future::ready(error)))
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
