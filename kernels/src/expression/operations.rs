//! The builder's typed operations on values.

use staffa_common::StaffaError;

use super::builder::{Builder, OnError, Value, mismatch};
use super::constant::Constant;
use super::draft::{Bits, Draft, Operand};
use super::format::{FLAG_NEGATE, FLAG_NULL_ON_ERROR, FLAG_OPTION, Opcode};
use super::types::Type;

/// A comparison; floats compare in IEEE 754 totalOrder, strings bytewise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Arithmetic of two operands of one type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arithmetic {
    /// Integers wrap, floats follow IEEE 754.
    Add,
    /// The same.
    Subtract,
    /// The same.
    Multiply,
    /// Integers; overflow is an error.
    AddChecked,
    /// The same.
    SubtractChecked,
    /// The same.
    MultiplyChecked,
    /// Truncates; division by zero and MIN / -1 are errors; IEEE 754 for floats.
    Divide,
    /// Division by zero is an error, MIN % -1 is 0; IEEE 754 for floats.
    Remainder,
    /// As `Remainder`, and MIN % -1 is an error (decimals).
    RemainderChecked,
    /// Bits of integers.
    BitAnd,
    /// Bits of integers.
    BitOr,
    /// Bits of integers.
    BitXor,
}

fn flags(on_error: OnError) -> u16 {
    match on_error {
        OnError::Raise => 0,
        OnError::Null => FLAG_NULL_ON_ERROR,
    }
}

impl Builder {
    pub(super) fn draft(op: Opcode, kind: Type, operands: &[Value]) -> Draft {
        let mut draft = Draft::new(op, Some(kind));
        for (number, value) in operands.iter().take(3).enumerate() {
            draft.operands[number] = value.operand;
            draft.valids[number] = value.valid;
        }
        draft
    }

    /// `a op b`; NULL if an operand is.
    ///
    /// # Errors
    /// `Bug` when the types differ or have no such operation.
    pub fn arithmetic(&mut self, op: Arithmetic, a: Value, b: Value) -> Result<Value, StaffaError> {
        self.arithmetic_or(op, a, b, OnError::Raise)
    }

    /// [`Builder::arithmetic`] with a choice for rows that err.
    ///
    /// # Errors
    /// `Bug` when the types differ or have no such operation.
    pub fn arithmetic_or(
        &mut self,
        op: Arithmetic,
        a: Value,
        b: Value,
        on_error: OnError,
    ) -> Result<Value, StaffaError> {
        use Arithmetic as A;
        let (opcode, floats) = match op {
            A::Add => (Opcode::Add, true),
            A::Subtract => (Opcode::Subtract, true),
            A::Multiply => (Opcode::Multiply, true),
            A::AddChecked => (Opcode::AddChecked, false),
            A::SubtractChecked => (Opcode::SubtractChecked, false),
            A::MultiplyChecked => (Opcode::MultiplyChecked, false),
            A::Divide => (Opcode::Divide, true),
            A::Remainder | A::RemainderChecked => (Opcode::Remainder, op == A::Remainder),
            A::BitAnd => (Opcode::BitAnd, false),
            A::BitOr => (Opcode::BitOr, false),
            A::BitXor => (Opcode::BitXor, false),
        };
        if a.kind != b.kind || !(a.kind.is_integer() || floats && a.kind.is_float()) {
            return Err(mismatch("arithmetic", a.kind));
        }
        let mut draft = Self::draft(opcode, a.kind, &[a, b]);
        draft.flags |= flags(on_error);
        if op == A::RemainderChecked {
            draft.flags |= FLAG_OPTION;
        }
        Ok(self.strict(draft, a.kind))
    }

    /// `-a`: floats flip the sign bit, integers wrap or (`checked`) fail on MIN.
    ///
    /// # Errors
    /// `Bug` when the type has no negation.
    pub fn negate(&mut self, a: Value, checked: bool) -> Result<Value, StaffaError> {
        if a.kind.is_float() {
            let draft = Self::draft(Opcode::Negate, a.kind, &[a]);
            return Ok(self.strict(draft, a.kind));
        }
        if !a.kind.is_signed() {
            return Err(mismatch("negation", a.kind));
        }
        let zero = self.constant(&Constant::integer(a.kind, 0))?;
        let op = if checked { Arithmetic::SubtractChecked } else { Arithmetic::Subtract };
        self.arithmetic(op, zero, a)
    }

    /// The magnitude; MIN is an error.
    ///
    /// # Errors
    /// `Bug` when the type is no number.
    pub fn absolute(&mut self, a: Value) -> Result<Value, StaffaError> {
        if !a.kind.is_number() {
            return Err(mismatch("absolute value", a.kind));
        }
        let draft = Self::draft(Opcode::Absolute, a.kind, &[a]);
        Ok(self.strict(draft, a.kind))
    }

    /// A float rounded to a whole number, half away from zero.
    ///
    /// # Errors
    /// `Bug` when the type is no float.
    pub fn round(&mut self, a: Value) -> Result<Value, StaffaError> {
        if !a.kind.is_float() {
            return Err(mismatch("rounding", a.kind));
        }
        let draft = Self::draft(Opcode::Round, a.kind, &[a]);
        Ok(self.strict(draft, a.kind))
    }

    /// `a` shifted by a constant number of bits, modulo the width.
    ///
    /// # Errors
    /// `Bug` when the type is no integer.
    pub fn shift(&mut self, a: Value, count: u32, left: bool) -> Result<Value, StaffaError> {
        if !a.kind.is_integer() {
            return Err(mismatch("a shift", a.kind));
        }
        let count = i128::from(count % (u32::from(a.kind.width()) * 8));
        let count = self.constant(&Constant::integer(a.kind, count))?;
        let op = if left { Opcode::ShiftLeft } else { Opcode::ShiftRight };
        let draft = Self::draft(op, a.kind, &[a, count]);
        Ok(self.strict(draft, a.kind))
    }

    /// `a / divisor`, rounded half away from zero. The divisor is positive and even.
    ///
    /// # Errors
    /// `Bug` when the type is no signed integer.
    pub fn divide_rounded(&mut self, a: Value, divisor: i128) -> Result<Value, StaffaError> {
        self.by_constant(Opcode::DivideRounded, a, divisor, OnError::Raise)
    }

    /// `a - a.rem_euclid(multiple)`; an error when that overflows. `multiple` is positive.
    ///
    /// # Errors
    /// `Bug` when the type is no signed integer.
    pub fn floor_multiple(&mut self, a: Value, multiple: i128) -> Result<Value, StaffaError> {
        self.by_constant(Opcode::FloorMultiple, a, multiple, OnError::Raise)
    }

    /// `a`, an error or NULL when its magnitude is above `most`.
    ///
    /// # Errors
    /// `Bug` when the type is no signed integer.
    pub fn check_magnitude(
        &mut self,
        a: Value,
        most: i128,
        on_error: OnError,
    ) -> Result<Value, StaffaError> {
        self.by_constant(Opcode::CheckMagnitude, a, most, on_error)
    }

    fn by_constant(
        &mut self,
        op: Opcode,
        a: Value,
        b: i128,
        on_error: OnError,
    ) -> Result<Value, StaffaError> {
        if !a.kind.is_signed() || b <= 0 {
            return Err(mismatch("arithmetic with a constant", a.kind));
        }
        let b = self.constant(&Constant::integer(a.kind, b))?;
        let mut draft = Self::draft(op, a.kind, &[a, b]);
        draft.flags |= flags(on_error);
        Ok(self.strict(draft, a.kind))
    }

    /// A number as another type; a value that does not fit is an error or NULL.
    ///
    /// # Errors
    /// `Bug` when a type is a span.
    pub fn convert(&mut self, a: Value, to: Type, on_error: OnError) -> Result<Value, StaffaError> {
        if a.kind == to {
            return Ok(a);
        }
        if a.kind == Type::Span || to == Type::Span {
            return Err(mismatch("conversion", a.kind));
        }
        let mut draft = Self::draft(Opcode::Convert, a.kind, &[a]);
        draft.kind_to = Some(to);
        draft.flags |= flags(on_error);
        Ok(self.strict(draft, to))
    }

    /// An integer as another integer type, by its low bits.
    ///
    /// # Errors
    /// `Bug` when a type is no integer.
    pub fn convert_wrapping(&mut self, a: Value, to: Type) -> Result<Value, StaffaError> {
        if a.kind == to {
            return Ok(a);
        }
        if !a.kind.is_integer() || !to.is_integer() {
            return Err(mismatch("wrapping conversion", a.kind));
        }
        let mut draft = Self::draft(Opcode::ConvertWrapping, a.kind, &[a]);
        draft.kind_to = Some(to);
        Ok(self.strict(draft, to))
    }

    /// A comparison; NULL if an operand is.
    ///
    /// # Errors
    /// `Bug` when the types differ.
    pub fn compare(
        &mut self,
        comparison: Comparison,
        a: Value,
        b: Value,
    ) -> Result<Value, StaffaError> {
        use Comparison as C;
        if a.kind != b.kind {
            return Err(mismatch("a comparison", a.kind));
        }
        let (equality, swap, negate) = match comparison {
            C::Equal => (true, false, false),
            C::NotEqual => (true, false, true),
            C::Less => (false, false, false),
            C::LessOrEqual => (false, true, true),
            C::Greater => (false, true, false),
            C::GreaterOrEqual => (false, false, true),
        };
        let op = match (a.kind, equality) {
            (Type::Bits, true) => Opcode::BitsEqual,
            (Type::Bits, false) => Opcode::BitsLess,
            (_, true) => Opcode::Equal,
            (_, false) => Opcode::Less,
        };
        let operands = if swap { [b, a] } else { [a, b] };
        let mut draft = Self::draft(op, a.kind, &operands);
        if negate {
            draft.flags |= FLAG_NEGATE;
        }
        Ok(self.strict(draft, Type::Bits))
    }

    /// IS DISTINCT FROM, or (`negated`) IS NOT DISTINCT FROM; never NULL.
    ///
    /// # Errors
    /// `Bug` when the types differ.
    pub fn distinct(&mut self, a: Value, b: Value, negated: bool) -> Result<Value, StaffaError> {
        let differ = self.compare(Comparison::NotEqual, a, b)?;
        let mut draft = Self::draft(Opcode::Distinct, Type::Bits, &[]);
        draft.operands[0] = differ.operand;
        draft.operands[1] = Operand::Bits(Bits::All);
        draft.valids = [a.valid, b.valid, Bits::All];
        if negated {
            draft.flags |= FLAG_NEGATE;
        }
        Ok(self.two_valued(draft))
    }

    /// `a [NOT] IN (list)`; `with_null`: the list also has a NULL, so that "not found" is NULL.
    ///
    /// # Errors
    /// `Bug` when an entry has another type; `Unsupported` when the list is too long.
    pub fn in_list(
        &mut self,
        a: Value,
        list: &[Constant],
        with_null: bool,
        negated: bool,
    ) -> Result<Value, StaffaError> {
        let spans = a.kind == Type::Span;
        let mut keys: Vec<(i128, Vec<u8>)> = Vec::with_capacity(list.len());
        for entry in list {
            if entry.kind() != a.kind {
                return Err(mismatch("an IN list entry", entry.kind()));
            }
            match (entry, entry.list_key()) {
                (Constant::Bytes(bytes), _) => keys.push((0, bytes.clone())),
                (_, Some(key)) if a.kind == Type::I128 => {
                    keys.push((key, key.to_le_bytes().to_vec()))
                }
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "keys of other types fit 64 bits"
                )]
                (_, Some(key)) => keys.push((key, (key as i64).to_le_bytes().to_vec())),
                _ => return Err(mismatch("an IN list", a.kind)),
            }
        }
        keys.sort_unstable();
        keys.dedup();
        let entries: Vec<Vec<u8>> = keys.into_iter().map(|(_, bytes)| bytes).collect();
        let mut draft = Self::draft(Opcode::InList, a.kind, &[a]);
        draft.immediate = u64::from(self.list(&entries, spans)?) | (entries.len() as u64) << 32;
        let mut found = self.strict(draft, Type::Bits);
        if with_null {
            let null = self.null(Type::Bits)?;
            found = self.or(found, null)?;
        }
        if negated { self.not(found) } else { Ok(found) }
    }
}
