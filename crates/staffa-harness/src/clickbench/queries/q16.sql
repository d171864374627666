-- ClickBench query 16, from Apache DataFusion's benchmarks (Apache License 2.0).
SELECT "UserID", "SearchPhrase", COUNT(*)
FROM hits
GROUP BY "UserID", "SearchPhrase"
ORDER BY COUNT(*) DESC LIMIT 10
