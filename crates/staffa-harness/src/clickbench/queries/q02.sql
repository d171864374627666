-- ClickBench query 2, from Apache DataFusion's benchmarks (Apache License 2.0).
SELECT SUM("AdvEngineID"), COUNT(*), AVG("ResolutionWidth")
FROM hits
