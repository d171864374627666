//! An output: the rows that all producers have for one partition.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use datafusion_common::{Result, internal_err};
use datafusion_execution::SendableRecordBatchStream;
use datafusion_physical_plan::metrics::BaselineMetrics;
use futures::{Stream, StreamExt};

use super::Tasks;
use super::queue::{Item, Queues};
use crate::Morsel;

/// Reads one queue. It keeps the producers alive, and stops them if it was the last reader.
pub(super) struct Output {
    index: usize,
    queues: Arc<Queues>,
    tasks: Tasks,
    metrics: BaselineMetrics,
    /// What producers have spilled, by producer.
    spilled: HashMap<usize, SendableRecordBatchStream>,
    /// The producer whose next spilled batch is due.
    due: Option<usize>,
    ended: bool,
}

impl Output {
    /// # Errors
    /// When the output was read before.
    pub(super) fn new(
        index: usize,
        queues: Arc<Queues>,
        tasks: Tasks,
        metrics: BaselineMetrics,
    ) -> Result<Self> {
        queues.enter(index)?;
        Ok(Self { index, queues, tasks, metrics, spilled: HashMap::new(), due: None, ended: false })
    }

    fn advance(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Morsel>>> {
        loop {
            if let Some(producer) = self.due {
                let Some(reader) = self.spilled.get_mut(&producer) else {
                    return Poll::Ready(Some(internal_err!("no spilled rows of {producer}")));
                };
                let batch = ready!(reader.poll_next_unpin(cx));
                self.due = None;
                return Poll::Ready(Some(match batch {
                    Some(batch) => batch.map(Morsel::from_batch),
                    None => internal_err!("spilled rows of {producer} are missing"),
                }));
            }
            match ready!(self.queues.poll(self.index, cx)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(Item::Rows(batch, _))) => {
                    return Poll::Ready(Some(Ok(Morsel::from_batch(batch))));
                }
                Some(Ok(Item::Spilled(producer, reader))) => {
                    if let Some(reader) = reader {
                        self.spilled.insert(producer, reader);
                    }
                    self.due = Some(producer);
                }
            }
        }
    }
}

impl Stream for Output {
    type Item = Result<Morsel>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let next = ready!(self.advance(cx));
        match &next {
            Some(Ok(morsel)) => self.metrics.record_output(morsel.rows()),
            Some(Err(_)) | None => self.ended = true,
        }
        Poll::Ready(next)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if self.queues.leave(self.index) {
            self.tasks.lock().abort_all();
        }
    }
}
