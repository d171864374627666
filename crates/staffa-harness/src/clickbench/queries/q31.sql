-- ClickBench query 31, from Apache DataFusion's benchmarks (Apache License 2.0).
SELECT "WatchID", "ClientIP", COUNT(*) AS c, SUM("IsRefresh"), AVG("ResolutionWidth")
FROM hits
WHERE "SearchPhrase" <> ''
GROUP BY "WatchID", "ClientIP"
ORDER BY c DESC LIMIT 10
