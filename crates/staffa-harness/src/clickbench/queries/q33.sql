-- ClickBench query 33, from Apache DataFusion's benchmarks (Apache License 2.0).
SELECT "URL", COUNT(*) AS c
FROM hits
GROUP BY "URL"
ORDER BY c DESC LIMIT 10
