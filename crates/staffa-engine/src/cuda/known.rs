//! The GPUs that a runtime has opened, by limits, and those that it could not open.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use staffa_common::Reason;

use super::gpu::Refusal;
use super::{Gpu, GpuLimits};

/// A device that was busy or full is asked again after this time, and after twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// GPUs with pools of their own for each pair of limits.
#[derive(Debug, Default)]
pub(crate) struct KnownGpus {
    by_limits: Mutex<HashMap<GpuLimits, Known>>,
}

#[derive(Debug)]
enum Known {
    Open(Arc<Gpu>),
    Refused {
        refusal: Refusal,
        at: Instant,
        /// How long it is believed, where it need not last.
        pause: Duration,
    },
}

impl Known {
    /// What is known at the time `now`, or how long to believe the next refusal.
    fn still(&self, now: Instant) -> Result<Result<Arc<Gpu>, Reason>, Duration> {
        match self {
            Self::Open(gpu) => Ok(Ok(Arc::clone(gpu))),
            Self::Refused { refusal, at, pause } => {
                if refusal.lasts || now.duration_since(*at) < *pause {
                    Ok(Err(refusal.reason.clone()))
                } else {
                    Err((*pause * 2).min(LONGEST_PAUSE))
                }
            }
        }
    }
}

impl KnownGpus {
    /// The GPU with pools of these limits.
    ///
    /// # Errors
    /// Why there is none, now or ever; a context that was lost since.
    pub(crate) fn get(&self, limits: GpuLimits) -> Result<Arc<Gpu>, Reason> {
        let mut known = self.by_limits.lock();
        let still = known.get(&limits).map_or(Err(FIRST_PAUSE), |one| one.still(Instant::now()));
        // What other limits' pools keep for later is not free otherwise. Those in use go on as they are,
        // unless this one is only about to take its share.
        for (_, other) in known.iter().filter(|(of, _)| **of != limits) {
            if let Known::Open(gpu) = other
                && (still.is_err() || gpu.is_idle())
            {
                gpu.trim();
            }
        }
        let gpu = match still {
            Ok(outcome) => outcome?,
            Err(pause) => match Gpu::open(limits) {
                Ok(gpu) => {
                    known.insert(limits, Known::Open(Arc::clone(&gpu)));
                    gpu
                }
                Err(refusal) => {
                    let reason = refusal.reason.clone();
                    known.insert(limits, Known::Refused { refusal, at: Instant::now(), pause });
                    return Err(reason);
                }
            },
        };
        drop(known);
        match gpu.lost() {
            Some(reason) => Err(reason),
            None => Ok(gpu),
        }
    }

    /// Closes the GPUs that nobody else holds; how many somebody does.
    pub(crate) fn release(&self) -> usize {
        let mut known = self.by_limits.lock();
        known.retain(|_, one| match one {
            Known::Open(gpu) => Arc::strong_count(gpu) > 1,
            Known::Refused { .. } => true,
        });
        known.values().filter(|one| matches!(one, Known::Open(_))).count()
    }
}

#[cfg(test)]
mod tests {
    use staffa_common::ReasonCode;

    use super::*;

    #[test]
    fn only_what_lasts_is_believed_for_ever() {
        let at = Instant::now();
        let refused = |lasts, pause| {
            let reason = Reason::new(ReasonCode::NoGpu, "busy");
            Known::Refused { refusal: Refusal { reason, lasts }, at, pause }
        };
        let later = |seconds| at + Duration::from_secs(seconds);
        let day = later(86_400);
        assert!(matches!(refused(true, FIRST_PAUSE).still(day), Ok(Err(_))));
        let busy = refused(false, FIRST_PAUSE);
        assert!(matches!(busy.still(at), Ok(Err(_))));
        assert_eq!(busy.still(later(1)).err(), Some(2 * FIRST_PAUSE));
        assert_eq!(refused(false, LONGEST_PAUSE).still(day).err(), Some(LONGEST_PAUSE));
    }
}
