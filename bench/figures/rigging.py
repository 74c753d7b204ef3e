"""What all figures share: two clusters with pgbench's tables, pipelines on them, timing, and memory of the roles."""

import contextlib
import os
import re
import subprocess
import threading
import time

from rig import Kafka, Pipeline, Postgres
from rig.wait import wait_until

SERVER = {"shared_buffers": "1GB", "max_wal_size": "8GB", "checkpoint_timeout": "30min", "wal_compression": "off",
          "autovacuum": "off", "max_replication_slots": 20, "max_wal_senders": 20, "wal_level": "logical"}
SCALE = 20
ACCOUNTS = f"{SCALE * 100000}"


class Bench:
    """The servers, started when first asked for; figures leave them as they found them."""

    def __init__(self, folder, stack, verbose):
        self.folder, self.stack, self.verbose = folder, stack, verbose
        self._source = self._target = self._kafka = None
        self.count = 0
        self.peak_kib = {}

    def say(self, text):
        if self.verbose:
            print(f"  # {text}", flush=True)

    @property
    def source(self):
        if self._source is None:
            self._source = self.stack.enter_context(Postgres(self.folder, "source", fsync=True, settings=SERVER))
            self._source.create_db("bench")
            self.pgbench("--initialize", "--quiet", "--scale", str(SCALE))
            self._source.psql("-c", "VACUUM ANALYZE", db="bench")
        return self._source

    @property
    def target(self):
        if self._target is None:
            self._target = self.stack.enter_context(Postgres(self.folder, "target", fsync=True, settings=SERVER))
        return self._target

    @property
    def kafka(self):
        if self._kafka is None:
            self._kafka = self.stack.enter_context(Kafka(self.folder))
        return self._kafka

    def pgbench(self, *arguments):
        subprocess.run(["pgbench", *arguments, self.source.url("bench")], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)

    def fresh_target(self, with_rows=False, synchronous_commit="on"):
        """A new database of the target with pgbench_accounts and its key; its name."""
        self.count += 1
        name = f"t{self.count}"
        self.target.create_db(name)
        self.target.psql("-c", "CREATE TABLE pgbench_accounts (aid int NOT NULL, bid int, abalance int, filler char(84))"
                         " WITH (fillfactor=100)", "-c", "ALTER TABLE pgbench_accounts ADD PRIMARY KEY (aid)",
                         "-c", f"ALTER DATABASE {name} SET synchronous_commit = {synchronous_commit}", db=name)
        if with_rows:
            self.copy_pipe(name)
        return name

    def drop_target(self, name):
        self.target.psql("-c", f'DROP DATABASE "{name}" WITH (FORCE)')

    def copy_pipe(self, name):
        """psql COPY | psql COPY into the table with its key: seconds."""
        started = time.monotonic()
        reader = subprocess.Popen(["psql", "-X", "-d", self.source.url("bench"), "-c", "COPY pgbench_accounts TO STDOUT"],
                                  stdout=subprocess.PIPE)
        subprocess.run(["psql", "-X", "-q", "-d", self.target.url(name), "-c", "COPY pgbench_accounts FROM STDIN"],
                       stdin=reader.stdout, check=True)
        assert reader.wait() == 0
        return time.monotonic() - started

    # -- pipelines

    @contextlib.contextmanager
    def pipeline(self, journal, target_name, table="pgbench_accounts", more=None):
        """A pipeline of its own over one table, or a list of them; ends with slot and publication removed. target_name None: capture alone is used."""
        self.count += 1
        name = f"bench{self.count}"
        url = f"kafka://{self.kafka.bootstrap}" if journal == "kafka" else None
        target_url = self.target.url(target_name) if target_name else self.source.url("bench")
        with Pipeline(self.folder, self.source.url("bench"), target_url, journal=url, name=name, tables=[f"public.{t}" for t in ([table] if isinstance(table, str) else table)], more=more) as p:
            try:
                yield p
            finally:
                for role in (p.capture, p.apply):
                    if role.running:
                        role.terminate()
                slot = f"crossfade_{name}"
                wait_until(lambda: not self.source.value("SELECT active FROM pg_replication_slots WHERE slot_name = %s", (slot,), db="bench"), 60, f"slot {slot} is free")
                self.source.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s",
                                (slot,), db="bench")
                self.source.psql("-c", f'DROP PUBLICATION IF EXISTS "{slot}"', db="bench")
                subprocess.run(["rm", "-rf", os.path.join(self.folder, f"{name}-journal")], check=True)

    def pids(self, journal, **roles):
        pids = {name: role.pid for name, role in roles.items()}
        return {**pids, "broker": self.kafka.process.pid} if journal == "kafka" else pids

    @contextlib.contextmanager
    def cpu(self, what, **pids):
        """Says the CPU seconds that processes used inside: with --verbose only. The source's walsenders are looked up at the end."""
        before = {name: cpu_s(pid) for name, pid in pids.items()}
        started = time.monotonic()
        yield
        took = time.monotonic() - started
        parts = {name: cpu_s(pid) - before[name] for name, pid in pids.items()}
        for row in self.source.sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'walsender'", db="bench"):
            parts["walsender"] = parts.get("walsender", 0) + cpu_s(row[0])
        self.say(f"{what}: {took:.2f} s; CPU seconds: " + ", ".join(f"{n} {s:.2f}" for n, s in parts.items()))

    @contextlib.contextmanager
    def memory(self, *roles):
        """Follows RssAnon of roles (LMDB's map is not counted); the peak is kept for the figure `memory`."""
        stop = threading.Event()

        def watch():
            while not stop.wait(0.05):
                for role in roles:
                    with contextlib.suppress(OSError), open(f"/proc/{role.pid}/status") as f:
                        found = re.search(r"RssAnon:\s+(\d+)", f.read())
                        if found:
                            kind = role.name.split()[1]
                            self.peak_kib[kind] = max(self.peak_kib.get(kind, 0), int(found.group(1)))
        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            stop.set()
            watcher.join()


def cpu_s(pid):
    """CPU seconds of a process so far, user and system (proc(5))."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            fields = f.read().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def until(role, predicate, timeout=300, what="progress"):
    """As role.wait_for, but looks often: the end of a measured time."""
    def holds():
        status = role.status()
        assert role.running, f"{role.name} ended ({role.exit_code})\n{role.log_tail()}"
        return status is not None and predicate(status)
    wait_until(holds, timeout, what, interval=0.02)
