"""Tables as production has them: what publishing them would break there, and rows that are not the ones they seem to be."""

import pytest

from rig import Postgres, Workdir
from rig.scenario import scenario


@pytest.fixture(name="run", scope="module")
def fixture_run():
    with Workdir("hostile") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        def run(*arguments, **keywords):
            return scenario(folder, source, target, *arguments, **keywords)
        yield run


PARTITIONED = "CREATE TABLE t ({0}) PARTITION BY RANGE (id); CREATE TABLE t_low PARTITION OF t FOR VALUES FROM (0) TO (100); {1}; INSERT INTO t VALUES (1, 1)"


@pytest.mark.parametrize("schema", [
    "CREATE TABLE t (id int PRIMARY KEY DEFERRABLE, v int); INSERT INTO t VALUES (1, 1)",
    PARTITIONED.format("id int, v int", "ALTER TABLE t REPLICA IDENTITY FULL"),
    PARTITIONED.format("id int PRIMARY KEY, v int", "ALTER TABLE t_low REPLICA IDENTITY NOTHING"),
    PARTITIONED.format("id int, v int", "ALTER TABLE t REPLICA IDENTITY FULL; ALTER TABLE t_low ADD PRIMARY KEY (id)"),
    PARTITIONED.format("id int PRIMARY KEY, v int NOT NULL", "CREATE UNIQUE INDEX low ON t_low (v); ALTER TABLE t_low REPLICA IDENTITY USING INDEX low"),
], ids=["deferrable key", "full above none", "nothing below key", "full above key", "other index below key"])
def test_publishing_never_stops_the_application(run, schema):
    with run(schema) as s:
        s.capture.start()
        s.capture.assert_exit(5, 30)
        assert "replica identity" in s.capture.log_tail()
        s.source("UPDATE t SET v = v + 1", "DELETE FROM t")
        assert s.slots() == []
        assert s.pipeline.run("check").returncode == 1


def test_partitions_that_fit(run):
    schema = PARTITIONED.format("id int PRIMARY KEY, v int", "CREATE TABLE t_high PARTITION OF t FOR VALUES FROM (100) TO (200) PARTITION BY LIST (id);"
                                "CREATE TABLE t_high_1 PARTITION OF t_high DEFAULT; ALTER TABLE t_high_1 REPLICA IDENTITY FULL; INSERT INTO t VALUES (150, 1), (151, 1)")
    with run(schema) as s:
        s.start()
        s.source("UPDATE t SET v = v + 1", "UPDATE t SET id = id + 1 WHERE id = 151", "DELETE FROM t WHERE id = 150", "UPDATE t SET id = 160 WHERE id = 1")
        s.assert_equal()


def test_key_with_a_generated_column_is_none(run):
    """Not published, so the rest of the key is all that could be seen: it is not unique here."""
    schema = "CREATE TABLE t (v int, a int, g int GENERATED ALWAYS AS (v * 2) STORED, PRIMARY KEY (g, a)); INSERT INTO t (v, a) VALUES (1, 1), (2, 1), (3, 2)"
    with run(schema) as s:
        s.capture.start()
        s.capture.assert_exit(5, 30)
        s.source("ALTER TABLE t REPLICA IDENTITY FULL")
        s.start()
        s.source("UPDATE t SET v = 7 WHERE v = 2", "DELETE FROM t WHERE v = 1")
        s.assert_equal()


def test_settings_of_roles_and_databases(run):
    """A path that puts other tables before the catalog's, short timeouts, other forms of text; rights to no more than what is there."""
    def equal():  # the oracle's own sessions would be misled
        s.wait()
        assert s.source(rows) == s.target(rows)

    rows = "SELECT id, v::text, w::text FROM public.t ORDER BY id"
    with run("CREATE TABLE t (id int PRIMARY KEY, v timestamptz, w numeric); INSERT INTO t VALUES (1, now(), 1)",
             superuser="it comes as a role of its own") as s:
        for server, side in ((s.source_server, s.source), (s.target_server, s.target)):
            for setting in ("search_path = evil, public, pg_catalog", "timezone = 'Asia/Tokyo'", "datestyle = 'SQL,DMY'", "statement_timeout = '2s'",
                            "idle_session_timeout = '700ms'", "standard_conforming_strings = off", "default_transaction_isolation = 'serializable'"):
                server.sql(f"ALTER DATABASE {s.name} SET {setting}")
            side("CREATE SCHEMA evil; CREATE TABLE evil.pg_class (oid int, relname text); CREATE TABLE evil.pg_publication (pubname text, oid int);"
                 "CREATE TABLE evil.pg_locks (pid int); CREATE TABLE evil.pg_attribute (x int); CREATE TABLE evil.pg_namespace (x int)")
        s.start()
        s.source("INSERT INTO t VALUES (2, now(), 2)", "UPDATE t SET w = 3")
        equal()
        assert s.pipeline.run("compare", "run").returncode == 0
        s.capture.terminate()
        s.source_server.sql("DO $$ BEGIN CREATE ROLE capturer LOGIN REPLICATION; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
        s.source("ALTER TABLE t OWNER TO capturer; GRANT USAGE ON SCHEMA crossfade TO capturer; GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA crossfade TO capturer")
        s.pipeline.settings["source"]["url"] = s.source_url.replace("postgres@", "capturer@")
        s.pipeline.write()
        s.capture.start()
        s.source("UPDATE t SET w = 4")
        equal()


def test_keys_that_rotate_in_one_statement(run):
    with run("""CREATE TABLE t (id int PRIMARY KEY DEFERRABLE, v text); ALTER TABLE t REPLICA IDENTITY FULL;
            INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')""") as s:
        s.start()
        s.source("UPDATE t SET id = 3 - id WHERE id < 3")
        s.assert_equal()
        s.source("UPDATE t SET id = id % 3 + 1", "UPDATE t SET v = v || id")
        s.assert_equal()
        s.source("SET CONSTRAINTS ALL DEFERRED; INSERT INTO t VALUES (1, 'new'); DELETE FROM t WHERE id = 1 AND v <> 'new'")
        s.assert_equal()
        s.source("BEGIN; SET CONSTRAINTS ALL DEFERRED; INSERT INTO t VALUES (1, 'short'); DELETE FROM t WHERE v = 'short'; COMMIT")
        s.assert_equal()


def test_rows_of_inheritance_children_are_not_the_parents(run):
    with run("""CREATE TABLE parent (id int PRIMARY KEY, v int); CREATE TABLE child (PRIMARY KEY (id)) INHERITS (parent);
            INSERT INTO child SELECT i, i * 10 FROM generate_series(1, 200) i""") as s:
        s.start()  # the parent is empty, although a scan of it finds rows
        s.source("INSERT INTO parent SELECT i, i FROM generate_series(1, 300) i")
        s.assert_equal()
        s.source("UPDATE ONLY parent SET v = -v WHERE id < 5", "UPDATE ONLY parent SET v = -v WHERE id < 150", "DELETE FROM ONLY parent WHERE id = 1",
                 "DELETE FROM ONLY parent WHERE id BETWEEN 2 AND 150")
        s.assert_equal()
        s.source("TRUNCATE ONLY parent; INSERT INTO parent VALUES (7, 7)", "UPDATE parent SET v = v + 1 WHERE id = 7")
        s.assert_equal()
    with run("CREATE TABLE parent (a int, v int); CREATE TABLE child () INHERITS (parent); ALTER TABLE parent REPLICA IDENTITY FULL;"
             "ALTER TABLE child REPLICA IDENTITY FULL; INSERT INTO parent VALUES (1, 1), (2, 2); INSERT INTO child VALUES (1, 1), (2, 2)") as s:
        s.start()
        s.source("DELETE FROM ONLY parent WHERE a = 1", "UPDATE ONLY parent SET v = 3 WHERE a = 2", "DELETE FROM child WHERE a = 2")
        s.assert_equal()
