//! Strings that differ late, or not at all.

use staffa_kernels::abi::{ColumnKind, ErrorSlot, KeyRule};
use staffa_kernels::columns::RowList;
use staffa_kernels::sort::sort_rows;

use crate::columns::{HostColumn, Value};
use crate::gpu::gpu;
use crate::order::{By, check};
use crate::random::Random;

fn strings(rows: Vec<Value>) -> HostColumn {
    HostColumn { kind: ColumnKind::Spans, width: 16, rule: KeyRule::Bits, rows, codes: false }
}

#[test]
fn long_common_prefixes() {
    let Some(gpu) = gpu() else { return };
    let random = Random::new(94);
    // Paths that share all but their ends, branch in the middle, and stand many times.
    let rows: Vec<Value> = (0..1500)
        .map(|_| {
            let mut path = b"https://example.org/a/long/way/down/to".to_vec();
            for _ in 0..random.below(4) {
                path.extend([b"/left".as_slice(), b"/right", b"/left/0"][random.below(3)]);
            }
            if random.one_in(3) {
                path.extend(format!("/page {}", random.below(40)).into_bytes());
            }
            (!random.one_in(20)).then_some(path)
        })
        .collect();
    for descending in [false, true] {
        let by = |nulls_first| By { host: strings(rows.clone()), descending, nulls_first };
        check(&gpu, &[by(false)], &random, "paths");
        let last = HostColumn::integers(4, (0..1500).map(|row| Some(row % 7)));
        let last = By { host: last, descending: !descending, nulls_first: true };
        check(&gpu, &[by(true), last], &random, "paths, then numbers");
    }
}

/// Zero bytes are not the end, and a string that ends is less than one that goes on with zeros.
#[test]
fn zeros_and_ends() {
    let Some(gpu) = gpu() else { return };
    let random = Random::new(95);
    let rows: Vec<Value> = (0..1200)
        .map(|_| {
            let length = random.below(27);
            Some((0..length).map(|_| [0, 0, 0, 1, 0xff][random.below(5)]).collect())
        })
        .chain((0..60).map(|length| Some(vec![0; length % 30])))
        .collect();
    for descending in [false, true] {
        let host = strings(rows.clone());
        check(&gpu, &[By { host, descending, nulls_first: false }], &random, "zeros");
    }
}

/// A stair of prefixes that takes a round a step is sorted up to a bound, and refused above.
#[test]
fn stairs_of_prefixes() {
    let Some(gpu) = gpu() else { return };
    let error = gpu.zeroed::<ErrorSlot>(1);
    let context = gpu.context(&error);
    let random = Random::new(96);
    let stairs = |steps: usize| {
        // Twice each, so that no step is alone.
        let rows = (0..2 * steps).map(|row| Some(vec![b'x'; 8 * (row / 2 + 1)]));
        By { host: strings(rows.collect()), descending: false, nulls_first: false }
    };
    check(&gpu, &[stairs(30)], &random, "30 steps");
    let steep = stairs(265);
    let rows = RowList::all(steep.host.rows.len() as u32);
    let found = sort_rows(&context, &[steep.upload(&gpu)], rows);
    assert_eq!(found.map(|_| ()).unwrap_err().class(), staffa_common::FaultClass::Unsupported);
}
