-- ClickBench query 30, from Apache DataFusion's benchmarks (Apache License 2.0).
SELECT "SearchEngineID", "ClientIP", COUNT(*) AS c, SUM("IsRefresh"), AVG("ResolutionWidth")
FROM hits
WHERE "SearchPhrase" <> ''
GROUP BY "SearchEngineID", "ClientIP"
ORDER BY c DESC LIMIT 10
