//! Any aggregate, by DataFusion's accumulators: arguments are evaluated once for all partitions, and what
//! partitions or peers share is computed once.

use arrow::array::{ArrayRef, UInt64Array};
use arrow::compute::take;
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::Accumulator;
use datafusion_physical_expr::aggregate::AggregateFunctionExpr;

use super::frame::{Bound, Frame};
use super::function::{Function, Needs};
use super::native::slices;
use super::unit::Unit;
use crate::bound::BoundExpr;

/// An aggregate over its frames.
#[derive(Debug)]
pub(super) struct Accumulate {
    pub(super) aggregate: AggregateFunctionExpr,
    /// Whether DataFusion takes the kind of accumulator that can give rows back.
    pub(super) sliding: bool,
    pub(super) arguments: Vec<BoundExpr>,
    pub(super) frame: Frame,
    /// Of the peers, where the frame asks for them.
    pub(super) order: Option<usize>,
    /// Of the open partition, where it comes in parts.
    pub(super) carried: Option<Box<dyn Accumulator>>,
}

/// Values, and which of them each row has.
#[derive(Default)]
struct Results {
    values: Vec<ScalarValue>,
    rows: Vec<u64>,
}

impl Results {
    fn push(&mut self, value: ScalarValue, times: usize) {
        self.rows.extend(std::iter::repeat_n(self.values.len() as u64, times));
        self.values.push(value);
    }

    fn finish(self) -> Result<ArrayRef> {
        let once = self.values.len() == self.rows.len();
        let values = ScalarValue::iter_to_array(self.values)?;
        match once {
            true => Ok(values),
            false => Ok(take(values.as_ref(), &UInt64Array::from(self.rows), None)?),
        }
    }
}

impl Accumulate {
    fn accumulator(&self) -> Result<Box<dyn Accumulator>> {
        match self.sliding {
            false => self.aggregate.create_accumulator(),
            true => self.aggregate.create_sliding_accumulator(),
        }
    }

    /// Each row's frame, in the steps in which DataFusion takes and gives back rows.
    fn slide(&mut self, values: &[ArrayRef], unit: &Unit, results: &mut Results) -> Result<()> {
        // Taken where the first partition began in another unit.
        let mut carried = self.carried.take().filter(|_| unit.partitions.continues);
        let mut open = None;
        let empty = self.aggregate.default_value(self.aggregate.field().data_type())?;
        unit.with_peers(self.order, |partition, groups| {
            let mut accumulator = match carried.take() {
                Some(accumulator) => accumulator,
                None => self.accumulator()?,
            };
            let mut last = partition.start..partition.start;
            for peers in groups {
                for row in peers.clone() {
                    let frame = self.frame.range(row, &partition, &peers);
                    if frame.end > last.end && !frame.is_empty() {
                        accumulator.update_batch(&slices(values, &(last.end..frame.end)))?;
                    }
                    let gone = if frame.is_empty() { last.end } else { frame.start };
                    if gone > last.start && self.sliding {
                        accumulator.retract_batch(&slices(values, &(last.start..gone)))?;
                    }
                    let value = match frame.is_empty() {
                        true => empty.clone(),
                        false => accumulator.evaluate()?,
                    };
                    results.push(value, 1);
                    last = frame;
                }
            }
            if self.frame.needs() < Needs::Partition {
                open = Some(accumulator);
            }
            Ok(())
        })?;
        self.carried = open;
        Ok(())
    }
}

impl Function for Accumulate {
    fn evaluate(&mut self, unit: &Unit) -> Result<ArrayRef> {
        let arguments = self.arguments.iter().map(|argument| argument.array(&unit.morsel));
        let values = arguments.collect::<Result<Vec<_>>>()?;
        let mut results = Results::default();
        match (self.frame.start, self.frame.end) {
            (Bound::Partition, Bound::Partition) => {
                for partition in unit.partitions() {
                    let mut accumulator = self.accumulator()?;
                    accumulator.update_batch(&slices(&values, &partition))?;
                    results.push(accumulator.evaluate()?, partition.len());
                }
            }
            _ => self.slide(&values, unit, &mut results)?,
        }
        results.finish()
    }

    fn needs(&self) -> Needs {
        self.frame.needs()
    }
}
