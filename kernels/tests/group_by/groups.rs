//! Group ids: one id per distinct key, whatever the keys' types, and the keys back.

use std::collections::HashMap;

use staffa_cuda::DeviceSlice;
use staffa_kernels::abi::{ColumnKind, ErrorSlot, KeyRule};
use staffa_kernels::columns::RowList;
use staffa_kernels::group_by::{GroupKeys, GroupTable, GroupTableConfig};
use staffa_kernels::keys::{KeyColumns, hash};

use crate::columns::{HostColumn, KINDS, Value, download};
use crate::gpu::{Gpu, gpu};
use crate::random::Random;

/// A morsel: columns, and which rows.
pub(crate) struct Morsel {
    pub(crate) columns: Vec<HostColumn>,
    pub(crate) selection: Option<Vec<u32>>,
}

impl Morsel {
    pub(crate) fn all(columns: Vec<HostColumn>) -> Self {
        Self { columns, selection: None }
    }

    pub(crate) fn rows(&self) -> Vec<usize> {
        match &self.selection {
            Some(rows) => rows.iter().map(|row| *row as usize).collect(),
            None => (0..self.columns[0].rows.len()).collect(),
        }
    }

    pub(crate) fn key(&self, row: usize) -> Vec<Value> {
        self.columns.iter().map(|column| column.canonical(row)).collect()
    }

    pub(crate) fn keys(
        &self,
        gpu: &Gpu,
        error: &staffa_cuda::DeviceBuffer<ErrorSlot>,
    ) -> KeyColumns {
        let columns = self.columns.iter().map(|column| column.key(gpu)).collect();
        KeyColumns::new(&gpu.context(error), columns).unwrap()
    }
}

/// A selection in device memory, longer than its count says.
pub(crate) struct DeviceSelection {
    rows: DeviceSlice<u32>,
    count: DeviceSlice<u32>,
}

impl DeviceSelection {
    pub(crate) fn new(gpu: &Gpu, rows: &[u32]) -> Self {
        let mut longer = rows.to_vec();
        longer.extend([0xdead_beef; 40]);
        Self { rows: gpu.upload(&longer), count: gpu.upload(&[rows.len() as u32]) }
    }

    pub(crate) fn list(&self) -> RowList<'_> {
        RowList::selected(&self.rows, &self.count).unwrap()
    }
}

/// The ids of a morsel's rows.
pub(crate) fn assign(gpu: &Gpu, table: &mut GroupTable, morsel: &Morsel) -> DeviceSlice<u32> {
    let error = gpu.zeroed::<ErrorSlot>(1);
    let context = gpu.context(&error);
    let keys = morsel.keys(gpu, &error);
    match &morsel.selection {
        Some(rows) => {
            let selection = DeviceSelection::new(gpu, rows);
            table.assign(&context, &keys, selection.list()).unwrap()
        }
        None => table.assign(&context, &keys, RowList::all(keys.rows())).unwrap(),
    }
}

/// What the ids must be: a number per key, all keys' numbers dense.
#[derive(Default)]
pub(crate) struct Oracle {
    pub(crate) ids: HashMap<Vec<Value>, u32>,
}

impl Oracle {
    pub(crate) fn check(&mut self, gpu: &Gpu, morsel: &Morsel, ids: &DeviceSlice<u32>, what: &str) {
        let ids = ids.read(&gpu.ring, &gpu.stream).unwrap();
        for (position, row) in morsel.rows().into_iter().enumerate() {
            let key = morsel.key(row);
            let id = ids[position];
            let known = *self.ids.entry(key.clone()).or_insert(id);
            assert_eq!(known, id, "{what}: row {row}, {key:?}");
        }
    }

    /// The table's keys are the oracle's, each at its number.
    pub(crate) fn check_keys(&self, gpu: &Gpu, table: GroupTable, what: &str) {
        let error = gpu.zeroed::<ErrorSlot>(1);
        let state = table.state(&gpu.context(&error)).unwrap();
        assert_eq!(state.groups as usize, self.ids.len(), "{what}: {state:?}");
        assert_eq!((state.fresh, state.overflow), (0, 0), "{what}");
        let columns: Vec<Vec<Value>> =
            table.into_keys(state.groups).unwrap().iter().map(|c| download(gpu, c)).collect();
        let mut met = vec![false; self.ids.len()];
        for (key, id) in &self.ids {
            let found: Vec<Value> =
                columns.iter().map(|column| column[*id as usize].clone()).collect();
            assert_eq!(&found, key, "{what}: group {id}");
            assert!(!std::mem::replace(&mut met[*id as usize], true), "{what}: {id} twice");
        }
    }
}

/// Groups morsels and compares.
pub(crate) fn check(gpu: &Gpu, keys: GroupKeys, groups: u32, morsels: &[Morsel], what: &str) {
    let error = gpu.zeroed::<ErrorSlot>(1);
    let context = gpu.context(&error);
    let like = morsels[0].keys(gpu, &error);
    let config = GroupTableConfig::for_groups(groups);
    let mut table = GroupTable::new(&context, like.columns(), keys, config).unwrap();
    let mut oracle = Oracle::default();
    for morsel in morsels {
        let ids = assign(gpu, &mut table, morsel);
        let state = table.state(&context).unwrap();
        assert_eq!(state.overflow, 0, "{what}: {state:?}");
        oracle.check(gpu, morsel, &ids, what);
    }
    assert_eq!(table.state(&context).unwrap().commits as usize, morsels.len());
    oracle.check_keys(gpu, table, what);
}

#[test]
fn every_type_groups_by_value() {
    let Some(gpu) = gpu() else { return };
    let random = Random::new(1);
    for kind in KINDS {
        for (rows, nulls) in [(0, 0), (1, 0), (1, 1), (33, 4), (700, 0), (700, 9), (300, 1)] {
            for codes in [false, true] {
                let morsels: Vec<Morsel> = (0..2)
                    .map(|_| {
                        let mut column = HostColumn::random(kind, rows, 20, nulls, &random);
                        column.codes = codes;
                        Morsel::all(vec![column])
                    })
                    .collect();
                let what = format!("{} {rows} rows, nulls {nulls}, codes {codes}", kind.0);
                check(&gpu, GroupKeys::Hashed, 128, &morsels, &what);
            }
        }
    }
}

#[test]
fn several_columns_and_selections() {
    let Some(gpu) = gpu() else { return };
    let random = Random::new(2);
    for (number, set) in [[4, 13, 11], [10, 6, 0], [13, 12, 7]].into_iter().enumerate() {
        let morsels: Vec<Morsel> = (0..3)
            .map(|m| {
                let rows = 500 + 100 * m;
                let columns = set
                    .iter()
                    .map(|k| {
                        let mut c = HostColumn::random(KINDS[*k], rows, 2, 5, &random);
                        // Codes in one morsel, values in the next: the same groups.
                        c.codes = m == 1;
                        c
                    })
                    .collect();
                let selection = (m != 0)
                    .then(|| (0..rows as u32).filter(|_| random.one_in(2)).collect::<Vec<_>>());
                Morsel { columns, selection }
            })
            .collect();
        check(&gpu, GroupKeys::Hashed, 4000, &morsels, &format!("set {number}"));
    }
}

#[test]
fn hashes_agree_for_equal_keys_and_show_nulls() {
    let Some(gpu) = gpu() else { return };
    let random = Random::new(3);
    let error = gpu.zeroed::<ErrorSlot>(1);
    for kind in KINDS {
        let mut column = HostColumn::random(kind, 999, 50, 6, &random);
        let mut sides = Vec::new();
        for codes in [false, true] {
            column.codes = codes;
            let morsel = Morsel::all(vec![column.clone()]);
            let keys = morsel.keys(&gpu, &error);
            let found = hash(&gpu.context(&error), &keys, RowList::all(999)).unwrap();
            sides.push(found.hashes.read(&gpu.ring, &gpu.stream).unwrap());
            let bits = found.matchable.read(&gpu.ring, &gpu.stream).unwrap();
            for (row, value) in column.rows.iter().enumerate() {
                assert_eq!(bits[row / 32] >> (row % 32) & 1 != 0, value.is_some(), "{row}");
            }
        }
        assert_eq!(sides[0], sides[1], "{}: codes hash as their values", kind.0);
        let mut by_hash: HashMap<u64, Value> = HashMap::new();
        for (row, hash) in sides[0].iter().enumerate() {
            let value = column.canonical(row);
            // 64 bits: no collision among so few.
            assert_eq!(by_hash.entry(*hash).or_insert_with(|| value.clone()), &value);
        }
    }
}

/// NaNs by their bits, both zeros as one, as DataFusion's `GroupValues` do, and 0.0 comes out.
#[test]
fn floats_group_as_datafusions() {
    let Some(gpu) = gpu() else { return };
    let values = [0.0f64, -0.0, f64::NAN, -f64::NAN, f64::from_bits(0x7ff8_0000_0000_0001), 1.0];
    let rows = values.iter().cycle().take(120).map(|v| Some(v.to_le_bytes().to_vec())).collect();
    let column = HostColumn {
        kind: ColumnKind::Fixed,
        width: 8,
        rule: KeyRule::Float64,
        rows,
        codes: false,
    };
    let error = gpu.zeroed::<ErrorSlot>(1);
    let context = gpu.context(&error);
    let morsel = Morsel::all(vec![column]);
    let keys = morsel.keys(&gpu, &error);
    let config = GroupTableConfig::for_groups(16);
    let mut table = GroupTable::new(&context, keys.columns(), GroupKeys::Hashed, config).unwrap();
    assign(&gpu, &mut table, &morsel);
    let groups = table.state(&context).unwrap().groups;
    let mut found: Vec<u64> = download(&gpu, &table.into_keys(groups).unwrap()[0])
        .into_iter()
        .map(|v| u64::from_le_bytes(v.unwrap().try_into().unwrap()))
        .collect();
    found.sort_unstable();
    let mut expected: Vec<u64> =
        values.iter().map(|v| v.to_bits()).filter(|bits| *bits != 1 << 63).collect();
    expected.sort_unstable();
    assert_eq!(found, expected);
}
