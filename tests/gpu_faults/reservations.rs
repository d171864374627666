//! A host that has no memory: DataFusion's memory pool refuses one of the reservations, or all from one on. The
//! answer is the right rows or DataFusion's error for it.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryPool, MemoryReservation, UnboundedMemoryPool};
use staffa::{Device, StaffaConfig};
use staffa_harness::{Run, run_query};

use crate::allocations::LIMIT;
use crate::sample::sample;
use crate::tables::{QUERIES, assert_same, expected, session, write};

/// Refusals tried in CI.
const USUAL: usize = 250;

/// Refuses the reservations that are asked for as number `from` to `to`, counted from 1.
#[derive(Debug, Default)]
struct FailingPool {
    inner: UnboundedMemoryPool,
    asked: AtomicUsize,
    from: usize,
    to: usize,
}

impl FailingPool {
    fn new(from: usize, to: usize) -> Arc<Self> {
        Arc::new(Self { from, to, ..Self::default() })
    }

    fn refused(&self) -> bool {
        self.asked.load(Ordering::Relaxed) >= self.from
    }
}

impl MemoryPool for FailingPool {
    fn name(&self) -> &'static str {
        "failing"
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.inner.grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.inner.shrink(reservation, shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let number = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        if (self.from..=self.to).contains(&number) {
            let name = reservation.consumer().name();
            return Err(DataFusionError::ResourcesExhausted(format!(
                "reservation {number}, {additional} bytes for {name}, is refused"
            )));
        }
        self.inner.try_grow(reservation, additional)
    }

    fn reserved(&self) -> usize {
        self.inner.reserved()
    }
}

impl fmt::Display for FailingPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("failing pool")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_reservation_is_an_answer_or_datafusions_error_on_the_cpu() {
    refusals(Device::Cpu).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_reservation_is_an_answer_or_datafusions_error_on_the_gpu() {
    if let Err(reason) = staffa::gpu(&StaffaConfig::default()) {
        eprintln!("SKIPPED: {reason}");
        return;
    }
    refusals(Device::Gpu).await;
}

async fn refusals(device: Device) {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path());
    let expected = expected(folder.path()).await;
    let mut places = Vec::new();
    for (number, sql) in QUERIES.iter().enumerate() {
        let pool = FailingPool::new(usize::MAX, usize::MAX);
        let answered = troubled(folder.path(), device, number, &pool, &expected).await;
        assert!(answered, "{sql}: without a refusal");
        let asked = pool.asked.load(Ordering::Relaxed);
        places.extend((1..=asked).flat_map(|at| [(number, at, at), (number, at, usize::MAX)]));
    }
    assert!(places.len() > 4 * QUERIES.len(), "only {} reservations", places.len() / 2);
    let all = places.len();
    let tried = sample(places, USUAL);
    let (mut refused, mut answers) = (0, 0);
    for &(number, from, to) in &tried {
        let pool = FailingPool::new(from, to);
        let answered = troubled(folder.path(), device, number, &pool, &expected).await;
        refused += usize::from(pool.refused());
        answers += usize::from(answered);
    }
    println!("{device:?}: {} of {all} refusals: {refused} met, {answers} answered", tried.len());
    assert!(refused * 2 + 4 >= tried.len(), "{refused} of {} were met", tried.len());
    let both = answers > 0 && answers < tried.len();
    assert!(both || tried.len() < 50, "{answers} of {} answered", tried.len());
}

/// Whether the query had an answer, which was right, rather than the pool's error.
async fn troubled(
    folder: &Path,
    device: Device,
    number: usize,
    pool: &Arc<FailingPool>,
    expected: &[Run],
) -> bool {
    let sql = QUERIES[number];
    let what = format!("reservations {} to {} refused", pool.from, pool.to);
    let ctx = session(folder, Some(device), Some(Arc::clone(pool) as Arc<dyn MemoryPool>)).await;
    let run = tokio::time::timeout(LIMIT, run_query(&ctx, sql)).await;
    let answered = match run.unwrap_or_else(|_| panic!("{what}: {sql} hangs")) {
        Ok(run) => {
            assert_same(&what, number, &expected[number], &run);
            true
        }
        Err(error) => {
            let known = matches!(error.find_root(), DataFusionError::ResourcesExhausted(_));
            assert!(known, "{what}: {sql}: {error}");
            false
        }
    };
    // Stopped tasks let go when they are next at a point where they can.
    let began = Instant::now();
    while pool.reserved() > 0 {
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "{what}: {sql} keeps {} bytes",
            pool.reserved()
        );
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    answered
}
