//! Bytes that no writer writes: each kind of damage gives its error, and fuzzed pages give any answer but
//! a bad access (the emulator's guard pages and sanitizers see those).

use staffa_cuda::DeviceBuffer;
use staffa_kernels::abi::{ErrorCode, ErrorSlot, Span};
use staffa_kernels::parquet::{
    Context, Conversion, DeltaBytes, Dictionary, Levels, PageInput, PageLevels, PageSet, Slots,
    SpanConversion, Stored, booleans_plain, booleans_rle, byte_array, delta, delta_lengths,
    dictionary_codes, dictionary_values, fixed, index, levels, spans,
};

use crate::column::{Layout, place};
use crate::encode::{self, DeltaShape, Runs, hybrid, put_varint, put_zigzag};
use crate::gpu::{Gpu, gpu};
use crate::random::Random;

/// One page of a required column.
fn required(gpu: &Gpu, context: &Context<'_>, body: &[u8], rows: u32) -> PageSet {
    let page = PageInput {
        buffer: 0,
        offset: 0,
        bytes: body.len() as u32,
        rows,
        first_row: 0,
        ordinal: 5,
        levels: PageLevels::None,
        max_level: 0,
    };
    let mut set = PageSet::new(context, &[gpu.upload(body)], &[page], rows).unwrap();
    levels(context, &mut set, Levels::Skip).unwrap();
    set
}

/// Runs a decoder on one page of 100 rows and expects an error on page 5.
fn expect(
    gpu: &Gpu,
    code: ErrorCode,
    body: &[u8],
    decode: impl FnOnce(&Context<'_>, &mut PageSet),
) {
    let error = gpu.zeroed::<ErrorSlot>(1);
    let context = gpu.context(&error);
    let mut set = required(gpu, &context, body, 100);
    decode(&context, &mut set);
    let found = gpu.read(&error)[0];
    assert_eq!(ErrorCode::from_number(found.code), Some(code), "{found:?} for {body:x?}");
    assert_eq!(found.where_, 5);
    assert!(found.check().unwrap_err().to_string().contains(code.meaning()));
}

fn codes(gpu: &Gpu, context: &Context<'_>, set: &PageSet, entries: u32) -> Vec<u32> {
    let indexes = index(context, set, false).unwrap();
    let mut output = gpu.poisoned::<u32>(set.rows() as usize);
    dictionary_codes(context, set, &indexes, entries, &mut output).unwrap();
    gpu.read(&output)
}

#[test]
fn broken_indexes() {
    let Some(gpu) = gpu() else { return };
    let gpu = &gpu;
    let mut random = Random::new(70);
    let good = [&[4u8], &hybrid(&[15; 100], 4, Runs::Packed, &mut random)[..]].concat();
    expect(gpu, ErrorCode::IndexRange, &good, |context, set| {
        assert_eq!(codes(gpu, context, set, 15), vec![0; 100]);
    });
    expect(gpu, ErrorCode::IndexRange, &good, |context, set| {
        assert_eq!(codes(gpu, context, set, 0), vec![0; 100]);
    });
    expect(gpu, ErrorCode::IndexRange, &good, |context, set| {
        let indexes = index(context, set, false).unwrap();
        let values = gpu.upload(&[1u8; 8 * 15]);
        let mut output = gpu.poisoned::<u64>(100);
        let dictionary = Dictionary { values: &values, rows: 15, width: 8 };
        dictionary_values(context, set, &indexes, dictionary, &mut output).unwrap();
        assert_eq!(gpu.read(&output), vec![0x0101_0101_0101_0101; 100]);
    });
    for (code, body) in [
        (ErrorCode::IndexWidth, vec![33u8, 2, 1]),
        (ErrorCode::IndexWidth, vec![255]),
        (ErrorCode::ValuesTruncated, vec![]),
        (ErrorCode::ValuesTruncated, vec![4]),
        (ErrorCode::ValuesTruncated, good[..20].to_vec()),
        (ErrorCode::RunHeader, vec![8, 200]),
        // A repeated run whose value is missing; one of 2 of 100 values; empty runs only.
        (ErrorCode::ValuesTruncated, vec![16, 200, 1, 9]),
        (ErrorCode::ValuesTruncated, vec![8, 4, 1]),
        (ErrorCode::ValuesTruncated, [vec![1], vec![0; 60]].concat()),
        (
            ErrorCode::RunHeader,
            vec![1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        ),
        (ErrorCode::RunHeader, vec![1, 0x80, 0x80, 0x80, 0x80, 0x20, 1]),
    ] {
        expect(gpu, code, &body, |context, set| {
            let found = codes(gpu, context, set, 16);
            assert!(found.iter().all(|code| *code < 16), "{found:?}");
        });
    }
    // The longest run that a header can name is clipped to the rows.
    let error = gpu.zeroed::<ErrorSlot>(1);
    let context = gpu.context(&error);
    let mut huge = vec![3];
    put_varint(&mut huge, 0xffff_fffe);
    huge.push(5);
    let set = required(gpu, &context, &huge, 100);
    assert_eq!(codes(gpu, &context, &set, 6), vec![5; 100]);
    assert_eq!(gpu.read(&error)[0], ErrorSlot::default());
}

#[test]
fn broken_levels() {
    let Some(gpu) = gpu() else { return };
    let cases: [(ErrorCode, PageLevels, Vec<u8>); 6] = [
        (ErrorCode::LevelsSection, PageLevels::Prefixed, vec![1, 0]),
        (ErrorCode::LevelsSection, PageLevels::Prefixed, vec![200, 0, 0, 0, 1, 1]),
        (ErrorCode::LevelsSection, PageLevels::Prefixed, vec![255, 255, 255, 255, 1, 1]),
        (ErrorCode::LevelsTruncated, PageLevels::Prefixed, vec![0, 0, 0, 0]),
        (ErrorCode::LevelsTruncated, PageLevels::At { offset: 0, bytes: 3 }, vec![3, 255, 1, 9, 9]),
        (ErrorCode::LevelRange, PageLevels::At { offset: 0, bytes: 3 }, vec![200, 1, 3, 9]),
    ];
    for (code, section, body) in cases {
        let error = gpu.zeroed::<ErrorSlot>(1);
        let context = gpu.context(&error);
        let page = PageInput {
            buffer: 0,
            offset: 0,
            bytes: body.len() as u32,
            rows: 100,
            first_row: 0,
            ordinal: 3,
            levels: section,
            max_level: 2,
        };
        let mut set = PageSet::new(&context, &[gpu.upload(&body)], &[page], 100).unwrap();
        let (mut validity, mut nulls) = (gpu.zeroed(4), gpu.zeroed(1));
        levels(&context, &mut set, Levels::Decode { validity: &mut validity, nulls: &mut nulls })
            .unwrap();
        let found = gpu.read(&error)[0];
        assert_eq!(
            (ErrorCode::from_number(found.code), found.where_),
            (Some(code), 3),
            "{body:x?}: {found:?}"
        );
        // Whatever it is, validity, the count and the ranks agree with each other.
        let valid: u32 = gpu.read(&validity).iter().map(|word| word.count_ones()).sum();
        assert_eq!(u64::from(valid), 100 - gpu.read(&nulls)[0]);
        assert_eq!(gpu.read(set.states())[0].valid, valid);
    }
}

#[test]
fn broken_values() {
    let Some(gpu) = gpu() else { return };
    let gpu = &gpu;
    expect(gpu, ErrorCode::ValuesTruncated, &[1; 399], |context, set| {
        let mut output = gpu.poisoned::<u32>(100);
        fixed(context, set, Stored::Plain, Conversion::I32To32, &mut output).unwrap();
        let found = gpu.read(&output);
        assert!(found[..99].iter().all(|x| *x == 0x0101_0101) && found[99] == 0);
    });
    for conversion in
        [Conversion::I32To64 { factor: 1 }, Conversion::Decimal { stored: 4, width: 16 }]
    {
        for stored in [Stored::Plain, Stored::Split] {
            expect(gpu, ErrorCode::ValuesTruncated, &[0; 396], |context, set| {
                let mut output = gpu.poisoned::<u8>(1600);
                fixed(context, set, stored, conversion, &mut output).unwrap();
                assert_eq!(
                    gpu.read(&output)[..100 * conversion.row_bytes() as usize].iter().max(),
                    Some(&0)
                );
            });
        }
    }
    expect(gpu, ErrorCode::ValuesTruncated, &[255; 12], |context, set| {
        let mut output = gpu.zeroed::<u32>(4);
        booleans_plain(context, set, &mut output).unwrap();
        assert_eq!(gpu.read(&output), [u32::MAX, u32::MAX, u32::MAX, 0]);
    });
    for body in [vec![1u8, 0, 0], vec![50, 0, 0, 0, 200, 1, 1], vec![0, 0, 0, 0]] {
        expect(gpu, ErrorCode::ValuesTruncated, &body, |context, set| {
            let indexes = index(context, set, true).unwrap();
            let mut output = gpu.zeroed::<u32>(4);
            booleans_rle(context, set, &indexes, &mut output).unwrap();
        });
    }
}

fn spans_of(
    gpu: &Gpu,
    context: &Context<'_>,
    set: &PageSet,
    decode: impl FnOnce(Slots<'_, Span>),
) -> DeviceBuffer<Span> {
    let mut slots = gpu.poisoned::<Span>(set.slots());
    decode(Slots::Compact(&mut slots));
    let _ = context;
    slots
}

#[test]
fn broken_strings() {
    let Some(gpu) = gpu() else { return };
    let gpu = &gpu;
    let plain = encode::byte_array(&vec![b"abc".to_vec(); 100]);
    let mut long = plain.clone();
    long[70 * 7] = 250;
    let mut negative = plain.clone();
    negative[3] = 0x80;
    for (code, body, good) in [
        (ErrorCode::ValuesTruncated, plain[..plain.len() - 7].to_vec(), 99),
        (ErrorCode::ValuesTruncated, plain[..7 * 50 + 3].to_vec(), 50),
        (ErrorCode::ValuesTruncated, vec![], 0),
        (ErrorCode::StringLength, plain[..plain.len() - 1].to_vec(), 99),
        (ErrorCode::StringLength, long, 70),
        (ErrorCode::StringLength, negative, 0),
    ] {
        expect(gpu, code, &body, |context, set| {
            let found =
                spans_of(gpu, context, set, |slots| byte_array(context, set, slots).unwrap());
            let lengths: Vec<u32> =
                gpu.read(&found)[..100].iter().map(|span| span.length).collect();
            assert_eq!(lengths, [vec![3; good], vec![0; 100 - good]].concat());
        });
    }
    let shape = DeltaShape::ALL[0];
    let lengths = |values: &[i64]| encode::delta(values, 32, shape);
    let body = [lengths(&[3; 100]), vec![b'x'; 299]].concat();
    expect(gpu, ErrorCode::StringLength, &body, |context, set| {
        spans_of(gpu, context, set, |slots| delta_lengths(context, set, slots).unwrap());
    });
    let mut some = vec![3i64; 100];
    some[50] = -1;
    expect(
        gpu,
        ErrorCode::StringLength,
        &[lengths(&some), vec![b'x'; 300]].concat(),
        |context, set| {
            spans_of(gpu, context, set, |slots| delta_lengths(context, set, slots).unwrap());
        },
    );
}

#[test]
fn broken_prefixes() {
    let Some(gpu) = gpu() else { return };
    let gpu = &gpu;
    let shape = DeltaShape::ALL[0];
    let section = |prefixes: &[i64], suffixes: &[i64], bytes: usize| {
        [encode::delta(prefixes, 32, shape), encode::delta(suffixes, 32, shape), vec![b'x'; bytes]]
            .concat()
    };
    let mut long = vec![0i64; 100];
    long[99] = 3;
    let mut first = vec![0i64; 100];
    first[0] = 1;
    let mut negative = vec![0i64; 100];
    negative[10] = -2;
    for (code, body) in [
        (ErrorCode::PrefixLength, section(&long, &[2; 100], 200)),
        (ErrorCode::PrefixLength, section(&first, &[2; 100], 200)),
        (ErrorCode::PrefixLength, section(&negative, &[2; 100], 200)),
        (ErrorCode::StringLength, section(&[0; 100], &[2; 100], 199)),
        (ErrorCode::StringLength, section(&[0; 100], &negative, 200)),
    ] {
        expect(gpu, code, &body, |context, set| {
            let lengths = DeltaBytes::lengths(context, set).unwrap();
            let needed = gpu.read(set.states())[0].heap_needed;
            assert_eq!(needed, 0);
            let mut heap = gpu.poisoned::<u8>(0);
            let mut slots = gpu.poisoned::<Span>(set.slots());
            lengths.expand(context, set, &[0], &mut heap, Slots::Compact(&mut slots)).unwrap();
            assert!(gpu.read(&slots)[..100].iter().all(|span| span.length == 0));
        });
    }
    // A heap that is too small is not written.
    expect(gpu, ErrorCode::HeapSize, &section(&[0; 100], &[2; 100], 200), |context, set| {
        let lengths = DeltaBytes::lengths(context, set).unwrap();
        assert_eq!(gpu.read(set.states())[0].heap_needed, 200);
        let mut heap = gpu.poisoned::<u8>(199);
        let mut slots = gpu.poisoned::<Span>(set.slots());
        lengths.expand(context, set, &[199], &mut heap, Slots::Compact(&mut slots)).unwrap();
        assert_eq!(gpu.read(&heap), vec![0x5b; 199]);
    });
}

#[test]
fn broken_deltas() {
    let Some(gpu) = gpu() else { return };
    let gpu = &gpu;
    let header = |block: u64, miniblocks: u64, count: u64, first: i64| {
        let mut out = Vec::new();
        put_varint(&mut out, block);
        put_varint(&mut out, miniblocks);
        put_varint(&mut out, count);
        put_zigzag(&mut out, first);
        out
    };
    let good = encode::delta(&(0..100).map(|i| i * i).collect::<Vec<_>>(), 32, DeltaShape::ALL[0]);
    let mut wide = header(128, 4, 100, 0);
    put_zigzag(&mut wide, 0);
    wide.extend([33, 33, 33, 33]);
    wide.extend([0; 600]);
    let mut least = header(128, 4, 100, 0);
    put_zigzag(&mut least, 1 << 40);
    for (code, body) in [
        (ErrorCode::DeltaTruncated, vec![]),
        (ErrorCode::DeltaTruncated, vec![0x80, 1]),
        (ErrorCode::DeltaHeader, header(0, 4, 100, 0)),
        (ErrorCode::DeltaHeader, header(100, 4, 100, 0)),
        (ErrorCode::DeltaHeader, header(128, 0, 100, 0)),
        (ErrorCode::DeltaHeader, header(128, 3, 100, 0)),
        (ErrorCode::DeltaHeader, header(128, 8, 100, 0)),
        (ErrorCode::DeltaHeader, header(u64::MAX, 4, 100, 0)),
        (ErrorCode::DeltaHeader, header(128, 4, 100, 1 << 40)),
        (ErrorCode::DeltaCount, header(128, 4, 99, 0)),
        (ErrorCode::DeltaCount, header(128, 4, 101, 0)),
        (ErrorCode::DeltaCount, header(128, 4, u64::MAX, 0)),
        (ErrorCode::DeltaTruncated, header(128, 4, 100, 0)),
        (ErrorCode::DeltaTruncated, good[..good.len() - 40].to_vec()),
        (ErrorCode::DeltaTruncated, header(1 << 30, 1 << 20, 100, 0)),
        (ErrorCode::DeltaWidth, wide),
        (ErrorCode::DeltaHeader, least),
    ] {
        expect(gpu, code, &body, |context, set| {
            let mut output = gpu.poisoned::<i32>(100);
            delta(context, set, Slots::Rows(&mut output)).unwrap();
            assert_eq!(gpu.read(&output)[99], 0);
        });
    }
}

#[test]
fn values_of_the_wrong_length() {
    let Some(gpu) = gpu() else { return };
    let gpu = &gpu;
    let mut values = vec![vec![1u8; 4]; 100];
    for (length, conversion, code) in [
        (5, SpanConversion::Decimal { width: 4 }, ErrorCode::DecimalWidth),
        (0, SpanConversion::Decimal { width: 4 }, ErrorCode::DecimalWidth),
        (3, SpanConversion::Bytes { stored: 4, width: 4, offset: 0 }, ErrorCode::FixedWidth),
        (5, SpanConversion::Bytes { stored: 4, width: 2, offset: 2 }, ErrorCode::FixedWidth),
    ] {
        values[77] = vec![1; length];
        expect(gpu, code, &encode::byte_array(&values), |context, set| {
            let slots =
                spans_of(gpu, context, set, |slots| byte_array(context, set, slots).unwrap());
            let mut output = gpu.poisoned::<u8>(400);
            spans(context, set, &slots.freeze(), &[], conversion, &mut output).unwrap();
        });
    }
}

/// Runs every decoder on a page set, whatever its bytes are.
fn decode_all(gpu: &Gpu, context: &Context<'_>, placed: &crate::column::Placed, nullable: bool) {
    let rows = placed.rows;
    let open = || {
        let mut set = PageSet::new(context, &placed.buffers, &placed.inputs, rows as u32).unwrap();
        let (mut validity, mut nulls) = (gpu.zeroed(rows.div_ceil(32)), gpu.zeroed(1));
        let wanted = if nullable {
            Levels::Decode { validity: &mut validity, nulls: &mut nulls }
        } else {
            Levels::Skip
        };
        levels(context, &mut set, wanted).unwrap();
        set
    };
    let mut bytes = gpu.poisoned::<u8>(rows * 40);
    let set = open();
    for conversion in [
        Conversion::I32To16,
        Conversion::I64To64,
        Conversion::I96ToNanos,
        Conversion::Decimal { stored: 11, width: 16 },
        Conversion::Bytes { stored: 7, width: 7, offset: 0 },
    ] {
        fixed(context, &set, Stored::Plain, conversion, &mut bytes).unwrap();
        if conversion != Conversion::I96ToNanos {
            fixed(context, &set, Stored::Split, conversion, &mut bytes).unwrap();
        }
    }
    let mut bits = gpu.zeroed(rows.div_ceil(32));
    booleans_plain(context, &set, &mut bits).unwrap();
    let runs = index(context, &set, true).unwrap();
    booleans_rle(context, &set, &runs, &mut bits).unwrap();
    codes(gpu, context, &set, 13);
    let indexes = index(context, &set, false).unwrap();
    let values = gpu.upload(&[3u8; 13 * 5]);
    let dictionary = Dictionary { values: &values, rows: 13, width: 5 };
    dictionary_values(context, &set, &indexes, dictionary, &mut bytes).unwrap();
    let mut slots = gpu.poisoned::<Span>(set.slots());
    byte_array(context, &set, Slots::Compact(&mut slots)).unwrap();
    let slots = slots.freeze();
    spans(context, &set, &slots, &[], SpanConversion::Decimal { width: 32 }, &mut bytes).unwrap();
    spans(
        context,
        &set,
        &slots,
        &[],
        SpanConversion::Bytes { stored: 9, width: 9, offset: 0 },
        &mut bytes,
    )
    .unwrap();
    delta(context, &open(), Slots::Compact(&mut gpu.poisoned::<i32>(set.slots()))).unwrap();
    delta(context, &open(), Slots::Compact(&mut gpu.poisoned::<i64>(set.slots()))).unwrap();
    delta_lengths(context, &open(), Slots::Compact(&mut gpu.poisoned::<Span>(set.slots())))
        .unwrap();
    let mut set = open();
    let lengths = DeltaBytes::lengths(context, &set).unwrap();
    let sizes: Vec<u64> =
        gpu.read(set.states()).iter().map(|state| state.heap_needed.min(1 << 20)).collect();
    let mut heap = gpu.poisoned::<u8>(sizes.iter().sum::<u64>() as usize);
    let mut slots = gpu.poisoned::<Span>(set.slots());
    lengths.expand(context, &mut set, &sizes, &mut heap, Slots::Compact(&mut slots)).unwrap();
}

/// Pages of one encoding with bytes changed, decoded as every encoding. Nothing to compare: the driver
/// must not report an access outside, and the process must live.
#[test]
fn fuzzed_pages_under_every_decoder() {
    let Some(gpu) = gpu() else { return };
    let mut random = Random::new(71);
    let strings: Vec<Vec<u8>> = (0..400).map(|i| vec![b'k'; i % 11]).collect();
    for round in 0..40 {
        let layout = Layout::ALL[round % 5];
        let validity = layout.validity(400, &mut random);
        let kind = random.below(6);
        let mut placed = place(&gpu, &layout, &validity, &mut random, |range, random| {
            let mut body = match kind {
                0 => encode::byte_array(&strings[range]),
                1 => encode::delta_length_byte_array(&strings[range], DeltaShape::ALL[0]),
                2 => encode::delta_byte_array(&strings[range], DeltaShape::ALL[1]),
                3 => encode::delta(
                    &range.map(|i| i as i64 * 77).collect::<Vec<_>>(),
                    64,
                    DeltaShape::ALL[2],
                ),
                4 => {
                    let codes: Vec<u32> = range.map(|i| i as u32 % 13).collect();
                    [&[4u8], &hybrid(&codes, 4, Runs::Mixed, random)[..]].concat()
                }
                _ => {
                    let length = random.below(900);
                    random.bytes(length)
                }
            };
            for _ in 0..random.below(6) {
                let at = random.below(body.len());
                if let Some(byte) = body.get_mut(at) {
                    *byte = random.next() as u8;
                }
            }
            body
        });
        // Some bodies end early.
        for page in placed.inputs.iter_mut().filter(|page| page.levels == PageLevels::None) {
            if random.one_in(2) {
                page.bytes = random.below(page.bytes as usize + 1) as u32;
            }
        }
        let error = gpu.zeroed::<ErrorSlot>(1);
        decode_all(&gpu, &gpu.context(&error), &placed, layout.nullable());
        let found = gpu.read(&error)[0];
        // All NULL, there is nothing to be wrong.
        assert!(
            found.code == 0 || ErrorCode::from_number(found.code).is_some(),
            "round {round}: {found:?}"
        );
    }
}
