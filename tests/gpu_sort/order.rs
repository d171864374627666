//! Several keys, ties, expressions, sizes, and what reads the order: windows, limits, partitions.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, StringArray, new_null_array};
use arrow::datatypes::DataType;

use crate::common::{BATCH_ROWS, Both, table};
use crate::shared::{has_gpu, run};

fn mixed(rows: i64) -> Vec<(&'static str, ArrayRef)> {
    let number = |of: i64| -> ArrayRef {
        let value = move |row: i64| (row % 11 != 3).then_some(row * 7_919 % of - of / 2);
        Arc::new(Int64Array::from_iter((0..rows).map(value)))
    };
    let word = (0..rows).map(|row| {
        let stem = "https://example.org/one/and/the/same/path/";
        (row % 13 != 5).then(|| format!("{stem}{}", row * 31 % 17))
    });
    let words: ArrayRef = Arc::new(StringArray::from_iter(word));
    vec![("a", number(5)), ("b", number(40)), ("c", number(1 << 40)), ("w", words)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_keys() {
    if !has_gpu() {
        return;
    }
    let both = Both::new(&table(&mixed(700)), 2);
    for (sql, keys) in [
        ("SELECT a, b, id FROM t ORDER BY a DESC NULLS LAST, b, id", 3),
        ("SELECT w, a, id FROM t ORDER BY w, a DESC, id DESC", 3),
        ("SELECT a, w, b, c, id FROM t ORDER BY a, w DESC NULLS LAST, b, c, id", 5),
        ("SELECT a + b, abs(c), id FROM t ORDER BY a + b, abs(c) DESC, id", 3),
        // Ties in all keys: any order of the others is right.
        ("SELECT a, b, c FROM t ORDER BY a", 1),
        ("SELECT w, id FROM t ORDER BY w DESC NULLS FIRST", 1),
    ] {
        let seen = both.on_the_device(sql, keys).await;
        assert_eq!(seen.of_name("sorted_rows"), 700, "{sql}: {seen:?}");
    }
}

/// Rows of equal keys keep the order in which they came, where there is one lane.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ties_stay_in_their_order() {
    if !has_gpu() {
        return;
    }
    let both = Both::new(&table(&mixed(500)), 1);
    for (sql, by) in
        [("SELECT a, id FROM t ORDER BY a", "a"), ("SELECT w, id FROM t ORDER BY w", "w")]
    {
        both.on_the_device(sql, 1).await;
        let batches = run(&both.ours, sql).await.answer.batches;
        let rows =
            arrow::compute::concat_batches(&batches[0].schema(), &batches).expect("one batch");
        let ids = rows.column(1).as_any().downcast_ref::<Int64Array>().expect("numbers");
        let key = |row: usize| rows.column(0).slice(row, 1).to_data();
        let mut ties = 0;
        for row in 1..rows.num_rows() {
            if key(row - 1) == key(row) {
                ties += 1;
                assert!(ids.value(row - 1) < ids.value(row), "{by}: row {row}");
            }
        }
        assert!(ties > 400, "{by}: {ties}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn few_rows_and_no_values() {
    if !has_gpu() {
        return;
    }
    let sql = "SELECT a, w, id FROM t ORDER BY a DESC, w, id";
    for rows in [1, 2, BATCH_ROWS as i64, BATCH_ROWS as i64 + 1] {
        both_of(&mixed(rows), sql, rows as usize).await;
    }
    let nulls = |of: &DataType| new_null_array(of, 90);
    let columns = [("a", nulls(&DataType::Int32)), ("w", nulls(&DataType::Utf8))];
    both_of(&columns, sql, 90).await;
    // Of nothing the device is not asked.
    let none = Both::new(&table(&mixed(0)), 2);
    let seen = none.equal(sql, 3).await;
    assert_eq!((seen.of_name("sorts"), seen.of_name("refused_sorts")), (0, 0), "{seen:?}");
}

async fn both_of(columns: &[(&str, ArrayRef)], sql: &str, rows: usize) {
    let seen = Both::new(&table(columns), 2).on_the_device(sql, 3).await;
    assert_eq!(seen.of_name("sorted_rows"), rows, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_reads_the_order() {
    if !has_gpu() {
        return;
    }
    let both = Both::new(&table(&mixed(400)), 2);
    for (sql, keys) in [
        ("SELECT id, rank() OVER (PARTITION BY a ORDER BY b DESC) FROM t ORDER BY id", 2),
        ("SELECT id, sum(b) OVER (ORDER BY c, id) FROM t ORDER BY id", 2),
        ("SELECT id, c FROM (SELECT id, c FROM t ORDER BY c, id LIMIT 90) ORDER BY id DESC", 2),
        ("SELECT c, id FROM t ORDER BY c, id OFFSET 30", 2),
        ("SELECT a, count(*), max(w) FROM t GROUP BY a ORDER BY count(*) DESC, a", 3),
    ] {
        both.on_the_device(sql, keys).await;
    }
    // A sort of which nobody sees the order is not done at all.
    let seen = both.equal("SELECT count(*) FROM (SELECT * FROM t ORDER BY c)", 1).await;
    assert_eq!((seen.sorts_on_gpu, seen.of_name("sorts")), (0, 0), "{seen:?}");
}
