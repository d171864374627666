//! Columns whose rows the test knows: on the host, on the device, and back.

use staffa_cuda::DeviceSlice;
use staffa_kernels::abi::{Column, ColumnKind, KeyRule, Span};
use staffa_kernels::expression::InputColumn;
use staffa_kernels::keys::KeyColumn;

use crate::gpu::Gpu;
use crate::random::Random;

/// A value's bytes, or NULL.
pub(crate) type Value = Option<Vec<u8>>;

/// A column on the host. Booleans are one byte a value here.
#[derive(Clone, Debug)]
pub(crate) struct HostColumn {
    pub(crate) kind: ColumnKind,
    pub(crate) width: u32,
    pub(crate) rule: KeyRule,
    pub(crate) rows: Vec<Value>,
    /// On the device as codes of a dictionary with duplicates.
    pub(crate) codes: bool,
}

/// Kinds of columns: name, storage, width, rule.
pub(crate) const KINDS: [(&str, ColumnKind, u32, KeyRule); 14] = [
    ("i8", ColumnKind::Fixed, 1, KeyRule::Signed),
    ("u16", ColumnKind::Fixed, 2, KeyRule::Bits),
    ("i32", ColumnKind::Fixed, 4, KeyRule::Signed),
    ("u32", ColumnKind::Fixed, 4, KeyRule::Bits),
    ("i64", ColumnKind::Fixed, 8, KeyRule::Signed),
    ("u64", ColumnKind::Fixed, 8, KeyRule::Bits),
    ("decimal128", ColumnKind::Fixed, 16, KeyRule::Signed),
    ("decimal256", ColumnKind::Fixed, 32, KeyRule::Signed),
    ("f16", ColumnKind::Fixed, 2, KeyRule::Float16),
    ("f32", ColumnKind::Fixed, 4, KeyRule::Float32),
    ("f64", ColumnKind::Fixed, 8, KeyRule::Float64),
    ("bool", ColumnKind::Bits, 0, KeyRule::Bits),
    ("fixed binary", ColumnKind::Bytes, 11, KeyRule::Bits),
    ("utf8", ColumnKind::Spans, 16, KeyRule::Bits),
];

const TEXTS: [&str; 10] = [
    "",
    "a",
    "ab",
    "abcd",
    "abcde",
    "\u{e9}t\u{e9}",
    "\u{65e5}\u{672c}\u{8a9e}\u{306e}\u{8868}",
    "long enough to be compared in words, first",
    "long enough to be compared in words, secon",
    "\0",
];

/// The edge values of a kind: 0, -1, MIN, MAX, NaNs, -0.0; strings of all lengths.
fn edges(kind: ColumnKind, width: u32, rule: KeyRule) -> Vec<Vec<u8>> {
    let w = width as usize;
    match (kind, rule) {
        (ColumnKind::Bits, _) => vec![vec![0], vec![1]],
        (ColumnKind::Spans, _) => TEXTS.iter().map(|text| text.as_bytes().to_vec()).collect(),
        (_, KeyRule::Float16 | KeyRule::Float32 | KeyRule::Float64) => {
            // 0.0, -0.0, two NaNs, infinities, 1.0-like: by their top two bytes.
            let infinity: u16 = match width {
                2 => 0x7c00,
                4 => 0x7f80,
                _ => 0x7ff0,
            };
            [
                0,
                0x8000,
                infinity | 0x8,
                infinity | 0x9,
                infinity | 0x8008,
                infinity,
                infinity | 0x8000,
                0x3c00,
            ]
            .iter()
            .map(|top: &u16| {
                let mut bytes = vec![0; w];
                bytes[w - 2..].copy_from_slice(&top.to_le_bytes());
                bytes
            })
            .collect()
        }
        _ => {
            let mut least = vec![0; w];
            least[w - 1] = 0x80;
            let mut most = vec![0xff; w];
            most[w - 1] = 0x7f;
            let mut one = vec![0; w];
            one[0] = 1;
            vec![vec![0; w], vec![0xff; w], least, most, one]
        }
    }
}

impl HostColumn {
    /// `rows` values of a kind: edge values and `distinct` others; one row in `nulls` is NULL (0: none,
    /// 1: all).
    pub(crate) fn random(
        (_, kind, width, rule): (&str, ColumnKind, u32, KeyRule),
        rows: usize,
        distinct: usize,
        nulls: usize,
        random: &Random,
    ) -> Self {
        let mut pool = edges(kind, width, rule);
        for n in 0..distinct {
            match kind {
                ColumnKind::Bits => {}
                ColumnKind::Spans => pool.push(format!("value number {n}").into_bytes()),
                _ => pool.push(random.bytes(width as usize)),
            }
        }
        let rows = (0..rows)
            .map(|_| {
                let null = nulls == 1 || (nulls > 1 && random.one_in(nulls));
                (!null).then(|| pool[random.below(pool.len())].clone())
            })
            .collect();
        Self { kind, width, rule, rows, codes: false }
    }

    /// Integers of `width` bytes.
    pub(crate) fn integers(width: u32, values: impl IntoIterator<Item = Option<i64>>) -> Self {
        let rows = values
            .into_iter()
            .map(|value| {
                value.map(|v| i128::from(v).to_le_bytes()[..width.min(16) as usize].to_vec())
            })
            .collect();
        Self { kind: ColumnKind::Fixed, width, rule: KeyRule::Signed, rows, codes: false }
    }

    /// The value as it compares: -0.0 is 0.0.
    pub(crate) fn canonical(&self, row: usize) -> Value {
        let mut bytes = self.rows[row].clone()?;
        let float = matches!(self.rule, KeyRule::Float16 | KeyRule::Float32 | KeyRule::Float64);
        if let (true, Some((last, rest))) = (float, bytes.split_last_mut())
            && *last == 0x80
            && rest.iter().all(|b| *b == 0)
        {
            *last = 0;
        }
        Some(bytes)
    }

    /// The column in device memory.
    pub(crate) fn upload(&self, gpu: &Gpu) -> InputColumn {
        let rows = self.rows.len() as u32;
        let mut buffers = Vec::new();
        let validity = if self.rows.iter().any(Option::is_none) {
            let bits: Vec<bool> = self.rows.iter().map(Option::is_some).collect();
            let words: DeviceSlice<u8> = gpu.upload(&bitmap(&bits)).cast().unwrap();
            buffers.push(words.clone());
            words.address()
        } else {
            0
        };
        let mut descriptor = Column {
            validity,
            rows,
            kind: self.kind as u8,
            width: self.width,
            ..Column::default()
        };
        if self.codes {
            // Every value stands twice in the dictionary, and rows use either.
            let mut entries: Vec<Vec<u8>> = self.rows.iter().flatten().cloned().collect();
            entries.sort();
            entries.dedup();
            let all: Vec<Value> =
                entries.iter().chain(&entries).map(|value| Some(value.clone())).collect();
            let codes: Vec<u32> = self
                .rows
                .iter()
                .enumerate()
                .map(|(row, value)| {
                    let Some(value) = value else { return 0 };
                    let at = entries.binary_search(value).unwrap();
                    (if row % 2 == 0 { at } else { at + entries.len() }) as u32
                })
                .collect();
            descriptor.dictionary_rows = all.len() as u32;
            descriptor.dictionary_kind = self.kind as u8;
            descriptor.kind = ColumnKind::Codes as u8;
            descriptor.dictionary = self.values(gpu, &all, &mut buffers);
            let codes: DeviceSlice<u8> = gpu.upload(&codes).cast().unwrap();
            descriptor.values = codes.address();
            buffers.push(codes);
        } else {
            descriptor.values = self.values(gpu, &self.rows, &mut buffers);
        }
        InputColumn { descriptor, buffers }
    }

    fn values(&self, gpu: &Gpu, rows: &[Value], buffers: &mut Vec<DeviceSlice<u8>>) -> u64 {
        let values: DeviceSlice<u8> = match self.kind {
            ColumnKind::Bits => {
                let bits: Vec<bool> =
                    rows.iter().map(|v| v.as_ref().is_some_and(|v| v[0] != 0)).collect();
                gpu.upload(&bitmap(&bits)).cast().unwrap()
            }
            ColumnKind::Spans => {
                // An odd byte in front, so that strings start anywhere.
                let mut bytes = vec![b'#'];
                rows.iter().flatten().for_each(|value| bytes.extend(value));
                let heap = gpu.upload(&bytes);
                let mut at = heap.address() + 1;
                let spans: Vec<Span> = rows
                    .iter()
                    .map(|value| {
                        let value = value.as_deref().unwrap_or_default();
                        let mut first = [0; 4];
                        let n = value.len().min(4);
                        first[..n].copy_from_slice(&value[..n]);
                        let span = Span {
                            address: at,
                            length: value.len() as u32,
                            prefix: u32::from_le_bytes(first),
                        };
                        at += value.len() as u64;
                        span
                    })
                    .collect();
                buffers.push(heap);
                gpu.upload(&spans).cast().unwrap()
            }
            _ => {
                let zero = vec![0; self.width as usize];
                let bytes: Vec<u8> =
                    rows.iter().flat_map(|v| v.as_ref().unwrap_or(&zero).clone()).collect();
                gpu.upload(&bytes)
            }
        };
        let address = values.address();
        buffers.push(values);
        address
    }

    /// As a key column.
    pub(crate) fn key(&self, gpu: &Gpu) -> KeyColumn {
        KeyColumn { column: self.upload(gpu), rule: self.rule }
    }
}

/// Words of a bitmap.
pub(crate) fn bitmap(bits: &[bool]) -> Vec<u32> {
    bits.chunks(32)
        .map(|chunk| chunk.iter().enumerate().fold(0, |word, (k, bit)| word | u32::from(*bit) << k))
        .collect()
}

/// The rows of a device column that holds no codes.
pub(crate) fn download(gpu: &Gpu, column: &InputColumn) -> Vec<Value> {
    let c = &column.descriptor;
    let memory: Vec<(u64, Vec<u8>)> = column
        .buffers
        .iter()
        .map(|buffer| (buffer.address(), buffer.read(&gpu.ring, &gpu.stream).unwrap()))
        .collect();
    let bytes_at = |address: u64, len: usize| -> Vec<u8> {
        if len == 0 {
            return Vec::new();
        }
        let (start, bytes) = memory
            .iter()
            .find(|(start, bytes)| {
                *start <= address && address + len as u64 <= *start + bytes.len() as u64
            })
            .unwrap_or_else(|| panic!("{len} bytes at {address:#x} are in no buffer"));
        let from = (address - start) as usize;
        bytes[from..from + len].to_vec()
    };
    let words = |address: u64| bytes_at(address, 4 * (c.rows as usize).div_ceil(32));
    let bit = |bits: &[u8], row: usize| bits[row / 8] >> (row % 8) & 1 != 0;
    let validity = if c.validity == 0 { None } else { Some(words(c.validity)) };
    if let Some(bits) = &validity {
        let beyond = (c.rows as usize..8 * bits.len()).any(|row| bit(bits, row));
        assert!(!beyond || c.rows.is_multiple_of(32), "validity bits behind the last row");
    }
    let bits = c.kind == ColumnKind::Bits as u8;
    let width = c.width as usize;
    let values = if bits { words(c.values) } else { bytes_at(c.values, width * c.rows as usize) };
    (0..c.rows as usize)
        .map(|row| {
            let valid = validity.as_ref().is_none_or(|v| bit(v, row));
            if bits {
                assert!(valid || !bit(&values, row), "a NULL slot that is not zero");
                return valid.then(|| vec![u8::from(bit(&values, row))]);
            }
            let slot = &values[row * width..(row + 1) * width];
            if !valid {
                assert!(slot.iter().all(|b| *b == 0), "a NULL slot that is not zero");
                return None;
            }
            if c.kind == ColumnKind::Spans as u8 {
                let span: Span = bytemuck::pod_read_unaligned(slot);
                return Some(bytes_at(span.address, span.length as usize));
            }
            Some(slot.to_vec())
        })
        .collect()
}
