//! Pairs of a join without keys: its condition over one row of a side and many of the other.
//!
//! Every pair is tried, so what a pair costs is all that counts. Row numbers of both sides, the values gathered by them
//! and the pairs that are dropped again took 5 ns a pair. Here the values of one row are literals in the condition, and
//! the columns of the other side are read as they lie: 0.3 ns a comparison of numbers. The side with more rows is
//! read, so that what an evaluation costs whatever its length is shared by many pairs.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::buffer::BooleanBuffer;
use arrow::compute::prep_null_mask_filter;
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion_common::cast::as_boolean_array;
use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion_common::{JoinSide, Result, ScalarValue, internal_err};
use datafusion_expr::ColumnarValue;
use datafusion_physical_expr::expressions::{Column, Literal};
use datafusion_physical_expr::utils::collect_columns;
use datafusion_physical_expr_common::physical_expr::PhysicalExpr;
use datafusion_physical_plan::joins::utils::JoinFilter;

use super::emit::kept_columns;
use super::lookup::Hits;
use super::pairs::{Cursor, Pairs};
use super::state::JoinState;
use crate::Morsel;
use crate::plan::JoinSpec;

/// A build side of as many rows is read for each probe row; one of fewer rows is gone through for many probe rows.
const LONG: usize = 512;
/// Pairs that are tried for several probe rows at a time.
const BLOCK: usize = LONG * LONG;
/// Build rows that are tried at a time.
const SLICE: usize = 1 << 16;
/// Pairs after which somebody looks whether the query was cancelled.
const STEP: usize = 1 << 20;

/// See the module.
pub(super) struct Loops {
    /// The probe row's values go in; the build side is read.
    of_probe_row: Half,
    of_build_row: Half,
    /// The build columns, by their numbers among those that are kept.
    build: Vec<usize>,
    probe: Vec<usize>,
}

/// A condition over the columns of a side, then those of the other, which become literals.
struct Half {
    expr: Arc<dyn PhysicalExpr>,
    schema: SchemaRef,
}

impl Loops {
    /// For the condition of `spec`, which has no keys.
    pub(super) fn new(filter: &JoinFilter, spec: &JoinSpec) -> Result<Self> {
        let kept = kept_columns(spec);
        let read = collect_columns(filter.expression());
        let of_side = |side| {
            let columns = filter.column_indices().iter().enumerate();
            let columns = columns.filter(|(_, column)| column.side == side);
            let read = columns.filter(|(at, _)| read.iter().any(|column| column.index() == *at));
            read.map(|(at, column)| (at, column.index)).unzip()
        };
        let (left, build): (Vec<usize>, Vec<usize>) = of_side(JoinSide::Left);
        let (right, probe): (Vec<usize>, Vec<usize>) = of_side(JoinSide::Right);
        let place = |column| kept.partition_point(|&index| index < column);
        Ok(Self {
            of_probe_row: Half::new(filter, &left, &right)?,
            of_build_row: Half::new(filter, &right, &left)?,
            build: build.into_iter().map(place).collect(),
            probe,
        })
    }

    /// The pairs that meet the condition, from where the cursor is on: some thousands, or those among some thousands.
    /// `once`: one a probe row is enough. Nothing, and the cursor where it was, where a build column is in parts.
    pub(super) fn pairs(
        &self,
        state: &JoinState,
        probe: &Morsel,
        hits: &Hits,
        cursor: &mut Cursor,
        limits: &Limits<'_>,
    ) -> Result<Option<Pairs>> {
        let columns = self.build.iter().map(|&kept| state.columns.whole(kept));
        let Some(build) = columns.collect::<Option<Result<Vec<_>>>>() else { return Ok(None) };
        let build = build?;
        let probe = self.probe.iter().map(|&at| probe.column(at)).collect::<Result<Vec<_>>>()?;
        let rows = state.rows as usize;
        match rows >= LONG {
            true => self.long(&build, &probe, rows, hits, cursor, limits).map(Some),
            false => self.block(&build, &probe, rows, hits, cursor, limits).map(Some),
        }
    }

    /// Probe row by probe row.
    fn long(
        &self,
        build: &[ArrayRef],
        probe: &[ArrayRef],
        rows: usize,
        hits: &Hits,
        cursor: &mut Cursor,
        limits: &Limits<'_>,
    ) -> Result<Pairs> {
        let mut pairs = Pairs::default();
        let mut tried = 0;
        while let Some(&row) = hits.probe.get(cursor.hit) {
            if pairs.probe.len() >= limits.pairs || tried >= STEP {
                break;
            }
            let skipped = (limits.skip)(row);
            let mut found = false;
            if !skipped {
                let condition = self.of_probe_row.at(probe, row as usize)?;
                while (cursor.within as usize) < rows && !(found && limits.once) {
                    let from = cursor.within as usize;
                    let len = SLICE.min(rows - from);
                    let mask = self.of_probe_row.over(&condition, build, from, len)?;
                    let met = append(&mask, from as u32, &mut pairs.build);
                    pairs.probe.resize(pairs.build.len(), row);
                    found |= met;
                    tried += len;
                    cursor.within += len as u32;
                    if pairs.probe.len() >= limits.pairs {
                        break;
                    }
                }
            }
            if skipped || cursor.within as usize >= rows || (found && limits.once) {
                cursor.hit += 1;
                cursor.within = 0;
            }
        }
        Ok(pairs)
    }

    /// Build row by build row, over a block of probe rows; the pairs come in the order of probe rows all the same.
    fn block(
        &self,
        build: &[ArrayRef],
        probe: &[ArrayRef],
        rows: usize,
        hits: &Hits,
        cursor: &mut Cursor,
        limits: &Limits<'_>,
    ) -> Result<Pairs> {
        let all = &hits.probe[cursor.hit..];
        let block = (BLOCK / rows.max(1)).min(all.len());
        let Some((&first, &last)) = all.first().zip(all[..block].last()) else {
            return Ok(Pairs::default());
        };
        if (last - first) as usize + 1 != block {
            return internal_err!("a join without keys that does not try all rows");
        }
        let mut masks = Vec::with_capacity(rows);
        let mut starts = vec![0_u32; block + 1];
        for row in 0..rows {
            let condition = self.of_build_row.at(build, row)?;
            let mask = self.of_build_row.over(&condition, probe, first as usize, block)?;
            mask.set_indices().for_each(|at| starts[at + 1] += 1);
            masks.push(mask);
        }
        (0..block).for_each(|at| starts[at + 1] += starts[at]);
        let total = starts[block] as usize;
        let mut pairs = Pairs { build: vec![0; total], probe: vec![0; total] };
        for (row, mask) in masks.iter().enumerate() {
            for at in mask.set_indices() {
                let place = starts[at] as usize;
                starts[at] += 1;
                pairs.build[place] = row as u32;
                pairs.probe[place] = first + at as u32;
            }
        }
        cursor.hit += block;
        pairs.retain(|_, probe| !(limits.skip)(probe));
        Ok(pairs)
    }
}

/// Appends the numbers of the rows in a mask, the first of which is `from`; whether there are any.
fn append(mask: &BooleanBuffer, from: u32, rows: &mut Vec<u32>) -> bool {
    let before = rows.len();
    // Every row is written, and only some are kept.
    rows.resize(before + mask.len(), 0);
    let mut count = before;
    let chunks = mask.bit_chunks();
    let words = chunks.iter().chain([chunks.remainder_bits()]);
    for (first, mut word) in (from..).step_by(64).zip(words) {
        if word == u64::MAX {
            let all = &mut rows[count..count + 64];
            all.iter_mut().zip(first..).for_each(|(row, at)| *row = at);
            count += 64;
            continue;
        }
        while word != 0 {
            rows[count] = first + word.trailing_zeros();
            word &= word - 1;
            count += 1;
        }
    }
    rows.truncate(count);
    count > before
}

/// How many pairs are wanted, and of which probe rows.
pub(super) struct Limits<'a> {
    /// Enough pairs, roughly.
    pub(super) pairs: usize,
    /// Whether one pair of a probe row is as good as all of them.
    pub(super) once: bool,
    /// Probe rows that no pair is wanted of.
    pub(super) skip: &'a dyn Fn(u32) -> bool,
    /// Build rows that none is wanted of.
    pub(super) done: Option<&'a dyn Fn(u32) -> bool>,
}

impl Half {
    /// Of the filter's columns: those that are read, and those of the other side's row.
    fn new(filter: &JoinFilter, read: &[usize], row: &[usize]) -> Result<Self> {
        let schema = filter.schema();
        let order: Vec<usize> = read.iter().chain(row).copied().collect();
        let expr = Arc::clone(filter.expression()).transform_up(|node| {
            let Some(column) = node.downcast_ref::<Column>() else {
                return Ok(Transformed::no(node));
            };
            match order.iter().position(|&at| at == column.index()) {
                Some(at) => {
                    let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(column.name(), at));
                    Ok(Transformed::yes(column))
                }
                None => internal_err!("the condition has no column {column}"),
            }
        });
        let fields: Vec<Field> = read.iter().map(|&at| schema.field(at).clone()).collect();
        Ok(Self { expr: expr.data()?, schema: Arc::new(Schema::new(fields)) })
    }

    /// The condition for a row of the other side.
    fn at(&self, columns: &[ArrayRef], row: usize) -> Result<Arc<dyn PhysicalExpr>> {
        let own = self.schema.fields().len();
        let fixed = Arc::clone(&self.expr).transform_up(|node| {
            let Some(column) = node.downcast_ref::<Column>().filter(|c| c.index() >= own) else {
                return Ok(Transformed::no(node));
            };
            let Some(array) = columns.get(column.index() - own) else {
                return internal_err!("the condition has no column {column}");
            };
            let value = ScalarValue::try_from_array(array, row)?;
            let literal: Arc<dyn PhysicalExpr> = Arc::new(Literal::new(value));
            Ok(Transformed::yes(literal))
        });
        fixed.data()
    }

    /// The rows that meet it, of `len` rows from `from` on.
    fn over(
        &self,
        condition: &Arc<dyn PhysicalExpr>,
        columns: &[ArrayRef],
        from: usize,
        len: usize,
    ) -> Result<BooleanBuffer> {
        let columns = columns.iter().map(|column| column.slice(from, len)).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(len));
        let schema = Arc::clone(&self.schema);
        let batch = RecordBatch::try_new_with_options(schema, columns, &options)?;
        let mask = match condition.evaluate(&batch)? {
            ColumnarValue::Scalar(ScalarValue::Boolean(Some(true))) => {
                return Ok(BooleanBuffer::new_set(len));
            }
            ColumnarValue::Scalar(ScalarValue::Boolean(_) | ScalarValue::Null) => {
                return Ok(BooleanBuffer::new_unset(len));
            }
            value => value.into_array(len)?,
        };
        let mask = as_boolean_array(&mask)?;
        Ok(match mask.null_count() {
            0 => mask.values().clone(),
            _ => BooleanArray::into_parts(prep_null_mask_filter(mask)).0,
        })
    }
}
