//! DataFusion's own scalar functions.

mod bins;
mod conditional;
mod dates;
mod numbers;
mod text;
mod times;

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion_expr::ScalarUDF;
use datafusion_functions as df;
use datafusion_physical_expr::ScalarFunctionExpr;
use staffa_common::{Reason, ReasonCode};
use staffa_kernels::expression::Value;

use super::lowering::{Expr, Lowering};

/// A call under work.
pub(super) struct Call<'a> {
    /// The whole expression, for messages.
    expr: &'a Expr,
    args: &'a [Expr],
    /// The result's type.
    of: DataType,
}

impl Call<'_> {
    /// The `number`th argument.
    ///
    /// # Errors
    /// `Function` when there are fewer.
    fn arg(&self, number: usize) -> Result<&Expr, Reason> {
        self.args.get(number).ok_or_else(|| self.missing())
    }

    fn missing(&self) -> Reason {
        Reason::new(ReasonCode::Function, self.expr.to_string())
    }

    fn not_constant(&self, what: &Expr) -> Reason {
        Reason::new(ReasonCode::NotConstant, format!("{}: {what}", self.expr))
    }
}

type Recipe = fn(&mut Lowering<'_>, &Call<'_>) -> Result<Value, Reason>;

/// The function that DataFusion has under this name, and how it is lowered.
fn recipe(name: &str) -> Option<(Arc<ScalarUDF>, Recipe)> {
    Some(match name {
        "nullif" => (df::core::nullif(), conditional::null_if),
        "coalesce" => (df::core::coalesce(), conditional::coalesce),
        "nvl" => (df::core::nvl(), conditional::coalesce),
        "nvl2" => (df::core::nvl2(), conditional::nvl2),
        "greatest" => (df::core::greatest(), conditional::greatest),
        "least" => (df::core::least(), conditional::least),
        "abs" => (df::math::abs(), numbers::absolute),
        "floor" => (df::math::floor(), numbers::floor),
        "ceil" => (df::math::ceil(), numbers::ceiling),
        "round" => (df::math::round(), numbers::round),
        "isnan" => (df::math::isnan(), numbers::is_nan),
        "nanvl" => (df::math::nanvl(), numbers::nan_or),
        "bit_length" => (df::string::bit_length(), text::bit_length),
        "date_bin" => (df::datetime::date_bin(), bins::date_bin),
        "date_part" => (df::datetime::date_part(), dates::date_part),
        "date_trunc" => (df::datetime::date_trunc(), dates::date_trunc),
        "starts_with" => (df::string::starts_with(), text::starts_with),
        "ends_with" => (df::string::ends_with(), text::ends_with),
        "contains" => (df::string::contains(), text::contains),
        "octet_length" => (df::string::octet_length(), text::octet_length),
        "character_length" => (df::unicode::character_length(), text::character_length),
        "upper" => (df::string::upper(), text::upper),
        "lower" => (df::string::lower(), text::lower),
        "concat" => (df::string::concat(), text::concat),
        "btrim" => (df::string::btrim(), text::trim_both),
        "ltrim" => (df::string::ltrim(), text::trim_start),
        "rtrim" => (df::string::rtrim(), text::trim_end),
        "substr" => (df::unicode::substr(), text::substring),
        "left" => (df::unicode::left(), text::left),
        "right" => (df::unicode::right(), text::right),
        _ => return None,
    })
}

/// Functions that differ by the session's time zone, and so are known by their type.
fn makes_timestamps(function: &ScalarUDF) -> bool {
    use df::datetime::to_timestamp as own;
    let function = function.inner();
    function.is::<own::ToTimestampSecondsFunc>()
        || function.is::<own::ToTimestampMillisFunc>()
        || function.is::<own::ToTimestampMicrosFunc>()
        || function.is::<own::ToTimestampNanosFunc>()
}

/// A function that is DataFusion's own, not another one of its name.
///
/// # Errors
/// `Function` for all others, and where the arguments' types have no recipe.
pub(super) fn lower(
    l: &mut Lowering<'_>,
    expr: &Expr,
    function: &ScalarFunctionExpr,
) -> Result<Value, Reason> {
    let name = function.fun().name();
    if makes_timestamps(function.fun()) {
        let of = l.type_of(expr)?;
        return numbers::to_timestamp(l, &Call { expr, args: function.args(), of });
    }
    match recipe(name) {
        Some((own, recipe)) if own.as_ref() == function.fun() => {
            let of = l.type_of(expr)?;
            recipe(l, &Call { expr, args: function.args(), of })
        }
        Some(_) => Err(Reason::new(ReasonCode::Function, format!("another {name}"))),
        None => Err(Reason::new(ReasonCode::Function, name)),
    }
}
