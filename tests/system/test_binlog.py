"""lib/maria/binlog against real servers: what is decoded from the binlog (by binlog-lines) is what SELECT shows, for every type and any transaction."""

import datetime
import decimal
import json
import os
import random
import struct
import subprocess

import pytest

from rig import Workdir
from rig.mariadb import BINLOG, ROLE, ROLE_PASSWORD, MariaDB

LINES = os.path.join(os.environ["CF_BUILD_DIR"], "tests", "binlog-lines") if os.environ.get("CF_BUILD_DIR") else os.path.join(
    os.path.dirname(os.path.abspath(os.environ["CROSSFADE_BIN"])), "tests", "binlog-lines")
FULL = dict(BINLOG, **{"binlog-row-metadata": "FULL"})
SETTINGS = {"full": FULL, "compressed": dict(FULL, **{"log-bin-compress": "ON", "log-bin-compress-min-len": 10}), "catalog": BINLOG, "newer": FULL}


def start(folder, name):
    db = MariaDB(folder, name, SETTINGS[name], version="11.4" if name == "newer" else None)
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
    db = start(folder / "one" if hasattr(folder, "joinpath") else os.path.join(str(folder), "one"), "full")
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
