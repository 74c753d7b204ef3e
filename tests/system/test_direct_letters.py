"""Rows that the target refuses in a direct load: they are found in few statements, and go by the rules of any other row. What is killed on the
way doubles none of them, and loses none."""

import hashlib
import json
import math
import signal

import psycopg
import pytest

from rig import Postgres, Workdir, wait_until
from rig.failpoints import failpoints
from rig.mariadb import MariaDB
from rig.scenario import scenario
from test_dead_letters import dlq
from test_mariadb import case

ROWS = 4000
BAD = [3, 1777, 1778, 4000]
TABLES = f"""
CREATE TABLE t (id int PRIMARY KEY, v text, n int);
CREATE TABLE bag (a int, b text); ALTER TABLE bag REPLICA IDENTITY FULL;
CREATE TABLE small (id int PRIMARY KEY, v text);
CREATE TABLE other (id int PRIMARY KEY, v text);
INSERT INTO t SELECT i, 'v' || i, CASE WHEN i IN ({', '.join(map(str, BAD))}) THEN -1 ELSE i END FROM generate_series(1, {ROWS}) i;
INSERT INTO bag SELECT i, 'b' FROM generate_series(1, 300) i;
INSERT INTO small SELECT i, CASE i WHEN 2 THEN 'bad' ELSE 'good' END FROM generate_series(1, 3) i;
INSERT INTO other SELECT i, 'o' FROM generate_series(1, 3) i;
ANALYZE;
"""
CHECKS = "ALTER TABLE t ADD CONSTRAINT whole CHECK (n > 0); ALTER TABLE bag ADD CONSTRAINT whole CHECK (a <> 150); ALTER TABLE small ADD CONSTRAINT whole CHECK (v <> 'bad')"
MENDED = "ALTER TABLE t DROP CONSTRAINT whole; ALTER TABLE bag DROP CONSTRAINT whole; ALTER TABLE small DROP CONSTRAINT whole"
MARIADB = "CREATE TABLE t (id int PRIMARY KEY, v longtext, n int);\nCREATE TABLE bag (a int, b longtext);\nCREATE TABLE small (id int PRIMARY KEY, v varchar(20));\nCREATE TABLE other (id int PRIMARY KEY, v longtext)"
DIRECT = {"capture": {"snapshot_path": "direct", "snapshot_workers": 2, "snapshot_chunk_rows": 1500}}
ON = {**DIRECT, "apply": {"on_row_error": "dead_letter"}}
HELD = len(BAD) + 2
SUMS = "SELECT (SELECT count(*) FROM t), (SELECT sum(n) FROM t), (SELECT sum(a) FROM bag), (SELECT count(*) FROM small), (SELECT count(*) FROM other)"
GOOD = [ROWS - len(BAD), ROWS * (ROWS + 1) // 2 - sum(BAD), 300 * 301 // 2 - 150, 2, 3]


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("directletters") as folder, Postgres(folder, "source") as source, Postgres(folder, "target", settings={"shared_preload_libraries": "pg_stat_statements"}) as target:
        yield folder, source, target


@pytest.fixture(name="mariadb", scope="module")
def fixture_mariadb(servers):
    with MariaDB(servers[0], "mariadb") as target:
        yield servers[0], servers[1], target


def alter(s, statements):
    for statement in statements.split("; "):
        s.target(statement)


def sums(s):
    return [int(number) for number in s.target(SUMS)[0]]


def letters(s, table):
    rows = s.target(f"SELECT table_name, op, key_shown, behind, message FROM {table} WHERE state = 'held' ORDER BY table_name, id")
    return [(name, op, key, str(behind) in ("True", "1")) for name, op, key, behind, _ in rows]


def expected(more=()):
    return sorted([("bag", "r", None, False), ("small", "r", "id=2", False)] + [("t", "r", f"id={n}", False) for n in BAD] + list(more), key=str)


def killed(s, refused_before):
    """Capture and apply are killed where a refused row could be doubled, or lost; meanwhile the rows are changed."""
    points = ["capture.direct_held:2", "capture.direct_copied:2", "capture.direct_finished"]
    assert "capture.direct_held" in failpoints("capture") and "apply.retry_refused" in failpoints("apply")
    s.apply.start(failpoint="apply.retry_refused")
    for point in points:
        s.capture.start(failpoint=point)
        s.capture.assert_exit(-signal.SIGKILL, timeout=120)
    s.source("UPDATE t SET v = 'changed' WHERE id IN (3, 4)", "DELETE FROM other WHERE id = 1")
    assert refused_before() == HELD
    s.capture.start()
    s.apply.assert_exit(-signal.SIGKILL, timeout=120)
    assert refused_before() == HELD
    s.apply.start()
    s.apply.wait_for(lambda status: status.get("complete"), 120, "the copy is complete")
    s.pipeline.wait_caught_up(120)


def after(s, table):
    assert sorted(letters(s, table), key=str) == expected([("t", "u", "id=3", True)])
    assert sums(s) == [*GOOD[:4], 2]
    assert s.apply.status()["dead_letters"] == HELD + 1
    listed = [json.loads(line) for line in dlq(s, "list", "--json").splitlines()]
    shown = json.loads(dlq(s, "show", str(next(one["id"] for one in listed if one["key"] == "id=1777")), "--json"))
    assert shown["record"]["value"]["after"] == {"id": 1777, "v": "v1777", "n": -1} and shown["topic"].endswith(".public.t")


def test_refused_rows_become_dead_letters(servers):
    with scenario(*servers, TABLES, more=ON) as s:
        alter(s, CHECKS)
        killed(s, lambda: s.target("SELECT count(*) FROM crossfade.direct_letter")[0][0])
        assert s.target("SELECT count(*) FROM crossfade.direct_letter") == [(0,)]
        after(s, "crossfade.dead_letter")
        alter(s, MENDED)
        dlq(s, "retry", "--all")
        s.source("UPDATE t SET n = 5 WHERE id = 3", "DELETE FROM bag WHERE a = 150")
        s.assert_equal(120)


def test_refused_rows_become_dead_letters_of_mariadb(mariadb):
    with case(mariadb, "letters", TABLES, MARIADB, ON) as s:
        alter(s, CHECKS)
        killed(s, lambda: int(s.target("SELECT COUNT(*) FROM crossfade_direct_letter")[0][0]))
        after(s, "crossfade_dead_letter")
        alter(s, MENDED)
        dlq(s, "retry", "--all")
        s.source("UPDATE t SET n = 5 WHERE id = 3")
        s.pipeline.wait_caught_up(120)
        want = [int(number) for number in s.source_server.sql(SUMS, db="letters")[0]]
        assert sums(s) == want


def halts_naming(s, word):
    """Without the rule the load ends, and the row can be found by what it says."""
    s.apply.start()
    s.capture.start()
    s.capture.assert_exit(5, timeout=120)
    hashed = [hashlib.sha256(str(n).encode()).hexdigest()[:16] for n in BAD]
    said = [line for line in s.capture.log_text().splitlines() if "direct load of table=public.t:" in line]
    assert said and any(f"key_hash={one}" in said[-1] for one in hashed), s.capture.log_text()[-3000:]
    assert word in said[-1] and "on_row_error: dead_letter" in said[-1] and "ctid=(" in said[-1]


def test_refused_row_halts_without_the_rule(servers):
    with scenario(*servers, TABLES, more=DIRECT) as s:
        s.target("ALTER TABLE t ADD CONSTRAINT whole CHECK (n > 0)")
        halts_naming(s, "whole")
        s.target("ALTER TABLE t DROP CONSTRAINT whole")
        s.capture.start()
        s.wait_complete(120)
        s.assert_equal(120)


def test_refused_row_halts_without_the_rule_on_mariadb(mariadb):
    with case(mariadb, "halts", TABLES, MARIADB, DIRECT) as s:
        s.target("ALTER TABLE t ADD CONSTRAINT whole CHECK (n > 0)")
        halts_naming(s, "whole")


def test_a_row_is_found_in_few_statements(servers):
    _, _, target = servers
    with scenario(*servers, "CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t SELECT i, i FROM generate_series(1, 20000) i; ANALYZE", name="few",
                  more={**ON, "capture": {**DIRECT["capture"], "snapshot_chunk_rows": 50000}}) as s:
        s.target("ALTER TABLE t ADD CONSTRAINT whole CHECK (n <> 12345)")
        target.sql("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        target.sql("SELECT pg_stat_statements_reset()")
        s.start(timeout=120)
        wait_until(lambda: s.apply.status()["dead_letters"] == 1, 60, "the row is held")
        copies = target.value("SELECT sum(calls) FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid WHERE datname = 'few' AND query ~ '^COPY .*FROM STDIN'")
        assert s.target("SELECT count(*) FROM t") == [(19999,)]
        assert copies <= 2 * math.ceil(math.log2(20000)) + 2


# Keys of a type whose operators lie outside of pg_catalog: in any other search_path they compare as plain text does. And a value that
# is a name.
FOREIGN = """
CREATE EXTENSION citext;
CREATE TABLE c (k citext PRIMARY KEY, n int);
CREATE TABLE e (id int PRIMARY KEY, r regclass);
INSERT INTO c SELECT CASE WHEN i % 2 = 0 THEN 'Key' ELSE 'kEY' END || i, i FROM generate_series(1, 2000) i;
INSERT INTO e SELECT i, 'c' FROM generate_series(1, 10) i;
ANALYZE;
"""


def test_keys_are_compared_by_the_roles_own_path(servers):
    """In each statement of a transaction: a refused row is looked for in ranges of a chunk."""
    more = {**ON, "capture": {**DIRECT["capture"], "snapshot_chunk_rows": 800, "snapshot_workers": 1}}
    with scenario(*servers, FOREIGN, name="ownpath", more=more, superuser="it makes an extension") as s:
        s.target("ALTER TABLE c ADD CONSTRAINT whole CHECK (n <> 777)", "ALTER TABLE e ADD CONSTRAINT whole CHECK (id <> 4)")
        s.start(timeout=120)
        assert s.target("SELECT count(*), sum(n) FROM c") == [(1999, 2000 * 2001 // 2 - 777)]
        assert s.target("SELECT count(*), count(DISTINCT r) FROM e") == [(9, 1)]
        assert sorted(letters(s, "crossfade.dead_letter")) == [("c", "r", "k=kEY777", False), ("e", "r", "id=4", False)]
        listed = [json.loads(line) for line in dlq(s, "list", "--json").splitlines()]
        shown = json.loads(dlq(s, "show", str(next(one["id"] for one in listed if one["key"] == "id=4")), "--json"))
        assert shown["record"]["value"]["after"] == {"id": 4, "r": "public.c"}


def test_taking_up_refused_rows_is_tried_again(servers):
    """What passes in the midst of it (here a statement is cancelled while it waits for a lock) leaves them to be taken up by the same process."""
    with scenario(*servers, "CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t SELECT i, i FROM generate_series(1, 300) i; ANALYZE", name="again", more=ON) as s:
        s.target("ALTER TABLE t ADD CONSTRAINT whole CHECK (n <> 177)")
        s.apply.start(failpoint="apply.retry_refused")
        s.capture.start()
        s.apply.assert_exit(-signal.SIGKILL, timeout=120)
        with psycopg.connect(s.target_url) as holder:
            holder.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
            s.apply.start()

            def cancelled():
                s.target_server.sql("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE datname = 'again' AND application_name LIKE 'crossfade apply%' AND wait_event_type = 'Lock'")
                return "batch_retry" in s.apply.log_text()
            wait_until(cancelled, 120, "apply tries again")
            holder.rollback()
        s.wait_complete(120)
        assert letters(s, "crossfade.dead_letter") == [("t", "r", "id=177", False)]
        assert s.target("SELECT count(*) FROM crossfade.direct_letter") == [(0,)]


CROWDED = 100  # tables, of so many partitions each:
PARTS = 10


def test_sets_of_tables_fit_the_lock_table(servers):
    """What is done to many tables at once locks their partitions, too; a target whose lock table is too small for that gets them in smaller sets."""
    folder, source, _ = servers
    settings = {"max_locks_per_transaction": 10, "max_connections": 20, "max_wal_senders": 0, "max_worker_processes": 0, "autovacuum_max_workers": 1, "wal_level": "minimal"}
    tables = "".join(f"CREATE TABLE t{n} (id int PRIMARY KEY, v int); INSERT INTO t{n} VALUES (1, {n}), (2, {n});" for n in range(CROWDED))
    with Postgres(folder, "crowded", settings=settings) as target, scenario(folder, source, target, tables, target_schema="", name="crowded", more=DIRECT, superuser="it adds keys to tables that it does not own") as s:
        with psycopg.connect(s.target_url, autocommit=True) as connection:
            for n in range(CROWDED):
                connection.execute(f"CREATE TABLE t{n} (id int NOT NULL, v int) PARTITION BY HASH (id);"
                                   + "".join(f"CREATE TABLE t{n}_{k} PARTITION OF t{n} FOR VALUES WITH (MODULUS {PARTS}, REMAINDER {k});" for k in range(PARTS)))
            with pytest.raises(psycopg.errors.OutOfMemory), connection.transaction():
                connection.execute("; ".join(f"SELECT 1 FROM t{n}" for n in range(CROWDED)))
        s.start(timeout=240)
        assert s.target("SELECT count(*) FROM pg_constraint WHERE contype = 'p' AND conparentid = 0 AND conrelid::regclass::text ~ '^t[0-9]+$'") == [(CROWDED,)]
        assert s.target("SELECT sum(v) FROM (" + " UNION ALL ".join(f"SELECT v FROM t{n}" for n in range(20)) + ") x") == [(2 * sum(range(20)),)]
