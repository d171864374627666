//! A row group as morsels: what predicates read first, the rest for the rows that pass.

use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{PhysicalExpr, conjunction};
use parking_lot::Mutex;
use staffa_engine::bound::{BoundExpr, through};
use staffa_engine::cpu::predicate::Predicate;
use staffa_engine::{Morsel, RunContext};
use staffa_parquet::Selection;

use super::columns::{ArrowColumns, ColumnSet, OwnColumns};
use super::open::{GroupToRead, OpenFile};
use super::prune::ruled_out;
use super::rows::Cursor;

/// Below one row in so many, the columns that no predicate reads are decoded for the rows that
/// pass only. Above, decoding all of a page's values at once is faster than jumping between them.
pub(super) const SPARSE: usize = 8;

/// Rows of a row group that a lane is about to read; another lane may take some of them off.
pub(super) struct Part {
    file: Arc<OpenFile>,
    group: GroupToRead,
    early: Arc<ColumnSet>,
    late: Arc<ColumnSet>,
    /// Columns that only arrow-rs decodes: from the first row on, so that nothing can be taken off.
    arrow: Vec<usize>,
    left: Mutex<Cursor>,
}

impl Part {
    /// All selected rows of a row group.
    fn new(
        file: Arc<OpenFile>,
        group: GroupToRead,
        tests: Option<&Arc<dyn PhysicalExpr>>,
        projection: &[Arc<dyn PhysicalExpr>],
    ) -> Self {
        let tested = roots(tests.into_iter());
        let all = roots(projection.iter().chain(tests));
        let (own, arrow): (Vec<usize>, Vec<usize>) =
            all.iter().partition(|&&root| file.decodes(root));
        let (early, late): (Vec<usize>, Vec<usize>) =
            own.iter().partition(|root| tested.binary_search(root).is_ok());
        let all_rows = file.reader_metadata.metadata().row_group(group.index).num_rows();
        Self {
            left: Mutex::new(Cursor::new(all_rows, group.rows.as_ref())),
            early: Arc::new(ColumnSet::new(early, true)),
            late: Arc::new(ColumnSet::new(late, false)),
            arrow,
            group,
            file,
        }
    }

    /// Fetches what reading it will ask for: the columns of the tests, the others too where `all`.
    /// An error is left to whoever reads.
    pub(super) async fn prefetch(&self, all: bool) {
        let Self { file, group, early, late, .. } = self;
        let early = early.fetch(file, group).await.is_ok();
        if early && all {
            let _ = late.fetch(file, group).await;
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
    /// Over the columns of `early`, which come first in a morsel.
    tests: Option<Predicate>,
    early: OwnColumns,
    late: OwnColumns,
    /// What only arrow-rs decodes; read in step with the others.
    arrow: Option<ArrowColumns>,
    /// The output's columns over early, late and arrow columns.
    projection: Vec<BoundExpr>,
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
        let part = Part::new(Arc::clone(&file), group, tests.as_ref(), &file.projection);
        Self::over(part, tests.as_ref(), &file.projection, context)
    }

    /// Reads a row group for some expressions, without tests.
    ///
    /// # Errors
    /// Expressions that do not bind.
    pub(super) fn riding(
        file: Arc<OpenFile>,
        group: GroupToRead,
        exprs: &[Arc<dyn PhysicalExpr>],
        context: &RunContext,
    ) -> Result<Self> {
        Self::over(Part::new(file, group, None, exprs), None, exprs, context)
    }

    /// Reads a part of a row group.
    ///
    /// # Errors
    /// Expressions that do not bind.
    pub(super) fn of(part: Part, context: &RunContext) -> Result<Self> {
        let file = Arc::clone(&part.file);
        Self::over(part, tests(&file)?.as_ref(), &file.projection, context)
    }

    fn over(
        part: Part,
        tests: Option<&Arc<dyn PhysicalExpr>>,
        projection: &[Arc<dyn PhysicalExpr>],
        context: &RunContext,
    ) -> Result<Self> {
        let Part { file, group, early, late, arrow, .. } = &part;
        let order: Vec<usize> =
            early.roots().iter().chain(late.roots()).chain(arrow).copied().collect();
        let schema = file.schema.project(&order)?;
        let bind = |expr| BoundExpr::new(&onto(expr, &order)?, &schema);
        let projection = projection.iter().map(bind).collect::<Result<_>>()?;
        let tests =
            tests.map(|tests| Predicate::new(&onto(tests, &order)?, &schema)).transpose()?;
        let arrow = match arrow.is_empty() {
            true => None,
            false => Some(ArrowColumns::new(file, group, arrow.clone(), context.morsel_rows)?),
        };
        Ok(Self {
            morsel_rows: context.morsel_rows,
            tests,
            early: OwnColumns::new(early),
            late: OwnColumns::new(late),
            arrow,
            projection,
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
        let early = self.early.decode(file, group, rows).await?;
        let Some(tests) = &self.tests else {
            let late = self.late.decode(file, group, rows).await?;
            return Ok(Some(early.zip(late).zip(arrow)));
        };
        // Tests over columns that only arrow-rs decodes need all columns in their places.
        let needs_all = tests.columns().last().is_some_and(|&last| last >= early.width());
        if needs_all {
            let late = self.late.decode(file, group, rows).await?;
            let passed = tests.filter(&early.zip(late).zip(arrow))?;
            return Ok((passed.rows() > 0).then_some(passed));
        }
        let mask = tests.mask(&early)?;
        let kept = mask.true_count();
        if kept == 0 {
            return Ok(None);
        }
        if kept >= count / SPARSE {
            let late = self.late.decode(file, group, rows).await?;
            return early.zip(late).zip(arrow).filter(&mask).map(Some);
        }
        let late = self.late.decode(file, group, &rows.filter(mask.values())).await?;
        Ok(Some(early.filter(&mask)?.zip(late).zip(arrow.filter(&mask)?)))
    }

    fn project(&self, read: &Morsel) -> Result<Morsel> {
        let columns: Option<Vec<usize>> =
            self.projection.iter().map(BoundExpr::as_column).collect();
        if let Some(columns) = columns {
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
        Ok(morsel)
    }
}

/// What every row must pass, over the file's columns: the scan's own predicate, where it is one
/// for rows, and the pipeline's filter.
pub(super) fn tests(file: &OpenFile) -> Result<Option<Arc<dyn PhysicalExpr>>> {
    let filter = file.opener.filter.as_ref().map(|filter| through(filter, &file.columns));
    let filter = filter.transpose()?;
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
