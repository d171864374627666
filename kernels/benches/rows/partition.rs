//! Partitioning: row order alone, then columns.

use staffa_cuda::Result;
use staffa_kernels::abi::{Column, ColumnKind, HashRule};
use staffa_kernels::columns::RowList;
use staffa_kernels::expression::InputColumn;
use staffa_kernels::partition::{HashColumn, StringBytes, partition};

use crate::device::Bench;
use crate::random::Random;
use crate::rows;

/// From the least to the most that one pass takes, a join's usual fan-out beyond it, and the bound.
const PARTITIONS: [u32; 4] = [16, 256, 1024, 65_536];

/// Random values of `width` bytes; with `hot`, half of all rows have one value.
fn column(bench: &Bench, width: u32, hot: bool, random: &Random) -> Result<InputColumn> {
    let rows = rows(bench);
    let mut bytes = random.bytes(rows as usize * width as usize);
    if hot {
        bytes.chunks_exact_mut(width as usize).step_by(2).for_each(|value| value.fill(7));
    }
    let values = bench.upload(&bytes)?;
    let descriptor = Column {
        values: values.address(),
        rows,
        kind: ColumnKind::Fixed as u8,
        width,
        ..Column::default()
    };
    Ok(InputColumn { descriptor, buffers: vec![values] })
}

fn key(column: InputColumn) -> [HashColumn; 1] {
    [HashColumn { column, rule: HashRule::Number, dictionary: false }]
}

pub(crate) fn ids(bench: &Bench) -> Result<()> {
    let random = Random::new(1);
    let list = RowList::all(rows(bench));
    for hot in [false, true] {
        let key = key(column(bench, 8, hot, &random)?);
        for n in PARTITIONS {
            let name = format!("partition/rows/i64/{n}{}", if hot { "/skew=0.5" } else { "" });
            if !bench.wanted(&name) {
                continue;
            }
            // A key read, a row number written.
            let bytes = 12 * u64::from(list.rows);
            bench.time(&name, bytes, || partition(&bench.context(), &key, list, n).map(|_| ()))?;
        }
    }
    Ok(())
}

pub(crate) fn columns(bench: &Bench) -> Result<()> {
    let random = Random::new(2);
    let list = RowList::all(rows(bench));
    let key = key(column(bench, 8, false, &random)?);
    for widths in [&[4u32, 4, 4, 4][..], &[8, 8], &[16]] {
        let sources: Vec<InputColumn> = widths
            .iter()
            .map(|width| column(bench, *width, false, &random))
            .collect::<Result<_>>()?;
        for n in PARTITIONS {
            let name = format!("partition/columns/{widths:?}/{n}");
            if !bench.wanted(&name) {
                continue;
            }
            let parts = partition(&bench.context(), &key, list, n)?;
            let bytes = 2 * u64::from(widths.iter().sum::<u32>()) * u64::from(list.rows);
            bench.time(&name, bytes, || {
                parts.columns(&bench.context(), list, &sources, StringBytes::Shared).map(|_| ())
            })?;
        }
    }
    Ok(())
}
