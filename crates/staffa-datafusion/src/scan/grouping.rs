//! A lane's groups on the device, from the first morsel until their states are here.
//!
//! A morsel that the device made is added to the groups, and only what the device itself has counted is taken to
//! be in them. Until the states are on the host the lane remembers what it counted, as `W`: rows of a file, or the
//! host's morsels; whatever goes wrong after that (a lost context, no memory, a NaN where its place decides) leaves
//! just those rows to the CPU's path. So no row is counted twice and none is lost.

use std::sync::Arc;

use staffa_common::StaffaError;
use staffa_cuda::{DeviceBuffer, Letter, Timer};
use staffa_engine::cuda::aggregate::{Finished, Grouping, Groups, Settled};
use staffa_engine::cuda::{Gpu, GpuLane};
use staffa_engine::{GroupSet, Morsel, Passed};
use staffa_kernels::abi::{ErrorSlot, GroupState};
use staffa_kernels::expression::InputColumn;
use staffa_kernels::parquet::Context;
use staffa_parquet::cuda::DecodeContext;

use super::metrics::GroupMetrics;
use super::states::download;
use super::together::{Parked, Together, Turn};

/// Strings in the groups may point into this part of the device's budget at most; then the groups leave. There
/// are several lanes, and morsels need room too.
const KEPT_PART: u64 = 32;
/// Morsels in a row that found no room, after which a lane leaves the rest to the CPU.
const FAILURES: usize = 2;

/// What comes out of the groups.
pub(super) struct Outcome<W> {
    /// Partial states.
    pub(super) states: Vec<Morsel>,
    /// What the CPU has to do, in the order of its rows; it is in no states.
    pub(super) undone: Vec<W>,
    /// Times that the device was waited for.
    pub(super) awaits: usize,
}

impl<W> Default for Outcome<W> {
    fn default() -> Self {
        Self { states: Vec::new(), undone: Vec::new(), awaits: 0 }
    }
}

/// A lane's device.
#[derive(Clone, Copy)]
pub(super) struct Here<'a> {
    pub(super) gpu: &'a Gpu,
    pub(super) lane: &'a GpuLane,
}

impl<'a> Here<'a> {
    /// What launchers and the decoder need.
    pub(super) fn context(self, error: &'a DeviceBuffer<ErrorSlot>) -> DecodeContext<'a> {
        DecodeContext {
            kernels: Context {
                kernels: self.gpu.kernels(),
                stream: &self.lane.stream,
                memory: &self.lane.memory,
                ring: &self.lane.ring,
                error,
            },
            staging: &self.lane.staging,
            results: &self.lane.results,
            pinned: self.gpu.pinned(),
        }
    }

    fn slot(self) -> Result<DeviceBuffer<ErrorSlot>, StaffaError> {
        Ok(self.lane.memory.buffer(1, &self.lane.stream)?)
    }
}

/// A morsel on its way into the groups.
pub(super) struct Entering<W> {
    /// The columns of [`Grouping::columns`].
    pub(super) columns: Vec<InputColumn>,
    pub(super) rows: u32,
    /// The operators between the scan and the aggregation that its rows have passed.
    pub(super) passed: Option<Passed>,
    /// What the CPU has to do where the device fails.
    pub(super) work: W,
}

/// What goes into the groups: a morsel, or another lane's groups.
struct Load<W> {
    columns: Vec<InputColumn>,
    /// Of `columns`.
    rows: u32,
    /// Whether the columns are keys and results of groups.
    groups: bool,
    /// Rows that it stands for.
    counts: usize,
    passed: Option<Passed>,
    work: Vec<W>,
}

impl<W> From<Entering<W>> for Load<W> {
    fn from(morsel: Entering<W>) -> Self {
        let Entering { columns, rows, passed, work } = morsel;
        Self { columns, rows, groups: false, counts: rows as usize, passed, work: vec![work] }
    }
}

/// What the device has to say whether it counts.
struct Queued<W> {
    load: Load<W>,
    state: Letter<GroupState>,
}

/// See the module.
pub(super) struct LaneGroups<W> {
    grouping: Arc<Grouping>,
    metrics: GroupMetrics,
    morsel_rows: usize,
    groups: Option<Groups>,
    /// The last morsel, until the device says whether it counts.
    queued: Option<Queued<W>>,
    /// What is in the groups, and how many rows.
    counted: Vec<W>,
    rows: usize,
    passed: Option<Passed>,
    timers: Vec<Timer>,
    /// Whether some of the groups are on the host already.
    came_out: bool,
    failures: usize,
    retired: bool,
}

impl<W> LaneGroups<W> {
    pub(super) fn new(grouping: &Arc<Grouping>, metrics: GroupMetrics, morsel_rows: usize) -> Self {
        Self {
            grouping: Arc::clone(grouping),
            metrics,
            morsel_rows,
            groups: None,
            queued: None,
            counted: Vec::new(),
            rows: 0,
            passed: None,
            timers: Vec::new(),
            came_out: false,
            failures: 0,
            retired: false,
        }
    }

    /// Whether the CPU does the rest.
    pub(super) fn is_retired(&self) -> bool {
        self.retired
    }

    /// Whether something is to come out.
    pub(super) fn holds(&self) -> bool {
        self.queued.is_some() || !self.counted.is_empty()
    }

    /// Adds a morsel, once it is known that the one before counts.
    pub(super) async fn add(&mut self, here: Here<'_>, morsel: Entering<W>) -> Outcome<W> {
        let mut outcome = Outcome::default();
        self.settle(here, &mut outcome).await;
        let kept = self.groups.as_ref().map_or(0, Groups::kept_bytes);
        if kept > here.gpu.usage().budget_bytes / KEPT_PART {
            self.leave(here, &mut outcome).await;
        }
        self.queue(here, morsel.into(), &mut outcome).await;
        outcome
    }

    /// Brings everything out.
    pub(super) async fn flush(&mut self, here: Here<'_>) -> Outcome<W> {
        let mut outcome = Outcome::default();
        self.settle(here, &mut outcome).await;
        self.leave(here, &mut outcome).await;
        outcome
    }

    /// Ends a lane of several that make one set of groups: brings everything out, or leaves it to a lane that ends later.
    pub(super) async fn end(
        &mut self,
        here: Here<'_>,
        together: &Together<Parked<W>>,
    ) -> Outcome<W> {
        let mut outcome = Outcome::default();
        self.settle(here, &mut outcome).await;
        loop {
            match together.end(self.park()) {
                Turn::Gone | Turn::Last(None) => return outcome,
                Turn::Merge(others, None) => self.adopt(others),
                Turn::Merge(others, Some(own)) => {
                    let (less, more) = match others.groups.len() < own.groups.len() {
                        true => (others, own),
                        false => (own, others),
                    };
                    self.adopt(more);
                    self.absorb(here, less, &mut outcome).await;
                }
                Turn::Last(Some(all)) => {
                    self.adopt(all);
                    self.leave(here, &mut outcome).await;
                    return outcome;
                }
            }
        }
    }

    /// Brings out groups that other lanes made, where there are none of this one.
    pub(super) async fn bring_out(&mut self, here: Here<'_>, parked: Parked<W>) -> Outcome<W> {
        let mut outcome = Outcome::default();
        self.adopt(parked);
        self.leave(here, &mut outcome).await;
        outcome
    }

    /// The groups, if they hold anything; none are left.
    fn park(&mut self) -> Option<Parked<W>> {
        let groups = self.groups.take().filter(|_| !self.counted.is_empty())?;
        Some(Parked {
            groups,
            counted: std::mem::take(&mut self.counted),
            rows: std::mem::take(&mut self.rows),
            passed: self.passed.take(),
            timers: std::mem::take(&mut self.timers),
        })
    }

    /// Goes on with groups, where none are left.
    fn adopt(&mut self, parked: Parked<W>) {
        let Parked { groups, counted, rows, passed, timers } = parked;
        self.groups = Some(groups);
        (self.counted, self.rows, self.passed, self.timers) = (counted, rows, passed, timers);
    }

    /// Has the device merge another lane's groups with this one's.
    async fn absorb(&mut self, here: Here<'_>, parked: Parked<W>, outcome: &mut Outcome<W>) {
        let Parked { groups, counted, rows, passed, timers } = parked;
        self.timers.extend(timers);
        let finished = here.slot().and_then(|slot| {
            let context = here.context(&slot).kernels;
            Ok(groups.finish(&context)?)
        });
        match finished {
            Ok(Finished { keys, results, groups }) => {
                let columns = keys.into_iter().chain(results).collect();
                let (rows, counts) = (groups, rows);
                let load = Load { columns, rows, groups: true, counts, passed, work: counted };
                self.queue(here, load, outcome).await;
                self.settle(here, outcome).await;
            }
            Err(_) => {
                self.metrics.left.add(counted.len());
                outcome.undone.extend(counted);
            }
        }
    }

    /// Waits for the last morsel's counts; adds it again where there was no room.
    async fn settle(&mut self, here: Here<'_>, outcome: &mut Outcome<W>) {
        while let Some(Queued { load, state }) = self.queued.take() {
            outcome.awaits += 1;
            let state = state.await.ok().and_then(|state| state.first().copied());
            let settled = match (&state, &mut self.groups) {
                (Some(state), Some(groups)) => groups.settle(state),
                _ => Settled::Broken,
            };
            match settled {
                Settled::Counted => self.count(load),
                Settled::TooSmall => {
                    if self.make_room(here, outcome).await {
                        self.queue(here, load, outcome).await;
                    } else {
                        self.left(load, outcome);
                    }
                }
                Settled::Broken => {
                    self.give_up(outcome);
                    self.left(load, outcome);
                }
            }
        }
    }

    /// The device has counted a morsel, or merged groups.
    fn count(&mut self, load: Load<W>) {
        self.failures = 0;
        self.rows += load.counts;
        if let Some(passed) = load.passed {
            match &mut self.passed {
                Some(sum) => sum.add(&passed),
                None => self.passed = Some(passed),
            }
        }
        self.counted.extend(load.work);
        if load.groups {
            self.metrics.merged.add(load.rows as usize);
        } else {
            self.metrics.morsels.add(1);
            self.metrics.rows.add(load.counts);
        }
        self.read_timers();
    }

    /// Times that have been taken go to the lane's counters.
    fn read_timers(&mut self) {
        let timers = std::mem::take(&mut self.timers).into_iter();
        // A fault shows elsewhere too.
        self.timers = timers.filter_map(|timer| timer.elapsed_ns().ok()?.err()).collect();
    }

    /// A larger table, or an empty one.
    async fn make_room(&mut self, here: Here<'_>, outcome: &mut Outcome<W>) -> bool {
        let grown = match (&mut self.groups, here.slot()) {
            (Some(groups), Ok(slot)) => groups.grow(&here.context(&slot).kernels).unwrap_or(false),
            _ => false,
        };
        if grown {
            self.metrics.growths.add(1);
            return true;
        }
        if self.counted.is_empty() {
            // An empty table has no room either.
            self.groups = None;
            return false;
        }
        self.leave(here, outcome).await;
        !self.retired
    }

    /// Queues a morsel's launches: in an empty table, if they find no memory beside the groups.
    async fn queue(&mut self, here: Here<'_>, load: Load<W>, outcome: &mut Outcome<W>) {
        loop {
            if self.retired {
                return self.left(load, outcome);
            }
            match self.launch(here, &load) {
                Ok(Some(state)) => {
                    self.queued = Some(Queued { load, state });
                    return;
                }
                Ok(None) => return self.count(load),
                Err(_) if !self.is_intact(here, outcome).await => {
                    self.give_up(outcome);
                    return self.left(load, outcome);
                }
                Err(_) if self.counted.is_empty() => {
                    self.groups = None;
                    return self.left(load, outcome);
                }
                Err(_) => self.leave(here, outcome).await,
            }
        }
    }

    /// The counts on their way; none without keys, where every morsel counts.
    fn launch(
        &mut self,
        here: Here<'_>,
        load: &Load<W>,
    ) -> Result<Option<Letter<GroupState>>, StaffaError> {
        let slot = here.slot()?;
        let context = here.context(&slot).kernels;
        let mut timer = Timer::start(context.stream)?;
        let groups = match &mut self.groups {
            Some(groups) => groups,
            None => {
                let new = if load.groups { Groups::new_for_groups } else { Groups::new };
                self.groups.insert(new(&context, &self.grouping, &load.columns)?)
            }
        };
        match load.groups {
            true => groups.absorb(&context, &load.columns, load.rows)?,
            false => groups.add(&context, &load.columns, load.rows)?,
        }
        // Nothing may fail from here on without keys: the morsel counts.
        if timer.stop(context.stream).is_ok() {
            self.timers.push(timer);
        }
        match groups.state() {
            Some(state) => Ok(Some(here.lane.mailbox.post_buffer(state, 0..1, context.stream)?)),
            None => Ok(None),
        }
    }

    /// Whether the groups still hold what was counted and nothing else, after a launch failed.
    async fn is_intact(&self, here: Here<'_>, outcome: &mut Outcome<W>) -> bool {
        let Some(groups) = &self.groups else { return self.counted.is_empty() };
        let Some(state) = groups.state() else { return groups.is_intact(None) };
        match here.lane.mailbox.post_buffer(state, 0..1, &here.lane.stream) {
            Ok(letter) => {
                outcome.awaits += 1;
                let state = letter.await.ok().and_then(|state| state.first().copied());
                state.is_some_and(|state| groups.is_intact(Some(&state)))
            }
            Err(_) => false,
        }
    }

    /// Brings the groups to the host as states; the next morsel meets an empty table.
    async fn leave(&mut self, here: Here<'_>, outcome: &mut Outcome<W>) {
        let Some(groups) = self.groups.take().filter(|_| !self.counted.is_empty()) else { return };
        outcome.awaits += 2;
        match self.download(here, groups).await {
            Ok(states) => {
                self.metrics.downloads.add(1);
                self.came_out = true;
                self.counted.clear();
                self.rows = 0;
                self.passed = None;
                self.read_timers();
                outcome.states.extend(states);
            }
            Err(_) => self.give_up(outcome),
        }
    }

    async fn download(
        &mut self,
        here: Here<'_>,
        groups: Groups,
    ) -> Result<Vec<Morsel>, StaffaError> {
        let slot = here.slot()?;
        let states = download(here, &slot, &self.grouping, groups).await?;
        // Of several that come out of a lane only the first; it may turn out to be all there is.
        let set = (!self.came_out).then(GroupSet::default);
        let mut pieces = Vec::new();
        for columns in states {
            let rows = columns.first().map_or(0, |column| column.len());
            self.metrics.groups.add(rows);
            let all = Morsel::from_arrays(columns, rows);
            for start in (0..rows).step_by(self.morsel_rows.max(1)) {
                let length = self.morsel_rows.max(1).min(rows - start);
                let piece = all.slice(start, length).and_then(|piece| {
                    let columns = (0..piece.width()).map(|at| piece.column(at));
                    columns.collect::<datafusion::common::Result<Vec<_>>>()
                });
                let piece = piece.map_err(|error| StaffaError::bug(error.to_string()))?;
                // The rows are told once.
                let of_rows = if pieces.is_empty() { self.rows } else { 0 };
                let states = Morsel::from_states(piece, length, of_rows);
                let states = match &set {
                    Some(set) => states.in_set(set.clone()),
                    None => states,
                };
                pieces.push(match &self.passed {
                    Some(passed) if pieces.is_empty() => states.with_passed(passed.clone()),
                    _ => states,
                });
            }
        }
        Ok(pieces)
    }

    /// Leaves a morsel to the CPU, or what groups were made of.
    fn left(&mut self, load: Load<W>, outcome: &mut Outcome<W>) {
        self.failures += 1;
        self.retired |= self.failures >= FAILURES;
        self.metrics.left.add(load.work.len());
        outcome.undone.extend(load.work);
    }

    /// The groups are lost, or not to be believed: the CPU counts all of their rows.
    fn give_up(&mut self, outcome: &mut Outcome<W>) {
        self.retired = true;
        self.groups = None;
        self.rows = 0;
        self.passed = None;
        self.timers.clear();
        self.metrics.left.add(self.counted.len());
        outcome.undone.append(&mut self.counted);
    }
}
