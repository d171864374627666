//! Which of our operators computes a window function: what DataFusion's function does is asked of it, not
//! assumed from its name.

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::PartitionEvaluator;
use datafusion_functions_aggregate::average::Avg;
use datafusion_functions_aggregate::count::Count;
use datafusion_functions_aggregate::min_max::{Max, Min};
use datafusion_functions_aggregate::sum::Sum;
use datafusion_functions_window::cume_dist::CumeDist;
use datafusion_functions_window::lead_lag::WindowShift;
use datafusion_functions_window::nth_value::NthValue;
use datafusion_functions_window::ntile;
use datafusion_functions_window::rank;
use datafusion_functions_window::row_number;
use datafusion_physical_expr::aggregate::AggregateFunctionExpr;
use datafusion_physical_expr::expressions::Literal;
use datafusion_physical_expr::window::{
    PlainAggregateWindowExpr, SlidingAggregateWindowExpr, StandardWindowExpr, WindowExpr,
};
use datafusion_physical_plan::windows::WindowUDFExpr;

use super::accumulate::Accumulate;
use super::each::Each;
use super::fold::{Aggregate, Kind};
use super::frame::Frame;
use super::rank::{Ntile, Rank, RowNumber, Share};
use super::unit::Unit;
use super::value::{Nth, Pick, Shift};
use crate::bound::BoundExpr;

/// A window function over rows in order.
pub(super) trait Function: Debug + Send {
    /// Its values, one for each row of `unit`.
    ///
    /// # Errors
    /// Those of DataFusion's function.
    fn evaluate(&mut self, unit: &Unit) -> Result<ArrayRef>;

    /// Which rows must be there for a row's value: partitions may come in parts that have them.
    fn needs(&self) -> Needs {
        Needs::Partition
    }
}

/// Which rows a function must be given at once; what it needs of earlier ones it keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Needs {
    /// The row itself.
    Earlier,
    /// Its peers.
    Peers,
    /// Its partition.
    Partition,
}

/// A function, and what it needs to be given.
pub(super) struct Chosen {
    pub(super) function: Box<dyn Function>,
    /// Whether it asks for the peers of its ORDER BY.
    pub(super) reads_peers: bool,
    /// The columns that it reads; all of them, where that is not known.
    pub(super) columns: Option<Vec<usize>>,
}

/// Chooses the operator of one function. `order` is the number of its ORDER BY.
pub(super) fn choose(
    expr: &Arc<dyn WindowExpr>,
    order: usize,
    schema: &SchemaRef,
) -> Result<Chosen> {
    let arguments = BoundExpr::all(&expr.expressions(), schema)?;
    let call = Call { expr, arguments, order, schema };
    let columns: Vec<usize> =
        call.arguments.iter().flat_map(|argument| argument.columns().iter().copied()).collect();
    let chosen = match expr.as_any().downcast_ref::<StandardWindowExpr>() {
        Some(standard) => call.standard(standard),
        None => call.aggregate(),
    };
    Ok(match chosen {
        Some((function, reads_peers)) => Chosen { function, reads_peers, columns: Some(columns) },
        None => Chosen {
            function: Box::new(Each { expr: Arc::clone(expr), schema: Arc::clone(schema) }),
            reads_peers: false,
            columns: None,
        },
    })
}

/// Whether a function's values over whole partitions are those that DataFusion's operator gives. `bounded`: that
/// operator takes rows as they come, and asks the function row by row.
///
/// # Errors
/// Why that is not known.
pub fn runs(expr: &Arc<dyn WindowExpr>, bounded: bool) -> Result<(), &'static str> {
    let any = expr.as_any();
    if any.is::<PlainAggregateWindowExpr>() || any.is::<SlidingAggregateWindowExpr>() {
        return Ok(());
    }
    let Some(standard) = any.downcast_ref::<StandardWindowExpr>() else {
        return Err("of a kind of its own");
    };
    let function = standard.get_standard_func_expr();
    let udf = function.as_any().downcast_ref::<WindowUDFExpr>();
    let Some(inner) = udf.map(|udf| udf.fun().inner().as_ref() as &dyn Any) else {
        return Err("of a kind of its own");
    };
    let known = inner.is::<row_number::RowNumber>()
        || inner.is::<rank::Rank>()
        || inner.is::<CumeDist>()
        || inner.is::<ntile::Ntile>()
        || inner.is::<WindowShift>()
        || inner.is::<NthValue>();
    // One that reads a frame is asked row by row in either case.
    let by_row = || function.create_evaluator().is_ok_and(|function| function.uses_window_frame());
    if bounded && !known && !by_row() {
        return Err("may give other values row by row");
    }
    Ok(())
}

/// A function, and whether it reads peers.
type Native = Option<(Box<dyn Function>, bool)>;

struct Call<'a> {
    expr: &'a Arc<dyn WindowExpr>,
    arguments: Vec<BoundExpr>,
    order: usize,
    schema: &'a SchemaRef,
}

impl Call<'_> {
    fn frame(&self) -> Option<Frame> {
        Frame::of(self.expr.get_window_frame(), !self.expr.order_by().is_empty())
    }

    /// The type of the function's values.
    fn data_type(&self) -> Option<DataType> {
        Some(self.expr.field().ok()?.data_type().clone())
    }

    fn standard(&self, standard: &StandardWindowExpr) -> Native {
        let function = standard.get_standard_func_expr();
        let udf = function.as_any().downcast_ref::<WindowUDFExpr>()?;
        let inner: &dyn Any = udf.fun().inner().as_ref();
        let order = self.order;
        if inner.is::<row_number::RowNumber>() {
            return Some((Box::new(RowNumber::default()), false));
        }
        if inner.is::<rank::Rank>() {
            return match udf.fun().name() {
                "rank" => Some((Box::new(Rank::new(false, order)), true)),
                "dense_rank" => Some((Box::new(Rank::new(true, order)), true)),
                "percent_rank" => Some((Box::new(Share { cumulative: false, order }), true)),
                _ => None,
            };
        }
        if inner.is::<CumeDist>() {
            return Some((Box::new(Share { cumulative: true, order }), true));
        }
        if inner.is::<ntile::Ntile>() {
            // Where it is no number of tiles, DataFusion says so.
            let tiles = literal(udf, 0)?.cast_to(&DataType::UInt64).ok()?;
            return match tiles {
                ScalarValue::UInt64(Some(tiles)) if tiles > 0 => {
                    Some((Box::new(Ntile(tiles)), false))
                }
                _ => None,
            };
        }
        let mut evaluator = function.create_evaluator().ok()?;
        if inner.is::<WindowShift>() {
            return Some((Box::new(self.shift(udf, evaluator.as_ref())?), false));
        }
        if inner.is::<NthValue>() {
            let nth = self.nth(udf, evaluator.as_mut())?;
            let reads_peers = nth.order.is_some();
            return Some((Box::new(nth), reads_peers));
        }
        None
    }

    /// The one argument whose values the function gives back as they are.
    fn value(&self) -> Option<BoundExpr> {
        let [value] = &self.expr.expressions()[..] else { return None };
        let data_type = value.data_type(self.schema).ok()?;
        let same = data_type == self.data_type()? && !data_type.is_null();
        same.then(|| self.arguments.first().cloned()).flatten()
    }

    fn shift(&self, udf: &WindowUDFExpr, evaluator: &dyn PartitionEvaluator) -> Option<Shift> {
        let magnitude = match udf.args().get(1) {
            None => 1,
            Some(_) => match literal(udf, 1)?.cast_to(&DataType::Int64).ok()? {
                ScalarValue::Int64(Some(by)) if by.unsigned_abs() < FAR as u64 => by.abs(),
                _ => return None,
            },
        };
        // Which rows it asks for shows where it looks, and whether it skips NULLs (then: all of them).
        let range = evaluator.get_range(FAR, 2 * FAR).ok()?;
        let (forward, back) =
            (range.end.checked_sub(FAR)? as i64, FAR.checked_sub(range.start)? as i64);
        let by = match evaluator.is_causal() {
            true if back == magnitude && forward == 1 => back,
            false if forward == magnitude && back == 0 => -forward,
            _ => return None,
        };
        let data_type = self.data_type()?;
        let default = match udf.args().get(2) {
            None => None,
            Some(_) => Some(literal(udf, 2)?).filter(|default| !default.data_type().is_null()),
        };
        let default = match default {
            None => ScalarValue::try_from(&data_type).ok()?,
            Some(default) => default.cast_to(&data_type).ok()?,
        };
        Some(Shift { value: self.value()?, by, default })
    }

    fn nth(&self, udf: &WindowUDFExpr, evaluator: &mut dyn PartitionEvaluator) -> Option<Nth> {
        let n = match udf.fun().name() {
            "nth_value" => match literal(udf, 1)?.cast_to(&DataType::Int64).ok()? {
                ScalarValue::Int64(Some(n)) => usize::try_from(n.unsigned_abs()).ok()?,
                _ => return None,
            },
            _ => 1,
        };
        if n == 0 || n > MOST_NTH {
            return None;
        }
        // The place of the row that it picks out of 2n shows from which end it counts; with NULL there,
        // it gives NULL unless it skips NULLs.
        let rows = 2 * n;
        let mut pick = |null: Option<usize>| {
            let places = (0..rows).map(|row| (null != Some(row)).then_some(row as i64));
            let places: ArrayRef = Arc::new(places.collect::<Int64Array>());
            match evaluator.evaluate(&[places], &(0..rows)).ok()? {
                ScalarValue::Int64(picked) => Some(picked),
                _ => None,
            }
        };
        let place = usize::try_from(pick(None)??).ok()?;
        if pick(Some(place))?.is_some() {
            return None;
        }
        let pick = match place {
            place if place + 1 == n => Pick::FromFirst(place),
            place if place + n == rows => Pick::FromLast(rows - 1 - place),
            _ => return None,
        };
        let frame = self.frame()?;
        let order = frame.reads_peers().then_some(self.order);
        Some(Nth { value: self.value()?, frame, order, pick, first: None })
    }

    fn aggregate(&self) -> Native {
        let any = self.expr.as_any();
        let sliding = any.downcast_ref::<SlidingAggregateWindowExpr>();
        let aggregate = match any.downcast_ref::<PlainAggregateWindowExpr>() {
            Some(plain) => plain.get_aggregate_expr(),
            None => sliding?.get_aggregate_expr(),
        };
        if self.is_filtered() {
            return None;
        }
        let frame = self.frame()?;
        let order = frame.reads_peers().then_some(self.order);
        if let Some(native) = self.fold(aggregate, frame, order) {
            return Some((Box::new(native), order.is_some()));
        }
        let (aggregate, arguments) = (aggregate.clone(), self.arguments.clone());
        let sliding = sliding.is_some();
        let accumulate = Accumulate { aggregate, sliding, arguments, frame, order, carried: None };
        Some((Box::new(accumulate), order.is_some()))
    }

    /// Whether there is a FILTER clause, which only the text of the call shows. `true` when in doubt.
    fn is_filtered(&self) -> bool {
        !format!("{:?}", self.expr).ends_with("filter: None }")
    }

    fn fold(
        &self,
        aggregate: &AggregateFunctionExpr,
        frame: Frame,
        order: Option<usize>,
    ) -> Option<Aggregate> {
        let [argument] = &self.arguments[..] else { return None };
        if aggregate.is_distinct() || !aggregate.order_bys().is_empty() {
            return None;
        }
        let function: &dyn Any = aggregate.fun().inner().as_ref();
        let kind = if function.is::<Sum>() {
            Kind::Sum
        } else if function.is::<Count>() {
            Kind::Count
        } else if function.is::<Avg>() {
            Kind::Avg
        } else if function.is::<Min>() {
            Kind::Min
        } else if function.is::<Max>() {
            Kind::Max
        } else {
            return None;
        };
        let input = self.expr.expressions().first()?.data_type(self.schema).ok()?;
        Aggregate::new(kind, argument.clone(), &input, &self.data_type()?, frame, order)
    }
}

/// A row far enough from either end of a partition for any shift that is ours.
const FAR: usize = 1 << 40;
/// `nth_value` of more than this is left to DataFusion: finding out what it does takes so many rows.
const MOST_NTH: usize = 4096;

fn literal(udf: &WindowUDFExpr, at: usize) -> Option<ScalarValue> {
    Some(udf.args().get(at)?.downcast_ref::<Literal>()?.value().clone())
}
