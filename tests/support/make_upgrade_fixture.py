"""Makes tests/system/data/upgrade/NAME and NAME-mariadb: what migrations in full flow look like that this version of Crossfade runs, for later versions to go on with
(tests/system/test_upgrade.py). Run once for a release, with its executable and its rig: CROSSFADE_BIN=… make_upgrade_fixture.py NAME [mariadb]

To PostgreSQL two pipelines of one source server, over an embedded journal and over Kafka; with "mariadb" one to MariaDB, over an embedded journal. In each: the copy is proven equal, a
row is held as a dead letter, and apply has stopped some changes behind what capture has journalled.
"""

import json
import lzma
import os
import subprocess
import sys
import tarfile

from rig import Kafka, Pipeline, Postgres, Workdir, wait_until
from rig.mariadb import MariaDB
from rig.mariadb import run as mariadb
from rig.scenario import scenario

HERE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "system", "data", "upgrade")
SCHEMA = '''CREATE TABLE t (id int PRIMARY KEY, v text, n numeric(12,3), at timestamptz);
CREATE TABLE "odd ""näme""" (k text PRIMARY KEY, a int[], j jsonb);
CREATE SEQUENCE tickets; SELECT setval('tickets', 41);
INSERT INTO t SELECT i, 'v' || i, i / 7.0, '2024-01-01'::timestamptz + i * interval '1 s' FROM generate_series(1, 300) i;
INSERT INTO "odd ""näme""" SELECT 'k' || i, ARRAY[i, NULL], jsonb_build_object('i', i) FROM generate_series(1, 50) i'''
ODD, ODD_MARIA = '"odd ""näme"""', '"odd `näme"'
SCHEMA_MARIA = """CREATE TABLE t (id int PRIMARY KEY, v text, n numeric(12,3), at timestamptz);
CREATE TABLE "odd `näme" (k varchar(40) COLLATE "C" PRIMARY KEY, a int[], j jsonb);
CREATE SEQUENCE tickets; SELECT setval('tickets', 41);
INSERT INTO t SELECT i, 'v' || i, i / 7.0, '2024-01-01'::timestamptz + i * interval '1 s' FROM generate_series(1, 300) i;
INSERT INTO "odd `näme" SELECT 'k' || i, ARRAY[i, NULL], jsonb_build_object('i', i) FROM generate_series(1, 50) i"""
LIMIT = "ALTER TABLE t ADD CONSTRAINT low CHECK (n < 100000)"
SEGMENTS = 6  # of WAL before the journal's first fence: a fresh server can be brought to less


def dump(url):
    return subprocess.run(["pg_dump", "-d", url], capture_output=True, text=True, check=True).stdout


def dump_mariadb(server, db):
    """Its tables with their rows, and its sequences without their values, as statements for MariaDB.script(). (mariadb-dump is not everywhere.)"""
    def quoted(name):
        return "`" + name.replace("`", "``") + "`"
    with server.connect(db) as connection:
        statements = ["SET foreign_key_checks = 0"]
        for table, kind in mariadb(connection, "SELECT TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE IN ('BASE TABLE', 'SEQUENCE') ORDER BY 1"):
            statements.append(mariadb(connection, f"SHOW CREATE TABLE {quoted(table)}")[0][1])
            columns = mariadb(connection, "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = %s AND EXTRA NOT LIKE '%%GENERATED%%'"
                              " ORDER BY ORDINAL_POSITION", (table,))
            names = ", ".join(quoted(name) for (name,) in columns)
            for row in mariadb(connection, f"SELECT {names} FROM {quoted(table)}") if kind == "BASE TABLE" else ():
                values = ("NULL" if cell is None else f"X'{cell.hex()}'" if isinstance(cell, bytes) else connection.escape(cell) for cell in row)
                statements.append(f"INSERT INTO {quoted(table)} ({names}) VALUES ({', '.join(values)})")
    return ";\n".join(statements) + ";\n"


def packed(path, text):
    with lzma.open(path, "wt", encoding="utf-8") as f:
        f.write(text)


class ToMaria:
    """As a Scenario, as far as migrate() goes: a database on each side, the target's made by `schema create`."""

    def __init__(self, folder, source, target, name):
        self.name, self.servers, self.source_url = name, (source, target), source.create_db(name)
        self.source(SCHEMA_MARIA)
        url = target.create_db(name, jobs=("apply", "schema"))
        self.pipeline = Pipeline(folder, self.source_url, url, name=name, tables=("public.*",), more={"apply": {"on_row_error": "dead_letter"}, "capture": {"heartbeat_interval_ms": 500}})
        self.capture, self.apply = self.pipeline.capture, self.pipeline.apply

    def source(self, *statements):
        for statement in statements:
            self.servers[0].sql(statement, db=self.name)

    def target(self, statement):
        self.servers[1].sql(statement, db=self.name)

    def start(self):
        command(self.pipeline, "schema", "create", "--execute")
        self.pipeline.start()
        self.apply.wait_for(lambda status: status.get("complete"), 120, "the copy is complete")
        self.target(LIMIT)

    def wait(self):
        self.pipeline.wait_caught_up()

    def dump_target(self):
        return dump_mariadb(self.servers[1], self.name)


def command(pipeline, *words):
    done = pipeline.run(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def to_postgres(folder, source, target, name, journal, out):
    more = {"apply": {"on_row_error": "dead_letter"}}
    with scenario(folder, source, target, SCHEMA, name=name, more=more, journal=journal, superuser=None) as s:
        s.target(LIMIT)
        s.dump_target = lambda: dump(s.target_url)
        s.start()
        return migrate(s, source, ODD, out)


def to_mariadb(folder, source, target, name, out):
    s = ToMaria(folder, source, target, name)
    s.start()
    try:
        return migrate(s, source, ODD_MARIA, out)
    finally:
        s.pipeline.close()


def migrate(s, source, odd, out):
    """Up to where a later version takes over."""
    s.source("INSERT INTO t SELECT i, 'new', i, now() FROM generate_series(1001, 1100) i", "UPDATE t SET v = 'changed' WHERE id % 3 = 0")
    s.wait()
    command(s.pipeline, "compare", "run")
    s.source("INSERT INTO t VALUES (2000, 'too high', 200000, NULL)")
    s.wait()
    letters = json.loads(command(s.pipeline, "apply", "dlq", "list", "--json"))
    assert "low" in json.dumps(letters), letters
    s.apply.terminate()
    s.source("DELETE FROM t WHERE id < 20", "UPDATE t SET id = id + 5000 WHERE id BETWEEN 30 AND 40", "UPDATE t SET n = -n WHERE id > 1050",
             f"BEGIN; INSERT INTO {odd} VALUES ('last', '{{}}', NULL); UPDATE t SET v = 'two in one' WHERE id = 100; COMMIT", "SELECT nextval('tickets')")
    s.source("INSERT INTO t VALUES (3000, 'the last one', 3, NULL)")
    lsn = source.value("SELECT pg_current_wal_insert_lsn()::text")
    wait_until(lambda: last_fence(s) >= number(lsn), 60, "all is journalled")
    s.capture.terminate()
    packed(os.path.join(out, f"{s.name}-source.sql.xz"), dump(s.source_url))
    packed(os.path.join(out, f"{s.name}-target.sql.xz"), s.dump_target())
    return {"last_lsn": last_fence(s)}


def number(lsn):
    high, low = lsn.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def last_fence(s):
    lsn = s.capture.status().get("journaled_lsn") if s.capture.running else LAST[s.name]
    LAST[s.name] = number(lsn) if isinstance(lsn, str) else lsn
    return LAST[s.name]


LAST = {}


def pack_folder(path, out):
    with tarfile.open(out, "w:xz") as tar:
        tar.add(path, arcname="data")


def made_older(source):
    for _ in range(SEGMENTS):
        source.sql("SELECT pg_switch_wal(); CREATE TABLE filler (); DROP TABLE filler")
    return {"system_id": source.system_id, "segments": SEGMENTS}


def note(out, facts):
    with open(os.path.join(out, "facts.json"), "w", encoding="utf-8") as f:
        json.dump(facts, f, indent=2)
        f.write("\n")


def main(name):
    out = os.path.join(HERE, name)
    os.makedirs(out)
    with Workdir("upgrade") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target, Kafka(folder) as kafka:
        facts = dict(made_older(source), cluster=kafka.cluster)
        facts["up_lmdb"] = to_postgres(folder, source, target, "up_lmdb", None, out)
        facts["up_kafka"] = to_postgres(folder, source, target, "up_kafka", kafka.url, out)
        pack_folder(os.path.join(str(folder), "up_lmdb-journal"), os.path.join(out, "up_lmdb-journal.tar.xz"))
        kafka.stop()
        pack_folder(kafka.data, os.path.join(out, "up_kafka-broker.tar.xz"))
    note(out, facts)


def main_mariadb(name):
    os.environ["CF_ROLES"] = "all"  # as tests have it
    out = os.path.join(HERE, f"{name}-mariadb")
    os.makedirs(out)
    with Workdir("upgrade") as folder, Postgres(folder, "source") as source, MariaDB(folder, "target", {"sql-mode": "STRICT_TRANS_TABLES"}) as target:
        facts = made_older(source)
        facts["up_maria"] = to_mariadb(folder, source, target, "up_maria", out)
        pack_folder(os.path.join(str(folder), "up_maria-journal"), os.path.join(out, "up_maria-journal.tar.xz"))
    note(out, facts)


if __name__ == "__main__":
    (main_mariadb if sys.argv[2:] == ["mariadb"] else main)(sys.argv[1])
