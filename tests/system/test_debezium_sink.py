"""Debezium's own JDBC sink reads our topics into a second PostgreSQL, which then equals the source."""

import pytest

from rig import Kafka, Postgres, Workdir
from rig.connect import JSON, Connect, avro, jdbc_sink
from rig.oracle import assert_equal
from rig.registry import Registry
from rig.scenario import count, scenario

# numeric without a scale: Debezium's form of it drops zeros at the end, so there are none. Large values: an update that leaves one alone sends none, and no sink of Debezium's can tell; a full identity sends it in the old row.
SCHEMA = """
CREATE TYPE mood AS ENUM ('ok', 'sad', 'happy ☺');
CREATE SCHEMA "Odd";
CREATE TABLE customers (id bigint PRIMARY KEY, name text NOT NULL, email varchar(120), born date, active boolean NOT NULL DEFAULT true,
    credit numeric(12,2) NOT NULL DEFAULT 0, tags text[], settings jsonb, since timestamptz NOT NULL DEFAULT now());
CREATE TABLE products (sku varchar(20) PRIMARY KEY, title text NOT NULL, price numeric(10,2) NOT NULL, weight real, stock int NOT NULL DEFAULT 5);
CREATE TABLE orders (id bigint PRIMARY KEY, customer bigint NOT NULL, at timestamp NOT NULL, state mood NOT NULL, total numeric NOT NULL, note text);
CREATE TABLE lines (order_id bigint, line int, sku varchar(20) NOT NULL, n smallint NOT NULL, price numeric(10,2), PRIMARY KEY (order_id, line));
CREATE TABLE "Odd"."Täble" ("Key" uuid PRIMARY KEY, "välue" text);
CREATE TABLE papers (id int PRIMARY KEY, body text, scan bytea, n int NOT NULL);
ALTER TABLE papers REPLICA IDENTITY FULL;
ALTER TABLE papers ALTER body SET STORAGE EXTERNAL, ALTER scan SET STORAGE EXTERNAL;
CREATE TABLE kinds (id int PRIMARY KEY, a smallint, b int, c bigint, d real, e double precision, f numeric, g numeric(20,5), h boolean, i text,
    j varchar(30), k char(5), l bytea, m date, n time, o time(3), p timestamp, q timestamp(3), r timestamptz, s interval, t uuid, u json, v jsonb,
    w mood, x inet, y cidr, z macaddr, aa int[], ab text[], ac int4range, ag money, ah xml, ai timetz,
    aj "char", ak oid, al bool[], an uuid[], ao tstzrange, ap bigint[]);
INSERT INTO customers SELECT i, 'name ' || i, 'c' || i || '@example.org', '1950-01-01'::date + i, i % 3 = 0, i * 1.25, ARRAY['t' || i, 'q"uo,te'],
    jsonb_build_object('i', i, 'x', ARRAY[1, 2]), '2024-02-29 12:00:00.123456+02'::timestamptz + i * interval '1 h' FROM generate_series(1, 1000) i;
INSERT INTO products SELECT 'sku-' || i, 'Product ☺ ' || i, i / 3.0, i / 7.0, i FROM generate_series(1, 200) i;
INSERT INTO orders SELECT i, i % 1000 + 1, '2024-01-01'::timestamp + i * interval '1 min 0.000001 s', 'ok', i + 0.25, NULL FROM generate_series(1, 1500) i;
INSERT INTO lines SELECT i, l, 'sku-' || (i + l) % 200 + 1, l, 9.99 FROM generate_series(1, 1500) i, generate_series(1, 2) l;
INSERT INTO papers SELECT i, repeat('body ' || i, 2000), decode(repeat('00ff10', 2000), 'hex'), i FROM generate_series(1, 40) i;
INSERT INTO "Odd"."Täble" SELECT md5(i::text)::uuid, 'wert ü ' || i FROM generate_series(1, 50) i
"""
KINDS = """INSERT INTO kinds SELECT %d + i, -i, i, 1234567890123 + i, i / 3.0, i / 7.0, i + 0.5, i / 9.0, i & 1 = 0, 'text ☺ ' || i, 'v' || i, 'ab', decode('00ff' || to_hex(16 + i), 'hex'),
    '2024-02-29'::date + i, '13:14:15.123456', '13:14:15.123', '2024-02-29 13:14:15.123456', '2024-02-29 13:14:15.123', '2024-02-29 13:14:15.123456+05:30',
    make_interval(hours => i, secs => 6.789012), md5(i::text)::uuid, '{"b": 1,  "a": [1, null]}', '{"b": 1, "a": [1, null, "x"]}', 'happy ☺', '192.168.1.5/24',
    '10.1.0.0/16', '08:00:2b:01:02:03', ARRAY[i, NULL, 3], ARRAY['a', 'b c', NULL, 'd"e'], int4range(1, i + 5), i * 1.5::money,
    '<r a="1">t</r>', '13:14:15.5+00', 'x', 26, ARRAY[true, NULL], ARRAY[md5('x')::uuid], NULL, ARRAY[1, 9007199254740993] FROM generate_series(1, 40) i"""
CHANGES = [
    KINDS % 1000,
    "INSERT INTO kinds (id) VALUES (5000)", "UPDATE kinds SET i = NULL, aa = NULL, f = NULL, v = NULL WHERE id % 3 = 0", "DELETE FROM kinds WHERE id % 7 = 0",
    "UPDATE papers SET n = -n WHERE id % 2 = 0", "UPDATE papers SET body = 'short' WHERE id = 3",  # values that are not sent again
    "UPDATE orders SET state = 'happy ☺', note = 'shipped' WHERE id % 2 = 0", "DELETE FROM lines WHERE order_id % 10 = 0",
    "UPDATE customers SET id = id + 100000 WHERE id % 50 = 0", "UPDATE lines SET line = line + 10 WHERE order_id % 25 = 1",  # other keys
    "UPDATE customers SET id = 100050 + 1000000, name = 'twice' WHERE id = 100050; UPDATE customers SET id = 50 WHERE id = 1100050",
    "DELETE FROM products WHERE sku = 'sku-7'; INSERT INTO products VALUES ('sku-7', 'again', 1, NULL, 0)",
    "UPDATE \"Odd\".\"Täble\" SET \"välue\" = NULL WHERE \"Key\"::text < '4'", "DELETE FROM \"Odd\".\"Täble\" WHERE \"Key\"::text > 'd'",
]
# What the sink itself cannot take (docs/DEBEZIUM.md): point without PostGIS and numeric(p,s)[] as Debezium has them; bits in any form.
EXTRA = {"exact": ("m numeric(8,2)[], p point", "ARRAY[i / 4.0, NULL], point(1.5, -i)"), "debezium": ("n numeric(30,12) NOT NULL", "i / 3.0")}
FORMATS = count(["json-exact", "avro-debezium"], ["json-exact", "json-debezium", "avro-exact", "avro-debezium"])


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("sink") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target, \
            Kafka(folder) as kafka:
        yield folder, source, target, kafka


@pytest.fixture(name="registry", scope="module")
def fixture_registry(servers):
    with Registry(servers[0]) as registry:
        yield registry


def differing(s, table):
    """(column, rows that differ, one of each side): what a digest does not tell."""
    columns = [c for c, in s.source(f"SELECT attname FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0 ORDER BY attnum")]
    sides = [side(f"SELECT id::text, " + ", ".join(f'"{c}"::text' for c in columns) + f" FROM {table} ORDER BY id") for side in (s.source, s.target)]
    found = [(c, len(bad), bad[0]) for i, c in enumerate(columns, 1)
             if (bad := [(a[0], a[i], b[i]) for a, b in zip(*sides) if a[i] != b[i]])]
    return found


@pytest.mark.parametrize("how", FORMATS)
def test_debezium_sink_makes_the_target_equal(servers, request, how):
    folder, source, target, kafka = servers
    journal_format, profile = how.split("-")
    registry = request.getfixturevalue("registry") if journal_format == "avro" else None
    name = how.replace("-", "_")
    journal = {"type_profile": profile, "lossy": "debezium", "interval_mode": "string", "partitions": 2, "json_schemas": True}
    if journal_format == "avro":
        journal["registry"] = registry.url
    columns, values = EXTRA[profile]
    schema = f"""{SCHEMA};{KINDS % 0};CREATE TABLE extra (id int PRIMARY KEY, {columns});
        INSERT INTO extra SELECT i, {values} FROM generate_series(1, 20) i"""
    with scenario(folder, source, target, schema, tables=("public.*", '"Odd".*'), journal=kafka.url, journal_format=journal_format,
                  name=name, more={"journal": journal}) as s:
        s.capture.start()
        s.capture.wait_for(lambda status: status.get("complete"), 60, "the copy is complete")
        sink = jdbc_sink(s.target_url, f"{name}\\.(public|Odd)\\..*", JSON if journal_format == "json" else avro(registry))
        with Connect(folder, kafka, {name: sink}, name=f"connect-{name}") as connect:
            s.source(*CHANGES, f"INSERT INTO extra SELECT i, {values} FROM generate_series(21, 40) i")
            lsn = s.source("SELECT pg_current_wal_insert_lsn()::text")[0][0]
            s.capture.wait_lsn("journaled_lsn", lsn)
            connect.wait_taken(name)
            assert differing(s, "kinds") == []
            assert_equal(s.source_url, s.target_url)
