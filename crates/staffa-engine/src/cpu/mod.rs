//! The CPU engine: compiles pipelines to operators over Arrow arrays.

pub mod aggregate;
pub mod batches;
pub(crate) mod compact;
pub mod exchange;
mod filter;
pub mod join;
mod limit;
pub mod predicate;
mod project;
pub mod sort;
pub mod window;

use std::sync::Arc;

use datafusion_common::Result;
use staffa_common::Reason;

use crate::RunContext;
use crate::engine::{Compiled, Cost, Engine, OpFactory, Sink};
use crate::plan::{Op, OpKind, Pipeline, SinkKind};

/// The CPU engine. It runs every pipeline there is.
#[derive(Debug, Default)]
pub struct CpuEngine;

impl Engine for CpuEngine {
    fn name(&self) -> String {
        "cpu".to_string()
    }

    fn check(&self, _: &Pipeline) -> Result<Cost, Reason> {
        Ok(Cost::default())
    }

    fn compile(&self, pipeline: &Pipeline, context: &Arc<RunContext>) -> Result<Compiled> {
        let ops = (0..pipeline.ops.len())
            .map(|at| factory(&pipeline.ops[at], pipeline.enough(at), context))
            .collect::<Result<_>>()?;
        let sink: Option<Arc<dyn Sink>> = match &pipeline.sink {
            SinkKind::Stream | SinkKind::Exchange(..) => None,
            SinkKind::Build(spec, _) => {
                Some(Arc::new(join::BuildSink::new(spec, pipeline, context)?))
            }
            SinkKind::Aggregate(spec) => {
                Some(Arc::new(aggregate::AggregateSink::new(spec, pipeline, context)?))
            }
            SinkKind::Sort(spec) => Some(Arc::new(sort::SortSink::new(spec, pipeline, context)?)),
        };
        Ok(Compiled { ops, sink })
    }
}

/// Makes an operator. `enough`: the rows that a limit right above is content with.
fn factory(
    op: &Op,
    enough: Option<usize>,
    context: &Arc<RunContext>,
) -> Result<Box<dyn OpFactory>> {
    Ok(match &op.kind {
        OpKind::Filter(spec) => Box::new(filter::Filter::new(spec, op, context, enough)?),
        OpKind::Project(spec) => Box::new(project::Project::new(spec, op)?),
        OpKind::Probe(spec, _, _) => Box::new(join::Probe::new(spec, op, context, enough)?),
        OpKind::Window(spec) => Box::new(window::Window::new(spec, op, context)),
        OpKind::Limit(spec) => Box::new(limit::Limit::new(spec)),
    })
}
