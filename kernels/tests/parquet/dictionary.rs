//! Dictionary indexes of every width, to codes and to values.

use staffa_kernels::abi::ErrorSlot;
use staffa_kernels::parquet::{Dictionary, dictionary_codes, dictionary_values, index};

use crate::column::{Layout, SIZES, check_opened, check_rows, open, place};
use crate::encode::{Runs, hybrid};
use crate::gpu::{Gpu, gpu};
use crate::random::Random;

struct Case {
    layout: Layout,
    runs: Runs,
    index_width: u32,
    /// Bytes a value; 0: codes.
    width: usize,
    rows: usize,
}

fn check(gpu: &Gpu, random: &mut Random, case: &Case) {
    let Case { layout, runs, index_width, width, rows } = *case;
    let what = format!(
        "{rows} rows of {layout:?}, {runs:?}, indexes of {index_width} bits to {width} bytes"
    );
    // As many entries as the width can name, up to 2,000; codes may have all of them.
    let entries = match index_width {
        0 => 1,
        w if width != 0 || w < 11 => 1usize << w.min(10),
        w => (1u64 << w).min(u64::from(u32::MAX)) as usize,
    };
    let validity = layout.validity(rows, random);
    let repeat = 1 + random.below(20);
    let mut codes: Vec<u32> = Vec::new();
    for i in 0..rows {
        let same = i > 0 && !random.one_in(repeat);
        codes.push(if same { codes[i - 1] } else { (random.next() % entries as u64) as u32 });
    }
    let placed = place(gpu, &layout, &validity, random, |range, random| {
        if range.is_empty() && random.one_in(2) {
            return Vec::new(); // a page of NULLs may have no section at all
        }
        [&[index_width as u8], &hybrid(&codes[range], index_width, runs, random)[..]].concat()
    });
    let error = gpu.zeroed::<ErrorSlot>(1);
    let context = gpu.context(&error);
    let opened = open(gpu, &context, &placed);
    let indexes = index(&context, &opened.set, false).unwrap();
    let mut next = codes.iter();
    let expected: Vec<Option<u32>> =
        validity.iter().map(|valid| valid.then(|| *next.next().unwrap())).collect();
    if width == 0 {
        let mut output = gpu.poisoned::<u32>(rows);
        dictionary_codes(&context, &opened.set, &indexes, entries as u32, &mut output).unwrap();
        let expected: Vec<u32> = expected.iter().map(|code| code.unwrap_or(0)).collect();
        assert_eq!(gpu.read(&output)[..rows], expected, "{what}");
    } else {
        let values = random.bytes(entries * width);
        let uploaded = gpu.upload(&values);
        let dictionary =
            Dictionary { values: &uploaded, rows: entries as u32, width: width as u32 };
        let mut output = gpu.poisoned::<u8>(rows * width);
        dictionary_values(&context, &opened.set, &indexes, dictionary, &mut output).unwrap();
        let zero = vec![0; width];
        let expected: Vec<u8> = expected
            .iter()
            .flat_map(|code| {
                code.map_or(&zero[..], |code| &values[code as usize * width..][..width])
            })
            .copied()
            .collect();
        check_rows(&gpu.read(&output), &expected, width, &what);
    }
    check_opened(gpu, &opened, &validity, &error, &what);
}

#[test]
fn codes_of_every_width() {
    let Some(gpu) = gpu() else { return };
    let mut random = Random::new(30);
    for index_width in 0..=32 {
        for runs in Runs::ALL {
            for (layout, rows) in [(Layout::ALL[0], 2500), (Layout::ALL[1], 700)] {
                check(&gpu, &mut random, &Case { layout, runs, index_width, width: 0, rows });
            }
        }
    }
}

#[test]
fn values_of_every_size() {
    let Some(gpu) = gpu() else { return };
    let mut random = Random::new(31);
    for width in [0, 1, 2, 4, 8, 16, 32, 7] {
        for layout in Layout::ALL {
            for (i, rows) in SIZES.into_iter().enumerate() {
                let (runs, index_width) = (Runs::ALL[i % 5], [1, 3, 8, 10][i % 4]);
                check(&gpu, &mut random, &Case { layout, runs, index_width, width, rows });
            }
        }
    }
}

/// More runs in a tile than its table holds at a time.
#[test]
fn runs_of_one_value() {
    let Some(gpu) = gpu() else { return };
    let mut random = Random::new(32);
    for layout in Layout::ALL {
        let validity = layout.validity(6000, &mut random);
        let codes: Vec<u32> = (0..6000).map(|i| i % 200).collect();
        let placed = place(&gpu, &layout, &validity, &mut random, |range, random| {
            [&[8u8], &hybrid(&codes[range], 8, Runs::Repeated, random)[..]].concat()
        });
        let error = gpu.zeroed::<ErrorSlot>(1);
        let context = gpu.context(&error);
        let opened = open(&gpu, &context, &placed);
        let indexes = index(&context, &opened.set, false).unwrap();
        let mut output = gpu.poisoned::<u32>(6000);
        dictionary_codes(&context, &opened.set, &indexes, 200, &mut output).unwrap();
        let mut next = codes.iter();
        let expected: Vec<u32> =
            validity.iter().map(|valid| if *valid { *next.next().unwrap() } else { 0 }).collect();
        assert_eq!(gpu.read(&output), expected, "{layout:?}");
        check_opened(&gpu, &opened, &validity, &error, "runs of one value");
    }
}

#[test]
fn a_hundred_thousand_rows() {
    let Some(gpu) = gpu() else { return };
    let mut random = Random::new(33);
    for layout in Layout::ALL.into_iter().take(2) {
        for width in [0, 8, 16] {
            let case = Case { layout, runs: Runs::Writer, index_width: 10, width, rows: 100_000 };
            check(&gpu, &mut random, &case);
        }
    }
}
