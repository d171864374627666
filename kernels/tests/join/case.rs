//! A join whose pairs the host knows.

use std::collections::HashMap;

use staffa_cuda::DeviceSlice;
use staffa_kernels::abi::{ErrorSlot, KeyRange, NONE};
use staffa_kernels::columns::RowList;
use staffa_kernels::join::{JoinKeys, JoinSide, JoinTable, ProbeOptions};
use staffa_kernels::keys::{FieldRange, KeyColumns, Packing, range};

use crate::columns::{HostColumn, Value};
use crate::gpu::Gpu;

/// One side: columns, and which rows.
pub(crate) struct Side {
    pub(crate) columns: Vec<HostColumn>,
    pub(crate) selection: Option<Vec<u32>>,
}

impl Side {
    pub(crate) fn rows(&self) -> Vec<u32> {
        let all = || (0..self.columns[0].rows.len() as u32).collect();
        self.selection.clone().unwrap_or_else(all)
    }

    fn key(&self, row: u32) -> Vec<Value> {
        self.columns.iter().map(|column| column.canonical(row as usize)).collect()
    }

    fn upload(&self, gpu: &Gpu) -> KeyColumns {
        let error = gpu.zeroed::<ErrorSlot>(1);
        let columns = self.columns.iter().map(|column| column.key(gpu)).collect();
        KeyColumns::new(&gpu.context(&error), columns).unwrap()
    }
}

/// A side's list in device memory, its selection longer than the count says.
struct Rows {
    rows: u32,
    selection: Option<(DeviceSlice<u32>, DeviceSlice<u32>)>,
}

impl Rows {
    fn new(gpu: &Gpu, side: &Side) -> Self {
        let selection = side.selection.as_ref().map(|rows| {
            let mut longer = rows.clone();
            longer.extend([0xdead_beef; 70]);
            (gpu.upload(&longer), gpu.upload(&[rows.len() as u32]))
        });
        Self { rows: side.columns[0].rows.len() as u32, selection }
    }

    fn list(&self) -> RowList<'_> {
        match &self.selection {
            Some((rows, count)) => RowList::selected(rows, count).unwrap(),
            None => RowList::all(self.rows),
        }
    }
}

/// What a join is checked with.
pub(crate) struct Join<'a> {
    pub(crate) build: &'a Side,
    /// Probed one after the other.
    pub(crate) probes: &'a [Side],
    pub(crate) nulls_equal: bool,
    /// Outputs retrieved at a time.
    pub(crate) chunk: u32,
}

/// The packing of the build side's ranges, if it packs.
pub(crate) fn packing(gpu: &Gpu, build: &Side) -> Option<Packing> {
    let error = gpu.zeroed::<ErrorSlot>(1);
    let context = gpu.context(&error);
    let fields = build.columns.iter().map(|column| {
        let rows = RowList::all(column.rows.len() as u32);
        let found: KeyRange = gpu.read(&range(&context, &column.key(gpu), rows).ok()?)[0];
        FieldRange::from_found(&found)
    });
    Packing::new(fields.collect::<Option<Vec<_>>>()?)
}

fn bits(gpu: &Gpu, words: &DeviceSlice<u32>, rows: usize) -> Vec<bool> {
    let words = words.read(&gpu.ring, &gpu.stream).unwrap();
    (0..rows).map(|row| words[row / 32] >> (row % 32) & 1 != 0).collect()
}

/// Runs the join and compares pairs, matched rows of both sides, and outer rows.
pub(crate) fn check(gpu: &Gpu, form: JoinKeys, join: &Join<'_>, what: &str) {
    let error = gpu.zeroed::<ErrorSlot>(1);
    let context = gpu.context(&error);
    let mut by_key: HashMap<Vec<Value>, Vec<u32>> = HashMap::new();
    let may_match = |key: &[Value]| join.nulls_equal || key.iter().all(Option::is_some);
    for row in join.build.rows() {
        let key = join.build.key(row);
        if may_match(&key) {
            by_key.entry(key).or_default().push(row);
        }
    }
    let build_rows = Rows::new(gpu, join.build);
    let keys = join.build.upload(gpu);
    let list = build_rows.list();
    let mut table = JoinTable::build(&context, form, join.nulls_equal, keys, list).unwrap();
    assert_eq!(table.unique(), by_key.values().all(|rows| rows.len() == 1), "{what}");
    let mut met: Vec<u32> = Vec::new();
    for (n, side) in join.probes.iter().enumerate() {
        let keys = side.upload(gpu);
        let rows = Rows::new(gpu, side);
        let list = rows.list();
        let probe_side = JoinSide { keys: &keys, list };
        for outer in [false, true] {
            let mut expected = Vec::new();
            let mut expected_matches = Vec::new();
            for row in side.rows() {
                let key = side.key(row);
                let found = by_key.get(&key).filter(|_| may_match(&key));
                expected_matches.push(found.is_some());
                expected.extend(found.into_iter().flatten().map(|build| (row, *build)));
                if outer && found.is_none() {
                    expected.push((row, NONE));
                }
                // Only the outer probe marks, so that its bits are seen to come from it.
                met.extend(found.filter(|_| outer).into_iter().flatten());
            }
            let options = ProbeOptions { outer, mark: outer, matches_only: false };
            let probe = table.probe(&context, probe_side, options).unwrap();
            let positions = expected_matches.len();
            assert_eq!(bits(gpu, probe.matches(), positions), expected_matches, "{what} {n}");
            let offsets = probe.offsets().unwrap().read(&gpu.ring, &gpu.stream).unwrap();
            assert_eq!(offsets[positions], expected.len() as u64, "{what} {n} outer {outer}");
            let mut found = Vec::new();
            loop {
                let first = found.len() as u64;
                let pairs = probe.retrieve(&context, &table, list, first, join.chunk).unwrap();
                let count = pairs.count.read(&gpu.ring, &gpu.stream).unwrap()[0] as usize;
                let build = pairs.build.read(&gpu.ring, &gpu.stream).unwrap();
                let rows = pairs.probe.read(&gpu.ring, &gpu.stream).unwrap();
                found.extend(rows.into_iter().zip(build).take(count));
                if count < join.chunk as usize {
                    break;
                }
            }
            // Probe rows come in order; the build rows of one may come in any.
            assert!(found.windows(2).all(|w| position(side, w[0].0) <= position(side, w[1].0)));
            found.sort_unstable();
            expected.sort_unstable();
            assert_eq!(found, expected, "{what} {n} outer {outer}");
        }
    }
    let options = ProbeOptions { matches_only: true, ..ProbeOptions::default() };
    if let Some(side) = join.probes.first() {
        let (keys, rows) = (side.upload(gpu), Rows::new(gpu, side));
        let probe =
            table.probe(&context, JoinSide { keys: &keys, list: rows.list() }, options).unwrap();
        assert!(probe.retrieve(&context, &table, rows.list(), 0, 5).is_err());
    }
    met.sort_unstable();
    let rows = join.build.rows();
    let matched = table.matched_rows(&context).unwrap();
    for (row, bit) in rows.iter().zip(bits(gpu, &matched, rows.len())) {
        assert_eq!(bit, met.binary_search(row).is_ok(), "{what}: build row {row}");
    }
}

fn position(side: &Side, row: u32) -> usize {
    // Selections of these tests ascend.
    side.selection.as_ref().map_or(row as usize, |rows| rows.binary_search(&row).unwrap())
}
