//! What a running region shares: settings, the compute pool, the cancel flag.

use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use datafusion_common::{Result, exec_err, internal_datafusion_err};
use datafusion_execution::TaskContext;
use datafusion_execution::memory_pool::{MemoryConsumer, MemoryReservation};
use parking_lot::RwLock;
use staffa_common::Reason;

use crate::buffers::Buffers;
use crate::cuda::{Gpu, GpuLimits, KnownGpus};
use crate::plan::Lifter;

/// Idle memory that scans keep for the next read: what the lanes of a small machine have in flight.
const BUFFERS_BYTES: usize = 64 << 20;

/// Pools that regions share. One serves a whole process by default; an embedder may hold several.
#[derive(Debug)]
pub struct StaffaRuntime {
    threads: usize,
    pool: rayon::ThreadPool,
    jobs: Arc<AtomicUsize>,
    buffers: Arc<Buffers>,
    gpus: KnownGpus,
}

impl StaffaRuntime {
    /// A runtime with a compute pool of `threads` threads; 0 takes one per core.
    ///
    /// # Errors
    /// When the operating system gives no threads.
    pub fn new(threads: usize) -> Result<Self> {
        let threads = match threads {
            0 => std::thread::available_parallelism().map_or(1, NonZero::get),
            n => n,
        };
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("staffa-compute-{i}"))
            .build()
            .map_err(|e| internal_datafusion_err!("no compute pool: {e}"))?;
        Ok(Self {
            threads,
            pool,
            jobs: Arc::default(),
            buffers: Buffers::new(BUFFERS_BYTES),
            gpus: KnownGpus::default(),
        })
    }

    /// Threads of the compute pool.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Memory for the bytes of files.
    pub fn buffers(&self) -> &Arc<Buffers> {
        &self.buffers
    }

    /// Jobs that the compute pool has not ended: queued or running, of all queries.
    pub fn jobs(&self) -> usize {
        self.jobs.load(Ordering::Acquire)
    }

    /// The GPU with pools of these limits, opened when first asked for (0.1 to 0.5 s where there is one).
    ///
    /// # Errors
    /// Why none can be used, a context that was lost since included. Where the device was busy or full, it is
    /// asked again after a pause.
    pub fn gpu(&self, limits: GpuLimits) -> Result<Arc<Gpu>, Reason> {
        self.gpus.get(limits)
    }

    /// Closes the GPUs that no plan and no query holds, with all their memory; the next that asks opens them
    /// again. How many are still held.
    pub fn release_gpus(&self) -> usize {
        self.gpus.release()
    }

    /// Runs `work` on the compute pool (where rayon's parallel iterators use all its threads)
    /// and waits for it without holding a thread of the caller's.
    ///
    /// # Errors
    /// The work's own, or an internal error when it panicked.
    pub async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let job = Job::new(&self.jobs);
        self.pool.spawn(move || {
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            // The receiver is gone when the query was cancelled: nobody wants the result.
            let _ = sender.send(result.unwrap_or_else(|panic| Err(panic_error(panic.as_ref()))));
            drop(job);
        });
        match receiver.await {
            Ok(result) => result,
            Err(_) => exec_err!("the compute pool was shut down"),
        }
    }
}

/// Counts a job for as long as it lives.
struct Job(Arc<AtomicUsize>);

impl Job {
    fn new(jobs: &Arc<AtomicUsize>) -> Self {
        jobs.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(jobs))
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// An internal error that carries a panic's message.
pub fn panic_error(panic: &(dyn std::any::Any + Send)) -> datafusion_common::DataFusionError {
    let message = panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_string());
    internal_datafusion_err!("staffa panicked: {message}")
}

/// Set once when nobody wants a region's result any more. Long loops ask it between chunks.
#[derive(Debug, Clone, Default)]
pub struct CancelFlag(Arc<Flag>);

#[derive(Debug, Default)]
struct Flag {
    set: AtomicBool,
    /// Read by those who are telling something to the outside.
    telling: RwLock<()>,
}

impl CancelFlag {
    /// Asks every holder to stop, and waits for those within [`CancelFlag::unless_cancelled`].
    pub fn cancel(&self) {
        self.0.set.store(true, Ordering::Release);
        drop(self.0.telling.write());
    }

    /// Runs `tell`, which must be short, unless the region was cancelled: once [`CancelFlag::cancel`] has returned,
    /// nothing that is told this way changes any more.
    ///
    /// # Errors
    /// What `tell` raises.
    pub fn unless_cancelled(&self, tell: impl FnOnce() -> Result<()>) -> Result<()> {
        let _telling = self.0.telling.read();
        if self.0.set.load(Ordering::Acquire) { Ok(()) } else { tell() }
    }

    /// An error once the region was cancelled.
    ///
    /// # Errors
    /// "cancelled", after [`CancelFlag::cancel`].
    pub fn check(&self) -> Result<()> {
        if self.0.set.load(Ordering::Relaxed) {
            return exec_err!("cancelled");
        }
        Ok(())
    }
}

/// What every operator of a running region may use.
#[derive(Debug, Clone)]
pub struct RunContext {
    /// DataFusion's context: session settings, memory pool, disk manager.
    pub task: Arc<TaskContext>,
    /// The pools.
    pub runtime: Arc<StaffaRuntime>,
    /// Set when the region's outputs were all dropped.
    pub cancel: CancelFlag,
    /// Rows that an operator aims at in the morsels and batches it makes.
    pub morsel_rows: usize,
    /// Who runs device chains above other sources than scans; without it the CPU engine does.
    pub lifter: Option<Arc<dyn Lifter>>,
}

impl RunContext {
    /// A reservation in DataFusion's memory pool, under a name that its errors show.
    pub fn reservation(&self, name: impl Into<String>) -> MemoryReservation {
        MemoryConsumer::new(name).register(&self.task.runtime_env().memory_pool)
    }

    /// The batch size that the session asks of DataFusion's operators.
    pub fn batch_size(&self) -> usize {
        self.task.session_config().batch_size()
    }
}
