"""PostgreSQL 14 to 18 as sources: one life of a pipeline on each, and what differs between them."""

import re
import threading

import psycopg
import pytest

from rig import Postgres, Workdir
from rig.scenario import count, scenario

MAJORS = (14, 15, 16, 17, 18)
PROTOCOL = {14: 2, 15: 3, 16: 4, 17: 4, 18: 4}

KINDS = """b bool, i2 int2, i4 int4, i8 int8, f4 float4, f8 float8, n numeric, n2 numeric(12,3), m money, t text, vc varchar(20), c char(5), nm name, by bytea, j json, jb jsonb, x xml, u uuid,
    d date, ti time, tz timetz, ts timestamp, tstz timestamptz, iv interval, bi bit(5), vb varbit, ine inet, ci cidr, ma macaddr, ma8 macaddr8, po point, pa path, pg polygon, cc circle, tv tsvector,
    tq tsquery, lsn pg_lsn, jp jsonpath, snap pg_snapshot, r int4range, nr numrange, tr tstzrange, mr int8multirange, ia int[], ta text[], mood mood, ma2 mood[], dom dom, comp comp, compa comp[]"""
VALUES = """i % 2 = 0, i::int2, i, i * 10000000000, 1.5, 'NaN', i / 7.0, i / 3.0, i::text::money, 'text ü☺ ' || i, 'vc' || i, 'c', 'name', sha256(i::text::bytea), '{"a" : 1.10}', '{"b": [1, null]}', '<a/>', md5(i::text)::uuid,
    date '2024-02-29' + i, '24:00:00', '12:34:56.789+05:30', 'infinity', timestamptz '2024-01-01 00:00:00.000001+00' + i * interval '1 day', '1 mon -2 days 00:00:00.5', B'10101', B'1', '10.0.0.1/8', '::/0',
    '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05', '(1.5,-0)', '[(0,0),(1,1)]', '((0,0),(1,1),(1,0))', '<(1,2),3>', 'a:1A b', 'a & !b', 'FFFFFFFF/1', '$.a[*]', '10:20:10,14', '[1,9)', '(,1.5]',
    '[2024-01-01 00:00+00,)', '{[1,3),[7,9)}', ARRAY[[i, NULL], [3, 4]], '{a,NULL,"x y"}', 'ok', '{sad,NULL}', 7, ROW(i, 'q"uote', ARRAY[1.50, 2])::comp, ARRAY[ROW(1, NULL, NULL)::comp]"""
TYPES = "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN dom AS int CHECK (VALUE > 0); CREATE TYPE comp AS (a int, b text, c numeric[]);"
TABLES = TYPES + f"""
CREATE TABLE kinds (id int PRIMARY KEY, {KINDS});
CREATE TABLE toast (id int PRIMARY KEY, v int, big text); ALTER TABLE toast ALTER big SET STORAGE EXTERNAL;
CREATE TABLE bag (a int, v text); ALTER TABLE bag REPLICA IDENTITY FULL;
CREATE TABLE part (id int, k int, v text, PRIMARY KEY (id, k)) PARTITION BY LIST (k); CREATE TABLE part_0 PARTITION OF part FOR VALUES IN (0); CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1);
CREATE TABLE gone (id int PRIMARY KEY);
CREATE TABLE hot (id int PRIMARY KEY, v int);
CREATE TABLE computed (id int PRIMARY KEY, v int, s int GENERATED ALWAYS AS (v * 2) STORED);
"""
ROWS = f"""
INSERT INTO kinds SELECT i, {VALUES} FROM generate_series(1, 200) i; INSERT INTO kinds (id) VALUES (0);
INSERT INTO toast SELECT i, i, repeat(md5(i::text), 400) FROM generate_series(1, 400) i;
INSERT INTO bag SELECT i % 10, 'b' FROM generate_series(1, 200) i; INSERT INTO part SELECT i, i % 2, 'p' FROM generate_series(1, 500) i;
INSERT INTO gone SELECT generate_series(1, 50); INSERT INTO hot SELECT i, 0 FROM generate_series(1, 5000) i;
INSERT INTO computed (id, v) SELECT i, i FROM generate_series(1, 50) i; INSERT INTO plain (id, v) SELECT i, i FROM generate_series(1, 50) i
"""
CHANGES = f"""
INSERT INTO kinds SELECT i, {VALUES} FROM generate_series(1000 + @ * 100, 1050 + @ * 100) i; UPDATE kinds SET jb = NULL, ta = ta || ARRAY['more'] WHERE id % 7 = 0; DELETE FROM kinds WHERE id % 50 = 1;
UPDATE toast SET v = -v WHERE id % 3 = 0; UPDATE toast SET id = id + 10000 WHERE id BETWEEN @ AND @ + 5; UPDATE toast SET big = repeat('x', 9000) WHERE id % 100 = 50;
UPDATE bag SET v = v || '!' WHERE a = @ % 10; DELETE FROM bag WHERE a = (@ + 1) % 10; UPDATE part SET k = 1 - k WHERE id % 9 = 0;
TRUNCATE gone; INSERT INTO gone SELECT generate_series(1, @); UPDATE computed SET v = v + 1 WHERE id % 2 = 0; UPDATE plain SET v = v + 1 WHERE id % 2 = 0; DELETE FROM plain WHERE id = @
"""


def changes(n):
    return CHANGES.replace("@", str(n))


class Writer(threading.Thread):
    """Transactions of three statements, one after the other, until it is told to end."""

    def __init__(self, url):
        super().__init__(daemon=True)
        self.url, self.ends, self.done, self.error = url, threading.Event(), 0, None

    def run(self):
        try:
            with psycopg.connect(self.url) as connection:
                while not self.ends.wait(0.002):
                    n = self.done
                    connection.execute("UPDATE hot SET v = v + 1 WHERE id = %s", (n * 7 % 5000 + 1,))
                    connection.execute("INSERT INTO hot VALUES (%s, %s)", (10000 + n, n))
                    connection.execute("DELETE FROM hot WHERE id = %s", (10000 + n - 20,))
                    connection.commit()
                    self.done += 1
        except psycopg.Error as e:
            self.error = e

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc):
        self.ends.set()
        self.join(30)
        assert self.error is None, self.error


@pytest.fixture(name="target", scope="module")
def fixture_target():
    with Workdir("versions") as folder, Postgres(folder, "target") as target:
        yield folder, target


@pytest.mark.parametrize("major", MAJORS)
def test_life_of_a_pipeline(target, major):
    """Copy under load, stream, a killed capture, a restarted source; then everything is equal, also to compare."""
    folder, target = target
    virtual = ", w int GENERATED ALWAYS AS (v + 1) VIRTUAL" if major >= 18 else ""
    plain = "CREATE TABLE plain (id int PRIMARY KEY, v int, s int{}{})"
    with Postgres(folder, f"source-{major}", major=major, settings={"log_replication_commands": "on"}) as source:
        assert source.value("SHOW server_version_num").startswith(str(major))
        with scenario(folder, source, target, TABLES + plain.format(" GENERATED ALWAYS AS (v * 2) STORED", virtual), TABLES + plain.format("", ", w int" if virtual else ""), name=f"v{major}",
                      more={"capture": {"snapshot_chunk_rows": 200, "snapshot_workers": 2, "max_rows_per_second": 8000}}) as s:
            s.source(ROWS)
            check = s.pipeline.run("check")
            assert check.returncode == 0, check.stdout + check.stderr
            with Writer(s.source_url) as writer:
                s.capture.start(failpoint="capture.committed:4:kill")  # in the midst of the copy
                s.apply.start()
                s.capture.wait()
                s.capture.start()
                s.wait_complete()
                for n in range(3):
                    s.source(changes(n))
                s.wait()
                s.capture.kill9()
                s.source(changes(3), "SELECT pg_logical_emit_message(true, 'somebody', 'else')")
                s.capture.start()
                for n in range(4, count(6, 30)):
                    s.source(changes(n))
                s.wait()
            assert writer.done > 50 and "snapshot_resume" in s.capture.log_text()
            s.assert_equal(ignore=["public.plain"])
            check_computed(s, major)
            report = s.pipeline.run("compare", "run", "--json")
            assert report.returncode == 0, report.stdout + report.stderr
            source.restart(immediate=True)
            s.source(changes(40))
            s.assert_equal(ignore=["public.plain"])
        check_protocol(source, major)


def check_computed(s, major):
    """Stored generated columns come from 18 on, virtual ones never; what is left out is said."""
    left_out = dict(re.findall(r"generated_columns_left_out table=public\.(\w+) columns=(\S+)", s.capture.log_text()))
    rows = s.target("SELECT * FROM plain ORDER BY id")
    assert [r[:2] for r in rows] == s.source("SELECT id, v FROM plain ORDER BY id")
    if major >= 18:
        assert [r[2] for r in rows] == [r[1] * 2 for r in rows] and {r[3] for r in rows} == {None}
        assert left_out == {"plain": "{w}"}
        assert s.source("SELECT pubgencols FROM pg_publication") == [("s",)]
    else:
        assert {r[2] for r in rows} == {None}
        assert left_out == {"plain": "{s}", "computed": "{s}"}


def check_protocol(source, major):
    with open(source.log) as f:
        commands = re.findall(r"(?:START_REPLICATION) SLOT.*", f.read())
    assert commands
    for command in commands:
        assert f"proto_version '{PROTOCOL[major]}'" in command and "binary 'true'" in command, command
        assert ("origin 'any'" in command) == (major >= 16), command
