//! Who used a piece of memory last, on which stream, and what a new use must wait for.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::counters::Counters;
use crate::error::Result;
use crate::stream::{Core, Stream};

/// A log longer than this is looked through for uses that are done: memory that lives long, such as a
/// dictionary, is read by the streams of many queries.
const LONG: usize = 16;
/// How many are looked at per use. A use adds one, so the log shrinks; each look may ask the driver.
const LOOKS: usize = 4;

/// How work uses memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Only reads it: any number of readers at a time.
    Read,
    /// Reads and writes it with atomics that agree with other `Shared` work at the same time.
    Shared,
    /// Writes it, alone.
    Write,
}

impl Kind {
    /// Whether work of the one kind must be ordered against work of the other.
    fn conflicts(self, other: Self) -> bool {
        self == Self::Write || other == Self::Write || self != other
    }
}

/// One use: on which stream, up to which position.
#[derive(Clone)]
pub(crate) struct Access {
    core: Arc<Core>,
    position: u64,
    kind: Kind,
}

impl Access {
    fn is_known_done(&self) -> bool {
        self.core.known_done(self.position)
    }
}

/// The uses of a piece of memory that something may still have to wait for: at most one per stream
/// and kind.
///
/// Nothing is recorded in a stream when memory is used: a use is a position in its stream, and an
/// event is recorded when another stream has to wait for it, which most buffers never see.
#[derive(Default)]
pub(crate) struct AccessLog(Mutex<Vec<Access>>);

/// What a use was ordered after, from [`AccessLog::before`] to [`AccessLog::after`].
#[must_use = "a use that is not noted is not waited for"]
pub(crate) struct Seen(Vec<Access>);

impl AccessLog {
    pub(crate) fn new(accesses: Vec<Access>) -> Self {
        Self(Mutex::new(accesses))
    }

    /// The uses of a block's last owner, as its next owner must see them: whatever they were, every
    /// kind of use comes after them.
    pub(crate) fn past(accesses: Vec<Access>) -> Self {
        let log = Self::default();
        log.add(
            accesses.into_iter().map(|access| Access { kind: Kind::Write, ..access }).collect(),
        );
        log
    }

    /// Lets `core` wait, on the device, for what a use of this kind must come after.
    pub(crate) fn before(&self, core: &Core, kind: Kind) -> Result<Seen> {
        let seen = self.0.lock().clone();
        if seen.len() > LONG {
            // What is found done here is known done, and left out by `after`.
            for access in seen.iter().take(LOOKS) {
                access.core.query(access.position)?;
            }
        }
        for access in seen.iter().filter(|access| access.kind.conflicts(kind)) {
            core.wait_for(&access.core, access.position)?;
        }
        Ok(Seen(seen))
    }

    /// For a use that is ordered by other means, such as a slot that nobody else has.
    pub(crate) fn nothing_seen() -> Seen {
        Seen(Vec::new())
    }

    /// Notes the use. What it was ordered after and conflicts with need not be waited for again,
    /// except a write that readers of other streams still have to see.
    pub(crate) fn after(&self, seen: &Seen, core: &Arc<Core>, position: u64, kind: Kind) {
        let mut log = self.0.lock();
        log.retain(|access| {
            let covered = kind == Kind::Write
                && seen.0.iter().any(|old| {
                    old.core.id() == access.core.id()
                        && old.kind == access.kind
                        && old.position >= access.position
                });
            !covered && !access.is_known_done()
        });
        match log.iter_mut().find(|old| old.core.id() == core.id() && old.kind == kind) {
            Some(old) => old.position = old.position.max(position),
            None => log.push(Access { core: Arc::clone(core), position, kind }),
        }
    }

    /// Orders, runs and notes one piece of work on a stream.
    pub(crate) fn run(
        &self,
        stream: &Stream,
        kind: Kind,
        work: impl FnOnce(cudarc::driver::sys::CUstream) -> Result<()>,
    ) -> Result<()> {
        let core = stream.core();
        let seen = self.before(core, kind)?;
        let position = core.submit(work)?;
        self.after(&seen, core, position, kind);
        Ok(())
    }

    /// As [`AccessLog::run`], for work that reads the one memory and writes the other.
    pub(crate) fn copy_run(
        read: &Self,
        write: &Self,
        stream: &Stream,
        work: impl FnOnce(cudarc::driver::sys::CUstream) -> Result<()>,
    ) -> Result<()> {
        let core = stream.core();
        let seen_by_read = read.before(core, Kind::Read)?;
        let seen_by_write = write.before(core, Kind::Write)?;
        let position = core.submit(work)?;
        read.after(&seen_by_read, core, position, Kind::Read);
        write.after(&seen_by_write, core, position, Kind::Write);
        Ok(())
    }

    /// Everything noted, leaving nothing.
    pub(crate) fn take(&self) -> Vec<Access> {
        std::mem::take(&mut *self.0.lock())
    }

    /// Everything noted.
    pub(crate) fn copy(&self) -> Vec<Access> {
        self.0.lock().clone()
    }

    /// Notes other uses too.
    pub(crate) fn add(&self, accesses: Vec<Access>) {
        let mut log = self.0.lock();
        for access in accesses {
            match log
                .iter_mut()
                .find(|old| old.core.id() == access.core.id() && old.kind == access.kind)
            {
                Some(old) => old.position = old.position.max(access.position),
                None => log.push(access),
            }
        }
    }

    /// Whether all uses are done; asks the driver.
    pub(crate) fn is_done(&self) -> Result<bool> {
        let log = self.copy();
        for access in &log {
            if !access.core.query(access.position)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Blocks until all uses are done.
    pub(crate) fn synchronize(&self, counters: &Counters) -> Result<()> {
        for access in self.copy() {
            access.core.synchronize(access.position, counters)?;
        }
        Ok(())
    }

    /// Whether every use was on one stream, which then needs no wait.
    pub(crate) fn only_on(&self, core: &Core) -> bool {
        self.0.lock().iter().all(|access| access.core.id() == core.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_readers_agree_with_readers_and_sharers_with_sharers() {
        use Kind::{Read, Shared, Write};
        for (one, other, conflict) in [
            (Read, Read, false),
            (Shared, Shared, false),
            (Read, Shared, true),
            (Read, Write, true),
            (Shared, Write, true),
            (Write, Write, true),
        ] {
            assert_eq!(one.conflicts(other), conflict, "{one:?} {other:?}");
            assert_eq!(other.conflicts(one), conflict, "{other:?} {one:?}");
        }
    }
}
