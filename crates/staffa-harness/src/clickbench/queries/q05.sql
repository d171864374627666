-- ClickBench query 5, from Apache DataFusion's benchmarks (Apache License 2.0).
SELECT COUNT(DISTINCT "SearchPhrase")
FROM hits
