"""The old database after a cutover: who still uses it, the tombstone that clients meet, and when it may be switched off."""

import json
import os
import signal

import psycopg
import pytest

from rig import Postgres, Workdir, privileges
from rig.pipeline import Pipeline
from rig.privileges import OWNER, as_role
from rig.procs import run_crossfade
from rig.scenario import count
from rig.wait import wait_until

TABLES = "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'v' FROM generate_series(1, 20) i"
NAME = 'old shop'
SETTINGS = {"capture": {"heartbeat_interval_ms": 500}, "cutover": {"lag_stable_ms": 200, "pause_budget_ms": 120000}, "decommission": {"new_home": "host=db2.example.com port=5432 dbname=shop's"}}
HOME = "host=db2.example.com port=5432 dbname=shop's"


class Moved:
    """A database that was cut over. superuser: decommission comes to the source as one; else as cutover's role."""

    def __init__(self, folder, major):
        self.source, self.target = Postgres(folder, "source", major=major), Postgres(folder, "target", major=major)
        self.folder = folder

    def __enter__(self):
        self.source.__enter__()
        self.target.__enter__()
        self.url, self.copy = self.source.create_db(NAME), self.target.create_db("shop")
        self.url = self.source.url("old%20shop")
        self.sql("CREATE ROLE app LOGIN; CREATE ROLE clerk LOGIN; ALTER ROLE clerk SET session_preload_libraries = 'plpgsql'")
        self.sql(TABLES)
        self.sql(f"COMMENT ON DATABASE \"{NAME}\" IS 'it''s the shop'")
        self.target.sql("CREATE TABLE t (id int PRIMARY KEY, v text)", db="shop")  # no dump: Debian's refuses newer servers
        self.pipeline = Pipeline(self.folder, self.url, self.copy, name="moved", tables=("public.*",), more=SETTINGS)
        self.pipeline.start()
        self.pipeline.apply.wait_for(lambda status: status.get("complete"), 60, "the copy is complete")
        return self

    def __exit__(self, *exc):
        self.pipeline.close()
        self.target.close()
        self.source.close()

    def sql(self, statement):
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else None

    def cut_over(self):
        assert self.pipeline.run("compare", "run").returncode == 0
        done = self.pipeline.run("cutover", "run", "--execute", "--json", timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr

    def config(self, superuser, **more):
        settings = json.loads(privileges.as_job(self.pipeline.settings, "cutover"))
        if superuser:
            settings["source"]["url"], settings["target"]["url"] = self.url, self.copy
        for key, value in more.items():
            section, option = key.split("__")
            settings.setdefault(section, {})[option] = value
        path = os.path.join(self.folder, f"decommission-{superuser}.yaml")
        with open(path, "w", encoding="utf-8") as f:
            json.dump(settings, f)
        return path

    def run(self, *words, superuser=True, expected=0, env=None, text=False, **more):
        done = run_crossfade("decommission", *words, *([] if text or words[0] == "watch" else ["--json"]), config=self.config(superuser, **more), env=env, timeout=120)
        assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr
        assert done.returncode == expected, f"{words}: exit code {done.returncode}\n{done.stdout[-4000:]}{done.stderr}"
        return json.loads(done.stdout) if done.stdout and not text and words[0] != "watch" else done.stdout

    def connects(self, role="app"):
        psycopg.connect(as_role(self.url, role), connect_timeout=10).close()
        return True

    def refused(self, role="app"):
        with pytest.raises(psycopg.OperationalError) as error:
            self.connects(role)
        return str(error.value)

    def shown(self):
        """What of the database a tombstone changes."""
        return self.sql("""SELECT shobj_description(oid, 'pg_database'), (SELECT array_agg(a::text ORDER BY a::text) FROM aclexplode(coalesce(datacl, acldefault('d', datdba))) a WHERE a.privilege_type = 'CONNECT'),
            (SELECT array_agg(evtname) FROM pg_event_trigger), (SELECT array_agg(s::text ORDER BY s::text) FROM pg_db_role_setting s WHERE setdatabase = d.oid) FROM pg_database d WHERE datname = current_database()""")


SUBSCRIPTION = "CREATE SUBSCRIPTION {} CONNECTION 'host=127.0.0.1' PUBLICATION feed WITH (connect = false, slot_name = NONE)"


def found(report, kind, **fields):
    return [e for e in report["found"] if e["kind"] == kind and all(e[k] == v for k, v in fields.items())]


@pytest.fixture(name="moved", scope="module", params=count([15, 17], [14, 15, 16, 17, 18]))
def fixture_moved(request):
    with Workdir(f"decommission-{request.param}") as folder, Moved(folder, request.param) as moved:
        moved.major = request.param
        yield moved


def raise_and_lower(moved, method, superuser, words):
    """Puts it up while clients are there, looks at what they read, takes it down: all is as before."""
    before = moved.shown()
    options = {"superuser": superuser, "decommission__tombstone": method}
    planned = moved.run("tombstone", **options)
    assert planned["outcome"] == "planned" and planned["method"] == method and moved.shown() == before and moved.connects()
    assert moved.run("tombstone", "--execute", "--confirm", "shop", expected=10, **options)["outcome"] == "refused" and moved.shown() == before
    with psycopg.connect(as_role(moved.url, "app"), autocommit=True) as app, psycopg.connect(moved.url, autocommit=True) as admin:
        done = moved.run("tombstone", "--execute", "--confirm", NAME, **options)
        assert done["outcome"] == "up" and done["sessions"] >= 1 and done["audit_seq"] > 0, done
        with pytest.raises(psycopg.OperationalError):
            app.execute("SELECT 1")
        assert admin.execute("SELECT 1").fetchone() == (1,)
    for role in ("app", "clerk"):
        message = moved.refused(role)
        assert words in message, message
    assert HOME in moved.sql("SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()")[0][0]
    assert moved.connects("postgres") and moved.connects("crossfade_capture")
    up = moved.shown()
    assert moved.run("tombstone", "--execute", "--confirm", NAME, **options)["outcome"] == "up" and moved.shown() == up  # again: no change
    status = moved.run("status", superuser=superuser, expected=1)
    assert status["stage"] == "tombstone" and status["tombstone"]["method"] == method and status["tombstone"]["whole"]
    assert moved.run("tombstone", "--undo", "--execute", "--confirm", NAME, **options)["outcome"] == "down"
    assert moved.shown() == before and moved.connects() and moved.connects("clerk")
    assert moved.run("status", superuser=superuser, expected=1)["stage"] == "readonly"
    return message


def test_from_serving_to_ready(moved):
    status = moved.run("status", expected=1)
    assert status["stage"] == "serving" and "never cut over" in status["why_not"]
    refused = run_crossfade("decommission", "tombstone", "--execute", "--confirm", NAME, config=moved.config(True))
    assert refused.returncode not in (0, 1) and "not cut over" in refused.stderr and moved.connects()
    moved.cut_over()

    # Who is there, and what depends on it.
    moved.sql("CREATE PUBLICATION other FOR TABLE t")
    moved.sql("SELECT pg_create_logical_replication_slot('other_slot', 'pgoutput')")
    moved.target.sql(f"""CREATE FOREIGN DATA WRAPPER plain; CREATE SERVER back FOREIGN DATA WRAPPER plain OPTIONS (host '127.0.0.1', port '{moved.source.port}', dbname '{NAME}');
        CREATE SERVER elsewhere FOREIGN DATA WRAPPER plain OPTIONS (host 'db9'); CREATE USER MAPPING FOR postgres SERVER back OPTIONS (password 'secret');
        CREATE FUNCTION reads_over() RETURNS int LANGUAGE plpgsql AS 'BEGIN PERFORM dblink(''x'', ''y''); RETURN 1; END';
        CREATE VIEW over_there AS SELECT 'by dblink'::text AS how; {SUBSCRIPTION.format('from_old')}""", db="shop")
    moved.sql(SUBSCRIPTION.format("from_elsewhere"))
    with psycopg.connect(moved.url, replication="database", application_name="a_standby", autocommit=True):
        sender = found(moved.run("status", expected=1), "walsender", application="a_standby", side="source")
        assert len(sender) == 1 and sender[0]["blocks"] and "a standby" in sender[0]["detail"]
    with psycopg.connect(as_role(moved.url, "app"), application_name="billing", autocommit=True) as app:
        app.execute("SELECT 1")
        status = moved.run("status", expected=1)
        session = found(status, "session", name="app")[0]
        assert session["application"] == "billing" and session["address"] == "127.0.0.1" and session["state"] == "idle" and session["at"] and session["blocks"]
        assert found(status, "slot", name="other_slot", blocks=True) and found(status, "slot", name="crossfade_moved", blocks=False) and found(status, "publication", name="other")
        assert found(status, "foreign_server", name="back", side="target", blocks=True) and found(status, "foreign_server", name="elsewhere", blocks=False) and "secret" not in json.dumps(status)
        assert found(status, "routine", name="public.reads_over()") and found(status, "view", name="public.over_there", side="target")
        assert found(status, "subscription", name="from_elsewhere", side="source", blocks=False) and found(status, "subscription", name="from_old", side="target", blocks=False)
        assert found(status, "our_session") and status["read_only_until"] and not status["period_over"] and status["stage"] == "readonly"
        moved.run("watch", "--once")
        moved.run("watch", "--once")
    seen = [e for e in moved.run("status", expected=1)["found"] if e["kind"] == "seen" and e["name"] == "app"]
    assert len(seen) == 1 and seen[0]["application"] == "billing" and seen[0]["detail"].startswith("1 connections"), seen
    as_text = moved.run("status", expected=1, text=True)
    assert "may be switched off: no" in as_text and "billing" in as_text

    # The ways of a tombstone.
    if moved.major >= 17:
        assert HOME in raise_and_lower(moved, "login", True, f"database {NAME} has moved to {HOME}")
    assert HOME in raise_and_lower(moved, "preload", True, f"database {NAME} has moved to {HOME}")
    assert HOME not in raise_and_lower(moved, "connect", False, "permission denied for database")
    assert moved.run("tombstone")["method"] == ("login" if moved.major >= 17 else "preload")
    assert moved.run("tombstone", superuser=False)["method"] == "connect"

    # Killed anywhere on the way up and down.
    before = moved.shown()
    for point in ("noted", "saved", "changed", "raised"):
        killed = run_crossfade("decommission", "tombstone", "--execute", "--confirm", NAME, config=moved.config(True), env={"CROSSFADE_FAILPOINT": f"decommission.{point}"})
        assert killed.returncode == -signal.SIGKILL, f"{point}: {killed.returncode} {killed.stderr}"
        if point == "saved":
            assert "half-way" in moved.run("status", expected=1)["why_not"]
    assert moved.run("tombstone", "--execute", "--confirm", NAME)["outcome"] == "up"
    assert HOME in moved.refused()
    for point in ("changed", "lowered"):
        killed = run_crossfade("decommission", "tombstone", "--undo", "--execute", "--confirm", NAME, config=moved.config(True), env={"CROSSFADE_FAILPOINT": f"decommission.{point}"})
        assert killed.returncode == -signal.SIGKILL, f"{point}: {killed.returncode} {killed.stderr}"
    assert moved.run("tombstone", "--undo", "--execute", "--confirm", NAME)["outcome"] == "down"
    assert moved.shown() == before and moved.connects()

    # At the end nothing speaks against it.
    assert moved.run("tombstone", "--execute", "--confirm", NAME)["outcome"] == "up"
    moved.sql("SELECT pg_drop_replication_slot('other_slot')")
    moved.target.sql("DROP SERVER back CASCADE", db="shop")
    moved.target.sql("DROP SUBSCRIPTION from_old", db="shop")
    moved.sql("DROP SUBSCRIPTION from_elsewhere")
    wait_until(lambda: not found(moved.run("status", expected=1), "session"), 20, "the sessions that were ended are gone")
    assert "read-only period" in moved.run("status", expected=1)["why_not"]
    ready = moved.run("status", cutover__rollback_window="0s")
    assert ready["stage"] == "ready" and ready["may_switch_off"] and not ready["why_not"], ready
    events = [row[0] for row in psycopg.connect(moved.copy, autocommit=True).execute("SELECT event FROM crossfade.audit WHERE event LIKE 'decommission%'")]
    assert "decommission.tombstone" in events and "decommission.tombstone_undo" in events
