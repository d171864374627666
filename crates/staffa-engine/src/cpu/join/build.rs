//! The sink of a join's build side.

use std::any::Any;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion_common::Result;
use datafusion_common::utils::memory::RecordBatchMemoryCounter;
use datafusion_execution::memory_pool::MemoryReservation;
use datafusion_physical_plan::metrics::{Count, MetricBuilder, Time};

use super::columns::OFFSET_LIMIT;
use super::dynamic::Reports;
use super::emit::kept_columns;
use super::seal::seal;
use crate::bound::BoundExpr;
use crate::cpu::compact::release_views;
use crate::engine::{Sealed, Sink, SinkLocal};
use crate::plan::{JoinSpec, Pipeline, Scope};
use crate::run::own;
use crate::{Morsel, RunContext};

/// Collects the build side of a join and seals it into a [`super::state::JoinState`].
pub struct BuildSink {
    shared: Arc<Shared>,
    /// Every local's and state's memory is a part of this consumer's.
    reservation: MemoryReservation,
    build_time: Time,
    input_rows: Count,
    memory_used: Count,
}

/// What locals and the sealing work share.
pub(super) struct Shared {
    /// The join.
    pub(super) spec: Arc<JoinSpec>,
    /// The build side's keys.
    pub(super) keys: Vec<BoundExpr>,
    /// Columns of the build side that are kept.
    pub(super) kept: Vec<usize>,
    /// Where in a batch each key is: among the kept columns, or after them.
    pub(super) key_places: Vec<usize>,
    /// The kept columns, then the keys that are none of them.
    pub(super) schema: SchemaRef,
    /// The dynamic filter's inputs.
    pub(super) reports: Reports,
    /// Bytes that 32-bit offsets may reach.
    pub(super) offset_limit: usize,
    /// The region's context.
    pub(super) context: Arc<RunContext>,
}

impl BuildSink {
    /// For the build side of `spec`, which `pipeline` ends in.
    ///
    /// # Errors
    /// Keys that do not bind to the build side's schema.
    pub fn new(
        spec: &Arc<JoinSpec>,
        pipeline: &Pipeline,
        context: &Arc<RunContext>,
    ) -> Result<Self> {
        let keys = BoundExpr::all(spec.on.iter().map(|(build, _)| build), &spec.build_schema)?;
        let kept = kept_columns(spec);
        let mut fields: Vec<Arc<Field>> = kept
            .iter()
            .map(|&index| {
                let field = spec.build_schema.field(index);
                Arc::new(Field::new(field.name(), field.data_type().clone(), true))
            })
            .collect();
        let mut key_places = Vec::with_capacity(keys.len());
        for (key, (expr, _)) in keys.iter().zip(&spec.on) {
            let place = key.as_column().and_then(|index| kept.binary_search(&index).ok());
            key_places.push(place.unwrap_or(fields.len()));
            if place.is_none() {
                let data_type = expr.data_type(&spec.build_schema)?;
                fields.push(Arc::new(Field::new("key", data_type, true)));
            }
        }
        let states = match pipeline.scope {
            Scope::Shared => 1,
            Scope::PerLane => pipeline.lanes,
        };
        Ok(Self {
            shared: Arc::new(Shared {
                spec: Arc::clone(spec),
                keys,
                kept,
                key_places,
                schema: Arc::new(Schema::new(fields)),
                reports: Reports::new(spec, states),
                offset_limit: OFFSET_LIMIT,
                context: Arc::clone(context),
            }),
            reservation: context.reservation("StaffaJoinBuild"),
            build_time: MetricBuilder::new(&pipeline.metrics).subset_time("build_time", 0),
            input_rows: MetricBuilder::new(&pipeline.metrics).counter("build_input_rows", 0),
            memory_used: MetricBuilder::new(&pipeline.metrics).counter("build_mem_used", 0),
        })
    }
}

#[cfg(test)]
impl BuildSink {
    /// Pretends that 32-bit offsets reach no further.
    pub(super) fn with_offset_limit(mut self, bytes: usize) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.offset_limit = bytes;
        }
        self
    }
}

#[async_trait]
impl Sink for BuildSink {
    fn local(&self, lane: usize) -> Result<Box<dyn SinkLocal>> {
        Ok(Box::new(Local {
            lane,
            shared: Arc::clone(&self.shared),
            batches: Vec::new(),
            rows: 0,
            counter: RecordBatchMemoryCounter::new(),
            reservation: self.reservation.new_empty(),
        }))
    }

    async fn seal(&self, locals: Vec<Box<dyn SinkLocal>>) -> Result<Arc<dyn Sealed>> {
        let timer = self.build_time.timer();
        let locals: Vec<Local> = own(locals)?;
        let state = locals.first().map_or(0, |local| local.lane);
        let reservation = self.reservation.new_empty();
        let mut batches = Vec::new();
        for local in locals {
            // The same consumer's: what one gives back the other takes, and nobody can fail.
            reservation.grow(local.reservation.free());
            batches.extend(local.batches);
        }
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        self.input_rows.add(rows);
        let shared = Arc::clone(&self.shared);
        let runtime = Arc::clone(&shared.context.runtime);
        let sealing = runtime.compute(move || seal(&shared, state, batches, rows, reservation));
        let sealed = sealing.await;
        // Whatever came of it: nothing more will be said about this partition.
        self.shared.reports.end(state);
        let sealed = sealed?;
        self.memory_used.add(sealed.1);
        timer.done();
        Ok(sealed.0)
    }
}

/// The build rows of one lane.
struct Local {
    lane: usize,
    shared: Arc<Shared>,
    batches: Vec<RecordBatch>,
    rows: usize,
    counter: RecordBatchMemoryCounter,
    reservation: MemoryReservation,
}

#[async_trait]
impl SinkLocal for Local {
    async fn push(&mut self, morsel: Morsel) -> Result<()> {
        let shared = &self.shared;
        let mut columns: Vec<ArrayRef> =
            shared.kept.iter().map(|&index| morsel.column(index)).collect::<Result<_>>()?;
        for (key, &place) in shared.keys.iter().zip(&shared.key_places) {
            if place >= shared.kept.len() {
                let array = key.array(&morsel)?;
                let data_type = shared.schema.field(place).data_type();
                columns.push(match array.data_type() == data_type {
                    true => array,
                    false => cast(&array, data_type)?,
                });
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(morsel.rows()));
        let batch =
            RecordBatch::try_new_with_options(Arc::clone(&shared.schema), columns, &options)?;
        let batch = release_views(batch)?;
        self.reservation.try_grow(self.counter.count_batch(&batch))?;
        self.rows += batch.num_rows();
        self.batches.push(batch);
        Ok(())
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}
