//! Who is at work in a case, and since when: whose fault it is that a case does not end.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// An engine may take this long for one part of a case, or [`SLOWER`] times what stock took.
const LIMIT: Duration = Duration::from_secs(60);

/// How many times stock's time another engine may take before it counts as hanging. Generous: the
/// cases beside it share the machine.
const SLOWER: u32 = 10;

/// Where a case is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Stock DataFusion makes the oracle's answer, or makes it again.
    Stock,
    /// The engine under test runs; stock took this long.
    Tested(Duration),
}

/// The part a case is in, and since when. Written by the case, read by its guard.
#[derive(Debug)]
pub struct Progress(Mutex<(Part, Instant)>);

/// What became too slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overdue {
    /// The oracle: the case says nothing.
    Stock,
    /// The engine under test, after this time.
    Tested(Duration),
}

impl Default for Progress {
    fn default() -> Self {
        Self(Mutex::new((Part::Stock, Instant::now())))
    }
}

impl Progress {
    /// Stock DataFusion begins.
    pub(super) fn stock(&self) {
        self.set(Part::Stock);
    }

    /// An engine under test begins, after stock DataFusion or after another engine.
    pub(super) fn tested(&self) {
        let stock = match self.get() {
            (Part::Stock, since) => since.elapsed(),
            (Part::Tested(stock), _) => stock,
        };
        self.set(Part::Tested(stock));
    }

    /// What is overdue, if anything is.
    pub(super) fn overdue(&self) -> Option<Overdue> {
        let (part, since) = self.get();
        let taken = since.elapsed();
        match part {
            Part::Stock => (taken > LIMIT).then_some(Overdue::Stock),
            Part::Tested(stock) => {
                (taken > LIMIT.max(stock * SLOWER)).then_some(Overdue::Tested(taken))
            }
        }
    }

    fn get(&self) -> (Part, Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, part: Part) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (part, Instant::now());
    }
}
