//! The probe side of a join.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::{Array, ArrayRef, BooleanArray, UInt32Array};
use arrow::buffer::BooleanBuffer;
use datafusion_common::{JoinType, Result};

use super::emit::Layout;
use super::lookup::{Hits, Scratch, lookup};
use super::pairs::{Cursor, Pairs, covers, with_unmatched};
use super::residual::Residual;
use super::state::JoinState;
use crate::bound::BoundExpr;
use crate::cpu::compact::Compactor;
use crate::engine::{Lane, OpFactory, Sealed};
use crate::plan::{JoinSpec, Op};
use crate::{LaneOp, Morsel, RunContext};

/// Makes the probes of a stage's lanes.
pub struct Probe {
    shared: Arc<Shared>,
}

/// What the lanes of a stage share.
struct Shared {
    spec: Arc<JoinSpec>,
    keys: Vec<BoundExpr>,
    residual: Option<Residual>,
    layout: Layout,
    context: Arc<RunContext>,
    /// Pairs that are made at a time.
    chunk: usize,
}

impl Probe {
    /// For the probe side of `spec`.
    ///
    /// # Errors
    /// Keys or a filter that do not bind.
    pub fn new(spec: &Arc<JoinSpec>, op: &Op, context: &Arc<RunContext>) -> Result<Self> {
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
            }),
        })
    }
}

impl OpFactory for Probe {
    fn lane(&self, lane: Lane, build: Option<&Arc<dyn Sealed>>) -> Result<Box<dyn LaneOp>> {
        let state = JoinState::of(build)?;
        state.share(lane.sharers);
        let shared = Arc::clone(&self.shared);
        Ok(Box::new(ProbeLane {
            done: state.is_decided(shared.spec.join_type),
            out: Compactor::new(Arc::clone(&shared.spec.schema), shared.chunk),
            shared,
            state,
            scratch: Scratch::default(),
            hits: Hits::default(),
            work: None,
            tail: None,
        }))
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

struct ProbeLane {
    shared: Arc<Shared>,
    state: Arc<JoinState>,
    done: bool,
    scratch: Scratch,
    hits: Hits,
    work: Option<Work>,
    out: Compactor,
    /// Set in the last lane once all have ended: the build row from which to go on emitting.
    tail: Option<usize>,
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

    fn end(&mut self) -> Result<()> {
        let last = self.state.leave();
        if last && self.state.visited.is_some() && !self.is_voided() {
            self.tail = Some(0);
        } else {
            self.out.end();
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
        self.state.probe_seen.store(true, Ordering::Relaxed);
        if keys.iter().any(|key| key.null_count() > 0) {
            self.state.probe_null.store(true, Ordering::Relaxed);
        }
        !self.state.probe_null.load(Ordering::Relaxed)
    }

    fn is_voided(&self) -> bool {
        self.shared.spec.null_aware && self.state.probe_null.load(Ordering::Relaxed)
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
        } else {
            work.cursor.expand(&self.hits, &state.table, shared.chunk, |_| false, &mut pairs);
        }
        let complete = work.cursor.open_row(&self.hits, work.rows);
        let ended = work.cursor.is_end(&self.hits);
        if let Some(residual) = &shared.residual {
            residual.retain(&state, &work.morsel, &mut pairs)?;
        }
        if let Some(visited) = &state.visited {
            pairs.build.iter().for_each(|&row| visited.set(row));
        }
        let outer = matches!(shared.spec.join_type, JoinType::Right | JoinType::Full);
        let all_matched = single && pairs.probe.len() == work.rows as usize;
        let (build, probe) = match outer && !all_matched {
            true => with_unmatched(pairs, &mut work.next, complete),
            false => (UInt32Array::from(pairs.build), pairs.probe),
        };
        if !probe.is_empty() {
            let probe =
                (!covers(&probe, work.rows as usize)).then(|| Arc::new(UInt32Array::from(probe)));
            let morsel =
                shared.layout.pairs(&state, &Arc::new(build), &work.morsel, probe.as_ref())?;
            self.out.push(morsel)?;
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
            let mut pairs = Pairs::default();
            cursor.expand(&self.hits, &self.state.table, self.shared.chunk, |_| false, &mut pairs);
            drop_visited(&mut pairs, |row| visited.get(row));
            residual.retain(&self.state, morsel, &mut pairs)?;
            pairs.build.iter().for_each(|&row| visited.set(row));
        }
        Ok(())
    }

    /// Keeps, drops or marks the probe rows that have a match.
    fn filter_probe(&mut self, morsel: Morsel) -> Result<()> {
        let rows = morsel.rows();
        let mut matched = vec![false; rows];
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
                    let mut pairs = Pairs::default();
                    cursor.expand(
                        &self.hits,
                        &self.state.table,
                        self.shared.chunk,
                        |row| matched[row as usize],
                        &mut pairs,
                    );
                    residual.retain(&self.state, &morsel, &mut pairs)?;
                    for &row in &pairs.probe {
                        matched[row as usize] = true;
                    }
                }
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
        if self.shared.spec.null_aware && self.state.probe_seen.load(Ordering::Relaxed) {
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

/// Drops the pairs whose build row has a match already.
fn drop_visited(pairs: &mut Pairs, visited: impl Fn(u32) -> bool) {
    let mut count = 0;
    for at in 0..pairs.build.len() {
        let (build, probe) = (pairs.build[at], pairs.probe[at]);
        pairs.build[count] = build;
        pairs.probe[count] = probe;
        count += usize::from(!visited(build));
    }
    pairs.build.truncate(count);
    pairs.probe.truncate(count);
}
