//! Whether two sub-plans give the same rows, so that one run serves both (a CTE that is used twice).

use std::sync::Arc;

use datafusion_common::Result;
use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion_physical_expr::aggregate::AggregateFunctionExpr;
use datafusion_physical_expr::expressions::{DynamicFilterPhysicalExpr, lit};
use datafusion_physical_expr::split_conjunction;
use datafusion_physical_expr_common::physical_expr::PhysicalExpr;
use datafusion_physical_plan::joins::utils::JoinFilter;

use super::node::{AggregateSpec, JoinSpec, Node, NodeOp};

type Expr = Arc<dyn PhysicalExpr>;

/// Compares expressions of two sub-plans, each of which may read dynamic filters that joins and sorts
/// of its own fill: the first sub-plan's filter then stands for the second's.
#[derive(Debug, Default)]
pub struct Same {
    /// Pairs of filters that nodes in the same places fill.
    filled: Vec<(Arc<DynamicFilterPhysicalExpr>, Arc<DynamicFilterPhysicalExpr>)>,
}

impl Same {
    /// Whether `a` and `b` give the same rows, in any order.
    pub fn nodes(a: &Node, b: &Node) -> bool {
        Self::default().node(a, b)
    }

    fn node(&mut self, a: &Node, b: &Node) -> bool {
        a.schema == b.schema
            && a.children.len() == b.children.len()
            && self.op(&a.op, &b.op)
            && a.children.iter().zip(&b.children).all(|(a, b)| self.node(a, b))
    }

    fn op(&mut self, a: &NodeOp, b: &NodeOp) -> bool {
        match (a, b) {
            (NodeOp::Input(a), NodeOp::Input(b)) => a == b,
            (NodeOp::Scan(a), NodeOp::Scan(b)) => a.is_same(b.as_ref(), self),
            (NodeOp::Filter(a), NodeOp::Filter(b)) => {
                a.predicate.eq(&b.predicate) && a.projection == b.projection && a.fetch == b.fetch
            }
            (NodeOp::Project(a), NodeOp::Project(b)) => a.exprs == b.exprs,
            (NodeOp::Join(a), NodeOp::Join(b)) => self.join(a, b),
            (NodeOp::Aggregate(a), NodeOp::Aggregate(b)) => {
                self.fills(a.dynamic_filter.as_ref(), b.dynamic_filter.as_ref());
                aggregate(a, b)
            }
            (NodeOp::Sort(a), NodeOp::Sort(b)) => {
                self.fills(a.dynamic_filter.as_ref(), b.dynamic_filter.as_ref());
                a.ordering == b.ordering
                    && a.fetch == b.fetch
                    && a.preserve_partitioning == b.preserve_partitioning
            }
            (NodeOp::Limit(a), NodeOp::Limit(b)) => {
                a.skip == b.skip && a.fetch == b.fetch && a.global == b.global
            }
            (NodeOp::Repartition(a), NodeOp::Repartition(b)) => {
                a.hash == b.hash && a.partitions == b.partitions
            }
            (NodeOp::Coalesce(a), NodeOp::Coalesce(b)) => a == b,
            (NodeOp::Merge(a, fetch), NodeOp::Merge(b, other)) => a == b && fetch == other,
            (NodeOp::Union, NodeOp::Union)
            | (NodeOp::Interleave, NodeOp::Interleave)
            | (NodeOp::Pass, NodeOp::Pass) => true,
            _ => false,
        }
    }

    fn join(&mut self, a: &JoinSpec, b: &JoinSpec) -> bool {
        self.fills(a.dynamic_filter.as_ref(), b.dynamic_filter.as_ref());
        a.kind == b.kind
            && a.on == b.on
            && same_condition(a.filter.as_ref(), b.filter.as_ref())
            && a.join_type == b.join_type
            && a.null_equality == b.null_equality
            && a.null_aware == b.null_aware
            && a.partitioned == b.partitioned
            && a.output == b.output
            && a.fetch == b.fetch
    }

    fn fills(
        &mut self,
        a: Option<&Arc<DynamicFilterPhysicalExpr>>,
        b: Option<&Arc<DynamicFilterPhysicalExpr>>,
    ) {
        if let (Some(a), Some(b)) = (a, b) {
            self.filled.push((Arc::clone(a), Arc::clone(b)));
        }
    }

    /// Whether what passes a predicate of the first sub-plan serves for one of the second.
    ///
    /// The second may have dynamic filters from outside on top: they are advisory, and the rows that
    /// they would keep out are there anyway.
    pub fn predicates(&self, a: Option<&Expr>, b: Option<&Expr>) -> bool {
        let own: Vec<_> = self.filled.iter().map(|(a, _)| a).collect();
        let other: Vec<_> = self.filled.iter().map(|(_, b)| b).collect();
        let (Ok(a), Ok(mut b)) = (named(a, &own), named(b, &other)) else {
            return false;
        };
        b.retain(|conjunct| a.contains(conjunct) || !conjunct.is::<DynamicFilterPhysicalExpr>());
        a == b
    }
}

/// The conjuncts of `predicate`, with the number of the filter in place of each of `filters`.
fn named(
    predicate: Option<&Expr>,
    filters: &[&Arc<DynamicFilterPhysicalExpr>],
) -> Result<Vec<Expr>> {
    let conjuncts = predicate.map(split_conjunction).unwrap_or_default();
    let name = |conjunct: &Expr| {
        Arc::clone(conjunct)
            .transform_down(|node| {
                let dynamic = node.downcast_ref::<DynamicFilterPhysicalExpr>();
                let id = dynamic.map(PhysicalExpr::expression_id);
                let at = id.and_then(|id| filters.iter().position(|f| f.expression_id() == id));
                Ok(match at {
                    Some(at) => Transformed::yes(lit(format!("dynamic filter {at}"))),
                    None => Transformed::no(node),
                })
            })
            .data()
    };
    conjuncts.into_iter().map(name).collect()
}

fn same_condition(a: Option<&JoinFilter>, b: Option<&JoinFilter>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => {
            a.expression() == b.expression()
                && a.column_indices() == b.column_indices()
                && a.schema() == b.schema()
        }
        _ => false,
    }
}

fn aggregate(a: &AggregateSpec, b: &AggregateSpec) -> bool {
    a.stage == b.stage
        && a.group_by == b.group_by
        && a.aggregates.len() == b.aggregates.len()
        && a.aggregates.iter().zip(&b.aggregates).all(|(a, b)| same_function(a, b))
        && a.filters == b.filters
        && a.limit == b.limit
        && a.top == b.top
}

fn same_function(a: &AggregateFunctionExpr, b: &AggregateFunctionExpr) -> bool {
    a == b
        && a.is_distinct() == b.is_distinct()
        && a.ignore_nulls() == b.ignore_nulls()
        && a.is_reversed() == b.is_reversed()
        && a.order_bys() == b.order_bys()
}
