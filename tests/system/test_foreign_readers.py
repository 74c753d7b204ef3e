"""What stands in the topics is read by readers that share no code with Crossfade: fastavro, Python's json, confluent_kafka.

docs/DEBEZIUM.md is what they are held against. The expected values come from the database itself, by SQL of its own.
"""

import base64
import io
import json
import struct

import fastavro
import pytest
from confluent_kafka import Consumer, TopicPartition

from rig import Kafka, Postgres, Workdir
from rig.scenario import scenario

SCHEMA = """
CREATE TYPE mood AS ENUM ('ok', 'quo''te"d', 'happy ☺');
CREATE DOMAIN price AS numeric(12,3);
CREATE TABLE kinds (
    id bigint PRIMARY KEY, b boolean, i2 smallint, i4 int NOT NULL, f4 real, f8 double precision, n numeric, p price, t text, v varchar(20), c char(5),
    by bytea, d date, tm time, ts timestamp, tstz timestamptz, iv interval, u uuid, j json, jb jsonb, m mood, a int[], ta text[], r int4range,
    ip inet, bits bit(12), "odd näme" text, big text);
ALTER TABLE kinds ALTER big SET STORAGE EXTERNAL;
CREATE TABLE pair (b int, a text, v int NOT NULL, w text, PRIMARY KEY (a, b));
CREATE TABLE bare (x int, y text); ALTER TABLE bare REPLICA IDENTITY FULL;
"""
ROW = """INSERT INTO kinds VALUES ({id}, true, -123, 123456, 1.5, 0.1, 12345.678900, 1234.5, 'plain "text" ☺', 'hello', 'ab',
    '\\xdeadbeef00ff', '2024-02-29', '13:14:15.123456', '2024-02-29 13:14:15.123456', '2024-02-29 13:14:15.123456+02', '1 year 2 mons 3 days 04:05:06.789012',
    'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{{"b": 1,  "a": [1, null, "x"]}}', '{{"b": 1}}', 'happy ☺', '{{1,NULL,3}}', ARRAY['a', 'b c', 'd"e', NULL], '[1,10)',
    '192.168.1.5/24', B'100000000001', 'odd', repeat('t', 20000))"""
EXTREME = """INSERT INTO kinds (id, i4, i2, f4, f8, n, d, ts, tstz, t) VALUES (9223372036854775807, -2147483648, -32768, 'NaN', '-Infinity', 'NaN',
    'infinity', '-infinity', '0044-03-15 12:00:00+00 BC', '')"""

# What docs/DEBEZIUM.md says stands there, told by the database without our code.
EXPECT = """SELECT id, b, i2, i4, f4, f8, n::text n, p::text p, t, v, c, by, (d - date '1970-01-01')::int d,
    (extract(epoch FROM tm) * 1000000)::bigint tm, (extract(epoch FROM ts) * 1000000)::bigint ts,
    to_char(tstz AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') tstz, NULLIF('P1Y2M3DT4H5M6.789012S', NULL) iv,
    u::text u, j::text j, jb::text jb, m::text m, a::text a, ta::text ta, r::text r, ip::text ip, bits::text bits, "odd näme", big FROM kinds WHERE id < 1000 ORDER BY id"""
SEMANTIC = {"d": "io.debezium.time.Date", "tm": "io.debezium.time.MicroTime", "ts": "io.debezium.time.MicroTimestamp",
            "tstz": "io.debezium.time.ZonedTimestamp", "iv": "io.debezium.time.Interval", "u": "io.debezium.data.Uuid",
            "j": "io.debezium.data.Json", "jb": "io.debezium.data.Json", "m": "io.debezium.data.Enum"}
PLACEHOLDER = "__debezium_unavailable_value"


class Record:
    def __init__(self, message):
        self.topic, self.partition, self.offset = message.topic(), message.partition(), message.offset()
        self.key, self.value, self.headers = message.key(), message.value(), dict(message.headers() or [])


def read_topic(bootstrap, topic):
    """All committed records of a topic, from its beginning to where its end is now."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "foreign", "isolation.level": "read_committed", "enable.auto.commit": False,
                         "enable.partition.eof": True, "auto.offset.reset": "earliest"})
    try:
        partitions = list(consumer.list_topics(topic, 10).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, p, 0) for p in partitions])
        records, at_end = [], set()
        while len(at_end) < len(partitions):
            message = consumer.poll(30)
            assert message is not None, f"{topic} does not answer"
            if message.error():
                assert message.error().name() == "_PARTITION_EOF", message.error()
                at_end.add(message.partition())
            else:
                records.append(Record(message))
        return records
    finally:
        consumer.close()


class Avro:
    """Confluent framing: 0x00, four bytes of id, Avro; schemas from the topic <prefix>.schemas."""

    format = "avro"

    def __init__(self, bootstrap, prefix):
        self.texts, self.subjects, self.parsed = {}, {}, {}
        for record in (r for r in read_topic(bootstrap, prefix + ".schemas") if len(r.key) == 4):  # others are not schemas
            entry = json.loads(record.value)
            assert entry["id"] == struct.unpack(">I", record.key)[0] and entry["format"] == "avro"
            self.texts[entry["id"]] = json.loads(entry["schema"])
            self.subjects[entry["id"]] = entry["subject"]
            self.parsed[entry["id"]] = fastavro.parse_schema(json.loads(entry["schema"]))

    def _decode(self, data, subject):
        assert data[0] == 0
        number = struct.unpack(">I", data[1:5])[0]
        assert self.subjects[number] == subject
        body = io.BytesIO(data[5:])
        value = fastavro.schemaless_reader(body, self.parsed[number], None)
        assert body.read() == b"", "bytes are left"
        return value

    def key(self, record, data=None):
        return self._decode(record.key if data is None else data, record.topic + "-key")

    def value(self, record):
        value = self._decode(record.value, record.topic + "-value")
        schema = self.texts[struct.unpack(">I", record.value[1:5])[0]]
        assert (schema["name"], schema["connect.name"]) == ("Envelope", record.topic + ".Envelope")
        return value

    def columns(self, record):
        """Column → (semantic name, parameters) of the record's schema."""
        schema = self.texts[struct.unpack(">I", record.value[1:5])[0]]
        row = schema["fields"][0]["type"][1]
        found = {}
        for field in row["fields"]:
            kind = [t for t in field["type"] if t != "null"][0] if isinstance(field["type"], list) else field["type"]
            found[field["name"]] = (kind.get("connect.name"), kind["connect.parameters"])
        return found

    def name(self, column):
        return {"odd näme": "odd_n_me"}.get(column, column)

    def special(self, name):
        return float(name)

    def bytes(self, data):
        return data


class Json:
    """Plain JSON objects; the schema's id is in a header."""

    format = "json"

    def __init__(self, bootstrap, prefix):
        self.texts = {}
        for record in (r for r in read_topic(bootstrap, prefix + ".schemas") if len(r.key) == 4):  # others are not schemas
            entry = json.loads(record.value)
            self.texts[entry["id"]] = json.loads(entry["schema"])

    def _schema(self, record):
        return self.texts[struct.unpack(">I", record.headers["crossfade.schema.id"])[0]]

    def key(self, record, data=None):
        return json.loads(record.key if data is None else data)

    def value(self, record):
        schema, value = self._schema(record), json.loads(record.value)
        assert schema["type"] == "struct" and schema["name"] == record.topic + ".Envelope"
        assert set(value) <= {f["field"] for f in schema["fields"]}
        return value

    def columns(self, record):
        row = self._schema(record)["fields"][0]
        assert row["field"] == "before"
        return {f["field"]: (f.get("name"), f["parameters"]) for f in row["fields"]}

    def name(self, column):
        return column

    def special(self, name):
        return name

    def bytes(self, data):
        return base64.b64encode(data).decode()


@pytest.fixture(name="made", scope="module", params=[Avro, Json], ids=["avro", "json"])
def fixture_made(request, broker, servers):
    """(reader, {table: records}, expected rows): a copy, then one change of every kind."""
    name = "f" + request.param.format
    more = {"journal": {"partitions": 2}}
    with scenario(*servers, SCHEMA, journal=f"kafka://{broker.bootstrap}", journal_format=request.param.format, name=name, more=more) as s:
        s.source(ROW.format(id=1), "INSERT INTO pair VALUES (1, 'x', 10, 'w')", "INSERT INTO bare VALUES (1, 'one')")
        s.start()
        s.source(ROW.format(id=2), EXTREME,
                 "UPDATE kinds SET t = 'new' WHERE id = 2",                    # its big text is not sent
                 f"UPDATE pair SET w = '{PLACEHOLDER}'",                       # a real text that looks like the placeholder
                 "BEGIN; UPDATE pair SET b = 2; INSERT INTO pair VALUES (9, 'y', 90, NULL); DELETE FROM pair WHERE b = 9; COMMIT",
                 "UPDATE bare SET y = 'two'", "DELETE FROM bare", "TRUNCATE bare")
        s.wait()
        reader = request.param(broker.bootstrap, name)
        topics = {table: read_topic(broker.bootstrap, f"{name}.public.{table}") for table in ("kinds", "pair", "bare")}
        with psycopg_rows(s.source_url) as rows:
            yield reader, topics, rows, name


def psycopg_rows(url):
    import contextlib

    import psycopg

    @contextlib.contextmanager
    def rows():
        with psycopg.connect(url, options="-c timezone=UTC") as connection:
            cursor = connection.execute(EXPECT)
            names = [c.name for c in cursor.description]
            yield [dict(zip(names, row)) for row in cursor.fetchall()]
    return rows()


@pytest.fixture(name="broker", scope="module")
def fixture_broker():
    with Workdir("foreign-kafka") as folder, Kafka(folder) as kafka:
        yield kafka


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("foreign") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


def events(reader, records):
    return [(reader.key(r) if r.key is not None else None, reader.value(r) if r.value is not None else None, r) for r in records]


def test_every_type(made):
    reader, topics, rows, _ = made
    found = {(value["after"]["id"], value["op"]): value["after"] for _, value, _ in events(reader, topics["kinds"]) if value}
    for want, op in ((rows[0], "r"), (dict(rows[1], t=ROW.split("'")[1]), "c")):
        got = found[want["id"], op]
        assert set(got) == {reader.name(c) for c in want}
        for column, value in want.items():
            value = reader.bytes(bytes(value)) if isinstance(value, (bytes, memoryview)) else value
            assert got[reader.name(column)] == value, column


def test_semantic_names_and_source_types(made):
    reader, topics, _, _ = made
    columns = reader.columns(topics["kinds"][0])
    for column, (semantic, parameters) in columns.items():
        assert semantic == SEMANTIC.get(column), column
    types = {name: parameters["__debezium.source.column.type"] for name, (_, parameters) in columns.items()}
    assert (types["id"], types["n"], types["p"], types["a"], types["v"], types["m"]) == ("INT8", "NUMERIC", "PRICE", "_INT4", "VARCHAR", "MOOD")
    assert columns["v"][1]["__debezium.source.column.length"] == "20"
    assert (columns["p"][1]["__debezium.source.column.length"], columns["p"][1]["__debezium.source.column.scale"]) == ("12", "3")
    assert columns[reader.name("odd näme")][1]["__debezium.source.column.name"] == "odd näme"


def test_extremes(made):
    reader, topics, _, _ = made
    row = next(v["after"] for _, v, _ in events(reader, topics["kinds"]) if v and v["after"]["id"] == 2**63 - 1)
    assert (row["i2"], row["i4"], row["t"], row["n"]) == (-2**15, -2**31, "", "NaN")
    assert (row["d"], row["ts"], row["tstz"]) == (2**31 - 1, -2**63, "-0043-03-15T12:00:00.000000Z")
    assert repr(row["f4"]) == repr(reader.special("NaN")) and row["f8"] == reader.special("-Infinity" if reader.format == "json" else "-inf")
    assert all(row[reader.name(c)] is None for c in ("b", "by", "u", "j", "a", "odd näme", "big"))


def test_envelope(made):
    reader, topics, _, name = made
    for table, records in topics.items():
        for key, value, record in events(reader, records):
            if value is None:
                continue
            source = value["source"]
            assert (source["connector"], source["name"], source["db"], source["schema"], source["table"]) == ("postgresql", name, name, "public", table)
            assert source["lsn"] > 0 and source["ts_ms"] * 1000 <= source["ts_us"] < (source["ts_ms"] + 1) * 1000
            assert source["sequence"] is None and source["ts_ns"] is None and value["ts_us"] is None and value["ts_ns"] is None, "journal.envelope: lean"
            assert value["ts_ms"] >= source["ts_ms"] - 1000
            if value["op"] == "r":
                assert source["snapshot"] in ("true", "last") and value["transaction"] is None and value["before"] is None
            else:
                assert source["snapshot"] is None, "journal.envelope: lean"
                xid, commit_lsn = value["transaction"]["id"].split(":")
                assert int(xid) == source["txId"] and int(commit_lsn) >= source["lsn"] and value["transaction"]["total_order"] >= 1


def test_keys_and_tombstones(made):
    reader, topics, _, _ = made
    assert {tuple(reader.key(r).items()) for r in topics["kinds"]} == {(("id", 1),), (("id", 2),), (("id", 2**63 - 1),)}
    assert all(r.key is None and r.value is not None for r in topics["bare"])
    partitions = {}
    found = [(list(key.items()), value and value["op"]) for key, value, _ in events(reader, topics["pair"])]
    for record in topics["pair"]:
        assert partitions.setdefault(record.key, record.partition) == record.partition, "a key is in two partitions"
    # The key's columns in the order of the primary key, not of the table.
    assert found.count(([("a", "x"), ("b", 1)], "r")) == 1
    one = [op for key, op in found if key == [("a", "x"), ("b", 1)]]
    assert one == ["r", "u", "d", None]
    assert [op for key, op in found if key == [("a", "x"), ("b", 2)]] == ["c"]
    assert [op for key, op in found if key == [("a", "y"), ("b", 9)]] == ["c", "d", None]
    assert [v["op"] for _, v, _ in events(reader, topics["bare"])] == ["r", "u", "d", "t"]


def test_key_change(made):
    reader, topics, _, _ = made
    moved = [r for r in topics["pair"] if "__debezium.newkey" in r.headers]
    created = [r for r in topics["pair"] if "__debezium.oldkey" in r.headers]
    assert [r.value is None for r in moved] == [False, True] and len(created) == 1
    for record in moved:
        assert reader.key(record) == {"a": "x", "b": 1} and reader.key(record, record.headers["__debezium.newkey"]) == {"a": "x", "b": 2}
    assert reader.key(created[0], created[0].headers["__debezium.oldkey"]) == {"a": "x", "b": 1}
    gone, new = reader.value(moved[0]), reader.value(created[0])
    assert gone["transaction"]["id"] == new["transaction"]["id"]
    assert [gone["transaction"]["total_order"], new["transaction"]["total_order"]] == [1, 2]


def test_before_images_and_placeholders(made):
    reader, topics, _, _ = made
    pairs = events(reader, topics["pair"])
    gone = next(v for k, v, _ in pairs if v and v["op"] == "d" and k["b"] == 9)
    # The key, NOT NULL columns filled as Debezium fills them, and a hint that says so.
    assert gone["before"] == {"a": "y", "b": 9, "v": 0, "w": None} and gone["after"] is None
    assert gone["crossfade"]["before_key_only"] is True
    update = next(v for _, v, _ in pairs if v and v["op"] == "u")
    assert update["after"]["w"] == PLACEHOLDER and not update.get("crossfade")
    unsent = next(v for _, v, _ in events(reader, topics["kinds"]) if v and v["op"] == "u")
    assert unsent["after"]["big"] == PLACEHOLDER and unsent["after"]["t"] == "new"
    columns = list(reader.columns(topics["kinds"][0]))
    assert unsent["crossfade"]["after_unavailable"] == [columns.index("big")]
    bare = [v for _, v, _ in events(reader, topics["bare"])]
    assert (bare[1]["before"], bare[1]["after"]) == ({"x": 1, "y": "one"}, {"x": 1, "y": "two"})
    assert bare[2]["before"] == {"x": 1, "y": "two"} and not bare[2].get("crossfade")
    assert bare[3]["before"] is None and bare[3]["after"] is None


def test_fences_are_json(made, broker):
    """A fence covers each record once; ids count up without a gap."""
    _, topics, _, name = made
    fences = [json.loads(r.value) for r in read_topic(broker.bootstrap, name + ".fence")]
    assert [f["id"] for f in fences] == list(range(1, len(fences) + 1))
    covered = {}
    for fence in fences:
        for p in fence["positions"]:
            for offset in range(p["first_offset"], p["next_offset"]):
                assert (p["stream"], p["partition"], offset) not in covered
                covered[p["stream"], p["partition"], offset] = fence["id"]
    for records in topics.values():
        for record in records:
            assert (record.topic, record.partition, record.offset) in covered
