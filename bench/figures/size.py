"""bytes-*: bytes in Kafka's log for each change of pgbench's backlog, by format and compression, as a share of Debezium's.

Debezium's own (JSON without schemas, not compressed) are measured once in the same call of bench/run, of the same workload (debezium.py).
Counted are the topic's segments on disk, keys and record headers included.
"""

from .debezium import bytes_of, log_bytes
from .rigging import until
from .stream import journaled
from .workloads import PGBENCH


def one(bench, journal_format, compression):
    more = {"journal": {"format": journal_format, "kafka": {"compression.type": compression}}, "capture": {"snapshot": "never"}}
    with bench.pipeline("kafka", None, more=more) as p:
        p.capture.start()
        until(p.capture, lambda s: s.get("phase") == "streaming", what="streaming")
        before = log_bytes(bench, f"{p.name}.public.pgbench_accounts")
        journaled(p, PGBENCH.make(bench), "the backlog")
        bytes_each = (log_bytes(bench, f"{p.name}.public.pgbench_accounts") - before) / PGBENCH.changes
    bench.say(f"bytes {journal_format} {compression}: {bytes_each:.0f} a change")
    return bytes_each / bytes_of(bench)


def figure(journal_format, compression):
    return lambda bench: one(bench, journal_format, compression)
