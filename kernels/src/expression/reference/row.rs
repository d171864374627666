//! One row's registers and the loop over instructions.

use super::super::constant::Constant;
use super::super::format::{
    BITS_ALL, BITS_NONE, FLAG_CONSTANT_A, FLAG_CONSTANT_B, FLAG_CONSTANT_C, FLAG_NEGATE,
    FLAG_NULL_ON_ERROR, Instruction, Opcode,
};
use super::super::program::Program;
use super::super::types::Type;
use super::super::validate::{Kind, shape};
use super::{Cell, HostColumn, Rerun, numbers, strings, temporal};

pub(super) struct Row<'a> {
    pub(super) program: &'a Program,
    columns: &'a [HostColumn],
    row: u32,
    values: Vec<u8>,
    bits: Vec<bool>,
    /// Bytes of spans; a span's address is an index here.
    arena: Vec<Vec<u8>>,
    outputs: Vec<Cell>,
}

/// What an instruction computes: a value, or an error that the row must not have.
pub(super) enum Computed {
    Value(Constant),
    Error,
    /// Only the host handles it, whatever the instruction does with errors.
    Host,
}

impl<'a> Row<'a> {
    pub(super) fn new(program: &'a Program, columns: &'a [HostColumn], row: u32) -> Row<'a> {
        Row {
            program,
            columns,
            row,
            values: vec![0xa5; program.row_bytes as usize],
            bits: vec![true; program.bit_registers as usize],
            arena: Vec::new(),
            outputs: vec![None; program.outputs.len()],
        }
    }

    fn bit(&self, register: u16) -> bool {
        match register {
            BITS_ALL => true,
            BITS_NONE => false,
            other => self.bits.get(usize::from(other)).copied().unwrap_or(false),
        }
    }

    fn set_bit(&mut self, register: u16, value: bool) {
        if let Some(bit) = self.bits.get_mut(usize::from(register)) {
            *bit = value;
        }
    }

    /// A value of the row's registers or of the blob.
    fn read(&self, offset: u16, constant: bool, kind: Type) -> Constant {
        let memory = if constant { &self.program.blob } else { &self.values };
        let at = usize::from(offset);
        let bytes = memory.get(at..at + usize::from(kind.width())).unwrap_or(&[0; 16]);
        if kind == Type::Span {
            let span = decode_span(bytes);
            return Constant::Bytes(if constant {
                self.blob_bytes(span)
            } else {
                self.arena_bytes(span)
            });
        }
        numbers::decode(kind, bytes)
    }

    pub(super) fn blob_bytes(&self, (address, length): (u64, u32)) -> Vec<u8> {
        let at = usize::try_from(address).unwrap_or(usize::MAX);
        self.program.blob.get(at..at.saturating_add(length as usize)).unwrap_or_default().to_vec()
    }

    fn arena_bytes(&self, (address, length): (u64, u32)) -> Vec<u8> {
        let bytes = usize::try_from(address).ok().and_then(|at| self.arena.get(at));
        bytes.map(|b| b.iter().copied().take(length as usize).collect()).unwrap_or_default()
    }

    fn write(&mut self, offset: u16, value: &Constant) {
        let bytes = match value {
            Constant::Bytes(bytes) => {
                self.arena.push(bytes.clone());
                let address = (self.arena.len() - 1) as u64;
                let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                [&address.to_le_bytes()[..], &length.to_le_bytes(), &[0; 4]].concat()
            }
            other => other.to_bytes(),
        };
        let at = usize::from(offset);
        if let Some(place) = self.values.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(&bytes);
        }
    }

    fn operands(&self, i: &Instruction, op: Opcode, kind: Type) -> [Constant; 3] {
        let wanted = shape(op).operands;
        let one = |offset, flag, wanted| match wanted {
            Kind::Unused => Constant::integer(kind, 0),
            Kind::Bits | Kind::Same if wanted == Kind::Bits || kind == Type::Bits => {
                Constant::Bool(self.bit(offset))
            }
            Kind::Bits | Kind::Same => self.read(offset, i.flags & flag != 0, kind),
            Kind::Of(of) => self.read(offset, i.flags & flag != 0, of),
        };
        [
            one(i.a, FLAG_CONSTANT_A, wanted[0]),
            one(i.b, FLAG_CONSTANT_B, wanted[1]),
            one(i.c, FLAG_CONSTANT_C, wanted[2]),
        ]
    }

    /// The row's outputs, or `None` when the filter drops it.
    pub(super) fn run(&mut self) -> Result<Option<Vec<Cell>>, Rerun> {
        let mut at = 0;
        while let Some(i) = self.program.instructions.get(at) {
            let Some(op) = Opcode::from_number(i.op) else { break };
            match op {
                Opcode::End => break,
                Opcode::JumpIfNone if !self.bit(i.a) => {
                    at = usize::try_from(i.immediate).unwrap_or(usize::MAX);
                    continue;
                }
                Opcode::JumpIfNone => {}
                Opcode::Filter if !(self.bit(i.a) && self.bit(i.a_valid)) => return Ok(None),
                Opcode::Filter => {}
                Opcode::Store => self.store(i),
                _ if self.step(i, op) => {}
                _ => return Err(Rerun { row: self.row, instruction: at }),
            }
            at += 1;
        }
        Ok(Some(std::mem::take(&mut self.outputs)))
    }

    fn store(&mut self, i: &Instruction) {
        let kind = Type::from_tag(i.kind).unwrap_or(Type::Bits);
        let value = self.bit(i.a_valid).then(|| self.operands(i, Opcode::Store, kind)[0].clone());
        if let Some(output) =
            usize::try_from(i.immediate).ok().and_then(|n| self.outputs.get_mut(n))
        {
            *output = value;
        }
    }

    /// False when the row must be rerun.
    fn step(&mut self, i: &Instruction, op: Opcode) -> bool {
        if self.columns_or_logic(i, op) {
            return true;
        }
        let mut valid = self.bit(i.a_valid) && self.bit(i.b_valid) && self.bit(i.c_valid);
        if self.bit(i.mask) && valid {
            let kind = Type::from_tag(i.kind).unwrap_or(Type::Bits);
            let operands = self.operands(i, op, kind);
            let computed = match kind {
                _ if matches!(
                    op,
                    Opcode::DatePart | Opcode::TruncateDate | Opcode::AddInterval
                ) =>
                {
                    temporal::compute(i, op, &operands)
                }
                Type::Span => strings::compute(self, i, op, &operands),
                _ => numbers::compute(self, i, op, &operands),
            };
            match computed {
                Computed::Value(Constant::Bool(bit)) => {
                    self.set_bit(i.dst, bit != (i.flags & FLAG_NEGATE != 0))
                }
                Computed::Value(value) => self.write(i.dst, &value),
                Computed::Error if i.flags & FLAG_NULL_ON_ERROR != 0 => valid = false,
                Computed::Error | Computed::Host => return false,
            }
        }
        if i.dst_valid < BITS_NONE {
            self.set_bit(i.dst_valid, valid);
        }
        true
    }

    /// Instructions that treat validity in their own way. False: it is none of them.
    fn columns_or_logic(&mut self, i: &Instruction, op: Opcode) -> bool {
        use Opcode as O;
        let kind = Type::from_tag(i.kind).unwrap_or(Type::Bits);
        let (a, b, c) = (self.bit(i.a), self.bit(i.b), self.bit(i.c));
        let (av, bv, cv) = (self.bit(i.a_valid), self.bit(i.b_valid), self.bit(i.c_valid));
        // (value, valid): None stands for NULL.
        let three = |value, valid| if valid { Some(value) } else { None };
        let result = match op {
            O::Load | O::LoadCode | O::Gather => {
                self.load(i, op, kind);
                return true;
            }
            O::Select if self.bit(i.mask) => {
                let [first, second, _] = self.operands(i, op, kind);
                let (value, valid) = if c && cv { (first, av) } else { (second, bv) };
                if valid {
                    self.write(i.dst, &value);
                }
                self.set_bit_if(i.dst_valid, valid);
                return true;
            }
            O::Select => return true,
            O::MaskAnd => Some(self.bit(i.mask) && a && av),
            O::MaskAndNot => Some(self.bit(i.mask) && !(a && av)),
            O::BitsAnd => match (three(a, av), three(b, bv)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            O::BitsOr => match (three(a, av), three(b, bv)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
            O::BitsNot => three(!a, av),
            O::IsNull => Some(!av),
            O::IsTrue => Some(three(a, av) == Some(true)),
            O::IsFalse => Some(three(a, av) == Some(false)),
            O::BitsEqual => three(a == b, av && bv),
            O::BitsLess => three(!a && b, av && bv),
            O::BitsSelect => {
                if c && cv {
                    three(a, av)
                } else {
                    three(b, bv)
                }
            }
            O::Distinct => Some(match (av, bv) {
                (true, true) => a,
                (x, y) => x != y,
            }),
            O::ValidAndNot => Some(a && !(b && bv)),
            _ => return false,
        };
        let negate = i.flags & FLAG_NEGATE != 0;
        self.set_bit(i.dst, result.map_or(!negate, |v| v != negate));
        self.set_bit_if(i.dst_valid, result.is_some());
        true
    }

    fn set_bit_if(&mut self, register: u16, value: bool) {
        if register < BITS_NONE {
            self.set_bit(register, value);
        }
    }

    fn load(&mut self, i: &Instruction, op: Opcode, kind: Type) {
        if !self.bit(i.mask) {
            return;
        }
        let column = usize::try_from(i.immediate).ok().and_then(|n| self.columns.get(n));
        let cell = match (op, column) {
            (Opcode::LoadCode, Some(HostColumn::Codes { codes, .. })) => {
                codes.get(self.row as usize).copied().flatten().map(Constant::U32)
            }
            (Opcode::Gather, Some(column)) => {
                match self.read(i.b, i.flags & FLAG_CONSTANT_B != 0, Type::U32) {
                    Constant::U32(index) if self.bit(i.b_valid) => column.cell(index as usize),
                    _ => None,
                }
            }
            (_, Some(column)) => column.cell(self.row as usize),
            (_, None) => None,
        };
        self.set_bit_if(i.dst_valid, cell.is_some());
        match cell {
            Some(Constant::Bool(bit)) => self.set_bit(i.dst, bit),
            Some(value) => self.write(i.dst, &value),
            // What the device leaves in a register of a NULL is arbitrary: so it is here.
            None if kind == Type::Bits => self.set_bit(i.dst, true),
            None => {}
        }
    }
}

/// Address and length.
pub(super) fn decode_span(bytes: &[u8]) -> (u64, u32) {
    let mut address = [0u8; 8];
    let mut length = [0u8; 4];
    if let (Some(a), Some(l)) = (bytes.get(..8), bytes.get(8..12)) {
        address.copy_from_slice(a);
        length.copy_from_slice(l);
    }
    (u64::from_le_bytes(address), u32::from_le_bytes(length))
}
