//! The types of virtual registers.

use std::fmt;

/// How a value is stored in a register: what the kernels switch on. Logical types (dates, decimals,
/// timestamps) are their storage here; see the column's logical type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are Rust's own")]
pub enum Type {
    /// A boolean: two bits a row, value and validity.
    Bits = 1,
    I8 = 2,
    I16 = 3,
    I32 = 4,
    I64 = 5,
    /// Decimals; month-day-nanosecond intervals.
    I128 = 6,
    U8 = 7,
    U16 = 8,
    U32 = 9,
    U64 = 10,
    F32 = 11,
    F64 = 12,
    /// Strings and binary: address, length, prefix.
    Span = 13,
}

impl Type {
    /// Every type.
    pub const ALL: [Type; 13] = [
        Type::Bits,
        Type::I8,
        Type::I16,
        Type::I32,
        Type::I64,
        Type::I128,
        Type::U8,
        Type::U16,
        Type::U32,
        Type::U64,
        Type::F32,
        Type::F64,
        Type::Span,
    ];

    /// The type with this tag.
    pub fn from_tag(tag: u8) -> Option<Type> {
        Type::ALL.into_iter().find(|t| *t as u8 == tag)
    }

    /// Bytes a row of a value register; 0 for [`Type::Bits`].
    pub fn width(self) -> u16 {
        match self {
            Type::Bits => 0,
            Type::I8 | Type::U8 => 1,
            Type::I16 | Type::U16 => 2,
            Type::I32 | Type::U32 | Type::F32 => 4,
            Type::I64 | Type::U64 | Type::F64 => 8,
            Type::I128 | Type::Span => 16,
        }
    }

    /// Whether it is an integer of any width and sign.
    pub fn is_integer(self) -> bool {
        (Type::I8..=Type::U64).contains(&self)
    }

    /// Whether it is a signed integer.
    pub fn is_signed(self) -> bool {
        (Type::I8..=Type::I128).contains(&self)
    }

    /// Whether it is a float.
    pub fn is_float(self) -> bool {
        matches!(self, Type::F32 | Type::F64)
    }

    /// Whether it is an integer or a float.
    pub fn is_number(self) -> bool {
        self.is_integer() || self.is_float()
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Type::Bits => "bits",
            Type::I8 => "i8",
            Type::I16 => "i16",
            Type::I32 => "i32",
            Type::I64 => "i64",
            Type::I128 => "i128",
            Type::U8 => "u8",
            Type::U16 => "u16",
            Type::U32 => "u32",
            Type::U64 => "u64",
            Type::F32 => "f32",
            Type::F64 => "f64",
            Type::Span => "span",
        })
    }
}
