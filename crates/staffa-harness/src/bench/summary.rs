//! Medians, totals and geometric means.

use std::collections::{BTreeMap, HashSet};

use super::{EngineSummary, QueryResult, Versus};
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

/// An engine's median by query, of those that it finished and that count for it.
type Medians<'a> = BTreeMap<&'a str, f64>;

/// One summary per engine, in the order of their first result. Only queries that DataFusion and all
/// Staffa engines finished count, so that totals are of the same work; an engine in Python may lack
/// some more of them, and is then compared with DataFusion over its own.
pub(super) fn summarise(queries: &[QueryResult]) -> Vec<EngineSummary> {
    let failed = queries.iter().filter(|q| q.median_ms.is_none() && !q.is_python());
    let failed: HashSet<&str> = failed.map(|q| q.query.as_str()).collect();
    let vanilla = medians(queries, Engine::DataFusion.name(), &failed);
    let summary = |engine| {
        let own = medians(queries, engine, &failed);
        let versus = compare(engine, &own, Engine::DataFusion.name(), &vanilla);
        let total_ms = own.values().sum();
        let (ratio_total, geomean_ratio) = (versus.ratio_total, versus.geomean_ratio);
        let queries = own.len();
        EngineSummary { engine, version: None, queries, total_ms, ratio_total, geomean_ratio }
    };
    engines(queries).into_iter().map(summary).collect()
}

/// Each Staffa engine against each engine in Python.
pub(super) fn versus(queries: &[QueryResult]) -> Vec<Versus> {
    let (python, own): (Vec<_>, Vec<_>) = engines(queries)
        .into_iter()
        .filter(|&engine| engine != Engine::DataFusion.name())
        .partition(|engine| Engine::named(engine).is_some_and(Engine::is_python));
    let none = HashSet::new();
    let pairs = own.iter().flat_map(|a| python.iter().map(move |b| (*a, *b)));
    pairs
        .map(|(a, b)| compare(a, &medians(queries, a, &none), b, &medians(queries, b, &none)))
        .collect()
}

/// In the order of their first result.
fn engines(queries: &[QueryResult]) -> Vec<&'static str> {
    let mut engines: Vec<&'static str> = vec![];
    for query in queries {
        if !engines.contains(&query.engine) {
            engines.push(query.engine);
        }
    }
    engines
}

fn medians<'a>(queries: &'a [QueryResult], engine: &str, without: &HashSet<&str>) -> Medians<'a> {
    let counts = |q: &&QueryResult| q.engine == engine && !without.contains(&*q.query);
    let pair = |q: &'a QueryResult| Some((q.query.as_str(), q.median_ms?));
    queries.iter().filter(counts).filter_map(pair).collect()
}

/// Over the queries that both have.
fn compare(engine: &'static str, a: &Medians, other: &'static str, b: &Medians) -> Versus {
    let pairs: Vec<(f64, f64)> =
        a.iter().filter_map(|(query, &ms)| Some((ms, *b.get(query)?))).collect();
    let (own, base): (f64, f64) = pairs.iter().fold((0.0, 0.0), |(x, y), (a, b)| (x + a, y + b));
    let ratios: Vec<f64> = pairs.iter().map(|(own, base)| own / base).collect();
    Versus {
        engine,
        other,
        queries: pairs.len(),
        ratio_total: (base > 0.0).then(|| own / base),
        geomean_ratio: geometric_mean(&ratios),
    }
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

    /// `duckdb` cannot run `b`: its ratio is over `a` alone, and DataFusion's total over both.
    #[test]
    fn each_engine_in_python_counts_over_its_own_queries() {
        let result = |query: &str, engine: Engine, ms: Option<f64>| QueryResult {
            median_ms: ms,
            ..QueryResult::unmeasured("w", query, engine)
        };
        let queries = [
            result("a", Engine::DataFusion, Some(10.0)),
            result("a", Engine::Cpu, Some(4.0)),
            result("a", Engine::DuckDb, Some(8.0)),
            result("b", Engine::DataFusion, Some(30.0)),
            result("b", Engine::Cpu, Some(6.0)),
            result("b", Engine::DuckDb, None),
        ];
        let totals = |s: &EngineSummary| (s.engine, s.queries, s.total_ms, s.ratio_total);
        assert_eq!(
            summarise(&queries).iter().map(totals).collect::<Vec<_>>(),
            [
                ("datafusion", 2, 40.0, Some(1.0)),
                ("cpu", 2, 10.0, Some(0.25)),
                ("duckdb", 1, 8.0, Some(0.8))
            ]
        );
        let versus = versus(&queries);
        assert_eq!(versus.len(), 1);
        let pair = (versus[0].engine, versus[0].other, versus[0].queries, versus[0].ratio_total);
        assert_eq!(pair, ("cpu", "duckdb", 1, Some(0.5)));
    }
}
