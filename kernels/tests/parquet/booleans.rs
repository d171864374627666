//! Booleans, PLAIN and RLE.

use staffa_kernels::abi::ErrorSlot;
use staffa_kernels::parquet::{booleans_plain, booleans_rle, index};

use crate::column::{Layout, SIZES, bitmap, check_opened, open, place};
use crate::encode::{Runs, bits, hybrid};
use crate::gpu::{Gpu, gpu};
use crate::random::Random;

/// `runs`: RLE, cut so; none: PLAIN.
fn check(gpu: &Gpu, random: &mut Random, layout: Layout, runs: Option<Runs>, rows: usize) {
    let what = format!("{rows} rows of {layout:?}, {runs:?}");
    let validity = layout.validity(rows, random);
    let streaks = 1 + random.below(40);
    let values: Vec<bool> = (0..rows)
        .scan(false, |bit, _| {
            *bit ^= random.one_in(streaks);
            Some(*bit)
        })
        .collect();
    let placed = place(gpu, &layout, &validity, random, |range, random| {
        let Some(runs) = runs else { return bits(&values[range]) };
        let numbers: Vec<u32> = values[range].iter().map(|bit| u32::from(*bit)).collect();
        let stream = hybrid(&numbers, 1, runs, random);
        [&(stream.len() as u32).to_le_bytes()[..], &stream].concat()
    });
    let error = gpu.zeroed::<ErrorSlot>(1);
    let context = gpu.context(&error);
    let opened = open(gpu, &context, &placed);
    let mut output = gpu.zeroed(rows.div_ceil(32));
    if runs.is_some() {
        let indexes = index(&context, &opened.set, true).unwrap();
        booleans_rle(&context, &opened.set, &indexes, &mut output).unwrap();
    } else {
        booleans_plain(&context, &opened.set, &mut output).unwrap();
    }
    let mut next = values.iter();
    let expected: Vec<bool> =
        validity.iter().map(|valid| *valid && *next.next().unwrap()).collect();
    assert_eq!(gpu.read(&output), bitmap(&expected), "{what}");
    check_opened(gpu, &opened, &validity, &error, &what);
}

#[test]
fn booleans_of_every_layout() {
    let Some(gpu) = gpu() else { return };
    let mut random = Random::new(20);
    for layout in Layout::ALL {
        for rows in SIZES {
            check(&gpu, &mut random, layout, None, rows);
            for runs in Runs::ALL {
                check(&gpu, &mut random, layout, Some(runs), rows);
            }
        }
    }
    check(&gpu, &mut random, Layout::ALL[1], None, 100_000);
    check(&gpu, &mut random, Layout::ALL[1], Some(Runs::Mixed), 100_000);
}
