"""crossfade schema for MariaDB: nothing is dropped without a word; names that a server folds or keeps for itself; indexes after the copy."""

import json
import urllib.parse

import pymysql
import pytest

from rig import Pipeline
from rig.mariadb import ROLE_PASSWORD, MariaDB
from rig.postgres import run_psql
from rig.procs import Process, find_crossfade, halts
from test_schema import fixture_folder, fixture_mariadb, fixture_source, fixture_to_mariadb, made, make  # noqa: F401 (fixtures)

LOSSES = """
CREATE TABLE parent (id int PRIMARY KEY, a int, b int, UNIQUE (a, b));
CREATE TABLE child (id int GENERATED ALWAYS AS IDENTITY (START 100 INCREMENT 7 CYCLE) PRIMARY KEY, a int, b int, c int, d text COLLATE "C", r int4range,
    CONSTRAINT some_null FOREIGN KEY (a, b) REFERENCES parent (a, b) ON DELETE SET NULL (b),
    CONSTRAINT late FOREIGN KEY (c) REFERENCES parent DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT no_twins EXCLUDE USING gist (r WITH &&), CONSTRAINT turn UNIQUE (c) DEFERRABLE);
ALTER TABLE child ADD CONSTRAINT unproven CHECK (a > 0) NOT VALID;
ALTER TABLE child ADD CONSTRAINT unproven_key FOREIGN KEY (c) REFERENCES parent NOT VALID;
CREATE INDEX child_desc ON child (a DESC, b); CREATE INDEX child_nulls ON child (a NULLS FIRST, b DESC NULLS LAST); CREATE INDEX child_some ON child (a) WHERE b > 1;
CREATE INDEX child_lower ON child (lower(d)); CREATE INDEX child_gist ON child USING gist (r); CREATE INDEX child_class ON child (d text_pattern_ops);
CREATE STATISTICS child_stat ON a, b FROM child;
CREATE UNLOGGED TABLE fleeting (id int PRIMARY KEY); CREATE TABLE heir (more int) INHERITS (parent); ALTER TABLE heir ADD PRIMARY KEY (id);
CREATE TABLE filled (id int PRIMARY KEY) WITH (fillfactor = 50); ALTER TABLE filled ENABLE ROW LEVEL SECURITY;
GRANT SELECT (a) ON parent TO PUBLIC; COMMENT ON INDEX child_desc IS 'by a'; COMMENT ON CONSTRAINT late ON child IS 'waits';
CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq); CREATE COLLATION named FROM "C"; CREATE PUBLICATION others FOR TABLE parent;
ALTER DEFAULT PRIVILEGES FOR ROLE postgres GRANT EXECUTE ON FUNCTIONS TO pg_monitor;
SELECT lo_create(0); ALTER DATABASE "%s" SET work_mem = '8MB'; ALTER ROLE postgres IN DATABASE "%s" SET lock_timeout = '1s'; COMMENT ON DATABASE "%s" IS 'all of it';
"""
LOST = [
    ("reported", "foreign key", "some_null on public.child", "set all of its columns"), ("changed", "foreign key", "late on public.child", "DEFERRABLE"),
    ("reported", "exclusion constraint", "no_twins on public.child", "EXCLUDE USING gist"), ("changed", "unique key", "turn on public.child", "DEFERRABLE"),
    ("reported", "check", "unproven on public.child", "VALIDATE CONSTRAINT"), ("reported", "foreign key", "unproven_key on public.child", "NOT VALID"),
    ("changed", "identity", "id on public.child", "steps of 7, its start at 100, its beginning anew at the end"), ("changed", "identity", "id on public.child", "GENERATED ALWAYS"),
    ("changed", "index", "child_nulls on public.child", "NULLS FIRST"), ("reported", "index", "child_some on public.child", "WHERE (b > 1)"),
    ("reported", "index", "child_lower on public.child", "expression"), ("reported", "index", "child_gist on public.child", "method"),
    ("changed", "index", "child_class on public.child", "text_pattern_ops"), ("reported", "statistics object", "public.child_stat", "several columns"),
    ("reported", "table", "public.fleeting", "UNLOGGED"), ("reported", "inheritance", "public.heir", "from public.parent"), ("reported", "table option", "public.filled", "fillfactor=50"),
    ("reported", "row security", "public.filled", "MariaDB has none"), ("reported", "grant", "public.parent.a", "=r/"), ("reported", "default grant", "all schemas", "of postgres to f: "), ("reported", "comment", "index public.child_desc", "by a"),
    ("reported", "comment", "table constraint late on public.child", "waits"), ("reported", "operator", "public.===(integer,integer)", "MariaDB has none"),
    ("reported", "collation", "public.named", "MariaDB has none"), ("reported", "publication", "others", "publishes"), ("reported", "large objects", "1", "in no stream"),
    ("reported", "database setting", "work_mem", "8MB"), ("reported", "database setting", "lock_timeout of postgres", "1s"), ("reported", "role", "postgres", "LOGIN SUPERUSER"),
    ("reported", "database comment", None, "all of it"),
]


def plan_of(p):
    return json.loads(p.run("schema", "plan", "--json", timeout=120).stdout)


def test_nothing_is_dropped_without_a_word(to_mariadb, mariadb, source):
    p = to_mariadb("CREATE TABLE empty ()", tables=["public.*", "!public.empty"])
    run_psql(p.source_url, "-c", LOSSES % ((p.name,) * 3))
    try:
        items = plan_of(p)["items"]
        for state, kind, name, words in LOST:
            found = [i["text"] for i in items if (i["state"], i["kind"]) == (state, kind) and i["name"] == (name or p.name) and words in i["text"]]
            assert len(found) == 1, (state, kind, name, words, [i for i in items if i["kind"] == kind])
            assert found[0].startswith("lost: ") and "; decide: " in found[0]
        assert not [i for i in items if i["state"] == "decide"]
        result = made(p)
        assert result["differ"] == 0 and made(p)["made"] == 0
        order = mariadb.sql(f"SELECT column_name, collation FROM information_schema.statistics WHERE table_schema = '{p.name}' AND index_name = 'child_desc' ORDER BY seq_in_index")
        assert order == (("a", "D"), ("b", "A"))
        keys = {row[0] for row in mariadb.sql(f"SELECT constraint_name FROM information_schema.referential_constraints WHERE constraint_schema = '{p.name}'")}
        assert keys == {"late"}
        mariadb.script("DROP INDEX child_desc ON child;\nCREATE INDEX child_desc ON child (a, b)", p.name)
        assert "differs: index child_desc" in make(p, code=1).stdout
    finally:
        source.sql(f'ALTER ROLE postgres IN DATABASE "{p.name}" RESET ALL')


def test_databases_of_the_server_itself(to_mariadb):
    """A schema called mysql is never taken for the server's own database, by the plan and by apply."""
    p = to_mariadb("CREATE SCHEMA mysql; CREATE SCHEMA \"SYS\"; CREATE TABLE mysql.\"user\" (id int PRIMARY KEY); INSERT INTO mysql.\"user\" VALUES (1); CREATE TABLE \"SYS\".x (id int PRIMARY KEY); CREATE TABLE a (id int PRIMARY KEY)",
                   tables=["public.*", "mysql.*", "SYS.*"])
    refused = make(p, code=1).stdout
    assert "decide: table mysql.user" in refused and "decide: table SYS.x" in refused and "public.a" not in refused
    p.settings["source"]["tables"] = ["public.*", "!mysql.*", "!SYS.*"]
    p.write()
    assert made(p)["made"] == 1
    p.settings["source"]["tables"] = ["public.*", "mysql.*"]
    p.write()
    p.capture.start()
    p.apply.start()
    halts(p.apply, 5, "table=mysql.user", "keeps for itself", timeout=120)


@pytest.mark.parametrize("folds", [1])
def test_a_server_that_folds_names(to_mariadb, folder, folds):
    with MariaDB(folder, f"folds{folds}", settings={"sql-mode": "STRICT_TRANS_TABLES", "lower-case-table-names": folds}) as server:
        p = to_mariadb('CREATE SCHEMA "Shop"; CREATE TABLE "Users" (id int PRIMARY KEY, "Name" varchar(20)); CREATE TABLE users (id int PRIMARY KEY);'
                       'CREATE TABLE "Shop"."Orders" (id int PRIMARY KEY, u int REFERENCES "Users"); CREATE INDEX "Orders_U" ON "Shop"."Orders" (u); CREATE TABLE "Ä" (id int PRIMARY KEY)',
                       tables=["public.*", "Shop.*"])
        server.create_db(p.name)
        p.settings["target"]["url"] = server.url(p.name)
        server.grant("shop")  # schema Shop
        p.write()
        refused = make(p, code=1).stdout
        assert "decide: table public.users" in refused and "same table as public.Users" in refused and "decide: table public.Ä" in refused and "decide: table public.Users" not in refused
        p.settings["source"]["tables"] = ["public.*", "Shop.*", "!public.users", "!public.Ä"]
        p.write()
        assert made(p)["made"] == 5  # database, two tables, an index, a foreign key
        again = made(p)
        assert (again["made"], again["there"], again["differ"]) == (0, 5, 0)
        run_psql(p.source_url, "-c", """INSERT INTO "Users" VALUES (1, 'a'); INSERT INTO "Shop"."Orders" VALUES (2, 1)""")
        p.start()
        p.apply.wait_for(lambda status: status.get("complete"), 120, "the copy is complete")
        assert server.sql("SELECT * FROM `users`", db=p.name) == (("1", "a"),) and server.sql("SELECT * FROM shop.orders") == (("2", "1"),)
        p.close()


def test_indexes_wait_for_the_copy(to_mariadb, mariadb):
    """schema create --indexes --wait is started before anything runs, makes indexes and foreign keys when the copy is complete, and goes on after a kill."""
    p = to_mariadb("""CREATE TABLE a (id int PRIMARY KEY, v int, w int); CREATE INDEX a_v ON a (v); CREATE INDEX a_w ON a (w);
        CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a, c int CONSTRAINT second REFERENCES a); INSERT INTO a SELECT i, i, i FROM generate_series(1, 500) i;
        INSERT INTO b SELECT i, i, i FROM generate_series(1, 500) i""", tables=["public.*"], more={"schema": {"indexes": "after_snapshot", "workers": 3}})
    assert made(p)["made"] == 2
    assert "--wait belongs to" in p.run("schema", "create", "--indexes", "--wait").stderr
    with Process("schema", [find_crossfade(), "-c", p.config_of("schema"), "schema", "create", "--indexes", "--wait", "--execute"], str(p.config) + ".waiting") as waiting:
        waiting.start()
        waiting.wait_log("waiting: the copy has not begun", 60)
        p.start()
        assert waiting.wait(120) == 0, waiting.log_text()
        assert "4 made" in waiting.log_text()
    names = {r[0] for r in mariadb.sql(f"SELECT constraint_name FROM information_schema.referential_constraints WHERE constraint_schema = '{p.name}'")}
    assert names == {"b_a_fkey", "second"}
    mariadb.script("ALTER TABLE b DROP FOREIGN KEY second;\nDROP INDEX a_v ON a;\nDROP INDEX a_w ON a", p.name)
    make(p, "--indexes", "--wait", failpoint="schema.after_step:2", code=-9)
    assert made(p, "--indexes", "--wait")["there"] >= 2
    with pytest.raises(pymysql.err.MySQLError):
        mariadb.sql("INSERT INTO b VALUES (1000, 1000, NULL)", db=p.name)


def rows_of(p, code):
    done = p.run("check", "--json")
    assert done.returncode == code, done.stdout + done.stderr
    return {(c["check"], c["state"]): f"{c['found']} {c['hint']}" for c in json.loads(done.stdout)["checks"] if c["side"] in ("target", "tables")}


def test_check_looks_at_the_server(to_mariadb, mariadb):
    """The server's settings, the user's rights, the tables: broken one after the other, and named; a cutover says which right it lacks."""
    p = to_mariadb("CREATE TABLE a (id int PRIMARY KEY, v text); CREATE TABLE b (id int PRIMARY KEY)", tables=["public.*"])
    make(p)
    rows = rows_of(p, 0)
    assert {"reachable", "version", "sql_mode", "create", "privileges", "max_allowed_packet", "local_infile", "collation", "lower_case_table_names", "ready"} <= {c for c, s in rows if s == "ok"}
    assert "2 of 2" in rows[("ready", "ok")] and not [c for c, s in rows if s != "ok"]
    mariadb.script("DROP TABLE b;\nALTER TABLE a DROP COLUMN v, DROP PRIMARY KEY;\nCREATE TRIGGER tr BEFORE INSERT ON a FOR EACH ROW SET NEW.id = 1;\n"
                   f"ALTER DATABASE `{p.name}` COLLATE utf8mb4_general_ci;\nSET GLOBAL sql_mode = '', max_allowed_packet = 1048576;\n"
                   f"REVOKE ALL ON `{p.name}`.* FROM crossfade@'%';\nGRANT SELECT ON `{p.name}`.* TO crossfade@'%'", p.name)
    try:
        rows = rows_of(p, 1)
    finally:
        mariadb.sql("SET GLOBAL sql_mode = 'STRICT_TRANS_TABLES', max_allowed_packet = 16777216")
    assert "not strict" in rows[("sql_mode", "fail")] and "1048576 bytes" in rows[("max_allowed_packet", "warn")] and "utf8mb4_general_ci" in rows[("collation", "warn")]
    assert "INSERT, UPDATE, DELETE" in rows[("privileges", "fail")] and ("create", "fail") in rows and "0 of 2" in rows[("ready", "fail")]
    assert "public.b" in rows[("exists", "fail")] and "column v" in rows[("columns", "fail")] and ("key", "fail") in rows
    for words in (("cutover", "plan"), ("cutover", "run", "--execute")):
        done = p.run(*words)
        assert done.returncode == 4 and "GRANT CREATE" in done.stderr and len(done.stderr.strip().splitlines()) == 1, done.stderr
    p.settings["target"]["url"] = mariadb.url(p.name).replace("127.0.0.1", "127.0.0.2").replace(f":{mariadb.port}", ":1")
    p.write()
    rows = rows_of(p, 1)
    assert ("reachable", "fail") in rows and ROLE_PASSWORD not in str(rows) and urllib.parse.quote(ROLE_PASSWORD, safe="") not in str(rows)
