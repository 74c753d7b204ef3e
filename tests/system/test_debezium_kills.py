"""Debezium's connector is killed in its first snapshot and inside of a transaction; topics grow, are compacted and made anew."""

import contextlib
import json

import psycopg
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions

from rig import Postgres, Workdir
from rig.connect import JSON, Connect, mariadb_source, postgres_source
from rig.foreign import Foreign, run_sql
from rig.kafka import Kafka
from rig.mariadb import BINLOG, MariaDB
from rig.oracle import assert_equal
from rig.postgres import copy_schema
from rig.wait import wait_until


@pytest.fixture(name="folder", scope="module")
def fixture_folder():
    with Workdir("dbzkill") as folder:
        yield folder


@pytest.fixture(name="kafka", scope="module")
def fixture_kafka(folder):
    with Kafka(folder).start(240) as kafka:
        yield kafka


@pytest.fixture(name="target", scope="module")
def fixture_target(folder):
    with Postgres(folder, "target") as target:
        yield target


def topics_of(*single):
    """Data topics of two partitions, these of one."""
    return {"topic.creation.default.partitions": 2, "topic.creation.groups": "ends", "topic.creation.ends.include": ",".join(name.replace(".", r"\.") for name in single),
            "topic.creation.ends.partitions": 1, "topic.creation.ends.replication.factor": 1, "provide.transaction.metadata": "true"}


def written(kafka, topic, partitions=2):
    """Records in a topic."""
    reader = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": "look"})
    try:
        return sum(reader.get_watermark_offsets(TopicPartition(topic, p), timeout=20)[1] for p in range(partitions))
    finally:
        reader.close()


SCHEMA = """
CREATE TABLE items (id int PRIMARY KEY, v int);
CREATE TABLE plain (a int, b text);
ALTER TABLE plain REPLICA IDENTITY FULL;
CREATE TABLE zlast (id int PRIMARY KEY);
CREATE PUBLICATION kill FOR TABLE items, plain, zlast;
"""


def killed_in_the_snapshot(source_url, f):
    """Its last table is locked, so it stands in the middle."""
    with psycopg.connect(source_url) as lock:
        lock.execute("LOCK TABLE zlast IN ACCESS EXCLUSIVE MODE")
        f.apply.start()
        f.connect.process.start()
        f.wait_row("SELECT count(*) = 300 FROM items", 300)
        f.wait_row("SELECT count(*) = 199 FROM plain", 300)  # the last row is held back until the one behind it is read
        f.connect.process.kill9()
        run_sql(source_url, "DELETE FROM items WHERE id <= 50", "UPDATE items SET v = -v WHERE id > 250", "DELETE FROM plain WHERE a > 5", "INSERT INTO plain VALUES (1, 'x'), (1, 'x')")
        lock.rollback()
    f.connect.process.start()
    f.wait_row("SELECT count(*) = 3 FROM zlast", 300)
    f.wait_row("SELECT count(*) = 250 FROM items", 300)
    assert "snapshot_again" in f.apply.log_text()


def killed_inside_a_transaction(source_url, kafka, f):
    """A long one, of which a part is in the topics."""
    before = written(kafka, "kill.public.items")
    with psycopg.connect(source_url) as connection:
        connection.execute("INSERT INTO plain SELECT i % 3, 'many' FROM generate_series(1, 300) i")
        connection.execute("INSERT INTO items SELECT 1000 + i, i FROM generate_series(1, 15000) i")
        connection.execute("DELETE FROM plain WHERE ctid IN (SELECT ctid FROM plain WHERE b = 'many' LIMIT 100)")
        connection.execute("UPDATE items SET v = v + 1 WHERE id < 300")
    wait_until(lambda: written(kafka, "kill.public.items") > before + 1500, 300, "a part of the transaction is written", interval=0.02)
    f.connect.process.kill9()
    f.connect.process.start()
    run_sql(source_url, "INSERT INTO zlast VALUES (100)")
    f.wait_row("SELECT count(*) > 0 FROM zlast WHERE id = 100", 300)
    print(f"{sum(b'BEGIN' in (m.value() or b'') for m in kafka.read('kill.transaction'))} BEGINs")


def test_the_connector_is_killed(folder, kafka, target):
    """Whatever it writes again: target and source are equal, keyless tables too."""
    with Postgres(folder, "source", settings={"wal_level": "logical"}) as source:
        source_url, target_url = source.create_db("shop"), target.create_db("kill")
        run_sql(source_url, SCHEMA, "INSERT INTO items SELECT i, i FROM generate_series(1, 300) i", "INSERT INTO plain SELECT i % 10, 'x' FROM generate_series(1, 200) i",
                "INSERT INTO zlast SELECT generate_series(1, 3)")
        copy_schema(source_url, target_url)
        run_sql(source_url, "SELECT pg_create_logical_replication_slot('kill', 'pgoutput')")  # the lock below would keep the connector from making it
        settings = postgres_source("kill", source_url, "public.items,public.plain,public.zlast", JSON, **topics_of("kill.transaction", "kill.public.plain"), **{
            "publication.autocreate.mode": "disabled", "max.queue.size": 64, "max.batch.size": 32})
        chosen = {"brokers": kafka.bootstrap, "topics": ["kill.public.*"], "transaction_topic": "kill.transaction"}
        with Foreign(folder, "kill", target_url, chosen) as f, contextlib.closing(Connect(folder, kafka, {"kill": settings})) as f.connect:
            killed_in_the_snapshot(source_url, f)
            assert_equal(source_url, target_url)
            killed_inside_a_transaction(source_url, kafka, f)
            assert_equal(source_url, target_url)
            assert f.apply.terminate() == 0, f.apply.log_tail()


def test_mariadb_is_killed_inside_a_transaction(folder, kafka, target):
    """By the order of each key, and an older time behind a newer one: a transaction that was open for long."""
    with MariaDB(folder, settings=BINLOG) as source:
        target_url = target.create_db("mkill")
        run_sql(target_url, "CREATE SCHEMA shop; CREATE TABLE shop.items (id int PRIMARY KEY, v int); CREATE TABLE shop.plain (a int)")
        source.client("CREATE DATABASE shop; USE shop; CREATE TABLE items (id INT PRIMARY KEY, v INT); CREATE TABLE plain (a INT); INSERT INTO items VALUES (1, 1); INSERT INTO plain VALUES (1)")
        settings = mariadb_source("mkill", source, kafka, "shop", JSON, **topics_of("mkill.transaction", "mkill", "history-mkill", "mkill.shop.plain"), **{"max.queue.size": 64, "max.batch.size": 32})
        chosen = {"brokers": kafka.bootstrap, "topics": ["mkill.shop.*"], "transaction_topic": "mkill.transaction"}
        with Foreign(folder, "mkill", target_url, chosen) as f, contextlib.closing(Connect(folder, kafka, {"mkill": settings}, name="connect-mkill")) as f.connect:
            f.apply.start()
            f.connect.process.start()
            f.wait_row("SELECT count(*) = 1 FROM shop.plain", 300)
            before = written(kafka, "mkill.shop.items")
            source.client("SET timestamp = UNIX_TIMESTAMP() + 60; INSERT INTO plain VALUES (5); SET timestamp = DEFAULT;"
                          "START TRANSACTION; INSERT INTO plain VALUES (2), (2); INSERT INTO items SELECT seq + 10, seq FROM seq_1_to_15000; UPDATE items SET v = v + 1 WHERE id < 3000; DELETE FROM plain WHERE a = 2 LIMIT 1; COMMIT", "shop")
            wait_until(lambda: written(kafka, "mkill.shop.items") > before + 1500, 300, "a part of the transaction is written", interval=0.02)
            f.connect.process.kill9()
            f.connect.process.start()
            source.client("INSERT INTO plain VALUES (9)", "shop")
            f.wait_row("SELECT count(*) > 0 FROM shop.plain WHERE a = 9", 300)
            for table, key in (("items", "id"), ("plain", "a")):
                assert [[str(v) for v in row] for row in f.rows(f"SELECT * FROM shop.{table} ORDER BY {key}")] == source.client(f"SELECT * FROM {table} ORDER BY {key}", "shop"), table
            print(f"{sum(b'BEGIN' in (m.value() or b'') for m in kafka.read('mkill.transaction'))} BEGINs")
            assert f.apply.terminate() == 0, f.apply.log_tail()


def fields(**types):
    return [{"type": kind, "optional": True, "field": name} for name, kind in types.items()]


def row_of(number):
    """Key and value of an INSERT, in the form of the PostgreSQL connector's JSON."""
    row = {"type": "struct", "fields": fields(id="int32"), "optional": True, "name": "t.public.rows.Value"}
    source = {"type": "struct", "field": "source", "optional": False, "fields": fields(
        connector="string", name="string", ts_ms="int64", snapshot="string", db="string", sequence="string", schema="string", table="string", txId="int64", lsn="int64")}
    schema = {"type": "struct", "optional": False, "name": "t.public.rows.Envelope", "fields": [{**row, "field": "before"}, {**row, "field": "after"}, source, *fields(op="string", ts_ms="int64")]}
    place = {"connector": "postgresql", "name": "t", "ts_ms": 1000 + number, "snapshot": "false", "db": "shop", "sequence": f'["{100 * number + 50}","{100 * number + 100}"]', "schema": "public", "table": "rows",
             "txId": number, "lsn": 100 * number + 100}
    key = {"schema": {"type": "struct", "optional": False, "name": "t.public.rows.Key", "fields": [{"type": "int32", "optional": False, "field": "id"}]}, "payload": {"id": number}}
    return json.dumps(key), json.dumps({"schema": schema, "payload": {"before": None, "after": {"id": number}, "source": place, "op": "c", "ts_ms": 1}})


def write_rows(kafka, topic, numbers):
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    for number in numbers:
        key, value = row_of(number)
        producer.produce(topic, value, key, 0)
    assert producer.flush(60) == 0


@pytest.mark.parametrize("how", ["grown", "compacted", "anew", "longer"])
def test_topics_that_change(folder, kafka, target, how):
    """Apply halts and says which topic: more partitions, a policy that drops records, one that was deleted and made anew (with fewer, or with more records than it had)."""
    url, topic, admin = target.create_db(how), f"{how}.public.rows", AdminClient({"bootstrap.servers": kafka.bootstrap})
    run_sql(url, "CREATE TABLE rows (id int PRIMARY KEY)")
    kafka.create_topic(topic, **{"cleanup.policy": "compact" if how == "compacted" else "delete"})
    write_rows(kafka, topic, range(1, 6))
    with Foreign(folder, how, url, {"brokers": kafka.bootstrap, "topics": [f"{how}.*"]}) as f:
        f.apply.start()
        if how != "compacted":
            f.wait_row("SELECT count(*) = 5 FROM rows")
        if how in ("anew", "longer"):
            f.apply.terminate()
            admin.delete_topics([topic])[topic].result(60)
            wait_until(lambda: topic not in kafka.topics(), 60, "the topic is gone")
            kafka.create_topic(topic)
            write_rows(kafka, topic, range(11, 21 if how == "longer" else 13))
            f.apply.start()
        if how == "grown":
            admin.create_partitions([NewPartitions(topic, 2)])[topic].result(60)
        wait_until(lambda: not f.apply.running, 180, "apply halts")
        said = {"grown": "partition=1: the topic got more partitions", "compacted": "is compacted", "anew": "the topic was deleted and made anew", "longer": "the topic was deleted and made anew"}[how]
        assert f"topic={topic}" in f.apply.log_tail(3) and said in f.apply.log_tail(3), f.apply.log_tail(10)
