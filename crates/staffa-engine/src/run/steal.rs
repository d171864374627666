//! Lanes that help each other: one whose own source has ended takes morsels from those that go on.
//!
//! A table of one row group gives all its rows to one lane, however many partitions its scan has.
//! DataFusion's exchanges spread such rows again; where a region drops an exchange, this does it,
//! at no cost while nobody is idle. Only for lanes that the region's own tasks drive together: a
//! lane that a consumer may leave unread must not be waited for.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};

use datafusion_common::Result;
use futures::StreamExt;
use parking_lot::Mutex;

use super::waker::wake_apart;
use crate::{LaneStream, Morsel};

#[derive(Default)]
struct State {
    /// Morsels that a lane gave away.
    given: VecDeque<Morsel>,
    /// Lanes whose own source goes on. Lanes not opened yet do not count.
    active: usize,
    /// Lanes that wait for a morsel.
    hungry: usize,
    wakers: Vec<Waker>,
}

impl State {
    fn wake(&mut self) {
        self.wakers.drain(..).for_each(wake_apart);
    }
}

/// What the lanes of a pipeline share.
#[derive(Default)]
pub(super) struct Steal {
    state: Mutex<State>,
}

/// Counts a lane as active until its source ends, or the lane is dropped.
struct Active(Arc<Steal>);

impl Active {
    fn new(steal: &Arc<Steal>) -> Self {
        steal.state.lock().active += 1;
        Self(Arc::clone(steal))
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.active -= 1;
        state.wake();
    }
}

impl Steal {
    /// A lane that reads `own`, and then what others give away.
    pub(super) fn lane(self: &Arc<Self>, own: LaneStream) -> LaneStream {
        let lane = Lane { own: Some((own, Active::new(self))), steal: Arc::clone(self) };
        Box::pin(futures::stream::unfold(lane, |mut lane| async move {
            lane.next().await.map(|item| (item, lane))
        }))
    }

    /// Gives a morsel to a lane that waits for one; the morsel again, if none does.
    fn give(&self, morsel: Morsel) -> Option<Morsel> {
        let mut state = self.state.lock();
        if state.hungry <= state.given.len() {
            return Some(morsel);
        }
        state.given.push_back(morsel);
        state.wake();
        None
    }

    /// Waits for a morsel that another lane gives away; none once no lane is active.
    async fn take(&self) -> Option<Morsel> {
        let _hungry = Hungry::new(self);
        poll_fn(|cx| {
            let mut state = self.state.lock();
            if let Some(morsel) = state.given.pop_front() {
                return Poll::Ready(Some(morsel));
            }
            if state.active == 0 {
                return Poll::Ready(None);
            }
            state.wakers.push(cx.waker().clone());
            Poll::Pending
        })
        .await
    }
}

struct Hungry<'a>(&'a Steal);

impl<'a> Hungry<'a> {
    fn new(steal: &'a Steal) -> Self {
        steal.state.lock().hungry += 1;
        Self(steal)
    }
}

impl Drop for Hungry<'_> {
    fn drop(&mut self) {
        self.0.state.lock().hungry -= 1;
    }
}

struct Lane {
    own: Option<(LaneStream, Active)>,
    steal: Arc<Steal>,
}

impl Lane {
    async fn next(&mut self) -> Option<Result<Morsel>> {
        while let Some((own, _)) = &mut self.own {
            match own.next().await {
                Some(Ok(morsel)) => {
                    if let Some(kept) = self.steal.give(morsel) {
                        return Some(Ok(kept));
                    }
                }
                Some(Err(error)) => return Some(Err(error)),
                None => self.own = None,
            }
        }
        self.steal.take().await.map(Ok)
    }
}
