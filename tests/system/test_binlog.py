"""lib/maria/binlog against real servers: what is decoded from the binlog (by binlog-lines) is what SELECT shows, for every type and any transaction."""

import datetime
import decimal
import json
import os
import random
import struct
import subprocess

import pymysql
import pytest

from rig import Workdir
from rig.mariadb import BINLOG, ROLE, ROLE_PASSWORD, MariaDB
from rig.wait import wait_until

LINES = os.path.join(os.environ["CF_BUILD_DIR"], "tests", "binlog-lines") if os.environ.get("CF_BUILD_DIR") else os.path.join(
    os.path.dirname(os.path.abspath(os.environ["CROSSFADE_BIN"])), "tests", "binlog-lines")
FULL = dict(BINLOG, **{"binlog-row-metadata": "FULL"})
SETTINGS = {"full": FULL, "compressed": dict(FULL, **{"log-bin-compress": "ON", "log-bin-compress-min-len": 10}), "catalog": BINLOG, "newer": FULL}


def start(folder, name, home=None):
    db = MariaDB(folder, home or name, SETTINGS[name], version="11.4" if name == "newer" else None)
    db.__enter__()
    for statement in ("CREATE DATABASE shop CHARACTER SET utf8mb4", f"GRANT REPLICATION SLAVE, BINLOG MONITOR, SELECT ON *.* TO {ROLE}@'%'"):
        db.sql(statement)
    return db


@pytest.fixture(name="folder", scope="module")
def fixture_folder():
    with Workdir("binlog") as folder:
        yield folder


@pytest.fixture(name="db", scope="module", params=list(SETTINGS))
def fixture_db(request, folder):
    db = start(folder, request.param)
    yield db
    db.close()


@pytest.fixture(name="one", scope="module")
def fixture_one(folder):
    db = start(folder, "full", "one")
    yield db
    db.close()


def position(db):
    return db.value("SELECT @@gtid_binlog_pos") or ""


def lines(db, since, *options, until=None, url=None):
    done = subprocess.run([LINES, url or db.url("shop"), since, until or position(db), *options], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode in (0, 1) and not done.stderr, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def good(found):
    assert [e for e in found if e["kind"] == "error"] == []
    return found


# -- datums as the server writes them

def fraction(us, digits):
    return f".{us:06d}"[:digits + 1] if digits > 0 else ""


def shown(field, value):
    """The datum in the form of SELECT (bytes for what is no text)."""
    if value is None:
        return None
    semantic, digits = field["semantic"], max(field["length"], 0)
    raw = bytes.fromhex(value["hex"]) if isinstance(value, dict) else None
    epoch = datetime.datetime(1970, 1, 1)
    if semantic == "org.apache.kafka.connect.data.Decimal":
        with decimal.localcontext() as context:
            context.prec = 100
            return f"{decimal.Decimal(int.from_bytes(raw, 'big', signed=True)).scaleb(-field['decimal_scale']):f}"
    if semantic == "io.debezium.data.Bits":
        return raw[::-1]
    if semantic == "io.debezium.time.Date":
        return (epoch + datetime.timedelta(days=value)).strftime("%Y-%m-%d").rjust(10, "0")
    if semantic == "io.debezium.time.MicroTime":
        seconds, us = divmod(abs(value), 10**6)
        return f"{'-' if value < 0 else ''}{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{fraction(us, digits)}"
    if semantic in ("io.debezium.time.Timestamp", "io.debezium.time.MicroTimestamp"):
        at = epoch + datetime.timedelta(microseconds=value * (1000 if semantic.endswith(".Timestamp") else 1))
        return at.strftime("%Y-%m-%d %H:%M:%S").rjust(19, "0") + fraction(at.microsecond, digits)
    if semantic == "io.debezium.time.ZonedTimestamp":
        return value.replace("T", " ").rstrip("Z")
    if semantic == "io.debezium.time.Year":
        return f"{value:04d}"
    if semantic and semantic.startswith("io.debezium.data.geometry."):
        return geometry(raw, semantic.endswith("Point"))
    if raw is not None:
        return raw
    if field["type"] == "BIT":
        return b"\1" if value else b"\0"
    return str(value)


def packed(data, at):
    value = shift = 0
    while True:
        byte, at = data[at], at + 1
        value |= (byte & 0x7f) << shift
        shift += 7
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), at


def geometry(body, point):
    """The server's form (SRID, WKB) of the struct's Avro body."""
    at = 16 if point else 0
    at += 1 if point else 0  # the branch
    size, at = packed(body, at)
    wkb = body[at:at + size]
    if point:
        assert body[:16] == wkb[5:21]
    srid = packed(body, at + size + 1)[0] if body[at + size] else 0
    return struct.pack("<I", srid) + wkb


def same(field, decoded, selected):
    if field["type"].startswith(("FLOAT", "DOUBLE")) and decoded is not None and selected is not None:
        return float(decoded) == float(selected)
    return decoded == (selected.decode() if isinstance(selected, bytes) and isinstance(decoded, str) else selected)


class Replica:
    """Tables by key (or, without one, as a bag), as the stream leaves them."""

    def __init__(self):
        self.tables, self.schemas, self.schema = {}, {}, {}
        self.held = {}

    def apply(self, found):
        pending = []
        for e in found:
            if e["kind"] == "schema":
                self.schema[e["database"], e["table"]] = e
            elif e["kind"] == "begin":
                pending = []
            elif e["kind"] == "row":
                assert e["ordinal"] == len(pending) + 1
                pending.append((self.schema[e["database"], e["table"]], e))
            elif e["kind"] == "end":
                if e["outcome"] == "prepared":
                    self.held[e["xid"]["hex"]] = pending
                elif e["outcome"] in ("xa committed", "xa rolled back"):
                    pending = self.held.pop(e["xid"]["hex"])
                if e["outcome"] in ("committed", "xa committed"):
                    for schema, row in pending:
                        self.change(schema, row)

    def change(self, schema, e):
        table = self.tables.setdefault((e["database"], e["table"]), {})

        def key(row):
            return tuple(json.dumps(row[k]) for k in schema["key"] or row)
        if e["before"] is not None:
            rows = table[key(e["before"])]
            assert rows.pop() == e["before"]
            if not rows:
                del table[key(e["before"])]
        if e["after"] is not None:
            rows = table.setdefault(key(e["after"]), [])
            rows.append(e["after"])
            assert len(rows) == 1 or not schema["key"]

    def check(self, db, table):
        """SELECT's rows, each by each."""
        schema = self.schema["shop", table]
        cells = ", ".join(f"`{f['name']}` + 0e0" if f["type"].startswith(("FLOAT", "DOUBLE")) else f"`{f['name']}`" for f in schema["fields"])
        want = db.sql(f"SELECT {cells} FROM `{table}`", db="shop")
        have = [row for rows in self.tables.get(("shop", table), {}).values() for row in rows]
        assert len(have) == len(want)
        decoded = [[shown(f, row[f["name"]]) for f in schema["fields"]] for row in have]
        first = [str(row[0]) for row in decoded]
        by_first = {str(row[0]): row for row in want}
        assert len(by_first) == len(want), "the first column is to tell rows apart"
        for name, row in zip(first, decoded):
            for field, a, b in zip(schema["fields"], row, by_first[name]):
                assert same(field, a, b), f"row {name}, {field}: decoded {a!r}, selected {b!r}"


TYPES = """id INT PRIMARY KEY, c_tiny TINYINT, c_tinyu TINYINT UNSIGNED, c_small SMALLINT, c_smallu SMALLINT UNSIGNED, c_med MEDIUMINT, c_medu MEDIUMINT UNSIGNED,
  c_int INT, c_year YEAR, c_intu INT UNSIGNED, c_big BIGINT, c_bigu BIGINT UNSIGNED, c_dec DECIMAL(10,2), c_dec0 DECIMAL(9,9), c_dec65 DECIMAL(65,30), c_decu DECIMAL(20,0) UNSIGNED,
  c_float FLOAT, c_double DOUBLE, c_bit1 BIT(1), c_bit8 BIT(8), c_bit12 BIT(12), c_bit64 BIT(64),
  c_char CHAR(5), c_charw CHAR(100), c_vc VARCHAR(20), c_vc300 VARCHAR(300), c_latin1 VARCHAR(20) CHARACTER SET latin1, c_latin2 CHAR(9) CHARACTER SET latin2, c_koi8r TEXT CHARACTER SET koi8r,
  c_utf16 VARCHAR(9) CHARACTER SET utf16, c_ucs2 TEXT CHARACTER SET ucs2, c_utf32 VARCHAR(9) CHARACTER SET utf32, c_utf8 VARCHAR(9) CHARACTER SET utf8mb3, c_ascii VARCHAR(9) CHARACTER SET ascii,
  c_uca VARCHAR(9) COLLATE utf8mb4_unicode_520_ci,
  c_tt TINYTEXT, c_t TEXT, c_mt MEDIUMTEXT, c_lt LONGTEXT, c_json JSON, c_bin4 BINARY(4), c_bin16 BINARY(16), c_bin7 BINARY(7), c_vbin VARBINARY(10), c_blob BLOB, c_tb TINYBLOB, c_mb MEDIUMBLOB, c_lb LONGBLOB,
  c_date DATE, c_time TIME, c_time1 TIME(1), c_time3 TIME(3), c_time6 TIME(6), c_dt DATETIME, c_dt2 DATETIME(2), c_dt3 DATETIME(3), c_dt5 DATETIME(5), c_dt6 DATETIME(6),
  c_ts TIMESTAMP NULL, c_ts1 TIMESTAMP(1) NULL, c_ts6 TIMESTAMP(6) NULL,
  c_enum ENUM('a','b b','c,d','it''s','ü','back\\\\slash'), c_enum1 ENUM('é','x') CHARACTER SET latin1, c_set SET('x','y','z','ö'), c_uuid UUID, c_inet4 INET4, c_inet6 INET6,
  c_point POINT, c_geom GEOMETRY, c_line LINESTRING, c_gen INT AS (c_int + 1) STORED, c_virt INT AS (c_int + 2) VIRTUAL, c_inv INT INVISIBLE, c_last TINYINT UNSIGNED NOT NULL DEFAULT 255"""

ROWS = (
    "1, -128, 0, -32768, 0, -8388608, 0, -2147483648, 1901, 0, -9223372036854775808, 0, -99999999.99, -0.999999999, -99999999999999999999999999999999999.999999999999999999999999999999, 0,"
    " -3.402823e38, -1.797693e308, b'0', b'0', b'0', b'0', '', '', '', '', '', '', '', '', '', '', '', '', '', '', '', '', '', '{}', '', '', '', '', '', '', '', '',"
    " '0001-01-01', '-838:59:59', '-00:00:00.1', '-00:00:00.001', '-838:59:59.999999', '0001-01-01 00:00:00', '1000-01-01 00:00:00.01', '1969-12-31 23:59:59.999', '1969-12-31 23:59:59.99999', '1500-03-01 00:00:00.000001',"
    " '1970-01-01 00:00:01', '1970-01-01 00:00:00.1', '1970-01-01 00:00:01.000001', 'a', 'é', '', '00000000-0000-0000-0000-000000000000', '0.0.0.0', '::', NULL, NULL, NULL, 1, 255",
    "2, 127, 255, 32767, 65535, 8388607, 16777215, 2147483646, 2155, 4294967295, 9223372036854775807, 18446744073709551615, 99999999.99, 0.999999999, 99999999999999999999999999999999999.999999999999999999999999999999, 99999999999999999999,"
    " 3.402823e38, 1.797693e308, b'1', b'11111111', b'100000000001', b'1000000000000000000000000000000000000000000000000000000000000001', 'ÄÖÜßé', 'ä', '😀𝄞日本語', REPEAT('ü', 300), 'café€', 'žluťou', 'привет',"
    " 'a😀', 'ü€', '😀', 'é€', 'ascii', 'ß', 'tt', 'tab\\tnl\\nq\"', REPEAT('m', 70000), REPEAT('long ', 100000), '{\"b\": 1,  \"a\": [1, null]}', x'DEAD', x'00112233445566778899AABBCCDDEEFF', x'01000000000000', x'BEEF00', x'CAFE', x'00', x'0102', REPEAT(x'FF', 300),"
    " '9999-12-31', '838:59:59', '23:59:59.9', '24:00:00.123', '838:59:59.999999', '9999-12-31 23:59:59', '2024-02-29 13:14:15.12', '2024-02-29 13:14:15.123', '2024-02-29 13:14:15.12345', '9999-12-31 23:59:59.999999',"
    " '2038-01-19 03:14:07', '2024-02-29 13:14:15.5', '2038-01-19 03:14:07.999999', 'back\\\\slash', 'x', 'x,z,ö', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '255.255.255.255', '2001:db8::ff00:42:8329',"
    " ST_GeomFromText('POINT(1.5 -2.25)', 4326), ST_GeomFromText('LINESTRING(0 0,1 1)'), ST_GeomFromText('LINESTRING(0 0,1 1,2 2)', 7), 2, 0",
    "3, 1, 200, -300, 60000, -70000, 16000000, 5, 2024, 4000000000, 12345678901234, 12345678901234567890, -1.50, 0.000000001, -0.000000000000000000000000000001, 1000000000,"
    " 1.5, 0.1, b'1', b'10000001', b'1', b'1', 'ab', 'cd', 'x ', 'trailing  ', 'x', 'y', 'z', 'q', 'w', 'e', 'r', 't', 'u', 'i', 'o', 'p', 'l', 'null', x'00000001', x'FF', x'', x'20', ' ', ' ', ' ', ' ',"
    " '2024-02-29', '13:14:15', '13:14:15.1', '-13:14:15.123', '-01:02:03.000004', '2024-02-29 13:14:15', '2024-02-29 13:14:15', '2024-02-29 13:14:15', '2024-02-29 13:14:15', '2024-02-29 13:14:15.123456',"
    " '2024-02-29 13:14:15', '2024-02-29 13:14:15.9', '2024-02-29 13:14:15.123456', 'c,d', NULL, 'y', '01932f5e-7d9a-7abc-8def-0123456789ab', '10.0.0.1', '::ffff:1.2.3.4', ST_GeomFromText('POINT(0 0)'), ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 1))'), NULL, NULL, 128",
)


def fill(connection, table, rows=ROWS):
    columns = [part.strip().split()[0] for part in split_columns(TYPES)]
    names = ", ".join(c for c in columns if c not in ("c_gen", "c_virt"))
    with connection.cursor() as cursor:
        cursor.execute("SET sql_mode = '', time_zone = '+00:00'")
        for row in rows:
            cursor.execute(f"INSERT INTO {table} ({names}) VALUES ({row})")
        cursor.execute(f"INSERT INTO {table} (id) VALUES (90)")


def split_columns(text):
    parts, depth, quoted, start_at = [], 0, False, 0
    for i, c in enumerate(text):
        quoted ^= c == "'"
        depth += 0 if quoted else (c == "(") - (c == ")")
        if c == "," and depth == 0 and not quoted:
            parts.append(text[start_at:i])
            start_at = i + 1
    return parts + [text[start_at:]]


def test_every_type(db):
    since = position(db)
    db.sql(f"CREATE TABLE types ({TYPES})", db="shop")
    with db.connect("shop") as connection:
        fill(connection, "types")
    db.sql("INSERT INTO types (id, c_uuid, c_inet6, c_bin16) SELECT 100 + seq, UUID(), INET6_NTOA(UNHEX(MD5(seq))), UNHEX(MD5(seq)) FROM seq_1_to_200", db="shop")
    db.sql("INSERT INTO types (id, c_uuid) SELECT 1000 + seq, MD5(seq) FROM seq_1_to_500", db="shop")
    db.sql("UPDATE types SET c_vc = 'changed', c_gen = DEFAULT WHERE id IN (2, 3)", db="shop")
    db.sql("DELETE FROM types WHERE id > 290 AND id < 300", db="shop")
    found = good(lines(db, since))
    replica = Replica()
    replica.apply(found)
    replica.check(db, "types")
    schema = replica.schema["shop", "types"]
    assert schema["key"] == ["id"] and schema["topic"] == "p.shop.types"
    types = {f["name"]: (f["type"], f["length"], f["scale"], f["optional"]) for f in schema["fields"]}
    assert types["c_vc"] == ("VARCHAR", 20, -1, True) and types["c_latin1"] == ("VARCHAR", 20, -1, True) and types["c_charw"] == ("CHAR", 100, -1, True)
    assert types["c_dec65"] == ("DECIMAL", 65, 30, True) and types["c_last"] == ("TINYINT UNSIGNED", -1, -1, False) and types["c_bin16"] == ("BINARY", 16, -1, True)
    assert types["c_uuid"][0] == "UUID" and types["c_point"][0] == "POINT" and types["c_lt"][0] == "LONGTEXT" and types["c_bigu"][0] == "BIGINT UNSIGNED"
    allowed = {f["name"]: f["allowed"] for f in schema["fields"] if f["allowed"]}
    assert allowed == {"c_enum": "a,b b,c\\,d,it's,ü,back\\slash", "c_enum1": "é,x", "c_set": "x,y,z,ö"}


def test_random_transactions(db):
    """Any mix of changes, savepoints and rollbacks, keys that move, tables without a key; the stream is read in pieces, each from the position where the last one ended."""
    rng = random.Random(f"binlog {db.name}")
    since = position(db)
    db.script("CREATE TABLE acc (id INT PRIMARY KEY, v VARCHAR(50), n DECIMAL(12,3), b BLOB);\nCREATE TABLE pair (a INT, b VARCHAR(20), v INT UNSIGNED, PRIMARY KEY (b, a));\n"
              "CREATE TABLE bag (a INT, b TEXT);\nCREATE TABLE aria (id INT PRIMARY KEY, v INT) ENGINE=Aria TRANSACTIONAL=0;\n", db="shop")
    replica, pieces = Replica(), []
    for part in range(4):
        with db.connect("shop") as connection, connection.cursor() as cursor:
            connection.encoders = pymysql.converters.encoders
            for _ in range(60):
                cursor.execute("BEGIN")
                for i in range(rng.randint(1, 8)):
                    key, text = rng.randint(1, 40), "".join(rng.choices("aäß😀'\\\n", k=rng.randint(0, 12)))
                    cursor.execute(*rng.choice((
                        ("REPLACE INTO acc VALUES (%s, %s, %s, %s)", (key, text, rng.randint(-10**6, 10**6) / 1000, os.urandom(rng.randint(0, 300)))),
                        ("UPDATE acc SET v = %s, n = n + 1 WHERE id BETWEEN %s AND %s", (text, key, key + 5)),
                        ("UPDATE IGNORE acc SET id = id + 7 WHERE id = %s", (key,)), ("DELETE FROM acc WHERE id = %s", (key,)),
                        ("INSERT INTO pair VALUES (%s, %s, 4294967295) ON DUPLICATE KEY UPDATE v = v - 1", (key, text)),
                        ("UPDATE IGNORE pair SET b = CONCAT(b, 'x') WHERE a = %s AND LENGTH(b) < 15", (key,)),
                        ("INSERT INTO bag VALUES (%s, %s)", (key, text)), ("UPDATE bag SET b = %s WHERE a = %s", (text, key)), ("DELETE FROM bag WHERE a = %s LIMIT 1", (key,)),
                        ("UPDATE acc, pair SET acc.v = 'both', pair.v = 1 WHERE acc.id = %s AND pair.a = %s", (key, key)))))
                    if rng.random() < 0.2:
                        cursor.execute("SAVEPOINT s")
                        cursor.execute("INSERT INTO bag VALUES (-1, 'undone')")
                        cursor.execute("ROLLBACK TO SAVEPOINT s")
                cursor.execute(rng.choice(("COMMIT", "COMMIT", "ROLLBACK")))
            cursor.execute("REPLACE INTO aria VALUES (%s, %s)", (part, part))
        found = good(lines(db, since))
        pieces += found
        since = [e["position"] for e in found if e["kind"] == "end"][-1]
        assert since == position(db)
        replica.apply(found)
    gtids = [e["gtid"] for e in pieces if e["kind"] == "begin"]
    assert len(gtids) == len(set(gtids)) > 100 and gtids == sorted(gtids, key=lambda g: int(g.split("-")[2]))
    for table in ("acc", "pair", "aria"):
        key = replica.schema["shop", table]["key"]
        have = sorted(([shown(f, row[f["name"]]) for f in replica.schema["shop", table]["fields"]] for rows in replica.tables["shop", table].values() for row in rows), key=str)
        assert have == sorted((list(row) for row in db.sql(f"SELECT * FROM {table}", db="shop")), key=str) and key == {"acc": ["id"], "pair": ["b", "a"], "aria": ["id"]}[table]
    bag = [(str(row["a"]), row["b"]) for rows in replica.tables.get(("shop", "bag"), {}).values() for row in rows]
    assert sorted(bag) == sorted(db.sql("SELECT * FROM bag", db="shop")) and replica.schema["shop", "bag"]["key"] == []


def test_altered_tables(one):
    """The binlog itself tells what rows are made of: each by the definition of its time."""
    since = position(one)
    one.sql("CREATE TABLE alt (id INT PRIMARY KEY, v TEXT)", db="shop")
    one.sql("INSERT INTO alt VALUES (1, 'one')", db="shop")
    one.sql("ALTER TABLE alt CHANGE v w VARCHAR(5), ADD n INT UNSIGNED NOT NULL DEFAULT 4000000000 FIRST", db="shop")
    one.sql("INSERT INTO alt VALUES (3, 2, 'two')", db="shop")
    one.sql("ALTER TABLE alt DROP PRIMARY KEY, ADD PRIMARY KEY (n, w(2))", db="shop")
    one.sql("TRUNCATE alt", db="shop")
    one.sql("CREATE TABLE alt2 AS SELECT 5 AS a", db="shop")
    one.sql("INSERT INTO alt VALUES (4, 3, 'three')", db="shop")
    found = good(lines(one, since))
    assert [(e["op"], e["after"]) for e in found if e["kind"] == "row"] == [
        ("c", {"id": 1, "v": "one"}), ("c", {"n": 3, "id": 2, "w": "two"}), ("c", {"a": 5}), ("c", {"n": 4, "id": 3, "w": "three"})]
    assert [(e["table"], e["version"], e["key"]) for e in found if e["kind"] == "schema"] == [("alt", 1, ["id"]), ("alt", 2, ["id"]), ("alt2", 1, []), ("alt", 3, [])]
    assert [e["text"].split()[0] for e in found if e["kind"] == "statement"] == ["CREATE", "ALTER", "ALTER", "TRUNCATE", "CREATE", ]
    for kind, outcome in (("begin", None), ("end", "committed")):
        assert len([e for e in found if e["kind"] == kind and e.get("outcome") == outcome]) == len({e["gtid"] for e in found if "gtid" in e}) == 8


def refused(found, code, *texts):
    assert found[-1]["kind"] == "error" and found[-1]["code"] == code, found[-1]
    for text in texts:
        assert text in found[-1]["text"], found[-1]


def test_catalog_of_another_time(folder):
    """Without names in the binlog: rows of before an ALTER are refused, by their form where that shows it, else when the ALTER is met."""
    db = start(folder, "catalog", "altered")
    try:
        since = position(db)
        db.sql("CREATE TABLE c1 (id INT PRIMARY KEY, v INT)", db="shop")
        db.sql("INSERT INTO c1 VALUES (1, 2)", db="shop")
        db.sql("ALTER TABLE c1 ADD w INT", db="shop")
        refused(lines(db, since), "schema", "table=shop.c1", "altered since", "binlog_row_metadata=FULL")
        since = position(db)
        db.sql("CREATE TABLE c2 (id INT PRIMARY KEY, v INT, u INT)", db="shop")
        db.sql("INSERT INTO c2 VALUES (1, 2, 3)", db="shop")
        db.sql("ALTER TABLE c2 CHANGE v u INT, CHANGE u v INT", db="shop")
        refused(lines(db, since), "schema", "table=shop.c2", "was altered at 0-77-", "binlog_row_metadata=FULL")
        since = position(db)
        db.sql("INSERT INTO c2 VALUES (2, 3, 4)", db="shop")
        db.sql("CREATE TABLE c3 (id INT)", db="shop")
        assert [e["after"] for e in good(lines(db, since)) if e["kind"] == "row"] == [{"id": 2, "u": 3, "v": 4}]
        since = position(db)
        db.sql("INSERT INTO c3 VALUES (1)", db="shop")
        db.sql("DROP TABLE c3", db="shop")
        refused(lines(db, since), "schema", "table=shop.c3", "does not show it any more")
    finally:
        db.close()


def test_xa(one):
    since = position(one)
    one.sql("CREATE TABLE x (id INT PRIMARY KEY)", db="shop")
    with one.connect("shop") as connection, connection.cursor() as cursor:
        for i, last in ((1, "XA COMMIT 'g1'"), (2, "XA ROLLBACK 'g2'")):
            for statement in (f"XA START 'g{i}'", f"INSERT INTO x VALUES ({i})", f"XA END 'g{i}'", f"XA PREPARE 'g{i}'"):
                cursor.execute(statement)
            one.sql(f"INSERT INTO x VALUES ({10 + i})", db="shop")
            cursor.execute(last)
        for statement in ("XA START 'g3'", "INSERT INTO x VALUES (3)", "XA END 'g3'", "XA COMMIT 'g3' ONE PHASE"):
            cursor.execute(statement)
    found = good(lines(one, since))
    assert [(e["outcome"], bytes.fromhex(e["xid"]["hex"]) if e["xid"] else None) for e in found if e["kind"] == "end"][1:] == [
        ("prepared", b"g1"), ("committed", None), ("xa committed", b"g1"), ("prepared", b"g2"), ("committed", None), ("xa rolled back", b"g2"), ("committed", None)]
    replica = Replica()
    replica.apply(found)
    replica.check(one, "x")
    assert not replica.held


def test_positions_of_several_domains(one):
    start_at = position(one)
    one.sql("CREATE TABLE d (id INT PRIMARY KEY)", db="shop")
    with one.connect("shop") as connection, connection.cursor() as cursor:
        for i in range(30):
            cursor.execute(f"SET gtid_domain_id = {i % 3 * 7}")
            cursor.execute(f"INSERT INTO d VALUES ({i})")
            if i == 15:
                one.sql("FLUSH BINARY LOGS")
    found = good(lines(one, start_at))
    ends = [e for e in found if e["kind"] == "end"]
    assert {g.split("-")[0] for g in ends[-1]["position"].split(",")} == {"0", "7", "14"} and len(ends) == 31
    for i in (0, 3, 14, 29):
        rows = [e["after"]["id"] for e in good(lines(one, ends[i]["position"])) if e["kind"] == "row"]
        assert rows == list(range(i, 30)), ends[i]
    assert lines(one, ends[-1]["position"]) == []


def test_refused(one):
    """What cannot be read without loss ends the stream, and says what and what to do."""
    def after(statements, *options):
        since = position(one)
        with one.connect("shop") as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
        return lines(one, since, *options)
    one.script("CREATE TABLE r (id INT PRIMARY KEY, v INT, d DATE, dn DATE NOT NULL DEFAULT '2024-01-01', t DATETIME(6), ts TIMESTAMP NULL);\nCREATE TABLE g (id INT PRIMARY KEY, v TEXT CHARACTER SET gbk);\n"
               "CREATE TABLE z (id INT PRIMARY KEY, v VARCHAR(1000) COMPRESSED);\nCREATE TABLE n (id INT PRIMARY KEY, v TEXT);\n", db="shop")
    refused(after(["SET binlog_row_image = MINIMAL", "INSERT INTO r (id, v) VALUES (1, 2)", "UPDATE r SET v = 3"]), "unsupported", "table=shop.r", "binlog_row_image=FULL")
    refused(after(["SET binlog_row_image = NOBLOB", "INSERT INTO n VALUES (9, 'x')", "UPDATE n SET id = 10"]), "unsupported", "table=shop.n", "binlog_row_image=FULL")
    refused(after(["SET binlog_format = STATEMENT", "/* why */ UPDATE r SET v = 3"]), "unsupported", "binlog_format=ROW")
    refused(after(["INSERT INTO g VALUES (1, 'x')"]), "unsupported", "table=shop.g: column v", "gbk", "utf8mb4")
    refused(after(["INSERT INTO z VALUES (1, 'x')"]), "unsupported", "table=shop.z: column 2", "COMPRESSED")
    refused(after(["INSERT INTO n VALUES (1, 'a\\0b')"]), "data", "table=shop.n: column v", "NUL")
    for values in ("'0000-00-00', NULL, NULL", "'2024-02-00', NULL, NULL", "NULL, '0000-00-00 00:00:00', NULL", "NULL, NULL, '0000-00-00 00:00:00'"):
        made = ["SET sql_mode = ''", f"INSERT INTO r (d, t, ts, id) SELECT {values}, MAX(id) + 1 FROM r"]
        refused(after(made), "data", "table=shop.r: column ", "a date that is none")
        assert [(e["after"]["d"], e["after"]["t"], e["after"]["ts"]) for e in good(after(made, "zero-date-null")) if e["kind"] == "row"] == [(None, None, None)]
    refused(after(["SET sql_mode = ''", "INSERT INTO r (id, dn) VALUES (1000, 0)"], "zero-date-null"), "data", "column dn")
    refused(after([f"INSERT INTO n VALUES (2, '{'x' * 30000}')"], "small-events"), "no_memory", "max_event_bytes")
    # and none of it is in the way of those who come after
    assert [e["after"] for e in good(after(["INSERT INTO n VALUES (3, 'ok')"])) if e["kind"] == "row"] == [{"id": 3, "v": "ok"}]


def test_no_connection(one):
    refused(lines(one, "", until="0-1-1", url=one.url("shop").replace("p%40ss", "wrong")), "auth")
    refused(lines(one, "0-77-1-1", until="0-77-1"), "config", "not a position of MariaDB")
    refused(lines(one, "0-77-12345", until="0-77-99999"), "gap", "never had")
    one.sql("CREATE TABLE gone (id INT PRIMARY KEY)", db="shop")
    old = position(one)
    one.sql("INSERT INTO gone VALUES (1)", db="shop")
    one.sql("FLUSH BINARY LOGS")
    one.sql("INSERT INTO gone VALUES (2)", db="shop")
    one.sql("FLUSH BINARY LOGS")
    last = one.sql("SHOW BINARY LOGS")[-1][0]

    def purged():  # as soon as no reader of before is left
        one.sql(f"PURGE BINARY LOGS TO '{last}'")
        return len(one.sql("SHOW BINARY LOGS")) == 1
    wait_until(purged, 60, "the old files are gone")
    refused(lines(one, old), "gap", "copy again")


def test_checks(one):
    def checks(url):
        done = subprocess.run([LINES, "check", url], capture_output=True, text=True, check=True, timeout=60)
        return {e["name"]: (e["verdict"], e["text"]) for e in map(json.loads, done.stdout.splitlines())}
    found = checks(one.url("shop"))
    assert {name: v[0] for name, v in found.items()} == dict.fromkeys(
        ("log_bin", "binlog_format", "binlog_row_image", "binlog_row_metadata", "gtid_strict_mode", "binlog_checksum", "binlog_expire_logs_seconds", "binlog filters", "REPLICATION SLAVE", "BINLOG MONITOR"), "pass")
    one.sql("CREATE USER poor@'%' IDENTIFIED BY '" + ROLE_PASSWORD + "'")
    one.sql("GRANT SELECT ON shop.* TO poor@'%'")
    try:
        one.sql("SET GLOBAL binlog_row_image = MINIMAL, GLOBAL binlog_format = MIXED, GLOBAL binlog_row_metadata = MINIMAL, GLOBAL binlog_expire_logs_seconds = 60")
        found = checks(one.url("shop", role="poor"))
        assert {name for name, v in found.items() if v[0] == "fail"} == {"binlog_format", "binlog_row_image", "REPLICATION SLAVE"}
        assert {name for name, v in found.items() if v[0] == "warn"} == {"binlog_row_metadata", "binlog_expire_logs_seconds", "BINLOG MONITOR"}
        assert all("Hint: " in v[1] for v in found.values() if v[0] != "pass")
        refused(lines(one, "", until="0-77-1", url=one.url("shop", role="poor")), "auth")
    finally:
        one.sql("SET GLOBAL binlog_row_image = FULL, GLOBAL binlog_format = ROW, GLOBAL binlog_row_metadata = FULL, GLOBAL binlog_expire_logs_seconds = 0")


def test_a_transaction_of_any_size(one):
    """Memory holds an event, not a transaction."""
    since = position(one)
    one.sql("CREATE TABLE big (id INT PRIMARY KEY, v VARCHAR(1000))", db="shop")
    one.sql("INSERT INTO big SELECT seq, REPEAT(MD5(seq), 25) FROM seq_1_to_200000", db="shop")
    env = {**os.environ, "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1"}  # freed memory is not what is measured
    with subprocess.Popen([LINES, one.url("shop"), since, position(one)], stdout=subprocess.PIPE, env=env) as reader, subprocess.Popen(["tail", "-n", "1"], stdin=reader.stdout, stdout=subprocess.PIPE) as tail:
        last = tail.communicate(timeout=300)[0]
        _, status, usage = os.wait4(reader.pid, 0)
        reader.returncode = os.waitstatus_to_exitcode(status)
    end = json.loads(last)
    assert reader.returncode == 0 and end["kind"] == "end" and end["outcome"] == "committed"
    assert usage.ru_maxrss < 100_000, "kilobytes: the transaction has 160 MB"
