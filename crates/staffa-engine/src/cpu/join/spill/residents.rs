//! Seals a build side that does not fit: decides what stays in memory.

use std::sync::Arc;

use datafusion_common::Result;
use datafusion_execution::memory_pool::MemoryReservation;

use super::super::build::Shared;
use super::super::seal::{MOST_ROWS, Made, Rows, make, table_bytes};
use super::super::state::Seen;
use super::files::Stored;
use super::load::roughly;
use super::parts::Parts;
use super::{Hybrid, Spilled};
use crate::engine::Sealed;

/// What became of a build side.
pub(in super::super) enum Settled {
    /// There is room after all.
    Whole(Made),
    /// The rows in memory, and the bytes of them.
    Hybrid(Arc<dyn Sealed>, usize),
}

/// Joins the parts of all lanes. `reservation` is an empty one.
///
/// As many partitions stay in memory as leave as much room again, and as much as the largest of the
/// others takes: it has to be loaded while lanes still probe those in memory.
pub(in super::super) fn settle(
    shared: &Arc<Shared>,
    mut lanes: Vec<Parts>,
    reservation: MemoryReservation,
) -> Result<Settled> {
    for parts in &mut lanes {
        parts.split()?;
    }
    let count = lanes.first().map_or(0, |parts| parts.flags.len());
    let spilled = |lanes: &[Parts], at: usize| lanes.iter().any(|parts| parts.flags.get(at));
    for at in 0..count {
        if spilled(&lanes, at) {
            evict(&mut lanes, at)?;
        }
    }
    let prepaid = loop {
        let rows: usize = lanes.iter().flat_map(|parts| &parts.held).map(|held| held.rows).sum();
        let bytes: usize = lanes.iter().flat_map(|parts| &parts.held).map(|held| held.bytes).sum();
        let table = roughly(rows);
        let largest = (0..count)
            .filter(|&at| spilled(&lanes, at))
            .map(|at| lanes.iter().map(|parts| parts.stored(at)).fold((0, 0), add))
            .map(|(rows, bytes)| bytes + roughly(rows))
            .max();
        let room = largest.map_or(0, |largest| largest.max(bytes + table));
        if rows <= MOST_ROWS && reservation.try_grow(table + room).is_ok() {
            reservation.shrink(room);
            break table;
        }
        let held = |at: usize| lanes.iter().map(|parts| parts.held[at].bytes).sum::<usize>();
        match (0..count).filter(|&at| held(at) > 0).max_by_key(|&at| held(at)) {
            Some(at) => evict(&mut lanes, at)?,
            None => break 0,
        }
    };
    let mut resident = Rows { batches: Vec::new(), rows: 0, reservation, prepaid };
    let mut stored: Vec<Stored> = (0..count).map(|_| Stored::default()).collect();
    for mut parts in lanes {
        for held in std::mem::take(&mut parts.held) {
            resident.rows += held.rows;
            resident.batches.extend(held.batches);
        }
        // The same consumer's: what one gives back the other takes, and nobody can fail.
        resident.reservation.grow(parts.reservation.free());
        for (all, of_lane) in stored.iter_mut().zip(parts.finish()?) {
            all.extend(of_lane);
        }
    }
    // A table of few rows may take more than one would think, but not much.
    let exact = table_bytes(shared, &resident.batches, resident.rows)?;
    resident.reservation.grow(exact.saturating_sub(prepaid));
    resident.prepaid = exact.max(prepaid);
    let seen = Arc::new(Seen::default());
    let made = make(shared, resident, None, &seen)?;
    if stored.iter().all(|partition| partition.rows == 0) {
        return Ok(Settled::Whole(made));
    }
    let spilled = Arc::new(Spilled::new(shared, stored, &seen));
    let hybrid = Hybrid { resident: Some(made.state).into(), spilled };
    Ok(Settled::Hybrid(Arc::new(hybrid), made.bytes))
}

fn add(a: (usize, usize), b: (usize, usize)) -> (usize, usize) {
    (a.0 + b.0, a.1 + b.1)
}

fn evict(lanes: &mut [Parts], partition: usize) -> Result<()> {
    lanes.iter_mut().try_for_each(|parts| parts.evict(partition))
}
