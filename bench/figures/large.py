"""large-transaction: one transaction of many rows, from its COMMIT to its last change in the journal, with and without streaming.

1 million rows; 5 million with CF_CHECK_MODE=full. The rows are those of pgbench_accounts. large-transaction: COMMIT comes when the walsender
has read all of it (as in a transaction that takes its time). -at-once: it follows the last row at once, and what the walsender has not
read by then is part of the time.
"""

import time

from rig.procs import lsn_value
from rig.scenario import count

from rig.wait import wait_until

from .rigging import until

ROWS = count(1_000_000, 5_000_000)
TABLE = "CREATE TABLE large (aid int PRIMARY KEY, bid int, abalance int, filler char(84))"
PART = 50_000


def settle(bench):
    """The walsender has read all WAL there is (the last page's header may be missing)."""
    lsn = bench.source.value("SELECT pg_current_wal_insert_lsn()::text", db="bench")
    wait_until(lambda: bench.source.value("SELECT max(sent_lsn) >= %s::pg_lsn - 8192 FROM pg_stat_replication", (lsn,), db="bench"), 300,
               "the walsender")


def one(bench, journal, streaming, at_once):
    """Seconds from COMMIT to a fence behind it."""
    bench.source.psql("-c", "DROP TABLE IF EXISTS large", "-c", TABLE, db="bench")
    with bench.pipeline(journal, None, table="large", more={"capture": {"streaming": streaming}}) as p:
        p.capture.start()
        until(p.capture, lambda s: s.get("phase") == "streaming", what="streaming")
        with bench.memory(p.capture), bench.source.connect("bench", autocommit=False) as connection:
            began = time.monotonic()
            for first in range(0, ROWS, PART):
                connection.execute(f"INSERT INTO large SELECT i, i % 20, i, 'x' FROM generate_series({first} + 1, {first} + {PART}) i")
            ran_s = time.monotonic() - began
            if not at_once:
                settle(bench)
            with bench.cpu(f"{journal} streaming {streaming}", **bench.pids(journal, capture=p.capture)):
                began = time.monotonic()
                connection.commit()
                end_lsn = bench.source.value("SELECT pg_current_wal_flush_lsn()::text", db="bench")
                until(p.capture, lambda s: lsn_value(s.get("journaled_lsn") or "0/0") >= lsn_value(end_lsn), timeout=900, what="the commit")
                took_s = time.monotonic() - began
        changes = p.capture.status()["changes"]
        assert changes >= ROWS, f"{changes} changes of {ROWS}"
    bench.say(f"{journal} streaming {streaming}: {ROWS} rows written in {ran_s:.1f} s, {took_s:.2f} s from COMMIT to the journal")
    return took_s


def ratio(bench, journal, at_once=False):
    return one(bench, journal, "off", at_once) / one(bench, journal, "on", at_once)


def lmdb(bench):
    return ratio(bench, "lmdb")


def lmdb_at_once(bench):
    return ratio(bench, "lmdb", at_once=True)


def kafka(bench):
    return ratio(bench, "kafka")
