//! Sort keys that the answer does not show: ORDER BY b, where b is not selected.
//!
//! DataFusion is asked once more, with all keys added to the SELECT list. Where its keys are equal
//! from one row to the next the rows tie, and may stand in any order; a row that ties with none has
//! one place only. Each row of both answers is thus given the number of the first row that it ties
//! with, as one more column, and the answers are compared again:
//!
//! ```text
//! SELECT a FROM t ORDER BY b          a  b   place     the other answer, by position
//!                                     x  1   0         x  0
//!                                     y  2   1         z  1      z and y tie: equal
//!                                     z  2   1         y  1
//!                                     w  3   3         w  3
//! ```

use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use datafusion::common::{Column, Result};
use datafusion::logical_expr::{Expr, Limit, LogicalPlan, Projection, SortExpr};
use datafusion::prelude::SessionContext;

use super::canonical::Encoded;
use super::floats::{Floats, is_float};
use super::{Answer, Comparison, Difference, Order, Rules, Tolerance, compare, order_of};
use crate::run::run_plan;

/// `plan` with every sort key of its outermost ORDER BY as one more column, and how many those are.
/// None where it has no ORDER BY, where all keys are columns of the answer, or where a key may have
/// another value each time.
///
/// # Errors
/// What DataFusion says of the new plan.
pub fn revealed(plan: &LogicalPlan) -> Result<Option<(LogicalPlan, usize)>> {
    let Order::Columns(shown) = order_of(plan) else {
        return Ok(None);
    };
    let keys = match keys_of(plan) {
        Some(keys) if keys.len() > shown.len() => keys,
        _ => return Ok(None),
    };
    if keys.iter().any(|key| key.expr.is_volatile()) {
        return Ok(None);
    }
    let keys: Vec<Expr> = keys.iter().map(|key| key.expr.clone()).collect();
    Ok(Some((with_keys(plan, &keys)?, keys.len())))
}

/// The keys of the sort that [`order_of`] reads.
fn keys_of(plan: &LogicalPlan) -> Option<&[SortExpr]> {
    match plan {
        LogicalPlan::Limit(limit) => keys_of(&limit.input),
        LogicalPlan::Projection(projection) => keys_of(&projection.input),
        LogicalPlan::Sort(sort) => Some(&sort.expr),
        _ => None,
    }
}

/// The keys are expressions over what the sort puts out, and pass every projection above it.
fn with_keys(plan: &LogicalPlan, keys: &[Expr]) -> Result<LogicalPlan> {
    Ok(match plan {
        LogicalPlan::Limit(limit) => LogicalPlan::Limit(Limit {
            skip: limit.skip.clone(),
            fetch: limit.fetch.clone(),
            input: Arc::new(with_keys(&limit.input, keys)?),
        }),
        LogicalPlan::Projection(old) if matches!(*old.input, LogicalPlan::Sort(_)) => {
            projection(old.expr.clone(), keys, &old.input)?
        }
        LogicalPlan::Projection(old) => {
            let input = with_keys(&old.input, keys)?;
            let passed = columns(&input).skip(old.input.schema().fields().len());
            let all = old.expr.iter().cloned().chain(passed).collect();
            LogicalPlan::Projection(Projection::try_new(all, Arc::new(input))?)
        }
        sort => projection(columns(sort).collect(), keys, &Arc::new(sort.clone()))?,
    })
}

/// All that a plan puts out.
fn columns(plan: &LogicalPlan) -> impl Iterator<Item = Expr> {
    plan.schema().iter().map(|field| Expr::Column(Column::from(field)))
}

fn projection(mut all: Vec<Expr>, keys: &[Expr], input: &Arc<LogicalPlan>) -> Result<LogicalPlan> {
    let named = |(at, key): (usize, &Expr)| key.clone().alias(format!("__staffa_key_{at}"));
    all.extend(keys.iter().enumerate().map(named));
    Ok(LogicalPlan::Projection(Projection::try_new(all, Arc::clone(input))?))
}

/// Compares the places of rows in an answer whose rows are known to be `plan`'s, where keys that it
/// does not show decide. None where there is nothing more to compare: all keys are shown, or the
/// rows of two runs of DataFusion are not the same.
///
/// # Errors
/// Whatever planning or execution raises, or a type that cannot be compared.
pub async fn compare_hidden(
    ctx: &SessionContext,
    plan: &LogicalPlan,
    answer: &Answer,
    rules: &Rules,
) -> Result<Option<Comparison>> {
    let Some((plan, keys)) = revealed(plan)? else {
        return Ok(None);
    };
    let reference = run_plan(ctx, plan, Instant::now()).await?.answer;
    Ok(compare_places(&reference, keys, answer, rules)?)
}

/// Compares the places of rows with those in `reference`, whose last `keys` columns are its sort
/// keys. None where the rows are not the same to begin with.
///
/// # Errors
/// A type that cannot be compared.
pub fn compare_places(
    reference: &Answer,
    keys: usize,
    answer: &Answer,
    rules: &Rules,
) -> Result<Option<Comparison>, ArrowError> {
    if reference.rows() != answer.rows() {
        return Ok(None);
    }
    let places = places(reference, keys, &rules.tolerance)?;
    let left = placed(reference, answer, &places)?;
    let right = placed(answer, answer, &places)?;
    let rules = Rules { order: Order::Any, ..rules.clone() };
    if !compare(&without_places(&left)?, answer, &rules)?.is_equal() {
        return Ok(None);
    }
    let mut comparison = compare(&left, &right, &rules)?;
    if let Some(Difference::Row { index, .. }) = comparison.differences.first() {
        let keys = "keys that are not selected".to_string();
        comparison.differences.insert(0, Difference::Order { index: *index, keys });
    }
    Ok(Some(comparison))
}

/// For each row the first that it ties with. Keys after a float are left out, unless floats must be
/// the same in every bit: where one differs within the tolerance, rows may change places.
fn places(reference: &Answer, keys: usize, tolerance: &Tolerance) -> Result<Vec<u64>, ArrowError> {
    let fields = reference.schema.fields();
    let columns: Vec<usize> = (fields.len().saturating_sub(keys)..fields.len()).collect();
    let float = |&column: &usize| is_float(fields[column].data_type());
    let (exact, float) = match columns.iter().position(float) {
        Some(at) if !tolerance.is_exact() => (&columns[..at], &columns[at..=at]),
        _ => (&columns[..], &columns[..0]),
    };
    let exact = Encoded::columns(reference, exact, &Tolerance::EXACT)?;
    let floats = Floats::read(reference, float)?;
    let mut places = Vec::with_capacity(exact.len());
    let mut first = 0;
    for row in 0..exact.len() {
        let ties = row > 0
            && exact.row(row) == exact.row(row - 1)
            && floats.close(row, &floats, row - 1, tolerance);
        if !ties {
            first = row as u64;
        }
        places.push(first);
    }
    Ok(places)
}

/// The first columns of `answer`, as many as `like` has, and the place of each row.
fn placed(answer: &Answer, like: &Answer, places: &[u64]) -> Result<Answer, ArrowError> {
    let mut fields = like.schema.fields().to_vec();
    fields.push(Arc::new(Field::new("place", DataType::UInt64, false)));
    let schema = Arc::new(Schema::new(fields));
    let mut rest = places;
    let mut batches = vec![];
    for batch in &answer.batches {
        let (mine, after) = rest.split_at(batch.num_rows().min(rest.len()));
        rest = after;
        let mut columns = batch.columns()[..like.schema.fields().len()].to_vec();
        columns.push(Arc::new(UInt64Array::from(mine.to_vec())) as ArrayRef);
        batches.push(RecordBatch::try_new(Arc::clone(&schema), columns)?);
    }
    Ok(Answer { schema, batches })
}

fn without_places(answer: &Answer) -> Result<Answer, ArrowError> {
    let columns: Vec<usize> = (0..answer.schema.fields().len().saturating_sub(1)).collect();
    let batches = answer.batches.iter().map(|batch| batch.project(&columns));
    Ok(Answer {
        schema: Arc::new(answer.schema.project(&columns)?),
        batches: batches.collect::<Result<_, _>>()?,
    })
}
