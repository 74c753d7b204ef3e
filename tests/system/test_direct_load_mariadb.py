"""capture.snapshot_path: direct into MariaDB: rows come as LOAD DATA LOCAL, by the same rules as apply's, and whatever is killed both ends are
equal when apply has come to the first complete fence."""

import random
import signal
import threading

import psycopg
import pytest

from rig import Postgres, Workdir, wait_until
from rig.failpoints import failpoints
from rig.mariadb import MariaDB
from rig.procs import halts
from rig.scenario import count, seed
from test_mariadb import WAYS, assert_same_values, case, way
from test_types_property import SCHEMA, Maker, fill, kinds, tables_of

SOURCE = r"""
CREATE TABLE big (id bigint PRIMARY KEY, v text, n numeric(12,2), at timestamptz, raw bytea);
CREATE TABLE named (name text PRIMARY KEY, v int);
CREATE TABLE pair (a int, b text, v text, PRIMARY KEY (a, b));
CREATE TABLE bag (a int, b text); ALTER TABLE bag REPLICA IDENTITY FULL;
CREATE TABLE empty (id int PRIMARY KEY);
CREATE TABLE long (id int PRIMARY KEY, doc text, n int DEFAULT 0); ALTER TABLE long ALTER doc SET STORAGE EXTERNAL;
CREATE TABLE uniq (id int PRIMARY KEY, email text UNIQUE);
CREATE TABLE part (id int, at int, v text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (10); CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM (10) TO (20);
INSERT INTO big SELECT i, repeat(md5(i::text), 4), i / 7.0, '2024-05-06 07:08:09.123456+00'::timestamptz + i * interval '1 s', decode(md5(i::text), 'hex') FROM generate_series(1, 3000) i;
INSERT INTO named SELECT E'n\t\\''"\r\n' || i || ':,', i FROM generate_series(1, 1500) i;
INSERT INTO pair SELECT i % 10, 'x' || i, CASE i % 3 WHEN 0 THEN NULL WHEN 1 THEN '' ELSE '\N' END FROM generate_series(1, 1500) i;
INSERT INTO bag SELECT i % 100, CASE WHEN i % 3 = 0 THEN NULL ELSE 'x' END FROM generate_series(1, 2000) i;
INSERT INTO long SELECT i, repeat(md5(i::text), 100) FROM generate_series(1, 800) i;
INSERT INTO uniq SELECT i, 'e' || i FROM generate_series(1, 1000) i;
INSERT INTO part SELECT i, i % 20, 'p' FROM generate_series(1, 1000) i;
ANALYZE;
"""
TARGET = """
CREATE TABLE big (id bigint PRIMARY KEY, v longtext, n decimal(12,2), at datetime(6), raw longblob);
CREATE TABLE named (name varchar(60) PRIMARY KEY, v int);
CREATE TABLE pair (a int, b varchar(60), v longtext, PRIMARY KEY (a, b));
CREATE TABLE bag (a int, b longtext);
CREATE TABLE empty (id int PRIMARY KEY);
CREATE TABLE `long` (id int PRIMARY KEY, doc longtext, n int);
CREATE TABLE uniq (id int PRIMARY KEY, email varchar(60) UNIQUE);
CREATE TABLE part (id int, at int, v longtext, PRIMARY KEY (id, at));
"""
# How both sides show a row: one text each.
SHOWN = {
    "big": ("concat_ws('|', id, v, n, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US'), encode(raw, 'hex'))", "CONCAT_WS('|', id, v, n, at, LOWER(HEX(raw)))"),
    "named": ("concat_ws('|', name, v)", "CONCAT_WS('|', name, v)"), "pair": ("concat_ws('|', a, b, coalesce(v, 'null'))", "CONCAT_WS('|', a, b, COALESCE(v, 'null'))"),
    "bag": ("concat_ws('|', a, coalesce(b, 'null'))", "CONCAT_WS('|', a, COALESCE(b, 'null'))"), "empty": ("id::text", "CAST(id AS char)"),
    "long": ("concat_ws('|', id, md5(doc), n)", "CONCAT_WS('|', id, MD5(doc), n)"), "uniq": ("concat_ws('|', id, email)", "CONCAT_WS('|', id, email)"),
    "part": ("concat_ws('|', id, at, v)", "CONCAT_WS('|', id, at, v)"),
}
DIRECT = {"capture": {"snapshot_path": "direct", "snapshot_workers": 2, "snapshot_chunk_rows": 300}}


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("directmaria") as folder, Postgres(folder, "source") as source, MariaDB(folder, "target") as target:
        yield folder, source, target


def assert_equal(s, tables=tuple(SHOWN)):
    s.pipeline.wait_caught_up(120)
    for table in tables:
        left, right = SHOWN[table]
        want = sorted(row[0] for row in s.source_server.sql(f"SELECT {left} FROM {table}", db=s.name))
        got = sorted(row[0] for row in s.target(f"SELECT {right} FROM `{table}`"))
        lost, doubled = sorted(set(want) - set(got))[:5], sorted(set(got) - set(want))[:5]
        assert want == got, f"{table}: {len(want)} rows, {len(got)} on the target; missing {lost}, too many {doubled}"


def chunks(s, where="done"):
    there = s.target("SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'crossfade_direct_chunk'")[0][0]
    return int(s.target(f"SELECT COUNT(*) FROM crossfade_direct_chunk WHERE {where}")[0][0]) if int(there) else 0


def complete(s, timeout=120):
    s.apply.wait_for(lambda status: status.get("complete"), timeout, "the copy is complete")


def change(s, step):
    """Something of everything: also rows that move without their long values, unique values that change hands, rows without a key."""
    s.source(f"UPDATE big SET v = 'step {step}' WHERE id % 17 = {step}", f"DELETE FROM big WHERE id % 23 = {step}", f"UPDATE big SET id = id + 100000 WHERE id <= 6000 AND id % 29 = {step}",
             f"INSERT INTO big SELECT i, 'in', 1 FROM generate_series({200000 + step * 100}, {200050 + step * 100}) i ON CONFLICT DO NOTHING",
             f"UPDATE long SET n = n + 1 WHERE id % 7 = {step}", f"UPDATE long SET id = id + 10000 WHERE id < 10000 AND id % 97 = {step} AND NOT EXISTS (SELECT 1 FROM long l WHERE l.id = long.id + 10000)",
             f"DELETE FROM long WHERE id % 31 = {step}", f"INSERT INTO long SELECT id - 10000, 'again' FROM long WHERE id > 10000 AND id % 5 = {step} ON CONFLICT DO NOTHING",
             f"DELETE FROM bag WHERE a = {step}", f"UPDATE bag SET b = 'y' WHERE a = {step + 20}", f"INSERT INTO bag SELECT {step + 40}, 'z' FROM generate_series(1, 3)",
             f"DELETE FROM uniq WHERE id = {step + 1}; UPDATE uniq SET email = 'e{step + 1}' WHERE id = {900 + step}; INSERT INTO uniq VALUES ({3000 + step}, 'e{900 + step}') ON CONFLICT DO NOTHING",
             f"UPDATE part SET at = (at + 7) % 20 WHERE id % 19 = {step}", f"UPDATE pair SET v = 'p' WHERE a = {step}",
             *(["TRUNCATE named", "INSERT INTO named VALUES ('after', 1)"] if step == 3 else []))


@pytest.mark.parametrize("local", [True, False], ids=["file", "arrays"])
def test_rows_do_not_go_by_the_journal(servers, local):
    server = servers[2]
    server.sql(f"SET GLOBAL local_infile = {int(local)}")
    try:
        with case(servers, f"way_{int(local)}", SOURCE, TARGET, DIRECT) as s:
            s.start()
            assert_equal(s)
            assert chunks(s) > 15 and chunks(s, "NOT done") == 0
            assert s.target("SELECT COUNT(DISTINCT lsn) FROM crossfade_direct_chunk") == (("1",),)
            assert s.apply.status()["changes"] < 1000
            s.source("UPDATE big SET v = 'new' WHERE id < 100", "DELETE FROM bag WHERE a = 7", "INSERT INTO empty VALUES (1)", "TRUNCATE named")
            assert_equal(s)
    finally:
        server.sql("SET GLOBAL local_infile = 1")


def test_every_type_is_the_same_by_both_ways(servers):
    """Rows of the load and rows of the stream hold the same values, whatever the type."""
    m = Maker(random.Random(f"{seed()} direct"))
    makers = {kind: make for kind, make in kinds(m, False).items() if not kind.startswith("tsquery")}
    assert set(WAYS) <= set(makers)
    tables = tables_of(makers)
    schema, target = SCHEMA, ""
    for table, types in tables.items():
        schema += f"CREATE TABLE {table} (id int PRIMARY KEY, v int, big text, {', '.join(f'c{i} {kind}' for i, kind in enumerate(types))});"
        target += f"CREATE TABLE {table} (id int PRIMARY KEY, v int, big longtext, {', '.join(f'c{i} {way(kind)[0]} NULL' for i, kind in enumerate(types))});\n"
    rows = count(40, 400)
    with case(servers, "types_", schema, target, {**DIRECT, "target": {"unfit": "null"}}) as s:
        with psycopg.connect(s.source_url, autocommit=True, options="-c timezone=UTC") as connection:
            for table, types in tables.items():
                fill(connection, table, types, makers, 1, rows, m)
        s.start()
        assert chunks(s) >= len(tables)
        compared = unfit = 0
        for table, types in tables.items():
            done = assert_same_values(s, table, types)
            compared, unfit = compared + done[0], unfit + done[1]
        assert "value_changed" in s.capture.log_text() and unfit < compared / 4


class Writers(threading.Thread):
    """Writes all the while, with the source's own arithmetic: what is lost or doubled shows."""

    def __init__(self, s):
        super().__init__(daemon=True)
        self.url, self.ended, self.failure, self.done = s.source_url, threading.Event(), None, 0

    def run(self):
        try:
            with psycopg.connect(self.url, autocommit=True) as connection:
                while not self.ended.wait(0.01):
                    i = self.done
                    connection.execute(f"UPDATE big SET n = n + 1 WHERE id % 101 = {i % 101}")
                    connection.execute(f"INSERT INTO big VALUES ({500000 + i}, 'w', 0)")
                    connection.execute(f"INSERT INTO bag VALUES ({-i}, 'w')")
                    connection.execute(f"DELETE FROM bag WHERE a = {-(i - 40)}")
                    connection.execute(f"UPDATE long SET n = n + 1 WHERE id % 89 = {i % 89}")
                    self.done += 1
        except psycopg.Error as error:
            self.failure = error

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc):
        self.ended.set()
        self.join(60)


def test_capture_is_killed_at_each_point_while_the_source_is_written(servers):
    """One load, cut off again and again: chunks that were committed are not loaded once more, and nothing is missing or doubled."""
    points = ["capture.snapshot_begun", "capture.direct_claimed", "capture.direct_chunk:4", "capture.direct_copied:3", "capture.direct_chunk_done:6",
              "capture.direct_loaded", "capture.direct_finished", "capture.snapshot_copied"]
    assert {p for p in failpoints("capture", "lib/target") if p.startswith("capture.direct_") and p != "capture.direct_held"} <= {p.split(":")[0] for p in points}
    with case(servers, "kills", SOURCE, TARGET, DIRECT) as s:
        s.apply.start()
        most = 0
        with Writers(s) as writers:
            for step, point in enumerate(points):
                s.capture.start(failpoint=point)
                change(s, step)
                s.capture.assert_exit(-signal.SIGKILL, timeout=120)
                change(s, step + 9)
                if step in (3, 5):
                    s.apply.kill9()
                    s.apply.start()
                most = max(most, chunks(s))
            s.capture.start()
            complete(s)
        assert writers.failure is None and writers.done > 0 and most > 8
        assert_equal(s)
        assert s.target("SELECT attempt FROM crossfade_position") == (("1",),)
        # Without a key, or with a second unique index, a table is of one snapshot; others may be of several.
        several = s.target("SELECT table_name FROM crossfade_direct_table JOIN crossfade_direct_chunk USING (pipeline, source_oid) GROUP BY table_name HAVING COUNT(DISTINCT lsn) > 1")
        assert several and {row[0] for row in several}.isdisjoint({"bag", "uniq"}), several


def test_others_are_killed(servers):
    """One slow load, in which apply, the target and the source die, one after the other."""
    _, source, target = servers
    slow = {"capture": {**DIRECT["capture"], "max_rows_per_second": 3000}}
    with case(servers, "others", SOURCE, TARGET, slow) as s:
        s.capture.start()
        s.apply.start()
        wait_until(lambda: chunks(s) > 1, 120, "the load begins")
        for step, victim in enumerate(["apply", "target", "source"]):
            before = chunks(s)
            wait_until(lambda: chunks(s) > before or chunks(s, "NOT done") == 0, 120, "chunks are loaded")
            change(s, step)
            if victim == "apply":
                s.apply.kill9()
                s.apply.start()
            else:
                server = {"source": source, "target": target}[victim]
                server.kill9()
                server.start()
            change(s, step + 9)
        complete(s)
        change(s, 4)
        assert_equal(s)
        assert s.target("SELECT attempt FROM crossfade_position") == (("1",),)


def test_what_does_not_fit(servers):
    """By target.unfit and its columns; what halts names the row without its value, and what the server alone can refuse is not skipped."""
    schema = "CREATE TABLE t (id int PRIMARY KEY, at timestamptz, n numeric(8,2)); INSERT INTO t VALUES (1, 'infinity', 5), (2, NULL, 1234.56)"
    target = "CREATE TABLE t (id int PRIMARY KEY, at datetime(6), n decimal(4,2));\n"
    with case(servers, "unfit", schema, target, DIRECT) as s:
        s.target("INSERT INTO t VALUES (9, NULL, 9)")
        s.apply.start()
        s.capture.start()
        halts(s.capture, 5, "table=public.t", "holds rows that this pipeline did not write")
        s.target("DELETE FROM t")

        def refused(*words):
            s.capture.start()
            halts(s.capture, 5, "table=public.t", *words)
            assert s.target("SELECT COUNT(*) FROM t") == (("0",),)
            assert "1234" not in s.capture.log_text()
        refused("column=at", "infinity", "22008", "key_hash=6b86b273ff34fce1")
        s.pipeline.settings["target"] = {**s.pipeline.settings["target"], "unfit_columns": {"public.t.at": "nearest"}}
        s.pipeline.write()
        refused("column=n", "22003", "key_hash=d4735e3a265e16ee")
        s.target("ALTER TABLE t MODIFY n decimal(8,2), ADD CHECK (n < 1000)")
        refused("CONSTRAINT", "failed")
        s.target("DROP TABLE t")
        s.target("CREATE TABLE t (id int PRIMARY KEY, at datetime(6), n decimal(8,2), k int AS (1) STORED UNIQUE)")
        refused("duplicate entry for key 'k'", "error 1062")
        s.target("DROP TABLE t")
        s.target("CREATE TABLE t (id int PRIMARY KEY, at datetime(6) NOT NULL, n decimal(8,2))")
        refused("column=at", "23502", "NOT NULL", "key_hash=d4735e3a265e16ee")  # LOAD DATA would make something of it
        s.target("DROP TABLE t")
        s.target("CREATE TABLE t (id int PRIMARY KEY, at datetime(6), n decimal(8,2))")
        s.capture.start()
        complete(s)
        assert s.target("SELECT * FROM t ORDER BY id") == (("1", "9999-12-31 23:59:59.999999", "5.00"), ("2", None, "1234.56"))


def test_masked_columns_and_filters(servers):
    rules = {"source": {"filters": [{"table": "public.t", "where": "id < 4", "mask": {"email": "hash"}}], "mask_salt": "a salt of its own"}}
    schema = "CREATE TABLE t (id int PRIMARY KEY, email text); ALTER TABLE t REPLICA IDENTITY FULL; INSERT INTO t SELECT i, 'secret' || i FROM generate_series(1, 5) i"
    with case(servers, "masks", schema, "CREATE TABLE t (id int PRIMARY KEY, email longtext);\n", {**DIRECT, **rules}) as s:
        s.start()
        s.source("INSERT INTO t VALUES (0, 'secret1')")
        s.pipeline.wait_caught_up(120)
        rows = dict(s.target("SELECT id, email FROM t"))
        assert sorted(rows) == ["0", "1", "2", "3"] and rows["0"] == rows["1"] != rows["2"] and "secret" not in "".join(rows.values())
