//! The outputs' queues, and the gate before them.
//!
//! The gate is open while some output that may still be read has nothing queued. Wakers of
//! producers are woken all at once: one of them may be dead.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use arrow::array::RecordBatch;
use datafusion_common::{DataFusionError, Result, exec_err};
use datafusion_execution::SendableRecordBatchStream;
use datafusion_execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion_physical_plan::metrics::SpillMetrics;
use datafusion_physical_plan::spill::spill_pool::{SpillPoolSink, spsc_channel};
use datafusion_physical_plan::spill::{SpillManager, get_record_batch_memory_size};
use parking_lot::Mutex;

use crate::RunContext;
use crate::plan::Pipeline;

/// An output's queue goes to disk beyond this size, even if the memory pool has no limit.
const QUEUE_BYTES: usize = 1 << 30;

/// What waits for an output.
pub(super) enum Item {
    /// Rows in memory, and what is reserved for them.
    Rows(RecordBatch, usize),
    /// The next batch that this producer spilled for this output; with the reader the first time.
    Spilled(usize, Option<SendableRecordBatchStream>),
}

/// Who reads an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    /// Nobody yet.
    Awaited,
    /// A stream.
    Here,
    /// Nobody any more.
    Gone,
}

struct Queue {
    ready: VecDeque<Item>,
    bytes: usize,
    reader: Reader,
    waker: Option<Waker>,
    reservation: Arc<MemoryReservation>,
}

struct State {
    queues: Vec<Queue>,
    producers: usize,
    error: Option<Arc<DataFusionError>>,
    waiting: Vec<Waker>,
}

impl State {
    /// Somebody may still read, and finds nothing.
    fn is_open(&self) -> bool {
        self.queues.iter().any(|queue| queue.reader != Reader::Gone && queue.ready.is_empty())
    }

    /// A reader is there, asked, and found nothing.
    fn is_hungry(&self) -> bool {
        self.queues.iter().any(|queue| {
            queue.reader == Reader::Here && queue.ready.is_empty() && queue.waker.is_some()
        })
    }

    fn is_unwanted(&self) -> bool {
        self.error.is_some() || self.queues.iter().all(|q| q.reader == Reader::Gone)
    }

    fn wake_producers(&mut self) {
        for waker in self.waiting.drain(..) {
            waker.wake();
        }
    }

    fn wake_all(&mut self) {
        self.wake_producers();
        for queue in &mut self.queues {
            if let Some(waker) = queue.waker.take() {
                waker.wake();
            }
        }
    }

    fn wait(&mut self, waker: &Waker) {
        if !self.waiting.iter().any(|w| w.will_wake(waker)) {
            self.waiting.push(waker.clone());
        }
    }
}

/// The queues of an exchange.
pub(super) struct Queues {
    state: Mutex<State>,
    spill: Arc<SpillManager>,
    may_spill: bool,
    file_bytes: usize,
}

/// Nobody wants rows any more.
pub(super) struct Unwanted;

impl Queues {
    pub(super) fn new(
        producers: usize,
        outputs: usize,
        from: &Pipeline,
        context: &RunContext,
    ) -> Self {
        let environment = context.task.runtime_env();
        let options = context.task.session_config().options();
        let spill = SpillManager::new(
            Arc::clone(&environment),
            SpillMetrics::new(&from.metrics, 0),
            Arc::clone(&from.schema),
        )
        .with_compression_type(options.execution.spill_compression);
        let queues = (0..outputs)
            .map(|output| Queue {
                ready: VecDeque::new(),
                bytes: 0,
                reader: Reader::Awaited,
                waker: None,
                reservation: Arc::new(
                    MemoryConsumer::new(format!("StaffaExchange[{output}]"))
                        .with_can_spill(true)
                        .register(context.task.memory_pool()),
                ),
            })
            .collect();
        Self {
            state: Mutex::new(State { queues, producers, error: None, waiting: Vec::new() }),
            spill: Arc::new(spill),
            may_spill: environment.disk_manager.tmp_files_enabled(),
            file_bytes: options.execution.max_spill_file_size_bytes.get(),
        }
    }

    /// Whether somebody may still read each output.
    pub(super) fn wanted(&self) -> Vec<bool> {
        let state = self.state.lock();
        let queues = state.queues.iter();
        queues.map(|queue| queue.reader != Reader::Gone).collect()
    }

    /// Waits until some output has nothing queued.
    pub(super) async fn room(&self) -> Result<(), Unwanted> {
        poll_fn(|cx| {
            let mut state = self.state.lock();
            if state.is_unwanted() {
                return Poll::Ready(Err(Unwanted));
            }
            if state.is_open() {
                return Poll::Ready(Ok(()));
            }
            state.wait(cx.waker());
            Poll::Pending
        })
        .await
    }

    /// For a producer that holds rows while its source has none ready: whether a reader waits.
    /// If not, wakes the producer when one does.
    pub(super) fn hungry(&self, cx: &Context<'_>) -> bool {
        let mut state = self.state.lock();
        if state.is_hungry() || state.is_unwanted() {
            return true;
        }
        state.wait(cx.waker());
        false
    }

    /// Queues rows for an output; on disk, through `spilled`, where memory has no room for them.
    ///
    /// # Errors
    /// Out of memory and out of disk.
    pub(super) fn push(
        &self,
        producer: usize,
        output: usize,
        batch: RecordBatch,
        spilled: &mut Option<SpillPoolSink>,
    ) -> Result<()> {
        let bytes = get_record_batch_memory_size(&batch);
        let (reservation, queued) = {
            let state = self.state.lock();
            let queue = &state.queues[output];
            if queue.reader == Reader::Gone {
                return Ok(());
            }
            (Arc::clone(&queue.reservation), queue.bytes)
        };
        let grown = if queued + bytes > QUEUE_BYTES && self.may_spill {
            None
        } else {
            match reservation.try_grow(bytes) {
                Ok(()) => Some(bytes),
                Err(error) if !self.may_spill => return Err(error),
                Err(_) => None,
            }
        };
        let item = match grown {
            Some(bytes) => Item::Rows(batch, bytes),
            None => {
                let mut reader = None;
                let sink = spilled.get_or_insert_with(|| {
                    let (sink, stream) = spsc_channel(self.file_bytes, Arc::clone(&self.spill));
                    reader = Some(stream);
                    sink
                });
                sink.push_batch(&batch)?;
                Item::Spilled(producer, reader)
            }
        };
        let mut state = self.state.lock();
        let queue = &mut state.queues[output];
        if queue.reader == Reader::Gone {
            reservation.shrink(grown.unwrap_or(0));
            return Ok(());
        }
        queue.bytes += grown.unwrap_or(0);
        queue.ready.push_back(item);
        if let Some(waker) = queue.waker.take() {
            waker.wake();
        }
        Ok(())
    }

    /// The next item of an output; `None` after the last.
    pub(super) fn poll(&self, output: usize, cx: &Context<'_>) -> Poll<Option<Result<Item>>> {
        let mut state = self.state.lock();
        if let Some(error) = &state.error {
            let error = DataFusionError::Shared(Arc::clone(error));
            return Poll::Ready(Some(Err(error)));
        }
        let producers = state.producers;
        let queue = &mut state.queues[output];
        if let Some(item) = queue.ready.pop_front() {
            if let Item::Rows(_, bytes) = &item {
                queue.bytes -= bytes;
                queue.reservation.shrink(*bytes);
            }
            if queue.ready.is_empty() {
                state.wake_producers();
            }
            return Poll::Ready(Some(Ok(item)));
        }
        if producers == 0 {
            return Poll::Ready(None);
        }
        queue.waker = Some(cx.waker().clone());
        // One of them may hold rows for us.
        state.wake_producers();
        Poll::Pending
    }

    /// A stream starts to read an output.
    ///
    /// # Errors
    /// When another one did before.
    pub(super) fn enter(&self, output: usize) -> Result<()> {
        let mut state = self.state.lock();
        match state.queues.get_mut(output) {
            Some(queue) if queue.reader == Reader::Awaited => {
                queue.reader = Reader::Here;
                Ok(())
            }
            _ => exec_err!("output {output} of an exchange can be read once"),
        }
    }

    /// An output's stream is dropped; true when it was the last.
    pub(super) fn leave(&self, output: usize) -> bool {
        let mut state = self.state.lock();
        let queue = &mut state.queues[output];
        queue.reader = Reader::Gone;
        queue.waker = None;
        let discarded = std::mem::take(&mut queue.ready);
        queue.reservation.free();
        queue.bytes = 0;
        state.wake_producers();
        let last = state.queues.iter().all(|q| q.reader == Reader::Gone);
        drop(state);
        // Spilled rows close files: not under the lock.
        drop(discarded);
        last
    }

    /// A producer ends, well or with an error that all outputs shall see.
    pub(super) fn end(&self, result: Result<()>) {
        let mut state = self.state.lock();
        state.producers -= 1;
        if let Err(error) = result
            && state.error.is_none()
        {
            state.error = Some(Arc::new(error));
        }
        state.wake_all();
    }
}
