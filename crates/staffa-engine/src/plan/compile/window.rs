//! Window functions.

use std::sync::Arc;

use datafusion_common::{Result, internal_err};
use datafusion_physical_expr_common::physical_expr::PhysicalExpr;

use super::{Compiler, Draft, Need};
use crate::plan::{Node, NodeOp, OpKind, Scope, SinkKind, SortSpec, Source, WindowSpec};

type Keys = [Arc<dyn PhysicalExpr>];

impl<'a> Compiler<'a> {
    /// Rows of a partition (of the window) come in one lane, in order. Where somebody sees the lanes, they are
    /// the partitions of the input, in which an exchange below has brought equal keys together; elsewhere all
    /// rows are sorted at once, if they are sorted for the window, and cut where keys change.
    pub(super) fn window(
        &mut self,
        node: &'a Node,
        spec: &Arc<WindowSpec>,
        need: Need,
    ) -> Result<Draft> {
        let child = &node.children[0];
        if !need.partitions && self.threads > 1 && Self::sorted_for(child, &spec.partition_by) {
            let draft = self.groups(child, &spec.partition_by)?;
            return Ok(Self::op(draft, node, OpKind::Window(Arc::clone(spec))));
        }
        // An order that the input declares is kept even where no key asks for it, as DataFusion does.
        let draft = self.node(child, Need { partitions: true, order: child.ordered })?;
        if draft.lanes != node.partitions {
            return internal_err!("a window has {} lanes, not {}", draft.lanes, node.partitions);
        }
        Ok(Self::op(draft, node, OpKind::Window(Arc::clone(spec))))
    }

    /// Whether `node` is a sort of everything for partitions of `keys`, with nothing on top but windows whose
    /// partitions are made of these: rows that differ in fewer keys differ in all of them.
    fn sorted_for(node: &Node, keys: &Keys) -> bool {
        match &node.op {
            NodeOp::Sort(sort) => !keys.is_empty() && sort.fetch.is_none(),
            NodeOp::Window(below) => {
                below.partition_by.iter().all(|key| keys.contains(key))
                    && Self::sorted_for(&node.children[0], &below.partition_by)
            }
            _ => false,
        }
    }

    /// The rows of a node that [`Self::sorted_for`] accepts, cut between rows that differ in `keys`.
    fn groups(&mut self, node: &'a Node, keys: &Keys) -> Result<Draft> {
        match &node.op {
            NodeOp::Window(below) => {
                let draft = self.groups(&node.children[0], &below.partition_by)?;
                Ok(Self::op(draft, node, OpKind::Window(Arc::clone(below))))
            }
            NodeOp::Sort(sort) => {
                let id = match self.made(node) {
                    Some(id) => id,
                    None => {
                        let spec = Arc::new(SortSpec {
                            ordering: sort.ordering.clone(),
                            fetch: None,
                            told: None,
                            preserve_partitioning: false,
                            dynamic_filter: None,
                            device: sort.device.clone(),
                        });
                        let input = self.node(&node.children[0], Need::ROWS)?;
                        let sink = SinkKind::Sort(spec);
                        let id = self.finish(input, sink, Scope::Shared, node.metrics.clone());
                        self.made.push((node, id));
                        id
                    }
                };
                let source = Source::Groups(id, keys.to_vec());
                Ok(Self::draft(source, self.threads, &node.schema))
            }
            _ => internal_err!("a window's input is not sorted for it"),
        }
    }
}
