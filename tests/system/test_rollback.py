"""Rollback: what was written on the target after a cutover is on the old source, applications behind poolers notice a stall and no failure, and another cutover can follow."""

import contextlib
import os
import shutil
import time

import psycopg
import pytest

from rig import Pgbouncer, Postgres, Workdir
from rig.clients import SCHEMA, Clients, check
from rig.oracle import assert_equal
from rig.privileges import OWNER, as_role
from rig.scenario import count, scenario
from rig.way_back import WayBack
from test_cutover_poolers import SETTINGS, Switch
from test_direct_load import lose_slot

MORE = {"cutover": SETTINGS, "capture": {"origin": "not_crossfade"}}


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("rollback") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


def writes(url):
    """Whether an application's transaction goes through."""
    with psycopg.connect(as_role(url, OWNER), autocommit=True) as connection:
        try:
            connection.execute("UPDATE account SET moves = moves WHERE id = 1")
            return True
        except psycopg.errors.ReadOnlySqlTransaction:
            return False


def sides(s):
    return writes(s.source_url), writes(s.target_url)


def gate(report, name):
    return next((g for g in report["gates"] if g["name"] == name), None)


def triggers(sql):
    return sql("SELECT count(*) FROM pg_trigger WHERE tgname = 'crossfade_freeze'")[0][0]


def test_clients_there_and_back_and_there_again(servers):
    """16 clients at 500 transactions a second through two PgBouncers, one of them with prepared statements: none fails, each that was acknowledged is on the side that serves.

    With CF_CHECK_MODE=full thirty times in a row."""
    with scenario(*servers, SCHEMA + "; CREATE SEQUENCE ticket; SELECT nextval('ticket')", more=MORE) as s, contextlib.ExitStack() as stack:
        poolers = [stack.enter_context(Pgbouncer.before(s, servers[0])),
                   stack.enter_context(Pgbouncer.before(s, servers[0], "newer", settings={"max_prepared_statements": 100}, newer=True))]
        back = stack.enter_context(WayBack(s.pipeline))
        s.start()
        switch = Switch(servers[0], s, poolers)
        switch.configure(reverse="required")
        back.start()
        switch.compare()
        clients = [stack.enter_context(Clients(p.url("app", OWNER), switch.folder, clients=8, rate=250, protocol=protocol, name=p.name, first=100 * i))
                   for i, (p, protocol) in enumerate(zip(poolers, ("extended", "prepared")))]
        for one in clients:
            one.wait(count(300, 3000), s.source_url)
        times = []
        turns = count(2, 30)
        for turn in range(turns):
            for way, url, here, step in (("there", s.target_url, (False, True), back.cutover), ("back", s.source_url, (True, False), back.rollback)):
                report = step("run", "--execute")
                assert report["outcome"] == "done" and report["verdict"] == "PASS", report
                assert "came to the source in" in gate(report, "reverse_path")["measured"], report["gates"]
                for pooler in poolers:
                    assert switch.leads(pooler) == ("target" if here[1] else "source", False)
                assert sides(s) == here, (turn, way)
                with psycopg.connect(url, autocommit=True) as connection:
                    connection.execute("SELECT nextval('ticket')")
                for one in clients:
                    one.wait(count(300, 500), url)
                times.append(round(report["pause_ms"]))
        assert [switch.text(p) for p in poolers] == switch.before
        stalls = [one.stop() for one in clients]
        print(f"writers were refused for (ms): {times}; longest stall {max(stalls):.0f} ms")
        check(s.source_url, *clients)
        s.wait()
        check(s.target_url, *clients)
        assert_equal(s.source_url, s.target_url)
        assert s.admin("SELECT last_value FROM ticket")[0][0] == 1 + 2 * turns
        assert triggers(s.admin) == 0 and triggers(s.target) > 0
        assert s.admin("SELECT state FROM crossfade.decision") == [("returned",)] and s.target("SELECT state FROM crossfade.decision") == [("switched",)]
        listed = back.rollback("list")["cutovers"]
        assert [one["stands"] for one in listed] == ["done"] * turns
        done = s.pipeline.run("--reverse", "audit", "verify", "--json", job="cutover")
        assert done.returncode == 0, done.stdout + done.stderr


def test_gates_of_the_way_back(servers):
    with scenario(*servers, SCHEMA, more={"cutover": {**SETTINGS, "max_lag_ms": 3000}}) as s:
        s.start()
        assert s.pipeline.run("compare", "run").returncode == 0
        cut = WayBack(s.pipeline)  # its configuration, and its rights; nothing runs yet
        settings = s.pipeline.settings

        def configured(**more):
            settings["cutover"] = {**SETTINGS, "max_lag_ms": 5000, **more}
            s.pipeline.write()

        configured()
        plan = cut.cutover("plan")
        found = gate(plan, "reverse_path")
        assert found["verdict"] == "ok" and "NO WAY BACK" in found["measured"] and "--reverse capture" in found["hint"], found
        text = s.pipeline.run("cutover", "plan").stdout
        assert "warn" in text and "NO WAY BACK" in text, text
        configured(reverse="required")
        assert gate(cut.cutover("run", "--execute", expected=10), "reverse_path")["verdict"] == "refused"
        configured(reverse="off")
        assert gate(cut.cutover("plan"), "reverse_path") is None
        configured()
        done = s.pipeline.run("rollback", "plan")
        assert done.returncode == 10 and "publishes no table" in done.stderr, done.stdout + done.stderr
        with cut as back:
            back.start()
            found = gate(back.cutover("plan"), "reverse_path")
            assert found["verdict"] == "ok" and found["hint"] == "" and "came to the source in" in found["measured"], found
            refused = back.rollback("run", "--execute", expected=10)
            assert gate(refused, "rollback_window")["verdict"] == "refused" and sides(s) == (True, True)
            # In circles; a table that would not come back; a role that may not write; a role that has ended.
            settings["capture"]["origin"] = "any"
            s.pipeline.write()
            assert "not_crossfade" in gate(back.cutover("plan", expected=10), "reverse_path")["hint"]
            settings["capture"]["origin"] = "not_crossfade"
            s.pipeline.write()
            for make in (s.source, s.target):
                make("CREATE TABLE late (id int PRIMARY KEY, v text)")
            s.target(f"ALTER TABLE late OWNER TO {OWNER}")
            assert s.pipeline.run("capture", "add-table", "public.late").returncode == 0
            s.source("INSERT INTO late VALUES (1, 'there')")
            s.wait()
            assert "ADD TABLE" in gate(back.cutover("plan", expected=10), "reverse_path")["hint"]
            done = s.pipeline.run("--reverse", "capture", "add-table", "public.late")
            assert done.returncode == 2 and "no copies" in done.stderr
            s.target(f"ALTER PUBLICATION crossfade_{s.name}_reverse ADD TABLE late")
            assert s.pipeline.run("compare", "run").returncode == 0
            assert gate(back.cutover("plan"), "reverse_path")["hint"] == ""
            s.admin("REVOKE SET ON PARAMETER session_replication_role FROM crossfade_capture")
            assert "session_replication_role" in gate(back.cutover("plan", expected=10), "reverse_path")["hint"]
            s.admin("GRANT SET ON PARAMETER session_replication_role TO crossfade_capture")
            configured(max_lag_ms=3000)
            back.apply.terminate()
            found = gate(back.cutover("run", "--execute", expected=10), "reverse_path")
            assert found["verdict"] == "refused" and "--reverse apply" in found["hint"], found
            assert sides(s) == (True, True) and triggers(s.admin) == 0
            back.apply.start()
            back.apply.wait_ready()
            configured()
            report = back.cutover("run", "--execute")
            assert report["outcome"] == "done"
            told = back.cutover("report")["rollback"]
            assert told["there"] and told["slots"] == [{"name": f"crossfade_{s.name}_reverse", "active": True}] and told["window_ends_at"], told
            assert told["source_tables_closed"] == triggers(s.admin) > 0, told
            s.target("INSERT INTO late VALUES (2, 'back')")
            plan = back.rollback("plan")
            assert gate(plan, "rollback_window")["verdict"] == "ok" and plan["pause_estimate_ms"] is not None, plan
            assert sides(s) == (False, True)
            configured(rollback_window="1s")
            time.sleep(2.1)  # of the window, which is a time
            found = gate(back.rollback("run", "--execute", expected=10), "rollback_window")
            assert found["verdict"] == "refused" and "window has closed" in found["hint"], found
            configured()
            assert s.pipeline.run("cutover", "run", "--execute", "--json", job="cutover").returncode == 10
            assert sides(s) == (False, True)
            assert back.rollback("run", "--execute")["outcome"] == "done" and sides(s) == (True, False)
            assert s.source("SELECT * FROM late ORDER BY 1") == [(1, "there"), (2, "back")]


def test_the_way_back_breaks_while_clients_wait(servers):
    """Before the point of no return it must stand: without it nothing is decided."""
    with scenario(*servers, SCHEMA, more=MORE) as s, WayBack(s.pipeline) as back:
        s.start()
        back.start()
        s.pipeline.settings["cutover"] = {**SETTINGS, "max_lag_ms": 2000, "on_verified": [f"kill -9 {back.apply.pid}"]}
        s.pipeline.write()
        assert s.pipeline.run("compare", "run").returncode == 0
        report = back.cutover("run", "--execute", expected=11)
        assert "no way back" in report["reason"], report["reason"]
        assert sides(s) == (True, True)
        back.apply.start()
        back.apply.wait_ready()
        s.pipeline.settings["cutover"] = dict(SETTINGS)
        s.pipeline.write()
        assert back.cutover("run", "--execute")["outcome"] == "done"


def test_rollback_finds_what_is_not_the_same(servers):
    """What somebody has changed on the old source behind its back: the rollback does not decide, and the new side goes on serving."""
    with scenario(*servers, SCHEMA, more=MORE) as s, WayBack(s.pipeline) as back:
        s.start()
        back.start()
        assert s.pipeline.run("compare", "run").returncode == 0
        back.cutover("run", "--execute")
        s.target("UPDATE account SET moves = 7 WHERE id = 7")
        unseen = ("SELECT pg_replication_origin_session_setup('crossfade:nobody:1:1/1:0')", "SET session_replication_role = replica",
                  "SET application_name = 'crossfade nobody'")
        s.admin("SELECT pg_replication_origin_create('crossfade:nobody:1:1/1:0')", *unseen, "UPDATE account SET moves = 9 WHERE id = 9")
        report = back.rollback("run", "--execute", expected=11)
        assert "account" in report["reason"] and sides(s) == (False, True), report
        assert triggers(s.target) == 0
        s.admin(*unseen, "UPDATE account SET moves = 0 WHERE id = 9")
        found = gate(back.rollback("plan", expected=10), "verdict")  # what failed is compared anew first
        assert "`crossfade --reverse compare run`" in found["hint"], found
        assert s.pipeline.run("--reverse", "compare", "run", job="compare").returncode == 0
        s.target("UPDATE account SET moves = 8 WHERE id = 7")
        report = back.rollback("run", "--execute")
        assert report["outcome"] == "done" and "1 of 2 tables" in report["verdict_scope"] and sides(s) == (True, False), report
        assert s.admin("SELECT moves FROM account WHERE id IN (7, 9) ORDER BY id") == [(8,), (0,)]
        assert os.path.isdir(s.pipeline.report_dir)


def test_nothing_that_apply_writes_is_sent_back(servers):
    """Before its time, without origins, by statements of a repair: older rows would come over newer ones on the source."""
    with scenario(*servers, SCHEMA, more=MORE, name="guarded") as s, WayBack(s.pipeline) as back:
        done = s.pipeline.run("--reverse", "capture")
        assert done.returncode == 10 and "has not copied all rows" in done.stderr, done.stderr
        s.start()
        back.start()
        slot = s.target("SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = 'crossfade_guarded_reverse'")
        assert slot
        s.target("SELECT pg_replication_origin_create('crossfade:somebody:1:1/1:0')")
        s.target("SELECT pg_replication_origin_session_setup('crossfade:somebody:1:1/1:0')", "UPDATE account SET moves = 9 WHERE id = 9")
        done = s.pipeline.run("compare", "repair", "--sql", os.path.join(s.pipeline.folder, "guarded.sql"), "--execute", job="repair")
        assert done.returncode == 4 and "send what is written here back" in done.stderr, done.stdout + done.stderr
        assert s.target("SELECT moves FROM account WHERE id = 9") == [(9,)]
        s.apply.terminate()
        revoke = "REVOKE EXECUTE ON FUNCTION pg_replication_origin_session_setup(text) FROM crossfade_apply"
        s.target(revoke)
        s.apply.start()
        s.apply.assert_exit(5, 60)
        assert "send all that is written here back" in s.apply.log_text(), s.apply.log_tail()
        s.target(revoke.replace("REVOKE", "GRANT").replace("FROM", "TO"))
        s.apply.start()
        s.apply.wait_ready()
        s.source("UPDATE account SET moves = 1 WHERE id = 9")
        s.wait()
        assert s.target("SELECT moves FROM account WHERE id = 9") == [(1,)]
        assert s.source("SELECT sum(moves)::int FROM account") == [(1,)]


def test_nothing_is_loaded_directly_while_the_way_back_stands(servers):
    """A load's sessions have no origin: its rows would come over newer ones on the source."""
    more = {"cutover": SETTINGS, "capture": {"origin": "not_crossfade", "snapshot_path": "direct"}}
    with scenario(*servers, SCHEMA, more=more, name="loaded") as s, WayBack(s.pipeline) as back:
        s.start(timeout=120)
        back.start()
        for role in (back.apply, back.capture, s.capture, s.apply):
            role.terminate()
        lose_slot(s)
        shutil.rmtree(os.path.join(s.pipeline.folder, "loaded-journal"))
        s.capture.start()
        s.capture.assert_exit(5, 60)
        assert "loaded there directly back to the source" in s.capture.log_text() and "snapshot_path: journal" in s.capture.log_text(), s.capture.log_tail()
        assert s.target("SELECT count(*)::int FROM account") == s.admin("SELECT count(*)::int FROM account")
        s.target("SELECT pg_drop_replication_slot('crossfade_loaded_reverse')", "DELETE FROM crossfade.position", "TRUNCATE account, ledger")
        s.start(timeout=120)
        s.wait()
        assert_equal(s.source_url, s.target_url)
