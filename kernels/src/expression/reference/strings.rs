//! Strings.

use super::super::constant::Constant;
use super::super::format::{Instruction, Opcode};
use super::row::{Computed, Row, decode_span};

pub(super) fn compute(row: &Row<'_>, i: &Instruction, op: Opcode, operands: &[Constant; 3]) -> Computed {
    let [Constant::Bytes(a), Constant::Bytes(b), _] = operands else { return Computed::Error };
    match op {
        Opcode::Equal => Computed::Value(Constant::Bool(a == b)),
        Opcode::Less => Computed::Value(Constant::Bool(a < b)),
        Opcode::InList => Computed::Value(Constant::Bool(in_list(row, i, a))),
        _ => Computed::Error,
    }
}

fn in_list(row: &Row<'_>, i: &Instruction, a: &[u8]) -> bool {
    let start = usize::try_from(i.immediate & 0xffff_ffff).unwrap_or(usize::MAX);
    let count = usize::try_from(i.immediate >> 32).unwrap_or(0);
    let list = row.program.blob.get(start..start + count * 16).unwrap_or_default();
    list.chunks_exact(16).any(|entry| row.blob_bytes(decode_span(entry)) == a)
}
