//! Every kind of join, with and without a condition on the pairs.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};

use crate::common::{Both, has_gpu, table};

/// Two tables with keys that match several times, once and never, and NULLs among them.
async fn both(partitions: usize) -> Both {
    let numbers = |values: Vec<Option<i64>>| -> ArrayRef { Arc::new(Int64Array::from(values)) };
    let key = |rows: i64, of: i64, step: i64| {
        (0..rows).map(|row| (row % 13 != 5).then_some(row * step % of)).collect::<Vec<_>>()
    };
    let words = |rows: i64| -> ArrayRef {
        Arc::new(StringArray::from_iter_values((0..rows).map(|row| format!("w{}", row % 9))))
    };
    let small = table(&[
        ("k", numbers(key(300, 90, 1))),
        ("a", numbers((0..300).map(Some).collect())),
        ("s", words(300)),
    ]);
    let large = table(&[
        ("k", numbers(key(5_000, 140, 3))),
        ("b", numbers((0..5_000).map(Some).collect())),
        ("t", words(5_000)),
    ]);
    let both = Both::new(&[("small", small), ("large", large)], 2_000, partitions).await;
    both.set(&["SET datafusion.optimizer.join_reordering = false"]).await;
    both
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind() {
    if !has_gpu() {
        return;
    }
    for partitions in [1, 3] {
        let both = both(partitions).await;
        for sql in [
            "SELECT s, a, b, t FROM small s JOIN large l ON s.k = l.k",
            "SELECT s, a, b, t FROM small s RIGHT JOIN large l ON s.k = l.k",
            "SELECT s, a, b, t FROM small s LEFT JOIN large l ON s.k = l.k",
            "SELECT s, a, b, t FROM small s FULL JOIN large l ON s.k = l.k",
            "SELECT s, count(*), sum(b) FROM small s RIGHT JOIN large l ON s.k = l.k GROUP BY s",
            "SELECT s, count(b), sum(b) FROM small s FULL JOIN large l ON s.k = l.k GROUP BY s",
            "SELECT * FROM small s LEFT SEMI JOIN large l ON s.k = l.k",
            "SELECT * FROM small s LEFT ANTI JOIN large l ON s.k = l.k",
            "SELECT * FROM small s RIGHT SEMI JOIN large l ON s.k = l.k",
            "SELECT * FROM small s RIGHT ANTI JOIN large l ON s.k = l.k",
            "SELECT t, sum(b) FROM small s RIGHT ANTI JOIN large l ON s.k = l.k GROUP BY t",
            "SELECT a FROM small s WHERE EXISTS (SELECT 1 FROM large l WHERE s.k = l.k) OR a > 250",
        ] {
            let seen = both.on_the_device(sql, 1).await;
            assert_eq!(seen.of_name("probed_morsels"), 3, "{sql}: {seen:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conditions_on_pairs() {
    if !has_gpu() {
        return;
    }
    for partitions in [1, 3] {
        let both = both(partitions).await;
        for sql in [
            "SELECT s, b FROM small s JOIN large l ON s.k = l.k AND a + b > 2000",
            "SELECT s, b FROM small s JOIN large l ON s.k = l.k AND s.s < l.t",
            "SELECT s, sum(b) FROM small s JOIN large l ON s.k = l.k AND a * 20 > b GROUP BY s",
            "SELECT s, a, b FROM small s LEFT JOIN large l ON s.k = l.k AND a * 20 > b",
            "SELECT a FROM small s LEFT SEMI JOIN large l ON s.k = l.k AND a * 20 < b",
            "SELECT a FROM small s LEFT ANTI JOIN large l ON s.k = l.k AND a * 20 < b",
            "SELECT b, t FROM small s RIGHT SEMI JOIN large l ON s.k = l.k AND a * 20 < b",
            "SELECT b, t FROM small s RIGHT ANTI JOIN large l ON s.k = l.k AND a * 20 < b",
        ] {
            both.on_the_device(sql, 1).await;
        }
        // On the CPU, with the right rows.
        for sql in [
            "SELECT s, a, b FROM small s RIGHT JOIN large l ON s.k = l.k AND a * 20 > b",
            "SELECT s, a, b FROM small s FULL JOIN large l ON s.k = l.k AND a * 20 > b",
            "SELECT a FROM small s WHERE s.k NOT IN (SELECT k FROM large WHERE b > 10)",
            "SELECT s, b FROM small s JOIN large l ON a < b AND b < 30",
        ] {
            let seen = both.equal(sql).await;
            assert_eq!(seen.joins_on_gpu, 0, "{sql}: {}", seen.plan);
        }
    }
}

/// NULL equals NULL, as set operations have it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nulls_that_are_equal() {
    if !has_gpu() {
        return;
    }
    let both = both(2).await;
    for sql in [
        "SELECT a, b FROM small s JOIN large l ON s.k IS NOT DISTINCT FROM l.k",
        "SELECT k FROM small INTERSECT SELECT k FROM large",
        "SELECT k FROM small EXCEPT SELECT k FROM large WHERE k > 50",
    ] {
        let seen = both.equal(sql).await;
        assert_eq!(seen.of_name("unprobed_morsels"), 0, "{sql}: {seen:?}");
        assert!(seen.of_name("probed_morsels") > 0, "{sql}: {seen:?} {}", seen.plan);
    }
}
