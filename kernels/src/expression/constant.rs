//! Constants of programs.

use super::types::Type;

/// A constant that is not NULL ([`Builder::null`](super::Builder::null) makes those).
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the names are Rust's own")]
pub enum Constant {
    Bool(bool),
    I8(i8),
    I16(i16),
    I32(i32),
    I64(i64),
    I128(i128),
    U8(u8),
    U16(u16),
    U32(u32),
    U64(u64),
    F32(f32),
    F64(f64),
    Bytes(Vec<u8>),
}

impl Constant {
    /// A string.
    pub fn text(text: &str) -> Constant {
        Constant::Bytes(text.as_bytes().to_vec())
    }

    /// An integer of the type's width: the low bits; a float, the nearest.
    pub fn integer(kind: Type, value: i128) -> Constant {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the low bits are asked for"
        )]
        #[expect(clippy::cast_precision_loss, reason = "the nearest float is asked for")]
        match kind {
            Type::Bits => Constant::Bool(value != 0),
            Type::I8 => Constant::I8(value as i8),
            Type::I16 => Constant::I16(value as i16),
            Type::I32 => Constant::I32(value as i32),
            Type::I64 => Constant::I64(value as i64),
            Type::I128 => Constant::I128(value),
            Type::U8 => Constant::U8(value as u8),
            Type::U16 => Constant::U16(value as u16),
            Type::U32 => Constant::U32(value as u32),
            Type::U64 => Constant::U64(value as u64),
            Type::F32 => Constant::F32(value as f32),
            Type::F64 => Constant::F64(value as f64),
            Type::Span => Constant::Bytes(value.to_string().into_bytes()),
        }
    }

    /// Its type.
    pub fn kind(&self) -> Type {
        match self {
            Constant::Bool(_) => Type::Bits,
            Constant::I8(_) => Type::I8,
            Constant::I16(_) => Type::I16,
            Constant::I32(_) => Type::I32,
            Constant::I64(_) => Type::I64,
            Constant::I128(_) => Type::I128,
            Constant::U8(_) => Type::U8,
            Constant::U16(_) => Type::U16,
            Constant::U32(_) => Type::U32,
            Constant::U64(_) => Type::U64,
            Constant::F32(_) => Type::F32,
            Constant::F64(_) => Type::F64,
            Constant::Bytes(_) => Type::Span,
        }
    }

    /// A value's bytes, little endian, as a column's slot holds them; a string's own bytes.
    pub fn little_endian(&self) -> Vec<u8> {
        self.to_bytes()
    }

    /// A number from a column's slot.
    pub fn from_little_endian(kind: Type, bytes: &[u8]) -> Constant {
        super::reference::decode(kind, bytes)
    }

    /// Little endian; bytes as they are.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        match self {
            Constant::Bool(v) => vec![u8::from(*v)],
            Constant::I8(v) => v.to_le_bytes().to_vec(),
            Constant::I16(v) => v.to_le_bytes().to_vec(),
            Constant::I32(v) => v.to_le_bytes().to_vec(),
            Constant::I64(v) => v.to_le_bytes().to_vec(),
            Constant::I128(v) => v.to_le_bytes().to_vec(),
            Constant::U8(v) => vec![*v],
            Constant::U16(v) => v.to_le_bytes().to_vec(),
            Constant::U32(v) => v.to_le_bytes().to_vec(),
            Constant::U64(v) => v.to_le_bytes().to_vec(),
            Constant::F32(v) => v.to_le_bytes().to_vec(),
            Constant::F64(v) => v.to_le_bytes().to_vec(),
            Constant::Bytes(v) => v.clone(),
        }
    }

    /// How an IN list orders it: 8-byte keys for everything of up to 64 bits, see `in_list` in
    /// kernels/include/staffa/expression/numbers.cuh. `None` for booleans and bytes.
    pub(super) fn list_key(&self) -> Option<i128> {
        Some(match self {
            Constant::I8(v) => i128::from(*v),
            Constant::I16(v) => i128::from(*v),
            Constant::I32(v) => i128::from(*v),
            Constant::I64(v) => i128::from(*v),
            Constant::I128(v) => *v,
            Constant::U8(v) => i128::from(*v),
            Constant::U16(v) => i128::from(*v),
            Constant::U32(v) => i128::from(*v),
            Constant::U64(v) => i128::from((*v ^ (1 << 63)).cast_signed()),
            Constant::F32(v) => {
                let b = v.to_bits().cast_signed();
                i128::from(b ^ ((b >> 31).cast_unsigned() >> 1).cast_signed())
            }
            Constant::F64(v) => {
                let b = v.to_bits().cast_signed();
                i128::from(b ^ ((b >> 63).cast_unsigned() >> 1).cast_signed())
            }
            Constant::Bool(_) | Constant::Bytes(_) => return None,
        })
    }
}
