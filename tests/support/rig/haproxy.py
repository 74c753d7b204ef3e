"""An HAProxy of one's own in front of PostgreSQL servers: TCP, on a free port of 127.0.0.1, its socket for commands in its folder."""

import os
import shutil
import signal
import socket

import psycopg

from .ports import free_port
from .procs import Process
from .workdir import give_to_server_user, server_user


def program():
    """Debian puts it where users' PATH does not lead."""
    found = shutil.which("haproxy", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not found:
        raise RuntimeError("no haproxy: run tools/deps")
    return found


class Haproxy:
    """with Haproxy(folder, "proxy", {"source": 5432, "target": 5433}) as proxy: … proxy.weights()

    The first server gets all connections, the others none, until their weights are set.
    """

    def __init__(self, folder, name, servers):
        self.home = os.path.join(str(folder), name)
        self.socket, self.port = os.path.join(self.home, "admin.sock"), free_port()
        lines = [f"    server {server} 127.0.0.1:{port} weight {0 if i else 100}" for i, (server, port) in enumerate(servers.items())]
        self.text = (f"global\n    stats socket {self.socket} mode 600 level admin\n    maxconn 200\ndefaults\n    mode tcp\n    timeout connect 5s\n    timeout client 60s\n"
                     f"    timeout server 60s\nlisten reads\n    bind 127.0.0.1:{self.port}\n    balance roundrobin\n" + "\n".join(lines) + "\n")
        self.process = Process(f"haproxy {name}", [program(), "-db", "-f", os.path.join(self.home, "haproxy.cfg")], os.path.join(self.home, "output"), user=server_user(),
                               stop_signal=signal.SIGTERM)

    def __enter__(self):
        os.makedirs(self.home, exist_ok=True)
        with open(os.path.join(self.home, "haproxy.cfg"), "w", encoding="utf-8") as f:
            f.write(self.text)
        give_to_server_user(self.home)
        self.process.start()
        self.process.wait_answers(self.weights, 30, (OSError,), "answers on its socket")
        return self

    def __exit__(self, *exc):
        self.process.close()

    def command(self, text):
        """Of its runtime API."""
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(self.socket)
            s.sendall(text.encode() + b"\n")
            return b"".join(iter(lambda: s.recv(65536), b"")).decode()

    def weights(self):
        """By server: its share of new connections."""
        rows = [line.split(",") for line in self.command("show stat").splitlines() if line.startswith("reads,")]
        return {row[1]: int(row[18]) for row in rows if row[1] not in ("FRONTEND", "BACKEND")}

    def ports(self, count, user, dbname):
        """To which server's port each of so many connections came."""
        found = []
        for _ in range(count):
            with psycopg.connect(host="127.0.0.1", port=self.port, user=user, dbname=dbname, connect_timeout=10, autocommit=True) as connection:
                found.append(connection.execute("SELECT inet_server_port()").fetchone()[0])
        return found
