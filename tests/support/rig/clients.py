"""pgbench as an application behind a pooler: extended protocol, and its own log of what was acknowledged."""

import collections
import glob
import os
import signal

import psycopg

from .postgres import default_bindir
from .procs import Process
from .wait import wait_until

SCHEMA = """CREATE TABLE account (id int PRIMARY KEY, moves bigint NOT NULL); INSERT INTO account SELECT g, 0 FROM generate_series(1, 1000) g;
    CREATE TABLE ledger (client int, n bigint, PRIMARY KEY (client, n))"""
# The client counts its transactions itself; the ledger is never changed, so what is there was committed, once.
SCRIPT = """\\set n :n + 1
\\set c :first + :client_id
\\set id random(1, 1000)
BEGIN;
UPDATE account SET moves = moves + 1 WHERE id = :id;
INSERT INTO ledger (client, n) VALUES (:c, :n);
END;
"""


class Clients:
    """with Clients(pooler.url("app", "shop_owner"), folder) as clients: …; clients.stop(); check(url, clients)

    The tables are SCHEMA's. first: the number of its first client, where several run at the same time. A transaction that fails ends its client: stop() then fails, too, unless told otherwise.
    """

    def __init__(self, url, folder, clients=8, rate=200, protocol="extended", name="clients", first=0):
        script, self.prefix = os.path.join(str(folder), f"{name}.sql"), os.path.join(str(folder), f"{name}-log")
        with open(script, "w", encoding="utf-8") as f:
            f.write(SCRIPT)
        self.first, self.latencies = first, []
        self.acked = collections.Counter()
        argv = [os.path.join(default_bindir(), "pgbench"), "-n", "-M", protocol, "-c", str(clients), "-j", "2", "-T", "3600", "-D", "n=0", "-D", f"first={first}", "-f", script,
                "--log", f"--log-prefix={self.prefix}", *([f"--rate={rate}"] if rate else []), url]
        self.process = Process(f"pgbench {name}", argv, os.path.join(str(folder), f"{name}.out"))

    def __enter__(self):
        self.process.start()
        return self

    def __exit__(self, *exc):
        self.process.kill9()

    def wait(self, more, url, timeout=60):
        """Until `more` further transactions are seen in the ledger of this database."""
        def rows():
            with psycopg.connect(url) as connection:
                return connection.execute("SELECT count(*) FROM ledger").fetchone()[0]
        goal = rows() + more
        wait_until(lambda: not self.process.running or rows() >= goal, timeout, f"{more} more transactions at {url}")
        assert self.process.running, f"a client has ended\n{self.process.log_tail()}"

    def stop(self, failures=False):
        """Ends all clients at the end of their transaction (as at the end of -T), and reads what they have noted. Returns the longest stall, in ms."""
        if self.process.running:
            self.process.signal(signal.SIGALRM)
        code = self.process.wait(60)
        assert failures or code == 0, f"pgbench: exit code {code}\n{self.process.log_tail()}"
        for path in glob.glob(self.prefix + ".*"):
            with open(path, encoding="utf-8") as f:
                for line in f:
                    fields = line.split()
                    lag = int(fields[6]) if len(fields) > 6 else 0
                    self.acked[self.first + int(fields[0])] += 1
                    self.latencies.append((int(fields[2]) - lag) / 1000)
        return max(self.latencies)


def check(url, *clients):
    """Each transaction that was acknowledged to one of these is in this database, once, and nothing else is."""
    acked = sum((one.acked for one in clients), collections.Counter())
    with psycopg.connect(url) as connection:
        there = dict(connection.execute("SELECT client, count(*) FROM ledger GROUP BY 1").fetchall())
        gaps = connection.execute("SELECT client FROM ledger GROUP BY 1 HAVING max(n) <> count(*)").fetchall()
        moves = connection.execute("SELECT sum(moves)::bigint FROM account").fetchone()[0]
    assert there == dict(acked) and gaps == [] and moves == sum(acked.values()), f"acknowledged {dict(acked)}\nthere {there}\ngaps {gaps}, {moves} moves"
