//! Sums of few groups, and of arguments that differ by a constant, are DataFusion's to the bit.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Decimal128Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    UInt64Array,
};
use arrow::util::pretty::pretty_format_batches;
use datafusion::datasource::MemTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::physical_plan::{collect, displayable};
use datafusion::prelude::{SessionConfig, SessionContext};
use staffa_datafusion::{Device, StaffaConfig, register};

const ROWS: i64 = 20_000;

/// A value in no order.
fn mixed(row: i64) -> i64 {
    row.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64.cast_signed())
}

/// Rows from `from` on. The third batch has more groups than are few, the second none of the first's.
fn batch(number: i64) -> RecordBatch {
    let rows = || number * ROWS..(number + 1) * ROWS;
    let group = move |row: i64| match number {
        2 => mixed(row).rem_euclid(300),
        number => mixed(row).rem_euclid(5) + 5 * number,
    };
    let some = |row: i64| row % 7 != 0;
    let decimals = |precision, scale, value: &dyn Fn(i64) -> Option<i128>| -> ArrayRef {
        let array: Decimal128Array = rows().map(value).collect();
        Arc::new(array.with_precision_and_scale(precision, scale).unwrap())
    };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("g", Arc::new(rows().map(|row| Some(group(row))).collect::<Int64Array>())),
        (
            "s",
            Arc::new(rows().map(|row| Some(format!("g{}", group(row)))).collect::<StringArray>()),
        ),
        ("i", Arc::new(rows().map(|row| Some(mixed(row))).collect::<Int64Array>())),
        ("n", Arc::new(rows().map(|row| some(row).then(|| mixed(row))).collect::<Int64Array>())),
        // No NULL in the first batch, nothing else in the last.
        (
            "o",
            Arc::new(
                rows()
                    .map(|row| (number == 0 || number == 1 && some(row)).then_some(row))
                    .collect::<Int64Array>(),
            ),
        ),
        (
            "small",
            Arc::new(rows().map(|row| Some((mixed(row) >> 40) as i32)).collect::<Int32Array>()),
        ),
        (
            "u",
            Arc::new(rows().map(|row| Some(mixed(row).cast_unsigned())).collect::<UInt64Array>()),
        ),
        ("d", decimals(15, 2, &|row| Some(i128::from(mixed(row) >> 16)))),
        ("dn", decimals(15, 2, &|row| some(row).then_some(i128::from(mixed(row) >> 16)))),
        ("wide", decimals(38, 10, &|row| Some(i128::from(mixed(row)) << 50))),
        ("f", Arc::new(rows().map(|row| Some(mixed(row) as f64 / 3.0)).collect::<Float64Array>())),
    ];
    let columns = columns.into_iter().map(|(name, column)| (name, column, true));
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

fn session(ours: bool, partitions: usize) -> SessionContext {
    let config = SessionConfig::new().with_target_partitions(partitions);
    let builder = SessionStateBuilder::new().with_default_features().with_config(config);
    let settings = StaffaConfig { min_rows: 0, device: Device::Cpu, ..StaffaConfig::default() };
    let builder = if ours { register(builder, settings) } else { builder };
    let ctx = SessionContext::new_with_state(builder.build());
    let batches: Vec<RecordBatch> = (0..4).map(batch).collect();
    let table = |batches: &[RecordBatch]| {
        let schema = batches.first().map_or_else(|| batch(0).schema(), RecordBatch::schema);
        Arc::new(MemTable::try_new(schema, vec![batches.to_vec()]).unwrap())
    };
    ctx.register_table("t", table(&batches)).unwrap();
    ctx.register_table("two", table(&batches[..2])).unwrap();
    ctx.register_table("one", table(&[batches[0].slice(1_003, 4_097)])).unwrap();
    ctx.register_table("none", table(&[])).unwrap();
    ctx
}

/// The answer, and whether Staffa gave it.
async fn answer(ctx: &SessionContext, sql: &str) -> (Result<String, String>, bool) {
    let plan = ctx.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    let ours = displayable(plan.as_ref()).indent(false).to_string().contains("AggregateExec [cpu]");
    let batches = collect(plan, ctx.task_ctx()).await;
    let text = batches.map(|batches| pretty_format_batches(&batches).unwrap().to_string());
    (text.map_err(|error| error.strip_backtrace()), ours)
}

async fn compare(queries: &[String]) {
    for partitions in [1, 3] {
        let (stock, ours) = (session(false, partitions), session(true, partitions));
        for sql in queries {
            for table in ["t", "two", "one", "none"] {
                let sql = sql.replace("FROM t", &format!("FROM {table}"));
                let (expected, _) = answer(&stock, &sql).await;
                let (answer, runs) = answer(&ours, &sql).await;
                assert!(runs, "{sql}: not Staffa's");
                assert_eq!(answer, expected, "{sql}, {partitions} partitions");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sums_of_few_groups() {
    let functions = [
        "count(*), count(i), count(n), count(o)",
        "sum(i), sum(n), sum(o), sum(u), sum(small)",
        "sum(d), avg(d), count(d), sum(d * 2), avg(d + 1), count(*)",
        "sum(dn), avg(dn), count(dn)",
        "sum(wide), avg(dn), min(d), max(i), sum(o), max(f)",
        "sum(i) FILTER (WHERE i > 0), count(*) FILTER (WHERE n IS NULL), avg(d) FILTER (WHERE i < 0), sum(i)",
        "count(DISTINCT small % 10), sum(DISTINCT small % 10), count(*), sum(i)",
    ];
    let keys = ["g", "s", "g % 2", "g, s", "n IS NULL"];
    let mut queries = Vec::new();
    for functions in functions {
        for key in keys {
            queries.push(format!("SELECT {key}, {functions} FROM t GROUP BY {key} ORDER BY {key}"));
        }
        queries.push(format!(
            "SELECT g % 3, g % 2, {functions} FROM t GROUP BY ROLLUP (g % 3, g % 2) ORDER BY 1, 2"
        ));
    }
    compare(&queries).await;
    // Floats depend on the order of additions: one lane, as DataFusion has.
    let (stock, ours) = (session(false, 1), session(true, 1));
    let sql =
        "SELECT g, sum(f), avg(f), count(f), avg(n), avg(small) FROM two GROUP BY g ORDER BY g";
    assert_eq!(answer(&ours, sql).await.0, answer(&stock, sql).await.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sums_of_shifted_arguments() {
    let functions = [
        "sum(i + 1), sum(i + 2), sum(i - 3), sum(4 + i), sum(i), sum(5 - i)",
        "sum(n + 1), sum(n - 9223372036854775807), sum(n), count(n), sum(n + 0)",
        "sum(o + 9223372036854775807), sum(o + 1), sum(o), min(o + 1)",
        "sum(small + 1), sum(small + 2), sum(small - 1), max(small + 1)",
        "sum(u + 1), sum(d + 1), sum(wide - 1), sum(f + 1)",
        "sum(i + 1) FILTER (WHERE i > 0), sum(i + 2)",
        "sum(DISTINCT small % 3 + 1), sum(i + n), sum(i * 2 + 1), sum(i + NULL)",
        "sum(n + 1), sum(n + 2)",
    ];
    let mut queries: Vec<String> =
        functions.iter().map(|functions| format!("SELECT {functions} FROM t")).collect();
    queries.push("SELECT sum(o + 1), sum(o + 2) FROM t WHERE o IS NULL".to_string());
    queries.push("SELECT sum(i + 1), sum(i + 2) FROM t WHERE i % 2 = 0".to_string());
    queries
        .push("SELECT g % 2, sum(i + 1), sum(i + 2) FROM t GROUP BY g % 2 ORDER BY 1".to_string());
    // Floats in one of them: one partition is enough of a comparison.
    let (floats, exact): (Vec<String>, Vec<String>) =
        queries.into_iter().partition(|sql| sql.contains("(f "));
    compare(&exact).await;
    let (stock, ours) = (session(false, 1), session(true, 1));
    for sql in floats {
        assert_eq!(answer(&ours, &sql).await.0, answer(&stock, &sql).await.0, "{sql}");
    }
}
