//! The first rows of an order.

use staffa_kernels::abi::ErrorSlot;
use staffa_kernels::sort::{SortColumn, top_rows};

use crate::columns::{HostColumn, KINDS};
use crate::gpu::{Gpu, gpu};
use crate::order::{By, Rows, expected};
use crate::random::Random;

fn check(gpu: &Gpu, by: &[By], random: &Random, limits: &[u32], what: &str) {
    let error = gpu.zeroed::<ErrorSlot>(1);
    let context = gpu.context(&error);
    let columns: Vec<SortColumn> = by.iter().map(|by| by.upload(gpu)).collect();
    for some in [false, true] {
        let rows = Rows::new(gpu, by[0].host.rows.len(), some, random);
        let all = expected(by, &rows.rows);
        for limit in limits {
            let top = top_rows(&context, &columns, rows.list(), *limit).unwrap();
            let count = top.count.read(&gpu.ring, &gpu.stream).unwrap()[0] as usize;
            let found = top.rows.read(&gpu.ring, &gpu.stream).unwrap();
            let expected = &all[..all.len().min(*limit as usize)];
            assert_eq!(count, expected.len(), "{what}, some {some}, limit {limit}");
            assert_eq!(&found[..count], expected, "{what}, some {some}, limit {limit}");
        }
    }
}

#[test]
fn first_rows_are_those_of_a_sort() {
    let Some(gpu) = gpu() else { return };
    let random = Random::new(97);
    for kinds in [&[2usize][..], &[10], &[11], &[4, 0], &[5, 2], &[13], &[6, 13], &[7], &[12, 9]] {
        for (rows, distinct, nulls) in [(0, 1, 0), (1, 1, 0), (2500, 1, 4), (4500, 3000, 0)] {
            let by: Vec<By> = kinds
                .iter()
                .map(|kind| {
                    let kind = KINDS[*kind];
                    By::new(HostColumn::random(kind, rows, distinct, nulls, &random), &random)
                })
                .collect();
            let what = format!("{kinds:?}, {rows} rows of {distinct} nulls {nulls}");
            let limits = [0, 1, 10, 1999, 4500, 100_000];
            let limits = if crate::sanitized() { &limits[2..4] } else { &limits[..] };
            check(&gpu, &by, &random, limits, &what);
        }
    }
}

/// The last row wanted ties with many others: the first of them count.
#[test]
fn ties_at_the_limit() {
    let Some(gpu) = gpu() else { return };
    let random = Random::new(98);
    for width in [4, 8, 16] {
        let values = (0..6000).map(|row| Some(if row % 100 == 7 { -1 } else { 5 }));
        let host = HostColumn::integers(width, values);
        let by = [By { host, descending: false, nulls_first: false }];
        check(&gpu, &by, &random, &[59, 60, 61, 2050, 5999], &format!("{width} bytes"));
    }
}
