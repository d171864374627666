//! Sorting: numbers, then columns, and the first rows only.

use staffa_cuda::Result;
use staffa_kernels::abi::{Column, ColumnKind, ValueOrder};
use staffa_kernels::columns::RowList;
use staffa_kernels::expression::InputColumn;
use staffa_kernels::sort::{KeyBytes, RadixKeys, SortColumn, radix_sort, sort_rows, top_rows};

use crate::device::Bench;
use crate::random::Random;
use crate::rows;

pub(crate) fn numbers(bench: &Bench) -> Result<()> {
    let random = Random::new(3);
    let list = RowList::all(rows(bench));
    for (width, bits) in [
        (KeyBytes::Four, 32),
        (KeyBytes::Eight, 32),
        (KeyBytes::Eight, 64),
        (KeyBytes::Sixteen, 128),
    ] {
        let name = format!("sort/numbers/{} bits of {}", bits, 8 * width.bytes());
        if !bench.wanted(&name) {
            continue;
        }
        let keys = bench.upload(&random.bytes(list.rows as usize * width.bytes() as usize))?;
        let bytes = 2 * u64::from(list.rows) * u64::from(width.bytes() + 4);
        bench.time(&name, bytes, || {
            // The sort writes over its keys; the copy is a part of what is timed.
            let mut copy = bench.memory.buffer::<u8>(keys.len(), &bench.stream)?;
            copy.copy_from(&keys, &bench.stream)?;
            let keys = RadixKeys { keys: copy, width, bits: 0..bits };
            radix_sort(&bench.context(), keys, list, false).map(|_| ())
        })?;
    }
    Ok(())
}

pub(crate) fn columns(bench: &Bench) -> Result<()> {
    let random = Random::new(4);
    let list = RowList::all(rows(bench));
    for (name, width, order) in [
        ("i32", 4, ValueOrder::Signed),
        ("f64", 8, ValueOrder::Float),
        ("decimal128", 16, ValueOrder::Signed),
    ] {
        let values = bench.upload(&random.bytes(list.rows as usize * width as usize))?;
        let descriptor = Column {
            values: values.address(),
            rows: list.rows,
            kind: ColumnKind::Fixed as u8,
            width,
            ..Column::default()
        };
        let column = InputColumn { descriptor, buffers: vec![values] };
        let by = [SortColumn { column, order, descending: false, nulls_first: true }];
        let bytes = u64::from(list.rows) * u64::from(width + 4);
        if bench.wanted(&format!("sort/rows/{name}")) {
            bench.time(&format!("sort/rows/{name}"), bytes, || {
                sort_rows(&bench.context(), &by, list).map(|_| ())
            })?;
        }
        for limit in [10, 1000, 100_000] {
            let name = format!("sort/top/{name}/{limit}");
            if bench.wanted(&name) {
                let bytes = u64::from(list.rows) * u64::from(width);
                bench.time(&name, bytes, || {
                    top_rows(&bench.context(), &by, list, limit).map(|_| ())
                })?;
            }
        }
    }
    Ok(())
}
