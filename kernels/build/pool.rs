//! Runs independent jobs on a few threads.

use std::sync::Mutex;

use crate::Result;

/// Runs every job, at most `threads` at a time, and returns the results in order. All jobs run even
/// when one fails, so that one build shows all errors; the messages are then joined.
pub(crate) fn run<T: Send>(
    jobs: Vec<Box<dyn FnOnce() -> Result<T> + Send + '_>>,
    threads: usize,
) -> Result<Vec<T>> {
    let mut results: Vec<Option<Result<T>>> = jobs.iter().map(|_| None).collect();
    let queue = Mutex::new(jobs.into_iter().zip(results.iter_mut()));
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                loop {
                    let Some((job, slot)) = queue.lock().ok().and_then(|mut queue| queue.next())
                    else {
                        break;
                    };
                    *slot = Some(job());
                }
            });
        }
    });
    drop(queue);
    let mut values = Vec::new();
    let mut errors = Vec::new();
    for result in results {
        match result.unwrap_or_else(|| Err("a compile job did not run".into())) {
            Ok(value) => values.push(value),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(values) } else { Err(errors.join("\n")) }
}

/// `STAFFA_NVCC_JOBS`, else cargo's own number of jobs, else 2.
pub(crate) fn threads() -> usize {
    let number = |name: &str| std::env::var(name).ok().and_then(|v| v.parse::<usize>().ok());
    number("STAFFA_NVCC_JOBS").or_else(|| number("NUM_JOBS")).unwrap_or(2).clamp(1, 64)
}
