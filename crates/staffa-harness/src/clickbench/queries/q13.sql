-- ClickBench query 13, from Apache DataFusion's benchmarks (Apache License 2.0).
SELECT "SearchPhrase", COUNT(DISTINCT "UserID") AS u
FROM hits
WHERE "SearchPhrase" <> ''
GROUP BY "SearchPhrase"
ORDER BY u DESC LIMIT 10
