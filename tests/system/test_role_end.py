"""A role that has halted ends, with exit code 5, whatever its alerts' commands, the target's locks and the status page do."""

import json
import os
import signal
import socket
import threading
import time

import psycopg
import pytest

from rig import Postgres, Workdir, wait_until
from rig.control import send, token_of
from rig.procs import halts
from rig.scenario import scenario

T = "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'v' || i FROM generate_series(1, 100) i"
WITHIN_S = 20  # less than the units' TimeoutStopSec; under a sanitizer, too


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("roleend") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


def halt_apply(s):
    """Its target refuses a row. When it said so."""
    s.target("ALTER TABLE t ADD CONSTRAINT low CHECK (id < 1000)")
    s.source("INSERT INTO t VALUES (1000, 'too high')")
    wait_until(lambda: not s.apply.running or (s.apply.status() or {}).get("phase") == "halted", 60, "apply halts")
    return time.monotonic()


def ends(s, since, step):
    halts(s.apply, 5, "exit_code=5", "low", timeout=60)
    assert time.monotonic() - since < WITHIN_S
    assert (f"end_given_up step={step}" in s.apply.log_text()) == bool(step), s.apply.log_tail()


def test_a_command_that_hangs(servers):
    """One that hears is told to end; one that does not is left behind."""
    marks = os.path.join(str(servers[0]), "marks")
    for command, step in ((f"trap 'echo heard >> {marks}; exit 0' TERM; sleep 300 & wait", ""), ("trap '' TERM; exec sleep 45", "alerts")):
        with scenario(*servers, T, more={"alerts": {"on_event": [command], "on_event_timeout": "5min"}}) as s:
            s.start()
            s.wait()
            ends(s, halt_apply(s), step)
    with open(marks, encoding="utf-8") as f:
        assert f.read() == "heard\n"


def test_signals_do_not_hide_that_it_has_halted(servers):
    """Two of them end at once what else waits for its alerts: with the exit code that it has."""
    with scenario(*servers, T, more={"alerts": {"on_event": ["trap '' TERM; exec sleep 45"], "on_event_timeout": "5min"}}) as s:
        s.start()
        s.wait()
        halt_apply(s)
        s.apply.signal(signal.SIGTERM)
        s.apply.wait_log("stop_asked")
        s.apply.signal(signal.SIGTERM)
        s.apply.assert_exit(5)
        assert 'reason="second signal"' in s.apply.log_text()


def test_a_stop_that_becomes_a_halt(servers):
    """A stop is asked for, and then it halts: the ten seconds of the stop do not end it before its end is told, nor with 0."""
    with scenario(*servers, T, more={"alerts": {"on_event": ["trap '' TERM; exec sleep 45"], "on_event_timeout": "5min"}}) as s:
        s.start()
        s.wait()
        with psycopg.connect(s.target_url) as held:
            held.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
            s.source("INSERT INTO t VALUES (1000, 'too high')")
            waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = %s"
            wait_until(lambda: s.target_server.value(waits, (s.name,)) >= 1, 30, "apply waits for the table")
            held.execute("ALTER TABLE t ADD CONSTRAINT low CHECK (id < 1000)")
            s.apply.signal(signal.SIGTERM)
            since = time.monotonic()
            wait_until(lambda: time.monotonic() - since > 4, 10, "the end's guard ends behind the stop's ten seconds")
            held.commit()
        ends(s, since, "alerts")


def test_a_webhook_that_hangs(servers):
    """It takes the connection and says nothing. What it did not take is told."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        with scenario(*servers, T, more={"alerts": {"webhook": url}}) as s:
            s.start()
            s.wait()
            ends(s, halt_apply(s), "")
            assert "alert_lost count=1" in s.apply.log_text()


def test_a_control_table_that_is_locked(servers):
    """A command waits for the audit chain, and the status page for the verdicts."""
    with scenario(*servers, T) as s:
        s.start()
        s.wait()
        token = token_of(s.pipeline.settings["control"]["token_file"])
        at = f"http://127.0.0.1:{s.apply.port}/control/pause"
        assert send(at.replace("pause", "resume"), token)[0] == 200  # the chain is there
        with psycopg.connect(s.target_url) as held:
            held.execute("LOCK TABLE crossfade.audit IN ACCESS EXCLUSIVE MODE")
            answers = []

            def ask():
                try:
                    answers.append(send(at, token)[0])
                except OSError as error:
                    answers.append(str(error))
            asking = threading.Thread(target=ask)
            asking.start()
            waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = %s"
            wait_until(lambda: s.target_server.value(waits, (s.name,)) >= 1, 30, "the command waits")
            ends(s, halt_apply(s), "commands")
            held.rollback()
        asking.join(30)
        assert answers and answers[0] != 200


def test_a_status_page_that_waits(servers):
    """It reads verdicts, as apply does, whose own reading is cancelled."""
    stop = os.path.join(str(servers[0]), "stop")
    with scenario(*servers, T, more={"apply": {"stop_file": stop}}) as s:
        s.start()
        s.wait()
        with psycopg.connect(s.target_url) as held:
            held.execute("LOCK TABLE crossfade.verdict IN ACCESS EXCLUSIVE MODE")
            assert json.loads(s.apply.get("/page/facts", 10)[1]) is not None  # somebody looks
            waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = %s AND query LIKE '%%verdict%%'"
            wait_until(lambda: s.target_server.value(waits, (s.name,)) >= 2, 60, "the page waits, and apply itself")
            with open(stop, "w", encoding="utf-8"):
                since = time.monotonic()
            halts(s.apply, 5, "exit_code=5", "apply.stop_file")
            assert time.monotonic() - since < WITHIN_S and "end_given_up step=status_page" in s.apply.log_text()
