-- ClickBench query 17, from Apache DataFusion's benchmarks (Apache License 2.0).
SELECT "UserID", "SearchPhrase", COUNT(*)
FROM hits
GROUP BY "UserID", "SearchPhrase" LIMIT 10
