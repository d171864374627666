//! The report as text columns.

use std::fmt::Write;

use super::{EngineSummary, QueryResult, Report};
use crate::engine::Engine;

/// A line per query, a group of columns per engine, then totals.
pub(super) fn render(report: &Report) -> String {
    let mut grid = vec![header(&report.summary)];
    for group in groups(&report.queries) {
        grid.push(line(group));
    }
    let mut total = vec!["total".to_string(), String::new()];
    let mut mean = vec!["geomean".to_string(), String::new()];
    let mut counted = vec!["queries".to_string(), String::new()];
    for summary in &report.summary {
        total.push(format!("{:.1}", summary.total_ms));
        mean.push(String::new());
        counted.push(summary.queries.to_string());
        let more = columns(summary.engine).len();
        if let Some(blank) = more.checked_sub(1) {
            total.push(ratio(summary.ratio_total));
            mean.push(ratio(summary.geomean_ratio));
            total.extend(vec![String::new(); blank]);
            mean.extend(vec![String::new(); blank]);
        }
        counted.extend(vec![String::new(); more]);
    }
    grid.extend([total, mean]);
    // Only where the totals are not of the same queries.
    if report.summary.iter().any(|s| report.summary.iter().any(|t| s.queries != t.queries)) {
        grid.push(counted);
    }
    let mut text = title(report);
    text.push_str(&aligned(&grid));
    for line in report.comparisons().iter().chain(&report.notes()) {
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// The workload and the machine in one line.
pub(super) fn title(report: &Report) -> String {
    let machine = &report.machine;
    let workload = report.queries.first().map_or("", |q| q.workload.as_str());
    let cpu = machine.cpu.as_deref().unwrap_or("unknown processor");
    let memory = machine
        .memory_bytes
        .map_or(String::new(), |bytes| format!(", {:.0} GiB", bytes as f64 / (1u64 << 30) as f64));
    let version = |s: &EngineSummary| Some(format!(", {} {}", s.engine, s.version.as_ref()?));
    let others: String = report.summary.iter().filter_map(version).collect();
    format!(
        "{workload} on {} cores of {cpu} ({}){memory}; Staffa {}, DataFusion {}{others}, {} \
         build\n\n",
        machine.cores, machine.arch, machine.staffa, machine.datafusion, machine.build
    )
}

/// The results of one query each, in the order of the engines.
pub(super) fn groups(queries: &[QueryResult]) -> impl Iterator<Item = &[QueryResult]> {
    queries.chunk_by(|a, b| a.query == b.query)
}

/// A ratio with three digits, or a dash.
pub(super) fn ratio(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "-".to_string(), |ratio| format!("{ratio:.3}"))
}

/// Milliseconds with a digit or two, or a dash.
pub(super) fn millis(ms: Option<f64>) -> String {
    ms.map_or_else(|| "-".to_string(), |ms| format!("{ms:.*}", if ms < 100.0 { 2 } else { 1 }))
}

fn header(engines: &[EngineSummary]) -> Vec<String> {
    let mut header = vec!["query".to_string(), "rows".to_string()];
    for summary in engines {
        header.push(format!("{} ms", summary.engine));
        header.extend(columns(summary.engine).iter().map(ToString::to_string));
    }
    header
}

/// An engine's columns after its time: nothing to compare DataFusion with, and other programs do not
/// have our nodes.
fn columns(engine: &str) -> &'static [&'static str] {
    match Engine::named(engine) {
        Some(Engine::DataFusion) => &[],
        Some(engine) if engine.is_python() => &["ratio", "answer"],
        _ => &["ratio", "answer", "staffa/all nodes"],
    }
}

fn line(group: &[QueryResult]) -> Vec<String> {
    let name = group.first().map_or("", |q| q.query.as_str());
    let rows = group.iter().map(|q| q.rows).max().unwrap_or(0);
    let mut line = vec![name.to_string(), rows.to_string()];
    for query in group {
        line.push(millis(query.median_ms));
        for column in columns(query.engine) {
            line.push(match *column {
                "ratio" => ratio(query.ratio_to_datafusion),
                "answer" => query.verdict().to_string(),
                _ => {
                    let all = query.staffa_nodes + query.datafusion_nodes;
                    format!("{}/{all}", query.staffa_nodes)
                }
            });
        }
    }
    line
}

/// Columns padded to their widest cell, the first to the left and the others to the right.
fn aligned(grid: &[Vec<String>]) -> String {
    let columns = grid.first().map_or(0, Vec::len);
    let width = |c: usize| grid.iter().filter_map(|row| row.get(c)).map(String::len).max();
    let widths: Vec<usize> = (0..columns).map(|c| width(c).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in grid {
        let mut line = String::new();
        for (c, (cell, &width)) in row.iter().zip(&widths).enumerate() {
            let _ = if c == 0 {
                write!(line, "{cell:<width$}")
            } else {
                write!(line, "  {cell:>width$}")
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
