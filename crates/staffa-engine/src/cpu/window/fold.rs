//! Aggregates over numbers: `sum`, `count`, `avg` of floats, `min` and `max`, for all partitions of a unit
//! in one loop.
//!
//! Rows are added in the steps in which DataFusion's accumulators take them (a row, a group of peers, a
//! partition), so that sums of floats have the same bits.

use std::ops::Range;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{ArrowNativeType, ArrowNativeTypeOp, DataType};
use datafusion_common::Result;

use super::frame::{Bound, Frame};
use super::function::{Function, Needs};
use super::native::{Builder, Held, Numbers};
use super::unit::Unit;
use crate::bound::BoundExpr;

/// Which aggregate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Sum,
    Count,
    Avg,
    Min,
    Max,
}

/// Rows so far.
#[derive(Debug, Clone, Copy, Default)]
struct State<T> {
    value: T,
    /// Values that are not NULL.
    count: usize,
}

/// A running aggregate.
trait Fold {
    type Number: ArrowNativeType;
    type Out: ArrowNativeType;

    fn add(&self, state: &mut State<Self::Number>, rows: Range<usize>);
    fn remove(&self, state: &mut State<Self::Number>, rows: Range<usize>);
    fn value(&self, state: &State<Self::Number>) -> Option<Self::Out>;
}

struct Sum<T: ArrowNativeType>(Numbers<T>);

impl<T: ArrowNativeType + ArrowNativeTypeOp> Fold for Sum<T> {
    type Number = T;
    type Out = T;

    fn add(&self, state: &mut State<T>, rows: Range<usize>) {
        if self.0.nulls.is_none() {
            state.count += rows.len();
            state.value =
                self.0.values[rows].iter().fold(state.value, |sum, &v| sum.add_wrapping(v));
            return;
        }
        for value in self.0.valid(rows) {
            state.count += 1;
            state.value = state.value.add_wrapping(value);
        }
    }

    fn remove(&self, state: &mut State<T>, rows: Range<usize>) {
        state.count -= self.0.count(&rows);
        state.value = self.0.valid(rows).fold(state.value, T::sub_wrapping);
    }

    fn value(&self, state: &State<T>) -> Option<T> {
        (state.count > 0).then_some(state.value)
    }
}

/// Sums and averages of floats.
struct Floats {
    numbers: Numbers<f64>,
    average: bool,
}

impl Fold for Floats {
    type Number = f64;
    type Out = f64;

    fn add(&self, state: &mut State<f64>, rows: Range<usize>) {
        state.count += self.numbers.count(&rows);
        state.value += self.numbers.sum(rows).unwrap_or(0.0);
    }

    fn remove(&self, state: &mut State<f64>, rows: Range<usize>) {
        state.count -= self.numbers.count(&rows);
        if let Some(sum) = self.numbers.sum(rows) {
            state.value -= sum;
        }
    }

    fn value(&self, state: &State<f64>) -> Option<f64> {
        let value = if self.average { state.value / state.count as f64 } else { state.value };
        (state.count > 0).then_some(value)
    }
}

/// Counts what is not NULL.
struct Count(Numbers<u8>);

impl Fold for Count {
    type Number = u8;
    type Out = i64;

    fn add(&self, state: &mut State<u8>, rows: Range<usize>) {
        state.count += self.0.count(&rows);
    }

    fn remove(&self, state: &mut State<u8>, rows: Range<usize>) {
        state.count -= self.0.count(&rows);
    }

    fn value(&self, state: &State<u8>) -> Option<i64> {
        Some(state.count as i64)
    }
}

struct Extreme<T: ArrowNativeType> {
    numbers: Numbers<T>,
    greatest: bool,
}

impl<T: ArrowNativeType + ArrowNativeTypeOp> Fold for Extreme<T> {
    type Number = T;
    type Out = T;

    fn add(&self, state: &mut State<T>, rows: Range<usize>) {
        for value in self.numbers.valid(rows) {
            let better = match self.greatest {
                true => value.is_gt(state.value),
                false => value.is_lt(state.value),
            };
            if state.count == 0 || better {
                state.value = value;
            }
            state.count += 1;
        }
    }

    /// Never asked: frames that lose rows go to DataFusion's accumulator.
    fn remove(&self, _: &mut State<T>, _: Range<usize>) {}

    fn value(&self, state: &State<T>) -> Option<T> {
        (state.count > 0).then_some(state.value)
    }
}

/// The state at the end of the last unit, for functions that stream.
#[derive(Debug, Clone, Copy)]
enum Carried {
    I32(State<i32>),
    I64(State<i64>),
    U64(State<u64>),
    I128(State<i128>),
    F64(State<f64>),
    Count(State<u8>),
}

/// An aggregate over numbers.
#[derive(Debug)]
pub(super) struct Aggregate {
    kind: Kind,
    argument: BoundExpr,
    held: Held,
    out: DataType,
    frame: Frame,
    order: Option<usize>,
    carried: Option<Carried>,
}

impl Aggregate {
    /// `kind` of `argument`, of type `input`, with values of type `out`; `None` where the numbers do not say.
    pub(super) fn new(
        kind: Kind,
        argument: BoundExpr,
        input: &DataType,
        out: &DataType,
        frame: Frame,
        order: Option<usize>,
    ) -> Option<Self> {
        let held = match kind {
            Kind::Count => Held::I64,
            _ => Held::of(input)?,
        };
        let fits = match kind {
            Kind::Count => *out == DataType::Int64,
            Kind::Sum => {
                // Sums of 32 bits are made of 64.
                Held::of(out) == Some(held) && held != Held::I32
            }
            Kind::Avg => held == Held::F64 && *out == DataType::Float64,
            // An order of floats is the accumulators' to know.
            Kind::Min | Kind::Max => {
                input == out && held != Held::F64 && frame.start == Bound::Partition
            }
        };
        let out = out.clone();
        fits.then_some(Self { kind, argument, held, out, frame, order, carried: None })
    }

    fn fold(&mut self, unit: &Unit) -> Result<ArrayRef> {
        let values = self.argument.array(&unit.morsel)?;
        let greatest = self.kind == Kind::Max;
        macro_rules! run {
            ($fold:expr, $variant:ident) => {{
                let mut state = match self.carried {
                    Some(Carried::$variant(state)) if unit.partitions.continues => state,
                    _ => State::default(),
                };
                let fold = $fold;
                let out = self.run(&fold, unit, &mut state)?;
                self.carried = Some(Carried::$variant(state));
                Ok(out)
            }};
        }
        macro_rules! numbers {
            ($variant:ident) => {
                match self.kind {
                    Kind::Min | Kind::Max => {
                        run!(Extreme { numbers: Numbers::new(&values), greatest }, $variant)
                    }
                    _ => run!(Sum(Numbers::new(&values)), $variant),
                }
            };
        }
        match (self.kind, self.held) {
            (Kind::Count, _) => {
                let nulls = values.logical_nulls().filter(|nulls| nulls.null_count() > 0);
                let numbers = Numbers { values: Vec::new().into(), nulls };
                run!(Count(numbers), Count)
            }
            (_, Held::I32) => numbers!(I32),
            (_, Held::I64) => numbers!(I64),
            (_, Held::U64) => numbers!(U64),
            (_, Held::I128) => numbers!(I128),
            (kind, Held::F64) => {
                let average = kind == Kind::Avg;
                run!(Floats { numbers: Numbers::new(&values), average }, F64)
            }
        }
    }

    fn run<F: Fold>(
        &self,
        fold: &F,
        unit: &Unit,
        carried: &mut State<F::Number>,
    ) -> Result<ArrayRef> {
        let mut out = Builder::new(unit.rows);
        let mut continues = unit.partitions.continues;
        let mut begin = |state: &mut State<F::Number>| {
            if !std::mem::take(&mut continues) {
                *state = State::default();
            }
        };
        match (self.frame.start, self.frame.end) {
            (Bound::Partition, Bound::Partition) => {
                for partition in unit.partitions() {
                    begin(carried);
                    let rows = partition.len();
                    fold.add(carried, partition);
                    out.push(fold.value(carried), rows);
                }
            }
            (Bound::Partition, Bound::Rows(0)) => {
                for partition in unit.partitions() {
                    begin(carried);
                    for row in partition {
                        fold.add(carried, row..row + 1);
                        out.push(fold.value(carried), 1);
                    }
                }
            }
            (Bound::Partition, Bound::Peers) => unit.with_peers(self.order, |_, groups| {
                begin(carried);
                for peers in groups {
                    let rows = peers.len();
                    fold.add(carried, peers);
                    out.push(fold.value(carried), rows);
                }
                Ok(())
            })?,
            _ => self.slide(fold, unit, &mut out)?,
        }
        out.finish(&self.out)
    }

    /// Frames that both gain and lose rows.
    fn slide<F: Fold>(&self, fold: &F, unit: &Unit, out: &mut Builder<F::Out>) -> Result<()> {
        unit.with_peers(self.order, |partition, groups| {
            let mut state = State::default();
            let mut last = partition.start..partition.start;
            for peers in groups {
                for row in peers.clone() {
                    let frame = self.frame.range(row, &partition, &peers);
                    if frame.end > last.end && !frame.is_empty() {
                        fold.add(&mut state, last.end..frame.end);
                    }
                    // An empty frame lets go of all, as DataFusion's does.
                    let gone = if frame.is_empty() { last.end } else { frame.start };
                    if gone > last.start {
                        fold.remove(&mut state, last.start..gone);
                    }
                    out.push(fold.value(&state), 1);
                    last = frame;
                }
            }
            Ok(())
        })
    }
}

impl Function for Aggregate {
    fn evaluate(&mut self, unit: &Unit) -> Result<ArrayRef> {
        self.fold(unit)
    }

    fn needs(&self) -> Needs {
        self.frame.needs()
    }
}
