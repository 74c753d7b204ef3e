"""The kill loop over apply with MariaDB as the target and several writers: apply is killed at each of its points, and apply, capture and both servers at random moments.

All the while transfers between accounts run on the source, some of them large, and a reader of the target looks at the sum in a consistent
snapshot in which no batch is pending: half a transaction would show. In the end both sides are equal, row by row.
"""

import random
import threading
import time

import psycopg
import pymysql

from rig import Pipeline, Postgres, Workdir
from rig.failpoints import failpoints
from rig.mariadb import MariaDB, run
from rig.scenario import count, seed
from rig.wait import wait_until

ACCOUNTS = 300
SCHEMA = f"""
CREATE TABLE account (id int PRIMARY KEY, balance bigint NOT NULL, note text);
CREATE TABLE ledger (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a int, b int, amount bigint);
CREATE TABLE slot (id int PRIMARY KEY, place int UNIQUE DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE bare (a int, b text); ALTER TABLE bare REPLICA IDENTITY FULL;
ALTER TABLE account ALTER note SET STORAGE EXTERNAL;
INSERT INTO account SELECT i, 1000, repeat('n', 3000) FROM generate_series(1, {ACCOUNTS}) i;
INSERT INTO slot SELECT i, i FROM generate_series(1, 10) i;
"""
TARGET = """
CREATE TABLE account (id int PRIMARY KEY, balance bigint NOT NULL, note longtext);
CREATE TABLE ledger (id bigint PRIMARY KEY AUTO_INCREMENT, a int, b int, amount bigint);
CREATE TABLE slot (id int PRIMARY KEY, place int UNIQUE);
CREATE TABLE bare (a int, b longtext);
"""
TABLES = {"account": "id, balance, note", "ledger": "id, a, b, amount", "slot": "id, place", "bare": "a, b"}
# Points of apply that this load does not come by, with the reason.
NOT_HERE = {
    "apply.conflicts": "tables that are written on both sides: test_kill_dual_write.py",
    "apply.copy": "COPY into staging: the PostgreSQL target's",
    "apply.dead_letter": "nothing is refused: test_dead_letters_mariadb.py",
    "apply.retry_after_commit": "likewise",
    "apply.retry_before_commit": "likewise",
    "apply.retry_letter": "likewise",
    "apply.retry_refused": "no direct load: test_direct_letters.py",
    "apply.shards_before_commit": "the number of shards stays: test_shards_change.py",
    "apply.shards_committed": "likewise",
    "apply.wait": "the wait at a comparison's fence: compare reads PostgreSQL alone",
}


class Transfers(threading.Thread):
    """Writes on the source until it is stopped; goes on when the source was killed."""

    def __init__(self, url, rng):
        super().__init__(daemon=True)
        self.url, self.rng, self.ended, self.done, self.failure = url, rng, threading.Event(), 0, None

    def run(self):
        while not self.ended.is_set():
            try:
                with psycopg.connect(self.url, autocommit=True, connect_timeout=5) as connection:
                    while not self.ended.wait(0.004):
                        self.one(connection)
                        self.done += 1
            except psycopg.OperationalError:
                self.ended.wait(0.1)
            except psycopg.Error as error:
                self.failure = error
                return

    def one(self, connection):
        a, b = self.rng.sample(range(1, ACCOUNTS + 1), 2)
        with connection.transaction():
            kind = self.rng.random()
            if kind < 0.02:  # many rows
                connection.execute("UPDATE account SET balance = balance + CASE WHEN id % 2 = 0 THEN 1 ELSE -1 END")
            elif kind < 0.10:
                connection.execute("UPDATE slot SET place = place % 10 + 1")
            elif kind < 0.15:  # a key moves, its note is not sent
                connection.execute("UPDATE account SET id = id + 100000 WHERE id = %s", (a,))
                connection.execute("UPDATE account SET id = id - 100000 WHERE id > 100000")
            elif kind < 0.3:
                connection.execute("INSERT INTO bare VALUES (%s, 'twin'), (%s, 'twin')", (a, a))
                connection.execute("DELETE FROM bare WHERE ctid = (SELECT min(ctid) FROM bare)")
                connection.execute("UPDATE bare SET b = 'other ' || a WHERE ctid = (SELECT min(ctid) FROM bare)")
            else:
                connection.execute("UPDATE account SET balance = balance - 5 WHERE id = %s", (a,))
                connection.execute("UPDATE account SET balance = balance + 5 WHERE id = %s", (b,))
                connection.execute("INSERT INTO ledger (a, b, amount) VALUES (%s, %s, 5)", (a, b))


class SumReader(threading.Thread):
    """Reads the target in consistent snapshots; `torn` has what no state of the source can show."""

    def __init__(self, server, db):
        super().__init__(daemon=True)
        self.server, self.db, self.ended, self.reads, self.torn = server, db, threading.Event(), 0, []

    def run(self):
        while not self.ended.is_set():
            try:
                with self.server.connect(self.db) as connection:
                    while not self.ended.wait(0.02):
                        self.look(connection)
            except (pymysql.err.OperationalError, pymysql.err.InternalError):
                self.ended.wait(0.1)

    def look(self, connection):
        run(connection, "START TRANSACTION WITH CONSISTENT SNAPSHOT")
        complete = run(connection, "SELECT complete AND pending IS NULL FROM crossfade_position") == (("1",),)
        rows = run(connection, "SELECT COUNT(*), SUM(balance) FROM account")
        places = run(connection, "SELECT COUNT(DISTINCT place), SUM(place) FROM slot")
        run(connection, "COMMIT")
        if complete:
            self.reads += 1
            if rows != ((str(ACCOUNTS), str(1000 * ACCOUNTS)),) or places != (("10", "55"),):
                self.torn.append((rows, places))


class Loop:
    def __init__(self, folder, source, target):
        self.source, self.target, self.kills = source, target, 0
        self.rng = random.Random(seed())
        url = source.create_db("bank")
        source.sql(SCHEMA, db="bank")
        target_url = target.create_db("bank")
        target.script(TARGET, "bank")
        more = {"capture": {"heartbeat_interval_ms": 500}, "apply": {"batch_max_bytes": "1MiB", "writers": 3, "writer_rows": 1}}
        self.pipeline = Pipeline(folder, url, target_url, name="bank", tables=("public.*",), more=more)
        self.load, self.reader = Transfers(url, self.rng), SumReader(target, "bank")

    def fence(self):
        try:
            rows = self.target.sql("SELECT fence_id FROM crossfade_position", db="bank")
        except pymysql.err.Error:
            return 0
        return int(rows[0][0]) if rows else 0

    def kill_at(self, point, nth):
        apply = self.pipeline.apply
        if point == "apply.writers_recover" and nth == 1:  # something has to be left prepared
            self.kill_at("apply.writers_before_decision", 1)
        if apply.running:
            apply.kill9()
        apply.start(failpoint=f"{point}:{nth}")
        began, seen = self.fence(), set()

        def over():
            assert apply.exit_code in (None, -9), apply.log_tail()
            seen.add(self.fence())  # a batch may be of many fences, and the point behind its commit
            return apply.exit_code == -9 or (max(seen) >= began + 60 and len(seen) >= 4)
        wait_until(over, 60, f"apply is killed at {point}")
        self.kills += apply.exit_code == -9
        return apply.exit_code == -9

    def kill_at_random(self, times):
        for _ in range(times):
            time.sleep(self.rng.uniform(0.02, 0.8))
            victim = self.rng.choice(["apply"] * 4 + ["capture", "target", "target", "source"])
            print(f"kill {victim}")
            if victim in ("apply", "capture"):
                role = getattr(self.pipeline, victim)
                assert role.exit_code in (None, -9), role.log_tail()
                if role.running:
                    role.kill9()
                role.start()
            else:
                server = getattr(self, victim)
                server.kill9()
                server.start()
            self.kills += 1

    def rows(self, table):
        cells = TABLES[table].split(", ")
        left = self.source.sql(f"SELECT {', '.join(c + '::text' for c in cells)} FROM {table}", db="bank")
        return sorted(left), sorted(self.target.sql(f"SELECT {TABLES[table]} FROM {table}", db="bank"))


def test_apply_into_mariadb_is_killed_at_every_point_and_at_random_moments():
    with Workdir("kill-mariadb") as folder, Postgres(folder, "source") as source, MariaDB(folder, "target") as target:
        loop = Loop(folder, source, target)
        with loop.pipeline as p:
            loop.load.start()
            p.capture.start()
            points = {name: path for name, path in failpoints("apply", "lib/target").items() if not name.startswith("capture.direct_")}
            missed = [name for name in sorted(points) for nth in (1, 3) if not loop.kill_at(name, nth) and nth == 1]
            assert missed == sorted(NOT_HERE), f"never reached: {missed}"
            loop.reader.start()
            loop.kill_at_random(count(12, 80))
            for role in (p.capture, p.apply):
                if not role.running:
                    role.start()
            p.apply.wait_for(lambda status: status.get("complete"), 60, "the copy is complete")
            done = loop.load.done
            wait_until(lambda: loop.load.done > done + 50, 60, "transfers go on")
            loop.load.ended.set()
            loop.load.join(30)
            assert loop.load.failure is None, loop.load.failure
            p.wait_caught_up(120)
            wait_until(lambda: loop.reader.reads > 20, 60, "the reader has looked")
            loop.reader.ended.set()
            loop.reader.join(30)
            assert loop.reader.torn == [], loop.reader.torn[:5]
            for table in TABLES:
                left, right = loop.rows(table)
                assert left == right, f"{table}: {len(left)} and {len(right)} rows; {[r for r in left if r not in right][:3]} {[r for r in right if r not in left][:3]}"
            print(f"{loop.kills} kills, {loop.load.done} transactions, {loop.reader.reads} reads")
