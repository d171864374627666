//! A small query, with and without Staffa, and the proof from its plan that Staffa ran.

use datafusion::common::{DataFusionError, Result};
use staffa::Place;
use staffa_harness::compare::{Rules, compare};
use staffa_harness::{Engine, Run, SessionOptions, run_query};

/// 10,000 rows with a key, a value that is sometimes NULL, and a string.
const FACTS: &str = "CREATE TABLE facts AS SELECT value % 100 AS key, \
     CASE WHEN value % 7 = 0 THEN NULL ELSE value END AS amount, \
     concat('name-', value % 13) AS name FROM generate_series(1, 10000)";
const NAMES: &str = "CREATE TABLE names AS SELECT value AS id, concat('group-', value / 10) AS grp \
     FROM generate_series(0, 79)";
/// A filter, a join, a group-by with and without NULLs, and a sort.
const QUERY: &str = "SELECT grp, count(*) AS n, count(amount) AS known, sum(amount) AS total, \
     min(name) AS first FROM facts JOIN names ON key = id WHERE name <> 'name-5' \
     GROUP BY grp ORDER BY grp";
/// Keys 0 to 79 in tens.
const EXPECTED_ROWS: usize = 8;

/// What was proved, or what is wrong.
pub(super) async fn run() -> Result<String, String> {
    let vanilla =
        execute(Engine::DataFusion).await.map_err(|e| format!("failed: DataFusion: {e}"))?;
    let staffa = execute(Engine::Cpu).await.map_err(|e| format!("failed: Staffa: {e}"))?;
    let rules = Rules { order: vanilla.order.clone(), ..Rules::default() };
    let comparison =
        compare(&vanilla.answer, &staffa.answer, &rules).map_err(|error| error.to_string())?;
    if !comparison.is_equal() {
        return Err(format!("failed: {}", comparison.render("datafusion", "staffa")));
    }
    if vanilla.answer.rows() != EXPECTED_ROWS {
        let rows = vanilla.answer.rows();
        return Err(format!("failed: DataFusion answered with {rows} rows, not {EXPECTED_ROWS}"));
    }
    let report = staffa::report(&staffa.plan);
    let on_staffa = || report.nodes.iter().filter(|node| node.place != Place::DataFusion);
    let all = report.nodes.len();
    // A node in the plan is not enough: its metrics must show rows.
    let rows = on_staffa().filter_map(|node| node.output_rows).max().unwrap_or(0);
    if rows == 0 {
        let (ours, reasons) = (on_staffa().count(), report.reasons().join("\n  "));
        return Err(format!(
            "failed: the answers are equal, but the plan shows no row from Staffa's {ours} of \
             {all} nodes; on DataFusion stay:\n  {reasons}"
        ));
    }
    let names: Vec<&str> = on_staffa().map(|node| node.name.as_str()).collect();
    Ok(format!(
        "ok: {EXPECTED_ROWS} rows equal to DataFusion's; {} of {all} nodes ran on Staffa ({})",
        names.len(),
        names.join(", ")
    ))
}

async fn execute(engine: Engine) -> Result<Run, DataFusionError> {
    let options = SessionOptions { target_partitions: Some(2), ..SessionOptions::default() };
    let ctx = engine.session(&options)?;
    run_query(&ctx, FACTS).await?;
    run_query(&ctx, NAMES).await?;
    run_query(&ctx, QUERY).await
}

/// The same data as a file, with a dictionary; then a filter and a projection over it.
const FILE_QUERY: &str = "SELECT name, amount * 3 - key AS value FROM copied \
     WHERE amount > 500 AND name <> 'name-5' ORDER BY name, value";

/// A scan, a filter and a projection on the GPU, against DataFusion: what was proved, or what is wrong.
pub(super) async fn gpu() -> Result<String, String> {
    let name = format!("staffa-doctor-{}.parquet", std::process::id());
    let path = std::env::temp_dir().join(name);
    let outcome = on_gpu(&path.to_string_lossy()).await;
    // Left behind, it would only take some kilobytes of a folder for such files.
    let _ = std::fs::remove_file(&path);
    outcome
}

async fn on_gpu(path: &str) -> Result<String, String> {
    let run = async |engine: Engine| -> Result<Run, DataFusionError> {
        let ctx = engine.session(&SessionOptions::default())?;
        if engine == Engine::DataFusion {
            run_query(&ctx, FACTS).await?;
            let copy = format!("COPY facts TO '{path}' STORED AS PARQUET");
            run_query(&ctx, &copy).await?;
        }
        let create = format!("CREATE EXTERNAL TABLE copied STORED AS PARQUET LOCATION '{path}'");
        run_query(&ctx, &create).await?;
        run_query(&ctx, FILE_QUERY).await
    };
    let vanilla = run(Engine::DataFusion).await.map_err(|e| format!("failed: DataFusion: {e}"))?;
    let ours = run(Engine::Gpu).await.map_err(|e| format!("failed: {e}"))?;
    let rules = Rules { order: vanilla.order.clone(), ..Rules::default() };
    let comparison =
        compare(&vanilla.answer, &ours.answer, &rules).map_err(|error| error.to_string())?;
    if !comparison.is_equal() {
        return Err(format!("failed: {}", comparison.render("datafusion", "gpu")));
    }
    let report = staffa::report(&ours.plan);
    let (nodes, morsels) = (report.gpu_nodes(), report.gpu_morsels());
    if morsels == 0 {
        return Err(format!(
            "failed: the answers are equal, but the GPU made no morsel for its {nodes} nodes"
        ));
    }
    let rows = vanilla.answer.rows();
    Ok(format!("ok: {rows} rows equal to DataFusion's; {nodes} nodes, {morsels} morsels on a GPU"))
}
