"""snapshot-mariadb: 500,000 rows source → LMDB → MariaDB, against LOAD DATA LOCAL INFILE of the same rows into the table with its key.
stream-mariadb: thousands of updates a second of random accounts, journal → MariaDB, the server with durable commits;
mariadb-writers-*: the same by so many writers.
compare-mariadb-same: those rows compared at a fence, against SHA-256 of every row, one statement on each side, both at once."""

import json
import os
import shutil
import subprocess
import threading
import time

from rig import Pipeline
from rig.mariadb import ROOT_PASSWORD, MariaDB
from rig.procs import lsn_value

from .rigging import until

ROWS, UPDATES = 500_000, 200_000
TABLE = "CREATE TABLE accounts (aid int PRIMARY KEY, bid int, abalance int, filler char(84))"
SERVER = {"innodb-buffer-pool-size": "1G", "innodb-log-file-size": "1G", "innodb-flush-log-at-trx-commit": 1, "local-infile": 1}


class Yard:
    """The source's table of this figure, and a MariaDB server."""

    def __init__(self, bench):
        self.bench = bench
        self.server = bench.stack.enter_context(MariaDB(bench.folder, f"mariadb{bench.count}", settings=SERVER))
        bench.source.psql("-c", "DROP TABLE IF EXISTS accounts", "-c", "CREATE TABLE accounts AS SELECT aid, bid, abalance, filler FROM pgbench_accounts "
                          f"WHERE aid <= {ROWS}", "-c", "ALTER TABLE accounts ADD PRIMARY KEY (aid)", "-c", "CHECKPOINT", db="bench")

    def database(self, name):
        url = self.server.create_db(name)
        self.server.sql(TABLE, db=name)
        return url

    def load(self, name):
        """LOAD DATA LOCAL INFILE: seconds."""
        path = os.path.join(self.bench.folder, "accounts.txt")
        self.bench.source.psql("-c", f"\\copy accounts TO '{path}'", db="bench")
        started = time.monotonic()
        subprocess.run(["mariadb", "--no-defaults", "-h127.0.0.1", f"-P{self.server.port}", "-uroot", "--local-infile", name, "-e",
                        f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE accounts"], check=True, timeout=600, env=dict(os.environ, MYSQL_PWD=ROOT_PASSWORD))
        took = time.monotonic() - started
        os.unlink(path)
        return took

    def pipeline(self, url, more=None):
        self.bench.count += 1
        return Pipeline(self.bench.folder, self.bench.source.url("bench"), url, name=f"bench{self.bench.count}", tables=["public.accounts"], more=more)

    def end(self, p):
        for role in (p.capture, p.apply):
            if role.running:
                role.terminate()
        slot = f"crossfade_{p.name}"
        until_free = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s AND NOT active"
        deadline = time.monotonic() + 30
        while self.bench.source.value("SELECT count(*) FROM pg_replication_slots WHERE slot_name = %s", (slot,), db="bench") and time.monotonic() < deadline:
            self.bench.source.sql(until_free, (slot,), db="bench")
        self.bench.source.psql("-c", f'DROP PUBLICATION IF EXISTS "{slot}"', "-c", "DROP TABLE accounts", db="bench")
        self.server.close()
        shutil.rmtree(os.path.join(self.bench.folder, f"{p.name}-journal"))
        shutil.rmtree(self.server.home)


PHYSICAL = "SELECT count(*), count(sha256(convert_to(t::text, 'UTF8'))) FROM accounts t"
PHYSICAL_MARIADB = "SELECT COUNT(*), COUNT(SHA2(CONCAT_WS('|', aid, bid, abalance, filler), 256)) FROM accounts"


def hash_both(bench, yard, name):
    """Seconds in which both servers have hashed every row."""
    counts = {}
    started = time.monotonic()
    both = [threading.Thread(target=lambda: counts.update(source=bench.source.sql(PHYSICAL, db="bench")[0])),
            threading.Thread(target=lambda: counts.update(target=yard.server.sql(PHYSICAL_MARIADB, db=name)[0]))]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    took = time.monotonic() - started
    assert counts == {"source": (ROWS, ROWS), "target": (str(ROWS), str(ROWS))}, counts
    return took


def compare_same(bench):
    yard = Yard(bench)
    with yard.pipeline(yard.database("ours")) as p:
        p.start()
        until(p.apply, lambda s: s.get("complete"), what="the snapshot on the target")
        bench.source.psql("-c", "VACUUM ANALYZE accounts", "-c", "CHECKPOINT", db="bench")
        hash_both(bench, yard, "ours")  # both have read all of it before either is timed
        started = time.monotonic()
        done = p.run("compare", "run", "--json", timeout=600)
        ours_s = time.monotonic() - started
        assert done.returncode == 0, done.stdout[-400:] + done.stderr[-400:]
        assert json.loads(done.stdout)["summary"]["rows_target"] == ROWS
        yard_s = hash_both(bench, yard, "ours")
        yard.end(p)
    bench.say(f"compare with MariaDB: {ours_s:.2f} s, SHA-256 of every row on both sides {yard_s:.2f} s, {ROWS / ours_s:,.0f} rows/s")
    return ours_s / yard_s


def snapshot(bench):
    yard = Yard(bench)
    yard.database("yard")
    yard_s = yard.load("yard")
    with yard.pipeline(yard.database("ours")) as p:
        started = time.monotonic()
        p.start()
        with bench.memory(p.capture, p.apply):
            until(p.apply, lambda s: s.get("complete"), what="the snapshot on the target")
        ours_s = time.monotonic() - started
        assert yard.server.value("SELECT COUNT(*) FROM accounts", db="ours") == str(ROWS)
        yard.end(p)
    bench.say(f"snapshot MariaDB: {ours_s:.2f} s, LOAD DATA LOCAL {yard_s:.2f} s, {ROWS / ours_s:,.0f} rows/s")
    return ours_s / yard_s


def stream(bench, writers=1):
    yard = Yard(bench)
    with yard.pipeline(yard.database("ours"), {"apply": {"writers": writers}}) as p:
        p.start()
        until(p.apply, lambda s: s.get("complete"), what="the snapshot on the target")
        p.apply.terminate()
        for _ in range(UPDATES // 1000):
            bench.source.sql(f"UPDATE accounts SET abalance = abalance + 1 WHERE aid IN (SELECT 1 + (random() * {ROWS - 1})::int FROM generate_series(1, 1000))", db="bench")
        lsn = bench.source.lsn()
        until(p.capture, lambda s: lsn_value(s.get("journaled_lsn") or "0/0") >= lsn_value(lsn), what="the journal")
        started = time.monotonic()
        p.apply.start()
        with bench.memory(p.apply):
            until(p.apply, lambda s: lsn_value(s.get("applied_lsn") or "0/0") >= lsn_value(lsn), what="the updates on the target")
        took = time.monotonic() - started
        changes = p.apply.status()["changes"]
        yard.end(p)
    bench.say(f"stream MariaDB: {writers} writers, {changes} changes, {took:.2f} s")
    return changes / took / 1000


def writers_figure(count):
    return lambda bench: stream(bench, count)
