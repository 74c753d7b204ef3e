"""Dead letters: what the target refuses is held whole and in order, everything else goes on, and everybody says so."""

import json
import math

import psycopg
import pytest

from rig import Postgres, Workdir, wait_until
from rig.procs import halts
from rig.scenario import count, scenario

T = "CREATE TABLE t (id int PRIMARY KEY, v text, n int); INSERT INTO t SELECT i, 'v' || i, i FROM generate_series(1, 100) i"
NARROW = "CREATE TABLE t (id int PRIMARY KEY, v varchar(6), n int)"
WIDEN = "ALTER TABLE t ALTER v TYPE text"
ON = {"apply": {"on_row_error": "dead_letter"}}


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("dead-letters") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


def letters(s, state="held"):
    return s.target(f"SELECT id, chain, table_name, op, key_shown, behind, sqlstate FROM crossfade.dead_letter WHERE state = '{state}' ORDER BY id")


def dlq(s, *words, code=0):
    if words[0] != "list" and words[0] != "show" and "--timeout" not in words:
        words += ("--timeout", "60")
    done = s.pipeline.run("apply", "dlq", *words)
    assert done.returncode == code, f"{words}: {done.returncode} {done.stdout} {done.stderr}"
    return done.stdout


def narrowed(s, more=None):
    """Streams, and then the target takes no more than 6 characters."""
    s.start()
    s.wait()
    s.target("ALTER TABLE t ALTER v TYPE varchar(6)")
    return s


def test_a_row_is_held_and_all_else_goes_on(servers):
    with scenario(*servers, T, more=ON) as s:
        narrowed(s)
        s.source("INSERT INTO t VALUES (201, 'a', 1); INSERT INTO t VALUES (202, 'far too long', 2); UPDATE t SET v = 'x' WHERE id = 1",
                 "UPDATE t SET n = 3 WHERE id = 202", "UPDATE t SET n = 4 WHERE id = 201")
        s.wait()
        assert s.target("SELECT id, v, n FROM t WHERE id > 200 OR id = 1 ORDER BY id") == [(1, "x", 1), (201, "a", 4)]
        held = letters(s)
        assert [row[2:] for row in held] == [("t", "c", "id=202", False, "22001"), ("t", "u", "id=202", True, None)]
        assert held[0][1] == held[1][1] == held[0][0]

        # everybody says so
        assert s.apply.status()["dead_letters"] == 2
        assert 'crossfade_dead_letters{role="apply"' in s.apply.get("/metrics")[1]
        assert "dead letters" in s.pipeline.run("status").stdout
        assert "2 changes that the target refused" in s.pipeline.run("check").stdout
        plan = s.pipeline.run("cutover", "plan")
        assert plan.returncode == 10 and "dead_letters" in plan.stdout, plan.stdout
        compared = s.pipeline.run("compare", "run")
        assert compared.returncode == 1 and "dead letters" in compared.stdout + compared.stderr, compared.stdout

        # list and show have all of it
        listed = [json.loads(line) for line in dlq(s, "list", "--json").splitlines()]
        assert [(one["id"], one["behind"], one["sqlstate"]) for one in listed] == [(held[0][0], False, "22001"), (held[1][0], True, None)]
        assert "character varying(6)" in listed[0]["message"]
        shown = json.loads(dlq(s, "show", str(held[0][0]), "--json"))
        assert shown["record"]["value"]["after"] == {"id": 202, "v": "far too long", "n": 2}
        assert shown["commit_lsn"] and shown["topic"].endswith(".public.t")

        # a retry that the target still refuses leaves it held, with one more attempt
        dlq(s, "retry", str(held[1][0]), code=1)
        assert s.target("SELECT attempts, request, last_error IS NOT NULL FROM crossfade.dead_letter ORDER BY id") == [(2, None, True), (2, None, True)]
        assert s.apply.status()["phase"] == "streaming"

        s.target(WIDEN)
        dlq(s, "retry", "--all")
        assert letters(s) == []
        s.assert_equal()
        s.source("UPDATE t SET n = 9 WHERE id = 202")  # not parked any more
        s.assert_equal()
        assert s.apply.status()["dead_letters"] == 0
        assert s.pipeline.run("compare", "run").returncode == 0


def test_equal_tables_are_no_pass_while_something_is_held(servers):
    with scenario(*servers, T, more=ON) as s:
        narrowed(s)
        s.source("INSERT INTO t VALUES (202, 'far too long', 2)")
        s.wait()
        s.source("DELETE FROM t WHERE id = 202")
        s.wait()
        assert len(letters(s)) == 2
        compared = s.pipeline.run("compare", "run")
        assert compared.returncode == 3 and "dead letters" in compared.stdout + compared.stderr, compared.stdout
        assert s.target("SELECT verdict FROM crossfade.verdict ORDER BY id DESC LIMIT 1") == [("INCONCLUSIVE",)]
        dlq(s, "discard", "--all", code=2)  # without a reason
        dlq(s, "discard", "--all", "--reason", "the source has deleted it")
        assert s.target("SELECT DISTINCT state, reason FROM crossfade.dead_letter") == [("discarded", "the source has deleted it")]
        assert s.pipeline.run("compare", "run").returncode == 0


def test_key_changes_tie_keys_together(servers):
    """A row that is held moves to another key, and another row takes its old one: all of it waits, and goes in in order."""
    with scenario(*servers, T, more=ON) as s:
        narrowed(s)
        s.source("UPDATE t SET v = 'far too long' WHERE id = 5", "UPDATE t SET id = 500 WHERE id = 5", "UPDATE t SET id = 5 WHERE id = 6", "UPDATE t SET n = 1000 WHERE id = 500",
                 "INSERT INTO t VALUES (6, 'new', 6)", "UPDATE t SET n = 7 WHERE id = 7")
        s.wait()
        held = letters(s)
        assert len({row[1] for row in held}) == 1 and len(held) == 7, held
        assert s.target("SELECT n FROM t WHERE id = 7") == [(7,)]
        assert s.target("SELECT id, v FROM t WHERE id IN (5, 6, 500) ORDER BY id") == [(5, "v5"), (6, "v6")]
        s.target(WIDEN)
        dlq(s, "retry", str(held[3][0]))
        s.assert_equal()
        assert letters(s) == []


def test_truncate_makes_letters_void(servers):
    with scenario(*servers, T + "; CREATE TABLE u (id int PRIMARY KEY, v text); INSERT INTO u VALUES (0, 'a')", more=ON) as s:
        narrowed(s)
        s.target("ALTER TABLE u ALTER v TYPE varchar(6)")
        s.source("INSERT INTO t VALUES (202, 'far too long', 2)", "INSERT INTO u VALUES (1, 'far too long')")
        s.wait()
        assert len(letters(s)) == 2
        s.source("BEGIN; INSERT INTO t VALUES (203, 'again too long', 2); TRUNCATE t; INSERT INTO t VALUES (202, 'short', 2), (204, 'too long by far', 1); COMMIT")
        s.wait()
        assert [(row[2], row[4]) for row in letters(s)] == [("u", "id=1"), ("t", "id=204")]
        assert "TRUNCATE" in s.target("SELECT reason FROM crossfade.dead_letter WHERE state = 'superseded' ORDER BY id LIMIT 1")[0][0]
        s.target(WIDEN, "ALTER TABLE u ALTER v TYPE text")
        dlq(s, "retry", "--all")
        s.assert_equal()


ROGUE = "INSERT INTO t VALUES (99, 'rogue', 1)"
UNIQUE = "CREATE TABLE t (id int PRIMARY KEY, v text, u int UNIQUE); INSERT INTO t VALUES (50, 'z', 50); CREATE TABLE o (id int PRIMARY KEY, v text)"


def test_rows_that_were_held_late_are_retried_too(servers):
    """A row in another's way is held at the transaction's end, behind one that comes later in it."""
    with scenario(*servers, UNIQUE, more=ON) as s:
        s.start()
        s.wait()
        s.target("ALTER TABLE t ADD CHECK (length(v) < 7)", ROGUE)
        s.source("BEGIN; INSERT INTO t VALUES (1, 'a', 1); INSERT INTO t VALUES (2, 'far too long', 2); COMMIT")
        s.wait()
        assert len(letters(s)) == 2
        s.target("ALTER TABLE t DROP CONSTRAINT t_v_check", "DELETE FROM t WHERE id = 99")
        dlq(s, "retry", "--all")
        assert not letters(s) and s.target("SELECT * FROM t ORDER BY 1") == s.source("SELECT * FROM t ORDER BY 1")


def test_truncate_takes_what_is_still_aside(servers):
    with scenario(*servers, UNIQUE, more=ON) as s:
        s.start()
        s.wait()
        s.target("ALTER TABLE o ADD CHECK (length(v) < 7)", ROGUE)
        s.source("BEGIN; INSERT INTO t VALUES (1, 'gone', 1); TRUNCATE t; INSERT INTO t VALUES (2, 'stays', 2); INSERT INTO o VALUES (1, 'far too long'); COMMIT")
        s.wait()
        assert s.target("SELECT * FROM t") == [(2, "stays", 2)] and [row[2] for row in letters(s)] == ["o"]


def test_table_without_key_is_one_key(servers):
    with scenario(*servers, "CREATE TABLE k (a int, b text); ALTER TABLE k REPLICA IDENTITY FULL; INSERT INTO k VALUES (1, 'x'), (1, 'x'), (2, 'y')", more=ON) as s:
        s.start()
        s.wait()
        s.target("ALTER TABLE k ALTER b TYPE varchar(3)")
        s.source("INSERT INTO k VALUES (3, 'ok')", "INSERT INTO k VALUES (4, 'long')", "DELETE FROM k WHERE a = 2", "UPDATE k SET b = 'z' WHERE ctid = (SELECT min(ctid) FROM k WHERE a = 1)")
        s.wait()
        assert [row[3] for row in letters(s)] == ["c", "d", "u"]
        s.target("ALTER TABLE k ALTER b TYPE text")
        dlq(s, "retry", "--all")
        s.assert_equal()


def test_rows_of_the_first_copy(servers):
    with scenario(*servers, T + "; INSERT INTO t VALUES (0, 'far too long', 0)", "CREATE TABLE t (id int PRIMARY KEY, v text CHECK (length(v) < 7), n int)", more=ON) as s:
        s.start()
        s.wait()
        assert [row[3:] for row in letters(s)] == [("r", "id=0", False, "23514")]
        assert s.target("SELECT count(*) FROM t") == [(100,)]
        s.target("ALTER TABLE t DROP CONSTRAINT t_v_check")
        dlq(s, "retry", "--all")
        s.assert_equal()


def test_limit_halts(servers):
    with scenario(*servers, T, more={"apply": {"on_row_error": "dead_letter", "max_dead_letters": 3}}) as s:
        narrowed(s)
        s.source("INSERT INTO t SELECT i, 'far too long', 0 FROM generate_series(201, 203) i")
        s.wait()
        assert len(letters(s)) == 3
        s.source("UPDATE t SET n = 5 WHERE id = 201", "INSERT INTO t VALUES (300, 'ok', 1)")
        halts(s.apply, 5, "max_dead_letters")
        assert len(letters(s)) == 3 and s.target("SELECT count(*) FROM t WHERE id = 300") == [(0,)]
        s.target(WIDEN)
        dlq(s, "retry", "--all", "--timeout", "0", code=1)  # noted; the next apply does it
        s.apply.start()
        s.assert_equal()
        assert letters(s) == [] and s.apply.status()["dead_letters"] == 0


def test_row_at_fault_is_found_in_few_attempts(servers):
    """Statements grow with log n: each attempt is one set-based write of a range."""
    rows = count(4000, 60000)
    with scenario(*servers, T, more=ON) as s:
        narrowed(s)
        s.source(f"INSERT INTO t SELECT i, CASE WHEN i = {rows // 3} THEN 'far too long' ELSE 'ok' END, 0 FROM generate_series(1001, {rows}) i")
        s.wait(120)
        assert [row[4] for row in letters(s)] == [f"id={rows // 3}"]
        attempts = s.apply.status()["narrowing_attempts"]
        assert 2 <= attempts <= 2 * math.ceil(math.log2(rows)) + 2, attempts
        s.target(WIDEN)
        dlq(s, "retry", "--all")
        s.assert_equal()


@pytest.mark.parametrize("statements,expected", [
    ("UPDATE t SET u = 11 - u; UPDATE t SET v = 'far too long' WHERE id = 3", {"id=3"}),
    ("UPDATE t SET u = 11 - u, v = CASE WHEN id = 3 THEN 'far too long' ELSE v END", {"id=3", "id=8"}),  # 8 wants what 3 could not give away
])
def test_values_that_change_places_beside_a_bad_row(servers, statements, expected):
    """Unique values change places in the transaction that also has a row at fault: that row alone is held, and who depends on it."""
    schema = "CREATE TABLE t (id int PRIMARY KEY, v text, u int UNIQUE DEFERRABLE INITIALLY DEFERRED); INSERT INTO t SELECT i, 'v', i FROM generate_series(1, 10) i"
    with scenario(*servers, schema, "CREATE TABLE t (id int PRIMARY KEY, v text, u int UNIQUE)", more=ON) as s:
        narrowed(s)
        s.source(f"BEGIN; {statements}; INSERT INTO t VALUES (20, 'ok', 20); COMMIT")
        s.wait()
        held = letters(s)
        assert {row[4] for row in held} == expected and len({row[1] for row in held}) == 1, held
        s.target(WIDEN)
        dlq(s, "retry", str(held[-1][0]))
        s.assert_equal()


def test_a_lock_that_is_waited_for_in_vain(servers):
    """As a deadlock, or a lock that is held for longer than the session waits: the batch is tried again, also when letters are held, which are asked about before."""
    with scenario(*servers, T, more=ON) as s:
        narrowed(s)
        s.source("INSERT INTO t VALUES (202, 'far too long', 2)")
        s.wait()
        assert len(letters(s)) == 1
        waiting = "FROM pg_stat_activity WHERE application_name LIKE 'crossfade apply%' AND wait_event_type = 'Lock'"
        with psycopg.connect(s.target_url) as other:
            other.execute("UPDATE t SET n = 0 WHERE id = 1")
            s.source("UPDATE t SET n = 77 WHERE id = 1")
            wait_until(lambda: s.target(f"SELECT pg_cancel_backend(pid) {waiting}") == [(True,)], 60, "apply waits for the row, and is cancelled as by a timeout")
            s.apply.wait_log("batch_retry", 60)
            other.commit()
        s.wait()
        assert s.target("SELECT n FROM t WHERE id = 1") == [(77,)] and s.apply.running
        dlq(s, "discard", "--all", "--reason", "test")


def test_without_it_apply_halts(servers):
    with scenario(*servers, T) as s:
        narrowed(s)
        s.source("INSERT INTO t VALUES (202, 'far too long', 2)")
        halts(s.apply, 5, "public.t", "Hint:")
        assert letters(s) == []


def test_request_of_a_stopped_apply_waits(servers):
    with scenario(*servers, T, more=ON) as s:
        narrowed(s)
        s.source("INSERT INTO t VALUES (202, 'far too long', 2)")
        s.wait()
        s.apply.terminate()
        s.target(WIDEN)
        out = dlq(s, "retry", "--all", "--timeout", "0", code=1)
        assert "as soon as it runs" in out
        s.apply.start()
        wait_until(lambda: letters(s) == [], 30, "the letters are applied")
        s.assert_equal()
        assert dlq(s, "list") == "no dead letters\n"
        assert json.loads(dlq(s, "list", "--all", "--json").splitlines()[0])["state"] == "applied"


@pytest.mark.parametrize("journal_format", ["avro", "json"])
def test_a_key_of_another_type_is_not_passed_over(servers, journal_format):
    """Its bytes in the journal are others than those of the parked key: all of the table waits then, as one chain."""
    with scenario(*servers, T, more={**ON, "journal": {"format": journal_format}}) as s:
        narrowed(s)
        s.source("INSERT INTO t VALUES (202, 'far too long', 2)", "INSERT INTO t VALUES (203, 'too long as well', 3)")
        s.wait()
        assert len({row[1] for row in letters(s)}) == 2
        s.target("ALTER TABLE t ALTER id TYPE bigint")
        s.source("ALTER TABLE t ALTER id TYPE bigint", "UPDATE t SET v = 'short' WHERE id = 202", "UPDATE t SET n = 70 WHERE id = 7", "INSERT INTO t VALUES (6000000000, 'new', 1)")
        s.wait()
        held = letters(s)
        assert [row[3:5] for row in held] == [("c", "id=202"), ("c", "id=203"), ("u", "id=202"), ("u", "id=7"), ("c", "id=6000000000")], held
        assert len({row[1] for row in held}) == 1 and "table_parked" in s.apply.log_text()
        s.apply.terminate()
        s.apply.start()  # what it reads of the target says the same
        s.source("UPDATE t SET n = 71 WHERE id = 7")
        s.wait()
        assert len(letters(s)) == 6
        s.target(WIDEN)
        dlq(s, "retry", "--all")
        s.assert_equal()
        s.source("UPDATE t SET n = 72 WHERE id = 7")  # not parked any more
        s.assert_equal()


def test_a_long_chain_is_applied_in_parts(servers):
    """More than a page of letters and several parts of a batch, in the order of their changes."""
    number, size = count(300, 3000), 30000
    with scenario(*servers, T + "; ALTER TABLE t ADD big text", more={"apply": {"on_row_error": "dead_letter", "batch_max_bytes": "1MB"}}) as s:
        narrowed(s)
        s.source("INSERT INTO t VALUES (202, 'far too long', 0)",
                 f"DO $$ BEGIN FOR i IN 1..{number} LOOP UPDATE t SET n = n + 1, big = repeat(chr(97 + i % 26), {size}) WHERE id = 202; END LOOP; END $$",
                 "UPDATE t SET id = 303 WHERE id = 202", "UPDATE t SET id = 404 WHERE id = 303")
        s.wait()
        assert len(letters(s)) == number + 5
        s.target(WIDEN)
        dlq(s, "retry", "--all")
        assert letters(s) == [] and s.target("SELECT id, n FROM t WHERE id > 200") == [(404, number)]
        s.assert_equal()


def test_a_retry_that_never_ends_is_given_up(servers):
    with scenario(*servers, T, more=ON) as s:
        narrowed(s)
        s.source("INSERT INTO t VALUES (202, 'far too long', 2)")
        s.wait()
        s.target(WIDEN)
        s.apply.terminate()
        dlq(s, "retry", "--all", "--timeout", "0", code=1)
        for _ in range(3):
            s.apply.start(failpoint="apply.retry_letter:1")
            s.apply.assert_exit(-9, 60)
        s.apply.start()
        wait_until(lambda: s.target("SELECT request, last_error LIKE '%begun 3 times%' FROM crossfade.dead_letter") == [(None, True)], 60, "it is given up")
        assert len(letters(s)) == 1
        dlq(s, "retry", "--all")  # asked for again
        s.assert_equal()
        assert letters(s) == []


def test_many_letters_are_listed_in_pages(servers):
    """Thousands are held (clones of a real one): each is listed once, in order; apply starts with all of them and gives all of them up when asked."""
    with scenario(*servers, T, more=ON) as s:
        narrowed(s)
        s.source("UPDATE t SET v = 'far too long' WHERE id = 1")
        s.wait()
        assert s.apply.terminate() == 0
        clones = count(2500, 10000)
        s.target("INSERT INTO crossfade.dead_letter SELECT (jsonb_populate_record(d, jsonb_build_object('id', i.id, 'chain', i.id, 'key_shown', 'id=' || i.n, 'key', '\\x' || md5(i.n::text)))).* "
                 f"FROM crossfade.dead_letter d, (SELECT n, nextval('crossfade.dead_letter_id') AS id FROM generate_series(1001, {1000 + clones}) n) i")
        listed = [json.loads(line) for line in dlq(s, "list", "--json").splitlines()]
        assert [one["key"] for one in listed] == ["id=1"] + [f"id={n}" for n in range(1001, 1001 + clones)]
        assert len(dlq(s, "list", "--all").splitlines()) == clones + 1
        s.apply.start()
        s.apply.wait_for(lambda status: status.get("dead_letters") == clones + 1, 60, "all are held")
        dlq(s, "discard", "--all", "--reason", "a test", "--timeout", "120")
        assert letters(s) == [] and len(letters(s, "discarded")) == clones + 1
