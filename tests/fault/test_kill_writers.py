"""Several writers of one batch: apply is killed at every step of their two-phase commit, and apply, capture and the target at random moments.

Transfers between accounts go on meanwhile, some over all rows. A reader of the target looks at the sum in snapshots in which no batch
is pending: half of a batch would show. In the end both sides are equal, and nothing is left prepared.
"""

import random
import threading
import time

import psycopg

from rig import Postgres, Workdir
from rig.failpoints import failpoints
from rig.scenario import count, scenario, seed
from rig.wait import wait_until
from rig.writer import Writer

ACCOUNTS = 400
SCHEMA = f"""
CREATE TABLE account (id int PRIMARY KEY, balance bigint NOT NULL, note text, tags int[]);
CREATE TABLE other (id uuid PRIMARY KEY, place int UNIQUE DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE bare (a int, b text); ALTER TABLE bare REPLICA IDENTITY FULL;
INSERT INTO account SELECT i, 1000, repeat('n', 3000), ARRAY[i, NULL] FROM generate_series(1, {ACCOUNTS}) i;
INSERT INTO other SELECT md5(i::text)::uuid, i FROM generate_series(1, 40) i;
"""


class Reader:
    """Sums of the target, as long as it answers; `torn` has what no state of the source can show."""

    def __init__(self, url):
        self.url, self.reads, self.torn, self.ended = url, 0, [], threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.ended.is_set():
            try:
                with psycopg.connect(self.url, autocommit=True, connect_timeout=5) as connection:
                    while not self.ended.wait(0.02):
                        self.look(connection)
            except psycopg.Error:
                self.ended.wait(0.1)

    def look(self, connection):
        row = connection.execute("SELECT (SELECT count(*) FROM account), (SELECT sum(balance) FROM account), (SELECT sum(place) FROM other)"
                                 " FROM crossfade.position WHERE complete AND pending IS NULL").fetchone()
        if row is not None:
            self.reads += 1
            if row != (ACCOUNTS, 1000 * ACCOUNTS, 820):
                self.torn.append(row)


def transfers(rng):
    def statements(_):
        a, b = rng.sample(range(1, ACCOUNTS + 1), 2)
        kind = rng.random()
        if kind < 0.4:
            yield "UPDATE account SET balance = balance + CASE WHEN id % 2 = 0 THEN 1 ELSE -1 END, tags = tags || 1"
        elif kind < 0.5:
            yield "UPDATE other SET place = place % 40 + 1"
        elif kind < 0.6:
            yield f"INSERT INTO bare SELECT {a}, 'twin' FROM generate_series(1, 5)"
            yield "DELETE FROM bare WHERE ctid IN (SELECT ctid FROM bare LIMIT 3)"
        elif kind < 0.65:  # a key moves, its note is not sent
            yield f"UPDATE account SET id = id + 100000 WHERE id = {a}; UPDATE account SET id = id - 100000 WHERE id > 100000"
        else:
            yield f"UPDATE account SET balance = balance - 5 WHERE id = {a}; UPDATE account SET balance = balance + 5 WHERE id = {b}"
    return statements


class Loop:
    def __init__(self, s, rng):
        self.s, self.rng, self.kills = s, rng, 0

    def start(self, failpoint=None):
        assert self.s.apply.exit_code in (None, -9), self.s.apply.log_tail()
        if self.s.apply.running:
            self.s.apply.kill9()
        self.s.apply.start(failpoint=failpoint)

    def kill_at(self, point, nth):
        if point == "apply.writers_recover":  # something has to be left prepared
            self.kill_at("apply.writers_before_decision", 1)
        self.start(f"{point}:{nth}")
        wait_until(lambda: self.s.apply.exit_code is not None, 90, f"apply is killed at {point}")
        assert self.s.apply.exit_code == -9, self.s.apply.log_tail()
        self.kills += 1

    def kill_at_random(self, times):
        for _ in range(times):
            time.sleep(self.rng.uniform(0.02, 0.8))
            victim = self.rng.choice(["apply"] * 4 + ["capture", "target"])
            print(f"kill {victim}")
            if victim == "apply":
                self.start()
            elif victim == "capture":
                self.s.capture.kill9()
                self.s.capture.start()
            else:
                self.s.target_server.kill9()
                self.s.target_server.start()
            self.kills += 1


def test_apply_with_several_writers_is_killed_at_every_step_and_at_random_moments():
    rng = random.Random(seed())
    points = sorted(p for p in failpoints("apply", "lib/target") if p.startswith("apply.writers_"))
    assert len(points) == 6
    with Workdir("kill-writers") as folder, Postgres(folder, "source") as source, \
            Postgres(folder, "target", settings={"max_prepared_transactions": 10}) as target, \
            scenario(folder, source, target, SCHEMA, more={"apply": {"writers": 3, "writer_rows": 1}}) as s:
        s.start()
        loop, reader = Loop(s, rng), Reader(s.target_url)
        with Writer(s.source_url, transfers(rng), pause=0.004) as writer:
            for point in points:
                for nth in (1, 2) if point.endswith(("prepared", "committed")) else (1,):
                    loop.kill_at(point, nth)
            loop.kill_at_random(count(10, 80))
            if not s.apply.running:
                loop.start()
            writer.wait_rounds(50)
        s.assert_equal(120)
        wait_until(lambda: reader.reads > 20, 60, "the reader has looked")
        reader.ended.set()
        reader.thread.join(30)
        assert reader.torn == [], reader.torn[:5]
        assert s.target("SELECT count(*) FROM pg_prepared_xacts") == [(0,)]
        assert s.target("SELECT count(*) FROM crossfade.position WHERE pending IS NOT NULL") == [(0,)]
        print(f"{loop.kills} kills, {writer.rounds} rounds, {reader.reads} reads")
