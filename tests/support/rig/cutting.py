"""A shop in two databases that is cut over, again and again: for the tests of cutover."""

import json
import os
import re
import signal
import threading
import time

import psycopg

from .failpoints import failpoints
from .oracle import assert_equal, check_ledger
from .pipeline import Pipeline
from .privileges import OWNER, as_role
from .procs import Role
from .scenario import drop_database
from .wait import wait_until

STATES_C = os.path.join(os.path.dirname(__file__), "..", "..", "..", "cutover", "states.c")
SETTINGS = {"capture": {"heartbeat_interval_ms": 500}, "cutover": {"lag_stable_ms": 200, "max_lag_ms": 10000, "drain_timeout_s": 60,
                        "pause_budget_ms": 120000}}
READ_ONLY = "25006"


def states():
    """The states that have an action, in order, as the state table names them."""
    with open(STATES_C, encoding="utf-8") as f:
        text = f.read()
    acting = re.findall(r"\.state = CUT_(\w+), \.event = EV_GO", text)
    names = dict(re.findall(r"\[CUT_(\w+)\] = \"(\w+)\"", text))
    return [names[name] for name in acting]


# Those of poolers, of the audit chain and the records, which every step passes, of reads, watches and rehearsals have tests of their own: test_cutover_poolers, test_approvals, test_read_steps,
# test_cutover_watch, test_rehearse*.
ELSEWHERE = {"cutover.audited", "cutover.recorded", "cutover.read_step", *(point for part in ("poolers", "watch", "rehearse") for point in failpoints(f"cutover/{part}"))}
POINTS = [f"cutover.{state}" for state in states() if state != "aborting"] + sorted(failpoints("cutover").keys() - ELSEWHERE)


class Shop:
    """SimShop in two databases with a running pipeline."""

    def __init__(self, folder, source, target, name, **more):
        self.folder, self.source, self.target, self.name = folder, source, target, name
        self.url, self.copy = source.create_db(name, template="full"), target.create_db(name, template="empty")
        self.pipeline = Pipeline(folder, self.url, self.copy, name=name, more=dict(SETTINGS, **more))

    def __enter__(self):
        self.pipeline.start()
        self.pipeline.apply.wait_for(lambda status: status.get("complete"), 120, "the copy is complete")
        return self

    def __exit__(self, kind, *_):
        self.pipeline.__exit__(kind)
        drop_database(self.source, self.name)
        drop_database(self.target, self.name)

    def compare(self, expected=0):
        done = self.pipeline.run("compare", "run", "--json", timeout=300)
        assert done.returncode == expected, f"compare: exit code {done.returncode}\n{done.stdout[-3000:]}{done.stderr}"

    def cutover(self, *words, expected=0):
        done = self.pipeline.run("cutover", *words, "--json", timeout=300)
        assert done.returncode == expected, f"cutover {words}: exit code {done.returncode}\n{done.stdout[-3000:]}{done.stderr}"
        assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr
        return json.loads(done.stdout)

    def cutover_process(self, words="run --execute"):
        log = os.path.join(self.folder, f"{self.name}-cutover-{words.split()[0]}.log")
        return Role(f"cutover {words} --json", self.pipeline.config_of("cutover"), log)

    def application(self, url=None):
        """As its sessions come. Those of superusers only a superuser can end, which the role of cutover is not."""
        return as_role(url or self.url, OWNER) if self.pipeline.roles else url or self.url

    def serves(self):
        """Whether the source takes writes: a transaction of an application goes through."""
        try:
            self.source.sql("UPDATE simshop_oltp.accounts SET moves = moves WHERE account_id = 1", db=self.name)
            return True
        except psycopg.errors.ReadOnlySqlTransaction:
            return False

    def freeze_triggers(self):
        return self.source.value("SELECT count(*) FROM pg_trigger WHERE tgname = 'crossfade_freeze' AND tgparentid = 0", db=self.name)

    def decision(self):
        return self.source.value("SELECT state FROM crossfade.decision", db=self.name)

    def decided_at(self):
        return self.source.value("SELECT extract(epoch FROM changed_at)::float FROM crossfade.decision", db=self.name)

    def steps(self):
        return self.target.sql("SELECT state, extract(epoch FROM at)::float FROM crossfade.cutover ORDER BY at, seq", db=self.name)

    def reset(self):
        """As if no cutover had ever been tried, so that the same pipeline serves many tests."""
        triggers = self.source.sql("SELECT DISTINCT tgrelid::regclass::text FROM pg_trigger WHERE tgname = 'crossfade_freeze' AND tgparentid = 0", db=self.name)
        for (table,) in triggers:
            self.source.sql(f"DROP TRIGGER crossfade_freeze ON {table}", db=self.name)
        self.source.sql("DELETE FROM crossfade.decision", db=self.name)
        self.target.sql("DELETE FROM crossfade.cutover", db=self.name)

    def assert_safe(self, load):
        """Nothing acknowledged is missing on either side; the two are equal."""
        self.pipeline.wait_caught_up()
        assert_equal(self.url, self.copy)
        for url in (self.url, self.copy):
            ledger = check_ledger(url, load.acked, load.unknown, load.run_id)
            assert not ledger.missing and not ledger.unexpected and not ledger.repeated, ledger


def stopped(pid):
    with open(f"/proc/{pid}/stat") as f:
        return f.read().rpartition(")")[2].split()[0] == "T"


def refusals(text):
    """The gates that refuse, of a report; lines of a log may stand around it."""
    try:
        begin = re.search(r"(?m)^\{$", text)
        return [g for g in json.JSONDecoder().raw_decode(text[begin.start() if begin else 0:])[0]["gates"] if g["verdict"] != "ok"]
    except ValueError:
        return "no report"


def strike(process, point, roles=(), servers=(), kill=True, everyone=()):
    """A cutover's process stands still at the point when these roles and servers are killed, and itself too, unless it is to go on (kill=False).

    They come back first, and so does whoever of `everyone` has ended with a server, as under a service manager. What a process that went on ended
    with; None: it was killed.
    """
    process.start(failpoint=f"{point}:1:stop")
    wait_until(lambda: not process.running or stopped(process.pid), 120, f"it stands still at {point}")
    assert process.running, f"{point} was never reached\n{refusals(process.log_text())}\n{process.log_tail()}"
    for one in (*roles, *servers):
        one.kill9()
    if kill:
        process.kill9()
    for server in servers:
        server.start()
    for role in dict.fromkeys((*roles, *everyone)):
        wait_until(lambda role=role: role.status() if role.running else not role.start(), 60, f"{role.name} is back")
    if kill:
        return None
    process.signal(signal.SIGCONT)
    return process.wait(180)


def recorded_once(steps, rows):
    """Whether the chain's rows of a cutover (event, detail) tell each of its steps once, and its decision."""
    told = [json.loads(detail)["state"] for event, detail in rows if event == "cutover.step"]
    return told == [state for state, *_ in steps] and [event for event, _ in rows].count("cutover.decision") == 1


class Observer:
    """Tries to write all the time: to the source whatever happens, to the target as soon as the decision says that it serves.

    `writes`: (when it was sent, when it was acknowledged, "source" or "target"), in seconds since the epoch, in the order of
    their acknowledgements.
    """

    def __init__(self, shop):
        self.shop, self.writes, self.failure = shop, [], None
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._threads = [threading.Thread(target=self._watch, args=(side,), name=f"observer-{side}", daemon=True) for side in ("source", "target")]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive(), f"{thread.name} hangs"

    def _watch(self, side):
        connection = None
        while not self._stop.wait(0.01):
            try:
                if connection is None or connection.closed:
                    connection = psycopg.connect(self.shop.application(self.shop.url if side == "source" else self.shop.copy), autocommit=True)
                if side == "target" and self.shop.decision() != "switched":
                    continue
                sent = time.time()
                connection.execute("UPDATE simshop_oltp.accounts SET moves = moves WHERE account_id = 1")
                with self._lock:
                    self.writes.append((sent, time.time(), side))
            except psycopg.OperationalError:  # its session was ended: a straggler
                connection = None
            except psycopg.errors.ReadOnlySqlTransaction:
                pass
            except BaseException as error:  # a mistake of the test: told by check()
                self.failure = self.failure or error
                return

    def check(self, since, limit_s, decided_at=None):
        """Of the time since then: nobody could write to both sides, and never to neither for longer than the limit."""
        if self.failure:
            raise self.failure
        with self._lock:
            writes = [w for w in self.writes if w[1] >= since]
        assert writes, "nobody could write at all"
        gaps = [(b[1] - max(a[1], since), a, b) for a, b in zip([(since, since, "begin")] + writes, writes + [(0, time.time(), "now")])]
        assert max(gaps)[0] <= limit_s, f"neither side took a write: {max(gaps)}"
        first = min((sent for sent, _, side in writes if side == "target"), default=None)
        late = [w for w in writes if w[2] == "source" and first is not None and w[1] > first]
        assert not late, f"both sides took writes: on the target from {first} on, on the source {late[:3]}"
        if decided_at is not None:
            assert not [w for w in writes if w[2] == "source" and w[0] > decided_at], "the source took a write behind the decision"
        return max(gaps)[0]
