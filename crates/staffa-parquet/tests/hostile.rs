//! Corrupted files: an answer or an error that says where, never a panic, a hang or a large allocation.
//!
//! Thousands of files per run, from one seed. `STAFFA_PARQUET_FILES` sets how many,
//! `STAFFA_SEED` where to start; a failure prints both for the file that failed.

mod allocations;
mod common;
mod corrupt;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use allocations::Allocations;
use arrow::array::*;
use bytes::Bytes;
use common::*;
use corrupt::{misplaced, mutate, originals};
use staffa_parquet::*;

#[global_allocator]
static ALLOCATIONS: Allocations = Allocations;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

/// All columns through our reader.
fn read(bytes: &Bytes, codes: bool) -> staffa_parquet::Result<Vec<ArrayRef>> {
    let file = open(bytes)?;
    let schema = file.footer().schema().clone();
    let columns = schema.fields().iter().enumerate();
    columns
        .map(|(leaf, f)| {
            let mut options = ReadOptions::new(f.data_type().clone());
            options.codes = codes;
            column_checked(&file, leaf, &options)
        })
        .collect()
}

fn column_checked(
    file: &ParquetFile,
    leaf: usize,
    options: &ReadOptions,
) -> staffa_parquet::Result<ArrayRef> {
    let array = column(file, leaf, options, 512)?;
    validate(&array);
    Ok(array)
}

/// The same through arrow-rs, which panics on some.
fn arrow_answer(bytes: &Bytes) -> Result<RecordBatch, String> {
    catch_unwind(AssertUnwindSafe(|| arrow_rs(bytes, None)))
        .unwrap_or_else(|_| Err("arrow-rs panicked".into()))
}

#[derive(Debug, Default)]
struct Tally {
    same: u64,
    both_refuse: u64,
    /// How many, and a seed that shows it.
    only_we_refuse: BTreeMap<String, (u64, u64)>,
    /// Those that read as the intact file does, and those that do not.
    only_arrow_refuses: [BTreeMap<String, (u64, u64)>; 2],
    differ: Vec<String>,
}

/// Digits and quoted text differ from file to file; the kind of message does not.
fn kind(message: &str) -> String {
    let at = message.rfind(": ").map_or(0, |at| at + 2);
    // A number alone is no kind.
    let number = message[at..].bytes().all(|b| b.is_ascii_digit());
    let whole = message.rfind("error: ").map_or(0, |at| at + "error: ".len());
    let text = &message[if number { whole } else { at }..];
    let text: String = text.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).collect();
    text.replace("##", "#").replace("##", "#").replace("##", "#").chars().take(70).collect()
}

#[test]
fn corrupted_files_are_answered() {
    let files = setting("STAFFA_PARQUET_FILES", 5000);
    let first = setting("STAFFA_SEED", 1);
    let originals = originals();
    let intact: Vec<RecordBatch> =
        originals.iter().map(|file| arrow_rs(&file.bytes, None).unwrap()).collect();
    // arrow-rs's panics are caught and counted; their messages would bury the report.
    std::panic::set_hook(Box::new(|_| {}));
    let mut tally = Tally::default();
    let mut worst = (0.0f64, 0usize);
    for seed in first..first + files {
        let at = seed as usize % originals.len();
        let (bytes, what) = mutate(&originals[at], seed);
        let start = Instant::now();
        Allocations::reset();
        let done = catch_unwind(AssertUnwindSafe(|| {
            let plain = read(&bytes, false);
            let codes = read(&bytes, true);
            (plain, codes)
        }));
        let (seconds, peak) = (start.elapsed().as_secs_f64(), Allocations::peak());
        worst = (worst.0.max(seconds), worst.1.max(peak));
        let Ok((ours, codes)) = done else {
            let _ = std::panic::take_hook();
            panic!("panic with STAFFA_SEED={seed} STAFFA_PARQUET_FILES=1: {what}");
        };
        if seconds > 5.0 || peak > 256 << 20 {
            let _ = std::panic::take_hook();
            panic!("STAFFA_SEED={seed}: {seconds} s, {peak} bytes: {what}");
        }
        for error in [&ours, &codes].into_iter().filter_map(|answer| answer.as_ref().err()) {
            if let Some(why) = misplaced(error, open(&bytes).is_ok()) {
                tally.differ.push(format!("seed {seed}: {what}: {why}: {error}"));
            }
        }
        let theirs = arrow_answer(&bytes);
        compare(&mut tally, seed, &what, &ours, &codes, &theirs, &intact[at]);
    }
    let _ = std::panic::take_hook();
    println!("{files} corrupted files; slowest {:.2} s, largest {} bytes", worst.0, worst.1);
    println!("same rows {}, both refuse {}", tally.same, tally.both_refuse);
    println!("only arrow-rs refuses: {:#?}", tally.only_arrow_refuses);
    println!("only we refuse: {:#?}", tally.only_we_refuse);
    assert!(tally.differ.is_empty(), "{:#?}", tally.differ);
    let unknown = not_listed(&tally.only_we_refuse, STRICTER);
    assert!(unknown.is_empty(), "refused for new reasons although arrow-rs reads: {unknown:#?}");
    for (seen, listed) in tally.only_arrow_refuses.iter().zip([LENIENT, OTHER_ROWS]) {
        let unknown = not_listed(seen, listed);
        assert!(
            unknown.is_empty(),
            "read although arrow-rs refuses, for new reasons: {unknown:#?}"
        );
    }
    // With fewer files chance decides; with 5,000 each side has hundreds.
    assert!(files < 1000 || (tally.same > files / 10 && tally.both_refuse > files / 10));
}

/// Kinds of messages, with how many and a seed, that a list does not have.
fn not_listed<'a>(
    seen: &'a BTreeMap<String, (u64, u64)>,
    listed: &[(&str, &str)],
) -> Vec<(&'a String, &'a (u64, u64))> {
    seen.iter().filter(|(k, _)| !listed.iter().any(|(what, _)| k.contains(what))).collect()
}

/// What this reader reads although arrow-rs refuses it, and where the damage is. All rows are those of the intact
/// file. Anything else is a failure: the rows would be nobody's but ours.
const LENIENT: &[(&str, &str)] = &[
    ("must be a multiple of", "a delta stream of which no row needs a value"),
    ("cannot have zero miniblocks", "the same"),
    ("insufficient mini block bit widths", "the same"),
    ("Invalid delta bit width", "the same"),
    ("Not enough data to decode", "the same"),
    ("inconsistent DELTA_BYTE_ARRAY lengths", "the same"),
    ("RLE bit width", "the codes of a page of which no row needs one"),
    ("Not enough bytes to decode", "values that no row needs"),
    ("insufficient values read from column", "a page's count of values or NULLs; we count levels"),
    ("is not supported", "a page of NULLs alone is read whatever its encoding says"),
    ("BIT_PACKED", "the same"),
    ("BYTE_STREAM_SPLIT", "the same"),
    ("Unexpected Encoding", "a field of a header that no row of a flat column depends on"),
    ("repetition_level_encoding is missing", "the same"),
    ("out of range integral type conversion", "the same"),
    ("type_ is missing", "the same, or a header behind the last row"),
    ("Invalid page header", "the same"),
    ("Unexpected PageType", "the same"),
    ("more than one dictionary", "the same"),
    ("StructArrayReader out of sync", "the same"),
    ("arrow-rs panicked", "the same"),
];

/// The same, where the rows are not those of the intact file.
const OTHER_ROWS: &[(&str, &str)] = &[
    (
        "insufficient values read from column",
        "a NULL turned into a value: arrow-rs believes the count of a v2 header, we read the code that pads a group",
    ),
    ("must be a multiple of", "levels turned into NULLs, so that no row needs the damaged values"),
    ("Not enough bytes to decode", "the same"),
    ("negative delta length", "the same"),
];

/// What this reader refuses although arrow-rs reads it, and why. Anything else is a failure.
const STRICTER: &[(&str, &str)] = &[
    ("values in a row group of", "a chunk's number of values must be its row group's of rows"),
    ("a page decompressed to", "both sizes are claims; arrow-rs takes an empty page for none"),
    ("a prefix is longer than", "arrow-rs decodes values that no row uses only when asked"),
    ("needs more bits than its width", "arrow-rs takes any byte but 0 as the level or bit 1"),
    ("a definition level above", "the same"),
    ("byte streams of unequal length", "arrow-rs drops the bytes that are left over"),
    ("in BIT_PACKED", "deprecated; readers disagree on the order of bits"),
    ("of a header is no", "arrow-rs goes by a field's number and ignores its type"),
    ("type tag", "the same: an impossible type of a field that is passed over"),
    ("negative length", "arrow-rs does not look at lengths of values behind those it needs"),
    ("prefixes for", "the page holds more values than rows"),
    ("lengths for", "the same"),
    ("run of length zero", "arrow-rs takes it as the end, and rows as they come"),
    ("too few definition levels", "the same"),
    ("outside its file", "arrow-rs reads what is there, and never the rest"),
    ("pages hold", "rows of pages must add up to the row group's"),
    ("second or late dictionary", "arrow-rs takes the last of several for strings"),
    ("delta", "arrow-rs does not look at blocks behind those it needs"),
    ("header", "a field out of range that arrow-rs ignores"),
    ("varint of more than", "arrow-rs drops the bits that are too many"),
    ("a page claims", "arrow-rs fills up a Snappy page that is shorter than it claims with zeros"),
    ("a negative number of rows", "arrow-rs adds up row groups and goes by their chunks"),
    (
        "fewer values than its rows need",
        "for Utf8, arrow-rs takes what entries a dictionary has, whatever it claims",
    ),
];

fn compare(
    tally: &mut Tally,
    seed: u64,
    what: &str,
    ours: &staffa_parquet::Result<Vec<ArrayRef>>,
    codes: &staffa_parquet::Result<Vec<ArrayRef>>,
    theirs: &Result<RecordBatch, String>,
    intact: &RecordBatch,
) {
    match (ours, theirs) {
        (Ok(a), Ok(b)) if a.len() == b.num_columns() => {
            if a.iter().zip(b.columns()).all(|(a, b)| a == b) {
                tally.same += 1;
            } else {
                tally.differ.push(format!("seed {seed}: {what}: other rows than arrow-rs"));
            }
        }
        (Ok(_), Ok(_)) => {}
        (Err(e), Ok(_)) => {
            let entry = tally.only_we_refuse.entry(kind(e.what())).or_default();
            *entry = (entry.0 + 1, seed);
        }
        (Ok(ours), Err(e)) => {
            let changed = usize::from(ours != intact.columns());
            let entry = tally.only_arrow_refuses[changed].entry(kind(e)).or_default();
            if entry.0 == 0 {
                println!("only arrow-rs refuses seed {seed}, changed: {changed}: {what}: {e}");
            }
            *entry = (entry.0 + 1, seed);
        }
        (Err(_), Err(_)) => tally.both_refuse += 1,
    }
    match (ours, codes) {
        (Ok(a), Ok(b)) if a == b => {}
        (Err(_), Err(_)) => {}
        // A plain read never looks at a dictionary entry that no code names.
        (a, b) => tally.differ.push(format!(
            "seed {seed}: {what}: plain {:?}, codes {:?}",
            a.as_ref().map(Vec::len),
            b.as_ref().map(Vec::len)
        )),
    }
}
