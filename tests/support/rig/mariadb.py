"""A MariaDB server (Debian's) in a folder of its own, with a row binlog: as a source of Debezium's connector, and as a target."""

import os
import shutil
import subprocess

from .ports import free_port
from .postgres import give_to_server_user, server_user
from .procs import Process
from .wait import wait_until

_SETTINGS = {"server_id": 77, "log_bin": "mbin", "binlog_format": "ROW", "binlog_row_image": "FULL", "gtid_strict_mode": "ON", "character_set_server": "utf8mb4",
             "innodb_buffer_pool_size": "64M", "innodb_flush_log_at_trx_commit": 0, "sync_binlog": 0, "default_time_zone": "+00:00", "skip_name_resolve": "ON"}


def _program(name):
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/bin")
    if path is None:
        raise FileNotFoundError(f"no {name}: run tools/deps --connect")
    return path


class MariaDB:
    """with MariaDB(folder) as db: db.sql("CREATE DATABASE shop"); user root, no password, over 127.0.0.1:port."""

    def __init__(self, folder, name="mariadb", settings=None, port=None):
        self.name = name
        self.home = os.path.join(str(folder), name)
        self.data, self.log, self.socket = (os.path.join(self.home, f) for f in ("data", "log", "s"))
        self.port, self.user = port or free_port(), server_user()
        self.settings = {**_SETTINGS, **(settings or {})}
        options = [f"--{key.replace('_', '-')}={value}" for key, value in self.settings.items()]
        self.process = Process(f"mariadbd {name}", [_program("mariadbd"), "--no-defaults", f"--datadir={self.data}", f"--port={self.port}", "--bind-address=127.0.0.1",
                                                    f"--socket={self.socket}", f"--pid-file={self.home}/pid", *options], self.log, user=self.user)

    def __enter__(self):
        if not os.path.exists(self.data):
            self.install()
        if not self.process.running:
            self.start()
        return self

    def __exit__(self, *exc):
        self.process.close()

    def install(self):
        os.makedirs(self.home, exist_ok=True)
        give_to_server_user(self.home)
        prefix = ["setpriv", "--reuid", str(self.user.pw_uid), "--regid", str(self.user.pw_gid), "--clear-groups", "--"] if self.user else []
        done = subprocess.run([*prefix, _program("mariadb-install-db"), "--no-defaults", f"--datadir={self.data}", "--auth-root-authentication-method=normal",
                               "--skip-test-db"], capture_output=True, text=True, cwd=self.home, check=False, timeout=180)
        if done.returncode:
            raise RuntimeError(f"mariadb-install-db: exit code {done.returncode}\n{done.stdout}{done.stderr}")

    def start(self, timeout=90):
        self.process.start()

        def answers():
            assert self.process.running, f"{self.process.name} ended ({self.process.exit_code})\n{self.process.log_tail()}"
            return self._client("SELECT 1").returncode == 0
        wait_until(answers, timeout, f"{self.process.name} answers", interval=0.1)
        return self

    def _client(self, text, db=None):
        return subprocess.run([_program("mariadb"), "--no-defaults", "--socket", self.socket, "-u", "root", "--batch", "--raw", "--skip-column-names",
                               "--default-character-set=utf8mb4", *([db] if db else [])], input=text, capture_output=True, text=True, check=False, timeout=120)

    def sql(self, text, db=None):
        """Runs statements through the client; rows of the last ones as lists of texts (NULL stays "NULL")."""
        done = self._client(text, db)
        if done.returncode:
            raise RuntimeError(f"mariadb: {done.stderr}\n{text[:500]}")
        return [line.split("\t") for line in done.stdout.splitlines()]
