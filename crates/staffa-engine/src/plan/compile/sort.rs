//! Sorts and merges: one sort of everything where nobody sees partitions, top-Ks in two steps where that pays.

use std::sync::Arc;

use datafusion_common::Result;
use datafusion_physical_expr_common::sort_expr::LexOrdering;

use super::late::{self, Late};
use super::{Compiler, Draft, Need};
use crate::plan::node::{Node, NodeOp, SortSpec};
use crate::plan::pipeline::{OpKind, Scope, SinkKind, Source};

impl<'a> Compiler<'a> {
    pub(super) fn sort(
        &mut self,
        node: &'a Node,
        spec: &Arc<SortSpec>,
        need: Need,
    ) -> Result<Draft> {
        if spec.fetch.is_none() && !need.order {
            // Nobody sees the order.
            return self.node(&node.children[0], Need { order: false, ..need });
        }
        let per_lane = spec.preserve_partitioning && node.partitions > 1;
        if !per_lane && let Some(id) = self.made(node) {
            return Ok(self.sealed(id, 1, &node.schema));
        }
        let child_need = Need { partitions: per_lane && need.partitions, order: false };
        let mut child = self.node(&node.children[0], child_need)?;
        if !per_lane && let Some(late) = late::split(&mut child, spec)? {
            return Ok(self.fetched(child, late, node));
        }
        let sink = SinkKind::Sort(Arc::clone(spec));
        if per_lane {
            let lanes = child.lanes;
            let id = self.finish(child, sink, Scope::PerLane, node.metrics.clone());
            return Ok(Self::draft(Source::Sealed(id, Scope::PerLane), lanes, &node.schema));
        }
        let id = self.finish(child, sink, Scope::Shared, node.metrics.clone());
        self.made.push((node, id));
        Ok(self.sealed(id, 1, &node.schema))
    }

    pub(super) fn merge(
        &mut self,
        node: &'a Node,
        ordering: &LexOrdering,
        fetch: Option<usize>,
        need: Need,
    ) -> Result<Draft> {
        let child = &node.children[0];
        if !need.order && fetch.is_none() {
            return self.coalesce(node, None, need);
        }
        // A projection in between keeps the order.
        let (project, sort) = match &child.op {
            NodeOp::Project(spec) => (Some(spec), &child.children[0]),
            _ => (None, child),
        };
        if let NodeOp::Sort(spec) = &sort.op
            && spec.is_merged_by(ordering, project.map(Arc::as_ref))
        {
            // One sort of everything, instead of a sort per partition and a merge.
            let made = self.made(node).map(|id| self.sealed(id, 1, &sort.schema));
            let draft = match made {
                Some(draft) => draft,
                None => {
                    let spec = Arc::new(SortSpec {
                        ordering: spec.ordering.clone(),
                        fetch: min_fetch(spec.fetch, fetch),
                        told: None,
                        preserve_partitioning: false,
                        dynamic_filter: spec.dynamic_filter.clone(),
                        device: spec.device.clone(),
                    });
                    let mut input = self.node(&sort.children[0], Need::ROWS)?;
                    match late::split(&mut input, &spec)? {
                        Some(late) => self.fetched(input, late, sort),
                        None => {
                            let sink = SinkKind::Sort(spec);
                            let metrics = sort.metrics.clone();
                            let id = self.finish(input, sink, Scope::Shared, metrics);
                            self.made.push((node, id));
                            self.sealed(id, 1, &sort.schema)
                        }
                    }
                }
            };
            return Ok(match project {
                Some(spec) => Self::op(draft, child, OpKind::Project(Arc::clone(spec))),
                None => draft,
            });
        }
        let draft = self.node(child, Need { partitions: false, order: true })?;
        let schema = Arc::clone(&draft.schema);
        let id = self.stream(draft);
        Ok(Self::draft(Source::Merge(id, ordering.clone(), fetch), 1, &schema))
    }

    /// A top-K whose rows are completed once they are known. Not one to be read again where the same sub-plan stands
    /// twice.
    fn fetched(&mut self, input: Draft, late: Late, sort: &Node) -> Draft {
        let Late { spec, columns } = late;
        let sink = SinkKind::Sort(spec);
        let id = self.finish(input, sink, Scope::Shared, sort.metrics.clone());
        Self::draft(Source::Fetched(id, columns), 1, &sort.schema)
    }
}

fn min_fetch(a: Option<usize>, b: Option<usize>) -> Option<usize> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
