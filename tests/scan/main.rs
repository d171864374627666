//! The Parquet scan against stock DataFusion, on files made for its corners: dictionaries with NULLs,
//! columns that only arrow-rs decodes, changed schemas, partition columns, limits and pruning.

#![expect(clippy::expect_used, clippy::panic, reason = "a helper of tests fails by panicking")]

mod order;
mod shared;

use std::fs::{File, create_dir_all};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Decimal128Array, Int32Array, Int64Array, ListArray, RecordBatch, StringArray,
};
use arrow::datatypes::{DataType, Int32Type};
use arrow::util::pretty::pretty_format_batches;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use staffa::{Place, StaffaConfig, report};
use staffa_harness::compare::{Rules, compare};
use staffa_harness::{Engine, SessionOptions, run_query};

/// Row `i` of `rows`: a key, a string of few values with NULLs, a decimal, a list.
fn batch(rows: std::ops::Range<i64>) -> RecordBatch {
    let words = ["north", "süd", "east", ""];
    let id: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.clone()));
    let word = rows.clone().map(|i| (i % 7 != 3).then(|| words[(i % 4) as usize]));
    let word: ArrayRef = Arc::new(StringArray::from_iter(word));
    let price = rows.clone().map(|i| (i % 5 != 0).then_some(i128::from(i % 100) * 25));
    let price = Decimal128Array::from_iter(price).with_precision_and_scale(15, 2);
    let price: ArrayRef = Arc::new(price.expect("precision and scale"));
    let list = rows.map(|i| Some(vec![Some((i % 3) as i32), None]));
    let list: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(list));
    let columns = [("id", id), ("word", word), ("price", price), ("list", list)];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true)))
        .expect("a batch")
}

fn write(path: &Path, batches: &[RecordBatch], codec: Compression) {
    create_dir_all(path.parent().expect("a folder")).expect("a folder");
    let properties = WriterProperties::builder()
        .set_compression(codec)
        .set_max_row_group_row_count(Some(4000))
        .set_data_page_row_count_limit(500)
        .build();
    let file = File::create(path).expect("a file");
    let mut writer =
        ArrowWriter::try_new(file, batches[0].schema(), Some(properties)).expect("a writer");
    for batch in batches {
        writer.write(batch).expect("rows");
    }
    writer.close().expect("a footer");
}

/// Staffa's engines here: the GPU's too where there is a device, real or emulated.
fn engines() -> Vec<Engine> {
    match staffa::gpu(&StaffaConfig::default()) {
        Ok(_) => vec![Engine::Cpu, Engine::Gpu],
        Err(reason) if std::env::var_os("STAFFA_REQUIRE_GPU").is_some() => {
            panic!("no GPU: {reason}")
        }
        Err(_) => vec![Engine::Cpu],
    }
}

/// Who decodes the files, where a scan is placed on a device.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Decodes {
    Device,
    /// Only the CPU knows the format.
    Host,
}

/// Runs `queries` both ways over tables that `register` makes; each must scan on Staffa.
fn check(register: impl AsyncFn(&SessionContext), queries: &[&str], decodes: Decodes) {
    engines().into_iter().for_each(|engine| {
        let morsels = check_engine(engine, &register, queries);
        let device = engine == Engine::Gpu && decodes == Decodes::Device;
        assert_eq!(morsels > 0, device, "{engine}: {morsels} morsels");
    });
}

/// Morsels that a device made.
fn check_engine(
    engine: Engine,
    register: &impl AsyncFn(&SessionContext),
    queries: &[&str],
) -> usize {
    let mut morsels = 0;
    let options = SessionOptions { target_partitions: Some(2), ..SessionOptions::default() };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let stock = Engine::DataFusion.session(&options).expect("a session");
        let staffa = engine.session(&options).expect("a session");
        for ctx in [&stock, &staffa] {
            register(ctx).await;
        }
        staffa.sql("SET staffa.min_rows = 0").await.expect("a setting");
        for pushdown in [false, true] {
            let set = format!("SET datafusion.execution.parquet.pushdown_filters = {pushdown}");
            for ctx in [&stock, &staffa] {
                ctx.sql(&set).await.expect("a setting");
            }
            for sql in queries {
                morsels += both(&stock, &staffa, sql).await;
            }
        }
    });
    morsels
}

/// Morsels that a device made. Where one was asked for, it made the rows that scans put out, and nothing had to
/// be done again.
async fn both(stock: &SessionContext, staffa: &SessionContext, sql: &str) -> usize {
    both_but(stock, staffa, sql, 0).await
}

/// The same, but for so many morsels that had to be done again.
async fn both_but(
    stock: &SessionContext,
    staffa: &SessionContext,
    sql: &str,
    again: usize,
) -> usize {
    let expected = run_query(stock, sql).await.unwrap_or_else(|e| panic!("stock, {sql}: {e}"));
    let actual = run_query(staffa, sql).await.unwrap_or_else(|e| panic!("Staffa, {sql}: {e}"));
    let rules = Rules { order: expected.order.clone(), ..Rules::default() };
    let comparison = compare(&expected.answer, &actual.answer, &rules).expect("comparable");
    assert!(comparison.is_equal(), "{sql}: {}", comparison.render("DataFusion", "Staffa"));
    let scans: Vec<_> = report(&actual.plan)
        .nodes
        .into_iter()
        .filter(|node| node.name == "DataSourceExec")
        .collect();
    assert!(!scans.is_empty(), "{sql}: nothing is scanned");
    for scan in &scans {
        assert_ne!(scan.place, Place::DataFusion, "{sql}: {:?}", scan.reason);
    }
    let [failed, lanes] =
        ["gpu_failed_morsels", "gpu_refused_lanes"].map(|name| sum(&actual.plan, name));
    assert_eq!((failed, lanes), (again, 0), "{sql}");
    let left = sum(&actual.plan, "gpu_refused_row_groups")
        + sum(&actual.plan, "gpu_page_selected_row_groups");
    for scan in scans.iter().filter(|scan| matches!(scan.place, Place::Gpu(_))) {
        let (rows, morsels) = (scan.output_rows.unwrap_or(0), scan.gpu_morsels.unwrap_or(0));
        assert!(rows == 0 || morsels > 0 || left > 0, "{sql}: {rows} rows from no morsel");
    }
    scans.iter().filter_map(|scan| scan.gpu_morsels).sum()
}

/// A metric, all nodes together.
fn sum(plan: &Arc<dyn ExecutionPlan>, name: &str) -> usize {
    let below: usize = plan.children().into_iter().map(|child| sum(child, name)).sum();
    let metrics = plan.metrics().unwrap_or_default();
    below + metrics.sum_by_name(name).map_or(0, |value| value.as_usize())
}

async fn register(ctx: &SessionContext, name: &str, path: &Path) {
    let path = path.to_str().expect("a path");
    let options = ParquetReadOptions::default();
    ctx.register_parquet(name, path, options).await.expect("a table");
}

const QUERIES: [&str; 12] = [
    "SELECT * FROM t ORDER BY id",
    "SELECT 7 FROM t",
    "SELECT word, count(*), sum(price), min(id) FROM t GROUP BY word",
    "SELECT id, word FROM t WHERE word = 'süd' AND id % 100 = 5 ORDER BY id",
    "SELECT id, price FROM t WHERE word IS NULL AND price > 20 ORDER BY id",
    "SELECT count(*), sum(price) FROM t WHERE word LIKE '%o%' OR word IS NULL",
    "SELECT id, list FROM t WHERE id = 4711",
    "SELECT id, word, list FROM t WHERE list[1] = 2 AND word = 'east' ORDER BY id LIMIT 50",
    "SELECT sum(id) FROM t WHERE id BETWEEN 3990 AND 4010",
    "SELECT count(*) FROM t WHERE coalesce(word, 'none') = 'none'",
    "SELECT id FROM (SELECT id, word FROM t ORDER BY id LIMIT 5000) WHERE word = 'north' ORDER BY id",
    "SELECT a.id, b.word FROM t a JOIN t b ON a.id = b.id + 9000 WHERE a.word = b.word ORDER BY a.id",
];

/// With pushed-down filters, stock tests a conjunct only on rows that passed the ones before, and so errs on
/// no others.
#[test]
fn a_row_filter_errs_where_stock_errs() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("t.parquet");
    write(&path, &[batch(0..9000)], Compression::SNAPPY);
    for engine in engines() {
        let options = SessionOptions { target_partitions: Some(2), ..SessionOptions::default() };
        tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
            let stock = Engine::DataFusion.session(&options).expect("a session");
            let staffa = engine.session(&options).expect("a session");
            for ctx in [&stock, &staffa] {
                register(ctx, "t", &path).await;
                let set = "SET datafusion.execution.parquet.pushdown_filters = true";
                ctx.sql(set).await.expect("a setting");
            }
            staffa.sql("SET staffa.min_rows = 0").await.expect("a setting");
            for sql in [
                "SELECT id FROM t WHERE id <> 0 AND 10 % id = 1 ORDER BY id",
                "SELECT id FROM t WHERE id > 5 AND word = 'süd' AND 1000 / (id - 3) > 20 ORDER BY id",
            ] {
                // A device tests both sides of AND: the row group of the row that errs is the CPU's to decide.
                both_but(&stock, &staffa, sql, usize::from(engine == Engine::Gpu)).await;
            }
            let errs = "SELECT id FROM t WHERE word = 'north' AND 10 / id = 1";
            for ctx in [&stock, &staffa] {
                let error = run_query(ctx, errs).await.map(|_| ()).expect_err("an error");
                let text = error.to_string().to_lowercase().replace(' ', "");
                assert!(text.contains("dividebyzero"), "{error}");
            }
        });
    }
}

#[test]
fn equals_stock_for_every_codec_and_mixed_pages() {
    // LZ4 comes in framings of which our decoder leaves some to arrow-rs.
    for codec in [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::LZ4] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("t.parquet");
        write(&path, &[batch(0..5000), batch(5000..10_001)], codec);
        let decodes = if codec == Compression::LZ4 { Decodes::Host } else { Decodes::Device };
        check(async |ctx| register(ctx, "t", &path).await, &QUERIES, decodes);
    }
}

/// A table of one row group is read by several lanes, each of which takes rows off another.
#[test]
fn lanes_share_a_single_row_group() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("t.parquet");
    let rows = 300_000;
    let properties = WriterProperties::builder().set_data_page_row_count_limit(7001).build();
    let file = File::create(&path).expect("a file");
    let whole = batch(0..rows).project(&[0, 1, 2]).expect("columns");
    let mut writer =
        ArrowWriter::try_new(file, whole.schema(), Some(properties)).expect("a writer");
    writer.write(&whole).expect("rows");
    writer.close().expect("a footer");
    let queries = [
        "SELECT count(*), sum(id), min(id), max(id), count(word), sum(price) FROM t",
        "SELECT word, count(*), sum(price), min(id) FROM t WHERE id % 3 = 1 GROUP BY word",
        "SELECT * FROM t WHERE id % 1000 = 999 ORDER BY id",
    ];
    check(async |ctx| register(ctx, "t", &path).await, &queries, Decodes::Device);

    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let options = SessionOptions { target_partitions: Some(2), ..SessionOptions::default() };
        let staffa = Engine::Cpu.session(&options).expect("a session");
        register(&staffa, "t", &path).await;
        // Which lane comes first is chance: it may have read all before the other one asks.
        for _ in 0..20 {
            let sql = format!("EXPLAIN ANALYZE {}", queries[1]);
            let shown = staffa.sql(&sql).await.expect("a plan").collect().await.expect("an answer");
            let shown = pretty_format_batches(&shown).expect("text").to_string();
            let taken = shown.split("row_group_halves_taken=").nth(1).expect("the counter");
            if !taken.starts_with('0') {
                return;
            }
        }
        panic!("no lane took rows off another");
    });
}

/// What joins and top-Ks know keeps rows out in the scan, whatever the keys' types, and no others.
#[test]
fn rows_are_tested_by_dynamic_filters() {
    let folder = tempfile::tempdir().expect("a folder");
    let (facts, few) = (folder.path().join("t.parquet"), folder.path().join("few.parquet"));
    write(&facts, &[batch(0..40_000)], Compression::SNAPPY);
    let picked: Vec<RecordBatch> = (0..30).map(|i| batch(i * 1337..i * 1337 + 1)).collect();
    write(&few, &picked, Compression::SNAPPY);
    // With the least rows that the filters keep out; 0 where there is no filter to have.
    let cases = [
        ("SELECT t.id, t.word, few.price FROM t JOIN few ON t.id = few.id ORDER BY 1", 30_000),
        (
            "SELECT count(*), sum(t.id) FROM t JOIN few ON t.price = few.price AND few.id < 9000",
            20_000,
        ),
        (
            "SELECT count(*), min(t.id) FROM t JOIN few ON t.word = few.word AND t.id = few.id",
            30_000,
        ),
        (
            "SELECT count(*), sum(t.id) FROM t JOIN few ON t.word = few.word AND few.word > 'north'",
            9_000,
        ),
        (
            "SELECT count(*) FROM t JOIN few ON (t.word IS NOT DISTINCT FROM few.word) \
             AND (t.id IS NOT DISTINCT FROM few.id)",
            30_000,
        ),
        ("SELECT id FROM t WHERE id IN (SELECT id + 1 FROM few) ORDER BY id", 30_000),
        ("SELECT count(*) FROM t WHERE id NOT IN (SELECT id FROM few WHERE id IS NOT NULL)", 0),
        ("SELECT count(few.id), count(*) FROM t LEFT JOIN few ON t.id = few.id", 0),
        ("SELECT * FROM t ORDER BY price DESC, id LIMIT 3", 1_000),
        ("SELECT id, list FROM t WHERE word = 'east' ORDER BY id DESC LIMIT 3", 0),
        (
            "SELECT a.word, count(*) FROM t a JOIN few b ON a.id = b.id JOIN few c ON a.price = c.price \
             GROUP BY a.word",
            30_000,
        ),
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
        for (sql, least) in cases {
            both(&stock, &staffa, sql).await;
            let ran = run_query(&staffa, sql).await.expect("an answer");
            let pruned = sum(&ran.plan, "dynamic_filter_rows_pruned");
            // Or whole row groups.
            let groups = sum(&ran.plan, "row_groups_pruned_dynamic_filter");
            assert!(pruned >= least || groups > 0, "{sql}: {pruned} rows, {groups} row groups");
        }
    });
}

/// A limit counts rows before a join or a top-K above it chooses among them.
#[test]
fn a_limit_counts_rows_that_dynamic_filters_would_keep_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let (facts, few) = (folder.path().join("t.parquet"), folder.path().join("few.parquet"));
    write(&facts, &[batch(0..12_000)], Compression::SNAPPY);
    let picked: Vec<RecordBatch> = (0..3).map(|i| batch(i * 500..i * 500 + 1)).collect();
    write(&few, &picked, Compression::SNAPPY);
    let create = format!(
        "CREATE EXTERNAL TABLE t (id BIGINT, word VARCHAR, price DECIMAL(15, 2)) STORED AS PARQUET \
         WITH ORDER (id ASC) LOCATION '{}'",
        facts.to_str().expect("a path")
    );
    let queries = [
        "SELECT few.id FROM few JOIN (SELECT id FROM t ORDER BY id LIMIT 100) x ON few.id = x.id",
        "SELECT few.id FROM few JOIN (SELECT id FROM t WHERE price >= 0 ORDER BY id LIMIT 100) x ON few.id = x.id",
        "SELECT id FROM (SELECT id, price FROM t ORDER BY id LIMIT 6000) ORDER BY price DESC, id LIMIT 3",
        "SELECT count(*) FROM few JOIN (SELECT a.id FROM t a JOIN t b ON a.id = b.id ORDER BY a.id LIMIT 50) x \
         ON few.id = x.id",
        "SELECT few.id FROM few JOIN (SELECT DISTINCT id FROM t ORDER BY id LIMIT 600) x ON few.id = x.id \
         ORDER BY 1",
    ];
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    for partitions in [1, 3] {
        runtime.block_on(async {
            let options =
                SessionOptions { target_partitions: Some(partitions), ..SessionOptions::default() };
            let stock = Engine::DataFusion.session(&options).expect("a session");
            let staffa = Engine::Cpu.session(&options).expect("a session");
            for ctx in [&stock, &staffa] {
                ctx.sql(&create).await.expect("a table");
                register(ctx, "few", &few).await;
            }
            staffa.sql("SET staffa.min_rows = 0").await.expect("a setting");
            for sql in queries {
                both(&stock, &staffa, sql).await;
            }
        });
    }
}

#[test]
fn partition_columns_and_changed_schemas_read_as_on_stock() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = batch(0..3000).project(&[0, 1, 2]).expect("columns");
    write(&folder.path().join("day=1/a.parquet"), &[first], Compression::SNAPPY);
    // Without `word`, with a narrower key, and a column that the other file lacks.
    let narrow = Int32Array::from_iter_values(3000..6000);
    let more = Int64Array::from_iter((0..3000).map(|i| (i % 2 == 0).then_some(i)));
    let columns: [(&str, ArrayRef); 2] = [("id", Arc::new(narrow)), ("more", Arc::new(more))];
    let second = RecordBatch::try_from_iter(columns).expect("a batch");
    write(&folder.path().join("day=2/b.parquet"), &[second], Compression::SNAPPY);
    let path = folder.path().to_str().expect("a path").to_string();
    let create = format!(
        "CREATE EXTERNAL TABLE t (id BIGINT, word VARCHAR, price DECIMAL(15, 2), more BIGINT, day INT) \
         STORED AS PARQUET PARTITIONED BY (day) LOCATION '{path}'"
    );
    let queries = [
        "SELECT * FROM t ORDER BY id",
        "SELECT day, count(*), count(word), sum(more) FROM t GROUP BY day",
        "SELECT id, day FROM t WHERE day = 2 AND more > 2900 ORDER BY id",
        "SELECT id, day FROM t WHERE word IS NULL AND id > 2990 AND id < 3010 ORDER BY id",
        "SELECT arrow_typeof(id), arrow_typeof(word), count(*) FROM t GROUP BY 1, 2",
    ];
    check(async |ctx| drop(ctx.sql(&create).await.expect("a table")), &queries, Decodes::Device);
}

#[test]
fn an_empty_file_and_one_of_nulls_read_as_on_stock() {
    let folder = tempfile::tempdir().expect("a folder");
    let empty = folder.path().join("empty.parquet");
    write(&empty, &[batch(0..0)], Compression::SNAPPY);
    let nulls = folder.path().join("nulls.parquet");
    let array = arrow::array::new_null_array(&DataType::Utf8, 5000);
    let null_batch = RecordBatch::try_from_iter_with_nullable([("word", array, true)]);
    write(&nulls, &[null_batch.expect("a batch")], Compression::SNAPPY);
    let register_both = async |ctx: &SessionContext| {
        register(ctx, "empty", &empty).await;
        register(ctx, "nulls", &nulls).await;
    };
    let queries = [
        "SELECT * FROM empty",
        "SELECT word FROM empty ORDER BY word",
        "SELECT word, count(*) FROM nulls GROUP BY word",
        "SELECT count(*) FROM nulls WHERE word = 'x' OR word IS NULL",
    ];
    check(register_both, &queries, Decodes::Device);
}

#[test]
fn a_path_into_a_struct_is_left_to_the_reader_that_prunes_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("t.parquet");
    let rows = batch(0..5000);
    let fields: Vec<_> = rows.schema().fields().iter().take(2).cloned().collect();
    let both_columns = rows.columns()[..2].to_vec();
    let nested: ArrayRef =
        Arc::new(arrow::array::StructArray::new(fields.into(), both_columns, None));
    let rows = RecordBatch::try_from_iter([("s", nested)]).expect("a batch");
    write(&path, &[rows], Compression::SNAPPY);
    let options = SessionOptions { target_partitions: Some(2), ..SessionOptions::default() };
    tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
        let staffa = Engine::Cpu.session(&options).expect("a session");
        register(&staffa, "t", &path).await;
        staffa.sql("SET staffa.min_rows = 0").await.expect("a setting");
        // The second plan is that scan and nothing else.
        for sql in ["SELECT s['word'], count(*) FROM t GROUP BY 1", "SELECT s['word'] FROM t"] {
            let run = run_query(&staffa, sql).await.expect("an answer");
            let nodes = report(&run.plan).nodes;
            let scan = nodes.into_iter().find(|node| node.name == "DataSourceExec");
            let reason = scan.and_then(|scan| scan.reason).unwrap_or_default();
            let plan = datafusion::physical_plan::displayable(run.plan.as_ref()).indent(true);
            assert!(reason.contains("path into a struct"), "{sql}: {reason}\n{plan}");
        }
    });
}
