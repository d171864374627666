-- ClickBench query 34, from Apache DataFusion's benchmarks (Apache License 2.0).
SELECT 1, "URL", COUNT(*) AS c
FROM hits
GROUP BY 1, "URL"
ORDER BY c DESC LIMIT 10
