//! The order that a query asks for, and whether an answer has it.

use arrow::error::ArrowError;
use datafusion::logical_expr::{Expr, LogicalPlan, SortExpr};

use super::canonical::Encoded;
use super::floats::{Floats, is_float};
use super::{Answer, Rules, Tolerance};

/// The order of an answer's rows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Order {
    /// Any: the query has no ORDER BY.
    #[default]
    Any,
    /// By these columns of the answer, the most significant first. Keys that are not columns of
    /// the answer end the list.
    Columns(Vec<usize>),
}

/// Reads the outermost ORDER BY of a logical plan.
pub fn order_of(plan: &LogicalPlan) -> Order {
    match plan {
        LogicalPlan::Limit(limit) => order_of(&limit.input),
        LogicalPlan::Sort(sort) => Order::Columns(visible(&sort.expr, plan)),
        // Stands above a sort when a key is not in the SELECT list.
        LogicalPlan::Projection(projection) => match order_of(&projection.input) {
            Order::Any => Order::Any,
            Order::Columns(keys) => {
                let position = |key: usize| {
                    projection.expr.iter().position(|expr| is_column(expr, key, &projection.input))
                };
                Order::Columns(keys.into_iter().map_while(position).collect())
            }
        },
        _ => Order::Any,
    }
}

fn visible(keys: &[SortExpr], plan: &LogicalPlan) -> Vec<usize> {
    let index = |key: &SortExpr| match &key.expr {
        Expr::Column(column) => plan.schema().maybe_index_of_column(column),
        _ => None,
    };
    keys.iter().map_while(index).collect()
}

fn is_column(expr: &Expr, index: usize, input: &LogicalPlan) -> bool {
    match expr {
        Expr::Alias(alias) => is_column(&alias.expr, index, input),
        Expr::Column(column) => input.schema().maybe_index_of_column(column) == Some(index),
        _ => false,
    }
}

/// The first row at which the sort keys' sequences differ. Both answers have the same rows.
pub(super) fn first_difference(
    left: &Answer,
    right: &Answer,
    rules: &Rules,
) -> Result<Option<(usize, String)>, ArrowError> {
    let Order::Columns(keys) = &rules.order else {
        return Ok(None);
    };
    let fields = left.schema.fields();
    let float = |key: &usize| fields.get(*key).is_some_and(|f| is_float(f.data_type()));
    // Rows whose floats differ within the tolerance may change places, and with them the keys
    // after the float: these cannot be compared.
    let exact_keys = keys.iter().position(float).unwrap_or(keys.len());
    let (exact, rest) = keys.split_at(exact_keys);
    let float_key = rest.get(..1).unwrap_or_default();
    let encode = |answer| Encoded::columns(answer, exact, &Tolerance::EXACT);
    let (l, r) = (encode(left)?, encode(right)?);
    let (lf, rf) = (Floats::read(left, float_key)?, Floats::read(right, float_key)?);
    let differs =
        |&row: &usize| l.row(row) != r.row(row) || !lf.close(row, &rf, row, &rules.tolerance);
    let compared = exact.iter().chain(float_key);
    let names: Vec<&str> = compared.map(|&key| fields[key].name().as_str()).collect();
    Ok((0..l.len()).find(differs).map(|row| (row, names.join(", "))))
}
