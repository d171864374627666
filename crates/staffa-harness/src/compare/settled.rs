//! Queries whose LIMIT leaves a choice: which of the rows that tie, or that have no order, stay.

use std::sync::Arc;
use std::time::Instant;

use datafusion::common::{Column, Result};
use datafusion::logical_expr::{Expr, Limit, LogicalPlan, Projection, Sort, SortExpr};
use datafusion::prelude::SessionContext;

use super::floats::is_float;
use super::foreign::{Values, compare_values, same_keys};
use super::hidden::compare_hidden;
use super::{Answer, Comparison, Order, Rules, Tolerance, compare, order};
use crate::run::{Run, run_plan};

/// `plan` with an order that leaves its outermost LIMIT no choice: every column below the LIMIT
/// becomes a sort key, after those that the query names. None if there is no such LIMIT.
///
/// LIMITs further in are left as they are.
///
/// # Errors
/// What DataFusion says of the new plan.
pub fn settled(plan: &LogicalPlan) -> Result<Option<LogicalPlan>> {
    let LogicalPlan::Limit(limit) = plan else {
        return Ok(None);
    };
    let input = Arc::new(match ordered(&limit.input)? {
        Some(input) => input,
        None => sort(vec![], &limit.input, None),
    });
    Ok(Some(LogicalPlan::Limit(Limit {
        skip: limit.skip.clone(),
        fetch: limit.fetch.clone(),
        input,
    })))
}

/// `plan` with more keys in its outermost sort; none if it does not sort.
fn ordered(plan: &LogicalPlan) -> Result<Option<LogicalPlan>> {
    Ok(match plan {
        LogicalPlan::Sort(old) => Some(sort(old.expr.clone(), &old.input, old.fetch)),
        // Stands above a sort when a key is not in the SELECT list.
        LogicalPlan::Projection(old) => match ordered(&old.input)? {
            None => None,
            Some(input) => {
                let new = Projection::try_new(old.expr.clone(), Arc::new(input))?;
                Some(LogicalPlan::Projection(new))
            }
        },
        _ => None,
    })
}

/// Sorts by `keys`, then by every column: floats last, because they may differ in a last digit.
fn sort(mut keys: Vec<SortExpr>, input: &Arc<LogicalPlan>, fetch: Option<usize>) -> LogicalPlan {
    let (floats, others): (Vec<_>, Vec<_>) =
        input.schema().iter().partition(|(_, field)| is_float(field.data_type()));
    for (qualifier, field) in others.into_iter().chain(floats) {
        let column = Expr::Column(Column::from((qualifier, field)));
        keys.push(SortExpr::new(column, true, false));
    }
    LogicalPlan::Sort(Sort { expr: keys, input: Arc::clone(input), fetch })
}

/// Compares what two sessions answered to `sql`, sort keys that are not selected included. If the answers differ, but agree in number and in
/// their sort keys, and a LIMIT may have left a choice, both are asked for the settled query.
///
/// # Errors
/// Whatever planning or execution raises, or a type that cannot be compared.
pub async fn compare_runs(
    sql: &str,
    left: (&SessionContext, &Run),
    right: (&SessionContext, &Run),
    tolerance: Tolerance,
) -> Result<Comparison> {
    let rules = Rules { order: left.1.order.clone(), tolerance, ..Rules::default() };
    let first = compare(&left.1.answer, &right.1.answer, &rules)?;
    if first.is_equal() && rules.order != Order::Any {
        let plan = left.0.state().create_logical_plan(sql).await?;
        let hidden = compare_hidden(left.0, &plan, &right.1.answer, &rules).await?;
        return Ok(hidden.unwrap_or(first));
    }
    if first.is_equal() || left.1.answer.rows() != right.1.answer.rows() {
        return Ok(first);
    }
    if rules.order != Order::Any
        && order::first_difference(&left.1.answer, &right.1.answer, &rules)?.is_some()
    {
        return Ok(first);
    }
    let (Some(l), Some(r)) = (run_settled(left.0, sql).await?, run_settled(right.0, sql).await?)
    else {
        return Ok(first);
    };
    let rules = Rules { order: l.order.clone(), ..rules };
    Ok(compare(&l.answer, &r.answer, &rules)?)
}

/// Compares what another program answered to `sql` with DataFusion's answer, by values. Another
/// program cannot be asked the settled query, so where a LIMIT may have left a choice, and the sort
/// keys agree, nothing is said.
///
/// # Errors
/// Whatever planning raises, or a type that cannot be compared.
pub async fn compare_foreign(
    sql: &str,
    left: (&SessionContext, &Run),
    right: &Answer,
    tolerance: Tolerance,
    name: &str,
) -> Result<Values> {
    let rules = Rules { order: left.1.order.clone(), tolerance, shown: 3 };
    let outcome = compare_values(&left.1.answer, right, &rules, ["datafusion", name]);
    if !matches!(outcome, Values::Different(_)) || left.1.answer.rows() != right.rows() {
        return Ok(outcome);
    }
    let plan = left.0.state().create_logical_plan(sql).await?;
    if settled(&plan)?.is_none() || !same_keys(&left.1.answer, right, &rules) {
        return Ok(outcome);
    }
    let why = "other rows than DataFusion's within a LIMIT that leaves a choice";
    Ok(Values::NotCompared(why.to_string()))
}

async fn run_settled(ctx: &SessionContext, sql: &str) -> Result<Option<Run>> {
    let plan = ctx.state().create_logical_plan(sql).await?;
    match settled(&plan)? {
        None => Ok(None),
        Some(plan) => Ok(Some(run_plan(ctx, plan, Instant::now()).await?)),
    }
}
