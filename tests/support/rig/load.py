"""Clients that use SimShop from Python and remember which of their transactions the server acknowledged."""

import os
import random
import subprocess
import threading
import time

import psycopg

from .postgres import run_psql
from .script import Script
from .wait import patient, wait_until

SIMSHOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", "..", "examples", "simshop"))
MIX = {"place_order": 4, "change_order": 3, "pay_order": 3, "cancel_order": 1, "support": 3, "transfer": 4}


class Load:
    """Runs SimShop's transactions in threads until stopped.

    with Load(url, folder, clients=4, rate=200) as load: …   # stops at the end
    load.acked, load.unknown   sets of nonces: acknowledged; sent to commit but without an answer
    load.ack_times             nonce → (time COMMIT was sent, time of its answer), seconds since the epoch
    load.refused               SQLSTATE → how often the server turned a transaction down

    Every acknowledged nonce is appended to <folder>/acked-<run id>.txt before the next transaction begins. A client that loses
    its server connects again until stopped; set_url() sends all clients elsewhere at their next transaction.
    """

    def __init__(self, url, folder, clients=4, seed=1, mix=None, rate=None, run_id=None):
        self.url, self.clients, self.seed, self.rate = url, clients, seed, rate
        self.run_id = run_id or time.time_ns()
        self.mix = dict(MIX, **(mix or {}))
        self.path = os.path.join(str(folder), f"acked-{self.run_id}.txt")
        self.acked, self.unknown, self.refused, self.ack_times = set(), set(), {}, {}
        self._scripts = {name: Script(os.path.join(SIMSHOP, "load", name + ".sql")) for name, w in self.mix.items() if w}
        self._ranges = None
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._go = threading.Event()
        self._generation = 0
        self._threads = []
        self._failure = None
        self._file = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()

    def start(self):
        lines = run_psql(self.url, "-f", os.path.join(SIMSHOP, "load", "ranges.sql")).split()
        self._ranges = {name: int(value) for name, _, value in (line.partition("=") for line in lines)}
        self._file = open(self.path, "a", buffering=1)
        self._go.set()
        for number in range(self.clients):
            thread = threading.Thread(target=self._client, args=(number,), name=f"load-{number}", daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    def pause(self):
        """No new transactions until resume(); those under way finish."""
        self._go.clear()

    def resume(self):
        self._go.set()

    def set_url(self, url):
        with self._lock:
            self.url = url
            self._generation += 1

    def stop(self, timeout=30):
        """Ends all clients at the end of their transaction."""
        self._stop.set()
        self._go.set()
        for thread in self._threads:
            thread.join(timeout)
            assert not thread.is_alive(), f"{thread.name} hangs"
        self._threads = []
        if self._file:
            self._file.close()
            self._file = None
        if self._failure:
            raise self._failure
        return self

    def wait_acked(self, more, timeout=60):
        """Waits until `more` further transactions have been acknowledged."""
        goal = len(self.acked) + more
        wait_until(lambda: self._failure or len(self.acked) >= goal, timeout, f"{more} more acknowledged transactions")
        if self._failure:
            raise self._failure

    # -- one client

    def _client(self, number):
        try:
            self._client_loop(number)
        except BaseException as error:  # a mistake of the rig or a script: told by stop()
            self._failure = self._failure or error

    def _client_loop(self, number):
        rng = random.Random(f"{self.seed}-{number}")
        names = list(self._scripts)
        weights = [self.mix[name] for name in names]
        connection, generation = None, -1
        due = time.monotonic()
        while not self._stop.is_set():
            self._go.wait()
            if connection is None or connection.closed or generation != self._generation:
                if connection is not None:
                    connection.close()
                connection, generation = self._connect(number)
                if connection is None:
                    self._stop.wait(0.1)
                    continue
            self._transaction(connection, number, rng.choices(names, weights)[0], rng)
            if self.rate:
                due = max(due + rng.expovariate(self.rate / self.clients), time.monotonic() - 1)
                self._stop.wait(max(0, due - time.monotonic()))

    def _connect(self, number):
        with self._lock:
            url, generation = self.url, self._generation
        try:
            return psycopg.connect(url, autocommit=True, connect_timeout=patient(10), application_name=f"load-{number}",
                                   prepare_threshold=None), generation
        except psycopg.OperationalError as error:
            self._refuse(error)
            return None, generation

    def _transaction(self, connection, number, name, rng):
        sent = {}

        def on_commit(variables):
            sent["at"] = time.time()
            sent["nonce"] = f"{self.run_id}-{number}-{variables['nonce']}"
        try:
            self._scripts[name].run(connection, dict(self._ranges, client_id=number, run_id=self.run_id), rng, on_commit)
        except psycopg.Error as error:
            # An answer of the server to COMMIT is an answer, unless it is shutting down: then nobody knows.
            lost = error.sqlstate is None or error.sqlstate[:2] in ("08", "57")
            with self._lock:
                if sent and lost:
                    self.unknown.add(sent["nonce"])
            self._refuse(error)
            if isinstance(error, (psycopg.errors.SyntaxError, psycopg.errors.UndefinedColumn)):
                raise
            self._rollback(connection)
            return
        now = time.time()
        with self._lock:
            self.acked.add(sent["nonce"])
            self.ack_times[sent["nonce"]] = (sent["at"], now)
            self._file.write(f"{sent['nonce']} {name} {sent['at']:.6f} {now:.6f}\n")

    @staticmethod
    def _rollback(connection):
        try:
            connection.execute("ROLLBACK")
        except psycopg.Error:
            connection.close()

    def _refuse(self, error):
        with self._lock:
            self.refused[error.sqlstate or "lost"] = self.refused.get(error.sqlstate or "lost", 0) + 1
        self._stop.wait(0.02)


class SumReader:
    """Reads sum(balance) of SimShop's accounts again and again: any other value is half a transaction seen.

    with SumReader(target_url, complete=True) as reader: …
    reader.reads, reader.torn (a list of (time, sum, rows)); empty tables and lost connections are passed over.
    complete: the database is a target; what a copy that is not complete has brought so far is passed over, too.
    """

    def __init__(self, url, each=1000, pause_s=0.01, complete=False):
        self.url, self.each, self.pause_s = url, each, pause_s
        self.query = "SELECT coalesce(sum(balance), 0), count(*) FROM simshop_oltp.accounts" + (
            " WHERE (SELECT bool_and(complete) FROM crossfade.position)" if complete else "")
        self.reads, self.torn = 0, []
        self._stop = threading.Event()
        self._thread = None

    def __enter__(self):
        self._thread = threading.Thread(target=self._run, name="sum-reader", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc):
        self._stop.set()
        self._thread.join(30)

    def _run(self):
        connection = None
        while not self._stop.wait(self.pause_s):
            try:
                if connection is None or connection.closed:
                    connection = psycopg.connect(self.url, autocommit=True, connect_timeout=patient(10))
                total, rows = connection.execute(self.query).fetchone()
            except psycopg.Error:
                if connection is not None:
                    connection.close()
                continue
            if rows:
                self.reads += 1
                if total != self.each * rows:
                    self.torn.append((time.time(), total, rows))


def load_simshop(url, scale=1, schema_only=False):
    """Creates SimShop in an empty database."""
    argv = [os.path.join(SIMSHOP, "load_data"), "--url", url, "--scale", str(scale)] + (["--schema-only"] if schema_only else [])
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"load_data: exit code {done.returncode}\n{done.stderr}")
