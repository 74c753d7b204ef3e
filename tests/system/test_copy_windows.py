"""A copy in windows of key ranges: what is written meanwhile, what may be killed meanwhile, and how little WAL the slot retains."""

import contextlib
import random
import threading

import psycopg
import pytest

from rig import Postgres, Workdir, Writer, wait_until
from rig.journal import assert_journal, read_cat
from rig.scenario import count, scenario, seed

ROWS = 6000
SCHEMA = f"""
CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL DEFAULT 0, big text);
ALTER TABLE t ALTER big SET STORAGE EXTERNAL;
INSERT INTO t SELECT i, i, repeat(md5(i::text), 100) FROM generate_series(1, {ROWS}) i;
CREATE TABLE pair (a text COLLATE "C", b bigint, v int, big text, PRIMARY KEY (a, b));
ALTER TABLE pair ALTER big SET STORAGE EXTERNAL;
INSERT INTO pair SELECT 'k''"' || i % 7, i, 0, repeat(md5(i::text), 100) FROM generate_series(1, {ROWS // 2}) i;
CREATE TABLE bag (a int, b text); ALTER TABLE bag REPLICA IDENTITY FULL;
INSERT INTO bag SELECT i % 500, 'x' FROM generate_series(1, {ROWS}) i;
CREATE TABLE part (id int, at int, v text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (50);
CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM (50) TO (100);
INSERT INTO part SELECT i, i % 100, 'p' FROM generate_series(1, {ROWS}) i;
CREATE TABLE cleared (id int PRIMARY KEY, v int); INSERT INTO cleared SELECT i, i FROM generate_series(1, {ROWS}) i;
CREATE TABLE uniq (id int PRIMARY KEY, u int UNIQUE); INSERT INTO uniq SELECT i, i FROM generate_series(1, {ROWS}) i;
CREATE TABLE zlast (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), v int); INSERT INTO zlast (v) SELECT i FROM generate_series(1, {ROWS}) i;
"""
SLOW = {"capture": {"max_rows_per_second": 8000, "heartbeat_interval_ms": 500}}


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("windows") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


class Traps:
    """Every trap of a copy beside the stream (docs/ARCHITECTURE.md)."""

    def __init__(self, rng):
        self.rng, self.rewriting = rng, True

    def __call__(self, round_):
        rng, n = self.rng, self.rng.randrange(1, ROWS)
        yield f"UPDATE t SET v = v + 1 WHERE id IN ({n}, {rng.randrange(1, ROWS)}, {rng.randrange(1, 2 * ROWS)})"  # big is not sent
        yield f"DELETE FROM t WHERE id = {rng.randrange(1, ROWS)}"
        yield f"UPDATE t SET id = id + {ROWS} WHERE id = {n}"  # into a range that is copied last
        yield f"UPDATE t SET id = id - {ROWS} WHERE id = {ROWS + rng.randrange(1, ROWS)} AND NOT EXISTS (SELECT FROM t x WHERE x.id = t.id - {ROWS})"  # and back
        yield f"BEGIN; DELETE FROM t WHERE id = {n}; INSERT INTO t VALUES ({n}, -1, repeat('n', 4000)); UPDATE t SET v = -2 WHERE id = {n}; COMMIT"
        yield f"UPDATE pair SET v = v + 1 WHERE b % 997 = {n % 997}"
        yield f"UPDATE pair SET a = a || 'z' WHERE b = {n}"
        yield f"UPDATE bag SET b = b || 'y' WHERE ctid = (SELECT ctid FROM bag WHERE a = {n % 500} LIMIT 1)"
        yield f"DELETE FROM bag WHERE ctid = (SELECT ctid FROM bag WHERE a = {(n + 7) % 500} LIMIT 1)"
        yield f"INSERT INTO bag VALUES ({n % 500}, 'new'), ({n % 500}, 'new')"
        yield f"UPDATE part SET at = (at + 50) % 100 WHERE id = {n}"
        yield f"BEGIN; UPDATE uniq SET u = -{n} WHERE id = {n}; UPDATE uniq SET u = {n} WHERE id = {n % ROWS + 1} AND NOT EXISTS (SELECT FROM uniq x WHERE x.u = {n}); COMMIT"
        yield f"DELETE FROM uniq WHERE id = {n}; INSERT INTO uniq SELECT {ROWS} + {round_}, {n} WHERE NOT EXISTS (SELECT FROM uniq WHERE u = {n})"
        if self.rewriting and round_ % 40 == 20:
            yield f"TRUNCATE cleared; INSERT INTO cleared SELECT i, {n} FROM generate_series(1, 300) i"
        if self.rewriting and round_ % 25 == 10:
            yield f"VACUUM FULL {rng.choice(['t', 'pair', 'part_1', 'zlast'])}"
        yield f"BEGIN; UPDATE zlast SET v = v + 1 WHERE v % 499 = {n % 499}; SAVEPOINT s; DELETE FROM zlast WHERE v % 499 = {n % 499}; ROLLBACK TO s; COMMIT"


def copying(s):
    status = s.capture.status() or {}
    return status.get("phase") == "snapshot" and 0 < (status.get("snapshot") or {}).get("rows", 0) and not status["complete"]


ROTATED = """
CREATE TABLE seat (id int PRIMARY KEY, u int UNIQUE, pad text NOT NULL);
INSERT INTO seat SELECT i, i, repeat('p', 1500) FROM generate_series(1, 4000) i;
"""


class Rotation:
    """Three rows hand their unique values on, a row at a time: in between, each value belongs to one row at most, but to which one is a matter of the moment."""

    def __init__(self, rng):
        self.rng = rng

    def __call__(self, round_):
        a, b, c = self.rng.sample(range(1, 4001), 3)
        values = "; ".join(f"{name} int := (SELECT u FROM seat WHERE id = {id_})" for name, id_ in (("x", a), ("y", b), ("z", c)))
        moves = "; ".join(f"UPDATE seat SET u = {value} WHERE id = {id_}" for id_, value in ((a, "z"), (b, "x"), (c, "y")))
        yield f"DO $$ DECLARE {values}; BEGIN UPDATE seat SET u = NULL WHERE id IN ({a}, {b}, {c}); {moves}; END $$"


def test_a_fence_of_the_copy_that_is_larger_than_a_batch(servers):
    """Rows of a window stand in front of changes that they show already: unique values collide in a part of the fence, not in the whole of it."""
    slower = {**SLOW["capture"], "max_rows_per_second": 1200}  # so that values go round while it copies, on a loaded machine, too
    with scenario(*servers, ROTATED, more={"capture": slower, "apply": {"batch_max_bytes": "64KiB"}}) as s:
        with Writer(s.source_url, Rotation(random.Random(seed())), reconnect=True):
            s.start(timeout=120)
        s.assert_equal(120)
        assert "batch_in_file" in s.apply.log_text(), "no window was larger than a batch"


@pytest.mark.parametrize("workers", [1, 3])
def test_everything_is_written_meanwhile(servers, workers):
    with scenario(*servers, SCHEMA, more={"capture": dict(SLOW["capture"], snapshot_workers=workers)}) as s:
        traps = Traps(random.Random(seed()))
        with Writer(s.source_url, traps, reconnect=True) as writers:
            s.start(timeout=120)
            traps.rewriting = False  # a comparison says INCONCLUSIVE of a table that is rewritten under it
            writers.wait_rounds(2)
            done = s.pipeline.run("compare", "run", "--json", timeout=120)  # at a fence right behind the copy, while writers go on
            assert done.returncode == 0, done.stdout[-4000:] + done.stderr
            writers.stop()
            assert writers.rounds > 10
        s.assert_equal()
        assert s.position()["attempt"] == 1
        s.capture.terminate()
        assert_journal(*read_cat(s.pipeline), s.source_url, s.name)


def test_killed_again_and_again_it_goes_on(servers):
    """Capture, apply and the source die in the middle; the copy never starts over."""
    folder, source, target = servers
    rng = random.Random(seed())
    with scenario(folder, source, target, SCHEMA, more=SLOW) as s, Writer(s.source_url, Traps(rng), reconnect=True) as writers:
        s.apply.start()
        for _ in range(count(5, 40)):
            if not s.capture.running:
                s.capture.start()
            seen = (s.capture.wait_for(lambda status: True).get("snapshot") or {}).get("rows", 0)
            with contextlib.suppress(Exception):
                s.capture.wait_for(lambda status: status["complete"] or (status.get("snapshot") or {}).get("rows", 0) > seen + 2000, 20)
            if (s.capture.status() or {}).get("complete"):
                break
            victim = rng.choice(["capture", "capture", "apply", "source"])
            if victim == "source":
                source.kill9()
                source.start()
            elif victim == "apply":
                s.apply.kill9()
                s.apply.start()
            else:
                s.capture.kill9()
        if not s.capture.running:
            s.capture.start()
        s.wait_complete(120)
        assert s.position()["attempt"] == 1 and "snapshot_anew" not in s.capture.log_text()
        writers.stop()
        s.assert_equal()
        s.capture.terminate()
        assert_journal(*read_cat(s.pipeline), s.source_url, s.name)


@pytest.mark.parametrize("workers", count([3], [1, 3]))
def test_partitions_without_key(servers, workers):
    """Its changes are told apart by what one snapshot sees: all partitions are copied under that one."""
    folder, source, target = servers
    schema = ("CREATE TABLE bare (a int, at int) PARTITION BY LIST (at); CREATE TABLE bare_0 PARTITION OF bare FOR VALUES IN (0); CREATE TABLE bare_1 PARTITION OF bare FOR VALUES IN (1);"
              "ALTER TABLE bare REPLICA IDENTITY FULL; ALTER TABLE bare_0 REPLICA IDENTITY FULL; ALTER TABLE bare_1 REPLICA IDENTITY FULL;"
              "INSERT INTO bare SELECT i, i % 2 FROM generate_series(1, 40000) i; CREATE TABLE z (id int PRIMARY KEY); INSERT INTO z SELECT generate_series(1, 2000)")
    with scenario(folder, source, target, schema, more={"capture": dict(SLOW["capture"], snapshot_workers=workers)}) as s:
        stop, error = threading.Event(), []

        def write(leaf):
            try:
                with psycopg.connect(s.source_url, autocommit=True) as connection:
                    n = 0
                    while not stop.is_set():
                        n += 1
                        connection.execute("INSERT INTO bare VALUES (%s, %s)", (100000 + n, leaf))
                        with contextlib.suppress(psycopg.errors.SerializationFailure):  # the other one has just moved it
                            connection.execute("UPDATE bare SET at = 1 - at WHERE a = %s", (100000 + n // 2,))
                        with contextlib.suppress(psycopg.errors.SerializationFailure):
                            connection.execute("DELETE FROM bare WHERE a = %s AND at = %s", (n, leaf))
            except Exception as failure:  # shown at the end
                error.append(failure)
        writers = [threading.Thread(target=write, args=(leaf,)) for leaf in (0, 1)]
        for writer in writers:
            writer.start()
        s.start(timeout=120)
        stop.set()
        for writer in writers:
            writer.join()
        assert not error, error
        s.assert_equal()


def test_slot_lets_go_of_wal_during_the_copy(servers):
    """Rows are read slowly: what is written meanwhile does not wait for the end of the copy to be confirmed."""
    folder, source, target = servers
    schema = "CREATE TABLE a (id int PRIMARY KEY, v text); INSERT INTO a SELECT i, 'x' FROM generate_series(1, 40000) i; CREATE TABLE hot (id int PRIMARY KEY, v text); INSERT INTO hot VALUES (1, '')"
    with scenario(folder, source, target, schema, more={"capture": {"max_rows_per_second": 300}}) as s:
        s.apply.start()
        s.capture.start()
        wait_until(lambda: copying(s), 60, "the copy goes on")
        for round_ in range(6):  # each some 2 MB of WAL; the slot passes it while rows are still copied, however long that takes
            s.source("UPDATE hot SET v = (SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 20000)) WHERE id = 1")
            wrote = source.lsn()
            wait_until(lambda end=wrote: source.sql("SELECT confirmed_flush_lsn >= %s::pg_lsn FROM pg_replication_slots WHERE database = %s", (end, s.name))[0][0],
                       60, f"the slot lets go of round {round_}, before {wrote}")
            assert copying(s), f"the copy was over in round {round_}"
        assert s.capture.terminate() == 0
        s.pipeline.settings["capture"]["max_rows_per_second"] = 0
        s.pipeline.write()
        s.capture.start()
        s.wait_complete()
        assert s.position()["attempt"] == 1
        s.assert_equal()


def test_commits_that_nobody_sees_yet(servers):
    """A transaction that waits for a synchronous standby is in the WAL, and is read from there, long before a snapshot sees it."""
    folder, source, target = servers
    schema = "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t SELECT i, 0 FROM generate_series(1, 30000) i"
    with scenario(folder, source, target, schema, more={"capture": {"max_rows_per_second": 300}}) as s:
        s.apply.start()
        s.capture.start()
        wait_until(lambda: copying(s), 60, "the copy goes on")
        source.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        source.sql("SELECT pg_reload_conf()")
        try:
            def wait():
                with psycopg.connect(s.source_url) as connection:
                    connection.execute("UPDATE t SET v = 1 WHERE id > 25000")
                    connection.commit()
            waiting = threading.Thread(target=wait)
            waiting.start()
            wait_until(lambda: source.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"), 30, "the commit waits")
            rows = s.capture.status()["snapshot"]["rows"]
            assert s.source("SELECT count(*) FROM t WHERE v = 1") == [(0,)]
        finally:
            source.sql("ALTER SYSTEM RESET synchronous_standby_names")
            source.sql("SELECT pg_reload_conf()")
        waiting.join()
        assert rows < 25000, "too late to be a test"
        s.capture.kill9()
        s.pipeline.settings["capture"]["max_rows_per_second"] = 0
        s.pipeline.write()
        s.capture.start()
        s.wait_complete()
        s.assert_equal()


def test_slow_source_makes_the_copy_wait(servers):
    schema = "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 20000)"
    with scenario(*servers, schema, more={"capture": {"max_rows_per_second": 3000, "max_source_latency_ms": 200}}) as s:
        s.apply.start()
        s.capture.start()
        wait_until(lambda: copying(s), 60, "the copy goes on")
        with psycopg.connect(s.source_url) as blocker:
            blocker.execute("SET lock_timeout = '10s'")
            blocker.execute("LOCK TABLE pg_namespace IN ACCESS EXCLUSIVE MODE")
            blocker.execute("SELECT pg_sleep(0.5)")  # what the copy's question has to wait for
        s.capture.wait_log("snapshot_slowed")
        s.wait_complete(60)
        s.assert_equal()


def test_only_and_never(servers):
    folder, source, target = servers
    schema = "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'copied' FROM generate_series(1, 1000) i"
    with scenario(folder, source, target, schema, more={"capture": {"snapshot": "only"}}) as s:
        s.apply.start()
        s.capture.start().assert_exit(0, 60)
        s.wait_complete()
        s.source("UPDATE t SET v = 'later'")
        s.capture.start().assert_exit(0, 60)  # there is nothing more to copy
        s.pipeline.settings["capture"]["snapshot"] = "initial"
        s.pipeline.write()
        s.capture.start()
        s.assert_equal()
    with scenario(folder, source, target, schema, more={"capture": {"snapshot": "never"}}) as s:
        s.target("INSERT INTO t SELECT i, 'brought by others' FROM generate_series(1, 1000) i")
        s.start()
        s.source("UPDATE t SET v = 'streamed' WHERE id <= 10", "INSERT INTO t VALUES (2000, 'new')")
        s.wait()
        assert s.target("SELECT v, count(*) FROM t GROUP BY 1 ORDER BY 1") == [("brought by others", 990), ("new", 1), ("streamed", 10)]
        assert s.capture.terminate() == 0
        s.source("DELETE FROM t WHERE id = 5")
        s.capture.start()
        s.wait()
        assert s.target("SELECT count(*) FROM t") == [(1000,)]


def test_another_set_of_partitions_starts_over(servers):
    """Where the copy stood means nothing when the parts are others."""
    schema = "CREATE TABLE p (id int PRIMARY KEY, v text) PARTITION BY RANGE (id); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10000);" \
             "CREATE TABLE p3 PARTITION OF p FOR VALUES FROM (20000) TO (30000); INSERT INTO p SELECT i, 'x' FROM generate_series(1, 9999) i; INSERT INTO p SELECT i, 'y' FROM generate_series(20000, 29999) i"
    with scenario(*servers, schema, more={"capture": {"max_rows_per_second": 4000}}) as s:
        s.apply.start()
        s.capture.start()
        wait_until(lambda: copying(s), 60, "the copy goes on")
        s.capture.kill9()
        filled = "CREATE TABLE p2 (LIKE p INCLUDING ALL)"
        s.source(filled, "INSERT INTO p2 SELECT i, 'attached' FROM generate_series(10000, 19999) i", "ALTER TABLE p ATTACH PARTITION p2 FOR VALUES FROM (10000) TO (20000)")
        s.target(filled, "ALTER TABLE p ATTACH PARTITION p2 FOR VALUES FROM (10000) TO (20000)")
        s.capture.start()
        s.wait_complete(120)
        assert s.position()["attempt"] == 2 and "snapshot_anew" in s.capture.log_text()
        s.assert_equal()
        assert s.target("SELECT count(*) FROM p") == [(29999,)]
