//! Morsels: batches whose columns are gathered only when somebody reads them.

use std::sync::{Arc, OnceLock};

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion_common::Result;

/// One column: an array, and the rows of it that the morsel holds.
#[derive(Debug, Clone)]
struct Column {
    base: ArrayRef,
    /// Row numbers into `base`; `None` takes them all. A null index is a null value.
    map: Option<Arc<UInt32Array>>,
    /// Whether `base` holds a dictionary's values: it stays the same for many morsels.
    dictionary: bool,
    gathered: OnceLock<ArrayRef>,
}

impl Column {
    fn whole(base: ArrayRef) -> Self {
        Self { base, map: None, dictionary: false, gathered: OnceLock::new() }
    }

    fn mapped(&self, map: Arc<UInt32Array>) -> Self {
        Self {
            base: Arc::clone(&self.base),
            map: Some(map),
            dictionary: self.dictionary,
            gathered: OnceLock::new(),
        }
    }

    fn array(&self) -> Result<ArrayRef> {
        let Some(map) = &self.map else {
            return Ok(Arc::clone(&self.base));
        };
        if let Some(array) = self.gathered.get() {
            return Ok(Arc::clone(array));
        }
        let array = take(self.base.as_ref(), map.as_ref(), None)?;
        Ok(Arc::clone(self.gathered.get_or_init(|| array)))
    }
}

/// What a source did of the operators behind it already, on a device: how many rows came out of each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Passed {
    /// Rows that the source put out.
    pub source: usize,
    /// Rows that came out of the operators, of as many as were passed.
    pub operators: Vec<usize>,
}

impl Passed {
    /// Adds the rows of another morsel that has passed the same operators.
    pub fn add(&mut self, other: &Self) {
        self.source += other.source;
        for (sum, rows) in self.operators.iter_mut().zip(&other.operators) {
            *sum += rows;
        }
    }
}

/// Groups that came out of one table, in one morsel or several: no key is there twice.
#[derive(Debug, Clone, Default)]
pub struct GroupSet(Arc<()>);

impl PartialEq for GroupSet {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for GroupSet {}

/// A batch of rows on its way through a pipeline.
///
/// Filters and joins only compose row numbers (shared between the columns of one origin);
/// values are gathered by [`Morsel::column`], once, when an expression or a sink reads them.
/// A column that nobody reads is never gathered.
#[derive(Debug, Clone)]
pub struct Morsel {
    rows: usize,
    columns: Vec<Column>,
    /// Set where the rows are an aggregation's partial states: of how many rows.
    states: Option<usize>,
    /// The set of groups that these states are part of, if it has no key twice.
    set: Option<GroupSet>,
    /// Set where the rows have passed some operators already.
    passed: Option<Arc<Passed>>,
}

impl Morsel {
    /// A morsel that holds all rows of `batch`.
    pub fn from_batch(batch: RecordBatch) -> Self {
        let rows = batch.num_rows();
        let (_, columns, _) = batch.into_parts();
        Self::from_arrays(columns, rows)
    }

    /// A morsel of `rows` rows with these columns, each `rows` long.
    pub fn from_arrays(columns: Vec<ArrayRef>, rows: usize) -> Self {
        Self {
            rows,
            columns: columns.into_iter().map(Column::whole).collect(),
            states: None,
            set: None,
            passed: None,
        }
    }

    /// Partial states that `of_rows` rows were made to already, in the columns of the state schema of the
    /// aggregation that the morsel is on its way to: keys, then the states of each function. Operators before
    /// that aggregation let it pass.
    pub fn from_states(columns: Vec<ArrayRef>, rows: usize, of_rows: usize) -> Self {
        Self { states: Some(of_rows), ..Self::from_arrays(columns, rows) }
    }

    /// Of how many rows these are the partial states; none for ordinary rows.
    pub fn states(&self) -> Option<usize> {
        self.states
    }

    /// The same states, as part of a set of groups without a key twice.
    #[must_use]
    pub fn in_set(self, set: GroupSet) -> Self {
        Self { set: Some(set), ..self }
    }

    /// The set of groups that the states are part of, where that has no key twice.
    pub fn set(&self) -> Option<&GroupSet> {
        self.set.as_ref()
    }

    /// The same rows, which have passed the first operators of their pipeline: these let them pass, and count the
    /// rows that came out of them. Of several morsels made of the same rows only one tells the counts.
    #[must_use]
    pub fn with_passed(self, passed: Passed) -> Self {
        Self { passed: Some(Arc::new(passed)), ..self }
    }

    /// Which operators the rows have passed; none for ordinary rows.
    pub fn passed(&self) -> Option<&Passed> {
        self.passed.as_deref()
    }

    /// The same rows for the operator that they have not passed.
    pub(crate) fn entering(self) -> Self {
        Self { passed: None, ..self }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn width(&self) -> usize {
        self.columns.len()
    }

    /// The values of a column, gathered if they were not yet.
    ///
    /// # Errors
    /// Arrow's, e.g. when the gathered strings pass the offset type's limit.
    pub fn column(&self, index: usize) -> Result<ArrayRef> {
        self.columns[index].array()
    }

    /// About how many bytes of the host the rows take: of an array that others take rows of too, their part.
    pub fn host_bytes(&self) -> usize {
        let columns = self.columns.iter().map(|column| {
            let data = column.base.to_data();
            // Of what cannot tell, all of it.
            let whole =
                data.get_slice_memory_size().unwrap_or_else(|_| data.get_array_memory_size());
            match &column.map {
                None => whole,
                Some(map) => {
                    let part = whole.saturating_mul(map.len()) / column.base.len().max(1);
                    part.min(whole) + map.len() * size_of::<u32>()
                }
            }
        });
        columns.sum()
    }

    /// The type of a column.
    pub fn data_type(&self, index: usize) -> &DataType {
        self.columns[index].base.data_type()
    }

    /// The morsel with only these columns, in this order. Gathers nothing.
    pub fn project(&self, indices: &[usize]) -> Self {
        Self {
            rows: self.rows,
            columns: indices.iter().map(|&i| self.columns[i].clone()).collect(),
            states: self.states,
            set: None,
            passed: None,
        }
    }

    /// Puts the columns of `other`, which has as many rows, after this one's.
    #[must_use]
    pub fn zip(mut self, other: Morsel) -> Self {
        debug_assert_eq!(self.rows, other.rows);
        self.columns.extend(other.columns);
        self
    }

    /// Adds a column of as many rows.
    #[must_use]
    pub fn with_column(mut self, array: ArrayRef) -> Self {
        debug_assert_eq!(self.rows, array.len());
        self.columns.push(Column::whole(array));
        self
    }

    /// Adds a column of `values` at `codes`, one per row; a null code is a null value.
    #[must_use]
    pub fn with_codes(mut self, values: ArrayRef, codes: Arc<UInt32Array>) -> Self {
        debug_assert_eq!(self.rows, codes.len());
        let column =
            Column { base: values, map: Some(codes), dictionary: true, gathered: OnceLock::new() };
        self.columns.push(column);
        self
    }

    /// A column's few values and the number of the value of each row, where that is how it is
    /// held and no more than a look-up per row would be saved by gathering it. The values of a
    /// dictionary stay the same for many morsels, which the last part tells.
    pub fn codes(&self, index: usize) -> Option<(&ArrayRef, &Arc<UInt32Array>, bool)> {
        let column = &self.columns[index];
        let map = column.map.as_ref()?;
        let few = if column.dictionary { 8 * map.len() } else { map.len() / 2 };
        (column.base.len() <= few).then_some((&column.base, map, column.dictionary))
    }

    /// The rows for which `mask` is true (null counts as false).
    ///
    /// # Errors
    /// Arrow's.
    pub fn filter(&self, mask: &BooleanArray) -> Result<Self> {
        let kept = mask.true_count();
        if kept == self.rows {
            return Ok(self.clone());
        }
        let indices: Vec<u32> = if mask.null_count() == 0 {
            mask.values().set_indices_u32().collect()
        } else {
            let valid = arrow::compute::prep_null_mask_filter(mask);
            valid.values().set_indices_u32().collect()
        };
        self.select(&Arc::new(UInt32Array::from(indices)))
    }

    /// The rows at `indices`, in that order; repeats are allowed, a null index gives nulls.
    ///
    /// # Errors
    /// Arrow's.
    pub fn select(&self, indices: &Arc<UInt32Array>) -> Result<Self> {
        let mut composed: Vec<(Arc<UInt32Array>, Arc<UInt32Array>)> = Vec::new();
        let mut columns = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            let map = match &column.map {
                None => Arc::clone(indices),
                Some(map) => match composed.iter().find(|(from, _)| Arc::ptr_eq(from, map)) {
                    Some((_, to)) => Arc::clone(to),
                    None => {
                        let to = take(map.as_ref(), indices.as_ref(), None)?;
                        let to = Arc::new(UInt32Array::from(to.to_data()));
                        composed.push((Arc::clone(map), Arc::clone(&to)));
                        to
                    }
                },
            };
            // What is gathered already is gathered again from there: the column may be small.
            let column = match (column.gathered.get(), &column.map) {
                (Some(array), Some(_))
                    if array.len() * 4 < column.base.len() && !column.dictionary =>
                {
                    Column::whole(Arc::clone(array)).mapped(Arc::clone(indices))
                }
                _ => column.mapped(map),
            };
            columns.push(column);
        }
        Ok(Self { rows: indices.len(), columns, states: self.states, set: None, passed: None })
    }

    /// A run of rows.
    ///
    /// # Errors
    /// Arrow's.
    pub fn slice(&self, offset: usize, length: usize) -> Result<Self> {
        if offset == 0 && length == self.rows {
            return Ok(self.clone());
        }
        let mut sliced: Vec<(Arc<UInt32Array>, Arc<UInt32Array>)> = Vec::new();
        let columns = self
            .columns
            .iter()
            .map(|column| match &column.map {
                None => Column::whole(column.base.slice(offset, length)),
                Some(map) => {
                    let to = match sliced.iter().find(|(from, _)| Arc::ptr_eq(from, map)) {
                        Some((_, to)) => Arc::clone(to),
                        None => {
                            let to = Arc::new(map.slice(offset, length));
                            sliced.push((Arc::clone(map), Arc::clone(&to)));
                            to
                        }
                    };
                    column.mapped(to)
                }
            })
            .collect();
        Ok(Self { rows: length, columns, states: self.states, set: None, passed: None })
    }

    /// All columns gathered into a record batch of `schema`.
    ///
    /// # Errors
    /// Arrow's, e.g. when a type or a null contradicts `schema`.
    pub fn into_batch(self, schema: &SchemaRef) -> Result<RecordBatch> {
        self.to_batch(schema)
    }

    /// All columns gathered into a record batch of `schema`.
    ///
    /// # Errors
    /// Arrow's, e.g. when a type or a null contradicts `schema`.
    pub fn to_batch(&self, schema: &SchemaRef) -> Result<RecordBatch> {
        let columns = self.columns.iter().map(Column::array).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
    }
}
