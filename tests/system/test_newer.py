"""What a later version has left is refused by every command that reads it: control tables of either side, an embedded journal, fences. The message says where, which format it found and
which it knows, and what to do; exit code 4, 5 of a role, 1 of `check`. What earlier versions have left: test_upgrade.py."""

import json
import os
import re
import subprocess

import pytest

from rig import Kafka, Postgres, Workdir, privileges
from rig.mariadb import MariaDB
from rig.pipeline import Pipeline
from rig.procs import halts, run_crossfade
from rig.scenario import scenario
from test_approvals import make_key
from test_binlog import FULL as SOURCE_SETTINGS
from test_maria_source import case

BUILD = os.path.dirname(os.path.abspath(os.environ["CROSSFADE_BIN"]))
ADVICE = "use that version, or a later one"
# What each command reads: s, t the control tables of source and target, j the embedded journal's own format, f fences, k those in Kafka.
COMMANDS = {
    "check": "stjf",
    "schema plan": "st", "schema create": "st", "schema compare": "st",
    "capture": "sjf", "capture run": "sjf", "capture add-table public.u": "s", "capture resnapshot public.t": "s", "capture accept-ddl": "jf",
    "apply": "tjf", "apply run": "tjf", "apply dlq list": "t", "apply dlq show 1": "t", "apply dlq retry --all": "t", "apply dlq discard --all --reason x": "t",
    "apply conflicts list": "t", "apply conflicts show 1": "t", "apply conflicts resolve 1 --take source": "t",
    "compare run": "st", "compare shadow": "st", "compare watch --once": "st", "compare history": "t", "compare repair --through-journal": "st", "compare selftest": "st",
    "cutover plan": "st", "cutover run --execute": "st", "cutover resume": "st", "cutover abort": "st", "cutover list": "t", "cutover status": "t", "cutover report": "t", "cutover watch --once": "st",
    "rollback plan": "st", "rollback run --execute": "st", "rollback resume": "st", "rollback abort": "st", "rollback list": "s", "rollback status": "s", "rollback rehearse": "st",
    "cleanup": "st", "cleanup --execute --journal --confirm NAME": "stjk",
    "decommission status": "st", "decommission watch --once": "st", "decommission tombstone": "st",
    "approve ticket --key KEY": "st", "approve list": "t", "approve revoke abc": "t",
    "audit list": "t", "audit export": "t", "audit verify": "st",
    "journal list": "tjf", "journal cat fence": "jf", "journal follow fence": "jf", "journal fences": "jf", "journal verify": "jf",
}
# Verbs of `--help` that read none of it: they speak to a running role, which has looked.
OVER_HTTP = {"pause", "resume", "throttle", "reload", "drain", "status", "caught-up"}
NO_VERBS = {"source", "target", "markdown", "html", "json", "take"}  # values of flags
# What a MariaDB target is not for, and says so: another refusal.
NOT_FOR_MARIADB = {"schema compare", "compare shadow", "compare selftest", "journal list", "rollback rehearse"}


def reading(what):
    return [words for words, reads in COMMANDS.items() if what in reads]


def test_no_command_is_missing_here():
    listed = {}
    for words in COMMANDS:
        listed.setdefault(words.split()[0], set()).update(words.split())
    main = run_crossfade("--help").stdout
    commands = set(re.findall(r"^  ([a-z]+) ", main, re.M)) - {"status", "help"}
    assert commands == set(listed), commands ^ set(listed)
    for command, known in listed.items():
        usage = run_crossfade(command, "--help").stdout.splitlines()[0].partition(f"] {command}")[2]
        verbs = set(re.findall(r"(?<![-\w])[a-z][a-z-]+", re.sub(r"--[a-z-]+", "", usage)))
        assert not verbs - known - OVER_HTTP - NO_VERBS, f"{command}: {verbs - known - OVER_HTTP - NO_VERBS}"


def refusing(p, commands, found, where, key=None):
    """Each of them says so; with what else they said, if not."""
    went_on = []
    for words in commands:
        done = p.run(*({"KEY": key, "NAME": p.name}.get(word, word) for word in words.split()), timeout=60)
        text = done.stdout + done.stderr
        codes = (1,) if words == "check" else (4, 5)
        says = re.search(rf"format {found}, this program \([0-9.]+\) knows up to [0-9]+: a newer crossfade", text)
        if done.returncode not in codes or says is None or where not in text or ADVICE not in text or "Sanitizer" in text:
            went_on.append(f"{words}: {done.returncode}\n{text[-600:]}")
    assert not went_on, f"{len(went_on)} of {len(commands)}\n" + "\n".join(went_on)


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("newer") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        for server in (source, target):
            privileges.make_roles(server.url())
        yield str(folder), source, target


@pytest.fixture(name="maria", scope="module")
def fixture_maria(servers):
    with MariaDB(servers[0], "maria", {"sql-mode": "STRICT_TRANS_TABLES"}) as maria:
        yield maria


SCHEMA = "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY); INSERT INTO t VALUES (1)"


def settings(folder, name):
    """Nothing but the format is to be refused."""
    key, public = make_key(folder, name)
    return key, {"cutover": {"approvers": [{"name": "anna", "key": public}], "approval": ["ticket"]}, "reverse": {"capture_listen": "127.0.0.1:1", "apply_listen": "127.0.0.1:2"},
                 "apply": {"on_row_error": "dead_letter"}, "compare": {"shadow": {"queries": ["SELECT count(*) FROM t"]}}}


NEWER = "COMMENT ON SCHEMA crossfade IS 'Crossfade''s control tables, format 2'"


def test_control_tables(servers):
    folder, source, target = servers
    key, more = settings(folder, "newer")
    with scenario(folder, source, target, SCHEMA, name="newer", more=more) as s:
        s.start()
        s.assert_equal()
        for one in (s.admin, s.target):
            assert one("SELECT obj_description('crossfade'::regnamespace, 'pg_namespace')") == [("Crossfade's control tables, format 1",)]
        s.capture.terminate()
        s.apply.terminate()
        for side, make in (("s", s.admin), ("t", s.target)):
            make(NEWER)
            refusing(s.pipeline, reading(side), 2, "database newer (schema crossfade)", key)
            make("COMMENT ON SCHEMA crossfade IS NULL")  # as the versions before have left it
        s.target("UPDATE crossfade.position SET format = 2")
        s.apply.start()
        halts(s.apply, 5, "format 2", ADVICE)
        s.target("UPDATE crossfade.position SET format = 1")
        s.start()
        s.source("INSERT INTO t VALUES (2)")
        s.assert_equal()


def spoil(*words):
    done = subprocess.run([os.path.join(BUILD, "tests", "lmdb-spoil"), *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_embedded_journal(servers):
    folder, source, target = servers
    with scenario(folder, source, target, SCHEMA, name="newer_lmdb", more=settings(folder, "newer_lmdb")[1]) as s:
        s.start()
        s.assert_equal()
        s.capture.terminate()
        s.apply.terminate()
        journal = os.path.join(folder, "newer_lmdb-journal")
        last = json.loads(s.pipeline.run("journal", "fences", "--last", "1").stdout)
        spoil(journal, "edit", "newer_lmdb.fence", last["offset"], '"format":1', '"format":9')
        refusing(s.pipeline, reading("f"), 9, "newer_lmdb.fence")
        spoil(journal, "edit", "newer_lmdb.fence", last["offset"], '"format":9', '"format":1')
        path = os.path.join(journal, "data.mdb")
        with open(path, "rb") as f:
            data = f.read()
        old = b"CFJL\1\0\0\0"  # LMDB_MAGIC, LMDB_FORMAT
        assert old in data
        for text in (data.replace(old, b"CFJL\2\0\0\0"), data):
            with open(path, "r+b") as f:
                f.write(text)
            if text != data:
                refusing(s.pipeline, reading("j"), 2, journal)
        s.start()
        s.source("INSERT INTO t VALUES (2)")
        s.assert_equal()


def test_fences_in_kafka(servers):
    from confluent_kafka import Producer
    folder, source, target = servers
    with Kafka(folder) as kafka, scenario(folder, source, target, SCHEMA, name="newer_kafka", journal=kafka.url, more=settings(folder, "newer_kafka")[1]) as s:
        s.start()
        s.assert_equal()
        s.capture.terminate()
        s.apply.terminate()
        producer = Producer({"bootstrap.servers": kafka.bootstrap})
        producer.produce("newer_kafka.fence", key=b"newer_kafka", value=b'{"format": 99, "kind": "plain", "id": 1}')
        assert producer.flush(30) == 0
        refusing(s.pipeline, sorted({*reading("f"), *reading("k")}), 99, "newer_kafka.fence")


# How it is made newer, how it is put back, and how the message calls it.
ON_MARIADB = {
    "marker": ("ALTER TABLE crossfade_marker COMMENT = 'anything; format 2'", "ALTER TABLE crossfade_marker COMMENT = ''", "crossfade_marker"),
    "decision": ("ALTER TABLE crossfade_decision COMMENT = '; format 2'", "ALTER TABLE crossfade_decision COMMENT = 'in format 2'", "crossfade_decision"),
    "position": ("ALTER TABLE crossfade_position COMMENT = '; format 2'", "ALTER TABLE crossfade_position COMMENT = 'format 2; as ever'", "crossfade_position"),
    "row": ("UPDATE crossfade_position SET format = 2", "UPDATE crossfade_position SET format = 1", "crossfade_position"),
}


def make_tables(maria, db, *scripts):
    for script in scripts:
        with open(os.path.join(privileges.ROOT, "schemas", "sql", f"{script}.sql"), encoding="utf-8") as f:
            maria.script(f.read(), db)


def test_control_tables_of_mariadb(servers, maria):
    """The target, which a rollback makes a source as well."""
    folder, source, _ = servers
    key, more = settings(folder, "newer_maria")
    url = source.create_db("newer_maria")
    source.sql(SCHEMA, db="newer_maria")
    with Pipeline(folder, url, maria.create_db("newer_maria", jobs=("apply", "schema", "cutover")), name="newer_maria", tables=("public.*",), more=more) as p:
        assert p.run("schema", "create", "--execute").returncode == 0
        p.start()
        p.apply.wait_for(lambda status: status.get("complete"), 60, "the copy is complete")
        p.wait_caught_up()
        p.close()
        make_tables(maria, "newer_maria", "source_mariadb", "source_mariadb_cutover")
        comments = dict(maria.sql("SELECT TABLE_NAME, TABLE_COMMENT FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'newer_maria'"))
        for table in ("crossfade_marker", "crossfade_decision", "crossfade_position"):
            assert comments[table].endswith("; format 1"), comments
        every = [words for words in reading("t") if words not in NOT_FOR_MARIADB]
        for name, (newer, older, table) in ON_MARIADB.items():
            maria.sql(newer, db="newer_maria")
            refusing(p, every if name == "marker" else ["check", "apply"], 2, f"database newer_maria ({table})", key)
            maria.sql(older, db="newer_maria")
        p.start()
        source.sql("INSERT INTO t VALUES (2)", db="newer_maria")
        p.wait_caught_up()
        assert maria.value("SELECT count(*) FROM t", db="newer_maria") == "2"


# Of a MariaDB that is only a source, as far as commands know such a pipeline.
FROM_MARIADB = ["check", "capture", "capture run", "cleanup", "cleanup --execute --journal --confirm NAME"]


def test_mariadb_as_a_source(servers):
    folder, _, target = servers
    with MariaDB(folder, "only", SOURCE_SETTINGS) as only, \
            case(folder, only, target, "newer_only", "CREATE TABLE t (id int PRIMARY KEY)", "CREATE TABLE t (id int PRIMARY KEY)") as s:
        s.start().wait()
        s.capture.terminate()
        make_tables(only, "newer_only", "source_mariadb_cutover")
        for name in ("marker", "decision"):
            newer, older, table = ON_MARIADB[name]
            only.sql(newer, db="newer_only")
            refusing(s.pipeline, FROM_MARIADB if name == "marker" else ["check", "capture"], 2, f"database newer_only ({table})")
            only.sql(older, db="newer_only")
        only.sql("ALTER TABLE crossfade_marker COMMENT = ''", db="newer_only")  # as the versions before have made it
        s.start()
        s.source("INSERT INTO t VALUES (2)")
        s.wait()
        assert s.target("SELECT id FROM t") == [(2,)]
