"""Somebody who writes to the source while other things happen to it."""

import contextlib
import threading

import psycopg

from .wait import wait_until


class Writer:
    """with Writer(url, statements) as writer: … runs what statements(round) yields, each by itself, over and over until it is left.

    Rows that other rows forbid, and deadlocks, are passed over. reconnect: a server that is away is tried again (the url may name
    several); else that, as any other error, fails the test when the writer is left. pause: seconds between two rounds.
    """

    def __init__(self, url, statements, reconnect=False, pause=0.0):
        self.url, self.statements, self.reconnect, self.pause = url, statements, reconnect, pause
        self.rounds, self.error = 0, None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc):
        self.stop()

    def stop(self):
        self._stop.set()
        self._thread.join()
        assert self.error is None, self.error

    def wait_rounds(self, more, timeout=60):
        """Until it has been through that many more rounds."""
        goal = self.rounds + more
        wait_until(lambda: self.rounds >= goal or self.error, timeout, f"the writer comes to round {goal}")
        assert self.error is None, self.error

    def _session(self):
        with psycopg.connect(self.url, autocommit=True) as connection:
            while not self._stop.is_set():
                for statement in self.statements(self.rounds):
                    with contextlib.suppress(psycopg.errors.UniqueViolation, psycopg.errors.DeadlockDetected):
                        connection.execute(statement)
                self.rounds += 1
                self._stop.wait(self.pause)

    def _run(self):
        while not self._stop.is_set():
            try:
                self._session()
            except psycopg.OperationalError as error:
                if not self.reconnect:
                    self.error = error
                    return
                self._stop.wait(0.2)
            except Exception as error:  # shown by stop()
                self.error = error
                return
