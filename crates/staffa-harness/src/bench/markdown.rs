//! The report as a table for a page of documentation.

use std::fmt::Write;

use super::table::{groups, millis, ratio, title};
use super::{EngineSummary, QueryResult, Report};

/// The machine in a line, a row a query, totals, and what is to be said besides.
pub(super) fn render(report: &Report) -> String {
    let mut text = title(report);
    let engines: Vec<String> = report.summary.iter().flat_map(heads).collect();
    line(&mut text, "query", &engines);
    line(&mut text, "---", &vec!["---".to_string(); engines.len()]);
    for group in groups(&report.queries) {
        let name = group.first().map_or("", |q| q.query.as_str());
        line(&mut text, name, &group.iter().flat_map(cells).collect::<Vec<_>>());
    }
    let every = |of: fn(&EngineSummary) -> [String; 2]| -> Vec<String> {
        let cells = |s: &EngineSummary| {
            let keep = if s.engine == "datafusion" { 1 } else { 2 };
            of(s).into_iter().take(keep).collect::<Vec<_>>()
        };
        report.summary.iter().flat_map(cells).collect()
    };
    line(&mut text, "total", &every(|s| [format!("{:.1}", s.total_ms), ratio(s.ratio_total)]));
    line(&mut text, "geometric mean", &every(|s| [String::new(), ratio(s.geomean_ratio)]));
    line(&mut text, "queries counted", &every(|s| [s.queries.to_string(), String::new()]));
    let (comparisons, problems, notes) = (report.comparisons(), report.problems(), report.notes());
    if !(comparisons.is_empty() && problems.is_empty() && notes.is_empty()) {
        text.push('\n');
    }
    for note in comparisons.iter().chain(&problems).chain(&notes) {
        // Writing to a String does not fail.
        let _ = writeln!(text, "- {}", cell(note.lines().next().unwrap_or_default()));
    }
    text
}

fn heads(summary: &EngineSummary) -> Vec<String> {
    let name = match &summary.version {
        Some(version) => format!("{} {} ms", summary.engine, cell(version)),
        None => format!("{} ms", summary.engine),
    };
    if summary.engine == "datafusion" { vec![name] } else { vec![name, "ratio".to_string()] }
}

fn cells(query: &QueryResult) -> Vec<String> {
    if query.engine == "datafusion" {
        return vec![millis(query.median_ms)];
    }
    let remark = match query.verdict() {
        "equal" => String::new(),
        other => format!(" ({other})"),
    };
    vec![millis(query.median_ms), format!("{}{remark}", ratio(query.ratio_to_datafusion))]
}

fn line(text: &mut String, first: &str, cells: &[String]) {
    // Writing to a String does not fail.
    let _ = write!(text, "| {first} |");
    for cell in cells {
        let _ = write!(text, " {cell} |");
    }
    text.push('\n');
}

/// Text of others, which must not end a cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
