"""Whole runs with the roles of docs/PRIVILEGES.md and nothing more; and each right that is missing is named with the GRANT for it, by
`crossfade check` beforehand and by the role that stumbles."""

import json

import psycopg
import pytest

from rig import Postgres, Workdir, privileges
from rig.mariadb import MariaDB
from rig.oracle import assert_equal
from rig.pipeline import Pipeline
from rig.postgres import copy_schema
from rig.privileges import APPLY, CAPTURE, COMPARE, OWNER
from rig.scenario import drop_database
from rig.wait import wait_until

SCHEMA = """CREATE TABLE t (id int PRIMARY KEY, v text NOT NULL, n int CHECK (n < 1000));
CREATE TABLE parts (id int PRIMARY KEY, v text) PARTITION BY RANGE (id); CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (1000000);
CREATE SEQUENCE tickets; SELECT setval('tickets', 41);
INSERT INTO t SELECT i, 'v' || i, 1 FROM generate_series(1, 500) i; INSERT INTO parts SELECT i, 'p' FROM generate_series(1, 100) i"""
MARIADB_SCHEMA = """CREATE TABLE t (id int PRIMARY KEY, v longtext NOT NULL, n int CHECK (n < 500)) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;
CREATE TABLE parts (id int PRIMARY KEY, v longtext) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;
"""


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("privileges") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target, MariaDB(folder, "maria", settings={"sql-mode": "STRICT_TRANS_TABLES"}) as maria:
        for server in (source, target):
            privileges.make_roles(server.url())
        yield folder, source, target, maria


class Case:
    """The application's tables on the source, the roles of the page, and a pipeline that comes as them."""

    def __init__(self, servers, name, publication, mariadb=False):
        folder, self.source_server, self.target_server, self.maria = servers
        self.name = name
        self.source_url = self.source_server.create_db(name)
        privileges.give_to_owner(self.source_url)
        self.source(SCHEMA)
        if mariadb:
            self.target_url = self.maria.create_db(name)
            self.maria.script(MARIADB_SCHEMA, name)
        else:
            self.target_url = self.target_server.create_db(name)
            copy_schema(self.source_url, self.target_url)
            privileges.prepare_as_target(self.target_url)
        privileges.prepare_source(self.source_url, publication, pipeline=name)
        more = {"capture": {"heartbeat_interval_ms": 500}, "apply": {} if mariadb else {"on_row_error": "dead_letter"}}
        self.pipeline = Pipeline(folder, self.source_url, self.target_url, name=name, tables=("public.*",), more=more, roles=True)

    def source(self, *statements):
        for statement in statements:
            with self.source_server.connect(self.name, OWNER) as connection:
                connection.execute(statement)

    def start(self):
        for role in (self.pipeline.capture, self.pipeline.apply):
            if not role.running:
                role.start()
        self.pipeline.apply.wait_for(lambda status: status.get("complete"), 60, "the copy is complete")
        return self

    def check(self):
        done = self.pipeline.run("check", "--json")
        found = json.loads(done.stdout)["checks"]
        return done.returncode, [f"{c['found']} -> {c['hint']}" for c in found if c["state"] != "ok"]

    def close(self):
        self.pipeline.close()
        drop_database(self.source_server, self.name)
        if self.maria.value("SELECT 1 FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = %s", (self.name,)):
            self.maria.sql(f"DROP DATABASE `{self.name}`")
        else:
            drop_database(self.target_server, self.name)


@pytest.fixture(name="case")
def fixture_case(servers):
    made = []

    def make(*words, **more):
        made.append(Case(servers, *words, **more))
        return made[-1]
    yield make
    for one in made:
        one.close()


def no_superuser(server):
    assert server.value("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'crossfade%%' AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls)") == 0


@pytest.mark.parametrize("publication", ["tables", "all", "owner"])
def test_postgres_to_postgres(case, publication):
    """Copy, stream, restart, comparison, dead letters."""
    c = case(f"whole_{publication}", publication)
    no_superuser(c.source_server)
    member = c.source_server.value(f"SELECT pg_has_role('{CAPTURE}', '{OWNER}', 'MEMBER')")
    if publication != "owner":  # an earlier case may have made it one; it must do without
        c.source_server.sql(f"REVOKE {OWNER} FROM {CAPTURE}")
        assert not member or publication != "tables"
    code, bad = c.check()
    assert code == 0, bad
    c.start()
    assert ("triggers_fire" in c.pipeline.apply.log_text()) == (int(c.target_server.value("SHOW server_version_num")) < 150000)
    c.source("INSERT INTO t VALUES (1000, 'x', 1)", "UPDATE t SET v = 'y' WHERE id < 50", "DELETE FROM t WHERE id BETWEEN 100 AND 120", "TRUNCATE parts",
             "INSERT INTO parts VALUES (7, 'again')")
    c.pipeline.wait_caught_up()
    assert_equal(c.source_url, c.target_url)
    c.pipeline.capture.terminate()
    c.pipeline.capture.start()
    done = c.pipeline.run("compare", "run", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["verdict"] == "PASS", done.stdout + done.stderr
    c.target_server.sql("ALTER TABLE t DROP CONSTRAINT t_n_check, ADD CHECK (n < 500)", db=c.name)
    c.source("INSERT INTO t VALUES (2000, 'hush-hush', 777)")
    c.pipeline.wait_caught_up()
    letters = c.pipeline.run("apply", "dlq", "list", "--json")
    assert letters.returncode == 0 and "t_n_check" in letters.stdout, letters.stdout + letters.stderr
    # What the row holds is in the dead letter, and in no log.
    assert "hush-hush" in c.target_server.value("SELECT message FROM crossfade.dead_letter", db=c.name)
    assert "hush" not in c.pipeline.apply.log_text() and "constraint=t_n_check" in c.pipeline.apply.log_text()
    assert c.pipeline.run("compare", "run").returncode != 0
    c.target_server.sql("ALTER TABLE t DROP CONSTRAINT t_n_check, ADD CHECK (n < 1000)", db=c.name)
    assert c.pipeline.run("apply", "dlq", "retry", "--all", timeout=60).returncode == 0
    c.pipeline.wait_caught_up()
    assert_equal(c.source_url, c.target_url)
    no_superuser(c.target_server)


def test_cutover(case):
    c = case("cut_over", "tables").start()
    privileges.run_blocks(c.source_url, "source-cutover", owner=OWNER)
    c.pipeline.settings["cutover"] = {"lag_stable_ms": 100, "max_lag_ms": 30000, "drain_timeout_s": 60, "straggler_grace_ms": 300, "freeze_timeout_ms": 20000}
    c.pipeline.write()
    assert c.pipeline.run("compare", "run").returncode == 0
    done = c.pipeline.run("cutover", "run", "--execute", "--json", job="cutover")
    assert done.returncode == 0 and json.loads(done.stdout)["outcome"] == "done", done.stdout + done.stderr
    assert c.target_server.value("SELECT last_value FROM tickets", db=c.name) >= 41
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        c.source("UPDATE t SET v = v")


def test_postgres_to_mariadb(case):
    c = case("whole_maria", "tables", mariadb=True)
    code, bad = c.check()
    assert code == 0, bad
    c.start()
    c.source("INSERT INTO t VALUES (1000, 'x', 1)", "UPDATE t SET v = 'y' WHERE id < 50", "DELETE FROM t WHERE id BETWEEN 100 AND 120", "TRUNCATE parts",
             "INSERT INTO parts VALUES (7, 'again')")
    c.pipeline.wait_caught_up()
    with c.source_server.connect(c.name) as connection:
        for table in ("t", "parts"):
            expected = [tuple(None if v is None else str(v) for v in row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY id")]
            assert list(c.maria.sql(f"SELECT * FROM {table} ORDER BY id", db=c.name)) == expected
    c.maria.sql(f"REVOKE CREATE ON `{c.name}`.* FROM 'crossfade'@'%'")  # the control tables are there
    c.pipeline.apply.terminate()
    assert c.check()[0] == 0
    c.pipeline.apply.start()
    c.source("INSERT INTO t VALUES (2000, 'hush-hush', 777)")
    c.pipeline.apply.assert_exit(5, 60)
    assert "hush" not in c.pipeline.apply.log_text() and "23514" in c.pipeline.apply.log_text() or "CONSTRAINT" in c.pipeline.apply.log_text()


# -- what is missing: the statement that takes it away, what check says, which role stumbles, and what that says

SOURCE = {
    "replication": (f"ALTER ROLE {CAPTURE} NOREPLICATION", f'ALTER ROLE "{CAPTURE}" REPLICATION', f'ALTER ROLE "{CAPTURE}" REPLICATION', f"ALTER ROLE {CAPTURE} REPLICATION"),
    "schema": (f"REVOKE USAGE ON SCHEMA public FROM PUBLIC, {CAPTURE}", f'GRANT USAGE ON SCHEMA "public" TO "{CAPTURE}"',
               f'GRANT USAGE ON SCHEMA public TO "{CAPTURE}"', None),
    "table": (f"REVOKE SELECT ON t FROM {CAPTURE}", f'GRANT SELECT ON "public"."t" TO "{CAPTURE}"', f'GRANT SELECT ON TABLE t TO "{CAPTURE}"', None),
    "control": (f"DROP SCHEMA crossfade CASCADE; CREATE SCHEMA crossfade", f'GRANT USAGE, CREATE ON SCHEMA crossfade TO "{CAPTURE}"',
                f'GRANT USAGE ON SCHEMA crossfade TO "{CAPTURE}"', None),
    "publication": ("DROP PUBLICATION crossfade_{name}", f'have the publication made beforehand', f"GRANT {OWNER} TO {CAPTURE}", None),
}


@pytest.mark.parametrize("what", SOURCE)
def test_what_capture_lacks(case, what):
    take, hint, told, give = SOURCE[what]
    c = case(f"lack_{what}", "tables")
    c.source_server.sql(f"REVOKE {OWNER} FROM {CAPTURE}")
    c.source_server.sql(take.format(name=c.name), db=c.name)
    try:
        code, bad = c.check()
        assert code == 1 and any(hint in line for line in bad), bad
        c.pipeline.capture.start()
        wait_until(lambda: told in c.pipeline.capture.log_text(), 60, f"capture says {told}")
    finally:
        if give:
            c.source_server.sql(give)


TARGET = {
    "schema": (f"REVOKE USAGE ON SCHEMA public FROM PUBLIC, {APPLY}", f'GRANT USAGE ON SCHEMA "public" TO "{APPLY}"', f'GRANT USAGE ON SCHEMA public TO "{APPLY}"'),
    "insert": (f"REVOKE INSERT ON t FROM {APPLY}", f'GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON "public"."t" TO "{APPLY}"',
               f'GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON TABLE t TO "{APPLY}"'),
    "control": (f"DROP SCHEMA crossfade; CREATE SCHEMA crossfade", f'GRANT USAGE, CREATE ON SCHEMA crossfade TO "{APPLY}"', f'GRANT USAGE ON SCHEMA crossfade TO "{APPLY}"'),
    "no schema": ("DROP SCHEMA crossfade", 'GRANT CREATE ON DATABASE "{name}" TO "' + APPLY + '"', 'GRANT CREATE ON DATABASE {name} TO "' + APPLY + '"'),
}


@pytest.mark.parametrize("what", TARGET)
def test_what_apply_lacks(case, what):
    take, hint, told = TARGET[what]
    c = case("less_" + what.replace(" ", "_"), "tables")
    c.target_server.sql(take, db=c.name)
    code, bad = c.check()
    assert code == 1 and any(hint.format(name=c.name) in line for line in bad), bad
    c.pipeline.capture.start()
    c.pipeline.apply.start()
    wait_until(lambda: told.format(name=c.name) in c.pipeline.apply.log_text(), 60, f"apply says {told}")


def test_replica_role_is_missed_but_not_needed(case):
    c = case("no_replica", "tables")
    if int(c.target_server.value("SHOW server_version_num")) >= 150000:
        c.target_server.sql(f"REVOKE SET ON PARAMETER session_replication_role FROM {APPLY}")
    try:
        code, bad = c.check()
        assert code == 0 and any(f'GRANT SET ON PARAMETER session_replication_role TO "{APPLY}"' in line for line in bad), bad
        c.start()
        assert "triggers_fire" in c.pipeline.apply.log_text()
        c.source("UPDATE t SET v = 'y' WHERE id < 50", "TRUNCATE parts")
        c.pipeline.wait_caught_up()
        assert_equal(c.source_url, c.target_url)
    finally:
        privileges.run_blocks(c.target_url, "target-apply-replica")


def test_what_a_comparison_lacks(case):
    c = case("compared", "tables").start()
    for server, take, give, told in (
            (c.source_server, f"REVOKE INSERT ON crossfade.marker FROM {COMPARE}", f"GRANT INSERT ON crossfade.marker TO {COMPARE}", f'ON TABLE crossfade.marker TO "{COMPARE}"'),
            (c.target_server, f"REVOKE SELECT ON t FROM {COMPARE}", f"GRANT SELECT ON t TO {COMPARE}", f'GRANT SELECT ON TABLE t TO "{COMPARE}"')):
        server.sql(take, db=c.name)
        done = c.pipeline.run("compare", "run", "--json")
        assert done.returncode in (3, 4) and told in (done.stdout + done.stderr).replace('\\"', '"'), done.stdout + done.stderr
        server.sql(give, db=c.name)
    assert c.pipeline.run("compare", "run").returncode == 0


def test_what_apply_lacks_on_mariadb(case):
    c = case("maria_lacks", "tables", mariadb=True)
    for right in ("SELECT", "UPDATE", "DELETE", "CREATE TEMPORARY TABLES", "TRIGGER", "CREATE", "INSERT"):
        c.maria.sql(f"REVOKE {right} ON `{c.name}`.* FROM 'crossfade'@'%'")
        code, bad = c.check()
        assert code == 1 and any(f"GRANT {right} ON `{c.name}`.* TO 'crossfade'@'%'" in line for line in bad), bad
        if right != "INSERT":
            c.maria.sql(f"GRANT {right} ON `{c.name}`.* TO 'crossfade'@'%'")
    assert c.pipeline.run("check").returncode == 1
    c.pipeline.capture.start()
    c.pipeline.apply.start()
    c.pipeline.apply.wait_log("docs/PRIVILEGES.md", 60)
    assert "GRANT INSERT ON" in c.pipeline.apply.log_text() and "'crossfade'@'" in c.pipeline.apply.log_text()
    c.pipeline.apply.assert_exit(4, 60)
    c.maria.sql(f"GRANT INSERT ON `{c.name}`.* TO 'crossfade'@'%'")
    c.start()
