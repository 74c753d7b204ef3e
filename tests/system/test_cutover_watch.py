"""cutover watch: each trigger is provoked for real, what it asks for is done once, and a cutover runs by itself when all holds."""

import contextlib
import json
import os
import signal
import sys

import psycopg
import pytest

from rig import Pgbouncer, Postgres, Process, Timeout, Workdir, find_crossfade, wait_until
from rig.scenario import scenario
from rig.window import SECRET, Hook
from test_approvals import make_key

TABLES = """CREATE TABLE item (id int PRIMARY KEY, v text); INSERT INTO item SELECT i, 'v' || i FROM generate_series(1, 300) i;
    CREATE FUNCTION price(n int) RETURNS int LANGUAGE plpgsql STABLE AS 'BEGIN RETURN n * 2; END'"""
QUICK = {"samples": 5, "rate": 0, "workers": 1, "min_coverage": 0, "latency_regression": "0", "rechecks": 1}
CUTOVER = {"lag_stable_ms": 100, "max_lag_ms": 30000, "straggler_grace_ms": 500, "verdict_max_age_s": "10m"}
ALWAYS = "00:00-24:00 UTC"


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("cutoverwatch") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


class Watched:
    """A pipeline, the watch of its cutover, and a webhook for its alerts."""

    def __init__(self, folder, made, hook):
        self.folder, self.s, self.hook, self.p = str(folder), made, hook, made.pipeline
        self.configure()

    def configure(self, triggers=None, watch=None, **more):
        self.p.settings["cutover"] = {**CUTOVER, "triggers": triggers or {}, **more,
                                      "watch": {"every": "200ms", "webhook": self.hook.url, "webhook_secret": SECRET, **(watch or {})}}
        self.p.write()

    def once(self, *words, expected):
        done = self.p.run("cutover", "watch", "--once", "--json", *words, timeout=300)
        assert done.returncode == expected, f"exit code {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-3000:]}"
        assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr
        return Reading(json.loads(done.stdout)), done.stderr

    @contextlib.contextmanager
    def running(self, *words, failpoint=None):
        log = os.path.join(self.folder, f"{self.s.name}-cutover-watch.log")
        env = {"CROSSFADE_FAILPOINT": failpoint} if failpoint else None
        argv = [find_crossfade(), "-c", self.p.config_of("cutover"), "cutover", "watch", "--json", *words]
        with Process("crossfade cutover watch", argv, log, env=env) as process:
            yield self.begin(process)
            if process.running:
                process.terminate()
                assert process.exit_code == 0, process.log_tail()
            assert "Sanitizer" not in process.log_text() and "runtime error" not in process.log_text(), process.log_tail(80)

    @staticmethod
    def begin(process):
        """Starts it, and knows its readings from those of an earlier start."""
        process.begun = len(process.log_text()) if os.path.exists(process.log) else 0
        return process.start()

    def wait(self, process, predicate, what, timeout=60):
        def seen():
            assert process.running, process.log_tail()
            readings = [line for line in process.log_text()[process.begun:].splitlines() if line.startswith('{"at"') and line.endswith('}')]
            last = Reading(json.loads(readings[-1])) if readings else None
            return last if last and predicate(last) else None
        return wait_until(seen, timeout, what)

    def events(self, kind="%"):
        rows = self.s.target(f"SELECT event, detail FROM crossfade.audit WHERE event LIKE '{kind}' ORDER BY seq")
        return [(event, json.loads(detail)) for event, detail in rows]

    def compare(self, expected=0, *words):
        done = self.p.run("compare", *(words or ("watch", "--once")), timeout=300)
        assert done.returncode == expected, done.stdout[-3000:] + done.stderr[-3000:]

    def cut_over(self):
        self.compare(0, "run")
        done = self.p.run("cutover", "run", "--execute", "--json", timeout=300)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr


class Reading(dict):
    def value(self, name):
        return next(signal["value"] for signal in self["signals"] if signal["name"] == name)

    def text(self, name):
        return next(signal["text"] for signal in self["signals"] if signal["name"] == name)

    def firing(self):
        return {level["level"] for level in self["levels"] if level["phase"] == "firing"}

    def level(self, name):
        return next(level for level in self["levels"] if level["level"] == name)


@pytest.fixture(name="watched")
def fixture_watched(servers):
    with scenario(*servers, TABLES, more={"compare": {"watch": {"digests": "1h"}}}) as made, Hook() as hook:
        made.start()
        yield Watched(servers[0], made, hook)


def test_reconciliation(watched):
    """A planted difference fires once, is over when it is repaired; a pause is done by --execute alone, and only once."""
    w = watched
    w.configure({"reconciliation": {"above": 0, "action": "pause"}})
    reading, said = w.once(expected=0)
    assert reading.value("reconciliation") is None and "without --execute" in said
    w.s.target("UPDATE item SET v = 'rogue' WHERE id = 7")
    w.compare(1)
    reading, _ = w.once(expected=1)
    assert reading.firing() == {"reconciliation above 0"} and reading["stage"] == "before_cutover"
    assert "public.item" in reading.text("reconciliation")
    assert "--execute" in reading.level("reconciliation above 0")["waits"] and w.s.apply.status()["phase"] == "streaming"
    reading, _ = w.once("--execute", expected=1)
    w.s.apply.wait_for(lambda status: status["phase"] == "paused", 30, "apply is paused")
    assert reading.level("reconciliation above 0")["acted"]
    assert w.p.run("apply", "resume").returncode == 0
    w.s.apply.wait_for(lambda status: status["phase"] == "streaming", 30, "apply goes on")
    w.once("--execute", expected=1)
    assert w.s.apply.status()["phase"] == "streaming", "what was done is not done again"
    w.s.target("UPDATE item SET v = 'v7' WHERE id = 7")
    w.compare(0)
    reading, _ = w.once("--execute", expected=0)
    assert reading.value("reconciliation") == 0
    assert [event for event, _ in w.events("trigger.%")] == ["trigger.fired", "trigger.waits", "trigger.paused", "trigger.cleared"]
    assert w.hook.events() == ["trigger", "trigger_waits", "paused", "trigger_over"] and all(signed for _, signed in w.hook.alerts)
    assert w.p.run("audit", "verify").returncode == 0


def test_latency_and_errors(watched):
    """A target that is slow, then one that fails: each level fires by itself; a rollback before any cutover waits."""
    w = watched
    w.p.settings["compare"]["shadow"] = {**QUICK, "queries": ["SELECT price(3)", "SELECT count(*) FROM item"]}
    w.configure({"latency_p95": [{"above": "+25%", "action": "alert"}, {"above": 1.5, "clear_below": 1.2, "action": "alert"}, {"above": "2x", "action": "rollback"}],
                 "error_rate": {"above": "1%", "action": "alert"}})
    w.s.target("CREATE OR REPLACE FUNCTION price(n int) RETURNS int LANGUAGE plpgsql STABLE AS 'BEGIN PERFORM pg_sleep(0.1); RETURN n * 2; END'")
    assert w.p.run("compare", "shadow", "--live", timeout=300).returncode in (0, 1)
    reading, _ = w.once("--execute", expected=1)
    assert reading.value("latency_p95") > 2 and reading.value("error_rate") == 0
    assert reading.firing() == {"latency_p95 above 1.25", "latency_p95 above 1.5", "latency_p95 above 2"}
    assert "there was no cutover" in reading.level("latency_p95 above 2")["waits"] and reading["rollback"] is None
    w.s.target("DROP FUNCTION price")
    assert w.p.run("compare", "shadow", "--live", timeout=300).returncode == 1
    reading, _ = w.once("--execute", expected=1)
    assert reading.value("error_rate") == 50 and "error_rate above 1" in reading.firing()
    w.s.target("CREATE FUNCTION price(n int) RETURNS int LANGUAGE plpgsql STABLE AS 'BEGIN RETURN n * 2; END'")

    def well():  # a loaded machine may be slower on one side once more
        shadowed = w.p.run("compare", "shadow", "--live", timeout=300)
        done = w.p.run("cutover", "watch", "--once", "--json", "--execute", timeout=300)
        assert "Sanitizer" not in shadowed.stderr + done.stderr, shadowed.stderr + done.stderr
        reading = Reading(json.loads(done.stdout))
        assert reading.value("error_rate") == 0 and "error_rate above 1" not in reading.firing()
        return shadowed.returncode == 0 and done.returncode == 0 and reading.firing() == set()
    wait_until(well, 120, "both sides answer, and the target as fast as the source")


def test_lag_of_a_role_that_does_not_answer(watched):
    """Apply is stopped: a marker tells how late it is, through a restart of the watch; when it goes on the trigger is over."""
    w = watched
    w.configure({"lag": {"above": "2s", "for": "1s", "readings": 2, "clear_below": "1s", "action": "alert"}, "roles": {"above": 0, "action": "alert"}})
    with w.running() as process:
        w.wait(process, lambda r: r.value("lag") is not None and r.value("lag") < 2 and not r.firing(), "all is well")
        w.s.apply.signal(signal.SIGSTOP)
        reading = w.wait(process, lambda r: "lag above 2" in r.firing(), "the lag fires")
        assert "marker" in reading.text("lag") and "roles above 0" in reading.firing()
        process.kill9()
        w.begin(process)
        w.wait(process, lambda r: "lag above 2" in r.firing(), "it goes on to fire")
        w.s.apply.signal(signal.SIGCONT)
        w.wait(process, lambda r: not r.firing(), "it is over")
    fired = [detail["level"] for event, detail in w.events("trigger.fired")]
    assert sorted(fired) == ["lag above 2", "roles above 0"], "a restart tells nothing twice"
    assert len(w.events("trigger.cleared")) == 2


def test_failing_batches(watched):
    w = watched
    w.configure({"failed_batches": {"above": 2, "action": "alert"}})
    w.s.target("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE SQLSTATE '40001' USING MESSAGE = 'not now'; END $$",
               "CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON item FOR EACH ROW EXECUTE FUNCTION refuse()", "ALTER TABLE item ENABLE ALWAYS TRIGGER refuse")
    with w.running() as process:
        w.wait(process, lambda r: r.value("failed_batches") == 0, "all is well")
        w.s.source("UPDATE item SET v = 'new' WHERE id = 3")
        reading = w.wait(process, lambda r: r.firing() == {"failed_batches above 2"}, "the third failure fires")
        assert reading.value("failed_batches") >= 3 and "40001" in reading.text("failed_batches")
        w.s.target("ALTER TABLE item DISABLE TRIGGER refuse")
        w.wait(process, lambda r: not r.firing() and r.value("failed_batches") == 0, "it is over")
    w.s.assert_equal()


def test_disk(watched):
    w = watched
    fs = os.statvfs("/")
    used = 100 * (fs.f_blocks - fs.f_bfree) / (fs.f_blocks - fs.f_bfree + fs.f_bavail)
    w.configure({"disk": {"above": f"{max(0.0, used - 3):.3f}%", "action": "alert"}}, {"disk_paths": ["/"]})
    reading, _ = w.once(expected=1)
    assert abs(reading.value("disk") - used) < 3 or reading.value("disk") > used
    w.configure({"disk": {"above": "100%", "action": "alert"}}, {"disk_paths": ["/nowhere"]})
    reading, _ = w.once(expected=0)
    assert reading.value("disk") is not None, "the journal's own is measured"


def test_full_disk(watched):
    """A file system of its own fills up."""
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
        assert w.once(expected=1)[0].value("disk") > 85, "between the two thresholds it goes on"
        os.unlink(full)
        reading, _ = w.once(expected=0)
        assert reading.firing() == set()
    finally:
        os.system("umount /mnt")


def test_corruption(servers):
    """A damaged page of the target: the server counts it, a comparison meets it."""
    folder, source, _ = servers
    with Postgres(folder, "damaged") as target:
        target.process.terminate()
        target.as_server_user(target.binary("pg_checksums") if os.path.exists(target.binary("pg_checksums")) else "pg_checksums", "--enable", "-D", target.data)
        target.start()
        with scenario(folder, source, target, TABLES, more={"compare": {"watch": {"digests": "1h"}}}) as made, Hook() as hook:
            made.start()
            w = Watched(folder, made, hook)
            w.configure({"corruption": {"above": 0, "action": "pause"}})
            reading, _ = w.once("--execute", expected=0)
            assert reading.value("corruption") == 0
            made.target("CHECKPOINT")
            path = os.path.join(target.data, made.target("SELECT pg_relation_filepath('item')")[0][0])
            target.process.terminate()
            with open(path, "r+b") as f:
                f.seek(4000)
                f.write(b"damage")
            target.start()
            w.compare(3)
            reading, _ = w.once("--execute", expected=1)
            assert reading.value("corruption") >= 2, "the server's count, and the comparison's error"
            assert "checksum failures" in reading.text("corruption") and "XX001" in reading.text("corruption")
            assert [alert["event"] for alert, _ in hook.alerts][:1] == ["trigger"]


STUB = "import json, os, sys; print('moving back'); open(sys.argv[1], 'a').write(json.dumps({k: v for k, v in os.environ.items() if k.startswith('CROSSFADE_')}) + '\\n')"


def stub(w, code=0):
    """A command instead of the own rollback, which writes down that it ran."""
    path, script = os.path.join(w.folder, f"{w.s.name}-moved"), os.path.join(w.folder, f"{w.s.name}-stub.py")
    with open(script, "w", encoding="utf-8") as f:
        f.write(STUB + f"; sys.exit({code})\n")
    return path, f"'{sys.executable}' '{script}' '{path}'"


def moved(path):
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def test_rollback_once(watched):
    """After a cutover a level that fires rolls back, once, whatever fires later; and not when its window is over."""
    w = watched
    path, command = stub(w)
    full = {"disk": {"above": "0%", "action": "rollback"}}
    w.cut_over()
    w.configure(full, {"rollback_command": command}, rollback_window="1s")
    wait_until(lambda: w.s.target("SELECT bool_and(at < now() - interval '2 seconds') FROM crossfade.cutover")[0][0], 30, "the window is over")
    reading, _ = w.once("--execute", expected=1)
    assert reading["stage"] == "after_cutover" and "rollback_window is over" in reading.level("disk above 0")["waits"]
    w.configure(full, {"rollback_command": command})
    w.once(expected=1)
    assert not moved(path), "not without --execute"
    reading, said = w.once("--execute", expected=1)
    ran = moved(path)
    assert len(ran) == 1 and ran[0]["CROSSFADE_LEVEL"] == "disk above 0" and ran[0]["CROSSFADE_PIPELINE"] == w.s.name and "moving back" in said
    assert ran[0]["CROSSFADE_CUTOVER_ID"] == w.s.target("SELECT max(cutover_id) FROM crossfade.cutover")[0][0]
    assert reading["rollback"]["well"]
    w.configure({"disk": [{"above": "0%", "action": "rollback"}, {"above": "0.1%", "action": "rollback"}]}, {"rollback_command": command})
    reading, _ = w.once("--execute", expected=1)
    assert reading["stage"] == "rolled_back" and len(moved(path)) == 1 and "already" in reading.level("disk above 0.1")["waits"]
    assert [event for event, _ in w.events("trigger.roll%")] == ["trigger.rollback_begun", "trigger.rolled_back"]
    assert "rolled_back" in w.hook.events()


def test_rollback_of_a_person(watched):
    """Who was moved back by hand is not moved back again."""
    w = watched
    path, command = stub(w)
    w.cut_over()
    w.s.admin("ALTER TABLE crossfade.decision DROP CONSTRAINT IF EXISTS decision_state_check", "UPDATE crossfade.decision SET state = 'returned'")
    w.configure({"disk": {"above": "0%", "action": "rollback"}}, {"rollback_command": command})
    reading, _ = w.once("--execute", expected=1)
    assert reading["stage"] == "rolled_back" and "already" in reading.level("disk above 0")["waits"] and not moved(path)


def test_own_rollback_gets_no_secret(watched):
    """Without a command it is this executable, with the configuration file and the database's name; what it came to is kept, whatever it is."""
    w = watched
    w.cut_over()
    w.configure({"disk": {"above": "0%", "action": "rollback"}})
    reading, said = w.once("--execute", expected=1)
    assert reading["rollback"]["outcome"].startswith("exit code") and not reading["rollback"]["well"] and "rollback" in said
    assert w.hook.events().count("rollback_failed") == 1


def test_rollback_that_was_cut_off_is_not_begun_again(watched):
    w = watched
    path, command = stub(w)
    w.cut_over()
    w.configure({"disk": {"above": "0%", "action": "rollback"}}, {"rollback_command": command})
    with w.running("--execute", failpoint="cutover.watch_rollback_begun:1:kill") as process:
        wait_until(lambda: not process.running, 60, "it is killed behind the record")
    for _ in range(2):
        reading, _ = w.once("--execute", expected=1)
        assert "its end is not known" in reading.level("disk above 0")["waits"] and not moved(path)
    assert w.hook.events().count("trigger_waits") == 1, "told once, not with each reading"


def test_rollback_that_fails_is_for_a_person(watched):
    w = watched
    path, command = stub(w, code=12)
    w.cut_over()
    w.configure({"disk": {"above": "0%", "action": "rollback"}}, {"rollback_command": command})
    reading, _ = w.once("--execute", expected=1)
    assert reading["rollback"]["outcome"] == "exit code 12" and not reading["rollback"]["well"]
    w.once("--execute", expected=1)
    assert len(moved(path)) == 1 and w.hook.events().count("rollback_failed") == 1


def test_target_away(servers):
    """The watch outlives its target: it says so, goes on with what it can measure, and keeps its events until the target is back."""
    folder, source, _ = servers
    with Postgres(folder, "goes") as target, scenario(folder, source, target, TABLES) as made, Hook() as hook:
        made.start()
        w = Watched(folder, made, hook)
        w.configure({"disk": [], "roles": [], "lag": [], "corruption": []})
        with w.running() as process:
            w.wait(process, lambda r: r["stage"] == "before_cutover", "a reading")

            def told(event, before):
                def seen():
                    assert process.running, process.log_tail()
                    return hook.events().count(event) > before
                try:
                    wait_until(seen, 60, event)
                except Timeout:
                    raise AssertionError(f"{hook.events()}\n{process.log_tail()}") from None

            target.process.kill9()
            told("target_away", 0)
            target.start()
            told("target_back", 0)
            w.wait(process, lambda r: r["stage"] == "before_cutover", "readings go on")
            before = hook.events()
            (pid,), = target.sql("SELECT pid FROM pg_stat_activity WHERE application_name = %s ORDER BY backend_start LIMIT 1", (f"crossfade cutover {made.name}",))
            os.kill(pid, signal.SIGSTOP)  # there, and without an answer
            try:
                told("target_away", before.count("target_away"))
            finally:
                os.kill(pid, signal.SIGCONT)
            told("target_back", before.count("target_back"))
            assert "another `crossfade cutover watch`" in w.p.run("cutover", "watch", "--once").stderr


def test_pooler_latency(watched, servers):
    """The mean time of a query before the cutover is the baseline for that after it."""
    w = watched
    entry = f"host=127.0.0.1 port={servers[1].port} dbname={w.s.name}"
    with Pgbouncer(servers[0], f"{w.s.name}-pooler", {"app": entry}, settings={"stats_period": 1}) as pooler:
        w.s.target("GRANT ALL ON ALL TABLES IN SCHEMA public TO shop_owner")
        more = {"poolers": [pooler.rule("app")]}
        w.configure({"pooler_latency": [{"above": 1.25, "action": "alert"}, {"above": "2x", "readings": 2, "action": "alert"}]}, **more)

        def ask(statement, process, predicate, what):
            with psycopg.connect(pooler.url("app", "shop_owner"), autocommit=True, prepare_threshold=None) as connection:
                def step(reading):
                    for _ in range(5):
                        connection.execute(statement)
                    return predicate(reading)
                return w.wait(process, step, what)
        with w.running() as process:
            ask("SELECT 1", process, lambda r: w.s.target("SELECT coalesce((state->'poolers'->0->>'samples')::int, 0) FROM crossfade.cutover_watch")[0][0] >= 3, "a baseline")
            w.cut_over()
            w.wait(process, lambda r: r["stage"] == "after_cutover", "the cutover is seen")
            ask("SELECT pg_sleep(0.05)", process, lambda r: r.firing() == {"pooler_latency above 1.25", "pooler_latency above 2"}, "the new side is slow")
            ask("SELECT 1", process, lambda r: not r.firing(), "it is quick again")


# --- cutovers that run by themselves ---

def automatic(w, **more):
    w.p.settings["compare"]["watch"] = {"digests": "20s"}  # a gap is three of them: a loaded machine makes none
    keys = {"maintenance_window": ALWAYS, "clean_for": "3s", "retry": "1s", **more.pop("auto", {})}
    w.configure({"roles": [], "lag": []}, auto_cutover_on=keys, **more)


@contextlib.contextmanager
def window(w):
    log = os.path.join(w.folder, f"{w.s.name}-window.log")
    with Process("crossfade compare watch", [find_crossfade(), "-c", w.p.config_of("compare"), "compare", "watch"], log) as process:
        yield process.start()


def decision(w):
    rows = w.s.admin("SELECT state FROM crossfade.decision")
    return rows[0][0] if rows else None


def test_auto_cutover_waits_for_approval_then_runs_once(watched):
    w = watched
    path, public = make_key(w.folder, f"{w.s.name}-anna")
    automatic(w, approval=["confirm", "ticket"], approvers=[{"name": "anna", "key": public}], auto={"confirm": w.s.name})
    with window(w):
        with w.running("--execute") as process:
            reading = w.wait(process, lambda r: "waits for approval" in (r["auto_cutover"]["waits"] or ""), "it waits for approval", 120)
            assert "ticket" in reading["auto_cutover"]["waits"] and decision(w) is None
            done = w.p.run("approve", "ticket", "--key", path, "--note", "CHG-1", job="cutover")
            assert done.returncode == 0, done.stderr
            w.wait(process, lambda r: r["stage"] == "after_cutover", "the cutover", 180)
            process.kill9()
        assert decision(w) == "switched"
        with w.running("--execute") as process:
            w.wait(process, lambda r: "no other runs by itself" in (r["auto_cutover"]["waits"] or ""), "no second one")
    assert w.s.target("SELECT count(DISTINCT cutover_id) FROM crossfade.cutover") == [(1,)]
    events = [event for event, _ in w.events("auto_cutover.%") if event != "auto_cutover.waits"]
    assert events == ["auto_cutover.begun", "auto_cutover.done"]
    approvals = [detail["text"] for event, detail in w.events("auto_cutover.waits") if "approval" in detail["text"]]
    assert len(approvals) == 1, "told once"


def test_auto_cutover_without_waiver_or_window(watched):
    """Whose question nobody has waived, and outside of the window, nothing begins."""
    w = watched
    automatic(w, approval=["confirm"])
    with window(w), w.running("--execute") as process:
        w.wait(process, lambda r: "waits for approval" in (r["auto_cutover"]["waits"] or ""), "it asks", 120)
        process.terminate()
        day = w.s.target("SELECT to_char(now() + interval '2 days', 'Dy')")[0][0]
        automatic(w, auto={"maintenance_window": [f"{day} 02:00-04:00 Europe/Berlin"]})
        w.begin(process)
        w.wait(process, lambda r: "maintenance window at" in (r["auto_cutover"]["waits"] or ""), "it waits for the window")
        process.terminate()
        automatic(w, auto={"clean_for": "7d"})
        w.begin(process)
        w.wait(process, lambda r: "clean for 604800 s" in (r["auto_cutover"]["waits"] or ""), "it waits for a week", 120)
    assert decision(w) is None


def test_auto_cutover_that_is_aborted_tries_again_later_and_gives_up(watched):
    w = watched
    automatic(w, on_verified=["exit 1"], auto={"max_attempts": 2})
    with window(w), w.running("--execute") as process:
        w.wait(process, lambda r: "2 attempts were made" in (r["auto_cutover"]["waits"] or ""), "two attempts", 240)
    assert decision(w) == "aborted"
    assert w.s.target("SELECT count(*) FROM crossfade.cutover WHERE state = 'aborted'") == [(2,)]
    assert [event for event, _ in w.events("auto_cutover.%") if event != "auto_cutover.waits"] == ["auto_cutover.begun", "auto_cutover.not_done"] * 2
