//! What launchers refuse because its rows would be others: tables, lists and dictionaries that were not probed.

use staffa_kernels::abi::{ErrorSlot, KeyRule};
use staffa_kernels::columns::RowList;
use staffa_kernels::join::{JoinKeys, JoinSide, JoinTable, ProbeOptions};
use staffa_kernels::keys::{FieldRange, KeyColumn, KeyColumns, Packing};

use crate::columns::{HostColumn, KINDS};
use crate::gpu::gpu;
use crate::random::Random;

#[test]
fn pairs_of_another_table_or_list() {
    let Some(gpu) = gpu() else { return };
    let error = gpu.zeroed::<ErrorSlot>(1);
    let context = gpu.context(&error);
    let keys = |values: std::ops::Range<i64>| {
        let column = HostColumn::integers(8, values.map(Some)).key(&gpu);
        KeyColumns::new(&context, vec![column]).unwrap()
    };
    let table = |rows: i64| {
        let list = RowList::all(rows as u32);
        JoinTable::build(&context, JoinKeys::Hashed, false, keys(0..rows), list).unwrap()
    };
    // The same keys in a table of its own are other slots; a smaller table has fewer.
    let (mut probed, twin, smaller) = (table(100), table(100), table(3));
    let side = keys(0..100);
    let (rows, count) = (gpu.upload(&[5u32, 7, 50]), gpu.upload(&[3u32]));
    let (others, fewer) = (gpu.upload(&[5u32, 7, 50]), gpu.upload(&[2u32]));
    let list = RowList { rows: 3, selection: Some(&rows), count: Some(&count) };
    let options = ProbeOptions::default();
    let probe = probed.probe(&context, JoinSide { keys: &side, list }, options).unwrap();
    let pairs = |table, list| probe.retrieve(&context, table, list, 0, 10);
    assert!(pairs(&twin, list).is_err());
    assert!(pairs(&smaller, list).is_err());
    for other in [
        RowList { selection: Some(&others), ..list },
        RowList { selection: None, ..list },
        RowList { count: Some(&fewer), ..list },
        RowList { count: None, ..list },
        RowList { rows: 2, ..list },
    ] {
        assert!(pairs(&probed, other).is_err(), "{other:?}");
    }
    let found = pairs(&probed, list).unwrap();
    assert_eq!(found.count.read(&gpu.ring, &gpu.stream).unwrap(), [3]);
    assert_eq!(found.probe.read(&gpu.ring, &gpu.stream).unwrap()[..3], [5, 7, 50]);
    assert_eq!(found.build.read(&gpu.ring, &gpu.stream).unwrap()[..3], [5, 7, 50]);
}

/// A packed key holds a code, which means nothing without its dictionary.
#[test]
fn packed_codes_of_another_dictionary() {
    let Some(gpu) = gpu() else { return };
    let error = gpu.zeroed::<ErrorSlot>(1);
    let context = gpu.context(&error);
    let random = Random::new(61);
    let codes = |kind: usize| {
        let mut column = HostColumn::random(KINDS[kind], 40, 10, 0, &random);
        column.codes = true;
        column.key(&gpu)
    };
    let keys = |key: &KeyColumn| KeyColumns::new(&context, vec![key.clone()]).unwrap();
    let field = FieldRange { low: 0, high: 100, nullable: false };
    let packing = Packing::new(vec![field]).unwrap();
    let all = RowList::all(40);
    let options = ProbeOptions::default();
    let plain = HostColumn::random(KINDS[4], 40, 10, 0, &random).key(&gpu);
    let (first, second) = (codes(4), codes(4));
    for form in [JoinKeys::Packed(packing.clone()), JoinKeys::Direct(packing.clone())] {
        let build =
            |key: &KeyColumn| JoinTable::build(&context, form.clone(), false, keys(key), all);
        let mut table = build(&first).unwrap();
        let mut probe = |key: &KeyColumn| {
            let keys = keys(key);
            table.probe(&context, JoinSide { keys: &keys, list: all }, options).map(|_| ())
        };
        assert!(probe(&first).is_ok());
        assert!(probe(&second).is_err());
        assert!(probe(&plain).is_err());
        // Strings, 256 bits, and 16 bytes that are no signed number.
        for kind in [7, 12, 13] {
            let key = HostColumn::random(KINDS[kind], 40, 10, 0, &random).key(&gpu);
            assert!(build(&key).is_err(), "{}", KINDS[kind].0);
        }
        let decimal = HostColumn::integers(16, (0..40).map(Some)).key(&gpu);
        assert!(build(&KeyColumn { rule: KeyRule::Bits, ..decimal }).is_err());
    }
    // Values on the build side, codes of equal values on the probe side.
    let small = HostColumn::integers(8, (0..40).map(Some));
    let mut coded = small.clone();
    coded.codes = true;
    let field = FieldRange { low: 1 << 63, high: (1 << 63) + 39, nullable: false };
    let form = JoinKeys::Packed(Packing::new(vec![field]).unwrap());
    let mut table = JoinTable::build(&context, form, false, keys(&small.key(&gpu)), all).unwrap();
    let coded = keys(&coded.key(&gpu));
    assert!(table.probe(&context, JoinSide { keys: &coded, list: all }, options).is_err());
}
