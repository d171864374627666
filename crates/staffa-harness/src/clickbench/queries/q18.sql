-- ClickBench query 18, from Apache DataFusion's benchmarks (Apache License 2.0).
SELECT "UserID",
  extract(minute FROM to_timestamp_seconds("EventTime")) AS m, "SearchPhrase",
  COUNT(*)
FROM hits
GROUP BY "UserID", m, "SearchPhrase"
ORDER BY COUNT(*) DESC LIMIT 10
