"""Seeds of the fuzz targets, as real servers send them: pgoutput and binary COPY from PostgreSQL, records and fences from a
pipeline's topics, events of MariaDB's binlog, and the records that Debezium wrote (tests/unit/data/change). Run by record-seeds."""

import base64
import hashlib
import json
import os

from rig import Postgres, Workdir
from rig.kafka import Kafka
from rig.mariadb import BINLOG, MariaDB
from rig.scenario import scenario

HERE = os.path.dirname(os.path.abspath(__file__))
GOLDEN = os.path.join(HERE, "..", "unit", "data", "change")
SMALL = 6000    # bytes: larger ones slow a fuzzer down
OF_A_KIND = 24  # seeds of one target and source

SCHEMA = """
CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TYPE pair AS (a int, b text);
CREATE TABLE small (id int PRIMARY KEY, v text);
CREATE TABLE "We ird" (k1 text, k2 bigint, big text, PRIMARY KEY (k1, k2)); ALTER TABLE "We ird" ALTER big SET STORAGE EXTERNAL;
CREATE TABLE bag (a int, b numeric); ALTER TABLE bag REPLICA IDENTITY FULL;
CREATE TABLE kinds (id bigint PRIMARY KEY, b bool, i2 smallint NOT NULL, f4 real, f8 float8, n numeric(12, 3), nn numeric, t varchar(20), y bytea, d date,
    ts timestamp(3), tz timestamptz, iv interval, u uuid, j json, jb jsonb, m mood, p pair, a int[], r int4range, ip inet, bt bit(3), pt point, mo money);
"""
ROWS = """
INSERT INTO small VALUES ({n}, 'one'), ({n} + 1, NULL), ({n} + 2, 'drei – 三 😀');
INSERT INTO "We ird" VALUES ('k', {n}, repeat('toast ', 600)), ('', {n} + 1, NULL);
INSERT INTO bag VALUES ({n}, 1.50), ({n}, NULL), (NULL, 'NaN');
INSERT INTO kinds VALUES ({n}, true, -7, 1.5, 'NaN', -12.340, 1e30, 'x"y', '\\x00ff', '2024-02-29', '2024-02-29 12:34:56.789', '2024-02-29 12:34:56.789012+02', '1 year 2 days',
    'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{{"a": [1, null]}}', '{{"b": "c"}}', 'ok', '(1,x)', '{{1,NULL,3}}', '[1,5)', '10.0.0.1/8', B'101', '(1,2)', '$1.23'),
    ({n} + 1, NULL, 0, NULL, '-Infinity', NULL, NULL, NULL, NULL, 'infinity', NULL, '-infinity', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)
"""
CHANGES = (
    "UPDATE small SET v = 'two' WHERE v = 'one'; UPDATE small SET id = id + 100 WHERE v IS NULL; DELETE FROM small WHERE v = 'two'",
    """UPDATE "We ird" SET k1 = k1 || 'x'; UPDATE "We ird" SET k2 = k2 + 5; DELETE FROM "We ird" WHERE big IS NULL""",
    "UPDATE bag SET b = 3; DELETE FROM bag WHERE a IS NULL", "UPDATE kinds SET t = 'changed', f4 = NULL", "DELETE FROM kinds",
    "SELECT pg_logical_emit_message(true, 'fuzz', 'content'), pg_logical_emit_message(false, 'fuzz', '')", "TRUNCATE small, bag RESTART IDENTITY",
    "ALTER TABLE small ADD COLUMN w int DEFAULT 5", "INSERT INTO small VALUES (900, 'x', 6)")
MARKS = ("ping", "hold", "cut", "final")


def keep(target, source, number, data):
    folder = os.path.join(HERE, "corpus", target)
    os.makedirs(folder, exist_ok=True)
    if len(data) > SMALL:
        return
    with open(os.path.join(folder, f"{source}-{hashlib.sha1(data).hexdigest()[:10]}"), "wb") as f:
        f.write(data)


def pick(messages, shape):
    """At most OF_A_KIND messages, of as many shapes as there are."""
    by_shape = {}
    for message in messages:
        by_shape.setdefault(shape(message), []).append(message)
    rounds = max(map(len, by_shape.values()), default=0)
    return [found[i] for i in range(rounds) for found in by_shape.values() if i < len(found)][:OF_A_KIND]


def record_pgoutput(pg, name, **options):
    pg.sql(SCHEMA + "; CREATE PUBLICATION p FOR ALL TABLES", db=name)
    slot = f"seeds_{name}"
    pg.sql("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", (slot,), db=name)
    pg.sql(ROWS.format(n=1), db=name)
    for statement in CHANGES:
        pg.sql(statement, db=name)
    pg.sql(f"BEGIN; SELECT pg_replication_origin_create('from_{name}'); SELECT pg_replication_origin_session_setup('from_{name}'); SELECT pg_replication_origin_xact_setup('0/55', now());"
           "INSERT INTO small VALUES (1000, 'from elsewhere'); COMMIT", db=name)
    pg.sql(f"ALTER DATABASE \"{name}\" SET logical_decoding_work_mem = '64kB'", db=name)  # so that a long transaction is streamed
    pg.sql("INSERT INTO bag SELECT i, i FROM generate_series(1, 2000) i", db=name)
    pg.sql("BEGIN; INSERT INTO small VALUES (1001, 'x'); SAVEPOINT a; INSERT INTO bag SELECT i, i FROM generate_series(1, 2000) i; ROLLBACK TO SAVEPOINT a; INSERT INTO bag VALUES (1, 2); COMMIT", db=name)
    words = [w for key, value in {"publication_names": "p", "messages": "true", **options}.items() for w in (key, value)]
    rows = pg.sql("SELECT data FROM pg_logical_slot_get_binary_changes(%s, NULL, NULL, VARIADIC %s::text[])", (slot, words), db=name)
    pg.sql("SELECT pg_drop_replication_slot(%s)", (slot,), db=name)
    found = [bytes(row[0]) for row in rows]
    print(name, "".join(chr(m[0]) for m in found))
    for i, message in enumerate(pick(found, lambda m: (m[:1], m[5:6]))):
        keep("pgoutput", name, i, message)


def record_copy(pg, name):
    pg.sql(ROWS.format(n=5000), db=name)
    with pg.connect(name) as connection:
        for table in ("small", '"We ird"', "bag", "kinds"):
            columns = len(connection.execute(f"SELECT * FROM {table} LIMIT 0").description)
            with connection.cursor().copy(f"COPY (SELECT * FROM {table} LIMIT 4) TO STDOUT (FORMAT binary)") as copy:
                stream = b"".join(bytes(piece) for piece in copy)
            for cut in (0, 6, 23):
                keep("copy", table.strip('"').replace(" ", "_"), cut, bytes((columns, cut)) + stream)


def record_pipeline(folder, source, target, kafka, journal_format):
    with scenario(folder, source, target, SCHEMA + ";" + ROWS.format(n=1), journal=kafka.url, journal_format=journal_format, name=f"seeds{journal_format}") as s:
        s.start()
        s.source(ROWS.format(n=50), *CHANGES[:-1])
        s.source(*(f"INSERT INTO crossfade.marker (pipeline, nonce, kind) VALUES ('{s.name}', '{kind}', '{kind}')" for kind in MARKS[:1]))
        s.wait()
        prefix = s.name
        found = kafka.read_all([t for t in kafka.topics() if t.startswith(prefix + ".")])
        schemas = {e["id"]: e["schema"] for e in (json.loads(m.value()) for m in found[prefix + ".schemas"])}
        for i, fence in enumerate(pick(found[prefix + ".fence"], lambda m: json.loads(m.value())["kind"])):
            keep("fence", journal_format, i, fence.value())
        for topic, messages in found.items():
            if topic in (prefix + ".schemas", prefix + ".fence"):
                continue
            values = [m for m in messages if m.value() is not None]
            for i, m in enumerate(pick(values, lambda m: (m.value()[-60:-59], len(m.value()) // 50))[:6]):
                header = dict(m.headers() or []).get("crossfade.schema.id")
                number = int.from_bytes(header if header else m.value()[1:5], "big")
                keep(journal_format, "ours", i, schemas[number].replace("\n", " ").encode() + b"\n" + m.value())


def record_debezium():
    for name in sorted(os.listdir(GOLDEN)):
        if not name.endswith(".jsonl"):
            continue
        kind, stem = name[:4], name[:-6]
        with open(os.path.join(GOLDEN, stem + (".avsc.json" if kind == "avro" else ".schema.json")), encoding="utf-8") as f:
            schema = json.dumps(json.load(f)).encode()
        with open(os.path.join(GOLDEN, name), encoding="utf-8") as f:
            for i, line in enumerate(f):
                event = json.loads(line)
                value = base64.b64decode(event["value_b64"]) if kind == "avro" else json.dumps(event["payload"], ensure_ascii=False).encode()
                keep(kind, "debezium", i, schema + b"\n" + value)


BINLOG_ROWS = (
    "INSERT INTO small VALUES (1, 'eins – 1 😀', 1.5), (2, NULL, -0.01)", "UPDATE small SET v = 'two', id = id + 10", "DELETE FROM small WHERE id = 12",
    "INSERT INTO kinds VALUES (1, 255, -8388608, 18446744073709551615, -12.340, 99.5, b'101', 'ab', x'00FF', 'text', 'b', 'x,z', '2024-02-29', '-838:59:59.999999', '2024-02-29 12:34:56.789',"
    " '2024-02-29 12:34:56.789012', '2024-02-29 12:34:56.5', 2024, ST_GeomFromText('POINT(1 2)', 4326), ST_GeomFromText('LINESTRING(0 0,1 1)'), 'ü')",
    "INSERT INTO kinds (id) VALUES (2)", "INSERT INTO wide SELECT seq, REPEAT('x', 40) FROM seq_1_to_30", "CREATE TABLE other (a INT)", "TRUNCATE other", "DROP TABLE other")
BINLOG_TABLES = """
CREATE TABLE small (id INT PRIMARY KEY, v VARCHAR(20), n DECIMAL(12,3));
CREATE TABLE wide (id INT, v VARCHAR(50), PRIMARY KEY (id, v));
CREATE TABLE kinds (id BIGINT PRIMARY KEY, t TINYINT UNSIGNED, m MEDIUMINT, bu BIGINT UNSIGNED, d DECIMAL(65,30), f FLOAT, b BIT(12), c CHAR(9), bi BINARY(7), tx TEXT, e ENUM('a','b'), s SET('x','y','z'), da DATE,
    ti TIME(6), dt DATETIME(3), dt6 DATETIME(6), ts TIMESTAMP(1) NULL, y YEAR, p POINT, g GEOMETRY, u VARCHAR(9) CHARACTER SET ucs2);
"""


def binlog_events(data):
    at = 4  # the magic
    while at + 19 <= len(data):
        size = int.from_bytes(data[at + 9:at + 13], "little")
        yield data[at:at + size]
        at += size


def record_binlog(folder, name, settings):
    """A transaction's events are one input, the FORMAT event in front."""
    with MariaDB(folder, f"binlog-{name}", dict(BINLOG, **settings, **{"binlog-checksum": "NONE"})) as db:
        db.sql("CREATE DATABASE shop")
        db.script(BINLOG_TABLES, db="shop")
        for statement in BINLOG_ROWS:
            db.sql(statement, db="shop")
        with db.connect("shop") as connection, connection.cursor() as cursor:
            for statement in ("XA START 'g'", "INSERT INTO small VALUES (50, 'xa', 0)", "XA END 'g'", "XA PREPARE 'g'", "XA COMMIT 'g'"):
                cursor.execute(statement)
        path = os.path.join(db.data, db.sql("SHOW BINARY LOGS")[-1][0])
        with open(path, "rb") as f:
            events = list(binlog_events(f.read()))
        head, groups = events[0], []
        for event in events[1:]:
            if event[4] == 162 or not groups:  # GTID
                groups.append(b"")
            groups[-1] += event
        for group in groups[-(len(BINLOG_ROWS) + 4):]:
            keep("binlog", name, 0, b"\1" + head + group)


def main():
    with Workdir("seeds-binlog") as folder:
        record_binlog(folder, "plain", {"binlog-row-metadata": "FULL"})
        record_binlog(folder, "compressed", {"binlog-row-metadata": "FULL", "log-bin-compress": "ON", "log-bin-compress-min-len": 10})
        record_binlog(folder, "bare", {})
    record_debezium()
    with Workdir("seeds") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target, Kafka(folder) as kafka:
        for name, options in (("text", {"proto_version": "1"}), ("binary", {"proto_version": "1", "binary": "true"}),
                              ("stream", {"proto_version": "2", "binary": "true", "streaming": "on"})):
            source.create_db(name)
            record_pgoutput(source, name, **options)
        record_copy(source, "binary")
        for journal_format in ("avro", "json"):
            record_pipeline(folder, source, target, kafka, journal_format)


main()
