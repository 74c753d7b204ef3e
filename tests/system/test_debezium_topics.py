"""Apply reads topics that Debezium's connectors write: PostgreSQL in JSON, MariaDB in Avro."""

import json
import urllib.request

import pytest

from rig import Postgres, Workdir
from rig.connect import JSON, Connect, avro, mariadb_source, postgres_source
from rig.foreign import Foreign, run_sql
from rig.kafka import Kafka
from rig.mariadb import BINLOG, MariaDB
from rig.oracle import assert_equal
from rig.postgres import copy_schema
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
            "topic.creation.default.partitions": 2, "topic.creation.groups": "ends", "topic.creation.ends.include": r"pg\.transaction,pg\.public\.nokey",
            "topic.creation.ends.partitions": 1, "topic.creation.ends.replication.factor": 1})
        topics = {"brokers": kafka.bootstrap, "topics": ["pg.public.*"], "transaction_topic": "pg.transaction"}
        with Foreign(folder, "pg", target_url, topics) as f, Connect(folder, kafka, {"pg": settings}) as f.connect:
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


MARIADB_SCHEMA = """
CREATE DATABASE shop CHARACTER SET utf8mb4; USE shop;
CREATE TABLE kinds (id INT PRIMARY KEY, flag TINYINT(1), tiny TINYINT, tu TINYINT UNSIGNED, su SMALLINT UNSIGNED, mu MEDIUMINT UNSIGNED, iu INT UNSIGNED, b BIGINT, bu BIGINT UNSIGNED,
    d DECIMAL(10,2), dd DECIMAL(65,30), f FLOAT, db DOUBLE, b1 BIT(1), b8 BIT(12), c CHAR(5), v VARCHAR(20), t TEXT, bl BLOB, bi BINARY(4), da DATE, ti TIME, t6 TIME(6), dt DATETIME,
    dt6 DATETIME(6), ts TIMESTAMP NULL, ts6 TIMESTAMP(6) NULL, y YEAR, e ENUM('a','b b','c,d','ü'), s SET('x','y','z'), j JSON, p POINT, z DATE, zn DATETIME NOT NULL);
CREATE TABLE orders (id BIGINT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(20) NOT NULL, qty INT UNSIGNED NOT NULL, note TEXT, amount DECIMAL(10,2));
CREATE TABLE pairs (a VARCHAR(10), b INT UNSIGNED, v TEXT, PRIMARY KEY (b, a));
CREATE TABLE nokey (a INT, b TEXT);
CREATE TABLE account (id INT PRIMARY KEY, amount BIGINT NOT NULL);
CREATE TABLE done (id INT PRIMARY KEY);
"""
MARIADB_TARGET = """
CREATE SCHEMA store; CREATE TYPE store.e AS ENUM ('a', 'b b', 'c,d', 'ü');
CREATE TABLE store.kinds (id int PRIMARY KEY, flag boolean, tiny smallint, tu smallint, su int, mu int, iu bigint, b bigint, bu numeric(20), d numeric(10,2), dd numeric(65,30), f real,
    db double precision, b1 boolean, b8 bit(12), c varchar(5), v varchar(20), t text, bl bytea, bi bytea, da date, ti interval, t6 interval, dt timestamp, dt6 timestamp, ts timestamptz, ts6 timestamptz,
    y int, e store.e, s text, j jsonb, p point, z date, zn timestamp NOT NULL);
CREATE TABLE store.orders (id bigint PRIMARY KEY, name varchar(20) NOT NULL, qty bigint NOT NULL, note text, amount numeric(10,2));
CREATE TABLE store.pairs (a varchar(10), b bigint, v text, PRIMARY KEY (b, a));
CREATE TABLE store.nokey (a int, b text);
CREATE TABLE store.account (id int PRIMARY KEY, amount bigint NOT NULL);
CREATE TABLE store.done (id int PRIMARY KEY);
"""
MARIADB_KINDS = """SET sql_mode = ''; INSERT INTO kinds VALUES
    (%d + 1, 1, -5, 200, 60000, 16000000, 4000000000, -1234567890123, 12345678901234567890, -1234.50, 12345.6789, 1.5, 0.1, b'1', b'100000000101', 'ab', 'hello', 'text ☺', x'00CAFE', x'DEAD', '2024-02-29', '13:14:15',
     '-838:59:59.999999', '2024-02-29 13:14:15', '2024-02-29 13:14:15.123456', '2024-02-29 13:14:15', '2024-02-29 13:14:15.123456', 2024, 'c,d', 'x,z', '{"b": 1,  "a": [1, null]}',
     ST_GeomFromText('POINT(1.5 -2.25)'), '0000-00-00', '0000-00-00 00:00:00'),
    (%d + 2, 0, -128, 255, 65535, 16777215, 4294967295, 9223372036854775807, 18446744073709551615, 99999999.99, 99999999999999999999999999999999999.999999999999999999999999999999, -2.5, 1e308, b'0',
     b'000011111111', 'ÄÖ', '', '', x'', x'00', '9999-12-31', '838:59:59', '24:00:00', '9999-12-31 23:59:59', '9999-12-31 23:59:59.999999', '2038-01-19 03:14:07', '1970-01-01 00:00:01.000001', 1901, 'ü', '',
     '"s"', NULL, NULL, '2024-01-01 10:00:00'),
    (%d + 3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
     '2024-01-01 10:00:00')"""
# As text, without the key: what the SQL above says; zero dates as Debezium has them (null; the epoch where null may not be).
MARIADB_EXPECTED = [
    ("t", "-5", "200", "60000", "16000000", "4000000000", "-1234567890123", "12345678901234567890", "-1234.50", "12345.678900000000000000000000000000", "1.5", "0.1", "t", "100000000101", "ab", "hello", "text ☺",
     "\\x00cafe", "\\xdead0000", "2024-02-29", "13:14:15", "-838:59:59.999999", "2024-02-29 13:14:15", "2024-02-29 13:14:15.123456", "2024-02-29 13:14:15+00", "2024-02-29 13:14:15.123456+00", "2024", "c,d",
     "x,z", '{"a": [1, null], "b": 1}', "(1.5,-2.25)", None, "1970-01-01 00:00:00"),
    ("f", "-128", "255", "65535", "16777215", "4294967295", "9223372036854775807", "18446744073709551615", "99999999.99", "99999999999999999999999999999999999.999999999999999999999999999999", "-2.5", "1e+308",
     "f", "000011111111", "ÄÖ", "", "", "\\x", "\\x00000000", "9999-12-31", "838:59:59", "24:00:00", "9999-12-31 23:59:59", "9999-12-31 23:59:59.999999", "2038-01-19 03:14:07+00",
     "1970-01-01 00:00:01.000001+00", "1901", "ü", "", '"s"', None, None, "2024-01-01 10:00:00"),
    (None,) * 32 + ("2024-01-01 10:00:00",),
]
MARIADB_CHANGES = """USE shop;
INSERT INTO orders VALUES (10, 'ten', 10, 'note', 10.10); UPDATE orders SET name = 'ten upd', note = NULL WHERE id = 10; UPDATE orders SET id = 20 WHERE id = 10;
REPLACE INTO orders VALUES (20, 'replaced', 1, 'r', NULL); INSERT INTO orders VALUES (20, 'x', 1, NULL, NULL) ON DUPLICATE KEY UPDATE qty = 4000000000;
INSERT INTO orders SELECT seq + 100, CONCAT('n', seq), seq, REPEAT('ü', 50), seq / 3 FROM seq_1_to_500; UPDATE orders SET qty = qty + 1 WHERE id % 3 = 0; DELETE FROM orders WHERE id % 7 = 0;
UPDATE pairs SET a = CONCAT(a, 'x'), b = b + 1000, v = 'moved' WHERE b % 2 = 0;
INSERT INTO nokey VALUES (1, 'x'), (1, 'x'), (2, NULL); DELETE FROM nokey WHERE a = 1 LIMIT 1; UPDATE nokey SET b = 'y' WHERE a = 2;
"""


def test_mariadb_topics_in_avro(folder, kafka, target):
    """MariaDB's types by the target's columns, other names there, keyless tables, TRUNCATE; apply is killed meanwhile."""
    with Registry(folder) as registry, MariaDB(folder, settings=BINLOG) as source:
        target_url = target.create_db("mb")
        run_sql(target_url, MARIADB_TARGET)
        source.client(MARIADB_SCHEMA)
        source.client(MARIADB_KINDS % (0, 0, 0) + """; INSERT INTO orders VALUES (1, 'snap', 1, NULL, NULL); INSERT INTO nokey VALUES (1, 'snap');
            INSERT INTO pairs SELECT CONCAT('k', seq), seq, 'v' FROM seq_1_to_50; INSERT INTO account SELECT seq, 100 FROM seq_1_to_20""", "shop")
        settings = mariadb_source("mb", source, kafka, "shop", avro(registry, register=True), **{
            "provide.transaction.metadata": "true", "column.propagate.source.type": ".*", "topic.creation.default.partitions": 2, "topic.creation.groups": "single",
            "topic.creation.single.include": r"mb\.transaction,mb,history-mb,mb\.shop\.nokey", "topic.creation.single.partitions": 1, "topic.creation.single.replication.factor": 1})
        topics = {"brokers": kafka.bootstrap, "topics": ["mb*"], "transaction_topic": "mb.transaction", "format": "avro", "registry": registry.url, "tables": ["shop.* -> store.{table}"]}
        with Foreign(folder, "mb", target_url, topics) as f, Connect(folder, kafka, {"mb": settings}, name="connect-mb") as f.connect:
            f.apply.start()
            f.wait_row("SELECT count(*) = 20 FROM store.account", 60)
            source.client(MARIADB_CHANGES + MARIADB_KINDS % (100, 100, 100), "shop")
            for n in range(4):
                source.client("".join(f"START TRANSACTION; UPDATE account SET amount = amount - 7 WHERE id = {1 + i % 20}; UPDATE account SET amount = amount + 7 WHERE id = {1 + (i * 7 + n + 1) % 20}; COMMIT;"
                                   for i in range(50)), "shop")
                f.apply.kill9()
                f.apply.start()
                for _ in range(20):
                    assert f.value("SELECT sum(amount) FROM store.account") == 2000
            source.client("TRUNCATE TABLE nokey; INSERT INTO nokey VALUES (9, 'after'); INSERT INTO done VALUES (1)", "shop")
            f.wait_row("SELECT count(*) = 1 FROM store.done")
            columns = [c for c, in f.rows("SELECT attname FROM pg_attribute WHERE attrelid = 'store.kinds'::regclass AND attnum > 1 ORDER BY attnum")]
            for base in (0, 100):
                got = f.rows(f"SELECT {', '.join(f'{c}::text' for c in columns)} FROM store.kinds WHERE id > {base} AND id <= {base} + 3 ORDER BY id")
                expected = [tuple({"t": "true", "f": "false"}.get(v, v) if c in ("flag", "b1") else v for c, v in zip(columns, row)) for row in MARIADB_EXPECTED]
                assert [dict(zip(columns, row)) for row in got] == [dict(zip(columns, row)) for row in expected], f"rows from {base}"
            for table, key in MARIADB_SAME:
                here = [["NULL" if v is None else str(v) for v in row] for row in f.rows(f"SELECT * FROM store.{table} ORDER BY {key}")]
                assert here == source.client(f"SELECT * FROM {table} ORDER BY {key}", "shop"), table
            held_and_retried(source, f)
            assert f.apply.terminate() == 0, f.apply.log_tail()
            into_mariadb(folder, source, topics)


def held_and_retried(source, f):
    """Dead letters in Avro: a row that is refused, and its key changes; shown and applied by the registry's schemas."""
    assert f.apply.terminate() == 0, f.apply.log_tail()
    f.settings["apply"]["on_row_error"] = "dead_letter"
    with open(f.config, "w", encoding="utf-8") as config:
        json.dump(f.settings, config)
    run_sql(f.url, "ALTER TABLE store.orders ADD CONSTRAINT short CHECK (length(name) < 10)")
    f.apply.start()
    source.client("INSERT INTO orders VALUES (9000, 'far too long', 1, 'ü', 1.5); UPDATE orders SET qty = 4000000000 WHERE id = 9000; UPDATE orders SET id = 9001 WHERE id = 9000;"
                  "UPDATE orders SET note = 'goes on' WHERE id = 101; INSERT INTO done VALUES (2)", "shop")
    f.wait_row("SELECT count(*) = 1 FROM store.done WHERE id = 2")
    held = f.rows("SELECT id, op FROM crossfade.dead_letter WHERE state = 'held' ORDER BY id")
    assert [op for _, op in held] == ["c", "u", "d", "c"] and f.value("SELECT note FROM store.orders WHERE id = 101") == "goes on"
    shown = f.run("apply", "dlq", "show", str(held[0][0]), "--json")
    record = json.loads(shown.stdout)["record"]
    assert record["key"] == {"id": 9000} and record["value"]["after"]["name"] == "far too long" and record["value"]["after"]["note"] == "ü", shown.stdout + shown.stderr
    run_sql(f.url, "ALTER TABLE store.orders DROP CONSTRAINT short")
    asked = f.run("apply", "dlq", "retry", "--all", "--timeout", "50")
    assert asked.returncode == 0, asked.stdout + asked.stderr
    assert f.rows("SELECT id, name, qty, note FROM store.orders WHERE id >= 9000") == [(9001, "far too long", 4000000000, "ü")]


MARIADB_SAME = (("orders", "id"), ("pairs", "b, a"), ("nokey", "a"), ("account", "id"))


def into_mariadb(folder, source, topics):
    """The same topics into MariaDB, in the order of each key; apply is killed on the way."""
    url = source.create_db("copied")
    source.client("".join(f"CREATE TABLE copied.{table} LIKE shop.{table};" for table, _ in (*MARIADB_SAME, ("done", "id"))))
    source.client("ALTER TABLE orders MODIFY qty BIGINT NOT NULL; ALTER TABLE pairs MODIFY b BIGINT, MODIFY a VARCHAR(10) COLLATE utf8mb4_nopad_bin", "copied")  # as the events have them
    chosen = {**{key: value for key, value in topics.items() if key != "transaction_topic"}, "topics": ["mb.shop.*", "!mb.shop.kinds"], "tables": ["shop.* -> copied.{table}"]}
    with Foreign(folder, "mb2", url, chosen) as f:
        for table in ("account", "done"):
            f.apply.start()
            wait_until(lambda: not f.apply.running or source.client(f"SELECT count(*) > 0 FROM {table}", "copied") == [["1"]], 90, f"rows of {table}")
            assert f.apply.running, f.apply.log_tail(20)
            f.apply.kill9()
        f.apply.start()

        def same(table, key):
            return source.client(f"SELECT * FROM {table} ORDER BY {key}", "copied") == source.client(f"SELECT * FROM {table} ORDER BY {key}", "shop")
        wait_until(lambda: not f.apply.running or all(same(*each) for each in MARIADB_SAME), 90, "both databases are equal")
        assert f.apply.terminate() == 0, f.apply.log_tail(20)
