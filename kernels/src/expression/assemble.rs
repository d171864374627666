//! From drafts with as many registers as they like to a program with few: linear scan.
//!
//! A register lives from the instruction that writes it to the last that reads it. The result of an
//! instruction may take the place of an operand that dies there and has the same width: instructions
//! work row by row and read a row before they write it.

use staffa_common::StaffaError;

use super::draft::{Bits, Destination, Draft, Operand};
use super::format::{BITS_ALL, BITS_NONE, Instruction};

/// Registers after allocation.
pub(super) struct Assembled {
    pub(super) instructions: Vec<Instruction>,
    pub(super) row_bytes: u32,
    pub(super) bit_registers: u32,
}

/// Value registers as bytes of a row, bit registers as numbers.
struct Allocator {
    /// One flag per byte of a row.
    used: Vec<bool>,
    bits_used: Vec<bool>,
}

impl Allocator {
    fn value(&mut self, width: u16) -> Result<u16, StaffaError> {
        let width = usize::from(width);
        let mut at = 0;
        while self.used.get(at..at + width).is_some_and(|bytes| bytes.contains(&true))
            || self.used.get(at..).is_some_and(|rest| rest.len() < width && rest.contains(&true))
        {
            at += width;
        }
        if self.used.len() < at + width {
            self.used.resize(at + width, false);
        }
        self.used[at..at + width].fill(true);
        u16::try_from(at).map_err(|_| too_big())
    }

    fn bits(&mut self) -> Result<u16, StaffaError> {
        let at = self.bits_used.iter().position(|used| !used).unwrap_or(self.bits_used.len());
        if at == self.bits_used.len() {
            self.bits_used.push(false);
        }
        self.bits_used[at] = true;
        match u16::try_from(at) {
            Ok(number) if number < BITS_NONE => Ok(number),
            _ => Err(too_big()),
        }
    }
}

fn too_big() -> StaffaError {
    StaffaError::unsupported("E001 the expression needs more registers than a tile has")
}

/// Where registers live, by draft number: the last that reads or writes them.
struct Lifetimes {
    values: Vec<usize>,
    bits: Vec<usize>,
}

fn lifetimes(drafts: &[Draft], values: usize, bits: usize) -> Lifetimes {
    let mut ends = Lifetimes { values: vec![0; values], bits: vec![0; bits] };
    for (number, draft) in drafts.iter().enumerate() {
        draft.each_value(|register| ends.values[register as usize] = number);
        draft.each_bits(|register| ends.bits[register as usize] = number);
    }
    ends
}

/// Allocates registers and encodes.
///
/// # Errors
/// `Unsupported` (E001) when the program needs more registers than the format has.
pub(super) fn assemble(drafts: &[Draft], widths: &[u16], bit_count: usize) -> Result<Assembled, StaffaError> {
    let ends = lifetimes(drafts, widths.len(), bit_count);
    let mut allocator = Allocator { used: Vec::new(), bits_used: Vec::new() };
    let mut values: Vec<Option<u16>> = vec![None; widths.len()];
    let mut bits: Vec<Option<u16>> = vec![None; bit_count];
    let mut instructions = Vec::with_capacity(drafts.len());
    for (number, draft) in drafts.iter().enumerate() {
        let mut dying = Vec::new();
        draft.each_value(|register| {
            if ends.values[register as usize] == number && !dying.contains(&register) {
                dying.push(register);
            }
        });
        let mut dying_bits = Vec::new();
        draft.each_bits(|register| {
            if ends.bits[register as usize] == number && !dying_bits.contains(&register) {
                dying_bits.push(register);
            }
        });
        // Operands first: they must not move.
        let operand_value = |register: u32| values[register as usize].ok_or_else(|| unwritten(number));
        let operand_bits = |b: Bits| match b {
            Bits::All => Ok(BITS_ALL),
            Bits::None => Ok(BITS_NONE),
            Bits::Register(register) => bits[register as usize].ok_or_else(|| unwritten(number)),
        };
        let operand = |o: Operand| match o {
            Operand::Unused => Ok(0),
            Operand::Value(register) => operand_value(register),
            Operand::Constant(offset) => u16::try_from(offset).map_err(|_| too_big()),
            Operand::Bits(b) => operand_bits(b),
        };
        let mut instruction = Instruction {
            op: draft.op as u16,
            kind: draft.kind.map_or(0, |k| k as u8),
            kind_to: draft.kind_to.map_or(0, |k| k as u8),
            flags: draft.flags(),
            mask: operand_bits(draft.mask)?,
            dst: 0,
            dst_valid: BITS_ALL,
            a: operand(draft.operands[0])?,
            a_valid: operand_bits(draft.valids[0])?,
            b: operand(draft.operands[1])?,
            b_valid: operand_bits(draft.valids[1])?,
            c: operand(draft.operands[2])?,
            c_valid: operand_bits(draft.valids[2])?,
            immediate: draft.immediate,
        };
        match draft.destination {
            Destination::Nothing => {}
            Destination::Value(register) => {
                let width = widths[register as usize];
                let reused = dying.iter().position(|d| *d != register && widths[*d as usize] == width);
                let place = match reused.and_then(|at| values[dying.swap_remove(at) as usize]) {
                    Some(place) => place,
                    None => allocator.value(width)?,
                };
                values[register as usize] = Some(place);
                instruction.dst = place;
            }
            Destination::Bits(register) => {
                let place = allocator.bits()?;
                bits[register as usize] = Some(place);
                instruction.dst = place;
            }
        }
        if let Some(register) = draft.valid_destination {
            let place = allocator.bits()?;
            bits[register as usize] = Some(place);
            instruction.dst_valid = place;
        }
        for register in dying {
            if let Some(place) = values[register as usize] {
                let place = usize::from(place);
                allocator.used[place..place + usize::from(widths[register as usize])].fill(false);
            }
        }
        for register in dying_bits {
            if let Some(place) = bits[register as usize] {
                allocator.bits_used[usize::from(place)] = false;
            }
        }
        instructions.push(instruction);
    }
    // Rows of 16-byte values must be aligned: a tile's value area is a multiple of 16 bytes anyway,
    // because it has at least 128 rows.
    Ok(Assembled {
        instructions,
        row_bytes: u32::try_from(allocator.used.len()).map_err(|_| too_big())?,
        bit_registers: u32::try_from(allocator.bits_used.len()).map_err(|_| too_big())?,
    })
}

fn unwritten(number: usize) -> StaffaError {
    StaffaError::bug(format!("expression program, draft {number} reads a register that nothing wrote"))
}
