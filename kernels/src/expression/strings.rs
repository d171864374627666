//! The builder's operations on strings.

use staffa_common::StaffaError;

use super::builder::{Builder, Value, mismatch};
use super::constant::Constant;
use super::draft::Draft;
use super::format::{FLAG_IGNORE_CASE, FLAG_NEGATE, FLAG_OPTION, Opcode};
use super::types::Type;

/// Token of a pattern: any character (`_`).
const ANY_CHARACTER: u16 = 0x100;
/// Token of a pattern: any string (`%`).
const ANY_STRING: u16 = 0x101;

/// Where a string is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Find {
    StartsWith = 0,
    EndsWith = 1,
    Contains = 2,
}

/// Which ends of a string are trimmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Trim {
    Start = 1,
    End = 2,
    Both = 3,
}

/// A pattern's tokens. `\` makes the next character literal; at the end it stands for itself, as in
/// arrow-string. Several `%` in a row are one.
fn tokens(pattern: &str, ignore_case: bool) -> Vec<u16> {
    let mut tokens = Vec::with_capacity(pattern.len());
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        let literal = match character {
            '%' => {
                if tokens.last() != Some(&ANY_STRING) {
                    tokens.push(ANY_STRING);
                }
                continue;
            }
            '_' => {
                tokens.push(ANY_CHARACTER);
                continue;
            }
            '\\' => characters.next().unwrap_or('\\'),
            other => other,
        };
        let literal = if ignore_case { literal.to_ascii_lowercase() } else { literal };
        tokens.extend(literal.encode_utf8(&mut [0; 4]).bytes().map(u16::from));
    }
    tokens
}

fn spans(values: &[Value]) -> Result<(), StaffaError> {
    match values.iter().find(|v| v.kind != Type::Span) {
        Some(v) => Err(mismatch("a string operation", v.kind)),
        None => Ok(()),
    }
}

impl Builder {
    fn string_draft(op: Opcode, operands: &[Value]) -> Draft {
        let mut draft = Draft::new(op, Some(Type::Span));
        for (number, value) in operands.iter().take(3).enumerate() {
            draft.operands[number] = value.operand;
            draft.valids[number] = value.valid;
        }
        draft
    }

    /// `a [NOT] LIKE pattern`, or ILIKE, with `\` as the escape character. ILIKE leaves strings that are
    /// not ASCII to the host.
    ///
    /// # Errors
    /// `Unsupported` (E006) for an ILIKE pattern that is not ASCII; `Bug` unless `a` is a string.
    pub fn like(
        &mut self,
        a: Value,
        pattern: &str,
        ignore_case: bool,
        negated: bool,
    ) -> Result<Value, StaffaError> {
        spans(&[a])?;
        if ignore_case && !pattern.is_ascii() {
            return Err(StaffaError::unsupported("E006 an ILIKE pattern that is not ASCII"));
        }
        let tokens = tokens(pattern, ignore_case);
        let entries: Vec<Vec<u8>> =
            tokens.iter().map(|token| token.to_le_bytes().to_vec()).collect();
        let mut draft = Self::string_draft(Opcode::Like, &[a]);
        draft.immediate = u64::from(self.list(&entries, false)?) | (entries.len() as u64) << 32;
        if ignore_case {
            draft.flags |= FLAG_IGNORE_CASE;
        }
        if negated {
            draft.flags |= FLAG_NEGATE;
        }
        Ok(self.strict(draft, Type::Bits))
    }

    /// Whether `a` starts with, ends with or contains `b`.
    ///
    /// # Errors
    /// `Bug` unless both are strings.
    pub fn find(&mut self, find: Find, a: Value, b: Value) -> Result<Value, StaffaError> {
        spans(&[a, b])?;
        let mut draft = Self::string_draft(Opcode::Find, &[a, b]);
        draft.immediate = find as u64;
        Ok(self.strict(draft, Type::Bits))
    }

    /// Characters of a string, or (`octets`) its bytes, as i32 or i64.
    ///
    /// # Errors
    /// `Bug` for other types.
    pub fn length(&mut self, a: Value, octets: bool, to: Type) -> Result<Value, StaffaError> {
        spans(&[a])?;
        if !matches!(to, Type::I32 | Type::I64) {
            return Err(mismatch("a length", to));
        }
        let op = if octets { Opcode::OctetLength } else { Opcode::CharacterLength };
        let mut draft = Self::string_draft(op, &[a]);
        draft.kind_to = Some(to);
        Ok(self.strict(draft, to))
    }

    /// DataFusion's `substr`: from character `start` (from 1) on, `count` characters or all.
    ///
    /// # Errors
    /// `Bug` unless the string is one and the numbers are i64.
    pub fn substring(
        &mut self,
        a: Value,
        start: Value,
        count: Option<Value>,
    ) -> Result<Value, StaffaError> {
        spans(&[a])?;
        let absent = self.constant(&Constant::I64(0))?;
        let operands = [a, start, count.unwrap_or(absent)];
        if let Some(v) = operands[1..].iter().find(|v| v.kind != Type::I64) {
            return Err(mismatch("a substring's place", v.kind));
        }
        let mut draft = Self::string_draft(Opcode::Substring, &operands);
        if count.is_none() {
            draft.flags |= FLAG_OPTION;
        }
        Ok(self.strict(draft, Type::Span))
    }

    /// Upper or lower case. Strings that are not ASCII are the host's.
    ///
    /// # Errors
    /// `Bug` unless it is a string.
    pub fn change_case(&mut self, a: Value, upper: bool) -> Result<Value, StaffaError> {
        spans(&[a])?;
        self.makes_strings = true;
        let op = if upper { Opcode::ToUpper } else { Opcode::ToLower };
        let draft = Self::string_draft(op, &[a]);
        Ok(self.strict(draft, Type::Span))
    }

    /// `a || b`: NULL if an operand is.
    ///
    /// # Errors
    /// `Bug` unless both are strings.
    pub fn concatenate(&mut self, a: Value, b: Value) -> Result<Value, StaffaError> {
        spans(&[a, b])?;
        self.makes_strings = true;
        let draft = Self::string_draft(Opcode::Concatenate, &[a, b]);
        Ok(self.strict(draft, Type::Span))
    }

    /// `a` without the given characters at its ends.
    ///
    /// # Errors
    /// `Unsupported` (E007) when a character to remove is not ASCII; `Bug` unless `a` is a string.
    pub fn trim(&mut self, a: Value, ends: Trim, characters: &str) -> Result<Value, StaffaError> {
        spans(&[a])?;
        if !characters.is_ascii() {
            return Err(StaffaError::unsupported("E007 trimming characters that are not ASCII"));
        }
        let set = self.constant(&Constant::text(characters))?;
        let mut draft = Self::string_draft(Opcode::Trim, &[a, set]);
        draft.immediate = ends as u64;
        Ok(self.strict(draft, Type::Span))
    }
}
