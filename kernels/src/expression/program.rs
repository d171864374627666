//! A program: assembled, validated, ready to be uploaded.

use std::fmt;

use super::format::{
    BITS_ALL, BITS_NONE, FLAG_CONSTANT_A, FLAG_CONSTANT_B, FLAG_CONSTANT_C, FLAG_IGNORE_CASE,
    FLAG_NEGATE, FLAG_NULL_ON_ERROR, FLAG_OPTION, Instruction, Opcode, ROWS_PER_THREAD,
};
use super::types::Type;
use super::validate::{Kind, shape};

/// Most bytes of shared memory a block may ask for on every architecture without opting in.
pub const SHARED_LIMIT: u32 = 48 * 1024;
/// Block sizes, largest first.
pub const BLOCK_SIZES: [u32; 4] = [256, 128, 64, 32];

/// An input column as the program expects it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Input {
    /// Type of its values (of its dictionary's values).
    pub kind: Type,
    /// Whether the descriptor may have a validity bitmap. A column that has one although it was
    /// declared without is refused at launch.
    pub nullable: bool,
}

/// An output column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Output {
    /// Type of its values.
    pub kind: Type,
    /// Whether it gets a validity bitmap.
    pub nullable: bool,
}

/// Which kernel can run a program; narrower ones use fewer machine registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Variant {
    /// Integers of up to 64 bits, floats, booleans.
    Narrow,
    /// Adds 128-bit integers: decimals.
    Wide,
    /// Adds strings.
    Strings,
}

impl Variant {
    /// The kernel's symbol.
    pub fn symbol(self) -> &'static str {
        match self {
            Variant::Narrow => "expression_interpreter_narrow",
            Variant::Wide => "expression_interpreter_wide",
            Variant::Strings => "expression_interpreter_strings",
        }
    }
}

/// A program for the interpreter. Made by [`Builder`](super::Builder); immutable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    pub(super) instructions: Vec<Instruction>,
    pub(super) blob: Vec<u8>,
    /// Offsets of spans in the blob, whose addresses are relative to the blob's start.
    pub(super) relocations: Vec<u32>,
    pub(super) constant_bytes: u32,
    pub(super) inputs: Vec<Input>,
    pub(super) outputs: Vec<Output>,
    pub(super) row_bytes: u32,
    pub(super) bit_registers: u32,
    pub(super) filters: bool,
    pub(super) makes_strings: bool,
}

impl Program {
    /// The instructions, [`Opcode::End`] last.
    pub fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }

    /// Columns that the launch must provide, in order.
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// Columns that the program writes, in order.
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// Whether rows are dropped: outputs are then compacted and counted.
    pub fn filters(&self) -> bool {
        self.filters
    }

    /// Whether strings are made, so that the launch needs a heap.
    pub fn makes_strings(&self) -> bool {
        self.makes_strings
    }

    /// Bytes of values a row of the tile.
    pub fn row_bytes(&self) -> u32 {
        self.row_bytes
    }

    /// Bit registers.
    pub fn bit_registers(&self) -> u32 {
        self.bit_registers
    }

    /// Bytes of the blob that a block copies to shared memory.
    pub fn constant_bytes(&self) -> u32 {
        self.constant_bytes
    }

    /// Constants, lists and patterns for a blob that will lie at this device address.
    pub fn blob_at(&self, address: u64) -> Vec<u8> {
        let mut blob = self.blob.clone();
        for offset in &self.relocations {
            let at = *offset as usize;
            if let Some(field) = blob.get_mut(at..at + 8) {
                let mut relative = [0u8; 8];
                relative.copy_from_slice(field);
                field.copy_from_slice(
                    &u64::from_le_bytes(relative).wrapping_add(address).to_le_bytes(),
                );
            }
        }
        blob
    }

    /// Dynamic shared memory of a block, in bytes.
    pub fn shared_bytes(&self, threads: u32) -> u32 {
        let rows = if self.filters { ROWS_PER_THREAD * threads } else { 0 };
        let scratch = (rows + ROWS_PER_THREAD * threads.div_ceil(32) + 2) * 4;
        self.constant_bytes
            + threads * (ROWS_PER_THREAD * self.row_bytes + self.bit_registers)
            + scratch
    }

    /// The largest block whose shared memory fits, or `None` when even a warp's does not.
    pub fn block_threads(&self) -> Option<u32> {
        BLOCK_SIZES.into_iter().find(|threads| self.shared_bytes(*threads) <= SHARED_LIMIT)
    }

    /// Whether a row may ask for a rerun, or for more heap: then nothing is stored for it.
    pub fn may_rerun(&self) -> bool {
        use Opcode as O;
        self.instructions.iter().any(|i| match Opcode::from_number(i.op) {
            Some(
                O::End
                | O::JumpIfNone
                | O::Filter
                | O::Load
                | O::LoadCode
                | O::Store
                | O::Select
                | O::MaskAnd
                | O::MaskAndNot
                | O::BitsAnd
                | O::BitsOr
                | O::BitsNot
                | O::IsNull
                | O::IsTrue
                | O::IsFalse
                | O::BitsEqual
                | O::BitsLess
                | O::BitsSelect
                | O::Distinct
                | O::ValidAndNot
                | O::Add
                | O::Subtract
                | O::Multiply
                | O::Negate
                | O::BitAnd
                | O::BitOr
                | O::BitXor
                | O::ShiftLeft
                | O::ShiftRight
                | O::Round
                | O::Equal
                | O::Less
                | O::InList
                | O::ConvertWrapping
                | O::CharacterLength
                | O::OctetLength
                | O::Find
                | O::Trim,
            ) => false,
            Some(O::Like) => i.flags & FLAG_IGNORE_CASE != 0,
            _ => true,
        })
    }

    /// The narrowest kernel that has all instructions.
    pub fn variant(&self) -> Variant {
        let of = |kind: Option<Type>| match kind {
            Some(Type::Span) => Variant::Strings,
            Some(Type::I128) => Variant::Wide,
            _ => Variant::Narrow,
        };
        // An operand may be of another type than the instruction, and a constant that nothing loads.
        let operands = self.instructions.iter().filter_map(|i| Opcode::from_number(i.op));
        let operands = operands.flat_map(|op| shape(op).operands).map(|operand| match operand {
            Kind::Of(kind) => Some(kind),
            _ => None,
        });
        let kinds = self.instructions.iter().flat_map(|i| [i.kind, i.kind_to]);
        kinds.map(Type::from_tag).chain(operands).map(of).max().unwrap_or(Variant::Narrow)
    }
}

fn bits(register: u16) -> String {
    match register {
        BITS_ALL => "*".to_owned(),
        BITS_NONE => "-".to_owned(),
        other => format!("b{other}"),
    }
}

/// One instruction of a disassembly: `i64 v8 valid b2 = add v0 valid b0, c16 if b5`.
fn disassemble(i: &Instruction) -> String {
    let Some(op) = Opcode::from_number(i.op) else { return format!("?{}", i.op) };
    let kind = Type::from_tag(i.kind);
    let value = |offset: u16, flag: u16, kind: Option<Type>| match kind {
        Some(Type::Bits) => bits(offset),
        _ if i.flags & flag != 0 => format!("c{offset}"),
        _ => format!("v{offset}"),
    };
    let valid = |register: u16| {
        if register == BITS_ALL { String::new() } else { format!(" valid {}", bits(register)) }
    };
    let shape = shape(op);
    let mut text = String::new();
    if shape.result {
        let to = Type::from_tag(i.kind_to).or(kind);
        let to = if shape.to_bits { Some(Type::Bits) } else { to };
        let name = to.map(|t| t.to_string()).unwrap_or_default();
        text.push_str(&format!("{name} {}{} = ", value(i.dst, 0, to), valid(i.dst_valid)));
    }
    text.push_str(op.name());
    if shape.immediate {
        text.push_str(&format!(" #{:#x}", i.immediate));
    }
    let operands = [
        (i.a, FLAG_CONSTANT_A, i.a_valid),
        (i.b, FLAG_CONSTANT_B, i.b_valid),
        (i.c, FLAG_CONSTANT_C, i.c_valid),
    ];
    for ((offset, flag, v), wanted) in operands.into_iter().zip(shape.operands) {
        let kind = match wanted {
            Kind::Unused => continue,
            Kind::Same => kind,
            Kind::Bits => Some(Type::Bits),
            Kind::Of(of) => Some(of),
        };
        text.push_str(&format!(" {}{}", value(offset, flag, kind), valid(v)));
    }
    for (flag, name) in [
        (FLAG_NEGATE, "negated"),
        (FLAG_NULL_ON_ERROR, "null_on_error"),
        (FLAG_IGNORE_CASE, "ignore_case"),
        (FLAG_OPTION, "option"),
    ] {
        if i.flags & flag != 0 {
            text.push_str(&format!(" {name}"));
        }
    }
    if i.mask != BITS_ALL {
        text.push_str(&format!(" if {}", bits(i.mask)));
    }
    text
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:?}: {} bytes a row, {} bit registers, {} bytes of constants",
            self.variant(),
            self.row_bytes,
            self.bit_registers,
            self.constant_bytes
        )?;
        for (number, instruction) in self.instructions.iter().enumerate() {
            writeln!(f, "{number:4}  {}", disassemble(instruction))?;
        }
        Ok(())
    }
}
