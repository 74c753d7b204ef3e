"""drain-*, mixed-drain-*: a backlog slot → journal against pg_recvlogical (binary, to /dev/null) on the same backlog (workloads.py)."""

import contextlib
import subprocess
import time

from rig.procs import lsn_value
from rig.wait import wait_until

from .rigging import until
from .workloads import MIXED, PGBENCH

@contextlib.contextmanager
def slot(bench, name):
    bench.source.sql("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", (name,), db="bench")
    try:
        yield
    finally:
        def drop():
            return bench.source.value("SELECT count(*) FROM pg_replication_slots WHERE slot_name = %s AND active", (name,),
                                      db="bench") == 0
        wait_until(drop, 30, f"slot {name} is free")
        bench.source.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s", (name,),
                         db="bench")


def recvlogical(bench, name, end_lsn):
    started = time.monotonic()
    subprocess.run([bench.source.binary("pg_recvlogical"), "-d", bench.source.url("bench"), "-S", name, "--start", "-f", "/dev/null",
                    "-o", "proto_version=1", "-o", "publication_names=yard", "-o", "binary=true", "--endpos", end_lsn,
                    "--no-loop"], check=True, stderr=subprocess.DEVNULL)
    return time.monotonic() - started


@contextlib.contextmanager
def yard_publication(bench, tables=PGBENCH.tables):
    bench.source.psql("-c", "DROP PUBLICATION IF EXISTS yard", "-c", f"CREATE PUBLICATION yard FOR TABLE {', '.join(tables)}", db="bench")
    try:
        yield
    finally:
        bench.source.psql("-c", "DROP PUBLICATION yard", db="bench")


def journaled(p, lsn, what):
    until(p.capture, lambda s: lsn_value(s.get("journaled_lsn") or "0/0") >= lsn_value(lsn), timeout=600, what=what)


@contextlib.contextmanager
def stopped_capture(bench, journal, workload, more=None):
    """A pipeline without a copy that has seen each table once, stopped with its slot in place."""
    with bench.pipeline(journal, None, table=list(workload.tables), more={"capture": {"snapshot": "never"}, **(more or {})}) as p:
        p.capture.start()
        until(p.capture, lambda s: s.get("phase") == "streaming", what="streaming")
        workload.touch(bench)
        journaled(p, bench.source.value("SELECT pg_current_wal_flush_lsn()::text", db="bench"), "a change of each table")
        p.capture.terminate()
        yield p


def drain_ours(bench, p, journal, workload, end_lsn):
    """Seconds from the start of capture until the backlog is in the journal."""
    started = time.monotonic()
    p.capture.start()
    with bench.memory(p.capture), bench.cpu(f"{workload.name} {journal}", workload.changes, **bench.pids(journal, capture=p.capture)):
        journaled(p, end_lsn, "the drain")
        took_s = time.monotonic() - started
    streamed = p.capture.status()["changes"]
    assert streamed >= workload.changes, f"{streamed} changes of {workload.changes}"
    return took_s


def drain(bench, journal, workload=PGBENCH):
    workload.prepare(bench)
    with yard_publication(bench, workload.tables), stopped_capture(bench, journal, workload) as p:
        with slot(bench, "yard"):
            end_lsn = workload.make(bench)
            yard_s = recvlogical(bench, "yard", end_lsn)
        ours_s = drain_ours(bench, p, journal, workload, end_lsn)
    bench.say(f"{workload.name} {journal}: {workload.changes / ours_s:,.0f} changes/s, pg_recvlogical {workload.changes / yard_s:,.0f}")
    return yard_s / ours_s


def drain_lmdb(bench):
    return drain(bench, "lmdb")


def drain_kafka(bench):
    return drain(bench, "kafka")


def mixed_lmdb(bench):
    return drain(bench, "lmdb", MIXED)


def mixed_kafka(bench):
    return drain(bench, "kafka", MIXED)
