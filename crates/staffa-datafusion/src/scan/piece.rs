//! The queue that lanes take their work from: files, or byte ranges of files, and once such a piece
//! is open its row groups.

use std::collections::VecDeque;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::datasource::listing::PartitionedFile;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::open::{GroupToRead, OpenFile, Opener};

#[derive(Default)]
struct State {
    /// With the partition that the metrics count them for.
    files: VecDeque<(usize, PartitionedFile)>,
    groups: VecDeque<(Arc<OpenFile>, GroupToRead)>,
    /// Lanes that are opening a file, whose row groups may be for all.
    opening: usize,
}

/// What is left to read.
pub(super) struct Pieces {
    state: Mutex<State>,
    changed: Notify,
}

enum Turn {
    Read(Arc<OpenFile>, GroupToRead),
    Open(usize, Box<PartitionedFile>),
    Wait,
    End,
}

impl Pieces {
    /// A queue over `files`, read in this order.
    pub(super) fn new(files: impl IntoIterator<Item = (usize, PartitionedFile)>) -> Self {
        let files = files.into_iter().collect();
        Self { state: Mutex::new(State { files, ..State::default() }), changed: Notify::new() }
    }

    /// The next row group to read; opens files as needed. `None` when all are taken.
    ///
    /// # Errors
    /// Opening a file.
    pub(super) async fn next(
        &self,
        opener: &Arc<Opener>,
    ) -> Result<Option<(Arc<OpenFile>, GroupToRead)>> {
        loop {
            // Before the look at the state, so that a change after it is not missed.
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            match self.turn() {
                Turn::Read(file, group) => return Ok(Some((file, group))),
                Turn::End => return Ok(None),
                Turn::Wait => changed.await,
                Turn::Open(partition, file) => {
                    let opening = Opening(self);
                    let opened = opener.open(partition, *file).await?;
                    if let Some((file, groups)) = opened {
                        let groups = groups.into_iter().map(|group| (Arc::clone(&file), group));
                        self.state.lock().groups.extend(groups);
                    }
                    drop(opening);
                }
            }
        }
    }

    fn turn(&self) -> Turn {
        let mut state = self.state.lock();
        if let Some((file, group)) = state.groups.pop_front() {
            return Turn::Read(file, group);
        }
        if let Some((partition, file)) = state.files.pop_front() {
            state.opening += 1;
            return Turn::Open(partition, Box::new(file));
        }
        if state.opening > 0 { Turn::Wait } else { Turn::End }
    }
}

/// Counts a lane that opens a file, also when it errs or is dropped.
struct Opening<'a>(&'a Pieces);

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        self.0.state.lock().opening -= 1;
        self.0.changed.notify_waiters();
    }
}
