//! IN lists.

use arrow::datatypes::DataType;
use datafusion_common::ScalarValue;
use datafusion_physical_expr::expressions::InListExpr;
use staffa_common::{Reason, ReasonCode};
use staffa_kernels::expression::{Comparison, Type, Value};

use super::literal::constant;
use super::lowering::{Lowering, constant_of, same_values};
use super::types::{plain, register};

/// `x [NOT] IN (..)`: a search of a sorted list of constants, or a comparison with each entry.
///
/// # Errors
/// `Expression` for types without comparisons; those of the operands.
pub(super) fn lower(l: &mut Lowering<'_>, list: &InListExpr) -> Result<Value, Reason> {
    let of = l.type_of(list.expr())?;
    if matches!(plain(&of), DataType::Interval(_) | DataType::Null) {
        return Err(Reason::new(ReasonCode::Expression, format!("IN list of {of}")));
    }
    let kind = register(&of)?;
    let constants: Option<Vec<&ScalarValue>> = list.list().iter().map(constant_of).collect();
    let x = l.value(list.expr())?;
    if let (Some(constants), false) = (constants, kind == Type::Bits) {
        let mut entries = Vec::with_capacity(constants.len());
        let mut with_null = false;
        for scalar in constants {
            if scalar.is_null() {
                with_null = true;
                continue;
            }
            if !same_values(&scalar.data_type(), &of) {
                let given = scalar.data_type();
                return Err(Reason::new(
                    ReasonCode::Expression,
                    format!("{given} IN list of {of}"),
                ));
            }
            entries.extend(constant(scalar)?);
        }
        return Ok(l.builder.in_list(x, &entries, with_null, list.negated())?);
    }
    let mut found: Option<Value> = None;
    for entry in list.list() {
        let entry = l.value_as(entry, &of)?;
        let same = l.builder.compare(Comparison::Equal, x, entry)?;
        found = Some(match found {
            Some(found) => l.builder.or(found, same)?,
            None => same,
        });
    }
    let found = found.ok_or_else(|| Reason::new(ReasonCode::Expression, "an empty IN list"))?;
    if list.negated() { Ok(l.builder.not(found)?) } else { Ok(found) }
}
