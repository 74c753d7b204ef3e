"""What all figures share: two clusters with pgbench's tables, a warm broker, pipelines on them, timing, CPU and memory."""

import contextlib
import os
import re
import subprocess
import threading
import time
import uuid

from rig import Kafka, Pipeline, Postgres
from rig.procs import children_of
from rig.wait import wait_until

SERVER = {"shared_buffers": "1GB", "max_wal_size": "8GB", "checkpoint_timeout": "30min", "wal_compression": "off",
          "autovacuum": "off", "max_replication_slots": 20, "max_wal_senders": 20, "wal_level": "logical",
          "max_prepared_transactions": 10}
SCALE = 20
WARM_S = 40
ACCOUNTS = f"{SCALE * 100000}"
ACCOUNTS_TABLE = "CREATE TABLE pgbench_accounts (aid int PRIMARY KEY, bid int, abalance int, filler char(84)) WITH (fillfactor=100)"


class Bench:
    """The servers, started when first asked for; figures leave them as they found them."""

    def __init__(self, folder, stack, verbose):
        self.folder, self.stack, self.verbose = folder, stack, verbose
        self._source = self._target = self._kafka = None
        self.count = 0
        self.peak_kib = {}
        self.costs = {}  # of the figure that runs: {who: CPU seconds for a million changes, run by run}
        self.notes = []  # what it has said
        self.debezium_bytes = None  # of a change, once it was measured (debezium.py)
        self.records = None  # journalling.py

    def say(self, text):
        self.notes.append(text)
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
            self._kafka = self.stack.enter_context(Kafka(self.folder, heap="1g"))  # as kafka-server-start.sh has it
            warm(self._kafka)
        return self._kafka

    def pgbench(self, *arguments):
        subprocess.run(["pgbench", *arguments, self.source.url("bench")], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)

    def fresh_target(self, with_rows=False, synchronous_commit="on", workload=None):
        """A new database of the target with a workload's tables (pgbench_accounts) and their keys; its name."""
        self.count += 1
        name = f"t{self.count}"
        self.target.create_db(name)
        tables = workload.schema if workload else [ACCOUNTS_TABLE]
        self.target.psql(*[part for statement in tables for part in ("-c", statement)],
                         "-c", f"ALTER DATABASE {name} SET synchronous_commit = {synchronous_commit}", db=name)
        if with_rows:
            for table in workload.tables if workload else ["pgbench_accounts"]:
                self.copy_pipe(name, table)
        return name

    def drop_target(self, name):
        self.target.psql("-c", f'DROP DATABASE "{name}" WITH (FORCE)')

    def copy_pipe(self, name, table="pgbench_accounts"):
        """psql COPY | psql COPY into the table with its key: seconds."""
        started = time.monotonic()
        with subprocess.Popen(["psql", "-X", "-d", self.source.url("bench"), "-c", f"COPY {table} TO STDOUT"], stdout=subprocess.PIPE) as reader:
            subprocess.run(["psql", "-X", "-q", "-d", self.target.url(name), "-c", f"COPY {table} FROM STDIN"], stdin=reader.stdout, check=True)
        assert reader.returncode == 0
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
    def cpu(self, what, changes=None, **pids):
        """CPU seconds that processes, and all of the source's server, use inside.

        With a number of changes the figure shows them per million.
        """
        def now():
            return {"source server": server_cpu_s(self.source.process.pid), **{name: cpu_s(pid) for name, pid in pids.items()}}
        before, started = now(), time.monotonic()
        yield
        took = time.monotonic() - started
        parts = {name: seconds - before[name] for name, seconds in now().items()}
        self.say(f"{what}: {took:.2f} s; CPU seconds: " + ", ".join(f"{n} {s:.2f}" for n, s in parts.items()))
        if changes:
            for name, seconds in parts.items():
                self.cost(name, seconds, changes)

    def cost(self, who, seconds, changes):
        self.costs.setdefault(who, []).append(seconds * 1e6 / changes)

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


def cpu_s(pid, reaped=False):
    """CPU seconds of a process so far, user and system; reaped: also of its children that have ended (proc(5))."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            fields = f.read().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0
    return sum(int(field) for field in fields[11:15 if reaped else 13]) / os.sysconf("SC_CLK_TCK")


def server_cpu_s(pid):
    """CPU seconds of a PostgreSQL server so far: the postmaster and all its children, those that have ended, too."""
    return cpu_s(pid, reaped=True) + sum(cpu_s(child) for child in children_of(pid))


def warm(kafka):
    """What a fresh broker does in its first minute costs three times what it costs later (its JIT compilers; __transaction_state and
    __consumer_offsets are made). Brokers that people have run for months, and both sides of a ratio shall meet the same one: 60 MB in large
    transactions and then small ones for a while go through it before anything is counted."""
    from confluent_kafka import Consumer, Producer, TopicPartition
    kafka.create_topic("warm")
    common = {"bootstrap.servers": kafka.bootstrap}
    producer = Producer({**common, "transactional.id": f"warm-{uuid.uuid4()}", "compression.type": "lz4", "linger.ms": 5,
                         "log_level": 3})  # it would say that it has to try again until the broker has that topic
    producer.init_transactions(60)

    def transaction(unit, count):
        producer.begin_transaction()
        for n in range(count):
            while True:
                try:
                    producer.produce("warm", key=str(n), value=f"{unit} {n} ".encode() * 10 + os.urandom(100))
                    break
                except BufferError:
                    producer.poll(0.01)
        producer.commit_transaction(60)
    for unit in range(30):
        transaction(unit, 10000)
    small, started = 0, time.monotonic()
    while time.monotonic() - started < WARM_S:
        transaction(small, 4)
        time.sleep(0.002)  # the broker refuses the next one until it has written this one's markers
        small += 1
    expected = 30 * 10000 + small * 4
    reader = Consumer({**common, "group.id": "warm", "enable.auto.commit": False, "isolation.level": "read_committed"})
    reader.assign([TopicPartition("warm", 0, 0)])
    read = 0
    while read < expected:
        messages = reader.consume(10000, 30)
        assert messages, f"{read} records of {expected} came back from a fresh broker"
        read += len(messages)
    reader.commit(offsets=[TopicPartition("warm", 0, read)], asynchronous=False)
    reader.close()
    delete_topics(kafka, "warm")


def delete_topics(kafka, *names):
    from confluent_kafka.admin import AdminClient
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    for future in admin.delete_topics(list(names)).values():
        future.result(30)


def until(role, predicate, timeout=300, what="progress"):
    """As role.wait_for, but looks often: the end of a measured time."""
    def holds():
        status = role.status()
        assert role.running, f"{role.name} ended ({role.exit_code})\n{role.log_tail()}"
        return status is not None and predicate(status)
    wait_until(holds, timeout, what, interval=0.02)
