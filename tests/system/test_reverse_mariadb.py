"""The way back from MariaDB: `--reverse` of a pipeline PostgreSQL → MariaDB. Both directions at once, every type there and back, kills, refusals."""

import contextlib
import json
import os
import random
import shutil
import threading
import uuid

import psycopg
import pymysql
import pytest

from rig import Pipeline, Postgres, Workdir, wait_until
from rig.mariadb import BINLOG, MariaDB
from rig.scenario import count, drop_database, seed
from rig.way_back import WayBack
from test_schema_types import CHOSEN, SETTINGS, canonical, create, held
from test_types_property import NO_EQUALITY, Maker, fill, kinds, tables_of
from test_types_property import SCHEMA as TYPES

LOGGED = {**BINLOG, "sql-mode": "STRICT_TRANS_TABLES", "binlog-row-metadata": "FULL"}
JOBS = ("apply", "schema", "reverse-target")


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("reverse-mariadb") as folder, Postgres(folder, "source", settings={"max_prepared_transactions": 20}) as source, MariaDB(folder, "target", LOGGED) as target:
        yield folder, source, target


class Both:
    """A database on each side, MariaDB's made by `schema create`; the pipeline, and its way back."""

    def __init__(self, servers, name, schema, more=None):
        folder, self.postgres, self.maria = servers
        self.name, self.source_url = name, self.postgres.create_db(name)
        self.source(schema)
        target_url = self.maria.create_db(name, jobs=JOBS)
        settings = {"capture": {"heartbeat_interval_ms": 300}}
        for section, keys in (more or {}).items():
            settings.setdefault(section, {}).update(keys)
        self.pipeline = Pipeline(folder, self.source_url, target_url, name=name, tables=("public.*",), more=settings)
        self.back = WayBack(self.pipeline)
        self.roles = (self.pipeline.capture, self.pipeline.apply, self.back.capture, self.back.apply)

    def create(self):
        done = self.run("schema", "create", "--execute")
        assert done.returncode == 0, done.stdout + done.stderr
        return self

    def run(self, *words):
        done = self.pipeline.run(*words, timeout=300)
        assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr
        return done

    def forward(self):
        for role in (self.pipeline.capture, self.pipeline.apply):
            if not role.running:
                role.start()
        self.pipeline.apply.wait_for(lambda status: status.get("complete"), 120, "the copy is complete")
        return self

    def start(self):
        self.forward()
        self.back.start()
        return self

    def source(self, *statements):
        rows = None
        with psycopg.connect(self.source_url, autocommit=True, options="-c timezone=UTC") as connection:
            for statement in statements:
                cursor = connection.execute(statement)
                rows = cursor.fetchall() if cursor.description else None
        return rows

    def target(self, *statements):
        with self.maria.connect(self.name) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall()

    def wait_there(self):
        self.pipeline.wait_caught_up(180)

    def wait_back(self, timeout=180):
        """All that MariaDB has committed by now has come back."""
        nonce = uuid.uuid4().hex
        self.target(f"INSERT INTO crossfade_marker (pipeline, nonce, kind) VALUES ('{self.name}_reverse', '{nonce}', 'ping')")

        def fence():
            lines = self.run("--reverse", "journal", "fences", "--json").stdout.splitlines()
            return next((f["lsn"] for f in map(json.loads, lines) if f.get("marker", {}).get("nonce") == nonce), None)
        self.back.apply.wait_lsn("applied_lsn", wait_until(fence, timeout, "the marker's fence"), timeout)

    def changes(self, *words):
        done = self.run(*words, "journal", "verify", "--json")
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr
        return json.loads(done.stdout)["totals"]["changes"]

    def numbers(self):
        """Transactions in MariaDB's binlog."""
        text = self.maria.value("SELECT @@global.gtid_binlog_pos")
        return sum(int(gtid.split("-")[2]) for gtid in (text.decode() if isinstance(text, bytes) else text).split(","))

    def wal(self):
        return int(self.source("SELECT pg_current_wal_insert_lsn() - '0/0'")[0][0])

    def close(self):
        for role in self.roles:
            role.close()


@contextlib.contextmanager
def both(servers, name, schema, more=None):
    made = Both(servers, name, schema, more)
    try:
        yield made
        made.close()
        made.pipeline.assert_clean()
        for role in made.roles:
            assert not role.sanitizer_reports(), f"{role.name}\n{role.log_tail(120)}"
            assert "p@ss" not in role.log_text() and "p%40ss" not in role.log_text()
    finally:
        made.close()
        drop_database(made.postgres, name)
        made.maria.sql(f"DROP DATABASE `{name}`")


# -- both directions

TURNS = """CREATE TABLE t (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, side varchar(200) COLLATE "C" NOT NULL, n int NOT NULL, big text COLLATE "C", at timestamptz, ok boolean);
    ALTER TABLE t ALTER big SET STORAGE EXTERNAL; CREATE TABLE "A ""quoted"" one" ("K" int PRIMARY KEY, v text COLLATE "C"); CREATE TABLE bag (a int, b text COLLATE "C"); ALTER TABLE bag REPLICA IDENTITY FULL;
    INSERT INTO t (side, n) SELECT 'first', g FROM generate_series(1, 200) g; INSERT INTO "A ""quoted"" one" VALUES (1, 'x')"""
READ = (("SELECT id::text, side, n::text, md5(big), to_char(at, 'YYYY-MM-DD HH24:MI:SS.US'), ok::int::text FROM t", "SELECT CAST(id AS CHAR), side, CAST(n AS CHAR), MD5(big), CAST(at AS CHAR), CAST(ok AS CHAR) FROM t"),
        ('SELECT "K"::text, v FROM "A ""quoted"" one"', 'SELECT CAST(`K` AS CHAR), v FROM `A "quoted" one`'), ("SELECT a::text, b FROM bag", "SELECT CAST(a AS CHAR), b FROM bag"))


def texts(rows):
    return sorted(([v.decode() if isinstance(v, bytes) else v for v in row] for row in rows), key=str)


def assert_equal(s):
    for here, there in READ:
        assert texts(s.source(here)) == texts(s.target(there)), here


def a_turn(s, side, turn):
    """The same on either side; returns how many changes it makes."""
    first, write = 1000 + turn * 1000, s.source if side == "source" else s.target
    rows = f"generate_series({first}, {first + 99}) g" if side == "source" else f"(SELECT seq AS g FROM seq_{first}_to_{first + 99}) s"
    quoted = 'UPDATE "A ""quoted"" one" SET v' if side == "source" else 'UPDATE `A "quoted" one` SET v'
    write(f"INSERT INTO t (id, side, n, at, ok) SELECT g, '{side}', {turn}, '2024-02-29 12:34:56.789012', g % 2 = 0 FROM {rows}",
          f"UPDATE t SET n = n + 1, side = '{side}' WHERE id % 7 = 0 AND id BETWEEN 1 AND 199",
          f"UPDATE t SET big = repeat('{turn}', 9000) WHERE id = {first}",
          f"UPDATE t SET side = 'large kept' WHERE id = {first}",
          f"DELETE FROM t WHERE id = {first + 1}",
          f"UPDATE t SET id = -id WHERE id = {first + 2}",
          f"{quoted} = '{side} {turn}'",
          f"INSERT INTO bag VALUES ({turn}, 'b'), ({turn}, 'b')", f"UPDATE bag SET b = '{side}' WHERE a = {turn}")
    return 100 + 28 + 1 + 1 + 1 + 2 + 1 + 2 + 2


@pytest.mark.parametrize("writers", [1, 2])
def test_both_directions_with_writes_in_turn(servers, writers):
    """Each change is captured once, on the side where it was made, and nothing moves when nobody writes."""
    rounds = count(8, 40)
    with both(servers, f"turns{writers}", TURNS, {"apply": {"writers": writers, "writer_rows": 20}, "capture": {"heartbeat_interval_ms": 5000}}) as s:
        s.create().start()
        before, made = s.changes(), {"source": 0, "target": 0}
        assert s.changes("--reverse") == 0, "nothing that apply has copied comes back"
        for turn in range(rounds):
            side = ("source", "target")[turn % 2]
            made[side] += a_turn(s, side, turn)
            if side == "source":
                s.wait_there()
            else:
                s.wait_back()
            assert_equal(s)
        for _ in range(2):
            s.wait_there()
            s.wait_back()
        numbers, wal, pings = s.numbers(), s.wal(), 5
        for _ in range(pings):
            s.wait_there()
            s.wait_back()
        # a marker here is a position there, and the other way round; a few heartbeats and vacuum beside it
        assert s.numbers() - numbers < 20 * pings and s.wal() - wal < 4 << 20, (s.numbers() - numbers, s.wal() - wal)
        assert s.changes() - before == made["source"] and s.changes("--reverse") == made["target"], (s.changes() - before, s.changes("--reverse"), made)
        done = s.run("--reverse", "status", "--json")
        assert done.returncode == 0 and f"turns{writers}_reverse" in done.stdout
        done = s.run("--reverse", "status", "--wait", "caught-up", "--timeout", "60")
        assert done.returncode == 0, done.stdout + done.stderr
        done = s.run("compare", "run", "--json")
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr
        assert "from_crossfade" not in s.back.capture.log_text()


class Writer(threading.Thread):
    """Transactions on one side over keys of its own, until the block ends; `acked` are the keys that were acknowledged."""

    def __init__(self, s, side):
        super().__init__(daemon=True)
        self.s, self.side, self.ended, self.failure, self.acked = s, side, threading.Event(), None, []

    def connect(self):
        if self.side == "source":
            return psycopg.connect(self.s.source_url, autocommit=True)
        return self.s.maria.connect(self.s.name)

    def run(self):
        try:
            with self.connect() as connection:
                cursor, number = connection.cursor(), 10 ** 6 + (self.side == "target")
                while not self.ended.is_set():
                    number += 2
                    cursor.execute("BEGIN")
                    cursor.execute(f"INSERT INTO t (id, side, n) VALUES ({number}, '{self.side}', 0)")
                    cursor.execute(f"UPDATE t SET n = n + 1, big = repeat('{number % 10}', {number % 50 * 100}) WHERE id = {number - 20}")
                    if number % 10 < 2:
                        cursor.execute(f"DELETE FROM t WHERE id = {number - 40}")
                    cursor.execute("COMMIT")
                    self.acked.append(number)
        except (psycopg.Error, pymysql.Error) as error:  # shown by __exit__
            self.failure = error

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc):
        self.ended.set()
        self.join(60)
        assert self.failure is None and not self.is_alive(), self.failure

    def expected(self):
        return {number for number in self.acked if number + 40 not in self.acked or (number + 40) % 10 >= 2}


def test_kills_with_writes_on_both_sides(servers):
    """Both sides are written to at once, each role is killed over and over: nothing is lost, nothing comes twice, both sides are equal."""
    r = random.Random(f"{seed()} kills")
    with both(servers, "kills", TURNS) as s:
        s.create().start()
        before = s.changes()
        with Writer(s, "source") as here, Writer(s, "target") as there:
            for _ in range(count(3, 15)):
                for role in r.sample(s.roles, len(s.roles)):
                    seen = len(here.acked), len(there.acked)
                    wait_until(lambda seen=seen: len(here.acked) > seen[0] + 20 and len(there.acked) > seen[1] + 20, 60, "both write")
                    role.kill9()
                    if r.random() < 0.5:
                        role.start(failpoint=r.choice(("capture.fence_appended:2:kill", "capture.committed:2:kill") if "capture" in role.name else ("apply.before_commit:2:kill", "apply.after_commit:1:kill")))
                        role.wait(60)
                    role.start()
        s.wait_there()
        s.wait_back()
        s.wait_there()
        assert_equal(s)
        have = {int(row[0]) for row in s.source("SELECT id FROM t WHERE id >= 1000000")}
        assert have == here.expected() | there.expected(), len(have)
        made = {w.side: sum(1 for n in w.acked) + sum(n - 20 >= 10 ** 6 + 2 for n in w.acked) + sum(n % 10 < 2 and n - 40 >= 10 ** 6 + 2 for n in w.acked) for w in (here, there)}
        assert s.changes() - before == made["source"] and s.changes("--reverse") == made["target"], made
        done = s.run("compare", "run", "--json")
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr


# -- types

def test_every_type_comes_back(servers):
    """What `schema create` makes of every type: rows that are written on MariaDB are on PostgreSQL what they were there."""
    m = Maker(random.Random(f"{seed()} back"))
    makers = kinds(m, False)
    tables = tables_of(makers)
    schema = TYPES + "".join(f"CREATE TABLE {table} (id int PRIMARY KEY, v int, big text, {', '.join(f'c{i} {kind}' for i, kind in enumerate(types))});" for table, types in tables.items())
    rows = count(25, 400)
    with both(servers, "back_types", schema, {"target": {"unfit": "null"}}) as s:
        asked = create(s.pipeline, {})
        types = {d["name"]: CHOSEN.get(tables[d["name"].split(".")[1]][int(d["name"].split(".")[2][1:])], "longtext") for d in asked["decisions"]}
        assert create(s.pipeline, types)["ok"]
        with psycopg.connect(s.source_url, autocommit=True, options="-c timezone=UTC") as connection:
            for table, names in tables.items():
                fill(connection, table, names, makers, 1, rows, m)
        s.forward()
        s.wait_there()
        for role in (s.pipeline.capture, s.pipeline.apply):
            role.terminate()
        s.pipeline.settings["target"]["unfit"] = "halt"
        s.pipeline.write()
        s.source("CREATE SCHEMA kept", *(f"CREATE TABLE kept.{table} AS SELECT * FROM public.{table}" for table in tables))
        s.start()
        for table, names in tables.items():
            columns = ", ".join(f"c{i}" for i in range(len(names)))
            s.target(f"UPDATE {table} SET v = v + 1000", f"INSERT INTO {table} (id, v, big, {columns}) SELECT id + 100000, v, big, {columns} FROM {table}",
                     f"DELETE FROM {table} WHERE id % 5 = 0", f"UPDATE {table} SET id = id + 500000 WHERE id % 7 = 0")
        s.wait_back(600)
        values = lost = 0
        for table, names in tables.items():
            done = came_back(s, table, names)
            values, lost = values + done[0], lost + done[1]
    print(f"{len(makers)} column types, {values} values, of which {lost} have no place on MariaDB")
    assert 0 < lost < values / 4


def came_back(s, table, names):
    """(values, of them such as MariaDB has no place for)."""
    lost = 0
    pairs = f"public.{table} b JOIN kept.{table} a ON a.id = (b.id - CASE WHEN b.id % 7 <> 0 AND b.id > 500000 THEN 500000 ELSE 0 END) % 100000"
    with psycopg.connect(s.source_url, options=SETTINGS) as connection:
        first = connection.execute(f"SELECT count(*) FROM kept.{table}").fetchone()[0]
        found = connection.execute(f"SELECT count(*), count(*) FILTER (WHERE b.v = a.v + 1000 AND b.big = a.big) FROM {pairs}").fetchone()
        assert found[0] == found[1] and found[0] > first, (table, first, found)
        for i, kind in enumerate(names):
            a, b = f"a.c{i}", f"b.c{i}"
            same = f"{canonical(kind, a)} = {canonical(kind, b)}"
            if kind.removesuffix("[]").partition("(")[0] not in NO_EQUALITY:
                same = f"({same} OR {a} IS NOT DISTINCT FROM {b})"
            others = connection.execute(f"""SELECT b.id, format('%s', {a}), CASE WHEN {b}::text IS NOT NULL THEN format('%s', {b}) END FROM {pairs}
                WHERE NOT (({a}::text IS NULL AND {b}::text IS NULL) OR ({a}::text IS NOT NULL AND {b}::text IS NOT NULL AND {same})) ORDER BY 1""").fetchall()
            for number, want, got in others:
                assert got is None and not held(kind, want), f"{table}.c{i} id={number} {kind}: was {want!r}, came back {got!r}"
            lost += len(others)
    return found[0] * len(names), lost


ODD = """CREATE TABLE odd (id int PRIMARY KEY, b boolean, t time, tz timestamptz(3), a int[], v varchar(3), u uuid, n numeric(5,2), i interval(2), s smallint);
    INSERT INTO odd (id) SELECT generate_series(1, 9)"""


def test_values_that_postgres_has_no_place_for(servers):
    """An application on MariaDB may write what its column takes and PostgreSQL's does not: that row halts apply, and none is changed in silence."""
    with both(servers, "odd", ODD) as s:
        s.create().start()
        for column, wrong, right, says in (
                ("b", "2", "1", "neither 0 nor 1"), ("t", "'25:00:00'", "'24:00:00'", "time of day"), ("tz", "'2024-01-01 00:00:00.120'", None, None), ("a", "'[{\"a\": 1}]'", "'[1, null, -3]'", "JSON array"),
                ("i", "'1.234 secs'", "'1.23 secs'", "digits")):
            s.target(f"UPDATE odd SET {column} = {wrong} WHERE id = 1")
            if says is None:
                s.wait_back()
                continue
            s.back.apply.assert_exit(5, 60)
            assert "table=public.odd" in s.back.apply.log_text() and says in s.back.apply.log_text(), s.back.apply.log_tail()
            s.source(f"ALTER TABLE odd ALTER {column} TYPE {'interval' if column == 't' else 'text'} USING NULL")
            s.back.apply.start()
            s.wait_back()
            s.back.apply.terminate()
            kind = {"b": "boolean", "t": "time", "a": "int[]", "i": "interval(2)"}[column]
            s.source(f"UPDATE odd SET {column} = NULL", f"ALTER TABLE odd ALTER {column} TYPE {kind} USING NULL")
            s.back.apply.start()
            s.target(f"UPDATE odd SET {column} = {right} WHERE id = 1")
            s.wait_back()
        assert s.source("SELECT b, t::text, to_char(tz, 'YYYY-MM-DD HH24:MI:SS.MS'), a, i::text FROM odd WHERE id = 1") == [(True, "24:00:00", "2024-01-01 00:00:00.120", [1, None, -3], "00:00:01.23")]


# -- what is refused, and how it goes on

def begun(s):
    """How often the way back is noted on MariaDB."""
    there = s.maria.sql(f"SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = '{s.name}' AND TABLE_NAME = 'crossfade_marker'")
    return int(s.maria.value("SELECT COUNT(*) FROM crossfade_marker WHERE kind = 'begun'", db=s.name)) if there else 0


def test_refused_before_anything_is_written(servers):
    with both(servers, "refusals", "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'x')") as s:
        s.create()

        def refused(words, code=None):
            done = s.run("--reverse", "capture", "run")
            assert done.returncode not in (0, 5) and words in done.stderr + done.stdout, (done.returncode, done.stdout, done.stderr)
            assert code is None or done.returncode == code
        refused("has not copied all rows yet")
        s.forward()
        for section, key, value, words in (("capture", "origin", "any", "capture.origin"), ("target", "unfit", "null", "target.unfit"), ("target", "unfit_columns", {"public.t.v": "null"}, "target.unfit_columns"),
                                           ("source", "filters", [{"table": "public.t", "columns": ["!v"]}], "source.filters")):
            kept = dict(s.pipeline.settings[section])
            s.pipeline.settings[section][key] = value
            s.pipeline.write()
            refused(words)
            s.pipeline.settings[section] = kept
            s.pipeline.write()
        s.target("CREATE TABLE alone (id int PRIMARY KEY)")
        refused("public.alone")
        s.target("DROP TABLE alone")
        s.source("CREATE TABLE crossfade_mine (id int PRIMARY KEY)")
        refused("crossfade_mine")
        s.source("DROP TABLE crossfade_mine")
        s.source("CREATE TABLE ward (id int PRIMARY KEY, t int)")
        s.target("CREATE TABLE ward (id int PRIMARY KEY, t int, CONSTRAINT of_t FOREIGN KEY (t) REFERENCES t (id) ON DELETE CASCADE)")
        refused("of_t")
        s.target("ALTER TABLE ward DROP FOREIGN KEY of_t", "ALTER TABLE ward ADD FOREIGN KEY (t) REFERENCES t (id)")
        s.maria.sql("SET GLOBAL binlog_format = MIXED")
        try:
            refused("binlog_format", 2)
            checked = {(c["side"], c["check"]): c["state"] for c in json.loads(s.run("--reverse", "check", "--json").stdout)["checks"]}
            assert checked["source", "binlog_format"] == "fail"
        finally:
            s.maria.sql("SET GLOBAL binlog_format = ROW")
        assert not begun(s)
        for words in (("--reverse", "compare", "run"), ("--reverse", "cleanup")):
            done = s.run(*words)
            assert done.returncode == 2 and "MariaDB" in done.stderr, (words, done.stderr)
        s.back.start()
        checked = {(c["side"], c["check"]): c for c in json.loads(s.run("--reverse", "check", "--json").stdout)["checks"]}
        assert checked["source", "tables"]["found"] == "2" and checked["source", "binlog filters"]["state"] == "ok"


def test_a_journal_that_is_lost_is_no_beginning(servers):
    """Killed at its beginning it begins again, or goes on; when it has begun, it goes on where its journal ends, or not at all."""
    with both(servers, "lost", "CREATE TABLE t (id int PRIMARY KEY, v text)") as s:
        s.create().forward()
        for point in ("capture.snapshot_begun:1:kill", "capture.way_back:1:kill"):
            s.back.capture.start(failpoint=point)
            s.back.capture.wait(60)
            assert not begun(s)
        s.target("INSERT INTO t VALUES (1, 'between')")
        s.back.start()
        s.target("INSERT INTO t VALUES (2, 'two')")
        s.wait_back()
        assert s.source("SELECT id FROM t ORDER BY 1") == [(1,), (2,)], "capture.way_back stands behind the first fence"
        assert begun(s) == 1
        for role in (s.back.capture, s.back.apply):
            role.terminate()
        journal = f"{s.pipeline.settings['journal']['url'].removeprefix('lmdb:')}-reverse"
        assert os.path.isdir(journal)
        os.rename(journal, journal + ".away")
        s.back.capture.start()
        s.back.capture.wait(60)
        assert s.back.capture.exit_code != 0 and "has begun before" in s.back.capture.log_text(), s.back.capture.log_tail()
        shutil.rmtree(journal, ignore_errors=True)
        os.rename(journal + ".away", journal)
        s.target("INSERT INTO t VALUES (3, 'three')")
        s.back.start()
        s.wait_back()
        assert s.source("SELECT count(*) FROM t") == [(3,)]
        done = s.pipeline.run("compare", "repair", "--execute", job="repair")
        assert done.returncode != 0
