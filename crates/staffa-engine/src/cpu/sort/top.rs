//! The first K rows of what a lane has seen.
//!
//! A morsel's keys are evaluated first. Rows at or behind the bound are dropped before any other
//! column is gathered; of the rest at most K are kept, with an entry each. Once there are more
//! than K entries the K smallest are selected (in linear time, no heap), and the K-th is the new
//! bound. Rows that fell out stay in their batches until they are more than those that count.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::row::Rows;
use datafusion_common::{Result, ScalarValue};

use super::Shared;
use super::bound::{Bound, SharedBound};
use super::entry::{Entry, Narrow, Wide, place, position};
use super::gather::Gather;
use super::keys::SortKeys;
use crate::Morsel;
use crate::cpu::compact::release_views;

/// Up to this K the bound is tightened whenever a row gets in; beyond, when half of K did.
const EAGER: usize = 1024;
/// Rows that fell out may stay in their batches up to this number, whatever K.
const IDLE_ROWS: usize = 8192;

/// And in no more batches than this, if a fifth of their rows fell out.
const BATCHES: usize = 128;

/// What the lanes of a top-K share.
pub(super) struct TopContext {
    pub(super) shared: Arc<Shared>,
    pub(super) bound: Arc<SharedBound>,
    pub(super) k: usize,
}

/// The first rows, with entries of either kind.
pub(super) enum Top {
    /// One key of at most 8 bytes.
    Narrow(Best<Narrow>),
    /// Anything else.
    Wide(Best<Wide>),
}

impl Top {
    pub(super) fn new(keys: &SortKeys) -> Self {
        if keys.is_narrow() { Self::Narrow(Best::default()) } else { Self::Wide(Best::default()) }
    }

    /// Takes a morsel; true when rows of it were kept.
    ///
    /// # Errors
    /// What the sort expressions raise.
    pub(super) fn push(&mut self, morsel: &Morsel, context: &TopContext) -> Result<bool> {
        let bound = context.bound.current();
        let bound = bound.as_deref();
        let keys = &context.shared.keys;
        let (arrays, map) = promising(keys.arrays(morsel)?, bound, keys)?;
        if arrays[0].is_empty() {
            return Ok(false);
        }
        let selected = map.map(|map| morsel.select(&map)).transpose()?;
        let morsel = selected.as_ref().unwrap_or(morsel);
        match self {
            Self::Narrow(best) => {
                let mut entries = keys.narrow(&arrays)?;
                if let Some(bound) = bound {
                    entries.retain(|entry| entry.key() < bound.key);
                }
                best.insert(morsel, entries, None, context)
            }
            Self::Wide(best) => {
                let (mut entries, rows) = keys.encode(&arrays)?;
                if let Some(bound) = bound {
                    let key = |entry: &Wide| {
                        let (_, row) = place(entry.position());
                        rows.as_ref().map(|rows| rows.row(row).data())
                    };
                    entries.retain(|entry| bound.admits(entry.key(), || key(entry)));
                }
                best.insert(morsel, entries, rows.as_ref(), context)
            }
        }
    }

    /// Forgets what fell out and copies what is left together.
    ///
    /// # Errors
    /// Arrow's.
    pub(super) fn compact(&mut self, context: &TopContext) -> Result<()> {
        match self {
            Self::Narrow(best) => best.compact(context),
            Self::Wide(best) => best.compact(context),
        }
    }

    /// The batches that hold the first rows (and some more, if not compacted); starts anew.
    pub(super) fn take(&mut self) -> Vec<RecordBatch> {
        match self {
            Self::Narrow(best) => std::mem::take(best).held,
            Self::Wide(best) => std::mem::take(best).held,
        }
    }

    /// Bytes of the batches, the entries and their keys.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Narrow(best) => best.bytes(),
            Self::Wide(best) => best.bytes(),
        }
    }
}

/// The rows whose first key alone does not rule them out, where that is cheap to say.
fn promising(
    arrays: Vec<ArrayRef>,
    bound: Option<&Bound>,
    keys: &SortKeys,
) -> Result<(Vec<ArrayRef>, Option<Arc<UInt32Array>>)> {
    let Some(mask) = bound.and_then(|bound| keys.may_precede(&arrays, &bound.first)) else {
        return Ok((arrays, None));
    };
    if mask.true_count() == mask.len() {
        return Ok((arrays, None));
    }
    let map: Vec<u32> = mask.values().set_indices_u32().collect();
    let map = UInt32Array::from(map);
    let arrays =
        arrays.iter().map(|array| Ok(take(array.as_ref(), &map, None)?)).collect::<Result<_>>()?;
    Ok((arrays, Some(Arc::new(map))))
}

/// Entries of the first rows, and the batches that hold these.
pub(super) struct Best<E> {
    entries: Vec<E>,
    held: Vec<RecordBatch>,
    /// The whole keys of each batch; empty when entries hold them.
    rows: Vec<Rows>,
    held_rows: usize,
    held_bytes: usize,
    key_bytes: usize,
}

impl<E> Default for Best<E> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            held: Vec::new(),
            rows: Vec::new(),
            held_rows: 0,
            held_bytes: 0,
            key_bytes: 0,
        }
    }
}

impl<E: Entry> Best<E> {
    /// Takes the rows of `morsel` that `entries` name.
    fn insert(
        &mut self,
        morsel: &Morsel,
        mut entries: Vec<E>,
        rows: Option<&Rows>,
        context: &TopContext,
    ) -> Result<bool> {
        if entries.is_empty() {
            return Ok(false);
        }
        if entries.len() > context.k {
            let whole = rows.map(std::slice::from_ref).unwrap_or_default();
            entries.select_nth_unstable_by(context.k, |a, b| a.compare(b, whole));
            entries.truncate(context.k);
        }
        entries.sort_unstable_by_key(Entry::position);
        let picked: Vec<u32> =
            entries.iter().map(|entry| place(entry.position()).1 as u32).collect();
        if let (Some(rows), Some(mut kept)) = (rows, context.shared.keys.no_rows()) {
            for row in &picked {
                kept.push(rows.row(*row as usize));
            }
            self.key_bytes += kept.size();
            self.rows.push(kept);
        }
        let selected = if picked.len() == morsel.rows() {
            morsel.clone()
        } else {
            morsel.select(&Arc::new(UInt32Array::from(picked)))?
        };
        let at = self.held.len();
        let batch = release_views(selected.into_batch(&context.shared.schema)?)?;
        self.held_rows += entries.len();
        self.held_bytes += context.shared.footprint.sorting(&batch);
        self.held.push(batch);
        let moved = entries.iter().enumerate();
        self.entries.extend(moved.map(|(row, entry)| entry.moved(position(at, row))));
        self.tighten(context)?;
        let (held, kept) = (self.held_rows, self.entries.len());
        if held > 2 * kept + IDLE_ROWS || (self.held.len() > BATCHES && held > kept + kept / 4) {
            self.compact(context)?;
        }
        Ok(true)
    }

    /// Keeps the K smallest entries and tells the others how far they go.
    fn tighten(&mut self, context: &TopContext) -> Result<()> {
        let k = context.k;
        let slack = if k <= EAGER { 0 } else { k / 2 };
        if self.entries.len() < k.saturating_add(slack) {
            return Ok(());
        }
        self.select(context)
    }

    fn select(&mut self, context: &TopContext) -> Result<()> {
        let k = context.k;
        if self.entries.len() < k || k == 0 {
            return Ok(());
        }
        let rows = &self.rows;
        self.entries.select_nth_unstable_by(k - 1, |a, b| a.compare(b, rows));
        self.entries.truncate(k);
        let last = self.entries[k - 1];
        let (batch, row) = place(last.position());
        let one = Morsel::from_batch(self.held[batch].slice(row, 1));
        let arrays = context.shared.keys.arrays(&one)?;
        let bound = Bound {
            key: last.key(),
            row: rows.get(batch).map(|rows| rows.row(row).data().into()),
            first: Arc::clone(&arrays[0]),
        };
        context.bound.tighten(bound, &context.shared.context.cancel, || {
            arrays.iter().map(|array| ScalarValue::try_from_array(array, 0)).collect()
        })
    }

    fn compact(&mut self, context: &TopContext) -> Result<()> {
        self.select(context)?;
        if self.held_rows == self.entries.len() {
            return Ok(());
        }
        // In the order of arrival, which the positions are to keep.
        self.entries.sort_unstable_by_key(Entry::position);
        let places: Vec<(usize, usize)> =
            self.entries.iter().map(|e| place(e.position())).collect();
        let mut batches = Vec::new();
        Gather::new(&context.shared.schema, self.held.iter()).take(&places, &mut batches)?;
        let mut rows = Vec::new();
        let mut from = 0;
        for (at, batch) in batches.iter().enumerate() {
            let to = from + batch.num_rows();
            if let Some(mut kept) = context.shared.keys.no_rows() {
                for (batch, row) in &places[from..to] {
                    kept.push(self.rows[*batch].row(*row));
                }
                rows.push(kept);
            }
            for (row, entry) in self.entries[from..to].iter_mut().enumerate() {
                *entry = entry.moved(position(at, row));
            }
            from = to;
        }
        self.held_rows = from;
        let sizes = batches.iter().map(|b| context.shared.footprint.sorting(b));
        self.held_bytes = sizes.sum();
        self.key_bytes = rows.iter().map(Rows::size).sum();
        self.held = batches;
        self.rows = rows;
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.held_bytes + self.key_bytes + self.entries.capacity() * size_of::<E>()
    }
}
