"""Replication origins: apply's sessions have them, capture leaves changes out for them, and two pipelines in opposite directions end.

What a role may not, or a server has no room for, is gone without, and told. (What compare makes of origins: test_compare_cause.py.)
"""

import contextlib

import psycopg
import pytest

from rig import Pipeline, Postgres, Workdir, wait_until
from rig.journal import read_cat
from rig.privileges import APPLY
from rig.procs import retries
from rig.scenario import scenario

TABLES = """CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL, v text, big text); ALTER TABLE t ALTER big SET STORAGE EXTERNAL;
    CREATE TABLE bare (a int, v text); ALTER TABLE bare REPLICA IDENTITY FULL"""
BIG = 3000  # rows of a transaction that the server would send while it runs
SERVER = {"logical_decoding_work_mem": "64kB", "max_replication_slots": 20, "max_wal_senders": 20, "max_prepared_transactions": 20}
MORE = {"capture": {"heartbeat_interval_ms": 500}}


def with_origin(value, snapshot="initial", **apply):
    return {"capture": {**MORE["capture"], "origin": value, "snapshot": snapshot}, "apply": apply}


class Databases:
    """Databases of one server with the same tables, and pipelines between them, as a superuser: a database that is source and target is both roles' own."""

    def __init__(self, stack, folder, server):
        self.stack, self.folder, self.server = stack, folder, server

    def make(self, *names):
        for name in names:
            self.server.create_db(name)
            self.sql(name, TABLES)

    def pipeline(self, name, source, target, more=None):
        made = Pipeline(self.folder, self.server.url(source), self.server.url(target), name=name, tables=("public.*",), more=more or MORE, roles=False)
        return self.stack.enter_context(made)

    def sql(self, db, *statements):
        """Each is a transaction."""
        rows = None
        for statement in statements:
            rows = self.server.sql(statement, db=db)
        return rows

    def rows(self, db):
        return self.sql(db, "SELECT id, n, v, md5(big) FROM t ORDER BY 1"), self.sql(db, "SELECT a, v FROM bare ORDER BY 1, 2")


@pytest.fixture(name="folder", scope="module")
def fixture_folder():
    with Workdir("origin") as folder:
        yield folder


@pytest.fixture(name="server", scope="module")
def fixture_server(folder):
    with Postgres(folder, "server", settings={**SERVER, "track_commit_timestamp": "on"}) as server:
        yield server


@pytest.fixture(name="databases")
def fixture_databases(folder, server):
    with contextlib.ExitStack() as stack:
        yield Databases(stack, folder, server)


def complete(*pipelines):
    for pipeline in pipelines:
        pipeline.start()
        pipeline.apply.wait_for(lambda status: status.get("complete"), 60, "the copy is complete")


def changes_in(pipeline):
    """Records of changes that its journal has, by table."""
    return {topic.rpartition(".")[2]: sum(r.value is not None for r in records) for topic, records in read_cat(pipeline)[0].items()}


def origins(server):
    return [name for name, in server.sql("SELECT roname FROM pg_replication_origin WHERE roname LIKE 'crossfade:%' ORDER BY 1")]


# ---- two ways

def write(databases, db, base, turn):
    """Rows of this side, and rows that came from the other one; returns how many changes that is in (t, bare)."""
    first = base + turn * 10000
    databases.sql(db, f"INSERT INTO t SELECT i, {turn}, '{db}', repeat(md5(i::text), 100) FROM generate_series({first}, {first + 19}) i",
                  f"INSERT INTO t SELECT i, {turn}, '{db}' FROM generate_series({first + 1000}, {first + 999 + BIG}) i",
                  f"UPDATE t SET n = n + 100 WHERE id BETWEEN {first} AND {first + 4}", f"DELETE FROM t WHERE id = {first + 19}",
                  f"INSERT INTO bare SELECT {first}, 'twin' FROM generate_series(1, 3)")
    foreign = databases.sql(db, f"UPDATE t SET n = n + 1000 WHERE v <> '{db}' AND id % 10000 < 10 RETURNING id")
    return 20 + BIG + 5 + 1 + len(foreign), 3


@pytest.mark.parametrize("major, value", [(14, "none"), (15, "not_crossfade"), (17, "none"), (18, "not_crossfade")])
def test_two_ways(folder, major, value):
    """Forward and reverse at once, writes on both sides in turn: each journal has what was written on its side and nothing else, and both sides end up the same."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(Postgres(folder, f"two-{major}", major=major, settings={**SERVER, "log_replication_commands": "on"}))
        databases = Databases(stack, folder, server)
        databases.make("a", "b")
        databases.sql("a", "INSERT INTO t SELECT i, 0, 'copied' FROM generate_series(1, 5) i")
        there = databases.pipeline(f"there{major}", "a", "b", with_origin(value, writers=3, writer_rows=1))
        back = databases.pipeline(f"back{major}", "b", "a", with_origin(value, "never"))
        complete(there)
        back.start()
        back.capture.wait_for(lambda status: status["phase"] == "streaming", 60, "streams")
        written = {"a": [5, 0], "b": [0, 0]}
        for turn in range(4):
            for db, base, pipeline in (("a", 1000000, there), ("b", 2000000, back)):
                for k, n in enumerate(write(databases, db, base, turn)):
                    written[db][k] += n
                pipeline.wait_caught_up()
            if turn == 1:  # the next session waits for the origin of the one that died
                there.apply.kill9()
                back.capture.kill9()
                there.apply.start()
                back.capture.start()
            if turn == 2:
                back.apply.kill9()
                back.apply.start()
        for _ in range(3):  # whatever would still go round has gone round
            there.wait_caught_up()
            back.wait_caught_up()
        assert databases.rows("a") == databases.rows("b")
        assert len(databases.rows("a")[0]) == 8 * (20 + BIG - 1) + 5 and len(databases.rows("a")[1]) == 8 * 3
        for pipeline, db in ((there, "a"), (back, "b")):
            assert changes_in(pipeline) == dict(zip(("t", "bare"), written[db])), pipeline.name
        oids = dict(server.sql("SELECT datname, oid::text FROM pg_database"))
        assert origins(server) == [f"crossfade:{back.name}:{oids['a']}:1:0"] + [f"crossfade:{there.name}:{oids['b']}:1:{k}" for k in range(3)]
        assert not any("no_origin" in p.apply.log_text() for p in (there, back))
        with open(server.log, encoding="utf-8") as f:
            assert ("origin 'none'" in f.read()) == (major >= 16 and value == "none")


def test_what_comes_through(databases, server):
    """What others have replicated into the source: all of it (any), all but Crossfade's (not_crossfade), nothing of it (none)."""
    databases.make("up", "mid", "c_any", "c_not_crossfade", "c_none")
    first = databases.pipeline("first", "up", "mid")
    ends = {value: databases.pipeline(f"to_{value}", "mid", f"c_{value}", with_origin(value)) for value in ("any", "not_crossfade", "none")}
    complete(first, *ends.values())
    for statement in ("INSERT INTO t VALUES (1, 1, 'apply')", f"INSERT INTO t SELECT i, 1, 'apply' FROM generate_series(1000, {999 + BIG}) i"):
        databases.sql("up", statement)
        first.wait_caught_up()  # not both in one transaction of apply's: the server sends it while it runs, and then does not tell its origin yet
    with server.connect("mid") as connection:  # a subscription's worker does no other
        connection.execute("SELECT pg_replication_origin_create('sub_other'), pg_replication_origin_session_setup('sub_other')")
        connection.execute("INSERT INTO t VALUES (2, 1, 'subscription')")
        connection.execute("BEGIN; SELECT pg_logical_emit_message(true, 'somebody', 'says'); INSERT INTO t VALUES (3, 1, 'subscription'); COMMIT")
    databases.sql("mid", "INSERT INTO t VALUES (4, 1, 'local')")
    expected = {"any": {"apply", "subscription", "local"}, "not_crossfade": {"subscription", "local"}, "none": {"local"}}
    for value, pipeline in ends.items():
        pipeline.wait_caught_up()
        assert {v for _, _, v, _ in databases.rows(f"c_{value}")[0]} == expected[value], value
        assert ("from_crossfade from=first" in pipeline.capture.log_text()) == (value == "any")
    server.sql("SELECT pg_replication_origin_drop('sub_other')")


def test_commits_have_their_own_time(databases):
    """The server keeps the time of a session's mark until another one comes: each transaction has to bring its own."""
    for writers in (1, 3):
        source, target = f"from{writers}", f"into{writers}"
        databases.make(source, target)
        pipeline = databases.pipeline(f"times{writers}", source, target, {**MORE, "apply": {"writers": writers, "writer_rows": 1}})
        complete(pipeline)
        for turn in range(3):
            before = databases.sql(target, "SELECT clock_timestamp()")[0][0]
            databases.sql(source, f"INSERT INTO t SELECT {turn} * 100 + i, 1, 'v' FROM generate_series(1, 30) i")
            lsn = pipeline.wait_caught_up()
            found = databases.sql(target, f"SELECT DISTINCT w.timestamp BETWEEN '{before}' AND clock_timestamp(), o.roname FROM t, pg_xact_commit_timestamp_origin(t.xmin) w"
                                          f" LEFT JOIN pg_replication_origin o ON o.roident = w.roident WHERE id / 100 = {turn} ORDER BY 2")
            oid = databases.sql(target, "SELECT oid FROM pg_database WHERE datname = current_database()")[0][0]
            assert found == [(True, f"crossfade:times{writers}:{oid}:1:{k}") for k in range(writers)]
        place = databases.sql(target, f"SELECT max(remote_lsn) >= '{lsn}' FROM pg_replication_origin_status WHERE external_id LIKE 'crossfade:times{writers}:%'")
        assert place == [(True,)]  # of the source, for people


# ---- without

@pytest.fixture(name="target", scope="module")
def fixture_target(folder):
    with Postgres(folder, "target") as target:
        yield target


def test_a_role_that_may_not(folder, server, target):
    with scenario(folder, server, target, TABLES) as s:
        function = "FUNCTION pg_replication_origin_session_setup(text)"
        s.target(f"REVOKE EXECUTE ON {function} FROM {APPLY}")
        checked = s.pipeline.run("check")
        assert checked.returncode == 0 and f'GRANT EXECUTE ON {function} TO "{APPLY}"' in checked.stdout, checked.stdout
        s.start()
        s.source("INSERT INTO t VALUES (1, 1, 'v')")
        s.wait()
        ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = %s"
        assert target.sql(ended, (f"crossfade apply {s.name}",)) == [(1,)]
        s.source("UPDATE t SET v = 'w'")
        s.assert_equal()
        said = "the role may not execute pg_replication_origin_session_setup(text)"
        assert s.apply.log_text().count(" no_origin ") == 1  # once, not at each connection
        assert said in s.apply.log_text() and s.apply.status()["no_origin"] == said
        assert f"writes without a replication origin: {said}" in s.pipeline.run("status").stdout
        s.target(f"GRANT EXECUTE ON {function} TO {APPLY}")
        s.apply.kill9()
        s.apply.start()
        s.source("UPDATE t SET v = 'x'")
        s.assert_equal()
        assert "no_origin" not in s.apply.status() and s.apply.log_text().count(" no_origin ") == 1
        assert len(origins(target)) == 1 and "GRANT" not in s.pipeline.run("check").stdout


def test_an_origin_that_another_session_holds(folder, server, target):
    """As that of a session whose end the server has not seen yet: apply waits for it, and writes nothing without."""
    with scenario(folder, server, target, TABLES) as s:
        s.start()
        name = origins(target)[0]
        assert s.apply.terminate() == 0

        def held():
            with contextlib.suppress(psycopg.errors.ObjectInUse):
                connection.execute("SELECT pg_replication_origin_session_setup(%s)", (name,))
                return True
            return False
        with target.connect(s.name) as connection:
            wait_until(held, 30, "the origin is free")
            s.source("INSERT INTO t VALUES (1, 1, 'v')")
            s.apply.start()
            retries(s.apply, name, "already active")
            assert s.target("SELECT count(*) FROM t") == [(0,)]
        s.assert_equal()
        assert "no_origin" not in s.apply.status()


@pytest.mark.parametrize("places, lacking", [(1, "no room for another one: raise max_replication_slots"), (0, "max_replication_slots")])
def test_a_server_without_room(folder, server, places, lacking):
    """None at all, or too few for all writers: they write without, and that is told."""
    with Postgres(folder, f"room-{places}", settings={"max_replication_slots": places, "wal_level": "replica"}) as target, \
            scenario(folder, server, target, TABLES, more={"apply": {"writers": 2, "writer_rows": 1}}) as s:
        assert "may have no room" in s.pipeline.run("check").stdout
        s.start()
        s.source("INSERT INTO t SELECT i, 1, 'v' FROM generate_series(1, 100) i")
        s.assert_equal()
        assert lacking in s.apply.status()["no_origin"]
        assert len(origins(target)) == 2
