//! Runs a file on both engines and lays the records side by side.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use datafusion::common::{DataFusionError, Result, exec_datafusion_err};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::prelude::SessionContext;
use datafusion_sqllogictest::{DFColumnType, TestContext, df_value_validator, value_normalizer};
use futures::StreamExt;
use sqllogictest::{Record, Runner, parse_file, strict_column_validator};
use staffa_datafusion::{Device, StaffaConfig, register};

use super::files::Workplace;
use super::probe::{Last, Probe, Ran};
use super::report::{FileReport, Report, judge};

/// One record after its run: what ran (records without SQL are left out), where it stands, and
/// whether it fulfilled the file's expectation.
#[derive(Debug, Clone)]
pub(super) struct Done {
    pub(super) ran: Ran,
    pub(super) place: String,
    /// The complaint where the expectation failed.
    pub(super) complaint: Option<String>,
}

/// Runs `files` (relative to the workplace's `test_files`), two at a time.
///
/// # Errors
/// A file that cannot be parsed, or scratch folders that cannot be written.
pub async fn compare_files(workplace: &Arc<Workplace>, files: &[PathBuf]) -> Result<Report> {
    let mut report = Report::default();
    // Files of one name in different folders share a scratch folder: never run two at once.
    let mut groups: std::collections::BTreeMap<std::ffi::OsString, Vec<PathBuf>> =
        Default::default();
    for file in files {
        let stem = file.file_stem().unwrap_or_default().to_os_string();
        groups.entry(stem).or_default().push(file.clone());
    }
    let mut runs = futures::stream::iter(groups.into_values())
        .map(|group| {
            let workplace = workplace.clone();
            tokio::spawn(async move {
                let mut reports = Vec::new();
                for file in group {
                    let path = workplace.folder().join("test_files").join(&file);
                    let clear = || workplace.clear_scratch(&file);
                    reports.push(compare_file(&path, &file, clear).await?);
                }
                Result::<Vec<FileReport>>::Ok(reports)
            })
        })
        .buffer_unordered(2);
    while let Some(joined) = runs.next().await {
        let reports = joined.map_err(|e| DataFusionError::External(Box::new(e)))??;
        reports.into_iter().for_each(|r| report.add(r));
    }
    report.sort();
    Ok(report)
}

/// Runs the file at `path`, called `name`, on stock and then with Staffa; `clear` runs before each.
///
/// # Errors
/// A file that cannot be parsed.
pub async fn compare_file(
    path: &Path,
    name: &Path,
    clear: impl Fn() -> Result<()>,
) -> Result<FileReport> {
    clear()?;
    let Some(stock) = run_file(path, name, false).await? else {
        return Ok(FileReport::skipped(name));
    };
    clear()?;
    let Some(staffa) = run_file(path, name, true).await? else {
        return Err(exec_datafusion_err!("{}: a context for stock only", name.display()));
    };
    Ok(judge(name, &stock, &staffa))
}

/// The records that ran SQL, in order; `None` where DataFusion's runner has no context.
async fn run_file(path: &Path, name: &Path, accelerated: bool) -> Result<Option<Vec<Done>>> {
    let Some(context) = TestContext::try_new_for_test_file(name).await else {
        return Ok(None);
    };
    let ctx = session(context.session_ctx(), accelerated);
    let last = Last::default();
    let mut runner = Runner::new(|| {
        let probe = Probe { ctx: ctx.clone(), file: name.to_path_buf(), last: last.clone() };
        async move { Ok(probe) }
    });
    runner.add_label("Datafusion");
    runner.with_column_validator(strict_column_validator);
    runner.with_normalizer(value_normalizer);
    runner.with_validator(df_value_validator);
    let records = parse_file::<DFColumnType>(path)
        .map_err(|e| exec_datafusion_err!("{}: {e}", path.display()))?;
    let mut done = Vec::new();
    for record in records {
        if let Record::Halt { .. } = record {
            break;
        }
        let place = match &record {
            Record::Statement { loc, .. } | Record::Query { loc, .. } | Record::Let { loc, .. } => {
                format!("{}:{}", name.display(), loc.line())
            }
            _ => String::new(),
        };
        let result = runner.run_async(record).await;
        let ran = last.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(ran) = ran {
            done.push(Done { ran, place, complaint: result.err().map(|e| e.to_string()) });
        }
    }
    Ok(Some(done))
}

/// The file's session, built anew, with Staffa or without: catalogs, functions and settings are
/// those of DataFusion's runner. Building anew changes a few settings, so stock goes the same way.
fn session(ctx: &SessionContext, accelerated: bool) -> SessionContext {
    let builder = SessionStateBuilder::new_from_existing(ctx.state());
    let builder = if accelerated {
        let config = StaffaConfig { min_rows: 0, device: Device::Cpu, ..StaffaConfig::default() };
        register(builder, config)
    } else {
        builder
    };
    let session = SessionContext::new_with_state(builder.build());
    keep_names(ctx, &session);
    session
}

/// Where two functions share a name (Spark's date_trunc and DataFusion's, or one as an alias),
/// building anew gives it to either, by chance. Gives it to the one that had it. Registering one
/// under all its names may take a name from another, so it goes round until all fit.
fn keep_names(from: &SessionContext, to: &SessionContext) {
    const ROUNDS: usize = 4;
    for _ in 0..ROUNDS {
        let built = to.state();
        let mut changed = false;
        for (name, function) in from.state().scalar_functions() {
            if built.scalar_functions().get(name) != Some(function) {
                to.register_udf(function.as_ref().clone());
                changed = true;
            }
        }
        if !changed {
            return;
        }
    }
}
