"""bytes-*: bytes in Kafka's log for each change of pgbench's backlog, by format and compression, as a share of Debezium's.

Debezium's own (JSON without schemas, not compressed) are measured once in the same call of bench/run, of the same workload (debezium.py).
Both drain it from their slots. Counted are the topic's segments on disk, keys, record headers and what Kafka adds to batches included.
"""

from .debezium import bytes_of, log_bytes
from .stream import drain_ours, stopped_capture
from .workloads import PGBENCH


def one(bench, journal_format, compression):
    journal = {"format": journal_format, "kafka": {"compression.type": compression}}
    with stopped_capture(bench, "kafka", PGBENCH, {"journal": journal}) as p:
        topic = f"{p.name}.public.pgbench_accounts"
        before = log_bytes(bench, topic)
        drain_ours(bench, p, "kafka", PGBENCH, PGBENCH.make(bench))
        bytes_each = (log_bytes(bench, topic) - before) / PGBENCH.changes
    bench.say(f"bytes {journal_format} {compression}: {bytes_each:.0f} a change")
    return bytes_each / bytes_of(bench)


def figure(journal_format, compression):
    return lambda bench: one(bench, journal_format, compression)
