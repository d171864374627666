-- ClickBench query 23, from Apache DataFusion's benchmarks (Apache License 2.0).
SELECT *
FROM hits
WHERE "URL" LIKE '%google%'
ORDER BY "EventTime" LIMIT 10
