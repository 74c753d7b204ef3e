"""dbz-*: Debezium's PostgreSQL connector beside ours, in turn, from the same server into the same broker.

Debezium 3.1 in Kafka Connect's standalone worker 3.9 (Java 17, 2 GB of heap, G1 and both compilers: the defaults of a server), set as
people who want it quick set it: max.batch.size 16384, max.queue.size 131072, poll.interval.ms 50, snapshot.fetch.size 20480; the
producer's batch.size 512 kB, linger.ms 10, buffer.memory 128 MB, compression lz4 as ours; JsonConverter with schemas or without.
pgoutput, one task, one partition a topic as ours, topics made beforehand, no transformations.

Its rate is taken in its favour: from the moment when the first quarter of the records is in the topics (what Java's compilers still had to
warm up lies before; so do start, plugins and the reading of schemas) to the last, by the ends of the topics, read 20 times a second.
Ours is counted whole, from the start of the process to the fence behind the last change. Ours: Avro, Kafka transactions, lz4.
The backlog is one: both have their slots before it is written.
"""

import contextlib
import glob
import os
import time

from rig.connect import Connect
from rig.wait import wait_until

from .journalling import journal_snapshot
from .rigging import ACCOUNTS, cpu_s, delete_topics
from .stream import drain_ours, stopped_capture
from .workloads import MIXED, PGBENCH

JVM = ("-Xms2g",)
WORKER = {"offset.flush.interval.ms": 10000}
SKIPPED = 0.25


def log_bytes(bench, topic):
    return sum(os.path.getsize(path) for path in glob.glob(os.path.join(bench.kafka.home, "**", f"{topic}-*", "*.log"), recursive=True))


class Debezium:
    """One connector over some tables: its topics, publication and slot; all are gone when it is closed."""

    def __init__(self, bench, tables, snapshot, schemas=False, compression="lz4"):
        bench.count += 1
        self.bench, self.name = bench, f"dbz{bench.count}"
        self.topics = [f"{self.name}.public.{table}" for table in tables]
        for topic in self.topics:
            bench.kafka.create_topic(topic)
        bench.source.psql("-c", f"CREATE PUBLICATION {self.name} FOR TABLE {', '.join(tables)}", db="bench")
        settings = {
            "connector.class": "io.debezium.connector.postgresql.PostgresConnector", "tasks.max": 1, "plugin.name": "pgoutput",
            "database.hostname": "127.0.0.1", "database.port": bench.source.port, "database.user": "postgres", "database.password": "x",
            "database.dbname": "bench", "topic.prefix": self.name, "slot.name": self.name, "publication.name": self.name,
            "publication.autocreate.mode": "disabled", "table.include.list": ",".join(f"public.{table}" for table in tables),
            "snapshot.mode": snapshot, "snapshot.fetch.size": 20480, "max.batch.size": 16384, "max.queue.size": 131072, "poll.interval.ms": 50,
            "producer.override.batch.size": 524288, "producer.override.linger.ms": 10, "producer.override.buffer.memory": 134217728,
            "producer.override.compression.type": compression,
            **{f"{part}.converter": "org.apache.kafka.connect.json.JsonConverter" for part in ("key", "value")},
            **{f"{part}.converter.schemas.enable": str(schemas).lower() for part in ("key", "value")}}
        self.connect = Connect(bench.folder, bench.kafka, {self.name: settings}, name=f"connect-{self.name}", heap="2g", jvm=JVM,
                               worker={**WORKER, "connector.client.config.override.policy": "All"})
        from confluent_kafka import Consumer
        self.reader = Consumer({"bootstrap.servers": bench.kafka.bootstrap, "group.id": self.name})

    def records(self):
        """How many are in its topics by now."""
        from confluent_kafka import TopicPartition
        return sum(self.reader.get_watermark_offsets(TopicPartition(topic, 0), timeout=30, cached=False)[1] for topic in self.topics)

    def fail_if_failed(self):
        assert self.connect.process.running, self.connect.process.log_tail()
        why = self.connect.failure(self.name)
        assert why is None, f"Debezium has failed\n{why}"

    def wait_records(self, count, timeout=120):
        def there():
            self.fail_if_failed()
            return self.records() >= count
        wait_until(there, timeout, f"{count} records of Debezium", interval=0.2)

    def rate(self, before, count, timeout=1200):
        """Records a second until `count` more than before are there, without the first quarter."""
        skipped, began, begun_at, cpu = int(count * SKIPPED), None, 0, 0.0
        looked = start = time.monotonic()
        while True:
            now, records = time.monotonic(), self.records() - before
            if began is None and records >= skipped:
                began, begun_at, cpu = now, records, cpu_s(self.connect.process.pid)
            if records >= count:
                break
            assert now - start < timeout, f"Debezium: {records} records of {count} after {timeout} s"
            if now - looked > 5:
                self.fail_if_failed()
                looked = now
            time.sleep(0.05)
        assert records == count and begun_at < count, f"{records} records of Debezium, not {count} ({begun_at} at the first look)"
        self.bench.cost("Debezium", cpu_s(self.connect.process.pid) - cpu, count - begun_at)
        return (count - begun_at) / (now - began)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.connect.close()
        self.reader.close()
        source, slot = self.bench.source, (self.name,)
        wait_until(lambda: not source.value("SELECT active FROM pg_replication_slots WHERE slot_name = %s", slot, db="bench"), 60,
                   "its slot is free")
        source.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s", slot, db="bench")
        source.psql("-c", f"DROP PUBLICATION IF EXISTS {self.name}", db="bench")
        delete_topics(self.bench.kafka, *self.topics)


# -- snapshots


def snapshot(bench, schemas):
    ours_s, _ = journal_snapshot(bench)
    with Debezium(bench, ["pgbench_accounts"], "initial_only", schemas) as dbz:
        dbz.connect.start()
        rate = dbz.rate(0, int(ACCOUNTS))
        size = log_bytes(bench, dbz.topics[0]) / int(ACCOUNTS)
    bench.say(f"snapshot: {int(ACCOUNTS) / ours_s:,.0f} rows/s, Debezium {'with' if schemas else 'without'} schemas {rate:,.0f}"
              f" ({size:.0f} bytes a row in the log, lz4)")
    return int(ACCOUNTS) / ours_s / rate


def snapshot_schemas(bench):
    return snapshot(bench, True)


def snapshot_bare(bench):
    return snapshot(bench, False)


# -- streaming


@contextlib.contextmanager
def stopped_debezium(bench, workload, **more):
    """One that has streamed a change of each table, stopped with its slot and offsets in place; how many records that were."""
    with Debezium(bench, workload.tables, "no_data", **more) as dbz:
        dbz.connect.start()
        wait_until(lambda: bench.source.value("SELECT active FROM pg_replication_slots WHERE slot_name = %s", (dbz.name,), db="bench"), 120,
                   "Debezium streams", interval=0.2)
        touched = workload.touch(bench)
        dbz.wait_records(touched)
        dbz.connect.process.terminate(60)
        yield dbz, dbz.records()


def stream(bench, workload):
    workload.prepare(bench)
    with stopped_capture(bench, "kafka", workload) as p, stopped_debezium(bench, workload) as (dbz, before):
        end_lsn = workload.make(bench)
        ours_s = drain_ours(bench, p, "kafka", workload, end_lsn)
        p.capture.terminate()
        dbz.connect.start()
        rate = dbz.rate(before, workload.records) * workload.changes / workload.records
    bench.say(f"{workload.name}: {workload.changes / ours_s:,.0f} changes/s, Debezium without schemas {rate:,.0f}")
    return workload.changes / ours_s / rate


def stream_pgbench(bench):
    return stream(bench, PGBENCH)


def stream_mixed(bench):
    return stream(bench, MIXED)


# -- bytes


def bytes_each(bench):
    """Bytes a change in the log of Debezium's topic, not compressed; kept for bytes-*."""
    with stopped_debezium(bench, PGBENCH, compression="none") as (dbz, before):
        in_log = log_bytes(bench, dbz.topics[0])
        PGBENCH.make(bench)
        dbz.connect.start()
        dbz.rate(before, PGBENCH.changes)
        bench.debezium_bytes = (log_bytes(bench, dbz.topics[0]) - in_log) / PGBENCH.changes
    bench.say(f"bytes Debezium: {bench.debezium_bytes:.0f} a change")
    return bench.debezium_bytes


def bytes_of(bench):
    return bench.debezium_bytes or bytes_each(bench)
