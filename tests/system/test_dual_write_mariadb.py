"""Dual write onto MariaDB: as test_dual_write.py has it for PostgreSQL; what both sides have changed in different ways is found, decided by the rule, and kept."""

import glob
import json
import random

import psycopg
import pytest

from rig import Postgres, Workdir, wait_until
from rig.mariadb import MariaDB, run
from rig.procs import halts
from rig.scenario import FULL as FULL_RUN, seed
from test_mariadb import case

T = "CREATE TABLE t (id int PRIMARY KEY, v text, n numeric(10,2), at timestamptz DEFAULT '2026-01-01Z'); INSERT INTO t SELECT i, 'v' || i, i FROM generate_series(1, 200) i"
MT = "CREATE TABLE t (id int PRIMARY KEY, v longtext, n decimal(10,2), at timestamp(6) NULL DEFAULT '2026-01-01')"
UNTIL = "2999-01-01T00:00Z"


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("dual-write-mariadb") as folder, Postgres(folder, "source") as source, MariaDB(folder, "target") as target:
        yield folder, source, target


def dual(policy, **more):
    return {"apply": {"conflicts": {"public.t": policy}, "dual_write_until": UNTIL, **more}}


def begin(s):
    """Streams, and the target's rows are taken up as what apply knows."""
    s.start()
    s.pipeline.wait_caught_up()
    s.apply.wait_log("dual_write tables", 60)
    return s


def on_target(s, *statements):
    for statement in statements:
        s.target(statement)


def both(s, *statements):
    s.source(*statements)
    on_target(s, *statements)


def conflicts(s, columns="kind, decision"):
    found = s.target(f"SELECT JSON_VALUE(`key`, '$.id'), {columns} FROM crossfade_conflict ORDER BY CAST(JSON_VALUE(`key`, '$.id') AS INT), id")
    return [(int(row[0]), *row[1:]) for row in found]


def rows(s, where):
    return [(int(id), v) for id, v in s.target(f"SELECT id, v FROM t WHERE {where} ORDER BY id")]


def sides_are_equal(s, columns="id, v, n"):
    s.pipeline.wait_caught_up()
    left = sorted(tuple(None if cell is None else str(cell) for cell in row) for row in s.source_server.sql(f"SELECT {columns} FROM t", db=s.name))
    assert left == sorted(s.target(f"SELECT {columns} FROM t"))


def paused(s, work):
    """Apply sees what work() does when all of it is done."""
    assert s.pipeline.run("apply", "pause").returncode == 0
    work()
    assert s.pipeline.run("apply", "resume").returncode == 0
    s.pipeline.wait_caught_up()


@pytest.mark.parametrize("policy", ["source_wins", "target_wins"])
def test_each_kind_of_conflict(servers, policy):
    with case(servers, policy, T, MT, dual(policy)) as s:
        begin(s)

        def clash():
            on_target(s, "UPDATE t SET v = 'target' WHERE id IN (1, 2)", "DELETE FROM t WHERE id = 3", "INSERT INTO t (id, v, n) VALUES (300, 'target', 0)")
            s.source("UPDATE t SET v = 'source' WHERE id IN (1, 3)", "DELETE FROM t WHERE id = 2", "INSERT INTO t VALUES (300, 'source', 0)", "UPDATE t SET v = 'plain' WHERE id = 4")
        paused(s, clash)
        side = policy.split("_")[0]
        assert dict(rows(s, "id IN (1, 2, 3, 300)")) == ({1: side, 3: side, 300: side} if side == "source" else {1: side, 2: side, 300: side})
        assert rows(s, "id = 4") == [(4, "plain")]
        assert conflicts(s) == [(1, "update", side), (2, "source_deleted", side), (3, "target_deleted", side), (300, "insert", side)]
        assert [row[1:] for row in conflicts(s, "JSON_VALUE(source_row, '$.v'), JSON_VALUE(target_row, '$.v')")] == [("source", "target"), (None, "target"), ("source", None), ("source", "target")]
        assert s.apply.status()[f"conflicts_{side}"] == 4
        assert f',winner="{side}"}} 4\n' in s.apply.get("/metrics")[1]
        assert "written on both sides" in s.pipeline.run("status").stdout

        # the other side's own write comes late: no conflict any more, and none when that row is changed again
        both(s, "UPDATE t SET v = 'again' WHERE id = 1")
        s.pipeline.wait_caught_up()
        s.source("UPDATE t SET v = 'alone' WHERE id = 1")
        s.pipeline.wait_caught_up()
        assert len(conflicts(s)) == 4 and rows(s, "id = 1") == [(1, "alone")]

        listed = [json.loads(line) for line in s.pipeline.run("apply", "conflicts", "list", "--all", "--json").stdout.splitlines()]
        assert sorted(one["key"]["id"] for one in listed) == [1, 2, 3, 300]
        shown = json.loads(s.pipeline.run("apply", "conflicts", "show", str(next(one["id"] for one in listed if one["key"]["id"] == 1)), "--json").stdout)
        assert shown["source_row"]["v"] == "source" and shown["target_row"]["v"] == "target"


def test_newer_wins(servers):
    """The larger value of the column wins; NULL and a row that is not there are older than any; equal: the source."""
    late, early, nothing = "'2026-03-01 00:00:00'", "'2026-02-01 00:00:00'", "NULL"
    cases = {  # id: (source's at, target's at, who wins); False = the row is deleted there
        1: (late, early, "source"), 2: (early, late, "target"), 3: (early, early, "source"), 4: (nothing, early, "target"), 5: (early, nothing, "source"),
        6: (nothing, nothing, "source"), 7: (False, early, "target"), 8: (False, nothing, "source"), 9: (nothing, False, "source"), 10: (early, False, "source")}

    def statements(name, index, zone):
        return [f"UPDATE t SET v = '{name}', at = {case[index].replace(':00' + chr(39), ':00' + zone + chr(39))} WHERE id = {id}" if case[index] else f"DELETE FROM t WHERE id = {id}" for id, case in cases.items()]
    with case(servers, "newer", T, MT, dual("newer_wins(at)")) as s:
        begin(s)
        paused(s, lambda: (on_target(s, *statements("target", 1, "")), s.source(*statements("source", 0, "Z"))))
        assert conflicts(s, "decision") == [(id, one[2]) for id, one in cases.items()]
        assert dict(rows(s, "id <= 10")) == {id: one[2] for id, one in cases.items() if one[0 if one[2] == "source" else 1]}


def test_halt_waits_for_a_person(servers):
    with case(servers, "halt", T, MT, dual("halt")) as s:
        begin(s)
        on_target(s, "UPDATE t SET v = 'target' WHERE id IN (1, 2)", "DELETE FROM t WHERE id = 3")
        s.source("BEGIN; UPDATE t SET v = 'source' WHERE id IN (1, 2, 3, 4); COMMIT")
        halts(s.apply, 5, "both sides have changed the row", "conflicts list")
        assert rows(s, "id = 4") == [(4, "v4")]  # nothing of its transaction is written
        assert conflicts(s, "state, request") == [(1, "open", None), (2, "open", None), (3, "open", None)]
        listed = {one["key"]["id"]: str(one["id"]) for one in map(json.loads, s.pipeline.run("apply", "conflicts", "list", "--json").stdout.splitlines())}

        def resolve(side, id):
            assert s.pipeline.run("apply", "conflicts", "resolve", listed[id], "--take", side).returncode == 0
        resolve("source", 1)
        resolve("target", 2)
        on_target(s, "UPDATE t SET v = 'another' WHERE id = 2")  # not what the answer was for
        s.apply.start()
        halts(s.apply, 5, "both sides have changed the row")
        assert conflicts(s, "state, request") == [(1, "open", "source"), (2, "open", None), (3, "open", None)]
        resolve("target", 2)
        on_target(s, "INSERT INTO t (id, v, n) VALUES (3, 'source', 3)")
        s.apply.start()
        s.pipeline.wait_caught_up()
        assert rows(s, "id < 5") == [(1, "source"), (2, "another"), (3, "source"), (4, "source")]
        assert conflicts(s, "state, decision") == [(1, "resolved", "source"), (2, "resolved", "target"), (3, "resolved", "none")]
        assert s.apply.status()["conflicts_open"] == 0
        assert s.pipeline.run("apply", "conflicts", "list").stdout == "no open conflicts\n"


def test_columns_that_the_source_lacks(servers):
    """Rows are known from the start on by all columns of the target, and from the first batch on by those of the pipeline: what the target has changed between is a conflict."""
    more = ", `more ``, x` enum('a', 'b, `c') NOT NULL DEFAULT 'b, `c', j json)"
    with case(servers, "lacks", T, MT[:-1] + more, dual("source_wins")) as s:
        begin(s)
        on_target(s, "UPDATE t SET v = 'target' WHERE id = 1", "DELETE FROM t WHERE id = 2")
        both(s, "UPDATE t SET v = 'echo' WHERE id = 3")
        s.source("UPDATE t SET v = 'source' WHERE id IN (1, 2, 4)")
        s.pipeline.wait_caught_up()
        sides_are_equal(s)
        assert conflicts(s, "kind, decision") == [(1, "update", "source"), (2, "target_deleted", "source")]
        assert s.target("SELECT COUNT(*), COUNT(DISTINCT dual_write) FROM crossfade_applied") == (("200", "1"),)


def test_the_end_and_what_is_refused(servers):
    with case(servers, "ends", T, MT, dual("source_wins")) as s:
        begin(s)
        s.apply.terminate()
        for settings, words, code in (({"dual_write_until": "2026-01-01T00:00Z"}, "apply.dual_write_until has passed", 5),):
            kept = dict(s.pipeline.settings["apply"])
            s.pipeline.settings["apply"].update(settings)
            s.pipeline.write()
            s.apply.start()
            s.apply.assert_exit(code, 60)
            assert words in s.apply.log_tail(6)
            s.pipeline.settings["apply"] = kept
        assert s.target("SELECT (SELECT COUNT(*) FROM crossfade_dual_write), (SELECT COUNT(*) FROM crossfade_applied)") == (("1", "200"),)
        del s.pipeline.settings["apply"]["conflicts"]
        s.pipeline.write()
        s.apply.start()
        wait_until(lambda: s.target("SELECT (SELECT COUNT(*) FROM crossfade_dual_write), (SELECT COUNT(*) FROM crossfade_applied)") == (("0", "0"),), 60, "it is forgotten")
        on_target(s, "UPDATE t SET v = 'target' WHERE id = 1")
        s.source("UPDATE t SET v = 'source' WHERE id = 1")
        sides_are_equal(s)
        assert conflicts(s) == []


BIG = ("CREATE TABLE t (id int PRIMARY KEY, v text, big text, n int); ALTER TABLE t ALTER big SET STORAGE EXTERNAL;"
       "INSERT INTO t SELECT i, 'v', repeat(md5(i::text), 200), 0 FROM generate_series(1, 20) i;")


@pytest.mark.parametrize("full", [True, False])
def test_values_that_were_not_changed(servers, full):
    """Records lack values that are kept out of line and were not changed: the before-image has them, if there is one. Keys change, too."""
    with case(servers, f"big{full}".lower(), BIG + ("ALTER TABLE t REPLICA IDENTITY FULL" if full else ""), "CREATE TABLE t (id int PRIMARY KEY, v longtext, big longtext, n int)", dual("source_wins")) as s:
        begin(s)
        both(s, "UPDATE t SET v = 'echo' WHERE id = 1", "UPDATE t SET id = 100 WHERE id = 2")
        s.source("UPDATE t SET v = 'alone' WHERE id = 3", "UPDATE t SET id = 101 WHERE id = 4", "UPDATE t SET n = 1 WHERE id IN (100, 101, 1)")
        sides_are_equal(s, "id, v, big, n")
        assert conflicts(s) == []

        def clash():
            on_target(s, "UPDATE t SET v = 'target' WHERE id = 3", "DELETE FROM t WHERE id = 5")
            s.source("BEGIN; UPDATE t SET v = 'source' WHERE id IN (3, 5); COMMIT")
        if full:
            paused(s, clash)
            sides_are_equal(s, "id, v, big, n")
            assert conflicts(s) == [(3, "update", "source"), (5, "target_deleted", "source")]
            return
        clash()
        halts(s.apply, 5, "REPLICA IDENTITY FULL")
        for id, side in ((3, "source"), (5, "target")):
            number = s.target(f"SELECT id FROM crossfade_conflict WHERE JSON_VALUE(`key`, '$.id') = {id}")[0][0]
            assert s.pipeline.run("apply", "conflicts", "resolve", number, "--take", side).returncode == 0
        s.apply.start()
        s.pipeline.wait_caught_up()
        assert rows(s, "id IN (3, 5)") == [(3, "source")]


@pytest.mark.parametrize("policy", ["source_wins", "halt"])
def test_the_target_is_ahead(servers, policy):
    """The application has changed the row twice on both sides, and the second change is not in the journal yet: however long that takes, halt waits for it; others take their decision back."""
    with case(servers, f"ahead_{policy}", T, MT, dual(policy)) as s:
        begin(s)
        assert s.pipeline.run("apply", "pause").returncode == 0
        both(s, "UPDATE t SET v = 'first' WHERE id = 1")
        s.capture.wait_lsn("journaled_lsn", s.source_server.value("SELECT pg_current_wal_lsn()"), 60)
        s.capture.terminate()
        both(s, "UPDATE t SET v = 'second' WHERE id = 1")
        assert s.pipeline.run("apply", "resume").returncode == 0
        if policy == "halt":
            s.apply.wait_log("conflict_waits", 60)
            wait_until(lambda: conflicts(s, "state, decision") == [(1, "open", None)], 60, "people see it")
        else:
            wait_until(lambda: conflicts(s, "state, decision") == [(1, "decided", "source")], 60, "the source has won")
        s.capture.start()
        s.pipeline.wait_caught_up()
        assert rows(s, "id = 1") == [(1, "second")] and conflicts(s, "state, decision") == [(1, "resolved", "none")]
        assert s.apply.running and s.apply.status()["conflicts_open"] == 0


def test_keys_that_change_and_truncate(servers):
    with case(servers, "keys", T, MT, dual("source_wins")) as s:
        begin(s)
        both(s, "UPDATE t SET id = 1001 WHERE id = 1")  # an echo
        on_target(s, "UPDATE t SET v = 'target' WHERE id = 2", "INSERT INTO t (id, v, n) VALUES (1003, 'target', 3)")
        s.source("BEGIN; UPDATE t SET id = 1002 WHERE id = 2; UPDATE t SET id = 1003 WHERE id = 3; UPDATE t SET id = 1004 WHERE id = 4; COMMIT")
        sides_are_equal(s)
        assert conflicts(s) == [(2, "source_deleted", "source"), (1003, "insert", "source")]
        on_target(s, "UPDATE t SET v = 'target'")
        s.source("BEGIN; INSERT INTO t VALUES (5000, 'gone'); TRUNCATE t; INSERT INTO t VALUES (1, 'new'), (5000, 'new'); COMMIT")
        sides_are_equal(s)
        s.source("UPDATE t SET v = 'newer'")
        sides_are_equal(s)
        assert len(conflicts(s)) == 2

        # a key of another type: rows are taken up as they are when the table is met next
        on_target(s, "ALTER TABLE t MODIFY id bigint")
        s.source("ALTER TABLE t ALTER id TYPE bigint", "UPDATE t SET v = 'wide'")
        sides_are_equal(s)
        paused(s, lambda: (on_target(s, "UPDATE t SET v = 'target' WHERE id = 1"), s.source("INSERT INTO t VALUES (10000000000, 'wide')", "UPDATE t SET v = 'source' WHERE id = 1")))
        sides_are_equal(s)
        assert conflicts(s) == [(1, "update", "source"), (2, "source_deleted", "source"), (1003, "insert", "source")]
        wait_until(lambda: len(glob.glob(f"{s.server.home}/#sql-temptable-*.MAI")) == 3, 60, "the temporary tables of the shape that was are gone")
    with case(servers, "keys2", T, MT, dual("target_wins")) as s:
        begin(s)
        s.source("TRUNCATE t")
        halts(s.apply, 5, "TRUNCATE")


def test_other_types_another_schema_and_many_rows(servers):
    """Values as each side writes them are the same value: json in another order, blanks, floats, computed columns; keys of several columns, of a type that another one stands for."""
    source = ("CREATE SCHEMA types_b; CREATE TYPE mood AS ENUM ('good', 'bad'); CREATE TABLE types_b.t (b varchar(9), a int, u uuid, at timestamptz, m mood, f real, j jsonb, y bytea, x text, gone int GENERATED ALWAYS AS (a * 2) STORED, PRIMARY KEY (b, a, u, at));"
              "INSERT INTO types_b.t SELECT 'k', i, md5(i::text)::uuid, '2026-01-01Z', 'good', i / 3.0, '{}', '\\x00ff', 'x' FROM generate_series(1, 3000) i")
    target = ("CREATE TABLE t (b varchar(9), a int, u char(36) CHARACTER SET latin1, at timestamp(6) NOT NULL DEFAULT '2026-01-01', m enum('good','bad'), f float, j json, y longblob, x longtext, "
              "gone int AS (a * 2) VIRTUAL, PRIMARY KEY (b, a, u, at))")
    folder, source_server, server = servers
    server.create_db("types_b", jobs=("apply",))
    server.script(target, "types_b")
    with case(servers, "types_case", source, "SELECT 1", {"source": {"tables": ["types_b.*"]}, "apply": {"conflicts": {"types_b.t": "source_wins"}, "dual_write_until": UNTIL}}) as s:
        begin(s)
        where = "WHERE a <= 1000"
        # the target first: apply's rows would be in the way of its INSERT
        server.script(f"UPDATE t SET m = 'bad', f = 0.1, j = '{{\"name\":[1,2.50],   \"a\":\"é\"}}' {where};\n"
                      "INSERT INTO t (b, a, u, at, m, f) SELECT 'new', seq, CONCAT_WS('-', LEFT(MD5(seq), 8), MID(MD5(seq), 9, 4), MID(MD5(seq), 13, 4), MID(MD5(seq), 17, 4), MID(MD5(seq), 21)), '2026-01-01', 'good', seq FROM seq_1_to_500;\n", "types_b")
        s.source(f"UPDATE types_b.t SET m = 'bad', f = 0.1, j = '{{\"name\": [1, 2.50], \"a\": \"é\"}}' {where}", "UPDATE types_b.t SET x = 'alone' WHERE a > 2000",
                 "INSERT INTO types_b.t SELECT 'new', i, md5(i::text)::uuid, '2026-01-01Z', 'good', i FROM generate_series(1, 500) i")
        s.pipeline.wait_caught_up()
        assert s.target("SELECT kind, source_row, target_row FROM crossfade_conflict LIMIT 3") == ()
        columns = "b, a, u, m, x"
        assert sorted(tuple(map(str, row)) for row in source_server.sql(f"SELECT {columns} FROM types_b.t", db=s.name)) == sorted(tuple(map(str, row)) for row in server.sql(f"SELECT {columns} FROM t", db="types_b"))

        def clash():
            server.sql("UPDATE t SET x = 'target' WHERE a <= 300 AND b = 'k'", db="types_b")
            s.source("UPDATE types_b.t SET x = 'source' WHERE a <= 400 AND b = 'k'")
        paused(s, clash)
        assert s.target("SELECT COUNT(*), COUNT(DISTINCT `key`), MIN(kind), MAX(decision), MAX(JSON_VALUE(target_row, '$.y')) FROM crossfade_conflict") == (("300", "300", "update", "source", "0x00FF"),)
        assert s.target("SELECT COUNT(*) FROM crossfade_applied") == (("3500",),)
        shown = s.target("SELECT target_row FROM crossfade_conflict WHERE JSON_VALUE(`key`, '$.a') = 1")[0][0]
        assert json.loads(shown)["f"] == pytest.approx(0.1) and json.loads(shown)["j"] == {"name": [1, 2.5], "a": "é"} and json.loads(shown)["at"].startswith("2026-01-01 00:00:00")
    server.sql("DROP DATABASE types_b")


def test_rows_in_each_others_way(servers):
    """A batch that has to be written in order, or with all of its rows taken out first, is looked at as well; what the target refuses is held."""
    schema = "CREATE TABLE t (id int PRIMARY KEY, v text, u int UNIQUE); INSERT INTO t SELECT i, 'v', i FROM generate_series(1, 300) i"
    with case(servers, "unique_", schema, "CREATE TABLE t (id int PRIMARY KEY, v longtext, u int UNIQUE)", dual("source_wins", on_row_error="dead_letter")) as s:
        begin(s)

        def rotate():
            on_target(s, "UPDATE t SET v = 'target' WHERE id = 7", "ALTER TABLE t ADD CONSTRAINT c CHECK (v <> 'refused')")
            s.source("BEGIN; UPDATE t SET u = -u; UPDATE t SET u = 301 + u; UPDATE t SET v = 'source' WHERE id = 7; COMMIT")
        paused(s, rotate)
        sides_are_equal(s, "id, v, u")
        assert conflicts(s) == [(7, "update", "source")]

        def clash():
            on_target(s, "UPDATE t SET v = 'target' WHERE id IN (8, 9)")
            s.source("BEGIN; UPDATE t SET v = 'source' WHERE id IN (8, 9); UPDATE t SET v = 'refused' WHERE id = 10; INSERT INTO t VALUES (1000, 'source', 1000), (1001, 'refused', 1001); COMMIT")
        paused(s, clash)
        assert sorted(s.target("SELECT key_shown FROM crossfade_dead_letter")) == [("id=10",), ("id=1001",)]
        assert rows(s, "id IN (8, 9, 10) OR id >= 1000") == [(8, "source"), (9, "source"), (10, "v"), (1000, "source")]
        assert conflicts(s)[1:] == [(8, "update", "source"), (9, "update", "source")]
        assert s.apply.status()["conflicts_source"] == 3


def test_a_row_that_appears_meanwhile(servers):
    """Between apply's look and its write somebody inserts the same key on the target: the batch is tried again, and it is a conflict."""
    with case(servers, "meanwhile", T, MT, dual("target_wins")) as s:
        begin(s)
        with s.server.connect(s.name) as other:
            run(other, "START TRANSACTION")
            run(other, "INSERT INTO t (id, v, n) VALUES (500, 'target', 0)")  # not committed: apply cannot see it, and waits for it
            s.source("BEGIN; INSERT INTO t VALUES (500, 'source', 0), (501, 'source', 0); COMMIT")
            wait_until(lambda: s.server.value("SELECT COUNT(*) FROM information_schema.INNODB_TRX WHERE trx_state = 'LOCK WAIT'") == "1", 60, "apply waits for the other's row", 0.3)
            run(other, "COMMIT")
        s.pipeline.wait_caught_up()
        assert rows(s, "id >= 500") == [(500, "target"), (501, "source")]
        assert conflicts(s) == [(500, "insert", "target")]


KILLED = -9
POINTS = ["apply.conflicts:1", "apply.before_commit:1", "apply.after_commit:1", "apply.before_confirm:1"]


@pytest.mark.parametrize("policy", ["source_wins", "target_wins", "newer_wins(n)"])
def test_a_dual_writing_load(servers, policy):
    """The application writes the same on both sides, in either order, and sometimes not the same; apply is killed meanwhile.
    Only what differed is a conflict, each once, and the target ends as the rule says."""
    random.seed(seed())
    points = random.sample(POINTS, 3) if not FULL_RUN else POINTS * 6
    clashing = random.sample(range(1, 200), 4 * len(points))  # once each: a row that the target has won differs from then on
    plain = [id for id in range(1, 400) if id not in clashing]
    expected, disputed, number = {}, [], 1000
    with case(servers, f"load_{policy[:6]}", T, MT, dual(policy)) as s, psycopg.connect(s.source_url, autocommit=True) as source, s.server.connect(s.name) as target:
        begin(s)
        for point in points:
            s.apply.terminate()
            s.apply.start(failpoint=point)
            for i, id in enumerate(random.sample(plain, 28)):
                number += 1
                clause = {"s": "ON CONFLICT (id) DO UPDATE SET v = EXCLUDED.v, n = EXCLUDED.n", "t": "ON DUPLICATE KEY UPDATE v = VALUES(v), n = VALUES(n)"}
                writes = [(side, f"INSERT INTO t (id, v, n, at) VALUES ({id}, 'same {number}', {number}, '2026-01-01 00:00:00{'Z' if side == 's' else ''}') {clause[side]}") for side in random.sample("st", 2)]
                expected[id] = f"same {number}"
                if i % 7 == 6:  # in different ways; n says which is newer
                    number, id, ahead = number + 1, clashing.pop(), random.choice((-1, 1))
                    writes += [("t", f"UPDATE t SET v = 'target {number}', n = {number + ahead} WHERE id = {id}"), ("s", f"UPDATE t SET v = 'source {number}', n = {number} WHERE id = {id}")]
                    winner = {"source_wins": "source", "target_wins": "target"}.get(policy) or ("target" if ahead > 0 else "source")
                    expected[id] = f"{winner} {number}"
                    disputed.append((str(id), winner, f"source {number}", f"target {number}"))
                for side, statement in writes:
                    source.execute(statement) if side == "s" else run(target, statement)
            s.apply.assert_exit(KILLED, 60)
            s.apply.start()
            s.pipeline.wait_caught_up()
        assert dict(rows(s, "n > 1000")) == expected
        found = s.target("SELECT JSON_VALUE(`key`, '$.id'), decision, JSON_VALUE(source_row, '$.v'), JSON_VALUE(target_row, '$.v') FROM crossfade_conflict")
        assert sorted(found) == sorted(disputed)
