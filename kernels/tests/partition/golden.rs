//! Hashes are DataFusion's, bit for bit.

use staffa_kernels::abi::{ColumnKind, ErrorSlot, HashRule, KeyRule};
use staffa_kernels::columns::RowList;
use staffa_kernels::partition::{HashColumn, hashes, partition};

use crate::columns::{HostColumn, Value};
use crate::gpu::gpu;

/// The header of the file says how it was made.
const GOLDEN: &str = include_str!("golden.txt");

/// How the device holds and hashes a declared type, and whether that is a dictionary or runs.
fn storage(name: &str) -> (ColumnKind, u32, HashRule, bool) {
    let (name, dictionary) = match name.split_once(':') {
        Some((_, value)) => (value, true),
        None => (name, false),
    };
    let (kind, width, rule) = match name {
        "Int8" | "UInt8" => (ColumnKind::Fixed, 1, HashRule::Number),
        "Int16" | "UInt16" => (ColumnKind::Fixed, 2, HashRule::Number),
        "Int32" | "UInt32" | "Decimal32" | "Date32" | "Time32" | "YearMonth" => {
            (ColumnKind::Fixed, 4, HashRule::Number)
        }
        "Int64" | "UInt64" | "Decimal64" | "Date64" | "Time64" | "Timestamp" | "Duration"
        | "DayTime" => (ColumnKind::Fixed, 8, HashRule::Number),
        "Decimal128" | "MonthDayNano" => (ColumnKind::Fixed, 16, HashRule::Number),
        "Decimal256" => (ColumnKind::Fixed, 32, HashRule::Number),
        "Float16" => (ColumnKind::Fixed, 2, HashRule::Float),
        "Float32" => (ColumnKind::Fixed, 4, HashRule::Float),
        "Float64" => (ColumnKind::Fixed, 8, HashRule::Float),
        "Boolean" => (ColumnKind::Bits, 0, HashRule::Boolean),
        "Utf8" | "LargeUtf8" => (ColumnKind::Spans, 16, HashRule::String),
        "Binary" | "LargeBinary" => (ColumnKind::Spans, 16, HashRule::Binary),
        "Utf8View" | "BinaryView" => (ColumnKind::Spans, 16, HashRule::View),
        fixed => {
            let width = fixed.strip_prefix("FixedSizeBinary").unwrap().parse().unwrap();
            (ColumnKind::Bytes, width, HashRule::Binary)
        }
    };
    (kind, width, rule, dictionary)
}

fn value(text: &str) -> Value {
    if let Some(length) = text.strip_prefix('@') {
        let n: usize = length.parse().unwrap();
        return Some((0..n).map(|i| ((7 * i + n) % 128) as u8).collect());
    }
    match text {
        "NULL" => None,
        "-" => Some(Vec::new()),
        hex => Some(
            (0..hex.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
                .collect(),
        ),
    }
}

struct Case {
    types: Vec<String>,
    columns: Vec<Vec<Value>>,
    hashes: Vec<u64>,
}

fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in GOLDEN.lines().filter(|line| !line.starts_with('#')) {
        if let Some(types) = line.strip_prefix("case ") {
            let types: Vec<String> = types.split(' ').map(str::to_owned).collect();
            let columns = vec![Vec::new(); types.len()];
            cases.push(Case { types, columns, hashes: Vec::new() });
            continue;
        }
        let case = cases.last_mut().unwrap();
        let (values, hash) = line.split_once(" = ").unwrap();
        for (column, text) in case.columns.iter_mut().zip(values.split(' ')) {
            column.push(value(text));
        }
        case.hashes.push(u64::from_str_radix(hash, 16).unwrap());
    }
    cases
}

#[test]
fn hashes_are_those_of_datafusion() {
    let Some(gpu) = gpu() else { return };
    let error = gpu.zeroed::<ErrorSlot>(1);
    let context = gpu.context(&error);
    let cases = cases();
    assert!(cases.len() > 80 && cases.iter().all(|case| !case.hashes.is_empty()));
    for case in &cases {
        // However the device holds a column, it hashes as its declared type.
        for codes in [false, true] {
            let columns: Vec<HashColumn> = case
                .types
                .iter()
                .zip(&case.columns)
                .map(|(name, rows)| {
                    let (kind, width, rule, dictionary) = storage(name);
                    let codes = codes && kind != ColumnKind::Bits;
                    let rows = rows.clone();
                    let host = HostColumn { kind, width, rule: KeyRule::Bits, rows, codes };
                    HashColumn { column: host.upload(&gpu), rule, dictionary }
                })
                .collect();
            let list = RowList::all(case.hashes.len() as u32);
            let found = hashes(&context, &columns, list).unwrap();
            let found = found.read(&gpu.ring, &gpu.stream).unwrap();
            for (row, (found, expected)) in found.iter().zip(&case.hashes).enumerate() {
                let values: Vec<&Value> = case.columns.iter().map(|c| &c[row]).collect();
                assert_eq!(found, expected, "{:?} codes {codes}: {values:?}", case.types);
            }
            for partitions in [7, 12_345, 1, 200, 256, 65_536] {
                if crate::sanitized() && partitions != 7 {
                    continue;
                }
                let parts = partition(&context, &columns, list, partitions).unwrap();
                let ids = parts.ids().read(&gpu.ring, &gpu.stream).unwrap();
                for (id, hash) in ids.iter().zip(&case.hashes) {
                    assert_eq!(u64::from(*id), hash % u64::from(partitions), "{:?}", case.types);
                }
            }
        }
    }
}
