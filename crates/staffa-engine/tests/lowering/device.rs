//! Columns to and from a device, an emulated one will do (scripts/with-emulated-gpu).

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use arrow::array::Array;
use arrow::datatypes::DataType;
use bytemuck::Pod;
use staffa_cuda::{
    Device, DeviceBuffer, DevicePool, DeviceSlice, PinnedConfig, PinnedKind, PinnedPool,
    PoolConfig, Reservation, StagingRing, Stream,
};
use staffa_engine::cuda::expression::{Lowered, Ran, storage};
use staffa_kernels::Kernels;
use staffa_kernels::abi::{Column, ColumnKind, ErrorSlot, Span};
use staffa_kernels::expression::format::ERROR_HEAP_FULL;
use staffa_kernels::expression::reference::Cell;
use staffa_kernels::expression::{Constant, Context, InputColumn, Options, Selection, Type};

use crate::cells::{cells, encoded};

/// A device with what launches need.
pub(crate) struct Machine {
    kernels: Kernels,
    stream: Stream,
    memory: Reservation,
    ring: StagingRing,
}

/// What a run gives: cells of every output, or that the morsel is to be rerun.
#[derive(Debug, PartialEq)]
pub(crate) enum Answer {
    Done(Vec<Vec<Cell>>),
    Rerun,
    /// With the bytes that the launches asked for.
    HeapFull(Vec<u64>),
}

/// The device, one test at a time; `None` where there is none (STAFFA_REQUIRE_GPU=1: there must be).
pub(crate) fn machine() -> Option<MutexGuard<'static, Machine>> {
    static MACHINE: OnceLock<Option<Mutex<Machine>>> = OnceLock::new();
    let machine = MACHINE.get_or_init(|| match open() {
        Ok(machine) => Some(Mutex::new(machine)),
        Err(error) if std::env::var("STAFFA_REQUIRE_GPU").is_ok_and(|v| v == "1") => {
            panic!("STAFFA_REQUIRE_GPU=1: {error}")
        }
        Err(error) => {
            eprintln!("SKIPPED on the device: {error}");
            None
        }
    });
    machine.as_ref().map(|m| m.lock().unwrap_or_else(PoisonError::into_inner))
}

fn open() -> staffa_cuda::Result<Machine> {
    let device = Device::open(0)?;
    let kernels = Kernels::new(&device)?;
    let counters = device.counters();
    let pool = DevicePool::new(&device, PoolConfig { budget_bytes: 1 << 30, reuse: false })?;
    let pinned = PinnedPool::new(&device, PinnedConfig { budget_bytes: 64 << 20 });
    Ok(Machine {
        kernels,
        stream: device.stream(&counters)?,
        memory: pool.reserve("test", &counters),
        ring: StagingRing::new(&pinned, PinnedKind::ToHost, 4 << 20, 2),
    })
}

fn bitmap(bits: impl Iterator<Item = bool>) -> Vec<u8> {
    let bits: Vec<bool> = bits.collect();
    let mut bytes = vec![0u8; bits.len().div_ceil(32) * 4];
    for (row, bit) in bits.iter().enumerate() {
        bytes[row / 8] |= u8::from(*bit) << (row % 8);
    }
    bytes
}

impl Machine {
    fn upload<T: Pod>(&self, values: &[T]) -> DeviceSlice<T> {
        let mut buffer = self.memory.buffer(values.len().max(1), &self.stream).unwrap();
        if !values.is_empty() {
            buffer.write(0, values, &self.ring, &self.stream).unwrap();
        }
        buffer.freeze()
    }

    fn read<T: Pod>(&self, slice: &DeviceSlice<T>) -> Vec<T> {
        let mut copy: DeviceBuffer<T> = self.memory.buffer(slice.len(), &self.stream).unwrap();
        copy.copy_from(slice, &self.stream).unwrap();
        copy.read(&self.ring, &self.stream).unwrap()
    }

    /// Values of cells, and the buffers they are in; the first starts with the values.
    fn values(&self, kind: Type, cells: &[Cell]) -> Vec<DeviceSlice<u8>> {
        if kind == Type::Bits {
            let bits = cells.iter().map(|cell| *cell == Some(Constant::Bool(true)));
            return vec![self.upload(&bitmap(bits))];
        }
        if kind != Type::Span {
            let zero = Constant::integer(kind, 0);
            let bytes: Vec<u8> = cells
                .iter()
                .flat_map(|cell| cell.as_ref().unwrap_or(&zero).little_endian())
                .collect();
            return vec![self.upload(&bytes)];
        }
        let texts: Vec<Vec<u8>> = cells
            .iter()
            .map(|cell| cell.as_ref().map(Constant::little_endian).unwrap_or_default())
            .collect();
        let bytes = self.upload(&texts.concat());
        let mut address = bytes.address();
        let mut spans = Vec::with_capacity(texts.len());
        for text in &texts {
            let mut prefix = [0; 4];
            prefix.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
            let length = text.len() as u32;
            spans.push(Span { address, length, prefix: u32::from_le_bytes(prefix) });
            address += u64::from(length);
        }
        vec![self.upload(bytemuck::cast_slice::<Span, u8>(&spans)), bytes]
    }

    /// An array in device memory; with `codes`, strings as a dictionary.
    pub(crate) fn column(&self, array: &dyn Array, codes: bool) -> InputColumn {
        let kind = storage(array.data_type()).expect("a type with a register");
        let plain = match kind {
            Type::Bits => ColumnKind::Bits,
            Type::Span => ColumnKind::Spans,
            _ if matches!(array.data_type(), DataType::FixedSizeBinary(_)) => ColumnKind::Bytes,
            _ => ColumnKind::Fixed,
        };
        let own = cells(array);
        let validity = own
            .iter()
            .any(Option::is_none)
            .then(|| self.upload(&bitmap(own.iter().map(Option::is_some))));
        let mut descriptor = Column {
            validity: validity.as_ref().map_or(0, DeviceSlice::address),
            rows: own.len() as u32,
            kind: plain as u8,
            width: u32::from(kind.width()),
            ..Column::default()
        };
        let mut buffers: Vec<DeviceSlice<u8>>;
        if codes {
            let (codes, entries) = encoded(array);
            let entries: Vec<Cell> = entries.into_iter().map(Some).collect();
            let bytes: Vec<u8> =
                codes.iter().flat_map(|code| code.unwrap_or(0).to_le_bytes()).collect();
            buffers = self.values(kind, &entries);
            descriptor.dictionary = buffers[0].address();
            descriptor.dictionary_rows = entries.len() as u32;
            descriptor.dictionary_kind = plain as u8;
            descriptor.kind = ColumnKind::Codes as u8;
            let values = self.upload(&bytes);
            descriptor.values = values.address();
            buffers.push(values);
        } else {
            buffers = self.values(kind, &own);
            descriptor.values = buffers[0].address();
        }
        buffers.extend(validity);
        InputColumn { descriptor, buffers }
    }

    fn bytes(&self, column: &InputColumn, address: u64, len: usize) -> Vec<u8> {
        if len == 0 {
            return Vec::new();
        }
        let holds = |b: &&DeviceSlice<u8>| {
            b.address() <= address && address + len as u64 <= b.address() + b.bytes()
        };
        let buffer = column.buffers.iter().find(holds).expect("the output keeps its buffers");
        let at = (address - buffer.address()) as usize;
        self.read(&buffer.slice(at..at + len).unwrap())
    }

    /// The cells of an output of `rows` rows.
    fn download(&self, kind: Type, column: &InputColumn, rows: usize) -> Vec<Cell> {
        let d = column.descriptor;
        let bit = |bytes: &[u8], row: usize| bytes[row / 8] >> (row % 8) & 1 != 0;
        let words = rows.div_ceil(32) * 4;
        let valid =
            if d.validity == 0 { vec![0xff; words] } else { self.bytes(column, d.validity, words) };
        if kind == Type::Bits {
            let values = self.bytes(column, d.values, words);
            return (0..rows)
                .map(|row| bit(&valid, row).then(|| Constant::Bool(bit(&values, row))))
                .collect();
        }
        if d.kind == ColumnKind::Codes as u8 {
            let codes = self.bytes(column, d.values, rows * 4);
            let entries =
                Column { values: d.dictionary, kind: d.dictionary_kind, validity: 0, ..d };
            let entries = InputColumn { descriptor: entries, buffers: column.buffers.clone() };
            let entries = self.download(kind, &entries, d.dictionary_rows as usize);
            return codes
                .chunks_exact(4)
                .enumerate()
                .map(|(row, code)| {
                    let code = u32::from_le_bytes([code[0], code[1], code[2], code[3]]);
                    if bit(&valid, row) { entries[code as usize].clone() } else { None }
                })
                .collect();
        }
        let width = usize::from(kind.width());
        let slots = self.bytes(column, d.values, rows * width);
        slots
            .chunks_exact(width)
            .enumerate()
            .map(|(row, slot)| {
                bit(&valid, row).then(|| {
                    if kind != Type::Span {
                        return Constant::from_little_endian(kind, slot);
                    }
                    let span: Span = bytemuck::pod_read_unaligned(slot);
                    Constant::Bytes(self.bytes(column, span.address, span.length as usize))
                })
            })
            .collect()
    }

    /// Runs over arrays, those of [`Lowered::columns`], or over a selection of their rows.
    pub(crate) fn run(
        &self,
        lowered: &Lowered,
        columns: &[InputColumn],
        rows: usize,
        selection: Option<&[u32]>,
    ) -> Answer {
        self.run_within(lowered, columns, rows, selection, 1 << 20)
    }

    /// [`Machine::run`] with so many bytes for strings.
    pub(crate) fn run_within(
        &self,
        lowered: &Lowered,
        columns: &[InputColumn],
        rows: usize,
        selection: Option<&[u32]>,
        heap_bytes: usize,
    ) -> Answer {
        let mut error: DeviceBuffer<ErrorSlot> = self.memory.buffer(1, &self.stream).unwrap();
        error.zero(&self.stream).unwrap();
        let context = Context {
            kernels: &self.kernels,
            stream: &self.stream,
            memory: &self.memory,
            ring: &self.ring,
            error: &error,
        };
        let options = Options { selection: false, heap_bytes, operator: 1 };
        let lists = selection.map(|s| (self.upload(s), self.upload(&[s.len() as u32])));
        let chosen = lists.as_ref().map(|(rows, count)| Selection { rows, count });
        let ran: Ran = lowered.run(&context, columns, rows as u32, chosen, options).unwrap();
        match error.read(&self.ring, &self.stream).unwrap()[0].code {
            0 => {}
            ERROR_HEAP_FULL => {
                return Answer::HeapFull(ran.heap_used.iter().map(|u| self.read(u)[0]).collect());
            }
            _ => return Answer::Rerun,
        }
        let left = match &ran.count {
            Some(count) => self.read(count)[0] as usize,
            None => selection.map_or(rows, <[u32]>::len),
        };
        let outputs = ran.columns.iter().zip(lowered.types());
        Answer::Done(
            outputs.map(|(column, of)| self.download(storage(of).unwrap(), column, left)).collect(),
        )
    }
}
