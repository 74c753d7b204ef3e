"""cutover watch with MariaDB as the target: each trigger is provoked for real; what MariaDB cannot say is told; a command takes the place of a rollback that is not there."""

import glob
import json
import os
import signal

import pytest

from rig import Postgres, Workdir, wait_until
from rig.mariadb import MariaDB
from rig.window import Hook
from test_cutover_mariadb import STRICT, Move
from test_cutover_watch import CUTOVER, QUICK, Reading, Watched, moved, stub

WINDOW = {"watch": {"digests": "1h"}}


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("cutoverwatch-mariadb") as folder, Postgres(folder, "source") as source, MariaDB(folder, "target", STRICT) as target:
        yield folder, source, target


class Sides:
    """A Move as Watched has its scenarios."""

    def __init__(self, move):
        self.move, self.name, self.pipeline, self.apply = move, move.name, move.pipeline, move.pipeline.apply

    def source(self, *statements):
        return [self.move.source.sql(statement, db=self.name) for statement in statements][-1]

    def target(self, *statements):
        return [self.move.target.sql(statement, db=self.name) for statement in statements][-1]


class WatchedMariaDB(Watched):
    def events(self, kind="%"):
        rows = self.s.target(f"SELECT event, detail FROM crossfade_audit WHERE event LIKE '{kind}' ORDER BY seq")
        return [(event, json.loads(detail)) for event, detail in rows]


def watch(servers, name, hook):
    """A Move that runs, and its watch."""
    move = Move(servers, name, **CUTOVER)
    move.pipeline.settings["compare"].update(WINDOW)
    return move, WatchedMariaDB(servers[0], Sides(move), hook)


@pytest.fixture(name="watched")
def fixture_watched(servers, request):
    with Hook() as hook:
        move, w = watch(servers, request.node.name.replace("test_", "")[:24], hook)
        with move:
            yield w


def test_reconciliation(watched):
    """A planted difference fires once and pauses apply once; it is over when it is repaired. The state outlives each watch."""
    w = watched
    w.configure({"reconciliation": {"above": 0, "action": "pause"}})
    reading, said = w.once(expected=0)
    assert reading.value("reconciliation") is None and "no comparison" in reading.text("reconciliation") and "without --execute" in said
    w.s.target("UPDATE account SET moves = 77 WHERE id = 7")
    w.compare(1)
    reading, _ = w.once("--execute", expected=1)
    assert reading.firing() == {"reconciliation above 0"} and reading["stage"] == "before_cutover" and "public.account" in reading.text("reconciliation")
    w.s.apply.wait_for(lambda status: status["phase"] == "paused", 30, "apply is paused")
    assert w.p.run("apply", "resume").returncode == 0
    w.s.apply.wait_for(lambda status: status["phase"] == "streaming", 30, "apply goes on")
    w.once("--execute", expected=1)
    assert w.s.apply.status()["phase"] == "streaming", "what was done is not done again"
    w.s.target("UPDATE account SET moves = 0 WHERE id = 7")
    w.compare(0)
    reading, _ = w.once("--execute", expected=0)
    assert reading.value("reconciliation") == 0
    assert [event for event, _ in w.events("trigger.%")] == ["trigger.fired", "trigger.paused", "trigger.cleared"]
    assert w.hook.events() == ["trigger", "paused", "trigger_over"] and all(signed for _, signed in w.hook.alerts)
    assert w.p.run("audit", "verify").returncode == 0


def test_latency_and_errors(watched):
    """A target that is slow, then one that fails: each level fires by itself, and is over."""
    w = watched

    def shadow(target_sql, expected):
        w.p.settings["compare"]["shadow"] = {**QUICK, "queries": [{"sql": "SELECT count(*) FROM account", "target_sql": "SELECT count(*) FROM account"},
                                                                 {"sql": "SELECT count(*) FROM ledger", "target_sql": target_sql}]}
        w.p.write()
        assert w.p.run("compare", "shadow", "--live", timeout=300).returncode in expected
    w.configure({"latency_p95": [{"above": "+25%", "action": "alert"}, {"above": 1.5, "clear_below": 1.2, "action": "alert"}, {"above": "2x", "action": "pause"}],
                 "error_rate": {"above": "1%", "action": "alert"}})
    shadow("SELECT (SELECT count(*) FROM ledger) FROM (SELECT SLEEP(0.1) AS s LIMIT 1) x WHERE s = 0", (0, 1))
    reading, _ = w.once("--execute", expected=1)
    assert reading.value("latency_p95") > 2 and reading.value("error_rate") == 0
    assert reading.firing() == {"latency_p95 above 1.25", "latency_p95 above 1.5", "latency_p95 above 2"} and reading.level("latency_p95 above 2")["acted"]
    shadow("SELECT count(*) FROM nowhere", (1,))
    reading, _ = w.once("--execute", expected=1)
    assert reading.value("error_rate") == 50 and "error_rate above 1" in reading.firing()
    shadow("SELECT count(*) FROM ledger", (0,))
    done = w.p.run("cutover", "watch", "--once", "--json", "--execute")  # a loaded machine may be slow on one side once more
    reading = Reading(json.loads(done.stdout))
    assert reading.value("error_rate") == 0 and "error_rate above 1" not in reading.firing()


def test_lag_of_a_role_that_does_not_answer(watched):
    """Apply is stopped: a marker tells how late it is, through a kill of the watch; when it goes on the trigger is over. One watch at a time."""
    w = watched
    w.configure({"lag": {"above": "2s", "for": "1s", "readings": 2, "clear_below": "1s", "action": "alert"}, "roles": {"above": 0, "action": "alert"}})
    with w.running() as process:
        w.wait(process, lambda r: r.value("lag") is not None and r.value("lag") < 2 and not r.firing(), "all is well")
        assert "another `crossfade cutover watch`" in w.p.run("cutover", "watch", "--once").stderr
        w.s.apply.signal(signal.SIGSTOP)
        reading = w.wait(process, lambda r: "lag above 2" in r.firing(), "the lag fires")
        assert "marker" in reading.text("lag") and "roles above 0" in reading.firing()
        process.kill9()
        w.begin(process)
        w.wait(process, lambda r: "lag above 2" in r.firing(), "it goes on to fire")
        w.s.apply.signal(signal.SIGCONT)
        w.wait(process, lambda r: not r.firing(), "it is over")
    assert sorted(detail["level"] for _, detail in w.events("trigger.fired")) == ["lag above 2", "roles above 0"], "a restart tells nothing twice"
    assert len(w.events("trigger.cleared")) == 2


def test_failing_batches(watched):
    """The target takes no writes for a while: apply tries again and again; events wait until they can be written down."""
    w = watched
    w.configure({"failed_batches": {"above": 2, "action": "alert"}, "roles": []})
    with w.running() as process:
        w.wait(process, lambda r: r.value("failed_batches") == 0, "all is well")
        w.s.target("SET GLOBAL read_only = 1")
        w.s.source("UPDATE account SET moves = 5 WHERE id = 3")
        reading = w.wait(process, lambda r: r.firing() == {"failed_batches above 2"}, "the third failure fires")
        assert reading.value("failed_batches") >= 3 and "1290" in reading.text("failed_batches")
        w.s.target("SET GLOBAL read_only = 0")
        w.wait(process, lambda r: not r.firing() and r.value("failed_batches") == 0, "it is over")
        wait_until(lambda: [event for event, _ in w.events("trigger.%")] == ["trigger.fired", "trigger.cleared"], 30, "both are in the chain")


def test_disk(watched):
    """A file system of its own fills up; between the two thresholds the trigger goes on."""
    w = watched
    if os.geteuid() != 0 or os.system("mount -t tmpfs -o size=1m cf-probe /mnt 2>/dev/null") != 0:
        pytest.skip("a file system can only be made by root with the right to mount")
    try:
        w.configure({"disk": {"above": "90%", "clear_below": "85%", "action": "alert"}}, {"disk_paths": ["/mnt"]})
        full = os.path.join("/mnt", "full")
        with open(full, "wb") as f:
            f.write(b"x" * 980_000)
        reading, _ = w.once(expected=1)
        assert reading.value("disk") > 90 and reading.text("disk") == "/mnt"
        os.truncate(full, 900_000)
        assert w.once(expected=1)[0].value("disk") > 85
        os.unlink(full)
        assert w.once(expected=0)[0].firing() == set()
    finally:
        os.system("umount /mnt")


def test_corruption(servers):
    """A damaged page of the target: MariaDB counts none, a comparison meets it."""
    with MariaDB(servers[0], "damaged", STRICT) as target, Hook() as hook:
        move, w = watch((servers[0], servers[1], target), "damaged", hook)
        with move:
            w.configure({"corruption": {"above": 0, "action": "pause"}})
            reading, _ = w.once("--execute", expected=0)
            assert reading.value("corruption") == 0 and "MariaDB counts no damaged pages" in reading.text("corruption")
            w.s.apply.close()
            target.stop()
            (path,) = glob.glob(f"{target.data}/damaged/ledger.ibd")
            with open(path, "r+b") as f:
                for page in range(5, os.path.getsize(path) // 16384):  # leaves: behind what the file is made of, and the roots of two indexes
                    f.seek(page * 16384 + 200)
                    f.write(b"damage" * 100)
            target.start()
            w.s.apply.start()
            w.compare(3)
            (said,) = w.s.target("SELECT reason FROM crossfade_comparison")
            assert "SQLSTATE XX00" in said[0], said
            reading, _ = w.once("--execute", expected=1)
            assert reading.value("corruption") >= 1 and "SQLSTATE XX00" in reading.text("corruption"), reading.text("corruption")
            assert [alert["event"] for alert, _ in hook.alerts][:1] == ["trigger"]
            move.clean = False


def test_rollback_that_is_not_there(watched):
    """Where no way back stands, a command in place of the own rollback is run once, after the cutover."""
    w = watched
    full = {"disk": {"above": "0%", "action": "rollback"}}
    path, command = stub(w)
    w.configure(full, {"rollback_command": command})
    reading, _ = w.once("--execute", expected=1)
    assert "there was no cutover" in reading.level("disk above 0")["waits"] and not moved(path)
    w.s.move.compare()
    assert w.s.move.cutover("run", "--execute")["outcome"] == "done"
    reading, _ = w.once("--execute", expected=1)
    assert reading["stage"] == "after_cutover" and reading["rollback"]["well"] and len(moved(path)) == 1
    assert "no way back" in reading.text("lag") and "no way back" in reading.text("reconciliation"), "nothing is passed over in silence"
    reading, _ = w.once("--execute", expected=1)
    assert reading["stage"] == "rolled_back" and len(moved(path)) == 1
    assert [event for event, _ in w.events("trigger.roll%")] == ["trigger.rollback_begun", "trigger.rolled_back"]


def test_target_away(servers):
    """The watch outlives its target, killed or stopped: it says so, and keeps its events until the target is back."""
    with MariaDB(servers[0], "goes", STRICT) as target, Hook() as hook:
        move, w = watch((servers[0], servers[1], target), "goes", hook)
        w.configure({"disk": [], "roles": [], "lag": [], "corruption": []})
        with move, w.running() as process:
            w.wait(process, lambda r: r["stage"] == "before_cutover", "a reading")

            def told(event, before):
                wait_until(lambda: process.running and hook.events().count(event) > before, 60, f"{event}\n{process.log_tail()}")
            target.kill9()
            told("target_away", 0)
            target.start()
            told("target_back", 0)
            os.kill(target.process.pid, signal.SIGSTOP)  # there, and without an answer
            try:
                told("target_away", hook.events().count("target_away"))
            finally:
                os.kill(target.process.pid, signal.SIGCONT)
            told("target_back", 1)
            w.wait(process, lambda r: r["stage"] == "before_cutover", "readings go on")


def test_own_cutover(watched):
    """A cutover to MariaDB runs by itself when all holds."""
    w = watched
    w.p.settings["compare"]["watch"] = {"digests": "20s"}
    w.configure({"roles": [], "lag": []}, auto_cutover_on={"maintenance_window": "00:00-24:00 UTC", "clean_for": "1s", "retry": "1s"})
    w.s.move.compare()
    w.compare(0)
    w.compare(0)
    with w.running("--execute") as process:
        w.wait(process, lambda r: r["stage"] == "after_cutover", "it is done", timeout=240)
    assert w.s.move.decision() == "switched" and "auto_cutover.done" in [event for event, _ in w.events("auto%")]
