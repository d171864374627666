//! Aggregation without keys: one group, one state per function.

use std::any::Any;
use std::sync::Arc;

use arrow::array::ArrayRef;
use async_trait::async_trait;
use datafusion_common::Result;
use datafusion_execution::memory_pool::MemoryReservation;
use datafusion_expr::Accumulator;

use super::bounds::Bounds;
use super::plan::Plan;
use super::shifted::Sums;
use crate::cpu::batches::Batches;
use crate::engine::{Sealed, SinkLocal};
use crate::{CancelFlag, Morsel, RunContext};

/// One lane's states.
///
/// These are DataFusion's accumulators for a single group, as its own node uses without keys: they
/// run Arrow's kernels over whole columns, and some functions differ in them from their grouped form.
pub(super) struct UngroupedLocal {
    plan: Arc<Plan>,
    states: Vec<Box<dyn Accumulator>>,
    /// Of arguments that functions share but for a constant.
    sums: Sums,
    bounds: Option<Arc<Bounds>>,
    cancel: CancelFlag,
    reservation: MemoryReservation,
}

impl UngroupedLocal {
    /// `bounds` are all lanes'.
    pub(super) fn new(
        plan: &Arc<Plan>,
        bounds: Option<&Arc<Bounds>>,
        context: &RunContext,
    ) -> Result<Self> {
        Ok(Self {
            plan: Arc::clone(plan),
            states: accumulators(plan)?,
            sums: Sums::default(),
            bounds: bounds.map(Arc::clone),
            cancel: context.cancel.clone(),
            reservation: context.reservation("StaffaAggregate"),
        })
    }

    fn add(&mut self, morsel: &Morsel) -> Result<()> {
        let before = self.size();
        if morsel.states().is_some() {
            let columns = self.plan.states(morsel)?;
            let (_, states) = self.plan.split(&columns);
            for (state, columns) in self.states.iter_mut().zip(states) {
                state.merge_batch(columns)?;
            }
        } else if self.plan.spec.stage.reads_states() {
            let arguments = self.plan.arguments(morsel)?;
            for (state, columns) in self.states.iter_mut().zip(&arguments) {
                state.merge_batch(columns)?;
            }
        } else if self.plan.spec.filters.iter().all(Option::is_none) {
            let arguments = self.plan.arguments(morsel)?;
            self.sums.clear();
            for (at, (state, columns)) in self.states.iter_mut().zip(&arguments).enumerate() {
                match (self.plan.constant(at), columns.as_slice()) {
                    (Some(by), [column]) => {
                        if let Some(sum) = self.sums.of(column, by) {
                            state.update_batch(&[sum])?;
                        }
                    }
                    _ => state.update_batch(columns)?,
                }
            }
            self.sums.clear();
        } else {
            self.add_filtered(morsel)?;
        }
        let grown = self.size().saturating_sub(before);
        if grown > 0 {
            self.reservation.try_grow(grown)?;
        }
        Ok(())
    }

    /// Arguments are evaluated over the rows that pass a function's filter only: those that do
    /// not pass must not raise errors.
    fn add_filtered(&mut self, morsel: &Morsel) -> Result<()> {
        for (at, state) in self.states.iter_mut().enumerate() {
            let arguments = match self.plan.filter(at) {
                None => self.plan.arguments_of(at, morsel)?,
                Some(filter) => {
                    let passed = morsel.filter(&filter.mask(morsel)?)?;
                    self.plan.arguments_of(at, &passed)?
                }
            };
            state.update_batch(&arguments)?;
        }
        Ok(())
    }

    fn size(&self) -> usize {
        self.states.iter().map(|state| state.size()).sum()
    }
}

#[async_trait]
impl SinkLocal for UngroupedLocal {
    async fn push(&mut self, morsel: Morsel) -> Result<()> {
        self.add(&morsel)?;
        match &self.bounds {
            Some(bounds) => bounds.tighten(&mut self.states, &self.cancel),
            None => Ok(()),
        }
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}

/// Brings the lanes' states together into the one row.
pub(super) fn seal(plan: &Arc<Plan>, locals: Vec<UngroupedLocal>) -> Result<Arc<dyn Sealed>> {
    let mut locals: Vec<Vec<Box<dyn Accumulator>>> =
        locals.into_iter().map(|local| local.states).collect();
    let mut states = match locals.len() {
        0 => accumulators(plan)?,
        1 => locals.remove(0),
        _ => merge(plan, locals)?,
    };
    let mut columns: Vec<ArrayRef> = Vec::new();
    for state in &mut states {
        if plan.spec.stage.writes_states() {
            for value in state.state()? {
                columns.push(value.to_array()?);
            }
        } else {
            columns.push(state.evaluate()?.to_array()?);
        }
    }
    let row = plan.output(columns, 1)?;
    Ok(Arc::new(Batches::new([row], 1)))
}

fn merge(plan: &Plan, locals: Vec<Vec<Box<dyn Accumulator>>>) -> Result<Vec<Box<dyn Accumulator>>> {
    let mut merged = accumulators(plan)?;
    for states in locals {
        for (into, mut state) in merged.iter_mut().zip(states) {
            let columns =
                state.state()?.iter().map(|value| value.to_array()).collect::<Result<Vec<_>>>()?;
            into.merge_batch(&columns)?;
        }
    }
    Ok(merged)
}

fn accumulators(plan: &Plan) -> Result<Vec<Box<dyn Accumulator>>> {
    plan.spec.aggregates.iter().map(|function| function.create_accumulator()).collect()
}
