"""latency-*: from the commit of a row to its record in the journal, read there, at 500 and 5,000 transactions a second.

Rows of a heartbeat table carry clock_timestamp(); what is measured ends when a reader that follows the journal has the record, so it
includes that reader (confluent_kafka, read_committed; `crossfade journal follow` for LMDB). Without transactions a record counts when the
fence that covers it is read, too. Heartbeats at the beginning are left out: ten seconds of them through Kafka.
"""

import contextlib
import json
import subprocess
import threading
import time

from rig.procs import find_crossfade

from .rigging import until

BEATS, WARM_UP, PAUSE_S = 540, {"kafka": 500, "lmdb": 60}, 0.02  # a broker that has run for seconds still compiles what it runs
BEAT = "CREATE TABLE beat (id int PRIMARY KEY, at_us bigint)"
INSERT = "INSERT INTO beat VALUES (%s, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)"


@contextlib.contextmanager
def traffic(bench, rate):
    """pgbench's simple updates at a rate, until the end."""
    process = subprocess.Popen(["pgbench", "--no-vacuum", "--builtin", "simple-update", "--client", "8", "--jobs", "1", "--rate", str(rate),
                                "--time", "600", bench.source.url("bench")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
        assert process.poll() is None, "pgbench has ended"
    finally:
        process.terminate()
        process.wait()


class KafkaReader:
    def __init__(self, bench, pipeline):
        from confluent_kafka import Consumer, TopicPartition
        self.consumer = Consumer({"bootstrap.servers": bench.kafka.bootstrap, "group.id": "latency", "enable.auto.commit": False,
                                  "isolation.level": "read_committed", "fetch.wait.max.ms": 100, "fetch.error.backoff.ms": 1})
        self.consumer.assign([TopicPartition(f"{pipeline.name}.public.beat", 0, 0)])

    def next(self):
        message = self.consumer.poll(30)
        assert message is not None and message.error() is None, message
        return message.value()

    def close(self):
        self.consumer.close()


class FencedReader(KafkaReader):
    """A record is given when its fence is there."""

    def __init__(self, bench, pipeline):
        from confluent_kafka import TopicPartition
        super().__init__(bench, pipeline)
        self.topic, self.fences = f"{pipeline.name}.public.beat", f"{pipeline.name}.fence"
        self.consumer.assign([TopicPartition(self.topic, 0, 0), TopicPartition(self.fences, 0, 0)])
        self.waiting, self.fenced = [], 0

    def next(self):
        while not self.waiting or self.waiting[0].offset() >= self.fenced:
            message = self.consumer.poll(30)
            assert message is not None and message.error() is None, message
            if message.topic() == self.topic:
                self.waiting.append(message)
            elif message.value() is not None:
                for found in json.loads(message.value())["positions"]:
                    if found["stream"] == self.topic:
                        self.fenced = max(self.fenced, found["next_offset"])
        return self.waiting.pop(0).value()


class FollowReader:
    def __init__(self, bench, pipeline):
        self.process = subprocess.Popen([find_crossfade(), "-c", pipeline.config, "journal", "follow", "public.beat"], stdout=subprocess.PIPE)

    def next(self):
        value = json.loads(self.process.stdout.readline())["value"]
        return json.dumps(value).encode() if value is not None else None

    def close(self):
        self.process.terminate()
        self.process.wait()


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))]


def read_beats(reader, found, count):
    while len(found) < count:
        value = reader.next()
        now_us = time.time() * 1e6
        after = json.loads(value).get("after") if value is not None else None
        if after is not None:
            found.append(now_us - after["at_us"])


def one(bench, journal, rate, delivery="transactions"):
    """p99 in ms."""
    beats = BEATS + WARM_UP[journal]
    bench.source.psql("-c", "DROP TABLE IF EXISTS beat", "-c", BEAT, "-c", "INSERT INTO beat VALUES (-1, 0)", db="bench")
    tables = ["beat", "pgbench_accounts", "pgbench_history"]
    bench.source.psql("-c", "ALTER TABLE pgbench_history REPLICA IDENTITY FULL", db="bench")
    with bench.pipeline(journal, None, table=tables, more={"journal": {"format": "json", "delivery": delivery}, "capture": {"snapshot": "never"}}) as p:
        p.capture.start()
        until(p.capture, lambda s: s.get("phase") == "streaming", what="streaming")
        bench.source.psql("-c", "INSERT INTO beat VALUES (-2, 0)", db="bench")
        until(p.capture, lambda s: s["changes"] >= 1, what="the first change")
        reader = (FollowReader if journal != "kafka" else KafkaReader if delivery == "transactions" else FencedReader)(bench, p)
        found = []
        thread = threading.Thread(target=read_beats, args=(reader, found, beats), daemon=True)
        try:
            with traffic(bench, rate), bench.source.connect("bench") as connection, bench.memory(p.capture), \
                    bench.cpu(f"latency {journal} at {rate}", **bench.pids(journal, capture=p.capture)):
                thread.start()
                for i in range(beats):
                    connection.execute(INSERT, (i,))
                    time.sleep(PAUSE_S)
                thread.join(60)
        finally:
            reader.close()
        assert len(found) >= beats - 1, f"{len(found)} of {beats} heartbeats were seen"
    ms = [us / 1000 for us in found[WARM_UP[journal]:]]
    result = tuple(percentile(ms, share) for share in (0.5, 0.95, 0.99))
    bench.say(f"latency {journal} ({delivery}) at {rate} tx/s: p50 {result[0]:.1f} ms, p95 {result[1]:.1f} ms, p99 {result[2]:.1f} ms")
    return result[2]


def lmdb_500(bench):
    return one(bench, "lmdb", 500)


def lmdb_5000(bench):
    return one(bench, "lmdb", 5000)


def kafka_500(bench):
    return one(bench, "kafka", 500)


def kafka_5000(bench):
    return one(bench, "kafka", 5000)


def kafka_idempotent_500(bench):
    return one(bench, "kafka", 500, "idempotent")
