"""Order and constraints: what the source may do inside one transaction, the target has to end with, whoever apply is there.

Each case runs with a superuser on the target, in replica role (no trigger fires), and with a role that may not set
session_replication_role: foreign keys and triggers of the target then fire while rows are applied.
"""

import contextlib

import psycopg
import pytest

from rig import Postgres, Workdir
from rig.procs import halts
from rig.scenario import scenario

CYCLE = "CREATE TABLE a (id int PRIMARY KEY, b int, n int); CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a{0}); ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b{0};"
TREE = "CREATE TABLE t (id int PRIMARY KEY, up int REFERENCES t ON DELETE CASCADE ON UPDATE CASCADE, v text); INSERT INTO t SELECT i, nullif(i / 2, 0), 'v' FROM generate_series(1, 200) i"
FAMILY = ("CREATE TABLE p (id int PRIMARY KEY, v text); CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p{}, n int);"
          "INSERT INTO p SELECT i, 'v' FROM generate_series(1, 300) i; INSERT INTO c SELECT i, 1 + i % 300, 0 FROM generate_series(1, 600) i")
UNIQUE = "CREATE TABLE t (id int PRIMARY KEY, u int UNIQUE{}, v text); INSERT INTO t SELECT i, i, 'v' FROM generate_series(1, 300) i"
EXCLUDE = "CREATE TABLE t (id int PRIMARY KEY, r int4range, EXCLUDE USING gist (r WITH &&){}); INSERT INTO t SELECT i, int4range(10 * i, 10 * i + 10) FROM generate_series(1, 200) i"

CASES = {
    "foreign keys in a circle, one after the other": (CYCLE.format(""), None, [
        "BEGIN; INSERT INTO a VALUES (1, NULL, 0); INSERT INTO b VALUES (1, 1); UPDATE a SET b = 1; COMMIT",
        "BEGIN; INSERT INTO a SELECT i, NULL, 0 FROM generate_series(2, 200) i; INSERT INTO b SELECT i, i FROM generate_series(2, 200) i; UPDATE a SET b = id; COMMIT",
        "BEGIN; UPDATE a SET b = NULL WHERE id < 150; DELETE FROM b WHERE id < 150; DELETE FROM a WHERE id < 150; COMMIT"]),
    "foreign keys in a circle, deferred": (CYCLE.format(" DEFERRABLE INITIALLY DEFERRED"), None, [
        "BEGIN; INSERT INTO a SELECT i, i, 0 FROM generate_series(1, 200) i; INSERT INTO b SELECT i, i FROM generate_series(1, 200) i; COMMIT",
        "BEGIN; DELETE FROM a WHERE id % 2 = 0; DELETE FROM b WHERE id % 2 = 0; COMMIT", "UPDATE a SET n = n + 1"]),
    "self-referencing, cascading": (TREE, None, [
        "DELETE FROM t WHERE id = 50", "UPDATE t SET id = 1000 WHERE id = 3", "BEGIN; INSERT INTO t VALUES (500, 1, 'x'), (501, 500, 'x'); UPDATE t SET up = 501 WHERE id = 4; DELETE FROM t WHERE id = 2; COMMIT",
        "BEGIN; UPDATE t SET id = id + 2000; COMMIT", "UPDATE t SET up = NULL", "DELETE FROM t WHERE id % 3 = 0"]),
    "children before parents, deferred": (FAMILY.format(" DEFERRABLE INITIALLY DEFERRED"), None, [
        "BEGIN; INSERT INTO c SELECT i, i, 1 FROM generate_series(1001, 1200) i; INSERT INTO p SELECT i, 'late' FROM generate_series(1001, 1200) i; COMMIT",
        "BEGIN; DELETE FROM p WHERE id > 1000; DELETE FROM c WHERE p > 1000; COMMIT",
        "BEGIN; DELETE FROM p; INSERT INTO p SELECT i, 'again' FROM generate_series(1, 300) i; COMMIT"]),
    "key changes that cascade": (FAMILY.format(" ON UPDATE CASCADE"), None, [
        "UPDATE p SET id = id + 1000 WHERE id < 20", "BEGIN; UPDATE p SET id = id + 5000; UPDATE c SET n = n + 1; UPDATE p SET id = id - 5000; COMMIT",
        "BEGIN; UPDATE p SET id = 9999 WHERE id = 100; INSERT INTO p VALUES (100, 'other'); UPDATE c SET p = 100 WHERE id = 5; COMMIT"]),
    "deletes that cascade": (FAMILY.format(" ON DELETE CASCADE"), None, [
        "DELETE FROM p WHERE id < 100", "BEGIN; DELETE FROM p WHERE id = 100; INSERT INTO p VALUES (100, 'again'); INSERT INTO c VALUES (5000, 100, 1); COMMIT",
        "BEGIN; DELETE FROM p; INSERT INTO p SELECT i, 'new' FROM generate_series(1, 300) i; INSERT INTO c SELECT i, i, 1 FROM generate_series(1, 300) i; COMMIT"]),
    "unique values change places, deferrable": (UNIQUE.format(" DEFERRABLE"), None, ["UPDATE t SET u = 301 - u", "BEGIN; SET CONSTRAINTS ALL DEFERRED; UPDATE t SET u = 299 WHERE id = 1; UPDATE t SET u = 300 WHERE id = 2; COMMIT"]),
    "unique values change places, not deferrable there": (UNIQUE.format(" DEFERRABLE"), UNIQUE.format("").split(";", maxsplit=1)[0], [
        "UPDATE t SET u = 301 - u", "UPDATE t SET u = u % 300 + 1", "BEGIN; UPDATE t SET u = -u WHERE id < 3; UPDATE t SET u = -u WHERE id < 3; COMMIT"]),
    "exclusion": (EXCLUDE.format(""), None, [
        "BEGIN; UPDATE t SET r = int4range(9000, 9010) WHERE id = 2; UPDATE t SET r = int4range(20, 30) WHERE id = 1; UPDATE t SET r = int4range(10, 20) WHERE id = 2; COMMIT",
        "BEGIN; DELETE FROM t WHERE id = 5; INSERT INTO t VALUES (500, int4range(50, 55)), (501, int4range(55, 60)); COMMIT"]),
    "exclusion, deferrable": (EXCLUDE.format(" DEFERRABLE INITIALLY DEFERRED"), None, ["UPDATE t SET r = int4range(2020 - upper(r), 2020 - lower(r))", "UPDATE t SET r = int4range(lower(r) + 10, upper(r) + 10)"]),
    "generated and identity columns": (
        "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v int, g int GENERATED ALWAYS AS (v * 2) STORED);"
        "CREATE TABLE u (k text PRIMARY KEY, n int GENERATED ALWAYS AS IDENTITY, v int); CREATE TABLE w (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, v int);"
        "INSERT INTO t (v) SELECT i FROM generate_series(1, 200) i; INSERT INTO u (k, v) SELECT 'k' || i, i FROM generate_series(1, 200) i; INSERT INTO w (v) VALUES (1), (2)", None, [
            "UPDATE t SET v = v + 1", "UPDATE u SET v = v + 1", "UPDATE u SET k = 'moved' WHERE k = 'k7'", "INSERT INTO t (v) VALUES (1000)", "DELETE FROM u WHERE v < 20", "UPDATE w SET id = DEFAULT WHERE v = 1",
            "UPDATE u SET n = DEFAULT WHERE v = 50"]),
    "rows that are alike in a table without key": (
        "CREATE TABLE k (a int, b text, c numeric); ALTER TABLE k REPLICA IDENTITY FULL; INSERT INTO k SELECT i % 5, 'x', 1.10 FROM generate_series(1, 300) i; INSERT INTO k SELECT NULL, NULL, 1.1 FROM generate_series(1, 5)", None, [
            "DELETE FROM k WHERE ctid IN (SELECT ctid FROM k WHERE a = 1 LIMIT 7)", "UPDATE k SET b = 'y' WHERE ctid IN (SELECT ctid FROM k WHERE a = 2 LIMIT 3)",
            "UPDATE k SET a = 3 WHERE ctid IN (SELECT ctid FROM k WHERE a IS NULL LIMIT 2)", "BEGIN; INSERT INTO k VALUES (9, 'z', 1), (9, 'z', 1.0), (9, 'z', 1); DELETE FROM k WHERE ctid = (SELECT max(ctid) FROM k WHERE a = 9); COMMIT"]),
    "a partitioned target": (
        "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'v' FROM generate_series(1, 300) i",
        "CREATE TABLE t (id int PRIMARY KEY, v text) PARTITION BY RANGE (id); CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (100);"
        "CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (100) TO (10000) PARTITION BY HASH (id); CREATE TABLE t2a PARTITION OF t2 FOR VALUES WITH (MODULUS 2, REMAINDER 0); CREATE TABLE t2b PARTITION OF t2 FOR VALUES WITH (MODULUS 2, REMAINDER 1)", [
            "UPDATE t SET id = id + 1000 WHERE id < 150", "UPDATE t SET v = v || id", "DELETE FROM t WHERE id % 3 = 0", "INSERT INTO t VALUES (5, 'new')", "BEGIN; TRUNCATE t; INSERT INTO t VALUES (1, 'x'), (200, 'y'); COMMIT"]),
    "TRUNCATE with foreign keys": (
        FAMILY.format("") + "; CREATE TABLE g (id int PRIMARY KEY, c int REFERENCES c); INSERT INTO g SELECT i, i FROM generate_series(1, 100) i", None, [
            "TRUNCATE p CASCADE", "BEGIN; INSERT INTO p VALUES (1, 'x'); INSERT INTO c VALUES (1, 1, 1); INSERT INTO g VALUES (1, 1); TRUNCATE c, g; INSERT INTO c VALUES (2, 1, 1); TRUNCATE p CASCADE; INSERT INTO p VALUES (7, 'y'); COMMIT",
            "TRUNCATE g"]),
}


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("constraints") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        target.sql("CREATE ROLE applier LOGIN")
        yield folder, source, target


def as_applier(s):
    """Owns the tables, as a user of a managed server would, and may no more than that."""
    s.target("ALTER SCHEMA crossfade OWNER TO applier")
    s.target("DO $$ DECLARE t record; BEGIN FOR t IN SELECT c.oid::regclass AS name, nspname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind IN ('r', 'p') AND nspname ~ '^(public|k_)'"
             " LOOP EXECUTE format('ALTER TABLE %s OWNER TO applier; GRANT USAGE ON SCHEMA %I TO applier', t.name, t.nspname); END LOOP; END $$")
    s.pipeline.settings["target"]["url"] = s.target_url.replace("postgres@", "applier@")
    s.pipeline.write()


def begin(s, role):
    if role == "applier":
        as_applier(s)
    s.start()
    assert ("triggers_fire" in s.apply.log_text()) == (role == "applier")


@pytest.mark.parametrize("role", ["replica", "applier"])
def test_target_follows(servers, role):
    """All cases side by side, each in a schema of its own: their changes meet in the same batches."""
    def schema(text, i):
        return f"CREATE SCHEMA k_{i}; SET search_path = k_{i}; {text}; RESET search_path"

    with scenario(*servers, "; ".join(schema(case[0], i) for i, case in enumerate(CASES.values())), tables=("k_*.*",)) as s:
        for i, case in enumerate(CASES.values()):
            if case[1]:
                s.target(f"DROP SCHEMA k_{i} CASCADE", schema(case[1], i))
        begin(s, role)
        for step in range(max(len(case[2]) for case in CASES.values())):
            for i, case in enumerate(CASES.values()):
                if step < len(case[2]):
                    s.source(f"SET search_path = k_{i}; {case[2][step]}")
            s.wait()
        s.assert_equal()
        s.apply.terminate()  # all of it in one batch
        for i, case in enumerate(CASES.values()):
            for change in case[2]:
                with contextlib.suppress(psycopg.IntegrityError):  # not all of them can be done twice
                    s.source(f"SET search_path = k_{i}; {change}")
        s.apply.start()
        s.assert_equal()


@pytest.mark.parametrize("role", ["replica", "applier"])
@pytest.mark.parametrize("action", ["CASCADE", "SET NULL"])
def test_parents_that_are_taken_out_keep_their_children(servers, role, action):
    """Unique values of parents rotate: to take the parents out for a moment must not cost their children."""
    schema = ("CREATE TABLE p (id int PRIMARY KEY, u int UNIQUE{}); CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p ON DELETE " + action + ");"
              "INSERT INTO p SELECT i, i FROM generate_series(1, 50) i; INSERT INTO c SELECT i, i FROM generate_series(1, 50) i")
    target_schema = ";".join(schema.split(";")[:2]).format("")
    with scenario(*servers, schema.format(" DEFERRABLE"), target_schema) as s:
        begin(s, role)
        s.source("UPDATE p SET u = 51 - u")
        if role == "replica":
            s.assert_equal()
            return
        halts(s.apply, 5, "public.p", "session_replication_role")
        assert s.target("SELECT count(p), count(*) FROM c") == [(50, 50)]  # nothing was lost
        s.target_server.sql("GRANT SET ON PARAMETER session_replication_role TO applier")
        try:
            s.apply.start()
            s.assert_equal()
        finally:
            s.target_server.sql("REVOKE SET ON PARAMETER session_replication_role FROM applier")


@pytest.mark.parametrize("role", ["replica", "applier"])
def test_triggers_of_the_target(servers, role):
    """In replica role they do not fire; where they do, one that raises stops apply with advice, and nothing is lost."""
    with scenario(*servers, "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a')") as s:
        s.target("CREATE TABLE audit (id int); CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN INSERT INTO public.audit VALUES (new.id);"
                 " IF new.v = 'no' THEN RAISE 'not here'; END IF; RETURN new; END $$; CREATE TRIGGER note AFTER INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION note()")
        begin(s, role)
        s.source("UPDATE t SET v = 'b'", "INSERT INTO t VALUES (2, 'c')")
        s.assert_equal(ignore=("public.audit",))
        assert (s.target("SELECT count(*) FROM audit") == [(0,)]) == (role == "replica")
        s.source("INSERT INTO t VALUES (3, 'no'), (4, 'yes')")
        if role == "applier":
            halts(s.apply, 5, "not here", "public.t", "id=3", "Hint:")
            s.target("ALTER TABLE t DISABLE TRIGGER note")
            s.apply.start()
        s.assert_equal(ignore=("public.audit",))
