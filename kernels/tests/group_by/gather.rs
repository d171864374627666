//! Columns by row numbers: any order, repetition, NONE for NULL.

use staffa_kernels::abi::{ErrorSlot, KeyRule, NONE};
use staffa_kernels::columns::{gather, gather_codes, own_strings};

use crate::columns::{HostColumn, KINDS, Value, download};
use crate::gpu::gpu;
use crate::random::Random;

#[test]
fn every_kind_is_gathered() {
    let Some(gpu) = gpu() else { return };
    let error = gpu.zeroed::<ErrorSlot>(1);
    let context = gpu.context(&error);
    let random = Random::new(31);
    for kind in KINDS {
        for (rows, outputs, nulls) in
            [(1, 1, 0), (50, 0, 3), (700, 1000, 0), (700, 333, 5), (40, 100, 1)]
        {
            for codes in [false, true] {
                let mut column = HostColumn::random(kind, rows, 30, nulls, &random);
                column.codes = codes;
                let ids: Vec<u32> = (0..outputs)
                    .map(|_| if random.one_in(6) { NONE } else { random.below(rows) as u32 })
                    .collect();
                let source = column.upload(&gpu);
                let device_ids = gpu.upload(&ids);
                let found = gather(&context, &source, KeyRule::Bits, &device_ids, None).unwrap();
                let mut found = found.freeze(outputs as u32).unwrap();
                found.buffers.extend(source.buffers.iter().cloned());
                let expected: Vec<Value> = ids
                    .iter()
                    .map(|id| if *id == NONE { None } else { column.rows[*id as usize].clone() })
                    .collect();
                assert_eq!(download(&gpu, &found), expected, "{} codes {codes}", kind.0);
                if codes {
                    let kept = gather_codes(&context, &source, &device_ids, None).unwrap();
                    let again: Vec<u32> = (0..outputs as u32).collect();
                    let again = gpu.upload(&again);
                    let values = gather(&context, &kept, KeyRule::Bits, &again, None).unwrap();
                    let mut values = values.freeze(outputs as u32).unwrap();
                    values.buffers.extend(source.buffers.iter().cloned());
                    assert_eq!(download(&gpu, &values), expected, "{} by codes", kind.0);
                }
            }
        }
    }
}

#[test]
fn a_count_bounds_the_rows_and_the_rest_stays_null() {
    let Some(gpu) = gpu() else { return };
    let error = gpu.zeroed::<ErrorSlot>(1);
    let context = gpu.context(&error);
    let column = HostColumn::integers(4, (0..100).map(Some));
    let ids = gpu.upload(&(0..90).rev().collect::<Vec<u32>>());
    let count = gpu.upload(&[37u32]);
    let found = gather(&context, &column.upload(&gpu), KeyRule::Bits, &ids, Some(&count)).unwrap();
    let found = download(&gpu, &found.freeze(37).unwrap());
    for (row, value) in found.iter().enumerate() {
        assert_eq!(*value, column.rows[89 - row]);
    }
    let codes = gather_codes(&context, &column.upload(&gpu), &ids, None);
    assert!(codes.is_err(), "there are no codes");
}

#[test]
fn strings_become_their_own() {
    let Some(gpu) = gpu() else { return };
    let error = gpu.zeroed::<ErrorSlot>(1);
    let context = gpu.context(&error);
    let random = Random::new(32);
    for (rows, nulls) in [(0, 0), (1, 1), (400, 4)] {
        let column = HostColumn::random(KINDS[13], 300, 30, nulls, &random);
        let source = column.upload(&gpu);
        let ids: Vec<u32> = (0..rows).map(|_| random.below(300) as u32).collect();
        let mut found = gather(&context, &source, KeyRule::Bits, &gpu.upload(&ids), None).unwrap();
        let heap = own_strings(&context, &mut found, rows as u32, &source.buffers).unwrap();
        drop(source);
        let mut found = found.freeze(rows as u32).unwrap();
        found.buffers.push(heap);
        let expected: Vec<Value> = ids.iter().map(|id| column.rows[*id as usize].clone()).collect();
        assert_eq!(download(&gpu, &found), expected);
    }
}
