-- ClickBench query 9, from Apache DataFusion's benchmarks (Apache License 2.0).
SELECT "RegionID",
  SUM("AdvEngineID"),
  COUNT(*) AS c,
  AVG("ResolutionWidth"),
  COUNT(DISTINCT "UserID")
FROM hits
GROUP BY "RegionID"
ORDER BY c DESC LIMIT 10
