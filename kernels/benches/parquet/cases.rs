//! The cases: an encoding, a type, with and without NULLs.

use staffa_cuda::Result;
use staffa_kernels::abi::Span;
use staffa_kernels::parquet::{
    Codec, CompressedInput, Conversion, DeltaBytes, Dictionary, Levels, Slots, Stored, byte_array,
    decompress, delta, delta_lengths, dictionary_codes, dictionary_values, fixed, index, levels,
};

use crate::device::Bench;
use crate::encode::{self, DeltaShape, Runs, hybrid};
use crate::random::Random;

pub(crate) fn run(bench: &Bench) {
    let all = [levels_case, plain, split, dictionary, strings, deltas, compressed];
    for case in all {
        if let Err(error) = case(bench) {
            println!("failed: {error}");
        }
    }
}

fn size(bench: &Bench) -> (u32, u32) {
    if bench.smoke { (3000, 2) } else { (131_072, 64) }
}

/// A level section with one NULL in ten, behind its length, and how many rows are valid.
fn level_section(rows: u32, random: &mut Random) -> (Vec<u8>, u32) {
    let stored: Vec<u32> = (0..rows).map(|_| u32::from(!random.one_in(10))).collect();
    let section = hybrid(&stored, 1, Runs::Writer, random);
    ([&(section.len() as u32).to_le_bytes()[..], &section].concat(), stored.iter().sum())
}

fn levels_case(bench: &Bench) -> Result<()> {
    let (rows, pages) = size(bench);
    if !bench.wanted("levels") {
        return Ok(());
    }
    let (section, _) = level_section(rows, &mut Random::new(1));
    let mut set = bench.pages(&section, rows, pages, true)?;
    let mut validity = bench.bitmap(rows * pages)?;
    let mut nulls = bench.memory.buffer(1, &bench.stream)?;
    nulls.zero(&bench.stream)?;
    bench.time("levels (of 4-byte values)", u64::from(rows * pages) * 4, || {
        levels(
            &bench.context(),
            &mut set,
            Levels::Decode { validity: &mut validity, nulls: &mut nulls },
        )
    })?;
    Ok(())
}

fn fixed_cases(
    bench: &Bench,
    name: &str,
    stored: Stored<'_>,
    conversions: &[(&str, Conversion)],
) -> Result<()> {
    let (rows, pages) = size(bench);
    let mut random = Random::new(2);
    for nullable in [false, true] {
        for (label, conversion) in conversions {
            let name = format!("{name}/{label}{}", if nullable { "/nulls" } else { "" });
            if !bench.wanted(&name) {
                continue;
            }
            let (section, valid) =
                if nullable { level_section(rows, &mut random) } else { (Vec::new(), rows) };
            let values = random.bytes(valid as usize * conversion.stored_bytes() as usize);
            let set = bench.pages(&[section, values].concat(), rows, pages, nullable)?;
            let bytes = u64::from(rows * pages) * u64::from(conversion.row_bytes());
            let mut output = bench.memory.buffer::<u8>(bytes as usize, &bench.stream)?;
            bench.time(&name, bytes, || {
                fixed(&bench.context(), &set, stored, *conversion, &mut output)
            })?;
        }
    }
    Ok(())
}

fn plain(bench: &Bench) -> Result<()> {
    let conversions = [
        ("i32", Conversion::I32To32),
        ("i64", Conversion::I64To64),
        ("i32 to i8", Conversion::I32To8),
        ("i64 to decimal128", Conversion::I64To128),
        ("int96", Conversion::I96ToNanos),
        ("flba16 to decimal128", Conversion::Decimal { stored: 16, width: 16 }),
        ("flba16", Conversion::Bytes { stored: 16, width: 16, offset: 0 }),
    ];
    fixed_cases(bench, "plain", Stored::Plain, &conversions)
}

fn split(bench: &Bench) -> Result<()> {
    fixed_cases(
        bench,
        "split",
        Stored::Split,
        &[("f32", Conversion::I32To32), ("f64", Conversion::I64To64)],
    )
}

fn dictionary(bench: &Bench) -> Result<()> {
    let (rows, pages) = size(bench);
    let mut random = Random::new(3);
    for (nullable, bits, runs) in [
        (false, 4u32, Runs::Writer),
        (false, 12, Runs::Writer),
        (false, 12, Runs::Repeated),
        (true, 12, Runs::Writer),
    ] {
        let (section, valid) =
            if nullable { level_section(rows, &mut random) } else { (Vec::new(), rows) };
        // Repeated: runs of 1 to 20 values, the worst case of a tile's table.
        let repeat = if runs == Runs::Repeated { 10 } else { 1 };
        let mut last = 0;
        let codes: Vec<u32> = (0..valid)
            .map(|_| {
                if random.one_in(repeat) {
                    last = random.below(1 << bits) as u32;
                }
                last
            })
            .collect();
        let body = [&section[..], &[bits as u8], &hybrid(&codes, bits, runs, &mut random)].concat();
        let set = bench.pages(&body, rows, pages, nullable)?;
        let context = bench.context();
        let label = format!("{bits} bits, {runs:?}{}", if nullable { ", nulls" } else { "" });
        let all = u64::from(rows * pages);
        let name = format!("dictionary/codes/{label}");
        if bench.wanted(&name) {
            let mut output = bench.memory.buffer::<u32>(all as usize, &bench.stream)?;
            bench.time(&name, 4 * all, || {
                let indexes = index(&context, &set, false)?;
                dictionary_codes(&context, &set, &indexes, 1 << bits, &mut output)
            })?;
        }
        for width in [4u32, 8, 16] {
            let name = format!("dictionary/{width} bytes/{label}");
            if !bench.wanted(&name) {
                continue;
            }
            let values = bench.upload(&random.bytes((width << bits) as usize))?;
            let entries = Dictionary { values: &values, rows: 1 << bits, width };
            let bytes = all * u64::from(width);
            let mut output = bench.memory.buffer::<u8>(bytes as usize, &bench.stream)?;
            bench.time(&name, bytes, || {
                let indexes = index(&context, &set, false)?;
                dictionary_values(&context, &set, &indexes, entries, &mut output)
            })?;
        }
    }
    Ok(())
}

fn strings(bench: &Bench) -> Result<()> {
    let (rows, pages) = size(bench);
    let rows = rows / 4;
    let random = Random::new(4);
    for mean in [8usize, 24, 100] {
        let values: Vec<Vec<u8>> = (0..rows).map(|_| vec![b'x'; random.below(2 * mean)]).collect();
        let bytes: u64 = values.iter().map(|v| v.len() as u64).sum::<u64>() * u64::from(pages);
        let context = bench.context();
        let mut output = bench.memory.buffer::<Span>((rows * pages) as usize, &bench.stream)?;
        let name = format!("strings/plain/{mean} bytes");
        if bench.wanted(&name) {
            let set = bench.pages(&encode::byte_array(&values), rows, pages, false)?;
            bench.time(&name, bytes, || byte_array(&context, &set, Slots::Rows(&mut output)))?;
        }
        let name = format!("strings/delta length/{mean} bytes");
        if bench.wanted(&name) {
            let body = encode::delta_length_byte_array(&values, DeltaShape::ALL[0]);
            let mut set = bench.pages(&body, rows, pages, false)?;
            bench.time(&name, bytes, || {
                // Sets the pages' states back; a few microseconds of the figure.
                levels(&context, &mut set, Levels::Skip)?;
                delta_lengths(&context, &set, Slots::Rows(&mut output))
            })?;
        }
        let name = format!("strings/delta bytes/{mean} bytes");
        if bench.wanted(&name) {
            let body = encode::delta_byte_array(&values, DeltaShape::ALL[0]);
            let mut set = bench.pages(&body, rows, pages, false)?;
            let lengths = DeltaBytes::lengths(&context, &set)?;
            let states = set.states().read(&bench.ring, &bench.stream)?;
            let sizes: Vec<u64> = states.iter().map(|state| state.heap_needed).collect();
            let mut heap = bench.memory.buffer::<u8>(bytes as usize, &bench.stream)?;
            bench.time(&name, bytes, || {
                lengths.expand(&context, &mut set, &sizes, &mut heap, Slots::Rows(&mut output))
            })?;
        }
    }
    Ok(())
}

fn deltas(bench: &Bench) -> Result<()> {
    let (rows, pages) = size(bench);
    let random = Random::new(5);
    for bits in [3u32, 12, 25] {
        let name = format!("delta/i64/{bits} bits");
        if !bench.wanted(&name) {
            continue;
        }
        let mut last = 0i64;
        let values: Vec<i64> = (0..rows)
            .map(|_| {
                last += random.below(1 << bits) as i64;
                last
            })
            .collect();
        let body = encode::delta(&values, 64, DeltaShape::ALL[0]);
        let mut output = bench.memory.buffer::<i64>((rows * pages) as usize, &bench.stream)?;
        let mut set = bench.pages(&body, rows, pages, false)?;
        let context = bench.context();
        bench.time(&name, u64::from(rows * pages) * 8, || {
            levels(&context, &mut set, Levels::Skip)?;
            delta(&context, &set, Slots::Rows(&mut output))
        })?;
    }
    Ok(())
}

fn compressed(bench: &Bench) -> Result<()> {
    let (_, pages) = size(bench);
    let page_bytes = if bench.smoke { 5000 } else { 1 << 20 };
    let random = Random::new(6);
    let words =
        ["lineitem", "orders", " ", "1995-03-15", "the", "carefully final deposits", "\n", "0.04"];
    let mut text: Vec<u8> = Vec::new();
    while text.len() < page_bytes {
        text.extend(words[random.below(words.len())].bytes());
    }
    text.truncate(page_bytes);
    let numbers: Vec<u8> =
        (0..page_bytes as u32 / 8).flat_map(|i| u64::from(i / 7 * 900).to_le_bytes()).collect();
    for (label, page) in [("text", text), ("numbers", numbers), ("noise", random.bytes(page_bytes))]
    {
        for codec in [Codec::Snappy, Codec::Lz4Raw] {
            let name = format!("decompress/{codec:?}/{label}");
            if !bench.wanted(&name) {
                continue;
            }
            let stream = match codec {
                Codec::Snappy => snap::raw::Encoder::new().compress_vec(&page).unwrap_or_default(),
                Codec::Lz4Raw => lz4_flex::block::compress(&page),
            };
            let buffers = [bench.upload(&stream.repeat(pages as usize))?];
            let inputs: Vec<CompressedInput> = (0..pages)
                .map(|i| CompressedInput {
                    buffer: 0,
                    offset: u64::from(i) * stream.len() as u64,
                    bytes: stream.len() as u32,
                    target_offset: u64::from(i) * page.len() as u64,
                    target_bytes: page.len() as u32,
                    ordinal: i,
                })
                .collect();
            let bytes = page.len() as u64 * u64::from(pages);
            let mut output = bench.memory.buffer::<u8>(bytes as usize, &bench.stream)?;
            bench.time(&name, bytes, || {
                decompress(&bench.context(), codec, &buffers, &inputs, &mut output)
            })?;
        }
    }
    Ok(())
}
