//! What a device does with a file, and what it leaves to the CPU beside it.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::ArrayRef;
use datafusion::common::DataFusionError;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Literal;
use staffa_common::{Reason, ReasonCode};
use staffa_engine::bound::through;
use staffa_engine::cuda::expression::{Lowered, lower};

use super::group::{roots, tests};
use super::joined::Joined;
use super::open::OpenFile;
use super::riding::Riders;

/// What a file's columns become: lowered once per file, since files differ in schema and constants.
pub(super) struct DevicePlan {
    pub(super) lowered: Lowered,
    /// Of the lowered outputs and then the constants, in the order of the morsel's columns.
    pub(super) columns: Vec<Output>,
    /// What the CPU decodes and computes, for the rows that stay.
    pub(super) riding: Vec<Arc<dyn PhysicalExpr>>,
    /// Each output of the scan, as a number of `columns` and `riding`.
    order: Vec<usize>,
    /// Whether the lowered outputs are what an aggregation reads, and go into its groups.
    pub(super) grouped: bool,
    /// The joins that the lowered outputs go into.
    pub(super) joined: Option<Arc<Joined>>,
}

/// A column of the morsel.
pub(super) enum Output {
    Lowered(usize),
    Constant(ArrayRef),
}

/// Where an output of the scan comes from.
enum From {
    Column(usize),
    Riding(usize),
}

impl DevicePlan {
    /// Lowers a file's filter and projection. Outputs that the device does not have for this file ride
    /// along.
    ///
    /// # Errors
    /// Why the CPU has to read this file: the filter reads what only the host decodes, or nothing is left
    /// for the device.
    pub(super) fn new(file: &OpenFile) -> Result<Self, Reason> {
        if let Some(joined) = file.opener.joined.get()
            && let Ok(mut plan) = Self::staying(file, &joined.chain.entry)
        {
            plan.joined = Some(Arc::clone(joined));
            return Ok(plan);
        }
        if let Some(grouping) = &file.opener.grouping
            && let Ok(mut plan) = Self::staying(file, grouping.columns())
            && grouping.check_types(plan.lowered.types()).is_ok()
        {
            plan.grouped = true;
            return Ok(plan);
        }
        let filter = tests(file).map_err(fault)?;
        for root in roots(filter.iter()) {
            readable(file, root)?;
        }
        let (mut exprs, mut riding): (Vec<Arc<dyn PhysicalExpr>>, Vec<_>) = Default::default();
        let (mut columns, mut from) = (Vec::new(), Vec::with_capacity(file.projection.len()));
        let mut refused = None;
        for expr in &file.projection {
            if let Some(literal) = expr.downcast_ref::<Literal>() {
                let value = literal.value().to_array_of_size(1).map_err(fault)?;
                from.push(From::Column(columns.len()));
                columns.push(Output::Constant(value));
            } else if let Err(reason) = computable(file, expr) {
                refused = refused.or(Some(reason));
                from.push(From::Riding(riding.len()));
                riding.push(Arc::clone(expr));
            } else {
                from.push(From::Column(columns.len()));
                columns.push(Output::Lowered(exprs.len()));
                exprs.push(Arc::clone(expr));
            }
        }
        let lowered = lower(filter.as_ref(), &exprs, &file.schema)?;
        if lowered.columns().is_empty() {
            let none = || Reason::new(ReasonCode::ScanOption, "no column is read");
            return Err(refused.unwrap_or_else(none));
        }
        let made = columns.len();
        let order = from.into_iter().map(|from| match from {
            From::Column(at) => at,
            From::Riding(at) => made + at,
        });
        Ok(Self { lowered, columns, riding, order: order.collect(), grouped: false, joined: None })
    }

    /// Whether the lowered outputs stay on the device.
    pub(super) fn stays(&self) -> bool {
        self.grouped || self.joined.is_some()
    }

    /// Lowers a file's filter, and what an aggregation or a join reads, over its projection.
    fn staying(file: &OpenFile, exprs: &[Arc<dyn PhysicalExpr>]) -> Result<Self, Reason> {
        let filter = tests(file).map_err(fault)?;
        let exprs = exprs.iter().map(|expr| through(expr, &file.projection));
        let exprs = exprs.collect::<datafusion::common::Result<Vec<_>>>().map_err(fault)?;
        for root in roots(filter.iter().chain(&exprs)) {
            readable(file, root)?;
        }
        let lowered = lower(filter.as_ref(), &exprs, &file.schema)?;
        if lowered.columns().is_empty() {
            return Err(Reason::new(ReasonCode::ScanOption, "no column is read"));
        }
        let (columns, riding, order) = Default::default();
        Ok(Self { lowered, columns, riding, order, grouped: false, joined: None })
    }

    /// Rows that the device kept, `None` for all of them, with what rides along.
    pub(super) fn riders(
        &self,
        file: &Arc<OpenFile>,
        of: Origin,
        kept: Option<Vec<u32>>,
    ) -> Option<Riders> {
        (!self.riding.is_empty()).then(|| Riders {
            file: Arc::clone(file),
            index: of.index,
            rows: of.rows,
            kept,
            exprs: self.riding.clone(),
            order: self.order.clone(),
        })
    }
}

fn fault(error: DataFusionError) -> Reason {
    Reason::new(ReasonCode::LoweringFault, error.strip_backtrace())
}

/// The rows of a row group that a morsel is made from.
#[derive(Clone)]
pub(super) struct Origin {
    pub(super) index: usize,
    pub(super) rows: Range<u64>,
}

/// Whether the device can make an output from what it decodes of the file.
fn computable(file: &OpenFile, expr: &Arc<dyn PhysicalExpr>) -> Result<(), Reason> {
    roots([expr].into_iter()).into_iter().try_for_each(|root| readable(file, root))?;
    lower(None, std::slice::from_ref(expr), &file.schema).map(drop)
}

/// Whether the device decodes a column of the file.
fn readable(file: &OpenFile, root: usize) -> Result<(), Reason> {
    let field = file.schema.field(root);
    let refused = |why: &str| {
        Err(Reason::new(ReasonCode::DataType, format!("column {}: {why}", field.name())))
    };
    if !file.decodes(root) {
        return refused("only the host decodes it");
    }
    let Some(leaf) = file.footer.leaf_of(root) else { return refused("it is nested") };
    let column = file.reader_metadata.parquet_schema().column(leaf);
    match staffa_parquet::cuda::supports(&column, field.data_type()) {
        Ok(()) => Ok(()),
        Err(why) => refused(&why),
    }
}
