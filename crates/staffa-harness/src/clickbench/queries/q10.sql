-- ClickBench query 10, from Apache DataFusion's benchmarks (Apache License 2.0).
SELECT "MobilePhoneModel", COUNT(DISTINCT "UserID") AS u
FROM hits
WHERE "MobilePhoneModel" <> ''
GROUP BY "MobilePhoneModel"
ORDER BY u DESC LIMIT 10
