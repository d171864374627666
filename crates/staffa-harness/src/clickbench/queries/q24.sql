-- ClickBench query 24, from Apache DataFusion's benchmarks (Apache License 2.0).
SELECT "SearchPhrase"
FROM hits
WHERE "SearchPhrase" <> ''
ORDER BY "EventTime" LIMIT 10
