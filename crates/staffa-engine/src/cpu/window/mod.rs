//! Window functions.
//!
//! A lane's rows come ordered by the PARTITION BY keys, then by the ORDER BY keys ([`mod@unit`] finds where
//! partitions and peers begin, a morsel at a time). Rows are held until their partition is whole, unless
//! no function needs a later row ([`lane`]). Functions are then evaluated over all partitions that are
//! whole in one call: by their places ([`rank`]), by other rows' values ([`value`]), as numbers
//! ([`fold`]), by DataFusion's accumulators ([`accumulate`]) or, one partition after the other, by
//! DataFusion's own window expression ([`each`]); [`function`] chooses. See docs/design/window.md.

mod accumulate;
mod each;
mod fold;
mod frame;
mod function;
mod lane;
mod native;
mod rank;
mod unit;
mod value;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion_common::Result;
use datafusion_physical_expr_common::physical_expr::PhysicalExpr;
use datafusion_physical_expr_common::sort_expr::PhysicalSortExpr;

pub use self::function::runs;
use self::function::{Chosen, Function, Needs, choose};
use self::lane::WindowLane;
pub(super) use self::unit::Edges;
use crate::bound::BoundExpr;
use crate::engine::{Lane, OpFactory, Sealed};
use crate::plan::{Op, WindowSpec};
use crate::{LaneOp, RunContext};

/// What the lanes of a window operator share.
struct Shared {
    context: Arc<RunContext>,
    input: SchemaRef,
    partition_by: Vec<BoundExpr>,
    /// The ORDER BYs whose peers functions ask for.
    orders: Vec<Vec<BoundExpr>>,
    /// Of each column of the input, whether a function or an ORDER BY reads it.
    reads: Vec<bool>,
}

/// Makes the window operators of a stage's lanes.
pub(super) struct Window {
    spec: Arc<WindowSpec>,
    context: Arc<RunContext>,
    input: SchemaRef,
}

impl Window {
    pub(super) fn new(spec: &Arc<WindowSpec>, op: &Op, context: &Arc<RunContext>) -> Self {
        Self { spec: Arc::clone(spec), context: Arc::clone(context), input: Arc::clone(&op.input) }
    }

    /// The functions, each with its own state, and what they need.
    fn functions(&self) -> Result<(Vec<Box<dyn Function>>, Shared)> {
        let (chosen, orders) = chosen(&self.spec, &self.input)?;
        let mut functions = Vec::with_capacity(chosen.len());
        let mut reads = vec![false; self.input.fields().len()];
        for Chosen { function, columns, .. } in chosen {
            match columns {
                Some(columns) => columns.into_iter().for_each(|column| reads[column] = true),
                None => reads.fill(true),
            }
            functions.push(function);
        }
        let keys = |order: &[PhysicalSortExpr]| {
            let keys: Vec<Arc<dyn PhysicalExpr>> =
                order.iter().map(|key| Arc::clone(&key.expr)).collect();
            BoundExpr::all(&keys, &self.input)
        };
        let orders = orders.into_iter().map(keys).collect::<Result<Vec<_>>>()?;
        for column in orders.iter().flatten().flat_map(BoundExpr::columns) {
            reads[*column] = true;
        }
        let shared = Shared {
            context: Arc::clone(&self.context),
            input: Arc::clone(&self.input),
            partition_by: BoundExpr::all(&self.spec.partition_by, &self.input)?,
            orders,
            reads,
        };
        Ok((functions, shared))
    }
}

/// The operators of all functions, and the ORDER BYs whose peers they ask for.
fn chosen<'a>(
    spec: &'a WindowSpec,
    input: &SchemaRef,
) -> Result<(Vec<Chosen>, Vec<&'a [PhysicalSortExpr]>)> {
    let mut orders: Vec<&[PhysicalSortExpr]> = Vec::new();
    let mut functions = Vec::with_capacity(spec.exprs.len());
    for expr in &spec.exprs {
        let known = orders.iter().position(|order| *order == expr.order_by());
        let function = choose(expr, known.unwrap_or(orders.len()), input)?;
        if function.reads_peers && known.is_none() {
            orders.push(expr.order_by());
        }
        functions.push(function);
    }
    Ok((functions, orders))
}

/// Whether nothing comes out before the end of the input: a function needs its whole partition, and all rows make
/// one.
///
/// # Errors
/// Functions that do not bind.
pub fn waits_for_the_end(spec: &WindowSpec, input: &SchemaRef) -> Result<bool> {
    let (chosen, orders) = chosen(spec, input)?;
    let needs = needs(chosen.iter().map(|chosen| chosen.function.needs()), orders.len());
    Ok(spec.partition_by.is_empty() && needs == Needs::Partition)
}

/// What all functions need. Where they ask for the peers of several orders, one's last peers may not be another's.
fn needs(functions: impl Iterator<Item = Needs>, orders: usize) -> Needs {
    match functions.max() {
        Some(Needs::Peers) if orders != 1 => Needs::Partition,
        Some(needs) => needs,
        None => Needs::Partition,
    }
}

impl OpFactory for Window {
    fn lane(&self, _: Lane, _: Option<&Arc<dyn Sealed>>) -> Result<Box<dyn LaneOp>> {
        let (functions, shared) = self.functions()?;
        let reservation = self.context.reservation("StaffaWindow");
        Ok(Box::new(WindowLane::new(Arc::new(shared), functions, reservation)))
    }
}
