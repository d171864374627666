//! Tables that are too small: nothing is counted twice, and nothing is lost.

use std::collections::HashMap;

use staffa_kernels::abi::ErrorSlot;
use staffa_kernels::columns::RowList;
use staffa_kernels::group_by::{
    Accumulator, Function, GroupKeys, GroupTable, GroupTableConfig, Input, ValueType,
};
use staffa_kernels::keys::KeyColumns;

use crate::columns::{HostColumn, KINDS, Value, download};
use crate::gpu::gpu;
use crate::groups::{Morsel, Oracle};
use crate::random::Random;

/// All morsels are queued at once; from the first that does not fit on they are queued again.
#[test]
fn morsels_behind_an_overflow_are_counted_once() {
    let Some(gpu) = gpu() else { return };
    let error = gpu.zeroed::<ErrorSlot>(1);
    let context = gpu.context(&error);
    let random = Random::new(21);
    for probes in [512, 2] {
        let morsels: Vec<Morsel> = (0..5)
            .map(|m| Morsel::all(vec![HostColumn::random(KINDS[13], 300, 20 << m, 8, &random)]))
            .collect();
        let keys: Vec<KeyColumns> = morsels.iter().map(|m| m.keys(&gpu, &error)).collect();
        let mut config = GroupTableConfig { groups: 40, probes };
        let mut table =
            GroupTable::new(&context, keys[0].columns(), GroupKeys::Hashed, config).unwrap();
        let mut counts =
            Accumulator::new(&context, Function::Count, ValueType::Bytes, 16, config.groups)
                .unwrap();
        let mut oracle = Oracle::default();
        let mut done = 0;
        let mut grown = 0;
        while done < morsels.len() {
            let mut ids = Vec::new();
            for key in &keys[done..] {
                let list = RowList::all(key.rows());
                let assigned = table.assign(&context, key, list).unwrap();
                let input = Input { list, ids: &assigned, value: None, filter: None };
                counts.update(&context, &table, input).unwrap();
                ids.push(assigned);
            }
            let state = table.state(&context).unwrap();
            for (k, m) in (done..state.commits as usize).enumerate() {
                oracle.check(&gpu, &morsels[m], &ids[k], "committed");
            }
            assert_eq!(state.overflow != 0, (state.commits as usize) < morsels.len());
            done = state.commits as usize;
            if state.overflow != 0 {
                config.groups *= 2;
                config.probes = if grown > 1 { 512 } else { probes };
                // With few probes the old groups may not even fit the larger table: then larger still.
                while table.grow(&context, GroupKeys::Hashed, config).is_err() {
                    config.groups *= 2;
                }
                counts.grow(&context, config.groups).unwrap();
                grown += 1;
            }
        }
        assert!(grown > 1, "the table was never too small");
        let mut expected: HashMap<Vec<Value>, u64> = HashMap::new();
        for morsel in &morsels {
            for row in morsel.rows() {
                *expected.entry(morsel.key(row)).or_default() += 1;
            }
        }
        let groups = table.state(&context).unwrap().groups;
        let found = download(&gpu, &counts.finish(&context, groups, 8).unwrap());
        for (key, count) in &expected {
            let id = oracle.ids[key] as usize;
            assert_eq!(found[id], Some(count.to_le_bytes().to_vec()), "{key:?}");
        }
        oracle.check_keys(&gpu, table, "grown");
    }
}

#[test]
fn launchers_refuse_what_does_not_fit() {
    let Some(gpu) = gpu() else { return };
    let error = gpu.zeroed::<ErrorSlot>(1);
    let context = gpu.context(&error);
    let random = Random::new(22);
    let make = |kind: usize, rows| {
        Morsel::all(vec![HostColumn::random(KINDS[kind], rows, 5, 3, &random)]).keys(&gpu, &error)
    };
    let strings = make(13, 50);
    let numbers = make(4, 50);
    let config = GroupTableConfig::for_groups(64);
    let mut table =
        GroupTable::new(&context, strings.columns(), GroupKeys::Hashed, config).unwrap();
    // Other types, more rows than there are, a smaller table than its groups, no room at all.
    assert!(table.assign(&context, &numbers, RowList::all(50)).is_err());
    assert!(table.assign(&context, &strings, RowList::all(51)).is_err());
    let ids = table.assign(&context, &strings, RowList::all(50)).unwrap();
    let fewer = GroupTableConfig { groups: 1, probes: 1 };
    assert!(table.grow(&context, GroupKeys::Hashed, fewer).is_err());
    let none = GroupTableConfig { groups: 0, probes: 1 };
    assert!(GroupTable::new(&context, strings.columns(), GroupKeys::Hashed, none).is_err());
    // Columns that reach beyond their memory, or of different lengths.
    let mut longer = numbers.columns().to_vec();
    longer[0].column.descriptor.rows = 5000;
    assert!(KeyColumns::new(&context, longer).is_err());
    let mixed = [strings.columns(), make(4, 49).columns()].concat();
    assert!(KeyColumns::new(&context, mixed).is_err());
    assert!(KeyColumns::new(&context, Vec::new()).is_err());
    // Aggregates that do not exist, with less room than the table, or over other values.
    let make =
        |function, value, width, groups| Accumulator::new(&context, function, value, width, groups);
    assert!(make(Function::Sum, ValueType::Bytes, 16, 64).is_err());
    assert!(make(Function::Xor, ValueType::Float, 8, 64).is_err());
    assert!(make(Function::Sum, ValueType::Float, 2, 64).is_err());
    let value = &numbers.columns()[0].column;
    let input = Input { list: RowList::all(50), ids: &ids, value: Some(value), filter: None };
    let mut small = make(Function::Sum, ValueType::Signed, 8, 63).unwrap();
    assert!(small.update(&context, &table, input).is_err());
    let mut narrow = make(Function::Sum, ValueType::Signed, 4, 64).unwrap();
    assert!(narrow.update(&context, &table, input).is_err());
    let mut sum = make(Function::Sum, ValueType::Signed, 8, 64).unwrap();
    assert!(sum.update(&context, &table, Input { value: None, ..input }).is_err());
    assert!(sum.update(&context, &table, Input { filter: Some(value), ..input }).is_err());
    assert!(sum.update(&context, &table, input).is_ok());
    assert!(sum.finish(&context, 65, 8).is_err());
}
