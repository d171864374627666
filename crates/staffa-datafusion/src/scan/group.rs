//! A row group as morsels: what predicates read first, the rest for the rows that pass.

use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array, UInt64Array};
use arrow::datatypes::Schema;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{PhysicalExpr, conjunction};
use datafusion::physical_expr_common::physical_expr::snapshot_generation;
use parking_lot::Mutex;
use staffa_engine::bound::{BoundExpr, through};
use staffa_engine::cpu::predicate::{Predicate, infallible};
use staffa_engine::{Morsel, RunContext};
use staffa_parquet::Selection;

use super::advisory::{self, Advisory, Numbered};
use super::columns::{ArrowColumns, ColumnSet, OwnColumns};
use super::left::Left;
use super::open::{GroupToRead, OpenFile};
use super::prune::ruled_out;
use super::rows::Cursor;

/// Rows of a row group that a lane is about to read; another lane may take some of them off.
pub(super) struct Part {
    file: Arc<OpenFile>,
    group: GroupToRead,
    early: Arc<ColumnSet>,
    /// What dynamic filters read.
    middle: Arc<ColumnSet>,
    late: Arc<ColumnSet>,
    /// Columns that only arrow-rs decodes: from the first row on, so that nothing can be taken off.
    arrow: Vec<usize>,
    dynamic: Arc<[Numbered]>,
    left: Mutex<Cursor>,
}

impl Part {
    /// All selected rows of a row group; `advised`, but for those that dynamic filters keep out.
    fn new(
        file: Arc<OpenFile>,
        group: GroupToRead,
        tests: Option<&Arc<dyn PhysicalExpr>>,
        projection: &[Arc<dyn PhysicalExpr>],
        advised: bool,
    ) -> Self {
        let tested = roots(tests.into_iter());
        let all = roots(projection.iter().chain(tests));
        let (own, arrow): (Vec<usize>, Vec<usize>) =
            all.iter().partition(|&&root| file.decodes(root));
        let (early, rest): (Vec<usize>, Vec<usize>) =
            own.iter().partition(|root| tested.binary_search(root).is_ok());
        let dynamic = if advised { advisory::filters(&file, &own) } else { Vec::new() };
        let watched = roots(dynamic.iter().map(|(_, filter)| filter));
        let (middle, late): (Vec<usize>, Vec<usize>) =
            rest.iter().partition(|root| watched.binary_search(root).is_ok());
        let all_rows = file.reader_metadata.metadata().row_group(group.index).num_rows();
        Self {
            left: Mutex::new(Cursor::new(all_rows, group.rows.as_ref())),
            early: Arc::new(ColumnSet::new(early, true)),
            middle: Arc::new(ColumnSet::new(middle, true)),
            dynamic: dynamic.into(),
            late: Arc::new(ColumnSet::new(late, false)),
            arrow,
            group,
            file,
        }
    }

    /// Fetches what reading it will ask for: the columns of the tests, the others too where `all`.
    /// An error is left to whoever reads.
    pub(super) async fn prefetch(&self, all: bool) {
        let Self { file, group, early, middle, late, .. } = self;
        let early =
            early.prefetch(file, group).await.is_ok() && middle.prefetch(file, group).await.is_ok();
        if early && all {
            let _ = late.prefetch(file, group).await;
        }
    }

    /// Whether reading it asked for more than the columns of the tests.
    pub(super) fn needed_all(&self) -> bool {
        self.late.is_fetched()
    }

    /// Rows that can be taken off.
    pub(super) fn left(&self) -> u64 {
        if self.arrow.is_empty() { self.left.lock().len() } else { 0 }
    }

    /// The second half of the rows that nobody has begun to read, unless it has fewer than `least`.
    pub(super) fn split(&self, least: u64) -> Option<Self> {
        if !self.arrow.is_empty() {
            return None;
        }
        let taken = self.left.lock().split(least)?;
        Some(Self {
            left: Mutex::new(taken),
            early: Arc::clone(&self.early),
            middle: Arc::clone(&self.middle),
            dynamic: Arc::clone(&self.dynamic),
            late: Arc::clone(&self.late),
            arrow: Vec::new(),
            group: self.group.clone(),
            file: Arc::clone(&self.file),
        })
    }
}

/// What a lane reads of one row group.
pub(super) struct GroupStream {
    part: Arc<Part>,
    morsel_rows: usize,
    /// Over the columns of `early` and those of arrow-rs, which come first in a morsel.
    tests: Option<Predicate>,
    /// Over those and the columns of `middle`, which come next.
    advisory: Advisory,
    /// The same over the columns of `middle` alone, where it may come first: all that it reads is there, and the tests
    /// raise no error that one of them could miss.
    before: Option<Advisory>,
    early: OwnColumns,
    middle: OwnColumns,
    late: OwnColumns,
    /// What only arrow-rs decodes; read in step with the others.
    arrow: Option<ArrowColumns>,
    /// The output's columns over all of them.
    projection: Vec<BoundExpr>,
    /// Set where the scan's predicate may come to rule out what is left.
    watch: Option<Watch>,
    /// The place of the row group's first row, where the scan is asked for places.
    first_place: Option<u64>,
}

/// When the scan's predicate was last asked about the row group that is being read.
struct Watch {
    generation: u64,
    morsels: u32,
}

impl Watch {
    /// Whether the predicate has changed since, and rules the row group out by now. Not asked at each morsel: a bound
    /// moves often at first.
    fn ends(&mut self, file: &OpenFile, group: usize) -> bool {
        self.morsels += 1;
        if !self.morsels.is_power_of_two() && !self.morsels.is_multiple_of(8) {
            return false;
        }
        let generation = file.predicate.as_ref().map_or(0, snapshot_generation);
        if generation == self.generation {
            return false;
        }
        self.generation = generation;
        ruled_out(file, group)
    }
}

impl GroupStream {
    /// Reads a row group; does no I/O yet.
    ///
    /// # Errors
    /// Expressions that do not bind.
    pub(super) fn new(
        file: Arc<OpenFile>,
        group: GroupToRead,
        context: &RunContext,
    ) -> Result<Self> {
        let tests = tests(&file)?;
        let part = Part::new(Arc::clone(&file), group, tests.as_ref(), &file.projection, true);
        Self::watched(part, tests.as_ref(), context)
    }

    /// Reads all rows of a row group for some expressions, without tests.
    ///
    /// # Errors
    /// Expressions that do not bind.
    pub(super) fn riding(
        file: Arc<OpenFile>,
        group: GroupToRead,
        exprs: &[Arc<dyn PhysicalExpr>],
        context: &RunContext,
    ) -> Result<Self> {
        Self::over(Part::new(file, group, None, exprs, false), None, exprs, context)
    }

    /// Reads a part of a row group.
    ///
    /// # Errors
    /// Expressions that do not bind.
    pub(super) fn of(part: Part, context: &RunContext) -> Result<Self> {
        let tests = tests(&part.file)?;
        Self::watched(part, tests.as_ref(), context)
    }

    fn watched(
        part: Part,
        tests: Option<&Arc<dyn PhysicalExpr>>,
        context: &RunContext,
    ) -> Result<Self> {
        let file = Arc::clone(&part.file);
        // As it was when the row group was chosen.
        let generation = file.predicate.as_ref().map_or(0, snapshot_generation);
        let watch = file.opener.advised.then_some(Watch { generation, morsels: 0 });
        let places = file.opener.places.as_ref();
        let first_place = places.map(|places| places.of(&file, part.group.index)).transpose()?;
        Ok(Self { watch, first_place, ..Self::over(part, tests, &file.projection, context)? })
    }

    fn over(
        part: Part,
        tests: Option<&Arc<dyn PhysicalExpr>>,
        projection: &[Arc<dyn PhysicalExpr>],
        context: &RunContext,
    ) -> Result<Self> {
        let Part { file, group, early, middle, late, arrow, dynamic, .. } = &part;
        let first = early.roots().iter().chain(arrow);
        let order: Vec<usize> = first.chain(middle.roots()).chain(late.roots()).copied().collect();
        let schema = file.schema.project(&order)?;
        let bind = |expr| BoundExpr::new(&onto(expr, &order)?, &schema);
        let projection = projection.iter().map(bind).collect::<Result<_>>()?;
        let reads = roots(dynamic.iter().map(|(_, filter)| filter));
        let swaps = arrow.is_empty()
            && tests.is_some_and(infallible)
            && reads.iter().all(|root| middle.roots().contains(root));
        let before = match swaps && !dynamic.is_empty() {
            true => {
                let schema = Arc::new(file.schema.project(middle.roots())?);
                let filters = onto_all(dynamic, middle.roots())?;
                Some(Advisory::new(filters, schema, &file.opener.advice))
            }
            false => None,
        };
        let tests = tests.map(|tests| predicate(file, tests, &order, &schema)).transpose()?;
        let arrow = match arrow.is_empty() {
            true => None,
            false => Some(ArrowColumns::new(file, group, arrow.clone(), context.morsel_rows)?),
        };
        Ok(Self {
            morsel_rows: context.morsel_rows,
            tests,
            advisory: Advisory::new(
                onto_all(dynamic, &order)?,
                Arc::new(schema),
                &file.opener.advice,
            ),
            before,
            early: OwnColumns::new(early),
            middle: OwnColumns::new(middle),
            late: OwnColumns::new(late),
            arrow,
            projection,
            watch: None,
            first_place: None,
            part: Arc::new(part),
        })
    }

    /// Whether the scan's predicate, which may have changed, rules the row group out by now.
    pub(super) fn ruled_out(&self) -> bool {
        let Part { file, group, .. } = &*self.part;
        ruled_out(file, group.index)
    }

    /// The rows that it reads.
    pub(super) fn part(&self) -> &Arc<Part> {
        &self.part
    }

    /// The next morsel; `None` at the row group's end.
    ///
    /// # Errors
    /// Reading, decoding, evaluating.
    pub(super) async fn next(&mut self) -> Result<Option<Morsel>> {
        loop {
            let Part { file, group, left, .. } = &*self.part;
            let is_some = left.lock().len() > 0;
            if is_some && self.watch.as_mut().is_some_and(|watch| watch.ends(file, group.index)) {
                // Nobody else need take it either.
                left.lock().clear();
                return Ok(None);
            }
            let batch = match &mut self.arrow {
                Some(arrow) => match arrow.next(&self.part.file).await? {
                    Some(batch) => Some(batch),
                    None => return Ok(None),
                },
                None => None,
            };
            let wanted = batch.as_ref().map_or(self.morsel_rows, RecordBatch::num_rows);
            let rows = self.part.left.lock().take(wanted);
            if rows.is_empty() {
                return Ok(None);
            }
            if let Some(morsel) = self.read(&rows, batch).await? {
                return self.project(&morsel).map(Some);
            }
        }
    }

    /// The columns of those of `rows` that pass the tests; `None` when none does.
    async fn read(
        &mut self,
        rows: &Selection,
        batch: Option<RecordBatch>,
    ) -> Result<Option<Morsel>> {
        let count = rows.len() as usize;
        let arrow = match batch {
            Some(batch) if batch.num_rows() != count => {
                return internal_err!("{} rows by arrow-rs, not {count}", batch.num_rows());
            }
            Some(batch) => Morsel::from_batch(batch),
            None => Morsel::from_arrays(Vec::new(), count),
        };
        let Part { file, group, .. } = &*self.part;
        let advice = &file.opener.advice;
        let left = match &mut self.before {
            Some(before) if before.comes_first() => {
                let middle = self.middle.decode(file, group, rows).await?;
                let mut left = Left::all(middle, rows.clone());
                before.narrow(&mut left)?;
                if left.any() {
                    let early = self.early.decode(file, group, &left.rows).await?;
                    left.morsel = early.zip(left.morsel);
                    left.keep_tested(self.tests.as_ref(), advice)?;
                }
                left
            }
            _ => {
                let early = self.early.decode(file, group, rows).await?.zip(arrow);
                let mut left = Left::all(early, rows.clone());
                left.keep_tested(self.tests.as_ref(), advice)?;
                if self.advisory.watches() && left.any() {
                    let middle = self.middle.decode(file, group, &left.rows).await?;
                    left.morsel = left.morsel.zip(middle);
                    self.advisory.narrow(&mut left)?;
                }
                left
            }
        };
        if !left.any() {
            return Ok(None);
        }
        let late = self.late.decode(file, group, &left.rows).await?;
        let mut read = left.morsel.zip(late);
        if let Some(first) = self.first_place {
            let rows = left.rows.ranges().iter().cloned().flatten();
            let places = UInt64Array::from_iter_values(rows.map(|row| first + row));
            read = read.with_column(Arc::new(places));
        }
        match &left.mask {
            Some(mask) => read.filter(mask).map(Some),
            None => Ok(Some(read)),
        }
    }

    fn project(&self, read: &Morsel) -> Result<Morsel> {
        let columns: Option<Vec<usize>> =
            self.projection.iter().map(BoundExpr::as_column).collect();
        let place = self.first_place.map(|_| read.width() - 1);
        if let Some(columns) = columns {
            let columns: Vec<usize> = columns.into_iter().chain(place).collect();
            return Ok(read.project(&columns));
        }
        let mut morsel = Morsel::from_arrays(Vec::new(), read.rows());
        for expr in &self.projection {
            morsel = match expr.as_column() {
                Some(column) => morsel.zip(read.project(&[column])),
                None => match expr.evaluate(read)? {
                    // A partition's value, or a column that the file does not have: one value and
                    // as many references to it.
                    ColumnarValue::Scalar(value) => {
                        let codes = UInt32Array::from(vec![0; read.rows()]);
                        morsel.with_codes(value.to_array_of_size(1)?, Arc::new(codes))
                    }
                    ColumnarValue::Array(array) => morsel.with_column(array),
                },
            };
        }
        Ok(match place {
            Some(place) => morsel.zip(read.project(&[place])),
            None => morsel,
        })
    }
}

/// The pipeline's filter, over the file's columns.
fn filter(file: &OpenFile) -> Result<Option<Arc<dyn PhysicalExpr>>> {
    file.opener.filter.as_ref().map(|filter| through(filter, &file.columns)).transpose()
}

/// `tests`, which are those of `file`, bound to the columns `order` of `schema`. DataFusion's reader tests the
/// conjuncts of a row predicate one after the other, each on the rows that are left, and errs on no others.
fn predicate(
    file: &OpenFile,
    tests: &Arc<dyn PhysicalExpr>,
    order: &[usize],
    schema: &Schema,
) -> Result<Predicate> {
    let Some(rows) = file.row_predicate() else {
        return Predicate::new(&onto(tests, order)?, schema);
    };
    let rows = Predicate::row_filter(&onto(rows, order)?, schema)?;
    Ok(match filter(file)? {
        Some(filter) => rows.then(Predicate::new(&onto(&filter, order)?, schema)?),
        None => rows,
    })
}

/// What every row must pass, over the file's columns: the scan's own predicate, where it is one
/// for rows, and the pipeline's filter.
pub(super) fn tests(file: &OpenFile) -> Result<Option<Arc<dyn PhysicalExpr>>> {
    let filter = filter(file)?;
    let tests: Vec<_> = file.row_predicate().cloned().into_iter().chain(filter).collect();
    Ok((!tests.is_empty()).then(|| conjunction(tests)))
}

/// The columns that some expressions read, ascending.
pub(super) fn roots<'a>(exprs: impl Iterator<Item = &'a Arc<dyn PhysicalExpr>>) -> Vec<usize> {
    let mut roots: Vec<usize> =
        exprs.flat_map(collect_columns).map(|column| column.index()).collect();
    roots.sort_unstable();
    roots.dedup();
    roots
}

/// Each of `filters` over the columns `order`.
fn onto_all(filters: &[Numbered], order: &[usize]) -> Result<Vec<Numbered>> {
    filters.iter().map(|(at, filter)| Ok((*at, onto(filter, order)?))).collect()
}

/// `expr` over the columns `order` of what it is written for.
fn onto(expr: &Arc<dyn PhysicalExpr>, order: &[usize]) -> Result<Arc<dyn PhysicalExpr>> {
    Arc::clone(expr)
        .transform_up(|node| {
            let Some(column) = node.downcast_ref::<Column>() else {
                return Ok(Transformed::no(node));
            };
            let Some(at) = order.iter().position(|&root| root == column.index()) else {
                return internal_err!("column {column} is not read");
            };
            let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(column.name(), at));
            Ok(Transformed::yes(column))
        })
        .data()
}
