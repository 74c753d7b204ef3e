"""journal-snapshot-kafka: 2 M rows source → Kafka, against COPY (binary) to nowhere plus a plain librdkafka producer of the same bytes.

The plain producer sends the very records that capture has written, keys and values, which were read from its topic into a file beforehand;
its time begins when that file is in memory. bench/micro/plain_producer.c has its settings.
"""

import glob
import os
import struct
import subprocess
import time

from .rigging import ACCOUNTS, delete_topics, until

ROOT = os.path.join(os.path.dirname(__file__), "..", "..")


def producer():
    build = os.path.join(ROOT, "build", "release")
    subprocess.run(["cmake", "--build", build, "--target", "plain_producer"], check=True, stdout=subprocess.DEVNULL)
    return glob.glob(os.path.join(build, "**", "plain_producer"), recursive=True)[0]


def copy_to_null(bench):
    started = time.monotonic()
    subprocess.run(["psql", "-X", "-q", "-d", bench.source.url("bench"), "-c", "COPY pgbench_accounts TO STDOUT (FORMAT binary)"],
                   stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - started


def dump(bench, topic, path):
    """All records of a topic as the plain producer reads them: lengths of key and value (4 bytes each, native), key, value."""
    from confluent_kafka import Consumer, TopicPartition
    reader = Consumer({"bootstrap.servers": bench.kafka.bootstrap, "group.id": "dump", "enable.auto.commit": False,
                       "isolation.level": "read_committed"})
    reader.assign([TopicPartition(topic, 0, 0)])
    left = int(ACCOUNTS)
    with open(path, "wb") as f:
        while left:
            messages = reader.consume(10000, 60)
            assert messages, f"{topic}: {left} records are missing"
            for message in messages:
                assert message.error() is None and not message.headers(), (message.error(), message.headers())
                key, value = message.key() or b"", message.value()
                f.write(struct.pack("=II", len(key), len(value)) + key + value)
            left -= len(messages)
        f.flush()
        os.fsync(f.fileno())
    reader.close()


def journal_snapshot(bench, keep_records=False):
    """(seconds from the start of capture until all rows are in Kafka behind a fence, bytes of the journal).

    keep_records: they are read into the file bench.records, for the plain producer.
    """
    with bench.pipeline("kafka", None) as p:
        bench.source.psql("-c", "CHECKPOINT", db="bench")
        started = time.monotonic()
        p.capture.start()
        with bench.memory(p.capture), bench.cpu("journal-snapshot kafka", int(ACCOUNTS), **bench.pids("kafka", capture=p.capture)):
            until(p.capture, lambda s: s.get("complete"), what="the snapshot in the journal")
            took_s = time.monotonic() - started
        status = p.capture.status()
        assert status["snapshot"]["rows"] == int(ACCOUNTS), status["snapshot"]
        if keep_records and bench.records is None:
            bench.records = os.path.join(bench.folder, "records")
            dump(bench, f"{p.name}.public.pgbench_accounts", bench.records)
    return took_s, status["bytes"]


def kafka(bench):
    plain = producer()
    ours_s, size = journal_snapshot(bench, keep_records=True)
    copy_s = copy_to_null(bench)
    topic = f"plain{bench.count}"
    bench.kafka.create_topic(topic)
    done = subprocess.run([plain, bench.kafka.bootstrap, topic, bench.records], check=True, capture_output=True, text=True)
    produce_s = float(done.stdout)
    delete_topics(bench.kafka, topic)
    bench.say(f"journal-snapshot kafka: {ours_s:.2f} s ({int(ACCOUNTS) / ours_s:,.0f} rows/s, {size // int(ACCOUNTS)} bytes each), "
              f"COPY {copy_s:.2f} s, plain producer {produce_s:.2f} s")
    return ours_s / (copy_s + produce_s)
