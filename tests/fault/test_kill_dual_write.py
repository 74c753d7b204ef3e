"""The application writes both sides while several writers, or several shards, apply: killed at each step of their common commit, and at random.

Only what differed is a conflict, each once, and each table ends as its rule says; tables without a rule go through all writers meanwhile.
"""

import contextlib
import random
import time

import psycopg
import pytest

from rig import Workdir
from rig.dialects import Into
from rig.mariadb import run
from rig.scenario import count, seed
from rig.wait import wait_until

RULES = {"mine": "source_wins", "yours": "target_wins", "newer": "newer_wins(n)"}
PLAIN = ["plain1", "plain2", "plain3"]
ROWS = 300
DDL = ";\n".join([f"CREATE TABLE {t} (id int PRIMARY KEY, v varchar(40), n int)" for t in RULES] + [f"CREATE TABLE {t} (id int PRIMARY KEY, n int)" for t in PLAIN])
KILLED = -9
POINTS = ["apply.conflicts", "apply.writers_prepared", "apply.writers_before_decision", "apply.writers_decided", "apply.writers_committed", "apply.writers_before_finish", "apply.after_commit"]
MORE = {"apply": {"writers": 3, "writer_rows": 1, "conflicts": {f"public.{t}": rule for t, rule in RULES.items()}, "dual_write_until": "2999-01-01T00:00Z"}}


class Sides:
    """The application: each write goes to both sides, in either order; some are not the same."""

    def __init__(self, x, rng):
        self.x, self.rng, self.number = x, rng, 1000
        self.expected = {t: {i: f"v{i}" for i in range(1, ROWS + 1)} for t in RULES}
        self.disputed = []
        self.clashing = {t: rng.sample(range(1, ROWS + 1), 100) for t in RULES}  # once each: a row that the target has won differs from then on
        self.same = {t: [i for i in range(1, ROWS + 101) if i not in self.clashing[t]] for t in RULES}

    def __enter__(self):
        self.stack = contextlib.ExitStack()
        connect = (lambda url: psycopg.connect(url, autocommit=True))
        source = self.stack.enter_context(connect(self.x.source_url))
        self.source = source.execute
        if self.x.dialect == "mariadb":
            target = self.stack.enter_context(self.x.server.connect(self.x.name))
            self.target = lambda statement: run(target, statement)
        else:
            self.target = self.stack.enter_context(connect(self.x.target_url)).execute
        return self

    def __exit__(self, *exc):
        self.stack.close()

    def write_same(self, table, id):
        self.number += 1
        values = f"INSERT INTO {table} (id, v, n) VALUES ({id}, 'same {self.number}', {self.number}) "
        theirs = "ON CONFLICT (id) DO UPDATE SET v = EXCLUDED.v, n = EXCLUDED.n"
        sides = [(self.source, theirs), (self.target, theirs if self.x.dialect != "mariadb" else "ON DUPLICATE KEY UPDATE v = VALUES(v), n = VALUES(n)")]
        for side, clause in self.rng.sample(sides, 2):
            side(values + clause)
        self.expected[table][id] = f"same {self.number}"

    def write_different(self, table):
        self.number += 2
        id, ahead = self.clashing[table].pop(), self.rng.choice((-1, 1))
        self.target(f"UPDATE {table} SET v = 'target {self.number}', n = {self.number + ahead} WHERE id = {id}")
        self.source(f"UPDATE {table} SET v = 'source {self.number}', n = {self.number} WHERE id = {id}")
        winner = {"mine": "source", "yours": "target"}.get(table) or ("target" if ahead > 0 else "source")
        self.expected[table][id] = f"{winner} {self.number}"
        self.disputed.append((table, str(id), winner))

    def round(self):
        """No row twice: apply may be behind, and would take its state between for a conflict."""
        for table in RULES:
            for i, id in enumerate(self.rng.sample(self.same[table], 8)):
                self.write_same(table, id)
                if i % 4 == 3:
                    self.write_different(table)
                self.source(f"UPDATE {self.rng.choice(PLAIN)} SET n = n + 1")

    def check(self):
        for table in RULES:
            assert {int(id): v for id, v in self.x.target(f"SELECT id, v FROM {table}")} == self.expected[table], table
        key = "JSON_VALUE(`key`, '$.id')" if self.x.dialect == "mariadb" else "key ->> 'id'"
        found = self.x.target(f"SELECT table_name, {key}, decision FROM {self.x.control('conflict')}")
        assert sorted(found) == sorted(self.disputed)
        assert self.x.target(f"SELECT count(DISTINCT dual_write) FROM {self.x.control('applied')}") == [(str(len(RULES)),)]
        self.x.assert_equal(PLAIN)
        self.x.assert_settled()


def begin(x, roles):
    x.source(*(f"INSERT INTO {t} SELECT i, 'v' || i, i FROM generate_series(1, {ROWS}) i" for t in RULES), *(f"INSERT INTO {t} SELECT i, 0 FROM generate_series(1, 60) i" for t in PLAIN))
    x.capture.start()
    for role in roles:
        role.start()
    for role in roles:
        role.wait_for(lambda status: status.get("complete"), 120, "the copy is complete")
    for role in roles:
        role.wait_log("dual_write tables", 60)
    x.caught_up(roles)


def kill_at(x, role, point, sides):
    """The role is killed at the point while the application writes; then it goes on."""
    role.kill9()
    role.start(failpoint=f"{point}:1")
    sides.round()
    for _ in range(20):  # (a shard may have no rows of this round that more than one writer shares)
        if role.exit_code is not None:
            break
        sides.source("; ".join(f"UPDATE {t} SET n = n + 1" for t in PLAIN))
        for table in RULES:
            sides.write_different(table) if len(sides.clashing[table]) > 60 else None
        with contextlib.suppress(AssertionError):
            wait_until(lambda: role.exit_code is not None, 3, "it is killed")
    role.assert_exit(KILLED, 60)
    role.start()


def kill_at_random(x, roles, sides, rng, times):
    for _ in range(times):
        sides.round()
        role = rng.choice(roles)
        time.sleep(rng.uniform(0, 0.3))
        assert role.exit_code in (None, KILLED), role.log_tail()
        role.kill9()
        role.start()
        x.caught_up(roles)


@pytest.mark.parametrize("dialect", ["postgresql", "mariadb"])
def test_dual_write_with_several_writers_and_shards_is_killed(dialect):
    rng = random.Random(seed())
    settings = {"max_prepared_transactions": 20} if dialect == "postgresql" else None
    with Workdir("kill-dual-write") as folder, Into(folder, dialect, "both", DDL, MORE, settings) as x, Sides(x, rng) as sides:
        one, two = x.shards(1), x.shards(2)
        begin(x, one)
        for point in rng.sample(POINTS, count(4, len(POINTS))):
            kill_at(x, one[0], point, sides)
            x.caught_up(one)
        kill_at_random(x, one, sides, rng, count(2, 20))
        sides.check()
        assert one[0].status()["conflicts_open"] == 0

        # What is known of the rows goes with the tables when the number of shards changes.
        x.capture.terminate()
        x.one_fence(1)
        one[0].terminate()
        for role in two:
            role.start()
        wait_until(lambda: sorted(x.positions()) == ["1/2", "2/2"], 60, "the positions are those of the new shards")
        x.capture.start()
        kill_at_random(x, two, sides, rng, count(3, 20))
        sides.check()
        assert x.target(f"SELECT count(DISTINCT shard) FROM {x.control('loaded')}") == [("2",)]
