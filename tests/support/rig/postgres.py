"""A PostgreSQL server of one's own: initdb in a folder, trust on 127.0.0.1, user postgres."""

import contextlib
import os
import re
import shutil
import signal
import subprocess

import psycopg

from .installed import linked
from .ports import free_port
from .procs import Process, children_of, pid_alive, run_as, send_signal
from .wait import wait_until
from .workdir import give_to_server_user, server_user

DEFAULTS = {
    "wal_level": "logical",
    "max_wal_senders": 10,
    "max_replication_slots": 10,
    "max_prepared_transactions": 10,
    "max_connections": 80,
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %a ",
}


def default_bindir():
    for path in (os.environ.get("CROSSFADE_PG_BINDIR"), "/usr/lib/postgresql/15/bin"):
        if path and os.path.exists(os.path.join(path, "postgres")):
            return path
    return subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True, check=True).stdout.strip()


def major_programs(major, folder):
    """Where the programs of that major version are: Debian's (15), or those of tools/deps --postgres-majors, linked into the folder."""
    debian = f"/usr/lib/postgresql/{major}/bin"
    if os.path.exists(os.path.join(debian, "postgres")):
        return debian
    return os.path.join(linked(f"postgresql-{major}", folder, "--postgres-majors"), "bin")


class Postgres:
    """with Postgres(folder, "source") as pg: a running server, stopped at the end. major: of another version than the usual.

    Folder gets a subfolder of that name with data, log and socket. Without fsync a server is quick and still survives kill -9.
    """

    def __init__(self, folder, name="postgres", bindir=None, fsync=False, settings=None, port=None, detached=False, major=None):
        self.name = name
        self.bindir = bindir or (major_programs(major, folder) if major else default_bindir())
        self.home = os.path.join(str(folder), name)
        self.data = os.path.join(self.home, "data")
        self.log = os.path.join(self.home, "log")
        self.port = port or free_port()
        self.user = server_user()
        self.settings = dict(DEFAULTS, fsync="on" if fsync else "off", full_page_writes="on" if fsync else "off")
        self.settings.update(settings or {})
        self.process = Process(f"postgres {name}", [self.binary("postgres"), "-D", self.data], self.log,
                               user=self.user, detached=detached, stop_signal=signal.SIGINT)

    def __enter__(self):
        if not os.path.exists(self.data):
            self.initdb()
        if not self.process.running:
            self.start()
        return self

    def __exit__(self, *exc):
        self.close()

    # -- life

    def binary(self, name):
        return os.path.join(self.bindir, name)

    def as_server_user(self, *argv):
        """Runs a program as the server's user to its end; raises with its output when it fails."""
        return run_as(self.user, argv, cwd=self.home)

    def initdb(self):
        os.makedirs(self.home, exist_ok=True)
        give_to_server_user(self.home)
        self.as_server_user(self.binary("initdb"), "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8",
                            "--locale", "C.UTF-8", "--no-sync")
        self.write_settings()

    def write_settings(self):
        """Writes port, addresses and self.settings; they hold from the next start (or reload) on."""
        fixed = {"port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": self.home}
        path = os.path.join(self.data, "postgresql.auto.conf")
        with open(path, "w") as f:
            for key, value in {**self.settings, **fixed}.items():
                f.write("{} = '{}'\n".format(key, str(value).replace("'", "''")))
        give_to_server_user(self.data)

    def configure(self, **settings):
        """Changes settings: by ALTER SYSTEM's file and a reload, or at the next start for those that need one."""
        self.settings.update(settings)
        self.write_settings()
        if self.process.running:
            self.process.signal(signal.SIGHUP)

    def start(self, timeout=60):
        self.process.start()
        self.wait_ready(timeout)
        return self

    def wait_ready(self, timeout=60):
        def connects():
            psycopg.connect(self.url(), connect_timeout=5).close()
            return True
        self.process.wait_answers(connects, timeout, (psycopg.OperationalError,), "accepts connections")

    def stop(self, immediate=False, timeout=60):
        """Fast shutdown (checkpoint, clients thrown out), or an immediate one (recovery at the next start)."""
        self.process.signal(signal.SIGQUIT if immediate else signal.SIGINT)
        self.process.wait(timeout)

    def kill9(self):
        """SIGKILL to the server and all its processes."""
        pids = children_of(self.process.pid) if self.process.running else []
        self.process.kill9()
        for pid in pids:
            send_signal(pid, signal.SIGKILL)
        wait_until(lambda: not any(pid_alive(pid) for pid in pids), 10, f"{self.process.name} is gone")

    def restart(self, immediate=False):
        self.stop(immediate)
        return self.start()

    def close(self):
        if self.process.running:
            try:
                self.stop()
            except AssertionError:
                self.kill9()

    # -- copies

    def copy_data(self, to):
        """Copies the data folder of the stopped server as files: slots and all."""
        assert not self.process.running, "stop the server first"
        self.as_server_user("cp", "-a", self.data, to)
        return to

    def basebackup(self, to):
        """pg_basebackup of the running server: without slots, with the WAL it needs. `to` must not exist."""
        program = self.binary("pg_basebackup")
        if not os.path.exists(program):
            program = shutil.which("pg_basebackup") or program
        self.as_server_user(program, "-h", "127.0.0.1", "-p", self.port, "-U", "postgres", "-D", to, "-X", "stream",
                            "-c", "fast", "--no-sync")
        return to

    def standby(self, folder, name="standby", settings=None):
        """A hot standby (PostgreSQL 15 and later) that streams from this server through a physical slot; a context manager, too."""
        made = Postgres(folder, name, bindir=self.bindir, settings=dict(self.settings, hot_standby_feedback="on"))
        os.makedirs(made.home)
        give_to_server_user(made.home)
        slot = "standby_" + re.sub("[^a-z0-9_]", "_", name)
        self.sql("SELECT pg_create_physical_replication_slot(%s, true)", (slot,))
        with self.connect() as connection:  # not pg_basebackup: Debian's refuses newer servers
            connection.execute("SELECT pg_backup_start('standby', true)")
            self.as_server_user("cp", "-a", self.data, made.data)
            label = connection.execute("SELECT labelfile FROM pg_backup_stop(false)").fetchone()[0]
        os.unlink(os.path.join(made.data, "postmaster.pid"))
        with open(os.path.join(made.data, "backup_label"), "w") as f:
            f.write(label)
        made.settings.update(primary_conninfo=f"host=127.0.0.1 port={self.port} user=postgres", primary_slot_name=slot,
                             wal_receiver_status_interval="100ms")
        made.settings.update(settings or {})
        made.write_settings()
        with open(os.path.join(made.data, "standby.signal"), "w"):
            pass
        give_to_server_user(made.data)
        return made

    def backup_path(self, name):
        """Where a copy may lie: the server's user can write there."""
        return os.path.join(self.home, name)

    def restore(self, copy):
        """Puts a copy in place of the stopped server's data: the same system identifier, an earlier position."""
        assert not self.process.running, "stop the server first"
        shutil.rmtree(self.data)
        self.as_server_user("cp", "-a", copy, self.data)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self.data, "postmaster.pid"))
        self.write_settings()

    # -- SQL

    def url(self, db="postgres", user="postgres"):
        return f"postgresql://{user}@127.0.0.1:{self.port}/{db}"

    def connect(self, db="postgres", user="postgres", autocommit=True, **more):
        return psycopg.connect(self.url(db, user), autocommit=autocommit, **more)

    def sql(self, query, params=None, db="postgres"):
        """Runs statements on a fresh connection; the rows of the last one that has any, else None."""
        with self.connect(db) as connection:
            cursor = connection.execute(query, params)
            rows = cursor.fetchall() if cursor.description else None
            while cursor.nextset():
                rows = cursor.fetchall() if cursor.description else rows
            return rows

    def value(self, query, params=None, db="postgres"):
        """The first column of the first row, None without a row."""
        rows = self.sql(query, params, db)
        return rows[0][0] if rows else None

    def psql(self, *arguments, db="postgres"):
        """Runs psql with these arguments (such as "-f", path), stopping at the first error; returns its output."""
        return run_psql(self.url(db), *arguments)

    def create_db(self, name, template=None):
        self.sql(f'CREATE DATABASE "{name}"' + (f' TEMPLATE "{template}"' if template else ""))
        return self.url(name)

    def lsn(self):
        """The end of the WAL that has been written, as text."""
        return self.value("SELECT pg_current_wal_lsn()::text")

    @property
    def system_id(self):
        return self.value("SELECT system_identifier::text FROM pg_control_system()")

    def state(self):
        """What another program needs to find this server."""
        return {"kind": "postgres", "name": self.name, "pid": self.process.pid, "port": self.port, "url": self.url(),
                "log": self.log, "home": self.home, "stop": "INT"}


def run_psql(url, *arguments):
    done = subprocess.run(["psql", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d", url, *map(str, arguments)],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                          env=dict(os.environ, PGOPTIONS="-c client_min_messages=warning"))
    if done.returncode:
        raise RuntimeError(f"psql {' '.join(map(str, arguments))}: exit code {done.returncode}\n{done.stderr}")
    return done.stdout


def copy_schema(source_url, target_url, schemas=()):
    """pg_dump --schema-only of the source (those schemas, or all of it) into the target."""
    only = [f"--schema={schema}" for schema in schemas]
    dump = subprocess.run(["pg_dump", "--schema-only", "--no-owner", "--no-publications", "--no-subscriptions", *only,
                           "-d", source_url], capture_output=True, text=True, check=True)
    subprocess.run(["psql", "-X", "-q", "-1", "-v", "ON_ERROR_STOP=1", "-d", target_url], input=dump.stdout,
                   capture_output=True, text=True, check=True)
