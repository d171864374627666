//! Makes programs, one typed instruction at a time.

use std::collections::HashMap;

use staffa_common::StaffaError;

use super::assemble::assemble;
use super::blob::list_too_long;
use super::constant::Constant;
use super::draft::{Bits, Destination, Draft, Operand};
use super::format::{FLAG_NULL_ON_ERROR, Opcode};
use super::program::{Input, Output, Program};
use super::types::Type;
use super::validate::check;

/// A masked region shorter than this is not worth a jump.
const JUMP_OVER: usize = 3;

/// A value of a row: a register or a constant, with its validity. Cheap to copy; belongs to the
/// builder that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Value {
    pub(super) kind: Type,
    pub(super) operand: Operand,
    pub(super) valid: Bits,
}

impl Value {
    /// Its type.
    pub fn kind(&self) -> Type {
        self.kind
    }

    /// Whether it can be NULL on some row.
    pub fn nullable(&self) -> bool {
        self.valid != Bits::All
    }

    /// A boolean's value bits.
    pub(super) fn bits(&self) -> Bits {
        if let Operand::Bits(bits) = self.operand { bits } else { Bits::None }
    }
}

/// Rows that are evaluated: made by [`Builder::rows_where`] and [`Builder::rows_unless`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mask(pub(super) Bits);

/// A masked region that was entered and is to be left: see [`Builder::enter`].
#[derive(Debug)]
#[must_use = "a region that is not left masks the rest of the program"]
pub struct Region {
    mask: Bits,
    jump: usize,
}

/// What to do with a row on which arrow would return an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// Raise the error slot's bit: the host reruns the morsel, and DataFusion decides.
    Raise,
    /// Make it NULL, as TRY_CAST does.
    Null,
}

/// Builds one program.
///
/// ```
/// use staffa_kernels::expression::{Builder, Comparison, Constant, Input, Type};
///
/// let mut b = Builder::new(vec![Input { kind: Type::I64, nullable: true }]);
/// let x = b.column(0)?;
/// let ten = b.constant(&Constant::I64(10))?;
/// let keep = b.compare(Comparison::Less, x, ten)?;
/// b.filter(keep)?;
/// b.output(x)?;
/// let program = b.finish()?;
/// assert!(program.filters());
/// # Ok::<(), staffa_common::StaffaError>(())
/// ```
#[derive(Debug)]
pub struct Builder {
    inputs: Vec<Input>,
    outputs: Vec<Output>,
    drafts: Vec<Draft>,
    widths: Vec<u16>,
    bit_count: u32,
    pub(super) constants: Vec<u8>,
    pub(super) known_constants: HashMap<(bool, Vec<u8>), u32>,
    pub(super) lists: Vec<u8>,
    /// Spans in constants (false) and lists (true), whose addresses are relative to `bytes`.
    pub(super) spans: Vec<(bool, u32)>,
    pub(super) bytes: Vec<u8>,
    masks: Vec<Bits>,
    loaded: Vec<(u64, Opcode, Bits, Value)>,
    filtered: bool,
    pub(super) makes_strings: bool,
}

pub(super) fn mismatch(what: &str, kind: Type) -> StaffaError {
    StaffaError::bug(format!("expression builder: {what} of {kind}"))
}

impl Builder {
    /// A program over these columns.
    pub fn new(inputs: Vec<Input>) -> Builder {
        Builder {
            inputs,
            outputs: Vec::new(),
            drafts: Vec::new(),
            widths: Vec::new(),
            bit_count: 0,
            constants: Vec::new(),
            known_constants: HashMap::new(),
            lists: Vec::new(),
            spans: Vec::new(),
            bytes: Vec::new(),
            masks: vec![Bits::All],
            loaded: Vec::new(),
            filtered: false,
            makes_strings: false,
        }
    }

    fn mask(&self) -> Bits {
        self.masks.last().copied().unwrap_or(Bits::All)
    }

    pub(super) fn bit_register(&mut self) -> u32 {
        self.bit_count += 1;
        self.bit_count - 1
    }

    fn value_register(&mut self, kind: Type) -> u32 {
        self.widths.push(kind.width());
        u32::try_from(self.widths.len() - 1).unwrap_or(u32::MAX)
    }

    /// Appends an instruction under the current mask.
    pub(super) fn push(&mut self, mut draft: Draft) {
        draft.mask = self.mask();
        self.drafts.push(draft);
    }

    /// Appends an instruction whose result is `kind`, and which is NULL where an operand is.
    pub(super) fn strict(&mut self, mut draft: Draft, kind: Type) -> Value {
        let valid = self.joint_validity(&mut draft);
        let operand = self.destination(&mut draft, kind);
        self.push(draft);
        Value { kind, operand, valid }
    }

    pub(super) fn destination(&mut self, draft: &mut Draft, kind: Type) -> Operand {
        if kind == Type::Bits {
            let register = self.bit_register();
            draft.destination = Destination::Bits(register);
            Operand::Bits(Bits::Register(register))
        } else {
            let register = self.value_register(kind);
            draft.destination = Destination::Value(register);
            Operand::Value(register)
        }
    }

    /// The AND of the operands' validities: an existing register if one is enough.
    fn joint_validity(&mut self, draft: &mut Draft) -> Bits {
        if draft.valids.contains(&Bits::None) {
            return Bits::None;
        }
        let mut distinct: Vec<Bits> = Vec::new();
        for valid in draft.valids {
            if valid != Bits::All && !distinct.contains(&valid) {
                distinct.push(valid);
            }
        }
        if draft.flags & FLAG_NULL_ON_ERROR == 0 && distinct.len() < 2 {
            return distinct.first().copied().unwrap_or(Bits::All);
        }
        let register = self.bit_register();
        draft.valid_destination = Some(register);
        Bits::Register(register)
    }

    /// Input column `index`, read once per mask.
    ///
    /// # Errors
    /// `Bug` for a column that does not exist.
    pub fn column(&mut self, index: usize) -> Result<Value, StaffaError> {
        let Some(input) = self.inputs.get(index).copied() else {
            return Err(StaffaError::bug(format!("expression builder: no column {index}")));
        };
        Ok(self.load(Opcode::Load, index, input.kind, input.nullable))
    }

    /// The codes of input column `index`, which the launch must give a column of kind `Codes`.
    ///
    /// # Errors
    /// `Bug` for a column that does not exist.
    pub fn codes(&mut self, index: usize) -> Result<Value, StaffaError> {
        let Some(input) = self.inputs.get(index).copied() else {
            return Err(StaffaError::bug(format!("expression builder: no column {index}")));
        };
        Ok(self.load(Opcode::LoadCode, index, Type::U32, input.nullable))
    }

    fn load(&mut self, op: Opcode, index: usize, kind: Type, nullable: bool) -> Value {
        let index = index as u64;
        let known = self
            .loaded
            .iter()
            .find(|(i, o, mask, _)| *i == index && *o == op && self.masks.contains(mask));
        if let Some((_, _, _, value)) = known {
            return *value;
        }
        let mut draft = Draft::new(op, Some(kind));
        draft.immediate = index;
        let operand = self.destination(&mut draft, kind);
        let valid = if nullable {
            let register = self.bit_register();
            draft.valid_destination = Some(register);
            Bits::Register(register)
        } else {
            Bits::All
        };
        let value = Value { kind, operand, valid };
        self.loaded.push((index, op, self.mask(), value));
        self.push(draft);
        value
    }

    /// The entry of input column `index` at row `code`: a predicate evaluated per dictionary entry, or a
    /// dictionary's values. The column's rows are the entries.
    ///
    /// # Errors
    /// `Bug` for a column that does not exist or an index that is no u32.
    pub fn gather(&mut self, index: usize, code: Value) -> Result<Value, StaffaError> {
        let Some(input) = self.inputs.get(index).copied() else {
            return Err(StaffaError::bug(format!("expression builder: no column {index}")));
        };
        if code.kind != Type::U32 {
            return Err(mismatch("gather by a code", code.kind));
        }
        let mut draft = Draft::new(Opcode::Gather, Some(input.kind));
        draft.immediate = index as u64;
        draft.operands[1] = code.operand;
        draft.valids[1] = code.valid;
        let operand = self.destination(&mut draft, input.kind);
        let valid = if input.nullable {
            let register = self.bit_register();
            draft.valid_destination = Some(register);
            Bits::Register(register)
        } else {
            code.valid
        };
        self.push(draft);
        Ok(Value { kind: input.kind, operand, valid })
    }

    /// A constant; equal ones share their bytes.
    ///
    /// # Errors
    /// `Unsupported` (E002) when the program has more constants than fit.
    pub fn constant(&mut self, constant: &Constant) -> Result<Value, StaffaError> {
        let kind = constant.kind();
        let operand = match constant {
            Constant::Bool(true) => Operand::Bits(Bits::All),
            Constant::Bool(false) => Operand::Bits(Bits::None),
            Constant::Bytes(bytes) => {
                let span = self.relative_span(bytes)?;
                Operand::Constant(self.constant_bytes(span, true)?)
            }
            _ => Operand::Constant(self.constant_bytes(constant.to_bytes(), false)?),
        };
        Ok(Value { kind, operand, valid: Bits::All })
    }

    /// NULL of a type.
    ///
    /// # Errors
    /// As [`Builder::constant`].
    pub fn null(&mut self, kind: Type) -> Result<Value, StaffaError> {
        let operand = match kind {
            Type::Bits => Operand::Bits(Bits::None),
            _ => Operand::Constant(self.constant_bytes(vec![0; usize::from(kind.width())], false)?),
        };
        Ok(Value { kind, operand, valid: Bits::None })
    }

    /// The rows of the current mask on which a boolean is true.
    ///
    /// # Errors
    /// `Bug` unless it is a boolean.
    pub fn rows_where(&mut self, condition: Value) -> Result<Mask, StaffaError> {
        self.rows(Opcode::MaskAnd, condition)
    }

    /// The rows of the current mask on which a boolean is false or NULL.
    ///
    /// # Errors
    /// `Bug` unless it is a boolean.
    pub fn rows_unless(&mut self, condition: Value) -> Result<Mask, StaffaError> {
        self.rows(Opcode::MaskAndNot, condition)
    }

    fn rows(&mut self, op: Opcode, condition: Value) -> Result<Mask, StaffaError> {
        if condition.kind != Type::Bits {
            return Err(mismatch("a mask", condition.kind));
        }
        let mut draft = Draft::new(op, Some(Type::Bits));
        draft.operands[0] = condition.operand;
        draft.valids[0] = condition.valid;
        let register = self.bit_register();
        draft.destination = Destination::Bits(register);
        self.push(draft);
        Ok(Mask(Bits::Register(register)))
    }

    /// Runs `f` with instructions evaluated only on the rows of `mask`: what they would raise elsewhere
    /// is not raised, and columns are not read there. Warps without such a row skip the instructions.
    ///
    /// # Errors
    /// Those of `f`.
    pub fn on<R>(
        &mut self,
        mask: Mask,
        f: impl FnOnce(&mut Builder) -> Result<R, StaffaError>,
    ) -> Result<R, StaffaError> {
        let region = self.enter(mask);
        let result = f(self);
        self.leave(region);
        result
    }

    /// Begins what [`Builder::on`] does around a closure, for callers that hold the builder in a structure of
    /// their own. Regions are left in the reverse order of entering.
    pub fn enter(&mut self, mask: Mask) -> Region {
        let jump = self.drafts.len();
        let mut draft = Draft::new(Opcode::JumpIfNone, Some(Type::Bits));
        draft.operands[0] = Operand::Bits(mask.0);
        self.push(draft);
        self.masks.push(mask.0);
        Region { mask: mask.0, jump }
    }

    /// Ends a region: later instructions are evaluated on the rows of before.
    pub fn leave(&mut self, region: Region) {
        let Region { mask, jump } = region;
        self.masks.pop();
        self.loaded.retain(|(_, _, m, _)| *m != mask);
        if self.drafts.len() - jump - 1 < JUMP_OVER {
            self.drafts.remove(jump);
            for draft in &mut self.drafts[jump..] {
                if draft.op == Opcode::JumpIfNone {
                    draft.immediate -= 1;
                }
            }
        } else {
            self.drafts[jump].immediate = self.drafts.len() as u64;
        }
    }

    /// Only rows on which `condition` is true stay: later instructions see them alone, and outputs are
    /// compacted. At most once, outside of any mask, before the first output.
    ///
    /// # Errors
    /// `Bug` when it is used otherwise.
    pub fn filter(&mut self, condition: Value) -> Result<(), StaffaError> {
        if condition.kind != Type::Bits
            || self.filtered
            || self.masks.len() != 1
            || !self.outputs.is_empty()
        {
            return Err(mismatch("a misplaced filter", condition.kind));
        }
        let mut draft = Draft::new(Opcode::Filter, Some(Type::Bits));
        draft.operands[0] = condition.operand;
        draft.valids[0] = condition.valid;
        self.push(draft);
        self.filtered = true;
        Ok(())
    }

    /// Adds an output column and returns its number.
    ///
    /// # Errors
    /// `Bug` within a mask.
    pub fn output(&mut self, value: Value) -> Result<usize, StaffaError> {
        if self.masks.len() != 1 {
            return Err(mismatch("an output under a mask", value.kind));
        }
        let number = self.outputs.len();
        let mut draft = Draft::new(Opcode::Store, Some(value.kind));
        draft.operands[0] = value.operand;
        draft.valids[0] = value.valid;
        draft.immediate = number as u64;
        self.push(draft);
        self.outputs.push(Output { kind: value.kind, nullable: value.nullable() });
        Ok(number)
    }

    /// Allocates registers, lays out the blob and checks the result.
    ///
    /// # Errors
    /// `Unsupported` when the program does not fit a tile (E001, E004); `Bug` when the check fails.
    pub fn finish(mut self) -> Result<Program, StaffaError> {
        self.skip_after_filter();
        self.drafts.push(Draft::new(Opcode::End, None));
        let constant_bytes = self.constants.len().next_multiple_of(16);
        let lists = constant_bytes;
        let bytes = (lists + self.lists.len()) as u64;
        for draft in &mut self.drafts {
            if matches!(draft.op, Opcode::InList | Opcode::Like) {
                draft.immediate += lists as u64;
            }
        }
        let mut assembled = assemble(&self.drafts, &self.widths, self.bit_count as usize)?;
        let mut blob = self.constants;
        blob.resize(constant_bytes, 0);
        blob.extend_from_slice(&self.lists);
        blob.extend_from_slice(&self.bytes);
        let mut relocations = Vec::with_capacity(self.spans.len());
        for (in_lists, offset) in self.spans {
            let offset = offset as usize + if in_lists { lists } else { 0 };
            if let Some(field) = blob.get_mut(offset..offset + 8) {
                let mut relative = [0u8; 8];
                relative.copy_from_slice(field);
                field.copy_from_slice(&(u64::from_le_bytes(relative) + bytes).to_le_bytes());
            }
            relocations.push(u32::try_from(offset).map_err(|_| list_too_long())?);
        }
        let program = Program {
            instructions: std::mem::take(&mut assembled.instructions),
            blob,
            relocations,
            constant_bytes: u32::try_from(constant_bytes).unwrap_or(u32::MAX),
            inputs: self.inputs,
            outputs: self.outputs,
            row_bytes: assembled.row_bytes,
            bit_registers: assembled.bit_registers,
            filters: self.filtered,
            makes_strings: self.makes_strings,
        };
        if program.block_threads().is_none() {
            return Err(StaffaError::unsupported(format!(
                "E004 the expression needs {} bytes a row, more than a tile has",
                program.row_bytes
            )));
        }
        check(&program)?;
        Ok(program)
    }

    /// Warps of which no row passed the filter go to the end.
    fn skip_after_filter(&mut self) {
        let Some(filter) = self.drafts.iter().position(|d| d.op == Opcode::Filter) else { return };
        let mut jump = Draft::new(Opcode::JumpIfNone, Some(Type::Bits));
        jump.operands[0] = Operand::Bits(Bits::All);
        jump.immediate = self.drafts.len() as u64 + 1;
        for draft in &mut self.drafts {
            // Jumps never cross the filter: those in front of it stay, those behind move by one.
            if draft.op == Opcode::JumpIfNone && draft.immediate > filter as u64 {
                draft.immediate += 1;
            }
        }
        self.drafts.insert(filter + 1, jump);
    }
}
