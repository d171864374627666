//! One set of groups for all lanes of a region.
//!
//! Each lane groups what it reads in a table of its own. A lane that ends leaves its groups here, unless there are some
//! already: then it takes those, has the device merge the two, and looks again. So nobody waits, lanes that end one
//! after the other merge pairwise, and the last one has all groups, each once.

use parking_lot::Mutex;
use staffa_cuda::Timer;
use staffa_engine::Passed;
use staffa_engine::cuda::aggregate::Groups;

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
pub(super) enum Turn<P> {
    /// Merge these with its own, if it has any, and ask again.
    Merge(P, Option<P>),
    /// Nothing: somebody else has its groups.
    Gone,
    /// Bring the groups out: there are no others.
    Last(Option<P>),
}

/// See the module. `P` is what lanes park: [`Parked`] groups.
pub(super) struct Together<P> {
    state: Mutex<State<P>>,
}

struct State<P> {
    /// Lanes that have not ended.
    lanes: usize,
    parked: Option<P>,
}

impl<P> Together<P> {
    /// For so many lanes, all of which are read to their ends.
    pub(super) fn new(lanes: usize) -> Self {
        Self { state: Mutex::new(State { lanes, parked: None }) }
    }

    /// A lane has ended, with these groups. It asks until it hears [`Turn::Gone`] or [`Turn::Last`].
    pub(super) fn end(&self, own: Option<P>) -> Turn<P> {
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

    /// A lane has ended that has no groups: what others have left, where it was the last one.
    pub(super) fn leave(&self) -> Option<P> {
        let mut state = self.state.lock();
        state.lanes = state.lanes.saturating_sub(1);
        if state.lanes == 0 { state.parked.take() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A lane that has ended, and what it asks with next; nothing once it is through.
    type Ending = Option<Option<u64>>;

    /// Each step of each lane's end at any time between those of the others.
    #[test]
    fn nothing_is_lost_or_twice_however_lanes_end() {
        let mut state = 1_u64;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as usize % below
        };
        for case in 0..3_000 {
            let count = 1 + random(6);
            // A bit a lane; a lane may have nothing, or no device.
            let own: Vec<Option<u64>> =
                (0..count).map(|lane| (random(3) > 0).then_some(1 << lane)).collect();
            let together = Together::new(count);
            let mut lanes: Vec<Ending> = own.iter().map(|own| Some(*own)).collect();
            let mut out = Vec::new();
            while let Some(at) = (lanes.iter().any(Option::is_some)).then(|| random(count)) {
                let Some(asks) = lanes[at].take() else { continue };
                if own[at].is_none() && asks.is_none() && random(2) == 0 {
                    out.extend(together.leave());
                    continue;
                }
                match together.end(asks) {
                    Turn::Merge(others, own) => {
                        let own = own.unwrap_or(0);
                        assert_eq!(others & own, 0, "case {case}");
                        lanes[at] = Some(Some(others | own));
                    }
                    Turn::Gone => {}
                    Turn::Last(all) => out.extend(all),
                }
            }
            let all = own.iter().flatten().fold(0, |all, own| all | own);
            let expected: Vec<u64> = if all == 0 { vec![] } else { vec![all] };
            assert_eq!(out, expected, "case {case}: {own:?}");
        }
    }
}
