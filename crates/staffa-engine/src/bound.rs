//! Expressions bound to the few columns that they read.

mod flags;
mod truth;

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array,
    new_null_array,
};
use arrow::compute::{concat, prep_null_mask_filter, take};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_common::cast::as_boolean_array;
use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion_common::{Result, ScalarValue, internal_err};
use datafusion_expr::ColumnarValue;
use datafusion_physical_expr::ScalarFunctionExpr;
use datafusion_physical_expr::expressions::{Column, Literal};
use datafusion_physical_expr::utils::collect_columns;
use datafusion_physical_expr_common::physical_expr::PhysicalExpr;
use parking_lot::Mutex;

use crate::{Morsel, decimal, extract, like};
use truth::Truth;

/// A physical expression and the columns of a morsel that it reads: evaluating it gathers no others.
#[derive(Debug, Clone)]
pub struct BoundExpr {
    expr: Arc<dyn PhysicalExpr>,
    columns: Vec<usize>,
    schema: SchemaRef,
    /// `schema` with NULLs in every column, for a dictionary's values with NULL behind them.
    nullable: SchemaRef,
    /// Set when the expression is a column and nothing else.
    plain: Option<usize>,
    /// Values over dictionaries seen lately.
    known: Arc<Mutex<VecDeque<Known>>>,
}

/// The values of an expression over a dictionary's, and behind them its value over NULL.
#[derive(Debug)]
struct Known {
    dictionary: ArrayRef,
    values: Values,
}

#[derive(Debug, Clone)]
enum Values {
    Truth(Arc<Truth>),
    Array(ArrayRef),
}

impl Values {
    fn new(values: ArrayRef) -> Self {
        match values.as_boolean_opt().and_then(Truth::new) {
            Some(truth) => Self::Truth(Arc::new(truth)),
            None => Self::Array(values),
        }
    }

    /// The values at `codes`, which are in range; a NULL stands for the last value.
    fn at(&self, codes: &UInt32Array) -> Option<ArrayRef> {
        match self {
            Self::Truth(truth) => Some(Arc::new(truth.at(codes))),
            Self::Array(values) if codes.null_count() == 0 => {
                take(values.as_ref(), codes, None).ok()
            }
            Self::Array(values) => {
                let null = u32::try_from(values.len()).ok()?.checked_sub(1)?;
                let rows = codes.values().iter().zip(codes.nulls()?.iter());
                let codes = rows.map(|(&code, valid)| if valid { code } else { null });
                let codes: UInt32Array = codes.collect();
                take(values.as_ref(), &codes, None).ok()
            }
        }
    }
}

/// Dictionaries whose values are kept: one per lane on most machines.
const KNOWN: usize = 16;

impl BoundExpr {
    /// The type of its values.
    ///
    /// # Errors
    /// DataFusion's.
    pub(crate) fn data_type(&self) -> Result<DataType> {
        self.expr.data_type(&self.schema)
    }

    /// The value, where the expression is one.
    pub(crate) fn literal(&self) -> Option<&ScalarValue> {
        self.expr.downcast_ref::<Literal>().map(Literal::value)
    }

    /// Binds `expr`, which is written against `schema`.
    ///
    /// # Errors
    /// DataFusion's, when the expression cannot be rewritten.
    pub fn new(expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Self> {
        let plain = expr.downcast_ref::<Column>().map(Column::index);
        let mut columns: Vec<usize> = collect_columns(expr).iter().map(Column::index).collect();
        columns.sort_unstable();
        columns.dedup();
        let narrowed = Arc::new(schema.project(&columns)?);
        let expr = Arc::clone(expr)
            .transform(|node| {
                let Some(column) = node.downcast_ref::<Column>() else {
                    return Ok(Transformed::no(node));
                };
                match columns.binary_search(&column.index()) {
                    Ok(at) if at != column.index() => {
                        let column: Arc<dyn PhysicalExpr> =
                            Arc::new(Column::new(column.name(), at));
                        Ok(Transformed::yes(column))
                    }
                    _ => Ok(Transformed::no(node)),
                }
            })
            .data()?;
        let expr = extract::extracted(like::pieced(decimal::narrowed(expr, &narrowed)?)?)?;
        let nullable = narrowed.fields().iter().map(|field| field.as_ref().clone());
        // A function may ask whether its argument can be NULL; such a one is left to the rows.
        let asks = calls_function(&expr);
        let nullable: Vec<Field> = match asks {
            true => nullable.collect(),
            false => nullable.map(|field| field.with_nullable(true)).collect(),
        };
        let nullable = Arc::new(Schema::new_with_metadata(nullable, narrowed.metadata().clone()));
        Ok(Self { expr, columns, schema: narrowed, nullable, plain, known: Arc::default() })
    }

    /// Binds each of `exprs`.
    ///
    /// # Errors
    /// DataFusion's, when an expression cannot be rewritten.
    pub fn all<'a>(
        exprs: impl IntoIterator<Item = &'a Arc<dyn PhysicalExpr>>,
        schema: &Schema,
    ) -> Result<Vec<Self>> {
        exprs.into_iter().map(|expr| Self::new(expr, schema)).collect()
    }

    /// The column's index, when the expression is a column and nothing else.
    pub fn as_column(&self) -> Option<usize> {
        self.plain
    }

    /// The indices of the columns that the expression reads, ascending.
    pub fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// The value over all rows of `morsel`.
    ///
    /// # Errors
    /// Whatever the expression raises.
    pub fn evaluate(&self, morsel: &Morsel) -> Result<ColumnarValue> {
        if let Some(index) = self.plain {
            return Ok(ColumnarValue::Array(morsel.column(index)?));
        }
        if let [column] = self.columns[..]
            && let Some((values, codes, dictionary)) = morsel.codes(column)
            && let Some(array) = self.over_values(values, dictionary).and_then(|v| v.at(codes))
        {
            return Ok(ColumnarValue::Array(array));
        }
        let arrays =
            self.columns.iter().map(|&i| morsel.column(i)).collect::<Result<Vec<ArrayRef>>>()?;
        self.over(&self.schema, arrays, morsel.rows())
    }

    fn over(
        &self,
        schema: &SchemaRef,
        arrays: Vec<ArrayRef>,
        rows: usize,
    ) -> Result<ColumnarValue> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options)?;
        self.expr.evaluate(&batch)
    }

    /// The expression over each of `values`, and over NULL behind them. `None` where that raises an
    /// error: the value may belong to no row, and only the rows' own evaluation decides.
    fn over_values(&self, values: &ArrayRef, dictionary: bool) -> Option<Values> {
        let known = self
            .known
            .lock()
            .iter()
            .find(|k| Arc::ptr_eq(&k.dictionary, values))
            .map(|known| known.values.clone());
        let results = match known {
            Some(results) => results,
            None => {
                let rows = values.len() + 1;
                let null = new_null_array(values.data_type(), 1);
                let with_null = concat(&[values.as_ref(), null.as_ref()]).ok()?;
                let results = self.over(&self.nullable, vec![with_null], rows).ok()?;
                let results = Values::new(results.into_array(rows).ok()?);
                if dictionary {
                    let mut known = self.known.lock();
                    known.truncate(KNOWN - 1);
                    known.push_front(Known {
                        dictionary: Arc::clone(values),
                        values: results.clone(),
                    });
                }
                results
            }
        };
        Some(results)
    }

    /// The value as an array of `morsel.rows()` values.
    ///
    /// # Errors
    /// Whatever the expression raises.
    pub fn array(&self, morsel: &Morsel) -> Result<ArrayRef> {
        self.evaluate(morsel)?.into_array(morsel.rows())
    }

    /// The rows for which a predicate holds: a mask without nulls, where unknown counts as false.
    ///
    /// # Errors
    /// Whatever the expression raises.
    pub fn truth(&self, morsel: &Morsel) -> Result<BooleanArray> {
        if let [column] = self.columns[..]
            && let Some((values, codes, dictionary)) = morsel.codes(column)
            && let Some(Values::Truth(truth)) = self.over_values(values, dictionary)
        {
            return Ok(BooleanArray::new(truth.holds(codes), None));
        }
        let mask = self.mask(morsel)?;
        Ok(match mask.nulls() {
            Some(_) => prep_null_mask_filter(&mask),
            None => mask,
        })
    }

    /// The value of a predicate as a mask; null means unknown.
    ///
    /// # Errors
    /// Whatever the expression raises.
    pub fn mask(&self, morsel: &Morsel) -> Result<BooleanArray> {
        match self.evaluate(morsel)? {
            ColumnarValue::Scalar(ScalarValue::Boolean(Some(true))) => {
                Ok(BooleanArray::from(vec![true; morsel.rows()]))
            }
            ColumnarValue::Scalar(ScalarValue::Boolean(_) | ScalarValue::Null) => {
                Ok(BooleanArray::from(vec![false; morsel.rows()]))
            }
            value => {
                let array = value.into_array(morsel.rows())?;
                Ok(as_boolean_array(&array)?.clone())
            }
        }
    }
}

/// Whether a function is called anywhere in `expr`.
fn calls_function(expr: &Arc<dyn PhysicalExpr>) -> bool {
    expr.is::<ScalarFunctionExpr>() || expr.children().into_iter().any(calls_function)
}

/// `expr` with the expressions of `output` in place of its columns.
///
/// # Errors
/// An internal error for a column that `output` lacks.
pub fn through(
    expr: &Arc<dyn PhysicalExpr>,
    output: &[Arc<dyn PhysicalExpr>],
) -> Result<Arc<dyn PhysicalExpr>> {
    Arc::clone(expr)
        .transform_up(|node| match node.downcast_ref::<Column>() {
            Some(column) => match output.get(column.index()) {
                Some(expr) => Ok(Transformed::yes(Arc::clone(expr))),
                None => internal_err!("the scan has no column {column}"),
            },
            None => Ok(Transformed::no(node)),
        })
        .data()
}
