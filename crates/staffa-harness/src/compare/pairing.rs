//! Finds partners, within the tolerance, for rows that have no bit-identical one.
//!
//! Rows can be partners only if all columns that are not floats are identical, so the rows fall
//! into groups. Within a group both sides are sorted by their floats and paired in that order,
//! which succeeds unless a difference in one float column changes the order of another; then a
//! maximum matching decides (augmenting paths: Kuhn 1955).
//!
//! Bit-identical rows are partners before this begins. "Within the tolerance" is not transitive, so
//! that can, in theory, take the only partner of another row: a false "different" for rows a whole
//! tolerance apart, never a false "equal".

use std::cmp::Ordering;

use arrow::error::ArrowError;

use super::canonical::Encoded;
use super::floats::{Floats, is_float};
use super::{Answer, Tolerance};

/// Groups up to this size get the matching, whose cost is quadratic or worse. A larger one whose
/// sorted rows do not pair up is reported as different: never a false "equal".
const MATCHING_ROWS: usize = 2_000;

/// One side: the exact columns as keys, the floats beside them.
struct Rows {
    keys: Encoded,
    floats: Floats,
}

impl Rows {
    fn read(answer: &Answer, exact: &[usize], floats: &[usize]) -> Result<Self, ArrowError> {
        Ok(Self {
            keys: Encoded::columns(answer, exact, &Tolerance::EXACT)?,
            floats: Floats::read(answer, floats)?,
        })
    }

    fn sort(&self, rows: &mut [usize]) {
        rows.sort_unstable_by(|&a, &b| {
            self.keys.row(a).cmp(self.keys.row(b)).then_with(|| self.floats.order(a, b))
        });
    }

    /// Length of the run of rows with the first row's key.
    fn group(&self, rows: &[usize]) -> usize {
        let Some(&first) = rows.first() else { return 0 };
        rows.partition_point(|&row| self.keys.row(row) == self.keys.row(first))
    }
}

/// Removes from both lists the rows that are partners within `tolerance`; the rest stays, ascending.
pub(super) fn pair_up(
    left: &Answer,
    right: &Answer,
    only_left: &mut Vec<usize>,
    only_right: &mut Vec<usize>,
    tolerance: &Tolerance,
) -> Result<(), ArrowError> {
    let fields = left.schema.fields();
    let (floats, exact): (Vec<usize>, Vec<usize>) =
        (0..fields.len()).partition(|&column| is_float(fields[column].data_type()));
    if floats.is_empty() {
        return Ok(());
    }
    let (l, r) = (Rows::read(left, &exact, &floats)?, Rows::read(right, &exact, &floats)?);
    l.sort(only_left);
    r.sort(only_right);
    let (mut rest_left, mut rest_right) = (vec![], vec![]);
    let (mut a, mut b) = (only_left.as_slice(), only_right.as_slice());
    while let (Some(&row_a), Some(&row_b)) = (a.first(), b.first()) {
        let (mut take_a, mut take_b) = (l.group(a), r.group(b));
        match l.keys.row(row_a).cmp(r.keys.row(row_b)) {
            Ordering::Less => take_b = 0,
            Ordering::Greater => take_a = 0,
            Ordering::Equal => {}
        }
        let (group_a, group_b) = (&a[..take_a], &b[..take_b]);
        let close =
            |x: usize, y: usize| l.floats.close(group_a[x], &r.floats, group_b[y], tolerance);
        let partners = partners(group_a.len(), group_b.len(), &close);
        let mut paired = vec![false; group_b.len()];
        for (x, partner) in partners.iter().enumerate() {
            match partner {
                Some(y) => paired[*y] = true,
                None => rest_left.push(group_a[x]),
            }
        }
        rest_right.extend((0..group_b.len()).filter(|&y| !paired[y]).map(|y| group_b[y]));
        (a, b) = (&a[take_a..], &b[take_b..]);
    }
    rest_left.extend_from_slice(a);
    rest_right.extend_from_slice(b);
    rest_left.sort_unstable();
    rest_right.sort_unstable();
    (*only_left, *only_right) = (rest_left, rest_right);
    Ok(())
}

/// For each of `left` sorted rows, its partner among `right` sorted rows.
fn partners(left: usize, right: usize, close: &dyn Fn(usize, usize) -> bool) -> Vec<Option<usize>> {
    let in_order: Vec<Option<usize>> =
        (0..left).map(|x| (x < right && close(x, x)).then_some(x)).collect();
    if in_order.iter().all(Option::is_some) || left.max(right) > MATCHING_ROWS {
        return in_order;
    }
    let mut owner: Vec<Option<usize>> = vec![None; right];
    for (x, _) in in_order.iter().enumerate().filter(|(_, partner)| partner.is_some()) {
        owner[x] = Some(x);
    }
    for x in (0..left).filter(|&x| in_order[x].is_none()) {
        augment(x, &mut owner, close);
    }
    let mut partners = vec![None; left];
    for (y, x) in owner.into_iter().enumerate() {
        if let Some(x) = x {
            partners[x] = Some(y);
        }
    }
    partners
}

/// Gives `start` a partner if an augmenting path exists, by breadth-first search: each right row
/// is visited once, and remembers the left row it was reached from.
fn augment(start: usize, owner: &mut [Option<usize>], close: &dyn Fn(usize, usize) -> bool) {
    let mut reached_from: Vec<Option<usize>> = vec![None; owner.len()];
    let mut queue = std::collections::VecDeque::from([start]);
    while let Some(x) = queue.pop_front() {
        for y in 0..owner.len() {
            if reached_from[y].is_some() || !close(x, y) {
                continue;
            }
            reached_from[y] = Some(x);
            match owner[y] {
                Some(next) => queue.push_back(next),
                None => return flip(start, y, &reached_from, owner),
            }
        }
    }
}

/// Hands each right row on the path that ends in `y` to the left row it was reached from.
fn flip(start: usize, mut y: usize, from: &[Option<usize>], owner: &mut [Option<usize>]) {
    while let Some(x) = from[y] {
        let previous = owner.iter().position(|&o| o == Some(x));
        owner[y] = Some(x);
        match previous {
            Some(next) if x != start => y = next,
            _ => return,
        }
    }
}
