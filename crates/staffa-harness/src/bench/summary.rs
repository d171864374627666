//! Medians, totals and geometric means.

use std::collections::HashSet;

use super::{EngineSummary, QueryResult};
use crate::engine::Engine;

/// The median; the mean of the middle two when their number is even; none of nothing.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    Some((sorted.get(sorted.len() / 2 - 1)? + upper) / 2.0)
}

/// One summary per engine, in the order of their first result. Only queries that all engines
/// finished count, so that totals are of the same work.
pub(super) fn summarise(queries: &[QueryResult]) -> Vec<EngineSummary> {
    let failed: HashSet<&str> =
        queries.iter().filter(|q| q.median_ms.is_none()).map(|q| q.query.as_str()).collect();
    let mut engines: Vec<&'static str> = vec![];
    for query in queries {
        if !engines.contains(&query.engine) {
            engines.push(query.engine);
        }
    }
    let of = |engine: &'static str| {
        queries.iter().filter(move |q| q.engine == engine).filter(|q| !failed.contains(&*q.query))
    };
    let total = |engine: &'static str| of(engine).filter_map(|q| q.median_ms).sum::<f64>();
    let vanilla = Engine::DataFusion.name();
    let base = engines.contains(&vanilla).then(|| total(vanilla)).filter(|&ms| ms > 0.0);
    let summary = |&engine: &&'static str| {
        let ratios: Vec<f64> = of(engine).filter_map(|q| q.ratio_to_datafusion).collect();
        EngineSummary {
            engine,
            total_ms: total(engine),
            ratio_total: base.map(|base| total(engine) / base),
            geomean_ratio: geometric_mean(&ratios),
        }
    };
    engines.iter().map(summary).collect()
}

fn geometric_mean(values: &[f64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    let logs: f64 = values.iter().map(|value| value.ln()).sum();
    Some((logs / values.len() as f64).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_means() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(geometric_mean(&[]), None);
        let mean = geometric_mean(&[0.25, 4.0, 8.0]).unwrap();
        assert!((mean - 2.0).abs() < 1e-12);
    }
}
