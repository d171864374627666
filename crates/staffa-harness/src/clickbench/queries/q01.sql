-- ClickBench query 1, from Apache DataFusion's benchmarks (Apache License 2.0).
SELECT COUNT(*)
FROM hits
WHERE "AdvEngineID" <> 0
