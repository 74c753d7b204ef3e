"""journal-snapshot-kafka: 2 M rows source → Kafka, against COPY (binary) to nowhere plus a plain librdkafka producer of the same bytes."""

import glob
import os
import subprocess
import time

from .rigging import ACCOUNTS, until

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


def make_topic(bench, name):
    from confluent_kafka.admin import AdminClient, NewTopic
    admin = AdminClient({"bootstrap.servers": bench.kafka.bootstrap})
    admin.create_topics([NewTopic(name, 1, 1)])[name].result()


def kafka(bench):
    plain = producer()
    with bench.pipeline("kafka", None) as p:
        bench.source.psql("-c", "CHECKPOINT", db="bench")
        started = time.monotonic()
        p.capture.start()
        with bench.memory(p.capture), bench.cpu("journal-snapshot kafka", **bench.pids("kafka", capture=p.capture)):
            until(p.capture, lambda s: s.get("complete"), what="the snapshot in the journal")
            ours_s = time.monotonic() - started
        status = p.capture.status()
        assert status["snapshot"]["rows"] == int(ACCOUNTS), status["snapshot"]
        size = status["bytes"] // int(ACCOUNTS)
    copy_s = copy_to_null(bench)
    make_topic(bench, f"plain{bench.count}")
    started = time.monotonic()
    subprocess.run([plain, bench.kafka.bootstrap, f"plain{bench.count}", ACCOUNTS, str(size)], check=True)
    produce_s = time.monotonic() - started
    bench.say(f"journal-snapshot kafka: {ours_s:.2f} s ({int(ACCOUNTS) / ours_s:,.0f} rows/s, {size} bytes each), COPY {copy_s:.2f} s, "
              f"plain producer {produce_s:.2f} s")
    return ours_s / (copy_s + produce_s)
