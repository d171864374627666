//! Numbers, in Rust's own arithmetic.

use super::super::constant::Constant;
use super::super::format::{FLAG_OPTION, Instruction, Opcode};
use super::super::types::Type;
use super::row::{Computed, Row};

/// A number from its little-endian bytes.
pub(in super::super) fn decode(kind: Type, bytes: &[u8]) -> Constant {
    let mut wide = [0u8; 16];
    for (to, from) in wide.iter_mut().zip(bytes) {
        *to = *from;
    }
    let bits = u128::from_le_bytes(wide);
    #[expect(clippy::cast_possible_truncation, reason = "the low bytes are the value")]
    match kind {
        Type::F32 => Constant::F32(f32::from_bits(bits as u32)),
        Type::F64 => Constant::F64(f64::from_bits(bits as u64)),
        other => Constant::integer(other, bits.cast_signed()),
    }
}

/// An integer's value.
pub(super) fn integer(value: &Constant) -> Option<i128> {
    Some(match value {
        Constant::I8(v) => i128::from(*v),
        Constant::I16(v) => i128::from(*v),
        Constant::I32(v) => i128::from(*v),
        Constant::I64(v) => i128::from(*v),
        Constant::I128(v) => *v,
        Constant::U8(v) => i128::from(*v),
        Constant::U16(v) => i128::from(*v),
        Constant::U32(v) => i128::from(*v),
        Constant::U64(v) => i128::from(*v),
        Constant::Bool(v) => i128::from(*v),
        Constant::F32(_) | Constant::F64(_) | Constant::Bytes(_) => return None,
    })
}

/// The integer as a type, if it fits.
pub(super) fn fit(kind: Type, value: i128) -> Option<Constant> {
    let constant = Constant::integer(kind, value);
    (integer(&constant) == Some(value)).then_some(constant)
}

pub(super) fn computed(value: Option<Constant>) -> Computed {
    value.map_or(Computed::Error, Computed::Value)
}

pub(super) fn compute(
    row: &Row<'_>,
    i: &Instruction,
    op: Opcode,
    operands: &[Constant; 3],
) -> Computed {
    let [a, b, _] = operands;
    match op {
        Opcode::Equal => Computed::Value(Constant::Bool(a.to_bytes() == b.to_bytes())),
        Opcode::Less => Computed::Value(Constant::Bool(less(a, b))),
        Opcode::InList => Computed::Value(Constant::Bool(in_list(row, i, a))),
        Opcode::Convert | Opcode::ConvertWrapping => {
            let to = Type::from_tag(i.kind_to).unwrap_or(Type::Bits);
            computed(convert(a, to, op == Opcode::ConvertWrapping))
        }
        _ => match (a, b) {
            (Constant::F64(x), Constant::F64(y)) => {
                float(op, *x, *y).map_or(Computed::Error, |v| Computed::Value(Constant::F64(v)))
            }
            (Constant::F32(x), Constant::F32(y)) => {
                float32(op, *x, *y).map_or(Computed::Error, |v| Computed::Value(Constant::F32(v)))
            }
            _ => computed(integers(i, op, a, b)),
        },
    }
}

fn less(a: &Constant, b: &Constant) -> bool {
    match (a, b) {
        (Constant::F64(x), Constant::F64(y)) => x.total_cmp(y).is_lt(),
        (Constant::F32(x), Constant::F32(y)) => x.total_cmp(y).is_lt(),
        _ => integer(a) < integer(b),
    }
}

fn in_list(row: &Row<'_>, i: &Instruction, a: &Constant) -> bool {
    let width = if matches!(a, Constant::I128(_)) { 16 } else { 8 };
    let Some(key) = a.list_key() else { return false };
    let start = usize::try_from(i.immediate & 0xffff_ffff).unwrap_or(usize::MAX);
    let count = usize::try_from(i.immediate >> 32).unwrap_or(0);
    let list = row.program.blob.get(start..start + count * width).unwrap_or_default();
    let kind = if width == 16 { Type::I128 } else { Type::I64 };
    list.chunks_exact(width).any(|entry| integer(&decode(kind, entry)) == Some(key))
}

fn integers(i: &Instruction, op: Opcode, a: &Constant, b: &Constant) -> Option<Constant> {
    use Opcode as O;
    let kind = a.kind();
    let (x, y) = (integer(a)?, integer(b)?);
    let wrap = |v: i128| Some(Constant::integer(kind, v));
    match op {
        O::Add => wrap(x.wrapping_add(y)),
        O::Subtract => wrap(x.wrapping_sub(y)),
        O::Multiply => wrap(x.wrapping_mul(y)),
        O::AddChecked => x.checked_add(y).and_then(|v| fit(kind, v)),
        O::SubtractChecked => x.checked_sub(y).and_then(|v| fit(kind, v)),
        O::MultiplyChecked => x.checked_mul(y).and_then(|v| fit(kind, v)),
        O::Divide => x.checked_div(y).and_then(|v| fit(kind, v)),
        // Decimals are 128 bits wide: narrower operands cannot overflow in 128.
        O::Remainder if i.flags & FLAG_OPTION != 0 => x.checked_rem(y).and_then(|v| fit(kind, v)),
        O::Remainder if y == 0 => None,
        O::Remainder => wrap(x.wrapping_rem(y)),
        O::BitAnd => wrap(x & y),
        O::BitOr => wrap(x | y),
        O::BitXor => wrap(x ^ y),
        O::ShiftLeft => wrap(x << y),
        O::ShiftRight => wrap(x >> y),
        O::DivideRounded => {
            let (quotient, rest) = (x / y, x % y);
            wrap(
                quotient
                    + if x >= 0 && rest >= y / 2 {
                        1
                    } else if x < 0 && rest <= -(y / 2) {
                        -1
                    } else {
                        0
                    },
            )
        }
        O::CheckMagnitude => (-y..=y).contains(&x).then(|| a.clone()),
        O::Absolute => x.checked_abs().and_then(|v| fit(kind, v)),
        O::FloorMultiple => x.checked_sub(x.rem_euclid(y)).and_then(|v| fit(kind, v)),
        _ => None,
    }
}

fn float(op: Opcode, x: f64, y: f64) -> Option<f64> {
    use Opcode as O;
    Some(match op {
        O::Add => x + y,
        O::Subtract => x - y,
        O::Multiply => x * y,
        O::Divide => x / y,
        O::Remainder => x % y,
        O::Negate => -x,
        O::Absolute => x.abs(),
        O::Round => x.round(),
        _ => return None,
    })
}

fn float32(op: Opcode, x: f32, y: f32) -> Option<f32> {
    use Opcode as O;
    Some(match op {
        O::Add => x + y,
        O::Subtract => x - y,
        O::Multiply => x * y,
        O::Divide => x / y,
        O::Remainder => x % y,
        O::Negate => -x,
        O::Absolute => x.abs(),
        O::Round => x.round(),
        _ => return None,
    })
}

/// arrow's numeric casts: integers must fit, floats truncate and must fit, everything fits a float.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "the cast is the point"
)]
pub(super) fn convert(a: &Constant, to: Type, wrapping: bool) -> Option<Constant> {
    let float = match a {
        Constant::F32(v) => Some(f64::from(*v)),
        Constant::F64(v) => Some(*v),
        _ => None,
    };
    if let Some(v) = float {
        return match to {
            Type::Bits => Some(Constant::Bool(v != 0.0)),
            Type::F32 => Some(Constant::F32(v as f32)),
            Type::F64 => Some(Constant::F64(v)),
            _ => truncated(v).and_then(|whole| fit(to, whole)),
        };
    }
    let v = integer(a)?;
    match (a, to) {
        (_, Type::Bits) => Some(Constant::Bool(v != 0)),
        (_, Type::F32) => Some(Constant::F32(v as f32)),
        (_, Type::F64) => Some(Constant::F64(v as f64)),
        _ if wrapping => Some(Constant::integer(to, v)),
        _ => fit(to, v),
    }
}

/// A float without its fraction, if that is an i128.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
fn truncated(v: f64) -> Option<i128> {
    let limit = 170_141_183_460_469_231_731_687_303_715_884_105_728.0; // 2^127
    (v >= -limit && v < limit).then_some(v as i128)
}
