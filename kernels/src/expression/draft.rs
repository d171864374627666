//! Instructions before register allocation.

use super::format::{FLAG_CONSTANT_A, FLAG_CONSTANT_B, FLAG_CONSTANT_C, Opcode};
use super::types::Type;

/// A bit register, or one of the two constants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Bits {
    All,
    None,
    Register(u32),
}

/// Where an operand comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operand {
    Unused,
    Value(u32),
    /// Byte offset in the blob's constants.
    Constant(u32),
    Bits(Bits),
}

/// Where a result goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Destination {
    Nothing,
    Value(u32),
    Bits(u32),
}

#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub(super) op: Opcode,
    pub(super) kind: Option<Type>,
    pub(super) kind_to: Option<Type>,
    pub(super) flags: u16,
    pub(super) mask: Bits,
    pub(super) destination: Destination,
    pub(super) valid_destination: Option<u32>,
    pub(super) operands: [Operand; 3],
    pub(super) valids: [Bits; 3],
    pub(super) immediate: u64,
}

impl Draft {
    pub(super) fn new(op: Opcode, kind: Option<Type>) -> Draft {
        Draft {
            op,
            kind,
            kind_to: None,
            flags: 0,
            mask: Bits::All,
            destination: Destination::Nothing,
            valid_destination: None,
            operands: [Operand::Unused; 3],
            valids: [Bits::All; 3],
            immediate: 0,
        }
    }

    /// The flags, with those that the operands imply.
    pub(super) fn flags(&self) -> u16 {
        let constants = [FLAG_CONSTANT_A, FLAG_CONSTANT_B, FLAG_CONSTANT_C];
        let implied =
            self.operands.iter().zip(constants).filter(|(o, _)| matches!(o, Operand::Constant(_)));
        implied.fold(self.flags, |flags, (_, flag)| flags | flag)
    }

    /// Every value register that it reads or writes.
    pub(super) fn each_value(&self, mut f: impl FnMut(u32)) {
        for operand in self.operands {
            if let Operand::Value(register) = operand {
                f(register);
            }
        }
        if let Destination::Value(register) = self.destination {
            f(register);
        }
    }

    /// Every bit register that it reads or writes.
    pub(super) fn each_bits(&self, mut f: impl FnMut(u32)) {
        let operands = self.operands.iter().filter_map(|o| match o {
            Operand::Bits(b) => Some(*b),
            _ => None,
        });
        for bits in operands.chain(self.valids).chain([self.mask]) {
            if let Bits::Register(register) = bits {
                f(register);
            }
        }
        if let Destination::Bits(register) = self.destination {
            f(register);
        }
        if let Some(register) = self.valid_destination {
            f(register);
        }
    }
}
