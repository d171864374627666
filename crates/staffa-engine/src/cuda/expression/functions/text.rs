//! Functions of strings.

use arrow::datatypes::DataType;
use datafusion_common::ScalarValue;
use staffa_common::Reason;
use staffa_kernels::expression::{Arithmetic, Comparison, Constant, Find, Trim, Type, Value};

use super::super::binary::texts;
use super::super::lowering::{Expr, Lowering, constant_of};
use super::super::strings::text_of;
use super::super::types::register;
use super::Call;

fn text(l: &mut Lowering<'_>, call: &Call<'_>, number: usize) -> Result<Value, Reason> {
    let arg = call.arg(number)?;
    if !texts(l, &[arg])? {
        return Err(call.missing());
    }
    l.value(arg)
}

fn find(l: &mut Lowering<'_>, call: &Call<'_>, find: Find) -> Result<Value, Reason> {
    let (a, b) = (text(l, call, 0)?, text(l, call, 1)?);
    Ok(l.builder.find(find, a, b)?)
}

pub(super) fn starts_with(l: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value, Reason> {
    find(l, call, Find::StartsWith)
}

pub(super) fn ends_with(l: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value, Reason> {
    find(l, call, Find::EndsWith)
}

pub(super) fn contains(l: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value, Reason> {
    find(l, call, Find::Contains)
}

fn length(l: &mut Lowering<'_>, call: &Call<'_>, octets: bool) -> Result<Value, Reason> {
    let a = text(l, call, 0)?;
    Ok(l.builder.length(a, octets, register(&call.of)?)?)
}

pub(super) fn octet_length(l: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value, Reason> {
    length(l, call, true)
}

/// `bit_length(text)`, in the length's own type.
pub(super) fn bit_length(l: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value, Reason> {
    let octets = length(l, call, true)?;
    let eight = l.builder.constant(&Constant::integer(octets.kind(), 8))?;
    Ok(l.builder.arithmetic(Arithmetic::Multiply, octets, eight)?)
}

pub(super) fn character_length(l: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value, Reason> {
    length(l, call, false)
}

pub(super) fn upper(l: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value, Reason> {
    let a = text(l, call, 0)?;
    Ok(l.builder.change_case(a, true)?)
}

pub(super) fn lower(l: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value, Reason> {
    let a = text(l, call, 0)?;
    Ok(l.builder.change_case(a, false)?)
}

/// `concat(..)`: NULL counts as the empty string.
pub(super) fn concat(l: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value, Reason> {
    let mut whole: Option<Value> = None;
    let empty = l.builder.constant(&Constant::text(""))?;
    for (number, arg) in call.args.iter().enumerate() {
        if constant_of(arg).is_some_and(ScalarValue::is_null) {
            continue;
        }
        let mut part = text(l, call, number)?;
        if part.nullable() {
            let present = l.builder.is_null(part, true);
            part = l.builder.select(present, part, empty)?;
        }
        whole = Some(match whole {
            Some(whole) => l.builder.concatenate(whole, part)?,
            None => part,
        });
    }
    Ok(whole.unwrap_or(empty))
}

fn trim(l: &mut Lowering<'_>, call: &Call<'_>, ends: Trim) -> Result<Value, Reason> {
    let characters = match call.args.get(1) {
        None => " ",
        Some(set) => match text_of(set) {
            Some(Some(set)) => set,
            Some(None) => return Ok(l.builder.null(Type::Span)?),
            None => return Err(call.not_constant(set)),
        },
    };
    let a = text(l, call, 0)?;
    Ok(l.builder.trim(a, ends, characters)?)
}

pub(super) fn trim_both(l: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value, Reason> {
    trim(l, call, Trim::Both)
}

pub(super) fn trim_start(l: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value, Reason> {
    trim(l, call, Trim::Start)
}

pub(super) fn trim_end(l: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value, Reason> {
    trim(l, call, Trim::End)
}

/// `substr(text, start [, count])`.
pub(super) fn substring(l: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value, Reason> {
    let a = text(l, call, 0)?;
    let start = l.value_as(call.arg(1)?, &DataType::Int64)?;
    let count = match call.args.get(2) {
        Some(count) => Some(l.value_as(count, &DataType::Int64)?),
        None => None,
    };
    Ok(l.builder.substring(a, start, count)?)
}

/// A constant number of characters, or NULL.
fn count_of<'a>(call: &Call<'_>, arg: &'a Expr) -> Result<Option<&'a i64>, Reason> {
    match constant_of(arg) {
        Some(ScalarValue::Int64(count)) => Ok(count.as_ref()),
        _ => Err(call.not_constant(arg)),
    }
}

/// The characters of a string less `n`, as a value.
fn length_less(l: &mut Lowering<'_>, a: Value, n: i64) -> Result<Value, Reason> {
    let length = l.builder.length(a, false, Type::I64)?;
    let n = l.builder.constant(&Constant::I64(n))?;
    Ok(l.builder.arithmetic(Arithmetic::Subtract, length, n)?)
}

/// `left(text, n)`: the first n characters, or all but the last -n.
pub(super) fn left(l: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value, Reason> {
    let Some(n) = count_of(call, call.arg(1)?)? else {
        return Ok(l.builder.null(Type::Span)?);
    };
    let a = text(l, call, 0)?;
    let one = l.builder.constant(&Constant::I64(1))?;
    let count = if *n >= 0 {
        l.builder.constant(&Constant::I64(*n))?
    } else {
        let rest = length_less(l, a, n.saturating_neg())?;
        let zero = l.builder.constant(&Constant::I64(0))?;
        let some = l.builder.compare(Comparison::Greater, rest, zero)?;
        l.builder.select(some, rest, zero)?
    };
    Ok(l.builder.substring(a, one, Some(count))?)
}

/// `right(text, n)`: the last n characters, or all but the first -n.
pub(super) fn right(l: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value, Reason> {
    let Some(n) = count_of(call, call.arg(1)?)? else {
        return Ok(l.builder.null(Type::Span)?);
    };
    let a = text(l, call, 0)?;
    let start = if *n > 0 {
        let before = length_less(l, a, *n)?;
        let one = l.builder.constant(&Constant::I64(1))?;
        l.builder.arithmetic(Arithmetic::Add, before, one)?
    } else if *n == 0 {
        l.builder.constant(&Constant::I64(i64::MAX))?
    } else {
        l.builder.constant(&Constant::I64(n.saturating_neg().saturating_add(1)))?
    };
    Ok(l.builder.substring(a, start, None)?)
}
