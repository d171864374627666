//! Bitmaps to row numbers and back.

use staffa_kernels::abi::{ColumnKind, ErrorSlot, KeyRule, NONE};
use staffa_kernels::columns::{RowList, mark_rows, select_rows};

use crate::columns::{HostColumn, bitmap};
use crate::gpu::gpu;
use crate::random::Random;

#[test]
fn set_and_clear_bits_ascend() {
    let Some(gpu) = gpu() else { return };
    let error = gpu.zeroed::<ErrorSlot>(1);
    let context = gpu.context(&error);
    let random = Random::new(61);
    for rows in [0usize, 1, 7, 8, 31, 32, 33, 2047, 2048, 2049, 10_001] {
        for density in [0, 1, 2, 50] {
            let bits: Vec<bool> =
                (0..rows).map(|_| density != 0 && random.one_in(density)).collect();
            let words = gpu.upload(&bitmap(&bits));
            for inverted in [false, true] {
                let (numbers, count) =
                    select_rows(&context, &words, rows as u32, inverted).unwrap();
                let count = count.read(&gpu.ring, &gpu.stream).unwrap()[0] as usize;
                let numbers = numbers.read(&gpu.ring, &gpu.stream).unwrap();
                let expected: Vec<u32> =
                    (0..rows).filter(|r| bits[*r] != inverted).map(|r| r as u32).collect();
                assert_eq!(numbers[..count], expected, "{rows} rows, {density}, {inverted}");
            }
        }
    }
    assert!(select_rows(&context, &gpu.upload(&[0u32; 2]), 65, false).is_err());
}

#[test]
fn rows_are_marked_unless_filtered() {
    let Some(gpu) = gpu() else { return };
    let error = gpu.zeroed::<ErrorSlot>(1);
    let context = gpu.context(&error);
    let random = Random::new(62);
    let bools = ("bool", ColumnKind::Bits, 0, KeyRule::Bits);
    for pairs in [0usize, 1, 900] {
        let rows: Vec<u32> = (0..pairs)
            .map(|_| if random.one_in(9) { NONE } else { random.below(500) as u32 })
            .collect();
        let filter = HostColumn::random(bools, pairs, 0, 4, &random);
        for filtered in [false, true] {
            let selection = gpu.upload(&rows);
            let list = RowList { rows: pairs as u32, selection: Some(&selection), count: None };
            let device = filter.upload(&gpu);
            let mut bits = gpu.zeroed::<u32>(16);
            mark_rows(&context, list, filtered.then_some(&device), &mut bits, 500).unwrap();
            let mut expected = vec![false; 500];
            for (position, row) in rows.iter().enumerate() {
                let keep = filter.rows[position].as_ref().is_some_and(|v| v[0] != 0);
                if *row != NONE && (keep || !filtered) {
                    expected[*row as usize] = true;
                }
            }
            assert_eq!(gpu.read(&bits), bitmap(&expected), "{pairs} {filtered}");
            assert!(mark_rows(&context, list, None, &mut bits, 513).is_err());
        }
    }
    let mut bits = gpu.zeroed::<u32>(1);
    assert!(mark_rows(&context, RowList::all(3), None, &mut bits, 3).is_err());
}
