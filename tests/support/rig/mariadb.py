"""A MariaDB server of one's own: a scratch folder, never as root, a free port of 127.0.0.1, users with passwords."""

import os
import shutil
import signal
import subprocess

import pymysql

from .installed import linked
from .ports import free_port
from .privileges import grant_mariadb, superuser_by_module
from .procs import Process, run_as
from .wait import wait_until
from .workdir import give_to_server_user, server_user

ROOT_PASSWORD = "root of test"
ROLE, ROLE_PASSWORD = "crossfade", "p@ss/word"  # what apply comes as; in a URL it needs escapes
SCHEMA_ROLE = "crossfade_schema"  # what `schema` comes as; the same password
DEFAULTS = {
    "character-set-server": "utf8mb4",
    "collation-server": "utf8mb4_nopad_bin",
    "sql-mode": "",  # apply must see to its own
    "default-time-zone": "+05:00",  # likewise
    "innodb-buffer-pool-size": "128M",
    "innodb-flush-log-at-trx-commit": 2,  # quick, and still survives kill -9
    "innodb-log-file-size": "64M",
    "max-connections": 60,
    "skip-name-resolve": None,
}

BINLOG = {"server-id": 77, "log-bin": "mbin", "binlog-format": "ROW", "binlog-row-image": "FULL", "gtid-strict-mode": "ON", "sync-binlog": 0,
          "default-time-zone": "+00:00"}  # of a source


def newer_programs(folder, version="11.4"):
    """Where the server of that version is (tools/deps --mariadb-newer), linked into the folder."""
    return linked(f"mariadb-{version}", folder, "--mariadb-newer")


def _program(name, basedir=None):
    if basedir:
        return os.path.join(basedir, "scripts" if name == "mariadb-install-db" else "bin", name)
    path = shutil.which(name) or f"/usr/sbin/{name}"
    if not os.path.exists(path):
        raise RuntimeError(f"no {name}: run tools/deps")
    return path


class MariaDB:
    """with MariaDB(folder, "target") as db: a running server, stopped at the end. The folder gets a subfolder of that name. version: another
    one than Debian's. env: of the server, beside ours."""

    def __init__(self, folder, name="mariadb", settings=None, port=None, version=None, env=None):
        self.name = name
        self.basedir = newer_programs(folder, version) if version else None
        self.home = os.path.join(str(folder), name)
        self.data = os.path.join(self.home, "data")
        self.log = os.path.join(self.home, "log")
        self.port = port or free_port()
        self.user = server_user()
        self.settings = dict(DEFAULTS, **(settings or {}))
        self.process = Process(f"mariadb {name}", [], self.log, env=env, user=self.user, stop_signal=signal.SIGTERM)

    def __enter__(self):
        if not os.path.exists(self.data):
            self.install()
        if not self.process.running:
            self.start()
        return self

    def __exit__(self, *exc):
        self.close()

    # -- life

    def _base(self):
        return [f"--basedir={self.basedir}"] if self.basedir else []

    def install(self):
        os.makedirs(self.home, exist_ok=True)
        give_to_server_user(self.home)
        run_as(self.user, [_program("mariadb-install-db", self.basedir), "--no-defaults", *self._base(), f"--datadir={self.data}", "--skip-test-db", f"--tmpdir={self.home}",
                           "--auth-root-authentication-method=normal"], cwd=self.home, timeout=300)
        self.start(password="")
        with self.connect(password="") as connection:
            for role in (ROLE, SCHEMA_ROLE):
                run(connection, f"CREATE USER {role}@'%' IDENTIFIED BY '{ROLE_PASSWORD}'")
            run(connection, f"SET PASSWORD = PASSWORD('{ROOT_PASSWORD}')")

    def start(self, timeout=120, password=ROOT_PASSWORD):
        settings = [f"--{key}" if value is None else f"--{key}={value}" for key, value in self.settings.items()]
        self.process.argv = [_program("mariadbd", self.basedir), "--no-defaults", *self._base(), f"--datadir={self.data}", f"--socket={self.home}/s",
                             f"--port={self.port}", "--bind-address=127.0.0.1", f"--pid-file={self.home}/pid", f"--tmpdir={self.home}"] + settings
        self.process.start()

        def connects():
            self.connect(password=password).close()
            return True
        self.process.wait_answers(connects, timeout, (pymysql.err.OperationalError,), "accepts connections")
        return self

    def stop(self, timeout=60):
        self.process.terminate(timeout)

    def kill9(self):
        self.process.kill9()

    def restart(self):
        self.stop()
        return self.start()

    def close(self):
        if self.process.running:
            try:
                self.stop()
            except AssertionError:
                self.kill9()

    # -- SQL

    def connect(self, db=None, user="root", password=ROOT_PASSWORD):
        """Cells come as the text that the server sends (bytes for binary columns). Autocommit, UTC."""
        return pymysql.connect(host="127.0.0.1", port=self.port, user=user, password=password, database=db, charset="utf8mb4",
                               autocommit=True, conv={}, connect_timeout=10, read_timeout=120, init_command="SET time_zone = '+00:00'")

    def sql(self, query, params=None, db=None):
        """Runs one statement on a fresh connection; its rows."""
        with self.connect(db) as connection:
            return run(connection, query, params)

    def sql_again(self, statement, db=None, timeout=60):
        """As sql(), where others write meanwhile: a statement that the server ends for a deadlock or a lock's wait is run again."""
        rows = []

        def done():
            try:
                rows[:] = self.sql(statement, db=db) or []
            except pymysql.err.OperationalError as e:
                if e.args[0] not in (1205, 1213):
                    raise
                return False
            return True
        wait_until(done, timeout, statement)
        return rows

    def script(self, text, db=None):
        """Runs statements that end with ';' at the end of a line."""
        with self.connect(db) as connection:
            for statement in text.split(";\n"):
                if statement.strip(" ;\n"):
                    run(connection, statement.strip(" ;\n"))

    def client(self, text, db=None):
        """Runs a script through the client; rows as lists of texts (NULL stays "NULL")."""
        done = subprocess.run([_program("mariadb"), "--no-defaults", "--host=127.0.0.1", f"--port={self.port}", "-u", "root", "--batch", "--raw", "--skip-column-names",
                               "--default-character-set=utf8mb4", *([db] if db else [])], input=text, capture_output=True, text=True, check=False, timeout=120,
                              env={**os.environ, "MYSQL_PWD": ROOT_PASSWORD})
        if done.returncode:
            raise RuntimeError(f"mariadb: {done.stderr}\n{text[:500]}")
        return [line.split("\t") for line in done.stdout.splitlines()]

    def value(self, query, params=None, db=None):
        rows = self.sql(query, params, db)
        return rows[0][0] if rows else None

    def create_db(self, name, jobs=("apply", "schema")):
        """An empty database; the roles get the rights that docs/PRIVILEGES.md has for these jobs, on it alone. Returns the URL of apply's."""
        self.sql(f"CREATE DATABASE `{name}`")
        self.grant(name, jobs)
        return self.url(name)

    def grant(self, name, jobs=("apply", "schema")):
        """As create_db(), of a database that may not be there yet."""
        apart = superuser_by_module() is None
        for job in jobs:
            grant_mariadb(self, name, SCHEMA_ROLE if job == "schema" and apart else ROLE, ROLE_PASSWORD, f"mariadb-{job}")

    def url(self, db, role=ROLE):
        return f"mariadb://{role}:p%40ss%2Fword@127.0.0.1:{self.port}/{db}"


def run(connection, query, params=None):
    with connection.cursor() as cursor:
        cursor.execute(query, params)
        return cursor.fetchall()
