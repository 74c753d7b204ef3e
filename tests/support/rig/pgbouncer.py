"""A PgBouncer of one's own: a real process that is not root, on a free port of 127.0.0.1, its Unix socket in its folder."""

import os
import shutil
import signal

import psycopg

from .installed import linked
from .ports import free_port
from .procs import Process
from .wait import patient
from .workdir import give_to_server_user, server_user

ADMIN, WATCHER = "pooler_admin", "pooler_watcher"  # of admin_users, of stats_users
DEFAULTS = {"pool_mode": "transaction", "auth_type": "trust", "default_pool_size": 20, "max_client_conn": 200, "server_lifetime": 3600,
            "admin_users": ADMIN, "stats_users": WATCHER, "log_connections": 0, "log_disconnections": 0, "ignore_startup_parameters": "extra_float_digits,options"}


def program(folder, newer):
    """Debian puts it where users' PATH does not lead. newer: that of tools/deps --pgbouncer-newer, which knows prepared statements."""
    if newer:
        return os.path.join(linked("pgbouncer-1.24", folder, "--pgbouncer-newer"), "pgbouncer")
    found = shutil.which("pgbouncer", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not found:
        raise RuntimeError("no pgbouncer: run tools/deps")
    return found


class Pgbouncer:
    """with Pgbouncer(folder, "pooler", {"app": "host=127.0.0.1 port=5432 dbname=app"}) as pooler: … pooler.url("app", "shop_owner")

    users: who may come (auth_type=trust). newer: 1.24 instead of 1.18.
    """

    def __init__(self, folder, name, databases, users=("postgres", "shop_owner"), settings=None, newer=False):
        self.name, self.databases, self.users = name, dict(databases), (*users, ADMIN, WATCHER)
        self.home = os.path.join(str(folder), name)
        self.ini, self.log, self.port = os.path.join(self.home, "pgbouncer.ini"), os.path.join(self.home, "log"), free_port()
        self.settings = dict(DEFAULTS, **(settings or {}))
        self.process = Process(f"pgbouncer {name}", [program(folder, newer), "-q", self.ini], os.path.join(self.home, "output"), user=server_user(),
                               stop_signal=signal.SIGTERM)

    @classmethod
    def before(cls, made, folder, name="pooler", **more):
        """One whose database `app` leads to the source of a scenario."""
        return cls(folder, f"{made.name}-{name}", {"app": f"host=127.0.0.1 port={made.source_server.port} dbname={made.name} pool_size=12"}, **more)

    def __enter__(self):
        self.write()
        return self.start()

    def __exit__(self, *exc):
        self.process.close()

    def text(self):
        """The whole configuration: comments and all, so that a rewrite that loses some is seen."""
        databases = "\n".join(f"; leads to one of the two\n{name} = {value}" for name, value in self.databases.items())
        settings = "\n".join(f"{key} = {value}" for key, value in self.settings.items())
        return (f"; of a test\n[databases]\n{databases}\n\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir = {self.home}\n"
                f"logfile = {self.log}\nauth_file = {self.home}/users.txt\n{settings}\n# the end\n")

    def write(self):
        os.makedirs(self.home, exist_ok=True)
        with open(self.ini, "w", encoding="utf-8") as f:
            f.write(self.text())
        os.chmod(self.ini, 0o640)
        with open(os.path.join(self.home, "users.txt"), "w", encoding="utf-8") as f:
            f.writelines(f'"{user}" ""\n' for user in self.users)
        give_to_server_user(self.home)

    def start(self, timeout=30):
        self.process.start()
        self.process.wait_answers(lambda: self.show("VERSION"), timeout, (psycopg.OperationalError,), "answers on its console")
        return self

    def kill9(self):
        return self.process.kill9()

    def url(self, database, user="postgres"):
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    @property
    def admin(self):
        return self.url("pgbouncer", ADMIN)

    def console(self, command, user=ADMIN):
        """Runs a command of the console: rows as dictionaries, or None."""
        connection = psycopg.connect(self.url("pgbouncer", user), autocommit=True, connect_timeout=patient(10), cursor_factory=psycopg.ClientCursor)
        with connection:
            cursor = connection.execute(command)
            if cursor.description is None:
                return None
            names = [column.name for column in cursor.description]
            return [dict(zip(names, row)) for row in cursor.fetchall()]

    def show(self, what):
        return self.console(f"SHOW {what}")

    def database(self, name):
        """What it shows of one of its databases."""
        return next(row for row in self.show("DATABASES") if row["name"] == name)

    def log_tail(self, lines=40):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return "".join(f.readlines()[-lines:])

    def rule(self, database, **more):
        """As an item of cutover.poolers."""
        return {"admin": self.admin, "ini": self.ini, "database": database, **more}
