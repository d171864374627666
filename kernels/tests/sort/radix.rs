//! Rows by numbers.

use staffa_cuda::DeviceBuffer;
use staffa_kernels::abi::ErrorSlot;
use staffa_kernels::columns::RowList;
use staffa_kernels::sort::{KeyBytes, RadixKeys, radix_sort};

use crate::gpu::{Gpu, gpu};
use crate::random::Random;

fn upload(gpu: &Gpu, width: KeyBytes, keys: &[u128]) -> DeviceBuffer<u8> {
    let n = width.bytes() as usize;
    let bytes: Vec<u8> = keys.iter().flat_map(|key| key.to_le_bytes()[..n].to_vec()).collect();
    let mut buffer = gpu.memory.buffer(bytes.len(), &gpu.stream).unwrap();
    buffer.write(0, &bytes, &gpu.ring, &gpu.stream).unwrap();
    buffer
}

/// The bits that a sort looks at: from a multiple of 8 on.
fn part(key: u128, bits: &std::ops::Range<u32>) -> u128 {
    let from = bits.start / 8 * 8;
    let to = (bits.end.max(from) - from).div_ceil(8).max(1) * 8 + from;
    let upper = if to >= 128 { key } else { key & ((1 << to) - 1) };
    upper >> from
}

/// Distributions: spread, few values, one value, upper half only, ascending, descending.
fn keys(shape: usize, rows: usize, width: KeyBytes, random: &Random) -> Vec<u128> {
    let mask = u128::MAX >> (128 - 8 * width.bytes());
    let wide = || u128::from(random.next()) << 64 | u128::from(random.next());
    (0..rows)
        .map(|row| match shape {
            0 => wide() & mask,
            1 => [0, 1, 255, mask, mask / 2][random.below(5)],
            2 => 77,
            3 => (wide() & mask) >> (4 * width.bytes()) << (4 * width.bytes()),
            4 => row as u128,
            _ => mask - row as u128,
        })
        .collect()
}

#[test]
fn rows_in_the_order_of_their_keys() {
    let Some(gpu) = gpu() else { return };
    let error = gpu.zeroed::<ErrorSlot>(1);
    let context = gpu.context(&error);
    let random = Random::new(81);
    for width in [KeyBytes::Four, KeyBytes::Eight, KeyBytes::Sixteen] {
        let all_bits = 8 * width.bytes();
        for (rows, shape) in [(0, 0), (1, 0), (300, 1), (2048, 0), (2049, 2), (5000, 3)]
            .into_iter()
            .chain((0..6).map(|shape| (4700, shape)))
        {
            let keys = keys(shape, rows, width, &random);
            let some: Vec<u32> = (0..rows as u32).filter(|_| random.below(3) != 0).collect();
            let mut longer = some.clone();
            longer.extend([0xdead_beef; 60]);
            let (selection, count) = (gpu.upload(&longer), gpu.upload(&[some.len() as u32]));
            let selected = RowList::selected(&selection, &count).unwrap();
            let all: Vec<u32> = (0..rows as u32).collect();
            for (list, list_rows) in [(RowList::all(rows as u32), &all), (selected, &some)] {
                for bits in [0..all_bits, 0..0, 3..9, 8..24, all_bits - 8..all_bits] {
                    // A key a position, whatever the position's row.
                    let mut by_position: Vec<u128> = keys[..list_rows.len()].to_vec();
                    let mut expected: Vec<usize> = (0..list_rows.len()).collect();
                    expected.sort_by_key(|at| part(by_position[*at], &bits));
                    let expected_rows: Vec<u32> =
                        expected.iter().map(|at| list_rows[*at]).collect();
                    let sorted_keys: Vec<u128> =
                        expected.iter().map(|at| by_position[*at]).collect();
                    by_position.resize(list.rows as usize, 0xabcd);
                    for keep in [false, true] {
                        if crate::sanitized() && !random.one_in(5) {
                            continue;
                        }
                        let device = upload(&gpu, width, &by_position);
                        let input = RadixKeys { keys: device, width, bits: bits.clone() };
                        let found = radix_sort(&context, input, list, keep).unwrap();
                        let rows = found.rows.read(&gpu.ring, &gpu.stream).unwrap();
                        let what = format!("{width:?} shape {shape} bits {bits:?}");
                        assert_eq!(rows[..expected.len()], expected_rows, "{what}");
                        assert_eq!(found.keys.is_some(), keep);
                        let Some(found) = found.keys else { continue };
                        let found = found.read(&gpu.ring, &gpu.stream).unwrap();
                        let n = width.bytes() as usize;
                        for (at, key) in sorted_keys.iter().enumerate() {
                            assert_eq!(&found[n * at..n * (at + 1)], &key.to_le_bytes()[..n]);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn launchers_refuse_what_does_not_fit() {
    let Some(gpu) = gpu() else { return };
    let error = gpu.zeroed::<ErrorSlot>(1);
    let context = gpu.context(&error);
    let sort = |rows: u32, keys: usize, bits| {
        let keys = upload(&gpu, KeyBytes::Eight, &vec![1; keys]);
        let keys = RadixKeys { keys, width: KeyBytes::Eight, bits };
        radix_sort(&context, keys, RowList::all(rows), false).map(|_| ())
    };
    assert!(sort(100, 100, 0..64).is_ok());
    assert!(sort(101, 100, 0..64).is_err());
    assert!(sort(100, 100, 0..65).is_err());
    #[expect(clippy::reversed_empty_ranges, reason = "that is what is refused")]
    let reversed = 9..8;
    assert!(sort(100, 100, reversed).is_err());
    assert!(sort(1 << 30, 100, 0..64).is_err());
}
