"""Transactions, logical messages and heartbeats beside the changes: each exactly once and in order, whatever capture dies of."""

import base64
import json
import signal

import pytest

from rig import Kafka, Postgres, Workdir
from rig.journal import read_cat
from rig.scenario import scenario

SCHEMA = """CREATE TABLE a (id int PRIMARY KEY, v text); CREATE TABLE b (id int PRIMARY KEY, v text);
INSERT INTO a SELECT i, 'copied' FROM generate_series(1, 500) i"""
TOPICS = {"transaction_topic": True, "message_topic": True, "heartbeat_topic": True, "partitions": 3, "json_schemas": True}
POINTS = ["capture.fence_before", "capture.fence_appended", "capture.committed", "capture.feedback_before", None]


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("metadata") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


@pytest.fixture(name="kafka", scope="module")
def fixture_kafka(servers):
    with Kafka(servers[0]) as kafka:
        yield kafka


def load(s, number, said, counts):
    """Some transactions, and messages in them and between them; what must be there of it is added to `said` and `counts`."""
    for i in range(number * 100, number * 100 + 12):
        s.source(f"INSERT INTO a SELECT {1000 + i * 10} + n, 'v' FROM generate_series(1, 3) n; SELECT pg_logical_emit_message(true, 'in', 'in {i}');"
                 f"INSERT INTO b VALUES ({i}, 'b')", f"SELECT pg_logical_emit_message(false, 'out', 'out {i}')",
                 f"BEGIN; INSERT INTO b VALUES (-1, 'never'); SELECT pg_logical_emit_message(true, 'in', 'never'); ROLLBACK",
                 f"SELECT pg_logical_emit_message(true, 'alone', 'alone {i}')", f"UPDATE a SET id = -{i} - 1 WHERE id = {1000 + i * 10 + 1}")
        said += [f"in {i}", f"out {i}", f"alone {i}"]
        counts += [{"public.a": 3, "public.b": 1}, {}, {"public.a": 2}]


@pytest.mark.parametrize("where", ["lmdb-avro", "kafka-json"])
def test_exactly_once_whatever_capture_dies_of(servers, kafka, where):
    journal, journal_format = where.split("-")
    said, counts = [], []
    with scenario(*servers, SCHEMA, journal=kafka.url if journal == "kafka" else None, journal_format=journal_format,
                  name=f"m_{journal}", more={"journal": TOPICS, "capture": {"heartbeat_interval_ms": 100}}) as s:
        s.start()
        s.wait()
        for number, point in enumerate(POINTS):
            if point:
                s.capture.kill9()
                s.capture.start(failpoint=f"{point}:3:kill")
            load(s, number, said, counts)
            if point:
                s.capture.assert_exit(-signal.SIGKILL, 60)
                s.capture.start()
        s.assert_equal()
        lsn = s.source("SELECT pg_current_wal_insert_lsn()::text")[0][0]
        s.capture.wait_lsn("journaled_lsn", lsn)
        topics, fences = read_cat(s.pipeline)
        messages = [base64.b64decode(r.value["message"]["content"]).decode() for r in topics[f"{s.name}.message"]]
        assert messages == said
        ends = topics[f"{s.name}.transaction"]
        assert {r.partition for r in ends} == {0} and len({r.key["id"] for r in ends}) == len(counts)
        assert [r.value["status"] for r in ends] == ["BEGIN", "END"] * len(counts)
        assert [{c["data_collection"]: c["event_count"] for c in r.value["data_collections"]} for r in ends[1::2]] == counts
        rows = {r.value["transaction"]["id"] for t in ("a", "b") for r in topics[f"{s.name}.public.{t}"] if r.value and r.value["op"] == "c"}
        assert rows == {r.key["id"] for r in ends if r.value["event_count"]}, "the events carry the same ids"
        heartbeats = [r.value["ts_ms"] for r in topics[f"__debezium-heartbeat.{s.name}"]]
        assert len(heartbeats) > len(POINTS) and heartbeats == sorted(heartbeats)
        named = {p["stream"] for f in fences for p in f["positions"]}
        assert named == {f"{s.name}.public.a", f"{s.name}.public.b"}, "fences speak of rows alone"
        verified = s.pipeline.run("journal", "verify", "--json")
        assert verified.returncode == 0, verified.stdout
        json.loads(verified.stdout.splitlines()[-1])
