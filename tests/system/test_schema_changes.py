"""Schema changes while the pipeline runs: what the journal holds, what the target needs, where capture stops and how it goes on."""

import json

import psycopg
import pytest

from rig import Kafka, Postgres, Workdir, Writer, wait_until
from rig.procs import run_crossfade
from rig.scenario import scenario

SCHEMA = "CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL); INSERT INTO t SELECT i, i FROM generate_series(1, 20) i; CREATE TABLE other (id int PRIMARY KEY, v int)"
STOP = {"capture": {"on_ddl": "stop"}}


@pytest.fixture(name="run", scope="module")
def fixture_run():
    with Workdir("schema-changes") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        def run(*arguments, **keywords):
            return scenario(folder, source, target, *arguments, **keywords)
        yield run


def rows_of(s, table):
    """What the journal says happened to this table, in order: (op, after or before)."""
    done = s.pipeline.run("journal", "cat", "--table", f"public.{table}", "--format", "debezium")
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines() if line.strip() not in ("", "null")]
    return [(e["op"], e["after"] if e["after"] is not None else e["before"]) for e in events if e is not None and e.get("op") != "r"]


def accept(s, *flags):
    done = s.pipeline.run("capture", "accept-ddl", *flags)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_added_column(run):
    with run(SCHEMA) as s:
        s.start()
        s.source("INSERT INTO t VALUES (100, 1)", "ALTER TABLE t ADD COLUMN w text DEFAULT 'was there'", "UPDATE t SET v = -1 WHERE id = 1", "INSERT INTO t VALUES (101, 1, 'w')")
        s.apply.assert_exit(5, 30)
        assert 'ALTER TABLE "public"."t" ADD COLUMN "w" text' in s.apply.log_tail()
        assert s.target("SELECT count(*) FROM t WHERE id = 100") == [(1,)]
        s.target("ALTER TABLE t ADD COLUMN w text DEFAULT 'was there'")
        s.apply.start()
        s.assert_equal()
        assert "schema_changed" in s.capture.log_text() and "DEFAULT 'was there'" in s.capture.log_text()
        assert rows_of(s, "t") == [("c", {"id": 100, "v": 1}), ("u", {"id": 1, "v": -1, "w": "was there"}), ("c", {"id": 101, "v": 1, "w": "w"})]


def test_stop_and_accept(run):
    with run(SCHEMA, more=STOP) as s:
        s.start()
        s.source("INSERT INTO t VALUES (100, 1)", "BEGIN; INSERT INTO t VALUES (101, 1); ALTER TABLE t ADD COLUMN w text; INSERT INTO t VALUES (102, 1, 'w'); COMMIT")
        s.capture.assert_exit(5, 30)
        log = s.capture.log_tail()
        assert 'table=public.t' in log and '+"w" text' in log and "accept-ddl" in log, log
        s.capture.start()
        s.capture.assert_exit(5, 30)
        s.target("ALTER TABLE t ADD COLUMN w text")
        assert "nothing waits" in accept(s, "--table", "public.other")
        assert '+"w" text' in accept(s, "--table", "public.t")
        assert "nothing waits" in accept(s)
        s.capture.start()
        s.assert_equal()
        assert s.pipeline.run("capture", "accept-ddl").returncode == 10
        assert rows_of(s, "t") == [("c", {"id": 100, "v": 1}), ("c", {"id": 101, "v": 1}), ("c", {"id": 102, "v": 1, "w": "w"})]


EVERY_KIND = [
    # source, target, when: target is changed before (it must not matter when), or after apply has halted at it
    ("ALTER TABLE t ADD COLUMN w numeric(8,2)", "UPDATE t SET w = id / 4.0 WHERE id < 5", "ALTER TABLE t ADD COLUMN w numeric(8,2)", 'ADD COLUMN "w" numeric(8,2)'),
    ("ALTER TABLE t ADD COLUMN x text NOT NULL DEFAULT 'd', ADD COLUMN a int[]", "INSERT INTO t (id, v, a) VALUES (200, 1, '{1,2}')",
     "ALTER TABLE t ADD COLUMN x text NOT NULL DEFAULT 'd', ADD COLUMN a int[]", 'ADD COLUMN'),
    ("ALTER TABLE t RENAME COLUMN x TO y", "UPDATE t SET y = 'renamed' WHERE id = 3", "ALTER TABLE t RENAME COLUMN x TO y", 'RENAME COLUMN'),
    ("ALTER TABLE t ALTER COLUMN v TYPE bigint", "UPDATE t SET v = 5000000000 WHERE id = 4", "ALTER TABLE t ALTER COLUMN v TYPE bigint", 'ALTER COLUMN "v" TYPE int8'),
    ("ALTER TABLE t ALTER COLUMN v TYPE text", "UPDATE t SET v = 'five' WHERE id = 5", "ALTER TABLE t ALTER COLUMN v TYPE text", 'ALTER COLUMN "v" TYPE text'),
    ("ALTER TABLE t DROP COLUMN v", "UPDATE t SET y = 'dropped' WHERE id = 6", "ALTER TABLE t DROP COLUMN v", 'DROP COLUMN "v"'),
    ("ALTER TABLE t DROP CONSTRAINT t_pkey; ALTER TABLE t ADD PRIMARY KEY (id, y)", "DELETE FROM t WHERE id = 7", "ALTER TABLE t DROP CONSTRAINT t_pkey; ALTER TABLE t ADD PRIMARY KEY (id, y)", "key's columns"),
    ("ALTER TABLE t RENAME TO tt", "INSERT INTO tt (id, y) VALUES (300, 'tt')", "ALTER TABLE t RENAME TO tt", "rename the one that it was"),
]


@pytest.mark.parametrize("mode", ["propagate", "stop"])
def test_every_kind(run, mode):
    """One after the other; old rows and new ones around each, in transactions of their own and in the same one."""
    with run(SCHEMA, more={"capture": {"on_ddl": mode}}) as s:
        s.start()
        for number, (ddl, dml, target_ddl, advice) in enumerate(EVERY_KIND):
            table = "tt" if "TO tt" in ddl else "t"
            s.source(f"INSERT INTO other VALUES ({number}, 1)", f"UPDATE t SET id = id + 1000 WHERE id = {number + 10}",
                     f"BEGIN; UPDATE other SET v = 2 WHERE id = {number}; {ddl}; {dml}; UPDATE other SET v = 3 WHERE id = {number}; COMMIT", f"DELETE FROM {table} WHERE id = {1000 + number + 10}")
            if mode == "stop":
                s.capture.assert_exit(5, 30)
                accept(s)
                s.capture.start()
            s.apply.assert_exit(5, 30)
            assert advice in s.apply.log_tail(), s.apply.log_tail()
            assert s.target(f"SELECT count(*) FROM t WHERE id = {1000 + number + 10}") == [(1,)]  # all before it is there
            assert s.target(f"SELECT count(*) FROM other WHERE id = {number} AND v > 1") == [(0,)]  # nothing of its transaction
            s.target(target_ddl)
            s.apply.start()
            s.assert_equal()
        assert s.pipeline.run("compare", "run").returncode == 0
        verified = s.pipeline.run("journal", "verify", "--findings", "10")
        assert verified.returncode == 0, verified.stdout


def test_two_fast_alters_while_capture_is_away(run):
    """The catalog is ahead of the stream: columns are gone that rows have, types too."""
    with run("CREATE TYPE mood AS ENUM ('sad', 'glad'); CREATE DOMAIN pos AS int CHECK (VALUE > 0);"
             "CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL, m mood, d pos); INSERT INTO t SELECT i, i, 'sad', i FROM generate_series(1, 20) i") as s:
        s.start()
        s.wait()
        s.capture.terminate()
        s.apply.terminate()
        no_types = "ALTER TABLE t ALTER m TYPE text, ALTER d TYPE int; DROP TYPE mood; DROP DOMAIN pos"
        s.source("INSERT INTO t VALUES (100, 1, 'glad', 5)", "ALTER TABLE t ADD COLUMN w int", "INSERT INTO t VALUES (101, 1, 'sad', 6, 7)", "ALTER TABLE t RENAME COLUMN w TO x; ALTER TABLE t ALTER x TYPE text",
                 "INSERT INTO t VALUES (102, 1, 'glad', 7, 'x')", no_types, "ALTER TABLE t DROP COLUMN v", "INSERT INTO t VALUES (103, 'bored', -1, 'y')")
        s.capture.start()
        wait_until(lambda: len(rows_of(s, "t")) == 4, 30, "all four are there")
        assert [row for _, row in rows_of(s, "t")] == [{"id": 100, "v": 1, "m": "glad", "d": 5}, {"id": 101, "v": 1, "m": "sad", "d": 6, "w": 7}, {"id": 102, "v": 1, "m": "glad", "d": 7, "x": "x"},
                                                       {"id": 103, "m": "bored", "d": -1, "x": "y"}]
        for change in ("ALTER TABLE t ADD COLUMN w int", "ALTER TABLE t RENAME COLUMN w TO x; ALTER TABLE t ALTER x TYPE text", no_types + "; ALTER TABLE t DROP COLUMN v"):
            s.apply.start()
            s.apply.assert_exit(5, 30)
            s.target(change)
        s.apply.start()
        s.assert_equal()


POINTS = ["capture.ddl_new_shape", "capture.fence_before", "capture.fence_appended", "capture.committed"]


def accept_killed(s, point):
    done = run_crossfade("capture", "accept-ddl", config=s.pipeline.config, binary=s.pipeline.binary, env=dict(s.pipeline.env or {}, CROSSFADE_FAILPOINT=point))
    assert done.returncode == -9, done.stderr


@pytest.mark.parametrize("mode", ["propagate", "stop"])
def test_killed_around_a_change(run, mode):
    """At every point that a change passes, and around the fences behind it; accept-ddl dies as well."""
    with run(SCHEMA, more={"capture": {"on_ddl": mode}}) as s:
        s.start()
        for number, point in enumerate(POINTS):
            s.wait()
            s.capture.terminate()
            change = f"ALTER TABLE t ADD COLUMN c{number} int DEFAULT {number}"
            s.target(change)
            s.source(f"INSERT INTO t (id, v) VALUES ({500 + number}, 1)", f"BEGIN; UPDATE t SET v = v + 1 WHERE id < 4; {change}; UPDATE t SET c{number} = -1 WHERE id < 4; COMMIT",
                     f"INSERT INTO t (id, v) VALUES ({600 + number}, 1)")
            if mode == "stop":
                s.capture.start(failpoint="capture.ddl_halt").assert_exit(-9)
                s.capture.start().assert_exit(5)
                accept_killed(s, f"capture.accept_{['before', 'committed'][number % 2]}")
                assert ("nothing waits" in accept(s)) == (number % 2 == 1)
            s.capture.start(failpoint=point).assert_exit(-9)
            s.capture.start()
            s.assert_equal()
        rows = [row for op, row in rows_of(s, "t") if op == "c" and row["id"] >= 500]
        assert [row["id"] for row in rows] == [n for number in range(len(POINTS)) for n in (500 + number, 600 + number)]  # each once
        for number in range(len(POINTS)):
            assert f"c{number}" not in rows[2 * number] and rows[2 * number + 1][f"c{number}"] == number
        verified = s.pipeline.run("journal", "verify", "--findings", "10")
        assert verified.returncode == 0, verified.stdout


def test_swap_by_rename(run):
    """Both tables are captured: what is written under the name is another table's."""
    schema = "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t SELECT i, i FROM generate_series(1, 20) i; CREATE TABLE t_new (id int PRIMARY KEY, v int); INSERT INTO t_new SELECT i, -i FROM generate_series(1, 20) i"
    swap = "ALTER TABLE t RENAME TO t_old; ALTER TABLE t_new RENAME TO t"
    with run(schema) as s:
        s.start()
        s.source("UPDATE t SET v = 5 WHERE id = 5", f"BEGIN; {swap}; UPDATE t SET v = 7 WHERE id = 7; COMMIT", "UPDATE t SET v = 8 WHERE id = 8; UPDATE t_old SET v = 9 WHERE id = 9")
        s.capture.assert_exit(5, 30)
        assert "another table" in s.capture.log_tail()
        s.apply.wait_for(lambda status: status["journaled_lsn"] == status["applied_lsn"], 30)
        s.target(swap)
        accept(s, "--table", "public.t")
        s.capture.start()
        s.assert_equal()


def test_swap_with_a_table_that_is_not_published(run):
    with run(SCHEMA) as s:
        s.start()
        s.source("BEGIN; CREATE TABLE t_new (LIKE t INCLUDING ALL); INSERT INTO t_new SELECT * FROM t; DROP TABLE t; ALTER TABLE t_new RENAME TO t; COMMIT")
        s.capture.assert_exit(5, 30)
        assert "made anew under its name" in s.capture.log_tail()


def test_new_tables(run):
    """One that nobody publishes is told; one that the publication gets with its creation flows, without a restart."""
    with run(SCHEMA) as s:
        s.start()
        s.source("CREATE TABLE unseen (id int PRIMARY KEY); INSERT INTO unseen VALUES (1)")
        s.capture.wait_for(lambda status: "public.unseen" in (status.get("trouble") or ""), 30)
        assert "public.unseen" in s.pipeline.run("status").stdout
        s.source("DROP TABLE unseen")
        s.capture.wait_for(lambda status: not status.get("trouble"), 30)
        new = "CREATE TABLE fresh (id int PRIMARY KEY, v text)"
        s.target(new)
        s.admin(f"BEGIN; {new}; GRANT ALL ON fresh TO PUBLIC; ALTER PUBLICATION crossfade_{s.name} ADD TABLE fresh; INSERT INTO fresh VALUES (1, 'in it'); COMMIT", "INSERT INTO fresh VALUES (2, 'later')")
        s.assert_equal()
        s.capture.kill9()
        s.capture.start()
        s.source("UPDATE fresh SET v = 'again'")
        s.assert_equal()


def test_publication_for_all_tables(run):
    with run(SCHEMA + "; CREATE TABLE hidden (id int PRIMARY KEY)", tables=("public.*", "!public.hidden*"),
             superuser="capture is to mend the options of a publication that only a superuser can own") as s:
        s.admin(f"CREATE PUBLICATION crossfade_{s.name} FOR ALL TABLES")
        s.start()
        s.source("CREATE TABLE fresh (id int PRIMARY KEY, v text); CREATE TABLE hidden_too (id int PRIMARY KEY); INSERT INTO fresh VALUES (1, 'x'); INSERT INTO hidden VALUES (1); INSERT INTO hidden_too VALUES (1)")
        s.apply.assert_exit(5, 30)
        assert "table=public.fresh: there is no such table" in s.apply.log_tail()
        s.target("CREATE TABLE fresh (id int PRIMARY KEY, v text)")
        s.apply.start()
        s.assert_equal(ignore=("public.hidden", "public.hidden_too"))
        assert "hidden" not in s.pipeline.run("journal", "list").stdout
        s.capture.terminate()
        s.capture.start()
        s.source("INSERT INTO fresh VALUES (2, 'y')")
        s.assert_equal(ignore=("public.hidden", "public.hidden_too"))


def test_new_partition(run):
    schema = "CREATE TABLE p (id int PRIMARY KEY, v int) PARTITION BY RANGE (id); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100); INSERT INTO p SELECT i, i FROM generate_series(0, 99) i"
    new = "CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (100) TO (200)"
    with run(schema, more={"capture": {"on_ddl": "stop"}}) as s:
        s.start()
        s.target(new)
        s.source(f"BEGIN; {new}; INSERT INTO p VALUES (100, 1); COMMIT", "UPDATE p SET id = id + 100 WHERE id = 5", "DELETE FROM p WHERE id = 100")
        s.assert_equal()
        s.source("ALTER TABLE p DETACH PARTITION p1")  # its rows leave the table; the target is told by a person
        s.target("ALTER TABLE p DETACH PARTITION p1")
        s.source("INSERT INTO p VALUES (150, 1)")
        s.assert_equal()


BIG = "CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL); INSERT INTO t SELECT i, i FROM generate_series(1, 6000) i; CREATE TABLE u (id int PRIMARY KEY, v int); INSERT INTO u SELECT i, i FROM generate_series(1, 3000) i"


@pytest.mark.parametrize("mode", ["propagate", "stop"])
def test_while_the_copy_runs(run, mode):
    """Ranges are read with the columns of their time; a capture that dies behind the change goes on where it stood."""
    def copying():
        status = s.capture.status() or {}
        return 500 < (status.get("snapshot") or {}).get("rows", 0)

    with run(BIG, more={"capture": {"on_ddl": mode, "max_rows_per_second": 3000, "snapshot_workers": 1}}) as s:
        s.apply.start()
        s.capture.start()
        wait_until(copying, 30, "some is copied")
        for side in (s.target, s.source):
            side("ALTER TABLE t ADD COLUMN w text DEFAULT 'w'; ALTER TABLE u ALTER COLUMN v TYPE bigint")
        s.source("UPDATE t SET w = 'x', v = -v WHERE id % 1000 = 1", "INSERT INTO t VALUES (7000, 1, 'y')", "UPDATE u SET v = 5000000000 WHERE id = 2999")
        for _ in range(4 if mode == "stop" else 0):  # for each table once, wherever it is met first
            s.capture.wait(30)
            assert s.capture.exit_code == 5
            if "accepted" not in accept(s):
                break
            s.capture.start()
            wait_until(lambda: not s.capture.running or (s.capture.status() or {}).get("complete"), 60, "it goes on")
            if s.capture.running:
                break
        if mode == "propagate":
            s.capture.kill9()
            s.capture.start()
        s.wait_complete(60)
        s.assert_equal()
        assert s.position()["attempt"] == 1 and "snapshot_anew" not in s.capture.log_text()


def test_default_that_was_computed(run):
    """A volatile default rewrites the table: what it computed is not in the WAL. Copying or touching the rows moves them."""
    with run(SCHEMA) as s:
        s.start()
        for column in ("a", "b"):
            s.target(f"ALTER TABLE t ADD COLUMN {column} uuid")
            s.source(f"INSERT INTO t (id, v) VALUES (1{ord(column)}, 1)", f"ALTER TABLE t ADD COLUMN {column} uuid DEFAULT gen_random_uuid()", f"INSERT INTO t (id, v) VALUES (2{ord(column)}, 1)")
            s.wait()
            assert s.pipeline.run("compare", "run").returncode == 1
            if column == "a":
                s.source("UPDATE t SET a = a")
            else:
                assert s.pipeline.run("capture", "resnapshot", "public.t").returncode == 0
                s.source("UPDATE other SET v = 1")
                wait_until(lambda: s.target("SELECT count(*) FROM t WHERE b IS NULL") == [(0,)], 30, "the rows are copied once more")
            s.assert_equal()


def test_stop_and_accept_through_kafka(run):
    with Workdir("schema-kafka") as folder, Kafka(folder) as broker, run(SCHEMA, more=STOP, journal=broker.url, journal_format="json") as s:
        s.start()
        s.source("INSERT INTO t VALUES (100, 1)", "BEGIN; INSERT INTO other VALUES (1, 1); ALTER TABLE t RENAME TO tt; ALTER TABLE tt ADD COLUMN w text; INSERT INTO tt VALUES (102, 1, 'w'); COMMIT")
        s.capture.assert_exit(5, 30)
        accept_killed(s, "capture.accept_committed")
        assert "nothing waits" in accept(s)
        s.capture.start(failpoint="capture.fence_appended").assert_exit(-9)
        s.capture.start()
        s.apply.assert_exit(5, 30)
        s.target("ALTER TABLE t RENAME TO tt; ALTER TABLE tt ADD COLUMN w text")
        s.apply.start()
        s.assert_equal()
        verified = s.pipeline.run("journal", "verify", "--findings", "10")
        assert verified.returncode == 0, verified.stdout


@pytest.mark.parametrize("mode", ["propagate", "stop"])
def test_in_a_large_transaction(run, mode):
    """Taken while it runs, two at once, with the change in the midst of one."""
    with run(SCHEMA, more={"capture": {"on_ddl": mode}}) as s:
        s.source(f"ALTER DATABASE {s.name} SET logical_decoding_work_mem = '64kB'")
        s.start()
        with psycopg.connect(s.source_url) as other:
            other.execute("INSERT INTO other SELECT i, i FROM generate_series(1, 3000) i")
            s.source("BEGIN; INSERT INTO t SELECT i, i FROM generate_series(1001, 4000) i; SAVEPOINT a; ALTER TABLE t ADD COLUMN x int; ROLLBACK TO a; ALTER TABLE t ADD COLUMN w text DEFAULT 'd';"
                     "INSERT INTO t SELECT i, i, 'w' FROM generate_series(4001, 7000) i; UPDATE t SET v = 0 WHERE id % 10 = 0; COMMIT", "DELETE FROM t WHERE id = 5000")
            other.execute("UPDATE other SET v = 0")
            other.commit()
        if mode == "stop":
            s.capture.assert_exit(5, 60)
            accept(s)
            s.capture.start()
        s.apply.assert_exit(5, 60)
        s.target("ALTER TABLE t ADD COLUMN w text DEFAULT 'd'")
        s.apply.start()
        s.assert_equal()
        rows = [row for op, row in rows_of(s, "t") if op == "c"]
        assert [("w" in row) for row in rows] == [False] * 3000 + [True] * 3000


def new_key(table, column):
    return f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {table}_pkey; ALTER TABLE {table} ADD PRIMARY KEY ({column})"


def test_key_changed_behind_full_identity_while_capture_is_away(run):
    """No message tells the key of a table with REPLICA IDENTITY FULL: rows are taken under the one that they had."""
    schema = ("CREATE TABLE t (id int PRIMARY KEY, code text NOT NULL); ALTER TABLE t REPLICA IDENTITY FULL; INSERT INTO t VALUES (100, 'old');"
              "CREATE TABLE k (id int NOT NULL, v text); ALTER TABLE k REPLICA IDENTITY FULL; INSERT INTO k VALUES (100, 'old')")
    with run(schema) as s:
        s.start()
        s.wait()
        s.capture.terminate()
        s.source("INSERT INTO t VALUES (1, 'x'), (2, 'x'); INSERT INTO k VALUES (1, 'a'), (1, 'b'), (2, 'a')", "DELETE FROM t WHERE id = 2", "DELETE FROM k WHERE id = 1 AND v = 'a'",
                 new_key("t", "code"), new_key("k", "id"), "INSERT INTO t VALUES (1, 'y'), (100, 'z')", "UPDATE t SET id = 7 WHERE code = 'old'", "INSERT INTO k VALUES (3, 'c')", "UPDATE k SET v = 'd' WHERE id = 1")
        s.capture.start()
        for table, column in (("t", "code"), ("k", "id")):
            s.apply.wait(30)
            assert s.apply.exit_code == 5 and f"public.{table}" in s.apply.log_tail(), s.apply.log_tail()
            if table == "t":
                assert s.target("SELECT id, code FROM t ORDER BY id") == [(1, "x"), (100, "old")]
            s.target(new_key(table, column))
            s.apply.start()
        s.assert_equal()
        s.source("INSERT INTO t VALUES (1, 'w')", new_key("t", "id, code"), "INSERT INTO t VALUES (2, 'w')")  # while it keeps up
        s.apply.assert_exit(5, 30)
        s.target(new_key("t", "id, code"))
        s.apply.start()
        s.assert_equal()


def test_key_of_full_identity_that_nobody_knows(run):
    with run("CREATE TABLE t (id int PRIMARY KEY, code text NOT NULL); ALTER TABLE t REPLICA IDENTITY FULL") as s:
        s.start()
        s.wait()
        s.capture.terminate()
        s.source("ALTER TABLE t RENAME COLUMN id TO number", "INSERT INTO t VALUES (1, 'x')", new_key("t", "code"))
        s.capture.start()
        s.capture.assert_exit(5, 30)
        log = s.capture.log_tail()
        assert "table=public.t" in log and "lsn=" in log and "empty journal" in log, log


def copying_big(s):
    return 500 < ((s.capture.status() or {}).get("snapshot") or {}).get("rows", 0)


def test_killed_where_an_abandoned_copy_begins_anew(run):
    """What the abandoned attempt knew of the tables is forgotten with the first fence of the next."""
    with run(BIG, more={"capture": {"on_ddl": "stop", "max_rows_per_second": 3000, "snapshot_workers": 1}}) as s:
        s.capture.start()
        wait_until(lambda: copying_big(s), 30, "some is copied")
        s.capture.kill9()
        for side in (s.target, s.source):
            side(new_key("t", "v"))
        s.capture.start(failpoint="capture.snapshot_begun").assert_exit(-9)
        s.capture.start()
        s.apply.start()
        s.wait_complete(60)
        s.assert_equal()
        assert s.position()["attempt"] == 2


TYPED = ("CREATE TABLE t (id int PRIMARY KEY, v float4, big text); ALTER TABLE t ALTER big SET STORAGE EXTERNAL; "
         "INSERT INTO t SELECT i, i, repeat('x', 4000) FROM generate_series(1, 6000) i; "
         "CREATE TABLE u (id int PRIMARY KEY, v float4); INSERT INTO u SELECT i, i FROM generate_series(1, 2000) i; CREATE TABLE other (id int PRIMARY KEY, v int)")
TYPES = ("ALTER TABLE t ALTER v TYPE int USING v::int", "ALTER TABLE u ALTER v TYPE int USING v::int", "ALTER TABLE t ALTER v TYPE text USING 'n' || v")


def type_writes(n):
    yield f"UPDATE t SET v = {n % 1000} WHERE id = {n * 37 % 6000 + 1}"  # big is not sent
    yield f"UPDATE t SET big = repeat('y', 3000) WHERE id = {n * 41 % 6000 + 1}"
    yield f"DELETE FROM t WHERE id = {n * 43 % 6000 + 1}"
    yield f"INSERT INTO t VALUES ({10000 + n}, {n % 1000}, 'new'); INSERT INTO other VALUES ({n}, {n})"


@pytest.mark.parametrize("mode,fate", [("propagate", "goes on"), ("propagate", "killed"), ("stop", "goes on")])
def test_types_that_do_not_fit_each_other_while_the_copy_runs(run, mode, fate):
    """Old and new never stand in one fence: apply halts between them, the target is altered, all goes on; thrice, under load."""
    with run(TYPED, more={"capture": {"on_ddl": mode, "max_rows_per_second": 500, "snapshot_workers": 2}}) as s:
        s.apply.start()
        s.capture.start()
        with Writer(s.source_url, type_writes, pause=0.005) as writer:
            for change in TYPES:
                s.capture.wait_for(lambda status: ((status.get("snapshot") or {}).get("rows") or 0) > 300, 60, "some is copied")
                writer.wait_rounds(20)
                s.source(change)
                writer.wait_rounds(20)
                if fate == "killed":
                    s.capture.kill9()
                    s.capture.start()
                if mode == "stop":
                    s.capture.assert_exit(5, 60)
                    assert "accept-ddl" in s.capture.log_tail(5)
                    assert "accepted" in accept(s)
                    s.capture.start()
                s.apply.assert_exit(5, 60)
                assert "table=public." in s.apply.log_tail(5)
                s.target(change)
                s.apply.start()
                assert not (s.capture.status() or {}).get("complete"), "the copy still runs"
            assert s.capture.terminate() == 0
            s.pipeline.settings["capture"]["max_rows_per_second"] = 0
            s.pipeline.write()
            s.capture.start()
            s.wait_complete(60)
        s.assert_equal()
        assert s.position()["attempt"] == 1 and "snapshot_anew" not in s.capture.log_text()
        verified = s.pipeline.run("journal", "verify", "--findings", "10")
        assert verified.returncode == 0, verified.stdout


LONG = "CREATE TABLE t (id int PRIMARY KEY, v float4, big text); ALTER TABLE t ALTER big SET STORAGE EXTERNAL; INSERT INTO t SELECT i, 1.5, repeat('x', 4000) FROM generate_series(1, 6000) i"


def test_row_is_read_again_behind_an_added_column(run):
    """While it is copied: a row moves, and its long value is not sent."""
    with run(LONG, more={"capture": {"max_rows_per_second": 2000, "snapshot_workers": 1}}) as s:
        s.apply.start()
        s.capture.start()
        wait_until(lambda: copying_big(s), 30, "some is copied")
        s.target("ALTER TABLE t ADD COLUMN w int")
        s.source("BEGIN; UPDATE t SET id = -5 WHERE id = 5900; ALTER TABLE t ADD COLUMN w int; COMMIT")
        s.wait_complete(60)
        s.assert_equal()


def test_row_cannot_be_read_again_in_its_shape(run):
    """The same, but what it has moved with is not what its table is then: the table is copied from its first row on."""
    with run(LONG, more={"capture": {"max_rows_per_second": 2000, "snapshot_workers": 1}}) as s:
        s.apply.start()
        s.capture.start()
        wait_until(lambda: copying_big(s), 30, "some is copied")
        change = "ALTER TABLE t ALTER COLUMN v TYPE int"
        s.source(f"BEGIN; UPDATE t SET id = -5 WHERE id = 5900; {change}; COMMIT", "DELETE FROM t WHERE id = 3")
        s.apply.assert_exit(5, 60)
        assert s.target("SELECT count(*) FROM t WHERE v <> 1.5") == [(0,)]
        s.target(change)
        s.apply.start()
        s.wait_complete(60)
        s.assert_equal()
        assert "copy_anew" in s.capture.log_text() and s.position()["attempt"] == 1
        verified = s.pipeline.run("journal", "verify", "--findings", "10")
        assert verified.returncode == 0, verified.stdout
