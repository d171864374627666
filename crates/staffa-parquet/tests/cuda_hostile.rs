//! Corrupted files through the device's decoder: where it answers, it answers as the CPU decoder does;
//! where it refuses and the CPU does not, the reason is listed here. No lost context, ever; memory of
//! device and host stays small; errors name row group, column and page.
//!
//! `STAFFA_PARQUET_DEVICE_FILES` sets how many files, `STAFFA_SEED` where to start. Needs a device.

mod allocations;
mod common;
mod corrupt;

use std::collections::BTreeMap;
use std::time::Instant;

use allocations::Allocations;
use arrow::array::ArrayRef;
use bytes::Bytes;
use common::gpu::{Gpu, gpu};
use common::*;
use corrupt::{misplaced, mutate, originals};
use staffa_common::FaultClass;
use staffa_parquet::*;

#[global_allocator]
static ALLOCATIONS: Allocations = Allocations;

/// The most that one of these files, of 200 rows, may take of the device, and of the host.
const MOST_DEVICE_BYTES: u64 = 64 << 20;
const MOST_HOST_BYTES: usize = 256 << 20;
/// Far above what a file takes on the emulated driver; a kernel without end is stopped before.
const MOST_SECONDS: f64 = 60.0;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

/// What only the device refuses, and why.
const STRICTER: &[(&str, &str)] = &[
    ("a definition level is above", "the CPU decoder looks at levels bit by bit"),
    ("definition levels end", "the device walks the runs of all rows"),
    ("a run header is no varint", "the device walks the runs behind the last value that is used"),
    ("P009", "a delta stream that no row needs, behind NULLs, is looked at all the same"),
    ("P011", "the device refuses a stream that declares more values than its page has rows"),
    ("P012", "the same as P009"),
    ("decimal has more bytes", "the CPU decoder truncates a dictionary entry that no row names"),
    ("is not in the column's", "the same"),
    ("in DELTA", "a page of NULLs alone is read whatever its encoding says"),
    ("in PLAIN", "the same"),
    ("in RLE", "the same"),
    ("in BIT_PACKED", "the same"),
    ("in BYTE_STREAM_SPLIT", "the same"),
];

/// What only the CPU refuses: the same rows as arrow-rs then, or its refusal.
const LENIENT: &[(&str, &str)] = &[
    ("prefixes for", "the device decodes as many strings as rows have values"),
    ("lengths for", "the same"),
    (
        "too few definition levels",
        "the device looks at the levels of the pages that have rows only",
    ),
    ("run of length zero", "the device steps over it, since it takes a byte of the page"),
];

fn on_device(gpu: &Gpu, bytes: &Bytes, codes: bool) -> Result<Vec<ArrayRef>> {
    let file = open(bytes)?;
    let schema = file.footer().schema().clone();
    let options: Vec<_> = schema
        .fields()
        .iter()
        .map(|field| {
            let mut options = ReadOptions::new(field.data_type().clone());
            options.codes = codes;
            options
        })
        .collect();
    let leaves: Vec<usize> = (0..options.len()).collect();
    let arrays = gpu.columns(&file, &leaves, &options, 1 << 20)?;
    arrays.iter().for_each(validate);
    Ok(arrays)
}

fn on_cpu(bytes: &Bytes) -> Result<Vec<ArrayRef>> {
    let file = open(bytes)?;
    let schema = file.footer().schema().clone();
    let columns = schema.fields().iter().enumerate();
    columns
        .map(|(leaf, field)| {
            column(&file, leaf, &ReadOptions::new(field.data_type().clone()), 1 << 20)
        })
        .collect()
}

/// What became of all files.
#[derive(Debug, Default)]
struct Tally {
    same: u64,
    both_refuse: u64,
    /// How many, and a seed that shows it.
    only_device_refuses: BTreeMap<String, (u64, u64)>,
    wrong: Vec<String>,
    most_device_bytes: u64,
    most_host_bytes: usize,
    most_seconds: f64,
}

impl Tally {
    fn compare(
        &mut self,
        seed: u64,
        what: &str,
        bytes: &Bytes,
        answers: (Result<Vec<ArrayRef>>, Result<Vec<ArrayRef>>),
    ) {
        let opens = open(bytes).is_ok();
        if let Some(why) = answers.1.as_ref().err().and_then(|error| misplaced(error, opens)) {
            let error = answers.1.as_ref().err().map(ToString::to_string).unwrap_or_default();
            self.wrong.push(format!("seed {seed}: {what}: {why}: {error}"));
        }
        match answers {
            (Ok(cpu), Ok(device)) if cpu == device => self.same += 1,
            (Ok(_), Ok(_)) => self.wrong.push(format!("seed {seed}: {what}: other rows")),
            (Err(cpu), Err(device)) => {
                self.both_refuse += 1;
                let classes = (cpu.class(), device.class());
                let alike = classes.0 == classes.1
                    || classes == (FaultClass::BadInput, FaultClass::Unsupported)
                    || classes == (FaultClass::Unsupported, FaultClass::BadInput)
                    || classes.1 == FaultClass::OutOfMemory;
                if !alike {
                    self.wrong.push(format!("seed {seed}: {what}: {cpu} / {device}"));
                }
            }
            (Err(cpu), Ok(device)) => {
                let known = LENIENT.iter().any(|(known, _)| cpu.what().contains(known));
                let rows = arrow_rs(bytes, None);
                if !known || rows.is_ok_and(|rows| rows.columns() != device) {
                    self.wrong.push(format!("seed {seed}: {what}: only the CPU: {cpu}"));
                }
            }
            (Ok(_), Err(device)) => {
                let kind = device.what().split(" (").next().unwrap_or_default().to_owned();
                let entry = self.only_device_refuses.entry(kind).or_default();
                *entry = (entry.0 + 1, seed);
            }
        }
    }
}

#[test]
fn corrupted_files_are_answered_as_on_the_cpu() {
    let Some(mut gpu) = gpu(true) else { return };
    let files = setting("STAFFA_PARQUET_DEVICE_FILES", 600);
    let first = setting("STAFFA_SEED", 1);
    let originals = originals();
    let mut tally = Tally::default();
    for seed in first..first + files {
        let original = &originals[seed as usize % originals.len()];
        let (bytes, what) = mutate(original, seed);
        let cpu = on_cpu(&bytes);
        // A reservation of its own, whose peak is this file's.
        gpu.memory = gpu.pool.reserve(format!("seed {seed}"), &gpu.counters);
        Allocations::reset();
        let (start, before) = (Instant::now(), Allocations::peak());
        let device = on_device(&gpu, &bytes, seed % 2 == 0);
        let (seconds, host) = (start.elapsed().as_secs_f64(), Allocations::peak() - before);
        let held = gpu.memory.high_bytes();
        if held > MOST_DEVICE_BYTES || host > MOST_HOST_BYTES || seconds > MOST_SECONDS {
            let took = format!("{held} device bytes, {host} host bytes, {seconds} s");
            tally.wrong.push(format!("seed {seed}: {what}: {took}"));
        }
        tally.most_device_bytes = tally.most_device_bytes.max(held);
        tally.most_host_bytes = tally.most_host_bytes.max(host);
        tally.most_seconds = tally.most_seconds.max(seconds);
        tally.compare(seed, &what, &bytes, (cpu, device));
    }
    println!("{files} corrupted files from seed {first}: {tally:#?}");
    assert!(tally.wrong.is_empty(), "{} of {files}: {:#?}", tally.wrong.len(), tally.wrong);
    let unknown: Vec<_> = tally
        .only_device_refuses
        .keys()
        .filter(|what| !STRICTER.iter().any(|(known, _)| what.contains(known)))
        .collect();
    assert!(unknown.is_empty(), "refused for new reasons: {unknown:#?}");
    let least = files / 10;
    assert!(files < 500 || (tally.same > least && tally.both_refuse > least));
}
