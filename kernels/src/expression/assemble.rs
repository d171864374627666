//! From drafts with as many registers as they like to a program with few: linear scan.
//!
//! A register lives from the instruction that writes it to the last that reads it. The result of an
//! instruction may take the place of an operand that dies there and has the same width: instructions
//! work row by row and read a row before they write it.
//!
//! Bytes of a tile never change their width. The row of a place depends on the width, a row belongs to one
//! thread, and there is no barrier between instructions: if an i8 took the place of an i32, one warp would
//! write what a slower warp still reads.

use staffa_common::StaffaError;

use super::draft::{Bits, Destination, Draft, Operand};
use super::format::{BITS_ALL, BITS_NONE, Instruction};

/// Registers after allocation.
pub(super) struct Assembled {
    pub(super) instructions: Vec<Instruction>,
    pub(super) row_bytes: u32,
    pub(super) bit_registers: u32,
}

/// A place of a value register: bytes of a row, always of this width.
struct Place {
    offset: usize,
    width: u16,
    used: bool,
}

/// Value registers as places, bit registers as numbers.
struct Allocator {
    places: Vec<Place>,
    bits_used: Vec<bool>,
}

impl Allocator {
    fn value(&mut self, width: u16) -> Result<u16, StaffaError> {
        if let Some(place) = self.places.iter_mut().find(|p| p.width == width && !p.used) {
            place.used = true;
            return u16::try_from(place.offset).map_err(|_| too_big());
        }
        let bytes = usize::from(width);
        let mut offset = 0;
        while self
            .places
            .iter()
            .any(|p| p.offset < offset + bytes && offset < p.offset + usize::from(p.width))
        {
            offset += bytes;
        }
        self.places.push(Place { offset, width, used: true });
        u16::try_from(offset).map_err(|_| too_big())
    }

    fn free_value(&mut self, offset: u16) {
        if let Some(place) = self.places.iter_mut().find(|p| p.offset == usize::from(offset)) {
            place.used = false;
        }
    }

    fn row_bytes(&self) -> usize {
        self.places.iter().map(|p| p.offset + usize::from(p.width)).max().unwrap_or(0)
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
pub(super) fn assemble(
    drafts: &[Draft],
    widths: &[u16],
    bit_count: usize,
) -> Result<Assembled, StaffaError> {
    let ends = lifetimes(drafts, widths.len(), bit_count);
    let mut allocator = Allocator { places: Vec::new(), bits_used: Vec::new() };
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
        let operand_value =
            |register: u32| values[register as usize].ok_or_else(|| unwritten(number));
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
                let reused =
                    dying.iter().position(|d| *d != register && widths[*d as usize] == width);
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
                allocator.free_value(place);
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
        row_bytes: u32::try_from(allocator.row_bytes()).map_err(|_| too_big())?,
        bit_registers: u32::try_from(allocator.bits_used.len()).map_err(|_| too_big())?,
    })
}

fn unwritten(number: usize) -> StaffaError {
    StaffaError::bug(format!(
        "expression program, draft {number} reads a register that nothing wrote"
    ))
}
