"""Apply reads topics that Debezium's connectors write: PostgreSQL in JSON, MariaDB in Avro."""

import contextlib
import json
import os
import urllib.request

import psycopg
import pytest

from rig import Postgres, Workdir
from rig.connect import JSON, Connect, avro, mariadb_source, postgres_source
from rig.kafka import Kafka
from rig.mariadb import MariaDB
from rig.oracle import assert_equal
from rig.ports import free_port
from rig.postgres import copy_schema
from rig.procs import Role, run_crossfade
from rig.registry import Registry
from rig.scenario import position
from rig.wait import wait_until


@pytest.fixture(name="folder", scope="module")
def fixture_folder():
    with Workdir("dbz") as folder:
        yield folder


@pytest.fixture(name="kafka", scope="module")
def fixture_kafka(folder):
    with Kafka(folder) as kafka:
        yield kafka


@pytest.fixture(name="target", scope="module")
def fixture_target(folder):
    with Postgres(folder, "target") as target:
        yield target


class Foreign:
    """apply over source.debezium: with Foreign(folder, "name", target url, {debezium: …}) as f: f.apply.start()"""

    def __init__(self, folder, name, url, debezium, **more):
        self.name, self.url, self.port = name, url, free_port()
        self.config = os.path.join(str(folder), f"{name}.yaml")
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
        wait_until(there, timeout, query, interval=0.1)

    def run(self, *words):
        return run_crossfade(*words, config=self.config, timeout=60)


def run_sql(url, *statements):
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


PG_SCHEMA = """
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy ☺');
CREATE TABLE kinds (id int PRIMARY KEY, s smallint, l bigint, r real, d double precision, n numeric(20,4), nn numeric, b boolean, t text, v varchar(30), c char(5), y bytea,
    da date, ti time, t3 time(3), ts timestamp, ts3 timestamp(3), tz timestamptz, u uuid, j json, jb jsonb, m mood, ip inet, ci cidr, ma macaddr, ia int[], ta text[], ua uuid[],
    ra int4range, mo money, x xml, bi bit(1), b8 bit(8), vb varbit, iv interval, p point, h numeric(12,2) NOT NULL DEFAULT 0);
CREATE TABLE papers (id int PRIMARY KEY, body text NOT NULL, tags text[], n int);
ALTER TABLE papers ALTER body SET STORAGE EXTERNAL;
CREATE TABLE pairs (a int, b text, d date, v text, PRIMARY KEY (b, a, d));
CREATE TABLE "Odd Table" ("Key" uuid PRIMARY KEY, "value x" text);
CREATE TABLE nokey (a int, b text);
ALTER TABLE nokey REPLICA IDENTITY FULL;
CREATE TABLE gone (id int PRIMARY KEY);
CREATE TABLE account (id int PRIMARY KEY, amount bigint NOT NULL);
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (id int PRIMARY KEY, parent int NOT NULL REFERENCES parent);
CREATE TABLE done (id int PRIMARY KEY);
"""
PG_KINDS = """INSERT INTO kinds SELECT %d + i, -i, 1234567890123 + i, i / 3.0, i / 7.0, i + 0.5, i + 0.25, i & 1 = 0, 'text ☺ ' || i, 'v' || i, 'ab', decode('00ff' || to_hex(16 + i), 'hex'),
    '2024-02-29'::date + i, '13:14:15.123456', '13:14:15.123', '2024-02-29 13:14:15.123456', '2024-02-29 13:14:15.123', '2024-02-29 13:14:15.123456+05:30', md5(i::text)::uuid,
    '{"b": 1,  "a": [1, null]}', '{"b": 1, "a": [1, null, "x"]}', 'happy ☺', '192.168.1.5/24', '10.1.0.0/16', '08:00:2b:01:02:03', ARRAY[i, NULL, 3], ARRAY['a', 'b c', NULL, 'd"e'],
    ARRAY[md5('x')::uuid], int4range(1, i + 5), i * 1.5, '<r a="1">t</r>', B'1', B'10000001', B'101', make_interval(hours => i, secs => 6.789012), point(1.5, -i), i FROM generate_series(1, 20) i"""
PG_CHANGES = [
    PG_KINDS % 1000,
    "INSERT INTO kinds (id) VALUES (5000)", "UPDATE kinds SET n = NULL, ia = NULL, j = NULL, u = NULL WHERE id % 3 = 0", "DELETE FROM kinds WHERE id % 7 = 0",
    "UPDATE papers SET n = -n WHERE id % 2 = 0", "UPDATE papers SET body = 'short' WHERE id = 3",  # values that are not sent again
    "UPDATE papers SET id = id + 100 WHERE id > 15", "UPDATE papers SET id = 500, n = 7 WHERE id = 120",  # and other keys
    "UPDATE pairs SET a = a + 10, v = 'moved' WHERE a > 5",
    "UPDATE \"Odd Table\" SET \"value x\" = NULL",
    "INSERT INTO nokey VALUES (1, 'x'), (1, 'x'), (2, NULL)", "DELETE FROM nokey WHERE ctid = (SELECT min(ctid) FROM nokey WHERE a = 1)", "UPDATE nokey SET b = 'y' WHERE a = 2",
    "INSERT INTO gone SELECT generate_series(1, 50)", "TRUNCATE gone", "INSERT INTO gone VALUES (7)",
    "INSERT INTO parent VALUES (1); INSERT INTO child VALUES (1, 1)", "BEGIN; INSERT INTO parent VALUES (2); UPDATE child SET parent = 2; DELETE FROM parent WHERE id = 1; COMMIT",
]


def test_postgresql_topics_in_json(folder, kafka, target):
    """Keys, TOAST, TRUNCATE, DDL, whole transactions, by the transaction topic; kill -9 of apply while Debezium writes."""
    with Postgres(folder, "source", settings={"wal_level": "logical"}) as source:
        source_url, target_url = source.create_db("shop"), target.create_db("pg")
        run_sql(source_url, PG_SCHEMA, PG_KINDS % 0, "INSERT INTO papers SELECT i, repeat('body ' || i, 2000), ARRAY['t', NULL], i FROM generate_series(1, 20) i",
                "INSERT INTO pairs SELECT i, 'b' || i, '2024-01-01', 'v' FROM generate_series(1, 10) i", "INSERT INTO \"Odd Table\" SELECT md5(i::text)::uuid, 'ü' FROM generate_series(1, 5) i",
                "INSERT INTO account SELECT i, 100 FROM generate_series(1, 20) i")
        copy_schema(source_url, target_url)
        settings = postgres_source("pg", source_url, r"public\..*", JSON, **{
            "provide.transaction.metadata": "true", "column.propagate.source.type": ".*", "interval.handling.mode": "string",
            "topic.creation.default.partitions": 2, "topic.creation.groups": "ends", "topic.creation.ends.include": r"pg\.transaction",
            "topic.creation.ends.partitions": 1, "topic.creation.ends.replication.factor": 1})
        topics = {"brokers": kafka.bootstrap, "topics": ["pg.public.*"], "transaction_topic": "pg.transaction"}
        with Foreign(folder, "pg", target_url, topics) as f, Connect(folder, kafka, {"pg": settings}):
            f.apply.start()
            f.wait_row("SELECT count(*) = 20 FROM account", 180)
            f.wait_row("SELECT count(*) = 20 FROM papers")
            run_sql(source_url, *PG_CHANGES)
            kills = transfers(source_url, f)
            run_sql(source_url, "ALTER TABLE done ADD extra text", "INSERT INTO done VALUES (1, 'with a new column')")
            wait_until(lambda: not f.apply.running, 60, "apply halts at a column that the target lacks")
            assert f.apply.exit_code == 5 and "extra" in f.apply.log_tail(5), f.apply.log_tail(10)
            run_sql(target_url, "ALTER TABLE done ADD extra text")
            f.apply.start()
            f.wait_row("SELECT extra FROM done WHERE id = 1")
            assert_equal(source_url, target_url)
            status = json.load(urllib.request.urlopen(f"http://127.0.0.1:{f.port}/status", timeout=10))
            assert status["promise"] == "transactions whole" and status["complete"], status
            shown = f.run("status")
            assert shown.returncode == 0 and "transactions whole" in shown.stdout and "capture" not in shown.stdout, shown.stdout + shown.stderr
            print(f"{kills} kills; position {position(target_url, 'pg')}")
            assert f.apply.terminate() == 0, f.apply.log_tail()


def transfers(source_url, f, times=6):
    """Sums that only whole transactions keep, while apply is killed over and over."""
    for n in range(times):
        run_sql(source_url, *["BEGIN; UPDATE account SET amount = amount - 7 WHERE id = %d; UPDATE account SET amount = amount + 7 WHERE id = %d; COMMIT" % (1 + i % 20, 1 + (i * 7 + n + 1) % 20)
                              for i in range(40)])
        run_sql(source_url, "INSERT INTO done VALUES (%d)" % (100 + n))
        assert f.apply.running, f.apply.log_tail()
        f.apply.kill9()
        assert f.value("SELECT sum(amount) FROM account") == 2000
        f.apply.start()
        for _ in range(30):
            assert f.value("SELECT sum(amount) FROM account") == 2000
    f.wait_row("SELECT count(*) > 0 FROM done WHERE id = %d" % (100 + times - 1))
    return times
