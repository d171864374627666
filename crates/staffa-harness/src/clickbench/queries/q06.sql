-- ClickBench query 6, from Apache DataFusion's benchmarks (Apache License 2.0).
SELECT MIN("EventDate"::INT::DATE), MAX("EventDate"::INT::DATE)
FROM hits
