-- ClickBench query 15, from Apache DataFusion's benchmarks (Apache License 2.0).
SELECT "UserID", COUNT(*)
FROM hits
GROUP BY "UserID"
ORDER BY COUNT(*) DESC LIMIT 10
