//! One set of groups for all lanes of a region.
//!
//! Each lane groups what it reads in a table of its own. A lane that ends leaves its groups here, unless there are some
//! already: then it takes those, has the device merge the two, and looks again. So nobody waits, lanes that end one
//! after the other merge pairwise, and the last one has all groups, each once.

use parking_lot::Mutex;
use staffa_cuda::Timer;
use staffa_engine::Passed;
use staffa_engine::cuda::aggregate::Groups;

use super::grouping::Outcome;

/// A lane's groups, and what they were made of.
pub(super) struct Parked<W> {
    pub(super) groups: Groups,
    /// What the CPU has to do where these groups are lost.
    pub(super) counted: Vec<W>,
    /// Rows that went in.
    pub(super) rows: usize,
    pub(super) passed: Option<Passed>,
    pub(super) timers: Vec<Timer>,
}

/// What a lane that has ended does next.
pub(super) enum Turn<W> {
    /// Merge these with its own, if it has any, and ask again.
    Merge(Parked<W>, Option<Parked<W>>),
    /// Nothing: somebody else has its groups.
    Gone,
    /// Bring the groups out: there are no others.
    Last(Option<Parked<W>>),
}

/// See the module.
pub(super) struct Together<W> {
    state: Mutex<State<W>>,
}

struct State<W> {
    /// Lanes that have not ended.
    lanes: usize,
    parked: Option<Parked<W>>,
}

impl<W> Together<W> {
    /// For so many lanes, all of which are read to their ends.
    pub(super) fn new(lanes: usize) -> Self {
        Self { state: Mutex::new(State { lanes, parked: None }) }
    }

    /// Whether there are groups and all other lanes have ended.
    pub(super) fn is_last(&self) -> bool {
        let state = self.state.lock();
        state.lanes == 1 && state.parked.is_some()
    }

    /// A lane has ended, with these groups.
    pub(super) fn end(&self, own: Option<Parked<W>>) -> Turn<W> {
        let mut state = self.state.lock();
        if let Some(parked) = state.parked.take() {
            return Turn::Merge(parked, own);
        }
        state.lanes = state.lanes.saturating_sub(1);
        if state.lanes == 0 {
            return Turn::Last(own);
        }
        state.parked = own;
        Turn::Gone
    }
}

/// Ends a lane that has no device: where it is the last one, what others have left is the CPU's.
pub(super) fn without_device<W>(together: &Together<W>) -> Outcome<W> {
    let mut own = None;
    loop {
        match together.end(own) {
            // It has no groups, so that these are all.
            Turn::Merge(parked, _) => own = Some(parked),
            Turn::Gone | Turn::Last(None) => return Outcome::default(),
            Turn::Last(Some(parked)) => {
                return Outcome { undone: parked.counted, ..Outcome::default() };
            }
        }
    }
}
