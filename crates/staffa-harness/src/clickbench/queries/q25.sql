-- ClickBench query 25, from Apache DataFusion's benchmarks (Apache License 2.0).
SELECT "SearchPhrase"
FROM hits
WHERE "SearchPhrase" <> ''
ORDER BY "SearchPhrase" LIMIT 10
