"""MariaDB → journal → PostgreSQL: capture reads the binlog. What arrives is compared by reading both servers."""

import contextlib
import json
import os
import random
import struct
import threading
import uuid

import pytest

from rig import Pipeline, Postgres, Workdir, wait_until
from rig.kafka import Kafka
from rig.mariadb import MariaDB
from rig.scenario import drop_database
from test_binlog import FULL, ROWS, TYPES, split_columns



QUARANTINE = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1"}  # freed memory is not what is measured


def start(folder, name, version=None, settings=None):
    db = MariaDB(folder, name, settings or FULL, version=version)
    db.__enter__()
    return db


@pytest.fixture(name="folder", scope="module")
def fixture_folder():
    with Workdir("mariasource") as folder:
        yield folder


@pytest.fixture(name="target", scope="module")
def fixture_target(folder):
    with Postgres(folder, "target") as target:
        yield target


@pytest.fixture(name="source", scope="module")
def fixture_source(folder):
    db = start(folder, "source")
    yield db
    db.close()


class Case:
    """A database on each side, and the pipeline between them."""

    def __init__(self, folder, source, target, name, schema, target_schema, more=None, jobs=("capture",), **options):
        self.server, self.target_server, self.name = source, target, name
        self.source_url = source.create_db(name, jobs=jobs)
        self.target_url = target.create_db(name)
        source.script(schema, name)
        target.sql(target_schema, db=name)
        settings = {"capture": {"snapshot": "never", "heartbeat_interval_ms": 300}, **(more or {})}
        self.pipeline = Pipeline(folder, self.source_url, self.target_url, name=name, tables=(f"{name}.*",), more=settings, roles=False, **options)
        self.capture, self.apply = self.pipeline.capture, self.pipeline.apply

    def source(self, *statements):
        with self.server.connect(self.name) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall()

    def target(self, query):
        return self.target_server.sql(query, db=self.name)

    def start(self):
        for role in (self.capture, self.apply):
            if not role.running:
                role.start()
            if role is self.capture:
                role.wait_for(lambda status: status.get("complete"), 60, "the stream has begun")
        self.apply.wait_for(lambda status: status.get("complete"), 120, "the stream has begun")
        return self

    def wait(self, timeout=120):
        """All that is committed by now has arrived. (Nobody writes meanwhile.)"""
        nonce = uuid.uuid4().hex
        self.source(f"INSERT INTO crossfade_marker (pipeline, nonce, kind) VALUES ('{self.name}', '{nonce}', 'ping')")

        def fence():
            lines = self.pipeline.run("journal", "fences", "--json").stdout.splitlines()
            return next((f["lsn"] for f in map(json.loads, lines) if f.get("marker", {}).get("nonce") == nonce), None)
        self.apply.wait_lsn("applied_lsn", wait_until(fence, timeout, "the marker's fence"), timeout)
        return self


@contextlib.contextmanager
def case(folder, source, target, name, schema, target_schema, more=None, **options):
    made = Case(folder, source, target, name, schema, target_schema, more, **options)
    try:
        yield made
        made.pipeline.close()
        made.pipeline.assert_clean()
        assert "p@ss" not in made.capture.log_text() and "p%40ss" not in made.capture.log_text()
    finally:
        made.pipeline.close()
        drop_database(target, name)
        source.sql(f"DROP DATABASE `{name}`")


# -- types: the column on PostgreSQL, and how both sides' values are brought to one form

def text(value):
    return value.decode() if isinstance(value, bytes) else value


def number(value):
    return float(text(value))


def span(value):
    """TIME, or an interval in microseconds."""
    value = text(value)
    sign, value = (-1, value[1:]) if value.startswith("-") else (1, value)
    hours, minutes, seconds = value.split(":")
    whole, _, part = seconds.partition(".")
    return sign * ((int(hours) * 60 + int(minutes)) * 60 + int(whole)) * 10**6 + sign * int((part + "000000")[:6])


def moment(value):
    value = text(value).replace(" +00:00", "").replace("+00", "")
    return (value + "." if "." not in value else value).ljust(26, "0")


def wkb(value):
    return value[4:] if isinstance(value, bytes) else value


BIT = {"c_bit8": 8, "c_bit12": 12, "c_bit64": 64}
COLUMNS = {
    "c_tiny": "smallint", "c_tinyu": "smallint", "c_small": "smallint", "c_smallu": "integer", "c_med": "integer", "c_medu": "integer", "c_int": "integer", "c_year": "integer",
    "c_intu": "bigint", "c_big": "bigint", "c_bigu": "numeric(20)", "c_dec": "numeric(10,2)", "c_dec0": "numeric(9,9)", "c_dec65": "numeric(65,30)", "c_decu": "numeric(20)",
    "c_float": "real", "c_double": "double precision", "c_bit1": "boolean", **{c: f"bit({n})" for c, n in BIT.items()},
    "c_bin4": "bytea", "c_bin16": "bytea", "c_bin7": "bytea", "c_vbin": "bytea", "c_blob": "bytea", "c_tb": "bytea", "c_mb": "bytea", "c_lb": "bytea",
    "c_vc": "varchar(20)", "c_date": "date", **{c: "interval" for c in ("c_time", "c_time1", "c_time3", "c_time6")},
    **{c: "timestamp" for c in ("c_dt", "c_dt2", "c_dt3", "c_dt5", "c_dt6")}, **{c: "timestamptz" for c in ("c_ts", "c_ts1", "c_ts6")},
    "c_enum": "mood", "c_json": "json", "c_uuid": "uuid", "c_inet4": "inet", "c_inet6": "inet", "c_gen": "integer", "c_virt": "integer", "c_inv": "integer", "c_last": "smallint NOT NULL",
    "c_point": "point", "c_geom": "bytea", "c_line": "bytea",
}
NOT_READ = ("c_geom", "c_line")  # as the target has them (PostGIS) is not a type of PostgreSQL's own
MOOD = "CREATE TYPE mood AS ENUM ('a', 'b b', 'c,d', 'it''s', 'ü', E'back\\\\slash')"


def type_names():
    return [part.strip().split()[0] for part in split_columns(TYPES)]


def source_form(name, value):
    kind = COLUMNS.get(name, "text")
    if value is None:
        return None
    if kind in ("real", "double precision"):
        return struct.pack("<f" if kind == "real" else "<d", number(value))
    if kind == "boolean":
        return value == b"\1"
    if name in BIT:
        return f"{int.from_bytes(value, 'big'):0{BIT[name]}b}"
    if kind == "interval":
        return span(value)
    if kind.startswith("timestamp"):
        return moment(value)
    if kind == "point":
        return struct.unpack("<dd", value[9:25])
    return value if kind == "bytea" else text(value)


def target_form(name, value):
    kind = COLUMNS.get(name, "text")
    if value is None:
        return None
    if kind in ("real", "double precision"):
        return struct.pack("<f" if kind == "real" else "<d", float(value))
    if kind == "boolean":
        return value == "true"
    if kind == "interval":
        return int(value)
    if kind.startswith("timestamp"):
        return moment(value)
    if kind == "point":
        return tuple(float(part) for part in value.strip("()").split(","))
    return bytes.fromhex(value[2:]) if kind == "bytea" else value


def rows_of_types(made, names):
    cells = ", ".join(f"`{n}` + 0e0" if COLUMNS.get(n) in ("real", "double precision") else f"`{n}`" for n in names)
    have = ", ".join(f"(extract(epoch FROM {n}) * 1000000)::bigint::text" if COLUMNS.get(n) == "interval" else f"host({n})" if COLUMNS.get(n) == "inet" else f"{n}::text" for n in names)
    source = {str(text(row[0])): [source_form(n, v) for n, v in zip(names, row)] for row in made.source(f"SELECT {cells} FROM types")}
    target = {row[0]: [target_form(n, v) for n, v in zip(names, row)] for row in made.target(f"SELECT {have} FROM types")}
    return source, target


def check_types(made, names):
    source, target = rows_of_types(made, names)
    assert set(source) == set(target) and len(source) > 3
    for key, row in source.items():
        for name, want, have in zip(names, row, target[key]):
            assert want == have, (key, name, want, have)


def types_schema(names):
    return ", ".join(f"{n} {COLUMNS.get(n, 'text')}" + (" PRIMARY KEY" if n == "id" else "") for n in names)


@pytest.fixture(name="newer", scope="module")
def fixture_newer(folder):
    db = start(folder, "newer", "11.4")
    yield db
    db.close()


@pytest.mark.parametrize("server", ["source", "newer"])
@pytest.mark.parametrize("way", ["never-json", "initial-avro"])
def test_every_type(folder, target, way, server, request):
    """Each type of test_binlog.py arrives as the type map has it: by the copy, and by the stream."""
    source = request.getfixturevalue(server)
    COLUMNS["id"] = "integer"
    names = [n for n in type_names() if n not in NOT_READ]
    mode, form = way.split("-")
    with case(folder, source, target, f"types_{server}_{mode}", f"CREATE TABLE types ({TYPES})", f"SET timezone = 'UTC'; {MOOD}; CREATE TABLE types ({types_schema(names)})",
              more={"capture": {"snapshot": mode, "heartbeat_interval_ms": 300}}, journal_format=form) as made:
        made.source(*(f"ALTER TABLE types DROP COLUMN {n}" for n in NOT_READ))
        if mode == "never":
            made.start()
        with source.connect(made.name) as connection:
            connection.cursor().execute("SET sql_mode = ''")
            for row in ROWS:
                insert_without(connection, row)
            connection.cursor().execute("INSERT INTO types (id) VALUES (90)")
        if mode == "initial":
            made.start()
            check_types(made, names)
        made.wait()
        check_types(made, names)
        made.source("UPDATE types SET c_vc = 'changed', c_big = 0, c_last = 1 WHERE id IN (2, 3)", "UPDATE types SET id = 1000 WHERE id = 1", "DELETE FROM types WHERE id = 90",
                    "INSERT INTO types (id, c_uuid) SELECT 2000 + seq, MD5(seq) FROM seq_1_to_50")
        made.wait()
        check_types(made, names)
        if server == "source":
            assert "schema_changed" not in made.capture.log_text(), "rows of the copy and of the stream are of one shape"


def insert_without(connection, row):
    """A row of test_binlog.py, without the columns that are not read."""
    names = [n for n in type_names() if n not in ("c_gen", "c_virt")]
    parts = [part for part in split_columns(row)]
    assert len(parts) == len(names)
    kept = [(n, p) for n, p in zip(names, parts) if n not in NOT_READ]
    connection.cursor().execute(f"INSERT INTO types ({', '.join(n for n, _ in kept)}) VALUES ({', '.join(p for _, p in kept)})".replace("%", "%%"))


# -- random changes

RANDOM = """CREATE TABLE acc (id INT PRIMARY KEY, v VARCHAR(50), n DECIMAL(12,3), b BLOB);
CREATE TABLE pair (a INT, b VARCHAR(20), v INT UNSIGNED, PRIMARY KEY (b, a));
CREATE TABLE bag (a INT, b TEXT);
CREATE TABLE `qu"o``te` (`a.b` INT PRIMARY KEY, `Ü x` TEXT);
"""
RANDOM_TARGET = """CREATE TABLE acc (id int PRIMARY KEY, v varchar(50), n numeric(12,3), b bytea); CREATE TABLE pair (a int, b varchar(20), v bigint, PRIMARY KEY (b, a));
CREATE TABLE bag (a int, b text); CREATE TABLE "qu""o`te" ("a.b" int PRIMARY KEY, "Ü x" text);"""
READ = {"acc": ("SELECT id, v, n, HEX(b) FROM acc", "SELECT id::text, v, n::text, upper(encode(b, 'hex')) FROM acc"), "pair": ("SELECT a, b, v FROM pair", "SELECT a::text, b, v::text FROM pair"),
        "bag": ("SELECT a, b FROM bag", "SELECT a::text, b FROM bag"), "quote": ('SELECT `a.b`, `Ü x` FROM `qu"o``te`', 'SELECT "a.b"::text, "Ü x" FROM "qu""o`te"')}


def some_changes(cursor, rng):
    key, words = rng.randint(1, 60), "".join(rng.choices("aäß😀'\\\n", k=rng.randint(0, 12)))
    escaped = words.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    cursor.execute(rng.choice((
        f"REPLACE INTO acc VALUES ({key}, '{escaped}', {rng.randint(-10**6, 10**6) / 1000}, X'{rng.randbytes(rng.randint(0, 300)).hex()}')",
        f"UPDATE acc SET v = '{escaped}', n = n + 1 WHERE id BETWEEN {key} AND {key + 5}", f"UPDATE IGNORE acc SET id = id + 7 WHERE id = {key}", f"DELETE FROM acc WHERE id = {key}",
        f"INSERT INTO pair VALUES ({key}, '{escaped}', 4294967295) ON DUPLICATE KEY UPDATE v = v - 1", f"UPDATE IGNORE pair SET b = CONCAT(b, 'x') WHERE a = {key} AND LENGTH(b) < 15",
        f"INSERT INTO bag VALUES ({key}, '{escaped}')", f"UPDATE bag SET b = '{escaped}' WHERE a = {key}", f"DELETE FROM bag WHERE a = {key} LIMIT 1",
        f'REPLACE INTO `qu"o``te` VALUES ({key}, \'{escaped}\')', f'UPDATE IGNORE `qu"o``te` SET `a.b` = `a.b` + 11 WHERE `a.b` = {key}')))


def some_transactions(made, rng, count):
    with made.server.connect(made.name) as connection, connection.cursor() as cursor:
        for _ in range(count):
            cursor.execute("BEGIN")
            for _ in range(rng.randint(1, 8)):
                some_changes(cursor, rng)
                if rng.random() < 0.1:
                    for statement in ("SAVEPOINT s", "INSERT INTO bag VALUES (-1, 'undone')", "ROLLBACK TO SAVEPOINT s"):
                        cursor.execute(statement)
            cursor.execute(rng.choice(("COMMIT", "COMMIT", "COMMIT", "ROLLBACK")))


def check_random(made):
    for name, (source, target) in READ.items():
        want = sorted([[text(v) for v in row] for row in made.source(source)], key=str)
        have = sorted([list(row) for row in made.target(target)], key=str)
        assert want == have, name


def verified(made):
    done = made.pipeline.run("journal", "verify", "--json")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(name="kafka", scope="module")
def fixture_kafka(folder):
    with Kafka(folder) as kafka:
        yield kafka


@pytest.mark.parametrize("journal", ["lmdb", "kafka"])
def test_random_changes(folder, source, target, journal, request):
    rng = random.Random(f"maria source {journal}")
    options = {"journal": request.getfixturevalue("kafka").url} if journal == "kafka" else {}
    with case(folder, source, target, f"random_{journal}", RANDOM, RANDOM_TARGET, **options) as made:
        made.start()
        for part in range(3):
            some_transactions(made, rng, 100)
            made.wait()
            check_random(made)
            if part == 0:
                made.capture.terminate()
                some_transactions(made, rng, 20)
                made.capture.start()
            elif part == 1:
                made.capture.kill9()
                some_transactions(made, rng, 20)
                made.capture.start()
        made.pipeline.close()
        verified(made)


KILLED_AT = ("capture.fence_before", "capture.fence_appended", "capture.committed", "capture.txn_part", "capture.txn_held")


def test_killed_anywhere(folder, source, target):
    """kill −9 at each point that a stream passes, under changes some of which are larger than a batch: nothing is lost, nothing comes twice."""
    rng = random.Random("maria killed")
    with case(folder, source, target, "killed", RANDOM + "CREATE TABLE big (id INT PRIMARY KEY, pad TEXT);\n", RANDOM_TARGET + "CREATE TABLE big (id int PRIMARY KEY, pad text)",
              more={"capture": {"snapshot": "never", "heartbeat_interval_ms": 300, "max_memory": "4MiB"}}) as made:
        made.start()
        for round_, point in enumerate(KILLED_AT * 2):
            made.capture.terminate()
            made.capture.start(failpoint=f"{point}:{rng.randint(1, 2)}:kill")
            made.source(f"INSERT INTO big SELECT {round_ * 10000} + seq, REPEAT('p', 900) FROM seq_1_to_3000")
            some_transactions(made, rng, 30)
            made.capture.wait(60)
            made.capture.start()
        made.wait()
        check_random(made)
        assert made.target("SELECT count(*), sum(id), sum(length(pad)) FROM big") == [(30000, *made_sums(made))]
        made.pipeline.close()
        verified(made)


def made_sums(made):
    row = made.source("SELECT SUM(id), SUM(LENGTH(pad)) FROM big")[0]
    return tuple(int(text(v)) for v in row)


# -- the copy

COPY_POINTS = ("capture.snapshot_begun", "capture.snapshot_opened", "capture.snapshot_chunk:3", "capture.snapshot_part:2", "capture.snapshot_copied", "capture.fence_before:2", "capture.committed:2")


class Writer(threading.Thread):
    """Random transactions until the end of the block."""

    def __init__(self, made, rng):
        super().__init__(daemon=True)
        self.made, self.rng, self.ended, self.failure = made, rng, threading.Event(), None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc):
        self.ended.set()
        self.join(60)
        assert self.failure is None and not self.is_alive(), self.failure

    def run(self):
        try:
            while not self.ended.wait(0.005):
                some_transactions(self.made, self.rng, 3)
        except Exception as error:  # shown by __exit__
            self.failure = error


def test_copy_under_changes(folder, source, target):
    """The copy is one moment of the source, the stream goes on exactly behind it; killed at each of its points it starts over."""
    rng = random.Random("maria copy")
    big = "CREATE TABLE big (id INT PRIMARY KEY, pad TEXT);\nINSERT INTO big SELECT seq, REPEAT('p', 900) FROM seq_1_to_20000;\n"
    with case(folder, source, target, "copied", RANDOM + big, RANDOM_TARGET + "CREATE TABLE big (id int PRIMARY KEY, pad text)",
              more={"capture": {"heartbeat_interval_ms": 300, "max_memory": "4MiB"}}) as made:
        some_transactions(made, rng, 100)
        with Writer(made, rng):
            made.apply.start()
            for point in COPY_POINTS:
                made.capture.start(failpoint=point + (":1:kill" if ":" not in point else ":kill"))
                made.capture.wait(60)
            made.start()
        made.wait()
        check_random(made)
        assert made.target("SELECT count(*), sum(id), sum(length(pad)) FROM big") == [(20000, *made_sums(made))]
        made.pipeline.close()
        verified(made)


# -- what transactions can be

def test_xa(folder, source, target):
    """Prepared transactions count when they are committed, whatever was restarted meanwhile."""
    with case(folder, source, target, "xa", "CREATE TABLE x (id INT PRIMARY KEY, v TEXT)", "CREATE TABLE x (id int PRIMARY KEY, v text)") as made:
        made.start()
        with source.connect("xa") as connection, connection.cursor() as cursor:
            def prepare(name, *statements):
                for statement in (f"XA START '{name}'", *statements, f"XA END '{name}'", f"XA PREPARE '{name}'"):
                    cursor.execute(statement)
            prepare("g1", "INSERT INTO x VALUES (1, 'one'), (2, 'two')", "UPDATE x SET v = 'TWO' WHERE id = 2")
            made.wait()
            assert made.target("SELECT count(*) FROM x") == [(0,)]
            made.capture.kill9()
            made.capture.start()
            made.source("INSERT INTO x VALUES (10, 'between')")
            made.wait()
            cursor.execute("XA COMMIT 'g1'")
            made.wait()
            assert made.target("SELECT id, v FROM x ORDER BY id") == [(1, "one"), (2, "TWO"), (10, "between")]
            prepare("g2", "DELETE FROM x")
            cursor.execute("XA ROLLBACK 'g2'")
            prepare("g3", "INSERT INTO x SELECT 100 + seq, REPEAT('v', 2000) FROM seq_1_to_5000")
            made.capture.terminate()
            cursor.execute("XA COMMIT 'g3'")
            made.capture.start()
        made.wait()
        assert made.target("SELECT count(*), sum(length(v)) FROM x WHERE id > 100") == [(5000, 10000000)]
        assert made.target("SELECT count(*) FROM x") == [(5003,)]
        made.pipeline.close()
        verified(made)


def test_large_transaction(folder, source, target):
    """Memory is bounded by capture.max_memory, not by the transaction."""
    with case(folder, source, target, "large", "CREATE TABLE big (id INT PRIMARY KEY, pad TEXT)", "CREATE TABLE big (id int PRIMARY KEY, pad text)", env=QUARANTINE,
              more={"capture": {"snapshot": "never", "heartbeat_interval_ms": 300, "max_memory": "4MiB"}}) as made:
        made.start()
        before = made.capture.status()["memory_bytes"]
        made.source("INSERT INTO big SELECT seq, REPEAT(CHAR(97 + seq % 26), 1000) FROM seq_1_to_150000")
        made.wait(300)
        assert made.target("SELECT count(*), sum(id), sum(length(pad)) FROM big") == [(150000, *made_sums(made))]
        assert made.capture.status()["memory_bytes"] - before < 64 << 20
        with source.connect("large") as connection, connection.cursor() as cursor:  # rolled back: nothing of it
            cursor.execute("BEGIN")
            cursor.execute("DELETE FROM big")
            cursor.execute("ROLLBACK")
        made.wait()
        assert made.target("SELECT count(*) FROM big") == [(150000,)]


def test_statements(folder, source, target):
    """TRUNCATE arrives; columns that come and go are followed; what cannot be followed halts."""
    with case(folder, source, target, "stated", "CREATE TABLE t (id INT PRIMARY KEY, v TEXT);\nCREATE TABLE `od``d` (id INT PRIMARY KEY);\n",
              'CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE "od`d" (id int PRIMARY KEY)', more={"capture": {"heartbeat_interval_ms": 300}}) as made:
        made.source("INSERT INTO t VALUES (1, 'one')", "INSERT INTO `od``d` VALUES (7)")
        made.start()
        made.capture.terminate()
        made.capture.start()
        made.source("TRUNCATE /* before any row */ `stated` . `od``d`", "INSERT INTO t VALUES (2, 'two')", "truncate table t", "INSERT INTO t VALUES (3, 'three')", "INSERT INTO `od``d` VALUES (8)")
        made.wait()
        assert made.target("SELECT id, v FROM t") == [(3, "three")] and made.target('SELECT id FROM "od`d"') == [(8,)]
        made.target("ALTER TABLE t ADD n int")
        made.source("ALTER TABLE t ADD n INT", "INSERT INTO t VALUES (4, 'four', 4)", "ALTER TABLE t DROP v", "INSERT INTO t VALUES (5, 5)")
        made.wait()
        assert made.target("SELECT id, v, n FROM t ORDER BY id") == [(3, "three", None), (4, "four", 4), (5, None, 5)]
        made.source("CREATE TABLE part (id INT PRIMARY KEY) PARTITION BY RANGE (id) (PARTITION a VALUES LESS THAN (10), PARTITION b VALUES LESS THAN MAXVALUE)")
        made.target("CREATE TABLE part (id int PRIMARY KEY)")
        made.source("INSERT INTO part VALUES (1), (20)", "ALTER TABLE part DROP PARTITION a")
        made.capture.assert_exit(5, 60)
        assert "table=stated.part" in made.capture.log_text() and "partition" in made.capture.log_text()


def test_stop_on_ddl(folder, source, target):
    with case(folder, source, target, "ddl", "CREATE TABLE t (id INT PRIMARY KEY, v TEXT)", "CREATE TABLE t (id int PRIMARY KEY, v text, n int)",
              more={"capture": {"snapshot": "never", "on_ddl": "stop", "heartbeat_interval_ms": 300}}) as made:
        made.start()
        made.source("INSERT INTO t VALUES (1, 'one')", "ALTER TABLE t ADD n INT", "INSERT INTO t VALUES (2, 'two', 2)")
        made.capture.assert_exit(5, 60)
        assert "table=ddl.t" in made.capture.log_text() and "capture.on_ddl" in made.capture.log_text()
        made.pipeline.settings["capture"]["on_ddl"] = "propagate"
        made.pipeline.write()
        made.capture.start()
        made.wait()
        assert made.target("SELECT id, v, n FROM t ORDER BY id") == [(1, "one", None), (2, "two", 2)]


# -- both directions

@pytest.mark.parametrize("writers", [1, 2])
def test_both_directions_end(folder, source, target, writers):
    """PostgreSQL → MariaDB and MariaDB → PostgreSQL at once: each change is captured once, whoever wrote it, and then nothing moves."""
    name = f"both{writers}"
    schema = "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(200));\nCREATE TABLE u (a INT, b INT, PRIMARY KEY (a, b));\n"
    postgres = "CREATE TABLE t (id int PRIMARY KEY, v varchar(200)); CREATE TABLE u (a int, b int, PRIMARY KEY (a, b))"
    origin = {"origin": "not_crossfade", "snapshot": "never", "heartbeat_interval_ms": 300}
    with case(folder, source, target, name, schema, postgres, more={"capture": origin}, jobs=("apply", "capture")) as back:
        forward = Pipeline(folder, back.target_url, back.source_url, name=f"{name}_forward", tables=("public.*",), more={"capture": origin, "apply": {"writers": writers}}, roles=False)
        with forward:
            forward.start()
            forward.apply.wait_for(lambda status: status.get("complete"), 60, "forward streams")
            back.start()
            for part in range(3):
                for i in range(40):
                    back.target(f"INSERT INTO t SELECT {part * 100000 + i * 100} + n, 'from postgres' FROM generate_series(1, 20) n; INSERT INTO u VALUES ({part}, {i})")
                    back.source(f"INSERT INTO t VALUES ({part * 100000 + 50000 + i}, 'from mariadb')", f"UPDATE u SET b = b + 1000 WHERE a = {part} AND b = {i - 1}")
                back.target(f"INSERT INTO t SELECT {part * 100000 + 60000} + n, repeat('large', 30) FROM generate_series(1, 8000) n")
                forward.wait_caught_up()
                back.wait()

            def settled():
                forward.wait_caught_up()
                back.wait()
                rows = [tuple(text(v) for v in row) for row in back.source("SELECT id, v FROM t ORDER BY id")]
                return rows == [(str(row[0]), row[1]) for row in back.target("SELECT id, v FROM t ORDER BY id")]
            wait_until(settled, 60, "both sides are equal")
            assert len(back.source("SELECT 1 FROM t")) == 3 * (800 + 40 + 8000)
            captured = back.capture.status()["changes"]
            assert captured <= 3 * (40 + 2 * 40), "only what was written on MariaDB (a key that moves is two changes)"
            fences = forward.capture.status()["fences"], back.capture.status()["fences"]
            back.wait()
            assert back.capture.status()["changes"] == captured
            assert forward.capture.status()["fences"] - fences[0] < 20 and back.capture.status()["fences"] - fences[1] < 20
        verified(back)


# -- what is told beforehand

def test_check_and_refusals(folder, source, target):
    with case(folder, source, target, "checked", "CREATE TABLE t (id INT PRIMARY KEY);\nCREATE TABLE bare (v INT);\n", "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE bare (v int)") as made:
        found = {(c["side"], c["check"]): c for c in json.loads(made.pipeline.run("check", "--json").stdout)["checks"]}
        assert all(found["source", name]["state"] == "ok" for name in ("reachable", "version", "log_bin", "binlog_format", "binlog_row_image", "REPLICATION SLAVE")), found
        assert found["source", "tables"]["state"] == "warn" and "checked.bare" in found["source", "tables"]["found"]
        for words in (("compare", "run"), ("cutover", "plan"), ("schema", "plan")):
            done = made.pipeline.run(*words)
            assert done.returncode == 2 and "MariaDB" in done.stderr, (words, done.stderr)
        done = made.pipeline.run("capture", "accept-ddl")
        assert done.returncode == 2 and "MariaDB" in done.stderr
        for section, key, value in (("source", "filters", [{"table": "checked.t", "columns": ["id"]}]), ("capture", "origin", "none"), ("journal", "transaction_topic", True)):
            kept = dict(made.pipeline.settings[section])
            made.pipeline.settings[section][key] = value
            made.pipeline.write()
            made.capture.start()
            made.capture.assert_exit(2, 30)
            assert f"{section}.{key}" in made.capture.log_text()
            made.pipeline.settings[section] = kept
            made.pipeline.write()
        made.start()
        second = made.pipeline.run("capture", "run", "--capture.listen=127.0.0.1:0", timeout=90)
        assert second.returncode != 0 and "another capture" in second.stderr + second.stdout


def test_the_server_fails_and_its_binlog_goes(folder, target):
    """Several domains, new files, a server that is killed: the stream goes on behind the last fence. What was purged is a halt, never a gap."""
    own = start(folder, "own")
    try:
        with case(folder, own, target, "restarts", "CREATE TABLE t (id INT PRIMARY KEY)", "CREATE TABLE t (id int PRIMARY KEY)") as made:
            made.start()
            with own.connect(made.name) as connection, connection.cursor() as cursor:
                for i in range(30):
                    cursor.execute(f"SET gtid_domain_id = {i % 3 * 7}")
                    cursor.execute(f"INSERT INTO t VALUES ({i})")
                    if i % 10 == 9:
                        own.sql("FLUSH BINARY LOGS")
            made.wait()
            own.kill9()
            own.start()
            made.source("INSERT INTO t VALUES (100)")
            made.wait()
            assert made.target("SELECT count(*), max(id) FROM t") == [(31, 100)]
            made.capture.terminate()
            made.source("INSERT INTO t VALUES (101)")
            own.sql("FLUSH BINARY LOGS")

            def purged():  # a file that a dump is still at stays
                own.sql(f"PURGE BINARY LOGS TO '{text(own.sql('SHOW MASTER STATUS')[0][0])}'")
                return len(own.sql("SHOW BINARY LOGS")) == 1
            wait_until(purged, 60, "the files are purged")
            made.capture.start()
            made.capture.assert_exit(5, 60)
            assert "class=gap" in made.capture.log_text()
            assert made.target("SELECT max(id) FROM t") == [(100,)]
    finally:
        own.close()
