"""apply-*, apply-mixed-*: a backlog slot → journal → target against a native subscription of it; dbz-sink: against Debezium and its JDBC sink;
apply-writers-*: thousands of changes a second of a backlog in the journal by so many writers (mariadb-writers-*: mariadb.py).

The backlogs: workloads.py. Ours is counted from the start of both processes to the fence behind the last change on the target, the native
subscription from ENABLE until all is confirmed, Debezium from the first change that is seen on its target to the last one.
"""

import contextlib
import time

from rig.connect import JSON, Connect, jdbc_sink, postgres_source
from rig.procs import lsn_value
from rig.wait import wait_until

from .debezium import JVM, SETTINGS, WORKER
from .rigging import delete_topics, until
from .stream import slot, yard_publication
from .workloads import PGBENCH

FIRST, LAST = 2, 1  # accounts that no transaction of the backlog's script needs: their filler tells


def prepare(p):
    """The copy, to its end; then both roles are stopped with the slot in place."""
    p.start()
    until(p.apply, lambda s: s.get("complete"), timeout=600, what="the snapshot on the target")
    p.capture.terminate()
    p.apply.terminate()


def subscribe(bench, name, sync):
    bench.target.psql("-c", f"CREATE SUBSCRIPTION yard CONNECTION '{bench.source.url('bench')}' PUBLICATION yard WITH"
                      f" (copy_data = false, create_slot = false, enabled = false, slot_name = 'yard', synchronous_commit = '{sync}')",
                      db=name)


@contextlib.contextmanager
def enabled(bench, name):
    with bench.target.connect(name) as connection:
        connection.execute("ALTER SUBSCRIPTION yard ENABLE")
        try:
            yield
        finally:
            connection.execute("ALTER SUBSCRIPTION yard DISABLE")
            connection.execute("ALTER SUBSCRIPTION yard SET (slot_name = NONE)")
            connection.execute("DROP SUBSCRIPTION yard")


def native(bench, end_lsn, name):
    """Enables the subscription: seconds until the backlog is there and confirmed."""
    started = time.monotonic()
    with enabled(bench, name):
        wait_until(lambda: bench.source.value("SELECT confirmed_flush_lsn >= %s::pg_lsn FROM pg_replication_slots"
                                              " WHERE slot_name = 'yard'", (end_lsn,), db="bench"), 600,
                   "the native subscription", interval=0.02)
        return time.monotonic() - started


def digest(server, workload, db):
    """Of all rows of all tables."""
    return [server.sql(f"SELECT count(*), sum(hashtextextended(t::text, 0)) FROM {table} t", db=db)[0] for table in workload.tables]


def settled(bench, *names):
    for name in names:
        bench.target.psql("-c", "VACUUM ANALYZE", db=name)
    bench.target.psql("-c", "CHECKPOINT")


def ours(bench, p, journal, workload, end_lsn):
    """Seconds from the start of both processes."""
    started = time.monotonic()
    p.start()
    with bench.memory(p.capture, p.apply), bench.cpu(f"apply {workload.name} {journal}", workload.changes,
                                                     **bench.pids(journal, capture=p.capture, apply=p.apply)):
        until(p.apply, lambda s: lsn_value(s.get("applied_lsn") or "0/0") >= lsn_value(end_lsn), timeout=600, what="the backlog on the target")
        return time.monotonic() - started


def apply(bench, journal, sync, workload):
    workload.prepare(bench)
    ours_db = bench.fresh_target(synchronous_commit=sync, workload=workload)
    with yard_publication(bench, workload.tables), bench.pipeline(journal, ours_db, table=list(workload.tables)) as p:
        prepare(p)
        yard_db = bench.fresh_target(with_rows=True, workload=workload)
        with slot(bench, "yard"):
            subscribe(bench, yard_db, sync)
            end_lsn = workload.make(bench)
            settled(bench, ours_db, yard_db)
            yard_s = native(bench, end_lsn, yard_db)
        bench.target.psql("-c", "CHECKPOINT")
        ours_s = ours(bench, p, journal, workload, end_lsn)
        expected = digest(bench.source, workload, "bench")
        for name in (ours_db, yard_db):
            assert digest(bench.target, workload, name) == expected, f"{name} differs from the source"
    bench.drop_target(ours_db)
    bench.drop_target(yard_db)
    bench.say(f"apply {workload.name} {journal} synchronous_commit={sync}: {workload.changes / ours_s:,.0f} changes/s, native {workload.changes / yard_s:,.0f}")
    return yard_s / ours_s


def figure(journal, sync, workload):
    return lambda bench: apply(bench, journal, sync, workload)


# -- Debezium and its sink


def mark(bench, account, text):
    bench.source.sql("UPDATE pgbench_accounts SET filler = %s WHERE aid = %s", (text, account), db="bench")


def marked(bench, name, account, text):
    return bench.target.value("SELECT rtrim(filler) = %s FROM pgbench_accounts WHERE aid = %s", (text, account), db=name)


def wait_marked(bench, connect, name, account, text):
    def there():
        assert connect.process.running, connect.process.log_tail()
        failed = next(filter(None, map(connect.failure, connect.connectors)), None)
        assert failed is None, failed
        return marked(bench, name, account, text)
    wait_until(there, 900, f"{text} on Debezium's target", interval=0.1)


@contextlib.contextmanager
def debezium_and_sink(bench, target_name, kind, tables=("pgbench_accounts",)):
    """Both connectors in one worker, stopped with the slot in place; they have brought one change. Settings by kind: see debezium.py."""
    bench.count += 1
    name = f"sunk{bench.count}"
    topics = [f"{name}.public.{table}" for table in tables]
    for topic in topics:
        bench.kafka.create_topic(topic)
    bench.source.psql("-c", f"CREATE PUBLICATION {name} FOR TABLE {', '.join(tables)}", db="bench")
    source = {**postgres_source(name, bench.source.url("bench"), ",".join(f"public.{table}" for table in tables), JSON), **SETTINGS[kind],
              "snapshot.mode": "no_data", "publication.autocreate.mode": "disabled"}
    sink = jdbc_sink(bench.target.url(target_name), "|".join(topics).replace(".", "\\."), JSON,
                     **{"batch.size": "5000", "consumer.override.max.poll.records": "5000"})
    connect = Connect(bench.folder, bench.kafka, {name: source, f"{name}-sink": sink}, name=f"connect-{name}", heap="2g", jvm=JVM[kind],
                      worker={**WORKER, "connector.client.config.override.policy": "All"})
    try:
        connect.start()
        wait_until(lambda: bench.source.value("SELECT active FROM pg_replication_slots WHERE slot_name = %s", (name,), db="bench"), 120, "Debezium streams", interval=0.2)
        mark(bench, FIRST, "before")
        wait_marked(bench, connect, target_name, FIRST, "before")
        connect.process.terminate(60)
        yield connect
    finally:
        connect.close()
        wait_until(lambda: not bench.source.value("SELECT active FROM pg_replication_slots WHERE slot_name = %s", (name,), db="bench"), 60, "its slot is free")
        bench.source.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s", (name,), db="bench")
        bench.source.psql("-c", f"DROP PUBLICATION IF EXISTS {name}", db="bench")
        delete_topics(bench.kafka, *topics)


def debezium_sink(bench, kind):
    for account in (FIRST, LAST):
        mark(bench, account, "")  # what an earlier call has left would end the wait at once
    ours_db, theirs_db = bench.fresh_target(workload=PGBENCH), bench.fresh_target(with_rows=True, workload=PGBENCH)
    with bench.pipeline("kafka", ours_db) as p, debezium_and_sink(bench, theirs_db, kind) as connect:
        prepare(p)
        mark(bench, FIRST, "first")
        PGBENCH.make(bench)
        mark(bench, LAST, "last")
        end_lsn = bench.source.value("SELECT pg_current_wal_flush_lsn()::text", db="bench")
        settled(bench, ours_db, theirs_db)
        ours_s = ours(bench, p, "kafka", PGBENCH, end_lsn)
        assert marked(bench, ours_db, LAST, "last")
        p.capture.terminate()
        p.apply.terminate()
        bench.target.psql("-c", "CHECKPOINT")
        connect.start()
        wait_marked(bench, connect, theirs_db, FIRST, "first")
        began = time.monotonic()
        wait_marked(bench, connect, theirs_db, LAST, "last")
        theirs_s = time.monotonic() - began
        assert digest(bench.target, PGBENCH, ours_db) == digest(bench.target, PGBENCH, theirs_db) == digest(bench.source, PGBENCH, "bench")
    for name in (ours_db, theirs_db):
        bench.drop_target(name)
    bench.say(f"sink, {kind}: {PGBENCH.changes / ours_s:,.0f} changes/s from the source to the target, Debezium with its sink {PGBENCH.changes / theirs_s:,.0f}")
    return theirs_s / ours_s


def debezium_sink_figure(kind):
    return lambda bench: debezium_sink(bench, kind)


# -- several writers


def writers(bench, count):
    """From the start of apply to the fence behind the last change; the backlog is in the journal, the target has durable commits."""
    name = bench.fresh_target(workload=PGBENCH)
    with bench.pipeline("lmdb", name, more={"apply": {"writers": count}}) as p:
        prepare(p)
        end_lsn = PGBENCH.make(bench)
        p.capture.start()
        until(p.capture, lambda s: lsn_value(s.get("journaled_lsn") or "0/0") >= lsn_value(end_lsn), timeout=600, what="the backlog in the journal")
        p.capture.terminate()
        settled(bench, name)
        started = time.monotonic()
        p.apply.start()
        with bench.memory(p.apply), bench.cpu(f"writers {count}", PGBENCH.changes, apply=p.apply.pid):
            until(p.apply, lambda s: lsn_value(s.get("applied_lsn") or "0/0") >= lsn_value(end_lsn), timeout=600, what="the backlog on the target")
        took = time.monotonic() - started
        assert digest(bench.source, PGBENCH, "bench") == digest(bench.target, PGBENCH, name)
    bench.drop_target(name)
    bench.say(f"{count} writers: {PGBENCH.changes / took:,.0f} changes/s")
    return PGBENCH.changes / took / 1000


def writers_figure(count):
    return lambda bench: writers(bench, count)


# -- memory


def wide_transaction(bench):
    """MiB of apply: one transaction of a million rows of 1 kB, through LMDB."""
    rows = 1_000_000
    table = "CREATE TABLE wide (id int PRIMARY KEY, note text)"
    bench.source.psql("-c", "DROP TABLE IF EXISTS wide", "-c", table, db="bench")
    name = bench.fresh_target(workload=PGBENCH)
    bench.target.psql("-c", table, db=name)
    with bench.pipeline("lmdb", name, table="wide") as p:
        prepare(p)
        bench.source.psql("-c", f"INSERT INTO wide SELECT i, repeat(md5(i::text), 32) FROM generate_series(1, {rows}) i", db="bench")
        end_lsn = bench.source.value("SELECT pg_current_wal_flush_lsn()::text", db="bench")
        before = bench.peak_kib.pop("apply", 0)
        p.start()
        with bench.memory(p.capture, p.apply):
            until(p.apply, lambda s: lsn_value(s.get("applied_lsn") or "0/0") >= lsn_value(end_lsn), timeout=900, what="the transaction on the target")
        peak = bench.peak_kib["apply"]
        bench.peak_kib["apply"] = max(peak, before)
        assert bench.target.value("SELECT count(*) FROM wide", db=name) == rows
    bench.drop_target(name)
    bench.source.psql("-c", "DROP TABLE wide", db="bench")
    return peak / 1024
