"""A MariaDB server of one's own: mariadb-install-db in a folder, user root without a password on 127.0.0.1."""

import os
import shutil
import signal
import subprocess

from .ports import free_port
from .procs import Process
from .wait import wait_until
from .workdir import give_to_server_user, server_user

DEFAULTS = {
    "innodb_buffer_pool_size": "64M",
    "innodb_log_file_size": "64M",
    "innodb_flush_log_at_trx_commit": 0,
    "sql_mode": "STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION",
    "max_connections": 60,
    "performance_schema": "OFF",
}


def find_program(name):
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if not found:
        raise RuntimeError(f"no {name}: run tools/deps")
    return found


class MariaDB:
    """with MariaDB(folder, "target") as db: a running server, stopped at the end. settings: options of mariadbd."""

    def __init__(self, folder, name="mariadb", settings=None, port=None, detached=False):
        self.name = name
        self.home = os.path.join(str(folder), name)
        self.data, self.log = os.path.join(self.home, "data"), os.path.join(self.home, "log")
        self.socket = os.path.join(self.home, "s")
        self.port, self.user = port or free_port(), server_user()
        self.settings = dict(DEFAULTS, **(settings or {}))
        options = [f"--{key.replace('_', '-')}={value}" for key, value in self.settings.items()]
        self.process = Process(f"mariadb {name}", [find_program("mariadbd"), "--no-defaults", f"--datadir={self.data}",
                                                   f"--socket={self.socket}", f"--port={self.port}", "--bind-address=127.0.0.1",
                                                   f"--pid-file={self.home}/pid", f"--tmpdir={self.home}", *options],
                               self.log, user=self.user, detached=detached)

    def __enter__(self):
        if not os.path.exists(self.data):
            self.install()
        self.start()
        return self

    def __exit__(self, *exc):
        self.close()

    def install(self):
        os.makedirs(self.home, exist_ok=True)
        give_to_server_user(self.home)
        prefix = []
        if self.user:
            prefix = ["setpriv", "--reuid", str(self.user.pw_uid), "--regid", str(self.user.pw_gid), "--clear-groups", "--"]
        done = subprocess.run(prefix + [find_program("mariadb-install-db"), "--no-defaults", f"--datadir={self.data}",
                                        "--auth-root-authentication-method=normal", "--skip-test-db", f"--tmpdir={self.home}"],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=self.home, check=False, timeout=180)
        if done.returncode:
            raise RuntimeError(f"mariadb-install-db: exit code {done.returncode}\n{done.stdout}{done.stderr}")

    def start(self, timeout=90):
        self.process.start()

        def answers():
            assert self.process.running, f"{self.process.name} ended ({self.process.exit_code})\n{self.process.log_tail()}"
            return self._client("SELECT 1").returncode == 0
        wait_until(answers, timeout, f"{self.process.name} accepts connections")
        return self

    def stop(self, timeout=60):
        self.process.signal(signal.SIGTERM)
        self.process.wait(timeout)

    def kill9(self):
        self.process.kill9()

    def close(self):
        if self.process.running:
            try:
                self.stop()
            except AssertionError:
                self.kill9()

    def url(self, db, user="root"):
        return f"mariadb://{user}@127.0.0.1:{self.port}/{db}"

    def _client(self, sql, db=None):
        argv = [find_program("mariadb"), "--no-defaults", "-h", "127.0.0.1", "-P", str(self.port), "-u", "root", "--batch", "--raw",
                "--skip-column-names", "--default-character-set=utf8mb4", "--connect-timeout=5"]
        return subprocess.run(argv + ([db] if db else []), input=sql, capture_output=True, text=True, check=False, timeout=60)

    def sql(self, sql, db=None):
        """Runs statements; the rows of all of them as lists of texts ("NULL" for null)."""
        done = self._client(sql, db)
        if done.returncode:
            raise RuntimeError(f"{sql[:200]}: {done.stderr}")
        return [line.split("\t") for line in done.stdout.splitlines()]

    def value(self, sql, db=None):
        rows = self.sql(sql, db)
        return rows[0][0] if rows else None

    def create_db(self, name):
        self.sql(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin")
        return self.url(name)

    def state(self):
        return {"kind": "mariadb", "name": self.name, "pid": self.process.pid, "port": self.port, "log": self.log, "home": self.home,
                "stop": "TERM"}
