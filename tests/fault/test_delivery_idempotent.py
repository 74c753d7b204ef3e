"""journal.delivery: idempotent: a capture that stood still lives on beside the next one; DDL and copies that are killed; switching to and fro."""

import json
import os
import signal

import pytest

from rig import Kafka, Postgres, Workdir, free_port, wait_until
from rig.journal import assert_journal, read_kafka_by_fences
from rig.procs import Role, halts
from rig.scenario import count, scenario

# bag has no key: whatever is applied twice there is a row too many.
TABLES = ("CREATE TABLE t (id int PRIMARY KEY, v text, n int DEFAULT 0); CREATE TABLE bag (a int, b text); ALTER TABLE bag REPLICA IDENTITY FULL;"
          "INSERT INTO t SELECT i, 'v' || i FROM generate_series(1, 500) i; INSERT INTO bag SELECT i % 7, 'same' FROM generate_series(1, 300) i")
CHANGES = ("INSERT INTO t SELECT coalesce(max(id), 0) + 1, 'new' FROM t; UPDATE t SET n = n + 1 WHERE id % 50 = {n} % 50; INSERT INTO bag VALUES ({n} % 7, 'same'), ({n} % 7, 'same');"
           "UPDATE bag SET b = 'other' WHERE ctid = (SELECT ctid FROM bag WHERE b = 'same' LIMIT 1); DELETE FROM bag WHERE ctid = (SELECT ctid FROM bag WHERE b = 'other' LIMIT 1)")
KILLED = -9


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("idempotent") as folder, Postgres(folder, "source", settings={"logical_decoding_work_mem": "64kB"}) as source, Postgres(folder, "target") as target, \
            Kafka(folder) as kafka:
        yield folder, source, target, kafka


def pipeline(servers, **more):
    folder, source, target, kafka = servers
    journal = {"delivery": "idempotent", "partitions": 2, **more.pop("journal_more", {})}
    return scenario(folder, source, target, TABLES, journal=kafka.url, journal_format="json", more={"journal": journal, "capture": {"max_memory": "4MiB"}, **more})


def traffic(s, first, rounds=15):
    for n in range(first, first + rounds):
        s.source(CHANGES.format(n=n))


def judge(s, kafka, replay=True):
    """Target, fences read by other software, and verify; returns verify's totals."""
    s.assert_equal(120)
    topics, fences, found = read_kafka_by_fences(kafka, s.name)
    if replay:
        assert_journal(topics, fences, s.source_url, s.name)
    done = s.pipeline.run("journal", "verify", "--json")
    assert done.returncode == 0, done.stdout[-3000:]
    totals = json.loads(done.stdout.splitlines()[-1])["totals"]
    print(f"stray: {found}, verify: {totals}")
    assert [totals["stray_records"], totals["stray_fences"]] == found
    return totals


def stopped(role):
    with open(f"/proc/{role.pid}/stat", encoding="utf-8") as f:
        return f.read().rpartition(")")[2].split()[0] == "T"


def another_capture(s, folder):
    """A second one of the same pipeline; only its port is its own."""
    port = free_port()
    settings = json.loads(json.dumps(s.pipeline.settings))
    settings["capture"]["listen"] = f"127.0.0.1:{port}"
    config = os.path.join(folder, f"{s.name}-second.yaml")
    with open(config, "w", encoding="utf-8") as f:
        json.dump(settings, f)
    return Role("capture", config, os.path.join(folder, f"{s.name}-second.log"), port=port)


def drop_walsender(s):
    slot = f"crossfade_{s.name}"
    s.source_server.sql("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = %s AND active", (slot,))
    wait_until(lambda: not s.source_server.value("SELECT active FROM pg_replication_slots WHERE slot_name = %s", (slot,)), 30, "the slot is free")


POINTS = ["capture.fence_appended", "capture.txn_part"]


@pytest.mark.parametrize("point", count(POINTS, [*POINTS, "capture.fence_before", "journal.kafka.commit"]))
def test_a_capture_that_stood_still_wakes_beside_the_next_one(servers, point):
    folder, kafka = servers[0], servers[3]
    with pipeline(servers) as s:
        s.start()
        s.assert_equal()
        assert s.capture.terminate() == 0
        traffic(s, 0, 3)
        if point == "capture.txn_part":
            s.source("INSERT INTO t SELECT i, repeat('x', 200) FROM generate_series(100000, 115000) i", "INSERT INTO bag SELECT i % 5, 'large' FROM generate_series(1, 3000) i")
        s.capture.start(failpoint=f"{point}:1:stop")
        wait_until(lambda: stopped(s.capture), 60, "the first capture stands still")
        drop_walsender(s)
        with another_capture(s, folder) as second:
            second.start()
            second.wait_for(lambda status: status.get("phase") == "streaming", 60, "streams")
            traffic(s, 10, 5)
            s.capture.signal(signal.SIGCONT)
            traffic(s, 20, 20)
            s.wait(120)
            assert second.running
            if not s.capture.running:  # it has met the second one's seal before it noticed that its connection was gone
                halts(s.capture, 5, "another capture of this pipeline has taken over")
            traffic(s, 40, 5)
            assert judge(s, kafka)["stray_fences"] <= 3, "the two fight for the journal"
            assert second.terminate() == 0
        traffic(s, 50, 5)  # the first one takes over again
        if not s.capture.running:
            s.capture.start()
        s.capture.wait_for(lambda status: status.get("phase") == "streaming", 60, "the first one streams")
        traffic(s, 60, 5)
        judge(s, kafka)


def test_delivery_is_switched_between_runs_that_are_killed(servers):
    kafka = servers[3]
    with pipeline(servers) as s:
        s.start()
        for turn, delivery in enumerate(["transactions", "idempotent", "transactions"] * count(1, 4)):
            traffic(s, 20 * turn, 5)
            assert s.capture.running
            s.capture.kill9()
            s.capture.start(failpoint="capture.fence_appended:3")
            for n in range(8):
                traffic(s, 20 * turn + 5 + n, 1)
            assert s.capture.wait(60) == KILLED
            s.pipeline.settings["journal"]["delivery"] = delivery
            s.pipeline.write()
            s.capture.start()
            traffic(s, 20 * turn + 15, 5)
            s.wait(120)
        judge(s, kafka)


def test_a_changed_table_whose_capture_is_killed(servers):
    kafka = servers[3]
    with pipeline(servers) as s:
        s.start()
        s.assert_equal()
        for turn in range(4):
            s.capture.terminate()
            s.target(f"ALTER TABLE t ADD COLUMN c{turn} int")
            s.source("UPDATE t SET n = n + 1 WHERE id < 20", f"ALTER TABLE t ADD COLUMN c{turn} int", f"UPDATE t SET n = n + 1, c{turn} = 7 WHERE id < 30")
            for nth in range(1, 4):
                s.capture.start(failpoint=f"capture.fence_{'before' if turn % 2 else 'appended'}:{nth}")
                traffic(s, turn, 2)
                s.capture.wait(60)
            s.capture.start()
            s.wait(120)
        judge(s, kafka, replay=False)  # rows of before lack the column


def test_copies_that_are_killed_double_no_row(servers):
    kafka = servers[3]
    with pipeline(servers) as s:
        for nth in range(1, 4):
            for point in ("capture.snapshot_part", "capture.fence_appended"):
                s.capture.start(failpoint=f"{point}:{nth}")
                wait_until(lambda: s.capture.exit_code is not None or (s.capture.status() or {}).get("complete"), 60, "killed, or copied")
                traffic(s, nth, 2)
                s.capture.kill9()
        s.start()
        s.source("INSERT INTO bag VALUES (1, 'after')")
        s.wait(60)
        assert judge(s, kafka)["stray_records"] > 0
