-- ClickBench query 14, from Apache DataFusion's benchmarks (Apache License 2.0).
SELECT "SearchEngineID", "SearchPhrase", COUNT(*) AS c
FROM hits
WHERE "SearchPhrase" <> ''
GROUP BY "SearchEngineID", "SearchPhrase"
ORDER BY c DESC LIMIT 10
