"""compare.tolerance and compare.json: what is nearly equal counts as equal where that was asked for, and nothing else does."""

import contextlib

import psycopg
import pytest

from rig import Pipeline, Postgres, Workdir, comparing
from rig.mariadb import MariaDB
from rig.scenario import scenario

# buckets: the target has no index for its key; keyless: no row has a partner
TABLES = """CREATE TABLE a (id int PRIMARY KEY, f double precision, n numeric(20,6), j jsonb);
    CREATE TABLE buckets (id int PRIMARY KEY, f double precision, j jsonb);
    CREATE TABLE keyless (f double precision); ALTER TABLE keyless REPLICA IDENTITY FULL;
    INSERT INTO a SELECT i, i / 3.0, i / 8.0, jsonb_build_object('a', i, 'bb', jsonb_build_array(1.10, 'x"y', null), 'c', 1e2) FROM generate_series(1, 3000) i;
    INSERT INTO a VALUES (5001, 'NaN', 1, '"n1"'), (5002, null, null, null);
    INSERT INTO buckets SELECT i, i / 3.0, '{"k": 1}' FROM generate_series(1, 500) i;
    INSERT INTO keyless VALUES (0.1)"""
# Each is nearly equal; and what an application writes of a document.
NEARLY = ("UPDATE a SET f = f * (1 + 1e-12) WHERE id BETWEEN 100 AND 2500", "UPDATE a SET n = n + 0.000001 WHERE id = 7",
          """UPDATE a SET j = '{"c": 100, "bb": [1.1, "x\\"y", null], "a": 9.0}' WHERE id = 9""", "UPDATE buckets SET f = f + 1e-10 WHERE id < 50")
# what the target has → (table, key, columns that differ)
BEYOND = (("UPDATE a SET f = f + 0.01 WHERE id = 150", ("a", "150", ["f"])), ("UPDATE a SET n = n + 0.000002 WHERE id = 8", ("a", "8", ["n"])),
          ("""UPDATE a SET j = '{"c": 100, "bb": [1.1, "x\\"y", null], "a": 10.5}' WHERE id = 10""", ("a", "10", ["j"])),
          ("""UPDATE a SET j = '{"c": 100, "bb": ["x\\"y", 1.1, null], "a": 11}' WHERE id = 11""", ("a", "11", ["j"])),
          ("UPDATE a SET j = '1' WHERE id = 5001", ("a", "5001", ["j"])), ("UPDATE a SET f = 0 WHERE id = 5002", ("a", "5002", ["f"])),
          ("UPDATE buckets SET f = f + 1 WHERE id = 60", ("buckets", "60", ["f"])))
LENIENT = {"tolerance": {"public.a.f": "1e-9 relative", "public.a.n": "0.000001", "public.buckets.f": "1e-9", "public.keyless.f": "1"}, "json": "canonical"}


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("lenient") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


def tables(report):
    return {t["table"]: t for t in report["tables"]}


def found(report):
    return sorted((t["table"], str(d["key"]["id"]), sorted(c["name"] for c in d["columns"])) for t in report["tables"] for d in t["differences"])


@contextlib.contextmanager
def pipeline(servers, engine):
    """The pipeline, complete, and a function that writes to the target as somebody else."""
    folder, source, target = servers
    more = {"compare": {"deadline_ms": 120000}}
    if engine == "postgres":
        with scenario(folder, source, target, TABLES, more=more) as s:
            s.start(timeout=240)
            s.target("ALTER TABLE buckets DROP CONSTRAINT buckets_pkey")
            yield s.pipeline, lambda sql: s.target(f"SET session_replication_role = replica; {sql}")
        return
    shop = source.create_db("lenient")
    with psycopg.connect(shop, autocommit=True) as connection:
        connection.execute(TABLES.replace("(5001, 'NaN',", "(5001, 1,"))
    with MariaDB(folder, "lenient") as maria:
        copy = maria.create_db("lenient")
        for sql in ("CREATE TABLE a (id int PRIMARY KEY, f double, n decimal(20,6), j json)", "CREATE TABLE buckets (id int PRIMARY KEY, f double, j json)", "CREATE TABLE keyless (f double)"):
            maria.sql(sql, db="lenient")
        with Pipeline(folder, shop, copy, name="lenient", tables=["public.*"], more=more) as p:
            p.start()
            p.apply.wait_for(lambda status: status.get("complete"), 240, "the copy is complete")
            yield p, lambda sql: maria.sql(sql.replace("\\", "\\\\"), db="lenient")


@pytest.mark.parametrize("engine", ["postgres", "mariadb"])
def test_nearly_equal(servers, engine):
    with pipeline(servers, engine) as (p, rogue):
        assert comparing.compare(p)["verdict"] == "PASS"
        for sql in NEARLY:
            rogue(sql)
        assert comparing.compare(p, code=1)["verdict"] == "FAIL", "every bit counts unless somebody says otherwise"
        p.settings["compare"].update(LENIENT)
        p.write()
        report = comparing.compare(p)
        assert report["verdict"] == "PASS"
        notes = {name: " ".join(t["notes"]) for name, t in tables(report).items()}
        assert "2403 rows are not equal, but count as such" in notes["a"] and "49 rows" in notes["buckets"] and "no row has a partner" in notes["keyless"], notes
        for sql, _ in BEYOND:
            rogue(sql)
        rogue("UPDATE keyless SET f = 0.2")
        report = comparing.compare(p, code=1)
        assert found({"tables": [t for t in report["tables"] if t["table"] != "keyless"]}) == sorted(what for _, what in BEYOND)
        assert tables(report)["keyless"]["verdict"] == "FAIL"


def test_what_does_not_read(servers):
    folder, source, target = servers
    with scenario(folder, source, target, TABLES, more={"compare": {"deadline_ms": 120000}}) as s:
        s.start(timeout=240)
        p = s.pipeline
        for tolerance, words in (({"public.a.nowhere": "1"}, "no column public.a.nowhere"), ({"public.a.f": "much"}, "expected schema.table.column: a number"),
                                 ({"public.a.f": "-1"}, "expected schema.table.column: a number")):
            p.settings["compare"]["tolerance"] = tolerance
            p.write()
            done = p.run("compare", "run")
            assert done.returncode == 2 and words in done.stderr, done.stderr
        # what a later comparison builds on holds for the same question only
        p.settings["compare"]["tolerance"] = {"public.a.f": "0.5"}
        p.write()
        s.target("SET session_replication_role = replica; UPDATE a SET f = f + 0.25 WHERE id = 5")
        comparing.compare(p)
        assert tables(comparing.compare(p, "--changed"))["a"]["built_on"]["read"] == "changed"
        p.settings["compare"]["tolerance"] = {"public.a.f": "0.1"}
        p.write()
        assert found(comparing.compare(p, "--changed", code=1)) == [("a", "5", ["f"])]


def test_partitions_and_new_names(servers):
    """A bound holds for every partition that is compared by itself, and for a column under the name that it has on the target."""
    folder, source, target = servers
    parts = "CREATE TABLE parts (id int PRIMARY KEY, f double precision) PARTITION BY RANGE (id)" + "".join(f"; CREATE TABLE parts_{i} PARTITION OF parts FOR VALUES FROM ({i}000) TO ({i + 1}000)" for i in range(3))
    more = {"source": {"filters": [{"table": "public.renamed", "rename": {"f": "g", "d": "doc"}}]},
            "compare": {"deadline_ms": 120000, "json": "canonical", "tolerance": {"public.parts.f": "0.5", "public.renamed.g": "0.5"}}}
    with scenario(folder, source, target, parts + "; CREATE TABLE renamed (id int PRIMARY KEY, f double precision, d json); INSERT INTO parts SELECT i, i FROM generate_series(0, 2999) i; INSERT INTO renamed VALUES (1, 1, '{\"a\": 1}')",
                  target_schema=parts + "; CREATE TABLE renamed (id int PRIMARY KEY, g double precision, doc json)", more=more) as s:
        s.start(timeout=240)
        s.target("SET session_replication_role = replica; UPDATE parts SET f = f + 0.25 WHERE id IN (5, 1005, 2005); UPDATE renamed SET g = 1.25, doc = '{\"a\":1.0}'")
        report = comparing.compare(s.pipeline)
        assert "numbers that differ by no more than 0.5 count as equal" in next(r["rule"] for r in tables(report)["renamed"]["rules"] if r["column"] == "g")
        report = comparing.compare(s.pipeline, "--table", "public.parts", "--partition", "public.*")
        assert [(t["verdict"], sum("1 rows are not equal" in note for note in t["notes"])) for t in report["tables"]] == [("PASS", 1)] * 3
