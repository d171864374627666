//! DELTA_BINARY_PACKED integers, straight to rows and through slots.

use staffa_kernels::abi::ErrorSlot;
use staffa_kernels::parquet::{Conversion, Slots, Stored, delta, fixed};

use crate::column::{Layout, SIZES, check_opened, check_rows, open, place};
use crate::encode::{self, DeltaShape};
use crate::gpu::{Gpu, gpu};
use crate::random::Random;

/// Numbers of `bits` whose deltas have few bits, many bits, or wrap.
fn numbers(rows: usize, bits: u32, random: &mut Random) -> Vec<i64> {
    let kind = random.below(4);
    let mut last = 0i64;
    (0..rows)
        .map(|_| {
            let next = match kind {
                0 => last + random.below(20) as i64 - 3,
                1 => random.next() as i64,
                2 => last,
                _ => {
                    if random.one_in(2) {
                        i64::MIN
                    } else {
                        i64::MAX
                    }
                }
            };
            last = if bits == 32 { i64::from(next as i32) } else { next };
            last
        })
        .collect()
}

fn check(
    gpu: &Gpu,
    random: &mut Random,
    bits: u32,
    shape: DeltaShape,
    layout: Layout,
    rows: usize,
) {
    let what = format!("{rows} rows of {bits} bits, {shape:?}, {layout:?}");
    let bytes = bits as usize / 8;
    let validity = layout.validity(rows, random);
    let values = numbers(rows, bits, random);
    let placed = place(gpu, &layout, &validity, random, |range, random| {
        if range.is_empty() && random.one_in(2) {
            Vec::new()
        } else {
            encode::delta(&values[range], bits, shape)
        }
    });
    let error = gpu.zeroed::<ErrorSlot>(1);
    let context = gpu.context(&error);
    let opened = open(gpu, &context, &placed);
    let mut next = values.iter();
    let expected: Vec<u8> = validity
        .iter()
        .flat_map(|valid| {
            let value = if *valid { *next.next().unwrap() } else { 0 };
            value.to_le_bytes().into_iter().take(bytes)
        })
        .collect();
    let found: Vec<u8> = if layout.nullable() {
        let conversion = if bits == 32 { Conversion::I32To32 } else { Conversion::I64To64 };
        let slots = if bits == 32 {
            let mut slots = gpu.poisoned::<i32>(opened.set.slots());
            delta(&context, &opened.set, Slots::Compact(&mut slots)).unwrap();
            slots.freeze().cast::<u8>().unwrap()
        } else {
            let mut slots = gpu.poisoned::<i64>(opened.set.slots());
            delta(&context, &opened.set, Slots::Compact(&mut slots)).unwrap();
            slots.freeze().cast::<u8>().unwrap()
        };
        let mut output = gpu.poisoned::<u8>(rows * bytes);
        fixed(&context, &opened.set, Stored::Compact(&slots), conversion, &mut output).unwrap();
        gpu.read(&output)
    } else if bits == 32 {
        let mut output = gpu.poisoned::<i32>(rows);
        delta(&context, &opened.set, Slots::Rows(&mut output)).unwrap();
        bytemuck::cast_slice(&gpu.read(&output)).to_vec()
    } else {
        let mut output = gpu.poisoned::<i64>(rows);
        delta(&context, &opened.set, Slots::Rows(&mut output)).unwrap();
        bytemuck::cast_slice(&gpu.read(&output)).to_vec()
    };
    check_rows(&found, &expected, bytes, &what);
    check_opened(gpu, &opened, &validity, &error, &what);
}

#[test]
fn integers_of_every_layout() {
    let Some(gpu) = gpu() else { return };
    let mut random = Random::new(40);
    for bits in [32, 64] {
        for shape in DeltaShape::ALL {
            for layout in Layout::ALL {
                for rows in SIZES {
                    check(&gpu, &mut random, bits, shape, layout, rows);
                }
            }
        }
        check(&gpu, &mut random, bits, DeltaShape::ALL[0], Layout::ALL[0], 100_000);
    }
}
