//! Columns by partition, in one buffer.

use staffa_kernels::abi::{ColumnKind, ErrorSlot, HashRule, KeyRule};
use staffa_kernels::columns::{RowList, gather};
use staffa_kernels::expression::InputColumn;
use staffa_kernels::partition::{HashColumn, MovedColumn, StringBytes, partition};

use crate::columns::{HostColumn, KINDS, Value, download};
use crate::gpu::{Gpu, gpu};
use crate::random::Random;

/// The rows of a column, codes followed. An empty span may have any address; gathered ones have none.
fn values(gpu: &Gpu, column: &InputColumn, rows: u32) -> Vec<Value> {
    let mut column = column.clone();
    let kind = column.descriptor.kind;
    if kind == ColumnKind::Codes as u8 || kind == ColumnKind::Spans as u8 {
        let error = gpu.zeroed::<ErrorSlot>(1);
        let ids = gpu.upload(&(0..rows).collect::<Vec<u32>>());
        let found = gather(&gpu.context(&error), &column, KeyRule::Bits, &ids, None).unwrap();
        let mut found = found.freeze(rows).unwrap();
        found.buffers.extend(column.buffers);
        return download(gpu, &found);
    }
    column.descriptor.rows = rows;
    download(gpu, &column)
}

/// Offsets and bytes say what the spans do.
fn check_strings(gpu: &Gpu, moved: &MovedColumn, expected: &[Value]) {
    let strings = moved.strings.as_ref().unwrap();
    let offsets = strings.offsets.read(&gpu.ring, &gpu.stream).unwrap();
    let bytes = strings.bytes.read(&gpu.ring, &gpu.stream).unwrap();
    let mut at = 0;
    for (row, value) in expected.iter().enumerate() {
        let value = value.as_deref().unwrap_or_default();
        assert_eq!(offsets[row], at);
        at += value.len() as u64;
        assert_eq!(&bytes[offsets[row] as usize..at as usize], value);
    }
    assert_eq!((offsets[expected.len()], bytes.len() as u64), (at, at));
}

#[test]
fn every_kind_moves_to_its_partition() {
    let Some(gpu) = gpu() else { return };
    let error = gpu.zeroed::<ErrorSlot>(1);
    let context = gpu.context(&error);
    let random = Random::new(73);
    for (rows, nulls) in [(0, 0), (1, 0), (700, 4), (2500, 0), (4200, 5)] {
        // All kinds in one call, plain and as codes.
        let mut hosts: Vec<HostColumn> = Vec::new();
        for kind in KINDS {
            hosts.push(HostColumn::random(kind, rows, 90, nulls, &random));
            let mut codes = HostColumn::random(kind, rows, 9, nulls, &random);
            codes.codes = codes.kind != ColumnKind::Bits;
            hosts.push(codes);
        }
        let sources: Vec<InputColumn> = hosts.iter().map(|host| host.upload(&gpu)).collect();
        // The 32-bit integers are the key.
        let key =
            HashColumn { column: sources[4].clone(), rule: HashRule::Number, dictionary: false };
        let some: Vec<u32> = (0..rows as u32).filter(|_| random.below(4) != 0).collect();
        let mut longer = some.clone();
        longer.extend([0xdead_beef; 40]);
        let (selection, count) = (gpu.upload(&longer), gpu.upload(&[some.len() as u32]));
        let selected = RowList::selected(&selection, &count).unwrap();
        for list in [RowList::all(rows as u32), selected] {
            for n in [1, 6, 256, 400] {
                if crate::sanitized() && !random.one_in(3) {
                    continue;
                }
                let parts = partition(&context, std::slice::from_ref(&key), list, n).unwrap();
                let order = parts.order().read(&gpu.ring, &gpu.stream).unwrap();
                let offsets = parts.offsets().read(&gpu.ring, &gpu.stream).unwrap();
                let total = offsets[n as usize];
                for strings in [StringBytes::Shared, StringBytes::Owned] {
                    let moved = parts.columns(&context, list, &sources, strings).unwrap();
                    for (host, moved) in hosts.iter().zip(&moved.columns) {
                        let expected: Vec<Value> = order[..total as usize]
                            .iter()
                            .map(|row| host.rows[*row as usize].clone())
                            .collect();
                        let found = values(&gpu, &moved.column, total);
                        let what = format!("{:?} {} {rows} rows, {n}", host.kind, host.width);
                        assert!(found == expected, "{what} partitions, {strings:?}");
                        let own = host.kind == ColumnKind::Spans && !host.codes;
                        let owned = own && strings == StringBytes::Owned;
                        assert_eq!(moved.strings.is_some(), owned);
                        if owned {
                            check_strings(&gpu, moved, &expected);
                            assert_eq!(moved.column.buffers.len(), 1, "only the one buffer");
                        }
                    }
                }
            }
        }
    }
}
