//! Fixed-width values: every conversion x encoding x layout x size.

use staffa_kernels::abi::ErrorSlot;
use staffa_kernels::parquet::{Conversion, Stored, copy, fixed};

use crate::column::{Layout, SIZES, check_opened, check_rows, open, place};
use crate::encode::split;
use crate::gpu::{Gpu, gpu};
use crate::random::Random;

pub(crate) fn conversions() -> Vec<Conversion> {
    let mut all = vec![
        Conversion::I32To8,
        Conversion::I32To16,
        Conversion::I32To32,
        Conversion::I32To64 { factor: 1 },
        Conversion::I32To64 { factor: 86_400_000 },
        Conversion::I32To128,
        Conversion::I32To256,
        Conversion::I64To64,
        Conversion::I64To128,
        Conversion::I64To256,
        Conversion::I96ToSeconds,
        Conversion::I96ToMillis,
        Conversion::I96ToMicros,
        Conversion::I96ToNanos,
        Conversion::Bytes { stored: 2, width: 2, offset: 0 },
        Conversion::Bytes { stored: 12, width: 4, offset: 0 },
        Conversion::Bytes { stored: 12, width: 8, offset: 4 },
        Conversion::Bytes { stored: 1, width: 1, offset: 0 },
        Conversion::Bytes { stored: 16, width: 16, offset: 0 },
        Conversion::Bytes { stored: 37, width: 37, offset: 0 },
    ];
    for (width, lengths) in [
        (4, vec![1, 3, 4]),
        (8, vec![1, 5, 8]),
        (16, vec![1, 7, 8, 9, 13, 16]),
        (32, vec![1, 16, 17, 24, 29, 32]),
    ] {
        all.extend(lengths.into_iter().map(|stored| Conversion::Decimal { stored, width }));
    }
    all
}

/// What the column must hold for a stored value: arrow-rs's rules.
pub(crate) fn convert(conversion: Conversion, stored: &[u8]) -> Vec<u8> {
    let word = || i32::from_le_bytes(stored[..4].try_into().unwrap());
    let long = || i64::from_le_bytes(stored[..8].try_into().unwrap());
    let wide = |x: i64| {
        let mut bytes = [if x < 0 { 255u8 } else { 0 }; 32];
        bytes[..8].copy_from_slice(&x.to_le_bytes());
        bytes.to_vec()
    };
    let int96 = |per_day: i64, nanos_per_unit: i64| {
        let day = i64::from(i32::from_le_bytes(stored[8..12].try_into().unwrap()));
        (day - 2_440_588)
            .wrapping_mul(per_day)
            .wrapping_add(long() / nanos_per_unit)
            .to_le_bytes()
            .to_vec()
    };
    match conversion {
        Conversion::I32To8 => vec![word() as u8],
        Conversion::I32To16 => (word() as u16).to_le_bytes().to_vec(),
        Conversion::I32To32 | Conversion::I64To64 => stored.to_vec(),
        Conversion::I32To64 { factor } => {
            i64::from(word()).wrapping_mul(factor).to_le_bytes().to_vec()
        }
        Conversion::I32To128 => i128::from(word()).to_le_bytes().to_vec(),
        Conversion::I64To128 => i128::from(long()).to_le_bytes().to_vec(),
        Conversion::I32To256 => wide(i64::from(word())),
        Conversion::I64To256 => wide(long()),
        Conversion::I96ToSeconds => int96(86_400, 1_000_000_000),
        Conversion::I96ToMillis => int96(86_400_000, 1_000_000),
        Conversion::I96ToMicros => int96(86_400_000_000, 1_000),
        Conversion::I96ToNanos => int96(86_400_000_000_000, 1),
        Conversion::Decimal { width, .. } => {
            let sign = if stored[0] >= 128 { 255 } else { 0 };
            let mut bytes = vec![sign; width as usize];
            stored.iter().rev().zip(&mut bytes).for_each(|(from, to)| *to = *from);
            bytes
        }
        Conversion::Bytes { width, offset, .. } => {
            stored[offset as usize..][..width as usize].to_vec()
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Plain,
    Split,
    Compact,
}

fn check(
    gpu: &Gpu,
    random: &mut Random,
    conversion: Conversion,
    encoding: Encoding,
    layout: Layout,
    rows: usize,
) {
    let what = format!("{rows} rows, {conversion:?}, {encoding:?}, {layout:?}");
    let (stored, width) = (conversion.stored_bytes() as usize, conversion.row_bytes() as usize);
    let validity = layout.validity(rows, random);
    let values: Vec<Vec<u8>> =
        (0..validity.iter().filter(|v| **v).count()).map(|_| random.bytes(stored)).collect();
    let placed = place(gpu, &layout, &validity, random, |range, _| match encoding {
        Encoding::Plain => values[range].concat(),
        Encoding::Split => split(&values[range]),
        Encoding::Compact => Vec::new(),
    });
    let error = gpu.zeroed::<ErrorSlot>(1);
    let context = gpu.context(&error);
    let opened = open(gpu, &context, &placed);
    let mut output = gpu.poisoned::<u8>(rows * width);
    let mut slots = vec![0u8; opened.set.slots() * stored];
    if encoding == Encoding::Compact {
        let (mut tile, mut value) = (0, 0);
        for page in &placed.inputs {
            let first = page.first_row as usize;
            let valid = validity[first..first + page.rows as usize].iter().filter(|v| **v).count();
            let bytes = values[value..value + valid].concat();
            slots[tile * 2048 * stored..][..bytes.len()].copy_from_slice(&bytes);
            value += valid;
            tile += page.rows.div_ceil(2048) as usize;
        }
    }
    let slots = gpu.upload(&slots);
    let source = match encoding {
        Encoding::Plain => Stored::Plain,
        Encoding::Split => Stored::Split,
        Encoding::Compact => Stored::Compact(&slots),
    };
    fixed(&context, &opened.set, source, conversion, &mut output).unwrap();
    let mut next = values.iter();
    let expected: Vec<u8> = validity
        .iter()
        .flat_map(
            |valid| if *valid { convert(conversion, next.next().unwrap()) } else { vec![0; width] },
        )
        .collect();
    check_rows(&gpu.read(&output), &expected, width, &what);
    check_opened(gpu, &opened, &validity, &error, &what);
}

fn all(encoding: Encoding, salt: u64) {
    let Some(gpu) = gpu() else { return };
    let mut random = Random::new(salt);
    for conversion in conversions() {
        let int96 = conversion.stored_bytes() == 12 && conversion.row_bytes() == 8;
        if encoding == Encoding::Split && int96 && !matches!(conversion, Conversion::Bytes { .. }) {
            continue;
        }
        for layout in Layout::ALL {
            for rows in SIZES {
                check(&gpu, &mut random, conversion, encoding, layout, rows);
            }
        }
    }
}

#[test]
fn plain_values_of_every_conversion() {
    all(Encoding::Plain, 10);
}

#[test]
fn split_values_of_every_conversion() {
    all(Encoding::Split, 11);
}

#[test]
fn compact_values_of_every_conversion() {
    all(Encoding::Compact, 12);
}

#[test]
fn a_hundred_thousand_rows() {
    let Some(gpu) = gpu() else { return };
    let mut random = Random::new(13);
    for conversion in
        [Conversion::I32To32, Conversion::I64To64, Conversion::Decimal { stored: 9, width: 16 }]
    {
        for encoding in [Encoding::Plain, Encoding::Split] {
            for layout in Layout::ALL.into_iter().take(2) {
                check(&gpu, &mut random, conversion, encoding, layout, 100_000);
            }
        }
    }
}

/// The copy at every alignment of source and target, and over the edges of the column.
#[test]
fn copies_of_every_width() {
    let Some(gpu) = gpu() else { return };
    let mut random = Random::new(14);
    for width in [1usize, 2, 3, 4, 5, 8, 12, 16, 31] {
        for rows in SIZES {
            let layout = Layout::ALL[0];
            let values = random.bytes(rows * width);
            let mut placed = place(&gpu, &layout, &vec![true; rows], &mut random, |range, _| {
                values[range.start * width..range.end * width].to_vec()
            });
            for skip in [0, rows / 3] {
                let kept = rows - skip;
                placed.inputs.iter_mut().for_each(|page| page.first_row -= skip as i32);
                placed.rows = kept;
                let error = gpu.zeroed::<ErrorSlot>(1);
                let context = gpu.context(&error);
                let opened = open(&gpu, &context, &placed);
                let mut output = gpu.poisoned::<u8>(kept * width);
                copy(&context, &opened.set, Stored::Plain, width as u32, &mut output).unwrap();
                let what = format!("{rows} rows of {width} bytes from {skip}");
                check_rows(&gpu.read(&output), &values[skip * width..], width, &what);
                assert_eq!(gpu.read(&error)[0], ErrorSlot::default(), "{what}");
            }
        }
    }
}
