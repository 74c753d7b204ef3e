"""Schema changes while the pipeline runs: what the journal holds, what the target needs, where capture stops and how it goes on."""

import json

import pytest

from rig import Postgres, Workdir, wait_until
from rig.journal import read_cat
from rig.scenario import scenario

SCHEMA = "CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL); INSERT INTO t SELECT i, i FROM generate_series(1, 20) i; CREATE TABLE other (id int PRIMARY KEY, v int)"
STOP = {"capture": {"on_ddl": "stop"}}


@pytest.fixture(name="run", scope="module")
def fixture_run():
    with Workdir("schema-changes") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        def run(*arguments, **keywords):
            return scenario(folder, source, target, *arguments, **keywords)
        yield run


def rows_of(s, table):
    """What the journal says happened to this table, in order: (op, after or before)."""
    done = s.pipeline.run("journal", "cat", "--table", f"public.{table}", "--format", "debezium")
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines() if line.strip() not in ("", "null")]
    return [(e["op"], e["after"] if e["after"] is not None else e["before"]) for e in events if e is not None and e.get("op") != "r"]


def accept(s, *flags):
    done = s.pipeline.run("capture", "accept-ddl", *flags)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_added_column(run):
    with run(SCHEMA) as s:
        s.start()
        s.source("INSERT INTO t VALUES (100, 1)", "ALTER TABLE t ADD COLUMN w text DEFAULT 'was there'", "UPDATE t SET v = -1 WHERE id = 1", "INSERT INTO t VALUES (101, 1, 'w')")
        s.apply.assert_exit(5, 30)
        assert 'ALTER TABLE "public"."t" ADD COLUMN "w" text' in s.apply.log_tail()
        assert s.target("SELECT count(*) FROM t WHERE id = 100") == [(1,)]
        s.target("ALTER TABLE t ADD COLUMN w text DEFAULT 'was there'")
        s.apply.start()
        s.assert_equal()
        assert "schema_changed" in s.capture.log_text() and "DEFAULT 'was there'" in s.capture.log_text()
        assert rows_of(s, "t") == [("c", {"id": 100, "v": 1}), ("u", {"id": 1, "v": -1, "w": "was there"}), ("c", {"id": 101, "v": 1, "w": "w"})]


def test_stop_and_accept(run):
    with run(SCHEMA, more=STOP) as s:
        s.start()
        s.source("INSERT INTO t VALUES (100, 1)", "BEGIN; INSERT INTO t VALUES (101, 1); ALTER TABLE t ADD COLUMN w text; INSERT INTO t VALUES (102, 1, 'w'); COMMIT")
        s.capture.assert_exit(5, 30)
        log = s.capture.log_tail()
        assert 'table=public.t' in log and '+"w" text' in log and "accept-ddl" in log, log
        s.capture.start()
        s.capture.assert_exit(5, 30)
        s.target("ALTER TABLE t ADD COLUMN w text")
        assert "nothing waits" in accept(s, "--table", "public.other")
        assert '+"w" text' in accept(s, "--table", "public.t")
        assert "nothing waits" in accept(s)
        s.capture.start()
        s.assert_equal()
        assert s.pipeline.run("capture", "accept-ddl").returncode == 10
        assert rows_of(s, "t") == [("c", {"id": 100, "v": 1}), ("c", {"id": 101, "v": 1}), ("c", {"id": 102, "v": 1, "w": "w"})]
