//! The sink of a join's build side.

use std::any::Any;
use std::sync::{Arc, OnceLock};

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion_common::utils::memory::RecordBatchMemoryCounter;
use datafusion_common::{DataFusionError, Result, internal_err};
use datafusion_execution::memory_pool::MemoryReservation;
use datafusion_physical_plan::SpillManager;
use datafusion_physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder, Time};

use super::columns::OFFSET_LIMIT;
use super::distinct::{Distinct, is_of_keys};
use super::dynamic::Reports;
use super::emit::kept_columns;
use super::seal::seal;
use super::spill::{Flags, Parts, is_exhausted, manager, partitions};
use crate::bound::BoundExpr;
use crate::cpu::compact::release_views;
use crate::engine::{Sealed, Sink, SinkLocal};
use crate::plan::{JoinSpec, Overflow, Pipeline, Scope, SinkKind};
use crate::run::own;
use crate::{Morsel, RunContext};

/// Collects the build side of a join and seals it into a [`super::state::JoinState`].
pub struct BuildSink {
    shared: Arc<Shared>,
    /// Which partitions are on disk, where lanes share a state.
    flags: Option<Arc<Flags>>,
    partitions: usize,
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
    /// Whether rows that do not fit into memory go to disk.
    pub(super) spills: bool,
    /// Whether a key's second row makes no difference, and can be told.
    of_keys: bool,
    metrics: ExecutionPlanMetricsSet,
    manager: OnceLock<SpillManager>,
}

impl Shared {
    /// Makes and reads files of build rows.
    pub(super) fn spill_manager(&self) -> &SpillManager {
        self.manager.get_or_init(|| manager(&self.context, &self.metrics, &self.schema))
    }

    /// Types of the keys.
    pub(super) fn key_types(&self) -> Vec<DataType> {
        let of = |&place: &usize| self.schema.field(place).data_type().clone();
        self.key_places.iter().map(of).collect()
    }

    /// Whether an error is one that spilling helps against.
    pub(super) fn may_spill(&self, error: &DataFusionError) -> bool {
        self.spills && is_exhausted(error)
    }
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
        let key_types: Vec<_> =
            key_places.iter().map(|&place| fields[place].data_type().clone()).collect();
        let of_keys = is_of_keys(spec, &kept, &key_types);
        let (states, lanes_each) = match pipeline.scope {
            Scope::Shared => (1, pipeline.lanes),
            Scope::PerLane => (pipeline.lanes, 1),
        };
        let spills = matches!(pipeline.sink, SinkKind::Build(_, Overflow::Spills));
        // Files of all lanes are open at the same time.
        let partitions = partitions(keys.len(), pipeline.lanes);
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
                spills,
                of_keys,
                metrics: pipeline.metrics.clone(),
                manager: OnceLock::new(),
            }),
            flags: (lanes_each > 1).then(|| Flags::new(partitions)),
            partitions,
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
            dropped: 0,
            distinct: self.shared.of_keys.then(|| Distinct::new(self.reservation.new_empty())),
            counter: RecordBatchMemoryCounter::new(),
            reservation: self.reservation.new_empty(),
            flags: self.flags.clone().unwrap_or_else(|| Flags::new(self.partitions)),
            parts: None,
        }))
    }

    async fn seal(&self, locals: Vec<Box<dyn SinkLocal>>) -> Result<Arc<dyn Sealed>> {
        let timer = self.build_time.timer();
        let locals: Vec<Local> = own(locals)?;
        let state = locals.first().map_or(0, |local| local.lane);
        let reservation = self.reservation.new_empty();
        let shared = Arc::clone(&self.shared);
        let runtime = Arc::clone(&shared.context.runtime);
        let input_rows = self.input_rows.clone();
        let sealing = runtime.compute(move || {
            let (sealed, rows) = seal(&shared, state, locals, reservation)?;
            input_rows.add(rows);
            Ok(sealed)
        });
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
pub(super) struct Local {
    pub(super) lane: usize,
    shared: Arc<Shared>,
    pub(super) batches: Vec<RecordBatch>,
    rows: usize,
    /// Rows whose key was there already.
    dropped: usize,
    distinct: Option<Distinct>,
    counter: RecordBatchMemoryCounter,
    pub(super) reservation: MemoryReservation,
    flags: Arc<Flags>,
    /// Where the rows are once memory has run out.
    pub(super) parts: Option<Parts>,
}

impl Local {
    /// Number of rows.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Number of rows that came, whether they make a difference or not.
    pub(super) fn input_rows(&self) -> usize {
        self.rows + self.dropped
    }

    /// The rows that make a difference.
    fn needed(&mut self, batch: RecordBatch) -> Result<RecordBatch> {
        let key = self.shared.key_places.first().and_then(|&place| batch.columns().get(place));
        let Some((distinct, key)) = self.distinct.as_mut().zip(key) else { return Ok(batch) };
        let Some(first) = distinct.first(key) else {
            self.distinct = None;
            return Ok(batch);
        };
        let needed = filter_record_batch(&batch, &first)?;
        self.dropped += batch.num_rows() - needed.num_rows();
        Ok(needed)
    }

    /// Splits all rows into partitions, so that some can go to disk.
    pub(super) fn split(&mut self) -> Result<&mut Parts> {
        if self.parts.is_none() {
            let batches = std::mem::take(&mut self.batches);
            let mut parts = Parts::new(&self.shared, &self.flags, self.reservation.new_empty());
            parts.take_over(batches, &self.reservation)?;
            self.parts = Some(parts);
        }
        match &mut self.parts {
            Some(parts) => Ok(parts),
            None => internal_err!("parts that were just made"),
        }
    }
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
        let batch = self.needed(release_views(batch)?)?;
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.rows += batch.num_rows();
        if let Some(parts) = &mut self.parts {
            return parts.push(batch);
        }
        match self.reservation.try_grow(self.counter.count_batch(&batch)) {
            Ok(()) => {
                self.batches.push(batch);
                Ok(())
            }
            Err(error) if self.shared.may_spill(&error) => self.split()?.push(batch),
            Err(error) => Err(error),
        }
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}
