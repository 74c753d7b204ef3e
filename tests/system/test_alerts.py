"""Alerts of roles and cutovers: a receiver that fails, hangs, is away and comes back gets each of them once, signed; commands get them as JSON."""

import hashlib
import hmac
import http.server
import json
import os
import ssl
import stat
import threading
import time

import psycopg
import pytest

from rig import Postgres, Workdir, wait_until
from rig.certificates import Authority
from rig.scenario import scenario

SECRET = "k€y with \"quotes\""
T = "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'v' || i FROM generate_series(1, 100) i"
CUTOVER = {"lag_stable_ms": 100, "max_lag_ms": 30000, "straggler_grace_ms": 500, "verdict_max_age_s": "10m", "reverse": "off"}


class Receiver:
    """Written by the documentation alone. mode: ok, fail (503), hang (no answer), refuse (400). .taken: what it has accepted; .seen: all attempts."""

    def __init__(self):
        self.mode, self.taken, self.seen, self.bad = "ok", [], [], []
        self.release = threading.Event()
        self.server, self.port = None, 0

    def start(self, certificate=None, key=None):
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):  # pylint: disable=invalid-name
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.check(self.headers, body)
                mode, alert = receiver.mode, json.loads(body)
                receiver.seen.append((mode, alert))
                if mode == "hang":
                    receiver.release.wait(60)
                    return
                if mode == "ok":
                    receiver.taken.append(alert)
                self.send_response({"ok": 204, "fail": 503, "refuse": 400}[mode])
                self.end_headers()

            def log_message(self, *_):  # pylint: disable=arguments-differ
                pass

        class Server(http.server.ThreadingHTTPServer):
            allow_reuse_address = True
            daemon_threads = True

            def handle_error(self, *_):
                pass  # whoever was kept waiting has gone
        self.server = Server(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_port
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def check(self, headers, body):
        stamp = headers["X-Crossfade-Timestamp"]
        mac = hmac.new(SECRET.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(headers["X-Crossfade-Signature-256"], "sha256=" + mac) or abs(time.time() - int(stamp)) > 300:
            self.bad.append(dict(headers))
        if headers["Content-Type"] != "application/json":
            self.bad.append(dict(headers))

    def stop(self):
        self.release.set()
        self.server.shutdown()
        self.server.server_close()

    def events(self):
        return [alert["event"] for alert in self.taken]

    def wait(self, event, timeout=60):
        wait_until(lambda: event in self.events(), timeout, f"{event}, has {self.events()}")
        return next(alert for alert in self.taken if alert["event"] == event)


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("alerts") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


@pytest.fixture(name="receiver")
def fixture_receiver():
    receiver = Receiver().start()
    yield receiver
    receiver.stop()
    assert not receiver.bad


def settings(receiver, **more):
    return {"webhook": f"http://127.0.0.1:{receiver.port}/hook?token=abc", "webhook_secret": SECRET, "raise_after": "1s", "clear_after": "1s", **more}


def test_of_roles(servers, receiver):
    folder = str(servers[0])
    heard, marks = os.path.join(folder, "heard.jsonl"), os.path.join(folder, "marks")
    program = os.path.join(folder, "hear")
    with open(program, "w", encoding="utf-8") as f:
        f.write(f"#!/bin/sh\n{{ cat; echo; }} >> '{heard}'\nprintf '%s\\n' \"$CROSSFADE_EVENT $CROSSFADE_LEVEL $CROSSFADE_TEXT\" >> '{marks}'\n")
    os.chmod(program, stat.S_IRWXU)
    more = {"alerts": settings(receiver, on_event=[program, "sleep 77"], on_event_timeout="200ms"), "apply": {"max_lag_ms": 300}}
    hostile = 'x"$(touch pwned);`touch pwned`\'%s\\n'
    with scenario(*servers, T, more=more) as s:
        s.source(f'CREATE TABLE "{hostile.replace(chr(34), chr(34) * 2)}" (id int PRIMARY KEY)')
        s.target(f'CREATE TABLE "{hostile.replace(chr(34), chr(34) * 2)}" (id int PRIMARY KEY)')
        s.start()
        s.wait()
        # a condition is told although the receiver fails, hangs, and is away, under the same id, and once
        receiver.mode = "fail"
        assert s.pipeline.run("apply", "pause").returncode == 0
        s.source("INSERT INTO t VALUES (1000, 'later')")
        wait_until(lambda: [a for _, a in receiver.seen if a["event"] == "lag"], 60, "an attempt that fails")
        receiver.mode = "hang"
        wait_until(lambda: any(mode == "hang" for mode, _ in receiver.seen), 60, "an attempt that hangs")
        assert s.apply.get("/health")[0] == 200 and s.apply.status()["phase"] == "paused"  # nobody waits for it
        receiver.stop()
        wait_until(lambda: "alert_failed" in s.apply.log_text() and s.apply.log_text().count("alert_failed waiting") >= 2, 60, "it is away")
        receiver.mode = "ok"
        receiver.release.clear()
        receiver.start()
        alert = receiver.wait("lag", 120)
        assert alert["severity"] == "warning" and alert["group"] == "lag" and alert["pipeline"] == s.name and alert["level"] == "apply" and alert["at"].endswith("Z")
        assert {a["id"] for _, a in receiver.seen if a["event"] == "lag"} == {alert["id"]}
        assert s.pipeline.run("apply", "resume").returncode == 0
        over = receiver.wait("lag_over")
        assert over["id"] != alert["id"] and receiver.events().count("lag") == 1
        assert "token=abc" not in s.apply.log_text() and SECRET not in s.apply.log_text()
        # a halt is told before the process has ended, also to commands; a hostile name is text, nothing else
        s.target(f'DROP TABLE "{hostile.replace(chr(34), chr(34) * 2)}"')
        s.source(f'INSERT INTO "{hostile.replace(chr(34), chr(34) * 2)}" VALUES (1)')
        s.apply.assert_exit(5, 60)
        halted = receiver.wait("halted")
        assert halted["severity"] == "critical" and "touch pwned" in halted["text"]
        with open(heard, encoding="utf-8") as f:
            told = [json.loads(line) for line in f if line.strip()]
        assert [a["event"] for a in told] == ["lag", "lag_over", "halted"] and told[-1] == halted
        with open(marks, encoding="utf-8") as f:
            assert "touch pwned" in f.read()
        assert not [name for base in (folder, os.getcwd(), os.path.dirname(s.apply.log)) for name in os.listdir(base) if name.startswith("pwned")]
        assert "not done after 200 ms" in s.apply.log_text()


def test_of_conditions(servers, receiver):
    """What a slot holds back, dead letters, a server that is away: told when it begins and when it is over, once each."""
    schema = T + "; CREATE TABLE hot (id int PRIMARY KEY, v text); INSERT INTO hot VALUES (1, '')"
    more = {"alerts": settings(receiver, events=["slot", "dead_letters", "role"]), "capture": {"max_retained_wal": "32MiB"}, "apply": {"on_row_error": "dead_letter"}}
    source, target = servers[1:]
    with scenario(*servers, schema, more=more) as s:
        s.start()
        s.wait()

        def write(megabytes):
            for _ in range(megabytes):
                s.source("UPDATE hot SET v = (SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 32768)) WHERE id = 1")
            source.sql("CHECKPOINT")
        with psycopg.connect(s.source_url) as held:
            held.execute("INSERT INTO hot VALUES (2, 'open')")
            write(20)
            told = receiver.wait("slot")
            assert told["severity"] == "warning" and told["level"] == "warn" and "limit 33554432" in told["text"]
            write(15)
            told = receiver.wait("slot_danger")
            assert told["severity"] == "critical" and told["level"] == "alert" and "bytes of WAL" in told["text"]
            held.rollback()

        def is_over():
            source.sql("CHECKPOINT")  # its record of running transactions lets the slot move
            return "slot_over" in receiver.events()
        wait_until(is_over, 60, "the slot has let go", interval=0.5)
        receiver.wait("slot_danger_over")

        s.target("ALTER TABLE t ADD CONSTRAINT low CHECK (id < 5000)")
        s.source("INSERT INTO t VALUES (5000, 'too high')")
        told = receiver.wait("dead_letters")
        assert told["severity"] == "critical" and told["text"].startswith("1 changes are held")
        s.target("ALTER TABLE t DROP CONSTRAINT low")
        assert s.pipeline.run("apply", "dlq", "retry", "--all", "--timeout", "60").returncode == 0
        receiver.wait("dead_letters_over")

        target.stop()
        told = receiver.wait("retrying")
        assert told["severity"] == "warning" and told["level"] == "apply" and str(target.port) in told["text"]
        target.start()
        receiver.wait("retrying_over")
        events = receiver.events()
        assert sorted(events) == sorted(e + over for e in ("slot", "slot_danger", "dead_letters", "retrying") for over in ("", "_over")), events


def test_certificates(servers):
    """Told to a receiver that proves who it is; to others nothing is said."""
    folder = str(servers[0])
    ours, theirs = Authority(folder, "ours"), Authority(folder, "theirs")
    with scenario(*servers, T, more={"alerts": {"webhook_secret": SECRET, "webhook_ca": ours.certificate, "events": ["gates"]}, "cutover": CUTOVER}) as s:
        s.start()
        s.wait()
        for kind, pair, said in (("good", ours.issue("good", "127.0.0.1"), None), ("expired", ours.issue("expired", "127.0.0.1", expired=True), "certificate"),
                                 ("other host", ours.issue("elsewhere", "127.0.0.2"), "certificate"),
                                 ("other authority", theirs.issue("them", "127.0.0.1"), "alerts.webhook_ca")):
            receiver = Receiver().start(*pair)
            done = s.pipeline.run("cutover", "run", "--execute", f"--alerts.webhook=https://127.0.0.1:{receiver.port}/token", timeout=120)
            receiver.stop()
            assert done.returncode == 10, done.stdout + done.stderr  # there is no verdict yet
            assert receiver.events() == (["gates_refused"] if said is None else []) and not receiver.bad, f"{kind}: {done.stderr}"
            assert said is None or said in done.stderr and "alert_lost" in done.stderr, f"{kind}: {done.stderr}"
            assert "/token" not in done.stderr


def test_of_cutovers(servers, receiver):
    """Gates that refuse, each step in order, the decision and the end."""
    with scenario(*servers, T, more={"alerts": settings(receiver, events=["gates", "cutover"]), "cutover": CUTOVER}) as s:
        s.start()
        s.wait()
        assert s.pipeline.run("apply", "pause").returncode == 0
        s.apply.wait_for(lambda status: status["phase"] == "paused", 30, "it pauses")
        assert s.pipeline.run("cutover", "run", "--execute", timeout=300).returncode == 10
        refused = receiver.wait("gates_refused")
        assert refused["severity"] == "warning" and "refuse" in refused["text"]
        assert s.pipeline.run("apply", "resume").returncode == 0
        s.wait()
        done = s.pipeline.run("compare", "run", timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        done = s.pipeline.run("cutover", "run", "--execute", "--cutover.on_verified=exit 3", timeout=300)
        assert done.returncode == 11, done.stdout + done.stderr
        aborted = receiver.wait("cutover_aborted")
        assert aborted["severity"] == "critical" and receiver.taken[-1] == aborted and "cutover_decided" not in receiver.events()
        del receiver.taken[1:]
        done = s.pipeline.run("cutover", "run", "--execute", timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        receiver.wait("cutover_done")
        events = receiver.events()
        assert set(events) == {"gates_refused", "cutover_step", "cutover_decided", "cutover_done"}, events
        steps = [a["level"] for a in receiver.taken if a["event"] == "cutover_step"]
        assert steps[0] == "beginning" and "switching" in steps and len(steps) == len(set(steps))
        assert events.index("cutover_decided") < events.index("cutover_done") == len(events) - 1
        recorded = [row[0] for row in s.target("SELECT detail::jsonb ->> 'state' FROM crossfade.audit WHERE event = 'cutover.step' ORDER BY seq")]
        assert recorded[-len(steps) - 1:] == steps + ["done"]
