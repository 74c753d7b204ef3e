"""`crossfade check`: every precondition, broken one at a time, is named with a hint; and it only looks."""

import json
import os
import re

import pytest

from rig import Postgres, Workdir, free_port, run_crossfade
from rig.scenario import scenario

T = "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'v' || i FROM generate_series(1, 10) i"


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("check") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


def check(pipeline):
    """(exit code, [(side, check, state, found, hint)…])"""
    done = pipeline.run("check", "--json")
    assert not re.search("Sanitizer|runtime error", done.stderr), done.stderr
    report = json.loads(done.stdout)
    rows = [(c["side"], c["check"], c["state"], c["found"], c["hint"]) for c in report["checks"]]
    assert report["ok"] == (not [r for r in rows if r[2] == "fail"])
    assert sum(report["counts"].values()) == len(rows)
    return done.returncode, rows


def bad(rows):
    return [r for r in rows if r[2] != "ok"]


def expect(pipeline, state, name, *words, code=None):
    """One row of that state and name has all the words in its finding or hint."""
    got, rows = check(pipeline)
    assert got == (code if code is not None else (1 if state == "fail" else 0)), rows
    for row in rows:
        if row[1] == name and row[2] == state and all(w in (row[3] + " " + (row[4] or "")) for w in words):
            assert row[4] or name == "ready", f"no hint: {row}"
            return
    raise AssertionError(f"no {state} {name} with {words} in\n" + "\n".join(map(str, rows)))


# -- nothing wrong

def test_all_is_well(servers):
    with scenario(*servers, T) as s:
        code, rows = check(s.pipeline)
        assert code == 0 and bad(rows) == []
        names = {r[1] for r in rows}
        assert {"reachable", "version", "encoding", "wal_level", "replication", "max_replication_slots", "max_wal_senders",
                "slot", "create", "session_replication_role", "ready"} <= names
        text = s.pipeline.run("check")
        assert text.returncode == 0 and text.stdout.splitlines()[-1].endswith("warnings: 0, failed: 0")
        assert "\033" not in text.stdout
        # It only looks.
        assert s.slots() == [] and s.source("SELECT count(*) FROM pg_publication") == [(0,)]
        assert s.admin("SELECT to_regclass('crossfade.marker')") == [(None,)] == s.target("SELECT to_regclass('crossfade.position')")


# -- servers

def test_unreachable(servers):
    with scenario(*servers, T) as s:
        s.pipeline.settings["source"]["url"] = f"postgresql://postgres:sesame@127.0.0.1:{free_port()}/x"
        s.pipeline.write()
        expect(s.pipeline, "fail", "reachable", "source.url")
        assert "sesame" not in s.pipeline.run("check").stdout
        s.pipeline.settings["source"]["url"] = s.source_url
        s.pipeline.settings["target"]["url"] = s.target_url + "_missing"
        s.pipeline.write()
        expect(s.pipeline, "fail", "reachable", "does not exist", "target.url")


def test_source_settings(servers):
    folder, source, target = servers
    with scenario(folder, source, target, T) as s:
        source.configure(wal_level="replica", max_wal_senders=0, max_replication_slots=10)
        source.restart()
        try:
            expect(s.pipeline, "fail", "wal_level", "replica", "wal_level = logical")
            expect(s.pipeline, "fail", "max_wal_senders")
            expect(s.pipeline, "fail", "replication")
        finally:
            source.configure(wal_level="logical", max_wal_senders=10)
            source.restart()
        source.configure(max_slot_wal_keep_size="1GB")
        try:
            s.source("SELECT pg_sleep(0)")
            expect(s.pipeline, "warn", "max_slot_wal_keep_size", "1GB")
        finally:
            source.configure(max_slot_wal_keep_size="-1")


def test_no_slot_left(servers):
    folder, source, target = servers
    with scenario(folder, source, target, T) as s:
        used = s.source("SELECT count(*) FROM pg_replication_slots")[0][0]
        free = int(source.value("SHOW max_replication_slots")) - used
        for i in range(free):
            s.admin(f"SELECT pg_create_physical_replication_slot('filler_{i}')")
        try:
            expect(s.pipeline, "fail", "max_replication_slots", "none is free")
            s.admin("SELECT pg_drop_replication_slot('filler_0')")
            expect(s.pipeline, "warn", "max_replication_slots", "comparison")
        finally:
            s.admin("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name LIKE 'filler%'")


def test_slots_that_are_there(servers):
    with scenario(*servers, T) as s:
        name = s.pipeline.name
        s.admin(f"SELECT pg_create_logical_replication_slot('crossfade_{name}', 'test_decoding')")
        try:
            expect(s.pipeline, "fail", "slot", "another database or plugin")
        finally:
            s.admin(f"SELECT pg_drop_replication_slot('crossfade_{name}')")
        s.admin("SELECT pg_create_logical_replication_slot('crossfade_forgotten', 'pgoutput')")
        try:
            expect(s.pipeline, "warn", "other slots", "crossfade_forgotten")
        finally:
            s.admin("SELECT pg_drop_replication_slot('crossfade_forgotten')")


def test_encoding(servers):
    folder, source, target = servers
    with scenario(folder, source, target, T) as s:
        target.sql("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
        s.pipeline.settings["target"]["url"] = target.url("latin")
        s.pipeline.write()
        expect(s.pipeline, "fail", "encoding", "LATIN1")
        target.sql("DROP DATABASE latin")


def test_target_is_the_source(servers):
    with scenario(*servers, T) as s:
        s.pipeline.settings["target"]["url"] = s.source_url
        s.pipeline.write()
        expect(s.pipeline, "fail", "other database", "the source itself")


# -- privileges

def with_user(url, user):
    return url.replace("postgres@", user + "@")


def test_privileges_on_the_source(servers):
    folder, source, target = servers
    with scenario(folder, source, target, T, superuser="it tries a role of its own") as s:
        role = f"low_{s.name}"
        s.source(f"CREATE ROLE {role} LOGIN")
        s.pipeline.settings["source"]["url"] = with_user(s.source_url, role)
        s.pipeline.write()
        try:
            expect(s.pipeline, "fail", "replication", "REPLICATION")
            s.source(f"ALTER ROLE {role} REPLICATION")
            expect(s.pipeline, "fail", "create", "GRANT CREATE ON DATABASE")
            s.source(f"GRANT CREATE ON DATABASE {s.name} TO {role}")
            expect(s.pipeline, "fail", "owner", "public.t")
            expect(s.pipeline, "fail", "select", "GRANT SELECT")
            s.source(f"ALTER TABLE t OWNER TO {role}")
            code, rows = check(s.pipeline)
            assert code == 0, bad(rows)
            s.source("ALTER TABLE t ENABLE ROW LEVEL SECURITY; ALTER TABLE t FORCE ROW LEVEL SECURITY")
            expect(s.pipeline, "fail", "row security", "BYPASSRLS")
        finally:
            s.source(f"REASSIGN OWNED BY {role} TO postgres; DROP OWNED BY {role}; DROP ROLE {role}")


def test_privileges_on_the_target(servers):
    folder, source, target = servers
    with scenario(folder, source, target, T, superuser="it tries a role of its own") as s:
        role = f"low_{s.name}"
        s.target(f"CREATE ROLE {role} LOGIN")
        s.pipeline.settings["target"]["url"] = with_user(s.target_url, role)
        s.pipeline.write()
        try:
            expect(s.pipeline, "fail", "create", "GRANT CREATE ON DATABASE")
            expect(s.pipeline, "fail", "privileges", "TRUNCATE")
            s.target(f"GRANT CREATE ON DATABASE {s.name} TO {role}; GRANT ALL ON t TO {role}")
            expect(s.pipeline, "warn", "session_replication_role", "triggers")
            functions = "pg_replication_origin_create(text), pg_replication_origin_session_setup(text), pg_replication_origin_xact_setup(pg_lsn, timestamptz)"
            expect(s.pipeline, "warn", "replication origin", f'GRANT EXECUTE ON FUNCTION {functions} TO "{role}"')
            s.target(f"GRANT EXECUTE ON FUNCTION {functions} TO {role}")
            if int(target.value("SHOW server_version_num")) >= 150000:
                s.target(f"GRANT SET ON PARAMETER session_replication_role TO {role}")
                code, rows = check(s.pipeline)
                assert code == 0 and bad(rows) == []
        finally:
            s.target(f"DROP OWNED BY {role}; DROP ROLE {role}")


# -- tables of the source

def test_source_tables(servers):
    schema = """
        CREATE TABLE bare (a int); CREATE TABLE "Nothing here" (a int PRIMARY KEY);
        ALTER TABLE "Nothing here" REPLICA IDENTITY NOTHING;
        CREATE TABLE deferred (a int PRIMARY KEY DEFERRABLE);
        CREATE TABLE whole (a int); ALTER TABLE whole REPLICA IDENTITY FULL;
        CREATE UNLOGGED TABLE fleeting (a int PRIMARY KEY);
        CREATE MATERIALIZED VIEW seen AS SELECT 1;
        CREATE TABLE "a b" (a int PRIMARY KEY); CREATE TABLE a_b (a int PRIMARY KEY);
        CREATE TABLE hidden (a int);
        CREATE TABLE part (a int PRIMARY KEY) PARTITION BY RANGE (a); CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (1) TO (9);
        SELECT lo_create(0)"""
    with scenario(*servers, schema, tables=("public.*", "!public.hidden")) as s:
        expect(s.pipeline, "fail", "replica identity", "public.bare:", 'ALTER TABLE "public"."bare" REPLICA IDENTITY FULL', code=1)
        expect(s.pipeline, "fail", "replica identity", 'ALTER TABLE "public"."Nothing here"', code=1)
        expect(s.pipeline, "fail", "replica identity", "public.deferred", "deferrable", code=1)
        expect(s.pipeline, "warn", "replica identity", "public.whole", code=1)
        expect(s.pipeline, "warn", "left out", "public.fleeting is unlogged", code=1)
        expect(s.pipeline, "warn", "left out", "public.seen is a materialized view", code=1)
        expect(s.pipeline, "warn", "large objects", code=1)
        expect(s.pipeline, "fail", "topic", "a_b", code=1)
        expect(s.pipeline, "fail", "ready", "of 7 tables", code=1)
        assert "hidden" not in s.pipeline.run("check").stdout
        s.pipeline.settings["source"]["tables"] = ["nowhere.*"]
        s.pipeline.write()
        expect(s.pipeline, "fail", "source.tables", "no table")


# -- tables of the target

@pytest.mark.parametrize("name,target,words", [
    ("exists", "CREATE TABLE other (id int)", ["public.t", "pg_dump --schema-only"]),
    ("exists", "CREATE VIEW t AS SELECT 1 AS id, 'x' AS v", ["no table"]),
    ("columns", "CREATE TABLE t (id int PRIMARY KEY)", ["lacks column v", 'ADD COLUMN "v" text']),
    ("columns", "CREATE TABLE t (id int PRIMARY KEY, v text, w int NOT NULL)", ["column w", "source lacks"]),
    ("types", "CREATE TABLE t (id smallint PRIMARY KEY, v text)", ["id", "public.t"]),
    ("types", "CREATE TABLE t (id int PRIMARY KEY, v varchar(3))", ["v", 'ALTER TABLE "public"."t" ALTER COLUMN "v" TYPE text']),
    ("key", "CREATE TABLE t (id int, v text)", ["unique index", 'ADD PRIMARY KEY ("id")']),
    ("key", "CREATE TABLE t (id int, v text, UNIQUE (id, v))", ["unique index"]),
    ("key", "CREATE TABLE t (id int, v text); CREATE UNIQUE INDEX ON t (id) WHERE id > 5", ["unique index"]),
])
def test_target_table_does_not_fit(servers, name, target, words):
    with scenario(*servers, T, target_schema=target) as s:
        expect(s.pipeline, "fail", name, *words)
        expect(s.pipeline, "fail", "ready", "0 of 1 tables")


@pytest.mark.parametrize("name,target,words", [
    ("not null", "CREATE TABLE t (id int PRIMARY KEY, v text NOT NULL)", ["column v"]),
    ("empty", "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'x')", ["apply.on_nonempty"]),
    ("triggers", "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
                 "CREATE TRIGGER loud BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f(); ALTER TABLE t ENABLE ALWAYS TRIGGER loud", ["loud"]),
])
def test_target_table_needs_a_look(servers, name, target, words):
    with scenario(*servers, T, target_schema=target) as s:
        expect(s.pipeline, "warn", name, *words)


@pytest.mark.parametrize("target", [
    "CREATE TABLE t (v varchar, id bigint UNIQUE)",
    "CREATE TABLE t (id int, v text, more int DEFAULT 7, gen int GENERATED ALWAYS AS IDENTITY, calc int GENERATED ALWAYS AS (id * 2) STORED, PRIMARY KEY (id) DEFERRABLE)",
    "CREATE TABLE t (id int PRIMARY KEY, v text) PARTITION BY HASH (id)",
])
def test_target_table_may_differ(servers, target):
    with scenario(*servers, T, target_schema=target) as s:
        code, rows = check(s.pipeline)
        assert code == 0, bad(rows)


# -- journal

def test_journal(servers):
    folder, source, _ = servers
    with scenario(*servers, T) as s:
        url = s.pipeline.settings["journal"]["url"]
        s.pipeline.settings["journal"]["url"] = f"lmdb:{s.pipeline.config}/x"
        s.pipeline.write()
        expect(s.pipeline, "fail", "folder", "Not a directory")
        s.pipeline.settings["journal"]["url"] = url
        s.pipeline.settings["capture"]["spill_dir"] = os.path.join(folder, "missing")
        s.pipeline.write()
        expect(s.pipeline, "fail", "capture.spill_dir", "missing")
        del s.pipeline.settings["capture"]["spill_dir"]
        s.pipeline.write()
        s.start()
        s.wait()
        _, rows = check(s.pipeline)
        found = {r[1]: r for r in rows}
        assert "fence" in found["last fence"][3] and found["position"][2] == "ok", rows
        assert found["slot"][2] == "ok" and "capture is running" in found["slot"][3]
        done = s.pipeline.run("check", f"--capture.listen=127.0.0.1:{free_port()}")  # as from another machine
        assert done.returncode == 0 and "in use by server process" in done.stdout
        s.capture.terminate()
        s.apply.terminate()
        with scenario(*servers, T) as other:  # the journal of another pipeline
            other.pipeline.settings["journal"].update(url=url, topic_prefix=s.pipeline.name)
            other.pipeline.write()
            code, rows = check(other.pipeline)
            assert code == 1 and any(r[0] == "journal" and r[2] == "fail" and s.pipeline.name in r[3] for r in rows), rows
        source_url = s.pipeline.settings["source"]["url"]
        with Postgres(folder, "elsewhere") as elsewhere:  # a source that was replaced
            elsewhere.create_db("other")
            elsewhere.sql(T, db="other")
            s.pipeline.settings["source"]["url"] = elsewhere.url("other")
            s.pipeline.write()
            expect(s.pipeline, "fail", "source", "another source")
            expect(s.pipeline, "fail", "position", "another source")
        s.pipeline.settings["source"]["url"] = source_url
        s.pipeline.write()


def test_usage(servers):
    with scenario(*servers, T) as s:
        assert s.pipeline.run("check", "now").returncode == 2
        done = run_crossfade("check", "--source.url=nonsense", config=s.pipeline.config)
        assert done.returncode == 2 and "source.url" in done.stderr


# -- columns that are not sent, forms that lose something

def test_generated_columns_are_named(servers):
    schema = "CREATE TABLE t (id int PRIMARY KEY, a int, twice int GENERATED ALWAYS AS (a * 2) STORED)"
    with scenario(*servers, schema, "CREATE TABLE t (id int PRIMARY KEY, a int, twice int)") as s:
        _, rows = check(s.pipeline)
        assert any(row[1] == "generated columns" and row[2] == "ok" and "{twice}" in row[3] for row in rows), rows
        expect(s.pipeline, "warn", "generated columns", "public.t", "twice", "GENERATED")
        s.capture.start()
        s.capture.wait_for(lambda status: status.get("complete"), 60, "the copy is complete")
        assert "generated_columns_left_out table=public.t columns={twice}" in s.capture.log_text()


def test_columns_that_a_form_may_change_are_named(servers):
    more = {"journal": {"type_profile": "debezium"}}
    with scenario(*servers, "CREATE TABLE t (id int PRIMARY KEY, n numeric, m numeric(10,2), d date)", more=more) as s:
        expect(s.pipeline, "warn", "type_profile", "public.t", "column n", "journal.lossy")
        _, rows = check(s.pipeline)
        assert [row for row in rows if row[1] == "type_profile"] == [row for row in rows if row[1] == "type_profile" and "column n" in row[3]]
