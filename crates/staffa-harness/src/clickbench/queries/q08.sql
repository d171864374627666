-- ClickBench query 8, from Apache DataFusion's benchmarks (Apache License 2.0).
SELECT "RegionID", COUNT(DISTINCT "UserID") AS u
FROM hits
GROUP BY "RegionID"
ORDER BY u DESC LIMIT 10
