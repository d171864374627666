-- ClickBench query 3, from Apache DataFusion's benchmarks (Apache License 2.0).
SELECT AVG("UserID")
FROM hits
