//! The builder's three-valued logic, CASE and its kin.

use staffa_common::StaffaError;

use super::builder::{Builder, Value, mismatch};
use super::draft::{Bits, Destination, Draft, Operand};
use super::format::{FLAG_NEGATE, Opcode};
use super::types::Type;

impl Builder {
    /// A boolean result that is never NULL.
    pub(super) fn two_valued(&mut self, mut draft: Draft) -> Value {
        let operand = self.destination(&mut draft, Type::Bits);
        self.push(draft);
        Value { kind: Type::Bits, operand, valid: Bits::All }
    }

    /// A boolean result with its own validity.
    fn three_valued(&mut self, mut draft: Draft, nullable: bool) -> Value {
        let operand = self.destination(&mut draft, Type::Bits);
        let valid = if nullable {
            let register = self.bit_register();
            draft.valid_destination = Some(register);
            Bits::Register(register)
        } else {
            Bits::All
        };
        self.push(draft);
        Value { kind: Type::Bits, operand, valid }
    }

    fn booleans(values: &[Value]) -> Result<(), StaffaError> {
        match values.iter().find(|v| v.kind != Type::Bits) {
            Some(v) => Err(mismatch("logic", v.kind)),
            None => Ok(()),
        }
    }

    /// Three-valued AND. Evaluates nothing lazily: see [`Builder::on`] for that.
    ///
    /// # Errors
    /// `Bug` unless both are booleans.
    pub fn and(&mut self, a: Value, b: Value) -> Result<Value, StaffaError> {
        Self::booleans(&[a, b])?;
        let draft = Self::draft(Opcode::BitsAnd, Type::Bits, &[a, b]);
        Ok(self.three_valued(draft, a.nullable() || b.nullable()))
    }

    /// Three-valued OR.
    ///
    /// # Errors
    /// `Bug` unless both are booleans.
    pub fn or(&mut self, a: Value, b: Value) -> Result<Value, StaffaError> {
        Self::booleans(&[a, b])?;
        let draft = Self::draft(Opcode::BitsOr, Type::Bits, &[a, b]);
        Ok(self.three_valued(draft, a.nullable() || b.nullable()))
    }

    /// Three-valued NOT.
    ///
    /// # Errors
    /// `Bug` unless it is a boolean.
    pub fn not(&mut self, a: Value) -> Result<Value, StaffaError> {
        Self::booleans(&[a])?;
        let draft = Self::draft(Opcode::BitsNot, Type::Bits, &[a]);
        Ok(self.strict(draft, Type::Bits))
    }

    /// IS NULL, or (`negated`) IS NOT NULL.
    pub fn is_null(&mut self, a: Value, negated: bool) -> Value {
        let operand = match (a.valid, negated) {
            (Bits::All, false) | (Bits::None, true) => Some(Bits::None),
            (Bits::All, true) | (Bits::None, false) => Some(Bits::All),
            (valid, true) => Some(valid),
            (_, false) => None,
        };
        if let Some(bits) = operand {
            return Value { kind: Type::Bits, operand: Operand::Bits(bits), valid: Bits::All };
        }
        let mut draft = Self::draft(Opcode::IsNull, Type::Bits, &[]);
        draft.operands[0] = Operand::Bits(Bits::All);
        draft.valids[0] = a.valid;
        self.two_valued(draft)
    }

    /// IS TRUE (`truth`), IS FALSE, and their negations.
    ///
    /// # Errors
    /// `Bug` unless it is a boolean.
    pub fn is_truth(&mut self, a: Value, truth: bool, negated: bool) -> Result<Value, StaffaError> {
        Self::booleans(&[a])?;
        let op = if truth { Opcode::IsTrue } else { Opcode::IsFalse };
        let mut draft = Self::draft(op, Type::Bits, &[a]);
        if negated {
            draft.flags |= FLAG_NEGATE;
        }
        Ok(self.two_valued(draft))
    }

    /// `condition` true ? `a` : `b`.
    ///
    /// # Errors
    /// `Bug` when the types differ or the condition is no boolean.
    pub fn select(&mut self, condition: Value, a: Value, b: Value) -> Result<Value, StaffaError> {
        Self::booleans(&[condition])?;
        if a.kind != b.kind {
            return Err(mismatch("a selection", a.kind));
        }
        let nullable = a.nullable() || b.nullable();
        if a.kind == Type::Bits {
            let draft = Self::draft(Opcode::BitsSelect, Type::Bits, &[a, b, condition]);
            return Ok(self.three_valued(draft, nullable));
        }
        let mut draft = Self::draft(Opcode::Select, a.kind, &[a, b, condition]);
        let operand = self.destination(&mut draft, a.kind);
        let valid = if nullable {
            let register = self.bit_register();
            draft.valid_destination = Some(register);
            Bits::Register(register)
        } else {
            Bits::All
        };
        self.push(draft);
        Ok(Value { kind: a.kind, operand, valid })
    }

    /// CASE WHEN `condition` THEN .. ELSE .. END, each side evaluated on its own rows only.
    ///
    /// # Errors
    /// Those of the sides, and as [`Builder::select`].
    pub fn case(
        &mut self,
        condition: Value,
        then: impl FnOnce(&mut Builder) -> Result<Value, StaffaError>,
        otherwise: impl FnOnce(&mut Builder) -> Result<Value, StaffaError>,
    ) -> Result<Value, StaffaError> {
        let rows = self.rows_where(condition)?;
        let a = self.on(rows, then)?;
        let rows = self.rows_unless(condition)?;
        let b = self.on(rows, otherwise)?;
        self.select(condition, a, b)
    }

    /// COALESCE(`a`, ..): the second side is evaluated where `a` is NULL only.
    ///
    /// # Errors
    /// Those of the second side; `Bug` when the types differ.
    pub fn coalesce(
        &mut self,
        a: Value,
        otherwise: impl FnOnce(&mut Builder) -> Result<Value, StaffaError>,
    ) -> Result<Value, StaffaError> {
        if !a.nullable() {
            return Ok(a);
        }
        let present = self.is_null(a, true);
        let rows = self.rows_unless(present)?;
        let b = self.on(rows, otherwise)?;
        self.select(present, a, b)
    }

    /// NULLIF: `a`, NULL where `same` is true.
    ///
    /// # Errors
    /// `Bug` unless `same` is a boolean.
    pub fn null_if(&mut self, a: Value, same: Value) -> Result<Value, StaffaError> {
        Self::booleans(&[same])?;
        let mut draft = Self::draft(Opcode::ValidAndNot, Type::Bits, &[]);
        draft.operands[0] = Operand::Bits(a.valid);
        draft.operands[1] = same.operand;
        draft.valids[1] = same.valid;
        let register = self.bit_register();
        draft.destination = Destination::Bits(register);
        self.push(draft);
        Ok(Value { valid: Bits::Register(register), ..a })
    }
}
