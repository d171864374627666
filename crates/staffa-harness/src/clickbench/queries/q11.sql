-- ClickBench query 11, from Apache DataFusion's benchmarks (Apache License 2.0).
SELECT "MobilePhone", "MobilePhoneModel", COUNT(DISTINCT "UserID") AS u
FROM hits
WHERE "MobilePhoneModel" <> ''
GROUP BY "MobilePhone", "MobilePhoneModel"
ORDER BY u DESC LIMIT 10
