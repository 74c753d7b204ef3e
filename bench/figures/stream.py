"""drain-*, mixed-drain-*: a backlog slot → journal against pg_recvlogical (binary, to /dev/null) on the same backlog;
apply-*: slot → journal → target against a native subscription. The backlogs: workloads.py.
"""

import contextlib
import subprocess
import time

from rig.procs import lsn_value
from rig.wait import wait_until

from .rigging import until
from .workloads import MIXED, PGBENCH

CHANGES = PGBENCH.changes


def make_backlog(bench):
    return PGBENCH.make(bench)


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


def prepare(p):
    """The copy, to its end; then both roles are stopped with the slot in place."""
    p.start()
    until(p.apply, lambda s: s.get("complete"), what="the snapshot on the target")
    p.capture.terminate()
    p.apply.terminate()


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


def native(bench, end_lsn, name, sync):
    """Enables the subscription and waits until the backlog is visible."""
    total = bench.source.value("SELECT sum(abalance) FROM pgbench_accounts", db="bench")
    with bench.target.connect(name) as connection:
        started = time.monotonic()
        connection.execute("ALTER SUBSCRIPTION yard ENABLE")
        wait_until(lambda: bench.source.value("SELECT confirmed_flush_lsn >= %s::pg_lsn FROM pg_replication_slots"
                                              " WHERE slot_name = 'yard'", (end_lsn,), db="bench"), 300,
                   "the native subscription", interval=0.02)
        took = time.monotonic() - started
        got = connection.execute("SELECT sum(abalance) FROM pgbench_accounts").fetchone()[0]
        assert got == total, (got, total)
        connection.execute("ALTER SUBSCRIPTION yard DISABLE")
        connection.execute("ALTER SUBSCRIPTION yard SET (slot_name = NONE)")
        connection.execute("DROP SUBSCRIPTION yard")
    return took


def subscribe(bench, name, sync):
    bench.target.psql("-c", f"CREATE SUBSCRIPTION yard CONNECTION '{bench.source.url('bench')}' PUBLICATION yard WITH"
                      f" (copy_data = false, create_slot = false, enabled = false, slot_name = 'yard', synchronous_commit = '{sync}')",
                      db=name)


def apply(bench, journal, sync):
    ours_db, yard_db = bench.fresh_target(synchronous_commit=sync), None
    with yard_publication(bench), bench.pipeline(journal, ours_db) as p:
        prepare(p)
        yard_db = bench.fresh_target(with_rows=True)
        with slot(bench, "yard"):
            subscribe(bench, yard_db, sync)
            end_lsn = make_backlog(bench)
            for db in (ours_db, yard_db):
                bench.target.psql("-c", "VACUUM ANALYZE pgbench_accounts", db=db)
            bench.target.psql("-c", "CHECKPOINT")
            yard_s = native(bench, end_lsn, yard_db, sync)
        bench.target.psql("-c", "CHECKPOINT")
        started = time.monotonic()
        p.start()
        with bench.memory(p.capture, p.apply), bench.cpu(f"apply {journal}", CHANGES, **bench.pids(journal, capture=p.capture, apply=p.apply)):
            until(p.apply, lambda s: lsn_value(s.get("applied_lsn") or "0/0") >= lsn_value(end_lsn), what="the backlog on the target")
            ours_s = time.monotonic() - started
        total = bench.source.value("SELECT sum(abalance) FROM pgbench_accounts", db="bench")
        assert bench.target.value("SELECT sum(abalance) FROM pgbench_accounts", db=ours_db) == total
    bench.drop_target(ours_db)
    bench.drop_target(yard_db)
    bench.say(f"apply {journal} synchronous_commit={sync}: {CHANGES / ours_s:,.0f} changes/s, native {CHANGES / yard_s:,.0f}")
    return yard_s / ours_s


def drain_lmdb(bench):
    return drain(bench, "lmdb")


def drain_kafka(bench):
    return drain(bench, "kafka")


def mixed_lmdb(bench):
    return drain(bench, "lmdb", MIXED)


def mixed_kafka(bench):
    return drain(bench, "kafka", MIXED)


def apply_lmdb_on(bench):
    return apply(bench, "lmdb", "on")


def apply_lmdb_off(bench):
    return apply(bench, "lmdb", "off")


def apply_kafka_on(bench):
    return apply(bench, "kafka", "on")


def apply_kafka_off(bench):
    return apply(bench, "kafka", "off")
