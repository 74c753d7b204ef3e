-- The oracle: one line "schema.table|rows|sha256" for every table of a database, of one snapshot.
--
--   psql -X -A -t -q -v ON_ERROR_STOP=1 -f oracle.sql URL
--
-- Two databases hold the same rows exactly when these lines are equal. Nothing of Crossfade takes part. A row counts
-- as its text, columns in order of their names; rows are ordered by primary key, or by their text where there is none (so equal
-- rows count as often as they are there); every row is hashed, then 5,000 hashes at a time, then those. A partitioned
-- table counts as a whole. Left out: system schemas, and Crossfade's own.

SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET IntervalStyle = 'postgres';
SET extra_float_digits = 1;
SET bytea_output = 'hex';
SET max_parallel_workers_per_gather = 0;
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;

WITH tables AS (
    SELECT c.oid, n.nspname, c.relname,
           (SELECT string_agg(format('%I', a.attname), ', ' ORDER BY a.attname COLLATE "C")
              FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
           (SELECT string_agg(format('%I::text COLLATE "C"', a.attname), ', ' ORDER BY a.attname COLLATE "C")
              FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
             WHERE i.indrelid = c.oid AND i.indisprimary) AS key
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
       AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'crossfade')
)
SELECT format(
    $$WITH hashed AS (SELECT sha256(convert_to(row_text, 'UTF8')) AS hash, row_number() OVER (ORDER BY %s) AS n
                        FROM (SELECT t.*, ROW(%s)::text AS row_text FROM %I.%I t) r),
           chunks AS (SELECT n / 5000 AS chunk, count(*) AS row_count, sha256(string_agg(hash, '' ORDER BY n)) AS hash
                        FROM hashed GROUP BY n / 5000)
      SELECT %L, coalesce(sum(row_count), 0), encode(sha256(coalesce(string_agg(hash, '' ORDER BY chunk), '')), 'hex') FROM chunks$$,
    coalesce(key, 'row_text COLLATE "C"'), columns, nspname, relname, nspname || '.' || relname)
FROM tables ORDER BY nspname, relname
\gexec

COMMIT;
