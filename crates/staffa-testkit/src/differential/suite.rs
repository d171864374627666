//! Many cases at once: run, counted, reported.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::common::Result;
use futures::StreamExt;

use super::case::{Case, Outcome, Source, Verdict};
use super::generator::Coverage;
use super::progress::{Overdue, Progress};
use crate::engine::Engine;

/// How often a running case is asked how it goes.
const ASK: Duration = Duration::from_secs(1);

/// What to run.
#[derive(Debug, Clone)]
pub struct Suite {
    /// The seeds, one case each.
    pub seeds: Range<u64>,
    /// Cases in flight at once.
    pub workers: usize,
    /// The engines under test; none runs stock DataFusion against itself under other settings.
    pub engines: Vec<Engine>,
    /// Where the tables come from.
    pub source: Source,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Cases run.
    pub cases: usize,
    /// Equal and accelerated.
    pub equal: usize,
    /// Equal, but nothing was accelerated: the seeds.
    pub vacuous: Vec<u64>,
    /// Refused by both engines: message -> how often.
    pub both_err: BTreeMap<String, usize>,
    /// Stock DataFusion contradicts its own simplest plan, so there is no oracle: the seeds.
    pub stock_errs: Vec<u64>,
    /// Stock DataFusion did not end in time: the seeds.
    pub stock_slow: Vec<u64>,
    /// Failures: seed and difference.
    pub failed: Vec<(u64, String)>,
    /// Operators x types.
    pub coverage: Coverage,
    /// Plan nodes: name -> (accelerated, left to DataFusion).
    pub nodes: BTreeMap<String, (usize, usize)>,
    /// Reasons why nodes stayed -> how often.
    pub reasons: BTreeMap<String, usize>,
    /// Cases in which a device made morsels.
    pub on_a_device: usize,
    /// Cases that were compared by the places of rows under sort keys that they hide.
    pub placed: usize,
    /// Wall time.
    pub elapsed: Duration,
}

impl Suite {
    /// Runs every seed; failures are printed as they come, each with the line that replays it.
    pub async fn run(&self) -> Report {
        let start = Instant::now();
        let mut report = Report::default();
        let mut cases = futures::stream::iter(self.seeds.clone())
            .map(|seed| {
                let (engines, source) = (self.engines.clone(), self.source);
                async move { (seed, guarded(seed, source, engines).await) }
            })
            .buffer_unordered(self.workers.max(1));
        while let Some((seed, (coverage, outcome))) = cases.next().await {
            report.add(seed, self.source, coverage, outcome);
        }
        report.failed.sort();
        report.vacuous.sort_unstable();
        report.elapsed = start.elapsed();
        report
    }
}

/// Runs one case in a task of its own, so that a panic or a hang is a verdict like any other.
async fn guarded(seed: u64, source: Source, engines: Vec<Engine>) -> (Coverage, Outcome) {
    let progress = Arc::new(Progress::default());
    let mut task = tokio::spawn(one(seed, source, engines, Arc::clone(&progress)));
    let verdict = loop {
        match (tokio::time::timeout(ASK, &mut task).await, progress.overdue()) {
            (Ok(Ok(Ok(done))), _) => return done,
            (Ok(Ok(Err(error))), _) => {
                break Verdict::Failed(format!("the case cannot be run: {error}"));
            }
            (Ok(Err(panic)), _) => break Verdict::Failed(format!("panicked: {panic}")),
            (Err(_), None) => {}
            (Err(_), Some(Overdue::Stock)) => break Verdict::StockSlow,
            (Err(_), Some(Overdue::Tested(taken))) => {
                break Verdict::Failed(format!("hangs: no end after {} s", taken.as_secs()));
            }
        }
    };
    task.abort();
    let outcome = Outcome {
        verdict,
        nodes: Vec::new(),
        reasons: Vec::new(),
        device_morsels: 0,
        placed: false,
    };
    (Coverage::new(), outcome)
}

async fn one(
    seed: u64,
    source: Source,
    engines: Vec<Engine>,
    progress: Arc<Progress>,
) -> Result<(Coverage, Outcome)> {
    let case = Case::new(seed, source).await?;
    let outcome = match engines.as_slice() {
        [] => case.run_against_itself(&progress).await?,
        engines => case.run(engines, &progress).await?,
    };
    Ok((case.coverage, outcome))
}

impl Report {
    fn add(&mut self, seed: u64, source: Source, coverage: Coverage, outcome: Outcome) {
        self.cases += 1;
        self.placed += usize::from(outcome.placed);
        self.on_a_device += usize::from(outcome.device_morsels > 0);
        for (name, accelerated) in outcome.nodes {
            let counts = self.nodes.entry(name).or_default();
            if accelerated {
                counts.0 += 1;
            } else {
                counts.1 += 1;
            }
        }
        for reason in outcome.reasons {
            *self.reasons.entry(reason).or_default() += 1;
        }
        match outcome.verdict {
            Verdict::Equal => self.equal += 1,
            Verdict::Vacuous => self.vacuous.push(seed),
            Verdict::BothErr(message) => {
                let short: String =
                    message.lines().next().unwrap_or("").chars().take(120).collect();
                *self.both_err.entry(short).or_default() += 1;
                return;
            }
            Verdict::StockErs(text) => {
                println!("stock DataFusion contradicts itself (seed {seed}): {text}");
                self.stock_errs.push(seed);
            }
            Verdict::StockSlow => {
                println!("stock DataFusion is too slow (seed {seed})");
                self.stock_slow.push(seed);
            }
            Verdict::Failed(text) => {
                println!("FAILED {text}\n  {}", Case::replay_line(seed, source));
                self.failed.push((seed, text));
            }
        }
        for (key, count) in coverage {
            *self.coverage.entry(key).or_default() += count;
        }
    }

    /// How many cases both engines refused.
    pub fn refused(&self) -> usize {
        self.both_err.values().sum()
    }

    /// The report as text: totals, nodes, reasons, and the coverage of operators by types.
    pub fn text(&self) -> String {
        let mut text = format!(
            "{} cases in {:.1} s: {} equal, {} failed, {} vacuous, {} refused by both, \
             {} stock bugs, {} too slow for stock, {} on a device, {} by hidden keys\n",
            self.cases,
            self.elapsed.as_secs_f64(),
            self.equal,
            self.failed.len(),
            self.vacuous.len(),
            self.refused(),
            self.stock_errs.len(),
            self.stock_slow.len(),
            self.on_a_device,
            self.placed
        );
        text.push_str("\nplan nodes (accelerated / left to DataFusion)\n");
        for (name, (ours, theirs)) in &self.nodes {
            text.push_str(&format!("  {name:<32} {ours:>7} / {theirs}\n"));
        }
        text.push_str("\nreasons\n");
        for (reason, count) in &self.reasons {
            text.push_str(&format!("  {count:>6}  {reason}\n"));
        }
        text.push_str("\nrefused by both\n");
        for (message, count) in &self.both_err {
            text.push_str(&format!("  {count:>6}  {message}\n"));
        }
        text.push_str(&self.coverage_table());
        text
    }

    /// Operators with the types they met; the last lines list operators that have no type.
    pub fn coverage_table(&self) -> String {
        let mut rows: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for ((operator, label), count) in &self.coverage {
            rows.entry(operator).or_default().push(format!("{label} {count}"));
        }
        let mut text = String::from("\ncoverage (operator: type and times met)\n");
        for (operator, types) in rows {
            text.push_str(&format!("  {operator:<18} {:>3}: {}\n", types.len(), types.join(", ")));
        }
        text
    }
}
