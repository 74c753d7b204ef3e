"""Thousands of tables: everything arrives, memory stays bounded, and one can see where the time goes."""

import json
import os
import subprocess
import time

import psycopg
import pytest

from rig import Postgres, Workdir, find_crossfade, privileges
from rig.mariadb import MariaDB, run
from rig.scenario import count, scenario

TABLES = count(500, 10000)
WATCHED = {"shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.max": 100000}
ROOM = {"max_locks_per_transaction": 64 if TABLES <= 1000 else 1024}  # TRUNCATE of everything locks it in one transaction


def make_tables(url, rows, options=""):
    with psycopg.connect(url, autocommit=True, options=options) as connection:
        for first in range(0, TABLES, 250):
            connection.execute("".join(f"CREATE TABLE t{n} (id int PRIMARY KEY, v int, w text);" + (f"INSERT INTO t{n} SELECT i, {n}, 'row' FROM generate_series(1, {rows}) i;" if rows else "")
                                       for n in range(first, min(first + 250, TABLES))))


def change_tables(url):
    """Three kinds of statements for each table: more than a session of the target keeps."""
    with psycopg.connect(url, autocommit=True) as connection:
        for first in range(0, TABLES, 250):
            connection.execute("".join(f"UPDATE t{n} SET v = v + 1 WHERE id = 1; INSERT INTO t{n} VALUES (10, {n}, 'new'); DELETE FROM t{n} WHERE id = 2;" for n in range(first, min(first + 250, TABLES))))


def peak_rss(pid):
    with open(f"/proc/{pid}/status") as f:
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
    with Workdir("many") as folder, Postgres(folder, "source", settings={**ROOM, **WATCHED}) as source, Postgres(folder, "target", settings={**ROOM, **WATCHED}) as target:
        yield folder, source, target


def asked(server, db, what):
    """Statements of this kind in the database so far."""
    return server.value("SELECT coalesce(sum(calls), 0)::int FROM pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE datname = %s) AND query ~ %s", (db, what), db=db)


def sums_of(url):
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
        make_tables(s.source_url, 3, s.pipeline.as_owner)
        make_tables(s.target_url, 0)
        clock = Clock()
        s.capture.start()
        s.capture.wait_for(lambda status: status.get("phase") == "streaming", 600, "streams")
        clock.lap("copy into the journal")
        target.sql("CREATE EXTENSION pg_stat_statements", db="many")
        s.apply.start()
        s.wait_complete(600)
        clock.lap("copy on the target")
        asked = target.value("SELECT sum(calls) FROM pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE datname = 'many') AND query ~ "
                             "'pg_attribute|pg_class|pg_index|pg_constraint|crossfade[.]loaded|EXISTS [(]SELECT [$0-9]+ FROM ONLY'", db="many")
        print(f"{asked} statements about the catalog")
        assert asked < TABLES  # one by one they were ten times as many
        change_tables(s.source_url)
        clock.lap("changes on the source")
        s.wait(600)
        clock.lap("changes on the target")
        assert s.capture.terminate() == 0
        s.capture.start()
        s.source("UPDATE t7 SET v = -7")
        s.wait(600)
        clock.lap("capture started again")
        backend = target.value("SELECT pid FROM pg_stat_activity WHERE datname = 'many' AND application_name LIKE 'crossfade apply%'")
        peaks = [peak_rss(pid) for pid in (s.capture.pid, s.apply.pid, backend)]
        print("peak memory: capture {} MiB, apply {} MiB, its session on the target {} MiB".format(*(peak >> 20 for peak in peaks)))
        assert peaks[0] < 256 << 20 and peaks[1] < 512 << 20 and peaks[2] < 1024 << 20
        assert sums_of(s.source_url) == sums_of(s.target_url)


CATALOG = r"pg_attribute|pg_class|pg_index|pg_constraint|pg_namespace|pg_trigger|format_type|direct_chunk|direct_table|crossfade[.]loaded|schema_step|EXISTS [(]SELECT"


def test_many_tables_directly(servers):
    """Made, checked and loaded without the journal: what is asked does not grow with the tables, but for their rows."""
    folder, source, target = servers
    with scenario(folder, source, target, target_schema="", name="manyd", more={"capture": {"snapshot_path": "direct", "snapshot_workers": 2}}) as s:
        make_tables(s.source_url, 3, s.pipeline.as_owner)
        # The keys come behind the rows, which is the business of the tables' owner: he makes them, and apply's role is a member of his.
        privileges.prepare_as_target(s.target_url)
        privileges.run_blocks(s.target_url, "target-direct", owner=privileges.OWNER)
        for server in (source, target):
            server.sql("CREATE EXTENSION pg_stat_statements", db="manyd")

        def counted(what, most):
            counts = [asked(server, "manyd", CATALOG) for server in (source, target)]
            print(f"{counts} statements about catalogs and control tables: {what}")
            assert max(counts) < most, what
            for server in (source, target):
                server.sql("SELECT pg_stat_statements_reset()", db="manyd")
        counted("before", TABLES)
        clock = Clock()
        for words, most in ((("schema", "create", "--execute"), TABLES), (("check",), TABLES // 5)):
            done = s.pipeline.run(*words, timeout=900)
            assert done.returncode == 0, done.stdout + done.stderr
            clock.lap(words[0])
            counted(words[0], most)
        s.apply.start()
        s.capture.start()
        s.wait_complete(600)
        clock.lap("direct load")
        assert asked(target, "manyd", "^COPY .* FROM STDIN") == TABLES
        counted("direct load", TABLES // 2)
        peaks = [peak_rss(pid) for pid in (s.capture.pid, s.apply.pid)]
        print("peak memory: capture {} MiB, apply {} MiB".format(*(peak >> 20 for peak in peaks)))
        assert max(peaks) < 512 << 20
        assert sums_of(s.source_url) == sums_of(s.target_url)
        compare_many(s, clock, counted)


def compare_once(s, *words):
    """The report, and the most memory that it took."""
    out = os.path.join(s.pipeline.folder, "compare.json")
    with open(out, "wb") as f, subprocess.Popen([find_crossfade(), "-c", s.pipeline.config_of("compare"), "compare", "run", "--json", *words], stdout=f) as child:
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    with open(out, encoding="utf-8") as f:
        report = json.load(f)
    assert child.returncode == 0, report["reason"] or [t for t in report["tables"] if t["verdict"] != "PASS"][:3]
    return report, usage.ru_maxrss << 10


def compare_many(s, clock, counted):
    """A few statements for each table at most; for those that did not change, none."""
    for words, read in (([], TABLES * 3), (["--changed"], 0), (["--changed"], 2), (["--level", "counts"], TABLES * 3)):
        if read == 2:
            s.source("UPDATE t7 SET v = -7 WHERE id < 3")
        clock.lap("between")
        report, peak = compare_once(s, *words)
        clock.lap(f"compare run {' '.join(words)}")
        print(f"peak memory of compare: {peak >> 20} MiB")
        assert report["summary"]["passed"] == TABLES and report["summary"]["rows_source"] == read and peak < 512 << 20
        counted(f"compare {' '.join(words)}", TABLES * 2)


def test_many_tables_of_mariadb(servers):
    folder, source, target = servers
    with MariaDB(folder, "mariadb") as mariadb, scenario(folder, source, target, target_schema="", name="manym") as s:
        s.pipeline.settings["target"]["url"] = mariadb.create_db("manym", jobs=("apply",))
        s.pipeline.write()
        make_tables(s.source_url, 3, s.pipeline.as_owner)
        with mariadb.connect("manym") as connection, connection.cursor() as cursor:
            for n in range(TABLES):
                cursor.execute(f"CREATE TABLE t{n} (id int PRIMARY KEY, v int, w longtext)")
        s.capture.start()
        s.capture.wait_for(lambda status: status.get("phase") == "streaming", 600, "streams")

        def asked():
            return int(mariadb.sql("SHOW GLOBAL STATUS LIKE 'Com_select'")[0][1])
        before, clock = asked(), Clock()
        s.apply.start()
        s.wait_complete(600)
        clock.lap("copy on MariaDB")
        print(f"{asked() - before} queries")
        assert asked() - before < TABLES
        change_tables(s.source_url)
        s.pipeline.wait_caught_up(600)
        clock.lap("changes on MariaDB")
        assert 0 < int(mariadb.sql("SHOW GLOBAL STATUS LIKE 'Prepared_stmt_count'")[0][1]) <= 1100
        total = [0, 0]
        with mariadb.connect("manym") as connection:
            for n in range(TABLES):
                row = run(connection, f"SELECT COUNT(*), SUM(id * 7 + v) FROM t{n}")[0]
                total = [total[0] + int(row[0]), total[1] + int(row[1])]
        assert total == sums_of(s.source_url)
