//! Pipelines: what a region runs.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion_physical_expr_common::physical_expr::PhysicalExpr;
use datafusion_physical_expr_common::sort_expr::LexOrdering;
use datafusion_physical_plan::metrics::ExecutionPlanMetricsSet;

use super::lift::Lift;
use super::scan::{Scan, ScanLanes, ScanRequest};
use super::shared::Shared;
use super::{AggregateSpec, FilterSpec, JoinSpec, LimitSpec, ProjectSpec, SortSpec, WindowSpec};

/// The index of a pipeline in its [`Program`].
pub type PipelineId = usize;

/// Whether a breaker takes all lanes of its pipeline together, or each on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// One state from all lanes.
    Shared,
    /// One state per lane; lane `i` of the reader reads state `i`. Only that lane's input runs.
    PerLane,
}

/// Where the morsels of a pipeline come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// The partitions of an input of the region.
    Input(usize),
    /// A scan's own lanes.
    Scan(Arc<dyn Scan>, ScanRequest),
    /// The lanes of these streaming pipelines, one after the other.
    Lanes(Vec<PipelineId>),
    /// Lane `i` of each of these streaming pipelines, in turn.
    Zip(Vec<PipelineId>),
    /// What a breaker left.
    Sealed(PipelineId, Scope),
    /// What a shared breaker left in order, cut between rows whose keys differ.
    Groups(PipelineId, Vec<Arc<dyn PhysicalExpr>>),
    /// What a top-K left in order, in one lane, with the columns that its scan did not read before.
    Fetched(PipelineId, Arc<LateColumns>),
    /// The outputs of an exchange, which runs the pipeline's lanes.
    Exchange(PipelineId),
    /// One lane that merges ordered lanes; at most so many rows.
    Merge(PipelineId, LexOrdering, Option<usize>),
    /// The lanes of a streaming pipeline, whose rows go to a device for the first operators of this one.
    Lift(PipelineId, Lift),
    /// Lanes that share the lanes of a pipeline: each takes the next morsel there is. A single
    /// lane thus brings all lanes together.
    Share(PipelineId),
}

/// What becomes of the columns of a top-K's rows once these are known.
#[derive(Debug, Clone)]
pub struct LateColumns {
    /// Each column of the output.
    pub columns: Vec<LateColumn>,
    /// The scan's columns that are read for the rows, by where they lie.
    pub read: Vec<usize>,
}

/// Where a column of a top-K's rows comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LateColumn {
    /// The top-K has this one of its own.
    Held(usize),
    /// This one of those that are read.
    Read(usize),
}

/// What an operator in a pipeline does.
#[derive(Debug, Clone)]
pub enum OpKind {
    /// See [`FilterSpec`].
    Filter(Arc<FilterSpec>),
    /// See [`ProjectSpec`].
    Project(Arc<ProjectSpec>),
    /// Probes the state that a pipeline's [`SinkKind::Build`] left.
    Probe(Arc<JoinSpec>, PipelineId, Scope),
    /// See [`WindowSpec`].
    Window(Arc<WindowSpec>),
    /// See [`LimitSpec`].
    Limit(Arc<LimitSpec>),
}

/// An operator in a pipeline, with the schema of its output and the metrics of its node.
#[derive(Debug, Clone)]
pub struct Op {
    /// What it does.
    pub kind: OpKind,
    /// Schema of its input.
    pub input: SchemaRef,
    /// Schema of its output.
    pub schema: SchemaRef,
    /// Where its metrics go.
    pub metrics: ExecutionPlanMetricsSet,
}

/// What becomes of rows that do not fit into memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overflow {
    /// They go to disk. The rows that wait for them come out after all others.
    Spills,
    /// An error: the order of the output counts.
    Errs,
}

/// Where the lanes of a pipeline end.
#[derive(Debug, Clone)]
pub enum SinkKind {
    /// Nowhere: another pipeline, or the region's consumer, pulls the lanes.
    Stream,
    /// The build side of a join, and what it does with rows that do not fit into memory.
    Build(Arc<JoinSpec>, Overflow),
    /// An aggregation.
    Aggregate(Arc<AggregateSpec>),
    /// A sort or a top-K.
    Sort(Arc<SortSpec>),
    /// A distribution by hash keys over so many outputs.
    Exchange(Vec<Arc<dyn PhysicalExpr>>, usize),
}

/// A source, a chain of operators, a sink.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// Its index in the program.
    pub id: PipelineId,
    /// Where morsels come from.
    pub source: Source,
    /// Schema of the source's morsels.
    pub source_schema: SchemaRef,
    /// What is done to them, in order.
    pub ops: Vec<Op>,
    /// Where they go.
    pub sink: SinkKind,
    /// For a breaker: one state, or one per lane.
    pub scope: Scope,
    /// Breakers whose shared states are made before its own: they fill filters that its source reads.
    pub after: Vec<PipelineId>,
    /// Number of lanes.
    pub lanes: usize,
    /// Schema of the morsels that reach the sink.
    pub schema: SchemaRef,
    /// Metrics of the sink's node (for streams: of nobody).
    pub metrics: ExecutionPlanMetricsSet,
}

impl Pipeline {
    /// The rows that a limit above the operator at `at` is content with, where each row of the operator's is one
    /// of the limit's.
    pub fn enough(&self, at: usize) -> Option<usize> {
        let mut above = self.ops[at + 1..].iter().map(|op| &op.kind);
        match above.find(|kind| !matches!(kind, OpKind::Project(_)))? {
            OpKind::Limit(limit) => limit.fetch.map(|fetch| fetch.saturating_add(limit.skip)),
            _ => None,
        }
    }

    /// Whether what it finds, in whatever order, rules out more and more of its source.
    pub fn narrows(&self) -> bool {
        matches!(&self.sink, SinkKind::Aggregate(spec) if spec.dynamic_filter.is_some())
    }

    /// Whether a limit may end it before its source does.
    pub fn stops_early(&self) -> bool {
        self.ops.iter().any(|op| matches!(&op.kind, OpKind::Limit(limit) if limit.fetch.is_some()))
    }
}

/// All pipelines of a region; the last one streams the region's output.
#[derive(Debug, Clone)]
pub struct Program {
    /// Every pipeline stands after those it reads.
    pub pipelines: Vec<Pipeline>,
    /// Of the breakers whose state another region makes, or reads.
    pub shared: HashMap<PipelineId, Shared>,
}

impl Program {
    /// The pipeline that streams the region's output; its lanes are the output partitions.
    pub fn root(&self) -> PipelineId {
        self.pipelines.len() - 1
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for pipeline in &self.pipelines {
            writeln!(f, "{pipeline}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{} [{} lanes]: {}", self.id, self.lanes, self.source)?;
        for op in &self.ops {
            match &op.kind {
                OpKind::Filter(_) => f.write_str(" -> filter")?,
                OpKind::Project(_) => f.write_str(" -> project")?,
                OpKind::Probe(spec, build, scope) => {
                    write!(f, " -> probe {} p{build} {scope:?}", spec.join_type)?;
                }
                OpKind::Window(_) => f.write_str(" -> window")?,
                OpKind::Limit(_) => f.write_str(" -> limit")?,
            }
        }
        if !self.after.is_empty() {
            write!(f, " after {:?}", self.after)?;
        }
        match &self.sink {
            SinkKind::Stream => f.write_str(" -> stream"),
            SinkKind::Build(..) => write!(f, " -> build {:?}", self.scope),
            SinkKind::Aggregate(spec) => {
                write!(f, " -> aggregate {:?} {:?}", spec.stage, self.scope)
            }
            SinkKind::Sort(spec) => match spec.fetch {
                Some(k) => write!(f, " -> top {k} {:?}", self.scope),
                None => write!(f, " -> sort {:?}", self.scope),
            },
            SinkKind::Exchange(_, n) => write!(f, " -> exchange hash {n}"),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(i) => write!(f, "input {i}"),
            Self::Scan(_, request) => {
                let what = if request.filter.is_some() { "filtering scan" } else { "scan" };
                match request.lanes {
                    ScanLanes::Partitions => write!(f, "{what} by partition")?,
                    ScanLanes::Shared(_) => f.write_str(what)?,
                }
                if let Some(behind) = &request.behind {
                    write!(f, " with {} operators", behind.ops.len())?;
                }
                if request.located {
                    f.write_str(" with places")?;
                }
                if request.aggregate.is_some() { f.write_str(" with states") } else { Ok(()) }
            }
            Self::Lanes(ids) => write!(f, "lanes {ids:?}"),
            Self::Zip(ids) => write!(f, "zip {ids:?}"),
            Self::Sealed(id, scope) => write!(f, "state p{id} {scope:?}"),
            Self::Groups(id, _) => write!(f, "groups p{id}"),
            Self::Fetched(id, late) => write!(f, "state p{id} and {} columns", late.read.len()),
            Self::Exchange(id) => write!(f, "exchange p{id}"),
            Self::Merge(id, _, _) => write!(f, "merge p{id}"),
            Self::Lift(id, lift) => {
                write!(f, "lift p{id} with {} operators", lift.ops)?;
                if lift.aggregate.is_some() { f.write_str(" with states") } else { Ok(()) }
            }
            Self::Share(id) => write!(f, "share p{id}"),
        }
    }
}
