"""capture.snapshot_path: direct: rows go straight from source to target, changes wait in the journal, and whatever is killed both
ends are equal when apply has come to the first complete fence."""

import pytest

from rig import Postgres, Workdir
from rig.scenario import scenario

TABLES = """
CREATE TABLE big (id bigint PRIMARY KEY, v text, n numeric(12,2), at timestamptz, raw bytea);
CREATE TABLE named (name text PRIMARY KEY, v int);
CREATE TABLE pair (a int, b text, v text, PRIMARY KEY (a, b));
CREATE TABLE bag (a int, b text); ALTER TABLE bag REPLICA IDENTITY FULL;
CREATE TABLE empty (id int PRIMARY KEY);
CREATE TYPE mood AS ENUM ('sad', 'glad');
CREATE TABLE kinds (id int PRIMARY KEY, m mood, j jsonb, a int[], r int4range, d double precision, b boolean, i interval, u uuid);
CREATE TABLE part (id int, at int, v text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (10); CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM (10) TO (20);
INSERT INTO big SELECT i, repeat(md5(i::text), 4), i / 7.0, now() + i * interval '1 s', decode(md5(i::text), 'hex') FROM generate_series(1, 6000) i;
INSERT INTO named SELECT 'n' || i || E'\\t\\\\', i FROM generate_series(1, 3000) i;
INSERT INTO pair SELECT i % 10, 'x' || i, NULL FROM generate_series(1, 2500) i;
INSERT INTO bag SELECT i % 100, CASE WHEN i % 3 = 0 THEN NULL ELSE 'x' END FROM generate_series(1, 5000) i;
INSERT INTO kinds SELECT i, 'glad', '{"a": 1}', ARRAY[1, NULL, 3], '[1,5)', 'Infinity', true, '1 mon -2 days', gen_random_uuid() FROM generate_series(1, 700) i;
INSERT INTO part SELECT i, i % 20, 'p' FROM generate_series(1, 2000) i;
ANALYZE;
"""
DIRECT = {"capture": {"snapshot_path": "direct", "snapshot_workers": 2, "snapshot_chunk_rows": 500}}


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("direct") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


def test_rows_do_not_go_by_the_journal(servers):
    with scenario(*servers, TABLES, more=DIRECT) as s:
        s.start(timeout=12)
        s.assert_equal()
        assert s.target("SELECT count(*) > 20, bool_and(done), count(DISTINCT lsn) FROM crossfade.direct_chunk") == [(True, True, 1)]
        assert s.apply.status()["changes"] < 1000
        s.source("UPDATE big SET v = 'new' WHERE id < 100", "DELETE FROM bag WHERE a = 7", "INSERT INTO empty VALUES (1)", "TRUNCATE named")
        s.assert_equal()
