"""What a role tells a service manager (sd_notify, over a real socket): READY when it truly works, STATUS, WATCHDOG as long as its loop goes round and
no longer, STOPPING; and the probes /healthz and /readyz."""

import os
import signal
import time

import psycopg
import pytest

from rig import Postgres, Workdir, wait_until
from rig.notify import NotifySocket
from rig.scenario import scenario

T = "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'v' || i FROM generate_series(1, 100) i"
PING_US = 800_000  # allowed; a ping each 0.2 s
SILENCE_S = 3.0    # longer than any pause between two pings that the manager would stand


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("service") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


def answers(role, path):
    """The HTTP status, None when nobody answers."""
    return (role.get(path) or (None,))[0]


def pings_go_on(notify):
    notify.wait("WATCHDOG=1", more_than=len(notify.lines("WATCHDOG=1")) + 2)


def pings_have_ended(notify):
    """None comes during a time in which many would."""
    def quiet():
        since = time.monotonic()
        time.sleep(SILENCE_S)
        return not notify.lines("WATCHDOG=1", since)
    wait_until(quiet, 60, "no ping any more")


def test_ready_alive_and_stopped(servers):
    folder, source, _ = servers
    with NotifySocket(folder) as notify, scenario(*servers, T) as s:
        # What capture needs is not there: the slot waits for a transaction that runs. Then it is.
        s.capture.env = {**(s.capture.env or {}), **notify.env(PING_US)}
        with psycopg.connect(s.pipeline.source_url) as blocker:
            blocker.execute("INSERT INTO t VALUES (5000, 'open')")
            s.capture.start()
            wait_until(lambda: "slot_create" in s.capture.log_text(), 60, "capture creates its slot")
            assert answers(s.capture, "/readyz") == 503 and answers(s.capture, "/healthz") == 200
            pings_go_on(notify)  # it waits for a server, and has said so
            assert notify.lines("READY=1") == []
            blocker.rollback()
        notify.wait("READY=1")
        told = notify.lines()
        before = told[:told.index("READY=1")]
        assert any(line.startswith(f"STATUS={s.pipeline.name}: ") for line in before), told
        wait_until(lambda: answers(s.capture, "/readyz") == 200, 30, "it is ready")
        pings_go_on(notify)

        # A process that is stopped says nothing, whatever its threads would like to.
        os.kill(s.capture.pid, signal.SIGSTOP)
        pings_have_ended(notify)
        os.kill(s.capture.pid, signal.SIGCONT)
        pings_go_on(notify)

        # It reads its configuration again, and says so before and after.
        s.capture.signal(signal.SIGHUP)
        notify.wait("READY=1", more_than=1)
        told = notify.lines()
        assert "RELOADING=1" in told[told.index("READY=1"):] and any(line.startswith("MONOTONIC_USEC=") for line in told)

        # The source goes away: not ready, and alive all the same.
        source.stop()
        wait_until(lambda: answers(s.capture, "/readyz") == 503, 60, "it is not ready")
        assert answers(s.capture, "/healthz") == 200
        notify.wait(f"STATUS={s.pipeline.name}: retrying")
        pings_go_on(notify)
        source.start()
        wait_until(lambda: answers(s.capture, "/readyz") == 200, 60, "it is ready again")
        assert len(notify.lines("READY=1")) == 2

        assert s.capture.terminate() == 0
        told = notify.lines()
        assert "STOPPING=1" in told, told[-5:]
        if "stop_at_once" not in s.capture.log_text():  # it had the time for an orderly end
            assert told[-1] == "STATUS=stopped", told[-5:]


@pytest.mark.parametrize("role, point", [("capture", "capture.feedback_before"), ("apply", "apply.before_write")])
def test_a_loop_that_hangs_is_not_spoken_for(servers, role, point):
    """One thread hangs; the others, and the HTTP server, live on."""
    folder, _, _ = servers
    with NotifySocket(folder, f"notify-{role}") as notify, scenario(*servers, T) as s:
        s.start()
        s.wait()
        hung = getattr(s, role)
        hung.terminate()
        hung.env = {**(hung.env or {}), **notify.env(PING_US)}
        hung.start(failpoint=f"{point}:1:hang")
        notify.wait("READY=1")
        s.source("INSERT INTO t VALUES (1000, 'more')")
        pings_have_ended(notify)
        assert answers(hung, "/status") == 200 and len(notify.lines("WATCHDOG=1")) > 0
        hung.kill9()
        hung.start()
        s.assert_equal()


def test_a_long_statement_is_no_hang(servers):
    """Apply waits in the target for a lock that somebody holds: pings go on; then for nothing."""
    folder, _, _ = servers
    with NotifySocket(folder, "notify-lock") as notify, scenario(*servers, T) as s:
        s.start()
        s.wait()
        s.apply.terminate()
        s.apply.env = {**(s.apply.env or {}), **notify.env(PING_US)}
        s.apply.start()
        notify.wait("READY=1")
        with psycopg.connect(s.pipeline.target_url) as blocker:
            blocker.execute("LOCK TABLE t")
            s.source("INSERT INTO t VALUES (1001, 'waits')")
            wait_until(lambda: blocker.execute("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 't'::regclass").fetchone()[0] > 0, 60, "apply waits")
            pings_go_on(notify)
            pings_go_on(notify)
            assert answers(s.apply, "/healthz") == 200
        s.assert_equal()


def test_halt_says_why(servers):
    folder, _, _ = servers
    with NotifySocket(folder, "notify-halt") as notify, scenario(*servers, T) as s:
        s.start()
        s.wait()
        s.apply.terminate()
        s.apply.env = {**(s.apply.env or {}), **notify.env()}
        s.apply.start()
        notify.wait("READY=1")
        s.target("DROP TABLE t")
        s.source("INSERT INTO t VALUES (1002, 'nowhere')")
        assert s.apply.wait(60) == 5
        told = notify.lines()
        assert "READY=1" in told and told[-1].startswith("STATUS=") and "public.t" in told[-1], told[-3:]
        assert notify.lines("WATCHDOG=1") == []  # nobody has asked for it
