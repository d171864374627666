-- ClickBench query 7, from Apache DataFusion's benchmarks (Apache License 2.0).
SELECT "AdvEngineID", COUNT(*)
FROM hits
WHERE "AdvEngineID" <> 0
GROUP BY "AdvEngineID"
ORDER BY COUNT(*) DESC
