"""Differences planted on a target, of every kind that a comparison might overlook, and what it has to say of them: by reading the target before and after, in plain SQL."""

import collections
import contextlib
import random
import struct
import unicodedata

import psycopg
import pymysql

from .forms import changes
from .mariadb import run

TYPES = """CREATE EXTENSION IF NOT EXISTS citext; CREATE EXTENSION IF NOT EXISTS hstore; CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy', 'NULL', ''); CREATE TYPE pair_of AS (a int, b text);
    CREATE DOMAIN amount AS numeric(12,3);"""
WORDS = ("", " ", "NULL", "null", "a", "A", "größer", "Kaiser", "peso", "trail  ", "x\ty", "O'Hara \\ \"q\"", "0", "1.0", "é", "☺", "two words", "line\nbreak")
# Column type → some of its values. Every type that both kinds of targets take.
POOLS = {
    "bool": ("t", "f"), "int2": ("0", "1", "-32768", "32767", "12"), "int4": ("0", "-1", "2147483647", "-2147483648", "77"), "int8": ("0", "9223372036854775807", "-9223372036854775808", "5"),
    "float4": ("0", "1.5", "-3.4028235e38", "1e-30", "0.1", "16777216"), "float8": ("0", "0.1", "1.7976931348623157e308", "-2.2250738585072014e-308", "1e23", "9007199254740993", "-7.25"),
    "numeric(14,4)": ("0", "1.0", "-1.0001", "9999999999.9999", "12.5"), "numeric": ("0", "1.0", "1.00", "-7", "123456789012345678.000001"), "money": ("0", "1.05", "-92233720368547758.08"),
    "amount": ("0", "1.500", "-999999999.999"), "text": WORDS, "varchar(30)": WORDS, "char(6)": ("", "ab", "abcdef", "é", "NULL"), "citext": ("abc", "ABC", "é", ""), "name": ("n", "name"), '"char"': ("x", "y"),
    "bytea": ("\\x", "\\x00", "\\xff00ff", "\\x4e554c4c", "\\x" + "ab" * 40), "json": ('{"b": 1, "a": [1, 2.10]}', "[]", "null", '"x"'), "jsonb": ('{"b": 1, "a": [1, 2.10, null]}', "[1]", '{"k": "NULL"}', "11"),
    "uuid": ("0" * 32, "0123456789ab4def8123456789abcdef", "0123456789ab4def8123456789abcdee"), "date": ("2026-02-28", "0001-01-01", "9999-12-31", "1970-01-01"), "time": ("00:00:00", "23:59:59.999999", "12:34:56"),
    "timetz": ("12:00:00+02", "11:00:00+01", "00:00:00.000001-08"), "timestamp": ("2026-01-01 00:00:00", "1969-12-31 23:59:59.999999", "9999-12-31 23:59:59"), "timestamp(3)": ("2026-01-01 00:00:00.123", "1999-12-31 23:59:59.999"),
    "timestamptz": ("2026-03-29 01:00:00+00", "2026-01-01 00:00:00.000001+00"), "interval": ("1 day", "24:00:00", "1 mon", "30 days", "-00:00:00.000001"), "bit(9)": ("000000000", "101010101"),
    "varbit": ("", "0", "01", "1" * 30), "inet": ("10.0.0.1", "10.0.0.1/24", "::1"), "cidr": ("10.0.0.0/8", "2001:db8::/32"), "macaddr": ("00:00:00:00:00:00", "08:00:2b:01:02:03"), "point": ("(0,0)", "(0.1,-7.25)"),
    "int4range": ("empty", "[1,5)", "(,7)"), "tsvector": ("'a':1 'b':2", "'word'"), "mood": ("sad", "ok", "happy", "NULL", ""), "int[]": ("{}", "{1,2,3}", "{NULL,0}"), "text[]": ('{NULL,"NULL",""}', "{a,b}", '{"a,b"}'),
    "hstore": ('"a"=>NULL', '"a"=>"NULL"', ""), "pair_of": ("(1,x)", '(,"")', "(,)"),
}
DECIDED = {"numeric": "decimal(40,20)"}  # what a person says of types without an exact rule on MariaDB


def flip(size, most):
    """One bit of a float's mantissa."""
    def change(text, r):
        whole = struct.unpack(f"<{'I' if size == 4 else 'Q'}", struct.pack("<f" if size == 4 else "<d", float(text)))[0] ^ (1 << r.randrange(most))
        return repr(struct.unpack("<f" if size == 4 else "<d", whole.to_bytes(size, "little"))[0])
    return change


def flip_hex(text, r):
    at = r.choice([i for i, c in enumerate(text) if c in "0123456789abcdef"])
    return text[:at] + f"{int(text[at], 16) ^ (1 << r.randrange(4)):x}" + text[at + 1:]


def near_text(text, r):
    """A text that looks, sorts or reads much like this one."""
    at = r.randrange(len(text)) if text else 0
    alike = text.translate(str.maketrans("aeopcKAx 'i", "аеорсKАх\u00a0’і"))
    bit = chr(ord(text[at]) ^ 1) if text and 32 <= ord(text[at]) ^ 1 < 0xd800 else "1"
    return r.choice((text + " ", " " + text, text.rstrip() or "''", text.swapcase(), unicodedata.normalize("NFD", text), unicodedata.normalize("NFC", text), alike, text + "\u200d", text + "\t", "", "NULL", None,
                     text[:at] + bit + text[at + 1:], text[:-1], text[:at] + text[at:at + 1] + text[at:], text[:at] + text[at:at + 2][::-1] + text[at + 2:], text.replace("\n", "\r\n"), text + "\n"))


_STEP = ("$ + interval '1 microsecond'",)
# PostgreSQL: what makes of a value a near one: SQL with $ for the column and # for a small number, or a function of its text.
NEAR = {
    "bool": ("NOT $",), "int2": ("($ # (1 << ?)::int2)::int2",), "int4": ("$ # (1 << ?)", "-$"), "int8": ("$ # (1::int8 << ?)", "-$"), "float4": (flip(4, 23), flip(4, 23), "-$"), "float8": (flip(8, 52), flip(8, 52), "-$"),
    "numeric(14,4)": ("$ + 0.0001", "$ - 0.0001", "-$"), "numeric": ("$ + 0.000001", "($::text || CASE WHEN $::text ~ '[.]' THEN '0' ELSE '.0' END)::numeric", "-$"), "money": ("$ + '0.01'::money",),
    "amount": ("$ + 0.001", "$ - 0.001"), "text": (near_text,), "varchar(30)": (near_text,), "char(6)": (near_text,), "citext": (near_text, "upper($::text)::citext", "lower($::text)::citext"), "name": (near_text,),
    '"char"': ("'z'",), "bytea": ("set_bit($, ?, 1 - get_bit($, ?))", "$ || '\\x00'", "substr($, 2)"), "json": ("(' ' || $::text)::json", "replace($::text, '2.10', '2.1')::json", "('[' || $::text || ']')::json"),
    "jsonb": ("replace($::text, '2.10', '2.1')::jsonb", "replace($::text, 'null', '\"null\"')::jsonb", "replace($::text, '1', '3')::jsonb", "jsonb_build_array($)"), "uuid": (flip_hex,), "date": ("$ + 1", "$ - 1"),
    "time": _STEP, "timetz": (*_STEP, "$ AT TIME ZONE '+03:00'"), "timestamp": _STEP, "timestamp(3)": ("$ + interval '1 millisecond'",), "timestamptz": _STEP,
    "interval": (*_STEP, "justify_hours($)", "justify_days($)"), "bit(9)": ("set_bit($, ?, 1 - get_bit($, ?))",), "varbit": ("$ || B'0'", "set_bit($, 0, 1 - get_bit($, 0))"), "inet": ("$ + 1", "set_masklen($, 23)"),
    "cidr": ("set_masklen($, masklen($) - 1)",), "macaddr": (flip_hex,), "point": ("point($[0] + 0.1, $[1])", "point($[1], $[0])", "point(-$[0], $[1])"), "int4range": ("'[1,6)'", "'(,)'", "'empty'"),
    "tsvector": ("$ || 'z'::tsvector", "strip($)"), "mood": ("'ok'", "'NULL'", "''", "NULL"), "int[]": ("$ || 1", "array_replace($, NULL, 0)", "'[0:1]={1,2}'"), "text[]": ("array_replace($, NULL, 'NULL')", "array_replace($, 'NULL', NULL)", "$ || ''::text"),
    "hstore": ("$ || '\"a\"=>\"NULL\"'", "$ || '\"a\"=>NULL'", "$ || 'b=>1'"), "pair_of": ("ROW(1, 'y')::pair_of", "ROW(NULL, NULL)::pair_of", "ROW(NULL, '')::pair_of", "NULL"),
}


class Table:
    """name; keys: its key's columns, none for a bag; columns: {name: type}; fresh(r): a key that is free, near others."""

    def __init__(self, name, keys, columns, fresh=None, rows=0, make=None, more=""):
        self.name, self.keys, self.columns, self.fresh, self.rows, self.make, self.more = name, keys, columns, fresh, rows, make, more

    def ddl(self):
        key = f", PRIMARY KEY ({', '.join(self.keys)})" if self.keys else ""
        return f"CREATE TABLE {self.name} ({', '.join(f'{n} {t}' for n, t in self.columns.items())}{key}){self.more};" + ("" if self.keys else f"ALTER TABLE {self.name} REPLICA IDENTITY FULL;")

    @property
    def values(self):
        return [c for c in self.columns if c not in self.keys]


def _drawn(kind, r):
    return None if r.random() < 0.08 else r.choice(POOLS[kind])


def _tables():
    typed = {f"c{i}": kind for i, kind in enumerate(POOLS)}
    some = {f"c{i}": kind for i, kind in enumerate(("text", "numeric(14,4)", "int4", "bytea", "timestamptz", "float8"))}
    yield Table("typed", ["id"], {"id": "int", **typed}, lambda r: [r.randint(-50, 950)], 300, lambda i, r: [i * 3])
    yield Table("by_uuid", ["id"], {"id": "uuid", **some}, lambda r: [_uuid(r)], 350, lambda i, r: [_uuid(r)])
    yield Table("pair", ["a", "b"], {"a": 'varchar(40) COLLATE "C"', "b": "int", **some}, lambda r: [f"k'{r.randrange(60)}\\", r.randrange(30)], 350, lambda i, r: [f"k'{i % 50}\\", i // 50 * 4])
    yield Table("worded", ["w"], {"w": 'varchar(60) COLLATE "en-x-icu"', **some}, lambda r: [f"Wort {r.randrange(2000)}"], 250, lambda i, r: [f"{'Wort' if i % 2 else 'wort'} {i}"])
    yield Table("timed", ["t", "n"], {"t": "timestamp", "n": "numeric(10,3)", **some}, lambda r: [f"2026-01-01 {r.randrange(24):02d}:00:00.5", "7.125"], 300, lambda i, r: [f"2026-01-{i % 28 + 1:02d} 10:00:00", f"{i}.5"])
    yield Table("moody", ["m", "id"], {"m": "mood", "id": "int", **some}, lambda r: [r.choice(POOLS["mood"]), r.randint(-9, 99)], 200, lambda i, r: [POOLS["mood"][i % 5], i])
    yield Table("parted", ["slot", "id"], {"slot": "int", "id": "int", **some}, lambda r: [r.randrange(20), r.randint(-5, 400)], 250, lambda i, r: [i % 20, i], " PARTITION BY RANGE (slot)")
    yield Table("lengthy", ["id"], {"id": "int8", "body": "text", "raw": "bytea"}, lambda r: [r.randint(-2, 50)], 12, lambda i, r: [i * 4])
    yield Table("bag", [], {"k": "int", "v": "text", "d": "date"}, None, 300, lambda i, r: [i % 30, r.choice(("", "x", "NULL", None)), r.choice(("2026-01-01", None))])
    yield Table("sack", [], {"v": "text"}, None, 120, lambda i, r: [r.choice(WORDS)])
    yield Table("lone", ["id"], {"id": "int", "c0": "text"}, lambda r: [r.randint(2, 9)], 1, lambda i, r: [1])
    yield Table("empty", ["id"], {"id": "int", "c0": "text"}, lambda r: [r.randint(0, 9)])
    yield Table("empty_bag", [], {"k": "int", "v": "text"})


def _uuid(r):  # of version 4: MariaDB's type takes no version from 8 on
    return f"{r.getrandbits(48):012x}4{r.getrandbits(12):03x}8{r.getrandbits(60):015x}"


TABLES = {t.name: t for t in _tables()}
SCHEMA = TYPES + "".join(t.ddl() for t in TABLES.values()) + """CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (MINVALUE) TO (10); CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (10) TO (MAXVALUE);
    CREATE TABLE live (id int PRIMARY KEY, v text);"""


def fill(url, r):
    """The source's rows."""
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        for t in TABLES.values():
            with cursor.copy(f"COPY {t.name} FROM STDIN") as copy:
                for i in range(t.rows):
                    head = t.make(i, r)
                    rest = ["".join(r.choice(WORDS) for _ in range(9000)), "\\x" + r.randbytes(90000).hex()] if t.name == "lengthy" else [_drawn(t.columns[c], r) for c in t.values] if t.keys else []
                    copy.write_row(head + rest)


class Postgres:
    """The target as whoever plants and looks: a session of its own. keep: a copy of every table."""

    def __init__(self, url):
        self.c = psycopg.connect(url, autocommit=True, options="-c timezone=UTC -c datestyle=ISO,YMD -c extra_float_digits=1 -c lock_timeout=10s")
        self.keep, self.tables = "keep", TABLES
        self.c.execute("CREATE SCHEMA keep")
        for name in TABLES:
            self.c.execute(f"CREATE TABLE keep.{name} AS TABLE {name}")

    def close(self):
        self.c.close()

    def run(self, statement, cells=()):
        return self.c.execute(statement, cells).rowcount

    def rows(self, table):
        return self.c.execute(f"SELECT {', '.join(f'{c}::text' for c in table.columns)} FROM {table.name}").fetchall()

    def near(self, table, column, text, r):
        """An expression for a value near this one of that column, and its parameters."""
        way = r.choice(NEAR[table.columns[column]]) if table.columns[column] in NEAR else near_text
        if callable(way):
            return "%s", (way(text, r),)
        return way.replace("$", column).replace("?", str(r.choice((0, 1, 2, 5)))).replace("%", "%%"), ()

    REFUSED = (psycopg.DataError, psycopg.IntegrityError, psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected, psycopg.errors.FeatureNotSupported)
    ONE = "ctid = (SELECT ctid FROM {} LIMIT 1 OFFSET {})"

    def of_a_bag(self, table, verb, offset):
        self.run(f"{verb.format(table.name)} WHERE ctid = (SELECT ctid FROM {table.name} ORDER BY ctid LIMIT 1 OFFSET {offset})")


class MariaDB:
    """The same on MariaDB; keep is a database. Texts and bytes are read in hexadecimal, so that no collation has a say."""

    def __init__(self, server, name):
        self.c = server.connect(name)
        self.c.encoders = pymysql.converters.encoders
        self.keep, self.kinds = f"{name}_keep", {}
        run(self.c, "SET sql_mode = 'STRICT_ALL_TABLES', innodb_lock_wait_timeout = 10")
        run(self.c, f"CREATE DATABASE {self.keep} CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin")
        for table, column, kind in run(self.c, "SELECT TABLE_NAME, COLUMN_NAME, COLUMN_TYPE FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE()"):
            self.kinds[table, column] = kind
        self.json = {(table, column) for table, column in run(self.c, "SELECT TABLE_NAME, CONSTRAINT_NAME FROM information_schema.CHECK_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = DATABASE() AND CHECK_CLAUSE LIKE 'json_valid(%%'")}
        for name in TABLES:
            run(self.c, f"CREATE TABLE {self.keep}.{name} AS SELECT * FROM {name}")

    def close(self):
        self.c.close()

    def run(self, statement, cells=()):
        with self.c.cursor() as cursor:
            return cursor.execute(statement, cells or None)

    def _read(self, table, column):
        kind = self.kinds[table.name, column].partition("(")[0]
        if kind in ("float", "double"):
            return f"IF({column} = 0, '0', CAST({column} AS double))"  # it keeps no sign of zero
        return f"{column} + 0" if kind == "bit" else f"HEX({column})" if self._is_text(kind) or "blob" in kind else f"CAST({column} AS char)"

    @staticmethod
    def _is_text(kind):
        return "text" in kind or "char" in kind

    def rows(self, table):
        kinds = [self.kinds[table.name, c].partition("(")[0] for c in table.columns]
        found = run(self.c, f"SELECT {', '.join(self._read(table, c) for c in table.columns)} FROM {table.name}")
        return [tuple(bytes.fromhex(v).decode() if v is not None and self._is_text(k) else v for v, k in zip(row, kinds)) for row in found]

    def near(self, table, column, text, r):
        kind = self.kinds[table.name, column]
        if self._is_text(kind) and (table.name, column) not in self.json and r.random() < 0.8:
            return "%s", (near_text(text, r),)
        if kind in ("float", "double") and r.random() < 0.7:
            return "%s", (flip(4, 23)(text, r) if kind == "float" else flip(8, 52)(text, r),)
        return r.choice(changes(kind, (table.name, column) in self.json)).replace("$", f"`{column}`").replace("%", "%%"), ()

    REFUSED = (pymysql.err.DataError, pymysql.err.IntegrityError, pymysql.err.OperationalError)

    def of_a_bag(self, table, verb, offset):
        row = run(self.c, f"SELECT * FROM {table.name} LIMIT 1 OFFSET {offset}")[0]
        self.run(verb.format(table.name) + " WHERE " + " AND ".join(f"`{c}` <=> %s" for c in table.columns) + " LIMIT 1", row)


class Planter:
    """side: Postgres or MariaDB. plant(n) does n things to the target; found() is what a comparison has to tell; restore() takes all back."""

    def __init__(self, side, r):
        self.side, self.r, self.did = side, r, collections.Counter()
        self.before = {name: side.rows(t) for name, t in TABLES.items()}
        self.order = {name: self._in_order(t) for name, t in TABLES.items()}

    def _in_order(self, table):
        rows = [dict(zip(table.columns, row)) for row in self.before[table.name]]
        return sorted(rows, key=lambda row: [int(row[k]) if table.columns[k] in ("int", "int8") else row[k] for k in table.keys])

    # -- what may be done

    def _row(self, table):
        """First and last ones, and those at the bounds of ranges (of 100 rows), more often than others."""
        rows = self.order[table.name]
        ends = [i for i in (0, 1, 99, 100, 101, 199, 200, 201, len(rows) - 2, len(rows) - 1) if 0 <= i < len(rows)]
        return rows[self.r.choice(ends) if self.r.random() < 0.4 else self.r.randrange(len(rows))]

    def _at(self, table, row):
        return " AND ".join(f"{k} = %s" for k in table.keys), tuple(row[k] for k in table.keys)

    def _table(self, wants=lambda t: t.keys and t.rows):
        return self.r.choice([t for t in TABLES.values() if wants(t)])

    def _set(self, table, column, row, expression, cells=()):
        where, key = self._at(table, row)
        self.side.run(f"UPDATE {table.name} SET {column} = {expression} WHERE {where}", (*cells, *key))

    def _kept(self, table, column, row):
        where, key = self._at(table, row)
        return f"(SELECT {column} FROM {self.side.keep}.{table.name} WHERE {where})", key

    def value(self):
        table = TABLES["typed"] if self.r.random() < 0.6 else self._table()
        column, row = self.r.choice(table.values), self._row(table)
        if row[column] is None:
            return self._set(table, column, row, *self._kept(table, column, self._row(table)))
        if self.r.random() < 0.1:
            return self._set(table, column, row, "NULL")
        return self._set(table, column, row, *self.side.near(table, column, row[column], self.r))

    def delete(self, table=None):
        table = table or self._table()
        where, key = self._at(table, self._row(table))
        self.side.run(f"DELETE FROM {table.name} WHERE {where}", key)

    def insert(self, table=None):
        table = table or self._table(lambda t: t.keys)
        columns, key = list(table.columns), table.fresh(self.r)
        if not table.rows:
            return self.side.run(f"INSERT INTO {table.name} VALUES ({', '.join(['%s'] * len(columns))})", key + [self.r.choice(WORDS) for _ in table.values])
        where, like = self._at(table, self._row(table))
        return self.side.run(f"INSERT INTO {table.name} ({', '.join(columns)}) SELECT {', '.join(['%s'] * len(key) + table.values)} FROM {self.side.keep}.{table.name} WHERE {where}", (*key, *like))

    def one_for_another(self):
        """As many rows as before."""
        table = self._table()
        self.delete(table)
        self.insert(table)

    def other_key(self):
        table = self._table()
        where, key = self._at(table, self._row(table))
        self.side.run(f"UPDATE {table.name} SET {', '.join(f'{k} = %s' for k in table.keys)} WHERE {where}", (*table.fresh(self.r), *key))

    def swapped_rows(self):
        table = self._table()
        a, b = self._row(table), self._row(table)
        for one, other in ((a, b), (b, a)):
            for column in table.values:
                self._set(table, column, one, *self._kept(table, column, other))

    def swapped_values(self):
        table = self._table()
        column, a, b = self.r.choice(table.values), self._row(table), self._row(table)
        self._set(table, column, a, *self._kept(table, column, b))
        self._set(table, column, b, *self._kept(table, column, a))

    def same_sum(self):
        table = self._table(lambda t: "c1" in t.columns and t.name != "typed")
        for row, sign in ((self._row(table), "+"), (self._row(table), "-")):
            self._set(table, "c1", row, f"c1 {sign} 1.5")

    def bag(self):
        table = self._table(lambda t: not t.keys)
        if not table.rows:
            self.side.run(f"INSERT INTO {table.name} VALUES (%s, %s)", (self.r.randrange(3), self.r.choice(WORDS)))
        elif self.r.random() < 0.3:
            self.side.run(f"INSERT INTO {table.name} SELECT * FROM {self.side.keep}.{table.name} WHERE v = 'NULL' LIMIT 1")
        else:
            self.side.of_a_bag(table, self.r.choice(("DELETE FROM {}", "UPDATE {} SET v = 'x '", "UPDATE {} SET v = ''", "UPDATE {} SET v = NULL")), self.r.randrange(100))

    def last_row_gone(self):
        self.side.run("DELETE FROM lone")

    WEIGHTS = {"value": 30, "delete": 4, "insert": 4, "one_for_another": 3, "other_key": 3, "swapped_rows": 2, "swapped_values": 5, "same_sum": 3, "bag": 5, "last_row_gone": 0.5}

    def plant(self, count):
        for _ in range(count):
            kind = self.r.choices(list(self.WEIGHTS), list(self.WEIGHTS.values()))[0]
            try:
                getattr(self, kind)()
                self.did[kind] += 1
            except self.side.REFUSED:  # no such value in such a column, or a key that is taken
                self.did["refused"] += 1

    def plant_in_every_type(self):
        """A near value in each column of `typed`, each in a row of its own."""
        table, rows = TABLES["typed"], iter(self.order["typed"])
        for column in table.values:
            row, left = next(row for row in rows if row[column] is not None), 100
            while self._one(table, column, row) == row[column]:
                assert left > 0, f"{table.columns[column]}: nothing near {row[column]!r} is taken"
                left -= 1
                with contextlib.suppress(*self.side.REFUSED):
                    self._set(table, column, row, *self.side.near(table, column, row[column], self.r))

    def _one(self, table, column, row):
        """What stands there now."""
        n = list(table.columns).index(column)
        return next(cells[n] for cells in self.side.rows(table) if cells[0] == row["id"])

    # -- what came of it

    def expected(self):
        """{(table, kind, key, columns)}; of a bag (table, kind, cells, (copies on the source, on the target))."""
        told = set()
        for name, t in TABLES.items():
            told |= set(self._of_keys(t, self.side.rows(t)) if t.keys else self._of_bag(t, self.side.rows(t)))
        return told

    def _of_keys(self, t, after):
        n = len(t.keys)  # they stand in front
        left, right = {row[:n]: row[n:] for row in self.before[t.name]}, {row[:n]: row[n:] for row in after}
        for key in left.keys() | right.keys():
            kind = "missing" if key not in right else "extra" if key not in left else "changed"
            columns = frozenset(c for c, a, b in zip(t.values, left[key], right[key]) if a != b) if kind == "changed" else frozenset()
            if kind != "changed" or columns:
                yield t.name, kind, tuple(map(plain, key)), columns

    def _of_bag(self, t, after):
        left, right = collections.Counter(self.before[t.name]), collections.Counter(after)
        for row in left.keys() | right.keys():
            if left[row] != right[row]:
                yield t.name, "missing" if left[row] > right[row] else "extra", row, (left[row], right[row])

    def restore(self):
        for t in TABLES.values():
            if collections.Counter(self.side.rows(t)) != collections.Counter(self.before[t.name]):
                self.side.run(f"DELETE FROM {t.name}")
                self.side.run(f"INSERT INTO {t.name} SELECT * FROM {self.side.keep}.{t.name}")
                assert collections.Counter(self.side.rows(t)) == collections.Counter(self.before[t.name]), t.name


def plain(cell):
    """A key's cell, as either server prints it."""
    if cell is None:
        return None
    head, point, rest = cell.partition(".")
    return (head + point + rest.rstrip("0")).rstrip(".") if point and rest.isdigit() else cell


def told(report):
    """What a report says, as Planter.expected()."""
    found = []
    for t in report["tables"]:
        for d in t["differences"]:
            if t["key"]:
                found.append((t["table"], d["kind"], tuple(plain(d["key"][k]) for k in TABLES[t["table"]].keys), frozenset(c["name"] for c in d["columns"] if d["kind"] == "changed")))
            else:
                side = "source" if d["kind"] == "missing" else "target"
                found.append((t["table"], d["kind"], tuple({c["name"]: c[side] for c in d["columns"]}[c] for c in TABLES[t["table"]].columns), (d["copies_source"], d["copies_target"])))
    assert len(found) == len(set(found)), "a difference is told twice"
    return set(found)
