"""What is looked at all the time: memory and descriptors of both roles, and how far the target is behind."""

import contextlib
import os
import threading
import time

import psycopg

from rig.procs import lsn_value

EVERY_S = 5


def memory_kib(pid):
    with contextlib.suppress(OSError), open(f"/proc/{pid}/status", encoding="ascii") as f:
        for line in f:
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    return None


def descriptors(pid):
    with contextlib.suppress(OSError):
        return len(os.listdir(f"/proc/{pid}/fd"))
    return None


class Watch:
    """with Watch(rig) as watch: …  watch.samples: one dictionary every few seconds; what did not answer is None."""

    def __init__(self, rig):
        self.rig, self.samples, self.started = rig, [], time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc):
        self._stop.set()
        self._thread.join(60)

    def now(self):
        return time.monotonic() - self.started

    def _run(self):
        while not self._stop.wait(EVERY_S):
            self.samples.append(self.sample())

    def sample(self):
        found = {"at_s": round(self.now(), 1), "acknowledged": len(self.rig.load.acked), "lag_bytes": self._lag_bytes()}
        for name in ("capture", "apply"):
            pid = getattr(self.rig.pipeline, name).pid
            found[name] = {"pid": pid, "memory_kib": memory_kib(pid), "descriptors": descriptors(pid)}
        return found

    def _lag_bytes(self):
        status = self.rig.pipeline.apply.status()
        if not status or not status.get("applied_lsn"):
            return None
        with contextlib.suppress(psycopg.Error), psycopg.connect(self.rig.shop, connect_timeout=2, autocommit=True) as connection:
            written = connection.execute("SELECT pg_current_wal_flush_lsn()::text").fetchone()[0]
            return max(0, lsn_value(written) - lsn_value(status["applied_lsn"]))
        return None
