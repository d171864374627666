//! A state that one region makes and another one reads: a sub-plan that stands in a scalar subquery and in
//! the query around it.

use std::sync::{Arc, Weak};

use datafusion_execution::TaskContext;
use parking_lot::Mutex;

use crate::engine::Sealed;

/// A state, and the execution that it was made in.
type Left = (Weak<TaskContext>, Arc<dyn Sealed>);

/// Where the state lies between the two. It is held for one execution: that of the maker's context.
#[derive(Default)]
pub struct Slot(Mutex<Option<Left>>);

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slot").field("full", &self.0.lock().is_some()).finish()
    }
}

impl Slot {
    /// Leaves a state for the reader; one of an earlier execution goes.
    pub(crate) fn put(&self, context: &Arc<TaskContext>, state: Arc<dyn Sealed>) {
        let earlier = self.0.lock().replace((Arc::downgrade(context), state));
        drop(earlier);
    }

    /// The state that was made in this execution. It is the caller's now.
    pub(crate) fn take(&self, context: &Arc<TaskContext>) -> Option<Arc<dyn Sealed>> {
        let mut slot = self.0.lock();
        let ours = slot.as_ref().is_some_and(|(of, _)| Weak::as_ptr(of) == Arc::as_ptr(context));
        if ours { slot.take().map(|(_, state)| state) } else { None }
    }
}

/// A node's part in sharing its state with a node of another region that does the same.
#[derive(Debug, Clone)]
pub enum Shared {
    /// Its region runs first, and leaves the state.
    Makes(Arc<Slot>),
    /// Takes the state if it is there, and makes its own if not.
    Reads(Arc<Slot>),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::batches::Batches;

    #[test]
    fn a_state_is_for_one_execution() {
        let (ours, other) = (Arc::new(TaskContext::default()), Arc::new(TaskContext::default()));
        let slot = Slot::default();
        assert!(slot.take(&ours).is_none());
        slot.put(&ours, Arc::new(Batches::new([], 1)));
        assert!(slot.take(&other).is_none(), "another execution's");
        assert!(slot.take(&ours).is_some());
        assert!(slot.take(&ours).is_none(), "taken once");
    }
}
