"""Topics of Debezium that look right and are not: partitions that come twice, other placeholders, keys that are NULL, the first transaction."""

import json
import urllib.parse

import pytest

from rig import Postgres, Workdir
from rig.connect import JSON, Connect, postgres_source
from rig.foreign import Foreign, run_sql
from rig.kafka import Kafka
from rig.oracle import assert_equal
from rig.postgres import copy_schema
from rig.procs import halts
from test_debezium_records import COLUMNS, foreign, row


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("dbzdoubt") as folder, Postgres(folder, "target") as target, Kafka(folder) as kafka:
        yield folder, target, kafka


def user_of(f):
    return urllib.parse.urlsplit(f.settings["target"]["url"]).username


def configured(f, **settings):
    f.settings["source"]["debezium"].update(settings)
    with open(f.config, "w", encoding="utf-8") as config:
        json.dump(f.settings, config)


def test_first_transaction_behind_the_snapshot(servers):
    """It does not tell the commit before it: what it makes and deletes is gone."""
    f, topics = foreign(servers, "first", transactions=False)
    with f:
        topics.change("r", row(1, "snap"), None, 100, snapshot="last")
        topics.change("c", row(2, "two"), None, 110, 7, 1)
        topics.change("d", None, None, 120, 7, 2, before=row(2, "two"))
        topics.change("c", row(3, "end"), 130, 140, 8, 1)
        f.apply.start()
        f.wait_row("SELECT v = 'end' FROM t WHERE id = 3")
        assert f.rows("SELECT id FROM t ORDER BY id") == [(1,), (3,)]


def test_a_key_that_is_null(servers):
    f, topics = foreign(servers, "nullkey", transactions=False)
    with f:
        topics.change("r", row(None, "snap"), None, 100, snapshot="last", columns=[dict(COLUMNS[0], optional=True), *COLUMNS[1:]])
        f.apply.start()
        halts(f.apply, 5, f"topic={topics.topic} partition=0 offset=0", "column id of the key is NULL", "message.key.columns")


SCHEMA = """
CREATE EXTENSION hstore;
CREATE TABLE large (id int PRIMARY KEY, t text, h hstore, y bytea, a text[], n int);
ALTER TABLE large ALTER t SET STORAGE EXTERNAL, ALTER h SET STORAGE EXTERNAL, ALTER y SET STORAGE EXTERNAL, ALTER a SET STORAGE EXTERNAL;
CREATE TABLE parted (id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
"""
LARGE = "INSERT INTO large SELECT i, repeat('t' || i, 2000), hstore('k', repeat('h' || i, 2000)), convert_to(repeat('y' || i, 2000), 'UTF8'), ARRAY[repeat('a' || i, 4000)], i FROM generate_series(1, 3) i"


def test_placeholders_and_partitions(servers):
    """A placeholder that is configured, in all forms; rows of partitions that the snapshot writes twice, which the stream takes back in one topic."""
    folder, target, kafka = servers
    with Postgres(folder, "source", settings={"wal_level": "logical"}) as source:
        source_url, target_url = source.create_db("shop"), target.create_db("forms")
        run_sql(source_url, SCHEMA, LARGE, "INSERT INTO parted SELECT i, '2024-12-01'::date + i FROM generate_series(1, 60) i")
        copy_schema(source_url, target_url)
        settings = {name: postgres_source(name, source_url, r"public\..*", JSON, **{"column.propagate.source.type": ".*"}, **more) for name, more in (
            ("forms", {"unavailable.value.placeholder": "(not sent)", "hstore.handling.mode": "map"}), ("plain", {"hstore.handling.mode": "json"}))}
        topics = {"brokers": kafka.bootstrap, "topics": ["forms.public.*"], "unavailable_value": "(not sent)"}
        plain_url = target.create_db("plain")
        copy_schema(source_url, plain_url)
        others = {"brokers": kafka.bootstrap, "topics": ["plain.public.*", "!plain.public.parted"]}
        with Foreign(folder, "forms", target_url, topics) as f, Foreign(folder, "plain", plain_url, others) as g, Connect(folder, kafka, settings) as f.connect:
            f.apply.start()
            halts(f.apply, 5, "table=public.parted", "is a partition of the other", "source.debezium.topics")
            run_sql(target_url, "DROP SCHEMA crossfade CASCADE", f"CREATE SCHEMA crossfade AUTHORIZATION {user_of(f)}", "TRUNCATE large, parted")
            configured(f, topics=["forms.public.*", "!forms.public.parted"])
            f.apply.start()
            g.apply.start()
            for one in (f, g):
                one.wait_row("SELECT count(*) = 3 FROM large", 240)
                one.wait_row("SELECT count(*) = 60 FROM parted")
            run_sql(source_url, "UPDATE large SET n = -n", "UPDATE large SET id = 30 WHERE id = 3", "DELETE FROM parted WHERE id % 7 = 0", "INSERT INTO large (id) VALUES (100)")
            for one, url in ((f, target_url), (g, plain_url)):
                one.wait_row("SELECT count(*) = 1 FROM large WHERE id = 100")
                one.wait_row("SELECT count(*) = 52 FROM parted")
                assert_equal(source_url, url)
                assert one.apply.terminate() == 0, one.apply.log_tail()
