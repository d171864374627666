//! A sealed build side as a device sees it.

use std::any::Any;
use std::future::Future;
use std::sync::Arc;

use arrow::array::ArrayRef;
use datafusion_common::Result;

use super::state::JoinState;
use crate::engine::Sealed;

/// What a device has of a build side.
pub type OnDevice = Arc<dyn Any + Send + Sync>;

/// A sealed build side that a device may probe. Its rows stay on the host as well, for what the CPU probes.
#[derive(Clone)]
pub struct BuildSide {
    state: Arc<JoinState>,
}

impl BuildSide {
    /// The state that a build left, if it was made for a device.
    pub fn of(state: &Arc<dyn Sealed>) -> Option<Self> {
        let state = Arc::clone(state).as_any().downcast::<JoinState>().ok()?;
        state.device_keys.is_some().then_some(Self { state })
    }

    /// Rows.
    pub fn rows(&self) -> u32 {
        self.state.rows
    }

    /// The keys, a row a build row; none at all where there are no rows.
    pub fn keys(&self) -> &[ArrayRef] {
        self.state.device_keys.as_deref().unwrap_or_default()
    }

    /// A column of those that the join keeps; a single NULL where there are no rows. `None` where it is held in
    /// several arrays.
    pub fn column(&self, kept: usize) -> Option<Result<ArrayRef>> {
        self.state.columns.whole(kept)
    }

    /// What the device has of it; the first to ask has it made.
    pub async fn on_device<F>(&self, make: impl FnOnce() -> F) -> Option<OnDevice>
    where
        F: Future<Output = Option<OnDevice>>,
    {
        self.state.on_device.get_or_init(make).await.clone()
    }

    /// Notes which build rows have a match: a bit a row, in words of 32, zero behind the last. Doing it again changes
    /// nothing.
    pub fn mark(&self, bits: &[u32]) {
        if let Some(visited) = &self.state.visited {
            visited.set_all(bits);
        }
    }
}
