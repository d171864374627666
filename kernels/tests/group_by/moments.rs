//! Counts, means and sums of squared deviations against two passes over the values on the host.

use staffa_cuda::DeviceSlice;
use staffa_kernels::abi::ErrorSlot;
use staffa_kernels::columns::RowList;
use staffa_kernels::group_by::{GroupKeys, GroupTable, GroupTableConfig, Input, Moments};

use crate::aggregates::{Case, SHAPES};
use crate::columns::{HostColumn, KINDS, download};
use crate::gpu::{Gpu, gpu};
use crate::groups::{DeviceSelection, Morsel};
use crate::random::Random;

const DOUBLES: usize = 10;

fn table(gpu: &Gpu, groups: u32) -> GroupTable {
    let error = gpu.zeroed::<ErrorSlot>(1);
    let context = gpu.context(&error);
    let any = Morsel::all(vec![HostColumn::integers(8, [Some(1)])]);
    let like = any.keys(gpu, &error);
    let config = GroupTableConfig::for_groups(groups);
    GroupTable::new(&context, like.columns(), GroupKeys::Hashed, config).unwrap()
}

/// Adds a case's rows to moments.
fn add(gpu: &Gpu, table: &GroupTable, moments: &mut Moments, case: &Case) {
    let error = gpu.zeroed::<ErrorSlot>(1);
    let context = gpu.context(&error);
    let column = case.value.upload(gpu);
    let filter = case.filter.as_ref().map(|f| f.upload(gpu));
    let ids: DeviceSlice<u32> = gpu.upload(&case.ids);
    let selection = case.selection.as_ref().map(|rows| DeviceSelection::new(gpu, rows));
    let list = match &selection {
        Some(selection) => {
            let list = selection.list();
            RowList { rows: list.rows.min(case.ids.len() as u32), ..list }
        }
        None => RowList::all(case.value.rows.len() as u32),
    };
    let input = Input { list, ids: &ids, value: Some(&column), filter: filter.as_ref() };
    moments.update(&context, table, input).unwrap();
}

/// Count, mean and sum of squared deviations of each group.
fn found(gpu: &Gpu, moments: Moments, groups: u32) -> Vec<(u64, f64, f64)> {
    let columns = moments.finish(groups).unwrap().map(|column| download(gpu, &column));
    let bytes = |column: usize, group: usize| -> [u8; 8] {
        columns[column][group].as_ref().expect("no NULLs")[..].try_into().unwrap()
    };
    let double = |column, group| f64::from_le_bytes(bytes(column, group));
    let of = |group| (u64::from_le_bytes(bytes(0, group)), double(1, group), double(2, group));
    (0..groups as usize).map(of).collect()
}

fn expected(values: &[f64]) -> (u64, f64, f64) {
    if values.is_empty() {
        return (0, 0.0, 0.0);
    }
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let deviations = values.iter().map(|value| (value - mean) * (value - mean)).sum();
    (values.len() as u64, mean, deviations)
}

fn assert_near(found: (u64, f64, f64), expected: (u64, f64, f64), what: &str) {
    assert_eq!(found.0, expected.0, "{what}: {found:?}, not {expected:?}");
    let near = |a: f64, b: f64, scale: f64| {
        (a.is_nan() && b.is_nan()) || a == b || (a - b).abs() <= 1e-11 * scale
    };
    assert!(near(found.1, expected.1, expected.1.abs()), "{what}: {found:?}, not {expected:?}");
    // A deviation is as exact as the mean is.
    let scale = expected.2.abs() + expected.1.abs();
    assert!(near(found.2, expected.2, scale), "{what}: {found:?}, not {expected:?}");
}

/// Doubles that lie close together, far from zero.
fn column(rows: usize, codes: bool, random: &Random) -> HostColumn {
    let (_, kind, width, rule) = KINDS[DOUBLES];
    let value = |_| {
        (!random.one_in(9)).then(|| {
            let value = 1e7 + random.below(4_000) as f64 * 0.125;
            value.to_le_bytes().to_vec()
        })
    };
    HostColumn { kind, width, rule, rows: (0..rows).map(value).collect(), codes }
}

#[test]
fn two_morsels_and_merged_tables() {
    let Some(gpu) = gpu() else { return };
    let error = gpu.zeroed::<ErrorSlot>(1);
    let context = gpu.context(&error);
    let random = Random::new(61);
    for (n, (rows, groups, hot)) in SHAPES.into_iter().enumerate() {
        let table = table(&gpu, groups);
        let new = || Moments::new(&context, groups).unwrap();
        let (mut all, mut merged) = (new(), new());
        let opposite: DeviceSlice<u32> = gpu.upload(&(0..groups).rev().collect::<Vec<_>>());
        let mut values = vec![Vec::new(); groups as usize];
        for morsel in 0..2 {
            let column = column(rows, (n + morsel) % 2 == 1, &random);
            let case = Case::new(column, groups, hot, &random);
            add(&gpu, &table, &mut all, &case);
            let mut half = new();
            add(&gpu, &table, &mut half, &case);
            let half = half.finish(groups).unwrap();
            merged.merge(&context, &table, &opposite, &half).unwrap();
            for (group, more) in case.values().iter().enumerate() {
                let number = |value: &Vec<u8>| f64::from_le_bytes(value[..].try_into().unwrap());
                values[group].extend(more.iter().map(number));
            }
        }
        let all = found(&gpu, all, groups);
        let mut merged = found(&gpu, merged, groups);
        merged.reverse();
        for (group, values) in values.iter().enumerate() {
            let what = format!("group {group} of {groups}, {rows} rows");
            assert_near(all[group], expected(values), &what);
            assert_near(merged[group], expected(values), &format!("{what}, merged"));
        }
    }
}

#[test]
fn moments_grow_and_keep_what_is_not_finite() {
    let Some(gpu) = gpu() else { return };
    let error = gpu.zeroed::<ErrorSlot>(1);
    let context = gpu.context(&error);
    let (_, kind, width, rule) = KINDS[DOUBLES];
    let case = |values: &[f64], ids: &[u32]| Case {
        groups: 5,
        ids: ids.to_vec(),
        value: HostColumn {
            kind,
            width,
            rule,
            rows: values.iter().map(|value| Some(value.to_le_bytes().to_vec())).collect(),
            codes: false,
        },
        filter: None,
        selection: None,
    };
    let table = table(&gpu, 5);
    let mut moments = Moments::new(&context, 5).unwrap();
    let infinity = f64::INFINITY;
    let first = case(&[1.0, 3.0, f64::NAN, infinity, -0.0], &[0, 0, 1, 2, 3]);
    add(&gpu, &table, &mut moments, &first);
    moments.grow(&context, 70_000).unwrap();
    assert!(moments.grow(&context, 3).is_err());
    add(&gpu, &table, &mut moments, &case(&[8.0, 5.0, 0.0], &[0, 1, 2]));
    let found = found(&gpu, moments, 70_000);
    assert_eq!(found[0], (3, 4.0, 26.0));
    assert!(found[1].0 == 2 && found[1].1.is_nan() && found[1].2.is_nan());
    assert!(found[2].0 == 2 && found[2].1 == infinity && found[2].2.is_nan());
    assert_eq!(found[3], (1, 0.0, 0.0));
    assert!(found[4..].iter().all(|moments| *moments == (0, 0.0, 0.0)));
}
