-- ClickBench query 27, from Apache DataFusion's benchmarks (Apache License 2.0).
SELECT "CounterID", AVG(length("URL")) AS l, COUNT(*) AS c
FROM hits
WHERE "URL" <> ''
GROUP BY "CounterID"
HAVING COUNT(*) > 100000
ORDER BY l DESC LIMIT 25
