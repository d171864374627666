//! The typed launcher: a program in device memory, columns in, columns out.

use staffa_cuda::{
    CudaError, DeviceBuffer, DeviceSlice, Grid, Launch, Reservation, Result, StagingRing, Stream,
};

use super::format::{Instruction, LaunchParameters, Opcode, ROWS_PER_THREAD};
use super::program::{Input, Program};
use super::types::Type;
use crate::Kernels;
use crate::abi::{Column, ColumnKind, ErrorSlot};

const MODULE: &str = "expression/interpreter";

/// What every launch needs. `error` is one slot, zeroed; launches of a morsel may share it.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The kernels.
    pub kernels: &'a Kernels,
    /// Where work is queued.
    pub stream: &'a Stream,
    /// Where outputs come from.
    pub memory: &'a Reservation,
    /// Through which programs and descriptors are uploaded.
    pub ring: &'a StagingRing,
    /// Where a row that the host must decide is reported.
    pub error: &'a DeviceBuffer<ErrorSlot>,
}

impl Context<'_> {
    fn upload<T: bytemuck::Pod>(&self, values: &[T]) -> Result<DeviceSlice<T>> {
        let mut buffer = self.memory.buffer(values.len(), self.stream)?;
        buffer.write(0, values, self.ring, self.stream)?;
        Ok(buffer.freeze())
    }

    fn zeroed<T: bytemuck::Pod>(&self, len: usize) -> Result<DeviceBuffer<T>> {
        let mut buffer = self.memory.buffer(len, self.stream)?;
        buffer.zero(self.stream)?;
        Ok(buffer)
    }
}

/// A program in device memory; made once a query, used by all its morsels.
pub struct Resident {
    program: Program,
    instructions: DeviceSlice<Instruction>,
    blob: DeviceSlice<u8>,
}

impl Resident {
    /// Uploads a program.
    ///
    /// # Errors
    /// What the driver says.
    pub fn new(program: Program, context: &Context<'_>) -> Result<Resident> {
        let instructions = context.upload(program.instructions())?;
        // The blob holds addresses of itself.
        let mut blob = context.memory.buffer(program.blob_at(0).len().max(1), context.stream)?;
        let bytes = program.blob_at(blob.address());
        blob.write(0, &bytes, context.ring, context.stream)?;
        Ok(Resident { program, instructions, blob: blob.freeze() })
    }

    /// Constants and strings: spans that the program stores may point into it.
    pub fn blob(&self) -> &DeviceSlice<u8> {
        &self.blob
    }

    /// The program.
    pub fn program(&self) -> &Program {
        &self.program
    }
}

/// An input column: its descriptor, and every buffer that the descriptor or its spans point into.
#[derive(Clone)]
pub struct InputColumn {
    /// The descriptor.
    pub descriptor: Column,
    /// Kept alive while the kernel runs.
    pub buffers: Vec<DeviceSlice<u8>>,
}

/// Row numbers of the inputs, ascending, and how many there are.
#[derive(Clone, Copy)]
pub struct Selection<'a> {
    /// The numbers; each is below the inputs' rows.
    pub rows: &'a DeviceSlice<u32>,
    /// One value, at most the length of `rows`.
    pub count: &'a DeviceSlice<u32>,
}

/// What else a launch is told.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Whether a program with a filter also writes the numbers of the rows that stay.
    pub selection: bool,
    /// Bytes for strings that the program makes.
    pub heap_bytes: usize,
    /// `where` of an error.
    pub operator: u32,
}

/// An output column.
pub struct OutputColumn {
    /// Type of the values.
    pub kind: Type,
    /// A slot a row, or a bitmap.
    pub values: DeviceBuffer<u8>,
    /// A bitmap; absent if no row can be NULL.
    pub validity: Option<DeviceBuffer<u32>>,
}

/// What a launch writes. Valid unless the error slot is set; capacities are the input's rows.
pub struct Results {
    /// The output columns.
    pub columns: Vec<OutputColumn>,
    /// Rows that stayed; absent without a filter.
    pub count: Option<DeviceBuffer<u32>>,
    /// Their numbers, if asked for.
    pub selection: Option<DeviceBuffer<u32>>,
    /// Bytes of the strings that were made, and how many were asked for.
    pub heap: Option<(DeviceBuffer<u8>, DeviceBuffer<u64>)>,
}

/// Runs a program over `rows` rows, or over a selection of them.
///
/// # Errors
/// [`CudaError::Misuse`] when a column is not what the program takes; what the driver says.
pub fn run(
    context: &Context<'_>,
    resident: &Resident,
    inputs: &[InputColumn],
    rows: u32,
    selection: Option<Selection<'_>>,
    options: Options,
) -> Result<Results> {
    let program = &resident.program;
    check_inputs(program, inputs, rows)?;
    let capacity = selection.map_or(rows as usize, |s| s.rows.len());
    if selection.is_some_and(|s| s.count.is_empty()) {
        return Err(CudaError::Misuse("a selection without a count".into()));
    }
    let threads = program
        .block_threads()
        .ok_or_else(|| CudaError::Misuse("a program that fits no block".into()))?;
    let tile_rows = threads * ROWS_PER_THREAD;
    let tiles = capacity.div_ceil(tile_rows as usize);
    let function = context.kernels.function(MODULE, program.variant().symbol())?;
    let shared = program.shared_bytes(threads);
    let resident_blocks = function.blocks_per_multiprocessor(threads, shared)?.max(1);
    let most =
        u64::from(resident_blocks) * u64::from(function.device().limits().multiprocessors.max(1));
    let blocks = u32::try_from(most.min(tiles.max(1) as u64)).unwrap_or(u32::MAX);

    let mut results = allocate(context, program, capacity, options)?;
    let descriptors: Vec<Column> = inputs.iter().map(|input| input.descriptor).collect();
    let descriptors = context.upload(&descriptors)?;
    let outputs: Vec<Column> =
        results.columns.iter().map(|column| describe(column, rows)).collect();
    let outputs = context.upload(&outputs)?;
    let mut look_back =
        if program.filters() { Some(context.zeroed::<u64>(1 + tiles)?) } else { None };

    let mut parameters = LaunchParameters {
        instructions: resident.instructions.address(),
        blob: resident.blob.address(),
        inputs: descriptors.address(),
        outputs: outputs.address(),
        error: context.error.address(),
        default_nan_f64: (std::hint::black_box(0.0f64) / std::hint::black_box(0.0)).to_bits(),
        default_nan_f32: (std::hint::black_box(0.0f32) / std::hint::black_box(0.0)).to_bits(),
        rows,
        row_bytes: program.row_bytes(),
        bit_registers: program.bit_registers(),
        constant_bytes: program.constant_bytes(),
        instruction_count: u32::try_from(program.instructions().len()).unwrap_or(u32::MAX),
        operator_number: options.operator,
        ..LaunchParameters::default()
    };
    if let Some(s) = selection {
        parameters.selection = s.rows.address();
        parameters.selection_count = s.count.address();
    }
    parameters.look_back = look_back.as_ref().map_or(0, DeviceBuffer::address);
    parameters.count_out = results.count.as_ref().map_or(0, DeviceBuffer::address);
    parameters.selection_out = results.selection.as_ref().map_or(0, DeviceBuffer::address);
    if let Some((heap, used)) = &results.heap {
        parameters.heap = heap.address();
        parameters.heap_capacity = heap.bytes();
        parameters.heap_used = used.address();
    }

    let mut launch = Launch::new(&function)
        .value(&parameters)
        .using_read(&resident.instructions)
        .using_read(&resident.blob)
        .using_read(&descriptors)
        .using_read(&outputs)
        .using_shared(context.error);
    for buffer in inputs.iter().flat_map(|input| &input.buffers) {
        launch = launch.using_read(buffer);
    }
    if let Some(s) = selection {
        launch = launch.using_read(s.rows).using_read(s.count);
    }
    for column in &mut results.columns {
        launch = launch.using_write(&mut column.values);
        if let Some(validity) = &mut column.validity {
            launch = launch.using_write(validity);
        }
    }
    for buffer in [&mut results.count, &mut results.selection].into_iter().flatten() {
        launch = launch.using_write(buffer);
    }
    if let Some((heap, used)) = &mut results.heap {
        launch = launch.using_write(heap).using_write(used);
    }
    if let Some(look_back) = &mut look_back {
        launch = launch.using_write(look_back);
    }
    // SAFETY: the one parameter is the kernel's. The program was validated against its own sizes; inputs
    // were checked above to hold `rows` rows of the types that it reads and are named, with whatever
    // their spans point into, as the columns' contract says; outputs have a slot for every row that
    // can come out; look_back has a word per tile and one more; the heap has the capacity given.
    unsafe { launch.run(Grid::linear(blocks, threads).with_shared(shared), context.stream) }?;
    Ok(results)
}

fn allocate(
    context: &Context<'_>,
    program: &Program,
    capacity: usize,
    options: Options,
) -> Result<Results> {
    let words = capacity.div_ceil(32).max(1);
    let mut columns = Vec::with_capacity(program.outputs().len());
    for output in program.outputs() {
        // Compacted bitmaps are made by atomic ORs, which need zeros.
        let values = match output.kind {
            Type::Bits if program.filters() => context.zeroed(words * 4)?,
            Type::Bits => context.memory.buffer(words * 4, context.stream)?,
            // A row that asks for a rerun is not stored. Launches behind this one are queued before the host
            // knows, and may follow a span or use a code: they find empty strings and first entries there.
            kind @ (Type::Span | Type::U32) if program.may_rerun() => {
                context.zeroed((capacity * usize::from(kind.width())).max(1))?
            }
            kind => context
                .memory
                .buffer((capacity * usize::from(kind.width())).max(1), context.stream)?,
        };
        let validity = match (output.nullable, program.filters()) {
            (false, _) => None,
            (true, true) => Some(context.zeroed(words)?),
            (true, false) => Some(context.memory.buffer(words, context.stream)?),
        };
        columns.push(OutputColumn { kind: output.kind, values, validity });
    }
    let count =
        if program.filters() { Some(context.memory.buffer(1, context.stream)?) } else { None };
    let selection = if program.filters() && options.selection {
        Some(context.memory.buffer(capacity.max(1), context.stream)?)
    } else {
        None
    };
    let heap = if program.makes_strings() {
        Some((
            context.memory.buffer(options.heap_bytes.max(1), context.stream)?,
            context.zeroed(1)?,
        ))
    } else {
        None
    };
    Ok(Results { columns, count, selection, heap })
}

fn describe(column: &OutputColumn, rows: u32) -> Column {
    Column {
        values: column.values.address(),
        validity: column.validity.as_ref().map_or(0, DeviceBuffer::address),
        rows,
        kind: storage(column.kind) as u8,
        width: u32::from(column.kind.width()),
        ..Column::default()
    }
}

fn storage(kind: Type) -> ColumnKind {
    match kind {
        Type::Bits => ColumnKind::Bits,
        Type::Span => ColumnKind::Spans,
        _ => ColumnKind::Fixed,
    }
}

fn check_inputs(program: &Program, inputs: &[InputColumn], rows: u32) -> Result<()> {
    if inputs.len() != program.inputs().len() {
        return Err(CudaError::Misuse(format!(
            "{} columns for {}",
            inputs.len(),
            program.inputs().len()
        )));
    }
    for (number, (expected, input)) in program.inputs().iter().zip(inputs).enumerate() {
        let uses = |op: Opcode| {
            let same = |i: &&Instruction| i.op == op as u16 && i.immediate == number as u64;
            program.instructions().iter().any(|i| same(&i))
        };
        check_input(
            expected,
            input,
            rows,
            uses(Opcode::Load) || uses(Opcode::LoadCode),
            uses(Opcode::LoadCode),
        )
        .map_err(|what| CudaError::Misuse(format!("input column {number}: {what}")))?;
    }
    Ok(())
}

fn check_input(
    expected: &Input,
    input: &InputColumn,
    rows: u32,
    by_row: bool,
    codes: bool,
) -> std::result::Result<(), &'static str> {
    let c = &input.descriptor;
    if by_row && c.rows != rows {
        return Err("its rows are not the morsel's");
    }
    if c.validity != 0 && !expected.nullable {
        return Err("it has NULLs and the program was made for a column without");
    }
    let kind = storage(expected.kind) as u8;
    let dictionary = c.kind == ColumnKind::Codes as u8;
    let stored = match if dictionary { c.dictionary_kind } else { c.kind } {
        // Bytes of a register's width are loaded and stored like a number's.
        bytes if bytes == ColumnKind::Bytes as u8 => ColumnKind::Fixed as u8,
        other => other,
    };
    if stored != kind || c.width != u32::from(expected.kind.width()) || codes && !dictionary {
        return Err("its kind or width is not the program's");
    }
    let bits = |count: u32| u64::from(count).div_ceil(32) * 4;
    let values = match (dictionary, expected.kind) {
        (true, _) => u64::from(c.rows) * 4,
        (false, Type::Bits) => bits(c.rows),
        (false, _) => u64::from(c.rows) * u64::from(c.width),
    };
    let entries = if dictionary { u64::from(c.dictionary_rows) * u64::from(c.width) } else { 0 };
    let validity = if c.validity == 0 { 0 } else { bits(c.rows) };
    for (address, bytes) in [(c.values, values), (c.dictionary, entries), (c.validity, validity)] {
        let inside = |buffer: &DeviceSlice<u8>| {
            let start = buffer.address();
            start <= address
                && address.checked_add(bytes).is_some_and(|end| end <= start + buffer.bytes())
        };
        if bytes != 0 && !input.buffers.iter().any(inside) {
            return Err("an address outside of its buffers");
        }
    }
    Ok(())
}
