//! Decimal arithmetic on values that fit 64 bits, as most do: no overflow can happen then, so no row
//! needs a check.
//!
//! Arrow checks every product of 128-bit values for overflow, in a call of its own; in TPC-H's Q1 that
//! was a fifth of the time. A column is looked over first (one OR per value); where any value is too
//! wide, DataFusion's expression is evaluated as it stands, which also decides what errs.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, RecordBatch};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Decimal128Type, FieldRef, Schema};
use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion_common::{Result, ScalarValue, internal_err};
use datafusion_expr::{ColumnarValue, Operator};
use datafusion_physical_expr::expressions::BinaryExpr;
use datafusion_physical_expr_common::physical_expr::PhysicalExpr;

/// Largest power of ten that a value of 64 bits is multiplied by: the product stays below 2^123.
const MAX_RESCALE: u32 = 18;

/// `expr` with its decimal sums, differences and products made fast; over columns of `schema`.
///
/// # Errors
/// DataFusion's, when the expression cannot be rewritten.
pub(crate) fn narrowed(
    expr: Arc<dyn PhysicalExpr>,
    schema: &Schema,
) -> Result<Arc<dyn PhysicalExpr>> {
    expr.transform_up(|node| {
        let fast = node.downcast_ref::<BinaryExpr>().and_then(|whole| Narrow::new(whole, schema));
        Ok(match fast {
            Some(fast) => Transformed::yes(Arc::new(fast) as _),
            None => Transformed::no(node),
        })
    })
    .data()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Operation {
    Multiply,
    /// Sides are multiplied by these first, to have one scale.
    Add(i64, i64),
    /// As for `Add`.
    Subtract(i64, i64),
}

/// A decimal operation, in 64 bits where that does.
#[derive(Debug, Clone)]
struct Narrow {
    operation: Operation,
    precision: u8,
    scale: i8,
    /// DataFusion's expression.
    whole: BinaryExpr,
}

impl Narrow {
    fn new(whole: &BinaryExpr, schema: &Schema) -> Option<Self> {
        let decimal = |expr: &dyn PhysicalExpr| match expr.data_type(schema) {
            Ok(DataType::Decimal128(precision, scale)) => Some((precision, scale)),
            _ => None,
        };
        let (_, left) = decimal(whole.left().as_ref())?;
        let (_, right) = decimal(whole.right().as_ref())?;
        let (precision, scale) = decimal(whole)?;
        let factor = |from: i8| {
            let digits = u32::try_from(i32::from(scale) - i32::from(from)).ok()?;
            (digits <= MAX_RESCALE).then(|| 10_i64.pow(digits))
        };
        let operation = match whole.op() {
            Operator::Multiply if i32::from(scale) == i32::from(left) + i32::from(right) => {
                Operation::Multiply
            }
            Operator::Plus if scale == left.max(right) => {
                Operation::Add(factor(left)?, factor(right)?)
            }
            Operator::Minus if scale == left.max(right) => {
                Operation::Subtract(factor(left)?, factor(right)?)
            }
            _ => return None,
        };
        Some(Self { operation, precision, scale, whole: whole.clone() })
    }

    /// The result where both sides are narrow; `None` where they are not, or not of a form known here.
    fn fast(&self, left: &ColumnarValue, right: &ColumnarValue) -> Result<Option<ArrayRef>> {
        let (Some(left), Some(right)) = (Side::of(left), Side::of(right)) else {
            return Ok(None);
        };
        let values: Vec<i128> = match self.operation {
            Operation::Multiply => both(&left, &right, |a, b| i128::from(a) * i128::from(b)),
            Operation::Add(l, r) => both(&left, &right, |a, b| {
                i128::from(a) * i128::from(l) + i128::from(b) * i128::from(r)
            }),
            Operation::Subtract(l, r) => both(&left, &right, |a, b| {
                i128::from(a) * i128::from(l) - i128::from(b) * i128::from(r)
            }),
        };
        let nulls = NullBuffer::union(left.nulls(), right.nulls());
        let array = Decimal128Array::try_new(values.into(), nulls)?
            .with_precision_and_scale(self.precision, self.scale)?;
        Ok(Some(Arc::new(array)))
    }
}

/// An operand whose values fit 64 bits.
enum Side<'a> {
    Column(&'a Decimal128Array),
    Constant(i64),
}

impl<'a> Side<'a> {
    fn of(value: &'a ColumnarValue) -> Option<Self> {
        match value {
            ColumnarValue::Array(array) => {
                let array = array.as_primitive_opt::<Decimal128Type>()?;
                // The bits that a value has beyond 64 are copies of its sign, or it is too wide.
                let wide = array.values().iter().fold(0_i64, |wide, &value| {
                    wide | ((value >> 64) as i64 ^ (value as i64 >> 63))
                });
                (wide == 0).then_some(Self::Column(array))
            }
            ColumnarValue::Scalar(ScalarValue::Decimal128(Some(value), _, _)) => {
                i64::try_from(*value).ok().map(Self::Constant)
            }
            ColumnarValue::Scalar(_) => None,
        }
    }

    fn nulls(&self) -> Option<&NullBuffer> {
        match self {
            Self::Column(array) => array.nulls(),
            Self::Constant(_) => None,
        }
    }
}

/// What `op` gives for each row; nothing where both sides are constants, which no caller has.
#[inline(always)]
fn both(left: &Side<'_>, right: &Side<'_>, op: impl Fn(i64, i64) -> i128) -> Vec<i128> {
    match (left, right) {
        (Side::Column(a), Side::Column(b)) => {
            a.values().iter().zip(b.values()).map(|(&a, &b)| op(a as i64, b as i64)).collect()
        }
        (Side::Column(a), &Side::Constant(b)) => {
            a.values().iter().map(|&a| op(a as i64, b)).collect()
        }
        (&Side::Constant(a), Side::Column(b)) => {
            b.values().iter().map(|&b| op(a, b as i64)).collect()
        }
        (Side::Constant(_), Side::Constant(_)) => Vec::new(),
    }
}

impl PhysicalExpr for Narrow {
    fn return_field(&self, schema: &Schema) -> Result<FieldRef> {
        self.whole.return_field(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let left = self.whole.left().evaluate(batch)?;
        let right = self.whole.right().evaluate(batch)?;
        let constants =
            matches!((&left, &right), (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_)));
        if !constants && let Some(array) = self.fast(&left, &right)? {
            return Ok(ColumnarValue::Array(array));
        }
        self.whole.evaluate(batch)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        self.whole.children()
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let Ok([left, right]) = <[_; 2]>::try_from(children) else {
            return internal_err!("a decimal operation has two operands");
        };
        let whole = BinaryExpr::new(left, *self.whole.op(), right);
        Ok(Arc::new(Self { whole, ..self.as_ref().clone() }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.whole.fmt_sql(f)
    }
}

impl fmt::Display for Narrow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.whole.fmt(f)
    }
}

impl PartialEq for Narrow {
    fn eq(&self, other: &Self) -> bool {
        self.whole == other.whole
    }
}

impl Eq for Narrow {}

impl Hash for Narrow {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.whole.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Field;
    use datafusion_physical_expr::expressions::{col, lit};

    use super::*;

    const EDGES: [i128; 11] = [
        0,
        1,
        -1,
        99,
        -12_345,
        i64::MAX as i128,
        i64::MIN as i128,
        i64::MAX as i128 + 1,
        i64::MIN as i128 - 1,
        10_i128.pow(37),
        -(10_i128.pow(37)),
    ];

    fn column(values: &[Option<i128>], precision: u8, scale: i8) -> ArrayRef {
        let array = Decimal128Array::from(values.to_vec());
        Arc::new(array.with_precision_and_scale(precision, scale).unwrap())
    }

    /// Compares with DataFusion's own expression over every pair of edge values, each pair in a batch
    /// of its own and all narrow pairs in one: values, type and whether it errs.
    #[test]
    fn equals_datafusion_on_narrow_and_wide_values() {
        let mut fast = 0;
        for (scale_a, scale_b) in [(2, 2), (2, 0), (0, 6), (10, 2), (0, 30), (-2, 3)] {
            let schema = Schema::new(vec![
                Field::new("a", DataType::Decimal128(38, scale_a), true),
                Field::new("b", DataType::Decimal128(38, scale_b), true),
            ]);
            let all = |a: &[Option<i128>], b: &[Option<i128>]| {
                let columns = vec![column(a, 38, scale_a), column(b, 38, scale_b)];
                RecordBatch::try_new(Arc::new(schema.clone()), columns).unwrap()
            };
            let narrow: Vec<_> = EDGES[..7].iter().map(|&v| Some(v)).chain([None]).collect();
            let mut batches = vec![all(&[], &[])];
            for &a in &EDGES {
                batches.push(all(&vec![Some(a); narrow.len()], &narrow));
                batches.extend(EDGES.iter().map(|&b| all(&[Some(a), None], &[Some(b), Some(b)])));
            }
            for op in [Operator::Plus, Operator::Minus, Operator::Multiply] {
                let three = lit(ScalarValue::Decimal128(Some(3), 38, scale_b));
                let none = lit(ScalarValue::Decimal128(None, 38, scale_b));
                let (a, b) = (col("a", &schema).unwrap(), col("b", &schema).unwrap());
                for (left, right) in [(&a, &b), (&a, &three), (&three, &b), (&a, &none)] {
                    let whole: Arc<dyn PhysicalExpr> =
                        Arc::new(BinaryExpr::new(Arc::clone(left), op, Arc::clone(right)));
                    let ours = narrowed(Arc::clone(&whole), &schema).unwrap();
                    fast += usize::from(ours.is::<Narrow>());
                    for batch in &batches {
                        let value = |expr: &Arc<dyn PhysicalExpr>| {
                            expr.evaluate(batch).and_then(|v| v.into_array(batch.num_rows()))
                        };
                        match (value(&whole), value(&ours)) {
                            (Ok(theirs), Ok(ours)) => assert_eq!(&theirs, &ours, "{whole}"),
                            (Err(_), Err(_)) => {}
                            (theirs, ours) => panic!("{whole}: {theirs:?}, not {ours:?}"),
                        }
                    }
                }
            }
        }
        assert!(fast > 40, "only {fast} expressions were made fast");
    }

    #[test]
    fn only_wide_values_take_the_long_way() {
        let narrow = ColumnarValue::Array(column(&[Some(i128::from(i64::MIN)), Some(7)], 38, 0));
        let wide = ColumnarValue::Array(column(&[Some(i128::from(i64::MAX) + 1), Some(7)], 38, 0));
        assert!(Side::of(&narrow).is_some());
        assert!(Side::of(&wide).is_none());
    }
}
