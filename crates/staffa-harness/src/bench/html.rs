//! The report as one page that needs nothing else: no script, no font, no network.

use std::fmt::Write;

use super::table::{groups, millis, ratio, title};
use super::{QueryResult, Report};

const STYLE: &str = "\
body{font:14px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#222}
table{border-collapse:collapse;width:100%}
th,td{padding:.2rem .6rem;text-align:right;border-bottom:1px solid #ddd;vertical-align:top}
th:first-child,td:first-child,td.why,th.why{text-align:left}
tr.first td{border-top:2px solid #999}
.bar{display:inline-block;height:.7rem;background:#4a7;vertical-align:middle}
.datafusion .bar{background:#999}
.bad{color:#b00;font-weight:bold}
td.why{font-size:12px;color:#555}
@media(prefers-color-scheme:dark){body{background:#181818;color:#ddd}th,td{border-color:#444}}
";

/// Bars are scaled within each query: the slowest engine's is 120 pixels.
const BAR_PIXELS: f64 = 120.0;

/// A page with the summary, a table of all results, and the problems.
pub(super) fn render(report: &Report) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <title>Staffa benchmark</title>\n<style>{STYLE}</style></head><body>\n\
         <h1>Staffa benchmark</h1>\n<p>{}</p>\n",
        escape(title(report).trim())
    );
    summary(report, &mut page);
    page.push_str(
        "<h2>Queries</h2>\n<p>Medians, planning included. Ratio: this engine's time over \
         DataFusion's; below 1 is faster.</p>\n<table><tr><th>query</th><th>engine</th>\
         <th>median ms</th><th></th><th>ratio</th><th>answer</th><th>rows</th>\
         <th>Staffa / all nodes</th><th class=\"why\">why nodes stay with DataFusion</th></tr>\n",
    );
    for group in groups(&report.queries) {
        let slowest = group.iter().filter_map(|q| q.median_ms).fold(0.0, f64::max);
        for (index, query) in group.iter().enumerate() {
            row(query, index == 0, slowest, &mut page);
        }
    }
    page.push_str("</table>\n");
    for line in report.comparisons().iter().chain(&report.notes()) {
        let _ = writeln!(page, "<pre>{}</pre>", escape(line));
    }
    for problem in report.problems() {
        let _ = writeln!(page, "<pre class=\"bad\">{}</pre>", escape(&problem));
    }
    page.push_str("</body></html>\n");
    page
}

fn summary(report: &Report, page: &mut String) {
    page.push_str(
        "<table><tr><th>engine</th><th>total ms</th><th>ratio of totals</th>\
         <th>geometric mean of ratios</th></tr>\n",
    );
    for engine in &report.summary {
        let _ = writeln!(
            page,
            "<tr><td>{}</td><td>{:.1}</td><td>{}</td><td>{}</td></tr>",
            escape(engine.engine),
            engine.total_ms,
            ratio(engine.ratio_total),
            ratio(engine.geomean_ratio)
        );
    }
    page.push_str("</table>\n");
}

fn row(query: &QueryResult, first: bool, slowest_ms: f64, page: &mut String) {
    let share = query.median_ms.map_or(0.0, |ms| ms / slowest_ms);
    let fine = query.is_python() || matches!(query.verdict(), "equal" | "reference");
    let bad = if fine { "" } else { " class=\"bad\"" };
    let _ = writeln!(
        page,
        "<tr class=\"{}{}\"><td>{}</td><td>{}</td><td>{}</td>\
         <td style=\"text-align:left\"><span class=\"bar\" style=\"width:{:.0}px\"></span></td>\
         <td>{}</td><td{bad}>{}</td><td>{}</td><td>{}/{}</td><td class=\"why\">{}</td></tr>",
        query.engine,
        if first { " first" } else { "" },
        escape(&query.query),
        query.engine,
        millis(query.median_ms),
        share * BAR_PIXELS,
        ratio(query.ratio_to_datafusion),
        query.verdict(),
        query.rows,
        query.staffa_nodes,
        query.staffa_nodes + query.datafusion_nodes,
        escape(&query.reasons.join("; ")),
    );
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
