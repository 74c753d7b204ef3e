"""PostgreSQL 14 to 18 as sources: one life of a pipeline on each, and what differs between them."""

import os
import re

import psycopg
import pytest

from rig import Postgres, Workdir, Writer, wait_until
from rig.privileges import CAPTURE
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


def writes(n):
    """Transactions of three statements."""
    yield (f"BEGIN; UPDATE hot SET v = v + 1 WHERE id = {n * 7 % 5000 + 1}; INSERT INTO hot VALUES ({10000 + n}, {n}); "
           f"DELETE FROM hot WHERE id = {10000 + n - 20}; COMMIT")


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
            with Writer(s.source_url, writes, pause=0.002) as writer:
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
            assert writer.rounds > 50 and "snapshot_resume" in s.capture.log_text()
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


@pytest.mark.parametrize("major", (16, 18))
def test_decoding_on_a_standby(target, major):
    """Everything that capture reads comes from a hot standby, everything that it writes goes to the primary; both may be restarted."""
    folder, target = target
    with Postgres(folder, f"primary-{major}", major=major) as primary:
        with primary.standby(folder, f"standby-{major}") as standby, scenario(
                folder, primary, target, TABLES, TABLES, name=f"standby{major}", tables=["public.*", "!public.bag"],
                more={"source": {"standby_url": standby.url(f"standby{major}")}, "capture": {"snapshot_chunk_rows": 200, "snapshot_workers": 2, "max_rows_per_second": 8000}}) as s:
            s.source(ROWS.replace("plain", "computed").replace("INSERT INTO computed (id, v) SELECT i, i FROM generate_series(1, 50) i;", ""))
            with Writer(s.source_url, writes, pause=0.002) as writer:
                s.capture.start(failpoint="capture.committed:4:kill")
                s.apply.start()
                s.capture.wait()
                s.capture.start()
                s.wait_complete()
                for n in range(3):
                    s.source(changes(n).replace("plain", "computed"))
                s.wait()
                standby.restart(immediate=True)
                s.source(changes(3).replace("plain", "computed"))
                s.wait()
            assert writer.rounds > 50 and "snapshot_resume" in s.capture.log_text()
            s.assert_equal(ignore=["public.bag"])
            report = s.pipeline.run("compare", "run", "--json")
            assert report.returncode == 0, report.stdout + report.stderr
            slot = "SELECT active, database FROM pg_replication_slots WHERE slot_name = %s"
            assert standby.sql(slot, (f"crossfade_{s.name}",)) == [(True, s.name)]
            assert primary.sql(slot, (f"crossfade_{s.name}",)) == []
            s.capture.terminate()
            standby.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")


def refused(s, *words):
    s.capture.start()
    code = s.capture.wait(30)
    text = s.capture.log_tail(5)
    assert code not in (0, None) and all(word in text for word in words), (code, text)


def test_what_a_standby_refuses(target):
    """Each trap is named: no key, no publication, another server, a version that cannot, a promoted standby."""
    folder, target = target
    tables = "CREATE TABLE a (id int PRIMARY KEY, v int); CREATE TABLE bag (v int); ALTER TABLE bag REPLICA IDENTITY FULL;"
    with Postgres(folder, "primary-17", major=17) as primary, primary.standby(folder, "standby-17") as standby:
        with scenario(folder, primary, target, tables, tables, name="refuse", tables=["public.*"]) as s:
            settings = s.pipeline.settings["source"]

            def read_from(**urls):
                settings.pop("standby_url", None)
                settings.update({key: s.pipeline.for_capture(url) for key, url in urls.items()})
                s.pipeline.write()
            standby_url, primary_url = standby.url("refuse"), s.source_url
            read_from(standby_url=standby_url)
            refused(s, "table=public.bag has no key", "capture from the primary")
            read_from(standby_url=target.url("refuse"))
            refused(s, "source.standby_url is no standby")
            read_from(url=target.url("refuse"), standby_url=standby_url)
            refused(s, "system identifier")
            read_from(url=standby_url, standby_url=standby_url)
            refused(s, "source.url is a standby as well")
            s.source("INSERT INTO a SELECT generate_series(1, 1000), 1")
            settings["tables"] = ["public.a"]
            with psycopg.connect(primary_url) as running:  # why capture does not trust a standby's lists
                running.execute("INSERT INTO bag VALUES (1)")
                s.source("INSERT INTO bag VALUES (2)")
                replayed(primary, standby)
                assert s.source("SELECT count(*) FROM pg_snapshot_xip(pg_current_snapshot())")[0][0] >= 1
                assert standby.value("SELECT count(*) FROM pg_snapshot_xip(pg_current_snapshot())", db="refuse") == 0
            alone(s, primary, standby, read_from, standby_url)
            read_from(url=primary_url, standby_url=standby_url)
            standby.sql("SELECT pg_promote()")
            refused(s, "source.standby_url is no standby (was it promoted?)")
            standby.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")


def alone(s, primary, standby, read_from, standby_url):
    """No way to the primary: what it takes must be there, and somebody else writes down the running transactions."""
    primary.sql("DROP SCHEMA IF EXISTS crossfade CASCADE; DROP PUBLICATION IF EXISTS crossfade_refuse", db="refuse")
    read_from(url=standby_url)
    replayed(primary, standby)
    refused(s, "crossfade.marker is not there", "source.standby_url")
    with open(os.path.join(os.path.dirname(__file__), "../../schemas/sql/source.sql")) as f:
        primary.sql(f"SET ROLE {CAPTURE}; {f.read()}", db="refuse")
    primary.sql("CREATE PUBLICATION crossfade_refuse FOR TABLE crossfade.marker", db="refuse")
    replayed(primary, standby)
    refused(s, "table=public.a is not in publication crossfade_refuse")
    primary.sql("ALTER PUBLICATION crossfade_refuse ADD TABLE a", db="refuse")
    replayed(primary, standby)
    refused(s, "publish_via_partition_root is off")
    primary.sql("ALTER PUBLICATION crossfade_refuse SET (publish_via_partition_root = true)", db="refuse")
    replayed(primary, standby)
    s.capture.start()
    s.apply.start()

    def complete():
        primary.sql("SELECT pg_log_standby_snapshot()")
        return (s.apply.status() or {}).get("complete")
    wait_until(complete, 60, "the copy is complete")
    s.source("UPDATE a SET v = 2 WHERE id < 10", "DELETE FROM a WHERE id > 900")
    s.assert_equal(ignore=["public.bag"])
    s.capture.terminate()


def replayed(primary, standby):
    lsn = primary.value("SELECT pg_current_wal_flush_lsn()::text")
    wait_until(lambda: standby.value("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", (lsn,)), 30, "the standby has replayed it")


def test_no_decoding_on_an_old_standby(target):
    folder, target = target
    table = "CREATE TABLE a (id int PRIMARY KEY)"
    with Postgres(folder, "primary-15", major=15) as primary, primary.standby(folder, "standby-15") as standby:
        with scenario(folder, primary, target, table, name="old", more={"source": {"standby_url": standby.url("old")}}) as s:
            refused(s, "PostgreSQL 15 does not decode on a standby")
