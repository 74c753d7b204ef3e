"""What a hostile administrator tries on the core of a cutover: other pipelines, tables that lead around the triggers, a dead cutover that wakes up, answers that are lost."""

import contextlib
import os
import signal
import threading

import psycopg
import pytest

from rig import Postgres, Workdir, wait_until
from rig.cutting import POINTS
from rig.oracle import assert_equal
from rig.pipeline import Pipeline
from rig.privileges import OWNER, as_role, prepare_source, prepare_target
from rig.procs import Role
from rig.relay import Relay
from rig.scenario import drop_database, scenario
from rig.way_back import refusals
from test_hostile_cutover import PARTITIONED, SETTINGS, SIMPLE, Cut, stopped

CLOSED = psycopg.errors.ReadOnlySqlTransaction


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("cutover-attacks") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


@pytest.fixture(name="cut")
def fixture_cut(servers, request):
    schema, more, tables = {"schema": SIMPLE, "more": {}, "tables": ("public.*",), **getattr(request, "param", {})}.values()
    with scenario(*servers, schema, tables=tables, more={"cutover": {**SETTINGS, **more}}) as made:
        made.start()
        cut = Cut(servers[0], made)
        cut.compare()
        yield cut


def refused(s, statement, admin=False):
    with pytest.raises(CLOSED):
        (s.admin if admin else s.source)(statement)


def kill_at(cut, point):
    log = os.path.join(cut.folder, f"{cut.s.name}-cutover.log")
    with Role("cutover run --execute --json", cut.s.pipeline.config_of("cutover"), log) as process:
        process.start(failpoint=point).wait(60)
        assert process.exit_code == -signal.SIGKILL, refusals(process.log_text())


class Standby:
    """One that commits of the source wait for, and that does not exist."""

    def __init__(self, s):
        self.s = s

    def wanted(self, name):
        """Its name, or "" for none. Behind it commits wait."""
        self.s.source_server.sql(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'")
        self.s.source_server.sql("SELECT pg_reload_conf()")
        if name:
            wait_until(self._is_known, 30, "commits wait for the standby")

    def _probe(self):
        with contextlib.suppress(psycopg.Error), psycopg.connect(self.s.source_server.url("postgres"), autocommit=True, application_name="probe") as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS probe ()")
            connection.execute("DROP TABLE probe")

    def _is_known(self):
        """That there is a standby to wait for: the checkpointer tells the others, some time after the reload."""
        thread = threading.Thread(target=self._probe)
        thread.start()
        waited = False
        while thread.is_alive():
            for (pid,) in self.s.admin("SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name = 'probe'"):
                waited = True
                self.s.admin(f"SELECT pg_cancel_backend({pid})")
            thread.join(0.02)
        return waited


def test_another_pipeline_does_not_open_what_one_has_closed(servers):
    """Two pipelines move a table each out of one database, one after the other."""
    folder, source, target = servers
    with scenario(*servers, SIMPLE, tables=("public.t",), more={"cutover": SETTINGS}) as first:
        name = first.name + "b"
        copy = target.create_db(name)
        target.sql(SIMPLE.partition("; INSERT")[0], db=name)
        if not first.superuser:
            prepare_source(first.source_url, pipeline=name)
            prepare_target(copy)
        more = {"cutover": {**SETTINGS, "grants": "ignore"}, "capture": {"heartbeat_interval_ms": 500}}
        try:
            with Pipeline(folder, first.source_url, copy, name=name, tables=("public.u",), more=more, roles=not first.superuser) as pipeline:
                first.start()
                pipeline.start()
                pipeline.apply.wait_for(lambda status: status.get("complete"), 60, "the copy is complete")
                second = Cut(folder, type("Second", (), {"pipeline": pipeline, "name": name}))
                one = Cut(folder, first)
                for each in (one, second):
                    each.compare()
                assert one.run("run", "--execute")["outcome"] == "done"
                refused(first, "UPDATE t SET v = v")
                first.source("UPDATE u SET v = v")  # the second one's serves
                for point in ("cutover.arming", "cutover.pausing", "cutover.draining"):
                    kill_at(second, point)
                    refused(first, "UPDATE t SET v = v")
                    second.run("abort", expected=11)
                    refused(first, "UPDATE t SET v = v")
                    first.source("UPDATE u SET v = v")
                assert second.run("run", "--execute")["outcome"] == "done"
                for table in ("t", "u"):
                    refused(first, f"UPDATE {table} SET v = v")
        finally:
            drop_database(target, name)


def test_a_table_of_two_pipelines_stays_closed(cut):
    s = cut.s
    assert cut.run("run", "--execute")["outcome"] == "done"
    s.admin("CREATE FUNCTION crossfade.refuse_write_other() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
            "DROP TRIGGER crossfade_freeze ON t",
            "CREATE TRIGGER crossfade_freeze BEFORE INSERT ON t EXECUTE FUNCTION crossfade.refuse_write_other()",
            "DELETE FROM crossfade.decision")
    s.target("DELETE FROM crossfade.cutover")
    report = cut.run("run", "--execute", expected=11)
    assert "public.t" in report["reason"] and "another pipeline" in report["reason"]


ANCESTORS = """CREATE TABLE base (id int, v int); CREATE TABLE t (PRIMARY KEY (id)) INHERITS (base); CREATE TABLE u (id int PRIMARY KEY, v int);
    INSERT INTO t VALUES (1, 1); INSERT INTO u VALUES (1, 1)"""


@pytest.mark.parametrize("cut", [{"schema": ANCESTORS, "tables": ("public.t", "public.u")}], indirect=True)
def test_parent_that_is_not_published_leads_around_no_trigger(cut):
    """An UPDATE of a parent writes the rows of its children, and fires the parent's triggers of statements alone."""
    assert cut.run("run", "--execute")["outcome"] == "done"
    for statement in ("UPDATE t SET v = 9", "UPDATE base SET v = 9", "DELETE FROM base"):
        refused(cut.s, statement)


@pytest.mark.parametrize("cut", [{"schema": PARTITIONED}], indirect=True)
def test_nothing_writes_to_a_closed_source(cut):
    """All the ways of an application, those of superusers and of loaders that switch triggers off for their session, too."""
    s = cut.s
    s.admin("CREATE SCHEMA aside", "CREATE FUNCTION aside.sneak() RETURNS void LANGUAGE sql SECURITY DEFINER AS 'UPDATE public.t SET v = 3'")
    assert cut.run("run", "--execute")["outcome"] == "done"
    for statement in ("INSERT INTO t VALUES (5, 5)", "INSERT INTO t VALUES (1, 5) ON CONFLICT (id) DO UPDATE SET v = 5", "UPDATE t_low SET v = 2", "DELETE FROM t_high",
                      "TRUNCATE t_high", "COPY t FROM PROGRAM 'echo 6,6' (FORMAT csv)", "WITH w AS (UPDATE t SET v = 4 RETURNING id) SELECT * FROM w", "SELECT aside.sneak()",
                      "MERGE INTO t USING (VALUES (1)) AS n (id) ON t.id = n.id WHEN MATCHED THEN DELETE", "UPDATE t SET v = 1 WHERE false",
                      "SET session_replication_role = replica; INSERT INTO t VALUES (77, 7)", "SET session_replication_role = local; INSERT INTO t VALUES (77, 7)",
                      "SET default_transaction_read_only = off; BEGIN READ WRITE; DELETE FROM t; COMMIT"):
        if "MERGE" in statement and s.source_server.value("SHOW server_version_num") < "150000":
            continue
        refused(s, statement, admin=True)
    assert_equal(s.source_url, s.target_url)


@pytest.mark.parametrize("cut", [{"more": {"pause_budget_ms": 5000}}], indirect=True)
@pytest.mark.parametrize("point", ["cutover.refusing", "cutover.closing", "cutover.decide"])
def test_nobody_comes_back(cut, point):
    """Wherever a cutover dies before the decision, the source serves again by itself when the budget ends; what is written then is lost by nobody."""
    s = cut.s
    kill_at(cut, point)
    wait_until(cut.serves, 60, "the source serves again")
    s.source("INSERT INTO t VALUES (50, 50)")
    report = cut.run("resume", expected=11)
    assert "pause_budget_ms" in report["reason"] and s.admin("SELECT state FROM crossfade.decision") == [("aborted",)]
    s.assert_equal()
    cut.compare()
    s.pipeline.settings["cutover"]["pause_budget_ms"] = 60000
    s.pipeline.write()
    assert cut.run("run", "--execute")["outcome"] == "done"
    refused(s, "UPDATE t SET v = v")


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
@pytest.mark.parametrize("cut", [{"more": {"pause_budget_ms": 5000}}], indirect=True)
def test_cutover_that_wakes_up_does_not_decide(cut, isolation):
    """It stands still right before the decision until the source serves again: whoever has written since, or is at it, keeps what he wrote."""
    s, writer = cut.s, None

    def event():
        nonlocal writer
        wait_until(cut.serves, 60, "the source serves again")
        s.source("INSERT INTO t VALUES (60, 60)")
        writer = psycopg.connect(as_role(s.source_url, OWNER))
        writer.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation}")
        writer.execute("INSERT INTO t VALUES (61, 61)")

    log = os.path.join(cut.folder, f"{s.name}-cutover.log")
    with Role("cutover run --execute --json", s.pipeline.config_of("cutover"), log) as process:
        process.start(failpoint="cutover.decide:1:stop")
        wait_until(lambda: stopped(process.pid), 60, "it stands still")
        event()
        process.signal(signal.SIGCONT)
        # An abort waits for no writer, and no other writer for this one.
        wait_until(lambda: s.admin("SELECT state FROM crossfade.decision") == [("aborted",)] or blocked(s), 60, "it has tried")
        s.source("INSERT INTO t VALUES (62, 62)")
        writer.commit()
        writer.close()
        process.assert_exit(11, 60)
    s.assert_equal()
    assert s.source("SELECT id FROM t WHERE id BETWEEN 60 AND 62 ORDER BY 1") == [(60,), (61,), (62,)] and cut.serves()


def blocked(s):
    return s.admin("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'crossfade cutover%' AND wait_event_type = 'Lock'") != [(0,)]


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ"])
@pytest.mark.parametrize("cut", [{"more": {"pause_budget_ms": 8000}}], indirect=True)
def test_writer_who_waits_for_the_decision_is_refused(cut, isolation):
    """The end of the freeze comes while the decision is being committed (it waits for a standby): who asks the row then waits, and is refused."""
    s = cut.s
    writer = psycopg.connect(as_role(s.source_url, OWNER))
    writer.execute(f"SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL {isolation}")
    writer.commit()

    standby = Standby(s)

    def awaits_standby():
        return s.admin("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name LIKE 'crossfade cutover%'") == [(1,)]

    def waits():
        return s.admin("SELECT wait_event_type FROM pg_stat_activity WHERE pid = %d" % writer.info.backend_pid) == [("Lock",)]

    log = os.path.join(cut.folder, f"{s.name}-cutover.log")
    try:
        with Role("cutover run --execute --json", s.pipeline.config_of("cutover"), log) as process:
            process.start(failpoint="cutover.decide:1:stop")
            wait_until(lambda: stopped(process.pid), 60, "it stands still")
            standby.wanted("nobody")
            process.signal(signal.SIGCONT)
            wait_until(awaits_standby, 30, "the decision waits for a standby")
            waiter = threading.Thread(target=lambda: (wait_until(waits, 60, "the writer waits for the decision"), standby.wanted("")))
            waiter.start()
            while waiter.is_alive():  # refused at once until the freeze ends; then it waits for the row, and is refused
                with pytest.raises((CLOSED, psycopg.errors.SerializationFailure)), writer.transaction():
                    writer.execute("INSERT INTO t VALUES (70, 70)")
            waiter.join()
            process.assert_exit(0, 60)
    finally:
        standby.wanted("")
        writer.close()
    assert s.admin("SELECT state FROM crossfade.decision") == [("switched",)]
    refused(s, "UPDATE t SET v = v")
    assert_equal(s.source_url, s.target_url)


@pytest.mark.parametrize("change", ["ALTER TABLE t ALTER v TYPE bigint USING v * 2; ALTER TABLE t ALTER v TYPE int", "ALTER TABLE t ADD COLUMN w int DEFAULT 5", "DROP TABLE u",
                                    "CREATE TABLE later (id int PRIMARY KEY); INSERT INTO later VALUES (1)"])
def test_migration_while_the_source_is_closed(cut, change):
    """No trigger fires and no stream tells of it: the last look does."""
    log = cut.at("cutover.deciding", lambda: cut.s.source(change), 11)
    assert "compared" in log or "later" in log, log
    assert cut.serves() and cut.s.admin("SELECT state FROM crossfade.decision") == [("aborted",)]


@pytest.mark.parametrize("verb", ["resume", "abort"])
def test_target_that_has_forgotten_the_steps(cut, verb):
    """It was put back to an earlier state: the row on the source names the cutover that is open."""
    kill_at(cut, "cutover.draining")
    cut.s.target("DELETE FROM crossfade.cutover")
    assert cut.run(verb, expected=11)["outcome"] == "aborted" and cut.serves()
    assert cut.s.admin("SELECT state FROM crossfade.decision") == [("aborted",)]
    kill_at(cut, "cutover.switching")
    cut.s.target("DELETE FROM crossfade.cutover")
    assert cut.s.pipeline.run("cutover", "abort", "--json").returncode == 10
    assert cut.run("resume")["outcome"] == "done"
    refused(cut.s, "UPDATE t SET v = v")
    assert cut.s.pipeline.run("cutover", "resume", "--json").returncode == 10


def test_clock_of_the_target_that_is_put_back(cut):
    """An earlier cutover's end seems to be later than all of the one that is open."""
    cut.at("cutover.draining", lambda: cut.s.admin("UPDATE crossfade.decision SET state = 'aborted'"), 11)
    cut.s.target("UPDATE crossfade.cutover SET at = at + interval '1 hour'")
    kill_at(cut, "cutover.draining")
    assert cut.run("abort", expected=11)["outcome"] == "aborted" and cut.serves()


def test_answer_of_the_decision_is_lost_while_it_is_under_way(cut):
    """The session is cut while its commit waits for a standby: nobody can see yet how it ends. It ends decided, and so does the cutover."""
    s = cut.s

    standby = Standby(s)

    def waiting(event):
        return s.admin(f"SELECT count(*) FROM pg_stat_activity WHERE wait_event = '{event}' AND application_name LIKE 'crossfade cutover%'") == [(1,)]

    config = s.pipeline.config_of("cutover")
    with Relay(s.source_server.port, lingering=True) as relay, open(config, encoding="utf-8") as f:
        text = f.read().replace(f":{s.source_server.port}/", f":{relay.port}/")
        with open(config + ".relay", "w", encoding="utf-8") as relayed:
            relayed.write(text)
        log = os.path.join(cut.folder, f"{s.name}-cutover.log")
        try:
            with Role("cutover run --execute --json", config + ".relay", log) as process:
                process.start(failpoint="cutover.decide:1:stop")
                wait_until(lambda: stopped(process.pid), 60, "it stands still")
                standby.wanted("nobody")
                process.signal(signal.SIGCONT)
                wait_until(lambda: waiting("SyncRep"), 30, "the decision waits for a standby")
                relay.cut_clients()
                wait_until(lambda: waiting("transactionid") or waiting("tuple"), 30, "the abort waits for the decision")
                standby.wanted("")
                process.assert_exit(0, 60)
        finally:
            standby.wanted("")
    assert s.admin("SELECT state FROM crossfade.decision") == [("switched",)]
    refused(s, "UPDATE t SET v = v")
    assert_equal(s.source_url, s.target_url)


def test_autovacuum_gives_way_and_who_does_not_is_named(cut):
    """Triggers cannot be put up while a table is vacuumed. An autovacuum ends for who waits, a person's VACUUM is named."""
    s = cut.s
    s.source("INSERT INTO t SELECT i, 1 FROM generate_series(100, 20000) i", "DELETE FROM t WHERE id > 200",
             "ALTER TABLE t SET (autovacuum_vacuum_threshold = 1, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1)")
    s.wait()
    cut.compare()
    server = s.source_server
    try:
        for setting in ("autovacuum = on", "autovacuum_naptime = 1"):
            server.sql(f"ALTER SYSTEM SET {setting}")
        server.sql("SELECT pg_reload_conf()")
        wait_until(lambda: s.admin("SELECT count(*) FROM pg_stat_progress_vacuum WHERE relid = 't'::regclass") == [(1,)], 60, "an autovacuum is at it")
        assert cut.run("run", "--execute")["outcome"] == "done"
    finally:
        for setting in ("autovacuum", "autovacuum_naptime"):
            server.sql(f"ALTER SYSTEM RESET {setting}")
        server.sql("SELECT pg_reload_conf()")


def test_person_who_vacuums_is_named(cut):
    s = cut.s
    with psycopg.connect(as_role(s.source_url, OWNER), application_name="night shift") as person:
        person.execute("LOCK TABLE t IN SHARE UPDATE EXCLUSIVE MODE")  # as VACUUM, ANALYZE, CREATE INDEX CONCURRENTLY hold it
        reason = cut.run("run", "--execute", expected=11)["reason"]
        assert "night shift" in reason and OWNER in reason and "public.t" in reason, reason
    assert cut.run("run", "--execute")["outcome"] == "done"


@pytest.mark.parametrize("victim", ["source", "target"])
def test_server_that_crashes_in_every_state(cut, victim):
    """Decided or serving, never both and never neither; a row that the application has written is on the side that serves."""
    s, written = cut.s, 100
    server = s.source_server if victim == "source" else s.target_server

    def crash():
        server.kill9()
        server.start()

    for point in POINTS:
        log = os.path.join(cut.folder, f"{s.name}-cutover.log")
        with Role("cutover run --execute --json", s.pipeline.config_of("cutover"), log) as process:
            process.start(failpoint=f"{point}:1:stop")
            wait_until(lambda: not process.running or stopped(process.pid), 60, f"it stands still at {point}")
            assert process.running, process.log_tail()
            crash()
            process.signal(signal.SIGCONT)
            code = process.wait(120)
            assert code in (0, 11, 12) and not process.sanitizer_reports(), f"{point}: {code}\n{process.log_tail(60)}"
        if code == 12:
            code = s.pipeline.run("cutover", "resume", "--json").returncode
        stands = s.admin("SELECT state FROM crossfade.decision") or [("none",)]
        assert (code, stands) in ((0, [("switched",)]), (11, [("aborted",)]), (11, [("none",)])), f"{point}: {code} {stands}"
        assert cut.serves() == (code == 11), point
        if code == 0:
            s.admin("DROP TRIGGER crossfade_freeze ON t", "DROP TRIGGER crossfade_freeze ON u", "DELETE FROM crossfade.decision")
            s.target("DELETE FROM crossfade.cutover")
        written += 1
        s.source(f"INSERT INTO t VALUES ({written}, 1)")
        s.assert_equal(timeout=120)


@pytest.mark.parametrize("cut", [{"more": {"pause_budget_ms": 5000}}], indirect=True)
def test_machine_that_is_gone_with_the_row_in_its_hands(cut):
    """It holds the decision row when it falls silent, its session lives on: the server ends that, and the source serves again."""
    def event():
        wait_until(cut.serves, 60, "the source serves again")
        cut.s.source("INSERT INTO t VALUES (80, 80)")

    cut.at("cutover.decision_held", event, 11)
    assert cut.s.admin("SELECT state FROM crossfade.decision") == [("aborted",)] and cut.serves()
    cut.s.assert_equal()


def test_role_of_the_cutover_is_set_to_replica(cut):
    """As that of apply may be: its probes are an application's all the same."""
    server = cut.s.source_server
    server.sql("ALTER ROLE crossfade_cutover SET session_replication_role = replica")
    server.sql("ALTER ROLE crossfade_cutover SET default_transaction_read_only = on")
    try:
        assert cut.run("run", "--execute")["outcome"] == "done"
    finally:
        server.sql("ALTER ROLE crossfade_cutover RESET ALL")
    refused(cut.s, "UPDATE t SET v = v")


def test_two_commands_race(cut):
    """Of cutovers and aborts that are begun at the same moment one has its way, and the end is one of two."""
    words = [("run", "--execute"), ("run", "--execute"), ("resume",), ("abort",), ("plan",)]
    codes = []
    threads = [threading.Thread(target=lambda w=w: codes.append((w[0], cut.s.pipeline.run("cutover", *w, "--json", timeout=300).returncode))) for w in words]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stands = cut.s.admin("SELECT state FROM crossfade.decision") or [("none",)]
    assert (stands == [("switched",)]) == (not cut.serves()), (stands, codes)
    assert ("run", 0) in codes or ("resume", 0) in codes or cut.serves(), (stands, codes)
    if stands != [("switched",)]:
        assert cut.run("run", "--execute")["outcome"] == "done", codes
    assert cut.s.pipeline.run("cutover", "abort", "--json").returncode == 10


WEIRD = ("\"ab$body$ '\"", '"we""ird %I"."$probe$ %s"')
HOSTILE = f'CREATE TABLE {WEIRD[0]} (id int PRIMARY KEY, v int); CREATE SCHEMA "we""ird %I"; CREATE TABLE {WEIRD[1]} (id int PRIMARY KEY); ' + SIMPLE


@pytest.mark.parametrize("cut", [{"schema": HOSTILE, "tables": ("public.*", '"we""ird %I".*')}], indirect=True)
def test_names_that_end_strings(cut):
    kill_at(cut, "cutover.draining")
    assert cut.run("abort", expected=11)["outcome"] == "aborted"
    assert cut.s.admin("SELECT count(*) FROM pg_trigger WHERE tgname = 'crossfade_freeze'") == [(0,)]
    assert cut.run("run", "--execute")["outcome"] == "done"
    for table in WEIRD:
        refused(cut.s, f"DELETE FROM {table}")
