"""Dead letters on MariaDB: what it refuses is held whole and in order, everything else goes on; as test_dead_letters.py has it for PostgreSQL."""

import json
import math

import pytest

from rig import Postgres, Workdir, wait_until
from rig.mariadb import MariaDB, run
from rig.procs import halts
from rig.scenario import count
from test_dead_letters import ON, T, dlq
from test_mariadb import case

WIDE = "CREATE TABLE t (id int PRIMARY KEY, v longtext COLLATE utf8mb4_nopad_bin, n int)"
NARROW, WIDEN = "ALTER TABLE t ADD CONSTRAINT short CHECK (CHAR_LENGTH(v) < 7)", "ALTER TABLE t DROP CONSTRAINT short"


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("dead-letters-mariadb") as folder, Postgres(folder, "source") as source, MariaDB(folder, "target") as target:
        yield folder, source, target


def letters(s, state="held"):
    return s.target("SELECT id, chain, table_name, op, key_shown, behind, `sqlstate` FROM crossfade_dead_letter WHERE state = %s ORDER BY id", (state,))


def narrowed(s):
    """Streams, and then the target takes no more than 6 characters."""
    s.start()
    s.pipeline.wait_caught_up()
    s.target(NARROW)
    return s


def rows(s, table="t", order="1"):
    left = s.source_server.sql(f"SELECT to_jsonb(x) FROM {table} x", db=s.name)
    names = [name for (name,) in s.source_server.sql(f"SELECT attname FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0 ORDER BY attnum", db=s.name)]
    right = s.target(f"SELECT {', '.join(names)} FROM {table} ORDER BY {order}")
    text = [tuple(None if row[name] is None else str(row[name]) for name in names) for (row,) in left]
    return sorted(text, key=str), sorted(right, key=str)


def assert_equal(s, table="t"):
    s.pipeline.wait_caught_up()
    left, right = rows(s, table)
    assert left == right


def test_a_row_is_held_and_all_else_goes_on(servers):
    with case(servers, "held", T, WIDE, ON) as s:
        narrowed(s)
        s.source("INSERT INTO t VALUES (201, 'a', 1); INSERT INTO t VALUES (202, 'far too long ☺', 2); UPDATE t SET v = 'x' WHERE id = 1",
                 "UPDATE t SET n = 3 WHERE id = 202", "UPDATE t SET n = 4 WHERE id = 201")
        s.pipeline.wait_caught_up()
        assert s.target("SELECT id, v, n FROM t WHERE id > 200 OR id = 1 ORDER BY id") == (("1", "x", "1"), ("201", "a", "4"))
        held = letters(s)
        assert [row[2:] for row in held] == [("t", "c", "id=202", "0", "23514"), ("t", "u", "id=202", "1", None)]
        assert held[0][1] == held[1][1] == held[0][0]
        assert s.apply.status()["dead_letters"] == 2

        listed = [json.loads(line) for line in dlq(s, "list", "--json").splitlines()]
        assert [(str(one["id"]), one["behind"], one["sqlstate"]) for one in listed] == [(held[0][0], False, "23514"), (held[1][0], True, None)]
        shown = json.loads(dlq(s, "show", held[0][0], "--json"))
        assert shown["record"]["value"]["after"] == {"id": 202, "v": "far too long ☺", "n": 2}
        assert "/" in shown["commit_lsn"] and shown["topic"].endswith(".public.t") and shown["first_seen"].endswith("Z")

        dlq(s, "retry", held[1][0], code=1)  # refused again: it stays held, with one more attempt
        assert s.target("SELECT attempts, request, last_error IS NOT NULL FROM crossfade_dead_letter ORDER BY id") == (("2", None, "1"), ("2", None, "1"))
        s.target(WIDEN)
        dlq(s, "retry", "--all")
        assert letters(s) == ()
        assert_equal(s)
        s.source("UPDATE t SET n = 9 WHERE id = 202")  # not parked any more
        assert_equal(s)
        assert s.apply.status()["dead_letters"] == 0


def test_key_changes_truncate_discard_and_a_stopped_apply(servers):
    with case(servers, "moves", T, WIDE, ON) as s:
        narrowed(s)
        s.source("UPDATE t SET v = 'far too long' WHERE id = 5", "UPDATE t SET id = 500 WHERE id = 5", "UPDATE t SET id = 5 WHERE id = 6", "UPDATE t SET n = 1000 WHERE id = 500",
                 "INSERT INTO t VALUES (6, 'new', 6)", "UPDATE t SET n = 7 WHERE id = 7")
        s.pipeline.wait_caught_up()
        held = letters(s)
        assert len({row[1] for row in held}) == 1 and len(held) == 7, held
        assert s.target("SELECT id, v FROM t WHERE id IN (5, 6, 500) ORDER BY id") == (("5", "v5"), ("6", "v6"))
        s.apply.terminate()
        s.target(WIDEN)
        assert "as soon as it runs" in dlq(s, "retry", held[3][0], "--timeout", "0", code=1)
        s.apply.start()
        wait_until(lambda: letters(s) == (), 60, "the letters are applied")
        assert_equal(s)

        s.source("DELETE FROM t WHERE length(v) > 6")
        assert_equal(s)
        s.target(NARROW)
        s.source("INSERT INTO t VALUES (202, 'far too long', 2)")
        s.pipeline.wait_caught_up()
        s.source("BEGIN; INSERT INTO t VALUES (203, 'again too long', 2); TRUNCATE t; INSERT INTO t VALUES (202, 'short', 2), (204, 'too long by far', 1); COMMIT")
        s.pipeline.wait_caught_up()
        assert [row[4] for row in letters(s)] == ["id=204"]
        assert "TRUNCATE" in s.target("SELECT reason FROM crossfade_dead_letter WHERE state = 'superseded'")[0][0]
        dlq(s, "discard", "--all", "--reason", "it's \\ gone")
        assert s.target("SELECT reason FROM crossfade_dead_letter WHERE state = 'discarded'") == (("it's \\ gone",),)
        assert dlq(s, "list") == "no dead letters\n"


def test_rows_of_the_first_copy_and_a_table_without_key(servers):
    schema = T + "; INSERT INTO t VALUES (0, 'far too long', 0); CREATE TABLE k (a int, b text); ALTER TABLE k REPLICA IDENTITY FULL; INSERT INTO k VALUES (1, 'x'), (1, 'x'), (2, 'y')"
    target = WIDE.replace("utf8mb4_nopad_bin", "utf8mb4_nopad_bin CHECK (CHAR_LENGTH(v) < 7)")
    with case(servers, "copies", schema, target + ";\nCREATE TABLE k (a int, b longtext)", ON) as s:
        s.start()
        s.pipeline.wait_caught_up()
        assert [row[3:] for row in letters(s)] == [("r", "id=0", "0", "23514")]
        assert s.target("SELECT count(*) FROM t") == (("100",),)
        s.target("ALTER TABLE k ADD CONSTRAINT short CHECK (CHAR_LENGTH(b) < 4)")
        s.source("INSERT INTO k VALUES (3, 'ok')", "INSERT INTO k VALUES (4, 'long')", "DELETE FROM k WHERE a = 2", "UPDATE k SET b = 'z' WHERE ctid = (SELECT min(ctid) FROM k WHERE a = 1)")
        s.pipeline.wait_caught_up()
        assert [row[3] for row in letters(s)] == ["r", "c", "d", "u"]
        s.target("ALTER TABLE k DROP CONSTRAINT short")
        s.target("ALTER TABLE t MODIFY v longtext COLLATE utf8mb4_nopad_bin")
        dlq(s, "retry", "--all")
        assert_equal(s)
        assert_equal(s, "k")


def test_row_at_fault_is_found_in_few_attempts(servers):
    number = count(3000, 60000)
    with case(servers, "few", T, WIDE, ON) as s:
        narrowed(s)
        s.source("INSERT INTO t VALUES (1000, 'ok', 0)")  # the first batch behind an ALTER of the target may be taken up once more
        s.pipeline.wait_caught_up()
        before = s.apply.status()["narrowing_attempts"]
        s.source(f"INSERT INTO t SELECT i, CASE WHEN i = {2 * number // 3} THEN 'far too long' ELSE 'ok' END, 0 FROM generate_series(1001, {number}) i")
        s.pipeline.wait_caught_up(120)
        assert [row[4] for row in letters(s)] == [f"id={2 * number // 3}"]
        attempts = s.apply.status()["narrowing_attempts"] - before
        assert 2 <= attempts <= 2 * math.ceil(math.log2(number)) + 2, attempts


def test_unique_values_change_places_beside_a_bad_row(servers):
    schema = "CREATE TABLE t (id int PRIMARY KEY, v text, u int UNIQUE DEFERRABLE INITIALLY DEFERRED); INSERT INTO t SELECT i, 'v', i FROM generate_series(1, 10) i"
    with case(servers, "places", schema, "CREATE TABLE t (id int PRIMARY KEY, v longtext, u int UNIQUE)", ON) as s:
        narrowed(s)
        s.source("BEGIN; UPDATE t SET u = 11 - u, v = CASE WHEN id = 3 THEN 'far too long' ELSE v END; INSERT INTO t VALUES (20, 'ok', 20); COMMIT")
        s.pipeline.wait_caught_up()
        held = letters(s)
        assert {row[4] for row in held} == {"id=3", "id=8"} and len({row[1] for row in held}) == 1, held
        s.target(WIDEN)
        dlq(s, "retry", held[-1][0])
        assert_equal(s)


def test_a_deadlock_inside_of_the_narrowing_loses_nothing(servers):
    """1213 takes the whole transaction with it, savepoint and letters, too: the batch begins anew."""
    with case(servers, "deadlock", T, WIDE, ON) as s:
        narrowed(s)
        with s.server.connect("deadlock") as other:
            run(other, "SET SESSION innodb_lock_wait_timeout = 60")
            run(other, "BEGIN")
            run(other, "SELECT * FROM t WHERE id = 90 FOR UPDATE")
            s.source("BEGIN; UPDATE t SET v = 'far too long' WHERE id = 5; UPDATE t SET n = -1 WHERE id IN (10, 90); COMMIT")

            def waits():
                return s.server.sql("SELECT COUNT(*) FROM information_schema.INNODB_LOCK_WAITS") != (("0",),)
            wait_until(waits, 60, "apply waits for row 90", interval=0.5)  # InnoDB shows the same again to who asks within 100 ms
            # heavier than apply's transaction, and it wants what that one holds: the server ends apply's
            run(other, "UPDATE t SET n = n + 1000 WHERE id > 50")
            try:
                run(other, "SELECT * FROM t WHERE id IN (5, 10) FOR UPDATE")
            finally:
                run(other, "ROLLBACK")
        s.pipeline.wait_caught_up()
        assert "error 1213" in s.apply.log_text() or "error 1205" in s.apply.log_text()
        assert [row[4] for row in letters(s)] == ["id=5"]
        assert s.target("SELECT id, n FROM t WHERE id IN (5, 10, 90) ORDER BY id") == (("5", "5"), ("10", "-1"), ("90", "-1"))
        s.target(WIDEN)
        dlq(s, "retry", "--all")
        assert_equal(s)


@pytest.mark.parametrize("name,point,retried", [("inside", "apply.dead_letter:2", "apply.retry_before_commit:2"), ("commits", "apply.before_commit:1", "apply.retry_after_commit:1"),
                                                ("committed", "apply.after_commit:1", "apply.retry_letter:2")])
def test_killed_while_letters_are_held(servers, name, point, retried):
    with case(servers, name, T, WIDE, ON) as s:
        narrowed(s)
        s.apply.terminate()
        s.apply.start(failpoint=point)
        s.source("INSERT INTO t SELECT i, CASE WHEN i % 4 = 0 THEN 'far too long' ELSE 'ok' END, 0 FROM generate_series(1001, 1012) i", "UPDATE t SET n = n + 1 WHERE id > 1000")
        s.apply.assert_exit(-9, 60)
        s.apply.start()
        s.pipeline.wait_caught_up()
        assert sorted(row[3:5] for row in letters(s)) == sorted((op, f"id={i}") for op in "cu" for i in (1004, 1008, 1012))
        s.target(WIDEN)
        s.apply.terminate()
        s.apply.start(failpoint=retried)
        dlq(s, "retry", "--all", "--timeout", "0", code=1)
        s.apply.assert_exit(-9, 60)
        s.apply.start()
        wait_until(lambda: letters(s) == (), 60, "all are applied")
        assert_equal(s)


def test_limit_halts(servers):
    with case(servers, "limit", T, WIDE, {"apply": {"on_row_error": "dead_letter", "max_dead_letters": 2}}) as s:
        narrowed(s)
        s.source("INSERT INTO t SELECT i, 'far too long', 0 FROM generate_series(201, 203) i")
        halts(s.apply, 5, "max_dead_letters")
        s.target(WIDEN)
        s.apply.start()
        assert_equal(s)
