"""One pipeline of Crossfade: its configuration file, its two roles, and its commands."""

import json
import os
import re
import uuid

import psycopg

from . import control, privileges
from .ports import free_port
from .procs import Role, run_crossfade

SIMSHOP_TABLES = ("simshop_oltp.*", "simshop_dw.*")


class Pipeline:
    """with Pipeline(folder, source_url, target_url) as p: p.capture.start(); p.apply.start(); p.wait_caught_up()

    roles: its parts come as the roles of docs/PRIVILEGES.md, not as the URLs' superuser; compare with a configuration of its own. True: the databases
    are prepared; False: no roles; None: as rig.privileges.AS_SUPERUSER has it for the test's module, and the databases (their tables are there) are prepared here.
    journal: None for an LMDB journal in the folder, or any URL. more: further keys by section, {"capture": {"snapshot_workers": 1}}.
    """

    def __init__(self, folder, source_url, target_url, journal=None, name="shop", tables=SIMSHOP_TABLES, journal_format="avro",
                 more=None, binary=None, env=None, roles=None):
        if roles is None:
            roles = privileges.superuser_by_module() is None
            if roles:
                privileges.prepare(source_url, target_url)
        self.folder, self.name, self.binary, self.env, self.roles = str(folder), name, binary, env, roles
        self.source_url, self.target_url = source_url, target_url
        self.capture_port, self.apply_port = free_port(), free_port()
        self.report_dir = os.path.join(self.folder, "reports")
        self.config = os.path.join(self.folder, f"{name}.yaml")
        self.settings = {
            "pipeline": name,
            "source": {"url": privileges.as_role(source_url, privileges.CAPTURE) if roles else source_url, "tables": list(tables)},
            "target": {"url": privileges.as_role(target_url, privileges.APPLY) if roles else target_url},
            "journal": {"url": journal or "lmdb:" + os.path.join(self.folder, f"{name}-journal"), "format": journal_format,
                        "topic_prefix": name},
            "capture": {"listen": f"127.0.0.1:{self.capture_port}"},
            "apply": {"listen": f"127.0.0.1:{self.apply_port}"},
            "compare": {"report_dir": self.report_dir},
            "control": {"token_file": control.token_file(self.folder, name)},
        }
        for section, keys in (more or {}).items():
            self.settings.setdefault(section, {}).update(keys)
        if "standby_url" in self.settings["source"]:
            self.settings["source"]["standby_url"] = self.for_capture(self.settings["source"]["standby_url"])
        self.write()
        self.capture = self._role("capture", self.capture_port)
        self.apply = self._role("apply", self.apply_port)

    def __enter__(self):
        return self

    def __exit__(self, kind, *exc):
        self.close()
        if kind is None:
            self.assert_clean()

    def assert_clean(self):
        """No sanitizer has complained about one of the roles, and a batch was begun anew only because of the rows in it."""
        again = set(re.findall(r"batch_again .* sqlstate=(\w*)", self.apply.log_text()))
        strange = {state for state in again if state[:2] not in ("21", "23", "40", "55") and state not in ("22001", "22003", "22008", "22P02", "P0001")}
        assert not strange, f"{strange}\n{self.apply.log_tail(60)}"
        for role in (self.capture, self.apply):
            assert not role.sanitizer_reports(), f"{role.name}\n{role.log_tail(120)}"

    def write(self):
        """Writes the configuration again after settings were changed. (JSON is YAML.)"""
        with open(self.config, "w") as f:
            json.dump(self.settings, f, indent=2)
            f.write("\n")
        for job in privileges.JOBS if self.roles else ():
            with open(f"{self.config}.{job}", "w", encoding="utf-8") as f:
                f.write(privileges.as_job(self.settings, job))

    def for_capture(self, url):
        """A URL of the source's server, or of its standby, as capture comes there."""
        return privileges.as_role(url, privileges.CAPTURE) if self.roles else url

    @property
    def as_owner(self):
        """Options of a connection to the source, for what the owner of its tables does: makes more of them."""
        return f"-c role={privileges.OWNER}" if self.roles else ""

    def config_of(self, job):
        """The configuration of a job that may come as a role of its own ("compare", "cutover", "schema")."""
        return f"{self.config}.{job}" if self.roles and job in privileges.JOBS else self.config

    def _role(self, subcommand, port):
        log = os.path.join(self.folder, f"{self.name}-{subcommand}.log")
        return Role(subcommand, self.config, log, port=port, binary=self.binary, env=self.env)

    def start(self):
        self.capture.start()
        self.apply.start()
        return self

    def close(self):
        for role in (self.capture, self.apply):
            role.close()

    def run(self, *words, timeout=120, job=None):
        """Runs a subcommand with this configuration: run("compare", "run", "--json").returncode, .stdout, .stderr. job: whose role it
        comes as, where roles are in play and it is not the subcommand's."""
        config = self.config_of(job or (words[0] if words else None))
        return run_crossfade(*words, config=config, binary=self.binary, env=self.env, timeout=timeout)

    def wait_caught_up(self, timeout=120):
        """Waits until all that the source has committed by now is committed on the target, and returns that LSN.

        A marker behind it moves the pipeline on when nobody else writes.
        """
        with psycopg.connect(self.source_url, autocommit=True) as connection:
            lsn = connection.execute("SELECT pg_current_wal_insert_lsn()::text").fetchone()[0]
            connection.execute("INSERT INTO crossfade.marker (pipeline, nonce, kind) VALUES (%s, %s, 'ping')",
                               (self.name, uuid.uuid4().hex))
        self.apply.wait_lsn("applied_lsn", lsn, timeout)
        return lsn
