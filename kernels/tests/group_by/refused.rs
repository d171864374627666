//! What launchers refuse because its answers would be others: packed keys that mean something else, outputs of
//! other widths than the state's.

use staffa_kernels::abi::ErrorSlot;
use staffa_kernels::columns::RowList;
use staffa_kernels::group_by::{
    Accumulator, Function, GroupKeys, GroupTable, GroupTableConfig, Input, ValueType,
};
use staffa_kernels::keys::{FieldRange, KeyColumn, KeyColumns, Packing};

use crate::columns::{HostColumn, KINDS, download};
use crate::gpu::gpu;
use crate::random::Random;

fn packing(values: u64) -> Packing {
    let field = FieldRange { low: 0, high: values - 1, nullable: false };
    Packing::new(vec![field]).unwrap()
}

#[test]
fn values_that_do_not_pack() {
    let Some(gpu) = gpu() else { return };
    let error = gpu.zeroed::<ErrorSlot>(1);
    let context = gpu.context(&error);
    let random = Random::new(31);
    let config = GroupTableConfig::for_groups(64);
    // 256 bits, fixed binary, strings.
    for kind in [7, 12, 13] {
        let key = HostColumn::random(KINDS[kind], 30, 5, 0, &random).key(&gpu);
        let like = [key.clone()];
        for keys in [GroupKeys::Packed(packing(100)), GroupKeys::Direct(packing(100))] {
            let made = GroupTable::new(&context, &like, keys.clone(), config).map(|_| ());
            assert!(made.is_err(), "{}", KINDS[kind].0);
            // Nor later, from the columns of the groups.
            let mut table = GroupTable::new(&context, &like, GroupKeys::Hashed, config).unwrap();
            let columns = KeyColumns::new(&context, vec![key.clone()]).unwrap();
            table.assign(&context, &columns, RowList::all(30)).unwrap();
            assert!(table.grow(&context, keys, config).is_err(), "{}", KINDS[kind].0);
        }
    }
}

/// Codes pack as codes of the one dictionary that the table began with.
#[test]
fn packed_codes_of_another_dictionary() {
    let Some(gpu) = gpu() else { return };
    let error = gpu.zeroed::<ErrorSlot>(1);
    let context = gpu.context(&error);
    let random = Random::new(32);
    let config = GroupTableConfig::for_groups(64);
    for kind in [4, 13] {
        let codes = || {
            let mut column = HostColumn::random(KINDS[kind], 30, 5, 0, &random);
            column.codes = true;
            column.key(&gpu)
        };
        let plain = HostColumn::random(KINDS[kind], 30, 5, 0, &random).key(&gpu);
        let (first, second) = (codes(), codes());
        let keys = |key: &KeyColumn| KeyColumns::new(&context, vec![key.clone()]).unwrap();
        let all = RowList::all(30);
        let packed = GroupKeys::Packed(packing(64));
        let like = [first.clone()];
        let mut table = GroupTable::new(&context, &like, packed.clone(), config).unwrap();
        let ids = table.assign(&context, &keys(&first), all).unwrap();
        assert!(table.assign(&context, &keys(&second), all).is_err());
        assert!(table.assign(&context, &keys(&plain), all).is_err());
        // The same codes in a larger table are the same groups; packed otherwise they are unknown.
        let larger = GroupTableConfig::for_groups(200);
        assert!(table.grow(&context, GroupKeys::Packed(packing(65)), larger).is_err());
        table.grow(&context, packed, larger).unwrap();
        let again = table.assign(&context, &keys(&first), all).unwrap();
        let read = |ids: staffa_cuda::DeviceSlice<u32>| ids.read(&gpu.ring, &gpu.stream).unwrap();
        assert_eq!(read(ids), read(again));
        // By their values all columns go.
        table.grow(&context, GroupKeys::Hashed, larger).unwrap();
        table.assign(&context, &keys(&second), all).unwrap();
        table.assign(&context, &keys(&plain), all).unwrap();
        assert_eq!(table.state(&context).unwrap().overflow, 0);
    }
    // A table that began with values takes no codes in a packed key.
    let values = HostColumn::integers(8, (0..30).map(Some));
    let mut coded = values.clone();
    coded.codes = true;
    let field = FieldRange { low: 1 << 63, high: (1 << 63) + 63, nullable: false };
    let form = GroupKeys::Packed(Packing::new(vec![field]).unwrap());
    let mut table = GroupTable::new(&context, &[values.key(&gpu)], form, config).unwrap();
    let coded = KeyColumns::new(&context, vec![coded.key(&gpu)]).unwrap();
    assert!(table.assign(&context, &coded, RowList::all(30)).is_err());
}

#[test]
fn outputs_of_other_widths() {
    let Some(gpu) = gpu() else { return };
    let error = gpu.zeroed::<ErrorSlot>(1);
    let context = gpu.context(&error);
    use Function as F;
    use ValueType as V;
    // Function, value, its width, widths of the output that are right.
    let cases: [(F, V, u32, &[u32]); 14] = [
        (F::Count, V::Bytes, 16, &[8]),
        (F::Sum, V::Signed, 1, &[1, 2, 4, 8]),
        (F::Sum, V::Unsigned, 4, &[4, 8]),
        (F::Sum, V::Float, 4, &[8]),
        (F::Sum, V::Signed, 16, &[16]),
        (F::Sum, V::Signed, 32, &[32]),
        (F::Min, V::Signed, 4, &[4]),
        (F::Max, V::Float, 4, &[4]),
        (F::Max, V::Boolean, 0, &[0]),
        (F::Min, V::Signed, 16, &[16]),
        (F::Max, V::Bytes, 16, &[16]),
        (F::And, V::Signed, 2, &[2]),
        (F::Or, V::Boolean, 0, &[0]),
        (F::Xor, V::Unsigned, 8, &[8]),
    ];
    for (function, value, width, right) in cases {
        for output in [0, 1, 2, 3, 4, 8, 16, 32, 64] {
            let state = Accumulator::new(&context, function, value, width, 3).unwrap();
            let found = state.finish(&context, 3, output);
            let what = format!("{function:?} of {value:?} {width} as {output}");
            assert_eq!(found.is_ok(), right.contains(&output), "{what}");
        }
    }
    // Strings are 16 bytes each, whatever the caller thinks.
    assert!(Accumulator::new(&context, F::Min, V::Bytes, 0, 3).is_err());
    assert!(Accumulator::new(&context, F::Min, V::Bytes, 8, 3).is_err());
}

/// A state for no groups grows to one for some, of which each has all its words.
#[test]
fn states_grow_from_no_groups() {
    let Some(gpu) = gpu() else { return };
    let error = gpu.zeroed::<ErrorSlot>(1);
    let context = gpu.context(&error);
    let random = Random::new(33);
    let groups = 700;
    let values = |width| HostColumn::integers(width, (0..groups).map(|v| Some(v - 300)));
    let key = values(8).key(&gpu);
    let config = GroupTableConfig::for_groups(groups as u32);
    for (function, column) in [
        (Function::Sum, values(8)),
        (Function::Sum, values(16)),
        (Function::Min, values(4)),
        (Function::Max, values(16)),
        (Function::Max, HostColumn::random(KINDS[13], groups as usize, 40, 0, &random)),
    ] {
        let width = column.width;
        let strings = column.kind == KINDS[13].1;
        let value = if strings { ValueType::Bytes } else { ValueType::Signed };
        let mut table =
            GroupTable::new(&context, std::slice::from_ref(&key), GroupKeys::Hashed, config)
                .unwrap();
        let mut state = Accumulator::new(&context, function, value, width, 0).unwrap();
        state.grow(&context, config.groups).unwrap();
        let keys = KeyColumns::new(&context, vec![key.clone()]).unwrap();
        let list = RowList::all(groups as u32);
        let ids = table.assign(&context, &keys, list).unwrap();
        let uploaded = column.upload(&gpu);
        let input = Input { list, ids: &ids, value: Some(&uploaded), filter: None };
        state.update(&context, &table, input).unwrap();
        let found = download(&gpu, &state.finish(&context, groups as u32, width).unwrap());
        for (row, id) in ids.read(&gpu.ring, &gpu.stream).unwrap().into_iter().enumerate() {
            assert_eq!(found[id as usize], column.rows[row], "{function:?} {width} row {row}");
        }
    }
}
