//! Variable-length values: PLAIN, DELTA_LENGTH_BYTE_ARRAY, DELTA_BYTE_ARRAY; as spans, decimals and
//! fixed-width bytes.

use staffa_cuda::{DeviceBuffer, DeviceSlice};
use staffa_kernels::abi::{ErrorCode, ErrorSlot, Span};
use staffa_kernels::parquet::{
    Context, DeltaBytes, PageSet, Slots, SpanConversion, byte_array, delta_lengths, spans, utf8,
};

use crate::column::{Layout, SIZES, check_opened, check_rows, open, place};
use crate::encode::{self, DeltaShape};
use crate::gpu::{Gpu, gpu};
use crate::random::Random;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Plain,
    DeltaLength,
    DeltaBytes,
}

const ENCODINGS: [Encoding; 3] = [Encoding::Plain, Encoding::DeltaLength, Encoding::DeltaBytes];

/// Short, long and empty strings with common prefixes.
fn strings(rows: usize, random: &mut Random) -> Vec<Vec<u8>> {
    let mut last: Vec<u8> = Vec::new();
    (0..rows)
        .map(|_| {
            let keep = random.below(last.len() + 1);
            last.truncate(keep);
            let add = match random.below(20) {
                0 => 0,
                1 => 300,
                n => n,
            };
            last.extend((0..add).map(|_| b'a' + random.below(26) as u8));
            last.truncate(if random.one_in(50) { 5000 } else { 400 });
            last.clone()
        })
        .collect()
}

fn encoded(values: &[Vec<u8>], encoding: Encoding, random: &mut Random) -> Vec<u8> {
    let shape = DeltaShape::ALL[random.below(3)];
    match encoding {
        Encoding::Plain => encode::byte_array(values),
        Encoding::DeltaLength => encode::delta_length_byte_array(values, shape),
        Encoding::DeltaBytes => encode::delta_byte_array(values, shape),
    }
}

/// Decodes to `slots`; returns the heap, if the strings are in one.
fn decode(
    gpu: &Gpu,
    context: &Context<'_>,
    set: &mut PageSet,
    encoding: Encoding,
    slots: Slots<'_, Span>,
) -> Option<DeviceBuffer<u8>> {
    match encoding {
        Encoding::Plain => byte_array(context, set, slots).unwrap(),
        Encoding::DeltaLength => delta_lengths(context, set, slots).unwrap(),
        Encoding::DeltaBytes => {
            let lengths = DeltaBytes::lengths(context, set).unwrap();
            let sizes: Vec<u64> =
                gpu.read(set.states()).iter().map(|state| state.heap_needed).collect();
            let mut heap = gpu.poisoned::<u8>(sizes.iter().sum::<u64>() as usize);
            lengths.expand(context, set, &sizes, &mut heap, slots).unwrap();
            return Some(heap);
        }
    }
    None
}

/// The strings that spans point at, all inside the given memory.
fn follow(spans: &[Span], memory: &[(u64, Vec<u8>)], what: &str) -> Vec<Vec<u8>> {
    spans
        .iter()
        .map(|span| {
            if span.length == 0 {
                assert_eq!(span.prefix, 0, "{what}");
                return Vec::new();
            }
            let (start, bytes) = memory
                .iter()
                .find(|(start, bytes)| {
                    *start <= span.address
                        && span.address + u64::from(span.length) <= start + bytes.len() as u64
                })
                .unwrap_or_else(|| panic!("{span:?} points nowhere: {what}"));
            let string = bytes[(span.address - start) as usize..][..span.length as usize].to_vec();
            let mut prefix = [0; 4];
            prefix[..string.len().min(4)].copy_from_slice(&string[..string.len().min(4)]);
            assert_eq!(span.prefix, u32::from_le_bytes(prefix), "{what}");
            string
        })
        .collect()
}

fn memory(
    gpu: &Gpu,
    buffers: &[DeviceSlice<u8>],
    heap: Option<&DeviceBuffer<u8>>,
) -> Vec<(u64, Vec<u8>)> {
    let mut all: Vec<_> =
        buffers.iter().map(|b| (b.address(), b.read(&gpu.ring, &gpu.stream).unwrap())).collect();
    all.extend(heap.map(|heap| (heap.address(), gpu.read(heap))));
    all
}

fn check(gpu: &Gpu, random: &mut Random, encoding: Encoding, layout: Layout, rows: usize) {
    let what = format!("{rows} rows, {encoding:?}, {layout:?}");
    let validity = layout.validity(rows, random);
    let values = strings(rows, random);
    let placed = place(gpu, &layout, &validity, random, |range, random| {
        encoded(&values[range], encoding, random)
    });
    let error = gpu.zeroed::<ErrorSlot>(1);
    let context = gpu.context(&error);
    let mut opened = open(gpu, &context, &placed);
    let mut output = gpu.poisoned::<Span>(rows);
    let heap = if layout.nullable() {
        let mut slots = gpu.poisoned::<Span>(opened.set.slots());
        let heap = decode(gpu, &context, &mut opened.set, encoding, Slots::Compact(&mut slots));
        spans(&context, &opened.set, &slots.freeze(), &[], SpanConversion::Span, &mut output)
            .unwrap();
        heap
    } else {
        decode(gpu, &context, &mut opened.set, encoding, Slots::Rows(&mut output))
    };
    let memory = memory(gpu, &placed.buffers, heap.as_ref());
    let found = follow(&gpu.read(&output), &memory, &what);
    let mut next = values.iter();
    for (row, valid) in validity.iter().enumerate() {
        let expected = if *valid { next.next().unwrap() } else { &Vec::new() };
        assert_eq!(&found[row], expected, "row {row} of {what}");
    }
    check_opened(gpu, &opened, &validity, &error, &what);
}

#[test]
fn strings_of_every_layout() {
    let Some(gpu) = gpu() else { return };
    let mut random = Random::new(50);
    for encoding in ENCODINGS {
        for layout in Layout::ALL {
            for rows in SIZES {
                check(&gpu, &mut random, encoding, layout, rows);
            }
        }
        check(&gpu, &mut random, encoding, Layout::ALL[1], 30_000);
    }
}

#[test]
fn decimals_and_fixed_widths_behind_spans() {
    let Some(gpu) = gpu() else { return };
    let mut random = Random::new(51);
    let all = [4u32, 8, 16, 32].map(|width| SpanConversion::Decimal { width });
    let bytes = [(12, 12, 0), (12, 8, 4), (37, 37, 0)]
        .map(|(stored, width, offset)| SpanConversion::Bytes { stored, width, offset });
    for conversion in all.into_iter().chain(bytes) {
        for encoding in ENCODINGS {
            for layout in Layout::ALL {
                for rows in [0, 33, 2500] {
                    let what = format!("{rows} rows, {conversion:?}, {encoding:?}, {layout:?}");
                    let validity = layout.validity(rows, &mut random);
                    let values: Vec<Vec<u8>> = (0..rows)
                        .map(|_| {
                            let length = match conversion {
                                SpanConversion::Decimal { width } => {
                                    1 + random.below(width as usize)
                                }
                                SpanConversion::Bytes { stored, .. } => stored as usize,
                                SpanConversion::Span => 0,
                            };
                            random.bytes(length)
                        })
                        .collect();
                    let placed = place(&gpu, &layout, &validity, &mut random, |range, random| {
                        encoded(&values[range], encoding, random)
                    });
                    let error = gpu.zeroed::<ErrorSlot>(1);
                    let context = gpu.context(&error);
                    let mut opened = open(&gpu, &context, &placed);
                    let mut slots = gpu.poisoned::<Span>(opened.set.slots());
                    let heap = decode(
                        &gpu,
                        &context,
                        &mut opened.set,
                        encoding,
                        Slots::Compact(&mut slots),
                    );
                    let width = match conversion {
                        SpanConversion::Decimal { width } | SpanConversion::Bytes { width, .. } => {
                            width as usize
                        }
                        SpanConversion::Span => 16,
                    };
                    let mut output = gpu.poisoned::<u8>(rows * width);
                    let pointed: Vec<DeviceSlice<u8>> =
                        heap.into_iter().map(DeviceBuffer::freeze).collect();
                    spans(
                        &context,
                        &opened.set,
                        &slots.freeze(),
                        &pointed,
                        conversion,
                        &mut output,
                    )
                    .unwrap();
                    let mut next = values.iter();
                    let expected: Vec<u8> = validity
                        .iter()
                        .flat_map(|valid| {
                            if !*valid {
                                return vec![0; width];
                            }
                            let value = next.next().unwrap();
                            match conversion {
                                SpanConversion::Bytes { offset, .. } => {
                                    value[offset as usize..][..width].to_vec()
                                }
                                _ => {
                                    let sign = if value[0] >= 128 { 255 } else { 0 };
                                    let mut bytes = vec![sign; width];
                                    value
                                        .iter()
                                        .rev()
                                        .zip(&mut bytes)
                                        .for_each(|(from, to)| *to = *from);
                                    bytes
                                }
                            }
                        })
                        .collect();
                    check_rows(&gpu.read(&output), &expected, width, &what);
                    check_opened(&gpu, &opened, &validity, &error, &what);
                }
            }
        }
    }
}

/// The kernel and the standard library agree on every string.
#[test]
fn utf8_as_the_standard_library_sees_it() {
    let Some(gpu) = gpu() else { return };
    let random = Random::new(52);
    let mut cases: Vec<Vec<u8>> = [
        "",
        "a",
        "abc",
        "abcd",
        "abcdefg",
        "h\u{e9}llo",
        "\u{20ac}",
        "\u{10ffff}",
        "a\u{800}bcd\u{1f600}",
    ]
    .iter()
    .map(|s| s.as_bytes().to_vec())
    .collect();
    let broken: [&[u8]; 14] = [
        b"\x80",
        b"\xc0\x80",
        b"\xc1\xbf",
        b"\xc2",
        b"\xe0\x9f\xbf",
        b"\xed\xa0\x80",
        b"\xe2\x82",
        b"\xf0\x8f\xbf\xbf",
        b"\xf4\x90\x80\x80",
        b"\xf5\x80\x80\x80",
        b"\xff",
        b"abcd\xff",
        b"abc\xe2\x82",
        b"\xf0\x9f\x98",
    ];
    cases.extend(broken.iter().map(|bytes| bytes.to_vec()));
    for _ in 0..2000 {
        let length = 1 + random.below(6);
        let mut bytes = random.bytes(length);
        bytes.iter_mut().for_each(|b| {
            if random.one_in(2) {
                *b = [0x80, 0xbf, 0xc2, 0xe1, 0xed, 0xf0, 0xf4, 0x41][usize::from(*b % 8)];
            }
        });
        cases.push(bytes);
    }
    let joined = cases.concat();
    let uploaded = gpu.upload(&joined);
    let mut at = uploaded.address();
    for case in &cases {
        let span = Span { address: at, length: case.len() as u32, prefix: 0 };
        at += case.len() as u64;
        let error = gpu.zeroed::<ErrorSlot>(1);
        let strings = gpu.upload(&[span, Span::default()]);
        utf8(&gpu.context(&error), &strings, 2, 9, std::slice::from_ref(&uploaded)).unwrap();
        let expected =
            if std::str::from_utf8(case).is_ok() { (0, 0) } else { (ErrorCode::Utf8 as u32, 9) };
        let found = gpu.read(&error)[0];
        assert_eq!((found.code, found.where_), expected, "{case:x?}");
    }
}
