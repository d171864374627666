//! Rows in the order of a key, or nearly: what of the runs is complete, and what meets other runs.

use super::super::apart::{Part, ends, sort_out};
use super::super::partition::Run;
use super::*;
use crate::CancelFlag;

/// A run of keys and one state, `unique` or not.
fn run_of(keys: Vec<i64>, unique: bool) -> Run {
    let keys: ArrayRef = Arc::new(Int64Array::from(keys));
    let ends = ends(&keys).unwrap();
    let mut run = Run::new(&[vec![Arc::clone(&keys), keys]], 1, 64).unwrap();
    (run.ends, run.unique) = (ends, unique);
    run
}

fn keys_of(columns: &[ArrayRef]) -> Vec<i64> {
    assert_eq!(&columns[0], &columns[1], "rows stay together");
    columns[0].as_primitive::<Int64Type>().values().to_vec()
}

#[test]
fn complete_groups_are_those_of_lone_runs() {
    let runs = [
        run_of((0..=1000).collect(), true),
        // Shares its ends with its neighbours.
        run_of((1000..=2000).rev().collect(), true),
        run_of((2000..3000).collect(), true),
        // Holds keys twice.
        run_of((4000..4100).chain(4000..4100).collect(), false),
        // These two overlap.
        run_of((5000..6000).collect(), true),
        run_of((5500..7000).collect(), true),
        run_of(vec![i64::MAX, i64::MIN + 1], true),
    ];
    let runs: Vec<&Run> = runs[..6].iter().collect();
    let parts = sort_out(&runs, Some(0), &CancelFlag::default()).unwrap().unwrap();
    let (mut complete, mut rest) = (Vec::new(), Vec::new());
    for (run, part) in parts.iter().enumerate() {
        assert_eq!(matches!(part, Part::Together), run > 2, "run {run}");
        if let Part::Complete(states, ends) = part {
            complete.extend(keys_of(states));
            rest.extend(ends.iter().flat_map(|ends| keys_of(ends)));
        }
    }
    complete.sort_unstable();
    let expected: Vec<i64> = (0..3000).filter(|key| ![1000, 2000].contains(key)).collect();
    assert_eq!(complete, expected);
    rest.sort_unstable();
    assert_eq!(rest, [1000, 1000, 2000, 2000]);
}

fn sorted_out(runs: &[&Run], ranged: Option<usize>) -> Option<Vec<Part>> {
    sort_out(runs, ranged, &CancelFlag::default()).unwrap()
}

#[test]
fn nothing_is_complete_where_ranges_are_unknown_or_overlap() {
    let wide = run_of(vec![i64::MAX, i64::MIN], true);
    let (low, high) = (run_of((0..100).collect(), true), run_of((100..200).collect(), true));
    assert!(sorted_out(&[&low, &high, &wide], Some(0)).is_none());
    assert!(sorted_out(&[&low, &high], None).is_none());
    let null: ArrayRef = Arc::new(Int64Array::from(vec![Some(7), None]));
    assert_eq!(ends(&null).unwrap(), None);
    let mut unknown = run_of(vec![700], true);
    unknown.ends = None;
    assert!(sorted_out(&[&low, &high, &unknown], Some(0)).is_none());
    assert!(sorted_out(&[&low, &high], Some(0)).is_some());
}

/// Lanes of rows whose keys come in an order that `key` tells of the row's number; three rows a key, which lie
/// on both sides of where a table is full.
fn lanes(rows: i64, lanes: i64, key: impl Fn(i64) -> Option<i64>) -> Vec<Vec<RecordBatch>> {
    let lane = |lane: i64| {
        let own = (rows / lanes * lane)..(rows / lanes * (lane + 1));
        let rows: Vec<i64> = own.collect();
        let batch = |rows: &[i64]| {
            let keys = rows.iter().map(|&row| key(row)).collect();
            batch(keys, rows.iter().map(|&row| (row % 5 != 0).then_some(row)).collect())
        };
        rows.chunks(8191).map(batch).collect()
    };
    (0..lanes).map(lane).collect()
}

#[tokio::test]
async fn rows_in_the_order_of_a_key() {
    const ROWS: i64 = 450_000;
    let orders: [&dyn Fn(i64) -> Option<i64>; 6] = [
        &|row| Some(row / 3),
        &|row| Some(-(row / 3) * 1000),
        // Nearly in order: neighbours' ranges overlap.
        &|row| Some(row / 3 + row * 7919 % 2003),
        // A far key, and a NULL.
        &|row| Some(if row % 150_000 == 70_000 { i64::MAX } else { row / 3 }),
        &|row| (row % 100_000 != 7).then_some(row / 3),
        // Each lane has all keys.
        &|row| Some(row % 75_000),
    ];
    for (at, order) in orders.iter().enumerate() {
        let input = lanes(ROWS, 3, order);
        for keys in [["k"].as_slice(), &["k", "s"]] {
            let got = run(&spec(by(keys), AggregateStage::Single), &input).await;
            let mut expected: BTreeMap<Option<i64>, Option<i64>> = BTreeMap::new();
            for row in 0..ROWS {
                let total = expected.entry(order(row)).or_default();
                *total =
                    (row % 5 != 0).then_some(row).map_or(*total, |v| Some(v + total.unwrap_or(0)));
            }
            let mut groups = BTreeMap::new();
            let mut count = 0;
            for batch in &got {
                let column = |at: usize| batch.column(at).as_primitive::<Int64Type>().iter();
                for (key, total) in column(0).zip(column(keys.len())) {
                    let sum: &mut Option<i64> = groups.entry(key).or_default();
                    *sum = total.map_or(*sum, |v| Some(v + sum.unwrap_or(0)));
                    count += 1;
                }
            }
            assert_eq!(groups, expected, "order {at} by {keys:?}");
            if keys.len() == 1 {
                assert_eq!(count, expected.len(), "order {at}: a key is there twice");
            }
        }
    }
}
