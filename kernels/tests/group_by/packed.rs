//! Ranges and packed keys: direct tables, 64 and 128 bits, up to a million groups.

use staffa_kernels::abi::{ErrorSlot, KeyRange};
use staffa_kernels::columns::RowList;
use staffa_kernels::group_by::{GroupKeys, GroupTable, GroupTableConfig};
use staffa_kernels::keys::{FieldRange, KeyColumns, Packing, pack, range};

use crate::columns::{HostColumn, KINDS};
use crate::gpu::{Gpu, gpu};
use crate::groups::{Morsel, Oracle, assign, check};
use crate::random::Random;

/// The packing that fits all morsels, from ranges that the device found.
fn packing(gpu: &Gpu, morsels: &[Morsel]) -> Option<Packing> {
    let error = gpu.zeroed::<ErrorSlot>(1);
    let context = gpu.context(&error);
    let fields = (0..morsels[0].columns.len()).map(|column| {
        let mut whole: Option<FieldRange> = None;
        for morsel in morsels {
            let key = morsel.columns[column].key(gpu);
            let rows = morsel.columns[column].rows.len() as u32;
            let found = range(&context, &key, RowList::all(rows)).unwrap();
            let found: KeyRange = gpu.read(&found)[0];
            check_range(&morsel.columns[column], &found);
            let field = FieldRange::from_found(&found)?;
            whole = Some(whole.map_or(field, |w| w.with(field)));
        }
        whole
    });
    Packing::new(fields.collect::<Option<Vec<_>>>()?)
}

/// What the kernel found is the column's range.
fn check_range(column: &HostColumn, found: &KeyRange) {
    let signed = column.rule == staffa_kernels::abi::KeyRule::Signed;
    let mut expected = KeyRange { low: u64::MAX, ..KeyRange::default() };
    for row in 0..column.rows.len() {
        let Some(bytes) = column.canonical(row) else {
            expected.nulls = 1;
            continue;
        };
        let mut wide = [if signed && bytes.last().unwrap() >> 7 != 0 { 0xff } else { 0 }; 16];
        wide[..bytes.len()].copy_from_slice(&bytes);
        let value = i128::from_le_bytes(wide);
        let mapped = if signed { value.wrapping_add(1 << 63) } else { value };
        match u64::try_from(mapped) {
            Ok(mapped) => {
                expected.low = expected.low.min(mapped);
                expected.high = expected.high.max(mapped);
            }
            Err(_) => expected.wide = 1,
        }
    }
    assert_eq!(*found, expected);
}

#[test]
fn every_packable_type_packs_alone() {
    let Some(gpu) = gpu() else { return };
    let random = Random::new(11);
    for kind in KINDS.into_iter().filter(|k| k.0 != "decimal256" && k.2 != 11 && k.0 != "utf8") {
        for nulls in [0, 1, 7] {
            let morsels: Vec<Morsel> = (0..2)
                .map(|_| Morsel::all(vec![HostColumn::random(kind, 600, 40, nulls, &random)]))
                .collect();
            let what = format!("{} nulls {nulls}", kind.0);
            match packing(&gpu, &morsels) {
                // Random decimals do not fit 64 bits, unless all rows are NULL.
                None => assert!(kind.0 == "decimal128" && nulls != 1, "{what}"),
                Some(packing) => {
                    assert_eq!(packing.key_bytes() == 16, packing.keys() > 1 << 64, "{what}");
                    check(&gpu, GroupKeys::Packed(packing), 400, &morsels, &what);
                }
            }
        }
    }
}

fn composite(widths: &[u32], spread: i64, rows: usize, random: &Random) -> Morsel {
    let columns = widths.iter().map(|width| {
        let values = (0..rows).map(|_| {
            let v = random.below(spread as usize) as i64 - spread / 2;
            (!random.one_in(11)).then_some(v)
        });
        HostColumn::integers(*width, values.collect::<Vec<_>>())
    });
    Morsel::all(columns.collect())
}

#[test]
fn composite_keys_pack_to_every_form() {
    let Some(gpu) = gpu() else { return };
    let random = Random::new(12);
    // Spread, expected bytes of a key, whether the range is small enough to be slots.
    for (widths, spread, bytes, direct) in [
        (&[1u32, 2][..], 20, 8, true),
        (&[4, 8, 16][..], 1000, 8, false),
        (&[8, 8, 8][..], 1 << 40, 16, false),
        (&[16, 16][..], 1 << 60, 16, false),
    ] {
        let morsels: Vec<Morsel> =
            (0..2).map(|_| composite(widths, spread, 900, &random)).collect();
        let packing = packing(&gpu, &morsels).unwrap();
        assert_eq!(packing.key_bytes(), bytes, "{widths:?}");
        let what = format!("{widths:?} of {spread}");
        check(&gpu, GroupKeys::Packed(packing.clone()), 4096, &morsels, &what);
        if direct {
            check(&gpu, GroupKeys::Direct(packing), 4096, &morsels, &format!("direct {what}"));
        }
    }
    // 2^128 keys and more do not pack.
    let whole = FieldRange { low: 0, high: u64::MAX, nullable: false };
    assert!(Packing::new(vec![whole]).is_some_and(|p| p.key_bytes() == 8));
    assert!(Packing::new(vec![whole, FieldRange { nullable: true, ..whole }]).is_none());
}

/// Rows that do not fit are not matchable, and neither are NULLs where they differ.
#[test]
fn packing_says_which_rows_match() {
    let Some(gpu) = gpu() else { return };
    let error = gpu.zeroed::<ErrorSlot>(1);
    let context = gpu.context(&error);
    let values: Vec<Option<i64>> = (0..200).map(|v| (v % 7 != 0).then_some(v - 100)).collect();
    let key = HostColumn::integers(8, values.clone()).key(&gpu);
    let low = (-50i64 as u64) ^ 1 << 63;
    for (nullable, nulls_differ) in [(true, false), (true, true), (false, false)] {
        let field = FieldRange { low, high: low + 99, nullable };
        let packing = Packing::new(vec![field]).unwrap();
        let packed =
            pack(&context, &packing, std::slice::from_ref(&key), RowList::all(200), nulls_differ)
                .unwrap();
        let bits = packed.matchable.read(&gpu.ring, &gpu.stream).unwrap();
        let keys: Vec<u64> = packed.keys.cast().unwrap().read(&gpu.ring, &gpu.stream).unwrap();
        for (row, value) in values.iter().enumerate() {
            let fits = value.map_or(nullable, |v| (-50..50).contains(&v));
            let expected = match value {
                Some(v) if fits => (v + 50) as u64 + u64::from(nullable),
                _ => 0,
            };
            assert_eq!(keys[row], expected, "{row}");
            let matchable = bits[row / 32] >> (row % 32) & 1 != 0;
            assert_eq!(matchable, fits && !(value.is_none() && nulls_differ), "{row}");
        }
    }
}

/// Cardinalities from one group to as many as rows, through each kind of table.
#[test]
fn one_group_to_a_million() {
    let Some(gpu) = gpu() else { return };
    let sanitized = std::env::var("LD_PRELOAD").is_ok_and(|libraries| libraries.contains("san"));
    let most: usize = if sanitized { 1 << 14 } else { 1 << 20 };
    let random = Random::new(13);
    for groups in [1, 31, 1000, 4097, 1 << 14, most] {
        let rows = groups.clamp(5000, most);
        let values: Vec<Option<i64>> = (0..rows)
            .map(|row| Some(if groups == most { row } else { random.below(groups) } as i64 * 3))
            .collect();
        let morsel = Morsel::all(vec![HostColumn::integers(8, values)]);
        let what = format!("{groups} groups");
        let morsels = [morsel];
        let packing = packing(&gpu, &morsels).unwrap();
        check(&gpu, GroupKeys::Packed(packing.clone()), groups as u32, &morsels, &what);
        if groups <= 4097 {
            check(&gpu, GroupKeys::Hashed, groups as u32, &morsels, &what);
            check(&gpu, GroupKeys::Direct(packing), groups as u32, &morsels, &what);
        }
    }
}

/// A key outside of its range stops the table; another form goes on with the same groups.
#[test]
fn a_key_outside_of_its_range_counts_for_nothing() {
    let Some(gpu) = gpu() else { return };
    let error = gpu.zeroed::<ErrorSlot>(1);
    let context = gpu.context(&error);
    let random = Random::new(14);
    let first = composite(&[4, 2], 30, 400, &random);
    let second = composite(&[4, 2], 3000, 400, &random);
    let narrow = packing(&gpu, std::slice::from_ref(&first)).unwrap();
    let all = [first, second];
    let wide = packing(&gpu, &all).unwrap();
    for keys in [GroupKeys::Hashed, GroupKeys::Packed(wide.clone()), GroupKeys::Direct(wide)] {
        let columns: KeyColumns = all[0].keys(&gpu, &error);
        let config = GroupTableConfig::for_groups(1000);
        let start = GroupKeys::Direct(narrow.clone());
        let mut table = GroupTable::new(&context, columns.columns(), start, config).unwrap();
        let mut oracle = Oracle::default();
        let ids = assign(&gpu, &mut table, &all[0]);
        oracle.check(&gpu, &all[0], &ids, "first");
        assign(&gpu, &mut table, &all[1]);
        let state = table.state(&context).unwrap();
        assert_eq!((state.overflow, state.commits), (staffa_kernels::abi::KEY_OUTSIDE, 1));
        table.grow(&context, keys, config).unwrap();
        let ids = assign(&gpu, &mut table, &all[1]);
        oracle.check(&gpu, &all[1], &ids, "second");
        oracle.check_keys(&gpu, table, "second");
    }
}
