//! Drives one lane: pulls morsels from its source through its operators.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use datafusion_common::{Result, internal_err};
use datafusion_physical_plan::metrics::BaselineMetrics;
use futures::Stream;

use crate::{LaneOp, LaneStream, Morsel};

/// An operator with the metrics of its node.
pub(super) struct Stage {
    pub(super) op: Box<dyn LaneOp>,
    pub(super) metrics: BaselineMetrics,
}

/// A lane's source with the operators on top of it, as a stream.
pub(super) struct Chain {
    source: Option<LaneStream>,
    stages: Vec<Stage>,
    /// How many stages, from the source on, have been told that their input ended.
    ended: usize,
}

impl Chain {
    pub(super) fn new(source: LaneStream, stages: Vec<Stage>) -> Self {
        Self { source: Some(source), stages, ended: 0 }
    }

    /// Output that needs no new input: from the last stage that has any.
    fn drain(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Morsel>>> {
        let mut at = self.stages.len();
        while at > 0 {
            let stage = &mut self.stages[at - 1];
            let timer = stage.metrics.elapsed_compute().timer();
            let next = stage.op.poll_next(cx);
            timer.done();
            match ready!(next)? {
                Some(morsel) if morsel.rows() == 0 => {}
                Some(morsel) => {
                    stage.metrics.record_output(morsel.rows());
                    if at == self.stages.len() {
                        return Poll::Ready(Ok(Some(morsel)));
                    }
                    self.push(at, morsel)?;
                    at = self.stages.len();
                }
                None => at -= 1,
            }
        }
        Poll::Ready(Ok(None))
    }

    /// Counts the rows of the operators that a source has done; how many those are.
    fn count(&self, operators: &[usize]) -> Result<usize> {
        if operators.len() > self.stages.len() {
            return internal_err!("{} of {} stages passed", operators.len(), self.stages.len());
        }
        for (stage, rows) in self.stages.iter().zip(operators) {
            stage.metrics.record_output(*rows);
        }
        Ok(operators.len())
    }

    fn push(&mut self, at: usize, morsel: Morsel) -> Result<()> {
        let stage = &mut self.stages[at];
        let timer = stage.metrics.elapsed_compute().timer();
        stage.op.push(morsel)?;
        timer.done();
        Ok(())
    }

    /// A stage that wants no more makes everything below it pointless.
    fn stop_below_done(&mut self) {
        if let Some(at) = self.stages.iter().rposition(|stage| stage.op.done())
            && (self.source.is_some() || self.ended < at)
        {
            self.source = None;
            self.ended = self.ended.max(at);
        }
    }
}

impl Stream for Chain {
    type Item = Result<Morsel>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(morsel) = ready!(self.drain(cx))? {
                return Poll::Ready(Some(Ok(morsel)));
            }
            self.stop_below_done();
            let Some(source) = &mut self.source else {
                if self.ended == self.stages.len() {
                    return Poll::Ready(None);
                }
                let at = self.ended;
                self.ended += 1;
                self.stages[at].op.end()?;
                continue;
            };
            match ready!(source.as_mut().poll_next(cx)).transpose()? {
                None => self.source = None,
                Some(morsel) if morsel.passed().is_some() => {
                    let passed = morsel.passed().map_or(&[][..], |passed| &passed.operators);
                    let at = self.count(passed)?;
                    match morsel.entering() {
                        morsel if morsel.rows() == 0 => {}
                        morsel if at == self.stages.len() => return Poll::Ready(Some(Ok(morsel))),
                        morsel => self.push(at, morsel)?,
                    }
                }
                Some(morsel) if morsel.rows() == 0 => {}
                Some(morsel) if self.stages.is_empty() => {
                    return Poll::Ready(Some(Ok(morsel)));
                }
                Some(morsel) if morsel.states().is_some() => {
                    // The source did what the stages ask for, on so many rows.
                    for stage in &self.stages {
                        stage.metrics.record_output(morsel.states().unwrap_or(0));
                    }
                    return Poll::Ready(Some(Ok(morsel)));
                }
                Some(morsel) => self.push(0, morsel)?,
            }
        }
    }
}
