"""bytes-*: bytes in Kafka's log for each change of the backlog, by format and compression, as a share of Debezium's.

Debezium 3.1 with JsonConverter and without schemas wrote 604 bytes a record for these changes (measured once, of the same rows:
docs/PERFORMANCE.md). Counted are the topic's segments on disk, keys and record headers included.
"""

import glob
import os

from rig.procs import lsn_value

from .rigging import until
from .stream import CHANGES, make_backlog

DEBEZIUM_BYTES = 604


def log_bytes(bench, topic):
    return sum(os.path.getsize(path) for path in glob.glob(os.path.join(bench.kafka.home, "**", f"{topic}-*", "*.log"), recursive=True))


def one(bench, journal_format, compression):
    more = {"journal": {"format": journal_format, "kafka": {"compression.type": compression}}, "capture": {"snapshot": "never"}}
    with bench.pipeline("kafka", None, more=more) as p:
        p.capture.start()
        until(p.capture, lambda s: s.get("phase") == "streaming", what="streaming")
        before = log_bytes(bench, f"{p.name}.public.pgbench_accounts")
        end_lsn = make_backlog(bench)
        until(p.capture, lambda s: lsn_value(s.get("journaled_lsn") or "0/0") >= lsn_value(end_lsn), what="the backlog")
        bytes_each = (log_bytes(bench, f"{p.name}.public.pgbench_accounts") - before) / CHANGES
    bench.say(f"bytes {journal_format} {compression}: {bytes_each:.0f} a change")
    return bytes_each / DEBEZIUM_BYTES


def figure(journal_format, compression):
    return lambda bench: one(bench, journal_format, compression)
