"""The table of exit codes in docs/COMPARE.md: each is provoked, and whatever ends a command leaves nothing on either side."""

import contextlib
import os
import re
import signal
import subprocess
import time

import psycopg
import pytest

from rig import Postgres, Process, Workdir, wait_until
from rig.procs import find_crossfade
from rig.relay import Relay
from rig.scenario import scenario

TABLES = """CREATE TABLE a (id int PRIMARY KEY, v text); INSERT INTO a SELECT i, 'a' || i FROM generate_series(1, 100) i;
    CREATE FUNCTION nap() RETURNS int LANGUAGE sql AS 'SELECT 1 FROM pg_sleep(600)'"""
SHADOW = {"samples": 1, "rate": 0, "workers": 1, "min_coverage": 0, "latency_regression": "0", "rechecks": 1, "statement_timeout_ms": "1h", "queries": ["SELECT v FROM a WHERE id = 1"]}
DOCS = os.path.join(os.path.dirname(__file__), "..", "..", "docs", "COMPARE.md")


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("codes") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


def documented():
    """{command: the codes it may end with}"""
    with open(DOCS, encoding="utf-8") as f:
        table = f.read().split("### Exit codes\n")[1].strip().split("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return {row[0].strip("`"): {int(code) for code, cell in zip((0, 1, 2, 3, 4), row[1:]) if cell != "–"} for row in rows[2:]}


def nothing_left(s):
    """Sessions, slots, locks and prepared statements of a comparator; what a killed one left is the server's to end."""
    for side in (s.admin, s.target):
        wait_until(lambda side=side: not side("SELECT application_name, query FROM pg_stat_activity WHERE application_name LIKE 'crossfade compare%'"), 60, "no session is left")
    wait_until(lambda: not s.admin("SELECT slot_name FROM pg_replication_slots WHERE slot_name LIKE 'crossfade_compare%'"), 60, "no slot is left")
    assert s.admin("SELECT locktype FROM pg_locks WHERE locktype = 'advisory'") == []


def test_every_code_of_every_command(servers):
    folder, source, target = servers
    more = {"compare": {"deadline_ms": 2000, "watch": {"digests": "1h"}, "shadow": SHADOW}}
    with scenario(folder, source, target, TABLES, more=more) as s:
        s.start(timeout=240)
        p, seen = s.pipeline, {}

        def run(command, code, *words):
            done = p.run("compare", command, *words)
            assert done.returncode == code, f"{command}: {done.returncode}, expected {code}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
            seen.setdefault("watch --once" if command == "watch" else command, set()).add(code)

        def passes(command, *words):
            """A fence within the deadline: on a machine that does much else, not at the first try."""
            wait_until(lambda: p.run("compare", command, *words).returncode == 0, 120, f"{command} passes")
            seen.setdefault("watch --once" if command == "watch" else command, set()).add(0)
        once = {"run": (), "shadow": (), "watch": ("--once",), "history": (), "selftest": (), "repair": ("--through-journal",)}
        for command, words in once.items():
            passes(command, *words)
            run(command, 2, *words, "--no-such-flag")
        s.target("SET session_replication_role = replica; UPDATE a SET v = 'rogue' WHERE id = 1")
        for command in ("run", "shadow", "watch", "repair"):
            wait_until(lambda c=command: p.run("compare", c, *once[c]).returncode == 1, 120, f"{command} tells of it")
            seen["watch --once" if command == "watch" else command].add(1)
        s.target("SET session_replication_role = replica; UPDATE a SET v = 'a1' WHERE id = 1")
        passes("watch", "--once")  # else a FAIL stands until a PASS
        p.apply.terminate()  # no fence is reached
        for command in ("run", "shadow", "watch", "repair"):
            run(command, 3, *once[command])
        url = p.settings["target"]["url"]
        p.settings["target"]["url"] = re.sub(r"/[^/?]+(\?|$)", r"/nowhere\1", url)
        p.write()
        for command, words in once.items():
            run(command, 4, *words)
        told = documented()
        told.pop("watch")  # below
        told["selftest"] -= {1, 3}  # 1: a form that is wrong, 3: nothing that could be tried; tests/unit and the selftest's own tests
        assert seen == told
        nothing_left(s)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_watch_is_ended(servers, how):
    """Amid a run of a level, and amid a shadow query beside it."""
    folder, source, target = servers
    more = {"compare": {"deadline_ms": 5000, "watch": {"digests": "1s", "shadow": "continuous"}, "shadow": {**SHADOW, "queries": ["SELECT nap()"]}}}
    with scenario(folder, source, target, TABLES, more=more) as s:
        s.start(timeout=240)
        active = "SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'crossfade compare%' AND query LIKE '%nap()%' AND state = 'active'"
        with Process("watch", [find_crossfade(), "-c", s.pipeline.config_of("compare"), "compare", "watch"], os.path.join(str(folder), f"watch-{how}.log")) as watch, \
                psycopg.connect(s.source_url, autocommit=True) as long:
            watch.start()
            wait_until(lambda: s.admin(active) or s.target(active), 120, "a shadow query runs")
            wait_until(lambda: "compared level=digests" in watch.log_text(), 120, "a comparison has run beside it")
            long.execute("BEGIN; UPDATE a SET v = 'long' WHERE id = 1")  # the snapshot of the next comparison waits for it
            wait_until(lambda: s.admin("SELECT 1 FROM pg_replication_slots WHERE slot_name LIKE 'crossfade_compare%'"), 60, "its slot is being made")
            watch.signal(how)
            assert watch.wait(60) == (0 if how == signal.SIGINT else -signal.SIGKILL), watch.log_tail()
            long.execute("ROLLBACK")
        nothing_left(s)
        s.source("UPDATE a SET v = 'on'")
        s.assert_equal(timeout=60)


def pending(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as f:
        return any(int(line.split()[1], 16) for line in f if line.startswith(("SigPnd", "ShdPnd")))


def test_selftest_is_ended(servers):
    folder, source, target = servers
    with scenario(folder, source, target, TABLES) as s:
        s.start(timeout=240)
        for how, code in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 4)):
            with psycopg.connect(s.target_url) as lock:
                lock.execute("LOCK TABLE pg_catalog.pg_class IN ACCESS EXCLUSIVE MODE")  # nobody plans a query meanwhile
                with subprocess.Popen([find_crossfade(), "-c", s.pipeline.config_of("compare"), "compare", "selftest"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
                    wait_until(lambda: s.admin("SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'crossfade compare%'"), 60, "it runs")
                    run.send_signal(how)
                    wait_until(lambda: run.poll() is not None or not pending(run.pid), 60, "the signal is taken")
                    time.sleep(0.3)  # it is told by another thread
                    lock.rollback()
                    run.communicate(timeout=60)
                    assert run.returncode == code
            nothing_left(s)


def test_what_a_crashed_source_leaves_is_no_slot(servers):
    """Temporary slots die with their server, even at kill -9: none is there when it is back, and the next comparison passes."""
    folder, source, target = servers
    with scenario(folder, source, target, TABLES, more={"compare": {"deadline_ms": 120000}}) as s:
        s.start(timeout=240)
        with contextlib.closing(psycopg.connect(s.source_url)) as long:
            long.execute("UPDATE a SET v = 'long' WHERE id = 1")  # the snapshot waits for it
            with Process("compare", [find_crossfade(), "-c", s.pipeline.config_of("compare"), "compare", "run"], os.path.join(str(folder), "crashed.log")) as run:
                run.start()
                wait_until(lambda: s.admin("SELECT 1 FROM pg_replication_slots WHERE slot_name LIKE 'crossfade_compare%'"), 60, "the temporary slot is being made")
                source.kill9()
                assert run.wait(60) == 4, run.log_tail()
        source.start()
        assert s.admin("SELECT slot_name FROM pg_replication_slots WHERE slot_name LIKE 'crossfade_compare%'") == []
        wait_until(lambda: s.pipeline.run("compare", "run", timeout=240).returncode == 0, 240, "a comparison passes")
        nothing_left(s)


def watching(s, code, until=None, signum=signal.SIGTERM, what="watch"):
    """A watch that goes on until something is in its log (None: until it ends by itself), and then ends with this code; its log."""
    log = os.path.join(str(s.pipeline.folder), f"{s.name}-{what}.log")
    with Process("watch", [find_crossfade(), "-c", s.pipeline.config_of("compare"), "compare", "watch"], log) as watch:
        watch.start()
        if until is not None:
            wait_until(lambda: until in watch.log_text() or not watch.running, 240, f"{what}: {until}")
            assert watch.running, f"{what}: it ended before: {watch.log_tail()}"
            watch.signal(signum)
        assert watch.wait(240) == code, f"{what}: {watch.exit_code}, expected {code}\n{watch.log_tail()}"
        return watch.log_text()


def test_every_code_of_watch(servers):
    """Without --once: what ends it is a signal, a mismatch, or what no later run could mend."""
    folder, source, target = servers
    tables = TABLES + "; CREATE TABLE b (id int PRIMARY KEY, w numeric); INSERT INTO b VALUES (1, 1.5)"
    more = {"compare": {"deadline_ms": 3000, "watch": {"digests": "1s"}}}
    with scenario(folder, source, target, tables, more=more) as s:
        s.start(timeout=240)
        compare_settings, seen = s.pipeline.settings["compare"], set()

        def ends(code, until=None, **how):
            seen.add(code)
            return watching(s, code, until, **how)

        def set_to(**settings):
            compare_settings.update(settings)
            s.pipeline.write()
        for signum in (signal.SIGTERM, signal.SIGINT):
            assert "stopped verdict=PASS exit_code=0" in ends(0, "verdict=PASS", signum=signum, what=f"passes-{signum}")

        # 3: nobody reaches a fence any more, at the end of a window that had passed
        s.apply.terminate()
        ends(3, "verdict=INCONCLUSIVE", what="inconclusive")
        s.apply.start()

        # 1: a mismatch, and what comes behind it without a PASS does not take it back; or on_mismatch: stop, by itself
        s.target("SET session_replication_role = replica; UPDATE a SET v = 'rogue' WHERE id = 1")
        ends(1, "verdict=FAIL", what="fails")
        s.apply.terminate()
        ends(1, "verdict=INCONCLUSIVE", what="failed-before")  # by whichever process
        s.apply.start()
        set_to(watch={"digests": "1s", "on_mismatch": "stop"})
        ends(1, what="stops")
        s.target("SET session_replication_role = replica; UPDATE a SET v = 'a1' WHERE id = 1")
        ends(0, "verdict=PASS", what="equal-again")

        # 2: nothing to watch; a level without what it needs; and what the configuration names goes away while it watches
        set_to(watch={"digests": 0, "counts": 0, "changed": 0, "full": 0})
        assert "nothing is to be watched" in ends(2, what="nothing")
        set_to(watch={"shadow": "continuous"})
        ends(2, what="no-workload")
        set_to(watch={"digests": "1s"}, tolerance={"public.b.w": "0.01"})
        log = os.path.join(str(folder), f"{s.name}-later.log")
        with Process("watch", [find_crossfade(), "-c", s.pipeline.config_of("compare"), "compare", "watch"], log) as watch:
            watch.start()
            wait_until(lambda: "verdict=PASS" in watch.log_text(), 240, "it passes first")
            s.target("DROP TABLE b")
            s.source("DROP TABLE b")
            assert watch.wait(240) == 2 and "public.b.w" in watch.log_text(), watch.log_tail()
        set_to(tolerance={})

        # 4: the target does not let it in, and asking again would not help
        url = s.pipeline.settings["target"]["url"]
        s.pipeline.settings["target"]["url"] = re.sub(r"//[^@/]*@", "//nobody_here@", url)
        assert s.pipeline.settings["target"]["url"] != url
        s.pipeline.write()
        ends(4, what="refused")
        assert seen == documented()["watch"]
        nothing_left(s)


def test_lock_does_not_outlast_the_command(servers):
    """The server may notice late that a session has ended: the next comparison need not wait for that."""
    _, source, _ = servers
    with scenario(*servers, TABLES) as s, Relay(source.port, lingering=True) as relay:
        s.start(timeout=240)
        done = s.pipeline.run("compare", "run", f"--source.url={s.source_url.replace(f':{source.port}', f':{relay.port}')}")
        assert done.returncode == 0, done.stdout + done.stderr
        assert s.admin("SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'crossfade compare%'")
        assert s.admin("SELECT locktype FROM pg_locks WHERE locktype = 'advisory'") == []
