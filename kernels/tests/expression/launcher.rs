//! The typed launcher: the same program as bare launches run, through columns that own their buffers.

use std::sync::Arc;

use bytemuck::Pod;
use staffa_cuda::{
    Counters, Device, DeviceBuffer, DevicePool, DeviceSlice, PinnedConfig, PinnedKind, PinnedPool,
    PoolConfig, Reservation, StagingRing, Stream,
};
use staffa_kernels::Kernels;
use staffa_kernels::abi::{Column, ColumnKind, ErrorSlot, Span};
use staffa_kernels::expression::{
    Builder, Comparison, Constant, Context, Input, InputColumn, Options, Program, Resident,
    Selection, Type, run,
};

struct Parts {
    kernels: Kernels,
    stream: Stream,
    memory: Reservation,
    ring: StagingRing,
}

/// A device and this build's kernels, or `None`: a build without nvcc has no kernels for the launcher.
fn parts() -> Option<Parts> {
    let device = Device::open(0).ok()?;
    let kernels = match Kernels::new(&device) {
        Ok(kernels) => kernels,
        Err(error) => {
            eprintln!("SKIPPED: {error}");
            return None;
        }
    };
    let counters: Arc<Counters> = device.counters();
    let pool =
        DevicePool::new(&device, PoolConfig { budget_bytes: 1 << 28, reuse: false }).unwrap();
    let pinned = PinnedPool::new(&device, PinnedConfig { budget_bytes: 16 << 20 });
    Some(Parts {
        kernels,
        stream: device.stream(&counters).unwrap(),
        memory: pool.reserve("test", &counters),
        ring: StagingRing::new(&pinned, PinnedKind::ToHost, 1 << 20, 2),
    })
}

impl Parts {
    fn upload<T: Pod>(&self, values: &[T]) -> DeviceSlice<T> {
        let mut buffer = self.memory.buffer(values.len(), &self.stream).unwrap();
        buffer.write(0, values, &self.ring, &self.stream).unwrap();
        buffer.freeze()
    }

    fn read<T: Pod>(&self, buffer: &DeviceBuffer<T>) -> Vec<T> {
        buffer.read(&self.ring, &self.stream).unwrap()
    }

    fn numbers(&self, values: &[i64]) -> InputColumn {
        let buffer = self.upload(bytemuck::cast_slice::<i64, u8>(values));
        let descriptor = Column {
            values: buffer.address(),
            rows: values.len() as u32,
            kind: ColumnKind::Fixed as u8,
            width: 8,
            ..Column::default()
        };
        InputColumn { descriptor, buffers: vec![buffer] }
    }

    fn texts(&self, values: &[String]) -> InputColumn {
        let bytes = self.upload(values.concat().as_bytes());
        let mut at = bytes.address();
        let spans: Vec<Span> = values
            .iter()
            .map(|text| {
                let mut prefix = [0; 4];
                prefix.iter_mut().zip(text.bytes()).for_each(|(to, from)| *to = from);
                let span = Span {
                    address: at,
                    length: text.len() as u32,
                    prefix: u32::from_le_bytes(prefix),
                };
                at += text.len() as u64;
                span
            })
            .collect();
        let buffer = self.upload(bytemuck::cast_slice::<Span, u8>(&spans));
        let descriptor = Column {
            values: buffer.address(),
            rows: values.len() as u32,
            kind: ColumnKind::Spans as u8,
            width: 16,
            ..Column::default()
        };
        InputColumn { descriptor, buffers: vec![buffer, bytes] }
    }
}

fn slots<T: Pod>(bytes: &[u8]) -> Vec<T> {
    bytes.chunks_exact(size_of::<T>()).map(bytemuck::pod_read_unaligned).collect()
}

/// WHERE x < 100 SELECT x, t || '!'
fn program() -> Program {
    let mut b = Builder::new(vec![
        Input { kind: Type::I64, nullable: false },
        Input { kind: Type::Span, nullable: false },
    ]);
    let x = b.column(0).unwrap();
    let limit = b.constant(&Constant::I64(100)).unwrap();
    let keep = b.compare(Comparison::Less, x, limit).unwrap();
    b.filter(keep).unwrap();
    b.output(x).unwrap();
    let t = b.column(1).unwrap();
    let mark = b.constant(&Constant::text("!")).unwrap();
    let marked = b.concatenate(t, mark).unwrap();
    b.output(marked).unwrap();
    b.finish().unwrap()
}

#[test]
fn a_morsel_goes_through_the_launcher() {
    let Some(parts) = parts() else { return };
    let error: DeviceBuffer<ErrorSlot> = {
        let mut error = parts.memory.buffer(1, &parts.stream).unwrap();
        error.zero(&parts.stream).unwrap();
        error
    };
    let context = Context {
        kernels: &parts.kernels,
        stream: &parts.stream,
        memory: &parts.memory,
        ring: &parts.ring,
        error: &error,
    };
    let rows = 5000usize;
    let numbers: Vec<i64> = (0..rows as i64).map(|r| r * 37 % 211).collect();
    let texts: Vec<String> = (0..rows).map(|r| format!("row {r}")).collect();
    let inputs = [parts.numbers(&numbers), parts.texts(&texts)];
    let resident = Resident::new(program(), &context).unwrap();
    let chosen: Vec<u32> = (0..rows as u32).filter(|r| r % 3 != 1).collect();
    let (list, count) = (parts.upload(&chosen), parts.upload(&[chosen.len() as u32]));
    for selection in [None, Some(Selection { rows: &list, count: &count })] {
        let options = Options { selection: true, heap_bytes: 1 << 20, operator: 3 };
        let results = run(&context, &resident, &inputs, rows as u32, selection, options).unwrap();
        assert_eq!(parts.read(&error)[0].code, 0);
        let all: Vec<u32> = (0..rows as u32).collect();
        let from = if selection.is_some() { &chosen } else { &all };
        let expected: Vec<u32> =
            from.iter().copied().filter(|r| numbers[*r as usize] < 100).collect();
        let kept = parts.read(results.count.as_ref().unwrap())[0] as usize;
        assert_eq!(kept, expected.len());
        assert_eq!(&parts.read(results.selection.as_ref().unwrap())[..kept], &expected[..]);
        let values: Vec<i64> = slots(&parts.read(&results.columns[0].values)[..kept * 8]);
        assert!(values.iter().zip(&expected).all(|(v, r)| *v == numbers[*r as usize]));
        let (heap, used) = results.heap.as_ref().unwrap();
        let bytes = parts.read(heap);
        let needed: usize = expected.iter().map(|r| texts[*r as usize].len() + 1).sum();
        assert_eq!(parts.read(used)[0], needed as u64);
        let spans: Vec<Span> = slots(&parts.read(&results.columns[1].values)[..kept * 16]);
        for (span, row) in spans.iter().zip(&expected) {
            let at = (span.address - heap.address()) as usize;
            assert_eq!(&bytes[at..at + span.length as usize], format!("row {row}!").as_bytes());
        }
    }
}

#[test]
fn the_launcher_refuses_other_columns() {
    let Some(parts) = parts() else { return };
    let mut error: DeviceBuffer<ErrorSlot> = parts.memory.buffer(1, &parts.stream).unwrap();
    error.zero(&parts.stream).unwrap();
    let context = Context {
        kernels: &parts.kernels,
        stream: &parts.stream,
        memory: &parts.memory,
        ring: &parts.ring,
        error: &error,
    };
    let resident = Resident::new(program(), &context).unwrap();
    let numbers = parts.numbers(&[1, 2, 3]);
    let texts = parts.texts(&["a".into(), "b".into(), "c".into()]);
    let refused = |inputs: &[InputColumn], rows: u32| {
        run(&context, &resident, inputs, rows, None, Options::default()).is_err()
    };
    assert!(refused(std::slice::from_ref(&numbers), 3), "a column is missing");
    assert!(refused(&[numbers.clone(), numbers.clone()], 3), "another kind");
    assert!(refused(&[numbers.clone(), texts.clone()], 4), "other rows");
    let mut nullable = numbers.clone();
    nullable.descriptor.validity = nullable.descriptor.values;
    assert!(refused(&[nullable, texts.clone()], 3), "NULLs that were not declared");
    let mut beyond = numbers.clone();
    beyond.descriptor.values += 8;
    assert!(refused(&[beyond, texts.clone()], 3), "an address beyond its buffer");
    assert!(!refused(&[numbers, texts], 3));
}
