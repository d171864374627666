//! The comparison of two results, cell by cell.
//!
//! Schemas must be equal (names, types, nullability). Rows are compared as multisets; where the
//! query orders its output, the sequence of the sort keys must be equal too, which is all that
//! SQL promises about ties. Sort keys that are not in the output come by a second query, which shows
//! them: rows that tie in all of them are compared as a multiset, in the places that they hold. Exact columns must agree in every bit, NaN and -0.0 included. For an
//! *inexact* float column (STDDEV and its like, whose last bits depend on the order of the input)
//! values agree within [`TOLERANCE`], relative and absolute; NaN agrees with NaN.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt64Array};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, Float64Type, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::row::{OwnedRow, RowConverter, SortField};
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// Relative and absolute tolerance of inexact float columns.
pub const TOLERANCE: f64 = 1e-9;

/// One result of a query.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The schema that the plan declared.
    pub schema: SchemaRef,
    /// The rows, in the order in which they came.
    pub batches: Vec<RecordBatch>,
}

impl Answer {
    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }
}

/// How two results are to be compared.
#[derive(Debug, Clone, Default)]
pub struct Comparison {
    /// Positions of the output columns by which the query orders, first key first.
    pub order: Vec<usize>,
    /// Positions of float columns whose last bits depend on the order of evaluation.
    pub inexact: Vec<usize>,
    /// For each row the first that it ties with in the sort keys ([`places`]); empty where rows are
    /// not compared by place.
    pub places: Vec<u64>,
}

/// For each row the first that it ties with, by the last `keys` columns.
///
/// # Errors
/// As [`Comparison::difference`].
pub fn places(answer: &Answer, keys: usize) -> Result<Vec<u64>, ArrowError> {
    let batch = whole(answer)?;
    let columns: Vec<usize> =
        (batch.num_columns().saturating_sub(keys)..batch.num_columns()).collect();
    let rows = encode(&batch, &columns)?;
    let mut first = 0;
    let place = |at: usize| {
        if at > 0 && rows[at] != rows[at - 1] {
            first = at as u64;
        }
        first
    };
    Ok((0..rows.len()).map(place).collect())
}

impl Comparison {
    /// Compares `actual` with `expected`; `None` means equal, else the first difference in words.
    ///
    /// # Errors
    /// Batches that do not fit their schema, or a type that Arrow's row format lacks.
    pub fn difference(
        &self,
        expected: &Answer,
        actual: &Answer,
    ) -> Result<Option<String>, ArrowError> {
        if let Some(text) = schema_difference(&expected.schema, &actual.schema) {
            return Ok(Some(text));
        }
        if expected.rows() != actual.rows() {
            return Ok(Some(format!("{} rows expected, {} came", expected.rows(), actual.rows())));
        }
        let left = Rows::new(expected, self)?;
        let right = Rows::new(actual, self)?;
        if let Some(at) = (0..left.keys.len()).find(|&i| left.keys[i] != right.keys[i]) {
            return Ok(Some(format!(
                "order differs at row {at}: expected {}, came {}",
                left.show(at)?,
                right.show(at)?
            )));
        }
        left.first_unmatched(&right)
    }
}

fn schema_difference(expected: &SchemaRef, actual: &SchemaRef) -> Option<String> {
    if expected.fields().len() != actual.fields().len() {
        let (want, have) = (expected.fields().len(), actual.fields().len());
        return Some(format!("{want} columns expected, {have} came"));
    }
    expected.fields().iter().zip(actual.fields()).find_map(|(want, have)| {
        let same = want.name() == have.name()
            && want.data_type() == have.data_type()
            && want.is_nullable() == have.is_nullable();
        (!same).then(|| format!("column expected: {want:?}, came: {have:?}"))
    })
}

/// A result laid out for comparison.
struct Rows {
    batch: RecordBatch,
    /// Bits of the exact columns, one per row.
    exact: Vec<OwnedRow>,
    /// The inexact columns as Float64, NULL as `None`.
    floats: Vec<Vec<Option<f64>>>,
    /// Bits of the sort keys in output order; empty where the query does not order.
    keys: Vec<OwnedRow>,
    /// Row numbers, sorted by `exact`, then `floats`.
    sorted: Vec<usize>,
}

impl Rows {
    fn new(answer: &Answer, how: &Comparison) -> Result<Self, ArrowError> {
        let batch = whole(answer)?;
        let exact: Vec<usize> =
            (0..batch.num_columns()).filter(|i| !how.inexact.contains(i)).collect();
        let floats = how
            .inexact
            .iter()
            .map(|&i| float_column(batch.column(i)))
            .collect::<Result<Vec<_>, _>>()?;
        let exact = match how.places.len() == batch.num_rows() {
            true => encode_placed(&batch, &exact, &how.places)?,
            false => encode(&batch, &exact)?,
        };
        let keys = if how.order.is_empty() { Vec::new() } else { encode(&batch, &how.order)? };
        let mut rows = Self { batch, exact, floats, keys, sorted: Vec::new() };
        let mut sorted: Vec<usize> = (0..rows.exact.len()).collect();
        sorted.sort_by(|&a, &b| rows.compare(a, b));
        rows.sorted = sorted;
        Ok(rows)
    }

    fn compare(&self, a: usize, b: usize) -> Ordering {
        self.exact[a].cmp(&self.exact[b]).then_with(|| {
            self.floats.iter().fold(Ordering::Equal, |so_far, column| {
                so_far.then_with(|| match (column[a], column[b]) {
                    (Some(x), Some(y)) => x.total_cmp(&y),
                    (x, y) => x.is_some().cmp(&y.is_some()),
                })
            })
        })
    }

    /// Pairs the sorted rows of both sides. Where noise in a first float column put rows of one
    /// group into another order, the partner is looked for among the group's unpaired rows.
    fn first_unmatched(&self, other: &Self) -> Result<Option<String>, ArrowError> {
        let mut taken = vec![false; other.sorted.len()];
        for (at, &row) in self.sorted.iter().enumerate() {
            let same_group = |&i: &usize| !taken[i] && self.agrees(row, other, other.sorted[i]);
            let partner = Some(at).filter(same_group).or_else(|| {
                let low = other.sorted.partition_point(|&r| other.exact[r] < self.exact[row]);
                let high = other.sorted.partition_point(|&r| other.exact[r] <= self.exact[row]);
                if self.floats.is_empty() { None } else { (low..high).find(same_group) }
            });
            match partner {
                Some(i) => taken[i] = true,
                None => {
                    return Ok(Some(format!(
                        "row differs (sorted position {at}): expected {}, came near {}",
                        self.show(row)?,
                        other.show(other.sorted[at])?
                    )));
                }
            }
        }
        Ok(None)
    }

    fn agrees(&self, row: usize, other: &Self, other_row: usize) -> bool {
        self.exact[row] == other.exact[other_row]
            && self
                .floats
                .iter()
                .zip(&other.floats)
                .all(|(mine, theirs)| close(mine[row], theirs[other_row]))
    }

    fn show(&self, row: usize) -> Result<String, ArrowError> {
        let options = FormatOptions::default().with_null("NULL").with_display_error(true);
        let cells: Result<Vec<String>, ArrowError> = self
            .batch
            .columns()
            .iter()
            .map(|c| Ok(ArrayFormatter::try_new(c, &options)?.value(row).to_string()))
            .collect();
        Ok(format!("[{}]", cells?.join(" | ")))
    }
}

/// Whether two values of an inexact column agree.
pub fn close(a: Option<f64>, b: Option<f64>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => {
            (a.is_nan() && b.is_nan())
                || a == b
                || (a - b).abs() <= TOLERANCE.max(TOLERANCE * a.abs().max(b.abs()))
        }
        _ => false,
    }
}

/// All rows as one batch, dictionaries decoded: those of many batches together may hold more values
/// than their keys can count.
fn whole(answer: &Answer) -> Result<RecordBatch, ArrowError> {
    let decoded = |data_type: &DataType| match data_type {
        DataType::Dictionary(_, value) => value.as_ref().clone(),
        other => other.clone(),
    };
    let fields: Vec<Field> = answer
        .schema
        .fields()
        .iter()
        .map(|f| Field::new(f.name(), decoded(f.data_type()), true))
        .collect();
    let schema = Arc::new(Schema::new(fields));
    let batches = answer.batches.iter().map(|batch| {
        let columns = batch.columns().iter().map(|c| cast(c, &decoded(c.data_type())));
        RecordBatch::try_new_with_options(
            schema.clone(),
            columns.collect::<Result<_, _>>()?,
            &RecordBatchOptions::new().with_row_count(Some(batch.num_rows())),
        )
    });
    concat_batches(&schema, &batches.collect::<Result<Vec<_>, _>>()?)
}

fn float_column(column: &ArrayRef) -> Result<Vec<Option<f64>>, ArrowError> {
    let column = cast(column, &DataType::Float64)?;
    Ok(column.as_primitive::<Float64Type>().iter().collect())
}

fn encode(batch: &RecordBatch, columns: &[usize]) -> Result<Vec<OwnedRow>, ArrowError> {
    let columns: Vec<ArrayRef> = columns.iter().map(|&i| batch.column(i).clone()).collect();
    if columns.is_empty() {
        // The row format needs a column; rows without exact columns are all alike.
        let unit: ArrayRef = Arc::new(arrow::array::NullArray::new(batch.num_rows()));
        return encode_columns(&[unit]);
    }
    encode_columns(&columns)
}

/// As [`encode`], with the place of each row as one more column.
fn encode_placed(
    batch: &RecordBatch,
    columns: &[usize],
    places: &[u64],
) -> Result<Vec<OwnedRow>, ArrowError> {
    let mut columns: Vec<ArrayRef> = columns.iter().map(|&i| batch.column(i).clone()).collect();
    columns.insert(0, Arc::new(UInt64Array::from(places.to_vec())));
    encode_columns(&columns)
}

fn encode_columns(columns: &[ArrayRef]) -> Result<Vec<OwnedRow>, ArrowError> {
    let fields = columns.iter().map(|c| SortField::new(c.data_type().clone())).collect();
    let rows = RowConverter::new(fields)?.convert_columns(columns)?;
    Ok(rows.iter().map(|row| row.owned()).collect())
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Array, Int32Array};

    use super::*;

    fn answer(ints: &[Option<i32>], floats: &[f64]) -> Answer {
        let schema = Arc::new(Schema::new(vec![
            Field::new("i", DataType::Int32, true),
            Field::new("f", DataType::Float64, true),
        ]));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from(ints.to_vec())),
            Arc::new(Float64Array::from(floats.to_vec())),
        ];
        let batch = RecordBatch::try_new(schema.clone(), columns).expect("columns fit the schema");
        Answer { schema, batches: vec![batch] }
    }

    fn differs(how: &Comparison, a: &Answer, b: &Answer) -> bool {
        how.difference(a, b).expect("comparable").is_some()
    }

    #[test]
    fn rows_are_a_multiset_unless_ordered() {
        let a = answer(&[Some(1), None, Some(1)], &[0.5, 1.5, 0.5]);
        let b = answer(&[None, Some(1), Some(1)], &[1.5, 0.5, 0.5]);
        assert!(!differs(&Comparison::default(), &a, &b));
        assert!(differs(&Comparison { order: vec![0], ..Comparison::default() }, &a, &b));
        let c = answer(&[None, None, Some(1)], &[1.5, 1.5, 0.5]);
        assert!(differs(&Comparison::default(), &a, &c));
    }

    /// The planted fault: rows of different hidden keys that have changed places.
    #[test]
    fn hidden_keys_give_rows_their_places() {
        let keyed = answer(&[Some(5), Some(6), Some(6), None], &[0.0, 1.0, 2.0, 3.0]);
        let tied = answer(&[Some(5), Some(6), Some(6), None], &[0.0, 1.0, 1.0, 3.0]);
        assert_eq!(places(&keyed, 1).expect("comparable"), [0, 1, 2, 3]);
        let how = |places| Comparison { places, ..Comparison::default() };
        let places = places(&tied, 1).expect("comparable");
        assert_eq!(places, [0, 1, 1, 3]);
        let rows = |order: [usize; 4]| {
            answer(&order.map(|at| Some(at as i32)), &order.map(|at| at as f64))
        };
        let stock = rows([0, 1, 2, 3]);
        assert!(!differs(&how(places.clone()), &stock, &rows([0, 2, 1, 3])));
        assert!(differs(&how(places.clone()), &stock, &rows([1, 0, 2, 3])));
        assert!(!differs(&how(vec![]), &stock, &rows([1, 0, 2, 3])));
        let noisy = Comparison { inexact: vec![1], ..how(places) };
        assert!(differs(&noisy, &stock, &rows([0, 1, 3, 2])));
    }

    #[test]
    fn bits_count_in_exact_columns_only() {
        let a = answer(&[Some(1), Some(1)], &[0.1 + 0.2, f64::NAN]);
        let b = answer(&[Some(1), Some(1)], &[f64::NAN, 0.3]);
        assert!(differs(&Comparison::default(), &a, &b));
        assert!(!differs(&Comparison { inexact: vec![1], ..Comparison::default() }, &a, &b));
        let (zero, minus) = (answer(&[None], &[0.0]), answer(&[None], &[-0.0]));
        assert!(differs(&Comparison::default(), &zero, &minus));
        let far = answer(&[Some(1), Some(1)], &[f64::NAN, 0.3001]);
        assert!(differs(&Comparison { inexact: vec![1], ..Comparison::default() }, &a, &far));
    }

    #[test]
    fn schemas_and_row_counts_must_agree() {
        let a = answer(&[Some(1)], &[0.0]);
        assert!(differs(&Comparison::default(), &a, &answer(&[], &[])));
        let mut renamed = a.clone();
        renamed.schema = Arc::new(Schema::new(vec![
            Field::new("j", DataType::Int32, true),
            Field::new("f", DataType::Float64, true),
        ]));
        assert!(differs(&Comparison::default(), &a, &renamed));
    }
}
