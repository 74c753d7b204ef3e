"""Large transactions: taken while they run (pgoutput's streaming), published at their commit, the same as if they came whole."""

import contextlib
import glob
import json
import os
import random
import re
import subprocess
import threading
import uuid

import psycopg
import pytest

from rig import Pipeline, Postgres, Workdir, wait_until
from rig.journal import assert_journal, read_cat
from rig.scenario import count, scenario, seed

SETTINGS = {"logical_decoding_work_mem": "64kB", "max_prepared_transactions": 10}
T = "CREATE TABLE t (id int PRIMARY KEY, v text)"


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("large") as folder, Postgres(folder, "source", settings=SETTINGS) as source, Postgres(folder, "target") as target:
        yield folder, source, target


def streamed_transactions(server, name):
    """How many the server streamed to this pipeline before their end."""
    return server.value("SELECT stream_txns FROM pg_stat_replication_slots WHERE slot_name = %s", (f"crossfade_{name}",)) or 0


def some_were_streamed(s):
    wait_until(lambda: streamed_transactions(s.source_server, s.name) > 0, 30, "the server says that it streamed")


def verify(pipeline):
    done = pipeline.run("journal", "verify")
    assert done.returncode == 0, done.stdout + done.stderr


# -- the same journal

SESSIONS = 6
SHOP = "; ".join([T, "CREATE TABLE bag (a int, b text); ALTER TABLE bag REPLICA IDENTITY FULL", "CREATE TABLE first (id int PRIMARY KEY)"] +
                 [f"CREATE TABLE own_{i} (id int PRIMARY KEY, v text, n int)" for i in range(SESSIONS)])


class Session:
    """One transaction after the other, with savepoints, in steps: many of these are interleaved."""

    def __init__(self, url, number, rng):
        self.connection, self.number, self.rng = psycopg.connect(url, autocommit=True), number, rng
        self.depth, self.open, self.next_id = 0, False, number * 1_000_000

    def do(self, statement):
        self.connection.execute(statement)

    def step(self):
        if not self.open:
            self.do("BEGIN")
            self.open, self.depth = True, 0
            return
        self.rng.choice([self.insert, self.insert, self.insert, self.change, self.change, self.save, self.save, self.back, self.back,
                         self.release, self.define, self.truncate, self.end])()

    def insert(self):
        rows, first = self.rng.choice([1, 30, 600]), self.next_id
        self.next_id += rows
        self.do(f"INSERT INTO t SELECT i, repeat(md5(i::text), 5) FROM generate_series({first}, {first + rows - 1}) i")
        self.do(f"INSERT INTO own_{self.number} SELECT i, repeat(md5(i::text), 3), i FROM generate_series({first}, {first + rows - 1}) i")

    def change(self):
        low = self.number * 1_000_000 + self.rng.randrange(max(1, self.next_id - self.number * 1_000_000))
        self.do(self.rng.choice([f"UPDATE t SET v = v || '!' WHERE id BETWEEN {low} AND {low + 200}",
                                 f"DELETE FROM t WHERE id BETWEEN {low} AND {low + 20}",
                                 f"UPDATE t SET id = id + 500000 WHERE id = {low} AND NOT EXISTS (SELECT 1 FROM t WHERE id = {low + 500000})",
                                 f"INSERT INTO bag SELECT {self.number}, 'b' FROM generate_series(1, 50)",
                                 f"UPDATE bag SET b = b || 'x' WHERE a = {self.number} AND length(b) < 9"]))

    def save(self):
        self.depth += 1
        self.do(f"SAVEPOINT s{self.depth}")

    def back(self):
        if self.depth > 0:
            self.depth = self.rng.randint(1, self.depth)
            self.do(f"ROLLBACK TO SAVEPOINT s{self.depth}")

    def release(self):
        if self.depth > 0:
            self.do(f"RELEASE SAVEPOINT s{self.depth}")
            self.depth -= 1

    def define(self):
        """Another shape of a table, taken back with its subtransaction."""
        table, depth = f"own_{self.number}", self.depth
        self.save()
        self.do(f"ALTER TABLE {table} ADD COLUMN extra int DEFAULT 7")
        self.do(f"ALTER TABLE {table} ALTER n TYPE bigint")
        self.insert()
        self.do(f"UPDATE {table} SET extra = 8 WHERE id % 7 = 0")
        self.do(f"ROLLBACK TO SAVEPOINT s{self.depth}")
        self.depth = depth
        self.insert()

    def truncate(self):
        if self.rng.random() < 0.2:
            self.save()
            self.do(f"TRUNCATE own_{self.number}")
            self.insert()
            if self.rng.random() < 0.5:
                self.do(f"ROLLBACK TO SAVEPOINT s{self.depth}")

    def end(self):
        if self.rng.random() < 0.6:
            self.do(self.rng.choice(["COMMIT", "COMMIT", "COMMIT", "ROLLBACK"]))
            self.open = False

    def close(self):
        if self.open:
            self.do("COMMIT")
        self.connection.close()


def canonical(pipeline):
    """All that a journal says, without what is the pipeline's own: its name, and when it read."""
    prefix, (topics, fences) = pipeline.settings["journal"]["topic_prefix"], read_cat(pipeline)
    found = {}
    for topic, records in topics.items():
        lines = found[topic.removeprefix(prefix)] = []
        for r in records:
            value = r.value
            if value is not None:
                value = {**value, "source": {k: v for k, v in value["source"].items() if k != "name"}}
                for key in [k for k in value if k.startswith("ts_")]:
                    del value[key]
            lines.append(json.dumps([r.key, value, sorted(r.headers)], sort_keys=True))
    return found, sum(f["transactions"] for f in fences)


def test_the_same_journal_with_and_without(servers):
    """Interleaved transactions with savepoints, what is rolled back, and shapes of tables that never came to be."""
    folder, source, target = servers
    rng = random.Random(seed())
    with contextlib.ExitStack() as stack:
        s = stack.enter_context(scenario(folder, source, target, SHOP, target_schema=SHOP, more={"capture": {"max_memory": "4MiB", "heartbeat_interval_ms": 60000}}))
        whole = stack.enter_context(Pipeline(folder, s.source_url, s.target_url, name=s.name + "_whole", tables=["public.*"],
                                             more={"capture": {"streaming": "off", "heartbeat_interval_ms": 60000}}))
        s.start()
        whole.capture.start()
        whole.capture.wait_for(lambda status: status["phase"] == "streaming", 60, "streams")
        s.source("INSERT INTO first VALUES (1)")  # names its predecessor, which each pipeline has seen or not
        sessions = [Session(s.source_url, i, rng) for i in range(SESSIONS)]
        for _ in range(count(400, 5000)):
            rng.choice(sessions).step()
        for session in sessions:
            session.close()
        s.assert_equal(120)
        some_were_streamed(s)
        assert streamed_transactions(source, whole.name) == 0
        nonce = uuid.uuid4().hex
        with psycopg.connect(s.source_url, autocommit=True) as connection:
            connection.execute("INSERT INTO crossfade.marker (pipeline, nonce, kind) VALUES (%s, %s, 'ping')", (whole.name, nonce))
        whole.capture.wait_lsn("journaled_lsn", source.lsn(), 120)
        s.wait()
        (ours, transactions), (theirs, expected) = canonical(s.pipeline), canonical(whole)
        assert ours.keys() == theirs.keys()
        for topic, lines in ours.items():
            if topic == ".public.first":
                continue
            for mine, other in zip(lines, theirs[topic]):
                assert mine == other, topic
            assert len(lines) == len(theirs[topic]), topic
        assert_journal(*read_cat(s.pipeline), s.source_url, s.name)
        verify(s.pipeline)
        assert abs(transactions - expected) <= 4  # each pipeline's markers are transactions of its own making


# -- memory

def peak_kib(role, field="VmHWM"):
    with open(f"/proc/{role.pid}/status", encoding="utf-8") as f:
        return int(re.search(rf"^{field}:\s+(\d+) kB", f.read(), re.M).group(1))


def spill_files(role, folder):
    """The spill files that the process has open; they have no name any more."""
    found = []
    for path in glob.glob(f"/proc/{role.pid}/fd/*"):
        with contextlib.suppress(OSError):
            if "crossfade-spill-" in os.readlink(path) and str(folder) in os.readlink(path):
                found.append(path)
    return found


def test_memory_is_bounded(servers):
    """More rows than fit: in files while it runs, unreadable there; nothing of it is seen before it is committed."""
    rows, (folder, source, target) = count(200_000, 5_000_000), servers
    spill = os.path.join(folder, "spill-memory")
    os.mkdir(spill)
    with scenario(folder, source, target, T, target_schema=T, more={"capture": {"spill_dir": spill, **({} if rows > 1_000_000 else {"max_memory": "8MiB"})}}) as s:
        s.start()
        with psycopg.connect(s.source_url) as connection:
            connection.execute(f"INSERT INTO t SELECT i, 'plainly readable ' || md5(i::text) FROM generate_series(1, {rows}) i")
            wait_until(lambda: spill_files(s.capture, spill), 120, "capture spills")
            assert s.target("SELECT count(*) FROM t") == [(0,)]
            for path in spill_files(s.capture, spill):
                with open(path, "rb") as f:
                    data = f.read(1 << 22)
                assert len(data) > 10_000 and b"readable" not in data
            connection.commit()
        s.assert_equal(1200)
        assert s.target("SELECT count(*) FROM t") == [(rows,)]
        wait_until(lambda: not spill_files(s.capture, spill), 10, "the files are gone")
        assert os.listdir(spill) == []
        assert peak_kib(s.capture) < 256 * 1024
        some_were_streamed(s)


def test_what_is_rolled_back_gives_its_space_back(servers):
    """A transaction that takes back most of what it does, over and over: neither memory nor files grow with it."""
    folder, source, target = servers
    spill = os.path.join(folder, "spill-back")
    os.mkdir(spill)
    with scenario(folder, source, target, T, target_schema=T, more={"capture": {"spill_dir": spill, "max_memory": "4MiB"}}) as s:
        s.start()
        with psycopg.connect(s.source_url) as connection:
            for i in range(count(12, 100)):
                connection.execute("SAVEPOINT a")
                connection.execute(f"INSERT INTO t SELECT i, repeat('x', 500) FROM generate_series({i}00000, {i}00000 + 20000) i")
                connection.execute("ROLLBACK TO SAVEPOINT a")
                connection.execute(f"INSERT INTO t VALUES ({i}, 'stays')")
            # It comes to the end of what is rolled back so far.
            wait_until(lambda: source.value("SELECT stream_bytes FROM pg_stat_replication_slots WHERE slot_name = %s", (f"crossfade_{s.name}",)) > i * 5_000_000, 60, "streamed")
            assert all(os.stat(path).st_size < 60_000_000 for path in spill_files(s.capture, spill))
            connection.commit()
        s.assert_equal()
        assert s.target("SELECT count(*) FROM t") == [(i + 1,)]


# -- prepared transactions

def bulk(number, rows=4000):
    return f"INSERT INTO t SELECT i, repeat(md5(i::text), 10) FROM generate_series({number} * 10000 + 1, {number} * 10000 + {rows}) i"


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
@pytest.mark.parametrize("killed", ["before", "between", "behind", "around"])
def test_prepared_transactions(servers, killed, end):
    """Published at COMMIT PREPARED, whole, whenever capture is killed."""
    with scenario(*servers, T, target_schema=T) as s:
        def kill(*when):
            if killed in when:
                s.capture.kill9()

        def revive():
            if not s.capture.running:
                s.capture.start()
        s.start()
        with psycopg.connect(s.source_url, autocommit=True) as connection:
            connection.execute("BEGIN")
            connection.execute(bulk(1))
            connection.execute("SAVEPOINT a")
            connection.execute(bulk(2))
            connection.execute("ROLLBACK TO SAVEPOINT a")
            connection.execute(bulk(3))
            if killed == "before":
                some_were_streamed(s)
            kill("before", "around")
            connection.execute(f"PREPARE TRANSACTION '{s.name}'")
        revive()
        s.source("INSERT INTO t VALUES (1, 'between')")
        s.wait()
        assert s.target("SELECT count(*) FROM t") == [(1,)]
        kill("between", "around")
        s.admin(f"{end} PREPARED '{s.name}'")
        kill("behind")
        revive()
        s.source("INSERT INTO t VALUES (2, 'behind')")
        s.assert_equal()
        assert s.target("SELECT count(*) FROM t") == [(2 + (8000 if end == "COMMIT" else 0),)]
        verify(s.pipeline)


# -- bad days

@pytest.mark.parametrize("how", ["kill", "stop", "connection"])
def test_cut_off_in_the_middle(servers, how):
    """Several streams under way, one committed while nobody listens: all comes again, once."""
    folder, source, target = servers
    with scenario(folder, source, target, T, target_schema=T, more={"capture": {"max_memory": "4MiB"}}) as s, contextlib.ExitStack() as stack:
        s.start()
        running = [stack.enter_context(psycopg.connect(s.source_url)) for _ in range(4)]
        for turn in range(3):
            for i, connection in enumerate(running):
                connection.execute(bulk(10 + turn * 10 + i))
            some_were_streamed(s)
            if how == "connection":
                s.admin("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name LIKE '%" + s.name + "'")
                running[turn].commit()
            else:
                assert how != "stop" or s.capture.terminate() == 0
                if how == "kill":
                    s.capture.kill9()
                running[turn].commit()
                s.capture.start()
            s.source(f"INSERT INTO t VALUES ({turn + 1}, 'beside')")
            s.wait()
            assert s.target("SELECT count(*) FROM t WHERE id < 100") == [(turn + 1,)]
        running[3].rollback()
        s.assert_equal()
        assert s.target("SELECT count(*) FROM t") == [(4000 * (1 + 2 + 3) + 3,)]
        assert_journal(*read_cat(s.pipeline), s.source_url, s.name)
        verify(s.pipeline)


def test_stopped_while_it_is_published(servers):
    """A stop does not wait for the end of a large transaction, and what was given of it is nobody's."""
    with scenario(*servers, T, target_schema=T, more={"capture": {"max_memory": "4MiB"}}) as s:
        s.start()
        s.source(f"INSERT INTO t SELECT i, repeat('x', 300) FROM generate_series(1, {count(60_000, 600_000)}) i")
        wait_until(lambda: s.capture.status()["received_lsn"] != "0/0" and streamed_transactions(s.source_server, s.name) > 0, 60, "it comes")
        assert s.capture.terminate() == 0
        s.capture.start()
        s.assert_equal(300)
        verify(s.pipeline)


def test_a_torn_spill_file(servers):
    """What comes back from the disk is not what was written: capture says so and ends; started again, it has everything."""
    folder, source, target = servers
    spill = os.path.join(folder, "spill-torn")
    os.mkdir(spill)
    with scenario(folder, source, target, T, target_schema=T, more={"capture": {"spill_dir": spill, "max_memory": "4MiB"}}) as s:
        s.start()
        with psycopg.connect(s.source_url) as connection:
            connection.execute("INSERT INTO t SELECT i, repeat(md5(i::text), 10) FROM generate_series(1, 40000) i")
            wait_until(lambda: any(os.stat(p).st_size > 4_000_000 for p in spill_files(s.capture, spill)), 60, "capture spills")
            with open(spill_files(s.capture, spill)[0], "r+b") as f:
                f.seek(1_000_000)
                f.write(b"not what was written")
            connection.commit()
        assert s.capture.wait(60) != 0
        assert "damaged" in s.capture.log_text() and "capture.spill_dir" in s.capture.log_text()
        assert s.target("SELECT count(*) FROM t") == [(0,)]
        s.capture.start()
        s.assert_equal()
        verify(s.pipeline)


def test_full_disk(servers):
    """No room for the spill: said so, other tables' changes behind it wait, nothing is lost; with room it goes on by itself."""
    folder, source, target = servers
    path = os.path.join(folder, "spill-full")
    os.mkdir(path)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", path], check=True)
    try:
        with scenario(folder, source, target, T, target_schema=T, more={"capture": {"spill_dir": path, "max_memory": "4MiB"}}) as s:
            s.start()
            with psycopg.connect(s.source_url) as connection:
                connection.execute("INSERT INTO t SELECT i, repeat(md5(i::text), 20) FROM generate_series(1, 60000) i")
                s.capture.wait_for(lambda status: "capture.spill_dir" in (status.get("last_error") or ""), 60, "the spill is full")
                assert "No space left" in s.capture.status()["last_error"]
                subprocess.run(["mount", "-o", "remount,size=400m", path], check=True)
                connection.commit()
            s.assert_equal(120)
    finally:
        subprocess.run(["umount", "-l", path], check=True)


# -- beside a copy

def test_beside_a_copy(servers):
    """Transactions that began before the copy, and end in it or behind it; capture is killed in the middle."""
    folder, source, target = servers
    schema = T + "; CREATE TABLE rows (id int PRIMARY KEY, v text, n int DEFAULT 0); INSERT INTO rows SELECT i, repeat('y', 100) FROM generate_series(1, 30000) i"
    with scenario(folder, source, target, schema, more={"capture": {"max_memory": "4MiB", "snapshot_chunk_rows": 500, "max_rows_per_second": 15000}}) as s:
        halt = threading.Event()

        def work():
            with psycopg.connect(s.source_url, autocommit=True) as connection:
                for turn in range(10_000):
                    if halt.wait(0.05):
                        return
                    low = turn * 997 % 29000
                    connection.execute(f"BEGIN; UPDATE rows SET n = n + 1 WHERE id BETWEEN {low} AND {low + 900}; SAVEPOINT a; DELETE FROM rows WHERE id = {low}; {bulk(turn + 1, 900)}; "
                                       f"{'ROLLBACK TO SAVEPOINT a' if turn % 3 else 'RELEASE SAVEPOINT a'}; {'ROLLBACK' if turn % 5 == 4 else 'COMMIT'}")
        worker = threading.Thread(target=work)
        s.capture.start()
        s.apply.start()
        worker.start()
        try:
            s.capture.wait_for(lambda status: status["phase"] == "snapshot", 60, "copies")
            some_were_streamed(s)
            s.capture.kill9()
            s.capture.start()
            s.capture.wait_for(lambda status: status["complete"], 120, "the copy is complete")
        finally:
            halt.set()
            worker.join()
        s.wait_complete(120)
        s.assert_equal(120)
        verify(s.pipeline)
