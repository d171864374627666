//! Aggregates by group id against sums, minima and bits computed on the host.

use staffa_cuda::DeviceSlice;
use staffa_kernels::abi::{ColumnKind, ErrorSlot, KeyRule, NONE};
use staffa_kernels::columns::RowList;
use staffa_kernels::group_by::{
    Accumulator, Function, GroupKeys, GroupTable, GroupTableConfig, Input, ValueType,
};

use crate::columns::{HostColumn, KINDS, Value, download};
use crate::gpu::{Gpu, gpu};
use crate::groups::{DeviceSelection, Morsel};
use crate::random::Random;

/// Rows with made-up groups: aggregates only look at the ids.
pub(crate) struct Case {
    pub(crate) groups: u32,
    pub(crate) ids: Vec<u32>,
    pub(crate) value: HostColumn,
    pub(crate) filter: Option<HostColumn>,
    pub(crate) selection: Option<Vec<u32>>,
}

impl Case {
    /// `hot`: one row in so many is not of group 0.
    pub(crate) fn new(value: HostColumn, groups: u32, hot: usize, random: &Random) -> Self {
        let rows = value.rows.len();
        let ids = (0..rows)
            .map(|_| match random.below(40) {
                0 => NONE,
                _ if hot > 1 && !random.one_in(hot) => 0,
                _ => random.below(groups as usize) as u32,
            })
            .collect();
        let bools = ("bool", ColumnKind::Bits, 0, KeyRule::Bits);
        let filter = random.one_in(2).then(|| HostColumn::random(bools, rows, 0, 5, random));
        let selection = random
            .one_in(2)
            .then(|| (0..rows as u32).filter(|_| random.below(3) != 0).collect::<Vec<u32>>());
        Self { groups, ids, value, filter, selection }
    }

    /// Values that count, by group.
    pub(crate) fn values(&self) -> Vec<Vec<Vec<u8>>> {
        let mut out = vec![Vec::new(); self.groups as usize];
        let rows: Vec<usize> = match &self.selection {
            Some(rows) => rows.iter().map(|r| *r as usize).collect(),
            None => (0..self.value.rows.len()).collect(),
        };
        for (position, row) in rows.into_iter().enumerate() {
            let counts = |f: &HostColumn| f.rows[row].as_ref().is_some_and(|v| v[0] != 0);
            let id = self.ids[position];
            if let Some(value) = &self.value.rows[row]
                && id != NONE
                && self.filter.as_ref().is_none_or(counts)
            {
                out[id as usize].push(value.clone());
            }
        }
        out
    }
}

/// Runs the case twice through one accumulator, as two morsels with the same rows, and once through each of two, whose
/// groups are then merged in the opposite order.
fn run(
    gpu: &Gpu,
    case: &Case,
    function: Function,
    value: ValueType,
    width: u32,
) -> (Vec<Value>, bool) {
    let error = gpu.zeroed::<ErrorSlot>(1);
    let context = gpu.context(&error);
    let any = Morsel::all(vec![HostColumn::integers(8, [Some(1)])]);
    let like = any.keys(gpu, &error);
    let table = GroupTable::new(
        &context,
        like.columns(),
        GroupKeys::Hashed,
        GroupTableConfig::for_groups(case.groups.max(1)),
    )
    .unwrap();
    let groups = case.groups.max(1);
    let new = || Accumulator::new(&context, function, value, case.value.width, groups).unwrap();
    let (mut state, mut halves, mut merged) = (new(), [new(), new()], new());
    let column = case.value.upload(gpu);
    let filter = case.filter.as_ref().map(|f| f.upload(gpu));
    let ids: DeviceSlice<u32> = gpu.upload(&case.ids);
    let selection = case.selection.as_ref().map(|rows| DeviceSelection::new(gpu, rows));
    for half in &mut halves {
        let list = match &selection {
            Some(selection) => {
                let list = selection.list();
                // The ids are as many as the rows; so may the positions be.
                RowList { rows: list.rows.min(case.ids.len() as u32), ..list }
            }
            None => RowList::all(case.value.rows.len() as u32),
        };
        let input = Input { list, ids: &ids, value: Some(&column), filter: filter.as_ref() };
        state.update(&context, &table, input).unwrap();
        half.update(&context, &table, input).unwrap();
    }
    let opposite: Vec<u32> = (0..case.groups).rev().collect();
    let ids: DeviceSlice<u32> = gpu.upload(&opposite);
    for half in halves {
        let results = half.finish(&context, case.groups, width).unwrap();
        merged.merge(&context, &table, &ids, &results).unwrap();
    }
    let nan = state.met_nan(&context).unwrap();
    assert_eq!(merged.met_nan(&context).unwrap(), nan, "{function:?} of {value:?}");
    let found = download(gpu, &state.finish(&context, case.groups, width).unwrap());
    let mut merged = download(gpu, &merged.finish(&context, case.groups, width).unwrap());
    merged.reverse();
    // Least and greatest zeros are those that came first.
    let zeros = value == ValueType::Float && function != Function::Sum;
    assert!(zeros || merged == found, "{function:?} of {value:?}, {width} bytes, merged");
    (found, nan)
}

/// Addition of little-endian integers, modulo their width.
fn add(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut carry = 0;
    a.iter()
        .zip(b)
        .map(|(x, y)| {
            let sum = u16::from(*x) + u16::from(*y) + carry;
            carry = sum >> 8;
            sum as u8
        })
        .collect()
}

/// Two's complement of any width, as bytes that order as the numbers do.
fn ordered(bytes: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = bytes.iter().rev().copied().collect();
    out[0] ^= 0x80;
    out
}

fn twice<T: Clone>(values: &[T]) -> Vec<T> {
    [values, values].concat()
}

pub(crate) const SHAPES: [(usize, u32, usize); 6] =
    [(0, 3, 1), (1, 1, 1), (500, 3, 1), (5000, 1025, 1), (5000, 3000, 20), (3000, 600, 1000)];

#[test]
fn counts_and_wrapping_sums() {
    let Some(gpu) = gpu() else { return };
    let random = Random::new(41);
    for kind in KINDS.into_iter().filter(|k| k.1 == ColumnKind::Fixed && !k.0.starts_with('f')) {
        let signed = kind.3 == KeyRule::Signed;
        let value = if signed { ValueType::Signed } else { ValueType::Unsigned };
        for (n, (rows, groups, hot)) in SHAPES.into_iter().enumerate() {
            let mut column = HostColumn::random(kind, rows, 50, [0, 4, 1, 9][n % 4], &random);
            column.codes = n % 2 == 1;
            let case = Case::new(column, groups, hot, &random);
            let out = kind.2.max(8);
            let (sums, _) = run(&gpu, &case, Function::Sum, value, out);
            let (counts, _) = run(&gpu, &case, Function::Count, value, 8);
            for (group, values) in case.values().iter().enumerate() {
                let values = twice(values);
                let expected = values
                    .iter()
                    .map(|v| {
                        let fill = if signed && v.last().unwrap() >> 7 != 0 { 0xff } else { 0 };
                        let mut wide = v.clone();
                        wide.resize(out as usize, fill);
                        wide
                    })
                    .reduce(|a, b| add(&a, &b));
                assert_eq!(sums[group], expected, "{} group {group} of {groups}", kind.0);
                let count = Some((values.len() as u64).to_le_bytes().to_vec());
                assert_eq!(counts[group], count, "{} group {group} of {groups}", kind.0);
            }
        }
    }
}

#[test]
fn least_and_greatest() {
    let Some(gpu) = gpu() else { return };
    let random = Random::new(42);
    for kind in KINDS.into_iter().filter(|k| k.1 != ColumnKind::Bytes && !k.0.starts_with('f')) {
        let value = match (kind.1, kind.3) {
            (ColumnKind::Bits, _) => ValueType::Boolean,
            (ColumnKind::Spans, _) => ValueType::Bytes,
            (_, KeyRule::Signed) => ValueType::Signed,
            _ => ValueType::Unsigned,
        };
        for (n, (rows, groups, hot)) in SHAPES.into_iter().enumerate() {
            let mut column = HostColumn::random(kind, rows, 50, [0, 4, 1, 9][n % 4], &random);
            column.codes = n % 2 == 1 && value != ValueType::Boolean;
            let case = Case::new(column, groups, hot, &random);
            let order = |v: &Vec<u8>| match value {
                ValueType::Signed => ordered(v),
                ValueType::Unsigned => v.iter().rev().copied().collect(),
                _ => v.clone(),
            };
            let (least, _) = run(&gpu, &case, Function::Min, value, kind.2);
            let (greatest, _) = run(&gpu, &case, Function::Max, value, kind.2);
            for (group, values) in case.values().iter().enumerate() {
                let what = format!("{} group {group} of {groups}", kind.0);
                assert_eq!(least[group], values.iter().min_by_key(|v| order(v)).cloned(), "{what}");
                let most = values.iter().max_by_key(|v| order(v)).cloned();
                assert_eq!(greatest[group], most, "{what}");
            }
        }
    }
}

#[test]
fn bits_and_booleans() {
    let Some(gpu) = gpu() else { return };
    let random = Random::new(43);
    for kind in [KINDS[0], KINDS[2], KINDS[5], KINDS[11]] {
        let value = if kind.1 == ColumnKind::Bits { ValueType::Boolean } else { ValueType::Signed };
        for (rows, groups, hot) in SHAPES {
            let column = HostColumn::random(kind, rows, 50, 4, &random);
            let case = Case::new(column, groups, hot, &random);
            let mut functions = vec![
                (Function::And, (|a, b| a & b) as fn(u8, u8) -> u8),
                (Function::Or, |a, b| a | b),
            ];
            if value != ValueType::Boolean {
                functions.push((Function::Xor, |a, b| a ^ b));
            }
            for (function, both) in functions {
                let (found, _) = run(&gpu, &case, function, value, kind.2);
                for (group, values) in case.values().iter().enumerate() {
                    let expected = twice(values)
                        .into_iter()
                        .reduce(|a, b| a.iter().zip(&b).map(|(x, y)| both(*x, *y)).collect());
                    assert_eq!(found[group], expected, "{function:?} {} {group}", kind.0);
                }
            }
        }
    }
}

/// Sums whose value does not depend on the order, and DataFusion's rules for the least and greatest.
#[test]
fn floats() {
    let Some(gpu) = gpu() else { return };
    let random = Random::new(44);
    for (kind, max) in [(KINDS[9], f64::from(f32::MAX)), (KINDS[10], f64::MAX)] {
        let bytes = |v: f64| match kind.2 {
            4 => (v as f32).to_le_bytes().to_vec(),
            _ => v.to_le_bytes().to_vec(),
        };
        for (rows, groups, hot) in SHAPES {
            let rows = (0..rows)
                .map(|_| {
                    (!random.one_in(9)).then(|| match random.below(30) {
                        0 => bytes(-0.0),
                        1 => bytes(0.0),
                        n => bytes(f64::from(n as u32) * 0.25 - 3.0),
                    })
                })
                .collect();
            let column =
                HostColumn { kind: kind.1, width: kind.2, rule: kind.3, rows, codes: false };
            let case = Case::new(column, groups, hot, &random);
            let number = |v: &Vec<u8>| match kind.2 {
                4 => f64::from(f32::from_le_bytes(v[..].try_into().unwrap())),
                _ => f64::from_le_bytes(v[..].try_into().unwrap()),
            };
            let (sums, _) = run(&gpu, &case, Function::Sum, ValueType::Float, 8);
            let (least, nan) = run(&gpu, &case, Function::Min, ValueType::Float, kind.2);
            let (greatest, _) = run(&gpu, &case, Function::Max, ValueType::Float, kind.2);
            assert!(!nan);
            for (group, values) in case.values().iter().enumerate() {
                let numbers: Vec<f64> = twice(values).iter().map(number).collect();
                // Zero first: the sum of nothing but -0.0 is 0.0, as DataFusion's.
                let sum = (!numbers.is_empty())
                    .then(|| (0.0 + numbers.iter().sum::<f64>()).to_le_bytes().to_vec());
                assert_eq!(sums[group], sum, "sum {group}");
                // == does not tell zeros apart, nor does DataFusion.
                let min = numbers.iter().copied().reduce(f64::min);
                assert_eq!(least[group].as_ref().map(number), min, "min {group}");
                let max = numbers.iter().copied().reduce(f64::max);
                assert_eq!(greatest[group].as_ref().map(number), max, "max {group}");
            }
        }
        // Infinities are not below the type's MAX, where DataFusion's minimum starts; a NaN is reported.
        let column = |values: &[f64]| HostColumn {
            kind: kind.1,
            width: kind.2,
            rule: kind.3,
            rows: values.iter().map(|v| Some(bytes(*v))).collect(),
            codes: false,
        };
        let case = |values: &[f64]| Case {
            groups: 1,
            ids: vec![0; values.len()],
            value: column(values),
            filter: None,
            selection: None,
        };
        let inf = case(&[f64::INFINITY]);
        let (least, nan) = run(&gpu, &inf, Function::Min, ValueType::Float, kind.2);
        assert_eq!((least, nan), (vec![Some(bytes(max))], false));
        let inf = case(&[f64::NEG_INFINITY]);
        let (greatest, _) = run(&gpu, &inf, Function::Max, ValueType::Float, kind.2);
        assert_eq!(greatest, vec![Some(bytes(-max))]);
        for function in [Function::Min, Function::Max] {
            let (found, nan) =
                run(&gpu, &case(&[1.0, f64::NAN, 2.0]), function, ValueType::Float, kind.2);
            let value = found[0].clone().unwrap();
            let is_nan = match kind.2 {
                4 => f32::from_le_bytes(value[..].try_into().unwrap()).is_nan(),
                _ => f64::from_le_bytes(value[..].try_into().unwrap()).is_nan(),
            };
            assert!(nan && is_nan, "{function:?}");
        }
    }
}
