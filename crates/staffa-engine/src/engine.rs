//! The seam between the engines: what compiles a pipeline, and what runs it.

use std::any::Any;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use datafusion_common::Result;
use futures::Stream;
use staffa_common::Reason;

use crate::bound::BoundExpr;
use crate::plan::Pipeline;
use crate::{Morsel, RunContext};

/// A lane: one sequential stream of morsels.
pub type LaneStream = Pin<Box<dyn Stream<Item = Result<Morsel>> + Send>>;

/// An estimate of what running a pipeline costs, in nanoseconds of the whole device.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Cost {
    /// Time of the pipeline's operators.
    pub run_ns: f64,
    /// Time to bring inputs to the device and outputs back.
    pub transfer_ns: f64,
}

impl Cost {
    /// Both together.
    pub fn total_ns(self) -> f64 {
        self.run_ns + self.transfer_ns
    }
}

/// Compiles pipelines. An engine that lacks an operator says so in [`Engine::check`] with a reason.
pub trait Engine: Send + Sync {
    /// `cpu` or `gpu:0`.
    fn name(&self) -> String;

    /// Whether this engine runs the pipeline, at what cost, or why not.
    ///
    /// # Errors
    /// The coded reason why not.
    fn check(&self, pipeline: &Pipeline) -> Result<Cost, Reason>;

    /// Makes the pipeline runnable.
    ///
    /// # Errors
    /// Expressions that do not bind.
    fn compile(&self, pipeline: &Pipeline, context: &Arc<RunContext>) -> Result<Compiled>;
}

/// A compiled pipeline: factories of what each lane runs, and the sink its lanes share.
pub struct Compiled {
    /// The chain of operators, source side first.
    pub ops: Vec<Box<dyn OpFactory>>,
    /// Where the lanes end, unless they stream out.
    pub sink: Option<Arc<dyn Sink>>,
}

/// Which lane an operator is made for.
#[derive(Debug, Clone, Copy)]
pub struct Lane {
    /// The lane's index in its pipeline.
    pub index: usize,
    /// How many lanes share the operator's build side (1 when each lane has its own).
    pub sharers: usize,
}

/// Makes the operators of one pipeline stage, one per lane. State that lanes share lives here.
pub trait OpFactory: Send + Sync {
    /// An operator for a lane. `build` is the sealed build side, for operators that name one.
    ///
    /// # Errors
    /// A build side of another kind than expected.
    fn lane(&self, lane: Lane, build: Option<&Arc<dyn Sealed>>) -> Result<Box<dyn LaneOp>>;
}

/// An operator within a lane. The driver calls `push` once, then `poll_next` until it gives `None`,
/// and so on; after the input's end `end` once, then `poll_next` until `None`.
/// Output is pulled so that a fan-out never has to be held as a whole.
pub trait LaneOp: Send {
    /// Takes a morsel (never an empty one).
    ///
    /// # Errors
    /// What evaluating the operator raises.
    fn push(&mut self, morsel: Morsel) -> Result<()>;

    /// The next output that is ready, if any.
    ///
    /// # Errors
    /// What evaluating the operator raises.
    fn next(&mut self) -> Result<Option<Morsel>>;

    /// As [`LaneOp::next`], of operators that may wait: for a file, never for another lane.
    ///
    /// # Errors
    /// What evaluating the operator or reading its files raises.
    fn poll_next(&mut self, _: &mut Context<'_>) -> Poll<Result<Option<Morsel>>> {
        Poll::Ready(self.next())
    }

    /// The input has ended.
    ///
    /// # Errors
    /// What evaluating the operator raises.
    fn end(&mut self) -> Result<()> {
        Ok(())
    }

    /// True once the operator wants no more input (a limit that is reached).
    fn done(&self) -> bool {
        false
    }
}

/// Where the lanes of a pipeline end: a breaker that needs all its input.
#[async_trait]
pub trait Sink: Send + Sync {
    /// The state of one lane.
    ///
    /// # Errors
    /// What setting up raises.
    fn local(&self, lane: usize) -> Result<Box<dyn SinkLocal>>;

    /// Joins the lanes' states (in lane order) into what the next pipelines read.
    ///
    /// # Errors
    /// Out of memory, or what the operator raises.
    async fn seal(&self, locals: Vec<Box<dyn SinkLocal>>) -> Result<Arc<dyn Sealed>>;
}

/// One lane's part of a sink.
#[async_trait]
pub trait SinkLocal: Send + Any {
    /// Takes a morsel. May wait (for spilling), never for other lanes.
    ///
    /// # Errors
    /// Out of memory, or what evaluating the operator raises.
    async fn push(&mut self, morsel: Morsel) -> Result<()>;

    /// True once the sink wants no more input from this lane.
    fn done(&self) -> bool {
        false
    }

    /// For downcasting in [`Sink::seal`].
    fn into_any(self: Box<Self>) -> Box<dyn Any + Send>;
}

/// A sealed state: what a breaker left behind, read by other pipelines.
pub trait Sealed: Send + Sync {
    /// One of `lanes` streams that together give every row once. Lanes do not depend on each
    /// other, and a state may be read several times.
    /// A state that declares an order is read by a single lane.
    fn open(self: Arc<Self>, lane: usize, lanes: usize) -> LaneStream;

    /// The same for a state whose rows of equal `keys` stand together: a stream has all rows of the keys that
    /// it has, in order. One stream has them all where the state cannot be cut.
    ///
    /// # Errors
    /// What the keys raise.
    fn open_groups(
        self: Arc<Self>,
        _keys: &[BoundExpr],
        lane: usize,
        _lanes: usize,
    ) -> Result<LaneStream> {
        match lane {
            0 => Ok(self.open(0, 1)),
            _ => Ok(Box::pin(futures::stream::empty())),
        }
    }

    /// Whether it can be read after the region that made it is gone.
    fn outlives_region(&self) -> bool {
        false
    }

    /// For the operators that read a state of a kind they know.
    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}
