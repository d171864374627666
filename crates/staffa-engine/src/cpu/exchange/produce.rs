//! A producer: reads one lane and fills the queues.

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::Poll;

use datafusion_common::{DataFusionError, Result};
use datafusion_physical_plan::spill::spill_pool::SpillPoolSink;
use futures::FutureExt;

use super::partition::Partitioner;
use super::queue::Queues;
use crate::context::panic_error;
use crate::{LaneStream, Morsel};

/// Morsels between two yields: some milliseconds of work.
const YIELD_EVERY: usize = 8;

/// What happened on a lane.
enum Event {
    Morsel(Morsel),
    /// No morsel is ready, and a reader waits for what is held.
    Hungry,
    End,
}

/// Reads one lane.
pub(super) struct Producer {
    index: usize,
    partitioner: Partitioner,
    /// Per output where to write what does not fit into memory.
    spilled: Vec<Option<SpillPoolSink>>,
    ending: Ending,
}

/// Counts a producer out, whether it ends, errs, panics or is cancelled.
struct Ending {
    queues: Arc<Queues>,
    result: Option<Result<()>>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        let cancelled = || Err(DataFusionError::Execution("cancelled".to_string()));
        self.queues.end(self.result.take().unwrap_or_else(cancelled));
    }
}

impl Producer {
    pub(super) fn new(index: usize, partitioner: Partitioner, queues: Arc<Queues>) -> Self {
        Self { index, partitioner, spilled: Vec::new(), ending: Ending { queues, result: None } }
    }

    /// Reads `lane` to its end, or until nobody wants its rows.
    pub(super) async fn run(mut self, lane: LaneStream) {
        let result = AssertUnwindSafe(self.produce(lane)).catch_unwind().await;
        let result = result.unwrap_or_else(|panic| Err(panic_error(panic.as_ref())));
        // The spill writers end before the readers hear that all is written.
        self.spilled.clear();
        self.ending.result = Some(result);
    }

    async fn produce(&mut self, mut lane: LaneStream) -> Result<()> {
        let mut since_yield = 0;
        loop {
            match self.event(&mut lane).await? {
                Event::Morsel(morsel) => {
                    self.partitioner.add(morsel)?;
                    if self.partitioner.is_full() && !self.flush().await? {
                        return Ok(());
                    }
                    since_yield += 1;
                    if since_yield == YIELD_EVERY {
                        since_yield = 0;
                        tokio::task::yield_now().await;
                    }
                }
                Event::Hungry => {
                    if !self.flush().await? {
                        return Ok(());
                    }
                }
                Event::End => {
                    self.flush().await?;
                    return Ok(());
                }
            }
        }
    }

    async fn event(&self, lane: &mut LaneStream) -> Result<Event> {
        poll_fn(|cx| match lane.as_mut().poll_next(cx) {
            Poll::Ready(Some(morsel)) => Poll::Ready(morsel.map(Event::Morsel)),
            Poll::Ready(None) => Poll::Ready(Ok(Event::End)),
            Poll::Pending if self.partitioner.holds_rows() && self.ending.queues.hungry(cx) => {
                Poll::Ready(Ok(Event::Hungry))
            }
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    /// Passes on what is held once there is room; false when nobody wants it.
    async fn flush(&mut self) -> Result<bool> {
        let queues = &self.ending.queues;
        if queues.room().await.is_err() {
            return Ok(false);
        }
        let wanted = queues.wanted();
        self.spilled.resize_with(wanted.len(), || None);
        for (output, batch) in self.partitioner.take(|output| wanted[output])? {
            queues.push(self.index, output, batch, &mut self.spilled[output])?;
        }
        Ok(true)
    }
}
