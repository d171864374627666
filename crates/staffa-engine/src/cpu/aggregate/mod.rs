//! Aggregation: a table per lane, radix partitions where it overflows, a parallel merge.
//!
//! Every lane fills a table of its own ([`grouped`]). One that outgrows the cache is emptied into
//! a *run*: its groups' states in the order of a radix partition of the keys' hash. Sealing merges
//! the lanes partition by partition, in parallel ([`merge`]), but for runs that share no key with
//! others ([`apart`]), which are complete as they are. Groups stay in the order of first
//! sight as long as there was a single lane and its table never overflowed; the rows of a group
//! are always taken in lane order. States are those of DataFusion's functions throughout, so that
//! partial aggregates of either kind can feed final ones of the other.

mod apart;
mod bounds;
mod deal;
mod finest;
mod fold;
mod functions;
mod grouped;
mod keys;
mod merge;
mod partition;
mod passed;
mod plan;
mod raw;
mod shifted;
mod spill;
mod table;
#[cfg(test)]
mod tests;
mod top;
mod ungrouped;
mod whole;

use std::sync::Arc;

use async_trait::async_trait;
use datafusion_common::Result;

use self::bounds::Bounds;
use self::grouped::{GroupedLocal, Layout};
use self::plan::Plan;
pub(crate) use self::plan::{GroupingSet, grouping_sets};
use self::ungrouped::UngroupedLocal;
use crate::RunContext;
use crate::engine::{Sealed, Sink, SinkLocal};
use crate::plan::{AggregateSpec, Pipeline};
use crate::run::own;

/// The sink of an aggregation.
pub struct AggregateSink {
    plan: Arc<Plan>,
    layout: Layout,
    /// How far smallest and largest values have come, where the source asks.
    bounds: Option<Arc<Bounds>>,
    context: Arc<RunContext>,
}

impl AggregateSink {
    /// An aggregation as `spec` asks for, over the morsels that reach `pipeline`'s end.
    ///
    /// # Errors
    /// Expressions that do not bind.
    pub fn new(
        spec: &Arc<AggregateSpec>,
        pipeline: &Pipeline,
        context: &Arc<RunContext>,
    ) -> Result<Self> {
        let plan = Arc::new(Plan::new(spec)?);
        Ok(Self {
            layout: Layout::new(&plan, context.runtime.threads(), pipeline),
            bounds: Bounds::new(spec)?.map(Arc::new),
            plan,
            context: Arc::clone(context),
        })
    }

    fn ungrouped(&self) -> bool {
        self.plan.spec.group_by.is_true_no_grouping()
    }
}

#[async_trait]
impl Sink for AggregateSink {
    fn local(&self, _: usize) -> Result<Box<dyn SinkLocal>> {
        if self.ungrouped() {
            return Ok(Box::new(UngroupedLocal::new(
                &self.plan,
                self.bounds.as_ref(),
                &self.context,
            )?));
        }
        Ok(Box::new(GroupedLocal::new(&self.plan, &self.layout, &self.context)?))
    }

    async fn seal(&self, locals: Vec<Box<dyn SinkLocal>>) -> Result<Arc<dyn Sealed>> {
        if self.ungrouped() {
            return ungrouped::seal(&self.plan, own::<UngroupedLocal>(locals)?);
        }
        let locals = own::<GroupedLocal>(locals)?;
        merge::seal(&self.plan, &self.layout, &self.context, locals).await
    }
}
