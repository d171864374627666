//! Hash joins: build rows x rows a key x skew of the probe side x share of its rows that match.

use super::Case;
use super::tables::{Tables, ints, skewed, uniform};

/// A build side that fits a core's cache, one that fits all cores', one beyond.
const BUILD: [usize; 3] = [1_000, 100_000, 4_000_000];

pub(super) fn cases(rows: usize) -> Vec<Case> {
    let mut cases = Vec::new();
    for build in BUILD {
        for (multiplicity, zipf, hits) in
            [(1, false, 1.0), (1, false, 0.1), (1, true, 1.0), (10, false, 0.1)]
        {
            let build = build.min(rows);
            let keys = build / multiplicity;
            let range = (keys as f64 / hits) as usize;
            let skew = if zipf { "zipf" } else { "uniform" };
            let tables = move || {
                // Keys lie apart, so that neither engine may use them as array indices.
                let spread = |key: i64| key.wrapping_mul(0x9E37_79B9_7F4A_7C15_u64 as i64);
                let key = move |row: usize| match zipf {
                    true => skewed(range)(row),
                    false => uniform(range)(row),
                };
                let build_key = move |row: usize| spread((row % keys) as i64);
                Tables::default()
                    .with("b", build, vec![("k", ints(build_key)), ("p", ints(|row| row as i64))])?
                    .with(
                        "t",
                        rows,
                        vec![
                            ("k", ints(move |row| spread(key(row)))),
                            ("v", ints(|row| row as i64 % 1000)),
                        ],
                    )
            };
            cases.push(Case::sql(
                format!("join/{build}/x{multiplicity}/{skew}/hits={hits}"),
                rows,
                "SELECT count(*), sum(v), max(p) FROM t JOIN b ON t.k = b.k",
                tables,
            ));
        }
    }
    cases
}
