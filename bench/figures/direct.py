"""direct: a whole database source → target, rows straight from one to the other, keys and indexes behind them, against pgcopydb clone.

Either makes schema, rows, keys and indexes in an empty database: pgcopydb with two table jobs and two index jobs, we by `schema create`,
both roles with two workers until apply tells a complete target, and `schema create --indexes`.
"""

import os
import shutil
import subprocess
import time

from rig import Pipeline
from rig.wait import wait_until

from .rigging import ACCOUNTS, until


def clone(bench, name):
    bench.target.create_db(name)
    folder = os.path.join(bench.folder, name)
    started = time.monotonic()
    with open(f"{folder}.log", "w") as log:
        subprocess.run(["pgcopydb", "clone", "--source", bench.source.url("direct"), "--target", bench.target.url(name), "--table-jobs", "2", "--index-jobs", "2", "--dir", folder,
                        "--no-owner", "--no-acl", "--fail-fast"], check=True, timeout=900, stdout=log, stderr=log, env=dict(os.environ, LC_ALL="C.UTF-8"))
    took = time.monotonic() - started
    shutil.rmtree(folder, ignore_errors=True)
    return took


def load(bench, name):
    url = bench.target.create_db(name)
    more = {"capture": {"snapshot_path": "direct", "snapshot_workers": 2}, "schema": {"indexes": "after_snapshot"}}
    with Pipeline(bench.folder, bench.source.url("direct"), url, name=name, tables=["public.*"], more=more) as p:
        started = time.monotonic()
        done = p.run("schema", "create", "--execute")
        assert done.returncode == 0, done.stdout + done.stderr
        made_s = time.monotonic() - started
        p.start()
        with bench.memory(p.capture, p.apply), bench.cpu("direct", int(ACCOUNTS), capture=p.capture.pid, apply=p.apply.pid):
            until(p.apply, lambda s: s.get("complete"), what="the rows on the target")
        rows_s = time.monotonic() - started - made_s
        done = p.run("schema", "create", "--indexes", "--execute")
        assert done.returncode == 0, done.stdout + done.stderr
        took = time.monotonic() - started
        bench.say(f"direct: tables {made_s:.2f} s, rows and keys {rows_s:.2f} s, indexes {took - made_s - rows_s:.2f} s")
        for role in (p.capture, p.apply):
            role.terminate()
    slot = f"crossfade_{name}"
    wait_until(lambda: not bench.source.value("SELECT active FROM pg_replication_slots WHERE slot_name = %s", (slot,), db="direct"), 60, f"slot {slot} is free")
    bench.source.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s", (slot,), db="direct")
    bench.source.psql("-c", f'DROP PUBLICATION "{slot}"', "-c", "DROP SCHEMA crossfade CASCADE", db="direct")
    shutil.rmtree(os.path.join(bench.folder, f"{name}-journal"))
    return took


def direct(bench):
    bench.count += 1
    if not bench.source.value("SELECT count(*) FROM pg_database WHERE datname = 'direct'"):
        bench.source.psql("-c", "CREATE DATABASE direct TEMPLATE bench")
        bench.source.psql("-c", "ALTER TABLE pgbench_history REPLICA IDENTITY FULL", "-c", "CREATE INDEX ON pgbench_accounts (bid)", "-c", "VACUUM ANALYZE", db="direct")
    seconds = {}
    for who, work in (("pgcopydb", clone), ("direct", load)):
        bench.source.psql("-c", "CHECKPOINT")
        bench.target.psql("-c", "CHECKPOINT")
        name = f"{who}{bench.count}"
        seconds[who] = work(bench, name)
        rows = bench.target.value("SELECT count(*) FROM pgbench_accounts", db=name)
        indexes = bench.target.value("SELECT count(*) FROM pg_indexes WHERE schemaname = 'public'", db=name)
        assert (str(rows), indexes) == (ACCOUNTS, 4), (who, rows, indexes)
        bench.target.psql("-c", f'DROP DATABASE "{name}" WITH (FORCE)')
    bench.say(f"direct: {seconds['direct']:.2f} s, pgcopydb clone {seconds['pgcopydb']:.2f} s")
    return seconds["direct"] / seconds["pgcopydb"]
