"""dbz-*: Debezium's PostgreSQL connector beside ours, in turn, from the same server into the same broker.

Debezium 3.1 in Kafka Connect's standalone worker 3.9 (Java 17): pgoutput, one task, one partition a topic as ours, topics made beforehand,
no transformations, JsonConverter with schemas or without. Two settings of it:

usual  max.batch.size 8192, max.queue.size 32768, Java's options as Kafka's scripts have them, all else as it comes; counted from the first record in its topics to the last one.
tuned  as far as it goes: 2 GB of heap from the start, max.batch.size 16384, max.queue.size 131072, poll.interval.ms 50,
       snapshot.fetch.size 20480; the producer's batch.size 512 kB, linger.ms 10, buffer.memory 128 MB, compression lz4 as ours; counted
       from the moment when a quarter of the records is there, so that Java's compilers are warm (dbz-*-tuned).

Ours is counted by the same rule beside each, and waits for the fence behind the last change as well. The ends of the topics are read 20 times
a second. --verbose tells both from the start of their processes, too. Ours: Avro, Kafka transactions, lz4. The backlog is one: both have
their slots before it is written.
"""

import contextlib
import glob
import os
import time

from rig.connect import Connect
from rig.procs import lsn_value
from rig.wait import wait_until

from .rigging import ACCOUNTS, cpu_s, delete_topics
from .stream import stopped_capture
from .workloads import PGBENCH

WORKER = {"offset.flush.interval.ms": 10000}
SETTINGS = {
    "usual": {"max.batch.size": 8192, "max.queue.size": 32768},
    "tuned": {"max.batch.size": 16384, "max.queue.size": 131072, "poll.interval.ms": 50, "snapshot.fetch.size": 20480,
              "producer.override.batch.size": 524288, "producer.override.linger.ms": 10, "producer.override.buffer.memory": 134217728,
              "producer.override.compression.type": "lz4"},
}
JVM = {"usual": ("-Xms256m", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent"),
       "tuned": ("-Xms2g",)}
SKIPPED = {"usual": 0, "tuned": 0.25}  # of the records, before the time is taken


def log_bytes(bench, topic):
    return sum(os.path.getsize(path) for path in glob.glob(os.path.join(bench.kafka.home, "**", f"{topic}-*", "*.log"), recursive=True))


class Ends:
    """How many records are in some topics of one partition."""

    def __init__(self, bench, topics):
        from confluent_kafka import Consumer
        self.topics = topics
        self.reader = Consumer({"bootstrap.servers": bench.kafka.bootstrap, "group.id": f"ends-{topics[0]}", "log_level": 3})

    def records(self):
        from confluent_kafka import KafkaException, TopicPartition
        ends = 0
        for topic in self.topics:
            with contextlib.suppress(KafkaException):  # a topic that is not there yet
                ends += self.reader.get_watermark_offsets(TopicPartition(topic, 0), timeout=30, cached=False)[1]
        return ends

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.reader.close()


def steady_rate(bench, who, pid, records, count, ended, skipped, timeout=1200):
    """Records a second from when this share of `count` is there (0: the first ones) until ended(records) holds, which is asked with each look."""
    began, begun_at, cpu = None, 0, 0.0
    start = time.monotonic()
    while True:
        now, there = time.monotonic(), records()
        if began is None and there >= max(1, count * skipped):
            began, begun_at, cpu = now, there, cpu_s(pid)
        if ended(there):
            break
        assert now - start < timeout, f"{who}: {there} records of {count} after {timeout} s"
        time.sleep(0.05)
    now = time.monotonic()
    assert began is not None and begun_at < count, f"{who}: {begun_at} of {count} at the first look"
    bench.cost(who, cpu_s(pid) - cpu, count - begun_at)
    bench.say(f"{who}: from its start {count / (now - start):,.0f} records/s, from record {begun_at:,} on {(count - begun_at) / (now - began):,.0f}")
    return (count - begun_at) / (now - began)


class Debezium:
    """One connector over some tables: its topics, publication and slot; all are gone when it is closed."""

    def __init__(self, bench, tables, snapshot, kind, schemas=False, **more):
        bench.count += 1
        self.bench, self.name, self.kind = bench, f"dbz{bench.count}", kind
        self.topics = [f"{self.name}.public.{table}" for table in tables]
        for topic in self.topics:
            bench.kafka.create_topic(topic)
        bench.source.psql("-c", f"CREATE PUBLICATION {self.name} FOR TABLE {', '.join(tables)}", db="bench")
        settings = {
            "connector.class": "io.debezium.connector.postgresql.PostgresConnector", "tasks.max": 1, "plugin.name": "pgoutput",
            "database.hostname": "127.0.0.1", "database.port": bench.source.port, "database.user": "postgres", "database.password": "x",
            "database.dbname": "bench", "topic.prefix": self.name, "slot.name": self.name, "publication.name": self.name,
            "publication.autocreate.mode": "disabled", "table.include.list": ",".join(f"public.{table}" for table in tables),
            "snapshot.mode": snapshot, **SETTINGS[kind], **more,
            **{f"{part}.converter": "org.apache.kafka.connect.json.JsonConverter" for part in ("key", "value")},
            **{f"{part}.converter.schemas.enable": str(schemas).lower() for part in ("key", "value")}}
        self.connect = Connect(bench.folder, bench.kafka, {self.name: settings}, name=f"connect-{self.name}", heap="2g", jvm=JVM[kind],
                               worker={**WORKER, "connector.client.config.override.policy": "All"})
        self.ends = Ends(bench, self.topics)

    def records(self):
        """How many are in its topics by now."""
        return self.ends.records()

    def fail_if_failed(self):
        assert self.connect.process.running, self.connect.process.log_tail()
        why = self.connect.failure(self.name)
        assert why is None, f"Debezium has failed\n{why}"

    def wait_records(self, count, timeout=120):
        def there():
            self.fail_if_failed()
            return self.records() >= count
        wait_until(there, timeout, f"{count} records of Debezium", interval=0.2)

    def rate(self, before, count):
        """Records a second until `count` more than before are there."""
        looked = [time.monotonic()]

        def ended(there):
            if time.monotonic() - looked[0] > 5:
                self.fail_if_failed()
                looked[0] = time.monotonic()
            assert there <= count, f"{there} records of Debezium, not {count}"
            return there == count
        return steady_rate(self.bench, "Debezium", self.connect.process.pid, lambda: self.records() - before, count, ended,
                           SKIPPED[self.kind])

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.connect.close()
        self.ends.reader.close()
        source, slot = self.bench.source, (self.name,)
        wait_until(lambda: not source.value("SELECT active FROM pg_replication_slots WHERE slot_name = %s", slot, db="bench"), 60,
                   "its slot is free")
        source.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s", slot, db="bench")
        source.psql("-c", f"DROP PUBLICATION IF EXISTS {self.name}", db="bench")
        delete_topics(self.bench.kafka, *self.topics)


# -- snapshots


def ours_rate(bench, p, kind, tables, count, complete):
    """Starts capture: records a second into the topics of these tables, until its status says complete."""
    with Ends(bench, [f"{p.name}.public.{table}" for table in tables]) as ends, bench.memory(p.capture):
        before = ends.records()
        p.capture.start()
        return steady_rate(bench, "capture", p.capture.pid, lambda: ends.records() - before, count,
                           lambda there: there >= count and complete(p.capture.status() or {}), SKIPPED[kind])


def snapshot(bench, kind, schemas):
    with bench.pipeline("kafka", None) as p:
        bench.source.psql("-c", "CHECKPOINT", db="bench")
        our_rate = ours_rate(bench, p, kind, PGBENCH.tables, int(ACCOUNTS), lambda status: status.get("complete"))
        assert p.capture.status()["snapshot"]["rows"] == int(ACCOUNTS)
    with Debezium(bench, PGBENCH.tables, "initial_only", kind, schemas) as dbz:
        dbz.connect.start()
        rate = dbz.rate(0, int(ACCOUNTS))
        size = log_bytes(bench, dbz.topics[0]) / int(ACCOUNTS)
    bench.say(f"snapshot, {kind}: {our_rate:,.0f} rows/s, Debezium {'with' if schemas else 'without'} schemas {rate:,.0f} ({size:.0f} bytes a row in the log)")
    return our_rate / rate


def snapshot_figure(kind, schemas):
    return lambda bench: snapshot(bench, kind, schemas)


# -- streaming


@contextlib.contextmanager
def stopped_debezium(bench, workload, kind, **more):
    """One that has streamed a change of each table, stopped with its slot and offsets in place; how many records that were."""
    with Debezium(bench, workload.tables, "no_data", kind, **more) as dbz:
        dbz.connect.start()
        wait_until(lambda: bench.source.value("SELECT active FROM pg_replication_slots WHERE slot_name = %s", (dbz.name,), db="bench"), 120,
                   "Debezium streams", interval=0.2)
        touched = workload.touch(bench)
        dbz.wait_records(touched)
        dbz.connect.process.terminate(60)
        yield dbz, dbz.records()


def stream(bench, kind, workload):
    workload.prepare(bench)
    with stopped_capture(bench, "kafka", workload) as p, stopped_debezium(bench, workload, kind) as (dbz, before):
        end_lsn = lsn_value(workload.make(bench))
        our_rate = ours_rate(bench, p, kind, workload.tables, workload.changes, lambda status: lsn_value(status.get("journaled_lsn") or "0/0") >= end_lsn)
        p.capture.terminate()
        dbz.connect.start()
        rate = dbz.rate(before, workload.records) * workload.changes / workload.records
    bench.say(f"{workload.name}, {kind}: {our_rate:,.0f} changes/s, Debezium without schemas {rate:,.0f}")
    return our_rate / rate


def stream_figure(kind, workload):
    return lambda bench: stream(bench, kind, workload)


# -- bytes


def bytes_each(bench):
    """Bytes a change in the log of Debezium's topic, not compressed; kept for bytes-*."""
    with stopped_debezium(bench, PGBENCH, "usual") as (dbz, before):
        in_log = log_bytes(bench, dbz.topics[0])
        PGBENCH.make(bench)
        dbz.connect.start()
        dbz.rate(before, PGBENCH.changes)
        bench.debezium_bytes = (log_bytes(bench, dbz.topics[0]) - in_log) / PGBENCH.changes
    bench.say(f"bytes Debezium: {bench.debezium_bytes:.0f} a change")
    return bench.debezium_bytes


def bytes_of(bench):
    return bench.debezium_bytes or bytes_each(bench)
