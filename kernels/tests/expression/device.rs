//! Running a program on a device: buffers, launch, results.

use staffa_kernels::abi::{Column, ColumnKind, ErrorSlot, Span};
use staffa_kernels::expression::format::{ERROR_HEAP_FULL, ERROR_RERUN, LaunchParameters};
use staffa_kernels::expression::reference::{Cell, HostColumn, Outcome};
use staffa_kernels::expression::{Constant, Program, Type};

/// What a device run may answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    Done(Outcome),
    Rerun,
    HeapFull,
}

/// Memory and launches; addresses are the device's.
pub(crate) trait Machine {
    fn upload(&mut self, bytes: &[u8]) -> u64;
    fn write(&mut self, address: u64, bytes: &[u8]);
    fn read(&mut self, address: u64, bytes: usize) -> Vec<u8>;
    fn launch(
        &mut self,
        kernel: &str,
        parameters: &LaunchParameters,
        blocks: u32,
        threads: u32,
        shared: u32,
    );
}

pub(crate) use crate::gpu::machine;

fn padded(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(bytes.len() + 64, 0xee);
    bytes
}

fn bitmap(bits: impl Iterator<Item = bool>) -> Vec<u8> {
    let bits: Vec<bool> = bits.collect();
    let mut words = vec![0u32; bits.len().div_ceil(32)];
    for (row, bit) in bits.iter().enumerate() {
        words[row / 32] |= u32::from(*bit) << (row % 32);
    }
    words.iter().flat_map(|w| w.to_le_bytes()).collect()
}

/// Spans of the cells over one buffer with all their bytes.
fn spans(machine: &mut dyn Machine, cells: &[Cell]) -> Vec<Span> {
    let mut bytes = Vec::new();
    let mut spans = Vec::with_capacity(cells.len());
    for cell in cells {
        let Some(Constant::Bytes(text)) = cell else {
            spans.push(Span::default());
            continue;
        };
        let mut prefix = [0u8; 4];
        prefix.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
        let address = bytes.len() as u64;
        spans.push(Span { address, length: text.len() as u32, prefix: u32::from_le_bytes(prefix) });
        bytes.extend_from_slice(text);
    }
    let start = machine.upload(&bytes);
    spans.iter_mut().for_each(|span| span.address += start);
    spans
}

fn values(machine: &mut dyn Machine, kind: Type, cells: &[Cell]) -> u64 {
    let bytes: Vec<u8> = match kind {
        Type::Bits => bitmap(cells.iter().map(|c| *c == Some(Constant::Bool(true)))),
        Type::Span => bytemuck::cast_slice(&spans(machine, cells)).to_vec(),
        _ => cells
            .iter()
            .flat_map(|cell| cell.clone().unwrap_or(Constant::integer(kind, 0)).little_endian())
            .collect(),
    };
    machine.upload(&padded(bytes))
}

fn validity(machine: &mut dyn Machine, nullable: bool, valid: impl Iterator<Item = bool>) -> u64 {
    if nullable { machine.upload(&padded(bitmap(valid))) } else { 0 }
}

fn descriptor(
    machine: &mut dyn Machine,
    kind: Type,
    nullable: bool,
    column: &HostColumn,
) -> Column {
    let rows = column.rows() as u32;
    let plain = match kind {
        Type::Bits => ColumnKind::Bits,
        Type::Span => ColumnKind::Spans,
        _ => ColumnKind::Fixed,
    };
    match column {
        HostColumn::Plain(cells) => Column {
            values: values(machine, kind, cells),
            validity: validity(machine, nullable, cells.iter().map(Option::is_some)),
            rows,
            kind: plain as u8,
            width: u32::from(kind.width()),
            ..Column::default()
        },
        HostColumn::Codes { codes, dictionary } => {
            let bytes: Vec<u8> = codes.iter().flat_map(|c| c.unwrap_or(0).to_le_bytes()).collect();
            let entries: Vec<Cell> = dictionary.iter().cloned().map(Some).collect();
            Column {
                values: machine.upload(&padded(bytes)),
                validity: validity(machine, nullable, codes.iter().map(Option::is_some)),
                dictionary: values(machine, kind, &entries),
                rows,
                dictionary_rows: dictionary.len() as u32,
                kind: ColumnKind::Codes as u8,
                dictionary_kind: plain as u8,
                width: u32::from(kind.width()),
                ..Column::default()
            }
        }
    }
}

fn decode(machine: &mut dyn Machine, kind: Type, column: &Column, rows: usize) -> Vec<Cell> {
    let words = |machine: &mut dyn Machine, address: u64| -> Vec<bool> {
        let bytes = machine.read(address, rows.div_ceil(32) * 4);
        (0..rows.div_ceil(32) * 32).map(|row| bytes[row / 8] >> (row % 8) & 1 != 0).collect()
    };
    let valid =
        if column.validity == 0 { vec![true; rows] } else { words(machine, column.validity) };
    assert!(
        valid.iter().skip(rows).all(|bit| !bit) || column.validity == 0,
        "validity beyond the rows is zero"
    );
    if kind == Type::Bits {
        let bits = words(machine, column.values);
        assert!(bits.iter().skip(rows).all(|bit| !bit), "bits beyond the rows are zero");
        return (0..rows)
            .map(|row| {
                assert!(valid[row] || !bits[row], "a NULL's bit is zero");
                valid[row].then(|| Constant::Bool(bits[row]))
            })
            .collect();
    }
    let width = usize::from(kind.width());
    let bytes = machine.read(column.values, rows * width);
    bytes
        .chunks_exact(width)
        .zip(valid)
        .map(|(slot, valid)| {
            if !valid {
                assert!(slot.iter().all(|b| *b == 0), "a NULL's slot is zero");
                return None;
            }
            if kind == Type::Span {
                let span: Span = bytemuck::pod_read_unaligned(slot);
                let bytes = if span.length == 0 {
                    vec![]
                } else {
                    machine.read(span.address, span.length as usize)
                };
                let mut prefix = [0u8; 4];
                let n = bytes.len().min(4);
                prefix[..n].copy_from_slice(&bytes[..n]);
                assert_eq!(
                    u32::from_le_bytes(prefix),
                    span.prefix,
                    "the prefix is that of the bytes"
                );
                return Some(Constant::Bytes(bytes));
            }
            Some(Constant::from_little_endian(kind, slot))
        })
        .collect()
}

/// How a program is launched.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub threads: Option<u32>,
    pub blocks: u32,
    pub heap: usize,
}

impl Default for Shape {
    fn default() -> Self {
        Shape { threads: None, blocks: 3, heap: 1 << 20 }
    }
}

pub(crate) fn run(
    machine: &mut dyn Machine,
    program: &Program,
    columns: &[HostColumn],
    selection: Option<&[u32]>,
    shape: Shape,
) -> Answer {
    let rows = columns.first().map_or(0, HostColumn::rows);
    let selected = selection.map_or(rows, <[u32]>::len);
    let threads = shape.threads.unwrap_or_else(|| program.block_threads().unwrap());
    let tiles = selected.div_ceil(threads as usize * 4);
    let inputs: Vec<Column> = program
        .inputs()
        .iter()
        .zip(columns)
        .map(|(input, column)| descriptor(machine, input.kind, input.nullable, column))
        .collect();
    let outputs: Vec<Column> = program
        .outputs()
        .iter()
        .map(|output| {
            let width = usize::from(output.kind.width());
            let bitmap = selected.div_ceil(32) * 4;
            let bytes = if output.kind == Type::Bits { bitmap } else { selected * width };
            Column {
                values: machine.upload(&vec![0; bytes + 64]),
                validity: if output.nullable { machine.upload(&vec![0; bitmap + 64]) } else { 0 },
                rows: selected as u32,
                width: width as u32,
                ..Column::default()
            }
        })
        .collect();
    let blob_address = machine.upload(&vec![0; program.blob_at(0).len() + 64]);
    let blob = program.blob_at(blob_address);
    machine.write(blob_address, &blob);
    let heap = machine.upload(&vec![0; shape.heap]);
    let heap_used = machine.upload(&[0; 8]);
    let error = machine.upload(&[0; 32]);
    let count = machine.upload(&[0xff; 4]);
    let selection_out = machine.upload(&vec![0xff; selected * 4 + 64]);
    let mut parameters = LaunchParameters {
        instructions: machine.upload(bytemuck::cast_slice(program.instructions())),
        blob: blob_address,
        inputs: machine.upload(&padded(bytemuck::cast_slice(&inputs).to_vec())),
        outputs: machine.upload(&padded(bytemuck::cast_slice(&outputs).to_vec())),
        error,
        heap,
        heap_capacity: shape.heap as u64,
        heap_used,
        default_nan_f64: (std::hint::black_box(0.0f64) / std::hint::black_box(0.0)).to_bits(),
        default_nan_f32: (std::hint::black_box(0.0f32) / std::hint::black_box(0.0)).to_bits(),
        rows: rows as u32,
        row_bytes: program.row_bytes(),
        bit_registers: program.bit_registers(),
        constant_bytes: program.constant_bytes(),
        instruction_count: program.instructions().len() as u32,
        operator_number: 7,
        ..LaunchParameters::default()
    };
    if let Some(selection) = selection {
        parameters.selection = machine.upload(&padded(bytemuck::cast_slice(selection).to_vec()));
        parameters.selection_count = machine.upload(&(selected as u32).to_le_bytes());
    }
    if program.filters() {
        parameters.look_back = machine.upload(&vec![0; 8 * (1 + tiles) + 64]);
        parameters.selection_out = selection_out;
        parameters.count_out = count;
    }
    machine.launch(
        program.variant().symbol(),
        &parameters,
        shape.blocks,
        threads,
        program.shared_bytes(threads),
    );
    let slot: ErrorSlot = bytemuck::pod_read_unaligned(&machine.read(error, 32));
    match slot.code {
        0 => {}
        ERROR_RERUN => {
            assert_eq!(slot.where_, 7);
            assert!((slot.detail as usize) < program.instructions().len());
            return Answer::Rerun;
        }
        ERROR_HEAP_FULL => return Answer::HeapFull,
        other => panic!("unknown error {other:#x}"),
    }
    let mut outcome = Outcome::default();
    let mut kept = selected;
    if program.filters() {
        kept = u32::from_le_bytes(machine.read(count, 4).try_into().unwrap()) as usize;
        let bytes = machine.read(selection_out, kept * 4);
        outcome.rows =
            bytes.chunks_exact(4).map(|b| u32::from_le_bytes(b.try_into().unwrap())).collect();
    } else {
        outcome.rows = selection.map_or_else(|| (0..rows as u32).collect(), <[u32]>::to_vec);
    }
    for (output, column) in program.outputs().iter().zip(&outputs) {
        outcome.columns.push(decode(machine, output.kind, column, kept));
    }
    Answer::Done(outcome)
}
