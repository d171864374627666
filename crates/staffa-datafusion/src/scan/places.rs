//! Where rows lie, and reading some of their columns by that.
//!
//! A place is a number: of a row group among those that lanes have begun to read, and of the row in it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, UInt32Array, UInt64Array};
use arrow::compute::{concat, take};
use datafusion::common::{Result, internal_datafusion_err, internal_err};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::physical_plan::metrics::MetricBuilder;
use parking_lot::Mutex;
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use staffa_engine::RunContext;

use super::group::GroupStream;
use super::open::{GroupToRead, OpenFile, Opener};

/// Bits of a row's number in its row group.
const ROW_BITS: u32 = 40;

/// Row groups by number. Files are named, not held open: there may be many.
#[derive(Default)]
pub(super) struct Places(Mutex<Vec<Place>>);

#[derive(Clone)]
struct Place {
    partition: usize,
    file: PartitionedFile,
    group: usize,
}

impl Places {
    /// The place of the first row of a row group.
    ///
    /// # Errors
    /// Internal ones: more row groups or rows than there can be.
    pub(super) fn of(&self, file: &OpenFile, group: usize) -> Result<u64> {
        let mut places = self.0.lock();
        let rows = file.reader_metadata.metadata().row_group(group).num_rows();
        let number = places.len() as u64;
        if rows >> ROW_BITS != 0 || number >> (u64::BITS - ROW_BITS) != 0 {
            return internal_err!("row group {number} of {rows} rows has no place");
        }
        places.push(Place { partition: file.partition, file: file.file.clone(), group });
        Ok(number << ROW_BITS)
    }

    fn get(&self, number: u64) -> Result<Place> {
        let places = self.0.lock();
        let place = usize::try_from(number).ok().and_then(|number| places.get(number));
        place.cloned().ok_or_else(|| internal_datafusion_err!("no row group {number}"))
    }
}

/// The columns `columns` of the scan at `places`, in their order.
///
/// # Errors
/// Reading and decoding.
pub(super) async fn fetch(
    opener: Arc<Opener>,
    context: Arc<RunContext>,
    places: UInt64Array,
    columns: Vec<usize>,
) -> Result<Vec<ArrayRef>> {
    let Some(known) = &opener.places else {
        return internal_err!("a scan that was not asked for places");
    };
    let mut sorted: Vec<u64> = places.values().to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let fetched = MetricBuilder::new(&opener.metrics).global_counter("late_rows");
    fetched.add(sorted.len());
    let mut arrays: Vec<Vec<ArrayRef>> = vec![Vec::new(); columns.len()];
    let mut open: Option<(PartitionedFile, Arc<OpenFile>)> = None;
    for rows in sorted.chunk_by(|a, b| a >> ROW_BITS == b >> ROW_BITS) {
        context.cancel.check()?;
        let place = known.get(rows[0] >> ROW_BITS)?;
        let same = |file: &PartitionedFile| {
            file.object_meta.location == place.file.object_meta.location
                && file.partition_values == place.file.partition_values
        };
        let file = match &open {
            Some((of, file)) if same(of) => Arc::clone(file),
            _ => {
                let file = opener.reopen(place.partition, place.file.clone()).await?;
                open = Some((place.file.clone(), Arc::clone(&file)));
                file
            }
        };
        let exprs = columns.iter().map(|&column| file.columns.get(column).cloned());
        let Some(exprs) = exprs.collect::<Option<Vec<_>>>() else {
            return internal_err!("a column that the scan does not have");
        };
        let selected = selection(rows.iter().map(|row| row & ((1 << ROW_BITS) - 1)));
        let group = GroupToRead { index: place.group, rows: Some(selected) };
        let mut stream = GroupStream::riding(file, group, &exprs, &context)?;
        let mut count = 0;
        while let Some(morsel) = stream.next().await? {
            count += morsel.rows();
            for (at, arrays) in arrays.iter_mut().enumerate() {
                arrays.push(morsel.column(at)?);
            }
        }
        if count != rows.len() {
            return internal_err!("{count} rows at {} places", rows.len());
        }
    }
    let order = places.values().iter().map(|place| match sorted.binary_search(place) {
        // Each is there; a top-K has fewer rows than u32::MAX.
        Ok(at) | Err(at) => at as u32,
    });
    let order = UInt32Array::from_iter_values(order);
    let column = |arrays: Vec<ArrayRef>| -> Result<ArrayRef> {
        let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
        Ok(take(concat(&arrays)?.as_ref(), &order, None)?)
    };
    arrays.into_iter().map(column).collect()
}

/// These rows, which rise.
fn selection(rows: impl Iterator<Item = u64>) -> RowSelection {
    let mut next = 0;
    let mut parts = Vec::new();
    for row in rows {
        let skipped = usize::try_from(row - next).unwrap_or(usize::MAX);
        if skipped > 0 {
            parts.push(RowSelector::skip(skipped));
        }
        parts.push(RowSelector::select(1));
        next = row + 1;
    }
    RowSelection::from(parts)
}
