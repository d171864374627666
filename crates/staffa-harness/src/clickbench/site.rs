//! Sites: who counts the hits ("CounterID"), and which pages they have.

use crate::dice::{even, mix, mix2};

/// Sites at any scale, as many as the original has.
const SITES: u64 = 6_500;

/// The rank of the site that queries 36 to 42 ask for: 0.74 % of the rows are its.
const ASKED_RANK: u64 = 11;

/// Its "CounterID".
const ASKED_ID: i32 = 62;

/// Ranks before the curve of sizes falls; makes the largest site 1.5 % of the rows.
const FLAT: f64 = 10.0;

/// A site.
#[derive(Debug, Clone, Copy)]
pub(super) struct Site {
    /// By size, the largest is 0.
    pub(super) rank: u64,
    /// "CounterID".
    pub(super) id: i32,
    /// Part of all rows.
    pub(super) share: f64,
    /// Pages, without parameters that only one hit has.
    pub(super) pages: u64,
}

impl Site {
    /// Whether the queries ask for this site.
    pub(super) fn is_asked_for(&self) -> bool {
        self.id == ASKED_ID
    }
}

/// All sites of a table of `rows`, by "CounterID".
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "fewer pages than rows"
)]
pub(super) fn sites(rows: u64) -> Vec<Site> {
    let weight = |rank: u64| 1.0 / (rank as f64 + FLAT);
    let all: f64 = (0..SITES).map(weight).sum();
    let mut sites: Vec<Site> = (0..SITES)
        .map(|rank| {
            let share = weight(rank) / all;
            let pages = ((rows as f64 * share * 0.15) as u64).max(20);
            // Every site its own number: 40 to a slot, in the slots' order.
            let id = 100 + mix2(rank, 3) % 40 + 40 * (mix(rank) % 40_000);
            let id = if rank == ASKED_RANK { ASKED_ID } else { id as i32 };
            Site { rank, id, share, pages }
        })
        .collect();
    sites.sort_unstable_by_key(|site| (site.id, site.rank));
    sites
}

/// How many rows each site has among `rows`: their shares, rounded by chance, `rows` in all.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a row count"
)]
pub(super) fn split(sites: &[Site], rows: u64, seed: u64) -> Vec<u64> {
    let chance = |rank: u64| even(mix2(seed, rank), 1_000_000) as f64 / 1e6;
    let mut left = rows;
    let mut counts: Vec<u64> = sites
        .iter()
        .map(|site| {
            let count = ((rows as f64 * site.share + chance(site.rank)) as u64).min(left);
            left -= count;
            count
        })
        .collect();
    // What rounding left goes to the largest site.
    if let Some(largest) = sites.iter().position(|site| site.rank == 0) {
        counts[largest] += left;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_make_the_whole() {
        let sites = sites(1_000_000);
        let asked = sites.iter().find(|site| site.is_asked_for());
        assert!(asked.is_some_and(|site| (site.share - 0.0074).abs() < 0.0005), "{asked:?}");
        for rows in [1, 20_000, 1_000_000] {
            assert_eq!(split(&sites, rows, 5).iter().sum::<u64>(), rows);
        }
    }
}
