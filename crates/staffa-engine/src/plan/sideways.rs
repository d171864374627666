//! Filters that a join's build side gives to the build side of a join above it.
//!
//! A join passes what it knows of its keys down its probe side. Where a join *above* compares its probe side with
//! the same column, the build side of that one is as limited: `lineitem JOIN part ON partkey JOIN partsupp ON
//! (partkey, ..)` needs the `partsupp` rows of these parts only, and a semi join that gives rows of its own build
//! side names every key that an anti join above will ever be asked for. So the lower join is built first, and the
//! upper one's build side is read through a filter of the lower one's keys. It is advisory, as all dynamic filters
//! are: rows that it lets through are there as they were.

use std::collections::HashMap;
use std::ptr::from_ref;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion_common::{JoinSide, JoinType, NullEquality};
use datafusion_physical_expr::expressions::{Column, DynamicFilterPhysicalExpr, lit};
use datafusion_physical_expr_common::physical_expr::PhysicalExpr;

use super::node::{FilterSpec, JoinKind, JoinSpec, Node, NodeOp, ProjectSpec};
use super::scan::Place;
use crate::cpu::predicate::infallible;

type Expr = Arc<dyn PhysicalExpr>;

/// Rows of a build side's largest scan below which a filter on it is not worth waiting for.
const LEAST_ROWS: u64 = 1 << 16;
/// The filling join may read so many times as many rows as the filtered one: it runs in any case, but the other way
/// round an empty build side above might have spared it.
const MOST_TIMES: u64 = 2;

/// A filter that a join fills for the build side of one above it.
#[derive(Debug, Clone)]
pub struct Sideways {
    /// The filter.
    pub filter: Arc<DynamicFilterPhysicalExpr>,
    /// For each key of the join that fills it the column of that build side, over `schema`.
    pub keys: Vec<Expr>,
    /// Schema of that build side.
    pub schema: SchemaRef,
}

/// A node, by where it is.
type At = *const Node;

/// Who fills filters for whom in a region's tree.
#[derive(Debug, Default)]
pub(super) struct Links {
    /// By filling join.
    fills: HashMap<At, Vec<Sideways>>,
    /// By scan: filters over its columns.
    reads: HashMap<At, Vec<Expr>>,
    /// By filtered join: the joins whose build sides must be there before its own.
    waits: HashMap<At, Vec<At>>,
}

impl Links {
    /// Of the tree below `root`.
    pub(super) fn of(root: &Node) -> Self {
        let mut links = Self::default();
        links.node(root);
        links
    }

    /// The filters that a join fills for others.
    pub(super) fn filled_by(&self, join: &Node) -> &[Sideways] {
        self.fills.get(&from_ref(join)).map_or(&[], Vec::as_slice)
    }

    /// What a scan may drop rows by, over its columns.
    pub(super) fn read_by(&self, scan: &Node) -> &[Expr] {
        self.reads.get(&from_ref(scan)).map_or(&[], Vec::as_slice)
    }

    /// Whether the build side of `upper` is to wait for that of `lower`.
    pub(super) fn waits(&self, upper: &Node, lower: At) -> bool {
        self.waits.get(&from_ref(upper)).is_some_and(|lowers| lowers.contains(&lower))
    }

    fn node(&mut self, node: &Node) {
        if let NodeOp::Join(spec) = &node.op
            && takes_filters(spec)
        {
            self.join(node, spec);
        }
        node.children.iter().for_each(|child| self.node(child));
    }

    /// Looks for joins below the probe side of `upper` that know its keys.
    fn join(&mut self, upper: &Node, spec: &JoinSpec) {
        let [build, probe] = upper.children.as_slice() else { return };
        let Some(rows) = most_rows(build).filter(|&rows| rows >= LEAST_ROWS) else { return };
        let mut known = Vec::new();
        for (own, asked) in &spec.on {
            if let (Some(own), Some(asked)) = (column(own), column(asked)) {
                known_to(probe, asked, own, &mut known);
            }
        }
        let mut lowers: Vec<&Node> = Vec::new();
        for known in &known {
            if !lowers.iter().any(|&lower| from_ref(lower) == from_ref(known.lower)) {
                lowers.push(known.lower);
            }
        }
        for lower in lowers {
            let NodeOp::Join(filling) = &lower.op else { continue };
            let of = |key: usize| {
                let mut all = known.iter().filter(|known| from_ref(known.lower) == from_ref(lower));
                all.find(|known| known.key == key).map(|known| known.own)
            };
            // The table can be asked for whole keys only.
            let Some(keys) = (0..filling.on.len()).map(of).collect::<Option<Vec<usize>>>() else {
                continue;
            };
            let affordable = most_rows(&lower.children[0])
                .is_some_and(|least| least <= rows.saturating_mul(MOST_TIMES));
            if affordable && same_types(spec, filling, &keys) && !helps(spec, &lower.children[0]) {
                self.link(upper, spec, lower, &keys);
            }
        }
    }

    /// Has `lower` fill a filter over the columns `keys` of the build side of `upper`, if a scan there can read it.
    fn link(&mut self, upper: &Node, spec: &JoinSpec, lower: &Node, keys: &[usize]) {
        let mut scans = Vec::new();
        readers(&upper.children[0], keys.to_vec(), &mut scans);
        if scans.is_empty() {
            return;
        }
        let schema = &spec.build_schema;
        let columns = over(keys, schema);
        let filter = Arc::new(DynamicFilterPhysicalExpr::new(columns.clone(), lit(true)));
        for (scan, keys) in scans {
            let over_scan = Arc::clone(&filter) as Expr;
            if let Ok(read) = over_scan.with_new_children(over(&keys, &scan.schema)) {
                self.reads.entry(from_ref(scan)).or_default().push(read);
            }
        }
        let sideways = Sideways { filter, keys: columns, schema: Arc::clone(schema) };
        self.fills.entry(from_ref(lower)).or_default().push(sideways);
        self.waits.entry(from_ref(upper)).or_default().push(from_ref(lower));
    }
}

/// A join that knows all values of a column.
struct Known<'a> {
    lower: &'a Node,
    /// Which of its keys.
    key: usize,
    /// The column of the upper join's build side that is compared with it.
    own: usize,
}

/// Whether build rows without a match may be left out.
fn takes_filters(spec: &JoinSpec) -> bool {
    let of_matches = match spec.join_type {
        JoinType::Inner | JoinType::Right | JoinType::LeftSemi => true,
        JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => true,
        JoinType::Left | JoinType::Full | JoinType::LeftAnti | JoinType::LeftMark => false,
    };
    of_matches && is_plain(spec)
}

/// Whether keys are compared by their values, and NULL with nothing.
fn is_plain(spec: &JoinSpec) -> bool {
    spec.kind == JoinKind::Hash
        && !spec.null_aware
        && spec.null_equality == NullEquality::NullEqualsNothing
}

/// The joins from `node` down whose build side has every value of the column `at` that `node` gives, NULL apart.
fn known_to<'a>(node: &'a Node, at: usize, own: usize, known: &mut Vec<Known<'a>>) {
    match &node.op {
        NodeOp::Filter(_)
        | NodeOp::Project(_)
        | NodeOp::Pass
        | NodeOp::Repartition(_)
        | NodeOp::Coalesce(_) => {
            if let Some(below) = below(&node.op, at) {
                known_to(&node.children[0], below, own, known);
            }
        }
        NodeOp::Join(spec) => {
            let Some(from) = spec.output.get(at) else { return };
            let (side, child) = match from.side {
                JoinSide::Left => (0, &node.children[0]),
                JoinSide::Right => (1, &node.children[1]),
                JoinSide::None => return,
            };
            let key = spec.on.iter().position(|(build, probe)| {
                column(if side == 0 { build } else { probe }) == Some(from.index)
            });
            // All of its build rows, or those of its probe rows that have a match.
            let holds = match spec.join_type {
                JoinType::Inner | JoinType::RightSemi => true,
                JoinType::Full => false,
                _ => side == 0,
            };
            if let Some(key) = key.filter(|_| holds && is_plain(spec)) {
                known.push(Known { lower: node, key, own });
            }
            if side == 1 {
                known_to(child, from.index, own, known);
            }
        }
        _ => {}
    }
}

/// The scans from `node` down that hold all of the columns `keys` that `node` gives, each with these columns there,
/// where a row without a match can be left out: it changes no other row, and nothing is computed of it that could
/// raise an error.
fn readers<'a>(node: &'a Node, keys: Vec<usize>, scans: &mut Vec<(&'a Node, Vec<usize>)>) {
    match &node.op {
        // A limit counts rows; a device does not test them.
        NodeOp::Scan(scan)
            if scan.shares() && !scan.computes() && matches!(node.place, Place::Cpu) =>
        {
            scans.push((node, keys));
        }
        NodeOp::Filter(spec) if spec.fetch.is_some() || !infallible(&spec.predicate) => {}
        NodeOp::Project(spec) if !spec.exprs.iter().all(infallible) => {}
        NodeOp::Filter(_)
        | NodeOp::Project(_)
        | NodeOp::Pass
        | NodeOp::Repartition(_)
        | NodeOp::Coalesce(None) => {
            let keys = keys.iter().map(|&key| below(&node.op, key)).collect();
            if let Some(keys) = keys {
                readers(&node.children[0], keys, scans);
            }
        }
        NodeOp::Join(spec) if spec.fetch.is_none() && computes_safely(spec) => {
            let of = |side| {
                let on_side = |&key: &usize| {
                    spec.output.get(key).filter(|from| from.side == side).map(|from| from.index)
                };
                keys.iter().map(on_side).collect::<Option<Vec<usize>>>()
            };
            // Rows of the other side come and go with those that are left out.
            let build = !matches!(spec.join_type, JoinType::Right | JoinType::Full);
            let probe = !matches!(spec.join_type, JoinType::Left | JoinType::Full);
            if let Some(keys) = of(JoinSide::Left).filter(|_| build && !spec.null_aware) {
                readers(&node.children[0], keys, scans);
            } else if let Some(keys) = of(JoinSide::Right).filter(|_| probe && !spec.null_aware) {
                readers(&node.children[1], keys, scans);
            }
        }
        NodeOp::Union | NodeOp::Interleave => {
            for child in &node.children {
                readers(child, keys.clone(), scans);
            }
        }
        _ => {}
    }
}

/// Whether a join raises no errors of its own.
fn computes_safely(spec: &JoinSpec) -> bool {
    let on = spec.on.iter().all(|(build, probe)| infallible(build) && infallible(probe));
    on && spec.filter.as_ref().is_none_or(|filter| infallible(filter.expression()))
}

/// The column of its input that the column `at` of an operator is.
fn below(op: &NodeOp, at: usize) -> Option<usize> {
    match op {
        NodeOp::Filter(spec) => {
            let FilterSpec { projection, .. } = spec.as_ref();
            projection.as_ref().map_or(Some(at), |columns| columns.get(at).copied())
        }
        NodeOp::Project(spec) => {
            let ProjectSpec { exprs } = spec.as_ref();
            exprs.get(at).and_then(column)
        }
        _ => Some(at),
    }
}

fn column(expr: &Expr) -> Option<usize> {
    expr.downcast_ref::<Column>().map(Column::index)
}

fn over(columns: &[usize], schema: &SchemaRef) -> Vec<Expr> {
    let column = |&at: &usize| Arc::new(Column::new(schema.field(at).name(), at)) as Expr;
    columns.iter().map(column).collect()
}

/// Whether the columns `keys` of the build side of `upper` have the types of the keys of `lower`.
fn same_types(upper: &JoinSpec, lower: &JoinSpec, keys: &[usize]) -> bool {
    keys.iter().zip(&lower.on).all(|(&key, (build, probe))| {
        let own = upper.build_schema.field(key).data_type();
        let build = build.data_type(&lower.build_schema);
        let probe = probe.data_type(&lower.probe_schema);
        build.is_ok_and(|build| build == *own) && probe.is_ok_and(|probe| probe == *own)
    })
}

/// The rows of the largest scan from `node` down; `None` where a source does not tell.
fn most_rows(node: &Node) -> Option<u64> {
    match &node.op {
        NodeOp::Scan(scan) => scan.rows(),
        NodeOp::Input(_) => None,
        _ => node.children.iter().map(most_rows).try_fold(0, |most, rows| Some(rows?.max(most))),
    }
}

/// Whether what `spec` tells its probe side is of use from `node` down, so that it had better come first.
fn helps(spec: &JoinSpec, node: &Node) -> bool {
    let Some(filter) = &spec.dynamic_filter else { return false };
    match &node.op {
        NodeOp::Scan(scan) => scan.reads(filter),
        _ => node.children.iter().any(|child| helps(spec, child)),
    }
}
