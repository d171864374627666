//! From sort expressions to normalised keys.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Scalar};
use arrow::compute::kernels::cmp::{gt, gt_eq, lt, lt_eq};
use arrow::compute::{SortOptions, is_null};
use arrow::datatypes::{DataType, IntervalUnit, Schema};
use arrow::row::{RowConverter, Rows, SortField};
use datafusion_common::{Result, internal_err};
use datafusion_physical_expr_common::sort_expr::LexOrdering;

use super::entry::{Narrow, Wide, narrow, position};
use super::packed::{Packing, packs};
use super::values::{Numbers, visit};
use crate::Morsel;
use crate::bound::BoundExpr;

/// The sort expressions of an order, and how their values become entries.
#[derive(Debug)]
pub(super) struct SortKeys {
    exprs: Vec<BoundExpr>,
    first: SortOptions,
    form: Form,
}

#[derive(Debug)]
enum Form {
    Narrow,
    Wide {
        converter: RowConverter,
        /// The directions, where all types may be packed into numbers.
        packs: Option<Vec<SortOptions>>,
        /// Whether an entry holds its whole key.
        exact: bool,
    },
}

impl SortKeys {
    /// Keys for `ordering`, which is written against `schema`.
    ///
    /// # Errors
    /// Types that cannot be sorted, expressions that do not bind.
    pub(super) fn new(ordering: &LexOrdering, schema: &Schema) -> Result<Self> {
        let exprs = BoundExpr::all(ordering.iter().map(|key| &key.expr), schema)?;
        let types =
            ordering.iter().map(|key| key.expr.data_type(schema)).collect::<Result<Vec<_>>>()?;
        let form = if is_narrow(&types[0]) && types.len() == 1 {
            Form::Narrow
        } else {
            let packs =
                types.iter().all(packs).then(|| ordering.iter().map(|key| key.options).collect());
            let width: Option<usize> = types.iter().map(row_width).sum();
            let fields = types
                .into_iter()
                .zip(ordering.iter())
                .map(|(of, key)| SortField::new_with_options(of, key.options))
                .collect();
            Form::Wide {
                converter: RowConverter::new(fields)?,
                packs,
                exact: width.is_some_and(|width| width <= 16),
            }
        };
        Ok(Self { exprs, first: ordering.first().options, form })
    }

    /// The values of the sort expressions.
    ///
    /// # Errors
    /// What an expression raises.
    pub(super) fn arrays(&self, morsel: &Morsel) -> Result<Vec<ArrayRef>> {
        self.exprs.iter().map(|expr| expr.array(morsel)).collect()
    }

    /// Whether entries are narrow.
    pub(super) fn is_narrow(&self) -> bool {
        matches!(self.form, Form::Narrow)
    }

    /// The columns that serve as keys as they are.
    pub(super) fn plain_columns(&self) -> impl Iterator<Item = usize> + '_ {
        self.exprs.iter().filter_map(BoundExpr::as_column)
    }

    /// Whether whole keys are held beside the entries.
    pub(super) fn holds_rows(&self) -> bool {
        matches!(self.form, Form::Wide { exact: false, .. })
    }

    /// Wide entries for all rows, with the whole keys unless the entries hold them.
    ///
    /// # Errors
    /// Arrow's; an internal error where entries are narrow.
    pub(super) fn encode(&self, arrays: &[ArrayRef]) -> Result<(Vec<Wide>, Option<Rows>)> {
        let rows = self.rows(arrays)?;
        let keys = rows.iter().enumerate();
        let entries = keys.map(|(at, row)| Wide::new(row.data(), position(0, at))).collect();
        Ok((entries, self.holds_rows().then_some(rows)))
    }

    /// Narrow entries for all rows.
    ///
    /// # Errors
    /// An internal error where entries are wide.
    pub(super) fn narrow(&self, arrays: &[ArrayRef]) -> Result<Vec<Narrow>> {
        let (array, options) = (arrays[0].as_ref(), self.first);
        match visit(array, Entries { array, options }) {
            Some(entries) => Ok(entries),
            None => internal_err!("{} has no narrow sort key", array.data_type()),
        }
    }

    /// The rows that may stand before `bound`, the sort expressions' values at some row, as far as
    /// the first of them says; `None` where it cannot say. Compares natively, without entries.
    pub(super) fn may_precede(
        &self,
        arrays: &[ArrayRef],
        bound: &ArrayRef,
    ) -> Option<BooleanArray> {
        let array = &arrays[0];
        // A dictionary's value may be NULL where its key is not.
        let nulls = bound.logical_nulls();
        if nulls.is_some_and(|nulls| nulls.is_null(0)) {
            return self.first.nulls_first.then(|| is_null(array).ok()).flatten();
        }
        let bound = Scalar::new(Arc::clone(bound));
        // Rows that equal a single key stand at the bound, not before it.
        let compare = match (self.first.descending, self.exprs.len() == 1) {
            (false, true) => lt,
            (false, false) => lt_eq,
            (true, true) => gt,
            (true, false) => gt_eq,
        };
        let mask = compare(array, &bound).ok()?;
        let (values, nulls) = mask.into_parts();
        let values = match nulls.filter(|nulls| nulls.null_count() > 0) {
            None => values,
            Some(valid) if self.first.nulls_first => &values | &!valid.inner(),
            Some(valid) => &values & valid.inner(),
        };
        Some(BooleanArray::new(values, None))
    }

    /// Keys as numbers, if the values of all batches leave room for it.
    pub(super) fn packing(&self, batches: &[Vec<ArrayRef>]) -> Option<Packing> {
        match &self.form {
            Form::Wide { packs: Some(options), .. } => Packing::of(options, batches),
            _ => None,
        }
    }

    /// The keys of all rows in row format.
    ///
    /// # Errors
    /// Arrow's; an internal error where entries are narrow.
    pub(super) fn rows(&self, arrays: &[ArrayRef]) -> Result<Rows> {
        match &self.form {
            Form::Narrow => internal_err!("narrow keys have no row format"),
            Form::Wide { converter, .. } => Ok(converter.convert_columns(arrays)?),
        }
    }

    /// An empty set of whole keys.
    pub(super) fn no_rows(&self) -> Option<Rows> {
        match &self.form {
            Form::Wide { converter, exact: false, .. } => Some(converter.empty_rows(0, 0)),
            _ => None,
        }
    }
}

/// Bytes of a value in row format, for types where all values have as many.
fn row_width(of: &DataType) -> Option<usize> {
    match of {
        DataType::Null => Some(0),
        DataType::Boolean => Some(2),
        DataType::FixedSizeBinary(width) => usize::try_from(*width).ok().map(|width| width + 1),
        _ => of.primitive_width().map(|width| width + 1),
    }
}

/// Whether a single value fits 8 bytes.
pub(super) fn is_narrow(of: &DataType) -> bool {
    match of {
        DataType::Boolean => true,
        DataType::Interval(unit) => *unit == IntervalUnit::YearMonth,
        _ => of.primitive_width().is_some_and(|width| width <= 8),
    }
}

struct Entries<'a> {
    array: &'a dyn Array,
    options: SortOptions,
}

impl Numbers for Entries<'_> {
    type Out = Vec<Narrow>;

    fn read(self, numbers: impl ExactSizeIterator<Item = u64>) -> Vec<Narrow> {
        let flip = if self.options.descending { u64::MAX } else { 0 };
        let valid = self.options.nulls_first;
        let all = numbers.enumerate().map(|(row, key)| narrow(valid, key ^ flip, row));
        let Some(nulls) = self.array.nulls().filter(|nulls| nulls.null_count() > 0) else {
            return all.collect();
        };
        let all = all
            .zip(nulls.iter())
            .enumerate()
            .map(|(row, (entry, is))| if is { entry } else { narrow(!valid, 0, row) });
        all.collect()
    }
}
