//! Functions that choose among their arguments.

use staffa_common::Reason;
use staffa_kernels::expression::{Comparison, Value};

use super::super::lowering::{Lowering, same_values};
use super::super::types::register;
use super::Call;

/// `nullif(a, b)`: `a`, NULL where they are equal.
pub(super) fn null_if(l: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value, Reason> {
    let (a, b) = (call.arg(0)?, call.arg(1)?);
    let of = l.type_of(a)?;
    if matches!(super::super::types::plain(&of), arrow::datatypes::DataType::Interval(_)) {
        return Err(call.missing());
    }
    let (x, y) = (l.value_as(a, &of)?, l.value_as(b, &of)?);
    let same = l.builder.compare(Comparison::Equal, x, y)?;
    Ok(l.builder.null_if(x, same)?)
}

/// `coalesce(..)`, `nvl(a, b)`: the first that is not NULL; later ones are evaluated where they are needed.
pub(super) fn coalesce(l: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value, Reason> {
    first_present(l, call, 0)
}

fn first_present(l: &mut Lowering<'_>, call: &Call<'_>, from: usize) -> Result<Value, Reason> {
    let a = l.value_as(call.arg(from)?, &call.of)?;
    if from + 1 >= call.args.len() || !a.nullable() {
        return Ok(a);
    }
    let present = l.builder.is_null(a, true);
    let rows = l.builder.rows_unless(present)?;
    let b = l.on(rows, |l| first_present(l, call, from + 1))?;
    Ok(l.builder.select(present, a, b)?)
}

/// `nvl2(a, b, c)`: `b` where `a` is not NULL, else `c`.
pub(super) fn nvl2(l: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value, Reason> {
    let of = l.type_of(call.arg(0)?)?;
    let a = l.value_as(call.arg(0)?, &of)?;
    let present = l.builder.is_null(a, true);
    let rows = l.builder.rows_where(present)?;
    let b = l.on(rows, |l| l.value_as(call.arg(1)?, &call.of))?;
    let rows = l.builder.rows_unless(present)?;
    let c = l.on(rows, |l| l.value_as(call.arg(2)?, &call.of))?;
    Ok(l.builder.select(present, b, c)?)
}

/// `greatest(..)`, which ignores NULLs.
pub(super) fn greatest(l: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value, Reason> {
    extreme(l, call, Comparison::GreaterOrEqual)
}

/// `least(..)`, which ignores NULLs.
pub(super) fn least(l: &mut Lowering<'_>, call: &Call<'_>) -> Result<Value, Reason> {
    extreme(l, call, Comparison::LessOrEqual)
}

fn extreme(l: &mut Lowering<'_>, call: &Call<'_>, keeps: Comparison) -> Result<Value, Reason> {
    register(&call.of)?;
    if matches!(super::super::types::plain(&call.of), arrow::datatypes::DataType::Interval(_)) {
        return Err(call.missing());
    }
    let mut best: Option<Value> = None;
    for arg in call.args {
        if !same_values(&l.type_of(arg)?, &call.of)
            && super::super::lowering::constant_of(arg).is_none_or(|scalar| !scalar.is_null())
        {
            return Err(call.missing());
        }
        let next = l.value_as(arg, &call.of)?;
        best = Some(match best {
            None => next,
            Some(best) => {
                // `best` stays where it wins or `next` is NULL; NULL loses to everything.
                let wins = l.builder.compare(keeps, best, next)?;
                let wins = l.builder.is_truth(wins, true, false)?;
                let alone = l.builder.is_null(next, false);
                let stays = l.builder.or(wins, alone)?;
                l.builder.select(stays, best, next)?
            }
        });
    }
    best.ok_or_else(|| call.missing())
}
