//! Rows by columns of every type, in every direction.

use std::cmp::Ordering;

use staffa_cuda::DeviceSlice;
use staffa_kernels::abi::{ColumnKind, ErrorSlot, KeyRule, ValueOrder};
use staffa_kernels::columns::RowList;
use staffa_kernels::sort::{SortColumn, sort_rows};

use crate::columns::{HostColumn, KINDS};
use crate::gpu::{Gpu, gpu};
use crate::random::Random;

/// A column of a sort on the host.
pub(crate) struct By {
    pub(crate) host: HostColumn,
    pub(crate) descending: bool,
    pub(crate) nulls_first: bool,
}

impl By {
    pub(crate) fn new(host: HostColumn, random: &Random) -> Self {
        Self { host, descending: random.one_in(2), nulls_first: random.one_in(2) }
    }

    fn order(&self) -> ValueOrder {
        match (self.host.kind, self.host.rule) {
            (ColumnKind::Spans | ColumnKind::Bytes, _) => ValueOrder::Bytes,
            (_, KeyRule::Signed) => ValueOrder::Signed,
            (_, KeyRule::Bits) => ValueOrder::Unsigned,
            _ => ValueOrder::Float,
        }
    }

    pub(crate) fn upload(&self, gpu: &Gpu) -> SortColumn {
        SortColumn {
            column: self.host.upload(gpu),
            order: self.order(),
            descending: self.descending,
            nulls_first: self.nulls_first,
        }
    }

    fn compare(&self, a: usize, b: usize) -> Ordering {
        let nulls = if self.nulls_first { Ordering::Less } else { Ordering::Greater };
        let (x, y) = match (&self.host.rows[a], &self.host.rows[b]) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return nulls,
            (Some(_), None) => return nulls.reverse(),
            (Some(x), Some(y)) => (x, y),
        };
        let found = match self.order() {
            ValueOrder::Bytes => x.cmp(y),
            ValueOrder::Unsigned => x.iter().rev().cmp(y.iter().rev()),
            ValueOrder::Signed => signed(x).cmp(&signed(y)),
            ValueOrder::Float => float(x).total_cmp(&float(y)),
        };
        if self.descending { found.reverse() } else { found }
    }
}

/// The upper half with its sign, then the rest, highest first.
fn signed(bytes: &[u8]) -> (i8, Vec<u8>) {
    let mut high_first: Vec<u8> = bytes.iter().rev().copied().collect();
    let top = high_first.remove(0);
    (top as i8, high_first)
}

/// A double with the same place in the total order: the bits moved up, so that NaNs keep their payloads.
fn float(bytes: &[u8]) -> f64 {
    let mut bits = [0; 8];
    bits[8 - bytes.len()..].copy_from_slice(bytes);
    f64::from_bits(u64::from_le_bytes(bits))
}

/// The rows as they should come.
pub(crate) fn expected(by: &[By], rows: &[u32]) -> Vec<u32> {
    let mut rows = rows.to_vec();
    rows.sort_by(|a, b| {
        by.iter()
            .map(|column| column.compare(*a as usize, *b as usize))
            .find(|found| found.is_ne())
            .unwrap_or(Ordering::Equal)
    });
    rows
}

/// All rows, or some with a selection that is longer than its count.
pub(crate) struct Rows {
    pub(crate) rows: Vec<u32>,
    all: u32,
    selection: Option<(DeviceSlice<u32>, DeviceSlice<u32>)>,
}

impl Rows {
    pub(crate) fn new(gpu: &Gpu, all: usize, some: bool, random: &Random) -> Self {
        let rows: Vec<u32> = (0..all as u32).filter(|_| !some || random.below(4) != 0).collect();
        let selection = some.then(|| {
            let mut longer = rows.clone();
            longer.extend([0xdead_beef; 45]);
            (gpu.upload(&longer), gpu.upload(&[rows.len() as u32]))
        });
        Self { rows, all: all as u32, selection }
    }

    pub(crate) fn list(&self) -> RowList<'_> {
        match &self.selection {
            Some((rows, count)) => RowList::selected(rows, count).unwrap(),
            None => RowList::all(self.all),
        }
    }
}

pub(crate) fn check(gpu: &Gpu, by: &[By], random: &Random, what: &str) {
    let error = gpu.zeroed::<ErrorSlot>(1);
    let context = gpu.context(&error);
    let columns: Vec<SortColumn> = by.iter().map(|by| by.upload(gpu)).collect();
    for some in [false, true] {
        let rows = Rows::new(gpu, by[0].host.rows.len(), some, random);
        let found = sort_rows(&context, &columns, rows.list()).unwrap();
        let found = found.read(&gpu.ring, &gpu.stream).unwrap();
        let expected = expected(by, &rows.rows);
        assert_eq!(found[..expected.len()], expected, "{what}, some {some}");
    }
}

#[test]
fn every_type_alone() {
    let Some(gpu) = gpu() else { return };
    let random = Random::new(91);
    for kind in KINDS {
        for (rows, nulls) in [(0, 0), (1, 1), (500, 0), (2600, 6)] {
            for (descending, nulls_first) in
                [(false, false), (false, true), (true, false), (true, true)]
            {
                if crate::sanitized() && !random.one_in(4) {
                    continue;
                }
                let mut host = HostColumn::random(kind, rows, 200, nulls, &random);
                host.codes = kind.1 != ColumnKind::Bits && random.one_in(2);
                let by = By { host, descending, nulls_first };
                let what = format!("{} {rows} rows, {descending} {nulls_first}", kind.0);
                check(&gpu, &[by], &random, &what);
            }
        }
    }
}

/// Keys of one number, of several, with units of wide values and strings at any place.
#[test]
fn several_columns() {
    let Some(gpu) = gpu() else { return };
    let random = Random::new(92);
    let column = |kind: usize, distinct, nulls| {
        HostColumn::random(KINDS[kind], 1500, distinct, nulls, &random)
    };
    for kinds in [
        &[11usize, 0][..],
        &[0, 1, 8],
        &[2, 9, 11, 11],
        &[4, 5],
        &[4, 5, 0],
        &[6, 2],
        &[7, 7],
        &[12, 0],
        &[13, 13],
        &[0, 13, 2, 13, 6],
        &[11, 6, 13, 10],
        &[11, 11, 4, 4, 4, 4, 0],
    ] {
        for nulls in [0, 3] {
            // Few values, so that rows tie.
            let by: Vec<By> =
                kinds.iter().map(|kind| By::new(column(*kind, 1, nulls), &random)).collect();
            check(&gpu, &by, &random, &format!("{kinds:?} nulls {nulls}"));
        }
    }
}

/// Rows that agree keep the list's order, through every round.
#[test]
fn ties_are_stable() {
    let Some(gpu) = gpu() else { return };
    let random = Random::new(93);
    let same = |width, value| HostColumn::integers(width, (0..3000).map(|_| Some(value)));
    let text = |text: &str| HostColumn {
        kind: ColumnKind::Spans,
        width: 16,
        rule: KeyRule::Bits,
        rows: (0..3000).map(|_| Some(text.as_bytes().to_vec())).collect(),
        codes: false,
    };
    let by = [same(16, 7), same(8, -1), text("as long as it takes to be cut"), same(16, 1)]
        .map(|host| By::new(host, &random));
    check(&gpu, &by, &random, "one key");
    assert_eq!(expected(&by, &[5, 3, 4]), [5, 3, 4]);
}
