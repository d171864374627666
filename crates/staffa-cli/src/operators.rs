//! `staffa bench operators`: single operators, DataFusion's beside Staffa's.

use std::fmt::Write;
use std::time::Instant;

use datafusion::common::Result;
use staffa_harness::SessionOptions;
use staffa_harness::operators::{ROWS, Ready, cases};

use crate::bench::{bar, positive};
use crate::output;

/// Options of `staffa bench operators`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only cases whose name has one of these parts, e.g. group-by/string,join [default: all]
    #[arg(long, value_delimiter = ',')]
    cases: Vec<String>,

    /// Rows of the larger table of a case
    #[arg(long, default_value_t = ROWS, value_parser = positive)]
    rows: usize,

    /// Counted runs of each case on each engine
    #[arg(long, default_value_t = 5, value_parser = positive)]
    runs: usize,

    /// Target partitions of every session [default: one per core]
    #[arg(long, value_parser = positive)]
    partitions: Option<usize>,
}

/// Measures and prints a table; false if no case has such a name.
pub(crate) async fn run(args: Args) -> Result<bool> {
    let options =
        SessionOptions { target_partitions: args.partitions, ..SessionOptions::default() };
    let mut cases = cases(args.rows);
    cases.retain(|case| {
        args.cases.is_empty() || args.cases.iter().any(|part| case.name.contains(part.as_str()))
    });
    let bar = bar(cases.len() as u64, "running   {bar:30} {pos}/{len} cases {elapsed}");
    let mut text = String::from(
        "| case | rows in | DataFusion ms | Staffa ms | Staffa / DataFusion | Staffa M rows/s |\n\
         |---|---|---|---|---|---|\n",
    );
    let some = !cases.is_empty();
    for case in cases {
        let (name, rows) = (case.name.clone(), case.rows);
        let (stock, staffa) = medians(&case.ready(&options).await?, args.runs).await?;
        let (ratio, rate) = (staffa / stock, rows as f64 / staffa / 1e3);
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "| {name} | {rows} | {stock:.1} | {staffa:.1} | {ratio:.3} | {rate:.1} |"
        );
        bar.inc(1);
    }
    bar.finish_and_clear();
    if !some {
        eprintln!("no case has such a name");
    }
    output::print(&text)?;
    Ok(some)
}

/// Milliseconds on DataFusion and on Staffa: both in turns, so that what else the machine does meets both.
async fn medians(ready: &Ready, runs: usize) -> Result<(f64, f64)> {
    let (mut stock, mut staffa) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        let start = Instant::now();
        ready.datafusion().await?;
        stock.push(start.elapsed().as_secs_f64() * 1e3);
        let start = Instant::now();
        ready.staffa().await?;
        staffa.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok((median(stock), median(staffa)))
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}
