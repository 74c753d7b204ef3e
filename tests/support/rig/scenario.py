"""What the system and fault tests share: how much to run, seeds, and small pipelines over tables of their own."""

import contextlib
import itertools
import os
import random

import psycopg

from .oracle import assert_equal
from . import privileges
from .pipeline import Pipeline
from .postgres import copy_schema, run_psql
from .wait import wait_until

FULL = os.environ.get("CF_CHECK_MODE") == "full"
_numbers = itertools.count(1)


def count(normal, full):
    """normal, or full when CF_CHECK_MODE says so."""
    return full if FULL else normal


def seed():
    """A fresh seed, or CF_SEED; printed, so that a failure can be repeated."""
    number = int(os.environ.get("CF_SEED") or random.SystemRandom().randrange(1, 1 << 31))
    print(f"CF_SEED={number}")
    return number


class Scenario:
    """Two databases with the same tables and a pipeline between them. See scenario()."""

    def __init__(self, folder, source, target, name, tables, schema, target_schema, more, superuser, extensions, pipeline):
        self.source_server, self.target_server, self.name = source, target, name
        self.source_url, self.target_url = source.create_db(name), target.create_db(name)
        self.superuser = superuser
        if not superuser:
            for server in (source, target):
                privileges.make_roles(server.url())
            privileges.give_to_owner(self.source_url)
        self.admin(*(f"CREATE EXTENSION {name}" for name in extensions))
        if schema:
            self.source(schema)
        if target_schema is None:
            copy_schema(self.source_url, self.target_url)
        elif target_schema:
            run_psql(self.target_url, "-c", target_schema)
        if not superuser:
            privileges.prepare_source(self.source_url)
            if "standby_url" in (more or {}).get("source", {}):
                privileges.run_blocks(self.source_url, "source-standby")
            privileges.prepare_as_target(self.target_url)
        settings = {"capture": {"heartbeat_interval_ms": 500}}
        for section, keys in (more or {}).items():
            settings.setdefault(section, {}).update(keys)
        self.pipeline = Pipeline(folder, self.source_url, self.target_url, name=name, tables=tables, more=settings,
                                 roles=not superuser, **pipeline)
        self.capture, self.apply = self.pipeline.capture, self.pipeline.apply

    def source(self, *statements):
        """Each argument is sent to the source as it is: several statements in one argument are one transaction. They come as the
        owner of the application's tables, who is no superuser, unless the scenario is one of superusers."""
        return self._run(self.source_url, statements, "" if self.superuser else f" -c role={privileges.OWNER}")

    def admin(self, *statements):
        """As source(), by the source's administrator: for what takes a superuser, and for looking into schema crossfade."""
        return self._run(self.source_url, statements)

    def target(self, *statements):
        return self._run(self.target_url, statements)

    @staticmethod
    def _run(url, statements, options=""):
        rows = None
        with psycopg.connect(url, autocommit=True, options="-c timezone=UTC" + options) as connection:
            for statement in statements:
                cursor = connection.execute(statement)
                rows = cursor.fetchall() if cursor.description else None
        return rows

    def start(self, wait=True, timeout=60):
        """Starts both roles and waits until the copy is complete on the target."""
        self.capture.start()
        self.apply.start()
        if wait:
            self.wait_complete(timeout)
        return self

    def wait_complete(self, timeout=60):
        self.apply.wait_for(lambda status: status.get("complete"), timeout, "the copy is complete")

    def wait(self, timeout=60):
        return self.pipeline.wait_caught_up(timeout)

    def assert_equal(self, timeout=60, ignore=()):
        """Everything that the source has committed is on the target, and nothing else."""
        self.wait(timeout)
        assert_equal(self.source_url, self.target_url, ignore)

    def position(self):
        """The pipeline's row of crossfade.position as a dictionary, None when there is none yet."""
        return position(self.target_url, self.name)

    def slots(self):
        return [row[0] for row in self.source_server.sql("SELECT slot_name FROM pg_replication_slots WHERE database = %s", (self.name,))]

    def close(self):
        self.pipeline.close()
        for server in (self.source_server, self.target_server):
            if server.process.running:
                drop_database(server, self.name)


def position(url, pipeline):
    from psycopg.rows import dict_row
    with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
        try:
            return connection.execute("SELECT * FROM crossfade.position WHERE pipeline = %s", (pipeline,)).fetchone()
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            return None


def drop_database(server, name):
    """Drops a database with its slots and replication origins, whoever is connected."""
    def slots_gone():
        server.sql("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE database = %s AND active", (name,))
        with contextlib.suppress(psycopg.errors.ObjectInUse):
            server.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = %s", (name,))
        return not server.value("SELECT count(*) FROM pg_replication_slots WHERE database = %s", (name,))
    wait_until(slots_gone, 20, f"the slots of {name} are gone")
    oid = server.value("SELECT oid FROM pg_database WHERE datname = %s", (name,))
    server.sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def origins_gone():
        with contextlib.suppress(psycopg.errors.ObjectInUse):
            server.sql("SELECT pg_replication_origin_drop(roname) FROM pg_replication_origin WHERE roname LIKE %s", (f"crossfade:%:{oid}:%",))
        return not server.value("SELECT count(*) FROM pg_replication_origin WHERE roname LIKE %s", (f"crossfade:%:{oid}:%",))
    wait_until(origins_gone, 20, f"the replication origins of {name} are gone")


@contextlib.contextmanager
def scenario(folder, source, target, schema="", target_schema=None, tables=("public.*",), more=None, name=None, superuser=privileges.UNSAID, extensions=(), **pipeline):
    """with scenario(folder, source, target, "CREATE TABLE …") as s: s.start(); s.source("INSERT …"); s.assert_equal()

    schema: run on the source; the target gets a copy of it without rows, unless target_schema is given ("" = nothing).
    extensions: made there before, by an administrator: those that the owner of a database may not make (PostGIS).
    superuser: None, and Crossfade comes as the roles of docs/PRIVILEGES.md; else why this test cannot do so, and everything comes as a superuser. Left
    away: as rig.privileges.AS_SUPERUSER has it for the test's module.
    The databases, slots and roles go away at the end; a role that a sanitizer complained about fails the test.
    """
    superuser = privileges.superuser_by_module() if superuser == privileges.UNSAID else superuser
    made = Scenario(folder, source, target, name or f"s{next(_numbers)}", tables, schema, target_schema, more, superuser, extensions, pipeline)
    try:
        yield made
        made.pipeline.close()
        made.pipeline.assert_clean()
    finally:
        made.close()
