//! The verdict on each record, and the totals.

use std::path::Path;
use std::time::Duration;

use super::run::Done;

/// What came of one file.
#[derive(Debug, Clone, Default)]
pub struct FileReport {
    /// The file.
    pub name: String,
    /// Records that ran SQL.
    pub records: usize,
    /// Of these, those that pass on stock.
    pub pass_on_stock: usize,
    /// Records in whose plan a Staffa node ran.
    pub accelerated: usize,
    /// EXPLAIN records, excluded.
    pub explains: usize,
    /// Records that pass as multisets, the file's order of rows being one of several.
    pub reordered: Vec<String>,
    /// Records in which a LIMIT without ORDER BY took other rows, as many and as they may come.
    pub open_limits: usize,
    /// Records that pass on stock and fail with Staffa: place and what differs.
    pub failures: Vec<String>,
    /// Records that fail on stock too, and whose answers differ.
    pub differs_beside: Vec<String>,
    /// Records that fail on stock too, but run, with equal answers.
    pub equal_beside: usize,
    /// What stock did not fulfil, record by record.
    pub stock_complaints: Vec<String>,
    /// Whether DataFusion's runner skips the file.
    pub skipped: bool,
}

/// All files together.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// One per file.
    pub files: Vec<FileReport>,
    /// Wall time.
    pub elapsed: Duration,
}

impl FileReport {
    pub(super) fn skipped(name: &Path) -> Self {
        Self { name: name.display().to_string(), skipped: true, ..Self::default() }
    }
}

/// Lays two runs of one file side by side.
pub(super) fn judge(name: &Path, stock: &[Done], staffa: &[Done]) -> FileReport {
    let mut report = FileReport { name: name.display().to_string(), ..FileReport::default() };
    if stock.len() != staffa.len() {
        let text = format!(
            "{}: {} records on stock, {} with Staffa",
            report.name,
            stock.len(),
            staffa.len()
        );
        report.failures.push(text);
    }
    for (theirs, ours) in stock.iter().zip(staffa) {
        report.records += 1;
        report.accelerated += usize::from(ours.ran.staffa_nodes > 0);
        if is_explain(&theirs.ran.sql) {
            report.explains += 1;
            continue;
        }
        let stock_passes = theirs.complaint.is_none();
        report.pass_on_stock += usize::from(stock_passes);
        if let Some(complaint) = &theirs.complaint {
            report.stock_complaints.push(format!("{}: {complaint}", theirs.place));
        }
        match (stock_passes, &ours.complaint) {
            (true, None) => {}
            (true, Some(complaint)) => match difference(theirs, ours) {
                None if theirs.ran.open_limit => report.open_limits += 1,
                None if has_order(&ours.ran.sql) && !ours.place.starts_with(TIES) => {
                    report.failures.push(format!(
                        "{} [{} Staffa nodes]: rows in another order\n{}\n{complaint}",
                        ours.place, ours.ran.staffa_nodes, ours.ran.sql
                    ));
                }
                None => report.reordered.push(format!("{}\n{}", ours.place, ours.ran.sql)),
                Some(text) => report.failures.push(format!(
                    "{} [{} Staffa nodes]: {text}\n{}\n{complaint}",
                    ours.place, ours.ran.staffa_nodes, ours.ran.sql
                )),
            },
            (false, _) => match (difference(theirs, ours), &theirs.ran.result) {
                (None, Ok(_)) => report.equal_beside += 1,
                (None, Err(_)) => {}
                (Some(text), _) => report.differs_beside.push(format!(
                    "{} [{} Staffa nodes]: {text}\n{}",
                    ours.place, ours.ran.staffa_nodes, ours.ran.sql
                )),
            },
        }
    }
    report
}

/// Its ORDER BY leaves ties, which stock happens to put as the file has them.
const TIES: &str = "information_schema.slt:860";

/// Whether the statement ends in an ORDER BY of its own.
fn has_order(sql: &str) -> bool {
    let end = sql.rsplit(')').next().unwrap_or_default().to_ascii_lowercase();
    end.split_whitespace().collect::<Vec<_>>().windows(2).any(|words| words == ["order", "by"])
}

fn is_explain(sql: &str) -> bool {
    sql.trim_start().get(..7).is_some_and(|word| word.eq_ignore_ascii_case("explain"))
}

/// Compares rows as multisets and the stock plan's sort keys in sequence; two errors are alike.
/// Rows that list Staffa's own settings are left out.
fn difference(stock: &Done, staffa: &Done) -> Option<String> {
    let (theirs, ours) = match (&stock.ran.result, &staffa.ran.result) {
        (Ok(theirs), Ok(ours)) => (theirs, ours),
        (Err(_), Err(_)) if stock.complaint.is_some() => return None,
        (Err(theirs), Err(ours)) => {
            return (theirs != ours)
                .then(|| format!("stock errs with: {theirs}\nStaffa with: {ours}"));
        }
        (Ok(_), Err(error)) => return Some(format!("Staffa errs: {error}")),
        (Err(error), Ok(_)) => return Some(format!("only stock errs: {error}")),
    };
    let ours: Vec<&Vec<String>> =
        ours.iter().filter(|row| !row.iter().any(|cell| cell.starts_with("staffa."))).collect();
    let theirs: Vec<&Vec<String>> = theirs.iter().collect();
    if theirs.len() != ours.len() {
        return Some(format!("{} rows on stock, {} with Staffa", theirs.len(), ours.len()));
    }
    let keys = &stock.ran.order;
    for (at, (a, b)) in theirs.iter().zip(&ours).enumerate() {
        if let Some(key) = keys.iter().find(|&&k| a.get(k) != b.get(k)) {
            return Some(format!(
                "sort key {key} differs at row {at}: {a:?} on stock, {b:?} with Staffa"
            ));
        }
    }
    if stock.ran.open_limit {
        return None;
    }
    let sorted = |rows: &[&Vec<String>]| {
        let mut rows: Vec<Vec<String>> = rows.iter().map(|r| (*r).clone()).collect();
        rows.sort();
        rows
    };
    let (theirs, ours) = (sorted(&theirs), sorted(&ours));
    let first = theirs.iter().zip(&ours).find(|(a, b)| a != b);
    first.map(|(a, b)| format!("{a:?} on stock, {b:?} with Staffa (rows sorted)"))
}

impl Report {
    pub(super) fn add(&mut self, file: FileReport) {
        self.files.push(file);
    }

    pub(super) fn sort(&mut self) {
        self.files.sort_by(|a, b| a.name.cmp(&b.name));
    }

    fn sum(&self, count: impl Fn(&FileReport) -> usize) -> usize {
        self.files.iter().map(count).sum()
    }

    /// Records in whose plan a Staffa node ran.
    pub fn accelerated(&self) -> usize {
        self.sum(|f| f.accelerated)
    }

    /// Records that pass on a stock session.
    pub fn pass_on_stock(&self) -> usize {
        self.sum(|f| f.pass_on_stock)
    }

    /// Records that pass on stock and fail with Staffa.
    pub fn failures(&self) -> Vec<&String> {
        self.files.iter().flat_map(|f| &f.failures).collect()
    }

    /// Failures in full, then the totals.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for failure in self.failures() {
            text.push_str(&format!("FAILED {failure}\n\n"));
        }
        for beside in self.files.iter().flat_map(|f| &f.differs_beside) {
            text.push_str(&format!("differs, fails on stock too: {beside}\n\n"));
        }
        for reordered in self.files.iter().flat_map(|f| &f.reordered) {
            text.push_str(&format!("passes in another order of rows: {reordered}\n\n"));
        }
        text.push_str(&format!(
            "{} files ({} skipped by DataFusion's runner) in {:.0} s\n",
            self.files.len(),
            self.sum(|f| usize::from(f.skipped)),
            self.elapsed.as_secs_f64()
        ));
        for (what, count) in [
            ("records", self.sum(|f| f.records)),
            ("a Staffa node ran in", self.accelerated()),
            ("EXPLAIN, excluded", self.sum(|f| f.explains)),
            ("pass on stock", self.pass_on_stock()),
            ("pass with rows in another order", self.sum(|f| f.reordered.len())),
            ("pass with other rows under LIMIT without ORDER BY", self.sum(|f| f.open_limits)),
            ("FAIL with Staffa", self.failures().len()),
            ("fail on stock too, answers equal", self.sum(|f| f.equal_beside)),
            ("fail on stock too, answers differ", self.sum(|f| f.differs_beside.len())),
        ] {
            text.push_str(&format!("  {count:>7} {what}\n"));
        }
        text
    }
}
