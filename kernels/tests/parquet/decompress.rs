//! Snappy and LZ4: streams made here, element by element, and those of real compressors.

use staffa_kernels::abi::{ErrorCode, ErrorSlot};
use staffa_kernels::parquet::{Codec, CompressedInput, decompress};

use crate::encode::put_varint;
use crate::gpu::{Gpu, gpu};
use crate::random::Random;

/// Decompresses streams, all in one launch, to the given sizes.
fn run(
    gpu: &Gpu,
    codec: Codec,
    pages: &[(Vec<u8>, usize)],
    random: &mut Random,
) -> (Vec<Vec<u8>>, ErrorSlot) {
    let mut bytes = Vec::new();
    let mut inputs = Vec::new();
    let mut target = 0u64;
    for (i, (page, size)) in pages.iter().enumerate() {
        let gap = random.below(5);
        bytes.extend(random.bytes(gap));
        inputs.push(CompressedInput {
            buffer: 0,
            offset: bytes.len() as u64,
            bytes: page.len() as u32,
            target_offset: target,
            target_bytes: *size as u32,
            ordinal: i as u32,
        });
        bytes.extend(page);
        target += *size as u64;
    }
    let error = gpu.zeroed::<ErrorSlot>(1);
    let mut output = gpu.poisoned::<u8>(target as usize);
    decompress(&gpu.context(&error), codec, &[gpu.upload(&bytes)], &inputs, &mut output).unwrap();
    let found = gpu.read(&output);
    let parts = inputs
        .iter()
        .map(|i| found[i.target_offset as usize..][..i.target_bytes as usize].to_vec())
        .collect();
    (parts, gpu.read(&error)[0])
}

/// A match's length and distance, and what it appends.
fn repeat(out: &mut Vec<u8>, length: usize, offset: usize) {
    for _ in 0..length {
        out.push(out[out.len() - offset]);
    }
}

/// A Snappy stream of random elements of every kind, and its output.
fn snappy(elements: usize, random: &mut Random) -> (Vec<u8>, Vec<u8>) {
    let (mut body, mut out) = (Vec::new(), Vec::new());
    for _ in 0..elements {
        let kind = if out.is_empty() { 0 } else { random.below(4) };
        if kind == 0 {
            let length = 1 + random.below(match random.below(6) {
                0 => 70_000,
                1 => 300,
                _ => 60,
            });
            let literal = random.bytes(length);
            // The shortest header or, as the format allows, a longer one.
            let bytes = (1..5).find(|n| length - 1 < 1usize << (8 * n)).unwrap();
            if length <= 60 && !random.one_in(4) {
                body.push(((length - 1) << 2) as u8);
            } else {
                let bytes = bytes.max(1 + random.below(4));
                body.push(((59 + bytes) << 2) as u8);
                body.extend(&((length - 1) as u32).to_le_bytes()[..bytes]);
            }
            body.extend(&literal);
            out.extend(&literal);
            continue;
        }
        let near = out.len().min(if random.one_in(2) { 20 } else { 70_000 });
        let mut offset = 1 + random.below(near);
        let mut length = 1 + random.below(64);
        match kind {
            1 => {
                (offset, length) = (offset.min(2047), 4 + length % 8);
                body.push((1 | (length - 4) << 2 | (offset >> 8) << 5) as u8);
                body.push(offset as u8);
            }
            2 => {
                offset = offset.min(65_535);
                body.push((2 | (length - 1) << 2) as u8);
                body.extend((offset as u16).to_le_bytes());
            }
            _ => {
                body.push((3 | (length - 1) << 2) as u8);
                body.extend((offset as u32).to_le_bytes());
            }
        }
        repeat(&mut out, length, offset);
    }
    let mut stream = Vec::new();
    put_varint(&mut stream, out.len() as u64);
    stream.extend(body);
    (stream, out)
}

/// An LZ4 block of random sequences, and its output.
fn lz4(sequences: usize, random: &mut Random) -> (Vec<u8>, Vec<u8>) {
    let (mut block, mut out) = (Vec::new(), Vec::new());
    let extend = |block: &mut Vec<u8>, mut rest: usize| {
        while rest >= 255 {
            block.push(255);
            rest -= 255;
        }
        block.push(rest as u8);
    };
    for i in 0..=sequences {
        let mut literals = random.below(match random.below(4) {
            0 => 1000,
            1 => 20,
            _ => 8,
        });
        if out.is_empty() && literals == 0 {
            literals = 1;
        }
        let last = i == sequences;
        let match_length = 4 + random.below(if random.one_in(4) { 800 } else { 20 });
        let low = if last { 0 } else { (match_length - 4).min(15) };
        block.push((literals.min(15) << 4 | low) as u8);
        if literals >= 15 {
            extend(&mut block, literals - 15);
        }
        let bytes = random.bytes(literals);
        block.extend(&bytes);
        out.extend(&bytes);
        if last {
            break;
        }
        let offset = 1 + random.below(out.len().min(if random.one_in(2) { 16 } else { 65_535 }));
        block.extend((offset as u16).to_le_bytes());
        if match_length - 4 >= 15 {
            extend(&mut block, match_length - 4 - 15);
        }
        repeat(&mut out, match_length, offset);
    }
    (block, out)
}

fn streams(codec: Codec, random: &mut Random) -> Vec<(Vec<u8>, Vec<u8>)> {
    (0..40)
        .map(|i| {
            let elements = [0, 1, 2, 10, 100][i % 5];
            match codec {
                Codec::Snappy => snappy(elements, random),
                Codec::Lz4Raw => lz4(elements, random),
            }
        })
        .collect()
}

fn random_streams(codec: Codec, salt: u64) {
    let Some(gpu) = gpu() else { return };
    let mut random = Random::new(salt);
    let streams = streams(codec, &mut random);
    let pages: Vec<_> = streams.iter().map(|(stream, out)| (stream.clone(), out.len())).collect();
    let (found, error) = run(&gpu, codec, &pages, &mut random);
    assert_eq!(error, ErrorSlot::default());
    for (i, (found, (_, expected))) in found.iter().zip(&streams).enumerate() {
        let first = found.iter().zip(expected).position(|(a, b)| a != b);
        assert_eq!(first, None, "stream {i}, {} bytes", expected.len());
    }
}

#[test]
fn snappy_streams_of_every_element() {
    random_streams(Codec::Snappy, 60);
}

#[test]
fn lz4_blocks_of_every_sequence() {
    random_streams(Codec::Lz4Raw, 61);
}

#[test]
fn what_compressors_write() {
    let Some(gpu) = gpu() else { return };
    let mut random = Random::new(62);
    let mut texts: Vec<Vec<u8>> =
        vec![Vec::new(), b"a".to_vec(), vec![7; 100_000], random.bytes(40_000)];
    let words = ["lineitem", "orders", " ", "1995-03-15", "the", "carefully final deposits", "\n"];
    texts.push((0..8000).flat_map(|_| words[random.below(words.len())].bytes()).collect());
    texts.push((0..20_000u32).flat_map(|i| (i / 3).to_le_bytes()).collect());
    for codec in [Codec::Snappy, Codec::Lz4Raw] {
        let pages: Vec<_> = texts
            .iter()
            .map(|text| {
                let compressed = match codec {
                    Codec::Snappy => snap::raw::Encoder::new().compress_vec(text).unwrap(),
                    Codec::Lz4Raw => lz4_flex::block::compress(text),
                };
                (compressed, text.len())
            })
            .collect();
        let (found, error) = run(&gpu, codec, &pages, &mut random);
        assert_eq!(error, ErrorSlot::default(), "{codec:?}");
        for (i, (found, text)) in found.iter().zip(&texts).enumerate() {
            assert!(found == text, "text {i} of {codec:?}");
        }
    }
}

/// Streams with bytes changed, cut off or added, and wrong sizes: right output or an error, and the
/// neighbours' output untouched.
#[test]
fn broken_streams() {
    let Some(gpu) = gpu() else { return };
    let mut random = Random::new(63);
    for codec in [Codec::Snappy, Codec::Lz4Raw] {
        let mut refused = 0;
        for _ in 0..150 {
            let make = |random: &mut Random| match codec {
                Codec::Snappy => snappy(12, random),
                Codec::Lz4Raw => lz4(12, random),
            };
            let (before, middle, after) = (make(&mut random), make(&mut random), make(&mut random));
            let (mut stream, mut size) = (middle.0.clone(), middle.1.len());
            match random.below(4) {
                0 => {
                    let keep = random.below(stream.len());
                    stream.truncate(keep);
                }
                1 => size = random.below(2 * size + 2),
                2 => {
                    let more = 1 + random.below(9);
                    stream.extend(random.bytes(more));
                }
                _ => {
                    for _ in 0..1 + random.below(3) {
                        let at = random.below(stream.len().min(400));
                        stream[at] = random.next() as u8;
                    }
                }
            }
            let pages =
                [(before.0, before.1.len()), (stream.clone(), size), (after.0, after.1.len())];
            let (found, error) = run(&gpu, codec, &pages, &mut random);
            assert!(
                found[0] == before.1 && found[2] == after.1,
                "{codec:?} wrote outside its page"
            );
            // The truth from the crates' own decoders, whose output must have the given size.
            let truth = match codec {
                Codec::Snappy => snap::raw::Decoder::new().decompress_vec(&stream).ok(),
                Codec::Lz4Raw => lz4_flex::block::decompress(&stream, size).ok(),
            };
            match truth.filter(|out| out.len() == size) {
                Some(out) => assert!(error.code == 0 && found[1] == out, "{codec:?}: {error:?}"),
                None => {
                    let code = ErrorCode::from_number(error.code);
                    assert!(
                        code.is_some() && error.where_ == 1,
                        "{codec:?} accepted {stream:x?} to {size}: {error:?}"
                    );
                    refused += 1;
                }
            }
        }
        assert!(refused > 30, "{codec:?} refused only {refused}");
    }
}
