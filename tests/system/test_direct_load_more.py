"""capture.snapshot_path: direct with shards, under limits of sessions, of the WAL that the slot keeps, and over many tables."""

import re
import signal

import psycopg

from rig import Postgres, Workdir, wait_until
from rig.scenario import count, scenario
from rig.shards import shard_roles

DIRECT = {"capture": {"snapshot_path": "direct", "snapshot_workers": 2, "snapshot_chunk_rows": 500}}


def chunks(s, where="done"):
    if not s.target("SELECT to_regclass('crossfade.direct_chunk') IS NOT NULL")[0][0]:
        return 0
    return s.target(f"SELECT count(*) FROM crossfade.direct_chunk WHERE {where}")[0][0]


# -- shards

TABLES = [f"t{i}" for i in range(6)]
SHARED = ";".join(f"CREATE TABLE {t} (id int PRIMARY KEY, n int); INSERT INTO {t} SELECT i, 0 FROM generate_series(1, 1500) i" for t in TABLES) \
    + "; CREATE TABLE bag (a int, b text); ALTER TABLE bag REPLICA IDENTITY FULL; INSERT INTO bag SELECT i % 50, 'x' FROM generate_series(1, 1000) i"


def change(s, step):
    for t in TABLES:
        s.source(f"UPDATE {t} SET n = n + 1 WHERE id % 7 = {step}", f"DELETE FROM {t} WHERE id % 31 = {step}", f"INSERT INTO {t} VALUES ({5000 + step}, {step})")
    s.source(f"DELETE FROM bag WHERE a = {step}", f"INSERT INTO bag SELECT {step + 20}, 'new' FROM generate_series(1, 3)")


def test_shards_begin_at_the_load():
    """The load waits for all of them, writes tables of all of them, and each goes on at the snapshot's position. Capture and a shard are killed."""
    with Workdir("direct-shards") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target, \
            scenario(folder, source, target, SHARED, more=DIRECT) as s:
        roles = shard_roles(s.pipeline.settings, folder, "shard", 2)
        try:
            s.capture.start(failpoint="capture.direct_chunk_done:5")
            s.capture.wait_for(lambda status: "crossfade apply must run" in (status.get("trouble") or ""), 90, "the load waits for apply")
            roles[0].start()
            wait_until(lambda: s.target("SELECT to_regclass('crossfade.position') IS NOT NULL")[0][0] and s.target("SELECT shard FROM crossfade.position") == [("1/2",)], 90, "one shard is there")
            change(s, 1)
            assert chunks(s, "true") == 0  # one is not enough
            roles[1].start()
            s.capture.assert_exit(-signal.SIGKILL, timeout=120)
            assert chunks(s) > 0
            roles[1].kill9()
            change(s, 2)
            roles[1].start()
            s.capture.start()
            for role in roles:
                role.wait_for(lambda status: status.get("complete"), 120, "the copy is complete")
            change(s, 3)
            lsn = s.admin("INSERT INTO crossfade.marker (pipeline, nonce, kind) VALUES ('%s', gen_random_uuid()::text, 'ping')" % s.name, "SELECT pg_current_wal_insert_lsn()::text")[0][0]
            s.admin("INSERT INTO crossfade.marker (pipeline, nonce, kind) VALUES ('%s', gen_random_uuid()::text, 'ping')" % s.name)
            for role in roles:
                role.wait_lsn("applied_lsn", lsn, 120)
                assert role.status()["attempt"] == 1
            for table in [*TABLES, "bag"]:
                rows = f"SELECT t::text FROM {table} t ORDER BY 1"
                assert s.source(rows) == s.target(rows), table
            owners = dict(s.target("SELECT shard, count(*) FROM crossfade.loaded GROUP BY shard"))
            assert sorted(owners) == ["1/2", "2/2"] and sum(owners.values()) == len(TABLES) + 1, owners
        finally:
            for role in roles:
                role.close()


# -- limits

def test_limits_of_sessions_do_not_end_it():
    """PostgreSQL 17 and its transaction_timeout, on both sides: the snapshot is kept for longer than that."""
    limits = {"transaction_timeout": "5s", "idle_in_transaction_session_timeout": "5s"}
    table = "CREATE TABLE t (id int PRIMARY KEY, v text);"
    with Workdir("direct-limits") as folder, Postgres(folder, "source", major=17) as source, Postgres(folder, "target", major=17) as target, \
            scenario(folder, source, target, table + "INSERT INTO t SELECT i, 'v' FROM generate_series(1, 4000) i", target_schema=table,
                     more={"capture": {**DIRECT["capture"], "snapshot_chunk_rows": 2000, "max_rows_per_second": 400}}) as s:
        for server in (source, target):
            for name, value in limits.items():
                server.sql(f"ALTER ROLE ALL SET {name} = '{value}'")
        s.start(timeout=180)
        s.source("DELETE FROM t WHERE id < 10")
        s.wait(120)
        assert s.target("SELECT count(*) FROM t") == [(3991,)]
        assert s.target("SELECT count(DISTINCT lsn) FROM crossfade.direct_chunk") == [(1,)]
        assert "direct_retry" not in s.capture.log_text()


def test_load_pauses_while_the_slot_keeps_too_much():
    """It begins no chunk, the stream goes on, and so does the load when the source has room again."""
    schema = "CREATE TABLE a (id int PRIMARY KEY, v text); INSERT INTO a SELECT i, 'x' FROM generate_series(1, 3000) i; CREATE TABLE hot (id int PRIMARY KEY, v text); INSERT INTO hot VALUES (1, '')"
    with Workdir("direct-guard") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target, \
            scenario(folder, source, target, schema, more={"capture": {**DIRECT["capture"], "max_retained_wal": "32MiB"}}) as s:
        s.capture.start()
        s.capture.wait_for(lambda status: "crossfade apply must run" in (status.get("trouble") or ""), 120, "the load waits for apply")
        with psycopg.connect(s.source_url) as held:
            held.execute("INSERT INTO hot VALUES (2, 'open')")
            for _ in range(26):
                s.source("UPDATE hot SET v = (SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 32768)) WHERE id = 1")
            source.sql("CHECKPOINT")
            s.capture.wait_for(lambda status: status.get("wal_guard") in ("throttle", "alert"), 120, "the guard throttles")
            s.apply.start()
            s.capture.wait_log("direct_planned", 120)
            for _ in range(4):  # however long it is waited for: the stream goes on
                lsn = s.source("SELECT pg_current_wal_insert_lsn()::text")[0][0]
                s.admin("INSERT INTO crossfade.marker (pipeline, nonce, kind) VALUES ('%s', gen_random_uuid()::text, 'ping')" % s.name)
                s.capture.wait_lsn("journaled_lsn", lsn, 60)
            assert chunks(s, "true") == 0 and not s.capture.status()["complete"]
            held.rollback()

        def goes_down():
            source.sql("CHECKPOINT")  # its record of running transactions lets the slot move
            return s.capture.status()["wal_guard"] == "ok"
        wait_until(goes_down, 120, "the guard is calm")
        s.wait_complete(180)
        s.assert_equal(120)


# -- many tables

def test_many_small_tables_cost_the_load_next_to_nothing():
    """A load that is taken up again has a chunk for each of them to find its place: what it takes for itself is told in the log."""
    tables = count(300, 10000)
    room = {"max_locks_per_transaction": 64 if tables <= 1000 else 1024}
    with Workdir("direct-many") as folder, Postgres(folder, "source", settings=room) as source, Postgres(folder, "target", settings=room) as target, \
            scenario(folder, source, target, target_schema="", name="many", more=DIRECT) as s:
        for url, rows, options in ((s.source_url, 3, s.pipeline.as_owner), (s.target_url, 0, "")):
            with psycopg.connect(url, autocommit=True, options=options) as connection:
                for first in range(0, tables, 250):
                    connection.execute("".join(f"CREATE TABLE t{n} (id int PRIMARY KEY, v int);" + (f"INSERT INTO t{n} SELECT i, {n} FROM generate_series(1, {rows}) i;" if rows else "")
                                               for n in range(first, min(first + 250, tables))))
        s.apply.start()
        s.capture.start(failpoint="capture.direct_chunk_done:4")  # of small tables up to 64 are in one job
        s.capture.assert_exit(-signal.SIGKILL, timeout=count(120, 1800))
        s.capture.start()
        s.wait_complete(count(120, 1800))
        planned = re.findall(r"direct_planned tables=(\d+) chunks=(\d+) took_ms=(\d+) cpu_ms=(\d+)", s.capture.log_text())
        print(planned)
        assert {int(p[0]) for p in planned} == {tables} and int(planned[-1][1]) >= 100 and int(planned[0][1]) == 0  # jobs get smaller towards the end: any three of the first have that many
        assert s.target("SELECT count(*), bool_and(done), sum(rows)::int FROM crossfade.direct_chunk") == [(tables, True, 3 * tables)]
