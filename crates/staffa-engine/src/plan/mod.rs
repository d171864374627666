//! The typed plans: a region's tree of nodes, and the pipelines it compiles to. No arrays in here.

mod compile;
mod lift;
mod node;
mod pipeline;
mod same;
mod scan;
mod shared;
mod sideways;

pub use compile::{compile, dealt_by};
pub use lift::{Lift, LiftRun, Lifter};
pub use node::{
    AggregateSpec, AggregateStage, FilterSpec, JoinKind, JoinSpec, LimitSpec, Node, NodeOp,
    ProjectSpec, RepartitionSpec, SortSpec, TopGroups, WindowSpec,
};
pub use pipeline::{
    LateColumn, LateColumns, Op, OpKind, Overflow, Pipeline, PipelineId, Program, Scope, SinkKind,
    Source,
};
pub use same::Same;
pub use scan::{Place, Scan, ScanAggregate, ScanBehind, ScanLanes, ScanRequest, ScanRun};
pub use shared::{Shared, Slot};
pub use sideways::Sideways;
