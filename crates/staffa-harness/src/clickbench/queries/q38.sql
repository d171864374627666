-- ClickBench query 38, from Apache DataFusion's benchmarks (Apache License 2.0).
SELECT "URL", COUNT(*) AS PageViews
FROM hits
WHERE "CounterID" = 62
  AND "EventDate"::INT::DATE >= '2013-07-01'
  AND "EventDate"::INT::DATE <= '2013-07-31'
  AND "IsRefresh" = 0
  AND "IsLink" <> 0
  AND "IsDownload" = 0
GROUP BY "URL"
ORDER BY PageViews DESC LIMIT 10 OFFSET 1000
