"""kill -9 at every state of a rollback: it ends done, or with the side serving that served; never both take writes, and nothing acknowledged is lost."""

import json
import os
import signal
import threading
import time

import psycopg
import pytest

from rig import Postgres, Workdir, wait_until
from rig.clients import SCHEMA
from rig.cutting import POINTS, recorded_once, stopped, strike
from rig.oracle import assert_equal
from rig.privileges import OWNER, as_role
from rig.procs import processes_about
from rig.scenario import FULL, scenario
from rig.wait import patient
from rig.way_back import WayBack

SETTINGS = {"lag_stable_ms": 100, "max_lag_ms": 30000, "straggler_grace_ms": 500, "pause_budget_ms": 120000, "reverse": "required"}
LIMIT_S = SETTINGS["pause_budget_ms"] / 1000 + 30  # of a busy machine, in which the last step before the deadline is undone
DECIDED = ("cutover.switching", "cutover.reopened", "cutover.finishing")
SIDES = ("source", "target")
ROLES = ("capture", "apply", "back capture", "back apply")
CASES = [(victim, then) for victim in ("rollback", "all") for then in ("resume", "abort")] + [(side, "goes on") for side in SIDES]
if FULL:
    CASES += [*((side, then) for side in SIDES for then in ("resume", "abort")), *((role, "goes on") for role in ROLES)]
FEW = ("cutover.marking", "cutover.deciding", "cutover.switching")


class Writers:
    """One on each side that inserts into the ledger all the time. `acked`: (sent, acknowledged, side, n) in order; `unknown`: n without an answer."""

    def __init__(self, s):
        self.urls = {"source": as_role(s.source_url, OWNER), "target": as_role(s.target_url, OWNER)}
        self.acked, self.unknown, self.failure = [], set(), None
        self._lock, self._stop, self._next = threading.Lock(), threading.Event(), 0
        self._threads = [threading.Thread(target=self._write, args=(side,), daemon=True, name=f"writer-{side}") for side in SIDES]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _number(self):
        with self._lock:
            self._next += 1
            return self._next

    def _write(self, side):
        connection = None
        while not self._stop.wait(0.01):
            n, sent = self._number(), time.time()
            try:
                if connection is None or connection.closed:
                    connection = psycopg.connect(self.urls[side], autocommit=True, connect_timeout=5)
                connection.execute("INSERT INTO ledger (client, n) VALUES (%s, %s)", (SIDES.index(side), n))
                with self._lock:
                    self.acked.append((sent, time.time(), side, n))
            except psycopg.errors.ReadOnlySqlTransaction:
                pass
            except psycopg.OperationalError:  # its session was ended: a straggler
                connection = None
                self.unknown.add(n)
            except BaseException as error:  # a mistake of the test
                self.failure = self.failure or error
                return

    def seen(self, side, since):
        with self._lock:
            return [w for w in self.acked if w[2] == side and w[0] > since]

    def wait(self, side, timeout=60):
        since = time.time()
        wait_until(lambda: self.failure or self.seen(side, since), timeout, f"the {side} takes writes")
        if self.failure:
            raise self.failure

    def check(self, since, left, limit_s=LIMIT_S):
        """From then on the side `left` was served first: once the other one took a write, it took none any more; and never did neither for longer than the limit.
        Returns the longest time without a writable side."""
        with self._lock:
            first = min((w[0] for w in self.acked if w[2] != left and w[0] > since), default=None)
            late = [w for w in self.acked if w[2] == left and first is not None and w[1] > first]
            writes = [w for w in self.acked if w[1] >= since]
        assert not late, f"both sides took writes: one from {first} on, the {left} {late[:3]}"
        assert writes, "nobody could write at all"
        gaps = [(b[1] - max(a[1], since), a, b) for a, b in zip([(since, since, "begin")] + writes, writes + [(0, time.time(), "now")])]
        assert max(gaps)[0] <= limit_s, f"neither side took a write: {max(gaps)}"
        return max(gaps)[0]

    def assert_all_there(self, s):
        with self._lock:
            acked, unknown = {w[3] for w in self.acked}, set(self.unknown)
        for url in (s.source_url, s.target_url):
            with psycopg.connect(url) as connection:
                there = {n for (n,) in connection.execute("SELECT n FROM ledger").fetchall()}
            assert not acked - there, f"lost: {sorted(acked - there)[:5]}"
            assert not there - acked - unknown, f"nobody was told of {sorted(there - acked - unknown)[:5]}"


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("rollback-kills") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


def kill_at(s, back, point, victim, kill=True):
    """A rollback stands still at the point while the victim is killed: itself alone, a role, all of them with it, or a database."""
    roles = dict(zip(ROLES, (s.capture, s.apply, back.capture, back.apply)))
    servers = dict(zip(SIDES, (s.source_server, s.target_server)))
    with back.process("rollback run --execute") as process:
        code = strike(process, point, [role for name, role in roles.items() if victim in (name, "all")],
                      [server for name, server in servers.items() if victim == name], kill, roles.values())
        assert not process.sanitizer_reports(), process.log_tail(100)
        return code, process.log_tail(30)


def end_of(s, back, then, code):
    """Leads it to its end and tells which: "done" or "aborted"."""
    if code in (0, 11):
        return "done" if code == 0 else "aborted"
    if s.target("SELECT state FROM crossfade.decision") == [("switched",)]:
        back.resume_beside_successor()
        return "done"
    if then == "abort":
        return back.rollback("abort", expected=11)["outcome"]
    return back.rollback("resume", expected=(0,) if then == "resume" else (0, 11))["outcome"]


def settle(s, back):
    """All that was written is on both sides."""
    s.wait()
    s.target(f"INSERT INTO crossfade.marker (pipeline, nonce, kind) VALUES ('{s.name}_reverse', 'settle-{time.time_ns()}', 'ping')")
    lsn = s.target("SELECT pg_current_wal_insert_lsn()::text")[0][0]
    back.apply.wait_lsn("applied_lsn", lsn)


@pytest.mark.parametrize("victim,then", CASES)
def test_killed_at_every_state(servers, victim, then):
    more = {"cutover": SETTINGS, "capture": {"heartbeat_interval_ms": 500, "origin": "not_crossfade"}}
    points = POINTS if FULL or victim == "rollback" else FEW
    ends, longest = [], 0
    with scenario(*servers, SCHEMA, more=more, name=f"k_{victim}_{then}".replace(" ", "_")) as s, WayBack(s.pipeline) as back:
        s.start()
        back.start()
        assert s.pipeline.run("compare", "run").returncode == 0
        assert back.cutover("run", "--execute")["outcome"] == "done"
        with Writers(s) as writers:
            writers.wait("target")
            for point in points:
                began = time.time()
                code, log = kill_at(s, back, point, victim, kill=then != "goes on")
                decided = s.target("SELECT state FROM crossfade.decision") == [("switched",)]
                assert decided == (point in DECIDED) or then == "goes on", f"{point}\n{log}"
                outcome = end_of(s, back, then, code)
                ends.append(f"{point}: {code}, {outcome}")
                assert outcome == ("done" if then == "resume" or decided else "aborted") or then == "goes on", f"{point}\n{log}"
                assert outcome == "done" or point not in DECIDED, f"{point}\n{log}"
                if outcome == "done":
                    writers.wait("source")
                    longest = max(longest, writers.check(began, "target"))
                    began = time.time()
                    assert back.cutover("run", "--execute")["outcome"] == "done", point
                    longest = max(longest, writers.check(began, "source"))
                else:
                    longest = max(longest, writers.check(began, "target"))
                writers.wait("target")
        assert writers.failure is None, writers.failure
        settle(s, back)
        assert_equal(s.source_url, s.target_url)
        writers.assert_all_there(s)
        print(*ends, f"longest time without a writable side: {longest:.1f} s", sep="\n")


def successors(s):
    """The processes that stand ready, or are at it, of this pipeline's rollbacks and of cutovers behind them."""
    return [pid for name in (s.name, f"{s.name}_reverse") for pid, words in processes_about(f"take-over {name} ")]


def test_nobody_resumes_what_was_decided(servers):
    """Killed between the decision and the step that opens the other side, or behind it: its successor leads it on, in bounded time, and each step is told once."""
    bound_s = 20  # of starting no process, connecting, and the steps that are left
    more = {"cutover": SETTINGS, "capture": {"heartbeat_interval_ms": 500, "origin": "not_crossfade"}}
    with scenario(*servers, SCHEMA, more=more, name="k_successor") as s, WayBack(s.pipeline) as back:
        s.start()
        back.start()
        assert s.pipeline.run("compare", "run").returncode == 0
        assert back.cutover("run", "--execute")["outcome"] == "done"
        with Writers(s) as writers:
            for point in DECIDED:
                writers.wait("target")
                began = time.time()
                with back.process("rollback run --execute") as process:
                    strike(process, point)
                    killed = time.time()
                    wait_until(lambda: writers.failure or writers.seen("source", killed), bound_s, "the old side takes writes")
                    wait_until(lambda: not successors(s), 60, "the successor ends by itself")
                    assert back.rollback("status")["stands"] == "done", process.log_tail(40)
                    assert " cutover_taken_over " in process.log_text() and not process.sanitizer_reports(), process.log_tail(60)
                print(f"{point}: without a writable side for {writers.check(began, 'target', patient(bound_s)):.2f} s")
                assert back.pipeline.run("rollback", "resume", "--json", job="cutover").returncode == 10
                newest = "WHERE cutover_id = (SELECT cutover_id FROM crossfade.cutover ORDER BY at DESC LIMIT 1) ORDER BY seq"
                steps, told = s.admin(f"SELECT state FROM crossfade.cutover {newest}"), s.admin(f"SELECT event, detail::text FROM crossfade.audit {newest}")
                assert recorded_once(steps, told), told
                assert [json.loads(detail)["taken_over"] for event, detail in told if event == "cutover.resumed"] == [True], told
                assert back.pipeline.run("--reverse", "audit", "verify", job="cutover").returncode == 0
                assert back.cutover("run", "--execute")["outcome"] == "done", point
        assert writers.failure is None, writers.failure
        settle(s, back)
        assert_equal(s.source_url, s.target_url)
        writers.assert_all_there(s)


@pytest.mark.parametrize("side", SIDES)
def test_a_successor_waits_for_a_server(servers, side):
    """One that went down with the process: it tries again until it is there."""
    more = {"cutover": SETTINGS, "capture": {"heartbeat_interval_ms": 500, "origin": "not_crossfade"}}
    with scenario(*servers, SCHEMA, more=more, name=f"k_away_{side}") as s, WayBack(s.pipeline) as back:
        s.start()
        back.start()
        assert s.pipeline.run("compare", "run").returncode == 0
        assert back.cutover("run", "--execute")["outcome"] == "done"
        server = {"source": s.source_server, "target": s.target_server}[side]
        with back.process("rollback run --execute") as process:
            process.start(failpoint="cutover.switching:1:stop")
            wait_until(lambda: stopped(process.pid), 120, "it stands still")
            (successor,) = successors(s)
            server.kill9()
            process.kill9()
            wait_until(lambda: "cutover_orphaned" in process.log_text(), 30, "the successor has seen it")
            assert successors(s) == [successor]  # it has nobody to ask
            server.start()
            wait_until(lambda: not successors(s), 60, "the successor ends by itself")
            assert not process.sanitizer_reports() and " text=\"done\"" in process.log_text(), process.log_tail(60)
        assert back.rollback("status")["stands"] == "done"


@pytest.mark.parametrize("point", ["cutover.verifying", "cutover.deciding"])
def test_what_was_not_decided_is_left_alone(servers, point):
    """The side that served opens by itself when the pause budget ends; whoever comes finds it as it was."""
    budget_s = 8
    more = {"cutover": dict(SETTINGS, pause_budget_ms=budget_s * 1000), "capture": {"heartbeat_interval_ms": 500, "origin": "not_crossfade"}}
    with scenario(*servers, SCHEMA, more=more, name=f"k_{point[8:]}") as s, WayBack(s.pipeline) as back:
        s.start()
        back.start()
        assert s.pipeline.run("compare", "run").returncode == 0
        assert back.cutover("run", "--execute")["outcome"] == "done"
        with Writers(s) as writers:
            writers.wait("target")
            with back.process("rollback run --execute") as process:
                began = time.time()
                strike(process, point)
                wait_until(lambda: not successors(s), 60, "the successor ends by itself")
                assert "outcome" not in process.log_text() and not process.sanitizer_reports(), process.log_tail(60)
                assert ("nothing is left to do" in process.log_text()) == (point == "cutover.deciding"), process.log_tail(40)
            assert back.rollback("status")["stands"] == "interrupted" and s.target("SELECT state FROM crossfade.decision") == [("open",)]
            writers.wait("target")
            writers.check(began, "target", budget_s + 30)
            assert back.rollback("abort", expected=11)["outcome"] == "aborted"
        assert writers.failure is None, writers.failure


def test_a_successor_that_is_killed_is_replaced(servers):
    """Before the decision; and one that runs is gone as soon as its rollback has ended."""
    more = {"cutover": SETTINGS, "capture": {"heartbeat_interval_ms": 500, "origin": "not_crossfade"}}
    with scenario(*servers, SCHEMA, more=more, name="k_replaced") as s, WayBack(s.pipeline) as back:
        s.start()
        back.start()
        assert s.pipeline.run("compare", "run").returncode == 0
        assert back.cutover("run", "--execute")["outcome"] == "done" and not successors(s)
        with back.process("rollback run --execute") as process:
            process.start(failpoint="cutover.verifying:1:stop")
            wait_until(lambda: stopped(process.pid), 120, "it stands still")
            (first,) = successors(s)
            secrets = {part.split("@")[0].rpartition(":")[2] for part in (s.source_url, s.target_url) if ":" in part.split("@")[0][13:]}
            with open(f"/proc/{first}/cmdline") as f:
                words = f.read()
            assert "://" not in words and not any(secret in words for secret in secrets), words
            os.kill(first, signal.SIGKILL)
            process.signal(signal.SIGCONT)
            assert process.wait(120) == 0, process.log_tail(40)
            assert not process.sanitizer_reports(), process.log_tail(60)
        assert not successors(s)
        with back.process("cutover run --execute") as process:  # one behind a rollback has one, too
            strike(process, "cutover.switching")
            wait_until(lambda: not successors(s), 60, "the successor ends by itself")
        assert back.cutover("status")["stands"] == "done"
