"""compare run against MariaDB: no false differences under load at fences, planted ones told exactly, and apply goes on however it ends."""

import os
import signal
import subprocess
import threading

import psycopg
import pymysql
import pytest

from rig import Pipeline, Postgres, Workdir, wait_until
from rig.comparing import compare
from rig.kafka import Kafka
from rig.mariadb import ROLE_PASSWORD, MariaDB, run
from rig.privileges import grant_mariadb
from rig.procs import find_crossfade
from rig.scenario import count
from rig.shards import shard_roles

SOURCE = """CREATE TABLE account (id int PRIMARY KEY, balance numeric(12,2) NOT NULL, note text, at timestamptz NOT NULL DEFAULT now());
    CREATE TABLE item (a int, b uuid, v text, f float8, PRIMARY KEY (a, b));
    CREATE TABLE word (w text PRIMARY KEY, n bigint);
    INSERT INTO account SELECT i, 100, CASE WHEN i % 3 = 0 THEN NULL ELSE 'n' || i END FROM generate_series(1, 5000) i;
    INSERT INTO item SELECT i % 50, md5(i::text)::uuid, 'v' || i, i / 7.0 FROM generate_series(1, 4000) i;
    INSERT INTO word SELECT 'Wort ' || i, i FROM generate_series(1, 2000) i"""
TARGET = """CREATE TABLE account (id int PRIMARY KEY, balance decimal(12,2) NOT NULL, note longtext, at datetime(6) NOT NULL)
        CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;
    CREATE TABLE item (a int, b char(36) CHARACTER SET ascii COLLATE ascii_bin, v longtext, f double, PRIMARY KEY (a, b))
        CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;
    CREATE TABLE word (w varchar(100), n bigint, PRIMARY KEY (w)) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin"""


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("compare-mariadb") as folder, Postgres(folder, "source") as source, MariaDB(folder, "target") as target:
        yield folder, source, target


class Writers:
    """Transfers between accounts, items that come and go, words that change: each transaction touches several tables."""

    def __init__(self, url, clients=2):
        self.url, self.done, self.failure, self._stop = url, 0, None, threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,), daemon=True) for n in range(clients)]

    def _run(self, n):
        try:
            with psycopg.connect(self.url) as connection:
                i = n
                while not self._stop.is_set():
                    i += len(self._threads)
                    a, b = sorted((i * 7 % 4000 + 1, i * 13 % 4000 + 1))
                    connection.execute("UPDATE account SET balance = balance - 1, note = %s, at = clock_timestamp() WHERE id = %s", (f"x'\\{i}", a))
                    connection.execute("UPDATE account SET balance = balance + 1, note = NULL WHERE id = %s", (b,))
                    connection.execute("INSERT INTO item VALUES (%s, gen_random_uuid(), %s, %s)", (i % 50, "größer " * (i % 3), i / 3))
                    connection.execute("DELETE FROM item WHERE (a, b) IN (SELECT a, b FROM item WHERE a = %s ORDER BY b LIMIT 1)", ((i + 1) % 50,))
                    connection.execute("UPDATE word SET w = %s WHERE n = %s", (f"Word {i}", i % 1500 + 1))
                    connection.commit()
                    self.done += 1
        except psycopg.errors.DeadlockDetected:
            self._run(n + 100000)
        except Exception as e:  # pylint: disable=broad-except
            self.failure = e

    def __enter__(self):
        for t in self._threads:
            t.start()
        return self

    def __exit__(self, *exc):
        self._stop.set()
        for t in self._threads:
            t.join(60)


def told(report):
    return sorted((t["table"], d["kind"], tuple(d["key"].values()), tuple((c["name"], c["source"], c["target"]) for c in d["columns"]
                                                                         if d["kind"] == "changed"))
                  for t in report["tables"] for d in t["differences"])


def make(servers, name, journal=None, more=None):
    folder, source, target = servers
    source_url, target_url = source.create_db(name), target.create_db(name)
    source.sql(SOURCE, db=name)
    target.script(TARGET, name)
    settings = {"capture": {"heartbeat_interval_ms": 500}, "compare": {"chunk_rows": 1000}}
    for section, keys in (more or {}).items():
        settings.setdefault(section, {}).update(keys)
    return Pipeline(folder, source_url, target_url, journal=journal, name=name, tables=("public.*",), more=settings)


def start(p):
    p.capture.start()
    p.apply.start()
    p.apply.wait_for(lambda status: status.get("complete"), 120, "the copy is complete")


def plant(target, name, *statements):
    for statement in statements:
        target.sql_again(statement, db=name)


def check_under_load(servers, name, journal, runs):
    target = servers[2]
    with make(servers, name, journal) as p:
        start(p)
        with Writers(p.source_url) as writers:
            wait_until(lambda: writers.done > 20, 60, "the writers write")
            fences = set()
            for _ in range(runs):
                report = compare(p)
                assert report["verdict"] == "PASS" and report["scope"] == "full"
                assert report["summary"]["passed"] == 3
                assert report["summary"]["rows_source"] == report["summary"]["rows_target"] > 10000
                fences.add(report["fence"]["id"])
            assert len(fences) == runs
            assert writers.failure is None
            plant(target, name, "UPDATE account SET balance = balance + 0.01 WHERE id = 4999", "DELETE FROM word WHERE w = 'Wort 1999'",
                  "INSERT INTO item VALUES (77, '00000000-0000-0000-0000-00000000000f', 'x', 1)")
            assert told(compare(p, code=1)) == [
                ("account", "changed", ("4999",), (("balance", "100", "100.01"),)),
                ("item", "extra", ("77", "00000000-0000-0000-0000-00000000000f"), ()),
                ("word", "missing", ("Wort 1999",), ())]
        assert writers.failure is None
        p.wait_caught_up()
        verdicts = [v for v, in target.sql("SELECT verdict FROM crossfade_verdict ORDER BY id", db=name)]
        assert verdicts == ["PASS"] * runs + ["FAIL"]


def test_no_false_differences_under_load_lmdb(servers):
    check_under_load(servers, "load", None, count(5, 100))


def test_no_false_differences_under_load_kafka(servers):
    with Kafka(servers[0]) as kafka:
        check_under_load(servers, "loadk", kafka.url, count(2, 100))


def test_no_false_differences_with_shards_of_writers(servers):
    """Two processes, each with three writers that commit by XA one after the other: every session's snapshot has all of a fence's rows, or it does not count."""
    folder, _, target = servers
    with make(servers, "shards", more={"apply": {"writers": 3, "writer_rows": 1}}) as p:
        shards = shard_roles(p.settings, folder, "shards", 2)
        try:
            for role in (p.capture, *shards):
                role.start()
            for role in shards:
                role.wait_for(lambda status: status.get("complete"), 120, "the copy is complete")
            with Writers(p.source_url) as writers:
                wait_until(lambda: writers.done > 20, 60, "the writers write")
                for _ in range(count(2, 20)):
                    report = compare(p)
                    assert report["verdict"] == "PASS" and report["summary"]["passed"] == 3
                plant(target, "shards", "UPDATE account SET balance = balance + 0.01 WHERE id = 4998", "DELETE FROM word WHERE w = 'Wort 1998'")
                assert told(compare(p, code=1)) == [("account", "changed", ("4998",), (("balance", "100", "100.01"),)), ("word", "missing", ("Wort 1998",), ())]
            assert writers.failure is None
        finally:
            for role in shards:
                role.close()


@pytest.mark.parametrize("point", ["compare.held", "compare.reached"])
def test_killed_comparator_lets_apply_go_on(servers, point):
    source, target = servers[1], servers[2]
    name = "kill_" + point.split(".")[1]
    with make(servers, name, more={"compare": {"chunk_rows": 1000, "deadline_ms": 2000}}) as p:
        start(p)
        done = subprocess.run([find_crossfade(), "-c", p.config_of("compare"), "compare", "run"], capture_output=True, text=True, timeout=120,
                              env=dict(os.environ, CROSSFADE_FAILPOINT=f"{point}:1:kill"), check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr
        source.sql("UPDATE account SET note = 'on' WHERE id = 1", db=name)
        wait_until(lambda: target.value("SELECT note FROM account WHERE id = 1", db=name) == "on", 60, "apply has gone on")
        assert compare(p)["verdict"] == "PASS"


def test_role_with_few_rights(servers):
    """docs/PRIVILEGES.md: compare's role reads, releases and records, and changes nothing."""
    target = servers[2]
    with make(servers, "few") as p:
        start(p)
        grant_mariadb(target, "few", "crossfade_cmp", ROLE_PASSWORD, "mariadb-compare")
        p.settings["target"]["url"] = target.url("few", "crossfade_cmp")
        p.write()
        assert compare(p)["verdict"] == "PASS"
        with target.connect("few", "crossfade_cmp", ROLE_PASSWORD) as connection, pytest.raises(pymysql.err.OperationalError):
            run(connection, "DELETE FROM account WHERE id = 1")
        target.sql("REVOKE INSERT ON few.crossfade_release FROM crossfade_cmp@'%'")
        assert "crossfade_release" in p.run("compare", "run", timeout=300).stderr
