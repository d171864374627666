//! Dealing rows out against Arrow's kernels.

use arrow::array::{
    BinaryViewArray, BooleanArray, Decimal256Array, DictionaryArray, Int8Array, StringViewArray,
    UInt32Array, make_array,
};
use arrow::compute::{concat, take};
use arrow::datatypes::i256;
use datafusion_common::hash_utils::{RandomState, create_hashes};

use super::*;
use crate::cpu::aggregate::partition::Run;
use crate::cpu::aggregate::passed::{Passed, Pieces};

/// A piece of every kind of column, its key first.
fn piece(rows: usize, start: usize) -> Vec<ArrayRef> {
    let at = |row: usize| row + start;
    let rows = || 0..rows;
    let text = |row: usize| match at(row) % 5 {
        0 => None,
        1 => Some(String::new()),
        2 => Some(format!("kurz {}", row % 10)),
        _ => Some("länger als zwölf Bytes ⅔ ".repeat(at(row) % 7 + 1)),
    };
    let texts: Vec<Option<String>> = rows().map(text).collect();
    let bytes: Vec<Option<Vec<u8>>> =
        rows().map(|row| (row % 4 > 0).then(|| vec![0xFF; at(row) % 40])).collect();
    let decimals = rows().map(|row| (row % 3 > 0).then(|| i256::from_i128(at(row) as i128)));
    vec![
        Arc::new(Int64Array::from_iter(
            rows().map(|row| (at(row) % 11 > 0).then_some(at(row) as i64 % 700)),
        )),
        Arc::new(StringViewArray::from_iter(texts.iter())),
        Arc::new(BinaryViewArray::from_iter(bytes.iter().map(Option::as_deref))),
        Arc::new(BooleanArray::from_iter(rows().map(|row| (row % 7 > 0).then_some(row % 2 == 0)))),
        Arc::new(StringArray::from_iter(texts.iter())),
        Arc::new(decimals.collect::<Decimal256Array>()),
        Arc::new(Int64Array::from_iter_values(rows().map(|row| at(row) as i64))),
    ]
}

/// The same rows of `columns`, with something in front of and behind them.
fn sliced(columns: Vec<ArrayRef>, start: usize) -> Vec<ArrayRef> {
    let slice = |column: ArrayRef| {
        let other = make_array(column.to_data());
        let wide = concat(&[other.as_ref(), column.as_ref(), other.as_ref()]).unwrap();
        wide.slice(column.len() + start, column.len() - start)
    };
    columns.into_iter().map(slice).collect()
}

#[test]
fn partitions_hold_their_rows_in_order() {
    let pieces = vec![piece(3000, 0), piece(0, 5), sliced(piece(2000, 9000), 3), piece(1, 20_000)];
    let columns: Vec<ArrayRef> = (0..pieces[0].len())
        .map(|at| {
            let column: Vec<&dyn Array> = pieces.iter().map(|piece| piece[at].as_ref()).collect();
            concat(&column).unwrap()
        })
        .collect();
    let rows = columns[0].len();
    for partitions in [1, 64, 512] {
        let run = Run::new(&pieces, 1, partitions).unwrap();
        assert_eq!((run.rows(), run.partitions()), (rows, partitions));
        // A partition is a matter of the key alone: whatever the pieces, the same key goes to the same.
        let alone = Run::new(std::slice::from_ref(&columns), 1, partitions).unwrap();
        let mut seen = 0;
        for partition in 0..partitions {
            let part = run.slice(partition..partition + 1, partitions).unwrap();
            let other = alone.slice(partition..partition + 1, partitions).unwrap();
            assert_eq!(part, other);
            let Some((part, rows)) = part else { continue };
            seen += rows;
            // The last column says which row it was.
            let order = part[6].as_primitive::<Int64Type>().values();
            assert!(order.is_sorted_by(|a, b| places(&columns, *a) < places(&columns, *b)));
            let order = order.iter().map(|row| places(&columns, *row) as u32);
            let order = UInt32Array::from_iter_values(order);
            for (part, column) in part.iter().zip(&columns) {
                assert_eq!(part, &take(column, &order, None).unwrap());
                part.to_data().validate_full().unwrap();
            }
        }
        assert_eq!(seen, rows);
        let coarse: usize =
            (0..partitions.min(64)).map(|at| run.rows_in(at..at + 1, partitions.min(64))).sum();
        assert_eq!(coarse, rows);
    }
    assert_ne!(keys_per_partition(&pieces), 0);
}

/// Where the row with this number stands.
fn places(columns: &[ArrayRef], number: i64) -> usize {
    let numbers = columns[6].as_primitive::<Int64Type>().values();
    numbers.iter().position(|other| *other == number).unwrap()
}

/// Fewer and larger partitions are made up of the finer ones with the same top bits.
fn keys_per_partition(pieces: &[Vec<ArrayRef>]) -> usize {
    let (fine, coarse) = (Run::new(pieces, 1, 512).unwrap(), Run::new(pieces, 1, 64).unwrap());
    let keys = |run: &Run, at: usize, of: usize| {
        let Some((columns, _)) = run.slice(at..at + 1, of).unwrap() else { return Vec::new() };
        let mut hashes = vec![0; columns[0].len()];
        create_hashes(&columns[..1], &RandomState::with_seed(1), &mut hashes).unwrap();
        hashes.sort_unstable();
        hashes
    };
    let same = (0..64).map(|at| {
        assert_eq!(keys(&fine, at, 64), keys(&coarse, at, 64));
        keys(&fine, at, 64).len()
    });
    same.sum()
}

/// Together these have more entries than their keys can say, on which Arrow's concat panics.
#[test]
fn dictionaries_are_not_joined() {
    let piece = |piece: usize| -> Vec<ArrayRef> {
        let values = (0..50).map(|at| Some(format!("{piece}, {at}: not a short string")));
        let values = Arc::new(StringViewArray::from_iter(values));
        let keys = Int8Array::from_iter_values(0..50);
        vec![Arc::new(DictionaryArray::try_new(keys, values).unwrap())]
    };
    let mut pieces = Pieces::default();
    (0..4).for_each(|at| pieces.push(piece(at), 50));
    let taken = pieces.take();
    assert_eq!(taken.len(), 4);
    for ((columns, copied), at) in taken.into_iter().zip(0..) {
        assert_eq!((columns, copied), (piece(at), false));
    }
    (0..4).for_each(|_| pieces.push(vec![Arc::new(Int64Array::from(vec![7]))], 1));
    let seven: ArrayRef = Arc::new(Int64Array::from(vec![7; 4]));
    assert_eq!(pieces.take(), [(vec![seven], true)]);
    assert!(pieces.take().is_empty());
}

/// The bytes of strings are elsewhere, but they will be copied.
#[test]
fn long_strings_fill_a_run_by_their_bytes() {
    let text = "x".repeat(1 << 20);
    let strings: ArrayRef = Arc::new(StringViewArray::from_iter_values(vec![&text; 8]));
    let mut passed = Passed::default();
    for turn in 1..=4 {
        assert!(!passed.fill(64, 1000));
        passed.push(vec![Arc::clone(&strings)], 8);
        assert!(passed.bytes >= turn * (8 << 20));
    }
    assert!(passed.fill(64, 1000));
    assert_eq!((passed.take().len(), passed.bytes), (4, 0));
}
