//! DataFusion's decimal128 rules, in the interpreter's instructions.
//!
//! arrow-arith 59 `decimal_op` and arrow-cast 59 `decimal.rs`: operands are scaled by powers of ten with
//! checked 128-bit arithmetic; results of arithmetic are not checked against their precision, results of
//! casts are, unless the types make that needless.

use staffa_common::StaffaError;

use super::builder::{Builder, OnError, Value, mismatch};
use super::constant::Constant;
use super::draft::{Bits, Draft, Operand};
use super::format::Opcode;
use super::operations::Arithmetic;
use super::types::Type;

/// Most digits of a decimal128, and its largest scale.
const MOST: u8 = 38;

/// Precision and scale of a decimal128, whose values are i128.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decimal {
    /// Digits.
    pub precision: u8,
    /// Digits behind the point; may be negative.
    pub scale: i8,
}

/// Arithmetic of decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum DecimalArithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

fn power(exponent: i16) -> Result<i128, StaffaError> {
    u32::try_from(exponent)
        .ok()
        .and_then(|e| 10i128.checked_pow(e))
        .ok_or_else(|| StaffaError::unsupported(format!("E008 a decimal scaled by 10^{exponent}")))
}

fn most(precision: u8) -> Result<i128, StaffaError> {
    Ok(power(i16::from(precision))? - 1)
}

/// arrow's result types, computed in i16 and cut to u8 as arrow does.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "arrow's own rule: saturated, then cut"
)]
fn precision(digits: i16) -> u8 {
    (digits.clamp(-128, 127) as i8 as u8).min(MOST)
}

impl Builder {
    /// The AND of two validities.
    fn joint(&mut self, a: Bits, b: Bits) -> Bits {
        match (a, b) {
            (Bits::All, other) | (other, Bits::All) => other,
            (a, b) if a == b => a,
            (Bits::None, _) | (_, Bits::None) => Bits::None,
            (a, b) => {
                let mut draft = Draft::new(Opcode::IsTrue, Some(Type::Bits));
                draft.operands[0] = Operand::Bits(a);
                draft.valids[0] = b;
                self.two_valued(draft).bits()
            }
        }
    }

    fn times(&mut self, a: Value, factor: i128, on_error: OnError) -> Result<Value, StaffaError> {
        if factor == 1 {
            return Ok(a);
        }
        let factor = self.constant(&Constant::integer(a.kind(), factor))?;
        self.arithmetic_or(Arithmetic::MultiplyChecked, a, factor, on_error)
    }

    /// `a op b` of decimals, with the result's type.
    ///
    /// # Errors
    /// `Unsupported` (E008) where arrow refuses the types; `Bug` unless both values are i128.
    pub fn decimal_arithmetic(
        &mut self,
        op: DecimalArithmetic,
        (a, of_a): (Value, Decimal),
        (b, of_b): (Value, Decimal),
    ) -> Result<(Value, Decimal), StaffaError> {
        if a.kind() != Type::I128 || b.kind() != Type::I128 {
            return Err(mismatch("decimal arithmetic", a.kind()));
        }
        // arrow scales only rows on which both operands are valid: a NULL beside hides an overflow.
        let valid = self.joint(a.valid, b.valid);
        let (a, b) = (Value { valid, ..a }, Value { valid, ..b });
        let (p1, s1) = (i16::from(of_a.precision), i16::from(of_a.scale));
        let (p2, s2) = (i16::from(of_b.precision), i16::from(of_b.scale));
        let scale = s1.max(s2);
        match op {
            DecimalArithmetic::Add | DecimalArithmetic::Subtract | DecimalArithmetic::Remainder => {
                let x = self.times(a, power(scale - s1)?, OnError::Raise)?;
                let y = self.times(b, power(scale - s2)?, OnError::Raise)?;
                let (operation, digits) = match op {
                    DecimalArithmetic::Add => (Arithmetic::AddChecked, (p1 - s1).max(p2 - s2) + 1),
                    DecimalArithmetic::Subtract => {
                        (Arithmetic::SubtractChecked, (p1 - s1).max(p2 - s2) + 1)
                    }
                    _ => (Arithmetic::RemainderChecked, (p1 - s1).min(p2 - s2)),
                };
                let value = self.arithmetic(operation, x, y)?;
                Ok((
                    value,
                    Decimal {
                        precision: precision(scale + digits),
                        scale: of_a.scale.max(of_b.scale),
                    },
                ))
            }
            DecimalArithmetic::Multiply => {
                let scale = of_a.scale.saturating_add(of_b.scale);
                if i16::from(scale) > i16::from(MOST) {
                    return Err(StaffaError::unsupported(format!(
                        "E008 a product of scale {scale}"
                    )));
                }
                let value = self.arithmetic(Arithmetic::MultiplyChecked, a, b)?;
                Ok((
                    value,
                    Decimal { precision: (of_a.precision + of_b.precision + 1).min(MOST), scale },
                ))
            }
            DecimalArithmetic::Divide => {
                let scale = (s1 + 4).min(i16::from(MOST));
                let up = scale - s1 + s2;
                let x = self.times(a, power(up.max(0))?, OnError::Raise)?;
                let y = self.times(b, power((-up).max(0))?, OnError::Raise)?;
                let value = self.arithmetic(Arithmetic::Divide, x, y)?;
                let scale = of_a.scale.saturating_add(4).min(38);
                Ok((value, Decimal { precision: precision(up + p1), scale }))
            }
        }
    }

    /// An integer of any width as a decimal.
    ///
    /// # Errors
    /// `Unsupported` (E008) for a scale that 128 bits do not hold; `Bug` unless it is an integer.
    pub fn decimal_from_integer(
        &mut self,
        a: Value,
        to: Decimal,
        on_error: OnError,
    ) -> Result<Value, StaffaError> {
        if !a.kind().is_integer() {
            return Err(mismatch("a decimal from an integer", a.kind()));
        }
        let wide = self.convert(a, Type::I128, on_error)?;
        let factor = power(i16::from(to.scale).abs())?;
        let scaled = if to.scale < 0 {
            let divisor = self.constant(&Constant::I128(factor))?;
            self.arithmetic_or(Arithmetic::Divide, wide, divisor, on_error)?
        } else {
            self.times(wide, factor, on_error)?
        };
        self.check_magnitude(scaled, most(to.precision)?, on_error)
    }

    /// A float as a decimal: times 10^scale in double precision, rounded half away from zero.
    ///
    /// # Errors
    /// `Bug` unless it is a float.
    pub fn decimal_from_float(
        &mut self,
        a: Value,
        to: Decimal,
        on_error: OnError,
    ) -> Result<Value, StaffaError> {
        if !a.kind().is_float() {
            return Err(mismatch("a decimal from a float", a.kind()));
        }
        let wide = self.convert(a, Type::F64, on_error)?;
        let factor = self.constant(&Constant::F64(10f64.powi(i32::from(to.scale))))?;
        let scaled = self.arithmetic(Arithmetic::Multiply, factor, wide)?;
        let rounded = self.round(scaled)?;
        let value = self.convert(rounded, Type::I128, on_error)?;
        self.check_magnitude(value, most(to.precision)?, on_error)
    }

    /// A decimal as an integer (truncated) or a float.
    ///
    /// # Errors
    /// `Bug` unless the value is an i128 and the target an integer or float.
    pub fn decimal_to_number(
        &mut self,
        a: Value,
        from: Decimal,
        to: Type,
        on_error: OnError,
    ) -> Result<Value, StaffaError> {
        if a.kind() != Type::I128 || !to.is_number() {
            return Err(mismatch("a number from a decimal", a.kind()));
        }
        if to.is_float() {
            let float = self.convert(a, Type::F64, on_error)?;
            let divisor = self.constant(&Constant::F64(10f64.powi(i32::from(from.scale))))?;
            let quotient = self.arithmetic(Arithmetic::Divide, float, divisor)?;
            return self.convert(quotient, to, on_error);
        }
        let factor = power(i16::from(from.scale).abs())?;
        let whole = if from.scale < 0 {
            self.times(a, factor, on_error)?
        } else {
            let divisor = self.constant(&Constant::I128(factor))?;
            self.arithmetic_or(Arithmetic::Divide, a, divisor, on_error)?
        };
        self.convert(whole, to, on_error)
    }

    /// A decimal with another precision and scale; a smaller scale rounds half away from zero.
    ///
    /// # Errors
    /// `Unsupported` (E008) where arrow refuses the types; `Bug` unless it is an i128.
    pub fn decimal_rescale(
        &mut self,
        a: Value,
        from: Decimal,
        to: Decimal,
        on_error: OnError,
    ) -> Result<Value, StaffaError> {
        if a.kind() != Type::I128 {
            return Err(mismatch("rescaling", a.kind()));
        }
        let up = i16::from(to.scale) - i16::from(from.scale);
        let (p1, p2) = (i16::from(from.precision), i16::from(to.precision));
        if up >= 0 {
            if p1 + up <= p2 {
                // Every value of the declared precision fits; what does not keep it wraps, as in arrow.
                let factor = self.constant(&Constant::I128(power(up)?))?;
                return if up == 0 {
                    Ok(a)
                } else {
                    self.arithmetic(Arithmetic::Multiply, a, factor)
                };
            }
            let scaled = self.times(a, power(up)?, on_error)?;
            return self.check_magnitude(scaled, most(to.precision)?, on_error);
        }
        if -up > i16::from(MOST) {
            let zero = self.constant(&Constant::I128(0))?;
            return self.arithmetic(Arithmetic::Multiply, a, zero);
        }
        let rounded = self.divide_rounded(a, power(-up)?)?;
        if p1 + up < p2 {
            Ok(rounded)
        } else {
            self.check_magnitude(rounded, most(to.precision)?, on_error)
        }
    }
}
