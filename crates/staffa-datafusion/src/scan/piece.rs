//! The queue that lanes take their work from: files, or byte ranges of files, once such a piece is
//! open its row groups, and at the end the rows that other lanes have not come to yet.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use datafusion::common::Result;
use datafusion::datasource::listing::PartitionedFile;
use parking_lot::Mutex;
use staffa_engine::RunContext;
use staffa_engine::run::wake_apart;

use super::group::{GroupStream, Part};
use super::open::{GroupToRead, OpenFile, Opener};
use super::prune::ruled_out;

#[derive(Default)]
struct State {
    /// With the partition that the metrics count them for.
    files: VecDeque<(usize, PartitionedFile)>,
    groups: VecDeque<(Arc<OpenFile>, GroupToRead)>,
    /// Whether the next one is the last there is, where both ends take turns.
    from_last: bool,
    /// What lanes are reading, for those that find nothing else.
    reading: Vec<Weak<Part>>,
    /// Lanes that are opening a file, whose row groups may be for all, or a row group.
    opening: usize,
    /// Lanes that wait for what those find.
    waiting: Vec<Waker>,
}

/// A half of a row group is worth taking when it has so many morsels. What it costs is to decode
/// the dictionaries, and the page in the middle, a second time.
const WORTH_TAKING: usize = 4;

/// What is left to read.
pub(super) struct Pieces {
    state: Mutex<State>,
    /// Whether they are taken from either end in turn.
    both_ends: bool,
}

enum Turn {
    Read(Arc<OpenFile>, GroupToRead),
    Open(usize, Box<PartitionedFile>),
    End,
}

impl Pieces {
    /// A queue over `files`, read in this order, or from both ends of it.
    pub(super) fn new(
        files: impl IntoIterator<Item = (usize, PartitionedFile)>,
        both_ends: bool,
    ) -> Self {
        let files = files.into_iter().collect();
        Self { state: Mutex::new(State { files, ..State::default() }), both_ends }
    }

    /// The next rows to read; opens files as needed. `None` when all are taken.
    /// `dynamic` says that the scan's predicate may rule row groups out by now, `takes_off` that
    /// the rows of others may be taken when nothing else is left.
    ///
    /// # Errors
    /// Opening a file.
    pub(super) async fn next(
        &self,
        opener: &Arc<Opener>,
        context: &RunContext,
        dynamic: bool,
        takes_off: bool,
    ) -> Result<Option<GroupStream>> {
        let Some((file, group, opening)) = self.turn_to(opener, dynamic).await? else {
            return if takes_off { self.take_off(opener, context) } else { Ok(None) };
        };
        let stream = GroupStream::new(file, group, context)?;
        self.state.lock().reading.push(Arc::downgrade(stream.part()));
        drop(opening);
        Ok(Some(stream))
    }

    /// The next row group, whole: no other lane takes rows off it.
    ///
    /// # Errors
    /// Opening a file.
    pub(super) async fn group(
        &self,
        opener: &Arc<Opener>,
        dynamic: bool,
    ) -> Result<Option<(Arc<OpenFile>, GroupToRead)>> {
        let turn = self.turn_to(opener, dynamic).await?;
        Ok(turn.map(|(file, group, _)| (file, group)))
    }

    async fn turn_to(
        &self,
        opener: &Arc<Opener>,
        dynamic: bool,
    ) -> Result<Option<(Arc<OpenFile>, GroupToRead, Opening<'_>)>> {
        loop {
            match poll_fn(|cx| self.turn(cx)).await {
                Turn::Read(file, group) => {
                    let opening = Opening(self);
                    if !dynamic || !ruled_out(&file, group.index) {
                        return Ok(Some((file, group, opening)));
                    }
                }
                Turn::End => return Ok(None),
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

    /// Half of what the lane with the most rows still has to read.
    fn take_off(&self, opener: &Opener, context: &RunContext) -> Result<Option<GroupStream>> {
        let part = {
            let mut state = self.state.lock();
            state.reading.retain(|part| part.strong_count() > 0);
            let parts: Vec<Arc<Part>> = state.reading.iter().filter_map(Weak::upgrade).collect();
            let most = parts.iter().max_by_key(|part| part.left());
            most.and_then(|part| part.split((WORTH_TAKING * context.morsel_rows) as u64))
        };
        let Some(part) = part else {
            return Ok(None);
        };
        opener.halves.add(1);
        let stream = GroupStream::of(part, context)?;
        self.state.lock().reading.push(Arc::downgrade(stream.part()));
        Ok(Some(stream))
    }

    fn turn(&self, cx: &mut Context<'_>) -> Poll<Turn> {
        let mut state = self.state.lock();
        let last = self.both_ends && state.from_last;
        if let Some((file, group)) = take(&mut state.groups, last) {
            state.opening += 1;
            state.from_last = !last;
            return Poll::Ready(Turn::Read(file, group));
        }
        if let Some((partition, file)) = take(&mut state.files, last) {
            state.opening += 1;
            state.from_last = !last;
            return Poll::Ready(Turn::Open(partition, Box::new(file)));
        }
        if state.opening == 0 {
            return Poll::Ready(Turn::End);
        }
        state.waiting.push(cx.waker().clone());
        Poll::Pending
    }
}

fn take<T>(queue: &mut VecDeque<T>, last: bool) -> Option<T> {
    if last { queue.pop_back() } else { queue.pop_front() }
}

/// Counts a lane that opens something, also when it errs or is dropped.
struct Opening<'a>(&'a Pieces);

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.opening -= 1;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(wake_apart);
    }
}
