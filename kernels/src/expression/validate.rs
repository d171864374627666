//! What each opcode looks like, and the checks that make a program safe to run.
//!
//! The kernels trust a program, so [`check`] runs on every one the builder makes: it is the second
//! pair of eyes on register allocation, written against the format and not against the builder.

use staffa_common::StaffaError;

use super::format::{BITS_NONE, FLAG_CONSTANT_A, FLAG_CONSTANT_B, FLAG_CONSTANT_C, Instruction, Opcode};
use super::program::Program;
use super::types::Type;

/// Operands and result of an opcode.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Shape {
    /// How many of a, b, c it reads.
    pub(super) operands: usize,
    /// Whether it writes `dst`.
    pub(super) result: bool,
    /// Whether `dst` is always a bit register.
    pub(super) to_bits: bool,
    /// Whether the immediate matters.
    pub(super) immediate: bool,
    /// Operands that are bit registers whatever the type is.
    pub(super) a_is_bits: bool,
    pub(super) b_is_bits: bool,
    pub(super) c_is_bits: bool,
}

/// The shape of an opcode.
pub(super) fn shape(op: Opcode) -> Shape {
    use Opcode as O;
    let plain = Shape { result: true, ..Shape::default() };
    let logic = |operands| Shape {
        operands,
        to_bits: true,
        a_is_bits: true,
        b_is_bits: true,
        c_is_bits: true,
        ..plain
    };
    match op {
        O::End => Shape::default(),
        O::JumpIfNone => Shape { operands: 1, immediate: true, a_is_bits: true, ..Shape::default() },
        O::Filter => Shape { operands: 1, a_is_bits: true, ..Shape::default() },
        O::Load | O::LoadCode => Shape { immediate: true, ..plain },
        // The index is operand b, a u32, whatever the type of the entries.
        O::Gather => Shape { operands: 2, immediate: true, ..plain },
        O::Store => Shape { operands: 1, immediate: true, ..Shape::default() },
        O::MaskAnd | O::MaskAndNot | O::BitsNot | O::IsNull | O::IsTrue | O::IsFalse => logic(1),
        O::BitsAnd | O::BitsOr | O::BitsEqual | O::BitsLess | O::Distinct | O::ValidAndNot => logic(2),
        O::BitsSelect => logic(3),
        O::Select => Shape { operands: 3, c_is_bits: true, ..plain },
        O::Negate | O::Round | O::Absolute | O::Convert | O::ConvertWrapping => Shape { operands: 1, ..plain },
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
        | O::FloorMultiple => Shape { operands: 2, ..plain },
        O::Equal | O::Less => Shape { operands: 2, to_bits: true, ..plain },
        O::InList => Shape { operands: 1, to_bits: true, immediate: true, ..plain },
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
        check_operands(program, i, op).map_err(|what| bug(number, what))?;
        check_columns(program, i, op).map_err(|what| bug(number, what))?;
    }
    if end == 0 && program.instructions.is_empty() {
        return Err(bug(0, "no instructions"));
    }
    Ok(())
}

/// Jumps go forward and never over a filter, which has a barrier.
fn check_jump(i: &Instruction, number: usize, end: usize, filter: Option<usize>) -> Result<(), StaffaError> {
    let target = usize::try_from(i.immediate).unwrap_or(usize::MAX);
    if target <= number || target > end {
        return Err(bug(number, "the jump leaves the program or goes back"));
    }
    if filter.is_some_and(|f| number < f && f < target) {
        return Err(bug(number, "the jump crosses the filter"));
    }
    Ok(())
}

fn check_operands(program: &Program, i: &Instruction, op: Opcode) -> Result<(), &'static str> {
    let shape = shape(op);
    let kind = Type::from_tag(i.kind);
    let is_bits = |forced: bool| forced || kind == Some(Type::Bits);
    let bit = |register: u16| {
        if register >= BITS_NONE || u32::from(register) < program.bit_registers {
            Ok(())
        } else {
            Err("a bit register that does not exist")
        }
    };
    let value = |offset: u16, kind: Option<Type>| match kind {
        None | Some(Type::Bits) => Err("a value without a type"),
        Some(k) if offset % k.width() != 0 => Err("a register that is not aligned"),
        Some(k) if u32::from(offset) + u32::from(k.width()) > program.row_bytes => {
            Err("a register that does not exist")
        }
        Some(_) => Ok(()),
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
    let operands = [
        (i.a, FLAG_CONSTANT_A, is_bits(shape.a_is_bits), kind),
        (i.b, FLAG_CONSTANT_B, is_bits(shape.b_is_bits) && op != Opcode::Gather, kind),
        (i.c, FLAG_CONSTANT_C, is_bits(shape.c_is_bits), kind),
    ];
    for (number, (offset, flag, is_bits, kind)) in operands.into_iter().take(shape.operands).enumerate() {
        if op == Opcode::Gather && number == 0 {
            continue;
        }
        let kind = if op == Opcode::Gather { Some(Type::U32) } else { kind };
        if is_bits {
            bit(offset)?;
        } else if i.flags & flag != 0 {
            let width = kind.map_or(0, Type::width);
            if width == 0 || offset % width != 0 || u32::from(offset) + u32::from(width) > program.constant_bytes {
                return Err("a constant that does not exist");
            }
        } else {
            value(offset, kind)?;
        }
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
        Opcode::LoadCode if column >= program.inputs.len() => Err("an input column that does not exist"),
        Opcode::Store if program.outputs.get(column).map(|c| c.kind) != kind => {
            Err("an output column of another type")
        }
        Opcode::InList => {
            let offset = i.immediate & 0xffff_ffff;
            let count = i.immediate >> 32;
            let width = match kind {
                Some(Type::I128 | Type::Span) => 16,
                _ => 8,
            };
            let end = offset + count * width;
            if offset % width != 0 || end > program.blob.len() as u64 {
                return Err("a list outside the blob");
            }
            Ok(())
        }
        _ => Ok(()),
    }
}
