"""drain-*: a backlog slot → journal against pg_recvlogical; apply-*: slot → journal → target against a native subscription.

The backlog: 4 clients x 25,000 transactions of 4 updates of random accounts.
"""

import contextlib
import os
import subprocess
import time

from rig.procs import lsn_value
from rig.wait import wait_until

from .rigging import ACCOUNTS, until

CLIENTS, TRANSACTIONS = 4, 25000
CHANGES = CLIENTS * TRANSACTIONS * 4
SCRIPT = "".join(f"\\set a{i} random(1, {ACCOUNTS})\n" for i in range(4)) + "BEGIN;\n" + "".join(
    f"UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = :a{i};\n" for i in range(4)) + "END;\n"


def make_backlog(bench):
    """Runs the workload; the WAL position behind it."""
    path = os.path.join(bench.folder, "backlog.sql")
    with open(path, "w") as f:
        f.write(SCRIPT)
    bench.pgbench("--no-vacuum", "--client", str(CLIENTS), "--jobs", "1", "--transactions", str(TRANSACTIONS), "--file", path)
    return bench.source.value("SELECT pg_current_wal_flush_lsn()::text", db="bench")


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
def yard_publication(bench):
    bench.source.psql("-c", "DROP PUBLICATION IF EXISTS yard", "-c", "CREATE PUBLICATION yard FOR TABLE pgbench_accounts",
                      db="bench")
    try:
        yield
    finally:
        bench.source.psql("-c", "DROP PUBLICATION yard", db="bench")


def prepare(p, with_apply):
    """The copy, to its end; then both roles are stopped with the slot in place."""
    p.start()
    until(p.apply, lambda s: s.get("complete"), what="the snapshot on the target")
    p.capture.terminate()
    p.apply.terminate()


def drain(bench, journal):
    name = bench.fresh_target()
    with yard_publication(bench), bench.pipeline(journal, name) as p:
        prepare(p, with_apply=False)
        with slot(bench, "yard"):
            end_lsn = make_backlog(bench)
            yard_s = recvlogical(bench, "yard", end_lsn)
        started = time.monotonic()
        p.capture.start()
        with bench.memory(p.capture), bench.cpu(f"drain {journal}", **bench.pids(journal, capture=p.capture)):
            until(p.capture, lambda s: lsn_value(s.get("journaled_lsn") or "0/0") >= lsn_value(end_lsn), what="the drain")
            ours_s = time.monotonic() - started
        streamed = p.capture.status()["changes"]
        assert streamed >= CHANGES, f"{streamed} changes of {CHANGES}"
    bench.drop_target(name)
    bench.say(f"drain {journal}: {CHANGES / ours_s:,.0f} changes/s, pg_recvlogical {CHANGES / yard_s:,.0f}")
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
        prepare(p, with_apply=True)
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
        with bench.memory(p.capture, p.apply), bench.cpu(f"apply {journal}", **bench.pids(journal, capture=p.capture, apply=p.apply)):
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


def apply_lmdb_on(bench):
    return apply(bench, "lmdb", "on")


def apply_lmdb_off(bench):
    return apply(bench, "lmdb", "off")


def apply_kafka_on(bench):
    return apply(bench, "kafka", "on")


def apply_kafka_off(bench):
    return apply(bench, "kafka", "off")
