"""Crossfade is upgraded while a migration is under way: this version goes on with what an earlier one has left (control tables of both sides, an embedded
journal, a broker's), and what a later one has left is refused by every command, with what to do."""

import json
import os

import pytest

from rig import Kafka, Postgres, Workdir, privileges, upgrade
from rig.mariadb import MariaDB
from rig.oracle import assert_equal
from rig.pipeline import Pipeline
from rig.procs import halts
from rig.scenario import scenario

VERSIONS = upgrade.versions()


@pytest.fixture(name="world", scope="module", params=VERSIONS)
def fixture_world(request):
    with Workdir("upgrade") as folder, Postgres(folder, "target") as target:
        source = Postgres(folder, "source")
        upgrade.become(source, upgrade.facts(request.param)["system_id"])
        with source:
            for server in (source, target):
                privileges.make_roles(server.url())
            upgrade.restore_sources(source, request.param, ["up_lmdb", "up_kafka"])
            yield str(folder), source, target, request.param


def run(p, *words, expected=0):
    done = p.run(*words)
    assert done.returncode == expected, f"{words}: {done.returncode}\n{done.stdout[-3000:]}{done.stderr}"
    return done.stdout


def goes_on_to_the_end(p, target):
    """From where the old version was stopped: what is read, what is still to be applied, its dead letter, its verdict, a comparison, the cutover."""
    assert len(run(p, "apply", "dlq", "list", "--json").splitlines()) == 1
    run(p, "journal", "list")
    run(p, "journal", "verify")
    run(p, "audit", "verify")
    before = target.value("SELECT fence_id FROM crossfade.position", db=p.name)
    assert target.value("SELECT count(*) FROM t WHERE id = 3000", db=p.name) == 0 and target.value("SELECT count(*) FROM crossfade.verdict", db=p.name) == 1
    try:
        p.start()
        p.apply.wait_for(lambda status: status.get("complete"), 60, "it goes on")
        p.wait_caught_up()
        # The changes that only the old journal has: nobody has copied anything again.
        assert target.value("SELECT v FROM t WHERE id = 3000", db=p.name) == "the last one"
        assert "copy_begins" not in p.capture.log_text() and target.value("SELECT max(attempt) FROM crossfade.position", db=p.name) == 1
        assert target.value("SELECT fence_id FROM crossfade.position", db=p.name) > before
        target.sql("ALTER TABLE t DROP CONSTRAINT low", db=p.name)
        run(p, "apply", "dlq", "retry", "--all")
        p.wait_caught_up()
        assert_equal(p.source_url, p.target_url)
        run(p, "compare", "run")
        report = json.loads(run(p, "cutover", "run", "--execute", "--json"))
        assert report["outcome"] == "done", report
        assert target.value("SELECT last_value FROM tickets", db=p.name) >= 42
        run(p, "audit", "verify")
    finally:
        p.close()
    p.assert_clean()


def test_embedded_journal(world):
    folder, source, target, version = world
    journal = os.path.join(folder, "old-journal")
    upgrade.unpack(version, "up_lmdb-journal.tar.xz", journal)
    p = upgrade.bring_up(folder, source, target, version, "up_lmdb", f"lmdb:{journal}")
    goes_on_to_the_end(p, target)
    # The same files from a later version.
    path = os.path.join(journal, "data.mdb")
    with open(path, "r+b") as f:
        data = f.read()
        old = b"CFJL\1\0\0\0"  # LMDB_MAGIC, LMDB_FORMAT
        assert old in data
        f.seek(0)
        f.write(data.replace(old, b"CFJL\2\0\0\0"))
    for words in (["journal", "list"], ["journal", "verify"], ["check"], ["capture"], ["apply"]):
        done = p.run(*words)
        assert done.returncode != 0 and "format 2" in done.stdout + done.stderr and "newer crossfade" in done.stdout + done.stderr, f"{words}\n{done.stdout}{done.stderr}"


def test_kafka(world):
    folder, source, target, version = world
    kafka = Kafka(folder)
    kafka.cluster = upgrade.facts(version)["cluster"]
    os.mkdir(kafka.home)
    upgrade.unpack(version, "up_kafka-broker.tar.xz", kafka.data)
    with kafka:
        p = upgrade.bring_up(folder, source, target, version, "up_kafka", kafka.url)
        goes_on_to_the_end(p, target)
        # A fence of a later version, which may mean anything.
        from confluent_kafka import Producer
        producer = Producer({"bootstrap.servers": kafka.bootstrap})
        producer.produce("up_kafka.fence", key=b"up_kafka", value=b'{"format": 99, "kind": "plain", "id": 1}')
        assert producer.flush(30) == 0
        for words in (["journal", "list"], ["journal", "fences"], ["journal", "verify"], ["capture"], ["apply"]):
            done = p.run(*words)
            assert done.returncode != 0 and "format 99" in done.stdout + done.stderr and "newer crossfade" in done.stdout + done.stderr, f"{words}\n{done.stdout}{done.stderr}"


NEWER = "COMMENT ON SCHEMA crossfade IS 'Crossfade''s control tables, format 2'"
BOTH = [["check"], ["compare", "run"], ["cutover", "plan"], ["cutover", "run", "--execute"], ["cutover", "abort"], ["rollback", "plan"], ["cleanup"], ["decommission", "status"],
        ["schema", "plan"], ["schema", "create"], ["schema", "compare"]]
ON = {"source": BOTH + [["capture"], ["capture", "resnapshot", "public.t"]],
      "target": BOTH + [["cutover", "status"], ["apply"], ["apply", "dlq", "list"], ["audit", "list"], ["audit", "verify"]]}


def test_newer_control_tables(world):
    folder, source, target, _ = world
    with scenario(folder, source, target, "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)", name="newer") as s:
        s.start()
        s.assert_equal()
        for one in (s.admin, s.target):
            assert one("SELECT obj_description('crossfade'::regnamespace, 'pg_namespace')") == [("Crossfade's control tables, format 1",)]
        s.capture.terminate()
        s.apply.terminate()
        for side, make in (("source", s.admin), ("target", s.target)):
            make(NEWER)
            went_on = []
            for words in ON[side]:
                done = s.pipeline.run(*words, timeout=60)
                text = done.stdout + done.stderr
                if done.returncode == 0 or "format 2" not in text or "use that version, or a later one" not in text:
                    went_on.append((words, done.returncode, text[-500:]))
            assert not went_on, f"{side}: {went_on}"
            make("COMMENT ON SCHEMA crossfade IS NULL")  # as the versions before have left it
        s.target("UPDATE crossfade.position SET format = 2")
        s.apply.start()
        halts(s.apply, 5, "format 2", "use that version, or a later one")
        s.target("UPDATE crossfade.position SET format = 1")
        s.start()
        s.source("INSERT INTO t VALUES (2)")
        s.assert_equal()


def test_newer_control_tables_of_mariadb(world):
    folder, source, _, _ = world
    with MariaDB(folder, "maria") as maria:
        url = maria.create_db("newer")
        with open(os.path.join(privileges.ROOT, "schemas/sql/target_mariadb.sql"), encoding="utf-8") as f:
            maria.script(f.read(), "newer")
        maria.sql("INSERT INTO crossfade_position (pipeline, format, fence_id, fence_offset, lsn, source_system_id, attempt, complete, applied_at)"
                  " VALUES ('another', 2, 1, 1, '0/1', 1, 1, true, UTC_TIMESTAMP())", db="newer")
        p = Pipeline(folder, source.create_db("newer_maria"), url, name="newer_maria", tables=("public.*",), roles=False)
        went_on = []
        for words in (["check"], ["apply"], ["schema", "plan"], ["schema", "create"], ["compare", "run"], ["audit", "list"]):
            done = p.run(*words, timeout=60)
            text = done.stdout + done.stderr
            if done.returncode == 0 or "format 2" not in text or "use that version, or a later one" not in text:
                went_on.append((words, done.returncode, text[-500:]))
        assert not went_on, went_on
