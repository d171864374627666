//! Aggregations: their halves as one where nobody sees what passes between them.

use std::sync::Arc;

use datafusion_common::Result;
use datafusion_physical_expr::expressions::Column;
use datafusion_physical_expr_common::physical_expr::PhysicalExpr;

use super::{Compiler, Draft, Need, device, fused};
use crate::plan::node::{AggregateSpec, AggregateStage, Node};
use crate::plan::pipeline::{Scope, SinkKind, Source};

impl<'a> Compiler<'a> {
    pub(super) fn aggregate(
        &mut self,
        node: &'a Node,
        spec: &Arc<AggregateSpec>,
        need: Need,
    ) -> Result<Draft> {
        let per_lane = match spec.stage {
            AggregateStage::Partial | AggregateStage::Reduce => true,
            AggregateStage::Final | AggregateStage::Single => {
                need.partitions && node.partitions > 1
            }
        };
        if per_lane
            && spec.stage == AggregateStage::Final
            && let Some((exchange, keys)) = fused::exchange(node, spec)
        {
            // What the groups came to is dealt out, in place of what the rows of each lane came to.
            let draft = self.aggregate(node, spec, Need::ROWS)?;
            let key = |at: usize| -> Arc<dyn PhysicalExpr> {
                Arc::new(Column::new(node.schema.field(at).name(), at))
            };
            let keys = keys.into_iter().map(key).collect();
            let sink = SinkKind::Exchange(keys, node.partitions);
            let id = self.finish(draft, sink, Scope::Shared, exchange.metrics.clone());
            return Ok(Self::draft(Source::Exchange(id), node.partitions, &node.schema));
        }
        if per_lane {
            let child_need =
                Need { partitions: need.partitions && node.partitions > 1, order: false };
            let child = self.node(&node.children[0], child_need)?;
            let mut child = device::aggregate(self, child, node, spec, Scope::PerLane);
            if need.partitions && child.lanes != node.partitions {
                child = self.share(child, node.partitions);
            }
            let lanes = child.lanes;
            let sink = SinkKind::Aggregate(Arc::clone(spec));
            let id = self.finish(child, sink, Scope::PerLane, node.metrics.clone());
            return Ok(Self::draft(Source::Sealed(id, Scope::PerLane), lanes, &node.schema));
        }
        // The node that reads rows, where the spec does.
        let (spec, reader) = match spec.stage {
            AggregateStage::Final => match fused::partial(&node.children[0]) {
                Some((partial, reader)) => (Arc::new(fused::fuse(partial, spec)), reader),
                None => (Arc::clone(spec), node),
            },
            _ => (Arc::clone(spec), node),
        };
        let id = match self.made(node) {
            Some(id) => id,
            None => {
                let child = self.node(&reader.children[0], Need::ROWS)?;
                let child = device::aggregate(self, child, reader, &spec, Scope::Shared);
                let sink = SinkKind::Aggregate(Arc::clone(&spec));
                let id = self.finish(child, sink, Scope::Shared, node.metrics.clone());
                self.made.push((node, id));
                self.shared.extend(node.shared.clone().map(|shared| (id, shared)));
                id
            }
        };
        Ok(self.sealed(id, self.sealed_lanes(node, need), &node.schema))
    }
}
