//! A lane goes through the spilled partitions with the rows that it has put aside.

use std::sync::Arc;

use datafusion_common::Result;
use datafusion_execution::SendableRecordBatchStream;
use datafusion_execution::memory_pool::MemoryReservation;
use futures::StreamExt;

use super::super::earlier::Earlier;
use super::super::probe::{ProbeLane, Shared};
use super::super::seal::emits_build_rows;
use super::divide::Divide;
use super::files::Stored;
use super::load::Keep;
use super::pieces::Pieces;
use super::{Hybrid, Spilled};
use crate::{LaneOp, LaneStream, Morsel};

impl Divide {
    /// The lane's input has ended: what comes out of its rows of spilled partitions. `last` says that all
    /// other lanes have ended before.
    pub(in super::super) fn passes(self, probe: &Arc<Shared>, last: bool) -> Result<LaneStream> {
        let hybrid = self.hybrid();
        if last {
            Hybrid::let_go(&hybrid);
        }
        let passes = Passes {
            spilled: Arc::clone(&hybrid.spilled),
            probe: Arc::clone(probe),
            rows: self.finish()?,
            at: 0,
            step: Step::Next,
        };
        let next = |mut passes: Passes| async move {
            Ok(passes.next().await?.map(|morsel| (morsel, passes)))
        };
        Ok(Box::pin(futures::stream::try_unfold(passes, next)))
    }
}

struct Passes {
    spilled: Arc<Spilled>,
    probe: Arc<Shared>,
    /// The lane's rows, by partition.
    rows: Vec<Stored>,
    /// The current partition.
    at: usize,
    step: Step,
}

enum Step {
    /// Go to the partition at `at`, or on to the next one that was spilled.
    Next,
    /// Probes a table.
    Probe(Box<Pass>),
    /// Puts out build rows that were read in pieces.
    Emit(Pieces, Option<Box<ProbeLane>>),
}

/// The lane's rows of a partition, on their way through one table.
struct Pass {
    lane: ProbeLane,
    rows: SendableRecordBatchStream,
    ended: bool,
    /// Rows of the batch that is with the lane.
    pushed: usize,
    from: From,
}

/// What the table is.
enum From {
    /// All of the partition, which other lanes may share.
    Whole(Keep),
    /// One piece of it; the rest.
    Piece(Pieces, MemoryReservation),
}

impl Passes {
    async fn next(&mut self) -> Result<Option<Morsel>> {
        loop {
            match &mut self.step {
                Step::Next if self.at == self.rows.len() => return Ok(None),
                Step::Next => self.begin().await?,
                Step::Probe(pass) => {
                    if let Some(morsel) = pass.lane.next()? {
                        return Ok(Some(morsel));
                    }
                    if pass.ended {
                        self.end_pass().await?;
                    } else {
                        self.feed().await?;
                    }
                }
                Step::Emit(pieces, lane) => {
                    if let Some(lane) = lane
                        && let Some(morsel) = lane.next()?
                    {
                        return Ok(Some(morsel));
                    }
                    self.probe.context.cancel.check()?;
                    match pieces.rows().await? {
                        Some(state) => {
                            let mut emits = ProbeLane::new(&self.probe, state);
                            emits.finish(true);
                            *lane = Some(Box::new(emits));
                        }
                        None => self.go_on(),
                    }
                }
            }
        }
    }

    fn go_on(&mut self) {
        self.at += 1;
        self.step = Step::Next;
    }

    /// Begins with the partition at `at`.
    async fn begin(&mut self) -> Result<()> {
        self.probe.context.cancel.check()?;
        if !self.spilled.is_spilled(self.at) {
            self.go_on();
            return Ok(());
        }
        if self.rows[self.at].rows == 0 {
            // Nothing to probe; the table need not be made.
            return self.leave().await;
        }
        if let Some((state, keep)) = self.spilled.load(self.at).await? {
            let lane = ProbeLane::new(&self.probe, state);
            return self.pass(lane, From::Whole(keep));
        }
        let reservation = self.probe.context.reservation("StaffaJoinProbe");
        let rows = self.rows[self.at].rows;
        // A bit a row of what is on disk: accounted for, but never refused.
        reservation.grow(Earlier::bytes(rows));
        let pieces = Pieces::open(&self.spilled, self.at).await?;
        self.piece(pieces, Earlier::new(rows), reservation).await
    }

    /// Probes the next piece of the partition.
    async fn piece(
        &mut self,
        mut pieces: Pieces,
        mut earlier: Earlier,
        reservation: MemoryReservation,
    ) -> Result<()> {
        let Some(state) = pieces.table().await? else {
            return self.leave().await;
        };
        earlier.begin(pieces.ended());
        let mut lane = ProbeLane::new(&self.probe, state);
        lane.earlier = Some(earlier);
        self.pass(lane, From::Piece(pieces, reservation))
    }

    fn pass(&mut self, lane: ProbeLane, from: From) -> Result<()> {
        let rows = self.rows[self.at].read(self.probe.spill_manager())?;
        self.step = Step::Probe(Box::new(Pass { lane, rows, ended: false, pushed: 0, from }));
        Ok(())
    }

    /// Pushes the next of the lane's rows, or ends the pass.
    async fn feed(&mut self) -> Result<()> {
        let Step::Probe(pass) = &mut self.step else {
            return Ok(());
        };
        self.probe.context.cancel.check()?;
        if let Some(earlier) = &mut pass.lane.earlier {
            earlier.advance(std::mem::take(&mut pass.pushed));
        }
        match pass.rows.next().await.transpose()? {
            Some(batch) => {
                pass.pushed = batch.num_rows();
                pass.lane.push(self.probe.columns.restore(&batch))
            }
            None => {
                pass.ended = true;
                // What was read in pieces is put out from the file.
                let last = matches!(pass.from, From::Whole(_))
                    && self.spilled.partition(self.at)?.lanes.leave();
                pass.lane.finish(last);
                Ok(())
            }
        }
    }

    /// A table has been probed with all of the lane's rows.
    async fn end_pass(&mut self) -> Result<()> {
        let Step::Probe(mut pass) = std::mem::replace(&mut self.step, Step::Next) else {
            return Ok(());
        };
        let earlier = pass.lane.earlier.take();
        match pass.from {
            From::Whole(keep) => {
                drop(keep);
                self.go_on();
                Ok(())
            }
            From::Piece(pieces, reservation) => {
                // Its memory goes before the next piece is read.
                drop(pass.lane);
                self.piece(pieces, earlier.unwrap_or_default(), reservation).await
            }
        }
    }

    /// The lane is done with a partition that it did not load as a whole.
    async fn leave(&mut self) -> Result<()> {
        let last = self.spilled.partition(self.at)?.lanes.leave();
        if last && emits_build_rows(self.probe.spec.join_type) {
            self.step = Step::Emit(Pieces::open(&self.spilled, self.at).await?, None);
        } else {
            self.go_on();
        }
        Ok(())
    }
}
