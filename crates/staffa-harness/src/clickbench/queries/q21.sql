-- ClickBench query 21, from Apache DataFusion's benchmarks (Apache License 2.0).
SELECT "SearchPhrase", MIN("URL"), COUNT(*) AS c
FROM hits
WHERE "URL" LIKE '%google%' AND "SearchPhrase" <> ''
GROUP BY "SearchPhrase"
ORDER BY c DESC LIMIT 10
