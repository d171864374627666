//! Rows by partition: stable, complete, from one partition to 65,536, and what is refused.

use staffa_cuda::DeviceSlice;
use staffa_kernels::abi::{ErrorSlot, HashRule};
use staffa_kernels::columns::RowList;
use staffa_kernels::partition::{
    HashColumn, MOST_PARTITIONS, Partitions, StringBytes, hashes, partition,
};

use crate::columns::{HostColumn, KINDS};
use crate::gpu::{Gpu, gpu};
use crate::random::Random;

fn number(gpu: &Gpu, values: impl IntoIterator<Item = Option<i64>>) -> HashColumn {
    let column = HostColumn::integers(8, values).upload(gpu);
    HashColumn { column, rule: HashRule::Number, dictionary: false }
}

fn read(gpu: &Gpu, values: &DeviceSlice<u32>) -> Vec<u32> {
    values.read(&gpu.ring, &gpu.stream).unwrap()
}

/// The rows of each partition are the list's, in its order.
fn check(gpu: &Gpu, parts: &Partitions, hashes: &[u64], rows: &[u32], what: &str) {
    let n = parts.count();
    let mut expected: Vec<Vec<u32>> = vec![Vec::new(); n as usize];
    for (hash, row) in hashes.iter().zip(rows) {
        expected[(hash % u64::from(n)) as usize].push(*row);
    }
    let (order, offsets) = (read(gpu, parts.order()), read(gpu, parts.offsets()));
    assert_eq!(offsets.len(), n as usize + 1, "{what}");
    assert_eq!((offsets[0], offsets[n as usize]), (0, rows.len() as u32), "{what}");
    for (p, expected) in expected.iter().enumerate() {
        let (from, to) = (offsets[p] as usize, offsets[p + 1] as usize);
        assert_eq!(&order[from..to], expected, "{what}: partition {p}");
    }
}

#[test]
fn any_number_of_partitions() {
    let Some(gpu) = gpu() else { return };
    let error = gpu.zeroed::<ErrorSlot>(1);
    let context = gpu.context(&error);
    let random = Random::new(71);
    for rows in [0, 1, 33, 2047, 2048, 2049, 9000] {
        let values: Vec<_> = (0..rows).map(|_| Some(random.below(4000) as i64)).collect();
        let columns = [number(&gpu, values)];
        let all: Vec<u32> = (0..rows).collect();
        let some: Vec<u32> = all.iter().copied().filter(|_| random.below(3) != 0).collect();
        let mut longer = some.clone();
        longer.extend([0xdead_beef; 50]);
        let (selection, count) = (gpu.upload(&longer), gpu.upload(&[some.len() as u32]));
        let selected = RowList::selected(&selection, &count).unwrap();
        for (list, rows) in [(RowList::all(rows), &all), (selected, &some)] {
            let hashes = hashes(&context, &columns, list).unwrap();
            let hashes = hashes.read(&gpu.ring, &gpu.stream).unwrap();
            for n in [1, 2, 3, 10, 255, 256, 257, 1000, 4096, 65_535, MOST_PARTITIONS] {
                let parts = partition(&context, &columns, list, n).unwrap();
                let what = format!("{} rows, {n} partitions", rows.len());
                check(&gpu, &parts, &hashes, rows, &what);
            }
        }
    }
}

/// All rows in one partition, and all but one partition empty.
#[test]
fn one_key_and_null_keys() {
    let Some(gpu) = gpu() else { return };
    let error = gpu.zeroed::<ErrorSlot>(1);
    let context = gpu.context(&error);
    let list = RowList::all(5000);
    for value in [None, Some(42)] {
        let columns = [number(&gpu, (0..5000).map(|_| value))];
        let hashes = hashes(&context, &columns, list).unwrap();
        let hashes = hashes.read(&gpu.ring, &gpu.stream).unwrap();
        // A row of NULLs only has hash 0.
        assert_eq!(value.is_none(), hashes[0] == 0);
        for n in [1, 16, 300] {
            let parts = partition(&context, &columns, list, n).unwrap();
            check(&gpu, &parts, &hashes, &(0..5000).collect::<Vec<_>>(), &format!("{n}"));
        }
    }
}

#[test]
fn launchers_refuse_what_does_not_fit() {
    let Some(gpu) = gpu() else { return };
    let error = gpu.zeroed::<ErrorSlot>(1);
    let context = gpu.context(&error);
    let random = Random::new(72);
    let columns = [number(&gpu, (0..40).map(Some))];
    let all = RowList::all(40);
    let fails = |columns: &[HashColumn], list, n| partition(&context, columns, list, n).is_err();
    assert!(!fails(&columns, all, 10));
    assert!(fails(&columns, all, 0));
    assert!(fails(&columns, all, MOST_PARTITIONS + 1));
    assert!(fails(&[], all, 10));
    assert!(fails(&columns, RowList::all(41), 10));
    // Rules of other kinds.
    for kind in KINDS {
        let column = HostColumn::random(kind, 40, 5, 3, &random).upload(&gpu);
        let with = |rule| [HashColumn { column: column.clone(), rule, dictionary: false }];
        let rules = [
            (HashRule::Number, kind.1 as u8 == 1),
            (HashRule::Float, kind.1 as u8 == 1 && matches!(kind.2, 2 | 4 | 8)),
            (HashRule::Boolean, kind.0 == "bool"),
            (HashRule::String, kind.0 == "utf8"),
            (HashRule::View, kind.0 == "utf8"),
            (HashRule::Binary, matches!(kind.0, "utf8" | "fixed binary")),
        ];
        for (rule, fits) in rules {
            assert_eq!(!fails(&with(rule), all, 3), fits, "{} as {rule:?}", kind.0);
        }
    }
    // Columns of another list, with fewer rows, or not in their buffers.
    let rows = gpu.upload(&(0..40).collect::<Vec<u32>>());
    let count = gpu.upload(&[40u32]);
    let other = RowList::selected(&rows, &count).unwrap();
    let parts = partition(&context, &columns, all, 10).unwrap();
    let source = [columns[0].column.clone()];
    let moves =
        |list, source: &[_]| parts.columns(&context, list, source, StringBytes::Shared).map(|_| ());
    assert!(moves(all, &source).is_ok());
    assert!(moves(other, &source).is_err());
    assert!(moves(RowList::all(39), &source).is_err());
    let mut longer = source.clone();
    longer[0].descriptor.rows = 5000;
    assert!(moves(all, &longer).is_err());
    assert!(moves(all, &[HostColumn::integers(8, (0..39).map(Some)).upload(&gpu)]).is_err());
}
