"""Thousands of tables: everything arrives, memory stays bounded, and one can see where the time goes."""

import time

import psycopg
import pytest

from rig import Postgres, Workdir
from rig.scenario import count, scenario

TABLES = count(500, 10000)
ROOM = {"max_locks_per_transaction": 64 if TABLES <= 1000 else 1024}  # TRUNCATE of everything locks it in one transaction


def make_tables(url, rows):
    with psycopg.connect(url, autocommit=True) as connection:
        for first in range(0, TABLES, 250):
            connection.execute("".join(f"CREATE TABLE t{n} (id int PRIMARY KEY, v int, w text);" + (f"INSERT INTO t{n} SELECT i, {n}, 'row' FROM generate_series(1, {rows}) i;" if rows else "")
                                       for n in range(first, min(first + 250, TABLES))))


def peak_rss(role):
    with open(f"/proc/{role.pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmHWM:")) << 10


class Clock:
    def __init__(self):
        self.since = time.monotonic()

    def lap(self, what):
        now = time.monotonic()
        print(f"{TABLES} tables: {what}: {now - self.since:.1f} s")
        self.since = now


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("many") as folder, Postgres(folder, "source", settings=ROOM) as source, Postgres(folder, "target", settings=ROOM) as target:
        yield folder, source, target


def sums(url):
    """Of all tables at once: rows, and what is in them."""
    with psycopg.connect(url) as connection:
        parts = [f"SELECT count(*) c, coalesce(sum(id::bigint * 7 + v), 0) s FROM t{n}" for n in range(TABLES)]
        total = [0, 0]
        for first in range(0, TABLES, 500):
            row = connection.execute("SELECT sum(c), sum(s) FROM (" + " UNION ALL ".join(parts[first:first + 500]) + ") x").fetchone()
            connection.rollback()
            total = [total[0] + row[0], total[1] + row[1]]
        return total


def test_many_tables(servers):
    folder, source, target = servers
    with scenario(folder, source, target, target_schema="", name="many") as s:
        make_tables(s.source_url, 3)
        make_tables(s.target_url, 0)
        clock = Clock()
        s.capture.start()
        s.capture.wait_for(lambda status: status.get("phase") == "streaming", 600, "streams")
        clock.lap("copy into the journal")
        s.apply.start()
        s.wait_complete(600)
        clock.lap("copy on the target")
        with psycopg.connect(s.source_url, autocommit=True) as connection:
            for first in range(0, TABLES, 250):
                connection.execute("".join(f"UPDATE t{n} SET v = v + 1 WHERE id = 1; INSERT INTO t{n} VALUES (10, {n}, 'new'); DELETE FROM t{n} WHERE id = 2;" for n in range(first, min(first + 250, TABLES))))
        clock.lap("changes on the source")
        s.wait(600)
        clock.lap("changes on the target")
        assert s.capture.terminate() == 0
        s.capture.start()
        s.source("UPDATE t7 SET v = -7")
        s.wait(600)
        clock.lap("capture started again")
        print(f"peak memory: capture {peak_rss(s.capture) >> 20} MiB, apply {peak_rss(s.apply) >> 20} MiB")
        assert peak_rss(s.capture) < 256 << 20 and peak_rss(s.apply) < 512 << 20
        assert sums(s.source_url) == sums(s.target_url)
