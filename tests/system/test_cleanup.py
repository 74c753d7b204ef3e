"""Cleanup: it removes what a pipeline has made and nothing else, whatever happens to it on the way."""

import json
import os
import re
import signal

import psycopg
import pytest

from rig import Kafka, Postgres, Workdir, privileges
from rig.mariadb import MariaDB
from rig.pipeline import Pipeline
from rig.postgres import copy_schema
from rig.privileges import COMPARE, OWNER, as_role
from rig.procs import run_crossfade
from rig.scenario import drop_database
from rig.wait import wait_until
from rig.way_back import WayBack

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
TABLES = """CREATE TABLE one (id int PRIMARY KEY, v text); CREATE TABLE "two ""x"" y" (id int PRIMARY KEY, v text); CREATE SCHEMA app;
CREATE TABLE app.parts (id int PRIMARY KEY, v text) PARTITION BY RANGE (id); CREATE TABLE app.parts_1 PARTITION OF app.parts FOR VALUES FROM (0) TO (1000);
INSERT INTO one SELECT i, 'v' || i FROM generate_series(1, 50) i; INSERT INTO "two ""x"" y" SELECT i, 'w' FROM generate_series(1, 20) i; INSERT INTO app.parts VALUES (1, 'p')"""
CATALOG = """SELECT 'relation', n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
UNION ALL SELECT 'function', p.oid::regprocedure::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
UNION ALL SELECT 'trigger', tgname || ' on ' || tgrelid::regclass FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT 'schema', nspname FROM pg_namespace WHERE nspname !~ '^pg_(temp|toast)' UNION ALL SELECT 'publication', pubname FROM pg_publication
UNION ALL SELECT 'slot', slot_name FROM pg_replication_slots WHERE database = current_database() UNION ALL SELECT 'prepared', gid FROM pg_prepared_xacts
UNION ALL SELECT 'origin', roname FROM pg_replication_origin"""


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("cleanup") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


def catalog(url):
    with psycopg.connect(url, autocommit=True) as connection:
        return {tuple(row) for row in connection.execute(CATALOG)}


def execute(url, statement):
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(statement)


def value(url, query):
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(query).fetchone()[0]


class Site:
    """Two databases with the same tables, prepared as docs/PRIVILEGES.md says, and what is in their catalogs by then."""

    def __init__(self, servers, name, target_url=None, more=None, journal=None, **pipeline):
        self.folder, self.source, self.target = servers
        self.name = name
        self.url = self.source.create_db(name)
        execute(self.url, TABLES)
        self.copy = target_url or self.target.create_db(name)
        if target_url is None:
            copy_schema(self.url, self.copy)
        privileges.prepare(self.url, self.copy)
        if target_url is None:
            privileges.run_blocks(self.copy, "target-cleanup")
        self.before = self.catalogs()
        self.pipelines, self.more, self.journal, self.settings = {}, more or {}, journal, pipeline

    def catalogs(self):
        return catalog(self.url), catalog(self.copy) if self.copy.startswith("postgresql") else None

    def pipeline(self, name, tables=("public.*", "app.*"), **more):
        settings = {"capture": {"heartbeat_interval_ms": 500}, **self.more, **more}
        made = Pipeline(self.folder, self.url, self.copy, name=name, tables=tables, more=settings, journal=self.journal, roles=True, **self.settings)
        self.pipelines[name] = made
        made.start()
        made.apply.wait_for(lambda status: status.get("complete"), 60, "the copy is complete")
        return made

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        for made in self.pipelines.values():
            made.close()
        if kind is None:
            for made in self.pipelines.values():
                made.assert_clean()
        drop_database(self.source, self.name)
        if self.copy.startswith("postgresql"):
            drop_database(self.target, self.name)


def stop(pipeline):
    for role in (pipeline.capture, pipeline.apply):
        if role.running:
            assert role.terminate() == 0, role.log_tail()


def cleanup(pipeline, *words, expected=0, env=None):
    done = run_crossfade("cleanup", "--json", *words, config=pipeline.config_of("cutover"), binary=pipeline.binary, env=env or pipeline.env, timeout=180)
    assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr
    assert done.returncode == expected, f"cleanup {words}: exit code {done.returncode}\n{done.stdout[-4000:]}{done.stderr}"
    return json.loads(done.stdout) if done.stdout else None


def of(report, kind, fate=None):
    return [a for a in report["artefacts"] if a["kind"] == kind and fate in (None, a["fate"])]


def test_the_list_of_control_tables_is_whole():
    with open(os.path.join(ROOT, "cleanup", "tables.c"), encoding="utf-8") as f:
        known = set(re.findall(r'\.name = "(\w+)"', f.read()))
    made = set()
    folder = os.path.join(ROOT, "schemas", "sql")
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), encoding="utf-8") as f:
            made |= set(re.findall(r"CREATE TABLE (?:IF NOT EXISTS )?crossfade[._](\w+)", f.read()))
    assert made - {"audit"} == known, "a control table that cleanup does not know stays behind (cleanup/tables.c)"


def test_one_of_two_pipelines(servers):
    with Site(servers, "pair") as site:
        one, two = site.pipeline("one", ("public.one", "app.*")), site.pipeline("two", ('public."two ""x"" y"',))
        running = cleanup(one, "--execute", expected=1)
        assert running["outcome"] == "refused"
        slot = of(running, "slot", "refuse")[0]
        assert slot["name"] == "crossfade_one" and re.search(r"pid \d+.*crossfade capture one", slot["used_by"]), slot
        assert {a["name"] for a in of(running, "role", "refuse")} >= {"crossfade capture one", "crossfade apply one"}
        full = site.catalogs()
        stop(one)
        wait_until(lambda: cleanup_is_free(one), 30, "the sessions of the roles are gone")
        planned = cleanup(one)
        assert planned["outcome"] == "planned" and site.catalogs() == full
        assert of(planned, "slot", "remove")[0]["bytes"] >= 0 and of(planned, "publication", "remove") and of(planned, "replication_origin", "remove")
        assert {a["fate"] for a in of(planned, "shared_object")} == {"leave"} and all(a["why"] for a in planned["artefacts"] if a["fate"] != "remove")
        done = cleanup(one, "--execute")
        assert done["outcome"] == "done" and {a["name"] for a in planned["artefacts"] if a["fate"] == "remove"} == {a["name"] for a in done["artefacts"] if a["removed"]}
        gone_here, gone_there = (before - now for before, now in zip(full, site.catalogs()))
        assert gone_here == {("slot", "crossfade_one"), ("publication", "crossfade_one")}, gone_here
        assert {kind for kind, _ in gone_there} == {"origin"} and all(name.startswith("crossfade:one:") for _, name in gone_there), gone_there
        execute(as_role(site.url, OWNER), "INSERT INTO \"two \"\"x\"\" y\" VALUES (100, 'later')")
        two.wait_caught_up()
        assert value(site.copy, "SELECT v FROM \"two \"\"x\"\" y\" WHERE id = 100") == "later" and value(site.copy, "SELECT count(*) FROM one") == 50
        assert cleanup(one, "--execute")["outcome"] == "done"  # nothing left to do
        assert os.path.exists(os.path.join(site.folder, "one-journal", "data.mdb"))
        # The other one as well, with its journal: then all is as it was before, but for the audit log.
        stop(two)
        wait_until(lambda: cleanup_is_free(two), 30, "the sessions of the roles are gone")
        refused = cleanup(two, "--execute", "--journal", "--confirm", "one", expected=1)
        assert refused["outcome"] == "refused" and refused["confirm"] and os.path.exists(os.path.join(site.folder, "two-journal", "data.mdb"))
        assert cleanup(two, "--execute", "--journal", "--confirm", "two")["outcome"] == "done"
        assert not os.path.exists(os.path.join(site.folder, "two-journal"))
        here, there = site.catalogs()
        assert site.before[0] - here <= {("schema", "crossfade")} and not here - site.before[0], here ^ site.before[0]
        assert not site.before[1] - there and {name for _, name in there - site.before[1]} <= {"crossfade", "crossfade.audit", "crossfade.audit_pkey"}, there ^ site.before[1]
        events = [row[0] for row in execute(site.copy, "SELECT event FROM crossfade.audit WHERE pipeline = 'two' ORDER BY seq")]
        assert events[0] == "cleanup.begin" and events[-1] == "cleanup.done" and events.count("cleanup.remove") >= 6, events
        assert one.run("audit", "verify", "--no-source").returncode == 0


def test_the_way_back_is_a_pipeline_of_its_own(servers):
    """`--reverse cleanup` takes it away and leaves the way there running, which says whose the rest is; then nothing of either is left."""
    with Site(servers, "both", more={"capture": {"heartbeat_interval_ms": 500, "origin": "not_crossfade"}}) as site:
        there = site.pipeline("there")
        privileges.run_blocks(site.url, "target-cleanup")
        with WayBack(there) as back:
            back.start()
            assert {a["name"] for a in of(cleanup(there, "--reverse", "--execute", expected=1), "slot", "refuse")} == {"crossfade_there_reverse"}
            for role in (back.capture, back.apply):
                assert role.terminate() == 0, role.log_tail()
            wait_until(lambda: not [a for a in json.loads(there.run("--reverse", "cleanup", "--json", job="cutover").stdout)["artefacts"] if a["fate"] == "refuse"],
                       30, "the sessions of the way back are gone")
            done = cleanup(there, "--reverse", "--execute", "--journal", "--confirm", "there_reverse")
            assert done["outcome"] == "done"
            left = {a["name"]: a["why"] for a in done["artefacts"] if a["fate"] == "leave"}
            assert not [name for name, why in left.items() if "does not know" in why], left
            there.apply.wait_lsn("applied_lsn", value(site.url, "SELECT pg_current_wal_insert_lsn()::text"))  # the way there goes on
        stop(there)
        wait_until(lambda: cleanup_is_free(there), 30, "the sessions of the roles are gone")
        cleanup(there, "--execute", "--journal", "--confirm", "there")
        ours = [[row for row in after - before if row[1] not in ("crossfade.audit", "crossfade") and "audit" not in row[1]]
                for before, after in zip(site.before, site.catalogs())]
        assert ours == [[], []]


def cleanup_is_free(pipeline):
    return not [a for a in cleanup_any(pipeline)["artefacts"] if a["fate"] == "refuse"]


def cleanup_any(pipeline):
    done = pipeline.run("cleanup", "--json", job="cutover")
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("point", ["cleanup.removing", "cleanup.removed", "journal.remove_file"])
def test_killed_at_each_removal(servers, point):
    with Site(servers, "killed_" + point.split(".")[1]) as site:
        made = site.pipeline("dying")
        stop(made)
        wait_until(lambda: cleanup_is_free(made), 30, "the sessions of the roles are gone")
        kills = 0
        for nth in range(1, 60):
            # Each run goes on where the one before was killed; from the n-th point on the rest is done in steps of one.
            done = run_crossfade("cleanup", "--execute", "--journal", "--confirm", "dying", "--json", config=made.config_of("cutover"), timeout=180,
                                 env={"CROSSFADE_FAILPOINT": f"{point}:{1 + nth % 3}"})
            if done.returncode != -signal.SIGKILL:
                break
            kills += 1
            wait_until(lambda: cleanup_is_free(made), 30, "the session that was killed is gone")
        assert done.returncode == 0 and kills >= 3, f"{kills} kills, exit code {done.returncode}\n{done.stdout[-3000:]}{done.stderr}"
        assert cleanup(made, "--execute")["outcome"] == "done"
        here, there = site.catalogs()
        assert site.before[0] - here <= {("schema", "crossfade")} and not here - site.before[0], here ^ site.before[0]
        assert {name for _, name in there ^ site.before[1]} <= {"crossfade", "crossfade.audit", "crossfade.audit_pkey"}, there ^ site.before[1]
        assert not os.path.exists(os.path.join(site.folder, "dying-journal"))
        assert made.run("audit", "verify", "--no-source").returncode == 0


def test_what_keeps_it_from_beginning(servers):
    with Site(servers, "held") as site:
        made = site.pipeline("held")
        stop(made)
        wait_until(lambda: cleanup_is_free(made), 30, "the sessions of the roles are gone")

        def refuses(kind, *words):
            full = site.catalogs()
            report = cleanup(made, "--execute", *words, expected=1)
            assert report["outcome"] == "refused" and of(report, kind, "refuse"), report["artefacts"]
            assert site.catalogs() == full
            return of(report, kind, "refuse")[0]

        execute(site.copy, "INSERT INTO crossfade.cutover (cutover_id, pipeline, seq, state) VALUES ('c1', 'held', 1, 'draining')")
        assert "cutover resume" in refuses("cutover")["why"]
        execute(site.copy, "DELETE FROM crossfade.cutover")
        execute(site.url, "INSERT INTO crossfade.decision (pipeline, cutover_id, state) VALUES ('held', 'c1', 'open')")
        refuses("cutover")
        execute(site.url, "DELETE FROM crossfade.decision")
        execute(site.copy, "BEGIN; INSERT INTO one VALUES (900, 'x'); PREPARE TRANSACTION 'crossfade:held:1/1:abc:1'; BEGIN; INSERT INTO one VALUES (901, 'x'); PREPARE TRANSACTION 'crossfade:held_too:1/1:abc:1'")
        assert refuses("prepared_transaction")["name"] == "crossfade:held:1/1:abc:1"
        execute(site.copy, "ROLLBACK PREPARED 'crossfade:held:1/1:abc:1'")
        execute(site.copy, """INSERT INTO crossfade.dead_letter (id, chain, pipeline, behind, schema_name, table_name, op, stream, partition, record_offset, record_time_ms, record_value,
            commit_lsn, total_order, fence_id) VALUES (1, 1, 'held', false, 'public', 'one', 'u', 'held.public.one', 0, 1, 0, 'x', '0/1', 1, 1)""")
        assert "--discard-dead-letters" in refuses("unapplied")["why"]
        with psycopg.connect(site.copy, autocommit=True) as other:  # an apply, as far as its lock goes
            other.execute("SELECT pg_advisory_lock(hashtextextended('crossfade apply held 1/1', 0))")
            refuses("role")
        # A comparator whose host has died: the server still has its walsender, and with it the slot.
        dead = psycopg.pq.PGconn.connect((as_role(site.url, COMPARE) + "?replication=database&application_name=crossfade%20compare%20held").encode())
        made_slot = dead.exec_(b"CREATE_REPLICATION_SLOT crossfade_compare_0123456789abcdef TEMPORARY LOGICAL pgoutput")
        assert made_slot.status == psycopg.pq.ExecStatus.TUPLES_OK, made_slot.error_message
        # A view that somebody has built on a control table keeps it, and is told; a locked table is waited for.
        execute(site.copy, "CREATE VIEW public.where_it_stands AS SELECT fence_id FROM crossfade.position; CREATE TABLE crossfade.notes (t text)")
        done = cleanup(made, "--execute", "--discard-dead-letters")
        assert done["outcome"] == "done"
        assert value(site.copy, "SELECT count(*) FROM crossfade.position") == 0 and value(site.copy, "SELECT count(*) FROM pg_prepared_xacts") == 1
        execute(site.copy, "ROLLBACK PREPARED 'crossfade:held_too:1/1:abc:1'")
        assert of(done, "temporary_slot")[0]["removed"]
        wait_until(lambda: value(site.url, "SELECT count(*) FROM pg_replication_slots WHERE database = current_database()") == 0, 20, "no slot is left")
        dead.finish()
        left = {a["name"]: a["why"] for a in of(done, "shared_object", "leave")}
        assert "where_it_stands" in left['table crossfade."position"'] and "somebody else" in left["table crossfade.notes"], left


def test_after_a_cutover(servers):
    with Site(servers, "moved", more={"cutover": {"lag_stable_ms": 200, "pause_budget_ms": 120000}}) as site:
        made = site.pipeline("moved")
        assert made.run("compare", "run").returncode == 0
        done = made.run("cutover", "run", "--execute", "--json", timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        stop(made)
        wait_until(lambda: cleanup_is_free(made), 30, "the sessions of the roles are gone")
        asked = cleanup(made, "--execute", expected=1)
        assert "way back" in asked["confirm"] and ("slot", "crossfade_moved") in site.catalogs()[0]
        closed = cleanup(made, "--execute", "--confirm", "moved")
        assert {a["name"] for a in of(closed, "freeze_trigger", "leave")} >= {'"public"."one"', '"app"."parts_1"'} and ("slot", "crossfade_moved") not in site.catalogs()[0]
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            execute(as_role(site.url, OWNER), "UPDATE one SET v = 'x'")
        assert made.run("cutover", "status", job="cutover").returncode == 0
        opened = cleanup(made, "--execute", "--open-source", "--confirm", "moved")
        assert len(of(opened, "freeze_trigger", "remove")) == 4
        execute(as_role(site.url, OWNER), "UPDATE one SET v = 'x'")
        assert site.before[0] - site.catalogs()[0] <= {("schema", "crossfade")} and not site.catalogs()[0] - site.before[0]
        assert value(site.copy, "SELECT count(*) FROM crossfade.cutover WHERE state = 'done'") == 1


def test_kafka_topics_that_are_the_pipelines(servers):
    """Topics of another pipeline, whose prefix begins with this one's, and of nobody at all, stay."""
    folder = servers[0]
    with Kafka(folder) as kafka, Site(servers, "streams", journal=kafka.url) as site:
        made, other = site.pipeline("streams", ("public.one", "app.*")), site.pipeline("streams_eu", ('public."two ""x"" y"',), journal={"topic_prefix": "streams.eu"})
        kafka.tool("kafka-topics", "--create", "--topic", "streams.stranger")
        stop(made)
        wait_until(lambda: cleanup_is_free(made), 30, "the sessions of the roles are gone")
        planned = cleanup(made, "--journal")
        topics = {a["name"]: a["fate"] for a in of(planned, "journal")}
        ours = {name for name, fate in topics.items() if fate == "remove"}
        assert {"streams.public.one", "streams.fence", "streams.schemas"} <= ours, topics
        assert topics["streams.stranger"] == "leave" and {name for name, fate in topics.items() if name.startswith("streams.eu.")} and all(fate == "leave" for name, fate in topics.items() if name.startswith("streams.eu."))
        kills = 0
        for _ in range(20):  # each run deletes one topic and dies
            done = run_crossfade("cleanup", "--execute", "--journal", "--confirm", "streams", "--json", config=made.config_of("cutover"), timeout=180, env={"CROSSFADE_FAILPOINT": "journal.remove_topic:2"})
            kills += done.returncode == -signal.SIGKILL
            if done.returncode != -signal.SIGKILL:
                break
            wait_until(lambda: cleanup_is_free(made), 30, "the session that was killed is gone")
        assert done.returncode == 0 and kills >= 2, done.stdout[-2000:] + done.stderr
        left = {a["name"] for a in of(cleanup(made, "--journal"), "journal")}
        assert not left & ours and "streams.stranger" in left and "streams.eu.fence" in left, left
        execute(as_role(site.url, OWNER), "INSERT INTO \"two \"\"x\"\" y\" VALUES (100, 'later')")
        other.wait_caught_up()


def test_mariadb_target(servers):
    folder, source, _ = servers
    with MariaDB(folder, "maria", settings={"sql-mode": "STRICT_TRANS_TABLES"}) as maria:
        url = maria.create_db("maria_shop")
        maria.script("CREATE TABLE one (id int PRIMARY KEY, v longtext) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin", "maria_shop")
        maria.sql("GRANT DROP ON `maria_shop`.* TO 'crossfade'@'%'")
        with Site((folder, source, None), "maria_shop", target_url=url) as site:
            one = site.pipeline("maria_one", ("public.one",))
            running = cleanup(one, "--execute", expected=1)
            assert any(a["side"] == "target" and "shard 1/1" in (a["used_by"] or "") for a in of(running, "role", "refuse")), of(running, "role")
            stop(one)
            wait_until(lambda: cleanup_is_free(one), 30, "the sessions of the roles are gone")
            maria.sql("INSERT INTO crossfade_release (pipeline, nonce) VALUES ('another', 'x')", db="maria_shop")
            done = cleanup(one, "--execute")
            assert {a["name"] for a in of(done, "target_rows", "remove")} >= {"position", "loaded"} and {a["fate"] for a in of(done, "shared_object") if a["side"] == "target"} == {"leave"}
            assert int(maria.value("SELECT COUNT(*) FROM crossfade_release", db="maria_shop")) == 1
            maria.sql("DELETE FROM crossfade_release", db="maria_shop")
            cleanup(one, "--execute")
            tables = {row[0] for row in maria.sql("SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'maria_shop'")}
            assert tables == {"one", "crossfade_audit"} and int(maria.value("SELECT COUNT(*) FROM one", db="maria_shop")) == 50
            assert site.before[0] - site.catalogs()[0] <= {("schema", "crossfade")} and not site.catalogs()[0] - site.before[0]
