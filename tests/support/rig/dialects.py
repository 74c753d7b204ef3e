"""The same small pipeline into either kind of target: what it holds, where it stands, what is left prepared there."""

import contextlib

import psycopg
import pymysql

from .mariadb import MariaDB
from .pipeline import Pipeline
from .postgres import Postgres, copy_schema
from .shards import shard_roles
from .wait import wait_until


class Into:
    """with Into(folder, "mariadb", "shop", DDL, {"apply": {"writers": 3}}) as x: x.pipeline.start() … x.assert_equal(["t"])

    ddl: statements that end with ';' at the end of a line, for the source and for both kinds of targets. settings: the target server's.
    """

    def __init__(self, folder, dialect, name, ddl, more=None, settings=None):
        self.folder, self.dialect, self.name, self.ddl, self.more = folder, dialect, name, ddl, more
        self.source_server = Postgres(folder, "source")
        kind = MariaDB if dialect == "mariadb" else Postgres
        self.server = kind(folder, "target", settings=settings)

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.source_server)
            stack.enter_context(self.server)
            self.source_url, self.target_url = self.source_server.create_db(self.name), self.server.create_db(self.name)
            self.source(*(s for s in self.ddl.split(";\n") if s.strip()))
            for statement in self.ddl.split(";\n"):
                if statement.strip():
                    self.target(statement)
            more = {"capture": {"heartbeat_interval_ms": 500}, **(self.more or {})}
            self.pipeline = stack.enter_context(Pipeline(self.folder, self.source_url, self.target_url, name=self.name, tables=("public.*",), more=more))
            self.capture, self.apply = self.pipeline.capture, self.pipeline.apply
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *exc):
        return self.stack.__exit__(*exc)

    def shards(self, n, **more):
        """A role for each of n shards, closed at the end; each has a configuration of its own."""
        return [self.stack.enter_context(role) for role in shard_roles(self.pipeline.settings, self.folder, self.name, n, **more)]

    # -- SQL

    def source(self, *statements):
        with psycopg.connect(self.source_url, autocommit=True) as connection:
            for statement in statements:
                cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else None

    def target(self, statement):
        """Rows of texts (NULL: None)."""
        if self.dialect == "mariadb":
            return [tuple(row) for row in self.server.sql(statement, db=self.name)]
        with psycopg.connect(self.target_url, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return [tuple(None if cell is None else str(cell) for cell in row) for row in cursor.fetchall()] if cursor.description else []

    def control(self, table):
        """How a control table is called here."""
        return f"crossfade_{table}" if self.dialect == "mariadb" else f"crossfade.{table}"

    def positions(self):
        """Fences by shard; empty as long as there is no table of them, or no server."""
        try:
            return dict(self.target(f"SELECT shard, fence_id FROM {self.control('position')} ORDER BY shard"))
        except (psycopg.Error, pymysql.err.Error):
            return {}

    def prepared(self):
        """What is left prepared, by the names of the server's."""
        if self.dialect == "mariadb":
            return [row[3].decode() if isinstance(row[3], bytes) else row[3] for row in self.target("XA RECOVER")]
        return [row[0] for row in self.target("SELECT gid FROM pg_prepared_xacts WHERE database = current_database() ORDER BY gid")]

    def pending(self):
        return [row[0] for row in self.target(f"SELECT shard FROM {self.control('position')} WHERE pending IS NOT NULL")]

    def assert_settled(self):
        assert self.prepared() == [] and self.pending() == [], (self.prepared(), self.pending())

    # -- both

    def journaled(self, timeout=60):
        """All that the source has committed is in the journal."""
        lsn = self.source("SELECT pg_current_wal_insert_lsn()::text")[0][0]
        self.source(f"INSERT INTO crossfade.marker (pipeline, nonce, kind) VALUES ('{self.name}', gen_random_uuid()::text, 'ping')")
        self.capture.wait_lsn("journaled_lsn", lsn, timeout)

    def caught_up(self, roles, timeout=120):
        """… and these have applied it."""
        lsn = self.source("SELECT pg_current_wal_insert_lsn()::text")[0][0]
        self.source(f"INSERT INTO crossfade.marker (pipeline, nonce, kind) VALUES ('{self.name}', gen_random_uuid()::text, 'ping')")
        for role in roles:
            role.wait_lsn("applied_lsn", lsn, timeout)

    def one_fence(self, count, timeout=90):
        """Until so many shards stand at one fence; capture does not run."""
        wait_until(lambda: len(self.positions()) == count and len(set(self.positions().values())) == 1, timeout, "all shards are at the last fence")

    def assert_equal(self, tables):
        """Row by row, as texts."""
        for table in tables:
            left = sorted(tuple(None if cell is None else str(cell) for cell in row) for row in self.source(f"SELECT * FROM {table}"))
            right = sorted(self.target(f"SELECT * FROM {table}"))
            assert left == right, f"{table}: {len(left)} and {len(right)} rows; {[r for r in left if r not in right][:3]} {[r for r in right if r not in left][:3]}"


@contextlib.contextmanager
def into_new_server(folder, source, dialect, name, schema, more, journal=None, fill=None):
    """From a new database of the source's server into a server of its own: (pipeline, server). Both have the tables (MariaDB: by `schema create`), and nothing runs yet. fill(source_url) makes rows."""
    source_url = source.create_db(name)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(MariaDB(folder, name, settings={"sql-mode": "STRICT_TRANS_TABLES"}) if dialect == "mariadb" else Postgres(folder, name))
        target_url = server.create_db(name)
        with psycopg.connect(source_url, autocommit=True) as connection:
            connection.execute(schema)
        if fill:
            fill(source_url)
        if dialect == "postgres":
            copy_schema(source_url, target_url)
        p = stack.enter_context(Pipeline(folder, source_url, target_url, journal=journal, name=name, tables=("public.*",), more=more))
        if dialect == "mariadb":
            done = p.run("schema", "create", "--execute")
            assert done.returncode == 0, done.stdout + done.stderr
        yield p, server
