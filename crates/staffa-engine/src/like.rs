//! LIKE with several constant pieces, such as `%special%requests%`: found one after the other, by a
//! search for substrings.
//!
//! Arrow makes a regular expression of such a pattern and runs it on every row; in TPC-H's Q13 that was a
//! third of the time. Patterns of one piece have fast ways in arrow already, and are left to it, like
//! those with `_` or an escape.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion_common::{Result, internal_err};
use datafusion_expr::ColumnarValue;
use datafusion_physical_expr::expressions::{LikeExpr, Literal};
use datafusion_physical_expr_common::physical_expr::PhysicalExpr;
use memchr::memmem::Finder;

/// `expr` with its LIKEs of several pieces made fast.
///
/// # Errors
/// DataFusion's, when the expression cannot be rewritten.
pub(crate) fn pieced(expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
    expr.transform_up(|node| match node.downcast_ref::<LikeExpr>().and_then(Pieced::new) {
        Some(fast) => Ok(Transformed::yes(Arc::new(fast) as _)),
        None => Ok(Transformed::no(node)),
    })
    .data()
}

/// The constant pieces of a pattern, between its wildcards `%`.
#[derive(Debug, Clone)]
struct Pieces {
    /// What the text begins with.
    prefix: String,
    /// What follows somewhere, in this order, without overlap.
    inner: Vec<Finder<'static>>,
    /// What the text ends with.
    suffix: String,
}

impl Pieces {
    /// The pieces of `pattern`, if it has several and no other wildcard than `%`.
    fn new(pattern: &str) -> Option<Self> {
        if pattern.contains(['_', '\\']) {
            return None;
        }
        let (prefix, rest) = pattern.split_once('%')?;
        let (inner, suffix) = rest.rsplit_once('%').unwrap_or(("", rest));
        let inner = inner.split('%').filter(|piece| !piece.is_empty());
        let inner: Vec<_> = inner.map(|piece| Finder::new(piece).into_owned()).collect();
        let ends = usize::from(!prefix.is_empty()) + usize::from(!suffix.is_empty());
        let pieces = Self { prefix: prefix.into(), inner, suffix: suffix.into() };
        (pieces.inner.len() + ends > 1).then_some(pieces)
    }

    /// Whether `text` matches.
    #[inline]
    fn matches(&self, text: &str) -> bool {
        let mut rest = text;
        // Not compared while empty: `memcmp` reads, masked, from where an empty string points, which is
        // nowhere, and the processor takes 300 ns to see that it must not mind.
        if !self.prefix.is_empty() {
            match rest.strip_prefix(self.prefix.as_str()) {
                Some(behind) => rest = behind,
                None => return false,
            }
        }
        if !self.suffix.is_empty() {
            match rest.strip_suffix(self.suffix.as_str()) {
                Some(before) => rest = before,
                None => return false,
            }
        }
        let mut rest = rest.as_bytes();
        for piece in &self.inner {
            match piece.find(rest) {
                Some(at) => rest = rest.get(at + piece.needle().len()..).unwrap_or_default(),
                None => return false,
            }
        }
        true
    }
}

/// A LIKE of several pieces.
#[derive(Debug)]
struct Pieced {
    pieces: Pieces,
    /// DataFusion's expression.
    whole: LikeExpr,
}

impl Pieced {
    fn new(whole: &LikeExpr) -> Option<Self> {
        let pattern = whole.pattern().downcast_ref::<Literal>()?.value();
        let pattern = pattern.try_as_str()??;
        let pieces = Pieces::new(pattern).filter(|_| !whole.case_insensitive())?;
        let (expr, pattern) = (Arc::clone(whole.expr()), Arc::clone(whole.pattern()));
        let whole = LikeExpr::new(whole.negated(), whole.case_insensitive(), expr, pattern);
        Some(Self { pieces, whole })
    }

    /// The mask over an array of strings; `None` for other arrays.
    fn mask(&self, array: &ArrayRef) -> Option<BooleanArray> {
        let negated = self.whole.negated();
        let matches = |text: &str| self.pieces.matches(text) != negated;
        let bits = match array.data_type() {
            DataType::Utf8 => {
                let strings = array.as_string::<i32>();
                BooleanBuffer::collect_bool(array.len(), |row| matches(strings.value(row)))
            }
            DataType::LargeUtf8 => {
                let strings = array.as_string::<i64>();
                BooleanBuffer::collect_bool(array.len(), |row| matches(strings.value(row)))
            }
            DataType::Utf8View => {
                let strings = array.as_string_view();
                BooleanBuffer::collect_bool(array.len(), |row| matches(strings.value(row)))
            }
            _ => return None,
        };
        let nulls: Option<NullBuffer> = array.nulls().cloned();
        Some(BooleanArray::new(bits, nulls))
    }
}

impl PhysicalExpr for Pieced {
    fn return_field(&self, schema: &Schema) -> Result<FieldRef> {
        self.whole.return_field(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        if let ColumnarValue::Array(array) = self.whole.expr().evaluate(batch)?
            && let Some(mask) = self.mask(&array)
        {
            return Ok(ColumnarValue::Array(Arc::new(mask)));
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
        let Ok([expr, pattern]) = <[_; 2]>::try_from(children) else {
            return internal_err!("LIKE has two operands");
        };
        let (negated, insensitive) = (self.whole.negated(), self.whole.case_insensitive());
        pieced(Arc::new(LikeExpr::new(negated, insensitive, expr, pattern)))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.whole.fmt_sql(f)
    }
}

impl fmt::Display for Pieced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.whole.fmt(f)
    }
}

impl PartialEq for Pieced {
    fn eq(&self, other: &Self) -> bool {
        self.whole == other.whole
    }
}

impl Eq for Pieced {}

impl Hash for Pieced {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.whole.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{LargeStringArray, StringArray, StringViewArray};
    use arrow::datatypes::Field;
    use datafusion_physical_expr::expressions::{Column, lit};

    use super::*;

    const TEXTS: [Option<&str>; 14] = [
        Some(""),
        Some("a"),
        Some("ab"),
        Some("aba"),
        Some("abab"),
        Some("special requests"),
        Some("very special, and then requests wait"),
        Some("requests special"),
        Some("a\nb"),
        Some("äöü ß special ü requests äö"),
        Some("ba"),
        Some("aa"),
        Some("xaxbx"),
        None,
    ];

    /// Compares with DataFusion's own expression over each type of strings.
    #[test]
    fn equals_datafusion() {
        let patterns = [
            "%special%requests%",
            "a%b",
            "%a%b",
            "a%b%",
            "a%a",
            "ab%ab",
            "%ab%ab%",
            "a%%b",
            "ä%ö",
            "%ü%ü%",
            "aba%aba",
            "a%b%a",
            "%a%a%",
            "%%a%%b%%",
        ];
        for pattern in patterns {
            assert!(Pieces::new(pattern).is_some(), "{pattern}");
            for negated in [false, true] {
                compare(pattern, negated);
            }
        }
        for other in ["%", "", "%a%", "a%", "%a", "a", "a_%b", "%a\\%b%", "%%"] {
            assert!(Pieces::new(other).is_none(), "{other}");
        }
    }

    fn compare(pattern: &str, negated: bool) {
        let arrays: [ArrayRef; 3] = [
            Arc::new(StringArray::from_iter(TEXTS)),
            Arc::new(LargeStringArray::from_iter(TEXTS)),
            Arc::new(StringViewArray::from_iter(TEXTS)),
        ];
        for array in arrays {
            let literal = datafusion_common::ScalarValue::from(pattern);
            let literal = literal.cast_to(array.data_type()).unwrap();
            let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new("s", 0));
            let whole = Arc::new(LikeExpr::new(negated, false, column, lit(literal)));
            let fast = pieced(Arc::clone(&whole) as _).unwrap();
            assert!(fast.is::<Pieced>(), "{pattern}");
            let schema = Schema::new(vec![Field::new("s", array.data_type().clone(), true)]);
            for array in [array.slice(0, 0), array.slice(3, 8), array] {
                let rows = array.len();
                let batch = RecordBatch::try_new(Arc::new(schema.clone()), vec![array]).unwrap();
                let ours = fast.evaluate(&batch).unwrap().into_array(rows).unwrap();
                let theirs = whole.evaluate(&batch).unwrap().into_array(rows).unwrap();
                assert_eq!(&ours, &theirs, "{pattern}, negated: {negated}");
            }
        }
    }
}
