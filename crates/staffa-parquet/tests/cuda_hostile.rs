//! Corrupted files through the device's decoder: where it answers, it answers as the CPU decoder does;
//! where it refuses and the CPU does not, the reason is listed here. No lost context, ever.
//!
//! `STAFFA_PARQUET_DEVICE_FILES` sets how many files, `STAFFA_SEED` where to start. Needs a device.

mod common;
mod corrupt;

use std::collections::BTreeMap;

use arrow::array::ArrayRef;
use bytes::Bytes;
use common::gpu::{Gpu, gpu};
use common::*;
use corrupt::{mutate, originals};
use staffa_common::FaultClass;
use staffa_parquet::*;

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
    ("needs more bits than its width", "the device compares a run's value as it is stored"),
    ("prefixes for", "the device decodes as many strings as rows have values"),
    ("lengths for", "the same"),
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

#[test]
fn corrupted_files_are_answered_as_on_the_cpu() {
    let Some(gpu) = gpu(true) else { return };
    let files = setting("STAFFA_PARQUET_DEVICE_FILES", 600);
    let first = setting("STAFFA_SEED", 1);
    let originals = originals();
    let (mut same, mut both) = (0, 0);
    let mut stricter: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    let mut wrong = Vec::new();
    for seed in first..first + files {
        let original = &originals[seed as usize % originals.len()];
        let (bytes, what) = mutate(original, seed);
        let (cpu, device) = (on_cpu(&bytes), on_device(&gpu, &bytes, seed % 2 == 0));
        match (cpu, device) {
            (Ok(cpu), Ok(device)) if cpu == device => same += 1,
            (Ok(_), Ok(_)) => wrong.push(format!("seed {seed}: {what}: other rows")),
            (Err(cpu), Err(device)) => {
                both += 1;
                assert!(device.place().file.is_some(), "seed {seed}: {device}");
                let classes = (cpu.class(), device.class());
                let alike = classes.0 == classes.1
                    || classes == (FaultClass::BadInput, FaultClass::Unsupported)
                    || classes == (FaultClass::Unsupported, FaultClass::BadInput)
                    || classes.1 == FaultClass::OutOfMemory;
                if !alike {
                    wrong.push(format!("seed {seed}: {what}: {cpu} / {device}"));
                }
            }
            (Err(cpu), Ok(device)) => {
                let known = LENIENT.iter().any(|(known, _)| cpu.what().contains(known));
                let rows = arrow_rs(&bytes, None);
                if !known || rows.is_ok_and(|rows| rows.columns() != device) {
                    wrong.push(format!("seed {seed}: {what}: only the CPU: {cpu}"));
                }
            }
            (Ok(_), Err(device)) => {
                let kind = device.what().split(" (").next().unwrap_or_default().to_owned();
                let entry = stricter.entry(kind).or_default();
                *entry = (entry.0 + 1, seed);
            }
        }
    }
    println!("{files} corrupted files: same rows {same}, both refuse {both}");
    println!("only the device refuses: {stricter:#?}");
    assert!(wrong.is_empty(), "{} of {files}: {wrong:#?}", wrong.len());
    let unknown: Vec<_> = stricter
        .keys()
        .filter(|what| !STRICTER.iter().any(|(known, _)| what.contains(known)))
        .collect();
    assert!(unknown.is_empty(), "refused for new reasons: {unknown:#?}");
    assert!(files < 500 || (same > files / 10 && both > files / 10));
}
