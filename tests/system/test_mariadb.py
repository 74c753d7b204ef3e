"""PostgreSQL → LMDB → MariaDB: the copy and the stream, every type of the property test read back, what does not fit, and messages."""

import contextlib
import json
import os
import random
import re
import signal
import struct
import threading
from decimal import Decimal

import psycopg
import pytest

from rig import Pipeline, Postgres, Workdir, comparing, wait_until
from rig.certificates import Authority
from rig.mariadb import ROLE, ROLE_PASSWORD, MariaDB, run
from rig.procs import halts
from rig.workdir import server_user
from rig.scenario import FULL, count, drop_database, seed
from test_types_property import SCHEMA, Maker, change, fill, kinds, tables_of


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("mariadb") as folder, Postgres(folder, "source") as source, MariaDB(folder, "target") as target:
        yield folder, source, target


class Case:
    """A source database, a target database, and the pipeline between them."""

    def __init__(self, servers, name, schema, target_schema, more=None):
        folder, self.source_server, self.server = servers
        self.name = name
        self.source_url = self.source_server.create_db(name)
        self.target_url = self.server.create_db(name, jobs=("apply",))
        self.source(schema)
        self.server.script(target_schema, name)
        settings = {"capture": {"heartbeat_interval_ms": 500}, **(more or {})}
        self.pipeline = Pipeline(folder, self.source_url, self.target_url, name=name, tables=("public.*",), more=settings)
        self.capture, self.apply = self.pipeline.capture, self.pipeline.apply

    def source(self, *statements):
        for statement in statements:
            self.source_server.sql(statement, db=self.name)

    def target(self, query, params=None):
        return self.server.sql(query, params, self.name)

    def start(self, timeout=120):
        for role in (self.capture, self.apply):
            if not role.running:
                role.start()
        self.apply.wait_for(lambda status: status.get("complete"), timeout, "the copy is complete")
        return self


@contextlib.contextmanager
def case(servers, name, schema, target_schema, more=None):
    made = Case(servers, name, schema, target_schema, more)
    try:
        yield made
        made.pipeline.close()
        made.pipeline.assert_clean()
        assert ROLE_PASSWORD not in made.apply.log_text() and "p%40ss" not in made.apply.log_text()
    finally:
        made.pipeline.close()
        drop_database(made.source_server, name)
        made.server.sql(f"DROP DATABASE `{name}`")


# -- types: what column of MariaDB, how it is read, and what is expected there for PostgreSQL's text form (None: it cannot be held)

def decimals(before, after):
    def expected(text):
        whole, _, part = text.removeprefix("-").partition(".")
        fits = (whole + part).isdigit() and len(whole.lstrip("0")) <= before and len(part.rstrip("0")) <= after
        return Decimal(text) if fits else None
    return expected


def single(text):
    value = float(text)
    return struct.unpack("f", struct.pack("f", value))[0] if abs(value) < 1e39 else None


def double(text):
    value = float(text)
    return value if abs(value) < float("inf") else None


def calendar(text):
    return None if "infinity" in text or text.endswith(" BC") or len(text.partition("-")[0]) > 4 else text.removesuffix("+00")


def fraction(digits):
    """As MariaDB prints it: always all digits."""
    def expected(text):
        text = calendar(text) if " " in text or "infinity" in text else text
        if text is None or digits == 0:
            return text
        head, _, part = text.partition(".")
        return f"{head}.{part:0<{digits}}"
    return expected


def inet6(text):
    if "/" in text or text.startswith("::ffff:"):
        return None
    return "::ffff:" + text if "." in text else text


def uuid(text):
    """MariaDB's type takes no such uuid; all others it does."""
    return None if text[14] in "89abcdef" and 0 < int(text[19:21], 16) <= 0x80 else text


def listed(value):
    if isinstance(value, list):
        return [listed(part) for part in value]
    return {True: "t", False: "f"}.get(value, value) if isinstance(value, bool) else value


MOODS = "enum('sad','ok','happy ☺','with space','quo''te\"d,x','NULL','')"
SAME = "longtext", "{}", str, str
WAYS = {
    "bool": ("tinyint(1)", "{}", {"t": "1", "f": "0"}.get, str), "int2": ("smallint", "{}", str, str), "int4": ("int", "{}", str, str),
    "int8": ("bigint", "{}", str, str), "oid": ("bigint", "{}", str, str), "float4": ("float", "CAST({} AS double)", single, float),
    "float8": ("double", "{}", double, float), "numeric": ("decimal(40,20)", "{}", decimals(20, 20), Decimal),
    "numeric(10,2)": ("decimal(10,2)", "{}", decimals(8, 2), Decimal), "numeric(5,-2)": ("decimal(7,0)", "{}", decimals(7, 0), Decimal),
    "numeric(3,5)": ("decimal(5,5)", "{}", decimals(0, 5), Decimal), "dom_num": ("decimal(12,3)", "{}", decimals(9, 3), Decimal),
    "money": ("decimal(19,2)", "{}", lambda text: Decimal(re.sub("[$,]", "", text)), Decimal),
    "varchar(20)": ("varchar(20)", "{}", str, str), "char(5)": ("char(5)", "{}", lambda text: text.rstrip(" "), str), "name": ("varchar(64)", "{}", str, str),
    "bytea": ("longblob", "CONCAT('\\\\x', LOWER(HEX({})))", str, str), "json": ("json", "{}", str, str), "jsonb": ("json", "{}", str, str), "uuid": ("uuid", "{}", uuid, str),
    "mood": (MOODS, "{}", str, str), "date": ("date", "{}", calendar, str), "time": ("time(6)", "{}", fraction(6), str), "time(3)": ("time(3)", "{}", fraction(3), str),
    "time(0)": ("time", "{}", str, str), "timestamp": ("datetime(6)", "{}", fraction(6), str), "timestamp(3)": ("datetime(3)", "{}", fraction(3), str),
    "timestamp(0)": ("datetime", "{}", fraction(0), str), "timestamptz": ("datetime(6)", "{}", fraction(6), str), "timestamptz(3)": ("datetime(3)", "{}", fraction(3), str),
    "timestamptz(0)": ("datetime", "{}", fraction(0), str), "bit(12)": ("bit(12)", "LPAD(BIN({}), 12, '0')", str, str), "inet": ("inet6", "{}", inet6, str),
}


def way(kind):
    if kind.endswith("[]"):
        return "json", "{}", None, lambda text: listed(json.loads(text, parse_int=str, parse_float=str))
    return WAYS.get(kind, SAME)


def source_rows(connection, table, types):
    cells = [f"CASE WHEN c{i}::text IS NOT NULL THEN format('%s', c{i}) END" for i in range(len(types))]
    return {str(row[0]): row[1:] for row in connection.execute(f"SELECT id, v, big, {', '.join(cells)} FROM {table}")}


def elements(text, delimiter):
    """The text of a PostgreSQL array as lists of texts."""
    token = re.compile(rf'([{{}}{delimiter}])|"((?:[^"\\]|\\.)*)"|([^{{}}{delimiter}"]+)', re.S)
    stack, top = [], None
    for match in token.finditer(text):
        mark, quoted, bare = match.groups()
        if mark == "{":
            stack.append([])
        elif mark == "}":
            top = stack.pop()
            if stack:
                stack[-1].append(top)
        elif quoted is not None:
            stack[-1].append(re.sub(r"\\(.)", r"\1", quoted, flags=re.S))
        elif bare is not None:
            stack[-1].append(None if bare == "NULL" else bare)
    return top


def expected_cell(kind, text):
    if text is None:
        return None
    if kind.endswith("[]"):
        return None if text.startswith("[") else elements(text, ";" if kind == "box[]" else ",")
    return way(kind)[2](text)


def assert_same_values(s, table, types):
    cells = ", ".join(way(kind)[1].format(f"c{i}") for i, kind in enumerate(types))
    with psycopg.connect(s.source_url, options="-c timezone=UTC -c extra_float_digits=1") as connection:
        left = source_rows(connection, table, types)
    right = {row[0]: row[1:] for row in s.target(f"SELECT id, v, big, {cells} FROM {table}")}
    assert left.keys() == right.keys()
    compared = unfit = 0
    for number, row in left.items():
        assert (str(row[0]), row[1]) == right[number][:2], f"{table} id={number}"
        for kind, text, got in zip(types, row[2:], right[number][2:]):
            want = expected_cell(kind, text)
            got = got.decode() if isinstance(got, bytes) else got
            unfit += want is None and text is not None
            compared += 1
            assert want == (got if got is None else way(kind)[3](got)), f"{table} id={number} {kind}: source {text!r}, expected {want!r}, target {got!r}"
    return compared, unfit


def test_every_type_is_read_back(servers):
    m = Maker(random.Random(f"{seed()} mariadb"))
    # A tsquery's text in the journal has more parentheses than the server prints (lib/pg/types/read.h): text cannot be compared.
    makers = {kind: make for kind, make in kinds(m, False).items() if not kind.startswith("tsquery")}
    tables = tables_of(makers)
    schema, target_schema = SCHEMA, ""
    for table, types in tables.items():
        schema += f"CREATE TABLE {table} (id int PRIMARY KEY, v int, big text, {', '.join(f'c{i} {kind}' for i, kind in enumerate(types))}); ALTER TABLE {table} ALTER big SET STORAGE EXTERNAL;"
        target_schema += f"CREATE TABLE {table} (id int PRIMARY KEY, v int, big longtext, {', '.join(f'c{i} {way(kind)[0]} NULL' for i, kind in enumerate(types))});\n"
    rows, times, compared, unfit = count(15, 120), count(30, 300), 0, 0
    with case(servers, "values_", schema, target_schema, {"target": {"unfit": "null"}}) as s:
        with psycopg.connect(s.source_url, autocommit=True, options="-c timezone=UTC") as connection:
            for table, types in tables.items():
                fill(connection, table, types, makers, 1, rows, m)
            s.start()
            for table, types in tables.items():
                fill(connection, table, types, makers, rows + 1, rows, m)
                with connection.transaction():
                    change(connection, table, types, makers, 2 * rows, times, m)
                connection.execute(f"UPDATE {table} SET id = id + 100000 WHERE id % 17 = 3")
        s.pipeline.wait_caught_up(180)
        for table, types in tables.items():
            done = assert_same_values(s, table, types)
            compared, unfit = compared + done[0], unfit + done[1]
        assert "value_changed" in s.apply.log_text()
    print(f"{compared} values, of which {unfit} did not fit")
    assert unfit < compared / 4


def test_unfit_values_halt_and_name_the_row_without_its_value(servers):
    schema = "CREATE TABLE t (id int PRIMARY KEY, at timestamptz, n numeric, secret text); INSERT INTO t VALUES (1, '2024-02-29 11:14:15.5+00', 1.5, 'x')"
    target = "CREATE TABLE t (id int PRIMARY KEY, at datetime(6), n decimal(6,2), secret varchar(10));\n"
    unfit = [("at = 'infinity'", "column=at", "22008"), ("n = 12345.6", "column=n", "22003"), ("n = 1.001", "column=n", "22003"),
             ("secret = 'hush hush hush'", "column=secret", "22001")]
    with case(servers, "unfit", schema, target) as s:
        s.start()
        for assignment, column, sqlstate in unfit:
            s.source(f"UPDATE t SET {assignment}")
            halts(s.apply, 5, "table=public.t", column, "lsn=", "key_hash=6b86b273ff34fce1", sqlstate)
            assert "hush" not in s.apply.log_text() and "12345.6" not in s.apply.log_text()
            assert s.target("SELECT * FROM t") == (("1", "2024-02-29 11:14:15.500000", "1.50", "x"),)
            s.server.sql("ALTER TABLE t MODIFY at varchar(40), MODIFY n decimal(65,30), MODIFY secret longtext", db="unfit")
            s.apply.start()
            s.pipeline.wait_caught_up()
            s.source("UPDATE t SET at = '2024-02-29 11:14:15.5+00', n = 1.5, secret = 'x'")
            s.pipeline.wait_caught_up()
            assert s.apply.terminate() == 0
            s.server.sql("UPDATE t SET at = '2024-02-29 11:14:15.500000'", db="unfit")
            s.server.sql("ALTER TABLE t MODIFY at datetime(6), MODIFY n decimal(6,2), MODIFY secret varchar(10)", db="unfit")
            s.apply.start()


def test_nearest_values(servers):
    schema = "CREATE TABLE t (id int PRIMARY KEY, a date, b timestamp, c float8); INSERT INTO t VALUES (1, 'infinity', '-infinity', 'Infinity'), (2, '0044-03-15 BC', '294276-12-31', 1)"
    target = "CREATE TABLE t (id int PRIMARY KEY, a date, b datetime(3), c double);\n"
    with case(servers, "nearest", schema, target, {"target": {"unfit": "nearest"}}) as s:
        s.start()
        assert s.target("SELECT * FROM t ORDER BY id") == (("1", "9999-12-31", "0001-01-01 00:00:00.000", "1.7976931348623157e308"), ("2", "0001-01-01", "9999-12-31 23:59:59.999", "1"))
        s.source("INSERT INTO t VALUES (3, NULL, NULL, 'NaN')")  # nothing is near to it
        halts(s.apply, 5, "table=public.t", "column=c", "NaN", "22003")


def test_rules_of_tables_and_columns(servers):
    """The narrowest rule holds; what has none is a dead letter where those are on."""
    schema = ("CREATE TABLE t (id int PRIMARY KEY, a timestamptz, b date, c float8, n numeric); CREATE TABLE u (id int PRIMARY KEY, c float8, n numeric);"
              "INSERT INTO t VALUES (1, 'infinity', '290000-01-01', 'NaN', 1), (2, NULL, NULL, NULL, 10::numeric ^ 400); INSERT INTO u VALUES (1, 'Infinity', 1)")
    target = "CREATE TABLE t (id int PRIMARY KEY, a datetime(6), b date, c double, n decimal(40,20));\nCREATE TABLE u (id int PRIMARY KEY, c double, n decimal(40,20));\n"
    rules = {"target": {"unfit": "nearest", "unfit_columns": {"public.t": "null", "public.t.a": "nearest", "public.u.n": "halt"}}, "apply": {"on_row_error": "dead_letter"}}
    with case(servers, "rules", schema, target, rules) as s:
        s.start()
        assert s.target("SELECT * FROM t ORDER BY id") == (("1", "9999-12-31 23:59:59.999999", None, None, "1.00000000000000000000"), ("2", None, None, None, None))
        assert s.target("SELECT id, c FROM u") == (("1", "1.7976931348623157e308"),)
        s.source("INSERT INTO u VALUES (2, 1, 10::numeric ^ 400)", "INSERT INTO u VALUES (3, 'NaN', 1)", "INSERT INTO u VALUES (4, 4, 4)")
        s.pipeline.wait_caught_up()
        assert s.target("SELECT id FROM u ORDER BY id") == (("1",), ("4",))
        held = s.target("SELECT key_shown, `sqlstate` FROM crossfade_dead_letter WHERE state = 'held' ORDER BY id")
        assert held == (("id=2", "22003"), ("id=3", "22003")), held
        assert s.apply.terminate() == 0
        s.pipeline.settings["target"]["unfit_columns"]["public.u"] = "none"
        s.pipeline.write()
        s.apply.start()
        halts(s.apply, 2, "target.unfit_columns", "public.u")
        s.pipeline.settings["target"]["unfit_columns"].update({"public.u": "null", "public.u.n": "null"})
        s.pipeline.write()
        s.apply.start()
        assert s.pipeline.run("apply", "dlq", "retry", "--all", "--timeout", "60").returncode == 0
        assert s.target("SELECT * FROM u WHERE id IN (2, 3) ORDER BY id") == (("2", "1", None), ("3", None, "1.00000000000000000000"))


REFUSED = [
    ("CREATE TABLE t (id int PRIMARY KEY, a int) ENGINE=MyISAM", "ENGINE=InnoDB", "MyISAM"),
    ("CREATE TABLE t (id int PRIMARY KEY)", "column a", "ADD COLUMN `a` int"),
    ("CREATE TABLE t (id int PRIMARY KEY, a smallint)", "column a", "int4", "smallint", "too small", "MODIFY `a` int"),
    ("CREATE TABLE t (id int PRIMARY KEY, a int unsigned)", "unsigned"),
    ("CREATE TABLE t (id int PRIMARY KEY, a int, b int NOT NULL)", "wants a value", "b"),
    ("CREATE TABLE t (id int, a int)", "unique index"),
    ("CREATE TABLE t (id int PRIMARY KEY, a int);\nCREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.a = 1", "trigger", "tr"),
    ("CREATE VIEW t AS SELECT 1 AS id, 1 AS a", "no table that can be written"),
]


def test_tables_that_do_not_fit_are_named_with_what_to_do(servers):
    with case(servers, "shapes", "CREATE TABLE t (id int PRIMARY KEY, a int); INSERT INTO t VALUES (1, 1)", "") as s:
        s.capture.start()
        s.apply.start()
        halts(s.apply, 5, "table=public.t", "no such table", "`shapes`.`t`")
        for ddl, *words in REFUSED:
            s.server.script(ddl, "shapes")
            s.apply.start()
            halts(s.apply, 5, "table=public.t", *words)
            s.server.sql(f"DROP {'VIEW' if 'VIEW' in ddl else 'TABLE'} t", db="shapes")
        s.server.sql("CREATE TABLE t (a int, id int PRIMARY KEY AUTO_INCREMENT, twice int AS (a * 2) STORED)", db="shapes")
        s.start()
        s.source("INSERT INTO t VALUES (0, 5)")  # 0 is a value
        s.pipeline.wait_caught_up()
        assert s.target("SELECT id, a, twice FROM t ORDER BY id") == (("0", "5", "10"), ("1", "1", "2"))


def test_text_keys_keep_apart_what_the_source_keeps_apart(servers):
    schema = "CREATE TABLE t (k varchar(20) PRIMARY KEY, v int); INSERT INTO t VALUES ('a', 1), ('A', 2), ('a ', 3), ('ä', 4)"
    with case(servers, "keys_", schema, "CREATE TABLE t (k varchar(20) COLLATE utf8mb4_general_ci PRIMARY KEY, v int);\n") as s:
        s.capture.start()
        s.apply.start()
        halts(s.apply, 5, "table=public.t", "column k", "collation", "utf8mb4_nopad_bin")
        s.server.sql("ALTER TABLE t MODIFY k varchar(20) COLLATE utf8mb4_bin", db="keys_")
        s.apply.start()
        halts(s.apply, 5, "table=public.t", "column=k", "blanks", "22001")
        s.server.sql("ALTER TABLE t MODIFY k varchar(20) COLLATE utf8mb4_nopad_bin", db="keys_")
        s.start()
        assert s.target("SELECT * FROM t ORDER BY v") == (("a", "1"), ("A", "2"), ("a ", "3"), ("ä", "4"))


def test_keys_of_types_that_only_mariadb_has(servers):
    """uuid, inet6 and inet4 in front of a key: rows that come, change, move, and come again."""
    kinds = {"u": ("uuid", "uuid", [f"01234567-89ab-4def-8123-456789abcde{n}" for n in range(4)]), "six": ("inet", "inet6", ["::1", "2001:db8::7", "::2", "::3"]),
             "four": ("inet", "inet4", ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"])}
    schema = "; ".join(f"CREATE TABLE {name} (k {kind}, n int, v int, PRIMARY KEY (k, n)); INSERT INTO {name} VALUES ('{keys[0]}', 0, 0)" for name, (kind, _, keys) in kinds.items())
    with case(servers, "own_keys", schema, "".join(f"CREATE TABLE {name} (k {kind}, n int, v int, PRIMARY KEY (k, n));\n" for name, (_, kind, _) in kinds.items())) as s:
        s.start()
        for name, (_, _, keys) in kinds.items():
            s.source(f"INSERT INTO {name} VALUES ('{keys[1]}', 1, 1), ('{keys[2]}', 2, 2)", f"UPDATE {name} SET v = -1 WHERE n = 1", f"UPDATE {name} SET k = '{keys[3]}' WHERE n = 2",
                     f"DELETE FROM {name} WHERE n = 0", f"INSERT INTO {name} VALUES ('{keys[0]}', 0, 9)")
        s.pipeline.wait_caught_up()
        for name, (_, _, keys) in kinds.items():
            assert s.target(f"SELECT k, n, v FROM {name} ORDER BY n") == ((keys[0], "0", "9"), (keys[1], "1", "-1"), (keys[3], "2", "2")), name


def test_tables_that_are_altered_are_there(servers):
    """information_schema leaves a table out while it is altered: apply and compare look again, and take it for no table that is missing."""
    with case(servers, "altered", "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (0, 0)", "CREATE TABLE t (id int PRIMARY KEY, v int);\n") as s:
        s.start()
        stop = threading.Event()

        def alter():
            with s.server.connect("altered") as connection:
                while not stop.wait(0.02):
                    run(connection, "ALTER TABLE t ADD COLUMN c int DEFAULT 7")
                    run(connection, "ALTER TABLE t DROP COLUMN c")
        thread = threading.Thread(target=alter)
        thread.start()
        try:
            for n in range(1, 60):
                s.source(f"INSERT INTO t VALUES ({n}, {n})")
            for _ in range(3):
                report = comparing.compare(s.pipeline, code=(0, 3, 4))
                assert isinstance(report, str) or report["verdict"] != "FAIL", report["tables"]
        finally:
            stop.set()
            thread.join()
        s.pipeline.wait_caught_up()
        assert s.target("SELECT COUNT(*), SUM(v) FROM t") == (("60", str(sum(range(60)))),)
        assert comparing.compare(s.pipeline)["verdict"] == "PASS"


def test_swaps_and_lost_servers(servers):
    """Unique values rotate in one transaction; rows larger than a packet; other schemas; a lock held by somebody; the server is killed."""
    schema = ("CREATE TABLE t (id int PRIMARY KEY, u int UNIQUE DEFERRABLE INITIALLY DEFERRED, big text); ALTER TABLE t ALTER big SET STORAGE EXTERNAL;"
              "INSERT INTO t SELECT i, i, repeat('x', 9000) FROM generate_series(1, 200) i")
    with case(servers, "swaps", schema, "CREATE TABLE t (id int PRIMARY KEY, u int UNIQUE, big longtext);\n") as s:
        s.start()
        assert s.apply.terminate() == 0  # the control tables are there: from here on with as few rights as docs/OPERATIONS.md says
        s.server.sql(f"REVOKE ALL ON `swaps`.* FROM {ROLE}@'%'")
        s.server.sql(f"GRANT SELECT, INSERT, UPDATE, DELETE, CREATE TEMPORARY TABLES, TRIGGER ON `swaps`.* TO {ROLE}@'%'")
        s.apply.start()
        s.source("UPDATE t SET u = u % 200 + 1", "UPDATE t SET id = id + 1000, u = 201 - u", "UPDATE t SET big = 'short' WHERE id % 7 = 0")
        s.pipeline.wait_caught_up()
        assert "to=replace" in s.apply.log_text()

        def same():
            left = s.source_server.sql("SELECT id::text, u::text, length(big)::text FROM t ORDER BY t.id", db="swaps")
            return tuple(left) == s.target("SELECT id, u, LENGTH(big) FROM t ORDER BY t.id")
        assert same()
        with s.server.connect("swaps") as other:
            run(other, "SET innodb_lock_wait_timeout = 1")
            run(other, "BEGIN")
            run(other, "SELECT * FROM t WHERE id = 1005 FOR UPDATE")
            s.source("DELETE FROM t WHERE id = 1005")
            run(other, "ROLLBACK")
        s.pipeline.wait_caught_up()
        s.server.kill9()
        s.source("UPDATE t SET u = u + 1000")
        s.apply.wait_for(lambda status: status.get("phase") == "retrying", 60, "retries")
        s.server.start()
        s.pipeline.wait_caught_up()
        assert same()
        compared = s.pipeline.run("compare", "run")
        assert compared.returncode == 0, compared.stdout + compared.stderr
        s.source("INSERT INTO t VALUES (1, 1, repeat('y', 17 * 1024 * 1024))")
        halts(s.apply, 5, "table=public.t", "max_allowed_packet", "22001")
        s.server.sql("SET GLOBAL max_allowed_packet = 64 * 1024 * 1024")
        s.apply.start()
        s.pipeline.wait_caught_up()
        assert same()


def test_tls_is_verified_unless_told_otherwise_and_passwords_come_from_outside(servers):
    folder, source, _ = servers
    authority, stranger = Authority(folder, "authority"), Authority(folder, "stranger")
    certificate, key = authority.issue("db", "127.0.0.1")
    if server_user():
        os.chown(key, server_user().pw_uid, server_user().pw_gid)
    with MariaDB(folder, "tls", settings={"ssl-cert": certificate, "ssl-key": key, "ssl-ca": authority.certificate}) as server:
        with case((folder, source, server), "tls", "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)", "CREATE TABLE t (id int PRIMARY KEY);\n") as s:
            server.sql(f"ALTER USER {ROLE}@'%' REQUIRE SSL")
            s.capture.start()
            bare = s.target_url.replace(":p%40ss%2Fword", "")

            def end_of(url, how, *words, env=None):
                s.pipeline.settings["target"]["url"] = url
                s.pipeline.write()
                s.apply.env = dict(env or {}, HOME=folder)
                s.apply.start()
                if how == "works":
                    s.apply.wait_for(lambda status: status.get("complete"), 60, "the copy is complete")
                    assert s.apply.terminate() == 0
                else:
                    halts(s.apply, 4, *words)
            end_of(s.target_url, "halts", "Access denied")  # the user is one that must come through TLS
            end_of(f"{s.target_url}?ssl-ca={stranger.certificate}", "halts", "certificate")
            end_of(f"{s.target_url}?ssl-mode=verify_identity", "halts", "certificate")
            end_of(f"{s.target_url}?ssl-ca={authority.certificate}", "works")
            end_of(f"{s.target_url}?ssl-mode=required", "works")
            end_of(f"{bare}?ssl-ca={authority.certificate}", "halts", "Access denied")
            end_of(f"{bare}?ssl-ca={authority.certificate}", "works", env={"MARIADB_PWD": ROLE_PASSWORD})
            with open(f"{folder}/.my.cnf", "w") as f:
                f.write(f'[client]\npassword = "{ROLE_PASSWORD}"\n')
            end_of(f"{bare}?ssl-ca={authority.certificate}", "works")
            for url, words in ((s.target_url, "Access denied"), (f"{s.target_url}?ssl-ca={stranger.certificate}", "certificate"),
                               (f"{s.target_url}?ssl-ca={authority.certificate}", None)):  # one reader of URLs for all commands
                s.pipeline.settings["target"]["url"] = url
                s.pipeline.write()
                for command in (("schema", "plan"), ("check",)):
                    done = s.pipeline.run(*command, job="apply")
                    assert (words or "") in done.stdout + done.stderr and ("cannot connect" in done.stdout) == (words is not None), f"{url}\n{done.stdout}{done.stderr}"
                    assert "ss/word" not in done.stdout + done.stderr and "ss%2Fword" not in done.stdout + done.stderr


@pytest.mark.skipif(not FULL, reason="takes a minute")
def test_a_dead_hosts_session_is_ended(servers):
    """It holds the lock and says nothing more: nobody can tell it from one that is dead but by its silence."""
    with case(servers, "silent", "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)", "CREATE TABLE t (id int PRIMARY KEY);\n") as s:
        dead = s.server.connect("silent", ROLE, ROLE_PASSWORD)
        assert run(dead, "SELECT GET_LOCK(CONCAT('crossfade apply ', SHA1(CONCAT_WS('\\n', DATABASE(), 'silent', '1/1'))), 0)") == (("1",),)
        s.capture.start()
        s.apply.start()
        s.apply.wait_for(lambda status: "another apply" in (status.get("last_error") or ""), 60, "the lock is respected")
        s.apply.wait_for(lambda status: status.get("complete"), 120, "the copy is complete")
        assert "silent_session_ended" in s.apply.log_text()
        dead.close()


def test_an_index_becomes_unique_while_apply_runs(servers):
    """An upsert that meets another row by it is refused, and the batch goes in in exact order."""
    with case(servers, "unique_later", "CREATE TABLE t (id int PRIMARY KEY, u text UNIQUE, v text); INSERT INTO t VALUES (9, 'y', 'nine')",
              "CREATE TABLE t (id int PRIMARY KEY, u varchar(20) COLLATE utf8mb4_nopad_bin, v longtext)") as c:
        c.start()
        c.source("UPDATE t SET v = 'first' WHERE id = 9")
        wait_until(lambda: c.target("SELECT v FROM t") == (("first",),), 60, "the table is in use")
        c.target("ALTER TABLE t ADD UNIQUE KEY u (u)")
        os.kill(c.apply.pid, signal.SIGSTOP)  # what follows comes in one batch
        try:
            c.source("INSERT INTO t VALUES (5, NULL, 'five')", "UPDATE t SET u = 'z' WHERE id = 9", "UPDATE t SET u = 'y' WHERE id = 5")
            c.capture.wait_for(lambda status: status["changes"] >= 5, 60, "the journal has the changes")
        finally:
            os.kill(c.apply.pid, signal.SIGCONT)
        wait_until(lambda: c.target("SELECT * FROM t ORDER BY id") == (("5", "y", "five"), ("9", "z", "first")), 60, "both rows")
