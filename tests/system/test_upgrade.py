"""Crossfade is upgraded while a migration is under way: this version goes on with what an earlier one has left (control tables of both sides, an embedded
journal, a broker's). What a later one has left: test_newer.py."""

import contextlib
import json
import os

import psycopg
import pytest

from rig import Kafka, Postgres, Workdir, privileges, upgrade
from rig.cutting import refusals
from rig.mariadb import MariaDB
from rig.oracle import assert_equal

VERSIONS = upgrade.versions()


@contextlib.contextmanager
def old_source(folder, version, names):
    """The server that capture of that version has left."""
    source = Postgres(folder, "source")
    upgrade.become(source, upgrade.facts(version)["system_id"])
    with source:
        privileges.make_roles(source.url())
        upgrade.restore_sources(source, version, names)
        yield source


@pytest.fixture(name="world", scope="module", params=VERSIONS)
def fixture_world(request):
    with Workdir("upgrade") as folder, Postgres(folder, "target") as target, old_source(folder, request.param, ["up_lmdb", "up_kafka"]) as source:
        privileges.make_roles(target.url())
        yield str(folder), source, target, request.param


def run(p, *words, expected=0):
    done = p.run(*words)
    assert done.returncode == expected, f"{words}: {done.returncode}\n{refusals(done.stdout)}\n{done.stdout[-3000:]}{done.stderr}"
    return done.stdout


class OnPostgres:
    """The target, as goes_on_to_the_end() looks at it."""
    position, verdict = "crossfade.position", "crossfade.verdict"

    def __init__(self, server, p):
        self.server, self.p = server, p

    def value(self, query):
        return str(self.server.value(query, db=self.p.name))

    def sql(self, statement):
        self.server.sql(statement, db=self.p.name)

    def assert_equal(self):
        assert_equal(self.p.source_url, self.p.target_url)


class OnMariaDB(OnPostgres):
    position, verdict = "crossfade_position", "crossfade_verdict"
    ROWS = (("SELECT id::text, v, n::text, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') FROM t", "SELECT * FROM t"),
            ('SELECT k, j::text FROM "odd `näme"', "SELECT k, j FROM `odd ``näme`"))

    def assert_equal(self):
        with psycopg.connect(self.p.source_url) as source:
            for left, right in self.ROWS:
                assert sorted(source.execute(left).fetchall(), key=str) == sorted(self.server.sql(right, db=self.p.name), key=str)


def goes_on_to_the_end(p, target):
    """From where the old version was stopped: what is read, what is still to be applied, its dead letter, its verdict, a comparison, the cutover."""
    assert len(run(p, "apply", "dlq", "list", "--json").splitlines()) == 1
    run(p, "journal", "list")
    run(p, "journal", "verify")
    run(p, "audit", "verify")
    before = target.value(f"SELECT fence_id FROM {target.position}")
    assert target.value("SELECT count(*) FROM t WHERE id = 3000") == "0" and target.value(f"SELECT count(*) FROM {target.verdict}") == "1"
    try:
        p.start()
        p.apply.wait_for(lambda status: status.get("complete"), 60, "it goes on")
        p.wait_caught_up()
        # The changes that only the old journal has: nobody has copied anything again.
        assert target.value("SELECT v FROM t WHERE id = 3000") == "the last one"
        assert "copy_begins" not in p.capture.log_text() and target.value(f"SELECT max(attempt) FROM {target.position}") == "1"
        assert int(target.value(f"SELECT fence_id FROM {target.position}")) > int(before)
        target.sql("ALTER TABLE t DROP CONSTRAINT low")
        run(p, "apply", "dlq", "retry", "--all")
        p.wait_caught_up()
        target.assert_equal()
        run(p, "compare", "run")
        report = json.loads(run(p, "cutover", "run", "--execute", "--json"))
        assert report["outcome"] == "done", report
        assert int(target.value("SELECT nextval(tickets)" if isinstance(target, OnMariaDB) else "SELECT nextval('tickets')")) > 42
        run(p, "audit", "verify")
    finally:
        p.close()
    p.assert_clean()


def test_embedded_journal(world):
    folder, source, target, version = world
    journal = os.path.join(folder, "old-journal")
    upgrade.unpack(version, "up_lmdb-journal.tar.xz", journal)
    p = upgrade.bring_up(folder, source, target, version, "up_lmdb", f"lmdb:{journal}")
    goes_on_to_the_end(p, OnPostgres(target, p))


def test_kafka(world):
    folder, source, target, version = world
    kafka = Kafka(folder)
    kafka.cluster = upgrade.facts(version)["cluster"]
    os.mkdir(kafka.home)
    upgrade.unpack(version, "up_kafka-broker.tar.xz", kafka.data)
    with kafka:
        p = upgrade.bring_up(folder, source, target, version, "up_kafka", kafka.url)
        goes_on_to_the_end(p, OnPostgres(target, p))


@pytest.mark.parametrize("version", upgrade.versions(mariadb=True))
def test_to_mariadb(version):
    with Workdir("upgrade-mariadb") as folder, MariaDB(folder, "target", {"sql-mode": "STRICT_TRANS_TABLES"}) as target, old_source(folder, version, ["up_maria"]) as source:
        journal = os.path.join(str(folder), "old-journal")
        upgrade.unpack(version, "up_maria-journal.tar.xz", journal)
        p = upgrade.bring_up_mariadb(str(folder), source, target, version, "up_maria", f"lmdb:{journal}")
        target.sql("CREATE SEQUENCE tickets", db="up_maria")  # `schema create` leaves those of no column to the administrator
        goes_on_to_the_end(p, OnMariaDB(target, p))
