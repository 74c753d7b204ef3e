"""Apply over topics that Debezium's connectors wrote (source.debezium)."""

import contextlib
import json
import os

import psycopg

from . import privileges
from .ports import free_port
from .procs import Role, run_crossfade
from .wait import wait_until


class Foreign:
    """apply over source.debezium: with Foreign(folder, "name", target url, {debezium: …}) as f: f.apply.start()

    It comes as the role of docs/PRIVILEGES.md, as Pipeline does."""

    def __init__(self, folder, name, url, debezium, **more):
        self.name, self.url, self.port, self.connect = name, url, free_port(), None
        self.config = os.path.join(str(folder), f"{name}.yaml")
        if privileges.superuser_by_module() is None and privileges.is_superusers(url):
            privileges.prepare_as_target(url)
            url = privileges.as_role(url, privileges.APPLY)
        self.settings = {"pipeline": name, "source": {"debezium": debezium}, "target": {"url": url},
                         "apply": {"listen": f"127.0.0.1:{self.port}"}, **more}
        with open(self.config, "w") as f:
            json.dump(self.settings, f)
        self.apply = Role("apply", self.config, os.path.join(str(folder), f"{name}-apply.log"), port=self.port)

    def __enter__(self):
        return self

    def __exit__(self, kind, *exc):
        self.apply.close()
        if kind is None:
            assert not self.apply.sanitizer_reports(), self.apply.log_tail(100)

    def rows(self, query, *params):
        with psycopg.connect(self.url, autocommit=True, options="-c timezone=UTC") as connection:
            return connection.execute(query, params).fetchall()

    def value(self, query, *params):
        with contextlib.suppress(psycopg.errors.UndefinedTable):
            rows = self.rows(query, *params)
            return rows[0][0] if rows else None
        return None

    def wait_row(self, query, timeout=90):
        """Until the query gives a true value: it asks for what was written last on the source."""
        def there():
            assert self.apply.running, f"apply ended ({self.apply.exit_code})\n{self.apply.log_tail(30)}"
            return self.value(query)
        try:
            wait_until(there, timeout, query, interval=0.1)
        except AssertionError as error:
            connect = None
            with contextlib.suppress(OSError, RuntimeError):
                connect = self.connect and self.connect.failure(self.name)
            connect = self.connect and f"{connect}\n{self.connect.process.log_tail(20)}"
            raise type(error)(f"{error}\n{self.apply.status()}\n{self.apply.log_tail(20)}\n{connect}") from None

    def run(self, *words):
        return run_crossfade(*words, config=self.config, timeout=60)


def run_sql(url, *statements):
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)
