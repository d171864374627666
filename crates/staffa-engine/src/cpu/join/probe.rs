//! The probe side of a join.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use arrow::array::{Array, ArrayRef, BooleanArray, UInt32Array};
use arrow::buffer::BooleanBuffer;
use datafusion_common::{JoinType, Result};
use datafusion_physical_plan::SpillManager;
use datafusion_physical_plan::metrics::ExecutionPlanMetricsSet;

use super::earlier::Earlier;
use super::emit::{Layout, probe_columns};
use super::lookup::{Hits, Scratch, lookup};
use super::loops::Limits;
use super::pairs::{Cursor, Pairs, covers, with_unmatched};
use super::residual::Residual;
use super::spill::{Divide, ProbeColumns, manager};
use super::state::{JoinState, Probed};
use crate::bound::BoundExpr;
use crate::cpu::compact::Compactor;
use crate::engine::{Lane, OpFactory, Sealed};
use crate::plan::{JoinSpec, Op};
use crate::{LaneOp, LaneStream, Morsel, RunContext};

/// Makes the probes of a stage's lanes.
pub struct Probe {
    shared: Arc<Shared>,
}

/// What the lanes of a stage share.
pub(super) struct Shared {
    pub(super) spec: Arc<JoinSpec>,
    keys: Vec<BoundExpr>,
    residual: Option<Residual>,
    layout: Layout,
    pub(super) context: Arc<RunContext>,
    /// Pairs that are made at a time.
    chunk: usize,
    /// Rows that a limit right above is content with.
    enough: Option<usize>,
    /// What is written of probe rows that wait for a spilled partition.
    pub(super) columns: Arc<ProbeColumns>,
    metrics: ExecutionPlanMetricsSet,
    manager: OnceLock<SpillManager>,
}

impl Shared {
    /// Makes and reads files of probe rows.
    pub(super) fn spill_manager(&self) -> &SpillManager {
        self.manager.get_or_init(|| manager(&self.context, &self.metrics, self.columns.schema()))
    }
}

impl Probe {
    /// For the probe side of `spec`. `enough`: the rows that a limit right above is content with.
    ///
    /// # Errors
    /// Keys or a filter that do not bind.
    pub fn new(
        spec: &Arc<JoinSpec>,
        op: &Op,
        context: &Arc<RunContext>,
        enough: Option<usize>,
    ) -> Result<Self> {
        let keys = BoundExpr::all(spec.on.iter().map(|(_, probe)| probe), &op.input)?;
        let residual = match &spec.filter {
            Some(filter) => Some(Residual::new(filter, spec)?),
            None => None,
        };
        Ok(Self {
            shared: Arc::new(Shared {
                spec: Arc::clone(spec),
                keys,
                residual,
                layout: Layout::new(&spec.output, spec),
                context: Arc::clone(context),
                chunk: context.morsel_rows.max(1),
                enough,
                columns: Arc::new(ProbeColumns::new(probe_columns(spec), &op.input)),
                metrics: op.metrics.clone(),
                manager: OnceLock::new(),
            }),
        })
    }
}

impl OpFactory for Probe {
    fn lane(&self, lane: Lane, build: Option<&Arc<dyn Sealed>>) -> Result<Box<dyn LaneOp>> {
        let Probed { state, hybrid } = JoinState::of(build)?;
        state.lanes.share(lane.sharers);
        let mut probe = ProbeLane::new(&self.shared, state);
        if let Some(hybrid) = hybrid {
            hybrid.spilled.share(lane.sharers);
            // Decided is only what is in memory.
            probe.done = false;
            let manager = self.shared.spill_manager();
            let divide = Divide::new(hybrid, &self.shared.columns, manager, &self.shared.context);
            probe.later = Later::Divides(Box::new(divide));
        }
        Ok(Box::new(probe))
    }
}

/// A morsel whose pairs are being made.
struct Work {
    morsel: Morsel,
    rows: u32,
    cursor: Cursor,
    /// The first probe row that has not been decided to be without a match.
    next: u32,
}

/// A lane that probes one table.
pub(super) struct ProbeLane {
    shared: Arc<Shared>,
    state: Arc<JoinState>,
    done: bool,
    scratch: Scratch,
    hits: Hits,
    work: Option<Work>,
    out: Compactor,
    /// Set in the last lane once all have ended: the build row from which to go on emitting.
    tail: Option<usize>,
    later: Later,
    /// Where the table is a piece of one: what its rows have met in other pieces.
    pub(super) earlier: Option<Earlier>,
}

/// The rows of spilled partitions.
enum Later {
    /// There are none.
    Nothing,
    /// Put aside while the input lasts.
    Divides(Box<Divide>),
    /// What will come out of them, once all that is in memory has come out.
    Waits(LaneStream),
    /// What comes out of them.
    Passes(LaneStream),
}

impl ProbeLane {
    /// A lane that probes `state`.
    pub(super) fn new(shared: &Arc<Shared>, state: Arc<JoinState>) -> Self {
        Self {
            done: state.is_decided(shared.spec.join_type),
            out: Compactor::new(Arc::clone(&shared.spec.schema), shared.chunk, shared.enough),
            shared: Arc::clone(shared),
            state,
            scratch: Scratch::default(),
            hits: Hits::default(),
            work: None,
            tail: None,
            later: Later::Nothing,
            earlier: None,
        }
    }

    /// The input has ended; build rows come out where they are wanted and `last`, no lane probes them
    /// any more.
    pub(super) fn finish(&mut self, last: bool) {
        match last && self.state.visited.is_some() && !self.is_voided() {
            true => self.tail = Some(0),
            false => self.out.end(),
        }
    }
}

impl LaneOp for ProbeLane {
    fn push(&mut self, morsel: Morsel) -> Result<()> {
        let keys = self
            .shared
            .keys
            .iter()
            .map(|key| key.array(&morsel))
            .collect::<Result<Vec<ArrayRef>>>()?;
        if self.shared.spec.null_aware && !self.admit(&keys) {
            return Ok(());
        }
        let (morsel, keys) = match &mut self.later {
            Later::Divides(divide) => divide.take(morsel, keys)?,
            _ => (morsel, keys),
        };
        if morsel.rows() == 0 {
            return Ok(());
        }
        let state = Arc::clone(&self.state);
        lookup(&state.keys, &state.table, &keys, morsel.rows(), &mut self.scratch, &mut self.hits)?;
        match self.shared.spec.join_type {
            JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => {
                self.work = Some(Work {
                    // A morsel has fewer rows than u32::MAX.
                    rows: morsel.rows() as u32,
                    morsel,
                    cursor: Cursor::default(),
                    next: 0,
                });
                Ok(())
            }
            JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => {
                self.mark_build(&morsel)
            }
            JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => {
                self.filter_probe(morsel)
            }
        }
    }

    fn next(&mut self) -> Result<Option<Morsel>> {
        loop {
            if let Some(morsel) = self.out.next()? {
                return Ok(Some(morsel));
            }
            if let Some(work) = self.work.take() {
                self.step(work)?;
            } else if let Some(from) = self.tail.take() {
                self.emit_build(from)?;
            } else {
                return Ok(None);
            }
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Morsel>>> {
        if let Some(morsel) = self.next()? {
            return Poll::Ready(Ok(Some(morsel)));
        }
        if matches!(self.later, Later::Waits(_))
            && let Later::Waits(passes) = std::mem::replace(&mut self.later, Later::Nothing)
        {
            // Makes room for what is on disk.
            self.state = JoinState::nothing(&self.shared.context);
            self.later = Later::Passes(passes);
        }
        let Later::Passes(passes) = &mut self.later else {
            return Poll::Ready(Ok(None));
        };
        let next = ready!(passes.as_mut().poll_next(cx));
        if !matches!(next, Some(Ok(_))) {
            self.later = Later::Nothing;
        }
        Poll::Ready(next.transpose())
    }

    fn end(&mut self) -> Result<()> {
        let last = self.state.lanes.leave();
        self.finish(last);
        if let Later::Divides(divide) = std::mem::replace(&mut self.later, Later::Nothing) {
            self.later = Later::Waits(divide.passes(&self.shared, last)?);
        }
        Ok(())
    }

    fn done(&self) -> bool {
        self.done
    }
}

impl ProbeLane {
    /// NOT IN: a NULL on the probe side leaves no row. False when the morsel need not be looked at.
    fn admit(&self, keys: &[ArrayRef]) -> bool {
        self.state.seen.row.store(true, Ordering::Relaxed);
        if keys.iter().any(|key| key.null_count() > 0) {
            self.state.seen.null.store(true, Ordering::Relaxed);
        }
        !self.state.seen.null.load(Ordering::Relaxed)
    }

    fn is_voided(&self) -> bool {
        self.shared.spec.null_aware && self.state.seen.null.load(Ordering::Relaxed)
    }

    /// Makes the next chunk of a morsel's pairs.
    fn step(&mut self, mut work: Work) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        let state = Arc::clone(&self.state);
        shared.context.cancel.check()?;
        let mut pairs = Pairs::default();
        let single =
            work.cursor.is_start() && self.hits.len.is_empty() && shared.residual.is_none();
        if single {
            // One match each: the hits are the pairs.
            pairs.build = std::mem::take(&mut self.hits.first);
            pairs.probe = std::mem::take(&mut self.hits.probe);
        } else if let Some(residual) = &shared.residual {
            let limits = Limits { pairs: shared.chunk, once: false, skip: &|_| false, done: None };
            pairs = residual.pairs(&state, &work.morsel, &self.hits, &mut work.cursor, limits)?;
        } else {
            work.cursor.expand(&self.hits, &state.table, shared.chunk, |_| false, &mut pairs);
        }
        let complete = work.cursor.open_row(&self.hits, work.rows);
        let ended = work.cursor.is_end(&self.hits);
        if let Some(visited) = &state.visited {
            pairs.build.iter().for_each(|&row| visited.set(row));
        }
        let outer = matches!(shared.spec.join_type, JoinType::Right | JoinType::Full);
        let all_matched = single && pairs.probe.len() == work.rows as usize;
        if let (Some(earlier), true) = (&mut self.earlier, outer) {
            earlier.note(&pairs.probe);
        }
        // Unmatched is what no piece has matched: known in the last one.
        let knows = self.earlier.as_ref().is_none_or(Earlier::is_last);
        let (build, probe) = match outer && !all_matched && knows {
            true => {
                let known = self.earlier.as_ref();
                let matched = |row| known.is_some_and(|earlier| earlier.has(row));
                with_unmatched(pairs, &mut work.next, complete, matched)
            }
            false => (UInt32Array::from(pairs.build), pairs.probe),
        };
        if (1..=shared.chunk).contains(&probe.len()) {
            let probe =
                (!covers(&probe, work.rows as usize)).then(|| Arc::new(UInt32Array::from(probe)));
            let morsel =
                shared.layout.pairs(&state, &Arc::new(build), &work.morsel, probe.as_ref())?;
            self.out.push(morsel)?;
        } else {
            let probe = UInt32Array::from(probe);
            for from in (0..probe.len()).step_by(shared.chunk) {
                let len = shared.chunk.min(probe.len() - from);
                let (build, probe) = (build.slice(from, len), probe.slice(from, len));
                let probe = Arc::new(probe);
                let build = Arc::new(build);
                let morsel = shared.layout.pairs(&state, &build, &work.morsel, Some(&probe))?;
                self.out.push(morsel)?;
            }
        }
        if !ended {
            self.work = Some(work);
        }
        Ok(())
    }

    /// Marks the build rows that have a match; nothing comes out before the end.
    fn mark_build(&mut self, morsel: &Morsel) -> Result<()> {
        let Some(visited) = &self.state.visited else {
            return Ok(());
        };
        let Some(residual) = &self.shared.residual else {
            for at in 0..self.hits.probe.len() {
                let run = self.hits.run(at);
                if run.len == 1 {
                    visited.set(run.first);
                    continue;
                }
                let rows = &self.state.table.rows[run.first as usize..][..run.len as usize];
                // A run is marked as a whole, its last row last.
                if rows.last().is_some_and(|&row| !visited.get(row)) {
                    rows.iter().for_each(|&row| visited.set(row));
                }
            }
            return Ok(());
        };
        let mut cursor = Cursor::default();
        while !cursor.is_end(&self.hits) {
            self.shared.context.cancel.check()?;
            // What has a match needs no other.
            let limits = Limits {
                pairs: self.shared.chunk,
                once: false,
                skip: &|_| false,
                done: Some(&|row| visited.get(row)),
            };
            let pairs = residual.pairs(&self.state, morsel, &self.hits, &mut cursor, limits)?;
            pairs.build.iter().for_each(|&row| visited.set(row));
        }
        Ok(())
    }

    /// Keeps, drops or marks the probe rows that have a match.
    fn filter_probe(&mut self, morsel: Morsel) -> Result<()> {
        let rows = morsel.rows();
        let mut matched = match &self.earlier {
            Some(earlier) => (0..rows as u32).map(|row| earlier.has(row)).collect(),
            None => vec![false; rows],
        };
        match &self.shared.residual {
            None => {
                for &row in &self.hits.probe {
                    matched[row as usize] = true;
                }
            }
            Some(residual) => {
                let mut cursor = Cursor::default();
                while !cursor.is_end(&self.hits) {
                    self.shared.context.cancel.check()?;
                    let limits = Limits {
                        pairs: self.shared.chunk,
                        once: true,
                        skip: &|row| matched[row as usize],
                        done: None,
                    };
                    let hits = &self.hits;
                    let pairs = residual.pairs(&self.state, &morsel, hits, &mut cursor, limits)?;
                    for &row in &pairs.probe {
                        matched[row as usize] = true;
                    }
                }
            }
        }
        if let Some(earlier) = &mut self.earlier {
            earlier.note_all(&matched);
            if !earlier.is_last() {
                return Ok(());
            }
        }
        let matched = BooleanBuffer::from(matched);
        let out = match self.shared.spec.join_type {
            JoinType::RightMark => {
                let mark = BooleanArray::new(matched, None);
                self.shared.layout.probe_rows(morsel, Some(mark))
            }
            join_type => {
                let matched = match join_type {
                    JoinType::RightAnti => !&matched,
                    _ => matched,
                };
                let out = self.shared.layout.probe_rows(morsel, None);
                out.filter(&BooleanArray::new(matched, None))?
            }
        };
        if out.rows() > 0 {
            self.out.push(out)?;
        }
        Ok(())
    }

    /// Emits a chunk of the build rows that the join type wants after all lanes have ended.
    fn emit_build(&mut self, from: usize) -> Result<()> {
        let Some(visited) = &self.state.visited else {
            return Ok(());
        };
        self.shared.context.cancel.check()?;
        let chunk = self.shared.chunk;
        let mut rows = Vec::new();
        let mut mark = None;
        let next = match self.shared.spec.join_type {
            JoinType::LeftMark => {
                let next = (from + chunk).min(visited.rows());
                rows.extend(from as u32..next as u32);
                let marks: Vec<bool> = rows.iter().map(|&row| visited.get(row)).collect();
                mark = Some(BooleanArray::from(marks));
                next
            }
            JoinType::LeftSemi => visited.collect(from, true, chunk, &mut rows),
            _ => visited.collect(from, false, chunk, &mut rows),
        };
        if self.shared.spec.null_aware && self.state.seen.row.load(Ordering::Relaxed) {
            // NULL is in no list, and not in none either, unless the list is empty.
            if let Some(nulls) = &self.state.key_nulls {
                rows.retain(|&row| nulls.is_valid(row as usize));
            }
        }
        if !rows.is_empty() {
            let morsel = self.shared.layout.build_rows(&self.state, rows, mark)?;
            self.out.push(morsel)?;
        }
        match next < visited.rows() {
            true => self.tail = Some(next),
            false => self.out.end(),
        }
        Ok(())
    }
}
