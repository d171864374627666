//! Predicates of filters: conjunct by conjunct where nobody can tell.
//!
//! A row passes a conjunction when it passes each conjunct, whatever the order. So conjuncts that
//! cannot raise errors are tested one after the other, each on the rows that the ones before left:
//! columns of later conjuncts are gathered for those rows only. What can raise an error is left to
//! DataFusion's own evaluation of the whole, which decides on which rows it does.

use std::sync::Arc;

use arrow::array::{Array, BooleanArray};
use arrow::datatypes::Schema;
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::Operator;
use datafusion_physical_expr::expressions::{
    BinaryExpr, Column, InListExpr, IsNotNullExpr, IsNullExpr, LikeExpr, Literal, NotExpr,
};
use datafusion_physical_expr::utils::split_conjunction;
use datafusion_physical_expr_common::physical_expr::PhysicalExpr;

use crate::Morsel;
use crate::bound::BoundExpr;

/// Later conjuncts see only the rows left once fewer than one in so many are.
const SPARSE: usize = 4;

/// A filter's predicate.
#[derive(Debug)]
pub struct Predicate {
    conjuncts: Vec<BoundExpr>,
}

impl Predicate {
    /// Binds `predicate`, which is written against `schema`.
    ///
    /// # Errors
    /// DataFusion's, when an expression cannot be rewritten.
    pub fn new(predicate: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Self> {
        let mut parts = split_conjunction(predicate);
        parts.retain(|part| !holds(part));
        let conjuncts = if parts.iter().all(|part| infallible(part)) {
            BoundExpr::all(parts, schema)?
        } else {
            vec![BoundExpr::new(predicate, schema)?]
        };
        Ok(Self { conjuncts })
    }

    /// The columns that are read, ascending.
    pub fn columns(&self) -> Vec<usize> {
        let mut columns: Vec<usize> =
            self.conjuncts.iter().flat_map(|c| c.columns().iter().copied()).collect();
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    /// The rows of `morsel` that pass.
    ///
    /// # Errors
    /// Whatever the predicate raises.
    pub fn filter(&self, morsel: &Morsel) -> Result<Morsel> {
        let Some(mask) = self.tests(morsel)? else {
            return Ok(morsel.clone());
        };
        match mask {
            Tested::Mask(mask) => morsel.filter(&mask),
            Tested::Rows(rows, mask) => rows.filter(&mask),
        }
    }

    /// The rows of `morsel` that pass, as a mask without nulls.
    ///
    /// # Errors
    /// Whatever the predicate raises.
    pub fn mask(&self, morsel: &Morsel) -> Result<BooleanArray> {
        let mut mask: Option<BooleanArray> = None;
        for conjunct in &self.conjuncts {
            let next = without_nulls(conjunct.mask(morsel)?);
            mask = Some(match mask {
                None => next,
                Some(mask) => BooleanArray::new(mask.values() & next.values(), None),
            });
            if mask.as_ref().is_some_and(|mask| !mask.has_true()) {
                break;
            }
        }
        Ok(mask.unwrap_or_else(|| BooleanArray::from(vec![true; morsel.rows()])))
    }

    fn tests(&self, morsel: &Morsel) -> Result<Option<Tested>> {
        let mut rows: Option<Morsel> = None;
        let mut mask: Option<BooleanArray> = None;
        for conjunct in &self.conjuncts {
            if let Some(so_far) = &mask {
                let of = rows.as_ref().unwrap_or(morsel);
                let kept = so_far.true_count();
                if kept == 0 {
                    break;
                }
                if kept < of.rows() / SPARSE {
                    rows = Some(of.filter(so_far)?);
                    mask = None;
                }
            }
            let next = without_nulls(conjunct.mask(rows.as_ref().unwrap_or(morsel))?);
            mask = Some(match mask {
                None => next,
                Some(mask) => BooleanArray::new(mask.values() & next.values(), None),
            });
        }
        Ok(mask.map(|mask| match rows {
            Some(rows) => Tested::Rows(rows, mask),
            None => Tested::Mask(mask),
        }))
    }
}

/// Whether `expr` is the constant true.
fn holds(expr: &Arc<dyn PhysicalExpr>) -> bool {
    let value = expr.downcast_ref::<Literal>().map(Literal::value);
    matches!(value, Some(ScalarValue::Boolean(Some(true))))
}

enum Tested {
    /// Over the whole morsel.
    Mask(BooleanArray),
    /// Over the rows that earlier conjuncts left.
    Rows(Morsel, BooleanArray),
}

fn without_nulls(mask: BooleanArray) -> BooleanArray {
    match mask.nulls() {
        Some(_) => arrow::compute::prep_null_mask_filter(&mask),
        None => mask,
    }
}

/// Whether evaluating `expr` cannot fail, on any row: comparisons of columns and constants, string
/// patterns, lists, NULL tests, and what AND, OR and NOT make of them.
pub(crate) fn infallible(expr: &Arc<dyn PhysicalExpr>) -> bool {
    let known = if let Some(binary) = expr.downcast_ref::<BinaryExpr>() {
        matches!(
            binary.op(),
            Operator::Eq
                | Operator::NotEq
                | Operator::Lt
                | Operator::LtEq
                | Operator::Gt
                | Operator::GtEq
                | Operator::IsDistinctFrom
                | Operator::IsNotDistinctFrom
                | Operator::And
                | Operator::Or
        )
    } else {
        expr.is::<Column>()
            || expr.is::<Literal>()
            || expr.is::<InListExpr>()
            || expr.is::<IsNullExpr>()
            || expr.is::<IsNotNullExpr>()
            || expr.is::<NotExpr>()
            || expr.is::<LikeExpr>()
    };
    known && expr.children().into_iter().all(infallible)
}
