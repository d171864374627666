//! Joins in which one key has many rows on one side or on both, above scans on the device; whichever engine takes
//! the join.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};

use crate::common::{Both, has_gpu};

const ROWS: i64 = 6_000;

/// `hot`: every twelfth row has one key, which makes 250,000 pairs; the others have keys of their own, NULL or
/// one of few. `few`: each key 100 times. `word`: `hot` as a string.
fn table() -> RecordBatch {
    let hot = |row: i64| match row % 12 {
        0 => Some(7),
        1 => None,
        2 => Some(row % 50),
        _ => Some(100 + row),
    };
    let id: ArrayRef = Arc::new(Int64Array::from_iter_values(0..ROWS));
    let word = (0..ROWS).map(|row| hot(row).map(|key| format!("the key number {key}")));
    let word: ArrayRef = Arc::new(StringArray::from_iter(word));
    let few: ArrayRef = Arc::new(Int64Array::from_iter_values((0..ROWS).map(|row| row / 100)));
    let hot: ArrayRef = Arc::new(Int64Array::from_iter((0..ROWS).map(hot)));
    let columns = [("id", id), ("hot", hot), ("few", few), ("word", word)];
    RecordBatch::try_from_iter(columns).expect("a batch")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn skew_and_fan_out() {
    if !has_gpu() {
        return;
    }
    let both = Both::new(&table(), 1_500, 2).await;
    let counts = "count(*), sum(a.id), sum(b.id), count(b.id)";
    for sql in [
        format!("SELECT {counts} FROM t a JOIN t b ON a.hot = b.hot"),
        format!("SELECT {counts} FROM t a JOIN t b ON a.word = b.word AND a.id < b.id"),
        format!("SELECT {counts} FROM t a LEFT JOIN t b ON a.hot = b.hot AND b.id % 3 = 0"),
        format!("SELECT {counts} FROM t a FULL JOIN t b ON a.hot = b.hot AND a.few = b.few"),
        format!("SELECT {counts} FROM t a RIGHT JOIN t b ON a.few = b.few WHERE b.id > 5000"),
        format!("SELECT a.few, {counts} FROM t a JOIN t b ON a.few = b.few GROUP BY a.few"),
        "SELECT count(*), sum(id) FROM t WHERE hot IN (SELECT hot FROM t WHERE few = 3)".into(),
        "SELECT count(*), sum(id) FROM t a WHERE NOT EXISTS \
         (SELECT 1 FROM t b WHERE a.hot = b.hot AND a.id <> b.id)"
            .into(),
        "SELECT a.id, b.id FROM t a JOIN t b ON a.hot = b.few WHERE a.id % 7 = 0".into(),
    ] {
        let seen = both.equal(&sql).await;
        assert!(seen.of_name("morsels") > 0, "{sql}: {}", seen.plan);
        assert_eq!(seen.of_name("failed_morsels"), 0, "{sql}: {seen:?}");
    }
}
