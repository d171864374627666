-- ClickBench query 4, from Apache DataFusion's benchmarks (Apache License 2.0).
SELECT COUNT(DISTINCT "UserID")
FROM hits
