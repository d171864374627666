//! Joins by every type of key, in every form, unique and with fan-out.

use staffa_kernels::abi::ErrorSlot;
use staffa_kernels::columns::RowList;
use staffa_kernels::join::{JoinKeys, JoinSide, JoinTable, ProbeOptions};
use staffa_kernels::keys::{FieldRange, KeyColumns, Packing};

use crate::case::{Join, Side, check, packing};
use crate::columns::{HostColumn, KINDS};
use crate::gpu::gpu;
use crate::random::Random;

fn some_rows(rows: usize, random: &Random) -> Option<Vec<u32>> {
    random.one_in(2).then(|| (0..rows as u32).filter(|_| random.below(3) != 0).collect())
}

#[test]
fn every_type_joins_by_value() {
    let Some(gpu) = gpu() else { return };
    let random = Random::new(51);
    for kind in KINDS {
        for (build, probe, nulls) in [(0, 50, 0), (1, 1, 0), (40, 0, 3), (200, 300, 5), (30, 40, 1)]
        {
            for nulls_equal in [false, true] {
                let side = |rows, codes| {
                    let mut column = HostColumn::random(kind, rows, 60, nulls, &random);
                    column.codes = codes;
                    Side { columns: vec![column], selection: some_rows(rows, &random) }
                };
                let build = side(build, random.one_in(2));
                let probes = [side(probe, true), side(probe, false)];
                let join = Join { build: &build, probes: &probes, nulls_equal, chunk: 700 };
                let what = format!(
                    "{} {build:?} rows, nulls {nulls} equal {nulls_equal}",
                    kind.0,
                    build = build.rows().len()
                );
                check(&gpu, JoinKeys::Hashed, &join, &what);
            }
        }
    }
}

fn integers(widths: &[u32], spread: usize, rows: usize, nulls: usize, random: &Random) -> Side {
    let columns = widths.iter().map(|width| {
        let values: Vec<Option<i64>> = (0..rows)
            .map(|_| {
                let null = nulls != 0 && random.one_in(nulls);
                (!null).then(|| random.below(spread) as i64 - spread as i64 / 2)
            })
            .collect();
        HostColumn::integers(*width, values)
    });
    Side { columns: columns.collect(), selection: some_rows(rows, random) }
}

#[test]
fn packed_and_direct_keys() {
    let Some(gpu) = gpu() else { return };
    let random = Random::new(52);
    for (widths, spread, direct) in [
        (&[4u32][..], 50, true),
        (&[2, 1], 12, true),
        (&[8, 4], 400, false),
        (&[16, 16, 8], 6, false),
    ] {
        for nulls in [0, 6] {
            for nulls_equal in [false, true] {
                let build = integers(widths, spread, 300, nulls, &random);
                // Wider than the build side's ranges, with and without NULLs.
                let probes = [
                    integers(widths, 2 * spread, 500, 0, &random),
                    integers(widths, spread, 2100, 4, &random),
                ];
                let join = Join { build: &build, probes: &probes, nulls_equal, chunk: 1024 };
                let packing = packing(&gpu, &build).unwrap();
                let what = format!("{widths:?} nulls {nulls} equal {nulls_equal}");
                check(&gpu, JoinKeys::Packed(packing.clone()), &join, &what);
                if direct {
                    check(&gpu, JoinKeys::Direct(packing), &join, &format!("direct {what}"));
                }
            }
        }
    }
    // 128 bits, with ranges far wider than the rows.
    let build = integers(&[8, 8, 8], 1 << 40, 200, 0, &random);
    let again = Side { columns: build.columns.clone(), selection: None };
    let packing = packing(&gpu, &build).unwrap();
    assert_eq!(packing.key_bytes(), 16);
    let join = Join { build: &build, probes: &[again], nulls_equal: false, chunk: 64 };
    check(&gpu, JoinKeys::Packed(packing), &join, "128 bits");
}

/// One key 50,000 times, and a chunk that ends in the middle of its matches.
#[test]
fn fan_out_and_skew() {
    let Some(gpu) = gpu() else { return };
    let sanitized = std::env::var("LD_PRELOAD").is_ok_and(|libraries| libraries.contains("san"));
    let hot = if sanitized { 3000 } else { 50_000 };
    let build: Vec<Option<i64>> =
        (0..hot + 500).map(|row| Some(if row < hot { 7 } else { row })).collect();
    let build = Side { columns: vec![HostColumn::integers(8, build)], selection: None };
    let probe = (0..400).map(|row| Some(if row % 150 == 3 { 7 } else { hot + 2 * row }));
    let probes = [Side { columns: vec![HostColumn::integers(8, probe)], selection: None }];
    let join = Join { build: &build, probes: &probes, nulls_equal: false, chunk: 33_333 };
    check(&gpu, JoinKeys::Hashed, &join, "hashed");
    let packing = packing(&gpu, &build).unwrap();
    check(&gpu, JoinKeys::Packed(packing.clone()), &join, "packed");
    check(&gpu, JoinKeys::Direct(packing), &join, "direct");
}

#[test]
fn unique_keys_and_many_rows() {
    let Some(gpu) = gpu() else { return };
    let sanitized = std::env::var("LD_PRELOAD").is_ok_and(|libraries| libraries.contains("san"));
    let rows: i64 = if sanitized { 5000 } else { 200_000 };
    let side = |factor: i64| Side {
        columns: vec![HostColumn::integers(8, (0..rows).map(|row| Some(row * factor)))],
        selection: None,
    };
    let (build, probes) = (side(2), [side(3)]);
    let join = Join { build: &build, probes: &probes, nulls_equal: true, chunk: 1 << 20 };
    let packing = packing(&gpu, &build).unwrap();
    check(&gpu, JoinKeys::Packed(packing), &join, "unique");
}

#[test]
fn launchers_refuse_what_does_not_fit() {
    let Some(gpu) = gpu() else { return };
    let error = gpu.zeroed::<ErrorSlot>(1);
    let context = gpu.context(&error);
    let keys = |width, values: std::ops::Range<i64>| {
        let column = HostColumn::integers(width, values.map(Some)).key(&gpu);
        KeyColumns::new(&context, vec![column]).unwrap()
    };
    let field = FieldRange { low: 1 << 63, high: (1 << 63) + 9, nullable: false };
    let packing = Packing::new(vec![field]).unwrap();
    let build = |form, keys, rows| {
        JoinTable::build(&context, form, false, keys, RowList::all(rows)).map(|_| ())
    };
    // In its range, and not: a build row must not be lost.
    assert!(build(JoinKeys::Direct(packing.clone()), keys(8, 0..10), 10).is_ok());
    assert!(build(JoinKeys::Direct(packing.clone()), keys(8, 0..11), 11).is_err());
    assert!(build(JoinKeys::Packed(packing.clone()), keys(8, -1..5), 6).is_err());
    // More rows than there are, another number of columns, a range that is no table.
    assert!(build(JoinKeys::Hashed, keys(8, 0..5), 6).is_err());
    let two = Packing::new(vec![field, field]).unwrap();
    assert!(build(JoinKeys::Packed(two), keys(8, 0..5), 5).is_err());
    let whole = FieldRange { low: 0, high: u64::MAX, nullable: false };
    let whole = Packing::new(vec![whole]).unwrap();
    assert!(build(JoinKeys::Direct(whole), keys(8, 0..5), 5).is_err());
    // Probes of other types or rows.
    let mut table = JoinTable::build(
        &context,
        JoinKeys::Packed(packing),
        false,
        keys(8, 0..10),
        RowList::all(10),
    )
    .unwrap();
    let other = keys(4, 0..10);
    let same = keys(8, 0..10);
    let options = ProbeOptions::default();
    let side = |keys, rows| JoinSide { keys, list: RowList::all(rows) };
    assert!(table.probe(&context, side(&other, 10), options).is_err());
    assert!(table.probe(&context, side(&same, 11), options).is_err());
    let probe = table.probe(&context, side(&same, 10), options).unwrap();
    assert!(probe.retrieve(&context, &table, RowList::all(9), 0, 10).is_err());
    // Behind the last output there is nothing.
    let pairs = probe.retrieve(&context, &table, RowList::all(10), 10, 10).unwrap();
    assert_eq!(pairs.count.read(&gpu.ring, &gpu.stream).unwrap(), [0]);
}
