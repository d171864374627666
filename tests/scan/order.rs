//! In which order a scan tests rows by what stands in the plan and by what joins know.

use arrow::array::RecordBatch;
use parquet::basic::Compression;
use staffa_harness::{Engine, SessionOptions, run_query};

use crate::{batch, both, register, sum, write};

/// A filter that hardly a row passes comes before tests that most rows pass, unless it could hide an error of theirs or
/// they read its columns anyway.
#[test]
fn strict_dynamic_filters_come_before_lax_tests() {
    const ROWS: i64 = 400_000;
    let folder = tempfile::tempdir().expect("a folder");
    let (facts, few) = (folder.path().join("t.parquet"), folder.path().join("few.parquet"));
    let parts: Vec<RecordBatch> =
        (0..100).map(|part| batch(part * ROWS / 100..(part + 1) * ROWS / 100)).collect();
    write(&facts, &parts, Compression::SNAPPY);
    let picked: Vec<RecordBatch> = (0..ROWS / 677).map(|i| batch(i * 677..i * 677 + 1)).collect();
    write(&few, &picked, Compression::SNAPPY);
    // Rows that filters keep out, in hundredths of all: at least, at most. 63 of a hundred have a price above 5.
    let cases = [
        ("t.price > 5", 85, 100),
        ("t.price > 5 AND t.word IS DISTINCT FROM 'east'", 80, 100),
        ("t.price <> few.price + 1 AND t.price > 5", 85, 100),
        // Most rows fail this one.
        ("t.price > 20", 1, 30),
        // It may overflow, and is asked of all rows.
        ("t.price * 2 > 10", 50, 65),
        ("t.price > 5 AND t.id > -1", 50, 65),
    ];
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let options = SessionOptions { target_partitions: Some(2), ..SessionOptions::default() };
        let stock = Engine::DataFusion.session(&options).expect("a session");
        let staffa = Engine::Cpu.session(&options).expect("a session");
        for ctx in [&stock, &staffa] {
            register(ctx, "t", &facts).await;
            register(ctx, "few", &few).await;
        }
        staffa.sql("SET staffa.min_rows = 0").await.expect("a setting");
        for (test, least, most) in cases {
            let sql = format!(
                "SELECT t.id, t.word, few.word FROM few JOIN t ON t.id = few.id WHERE {test} ORDER BY 1"
            );
            both(&stock, &staffa, &sql).await;
            let ran = run_query(&staffa, &sql).await.expect("an answer");
            let pruned = 100 * sum(&ran.plan, "dynamic_filter_rows_pruned") / ROWS as usize;
            assert!((least..=most).contains(&pruned), "{test}: {pruned} of a hundred");
        }
    });
}
