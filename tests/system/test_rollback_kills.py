"""kill -9 at every state of a rollback: it ends done, or with the side serving that served; never both take writes, and nothing acknowledged is lost."""

import threading
import time

import psycopg
import pytest

from rig import Postgres, Workdir, wait_until
from rig.clients import SCHEMA
from rig.cutting import POINTS, strike
from rig.oracle import assert_equal
from rig.privileges import OWNER, as_role
from rig.scenario import FULL, scenario
from rig.way_back import WayBack

SETTINGS = {"lag_stable_ms": 100, "max_lag_ms": 30000, "straggler_grace_ms": 500, "pause_budget_ms": 120000, "reverse": "required"}
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

    def check(self, since, left):
        """From then on the side `left` was served first: once the other one took a write, it took none any more."""
        with self._lock:
            first = min((w[0] for w in self.acked if w[2] != left and w[0] > since), default=None)
            late = [w for w in self.acked if w[2] == left and first is not None and w[1] > first]
        assert not late, f"both sides took writes: one from {first} on, the {left} {late[:3]}"

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
    if then == "abort" and s.target("SELECT state FROM crossfade.decision") != [("switched",)]:
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
    ends = []
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
                    writers.check(began, "target")
                    began = time.time()
                    assert back.cutover("run", "--execute")["outcome"] == "done", point
                    writers.check(began, "source")
                else:
                    writers.check(began, "target")
                writers.wait("target")
        assert writers.failure is None, writers.failure
        settle(s, back)
        assert_equal(s.source_url, s.target_url)
        writers.assert_all_there(s)
        print(*ends, sep="\n")
