-- ClickBench query 12, from Apache DataFusion's benchmarks (Apache License 2.0).
SELECT "SearchPhrase", COUNT(*) AS c
FROM hits
WHERE "SearchPhrase" <> ''
GROUP BY "SearchPhrase"
ORDER BY c DESC LIMIT 10
