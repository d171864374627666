-- ClickBench query 26, from Apache DataFusion's benchmarks (Apache License 2.0).
SELECT "SearchPhrase"
FROM hits
WHERE "SearchPhrase" <> ''
ORDER BY "EventTime", "SearchPhrase" LIMIT 10
