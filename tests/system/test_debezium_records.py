"""Apply over records as Debezium's connectors write them, made here one by one: repeated ones, halves of transactions, other producers."""

import json

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from rig import Postgres, Workdir
from rig.kafka import Kafka
from rig.procs import halts
from test_debezium_topics import Foreign, run_sql

COLUMNS = [{"type": "int32", "optional": False, "field": "id"}, {"type": "string", "optional": True, "field": "v"}, {"type": "string", "optional": True, "field": "big"}]
SOURCE = [{"type": "string", "optional": False, "field": name} for name in ("version", "connector", "name")] + [
    {"type": "int64", "optional": False, "field": "ts_ms"}, {"type": "string", "optional": True, "field": "snapshot"}, {"type": "string", "optional": False, "field": "db"},
    {"type": "string", "optional": True, "field": "sequence"}, {"type": "string", "optional": False, "field": "schema"}, {"type": "string", "optional": False, "field": "table"},
    {"type": "int64", "optional": True, "field": "txId"}, {"type": "int64", "optional": True, "field": "lsn"}]
BLOCK = [{"type": "string", "optional": False, "field": "id"}, {"type": "int64", "optional": False, "field": "total_order"}, {"type": "int64", "optional": False, "field": "data_collection_order"}]
META = {"type": "struct", "optional": False, "name": "io.debezium.connector.common.TransactionMetadataValue", "fields": [
    {"type": "string", "optional": False, "field": "status"}, {"type": "string", "optional": False, "field": "id"}]}


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("dbzrec") as folder, Postgres(folder, "target") as target, Kafka(folder) as kafka:
        yield folder, target, kafka


class Topics:
    """Writes what the PostgreSQL connector `server` would, into <server>.public.<table> and <server>.transaction."""

    def __init__(self, kafka, server, partitions=1, table="t"):
        self.kafka, self.server, self.topic, self.table = kafka, server, f"{server}.public.{table}", table
        self.producer = Producer({"bootstrap.servers": kafka.bootstrap})
        kafka.create_topic(self.topic, partitions)
        if table == "t":
            kafka.create_topic(f"{server}.transaction", 1)

    def send(self, topic, key, value, headers=None, partition=0):
        errors = []
        as_bytes = [None if v is None else v if isinstance(v, bytes) else json.dumps(v).encode() for v in (key, value)]
        self.producer.produce(topic, as_bytes[1], as_bytes[0], partition=partition, headers=headers, on_delivery=lambda e, _: e and errors.append(e))
        assert self.producer.flush(20) == 0 and not errors, errors

    def change(self, op, row, commit, lsn, xid=None, order=None, before=None, columns=COLUMNS, server=None, snapshot="false", headers=None, partition=0, ts_ms=1000):
        table = {"type": "struct", "fields": columns, "optional": True, "name": f"{self.topic}.Value"}
        schema = {"type": "struct", "optional": False, "name": f"{self.topic}.Envelope", "fields": [
            dict(table, field="before"), dict(table, field="after"), {"type": "struct", "fields": SOURCE, "optional": False, "field": "source"},
            {"type": "struct", "fields": BLOCK, "optional": True, "field": "transaction"}, {"type": "string", "optional": False, "field": "op"},
            {"type": "int64", "optional": True, "field": "ts_ms"}]}
        payload = {"before": before, "after": row, "op": op, "ts_ms": 1000, "transaction": xid and {"id": f"{xid}:{lsn}", "total_order": order, "data_collection_order": order},
                   "source": {"version": "3.1.0.Final", "connector": "postgresql", "name": server or self.server, "ts_ms": ts_ms, "snapshot": snapshot, "db": "shop",
                              "sequence": json.dumps([commit and str(commit), str(lsn)], separators=(",", ":")), "schema": "public", "table": self.table, "txId": xid, "lsn": lsn}}
        keyed = {"schema": {"type": "struct", "fields": [COLUMNS[0]], "optional": False, "name": f"{self.topic}.Key"}, "payload": {"id": (row or before or {}).get("id")}}
        key = None if op == "t" else keyed
        self.send(self.topic, key, {"schema": schema, "payload": payload}, headers, partition)

    def end(self, xid, lsn, count, tables=None):
        payload = {"status": "END", "id": f"{xid}:{lsn}", "event_count": count, "ts_ms": 1000,
                   "data_collections": [{"data_collection": name, "event_count": n} for name, n in (tables or {"public.t": count}).items()]}
        self.send(f"{self.server}.transaction", None, {"schema": META, "payload": payload})


def row(number, v, big=None):
    return {"id": number, "v": v, "big": big}


def foreign(servers, name, transactions=True, partitions=1):
    folder, target, kafka = servers
    url = target.create_db(name)
    run_sql(url, "CREATE TABLE t (id int PRIMARY KEY, v text, big text)")
    settings = {"brokers": kafka.bootstrap, "topics": [f"{name}.public.*"], **({"transaction_topic": f"{name}.transaction"} if transactions else {})}
    return Foreign(folder, name, url, settings), Topics(kafka, name, partitions)


def test_transactions_wait_for_all_of_their_records(servers):
    """Halves in two partitions, an END first, one repeated by the connector; what is repeated is not applied again."""
    f, topics = foreign(servers, "whole", partitions=2)
    with f:
        topics.change("r", row(1, "snap"), None, 100, snapshot="last")
        f.apply.start()
        f.wait_row("SELECT count(*) = 1 FROM t")
        topics.end(7, 220, 2)
        topics.change("c", row(2, "two"), 200, 205, 7, 1)
        topics.change("c", row(9, "later"), 220, 230, 8, 1)  # the next transaction, whole
        topics.end(8, 240, 1)
        f.apply.wait_for(lambda status: "waits for records" in (status.get("trouble") or ""), 40, "says that it waits")
        assert f.rows("SELECT id FROM t") == [(1,)]
        f.apply.kill9()
        f.apply.start()
        topics.change("c", row(3, "three"), 200, 210, 7, 2, partition=1)
        f.wait_row("SELECT v = 'later' FROM t WHERE id = 9")
        assert f.rows("SELECT id FROM t ORDER BY id") == [(1,), (2,), (3,), (9,)]
        run_sql(f.url, "CREATE TABLE seen (n int); CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO seen VALUES (NEW.id); RETURN NULL; END'",
                "CREATE TRIGGER note AFTER INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION note()", "ALTER TABLE t ENABLE ALWAYS TRIGGER note")
        for _ in range(2):  # the connector begins again
            topics.change("c", row(2, "two"), 200, 205, 7, 1)
            topics.change("c", row(9, "later"), 220, 230, 8, 1)
            topics.end(7, 220, 2)
            topics.end(8, 240, 1)
        topics.change("u", row(9, "new"), 240, 250, 10, 1)
        topics.end(10, 260, 1, {"public.t": 1, "audit.other": 5})
        f.wait_row("SELECT v = 'new' FROM t WHERE id = 9")
        assert f.rows("SELECT n FROM seen") == [(9,)]
        assert f.apply.terminate() == 0, f.apply.log_tail()


def test_order_per_key(servers):
    """Without the transaction topic: moves keep values that were not sent, in two partitions, other schemas come amid; tombstones; repeats."""
    f, topics = foreign(servers, "keys", transactions=False, partitions=2)
    with f:
        gone = "__debezium_unavailable_value"
        topics.change("r", row(1, "one", "large"), None, 100, snapshot="last")
        topics.change("u", row(1, "one!", gone), 100, 110)
        topics.change("d", None, 110, 120, before=row(1, "", None), headers=[("__debezium.newkey", b'{"id":5}')])
        topics.send(topics.topic, {"schema": {}, "payload": {"id": 1}}, None)
        topics.change("c", row(5, "moved", gone), 110, 120, headers=[("__debezium.oldkey", b'{"id":1}')], partition=1)
        more = COLUMNS + [{"type": "int32", "optional": True, "field": "extra"}]
        run_sql(f.url, "ALTER TABLE t ADD extra int")
        topics.change("c", dict(row(6, "wide"), extra=3), 130, 140, columns=more)
        topics.change("u", row(1, "one!", gone), 100, 110)  # the connector begins again, and writes all that came behind once more
        topics.change("d", None, 110, 120, before=row(1, "", None), headers=[("__debezium.newkey", b'{"id":5}')])
        topics.send(topics.topic, {"schema": {}, "payload": {"id": 1}}, None)
        topics.change("c", row(5, "moved", gone), 110, 120, headers=[("__debezium.oldkey", b'{"id":1}')], partition=1)
        topics.change("c", dict(row(6, "wide"), extra=3), 130, 140, columns=more)
        topics.change("c", dict(row(7, "end"), extra=None), 150, 160, columns=more)
        f.apply.start()
        f.wait_row("SELECT v = 'end' FROM t WHERE id = 7")
        assert f.rows("SELECT * FROM t ORDER BY id") == [(5, "moved", "large", None), (6, "wide", None, 3), (7, "end", None, None)]
        assert f.apply.status()["promise"] == "order per key only"
        assert f.apply.terminate() == 0, f.apply.log_tail()


BAD = {
    "plain": (lambda t: t.send(t.topic, {"id": 1}, {"id": 1, "v": "x"}), ["schemas.enable=true"]),
    "bytes": (lambda t: t.send(t.topic, b"k", b"\x00\x01 no JSON"), ["schemas.enable=true"]),
    "unwrapped": (lambda t: t.send(t.topic, None, {"schema": {"type": "struct", "fields": COLUMNS, "name": "x.Value"}, "payload": row(1, "x")}), ["no envelope of Debezium"]),
    "server": (lambda t: t.change("c", row(2, "x"), 200, 210, 7, 1, server="other"), ["connector other", "one connector's topics"]),
    "backwards": (lambda t: t.change("c", row(2, "x"), 5, 6, 7, 1, ts_ms=99000000), ["another server"]),
    "no transaction": (lambda t: t.change("c", row(2, "x"), 200, 210), ["provide.transaction.metadata"]),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_record_of_the_connector_halts(servers, kind):
    name = "bad_" + kind.replace(" ", "_")
    f, topics = foreign(servers, name)
    with f:
        topics.change("r", row(1, "snap"), None, 100, snapshot="last")
        topics.change("c", row(8, "fine"), 100, 110, 3, 1)
        topics.end(3, 120, 1)
        f.apply.start()
        f.wait_row("SELECT count(*) = 2 FROM t")
        send, words = BAD[kind]
        send(topics)
        halts(f.apply, 5 if kind != "no transaction" else 2, f"topic={topics.topic} partition=0 offset=2", *words)
        assert f.rows("SELECT count(*) FROM t") == [(2,)]


def test_positions_of_another_kind_are_refused(servers):
    f, topics = foreign(servers, "kind")
    with f:
        topics.change("r", row(1, "snap"), None, 100, snapshot="last")
        f.apply.start()
        f.wait_row("SELECT count(*) = 1 FROM t")
        assert f.apply.terminate() == 0
        del f.settings["source"]["debezium"]["transaction_topic"]
        with open(f.config, "w") as out:
            json.dump(f.settings, out)
        f.apply.start()
        halts(f.apply, 2, "transaction_topic", "cannot be changed")
        run_sql(f.url, "UPDATE crossfade.position SET offsets = NULL")
        f.apply.start()
        halts(f.apply, 5, "another pipeline name")


def test_a_zero_byte_goes_by_rule(servers):
    """PostgreSQL's text has none: as a parameter it would end the value in silence."""
    f, topics = foreign(servers, "zeros", transactions=False)
    with f:
        for number, op in ((1, "r"), (2, "c")):
            topics.change(op, row(number, "before\0after", "kept"), None if op == "r" else 200, 100 * number, snapshot="last" if op == "r" else "false")
        f.apply.start()
        halts(f.apply, 5, "table=public.t", "column=v", "zero byte", "target.unfit")
        f.settings["target"]["unfit_columns"] = {"public.t.v": "null"}
        with open(f.config, "w", encoding="utf-8") as config:
            json.dump(f.settings, config)
        f.apply.start()
        f.wait_row("SELECT count(*) = 2 FROM t WHERE v IS NULL AND big = 'kept'")
        assert "value_changed" in f.apply.log_text()
        topics.change("u", row(1, "fine", "a\0b"), 300, 310)
        halts(f.apply, 5, "column=big", "zero byte")


def test_partitions_of_a_table_that_was_filled_before(servers):
    """By another session: that one of the two tables comes twice is a halt all the same, and stays one."""
    f, topics = foreign(servers, "parts", transactions=False)
    partition = Topics(topics.kafka, "parts", table="t_1")
    with f:
        run_sql(f.url, "DROP TABLE t", "CREATE TABLE t (id int PRIMARY KEY, v text, big text) PARTITION BY RANGE (id)", "CREATE TABLE t_1 PARTITION OF t FOR VALUES FROM (0) TO (1000)")
        topics.change("r", row(1, "snap"), None, 100, snapshot="last")
        f.apply.start()
        f.wait_row("SELECT count(*) = 1 FROM t")
        assert f.apply.terminate() == 0, f.apply.log_tail()
        partition.change("c", row(2, "two"), 100, 110)
        for _ in range(2):
            f.apply.start()
            halts(f.apply, 5, "table=public.t_1", "is a partition of the other", "source.debezium.topics")
        assert f.rows("SELECT id FROM t") == [(1,)]


def test_commit_marks_are_no_records(servers):
    """A connector that delivers exactly once: what was read expires, with the marks behind it, and that is no gap."""
    f, topics = foreign(servers, "marks", transactions=False)
    producer = topics.producer = Producer({"bootstrap.servers": topics.kafka.bootstrap, "transactional.id": "marks"})
    admin = AdminClient({"bootstrap.servers": topics.kafka.bootstrap})
    producer.init_transactions(60)

    def commit(op, number, lsn):
        producer.begin_transaction()
        topics.change(op, row(number, f"v{number}"), op == "c" and lsn - 5 or None, lsn, snapshot="last" if op == "r" else "false")
        producer.commit_transaction(60)
        f.wait_row(f"SELECT count(*) = 1 FROM t WHERE id = {number}")

    def expire(offset):
        f.wait_row(f"SELECT (offsets::json->'partitions'->0->>2)::int = {offset} FROM crossfade.position")
        for future in admin.delete_records([TopicPartition(topics.topic, 0, offset)]).values():
            future.result(60)
    with f:
        f.apply.start()
        f.wait_row("SELECT fence_id >= 2 FROM crossfade.position")  # nothing there yet, which is told
        commit("r", 1, 100)
        expire(2)
        commit("c", 2, 110)
        expire(4)
        f.apply.kill9()
        f.apply.start()
        commit("c", 3, 120)
        assert f.rows("SELECT v FROM t ORDER BY id") == [("v1",), ("v2",), ("v3",)]
        assert f.apply.terminate() == 0, f.apply.log_tail()
