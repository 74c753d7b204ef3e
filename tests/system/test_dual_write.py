"""Dual write: the application writes both sides; what both have changed in different ways is found, decided by the rule, and kept."""

import json
import random

import psycopg
import pytest

from rig import Postgres, Workdir, wait_until
from rig.procs import halts
from rig.scenario import FULL as FULL_RUN, scenario, seed

T = ("CREATE TABLE t (id int PRIMARY KEY, v text, n numeric(10,2), at timestamptz DEFAULT '2026-01-01Z');"
     "INSERT INTO t SELECT i, 'v' || i, i FROM generate_series(1, 200) i")
UNTIL = "2999-01-01T00:00Z"


def dual(policy, **more):
    return {"apply": {"conflicts": {"public.t": policy}, "dual_write_until": UNTIL, **more}}


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("dual-write") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


def begin(s):
    """Streams, and the target's rows are taken up as what apply knows."""
    s.start()
    s.wait()
    s.apply.wait_log("dual_write tables", 60)
    return s


def conflicts(s, columns="kind, decision, key ->> 'id'"):
    return s.target(f"SELECT {columns} FROM crossfade.conflict ORDER BY (key ->> 'id')::int, id")


def rows(s, where, side=None):
    return (side or s.target)(f"SELECT id, v FROM t WHERE {where} ORDER BY id")


def both(s, *statements):
    s.source(*statements)
    s.target(*statements)


# What becomes of each kind of conflict: (source wins, target wins) leaves …
SOURCE = {1: "source", 2: None, 3: "source", 300: "source"}
TARGET = {1: "target", 2: "target", 3: None, 300: "target"}


def clash(s):
    """An update on both sides, a row deleted on the source alone, one deleted on the target alone, an insert on both: apply sees them when all are done."""
    assert s.pipeline.run("apply", "pause").returncode == 0
    s.target("UPDATE t SET v = 'target' WHERE id IN (1, 2)", "DELETE FROM t WHERE id = 3", "INSERT INTO t VALUES (300, 'target', 0)")
    s.source("UPDATE t SET v = 'source' WHERE id IN (1, 3)", "DELETE FROM t WHERE id = 2", "INSERT INTO t VALUES (300, 'source', 0)", "UPDATE t SET v = 'plain' WHERE id = 4")
    assert s.pipeline.run("apply", "resume").returncode == 0
    s.wait()


@pytest.mark.parametrize("policy", ["source_wins", "target_wins"])
def test_each_kind_of_conflict(servers, policy):
    with scenario(*servers, T, more=dual(policy)) as s:
        begin(s)
        clash(s)
        side = policy.split("_")[0]
        expected = SOURCE if side == "source" else TARGET
        assert dict(rows(s, "id IN (1, 2, 3, 300)")) == {id: v for id, v in expected.items() if v}
        assert rows(s, "id = 4") == [(4, "plain")]
        assert conflicts(s) == [("update", side, "1"), ("source_deleted", side, "2"), ("target_deleted", side, "3"), ("insert", side, "300")]
        assert conflicts(s, "source_row ->> 'v', target_row ->> 'v'") == [("source", "target"), (None, "target"), ("source", None), ("source", "target")]
        assert s.apply.status()[f"conflicts_{side}"] == 4
        assert f',winner="{side}"}} 4\n' in s.apply.get("/metrics")[1]
        assert "written on both sides" in s.pipeline.run("status").stdout

        # the other side's own write comes late: no conflict any more, and none when that row is changed again
        if side == "target":
            s.target("UPDATE t SET v = 'again' WHERE id = 1")
        both(s, "UPDATE t SET v = 'again' WHERE id = 1")
        s.wait()
        s.source("UPDATE t SET v = 'alone' WHERE id = 1")
        s.wait()
        assert len(conflicts(s)) == 4 and rows(s, "id = 1") == [(1, "alone")]

        listed = [json.loads(line) for line in s.pipeline.run("apply", "conflicts", "list", "--all", "--json").stdout.splitlines()]
        assert sorted(one["key"]["id"] for one in listed) == [1, 2, 3, 300]
        shown = json.loads(s.pipeline.run("apply", "conflicts", "show", str(listed[0]["id"]), "--json").stdout)
        assert shown["source_row"]["v"] == "source" and shown["target_row"]["v"] == "target"
        compared = s.pipeline.run("compare", "run", "--json").stdout
        assert "written on both sides since" in compared


def test_newer_wins(servers):
    """The larger value of the column wins; NULL and a row that is not there are older than any; equal: the source."""
    late, early, nothing = "'2026-03-01Z'", "'2026-02-01Z'", "NULL"
    cases = {  # id: (source's at, target's at, who wins); False = the row is deleted there
        1: (late, early, "source"), 2: (early, late, "target"), 3: (early, early, "source"), 4: (nothing, early, "target"), 5: (early, nothing, "source"),
        6: (nothing, nothing, "source"), 7: (False, early, "target"), 8: (False, nothing, "source"), 9: (nothing, False, "source"), 10: (early, False, "source")}
    with scenario(*servers, T, more=dual("newer_wins(at)")) as s:
        begin(s)
        assert s.pipeline.run("apply", "pause").returncode == 0
        for side, index, name in ((s.target, 1, "target"), (s.source, 0, "source")):
            side(*(f"UPDATE t SET v = '{name}', at = {case[index]} WHERE id = {id}" if case[index] else f"DELETE FROM t WHERE id = {id}" for id, case in cases.items()))
        assert s.pipeline.run("apply", "resume").returncode == 0
        s.wait()
        assert [(int(id), decision) for id, decision in conflicts(s, "key ->> 'id', decision")] == [(id, case[2]) for id, case in cases.items()]
        left = dict(rows(s, "id <= 10"))
        assert left == {id: case[2] for id, case in cases.items() if case[0 if case[2] == "source" else 1]}


def test_the_last_rule_that_fits_and_the_limit(servers):
    with scenario(*servers, T) as s:
        s.start()
        s.wait()
        s.apply.terminate()

        def refused(words, code, **settings):
            s.pipeline.settings["apply"].update(settings)
            s.pipeline.write()
            s.apply.start()
            s.apply.assert_exit(code, 60)
            assert words in s.apply.log_tail(6)

        refused("has to end: set apply.dual_write_until", 2, conflicts={"public.*": "halt"})
        refused("expected source_wins, target_wins, newer_wins(column) or halt", 2, conflicts={"public.*": "newest"}, dual_write_until=UNTIL)
        refused("apply.dual_write_until has passed", 5, conflicts={"public.*": "halt", "public.t": "source_wins"}, dual_write_until="2026-01-01T00:00Z")
        refused("2026-13-01T00:00Z", 2, dual_write_until="2026-13-01T00:00Z")
        soon = s.source("SELECT to_char(now() + interval '40 minutes', 'YYYY-MM-DD\"T\"HH24:MI\"Z\"')")[0][0]
        s.pipeline.settings["apply"]["dual_write_until"] = soon
        s.pipeline.write()
        s.apply.start()
        s.apply.wait_log("dual_write_ends", 60)
        assert s.target("SELECT count(*) FROM crossfade.dual_write") == [(1,)]
        s.target("UPDATE t SET v = 'target' WHERE id = 1")
        s.source("UPDATE t SET v = 'source' WHERE id = 1")
        s.assert_equal()
        assert conflicts(s) == [("update", "source", "1")]  # public.t, not public.*
        assert s.apply.status()["dual_write_until"] == soon

        # and when it ends, nothing of it stays but what has happened
        s.apply.terminate()
        del s.pipeline.settings["apply"]["conflicts"]
        s.pipeline.write()
        s.apply.start()
        s.wait()
        wait_until(lambda: s.target("SELECT (SELECT count(*) FROM crossfade.dual_write), (SELECT count(*) FROM crossfade.applied)") == [(0, 0)], 60, "it is forgotten")
        s.target("UPDATE t SET v = 'target' WHERE id = 1")
        s.source("UPDATE t SET v = 'source again' WHERE id = 1")
        s.assert_equal()
        assert len(conflicts(s)) == 1


def resolve(s, side, *ids):
    done = s.pipeline.run("apply", "conflicts", "resolve", *map(str, ids), "--take", side)
    assert done.returncode == 0, done.stderr


def test_halt_waits_for_a_person(servers):
    with scenario(*servers, T, more=dual("halt")) as s:
        begin(s)
        s.target("UPDATE t SET v = 'target' WHERE id IN (1, 2)", "DELETE FROM t WHERE id = 3")
        s.source("BEGIN; UPDATE t SET v = 'source' WHERE id IN (1, 2, 3, 4); COMMIT")
        halts(s.apply, 5, "both sides have changed the row", "conflicts list")
        assert rows(s, "id = 4") == [(4, "v4")]  # nothing of its transaction is written
        found = s.target("SELECT id, state, request, key ->> 'id' FROM crossfade.conflict ORDER BY 4")
        assert [row[1:] for row in found] == [("open", None, "1"), ("open", None, "2"), ("open", None, "3")]
        assert f"{found[0][0]}  open" in s.pipeline.run("apply", "conflicts", "list").stdout
        s.target(f'ALTER DATABASE "{s.name}" SET TimeZone = \'Asia/Tokyo\'')  # times are told in UTC all the same
        told = json.loads(s.pipeline.run("apply", "conflicts", "list", "--json").stdout.splitlines()[0])
        assert s.target(f"SELECT abs(extract(epoch FROM seen_at - '{told['seen_at']}')) < 1 FROM crossfade.conflict WHERE id = {told['id']}") == [(True,)]
        plan = s.pipeline.run("cutover", "plan")
        assert plan.returncode == 10 and "conflicts list" in plan.stdout, plan.stdout

        # the one side, the other, and none since both are made equal; only then does it go on
        resolve(s, "source", found[0][0])
        s.apply.start()
        halts(s.apply, 5, "both sides have changed the row")
        assert s.target("SELECT count(*) FROM crossfade.conflict") == [(3,)]
        resolve(s, "target", found[1][0])
        s.target("INSERT INTO t SELECT 3, 'source', 3")
        s.apply.start()
        s.wait()
        assert rows(s, "id < 5") == [(1, "source"), (2, "target"), (3, "source"), (4, "source")]
        assert conflicts(s, "state, decision") == [("resolved", "source"), ("resolved", "target"), ("resolved", "none")]
        assert s.apply.status()["conflicts_open"] == 0
        assert s.pipeline.run("apply", "conflicts", "list").stdout == "no open conflicts\n"


def test_what_comes_late_settles_itself(servers):
    """The target is ahead of what apply has read: a conflict that halts is waited for a while, and the source's own change makes it none, at the latest when apply is started again."""
    with scenario(*servers, T, more=dual("halt")) as s:
        begin(s)
        s.target("UPDATE t SET v = 'second' WHERE id = 1")
        s.source("UPDATE t SET v = 'first' WHERE id = 1")
        s.source("UPDATE t SET v = 'second' WHERE id = 1", "UPDATE t SET v = 'behind it' WHERE id = 2")

        def settled():
            if not s.apply.running:
                s.apply.start()
            return rows(s, "id = 2") == [(2, "behind it")]
        wait_until(settled, 120, "apply has gone on")
        assert s.apply.running
        assert rows(s, "id = 1") == [(1, "second")]
        assert s.target("SELECT count(*) FROM crossfade.conflict WHERE state <> 'resolved' OR decision <> 'none'") == [(0,)]


@pytest.mark.parametrize("policy", ["source_wins", "halt"])
def test_the_target_is_ahead(servers, policy):
    """The application has changed the row twice on both sides, and the second change is not in the journal yet: however long that takes, halt waits for it; others take their decision back."""
    with scenario(*servers, T, more=dual(policy)) as s:
        begin(s)
        assert s.pipeline.run("apply", "pause").returncode == 0
        both(s, "UPDATE t SET v = 'first' WHERE id = 1")
        s.capture.wait_lsn("journaled_lsn", s.admin("SELECT pg_current_wal_lsn()")[0][0], 60)
        s.capture.terminate()
        both(s, "UPDATE t SET v = 'second' WHERE id = 1")
        assert s.pipeline.run("apply", "resume").returncode == 0
        if policy == "halt":
            s.apply.wait_log("conflict_waits", 60)
            wait_until(lambda: conflicts(s, "state, decision") == [("open", None)], 60, "people see it")
        else:
            wait_until(lambda: conflicts(s, "state, decision") == [("decided", "source")], 60, "the source has won")
        s.capture.start()
        s.wait()
        assert rows(s, "id = 1") == [(1, "second")] and conflicts(s, "state, decision") == [("resolved", "none")]
        assert s.apply.running and s.apply.status()["conflicts_open"] == 0


FULL = ("CREATE TABLE t (id int PRIMARY KEY, v text, big text, n int); ALTER TABLE t ALTER big SET STORAGE EXTERNAL;"
        "INSERT INTO t SELECT i, 'v', repeat(md5(i::text), 200), 0 FROM generate_series(1, 20) i;")


def test_watched_while_the_position_is_not_complete(servers):
    """As after add-table: what was watched stays so through a restart."""
    with scenario(*servers, T, more=dual("target_wins")) as s:
        begin(s)
        s.apply.terminate()
        s.target("UPDATE crossfade.position SET complete = false", "UPDATE t SET v = 'target' WHERE id = 1")
        s.source("UPDATE t SET v = 'source' WHERE id IN (1, 2)")
        s.apply.start()
        s.wait()
        assert rows(s, "id < 3") == [(1, "target"), (2, "source")]
        assert conflicts(s, "kind, decision") == [("update", "target")]


@pytest.mark.parametrize("full", [True, False])
def test_values_that_were_not_changed(servers, full):
    """Records lack values that are kept out of line and were not changed: the before-image has them, if there is one."""
    with scenario(*servers, FULL + ("ALTER TABLE t REPLICA IDENTITY FULL" if full else ""), more=dual("source_wins")) as s:
        begin(s)
        both(s, "UPDATE t SET v = 'echo' WHERE id = 1", "UPDATE t SET id = 100 WHERE id = 2")
        s.source("UPDATE t SET v = 'alone' WHERE id = 3", "UPDATE t SET id = 101 WHERE id = 4", "UPDATE t SET n = 1 WHERE id IN (100, 101, 1)")
        s.assert_equal()
        assert conflicts(s) == []
        s.target("UPDATE t SET v = 'target' WHERE id = 3", "DELETE FROM t WHERE id = 5")
        s.source("BEGIN; UPDATE t SET v = 'source' WHERE id IN (3, 5); COMMIT")
        if full:
            s.assert_equal()
            assert conflicts(s) == [("update", "source", "3"), ("target_deleted", "source", "5")]
            return
        halts(s.apply, 5, "REPLICA IDENTITY FULL")
        ids = dict(s.target("SELECT key ->> 'id', id FROM crossfade.conflict"))
        resolve(s, "source", ids["3"])
        resolve(s, "target", ids["5"])
        s.apply.start()
        s.wait()
        assert rows(s, "id IN (3, 5)") == [(3, "source")]


def test_keys_that_change_and_truncate(servers):
    with scenario(*servers, T, more=dual("source_wins")) as s:
        begin(s)
        both(s, "UPDATE t SET id = 1001 WHERE id = 1")  # an echo
        s.target("UPDATE t SET v = 'target' WHERE id = 2", "INSERT INTO t VALUES (1003, 'target', 3)")
        s.source("BEGIN; UPDATE t SET id = 1002 WHERE id = 2; UPDATE t SET id = 1003 WHERE id = 3; UPDATE t SET id = 1004 WHERE id = 4; COMMIT")
        s.assert_equal()
        assert conflicts(s) == [("source_deleted", "source", "2"), ("insert", "source", "1003")]
        s.source("UPDATE t SET v = 'later' WHERE id > 1000")
        s.assert_equal()
        s.target("UPDATE t SET v = 'target'")
        s.source("BEGIN; INSERT INTO t VALUES (5000, 'gone'); TRUNCATE t; INSERT INTO t VALUES (1, 'new'), (5000, 'new'); COMMIT")
        s.assert_equal()
        s.source("UPDATE t SET v = 'newer'")
        s.assert_equal()
        assert len(conflicts(s)) == 2
    with scenario(*servers, T, more=dual("target_wins")) as s:
        begin(s)
        s.target("UPDATE t SET v = 'target' WHERE id = 2", "INSERT INTO t VALUES (1003, 'target', 3)")
        s.source("BEGIN; UPDATE t SET id = 1002 WHERE id = 2; UPDATE t SET id = 1003 WHERE id = 3; UPDATE t SET id = 1004 WHERE id = 4; COMMIT")
        s.wait()
        assert rows(s, "id > 1000 OR id < 5") == [(1, "v1"), (2, "target"), (1002, "v2"), (1003, "target"), (1004, "v4")]
        s.source("TRUNCATE t")
        halts(s.apply, 5, "TRUNCATE")


def test_many_rows_and_other_types(servers):
    """Set-based: the statements of a batch do not grow with its rows; values that are staged as text, and keys of several columns."""
    schema = ("CREATE TYPE mood AS ENUM ('good', 'bad'); CREATE TABLE t (b char(5), a int, m mood, n numeric(8,2), j jsonb, x varchar(9), gone int GENERATED ALWAYS AS (a * 2) STORED, PRIMARY KEY (b, a));"
              "INSERT INTO t SELECT 'k', i, 'good', i, '{}', 'x' FROM generate_series(1, 3000) i")
    with scenario(*servers, schema, more=dual("source_wins")) as s:
        begin(s)
        statements = ("UPDATE t SET m = 'bad', n = n + 0.5, j = '{\"a\": 1}' WHERE a <= 1000", "DELETE FROM t WHERE a BETWEEN 1001 AND 1500",
             "INSERT INTO t SELECT 'new', i, 'good', i, '{\"b\": [1, 2.50]}', 'y' FROM generate_series(1, 500) i")
        s.target(*statements)  # first: apply's rows would be in the way of its INSERT
        s.source(*statements)
        s.source("UPDATE t SET x = 'alone' WHERE a > 2000", "INSERT INTO t SELECT 'more', i FROM generate_series(1, 1000) i")
        s.assert_equal()
        assert s.target("SELECT * FROM crossfade.conflict LIMIT 3") == []
        s.target("UPDATE t SET x = 'target' WHERE a <= 300")
        s.source("UPDATE t SET x = 'source' WHERE a <= 400")
        s.assert_equal()
        assert s.target("SELECT count(*), count(DISTINCT key), min(kind), max(decision) FROM crossfade.conflict") == [(900, 900, "update", "source")]
        wrong = s.target("SELECT count(*) FROM crossfade.applied")[0][0]
        assert wrong == s.source("SELECT count(*) FROM t")[0][0]


def test_rows_in_each_others_way(servers):
    """A batch that has to be written in order, or with all of its rows taken out first, is looked at as well; what the target refuses is held."""
    schema = "CREATE TABLE t (id int PRIMARY KEY, v text, u int UNIQUE); INSERT INTO t SELECT i, 'v', i FROM generate_series(1, 300) i"
    with scenario(*servers, schema, more=dual("source_wins", on_row_error="dead_letter")) as s:
        begin(s)
        s.target("UPDATE t SET v = 'target' WHERE id = 7", "ALTER TABLE t ADD CHECK (v <> 'refused') NOT VALID")
        s.source("BEGIN; UPDATE t SET u = -u; UPDATE t SET u = 301 + u; UPDATE t SET v = 'source' WHERE id = 7; COMMIT")
        s.assert_equal()
        assert conflicts(s) == [("update", "source", "7")]
        s.target("UPDATE t SET v = 'target' WHERE id IN (8, 9)")
        s.source("BEGIN; UPDATE t SET v = 'source' WHERE id IN (8, 9); UPDATE t SET v = 'refused' WHERE id = 10; INSERT INTO t VALUES (1000, 'source', 1000); COMMIT")
        s.wait()
        assert s.target("SELECT key_shown FROM crossfade.dead_letter") == [("id=10",)]
        assert rows(s, "id IN (8, 9, 10, 1000)") == [(8, "source"), (9, "source"), (10, "v"), (1000, "source")]
        assert conflicts(s)[1:] == [("update", "source", "8"), ("update", "source", "9")]
        assert s.apply.status()["conflicts_source"] == 3


def test_a_row_that_appears_meanwhile(servers):
    """Between apply's look and its write somebody inserts the same key on the target: the batch is tried again, and it is a conflict."""
    with scenario(*servers, T, more=dual("target_wins")) as s:
        begin(s)
        with psycopg.connect(s.target_url) as other:
            other.execute("INSERT INTO t VALUES (500, 'target', 0)")  # not committed: apply cannot see it, and waits for it
            s.source("BEGIN; INSERT INTO t VALUES (500, 'source', 0), (501, 'source', 0); COMMIT")
            wait_until(lambda: s.target("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'crossfade apply%' AND wait_event_type = 'Lock'")[0][0] == 1, 60,
                       "apply waits for the other's insert")
            other.commit()
        s.wait()
        assert rows(s, "id >= 500") == [(500, "target"), (501, "source")]
        assert conflicts(s) == [("insert", "target", "500")]


KILLED = -9
POINTS = ["apply.conflicts:1", "apply.after_write:1", "apply.before_commit:1", "apply.after_commit:1", "apply.before_confirm:1"]


@pytest.mark.parametrize("policy", ["source_wins", "target_wins", "newer_wins(n)"])
def test_a_dual_writing_load(servers, policy):
    """The application writes the same on both sides, in either order, and sometimes not the same; apply is killed meanwhile.
    Only what differed is a conflict, each once, and the target ends as the rule says."""
    random.seed(seed())
    points = random.sample(POINTS, 3) if not FULL_RUN else POINTS * 6
    clashing = random.sample(range(1, 200), 4 * len(points))  # once each: a row that the target has won differs from then on
    plain = [id for id in range(1, 400) if id not in clashing]
    expected, disputed, number = {}, [], 1000
    with scenario(*servers, T, more=dual(policy)) as s, psycopg.connect(s.source_url, autocommit=True) as source, psycopg.connect(s.target_url, autocommit=True) as target:
        begin(s)
        for point in points:
            s.apply.terminate()
            s.apply.start(failpoint=point)
            for i, id in enumerate(random.sample(plain, 28)):
                number += 1
                both_sides = [(side, f"INSERT INTO t VALUES ({id}, 'same {number}', {number}) ON CONFLICT (id) DO UPDATE SET v = EXCLUDED.v, n = EXCLUDED.n") for side in random.sample((source, target), 2)]
                expected[id] = f"same {number}"
                if i % 7 == 6:  # in different ways; n says which is newer
                    number, id, ahead = number + 1, clashing.pop(), random.choice((-1, 1))
                    both_sides += [(target, f"UPDATE t SET v = 'target {number}', n = {number + ahead} WHERE id = {id}"), (source, f"UPDATE t SET v = 'source {number}', n = {number} WHERE id = {id}")]
                    winner = {"source_wins": "source", "target_wins": "target"}.get(policy) or ("target" if ahead > 0 else "source")
                    expected[id] = f"{winner} {number}"
                    disputed.append((str(id), winner, f"source {number}", f"target {number}"))
                for side, statement in both_sides:
                    side.execute(statement)
            s.apply.assert_exit(KILLED, 60)
            s.apply.start()
            s.wait()
        assert dict(rows(s, "n > 1000")) == expected
        found = s.target("SELECT key ->> 'id', decision, source_row ->> 'v', target_row ->> 'v' FROM crossfade.conflict")
        assert sorted(found) == sorted(disputed)
