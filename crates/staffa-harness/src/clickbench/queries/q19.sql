-- ClickBench query 19, from Apache DataFusion's benchmarks (Apache License 2.0).
SELECT "UserID"
FROM hits
WHERE "UserID" = 435090932899640449
