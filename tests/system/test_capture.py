"""Capture alone: what it writes into the journal, judged without apply: each change exactly once, whatever is killed."""

import json
import re
import time
import uuid

import psycopg
import pytest

from rig import Pipeline, Postgres, Workdir, wait_until
from rig.failpoints import failpoints
from rig.journal import assert_journal, events_of, read_cat
from rig.procs import lsn_value
from rig.scenario import drop_database

SCHEMA = """
CREATE TABLE t (id int PRIMARY KEY, v text, big text); ALTER TABLE t ALTER big SET STORAGE EXTERNAL;
CREATE TABLE two (a text, b int, v int, PRIMARY KEY (b, a));
CREATE TABLE bag (a int, b text); ALTER TABLE bag REPLICA IDENTITY FULL;
CREATE TABLE by_index (id int PRIMARY KEY, code text NOT NULL UNIQUE, v int); ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_code_key;
CREATE TABLE part (id int, at date, v text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM ('2025-01-01') TO ('2025-02-01');
CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM ('2025-02-01') TO ('2025-03-01');
CREATE TABLE gone (id int PRIMARY KEY);
INSERT INTO t SELECT i, 'row ' || i, repeat(md5(i::text), 100) FROM generate_series(1, 3000) i;
INSERT INTO two SELECT 'k' || i, i, i FROM generate_series(1, 500) i;
INSERT INTO bag SELECT i % 10, 'b' FROM generate_series(1, 200) i;
INSERT INTO by_index SELECT i, 'c' || i, i FROM generate_series(1, 200) i;
INSERT INTO part SELECT i, date '2025-01-01' + i % 50, 'p' FROM generate_series(1, 500) i;
INSERT INTO gone SELECT generate_series(1, 50)
"""

_number = iter(range(1, 1000))


class Capture:
    """One database with SCHEMA and a capture over LMDB."""

    def __init__(self, server, folder, **capture):
        self.server, self.name, self.round = server, f"cap{next(_number)}", 0
        self.url = server.create_db(self.name)
        self.sql(SCHEMA)
        settings = {"heartbeat_interval_ms": 200, "snapshot_chunk_rows": 500, **capture}
        self.pipeline = Pipeline(folder, self.url, self.url, name=self.name, tables=["public.*"], more={"capture": settings})
        self.role = self.pipeline.capture

    def __enter__(self):
        return self

    def __exit__(self, kind, *exc):
        self.pipeline.close()
        if self.server.process.running:
            drop_database(self.server, self.name)
        if kind is None:
            self.pipeline.assert_clean()

    def sql(self, *statements):
        with psycopg.connect(self.url, autocommit=True) as connection:
            return [connection.execute(s) for s in statements]

    def lsn(self):
        return self.server.value("SELECT pg_current_wal_insert_lsn()::text")

    def marker(self, kind, nonce, cut=None, deadline_ms=20000):
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("INSERT INTO crossfade.marker (pipeline, nonce, kind, cut_lsn, deadline_ms) VALUES (%s, %s, %s, %s::pg_lsn, %s)",
                               (self.name, nonce, kind, cut, deadline_ms))

    def wait(self, timeout=60):
        """Everything committed by now is durable in the journal."""
        lsn = self.lsn()
        self.role.wait_for(lambda s: s["complete"], timeout, "the copy is complete")
        self.marker("ping", uuid.uuid4().hex)
        self.role.wait_lsn("journaled_lsn", lsn, timeout)

    def streaming(self):
        self.role.wait_for(lambda s: s["phase"] == "streaming", 60, "streams")

    def change(self):
        """Every kind of change, a little different each time."""
        self.round += 1
        n = self.round * 10000
        self.sql(f"INSERT INTO t SELECT i, 'new', repeat('x', 5000) FROM generate_series({n}, {n + 20}) i",
                 f"UPDATE t SET v = v || '!' WHERE id % 97 = {self.round % 97}",
                 f"BEGIN; UPDATE t SET id = id + 5000 WHERE id = {n + 1}; UPDATE t SET id = id + 1 WHERE id = {n + 5001}; COMMIT",
                 f"DELETE FROM t WHERE id = {n + 2}; INSERT INTO t VALUES ({n + 2}, 'again', NULL)",
                 f"UPDATE two SET a = a || 'x' WHERE b = {self.round}; DELETE FROM two WHERE b = {self.round + 100}",
                 f"INSERT INTO bag VALUES ({self.round}, 'n'), ({self.round}, 'n'); UPDATE bag SET b = 'u' WHERE a = {self.round}; DELETE FROM bag WHERE a = {self.round + 1}",
                 f"UPDATE by_index SET v = -v WHERE id = {self.round}; UPDATE by_index SET code = 'x' || code WHERE id = {self.round + 50}; DELETE FROM by_index WHERE id = {self.round + 100}",
                 f"UPDATE part SET at = at + 20 WHERE id = {self.round}; DELETE FROM part WHERE id = {self.round + 30}",
                 f"TRUNCATE gone; INSERT INTO gone SELECT generate_series(1, {self.round})")

    def bulk(self):
        """One transaction that is larger than several batches."""
        self.round += 1
        n = 1_000_000 + self.round * 100_000
        self.sql(f"INSERT INTO t SELECT i, 'bulk', repeat(md5(i::text), 40) FROM generate_series({n}, {n + 8000}) i")

    def fences(self):
        done = self.pipeline.run("journal", "cat", self.name + ".fence")
        assert done.returncode == 0, done.stderr
        return [json.loads(line)["value"] for line in done.stdout.splitlines()]

    def check(self):
        assert_journal(*read_cat(self.pipeline), self.url, self.name)


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("capture") as folder, Postgres(folder, "source", settings={"logical_decoding_work_mem": "64kB"}) as server:
        yield folder, server


def test_copy_stream_restart(servers):
    folder, server = servers
    with Capture(server, folder) as c:
        c.role.start()
        c.streaming()
        c.check()
        for _ in range(3):
            c.change()
            c.wait()
            assert c.role.terminate() == 0
            c.change()
            c.role.start()
        c.change()
        c.bulk()
        c.wait()
        c.check()
        fences = c.fences()
        assert [f["kind"] for f in fences if not f["complete"]][0] == "snapshot_begin"
        assert {f["attempt"] for f in fences} == {1}
        assert any(f["full"] for f in fences)


POINTS = sorted(p for p in failpoints("capture") if not p.startswith(("capture.ddl_", "capture.accept_", "capture.direct_", "capture.txn_held", "capture.way_back")))  # these: test_schema_changes.py, test_direct_load.py, test_maria_source.py, test_reverse_mariadb.py


@pytest.mark.parametrize("action", ["kill", "error"])
@pytest.mark.parametrize("point", POINTS)
def test_each_failpoint(servers, point, action):
    """Killed (or failed, and then it goes on by itself) at every named point: nothing is lost, nothing comes twice."""
    folder, server = servers
    with Capture(server, folder, max_memory="4MiB") as c:
        copying = any(word in point for word in ("slot", "snapshot"))
        if not copying:
            c.role.start()
            c.streaming()
            c.change()
            c.wait()
            assert c.role.terminate() == 0
        nth = 3 if point in ("capture.fence_before", "capture.fence_appended", "capture.committed", "capture.feedback_before") and not copying else 1
        c.role.start(failpoint=f"{point}:{nth}:{action}")

        def passed():
            if action == "error":
                return f"failpoint {point}" in c.role.log_text()
            return not c.role.running
        if not copying:
            c.role.wait_for(lambda s: True, 30)
            hold, wrote = uuid.uuid4().hex, 0
            c.marker("hold", hold, deadline_ms=3000)
            cut = c.lsn()
            c.change()
            c.bulk()
            c.marker("cut", hold, cut)

            def provoked():
                nonlocal wrote
                if not passed() and wrote < 20:
                    wrote += 1
                    c.change()
                return passed()
            wait_until(provoked, 60, f"{point} is passed", interval=0.2)
        else:
            wait_until(passed, 60, f"{point} is passed")
        if action == "kill":
            assert c.role.wait() == -9
            c.change()
            c.role.start()
        c.change()
        c.wait()
        c.check()
        if not copying:
            compared = [f for f in c.fences() if (f.get("marker") or {}).get("nonce") == hold]
            assert len(compared) == 1, compared
            if compared[0]["marker"]["kind"] == "compare":
                assert compared[0]["lsn"] == cut


def marked(fences, nonce):
    return [(i, f) for i, f in enumerate(fences) if (f.get("marker") or {}).get("nonce") == nonce]


HOLD_MS = 120000  # more than a busy machine needs between hold and cut


@pytest.mark.parametrize("memory", ["64MiB", "4MiB"])
def test_a_cut_gets_its_exact_fence(servers, memory):
    """Between the hold and the cut no fence is written; the fence is exactly at the cut, with what committed before it."""
    folder, server = servers
    with Capture(server, folder, max_memory=memory) as c:
        c.role.start()
        c.streaming()
        c.change()
        for _ in range(2):
            nonce = uuid.uuid4().hex
            c.marker("hold", nonce, deadline_ms=HOLD_MS)
            c.role.wait_for(lambda s: s["phase"] == "holding", 20, "holds")
            held = c.lsn()
            c.change()
            c.bulk()
            # A transaction that begins before the cut and commits behind it belongs behind it.
            with psycopg.connect(c.url) as over:
                over.execute("UPDATE t SET v = 'over the cut' WHERE id = 77")
                cut = c.lsn()
                over.commit()
            c.change()
            time.sleep(0.3)  # time enough to write a fence, were it not held back
            cut_at_us = time.time_ns() // 1000
            c.marker("cut", nonce, cut, HOLD_MS)
            c.wait()
            (at, fence), = marked(c.fences(), nonce)
            assert fence["marker"]["kind"] == "compare" and fence["lsn"] == cut and fence["marker"]["deadline_ms"] == HOLD_MS
            early = [f for f in c.fences() if lsn_value(f["lsn"]) > lsn_value(held) and f["written_us"] < cut_at_us]
            assert early == [] and lsn_value(c.fences()[at - 1]["lsn"]) < lsn_value(cut)
        c.check()
        topics, fences = read_cat(c.pipeline)
        check_fence_meaning(topics, fences)


def check_fence_meaning(topics, fences):
    """Each record lies below the first fence whose lsn is behind its commit, and above all others."""
    spans = {}
    for fence in fences:
        for r in fence["positions"]:
            for offset in range(r["first_offset"], r["next_offset"]):
                spans[r["stream"], r["partition"], offset] = fence
    _, stream, _, _ = events_of(topics, fences)
    before = {f["id"]: lsn_value(fences[i - 1]["lsn"]) if i else 0 for i, f in enumerate(fences)}
    for event in stream:
        fence = spans[event.topic, event.partition, event.offset]
        commit = int(event.txid.split(":")[1])
        assert before[fence["id"]] <= commit < lsn_value(fence["lsn"]), (event, fence)


def test_a_hold_lapses_by_itself(servers):
    """Nobody writes, nobody cuts: heartbeats let the hold go after its deadline; a late cut is refused, once."""
    folder, server = servers
    with Capture(server, folder) as c:
        c.role.start()
        c.streaming()
        nonce = uuid.uuid4().hex
        c.marker("hold", nonce, deadline_ms=1500)
        c.role.wait_for(lambda s: s["phase"] == "holding", 20, "holds")
        c.change()
        lsn = c.lsn()
        c.role.wait_lsn("journaled_lsn", lsn, 20)
        c.marker("cut", nonce, lsn)
        c.wait()
        (_, fence), = marked(c.fences(), nonce)
        assert fence["marker"]["kind"] == "refused"
        c.marker("cut", "never-held", lsn)
        c.wait()
        (_, fence), = marked(c.fences(), "never-held")
        assert fence["marker"]["kind"] == "refused"
        c.check()


def test_restart_during_a_hold(servers):
    folder, server = servers
    with Capture(server, folder) as c:
        c.role.start()
        c.streaming()
        c.change()
        nonce = uuid.uuid4().hex
        c.marker("hold", nonce)
        c.role.wait_for(lambda s: s["phase"] == "holding", 20, "holds")
        c.change()
        cut = c.lsn()
        c.role.kill9()
        c.role.start()
        c.role.wait_for(lambda s: s["phase"] == "holding", 20, "holds again")
        assert c.role.terminate() == 0  # an orderly stop does not wait for the cut
        c.role.start()
        c.change()
        c.marker("cut", nonce, cut)
        c.wait()
        c.role.kill9()
        c.role.start()
        c.change()
        c.wait()
        (_, fence), = marked(c.fences(), nonce)
        assert fence["marker"]["kind"] == "compare" and fence["lsn"] == cut
        c.check()


def test_final_and_ping_markers(servers):
    folder, server = servers
    with Capture(server, folder) as c:
        c.role.start()
        c.streaming()
        for kind in ("ping", "final"):
            nonce = uuid.uuid4().hex
            c.change()
            before = c.lsn()
            c.marker(kind, nonce)
            after = c.lsn()
            c.wait()
            (_, fence), = marked(c.fences(), nonce)
            assert fence["marker"]["kind"] == kind
            assert lsn_value(before) < lsn_value(fence["lsn"]) <= lsn_value(after)


def test_an_idle_pipeline_lets_go_of_wal(servers):
    """Only another database writes: the slot still moves on, and never beyond the last fence."""
    folder, server = servers
    with Capture(server, folder, heartbeat_interval_ms=60000) as c:
        c.role.start()
        c.streaming()
        other = server.create_db(c.name + "_other")
        with psycopg.connect(other, autocommit=True) as connection:
            connection.execute("CREATE TABLE noise AS SELECT i, repeat('x', 500) FROM generate_series(1, 5000) i")
        lsn = c.lsn()
        wait_until(lambda: server.value("SELECT confirmed_flush_lsn >= %s::pg_lsn FROM pg_replication_slots WHERE slot_name = %s",
                                        (lsn, "crossfade_" + c.name)), 30, "the slot has passed the other database's WAL")
        confirmed = server.value("SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = %s", ("crossfade_" + c.name,))
        assert lsn_value(c.fences()[-1]["lsn"]) >= lsn_value(confirmed)
        drop_database(server, c.name + "_other")


def test_the_source_restarts(servers):
    folder, server = servers
    with Capture(server, folder) as c:
        c.role.start()
        c.streaming()
        for end in (server.kill9, server.stop):
            c.change()
            end()
            c.role.wait_for(lambda s: s["phase"] == "retrying", 30, "retries") if c.role.status() else None
            server.start()
            c.change()
            c.wait()
        c.check()
        assert c.role.terminate() == 0


def test_nothing_is_confirmed_before_it_is_durable(servers):
    """Stopped in front of the journal's commit, under load: the slot stays where the last fence is."""
    folder, server = servers
    with Capture(server, folder) as c:
        c.role.start()
        c.streaming()
        c.wait()
        assert c.role.terminate() == 0
        c.role.start(failpoint="capture.fence_appended:2:stop")
        for _ in range(5):
            c.change()
        wait_until(lambda: "(stopped)" in state_of(c.role.pid), 30, "stops at the point")
        c.change()
        confirmed = server.value("SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = %s", ("crossfade_" + c.name,))
        c.role.child.kill()
        c.role.wait()
        assert lsn_value(confirmed) <= lsn_value(c.fences()[-1]["lsn"])
        c.role.start()
        c.wait()
        c.check()


def state_of(pid):
    with open(f"/proc/{pid}/status") as f:
        return re.search(r"^State:\s*(.*)$", f.read(), re.M).group(1)


def test_schema_changes(servers):
    folder, server = servers
    with Capture(server, folder) as c:
        c.role.start()
        c.streaming()
        c.sql("ALTER TABLE two ADD COLUMN w text DEFAULT 'w'", "INSERT INTO two VALUES ('new', 1, 1, 'x')",
              "ALTER TABLE two DROP COLUMN v", "UPDATE two SET w = 'y' WHERE b < 10", "ALTER TABLE two RENAME COLUMN w TO ww",
              "INSERT INTO two VALUES ('newer', 1, 'x')", "ALTER TABLE t ALTER v SET NOT NULL", "UPDATE t SET v = 'z' WHERE id = 3",
              "ALTER TABLE t ALTER v DROP NOT NULL", "UPDATE t SET v = NULL WHERE id = 4")
        # Written while nobody listens, read when the catalog has moved on: a NULL in what is NOT NULL by then.
        c.wait()
        c.role.terminate()
        c.sql("UPDATE t SET v = NULL WHERE id = 5", "UPDATE t SET v = '' WHERE v IS NULL", "ALTER TABLE t ALTER v SET NOT NULL",
              "INSERT INTO gone VALUES (1000)", "DROP TABLE gone")
        c.role.start()
        c.wait()
        topics, fences = read_cat(c.pipeline)
        _, stream, _, _ = events_of(topics, fences)
        nulls = [e for e in stream if e.topic.endswith(".t") and e.key == {"id": 5}]
        assert [e.after["v"] for e in nulls] == [None, ""]
        assert any(e.topic.endswith(".gone") and e.after == {"id": 1000} for e in stream)
        assert [e.after for e in stream if e.topic.endswith(".two") and e.key == {"b": 1, "a": "newer"}] == [{"a": "newer", "b": 1, "ww": "x"}]


def test_what_needs_a_person(servers):
    folder, server = servers
    with Capture(server, folder) as c:
        c.role.start()
        c.streaming()
        c.change()
        c.wait()
        assert c.role.terminate() == 0
        # Somebody else has read from the slot.
        c.change()
        server.sql("SELECT pg_replication_slot_advance(%s, pg_current_wal_lsn())", ("crossfade_" + c.name,), db=c.name)
        c.role.start()
        c.role.assert_exit(5)
        assert "ahead of the journal" in c.role.log_tail(5)
        # It is gone altogether.
        server.sql("SELECT pg_drop_replication_slot(%s)", ("crossfade_" + c.name,))
        c.role.start()
        c.role.assert_exit(5)
        assert "is gone" in c.role.log_tail(5)


def test_another_source_or_pipeline_is_refused(servers):
    folder, server = servers
    with Capture(server, folder) as c, Postgres(folder, "other") as other:
        c.role.start()
        c.streaming()
        assert c.role.terminate() == 0
        url = c.pipeline.settings["source"]["url"]
        c.pipeline.settings["source"]["url"] = other.create_db(c.name)
        c.pipeline.write()
        c.role.start()
        c.role.assert_exit(5)
        assert "system identifier" in c.role.log_tail(5)
        c.pipeline.settings["source"]["url"] = url
        c.pipeline.write()
        c.role.start()
        c.wait()
        c.check()


def test_a_restored_source_that_was_written_to_since(servers):
    """The same system identifier and timeline, a position beyond the last fence: only its history tells."""
    folder, _ = servers
    with Postgres(folder, "restored") as server, Capture(server, folder) as c:
        c.role.start()
        c.streaming()
        c.change()
        c.wait()
        assert c.role.terminate() == 0
        server.stop()
        backup = server.copy_data(server.backup_path("backup"))
        server.start()
        c.role.start()
        c.sql("INSERT INTO t VALUES (-1, 'lost by the restore')")
        c.wait()
        assert c.role.terminate() == 0
        fence = c.fences()[-1]["lsn"]
        server.stop()
        server.restore(backup)
        server.start()
        while lsn_value(c.lsn()) <= lsn_value(fence):
            c.sql("INSERT INTO t SELECT -10 - count(*), repeat('x', 1000) FROM t")
        confirmed = server.value("SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = %s", ("crossfade_" + c.name,))
        for _ in range(2):  # it does not get by at the second try either
            c.role.start()
            c.role.assert_exit(5)
            assert "not the one that the journal holds" in c.role.log_tail(5)
        assert confirmed == server.value("SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = %s", ("crossfade_" + c.name,))


def test_slot_in_use(servers):
    """Another capture of the same pipeline with a journal of its own: the second says who is there, and gives up."""
    folder, server = servers
    with Capture(server, folder) as c:
        c.role.start()
        c.streaming()
        twin = Pipeline(folder, c.url, c.url, journal=f"lmdb:{folder}/{c.name}-twin", name=c.name, tables=["public.*"])
        twin.capture.log += ".twin"
        twin.capture.start()
        twin.capture.wait_log("is in use by server process", 20)
        pid = server.value("SELECT active_pid FROM pg_replication_slots WHERE slot_name = %s", ("crossfade_" + c.name,))
        assert f"server process {pid}" in twin.capture.log_text()
        twin.capture.assert_exit(4, 60)
        c.change()
        c.wait()
        c.pipeline.write()
        c.check()
