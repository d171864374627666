//! From a region's tree to pipelines: fuses operators, drops exchanges nobody can see.
//!
//! The walk goes from the root down and carries what the node above needs ([`Need`]). A node's
//! partitions keep their identity only where somebody above depends on it (the region's own
//! outputs do); elsewhere rows may flow through any lane, so exchanges vanish, joins share one
//! table and aggregates meet in one sink. The order within partitions is kept where it is needed.

mod aggregate;
mod device;
mod fused;
mod late;
mod sort;
mod window;

pub use fused::dealt_by;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion_common::{Result, ScalarValue, internal_err};
use datafusion_physical_expr::expressions::{Literal, lit};
use datafusion_physical_expr_common::physical_expr::PhysicalExpr;
use datafusion_physical_plan::metrics::ExecutionPlanMetricsSet;

use super::node::{FilterSpec, JoinSpec, LimitSpec, Node, NodeOp};
use super::pipeline::{
    Op, OpKind, Overflow, Pipeline, PipelineId, Program, Scope, SinkKind, Source,
};
use super::same::Same;
use super::scan::{Place, Scan, ScanLanes, ScanRequest};
use super::shared::Shared;
use super::sideways::Links;

/// What the consumer of a node depends on.
#[derive(Debug, Clone, Copy)]
struct Need {
    /// Lane `i` must be the node's partition `i`.
    partitions: bool,
    /// The declared order within partitions must hold.
    order: bool,
}

impl Need {
    const ROWS: Need = Need { partitions: false, order: false };
}

/// A pipeline in the making.
struct Draft {
    source: Source,
    source_schema: SchemaRef,
    ops: Vec<Op>,
    lanes: usize,
    schema: SchemaRef,
}

/// Compiles the region rooted at `root`. `inputs` holds the partition count of each input,
/// `threads` how many lanes are worth having, `sideways` whether joins filter the build sides of joins above them.
///
/// # Errors
/// An internal error for a tree that no rule makes.
pub fn compile<'a>(
    root: &'a Node,
    inputs: &'a [usize],
    threads: usize,
    sideways: bool,
) -> Result<Program> {
    let mut compiler = Compiler {
        pipelines: Vec::new(),
        inputs,
        threads: threads.max(1),
        made: Vec::new(),
        links: if sideways { Links::of(root) } else { Links::default() },
        builds: Vec::new(),
        shared: HashMap::new(),
    };
    let need = Need { partitions: true, order: root.ordered };
    let draft = compiler.node(root, need)?;
    if draft.lanes != root.partitions {
        return internal_err!(
            "the region has {} lanes for {} partitions",
            draft.lanes,
            root.partitions
        );
    }
    compiler.stream(draft);
    Ok(Program { pipelines: compiler.pipelines, shared: compiler.shared })
}

struct Compiler<'a> {
    pipelines: Vec<Pipeline>,
    inputs: &'a [usize],
    threads: usize,
    /// Aggregates and sorts whose one state can be read again where the same sub-plan stands twice.
    made: Vec<(&'a Node, PipelineId)>,
    /// Which joins fill filters on the build sides of others.
    links: Links,
    /// The build sides that all lanes share, so far.
    builds: Vec<(&'a Node, PipelineId)>,
    shared: HashMap<PipelineId, Shared>,
}

impl<'a> Compiler<'a> {
    /// The breaker that `node` is, already compiled in another place.
    fn made(&self, node: &Node) -> Option<PipelineId> {
        self.made.iter().find(|(made, _)| Same::nodes(made, node)).map(|&(_, id)| id)
    }

    fn finish(
        &mut self,
        draft: Draft,
        sink: SinkKind,
        scope: Scope,
        metrics: ExecutionPlanMetricsSet,
    ) -> PipelineId {
        let id = self.pipelines.len();
        let mut pipeline = Pipeline {
            id,
            source: draft.source,
            source_schema: draft.source_schema,
            ops: draft.ops,
            sink,
            scope,
            after: Vec::new(),
            lanes: draft.lanes,
            schema: draft.schema,
            metrics,
        };
        let (stops_early, narrows) = (pipeline.stops_early(), pipeline.narrows());
        if let Source::Scan(scan, request) = &mut pipeline.source {
            request.stops_early = stops_early;
            // Not where somebody counts the first rows.
            request.from_both_ends = narrows && !stops_early && scan.shares();
        }
        self.pipelines.push(pipeline);
        id
    }

    fn stream(&mut self, draft: Draft) -> PipelineId {
        self.finish(draft, SinkKind::Stream, Scope::PerLane, ExecutionPlanMetricsSet::new())
    }

    fn draft(source: Source, lanes: usize, schema: &SchemaRef) -> Draft {
        Draft {
            source,
            source_schema: Arc::clone(schema),
            ops: Vec::new(),
            lanes,
            schema: Arc::clone(schema),
        }
    }

    fn node(&mut self, node: &'a Node, need: Need) -> Result<Draft> {
        // A single partition has no identity to lose, but it must come out as one lane.
        match &node.op {
            NodeOp::Input(input) => {
                Ok(Self::draft(Source::Input(*input), self.inputs[*input], &node.schema))
            }
            NodeOp::Scan(scan) => Ok(self.scan(node, scan, need)),
            NodeOp::Filter(spec) => {
                let mut draft = self.node(&node.children[0], need)?;
                let spec = Self::into_scan(&mut draft, node, spec);
                let spec = device::filter(&mut draft, node, spec);
                let mut draft = Self::op(draft, node, OpKind::Filter(Arc::clone(&spec)));
                device::behind(&mut draft, node);
                let draft = device::lifted(self, draft, node);
                Ok(match spec.fetch {
                    Some(fetch) => Self::limit(draft, node, 0, Some(fetch), false),
                    None => draft,
                })
            }
            NodeOp::Project(spec) => {
                let mut draft = self.node(&node.children[0], need)?;
                let spec = device::project(&mut draft, node, spec)?;
                let mut draft = Self::op(draft, node, OpKind::Project(spec));
                device::behind(&mut draft, node);
                Ok(device::lifted(self, draft, node))
            }
            NodeOp::Pass => self.node(&node.children[0], need),
            NodeOp::Join(spec) => self.join(node, spec, need),
            NodeOp::Aggregate(spec) => self.aggregate(node, spec, need),
            NodeOp::Sort(spec) => self.sort(node, spec, need),
            NodeOp::Window(spec) => self.window(node, spec, need),
            NodeOp::Limit(spec) => self.limit_node(node, spec, need),
            NodeOp::Union => self.union(node, need),
            NodeOp::Interleave => self.interleave(node, need),
            NodeOp::Repartition(_) => self.repartition(node, need),
            NodeOp::Coalesce(fetch) => self.coalesce(node, *fetch, need),
            NodeOp::Merge(ordering, fetch) => self.merge(node, ordering, *fetch, need),
        }
    }

    fn scan(&self, node: &Node, scan: &Arc<dyn Scan>, need: Need) -> Draft {
        let ordered = need.order && node.ordered;
        let (lanes, count) = if need.partitions || ordered || !scan.shares() {
            (ScanLanes::Partitions, node.partitions)
        } else {
            // A device makes large morsels: idle lanes take pieces of them.
            let pieces = if on_device(node) { self.threads } else { scan.pieces() };
            let count = self.threads.min(pieces).max(1);
            (ScanLanes::Shared(count), count)
        };
        let request = ScanRequest {
            lanes,
            filter: None,
            advice: self.links.read_by(node).to_vec(),
            output: None,
            located: false,
            aggregate: None,
            behind: None,
            place: node.place.clone(),
            least_rows: node.least_rows,
            stops_early: false,
            from_both_ends: false,
            metrics: node.metrics.clone(),
        };
        Self::draft(Source::Scan(Arc::clone(scan), request), count, &node.schema)
    }

    /// Has a scan right below test a filter's predicate; what is left of the filter.
    fn into_scan(draft: &mut Draft, node: &Node, spec: &Arc<FilterSpec>) -> Arc<FilterSpec> {
        let Source::Scan(scan, request) = &mut draft.source else {
            return Arc::clone(spec);
        };
        // A device tests only what it was asked whether it can.
        if matches!(request.place, Place::Gpu(_)) && !on_device(node) {
            return Arc::clone(spec);
        }
        // A scan that may not share has a limit, which counts rows before the filter.
        if !scan.shares() || !draft.ops.is_empty() || request.filter.is_some() {
            return Arc::clone(spec);
        }
        request.filter = Some(Arc::clone(&spec.predicate));
        Arc::new(FilterSpec {
            predicate: lit(true),
            projection: spec.projection.clone(),
            fetch: spec.fetch,
        })
    }

    fn op(mut draft: Draft, node: &Node, kind: OpKind) -> Draft {
        let input = std::mem::replace(&mut draft.schema, Arc::clone(&node.schema));
        draft.ops.push(Op {
            kind,
            input,
            schema: Arc::clone(&node.schema),
            metrics: node.metrics.clone(),
        });
        draft
    }

    fn limit(draft: Draft, node: &Node, skip: usize, fetch: Option<usize>, global: bool) -> Draft {
        Self::op(draft, node, OpKind::Limit(Arc::new(LimitSpec { skip, fetch, global })))
    }

    /// Lanes that read what a shared breaker left.
    fn sealed(&self, id: PipelineId, lanes: usize, schema: &SchemaRef) -> Draft {
        Self::draft(Source::Sealed(id, Scope::Shared), lanes, schema)
    }

    fn sealed_lanes(&self, node: &Node, need: Need) -> usize {
        if need.partitions { node.partitions } else { self.threads }
    }

    fn join(&mut self, node: &'a Node, spec: &Arc<JoinSpec>, need: Need) -> Result<Draft> {
        // Each partition on its own where the partitions' identity counts and is not trivial.
        let per_lane = spec.partitioned && need.partitions && node.partitions > 1;
        let scope = if per_lane { Scope::PerLane } else { Scope::Shared };
        let build_need = Need { partitions: per_lane, order: false };
        let build = self.node(&node.children[0], build_need)?;
        let sideways = self.links.filled_by(node);
        let spec = &match (on_device(node) && !per_lane, sideways) {
            (false, []) => Arc::clone(spec),
            (for_device, sideways) => {
                let sideways = sideways.to_vec();
                Arc::new(JoinSpec { for_device, sideways, ..(**spec).clone() })
            }
        };
        // Only the probe side's order lives on in the output.
        let keeps_order = need.order && node.children[1].ordered;
        let overflow = if keeps_order { Overflow::Errs } else { Overflow::Spills };
        let sink = SinkKind::Build(Arc::clone(spec), overflow);
        let build = self.finish(build, sink, scope, node.metrics.clone());
        if !per_lane {
            // Whoever waits for it has been compiled before.
            for &(above, waits) in &self.builds {
                if self.links.waits(above, node) {
                    self.pipelines[waits].after.push(build);
                }
            }
            self.builds.push((node, build));
        }
        let probe_need = Need {
            partitions: need.partitions && node.partitions == node.children[1].partitions,
            order: keeps_order,
        };
        let mut probe = self.node(&node.children[1], probe_need)?;
        if need.partitions && probe.lanes != node.partitions {
            if node.partitions != 1 {
                return internal_err!("a join has {} lanes, not {}", probe.lanes, node.partitions);
            }
            probe = self.share(probe, 1);
        }
        let mut draft = Self::op(probe, node, OpKind::Probe(Arc::clone(spec), build, scope));
        device::behind(&mut draft, node);
        let draft = device::lifted(self, draft, node);
        Ok(match spec.fetch {
            Some(fetch) => Self::limit(draft, node, 0, Some(fetch), false),
            None => draft,
        })
    }

    fn limit_node(&mut self, node: &'a Node, spec: &Arc<LimitSpec>, need: Need) -> Result<Draft> {
        let child = &node.children[0];
        // The first rows of a declared order, or any rows. An ordered global limit reads one lane.
        let order = child.ordered;
        let one = spec.global && (order || need.partitions);
        let child_need = Need { partitions: need.partitions || (spec.global && order), order };
        let mut draft = self.node(child, child_need)?;
        if one && draft.lanes != 1 {
            draft = self.share(draft, 1);
        }
        Ok(Self::op(draft, node, OpKind::Limit(Arc::clone(spec))))
    }

    fn union(&mut self, node: &'a Node, need: Need) -> Result<Draft> {
        let mut ids = Vec::with_capacity(node.children.len());
        let mut lanes = 0;
        for child in &node.children {
            let need = Need { partitions: need.partitions, order: need.order && child.ordered };
            let draft = self.node(child, need)?;
            lanes += draft.lanes;
            ids.push(self.stream(draft));
        }
        Ok(Self::draft(Source::Lanes(ids), lanes, &node.schema))
    }

    fn interleave(&mut self, node: &'a Node, need: Need) -> Result<Draft> {
        if !need.partitions {
            return self.union(node, Need { order: false, ..need });
        }
        let mut ids = Vec::with_capacity(node.children.len());
        for child in &node.children {
            let draft = self.node(child, Need { partitions: true, order: false })?;
            if draft.lanes != node.partitions {
                return internal_err!("an interleaved input has {} lanes", draft.lanes);
            }
            ids.push(self.stream(draft));
        }
        Ok(Self::draft(Source::Zip(ids), node.partitions, &node.schema))
    }

    fn repartition(&mut self, node: &'a Node, need: Need) -> Result<Draft> {
        let NodeOp::Repartition(spec) = &node.op else {
            return internal_err!("not a repartition");
        };
        // Declared only over a single input partition: one lane keeps its order through any split.
        let child_need = Need { partitions: need.order, order: need.order };
        let mut draft = self.node(&node.children[0], child_need)?;
        let unseen = spec.hash.is_none() || !need.partitions;
        if unseen && device::deals_rows(&mut draft, spec.partitions, need.partitions) {
            return Ok(draft);
        }
        if need.partitions {
            return match &spec.hash {
                Some(keys) => self.exchange(draft, node, keys.clone(), spec.partitions),
                None => Ok(self.share(draft, spec.partitions)),
            };
        }
        let wanted = self.threads.min(spec.partitions);
        if need.order || draft.lanes >= wanted {
            return Ok(draft);
        }
        Ok(self.share(draft, wanted))
    }

    /// `lanes` lanes that take turns in reading a draft's lanes.
    fn share(&mut self, draft: Draft, lanes: usize) -> Draft {
        if draft.lanes == lanes {
            return draft;
        }
        let schema = Arc::clone(&draft.schema);
        let id = self.stream(draft);
        Self::draft(Source::Share(id), lanes, &schema)
    }

    fn exchange(
        &mut self,
        draft: Draft,
        node: &Node,
        keys: Vec<Arc<dyn PhysicalExpr>>,
        partitions: usize,
    ) -> Result<Draft> {
        let sink = SinkKind::Exchange(keys, partitions);
        let id = self.finish(draft, sink, Scope::Shared, node.metrics.clone());
        Ok(Self::draft(Source::Exchange(id), partitions, &node.schema))
    }

    fn coalesce(&mut self, node: &'a Node, fetch: Option<usize>, need: Need) -> Result<Draft> {
        let mut draft = self.node(&node.children[0], Need::ROWS)?;
        if need.partitions {
            draft = self.share(draft, 1);
        }
        Ok(match fetch {
            Some(_) => Self::limit(draft, node, 0, fetch, true),
            None => draft,
        })
    }
}

/// Whether nothing is left of a filter's predicate.
fn holds(spec: &FilterSpec) -> bool {
    let literal = spec.predicate.downcast_ref::<Literal>().map(Literal::value);
    matches!(literal, Some(ScalarValue::Boolean(Some(true))))
}

/// Whether a device does what the node does, with the scan below it.
fn on_device(node: &Node) -> bool {
    matches!(node.place, Place::Gpu(_))
}
