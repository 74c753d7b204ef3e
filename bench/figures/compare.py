"""compare-*: comparisons at a fence of two databases that are equal, or nearly, against other tools over the same tables and servers."""

import json
import os
import re
import statistics
import subprocess
import threading
import time

from contextlib import contextmanager
from datetime import datetime

from rig.relay import Relay

from .rigging import ACCOUNTS, ACCOUNTS_TABLE, until

CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "crossfade")
RELADIFF = os.path.join(CACHE, "venv-bench", "bin", "reladiff")
VALIDATOR = os.path.join(CACHE, "venv-validator", "bin", "data-validation")
COLUMNS = ("bid", "abalance", "filler")
SMALL_TABLES, SMALL_ROWS = 200, 100
FENCES = 60
CLIENTS = 4
SPANS, AFTER_S, QUIET_S = 4, 10, 20  # comparisons that are looked at, seconds that count as theirs behind their end, and at least so many others

# The same library as the command, without a process for each table.
MANY = """import sys, reladiff
source, target, count = sys.argv[1:4]
for i in range(int(count)):
    one, other = (reladiff.connect_to_table(url, f"small_{i}", "id", extra_columns=("n", "name")) for url in (source, target))
    assert not list(reladiff.diff_tables(one, other)), i
"""
PHYSICAL = "SELECT count(*), count(sha256(convert_to(t::text, 'UTF8'))) FROM pgbench_accounts t"
SIX = ("UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid IN (17, 900001)", "UPDATE pgbench_accounts SET filler = 'x' WHERE aid = 1500000",
       "DELETE FROM pgbench_accounts WHERE aid = 300003", "UPDATE pgbench_accounts SET aid = -1 WHERE aid = 1000000")


def timed(command, expect=0, **more):
    started = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False, **more)
    assert done.returncode == expect, (command[0], done.returncode, done.stdout[-600:], done.stderr[-600:])
    return time.monotonic() - started, done.stdout


@contextmanager
def moved(bench, tables=("pgbench_accounts",), schema=None):
    """A pipeline whose target holds all rows: (pipeline, the target's name)."""
    name = bench.fresh_target() if schema is None else bench.fresh_target(workload=schema)
    with bench.pipeline("lmdb", name, table=list(tables)) as p:
        p.start()
        until(p.apply, lambda s: s.get("complete"), what="the snapshot on the target")
        bench.target.psql("-c", "VACUUM ANALYZE", db=name)
        bench.source.psql("-c", "CHECKPOINT", db="bench")
        yield p, name
    bench.drop_target(name)


class WithEmpty:
    tables = ("pgbench_accounts", "nothing")
    schema = (ACCOUNTS_TABLE, "CREATE TABLE nothing (id int PRIMARY KEY)")


@contextmanager
def moved_with_empty(bench):
    bench.source.psql("-c", "DROP TABLE IF EXISTS nothing", "-c", WithEmpty.schema[1], db="bench")
    try:
        with moved(bench, WithEmpty.tables, WithEmpty) as both:
            yield both
    finally:
        bench.source.psql("-c", "DROP TABLE nothing", db="bench")


def ours(p, expect=0, *flags):
    """Seconds of a whole comparison, and its report."""
    started = time.monotonic()
    done = p.run("compare", "run", "--json", *flags, timeout=600)
    took = time.monotonic() - started
    assert done.returncode == expect, done.stdout[-400:] + done.stderr[-400:]
    return took, json.loads(done.stdout)


def reladiff(bench, name):
    return timed([RELADIFF, bench.source.url("bench"), "pgbench_accounts", bench.target.url(name), "pgbench_accounts", "-k", "aid",
                  *[part for column in COLUMNS for part in ("-c", column)]])


def ratio(bench, what, ours_s, yard, yard_s):
    bench.say(f"{what}: {ours_s:.2f} s, {yard} {yard_s:.2f} s, {int(ACCOUNTS) / ours_s:,.0f} rows/s")
    return ours_s / yard_s


def same(bench):
    with moved(bench) as (p, name):
        ours_s, _ = ours(p)
        yard_s, lines = reladiff(bench, name)
        assert lines.strip() == "", lines[:400]
    return ratio(bench, "compare, equal", ours_s, "reladiff", yard_s)


def six(bench):
    """Six differences: three changed rows, one missing, one extra (a key that moved: missing and extra)."""
    with moved(bench) as (p, name):
        for statement in SIX:
            bench.target.psql("-c", statement, db=name)
        ours_s, report = ours(p, 1)
        assert report["summary"]["differences"] == 6, report["summary"]
        yard_s, lines = reladiff(bench, name)
        assert lines.strip() != ""
    return ratio(bench, "compare, six differences", ours_s, "reladiff", yard_s)


class Small:
    tables = tuple(f"small_{i}" for i in range(SMALL_TABLES))
    schema = tuple(f"CREATE TABLE {t} (id int PRIMARY KEY, n bigint, name text)" for t in tables)


def small(bench):
    statements = [part for t, make in zip(Small.tables, Small.schema)
                  for part in ("-c", f"DROP TABLE IF EXISTS {t}", "-c", make, "-c", f"INSERT INTO {t} SELECT i, i * 7, md5(i::text) FROM generate_series(1, {SMALL_ROWS}) i")]
    bench.source.psql(*statements, "-c", "ANALYZE", db="bench")
    try:
        with moved(bench, Small.tables, Small) as (p, name):
            ours_s, _ = ours(p)
            yard_s, _ = timed([os.path.join(os.path.dirname(RELADIFF), "python"), "-c", MANY, bench.source.url("bench"), bench.target.url(name), str(SMALL_TABLES)])
    finally:
        bench.source.psql(*[part for t in Small.tables for part in ("-c", f"DROP TABLE {t}")], db="bench")
    bench.say(f"compare, {SMALL_TABLES} tables: {ours_s:.2f} s, reladiff in one process {yard_s:.2f} s")
    return ours_s / yard_s


def validator(bench):
    """Google's data validator, row hashes of all columns."""
    home = os.path.join(bench.folder, "validator")
    os.makedirs(home, exist_ok=True)
    env = dict(os.environ, PSO_DV_CONN_HOME=home)
    with moved(bench) as (p, name):
        ours_s, _ = ours(p)
        for side, server, database in (("source", bench.source, "bench"), ("target", bench.target, name)):
            timed([VALIDATOR, "connections", "add", "--connection-name", side, "Postgres", "--host", "127.0.0.1", "--port", str(server.port), "--user", "postgres",
                   "--password", "none", "--database", database], env=env)
        yard_s, lines = timed([VALIDATOR, "validate", "row", "-sc", "source", "-tc", "target", "-tbls", "public.pgbench_accounts", "--primary-keys", "aid", "--hash", "*",
                               "--filter-status", "fail", "--format", "csv"], env=env)
        assert "fail" not in lines.splitlines()[1:], lines[:400]
    return ratio(bench, "compare, equal", ours_s, "data validator", yard_s)


def physical(bench):
    """What hashing every row costs at all: one statement on each side, both at once."""
    with moved(bench) as (p, name):
        ours_s, _ = ours(p)
        started = time.monotonic()
        both = [subprocess.Popen(["psql", "-X", "-At", "-d", url, "-c", PHYSICAL], stdout=subprocess.PIPE, text=True) for url in (bench.source.url("bench"), bench.target.url(name))]
        counts = [each.communicate(timeout=600)[0] for each in both]
        yard_s = time.monotonic() - started
        assert counts[0] == counts[1] == f"{ACCOUNTS}|{ACCOUNTS}\n", counts
    return ratio(bench, "compare, equal", ours_s, "sha256 of every row", yard_s)


def wire(bench):
    """Bytes between the comparison and both servers, beyond those for an empty table, for 100,000 equal rows."""
    totals = {}
    with moved_with_empty(bench) as (p, name):
        for table in WithEmpty.tables:
            with Relay(bench.source.port) as source, Relay(bench.target.port) as target:
                ours(p, 0, f"--table=public.{table}", f"--source.url={bench.source.url('bench').replace(f':{bench.source.port}', f':{source.port}')}",
                     f"--target.url={bench.target.url(name).replace(f':{bench.target.port}', f':{target.port}')}")
                totals[table] = source.carried_bytes + target.carried_bytes
    bench.say(f"compare: {totals['pgbench_accounts']:,} bytes for {int(ACCOUNTS):,} rows, {totals['nothing']:,} for none")
    return (totals["pgbench_accounts"] - totals["nothing"]) / (int(ACCOUNTS) / 100000)


def hold(bench):
    """For how long apply is held at a fence, while pgbench writes 1,000 transactions a second."""
    with moved_with_empty(bench) as (p, _):
        load = ["pgbench", "-n", "-c", "2", "-R", "1000", "-T", "600", "-f", "-", bench.source.url("bench")]
        script = f"\\set a random(1, {ACCOUNTS})\nUPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = :a;\n"
        with subprocess.Popen(load, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True) as writers:
            writers.stdin.write(script)
            writers.stdin.close()
            try:
                held_ms = sorted(held_one(p) for _ in range(FENCES))
            finally:
                writers.terminate()
    bench.say(f"apply held at {FENCES} fences: median {statistics.median(held_ms):.1f} ms, longest {held_ms[-1]:.1f} ms")
    return held_ms[-1]  # of 60: an upper bound of the 99th percentile


def held_one(p):
    _, report = ours(p, 0, "--table=public.nothing")
    return report["fence"]["apply_held_ms"]


def changed(bench):
    """2 M rows, of which 1 % (each hundredth) changed since a comparison: what is built on it, against reading all."""
    with moved(bench) as (p, _):
        first_s, _ = ours(p)
        bench.source.psql("-c", "UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid % 100 = 0", db="bench")
        p.wait_caught_up()
        second_s, report = ours(p, 0, "--changed")
    assert report["summary"]["rows_source"] == int(ACCOUNTS) // 100, report["summary"]
    return ratio(bench, "compare, 1 % changed", second_s, "all rows", first_s)


class Pgbench:
    """pgbench's own mix, as many transactions as the server gives: tps by the second, at the clock's time, for as long as the block lasts."""

    def __init__(self, bench):
        command = ["pgbench", "-n", "-c", str(CLIENTS), "-j", "2", "-T", "3600", "-P", "1", "--progress-timestamp", bench.source.url("bench")]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.tps = {}  # at: transactions in the second before
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stderr:
            step = re.match(r"progress: ([0-9.]+) s, ([0-9.]+) tps", line)
            if step:
                self.tps[float(step[1])] = float(step[2])

    def in_span(self, begin, end):
        return [tps for at, tps in self.tps.items() if begin + 1 <= at <= end]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        assert self.process.poll() is None, "pgbench ended by itself"
        self.process.terminate()
        self.process.wait()
        self.reader.join(60)


def compared(p):
    """When one comparison, which may rest first, was at work: from the request for its fence to its end."""
    _, report = ours(p)
    begin, end = (datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() for text in (report["fence"]["committed_at"], report["finished_at"]))
    return begin - 1, end


def load(bench):
    """pgbench as fast as it goes with comparisons without end beside it: what it does from one comparison's beginning to the next one's, against
    what the seconds in which none was at work (nor had been for a while) make of that time. One pgbench, since its rate changes more from minute to minute than this costs."""
    with moved(bench) as (p, _), Pgbench(bench) as clients:
        compared(p)  # warm, and in debt for the next
        spans = [compared(p) for _ in range(SPANS + 1)]
        pairs = []
        for (begin, end), (then, _) in zip(spans, spans[1:]):
            quiet, whole = clients.in_span(end + AFTER_S, then), clients.in_span(begin, then)
            assert len(quiet) >= QUIET_S, (begin, end, then)
            pairs.append((statistics.mean(whole), statistics.mean(quiet), then - begin))
            bench.say(f"one comparison in {then - begin:.0f} s, at work for {end - begin:.1f} s: pgbench {pairs[-1][0]:,.0f} tps, {pairs[-1][1]:,.0f} tps in the {len(quiet)} s that were quiet")
        p.wait_caught_up(timeout=300)
    return sum(whole * took for whole, _, took in pairs) / sum(quiet * took for _, quiet, took in pairs)
