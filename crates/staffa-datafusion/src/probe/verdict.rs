//! What is known of a device, and when it is measured (again).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use staffa_common::{Reason, ReasonCode, StaffaError};
use staffa_engine::context::panic_error;
use staffa_engine::cuda::cost::Figures;

/// How long things are waited for and believed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// A plan waits no longer than this for a measurement that it began or met. That one goes on, for later
    /// plans.
    pub(super) limit: Duration,
    /// A failed measurement is not repeated before; each further one pauses twice as long, up to `longest`.
    pub(super) pause: Duration,
    /// Figures are believed for so long, then measured again beside whatever runs; twice as long each time, up
    /// to `longest`.
    pub(super) fresh: Duration,
    pub(super) longest: Duration,
}

/// A device's figures, or why there are none.
pub(super) struct Verdict {
    pace: Pace,
    state: Mutex<State>,
    done: Condvar,
}

#[derive(Default)]
struct State {
    figures: Option<Known>,
    refused: Option<Refused>,
    /// When the measurement under way began.
    began: Option<Instant>,
}

struct Known {
    /// The best of the last two measurements: whatever else the machine did only made them worse.
    figures: Figures,
    last: Figures,
    at: Instant,
    fresh: Duration,
}

struct Refused {
    reason: Reason,
    at: Instant,
    pause: Duration,
    /// Device memory that it had: with more it may go.
    budget_bytes: u64,
}

impl Verdict {
    pub(super) fn new(pace: Pace) -> Self {
        Self { pace, state: Mutex::default(), done: Condvar::new() }
    }

    /// Has plans take these figures.
    pub(super) fn set(&self, figures: Figures) {
        self.record(Ok(figures), 0);
    }

    /// The figures. `measure` runs on a thread of its own, at most one at a time.
    ///
    /// # Errors
    /// Why there are none, yet or for some time.
    pub(super) fn ask(
        self: &Arc<Self>,
        budget_bytes: u64,
        measure: impl FnOnce() -> Result<Figures, StaffaError> + Send + 'static,
    ) -> Result<Figures, Reason> {
        let mut state = self.state.lock();
        if let Some(known) = &state.figures {
            let (figures, stale) = (known.figures, known.at.elapsed() >= known.fresh);
            if stale && state.began.is_none() {
                self.begin(&mut state, budget_bytes, measure);
            }
            return Ok(figures);
        }
        let refused = state.refused.as_ref().filter(|refused| {
            budget_bytes <= refused.budget_bytes && refused.at.elapsed() < refused.pause
        });
        if let Some(refused) = refused {
            return Err(refused.reason.clone());
        }
        if state.began.is_none() {
            self.begin(&mut state, budget_bytes, measure);
        }
        while let Some(began) = state.began {
            if self.done.wait_until(&mut state, began + self.pace.limit).timed_out() {
                break;
            }
        }
        let late = || {
            let limit = self.pace.limit;
            reason(format!("it takes longer than {limit:?}, and goes on"))
        };
        match (&state.figures, &state.refused) {
            (Some(known), _) => Ok(known.figures),
            (None, Some(refused)) if state.began.is_none() => Err(refused.reason.clone()),
            _ => Err(late()),
        }
    }

    fn begin(
        self: &Arc<Self>,
        state: &mut State,
        budget_bytes: u64,
        measure: impl FnOnce() -> Result<Figures, StaffaError> + Send + 'static,
    ) {
        state.began = Some(Instant::now());
        let verdict = Arc::clone(self);
        let thread = std::thread::Builder::new().name("staffa-probe".to_string());
        let spawned = thread.spawn(move || {
            let measured = catch_unwind(AssertUnwindSafe(measure)).unwrap_or_else(|panic| {
                Err(StaffaError::bug(panic_error(panic.as_ref()).strip_backtrace()))
            });
            verdict.record(measured, budget_bytes);
        });
        if let Err(error) = spawned {
            let error = StaffaError::bug(format!("no thread to measure on: {error}"));
            self.note(state, Err(error), budget_bytes);
        }
    }

    fn record(&self, measured: Result<Figures, StaffaError>, budget_bytes: u64) {
        self.note(&mut self.state.lock(), measured, budget_bytes);
        self.done.notify_all();
    }

    fn note(&self, state: &mut State, measured: Result<Figures, StaffaError>, budget_bytes: u64) {
        state.began = None;
        let Pace { pause, fresh, longest, .. } = self.pace;
        let at = Instant::now();
        match (measured, &mut state.figures) {
            (Ok(figures), None) => {
                state.figures = Some(Known { figures, last: figures, at, fresh });
            }
            (Ok(last), Some(known)) => {
                let figures = last.best(&known.last);
                let fresh = (known.fresh * 2).min(longest);
                *known = Known { figures, last, at, fresh };
            }
            // What is known stays, and is looked at again in due course.
            (Err(_), Some(known)) => known.at = at,
            (Err(error), None) => {
                let before = state.refused.as_ref().map(|refused| refused.pause);
                let pause = before.map_or(pause, |before| (before * 2).min(longest));
                let reason = reason(error.to_string());
                state.refused = Some(Refused { reason, at, pause, budget_bytes });
            }
        }
    }
}

fn reason(why: String) -> Reason {
    Reason::new(ReasonCode::NoGpu, format!("measuring the GPU: {why}"))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use staffa_common::FaultClass;

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);
    const PACE: Pace =
        Pace { limit: Duration::from_secs(60), pause: LONG, fresh: LONG, longest: LONG };

    fn figures(gpu_value_ns: f64) -> Figures {
        Figures {
            to_device_bytes_per_ns: 1.0 / gpu_value_ns,
            to_host_bytes_per_ns: 1.0,
            device_copy_bytes_per_ns: 1.0,
            launch_ns: 1.0,
            wait_ns: 1.0,
            gpu_value_ns,
            gpu_operation_ns: 1.0,
            cpu_value_ns: 1.0,
            cpu_operation_ns: 1.0,
        }
    }

    fn full() -> StaffaError {
        StaffaError::new(FaultClass::OutOfMemory, "no memory")
    }

    #[test]
    fn a_measurement_that_hangs_costs_a_plan_the_limit_once() {
        let pace = Pace { limit: Duration::from_millis(50), ..PACE };
        let verdict = Arc::new(Verdict::new(pace));
        let (go, gate) = mpsc::channel::<()>();
        let slow = move || {
            gate.recv().expect("the word to go on");
            Ok(figures(2.0))
        };
        let why = verdict.ask(1, slow).expect_err("too slow").to_string();
        assert!(why.contains("takes longer than 50ms"), "{why}");
        // Those that come later do not wait, and do not measure beside it.
        let began = Instant::now();
        let why = verdict.ask(1, || panic!("a second one")).expect_err("under way");
        assert!(why.to_string().contains("takes longer"), "{why}");
        assert!(began.elapsed() < Duration::from_secs(20));
        go.send(()).expect("somebody waits");
        while verdict.state.lock().began.is_some() {
            std::thread::yield_now();
        }
        assert_eq!(verdict.ask(1, || panic!("it is known")), Ok(figures(2.0)));
    }

    #[test]
    fn running_out_of_memory_is_remembered_for_a_while() {
        let count = Arc::new(AtomicUsize::new(0));
        let tries = |outcome: fn() -> Result<Figures, StaffaError>| {
            let count = Arc::clone(&count);
            move || {
                count.fetch_add(1, Ordering::SeqCst);
                outcome()
            }
        };
        let verdict = Arc::new(Verdict::new(PACE));
        for _ in 0..5 {
            let why = verdict.ask(10, tries(|| Err(full()))).expect_err("no memory");
            assert!(why.to_string().contains("no memory"), "{why}");
        }
        assert_eq!(count.load(Ordering::SeqCst), 1);
        // A session that may take more is another matter.
        assert_eq!(verdict.ask(11, tries(|| Ok(figures(1.0)))), Ok(figures(1.0)));
        assert_eq!(count.load(Ordering::SeqCst), 2);

        let impatient = Arc::new(Verdict::new(Pace { pause: Duration::ZERO, ..PACE }));
        impatient.ask(10, tries(|| Err(full()))).expect_err("no memory");
        assert_eq!(impatient.ask(10, tries(|| Ok(figures(1.0)))), Ok(figures(1.0)));
    }

    #[test]
    fn a_slow_run_does_not_judge_a_device_for_ever() {
        let verdict = Arc::new(Verdict::new(Pace { fresh: Duration::ZERO, ..PACE }));
        assert_eq!(verdict.ask(1, || Ok(figures(9.0))), Ok(figures(9.0)));
        // Nobody waits for the second one.
        assert_eq!(verdict.ask(1, || Ok(figures(3.0))), Ok(figures(9.0)));
        while verdict.state.lock().began.is_some() {
            std::thread::yield_now();
        }
        verdict.set(figures(5.0));
        // The best of the last two, whichever came first; and a failure changes nothing.
        assert_eq!(verdict.ask(1, || Err(full())), Ok(figures(3.0)));
        while verdict.state.lock().began.is_some() {
            std::thread::yield_now();
        }
        verdict.set(figures(5.0));
        assert_eq!(verdict.ask(1, || panic!("it goes wrong")), Ok(figures(5.0)));
    }

    #[test]
    fn a_panic_is_a_failure_like_others() {
        let verdict = Arc::new(Verdict::new(PACE));
        let why = verdict.ask(1, || panic!("it goes wrong")).expect_err("a panic").to_string();
        assert!(why.contains("it goes wrong"), "{why}");
    }
}
