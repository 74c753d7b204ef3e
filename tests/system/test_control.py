"""Commands to running roles: by token and certificate, audited; throttle, drain, reload; what is refused, and that nothing then changes."""

import contextlib
import json
import os
import signal
from datetime import datetime, timedelta, timezone

import pytest

from rig import Postgres, Workdir, wait_until
from rig.certificates import Authority
from rig.control import said, send, tls, token_of
from rig.scenario import scenario

T = "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'v' || i FROM generate_series(1, 100) i"


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("control") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


def ordered(s, role, *words, expected=0):
    done = s.pipeline.run(role, *words)
    assert done.returncode == expected, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def audited(s, event):
    return [row[0] for row in s.target(f"SELECT detail::jsonb FROM crossfade.audit WHERE event = '{event}' ORDER BY seq")]


def test_commands(servers):
    with scenario(*servers, T) as s:
        token = token_of(s.pipeline.settings["control"]["token_file"])
        s.start()
        s.wait()
        at = f"http://127.0.0.1:{s.apply.port}/control/"
        # read-only without a token, and nobody's browser
        assert send(at + "pause")[0] == 401 and send(at + "pause", "x" * 32)[0] == 401
        assert send(at + "pause", token, Origin="http://example.org")[0] == 403 and send(at + "pause", token, method="GET", body=None)[0] == 405
        assert send(at + "pause", token, Host=f"rebound.example:{s.apply.port}")[0] == 403
        assert audited(s, "control.%") == []

        # apply: pause, throttle, resume
        assert "pauses" in ordered(s, "apply", "pause", "--reason", "a look at it")
        s.apply.wait_for(lambda status: status["phase"] == "paused", 30, "it pauses")
        detail = audited(s, "control.pause")[-1]
        assert detail["who"] == "token test" and detail["from"].startswith("[127.0.0.1]:") and detail["reason"] == "a look at it" and detail["role"] == "apply"
        s.source("INSERT INTO t SELECT 1000 + i, 'x' FROM generate_series(1, 50) i")
        ordered(s, "apply", "throttle", "400")
        ordered(s, "apply", "resume")
        s.assert_equal()
        status = s.apply.wait_for(lambda status: status["rows_per_second_asked"] == 400, 30, "the rate")
        assert not status["pause_asked"] and audited(s, "control.throttle")[-1]["rows_per_second"] == 400
        ordered(s, "apply", "throttle", "configured")
        s.apply.wait_for(lambda status: status["rows_per_second_asked"] is None, 30, "the configured rate")
        ordered(s, "apply", "throttle", "-5", expected=2)
        assert json.loads(ordered(s, "apply", "resume", "--json"))["ok"]

        # capture: what is there at that moment is drained, and it ends by itself
        assert "goes on" in ordered(s, "capture", "resume")
        s.source("INSERT INTO t SELECT 2000 + i, 'y' FROM generate_series(1, 500) i")
        ordered(s, "apply", "pause")
        ordered(s, "capture", "drain")
        s.capture.assert_exit(0, 60)
        assert "drained lsn=" in s.capture.log_text()
        # apply: all that is in the journal, though it was paused
        ordered(s, "apply", "drain")
        s.apply.assert_exit(0, 60)
        assert s.target("SELECT count(*) FROM t") == s.source("SELECT count(*) FROM t") == [(650,)]
        assert [d["role"] for d in audited(s, "control.drain")] == ["capture", "apply"]
        assert s.pipeline.run("audit", "verify").returncode in (0, 3)
        s.start()
        s.assert_equal()


@contextlib.contextmanager
def copying(servers, rows_per_second, rows):
    """In the middle of a copy of 20,000 rows: more than so many are there."""
    with scenario(*servers, "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'v' || i FROM generate_series(1, 20000) i",
                  more={"capture": {"max_rows_per_second": rows_per_second}}) as s:
        s.capture.start()
        s.apply.start()
        s.capture.wait_for(lambda status: (status["snapshot"] or {}).get("rows", 0) > rows, 60, "the copy has begun")
        yield s


def test_copy_pauses(servers):
    """A copy that is paused stands still while the stream goes on."""
    with copying(servers, 500, 100) as s:
        ordered(s, "capture", "pause")
        wait_until(lambda: s.capture.status()["pause_asked"], 30, "the pause is asked for")
        rows = settled(s)
        assert rows < 20000
        ordered(s, "capture", "throttle", "none")
        ordered(s, "capture", "resume")
        s.apply.wait_for(lambda status: status["complete"], 120, "the copy is complete")
        s.assert_equal()


def test_reload_of_capture(servers):
    """What can change does so in the middle of a copy; anything else is refused, and then nothing changes."""
    with copying(servers, 50, 0) as s:
        capture = s.pipeline.settings["capture"]
        capture.update(max_retained_wal="64MiB", snapshot_chunk_rows=1700)
        s.pipeline.write()
        told = ordered(s, "capture", "reload", expected=1)
        assert "capture.snapshot_chunk_rows" in told and "nothing is changed" in told and s.capture.status()["max_retained_wal_bytes"] is None
        del capture["snapshot_chunk_rows"]
        s.pipeline.write()
        s.capture.signal(signal.SIGHUP)
        s.capture.wait_for(lambda status: status["max_retained_wal_bytes"] == 64 << 20, 30, "the limit is taken up")
        assert s.capture.status()["snapshot"]["rows"] < 20000  # 400 s at this rate
        capture["max_rows_per_second"] = 0
        s.pipeline.write()
        assert "taken up: capture.max_rows_per_second" in ordered(s, "capture", "reload")
        s.apply.wait_for(lambda status: status["complete"], 120, "the copy is complete")
        changed = [(detail["role"], detail["changed"]) for detail in audited(s, "control.reload")]
        assert changed == [("capture", "capture.max_retained_wal"), ("capture", "capture.max_rows_per_second")], changed
        s.assert_equal()


def settled(s):
    """The number of rows that are copied, once it no longer grows."""
    seen = []

    def still():
        seen.append(s.capture.status()["snapshot"]["rows"])
        return len(seen) > 10 and len(set(seen[-10:])) == 1
    wait_until(still, 60, "the copy stands still", interval=0.2)
    return seen[-1]


def test_reload(servers):
    with scenario(*servers, T, more={"apply": {"max_rows_per_second": 1000}}) as s:
        s.start()
        s.wait()
        settings = s.pipeline.settings
        # by signal: a schedule of other hours pauses, without one it goes on
        later = [(datetime.now(timezone.utc) + timedelta(hours=h)).strftime("%H:%M") for h in (6, 7)]
        settings["apply"].update(schedule=f"{later[0]}-{later[1]} UTC", max_lag_ms=1)
        s.pipeline.write()
        s.apply.signal(signal.SIGHUP)
        s.apply.wait_for(lambda status: status["throttle"] == "schedule", 30, "the schedule holds")
        detail = audited(s, "control.reload")[-1]
        assert detail["who"] == f"SIGHUP of uid {os.getuid()}" and detail["changed"] == "apply.schedule, apply.max_lag_ms"
        del settings["apply"]["schedule"], settings["apply"]["max_lag_ms"]
        settings["log"] = {"level": "debug"}
        s.pipeline.write()
        assert "taken up: apply.schedule, apply.max_lag_ms, log.level" in ordered(s, "apply", "reload")
        s.source("INSERT INTO t VALUES (500, 'x')")
        s.assert_equal()
        # refused whole, naming what cannot change; what could is not taken up either
        settings["apply"].update(max_rows_per_second=7, batch_max_bytes="1MiB")
        s.pipeline.write()
        told = ordered(s, "apply", "reload", expected=1)
        assert "apply.batch_max_bytes" in told and "nothing is changed" in told and "max_rows_per_second" not in told
        del settings["apply"]["batch_max_bytes"]
        settings["apply"]["schedule"] = "25:00-26:00 UTC"
        s.pipeline.write()
        assert "no time of the day" in ordered(s, "apply", "reload", expected=1)  # what only the role can tell
        s.apply.signal(signal.SIGHUP)
        wait_until(lambda: "apply.schedule" in s.apply.log_text().rpartition("control_refused")[2], 30, "it is refused")
        assert len(audited(s, "control.reload")) == 2 and s.apply.running
        del settings["apply"]["schedule"]
        # another token: the old one no longer counts
        path = settings["control"]["token_file"]
        old = token_of(path)
        with open(path, "w", encoding="utf-8") as f:
            f.write("new " + "n" * 40 + "\n")
        s.pipeline.write()
        s.apply.signal(signal.SIGHUP)
        at = f"http://127.0.0.1:{s.apply.port}/control/resume"
        wait_until(lambda: send(at, "n" * 40)[0] == 200, 30, "the new token counts")
        assert send(at, old)[0] == 401
        # one that is taken away is none any more although the rest of the reload is refused
        with open(path, "w", encoding="utf-8") as f:
            f.write("newer " + "m" * 40 + "\n")
        settings["apply"]["batch_max_bytes"] = "1MiB"
        s.pipeline.write()
        told = json.loads(send(at.replace("resume", "reload"), "n" * 40)[1])
        assert not told["ok"] and "the tokens were read again" in told["text"] and "apply.batch_max_bytes" in told["text"]
        assert send(at, "n" * 40)[0] in (401, 429) and send(at, "m" * 40)[0] == 200
        del settings["apply"]["batch_max_bytes"]
        s.pipeline.write()
        # the target is away: what cannot be noted is not done, and health goes on answering
        servers[2].stop()
        assert "audit" in ordered(s, "apply", "pause", expected=1)
        assert s.apply.get("/health")[0] in (200, 503) and not s.apply.status()["pause_asked"]
        with open(path, "w", encoding="utf-8") as f:
            f.write("newest " + "k" * 40 + "\n")
        assert "the tokens were read again" in said(send(at.replace("resume", "reload"), "m" * 40))
        assert send(at, "m" * 40)[0] in (401, 429)
        servers[2].start()
        s.assert_equal()


def test_certificates(servers):
    """TLS with certificates for both ends: its own commands work, a certificate of another authority does not, and its subject is noted."""
    folder = str(servers[0])
    ours, others = Authority(folder, "control-ca"), Authority(folder, "control-others")
    server, client, stranger = ours.issue("server", "127.0.0.1"), ours.issue("operator"), others.issue("stranger")
    control = {"tls_cert": server[0], "tls_key": server[1], "client_ca": ours.certificate, "ca": ours.certificate, "client_cert": client[0],
               "client_key": client[1], "read": "authenticated", "exposed": "refuse"}
    with scenario(*servers, T, more={"control": control}) as s:
        del s.pipeline.settings["control"]["token_file"]
        s.pipeline.write()
        s.apply.start()
        at = f"https://127.0.0.1:{s.apply.port}"
        anybody, operator = tls(ours.certificate), tls(ours.certificate, client)
        s.apply.wait_answers(lambda: send(at + "/health", method="GET", body=None, context=anybody)[0], 60, (OSError,))
        assert send(at + "/status", method="GET", body=None, context=anybody)[0] == 401
        assert send(at + "/control/pause", context=anybody)[0] == 401
        assert json.loads(send(at + "/status", method="GET", body=None, context=operator)[1])["role"] == "apply"
        with pytest.raises(OSError):
            assert send(at + "/control/pause", context=tls(ours.certificate, stranger))[0] == 401
            raise OSError("refused by an answer")
        assert "goes on" in said(send(at + "/control/resume", context=operator))
        assert audited(s, "control.resume")[-1]["who"] == "certificate CN=operator"
        assert "pauses" in ordered(s, "apply", "pause")
        assert json.loads(s.pipeline.run("status", "--json").stdout)["apply"]["pause_asked"]
        with pytest.raises(OSError):  # no plain HTTP at that port
            assert send(f"http://127.0.0.1:{s.apply.port}/health", method="GET", body=None)[0] == 0
        s.apply.terminate()
        s.pipeline.settings["apply"]["listen"] = f"0.0.0.0:{s.apply.port}"
        s.pipeline.settings["control"] = {"exposed": "refuse"}
        s.pipeline.write()
        s.apply.start()
        s.apply.assert_exit(2, 30)
        assert "control.exposed" in s.apply.log_tail()
