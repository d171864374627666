//! Joins, group-bys, exchanges and sorts beside DataFusion's own, in one process: the cases of
//! `staffa bench operators`.
//!
//! Ids read `cpu/<operator>/<particulars>/<engine>`; the throughput is of the rows that go in. `STAFFA_BENCH_ROWS`
//! sets the rows of the larger table (10 M).
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run ends")]

use std::time::Duration;

use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use staffa_harness::{SessionOptions, operators};
use tokio::runtime::Runtime;

fn run(c: &mut Criterion) {
    let rows = std::env::var("STAFFA_BENCH_ROWS").ok().and_then(|rows| rows.parse().ok());
    let runtime = Runtime::new().unwrap();
    for case in operators::cases(rows.unwrap_or(operators::ROWS)) {
        let mut group = c.benchmark_group(format!("cpu/{}", case.name));
        group.throughput(Throughput::Elements(case.rows as u64));
        group.sampling_mode(SamplingMode::Flat);
        // Tables are made for the cases that are run only.
        let mut made = Some(case);
        let mut ready = None;
        for engine in ["datafusion", "staffa"] {
            group.bench_function(engine, |b| {
                if let Some(case) = made.take() {
                    ready = Some(runtime.block_on(case.ready(&SessionOptions::default())).unwrap());
                }
                let Some(ready) = &ready else { return };
                b.iter(|| match engine {
                    "staffa" => runtime.block_on(ready.staffa()).unwrap(),
                    _ => runtime.block_on(ready.datafusion()).unwrap(),
                });
            });
        }
        group.finish();
    }
}

fn config() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(5))
        .sample_size(10)
}

criterion_group! { name = benches; config = config(); targets = run }
criterion_main!(benches);
