//! Running lowered expressions over a morsel.

use std::sync::Arc;

use arrow::datatypes::DataType;
use staffa_common::Reason;
use staffa_cuda::{CudaError, DeviceBuffer, DeviceSlice, Result};
use staffa_kernels::abi::{Column, ColumnKind};
use staffa_kernels::expression::{
    self as kernels, Context, InputColumn, Options, OutputColumn, Resident, Results, Selection,
    Type,
};

use super::Lowered;
use super::compile::{ColumnShape, OutputFrom, Shape};

/// Programs of one form, in device memory.
pub(super) struct Loaded {
    /// A dictionary's programs, with the number of the column.
    entries: Vec<(usize, Resident)>,
    program: Option<Resident>,
    inputs: Vec<usize>,
    outputs: Vec<OutputFrom>,
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded").field("outputs", &self.outputs).finish_non_exhaustive()
    }
}

/// What a run leaves on the device. Valid only if the error slot stays clear.
pub struct Ran {
    /// The outputs. Their capacity is the rows of the input or of the selection; how many rows they have
    /// is `count`, if that is there.
    pub columns: Vec<InputColumn>,
    /// Rows that stayed; absent without a filter, then all of the input (or selection) did.
    pub count: Option<DeviceSlice<u32>>,
    /// Numbers of the input rows that stayed, if asked for.
    pub selection: Option<DeviceSlice<u32>>,
    /// Bytes for strings that each launch asked for: where one is above `Options::heap_bytes`, the error slot
    /// says that the heap was full.
    pub heap_used: Vec<DeviceSlice<u64>>,
}

fn unsupported(reason: Reason) -> CudaError {
    CudaError::Unsupported(reason.to_string())
}

impl Lowered {
    /// Runs over `rows` rows, or over a selection of them. `columns` are those of [`Lowered::columns`].
    /// Nothing waits for the device.
    ///
    /// # Errors
    /// [`CudaError::Misuse`] for columns of another number, length or kind; Unsupported for a selection
    /// that cannot be taken; what the driver says.
    pub fn run(
        &self,
        context: &Context<'_>,
        columns: &[InputColumn],
        rows: u32,
        selection: Option<Selection<'_>>,
        options: Options,
    ) -> Result<Ran> {
        if columns.len() != self.columns.len() {
            return Err(CudaError::Misuse(format!(
                "{} columns for {}",
                columns.len(),
                self.columns.len()
            )));
        }
        if selection.is_some() && !self.compacts {
            return Err(CudaError::Unsupported(
                "a selection of a column without a register".into(),
            ));
        }
        let shape = self.shape(columns, rows, selection.is_some());
        let loaded = self.loaded(context, &shape)?;
        let mut run = Ran {
            columns: Vec::with_capacity(loaded.outputs.len()),
            count: None,
            selection: None,
            heap_used: Vec::new(),
        };
        let Some(program) = &loaded.program else {
            for output in &loaded.outputs {
                if let OutputFrom::Column(number) = output {
                    run.columns.push(columns[*number].clone());
                }
            }
            return Ok(run);
        };
        let mut inputs: Vec<InputColumn> =
            loaded.inputs.iter().map(|number| columns[*number].clone()).collect();
        // What spans in the outputs may point into.
        let mut kept: Vec<DeviceSlice<u8>> = Vec::new();
        for (number, resident) in &loaded.entries {
            let column = entries(&columns[*number]);
            let entry_rows = column.descriptor.rows;
            let results = kernels::run(context, resident, &[column], entry_rows, None, options)?;
            kept.push(resident.blob().clone());
            inputs.extend(frozen(results, entry_rows, &mut run, &mut kept)?);
        }
        let results = kernels::run(context, program, &inputs, rows, selection, options)?;
        kept.push(program.blob().clone());
        let capacity = selection.map_or(rows, |s| u32::try_from(s.rows.len()).unwrap_or(u32::MAX));
        kept.extend(inputs.iter().flat_map(|input| input.buffers.iter().cloned()));
        let computed = frozen(results, capacity, &mut run, &mut kept)?;
        for (output, of) in loaded.outputs.iter().zip(&self.types) {
            run.columns.push(match output {
                OutputFrom::Column(number) => columns[*number].clone(),
                OutputFrom::Program(number) => {
                    let mut column = computed[*number].clone();
                    if column.descriptor.kind == ColumnKind::Spans as u8 {
                        column.buffers.extend(kept.iter().cloned());
                    }
                    if let DataType::FixedSizeBinary(_) = of {
                        column.descriptor.kind = ColumnKind::Bytes as u8;
                    }
                    column
                }
                OutputFrom::Codes { output, column } => {
                    codes(&computed[*output], &columns[*column])
                }
            });
        }
        Ok(run)
    }

    /// The form of these columns.
    fn shape(&self, columns: &[InputColumn], rows: u32, selects: bool) -> Shape {
        let compact = selects || self.filter.is_some();
        let columns = columns
            .iter()
            .zip(&self.columns)
            .map(|(column, number)| {
                let descriptor = &column.descriptor;
                let codes = descriptor.kind == ColumnKind::Codes as u8;
                ColumnShape {
                    nullable: descriptor.validity != 0,
                    codes: codes && compact,
                    // More entries than rows: a value a row is less work.
                    lookup: codes
                        && descriptor.dictionary_rows <= rows
                        && self.lookups.iter().any(|lookup| lookup.column == *number),
                }
            })
            .collect();
        Shape { compact, columns }
    }

    fn loaded(&self, context: &Context<'_>, shape: &Shape) -> Result<Arc<Loaded>> {
        if let Some(known) = self.compiled.lock().get(shape) {
            return Ok(Arc::clone(known));
        }
        let compiled = self.compile(shape).or_else(|_| {
            // With codes a program may need more registers than a tile has; without, it was tried.
            let columns =
                shape.columns.iter().map(|column| ColumnShape { lookup: false, ..*column });
            self.compile(&Shape { compact: shape.compact, columns: columns.collect() })
        });
        let compiled = compiled.map_err(unsupported)?;
        let mut entries = Vec::with_capacity(compiled.entries.len());
        for part in compiled.entries {
            entries.push((part.column, Resident::new(part.program, context)?));
        }
        let program = match compiled.program {
            Some(program) => Some(Resident::new(program, context)?),
            None => None,
        };
        let (inputs, outputs) = (compiled.inputs, compiled.outputs);
        let loaded = Arc::new(Loaded { entries, program, inputs, outputs });
        self.compiled.lock().insert(shape.clone(), Arc::clone(&loaded));
        Ok(loaded)
    }
}

/// A dictionary's entries as a column.
fn entries(column: &InputColumn) -> InputColumn {
    let d = &column.descriptor;
    let descriptor = Column {
        values: d.dictionary,
        rows: d.dictionary_rows,
        kind: d.dictionary_kind,
        width: d.width,
        type_: d.type_,
        scale: d.scale,
        precision: d.precision,
        ..Column::default()
    };
    InputColumn { descriptor, buffers: column.buffers.clone() }
}

/// A column of codes that the program wrote, with the dictionary of the column that they are from.
fn codes(written: &InputColumn, source: &InputColumn) -> InputColumn {
    let descriptor = Column {
        values: written.descriptor.values,
        validity: written.descriptor.validity,
        rows: written.descriptor.rows,
        ..source.descriptor
    };
    let buffers = written.buffers.iter().chain(&source.buffers).cloned().collect();
    InputColumn { descriptor, buffers }
}

/// A launch's outputs as columns; count, selection and heap go where they belong.
fn frozen(
    results: Results,
    rows: u32,
    run: &mut Ran,
    kept: &mut Vec<DeviceSlice<u8>>,
) -> Result<Vec<InputColumn>> {
    let mut made = None;
    if let Some((heap, used)) = results.heap {
        let heap = heap.freeze();
        kept.push(heap.clone());
        made = Some(heap);
        run.heap_used.push(used.freeze());
    }
    run.count = results.count.map(DeviceBuffer::freeze).or(run.count.take());
    run.selection = results.selection.map(DeviceBuffer::freeze).or(run.selection.take());
    results
        .columns
        .into_iter()
        .map(|column| {
            let mut column = column_of(column, rows)?;
            if column.descriptor.kind == ColumnKind::Spans as u8 {
                column.buffers.extend(made.iter().cloned());
            }
            Ok(column)
        })
        .collect()
}

fn column_of(column: OutputColumn, rows: u32) -> Result<InputColumn> {
    let kind = match column.kind {
        Type::Bits => ColumnKind::Bits,
        Type::Span => ColumnKind::Spans,
        _ => ColumnKind::Fixed,
    };
    let values = column.values.freeze();
    let validity = match column.validity {
        Some(validity) => Some(validity.freeze().cast::<u8>()?),
        None => None,
    };
    let descriptor = Column {
        values: values.address(),
        validity: validity.as_ref().map_or(0, DeviceSlice::address),
        rows,
        kind: kind as u8,
        width: u32::from(column.kind.width()),
        ..Column::default()
    };
    Ok(InputColumn { descriptor, buffers: std::iter::once(values).chain(validity).collect() })
}
