//! Skip and limit.

use std::sync::Arc;

use datafusion_common::Result;
use parking_lot::Mutex;

use crate::engine::{Lane, OpFactory, Sealed};
use crate::plan::LimitSpec;
use crate::{LaneOp, Morsel};

/// What is left to skip and to give.
#[derive(Debug, Clone)]
struct Left {
    skip: usize,
    fetch: Option<usize>,
}

impl Left {
    /// The run of a morsel of `rows` rows that passes.
    fn take(&mut self, rows: usize) -> (usize, usize) {
        let skipped = self.skip.min(rows);
        self.skip -= skipped;
        let mut length = rows - skipped;
        if let Some(fetch) = &mut self.fetch {
            length = length.min(*fetch);
            *fetch -= length;
        }
        (skipped, length)
    }
}

/// Makes the limits of a stage's lanes; a global one counts over all of them.
pub(super) struct Limit {
    left: Left,
    shared: Option<Arc<Mutex<Left>>>,
}

impl Limit {
    pub(super) fn new(spec: &LimitSpec) -> Self {
        let left = Left { skip: spec.skip, fetch: spec.fetch };
        let shared = spec.global.then(|| Arc::new(Mutex::new(left.clone())));
        Self { left, shared }
    }
}

impl OpFactory for Limit {
    fn lane(&self, _: Lane, _: Option<&Arc<dyn Sealed>>) -> Result<Box<dyn LaneOp>> {
        let left = match &self.shared {
            Some(shared) => Arc::clone(shared),
            None => Arc::new(Mutex::new(self.left.clone())),
        };
        Ok(Box::new(LimitLane { left, ready: None }))
    }
}

struct LimitLane {
    left: Arc<Mutex<Left>>,
    ready: Option<Morsel>,
}

impl LaneOp for LimitLane {
    fn push(&mut self, morsel: Morsel) -> Result<()> {
        let (offset, length) = self.left.lock().take(morsel.rows());
        self.ready = (length > 0).then(|| morsel.slice(offset, length)).transpose()?;
        Ok(())
    }

    fn next(&mut self) -> Result<Option<Morsel>> {
        Ok(self.ready.take())
    }

    fn done(&self) -> bool {
        self.left.lock().fetch == Some(0)
    }
}
