"""The gates of definitions: the target has what the source has, and nobody has altered anything since it was compared."""

import json

import pytest

from rig import Postgres, Workdir
from rig.scenario import scenario
from test_hostile_cutover import SETTINGS, Cut, gates_of, refuses

SCHEMA = """CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 1);
    CREATE TYPE mood AS ENUM ('glad', 'sad');
    CREATE TABLE parent (id int PRIMARY KEY, name text NOT NULL DEFAULT 'nobody', m mood, CONSTRAINT short CHECK (length(name) < 100));
    CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent, span int4range, n numeric(10, 2), secret text, EXCLUDE USING gist (span WITH &&));
    ALTER TABLE child ADD CONSTRAINT old CHECK (n > 0) NOT VALID;
    CREATE UNIQUE INDEX one_name ON parent (lower(name)) WHERE id > 0; CREATE INDEX by_n ON child (n DESC NULLS LAST) INCLUDE (parent);
    CREATE TABLE "odd ""t"" %I" ("a "" b" int PRIMARY KEY, "C" timestamptz DEFAULT now());
    CREATE TABLE part (id int, v text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
    CREATE TABLE part_low PARTITION OF part FOR VALUES FROM (0) TO (100); CREATE INDEX by_v ON part (v);
    CREATE VIEW names AS SELECT id, upper(name) AS name FROM parent;
    CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE TRIGGER touched BEFORE UPDATE ON parent FOR EACH ROW EXECUTE FUNCTION touch();
    CREATE SCHEMA aside; CREATE TABLE aside.other (id int); CREATE VIEW of_other AS SELECT id FROM aside.other;
    INSERT INTO parent VALUES (1, 'a', 'glad'); INSERT INTO child VALUES (1, 1, '[1,2)', 5)"""
# What is done on the target, the object that is told, words of what is told, and what mends it.
BROKEN = [
    ("ALTER TABLE parent ALTER name DROP NOT NULL", "table public.parent", "column name", "ALTER TABLE parent ALTER name SET NOT NULL"),
    ("ALTER TABLE parent ALTER name DROP DEFAULT", "table public.parent", "default of name", "ALTER TABLE parent ALTER name SET DEFAULT 'nobody'"),
    ("ALTER TABLE child ALTER n TYPE numeric(12, 2)", "table public.child", "numeric(10,2)", "ALTER TABLE child ALTER n TYPE numeric(10, 2)"),
    ("ALTER TABLE parent DROP CONSTRAINT short", "table public.parent", "check short", "ALTER TABLE parent ADD CONSTRAINT short CHECK (length(name) < 100)"),
    ("ALTER TABLE parent ADD more int", "table public.parent", "column more", "ALTER TABLE parent DROP more"),
    ("DROP INDEX by_n", "index public.by_n", "does not have it", "CREATE INDEX by_n ON child (n DESC NULLS LAST) INCLUDE (parent)"),
    ("DROP INDEX by_v", "index public.by_v", "does not have it", "CREATE INDEX by_v ON part (w)"),
    ("DROP INDEX one_name; CREATE UNIQUE INDEX one_name ON parent (lower(name))", "index public.one_name", "WHERE", "DROP INDEX one_name; CREATE UNIQUE INDEX one_name ON parent (lower(name)) WHERE id > 0"),
    ("CREATE UNIQUE INDEX too_much ON child (n)", "index public.too_much", "only the target", "DROP INDEX too_much"),
    ("ALTER TABLE child DROP CONSTRAINT child_parent_fkey", "table constraint child_parent_fkey on public.child", "does not have it",
     "ALTER TABLE child ADD CONSTRAINT child_parent_fkey FOREIGN KEY (parent) REFERENCES parent"),
    ("ALTER TABLE child DROP CONSTRAINT child_span_excl", "table constraint child_span_excl on public.child", "does not have it", "ALTER TABLE child ADD EXCLUDE USING gist (span WITH &&)"),
    ("ALTER TABLE parent DISABLE TRIGGER touched", "trigger touched on public.parent", "(disabled)", "ALTER TABLE parent ENABLE TRIGGER touched"),
    ("CREATE OR REPLACE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'", "function public.touch()", "RETURN OLD",
     "CREATE OR REPLACE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'"),
    ("CREATE OR REPLACE VIEW names AS SELECT id, lower(name) AS name FROM parent", "view public.names", "lower", "CREATE OR REPLACE VIEW names AS SELECT id, upper(name) AS name FROM parent"),
    ("ALTER TABLE \"odd \"\"t\"\" %I\" ALTER \"C\" DROP DEFAULT", "table public.\"odd \"\"t\"\" %I\"", "default of \"C\"", "ALTER TABLE \"odd \"\"t\"\" %I\" ALTER \"C\" SET DEFAULT now()"),
    ("ALTER TYPE mood RENAME VALUE 'sad' TO 'low'", "type public.mood", "'low'", "ALTER TYPE mood RENAME VALUE 'low' TO 'sad'"),
]


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("gates-schema") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


@pytest.fixture(name="cut", scope="module")
def fixture_cut(servers):
    with scenario(*servers, SCHEMA, more={"cutover": SETTINGS, "source": {"filters": [{"table": "public.child", "columns": ["!secret"]}, {"table": "public.part", "rename": {"v": "w"}}]}}) as made:
        on_target(made, "ALTER TABLE child DROP secret; ALTER TABLE part RENAME v TO w; DROP VIEW of_other; DROP TABLE aside.other; CREATE INDEX more_of_it ON parent (m)")
        made.start()
        cut = Cut(servers[0], made)
        cut.compare()
        yield cut


def on_target(s, sql):
    s.target_server.sql(sql, db=s.name)


def listed(cut, expected=1):
    done = cut.s.pipeline.run("schema", "compare", "--json")
    assert done.returncode == expected, done.stdout + done.stderr
    return {f"{d['kind']} {d['name']}": d["why"] for d in json.loads(done.stdout)["differences"]}


def test_each_difference_is_told(cut):
    """One after the other, by name; what is by design (columns left out, renamed, an index more, what needs a table that is not moved) never."""
    assert listed(cut, 0) == {}
    gate = gates_of(cut, expected=0)["schema"]
    assert gate["measured"].startswith("0 of ") and gate["limit"], gate
    for broken, name, words, mended in BROKEN:
        on_target(cut.s, broken)
        found = listed(cut)
        assert list(found) == [name] and words in found[name], (broken, found)
        on_target(cut.s, mended)
    assert listed(cut, 0) == {}


def test_the_gate_refuses_unless_it_is_allowed(cut):
    on_target(cut.s, "ALTER TABLE parent DISABLE TRIGGER touched; DROP INDEX by_n")
    refuses(cut, "schema", "schema compare")
    allowed = gates_of(cut, "--cutover.schema_ignore=trigger touched on *", "--cutover.schema_ignore=index public.by_*", expected=0)["schema"]
    assert allowed["verdict"] == "ok" and "2 are allowed to" in allowed["measured"], allowed
    on_target(cut.s, "ALTER TABLE parent ENABLE TRIGGER touched; CREATE INDEX by_n ON child (n DESC NULLS LAST) INCLUDE (parent)")


def test_extensions(cut):
    cut.s.admin("CREATE EXTENSION pg_trgm VERSION '1.5'")
    assert listed(cut) == {"extension pg_trgm": "the target does not have it"}
    on_target(cut.s, "CREATE EXTENSION pg_trgm VERSION '1.6'")
    assert "1.6, the source has 1.5" in listed(cut)["extension pg_trgm"]
    cut.s.admin("ALTER EXTENSION pg_trgm UPDATE TO '1.6'")
    assert listed(cut, 0) == {}
    refuses(cut, "no_ddl", "compare")
    cut.compare()


def test_a_constraint_that_is_not_proven_on_the_source_either(cut):
    """It is as it should be; one that the source has proven is not."""
    assert cut.s.target("SELECT convalidated FROM pg_constraint WHERE conname = 'old'") == [(False,)]
    assert gates_of(cut, expected=0)["constraints"]["verdict"] == "ok"
    for sql in ("ALTER TABLE child DROP CONSTRAINT child_parent_fkey", "ALTER TABLE child ADD CONSTRAINT child_parent_fkey FOREIGN KEY (parent) REFERENCES parent NOT VALID"):
        on_target(cut.s, sql)
    refuses(cut, "constraints", "child_parent_fkey")
    on_target(cut.s, "ALTER TABLE child VALIDATE CONSTRAINT child_parent_fkey")


@pytest.mark.parametrize("change", ["ALTER TABLE parent ADD CONSTRAINT later CHECK (id > -5)", "CREATE INDEX later ON child (parent)", "ALTER TABLE t ALTER v TYPE bigint",
                                    "CREATE OR REPLACE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.name := 5; RETURN NEW; END'"])
def test_ddl_after_the_last_pass(cut, change):
    """On both sides alike: the schema is the same, but no comparison has seen it."""
    assert gates_of(cut, expected=0)["no_ddl"]["verdict"] == "ok"
    on_target(cut.s, change)
    cut.s.source(change)
    cut.s.wait()
    refuses(cut, "no_ddl", "compare")
    cut.compare()
    assert gates_of(cut, expected=0)["no_ddl"]["verdict"] == "ok"


def test_rows_and_maintenance_are_no_ddl(cut):
    cut.s.source("INSERT INTO parent VALUES (2, 'b', 'sad')", "VACUUM FULL parent", "ANALYZE", "REINDEX TABLE child", "TRUNCATE part")
    cut.s.wait()
    assert gates_of(cut, expected=0)["no_ddl"]["verdict"] == "ok"
    cut.s.target("UPDATE crossfade.verdict SET detail = detail - 'schema'")  # as an earlier version leaves it
    refuses(cut, "no_ddl", "compare")
    cut.compare()


def test_shadow_latency(cut):
    assert "shadow_latency" not in gates_of(cut, expected=0)
    asked = "--cutover.shadow_latency_ratio=1000"
    refuses(cut, "shadow_latency", "compare shadow", asked)
    cut.s.pipeline.settings["compare"]["shadow"] = {"queries": ["SELECT * FROM parent"], "samples": 5, "rate": 0, "min_coverage": 0, "latency_regression": "0"}
    cut.s.pipeline.write()
    assert cut.s.pipeline.run("compare", "shadow").returncode == 0
    gate = gates_of(cut, asked, expected=0)["shadow_latency"]
    assert gate["verdict"] == "ok" and "p95" in gate["measured"], gate
    refuses(cut, "shadow_latency", "ANALYZE", "--cutover.shadow_latency_ratio=0.001")
