//! The same cases as `decode`, as a table of ratios: both readers in turns, the best of many rounds
//! each, so that a busy machine changes the figures little. Names given on the command line choose
//! cases by a part of their id.

mod cases;

use std::time::{Duration, Instant};

use cases::{ROWS, Ready, cases};
use parquet::basic::Compression;

fn best(rounds: usize, runs: &mut [&mut dyn FnMut() -> usize]) -> Vec<Duration> {
    let mut best = vec![Duration::MAX; runs.len()];
    for _ in 0..rounds {
        for (run, best) in runs.iter_mut().zip(&mut best) {
            let start = Instant::now();
            assert_eq!(run(), ROWS);
            *best = start.elapsed().min(*best);
        }
    }
    best
}

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    println!("| case | arrow-rs ns/row | staffa ns/row | ratio | codes ns/row | ratio |");
    println!("|---|---|---|---|---|---|");
    for case in cases() {
        for (nulls, nulls_name) in [(None, "required"), (Some(0.1), "nulls=0.1")] {
            let codecs = [(Compression::UNCOMPRESSED, "none"), (Compression::SNAPPY, "snappy")];
            for (codec, codec_name) in codecs {
                let name = format!("{}/{nulls_name}/{codec_name}", case.name);
                if !wanted.is_empty() && !wanted.iter().any(|w| name.contains(w.as_str())) {
                    continue;
                }
                let ready = Ready::new(&case, nulls, codec);
                let (mut a, mut b) = (|| ready.arrow_rs(), || ready.staffa(false));
                let mut c = || ready.staffa(true);
                let mut runs: Vec<&mut dyn FnMut() -> usize> = vec![&mut a, &mut b];
                if case.dictionary {
                    runs.push(&mut c);
                }
                let times = best(25, &mut runs);
                let ns: Vec<f64> =
                    times.iter().map(|t| t.as_nanos() as f64 / ROWS as f64).collect();
                print!("| {name} | {:.2} | {:.2} | {:.2} |", ns[0], ns[1], ns[0] / ns[1]);
                match ns.get(2) {
                    Some(c) => println!(" {c:.2} | {:.2} |", ns[0] / c),
                    None => println!(" | |"),
                }
            }
        }
    }
}
