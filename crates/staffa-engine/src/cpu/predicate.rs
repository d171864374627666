//! Predicates of filters: conjunct by conjunct where nobody can tell.
//!
//! A row passes a conjunction when it passes each conjunct, whatever the order. So conjuncts that
//! cannot raise errors are tested one after the other, cheap ones first, each on the rows that the ones
//! before left: columns of later conjuncts are gathered for those rows only. An OR or AND within a
//! conjunct is tested part by part, so that a part that reads one column of a dictionary is evaluated
//! once per entry. What can raise an error is left to DataFusion's own evaluation of the whole, which
//! decides on which rows it does.

use std::sync::Arc;

use arrow::array::{Array, BooleanArray, UInt32Array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::take;
use arrow::datatypes::{DataType, Schema};
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::Operator;
use datafusion_physical_expr::expressions::{
    BinaryExpr, Column, InListExpr, IsNotNullExpr, IsNullExpr, LikeExpr, Literal, NotExpr,
};
use datafusion_physical_expr::utils::{collect_columns, split_conjunction};
use datafusion_physical_expr_common::physical_expr::PhysicalExpr;

use crate::Morsel;
use crate::bound::BoundExpr;
use crate::cpu::join::KeyFilter;

/// Later conjuncts see only the rows left once fewer than one in so many are.
const SPARSE: usize = 4;

/// A filter's predicate.
#[derive(Debug)]
pub struct Predicate {
    conjuncts: Vec<Conjunct>,
}

#[derive(Debug)]
struct Conjunct {
    test: Test,
    /// Whether it may only see rows that passed the ones before: on others it could raise an error.
    guarded: bool,
}

impl Predicate {
    /// Binds `predicate`, which is written against `schema`.
    ///
    /// # Errors
    /// DataFusion's, when an expression cannot be rewritten.
    pub fn new(predicate: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Self> {
        let mut parts = split_conjunction(predicate);
        parts.retain(|part| !holds(part));
        if !parts.iter().all(|part| infallible(part)) {
            let test = Test::Expr(BoundExpr::new(predicate, schema)?);
            return Ok(Self { conjuncts: vec![Conjunct { test, guarded: true }] });
        }
        parts.sort_by_key(|part| cost(part, schema));
        let conjuncts = parts
            .into_iter()
            .map(|part| Ok(Conjunct { test: Test::new(part, schema)?, guarded: false }));
        Ok(Self { conjuncts: conjuncts.collect::<Result<_>>()? })
    }

    /// Binds `predicate` as a Parquet reader's row filter: each conjunct sees only the rows that passed the
    /// ones before, in the order in which they are written.
    ///
    /// # Errors
    /// DataFusion's, when an expression cannot be rewritten.
    pub fn row_filter(predicate: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Self> {
        let parts = split_conjunction(predicate).into_iter();
        let conjuncts = parts.map(|part| match infallible(part) {
            true => Ok(Conjunct { test: Test::new(part, schema)?, guarded: false }),
            false => {
                let test = Test::Expr(BoundExpr::new(part, schema)?);
                Ok(Conjunct { test, guarded: true })
            }
        });
        Ok(Self { conjuncts: conjuncts.collect::<Result<_>>()? })
    }

    /// This predicate, then `other` on the rows that pass it.
    #[must_use]
    pub fn then(mut self, other: Self) -> Self {
        self.conjuncts.extend(other.conjuncts);
        self
    }

    /// The columns that are read, ascending.
    pub fn columns(&self) -> Vec<usize> {
        let mut columns = Vec::new();
        self.conjuncts.iter().for_each(|conjunct| conjunct.test.columns(&mut columns));
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    /// The rows of `morsel` that pass.
    ///
    /// # Errors
    /// Whatever the predicate raises.
    pub fn filter(&self, morsel: &Morsel) -> Result<Morsel> {
        let tested = self.test(morsel)?;
        let rows = tested.rows.as_ref().map_or(morsel, |(_, rows)| rows);
        match &tested.mask {
            Some(mask) => rows.filter(mask),
            None => Ok(rows.clone()),
        }
    }

    /// The rows of `morsel` that pass, as a mask without nulls.
    ///
    /// # Errors
    /// Whatever the predicate raises.
    pub fn mask(&self, morsel: &Morsel) -> Result<BooleanArray> {
        let Tested { rows, mask } = self.test(morsel)?;
        let Some((numbers, _)) = rows else {
            return Ok(mask.unwrap_or_else(|| BooleanArray::from(vec![true; morsel.rows()])));
        };
        let passed = match &mask {
            Some(mask) => spread(&numbers, mask.values(), morsel.rows()),
            None => spread(&numbers, &BooleanBuffer::new_set(numbers.len()), morsel.rows()),
        };
        Ok(BooleanArray::new(passed, None))
    }

    fn test(&self, morsel: &Morsel) -> Result<Tested> {
        let mut tested = Tested { rows: None, mask: None };
        for conjunct in &self.conjuncts {
            if tested.narrow(morsel, conjunct.guarded)? {
                break;
            }
            let rows = tested.rows.as_ref().map_or(morsel, |(_, rows)| rows);
            let next = conjunct.test.truth(rows)?;
            tested.mask = Some(match tested.mask {
                None => next,
                Some(mask) => BooleanArray::new(mask.values() & next.values(), None),
            });
        }
        Ok(tested)
    }
}

/// A mask over `rows` rows from one over those of them with these `numbers`.
pub fn spread(numbers: &UInt32Array, mask: &BooleanBuffer, rows: usize) -> BooleanBuffer {
    let numbers = numbers.values();
    let mut words = vec![0_u64; rows.div_ceil(64)];
    for at in mask.set_indices() {
        let row = numbers[at];
        words[(row >> 6) as usize] |= 1 << (row & 63);
    }
    BooleanBuffer::new(words.into(), 0, rows)
}

/// What some conjuncts left.
struct Tested {
    /// The rows that the mask is over, and their numbers; `None` for all rows.
    rows: Option<(Arc<UInt32Array>, Morsel)>,
    /// Which of them passed the conjuncts since; `None` for all.
    mask: Option<BooleanArray>,
}

impl Tested {
    /// Takes the rows that passed out of the others where they are few, or `always`. Whether none did.
    fn narrow(&mut self, morsel: &Morsel, always: bool) -> Result<bool> {
        let Some(mask) = &self.mask else {
            return Ok(false);
        };
        let kept = mask.true_count();
        let few = kept < mask.len() / SPARSE || (always && kept < mask.len());
        if kept == 0 || !few {
            return Ok(kept == 0);
        }
        let passed = Arc::new(UInt32Array::from_iter_values(mask.values().set_indices_u32()));
        let (numbers, rows) = match &self.rows {
            None => (Arc::clone(&passed), morsel.select(&passed)?),
            Some((numbers, rows)) => {
                let numbers = take(numbers.as_ref(), passed.as_ref(), None)?;
                (Arc::new(UInt32Array::from(numbers.to_data())), rows.select(&passed)?)
            }
        };
        *self = Self { rows: Some((numbers, rows)), mask: None };
        Ok(false)
    }
}

/// A condition; what is split cannot raise errors.
#[derive(Debug)]
enum Test {
    Expr(BoundExpr),
    And(Vec<Test>),
    Or(Vec<Test>),
}

impl Test {
    /// Splits `expr`, which cannot raise errors, while it reads more than one column.
    fn new(expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Self> {
        let op = expr.downcast_ref::<BinaryExpr>().map(BinaryExpr::op);
        let op = op.copied().filter(|op| matches!(op, Operator::And | Operator::Or));
        let Some(op) = op.filter(|_| collect_columns(expr).len() > 1) else {
            return Ok(Self::Expr(BoundExpr::new(expr, schema)?));
        };
        let mut parts = Vec::new();
        split(expr, op, &mut parts);
        let parts = of_one_column(parts, op).into_iter();
        let parts = parts.map(|part| Self::new(&part, schema)).collect::<Result<Vec<_>>>()?;
        Ok(match op {
            Operator::And => Self::And(parts),
            _ => Self::Or(parts),
        })
    }

    fn columns(&self, columns: &mut Vec<usize>) {
        match self {
            Self::Expr(expr) => columns.extend_from_slice(expr.columns()),
            Self::And(tests) | Self::Or(tests) => {
                tests.iter().for_each(|test| test.columns(columns));
            }
        }
    }

    /// The rows for which it is true: an AND where all parts are, an OR where any is, whatever is unknown.
    fn truth(&self, morsel: &Morsel) -> Result<BooleanArray> {
        let (tests, all) = match self {
            Self::Expr(expr) => return expr.truth(morsel),
            Self::And(tests) => (tests, true),
            Self::Or(tests) => (tests, false),
        };
        let mut so_far: Option<BooleanArray> = None;
        for test in tests {
            let next = test.truth(morsel)?;
            let mask = match &so_far {
                None => next,
                Some(mask) if all => BooleanArray::new(mask.values() & next.values(), None),
                Some(mask) => BooleanArray::new(mask.values() | next.values(), None),
            };
            let decided = if all { !mask.has_true() } else { !mask.has_false() };
            so_far = Some(mask);
            if decided {
                break;
            }
        }
        Ok(so_far.unwrap_or_else(|| BooleanArray::from(vec![all; morsel.rows()])))
    }
}

/// The operands of nested `op`s.
fn split(expr: &Arc<dyn PhysicalExpr>, op: Operator, parts: &mut Vec<Arc<dyn PhysicalExpr>>) {
    match expr.downcast_ref::<BinaryExpr>() {
        Some(binary) if *binary.op() == op => {
            split(binary.left(), op, parts);
            split(binary.right(), op, parts);
        }
        _ => parts.push(Arc::clone(expr)),
    }
}

/// Puts operands of `op` that read the same column, and no other, together again.
fn of_one_column(parts: Vec<Arc<dyn PhysicalExpr>>, op: Operator) -> Vec<Arc<dyn PhysicalExpr>> {
    let mut together: Vec<(Option<usize>, Arc<dyn PhysicalExpr>)> = Vec::new();
    for part in parts {
        let columns = collect_columns(&part);
        let column = columns.iter().next().filter(|_| columns.len() == 1).map(Column::index);
        let same = together.iter_mut().find(|(of, _)| column.is_some() && *of == column);
        match same {
            Some((_, whole)) => *whole = Arc::new(BinaryExpr::new(Arc::clone(whole), op, part)),
            None => together.push((column, part)),
        }
    }
    together.into_iter().map(|(_, part)| part).collect()
}

/// What a test of a row costs, roughly: numbers, then strings, then patterns.
fn cost(expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> u8 {
    if expr.is::<LikeExpr>() {
        return 2;
    }
    let own = match expr.downcast_ref::<Column>().map(|column| schema.field(column.index())) {
        Some(field) if field.data_type().primitive_width().is_some() => 0,
        Some(field) if *field.data_type() == DataType::Boolean => 0,
        Some(_) => 1,
        None => 0,
    };
    expr.children().into_iter().map(|child| cost(child, schema)).max().unwrap_or(0).max(own)
}

/// Whether `expr` is the constant true.
fn holds(expr: &Arc<dyn PhysicalExpr>) -> bool {
    let value = expr.downcast_ref::<Literal>().map(Literal::value);
    matches!(value, Some(ScalarValue::Boolean(Some(true))))
}

/// Whether evaluating `expr` cannot fail, on any row: comparisons of columns and constants, string
/// patterns, lists, NULL tests, and what AND, OR and NOT make of them.
pub fn infallible(expr: &Arc<dyn PhysicalExpr>) -> bool {
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
            || expr.is::<KeyFilter>()
    };
    known && expr.children().into_iter().all(infallible)
}
