//! The pieces: codes, columns in parts, bitmaps.

use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::{DataType, Int8Type};
use datafusion_common::NullEquality;

use super::super::columns::{BuildColumn, BuildColumns};
use super::super::keys::Coder;
use super::super::table::{Index, JoinTable, Prefilter, RowKeys, mix};
use super::super::visited::Visited;
use crate::CancelFlag;

fn encode(coder: &Coder, keys: &[ArrayRef]) -> Vec<Option<u64>> {
    let (mut codes, mut ok) = (Vec::new(), Vec::new());
    coder.encode(keys, &mut codes, &mut ok).unwrap();
    codes.into_iter().zip(ok).map(|(code, ok)| ok.then_some(code)).collect()
}

#[test]
fn codes_are_dense_and_injective() {
    let a: ArrayRef = Arc::new(Int64Array::from(vec![10, 12, 11]));
    let b: ArrayRef = Arc::new(Int8Array::from(vec![-1, 0, -1]));
    let coder = Coder::new(&[a, b], NullEquality::NullEqualsNothing).unwrap();
    assert_eq!(coder.last, 5);
    let a: ArrayRef = Arc::new(Int64Array::from(vec![
        Some(10),
        Some(12),
        Some(13),
        Some(i64::MIN),
        None,
        Some(11),
    ]));
    let b: ArrayRef = Arc::new(Int8Array::from(vec![-1, 0, 0, 0, 0, 1]));
    let codes = encode(&coder, &[a, b]);
    assert_eq!(codes, [Some(0), Some(5), None, None, None, None]);
}

#[test]
fn null_is_a_digit_where_it_matches() {
    let a: ArrayRef = Arc::new(Int32Array::from(vec![Some(4), None]));
    let coder = Coder::new(&[Arc::clone(&a)], NullEquality::NullEqualsNull).unwrap();
    assert_eq!(coder.last, 1);
    assert_eq!(encode(&coder, &[a]), [Some(1), Some(0)]);
    let nulls: ArrayRef = Arc::new(Int32Array::from(vec![None, None]));
    let coder = Coder::new(&[nulls], NullEquality::NullEqualsNull).unwrap();
    let probe: ArrayRef = Arc::new(Int32Array::from(vec![None, Some(0), Some(i32::MIN)]));
    assert_eq!(encode(&coder, &[probe]), [Some(0), None, None]);
}

#[test]
fn full_ranges_have_codes_alone_but_not_together() {
    let wide: ArrayRef = Arc::new(Int64Array::from(vec![i64::MIN, i64::MAX]));
    let coder = Coder::new(&[Arc::clone(&wide)], NullEquality::NullEqualsNothing).unwrap();
    assert_eq!(coder.last, u64::MAX);
    assert_eq!(encode(&coder, &[Arc::clone(&wide)]), [Some(0), Some(u64::MAX)]);
    let two: ArrayRef = Arc::new(Int64Array::from(vec![0, 1]));
    assert!(Coder::new(&[Arc::clone(&wide), two], NullEquality::NullEqualsNothing).is_none());
    let null: ArrayRef = Arc::new(Int64Array::from(vec![Some(i64::MIN), Some(i64::MAX), None]));
    assert!(Coder::new(&[null], NullEquality::NullEqualsNull).is_none());
}

#[test]
fn a_column_beyond_the_offsets_stays_in_parts() {
    let parts: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec![Some("aaaa"), None])),
        Arc::new(StringArray::from(vec!["bbbb", "ç"])),
    ];
    let column = BuildColumn::concat(parts, &DataType::Utf8, 6).unwrap();
    assert!(matches!(column, BuildColumn::Parts(_)));
    let id = BuildColumn::concat(
        vec![Arc::new(Int32Array::from(vec![0, 1, 2, 3]))],
        &DataType::Int32,
        6,
    )
    .unwrap();
    let columns = BuildColumns::new(vec![column, id], 4);
    let rows = Arc::new(UInt32Array::from(vec![Some(3), Some(0), None, Some(1), Some(2)]));
    let out = columns.select(&[1, 0], &rows).unwrap();
    let strings = out.column(1).unwrap();
    let strings: Vec<_> = strings.as_string::<i32>().iter().collect();
    assert_eq!(strings, [Some("ç"), Some("aaaa"), None, None, Some("bbbb")]);
    let ids = out.column(0).unwrap();
    assert_eq!(ids.null_count(), 1);
}

#[test]
fn dictionaries_that_do_not_fit_one_stay_in_parts() {
    let dictionary = |from: usize| -> ArrayRef {
        let values: Vec<String> = (from..from + 100).map(|i| i.to_string()).collect();
        let array: DictionaryArray<Int8Type> = values.iter().map(String::as_str).collect();
        Arc::new(array)
    };
    let data_type = dictionary(0).data_type().clone();
    let arrays = vec![dictionary(0), dictionary(100)];
    let column = BuildColumn::concat(arrays, &data_type, usize::MAX).unwrap();
    assert!(matches!(column, BuildColumn::Parts(_)));
}

#[test]
fn a_bitmap_collects_in_chunks() {
    let visited = Visited::new(200);
    for row in [0, 63, 64, 130, 199] {
        visited.set(row);
        assert!(visited.get(row));
    }
    let mut out = Vec::new();
    let next = visited.collect(0, true, 3, &mut out);
    assert_eq!(out, [0, 63, 64]);
    out.clear();
    assert_eq!(visited.collect(next, true, 3, &mut out), 200);
    assert_eq!(out, [130, 199]);
    out.clear();
    assert_eq!(visited.collect(0, false, 1000, &mut out), 200);
    assert_eq!(out.len(), 195);
}

#[test]
fn large_tables_have_a_filter_that_never_denies_a_key() {
    let cancel = CancelFlag::default();
    // The last codes lie in two heaps: words in their order would be full.
    let heaps = |i: u64| if i < 50_000 { i * 3 } else { u64::MAX / 2 + i * 3 };
    let codes: [(&str, &dyn Fn(u64) -> u64); 5] = [
        ("direct", &|i| i * 7),
        ("bits", &|i| i * 30),
        ("stretches", &|i| i * 104),
        ("stretches", &|i| i * 0x1_0000_0001),
        ("hashes", &heaps),
    ];
    for (kind, code) in codes {
        let keys: Vec<u64> = (0..100_000).map(code).collect();
        let last = keys[99_999];
        // A row that matches nothing may have any code.
        let mut matchable = vec![true; 100_001];
        matchable[100_000] = false;
        let all = keys.iter().copied().chain([u64::MAX]).collect();
        let rows = RowKeys { keys: all, matchable: Some(matchable) };
        let table = JoinTable::exact(&rows, last, &cancel).unwrap();
        assert_eq!(matches!(table.index, Index::Direct(_)), kind == "direct");
        let filter = table.filter.unwrap();
        let passes: Box<dyn Fn(u64) -> bool> = match &filter {
            Prefilter::Codes(words) => {
                assert!(["direct", "bits"].contains(&kind));
                Box::new(|code| words[code as usize / 64] >> (code % 64) & 1 == 1)
            }
            Prefilter::Stretches(stretches) => {
                assert_eq!(kind, "stretches");
                assert!(!stretches.may_have(u64::MAX));
                Box::new(|code| stretches.may_have(code))
            }
            Prefilter::Keys(bloom) => {
                assert_eq!(kind, "hashes");
                Box::new(|code| bloom.may_have(mix(code)))
            }
        };
        assert!(keys.iter().all(|&key| passes(key)), "{kind}");
        let wrong = keys[..99_999].iter().filter(|&&key| passes(key + 1));
        assert!(wrong.count() < 5_000, "{kind}");
    }
}
