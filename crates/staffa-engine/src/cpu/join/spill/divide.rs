//! A lane's probe rows: those of partitions in memory go on, the others wait in files.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, NullArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_common::Result;
use datafusion_execution::memory_pool::MemoryReservation;
use datafusion_physical_plan::SpillManager;

use super::Hybrid;
use super::files::{Files, Stored};
use super::split::{Split, batch_bytes, numbers, of_rows};
use crate::cpu::compact::release_views;
use crate::{Morsel, RunContext};

/// Rows that are written at a time: a thousand or two for each partition.
const WRITE_ROWS: usize = 1 << 16;

/// Bytes that are written at a time, where rows are long.
const WRITE_BYTES: usize = 4 << 20;

/// The probe side's columns in files: those that the join reads.
pub(in super::super) struct ProbeColumns {
    read: Vec<usize>,
    width: usize,
    schema: SchemaRef,
}

impl ProbeColumns {
    /// Of the columns of `input`, those in `read`.
    pub(in super::super) fn new(read: Vec<usize>, input: &Schema) -> Self {
        let field = |&at: &usize| {
            let field = input.field(at);
            Arc::new(Field::new(field.name(), field.data_type().clone(), true))
        };
        let schema = Arc::new(Schema::new(read.iter().map(field).collect::<Vec<_>>()));
        Self { read, width: input.fields().len(), schema }
    }

    /// The schema of the files.
    pub(in super::super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Only the columns that are read.
    fn keep(&self, morsel: &Morsel) -> Result<RecordBatch> {
        release_views(morsel.project(&self.read).into_batch(&self.schema)?)
    }

    /// All columns, those that nobody reads without values.
    pub(super) fn restore(&self, batch: &RecordBatch) -> Morsel {
        let rows = batch.num_rows();
        let nothing: ArrayRef = Arc::new(NullArray::new(rows));
        let mut columns = vec![nothing; self.width];
        for (column, &at) in batch.columns().iter().zip(&self.read) {
            columns[at] = Arc::clone(column);
        }
        Morsel::from_arrays(columns, rows)
    }
}

/// See the module.
pub(in super::super) struct Divide {
    hybrid: Arc<Hybrid>,
    columns: Arc<ProbeColumns>,
    types: Vec<DataType>,
    files: Files,
    /// Rows that wait to be written, each with its keys behind the columns.
    waiting: Vec<RecordBatch>,
    waiting_schema: SchemaRef,
    waiting_rows: usize,
    reservation: MemoryReservation,
}

impl Divide {
    pub(in super::super) fn new(
        hybrid: Arc<Hybrid>,
        columns: &Arc<ProbeColumns>,
        manager: &SpillManager,
        context: &RunContext,
    ) -> Self {
        let types = hybrid.spilled.shared.key_types();
        let keys = types.iter().map(|key| Arc::new(Field::new("key", key.clone(), true)));
        let fields: Vec<_> = columns.schema.fields().iter().cloned().chain(keys).collect();
        Self {
            files: Files::new(manager.clone(), hybrid.spilled.len()),
            hybrid,
            columns: Arc::clone(columns),
            types,
            waiting: Vec::new(),
            waiting_schema: Arc::new(Schema::new(fields)),
            waiting_rows: 0,
            reservation: context.reservation("StaffaJoinProbe"),
        }
    }

    /// Takes the rows of spilled partitions; what is left of the morsel, and its keys.
    pub(in super::super) fn take(
        &mut self,
        morsel: Morsel,
        keys: Vec<ArrayRef>,
    ) -> Result<(Morsel, Vec<ArrayRef>)> {
        let spilled = Arc::clone(&self.hybrid.spilled);
        let keys = super::super::lookup::as_types(&keys, self.types.iter())?;
        let numbers = numbers(&keys, &self.types, morsel.rows(), spilled.len())?;
        // Rows stay in the order they came in.
        let (mut stay, mut go) = (Vec::new(), Vec::new());
        for (row, number) in (0..).zip(numbers) {
            match spilled.is_spilled(usize::from(number)) {
                true => go.push(row),
                false => stay.push(row),
            }
        }
        if !go.is_empty() {
            let (waits, keys) = select(&morsel, &keys, go)?;
            self.wait(&waits, keys)?;
        }
        select(&morsel, &keys, stay)
    }

    fn wait(&mut self, morsel: &Morsel, keys: Vec<ArrayRef>) -> Result<()> {
        let rows = morsel.rows();
        let mut columns = self.columns.keep(morsel)?.columns().to_vec();
        columns.extend(keys);
        let batch = of_rows(&self.waiting_schema, columns, rows)?;
        self.reservation.grow(batch_bytes(&batch));
        self.waiting_rows += rows;
        self.waiting.push(batch);
        match self.waiting_rows >= WRITE_ROWS || self.reservation.size() >= WRITE_BYTES {
            true => self.write(),
            false => Ok(()),
        }
    }

    fn write(&mut self) -> Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting_rows = 0;
        let joined = match waiting.len() {
            0 | 1 => waiting,
            // Together the values may be too many for a dictionary's keys.
            _ => match concat_batches(&self.waiting_schema, &waiting) {
                Ok(batch) => vec![batch],
                Err(_) => waiting,
            },
        };
        let width = self.columns.read.len();
        for batch in joined {
            let keys = &batch.columns()[width..];
            let partitions = self.hybrid.spilled.len();
            let split = Split::new(keys, &self.types, batch.num_rows(), partitions)?;
            let columns = batch.columns()[..width].to_vec();
            let batch = of_rows(&self.columns.schema, columns, batch.num_rows())?;
            for partition in 0..partitions {
                if let Some(rows) = split.gather(&batch, partition)? {
                    self.files.write(partition, &rows)?;
                }
            }
        }
        self.reservation.free();
        Ok(())
    }

    /// The build side.
    pub(super) fn hybrid(&self) -> Arc<Hybrid> {
        Arc::clone(&self.hybrid)
    }

    /// The lane has ended: its rows of each partition.
    pub(super) fn finish(mut self) -> Result<Vec<Stored>> {
        self.write()?;
        self.files.finish()
    }
}

/// Some rows of a morsel and of its keys.
fn select(morsel: &Morsel, keys: &[ArrayRef], rows: Vec<u32>) -> Result<(Morsel, Vec<ArrayRef>)> {
    if rows.len() == morsel.rows() {
        return Ok((morsel.clone(), keys.to_vec()));
    }
    let rows = Arc::new(UInt32Array::from(rows));
    let keys = keys
        .iter()
        .map(|key| Ok(take(key.as_ref(), rows.as_ref(), None)?))
        .collect::<Result<Vec<_>>>()?;
    debug_assert!(keys.iter().all(|key| key.len() == rows.len()));
    Ok((morsel.select(&rows)?, keys))
}
