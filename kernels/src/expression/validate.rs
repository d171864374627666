//! What each opcode looks like, and the checks that make a program safe to run.
//!
//! The kernels trust a program, so [`check`] runs on every one the builder makes: it is the second
//! pair of eyes on register allocation, written against the format and not against the builder.

use staffa_common::StaffaError;

use super::format::{
    BITS_NONE, FLAG_CONSTANT_A, FLAG_CONSTANT_B, FLAG_CONSTANT_C, Instruction, Opcode,
};
use super::program::Program;
use super::types::Type;

/// What an operand is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It is not read.
    Unused,
    /// Of the instruction's type.
    Same,
    /// A bit register.
    Bits,
    /// Of another type.
    Of(Type),
}

/// Operands and result of an opcode.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// What a, b, c are.
    pub(super) operands: [Kind; 3],
    /// Whether it writes `dst`.
    pub(super) result: bool,
    /// Whether `dst` is always a bit register.
    pub(super) to_bits: bool,
    /// Whether the immediate matters.
    pub(super) immediate: bool,
}

/// The shape of an opcode.
pub(super) fn shape(op: Opcode) -> Shape {
    use Kind::{Bits, Of, Same, Unused};
    use Opcode as O;
    let of = |operands| Shape { operands, result: true, to_bits: false, immediate: false };
    let nothing = |operands| Shape { result: false, ..of(operands) };
    let bits = |operands| Shape { to_bits: true, ..of(operands) };
    let with = |shape: Shape| Shape { immediate: true, ..shape };
    match op {
        O::End => nothing([Unused; 3]),
        O::JumpIfNone => with(nothing([Bits, Unused, Unused])),
        O::Filter => nothing([Bits, Unused, Unused]),
        O::Load | O::LoadCode => with(of([Unused; 3])),
        // The index is operand b, a u32, whatever the type of the entries.
        O::Gather => with(of([Unused, Of(Type::U32), Unused])),
        O::Store => with(nothing([Same, Unused, Unused])),
        O::MaskAnd | O::MaskAndNot | O::BitsNot | O::IsNull | O::IsTrue | O::IsFalse => {
            bits([Bits, Unused, Unused])
        }
        O::BitsAnd | O::BitsOr | O::BitsEqual | O::BitsLess | O::Distinct | O::ValidAndNot => {
            bits([Bits, Bits, Unused])
        }
        O::BitsSelect => bits([Bits; 3]),
        O::Select => of([Same, Same, Bits]),
        O::Negate | O::Round | O::Absolute | O::Convert | O::ConvertWrapping => {
            of([Same, Unused, Unused])
        }
        O::Add
        | O::Subtract
        | O::Multiply
        | O::AddChecked
        | O::SubtractChecked
        | O::MultiplyChecked
        | O::Divide
        | O::Remainder
        | O::BitAnd
        | O::BitOr
        | O::BitXor
        | O::ShiftLeft
        | O::ShiftRight
        | O::DivideRounded
        | O::CheckMagnitude
        | O::FloorMultiple
        | O::Concatenate => of([Same, Same, Unused]),
        O::Equal | O::Less => bits([Same, Same, Unused]),
        O::InList | O::Like => with(bits([Same, Unused, Unused])),
        O::DatePart | O::TruncateDate => with(of([Same, Unused, Unused])),
        O::AddInterval => with(of([Same, Of(Type::I128), Unused])),
        O::CharacterLength | O::OctetLength | O::ToUpper | O::ToLower => of([Same, Unused, Unused]),
        O::Substring => of([Same, Of(Type::I64), Of(Type::I64)]),
        O::Find => with(bits([Same, Same, Unused])),
        O::Trim => with(of([Same, Same, Unused])),
    }
}

fn bug(number: usize, what: &str) -> StaffaError {
    StaffaError::bug(format!("expression program, instruction {number}: {what}"))
}

/// Checks every operand of every instruction against the program's own sizes.
///
/// # Errors
/// `Bug`: what is wrong is the assembler's fault.
pub(super) fn check(program: &Program) -> Result<(), StaffaError> {
    let end = program.instructions.len().saturating_sub(1);
    // The width of the register that begins at each byte: see assemble.rs, no byte may have two.
    let mut widths: Vec<Option<u16>> = vec![None; program.row_bytes as usize];
    let filter = program.instructions.iter().position(|i| i.op == Opcode::Filter as u16);
    for (number, i) in program.instructions.iter().enumerate() {
        let Some(op) = Opcode::from_number(i.op) else { return Err(bug(number, "unknown opcode")) };
        if (op == Opcode::End) != (number == end) {
            return Err(bug(number, "the end is not at the end"));
        }
        if op == Opcode::Filter && filter != Some(number) {
            return Err(bug(number, "a second filter"));
        }
        if op == Opcode::JumpIfNone {
            check_jump(i, number, end, filter)?;
        }
        check_operands(program, i, op, &mut widths).map_err(|what| bug(number, what))?;
        check_columns(program, i, op).map_err(|what| bug(number, what))?;
    }
    if end == 0 && program.instructions.is_empty() {
        return Err(bug(0, "no instructions"));
    }
    Ok(())
}

/// Jumps go forward and never over a filter, which has a barrier.
fn check_jump(
    i: &Instruction,
    number: usize,
    end: usize,
    filter: Option<usize>,
) -> Result<(), StaffaError> {
    let target = usize::try_from(i.immediate).unwrap_or(usize::MAX);
    if target <= number || target > end {
        return Err(bug(number, "the jump leaves the program or goes back"));
    }
    if filter.is_some_and(|f| number < f && f < target) {
        return Err(bug(number, "the jump crosses the filter"));
    }
    Ok(())
}

fn check_operands(
    program: &Program,
    i: &Instruction,
    op: Opcode,
    widths: &mut [Option<u16>],
) -> Result<(), &'static str> {
    let shape = shape(op);
    let kind = Type::from_tag(i.kind);
    let bit = |register: u16| {
        if register >= BITS_NONE || u32::from(register) < program.bit_registers {
            Ok(())
        } else {
            Err("a bit register that does not exist")
        }
    };
    let mut value = |offset: u16, kind: Option<Type>| match kind {
        None | Some(Type::Bits) => Err("a value without a type"),
        Some(k) if !offset.is_multiple_of(k.width()) => Err("a register that is not aligned"),
        Some(k) if u32::from(offset) + u32::from(k.width()) > program.row_bytes => {
            Err("a register that does not exist")
        }
        Some(k) => place(widths, offset, k.width()),
    };
    for register in [i.mask, i.dst_valid, i.a_valid, i.b_valid, i.c_valid] {
        bit(register)?;
    }
    if shape.result {
        let to = if shape.to_bits { Some(Type::Bits) } else { Type::from_tag(i.kind_to).or(kind) };
        match (to, op) {
            (_, Opcode::LoadCode) => value(i.dst, Some(Type::U32))?,
            (Some(Type::Bits), _) => bit(i.dst)?,
            _ => value(i.dst, to)?,
        }
    }
    let operands = [(i.a, FLAG_CONSTANT_A), (i.b, FLAG_CONSTANT_B), (i.c, FLAG_CONSTANT_C)];
    for ((offset, flag), wanted) in operands.into_iter().zip(shape.operands) {
        let of = match wanted {
            Kind::Unused => continue,
            Kind::Same => kind,
            Kind::Bits => Some(Type::Bits),
            Kind::Of(of) => Some(of),
        };
        if of == Some(Type::Bits) {
            bit(offset)?;
        } else if i.flags & flag != 0 {
            let width = of.map_or(0, Type::width);
            if width == 0
                || !offset.is_multiple_of(width)
                || u32::from(offset) + u32::from(width) > program.constant_bytes
            {
                return Err("a constant that does not exist");
            }
        } else {
            value(offset, of)?;
        }
    }
    Ok(())
}

/// Notes the width of the bytes from `offset` on.
fn place(widths: &mut [Option<u16>], offset: u16, width: u16) -> Result<(), &'static str> {
    let at = usize::from(offset);
    // The first byte tells where the register begins: 0x8000 | width there, width in the others.
    for (n, byte) in widths.iter_mut().skip(at).take(usize::from(width)).enumerate() {
        let mark = if n == 0 { width | 0x8000 } else { width };
        if byte.is_some_and(|known| known != mark) {
            return Err("bytes of a tile that change their width");
        }
        *byte = Some(mark);
    }
    Ok(())
}

fn check_columns(program: &Program, i: &Instruction, op: Opcode) -> Result<(), &'static str> {
    let column = usize::try_from(i.immediate).unwrap_or(usize::MAX);
    let kind = Type::from_tag(i.kind);
    match op {
        Opcode::Load | Opcode::Gather if program.inputs.get(column).map(|c| c.kind) != kind => {
            Err("an input column of another type")
        }
        Opcode::LoadCode if column >= program.inputs.len() => {
            Err("an input column that does not exist")
        }
        Opcode::Store if program.outputs.get(column).map(|c| c.kind) != kind => {
            Err("an output column of another type")
        }
        Opcode::InList | Opcode::Like => {
            let offset = i.immediate & 0xffff_ffff;
            let count = i.immediate >> 32;
            let width = match kind {
                _ if op == Opcode::Like => 2,
                Some(Type::I128 | Type::Span) => 16,
                _ => 8,
            };
            let end = offset + count * width;
            if !offset.is_multiple_of(width) || end > program.blob.len() as u64 {
                return Err("a list outside the blob");
            }
            Ok(())
        }
        _ => Ok(()),
    }
}
