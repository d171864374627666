//! Whether two answers are the same.
//!
//! # The rule
//! - Schemas: same column names, data types and nullability; every batch has its schema's types.
//! - Rows: equal as multisets. Row order, batch sizes and dictionary keys do not matter.
//! - A query with ORDER BY: besides, its sort keys that are columns of the answer, up to the first
//!   key that is not or is a float (that one included), have the same sequence of values. Rows
//!   that tie may thus stand in any order, and only they. Sort keys that the answer does not show
//!   are compared by [`compare_hidden`], which asks DataFusion for them.
//! - NULL equals NULL only. NaN equals NaN, whatever its bits.
//! - Floats in columns of their own equal within [`Tolerance`]; -0.0 equals 0.0 unless the
//!   tolerance is [`Tolerance::EXACT`]. Everything else, floats inside lists and structs included,
//!   is bit-identical.
//!
//! A LIMIT that cuts through ties has several right answers, which [`compare`] calls different;
//! [`compare_runs`] then asks both sides again, with an order that leaves no choice.

mod canonical;
mod floats;
mod foreign;
mod hidden;
mod order;
mod pairing;
mod report;
mod schema;
mod settled;

use std::collections::HashMap;

use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

pub use foreign::{Values, compare_values};
pub use hidden::{compare_hidden, compare_places, revealed};
pub use order::{Order, order_of};
pub use report::{Comparison, Difference, Side};
pub use settled::{compare_foreign, compare_runs, settled};

use canonical::Encoded;

/// A query's answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The plan's schema.
    pub schema: SchemaRef,
    /// All rows.
    pub batches: Vec<RecordBatch>,
}

impl Answer {
    /// Rows in all batches.
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }
}

/// How far two floats may be apart: `|a - b| <= absolute + relative * max(|a|, |b|)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tolerance {
    /// Part of the larger magnitude.
    pub relative: f64,
    /// For values that should be zero, and are only after cancellation.
    pub absolute: f64,
}

impl Tolerance {
    /// Bit-identical, but for the bits of a NaN.
    pub const EXACT: Self = Self { relative: 0.0, absolute: 0.0 };

    /// Whether floats are compared bit by bit.
    pub fn is_exact(&self) -> bool {
        *self == Self::EXACT
    }
}

impl Default for Tolerance {
    /// A relative 1e-9, or 1e-12 near zero: a Float64 sum of 10^9 values in another order stays
    /// within it unless it cancels, while Float32 and Float16 columns must be bit-identical (their
    /// spacing is wider; DataFusion sums them as Float64).
    fn default() -> Self {
        Self { relative: 1e-9, absolute: 1e-12 }
    }
}

/// What counts as the same.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// The order that the query asks for.
    pub order: Order,
    /// For floats.
    pub tolerance: Tolerance,
    /// Differing rows to keep per side; 0 means 10.
    pub shown: usize,
}

/// Compares two answers cell by cell. Linear in the number of rows but for rows that differ only
/// in floats, which are sorted.
///
/// # Errors
/// A column type that arrow's row format cannot encode.
pub fn compare(left: &Answer, right: &Answer, rules: &Rules) -> Result<Comparison, ArrowError> {
    let mut comparison = Comparison::new(left, right, rules.shown);
    for difference in schema::differences(left, right) {
        comparison.push_schema(difference);
    }
    if !comparison.is_equal() {
        return Ok(comparison);
    }
    if left.schema.fields().is_empty() {
        comparison.push_row_counts();
        return Ok(comparison);
    }
    let (l, r) = (
        Encoded::all_columns(left, &rules.tolerance)?,
        Encoded::all_columns(right, &rules.tolerance)?,
    );
    let (mut only_left, mut only_right) = unmatched(&l, &r);
    if !rules.tolerance.is_exact() && !only_left.is_empty() && !only_right.is_empty() {
        pairing::pair_up(left, right, &mut only_left, &mut only_right, &rules.tolerance)?;
    }
    comparison.push_rows(left, &only_left, Side::Left)?;
    comparison.push_rows(right, &only_right, Side::Right)?;
    if comparison.is_equal()
        && let Some((row, what)) = order::first_difference(left, right, rules)?
    {
        comparison.push_order(row, what);
    }
    Ok(comparison)
}

/// Rows of each side that have no bit-identical partner, in ascending order.
fn unmatched(left: &Encoded, right: &Encoded) -> (Vec<usize>, Vec<usize>) {
    let common = left.len().min(right.len());
    // Both sides mostly come in the same order; then nothing needs hashing.
    let mut l: Vec<usize> = (0..common).filter(|&i| left.row(i) != right.row(i)).collect();
    let mut r = l.clone();
    l.extend(common..left.len());
    r.extend(common..right.len());
    if l.is_empty() || r.is_empty() {
        return (l, r);
    }
    let mut counts: HashMap<&[u8], usize> = HashMap::with_capacity(l.len());
    for &row in &l {
        *counts.entry(left.row(row)).or_default() += 1;
    }
    r.retain(|&row| match counts.get_mut(right.row(row)) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => true,
    });
    // What is left of each count are the last of its rows: which of identical rows does not matter.
    l.reverse();
    l.retain(|&row| match counts.get_mut(left.row(row)) {
        Some(count) if *count > 0 => {
            *count -= 1;
            true
        }
        _ => false,
    });
    l.reverse();
    (l, r)
}
