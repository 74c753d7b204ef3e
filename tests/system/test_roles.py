"""The roles of docs/PRIVILEGES.md on each major version, as source and as target: what they may not do, that each right of the page is needed,
and that whoever misses one is told the statement that gives it. Nothing comes by way of PUBLIC here."""

import json

import psycopg
import pymysql
import pytest

from rig import Postgres, Workdir, privileges
from rig.mariadb import ROLE_PASSWORD, MariaDB, run
from rig.oracle import assert_equal
from rig.pipeline import Pipeline
from rig.privileges import APPLY, CAPTURE, COMPARE, CUTOVER, OWNER
from rig.scenario import count

MAJORS = count((14, 16, 18), (14, 15, 16, 17, 18))
TABLES = """CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE parts (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (1000); CREATE SEQUENCE tickets; CREATE SCHEMA hr; CREATE TABLE hr.pay (id int PRIMARY KEY, v text)"""
ROWS = """SELECT setval('tickets', 41); INSERT INTO t SELECT i, 'v' || i FROM generate_series(1, 100) i; INSERT INTO parts SELECT i, 'p' FROM generate_series(1, 50) i;
INSERT INTO hr.pay VALUES (1, 'much')"""
CUTOVER_SETTINGS = {"lag_stable_ms": 100, "max_lag_ms": 60000, "drain_timeout_s": 60, "straggler_grace_ms": 300, "freeze_timeout_ms": 4000}


class World:
    """A source and a target of one version, and a pipeline between them that has finished its copy."""

    def __init__(self, folder, source, target, major):
        self.folder, self.servers, self.name, self.major = folder, {"source": source, "target": target}, "shop", major
        self.urls = {side: server.create_db(self.name) for side, server in self.servers.items()}
        for side, url in self.urls.items():
            privileges.make_roles(url)
            privileges.give_to_owner(url)
            self.sql(side, f"SET ROLE {OWNER}; {TABLES}; {ROWS if side == 'source' else ''}")
            self.sql(side, "REVOKE ALL ON DATABASE shop FROM PUBLIC; REVOKE ALL ON SCHEMA public FROM PUBLIC")
        privileges.prepare_source(self.urls["source"], "tables", pipeline=self.name, schemas="^public$")
        privileges.prepare_target(self.urls["target"], schemas="^public$", owner=OWNER)
        privileges.run_blocks(self.urls["source"], "source-cutover", owner=OWNER)
        self.pipeline = Pipeline(folder, *self.urls.values(), name=self.name, tables=("public.*",), roles=True,
                                 more={"capture": {"heartbeat_interval_ms": 500}, "cutover": CUTOVER_SETTINGS, "compare": {"deadline_ms": 60000}})

    def sql(self, side, *statements):
        with self.servers[side].connect(self.name) as connection:
            for statement in statements:
                connection.execute(statement)

    def start(self):
        for role in (self.pipeline.capture, self.pipeline.apply):
            if not role.running:
                role.start()
        self.pipeline.apply.wait_for(lambda status: status.get("complete"), 120, "the copy is complete")

    def stop(self):
        """So that nobody halts because of a right that is taken away."""
        for role in (self.pipeline.capture, self.pipeline.apply):
            if role.running:
                assert role.terminate() == 0, role.log_tail()

    def check(self):
        """(exit code, what is not well)"""
        return told(self.pipeline)


def told(pipeline):
    done = pipeline.run("check", "--json")
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, [f"{c['found']} -> {c['hint']}" for c in json.loads(done.stdout)["checks"] if c["state"] != "ok"]


@pytest.fixture(name="world", scope="module", params=MAJORS)
def fixture_world(request):
    major = request.param
    with Workdir(f"roles-{major}") as folder, Postgres(folder, "source", major=major) as source, Postgres(folder, "target", major=major) as target:
        made = World(folder, source, target, major)
        try:
            yield made
            made.pipeline.close()
            made.pipeline.assert_clean()
        finally:
            made.pipeline.close()


def refused(server, db, role, statement):
    """True when the role may not do so, false when it may (and has done it)."""
    with psycopg.connect(server.url(db, role), autocommit=True) as connection:
        try:
            connection.execute(statement)
        except psycopg.errors.InsufficientPrivilege:
            return True
    return False


NOBODY = ["SELECT * FROM pg_authid", "SELECT pg_read_file('postgresql.conf')", "COPY (SELECT 1) TO '/tmp/crossfade-must-not'", "COPY t TO PROGRAM 'true'", "CREATE ROLE more",
          "ALTER SYSTEM SET work_mem = '1MB'", "ALTER ROLE {role} SUPERUSER", "CREATE DATABASE more", "CREATE TABLE public.mine (id int)", "CREATE SCHEMA mine", "SET ROLE postgres"]
WRITES = ["INSERT INTO {t} VALUES (-1, 'x')", "UPDATE {t} SET v = 'x'", "DELETE FROM {t}", "TRUNCATE {t}"]
ALTERS = ["ALTER TABLE t ADD more int", "DROP TABLE t", "ALTER TABLE t DISABLE TRIGGER ALL", "CREATE INDEX ON t (v)"]
FOREIGN = ["SELECT * FROM hr.pay", *(w.format(t="hr.pay") for w in WRITES), "ALTER TABLE hr.pay ADD more int", "DROP TABLE hr.pay"]


def may_not(side, role):
    """What the page says that the role has no need for."""
    found = NOBODY + ALTERS + FOREIGN
    if role in (CAPTURE, COMPARE) or side == "source":
        found = found + [w.format(t="t") for w in WRITES]
    if role == COMPARE:
        control = ["marker", "decision"] if side == "source" else ["position", "loaded", "verdict", "cutover"]
        found = found + [w.format(t=f"crossfade.{c}").replace("SET v = 'x'", "SET pipeline = 'x'") for c in control for w in WRITES[1:]] + ["CREATE TABLE crossfade.mine (id int)"]
        # What it adds to would be done with the rights of others: a letter that is to go in, a place, a decision.
        found = found + [f"INSERT INTO crossfade.{c} DEFAULT VALUES" for c in (["decision"] if side == "source" else ["position", "loaded", "dead_letter", "shard_home", "cutover", "direct_load"])]
    if role != APPLY:
        found = found + ["CREATE TEMPORARY TABLE mine (id int)"]
    return found


def test_roles_can_do_no_more_than_the_page_says(world):
    world.start()
    for side, roles in (("source", (CAPTURE, COMPARE)), ("target", (APPLY, COMPARE))):
        server = world.servers[side]
        for role in roles:
            allowed = [s for s in may_not(side, role) if not refused(server, world.name, role, s.format(role=role))]
            assert not allowed, f"{world.major}: {role} on the {side} may {allowed}"
            assert not refused(server, world.name, role, "SELECT * FROM t")  # it is no refusal of everything
        strong = "rolname LIKE 'crossfade%%' AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls)"
        assert server.value(f"SELECT count(*) FROM pg_roles WHERE {strong}") == 0
        member = "SELECT rolname FROM pg_roles WHERE rolname !~ '^crossfade' AND pg_has_role(%s, oid, 'MEMBER')"
        assert [server.sql(member, (role,)) for role in roles] == [[], []]
        assert server.value("SELECT rolreplication FROM pg_roles WHERE rolname = %s", (APPLY,)) is False
    # Other databases of the same server: not by these grants, only by what PUBLIC has there.
    world.servers["target"].sql("CREATE DATABASE other")
    world.servers["target"].sql("REVOKE CONNECT ON DATABASE other FROM PUBLIC")
    for role in (APPLY, COMPARE, CUTOVER):
        with pytest.raises(psycopg.OperationalError, match="permission denied"):
            world.servers["target"].connect("other", role).close()


# -- each right of the page is taken away, the statement that brings it back is told: by check, or by the command that needs it

ORIGIN_FUNCTIONS = ("pg_replication_origin_create(text)", "pg_replication_origin_session_setup(text)", "pg_replication_origin_xact_setup(pg_lsn, timestamptz)")


def granted(world, side, role):
    """Rights of the role itself in that database, from the server's catalog: [(REVOKE, GRANT, what the hint must hold)]; of control tables none, they are their role's."""
    rows = world.servers[side].sql("""
        SELECT format('%%s ON DATABASE %%I', privilege_type, datname), privilege_type, 'DATABASE', datname FROM pg_database d, aclexplode(datacl) a WHERE datname = current_database() AND grantee = %(r)s::regrole
        UNION ALL SELECT format('%%s ON SCHEMA %%I', privilege_type, nspname), privilege_type, 'SCHEMA', nspname FROM pg_namespace, aclexplode(nspacl) a WHERE nspname = 'public' AND grantee = %(r)s::regrole
        UNION ALL SELECT format('%%s ON %%s', privilege_type, c.oid::regclass), privilege_type, 'TABLE', relname FROM pg_class c, aclexplode(relacl) a WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND relname IN ('t', 'parts') AND grantee = %(r)s::regrole
        ORDER BY 1""", {"r": role}, db=world.name)
    return [(f"REVOKE {what} FROM {role}", f"GRANT {what} TO {role}", right, kind, name) for what, right, kind, name in rows]


def names(lines, right, kind, name, role):
    """Whether one of the lines has a GRANT of that right on that object to that role."""
    for line in lines:
        for part in line.replace('\\"', '"').replace('"', "").split("GRANT ")[1:]:
            statement = part.split(";")[0]
            if right in statement.split(" ON ")[0] and name in statement.partition(" ON ")[2] and f"TO {role}" in statement:
                return True
    return False


@pytest.mark.parametrize("side,role", [("source", CAPTURE), ("target", APPLY)])
def test_check_names_each_right_that_is_missing(world, side, role):
    world.stop()
    code, bad = world.check()
    assert code == 0, bad
    rights = granted(world, side, role)
    assert len(rights) == (4 if role == CAPTURE else 13), rights
    for take, give, right, kind, name in rights:
        world.sql(side, take)
        try:
            code, bad = world.check()
            assert code == 1 and names(bad, right, kind, name, role), f"{world.major}: {take}: {bad}"
        finally:
            world.sql(side, give)
    owned = [("SCHEMA crossfade", f"{OWNER}", "SCHEMA crossfade")] + ([] if role == APPLY else [(f"PUBLICATION crossfade_{world.name}", "postgres", "PUBLICATION")])
    for what, other, hint in owned:
        world.sql(side, f"ALTER {what} OWNER TO {other}")
        try:
            code, bad = world.check()
            assert code == 1 and any(hint in line and role in line for line in bad), f"{world.major}: {what}: {bad}"
        finally:
            world.sql(side, f"ALTER {what} OWNER TO {role}")
    if role == CAPTURE:
        world.sql(side, f"ALTER ROLE {role} NOREPLICATION")
        try:
            code, bad = world.check()
            assert code == 1 and any(f'ALTER ROLE "{role}" REPLICATION' in line for line in bad), bad
        finally:
            world.sql(side, f"ALTER ROLE {role} REPLICATION")
    elif world.major >= 15:
        world.sql(side, f"REVOKE SET ON PARAMETER session_replication_role FROM {role}")
        try:
            code, bad = world.check()
            assert code == 0 and names(bad, "SET", "PARAMETER", "session_replication_role", role), bad
        finally:
            world.sql(side, f"GRANT SET ON PARAMETER session_replication_role TO {role}")
    for function in (*ORIGIN_FUNCTIONS,) if role == APPLY else ():
        world.sql(side, f"REVOKE EXECUTE ON FUNCTION {function} FROM {role}")
        try:
            code, bad = world.check()
            assert code == 0 and names(bad, "EXECUTE", "FUNCTION", function, role), bad
        finally:
            world.sql(side, f"GRANT EXECUTE ON FUNCTION {function} TO {role}")
    assert world.check()[0] == 0


def compare(world):
    done = world.pipeline.run("compare", "run", "--json")
    return done.returncode, [done.stdout, done.stderr]


def test_a_comparison_names_each_right_that_is_missing(world):
    world.start()
    code, lines = compare(world)
    assert code == 0, lines
    for side in ("source", "target"):
        rights = granted(world, side, COMPARE)
        assert len(rights) == 4, rights
        used = {"source": [("INSERT", "marker")], "target": [("SELECT", "position"), ("INSERT", "release"), ("INSERT", "verdict")]}[side]
        rights += [(f"REVOKE {right} ON crossfade.{table} FROM {COMPARE}", f"GRANT {right} ON crossfade.{table} TO {COMPARE}", right, "TABLE", table) for right, table in used]
        rights.append((f"REVOKE USAGE ON SCHEMA crossfade FROM {COMPARE}", f"GRANT USAGE ON SCHEMA crossfade TO {COMPARE}", "USAGE", "SCHEMA", "crossfade"))
        for take, give, right, kind, name in rights:
            world.sql(side, take)
            try:
                code, lines = compare(world)
                assert code in (3, 4) and names(lines, right, kind, name, COMPARE), f"{world.major}: {side}: {take}: {code} {lines}"
            finally:
                world.sql(side, give)
    world.sql("source", f"ALTER ROLE {COMPARE} NOREPLICATION")
    try:
        code, lines = compare(world)
        assert code in (3, 4) and "REPLICATION" in "".join(lines) and COMPARE in "".join(lines), (code, lines)
    finally:
        world.sql("source", f"ALTER ROLE {COMPARE} REPLICATION")


def test_a_cutover_names_each_right_that_is_missing(world):
    """And at the end it is done: with these roles a whole life of a pipeline passes on this version."""
    world.start()
    assert compare(world)[0] == 0
    for side, role in (("source", OWNER), ("source", "pg_signal_backend"), ("source", CAPTURE), ("target", OWNER), ("target", APPLY)):
        world.sql(side, f"REVOKE {role} FROM {CUTOVER}")
        try:
            done = world.pipeline.run("cutover", "plan", "--json")
            text = (done.stdout + done.stderr).replace('\\"', '"').replace('"', "")
            assert done.returncode not in (0, 11) and (f"GRANT {role} TO {CUTOVER}" in text or names([text], "", "", "", CUTOVER)), f"{world.major}: {role}: {text}"
        finally:
            world.sql(side, f"GRANT {role} TO {CUTOVER}")
    world.sql("target", f"REVOKE {OWNER} FROM {CUTOVER}", f"REVOKE UPDATE ON SEQUENCE tickets FROM {CUTOVER}")
    done = world.pipeline.run("cutover", "plan", "--json")
    assert done.returncode == 10 and names([done.stdout], "UPDATE", "SEQUENCE", "tickets", CUTOVER), done.stdout
    world.sql("target", f"GRANT UPDATE ON SEQUENCE tickets TO {CUTOVER}", f"GRANT {OWNER} TO {CUTOVER}")
    done = world.pipeline.run("cutover", "run", "--execute", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["outcome"] == "done", done.stdout + done.stderr
    assert_equal(world.urls["source"], world.urls["target"], ignore=("hr.pay",))
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        world.sql("source", f"SET ROLE {OWNER}; UPDATE t SET v = v")


# -- MariaDB

@pytest.fixture(name="maria", scope="module")
def fixture_maria():
    with Workdir("roles-mariadb") as folder, Postgres(folder, "source") as source, MariaDB(folder, "target", settings={"sql-mode": "STRICT_TRANS_TABLES"}) as target:
        yield folder, source, target


def test_roles_can_do_no_more_on_mariadb(maria):
    """apply's: rows of its own database; schema's: tables of it. Neither sees another database, nor anything of the server."""
    _, _, server = maria
    server.create_db("mine")
    server.script("CREATE TABLE t (id int PRIMARY KEY)", "mine")
    server.script("CREATE DATABASE others;\nCREATE TABLE others.t (id int PRIMARY KEY)")
    nobody = ["SELECT * FROM others.t", "INSERT INTO others.t VALUES (1)", "DELETE FROM others.t", "DROP DATABASE others", "CREATE TABLE others.u (id int)", "SELECT * FROM mysql.global_priv",
              "SELECT 1 INTO OUTFILE '/tmp/crossfade-must-not'", "SET GLOBAL max_connections = 5", "CREATE USER more", "CREATE DATABASE more", "SELECT LOAD_FILE('/etc/passwd') IS NULL OR 1/0",
              "GRANT SELECT ON mine.* TO crossfade_schema@'%'", "SHUTDOWN", "CREATE PROCEDURE mine.p() SELECT 1", "CREATE VIEW mine.w AS SELECT 1"]
    for user, more in (("crossfade", ["DROP TABLE mine.t", "ALTER TABLE mine.t ADD v int", "CREATE INDEX i ON mine.t (id)", "TRUNCATE mine.t"]), ("crossfade_schema", ["CREATE TEMPORARY TABLE mine.x (id int)"])):
        with server.connect("mine", user, ROLE_PASSWORD) as connection:
            for statement in nobody + more:
                if "LOAD_FILE" in statement:
                    assert run(connection, "SELECT LOAD_FILE('/etc/passwd')") == ((None,),)
                    continue
                with pytest.raises(pymysql.err.MySQLError) as error:
                    run(connection, statement)
                assert error.value.args[0] in (1044, 1045, 1142, 1143, 1227, 1370), (user, statement, error.value)
