"""The forms in which columns are compared across PostgreSQL and MariaDB (compare/canonical_mariadb.h), run on both servers: equal for what
apply carried, and different once a value on the target is changed by one unit, bit or character."""

import os
import subprocess

import psycopg

from .mariadb import run
from .procs import find_crossfade

BUILD = os.environ.get("CF_BUILD_DIR") or os.path.dirname(find_crossfade())

SETTINGS = "-c timezone=UTC -c extra_float_digits=1 -c datestyle=ISO,YMD -c intervalstyle=postgres -c bytea_output=hex -c lc_monetary=C"
SOURCE_COLUMNS = """SELECT c.relname, a.attname, format_type(b.oid, -1), b.oid, CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END, t.typtype = 'd', b.typtype = 'b'
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid JOIN pg_type b ON b.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped"""
TARGET_COLUMNS = """SELECT c.TABLE_NAME, c.COLUMN_NAME, c.COLUMN_TYPE, COALESCE(c.COLLATION_NAME, ''), EXISTS (SELECT 1 FROM information_schema.CHECK_CONSTRAINTS k
    WHERE k.CONSTRAINT_SCHEMA = c.TABLE_SCHEMA AND k.TABLE_NAME = c.TABLE_NAME AND k.CONSTRAINT_NAME = c.COLUMN_NAME AND k.CHECK_CLAUSE LIKE 'json_valid(%')
    FROM information_schema.COLUMNS c WHERE c.TABLE_SCHEMA = DATABASE()"""


class Forms:
    """forms[table][column] = (of the source, of the target, rule); types[table][column] = the target's."""

    def __init__(self, source_url, server, database, unfit):
        self.source_url, self.server, self.database = source_url, server, database
        with psycopg.connect(source_url) as connection:
            left = {(r[0], r[1]): r[2:] for r in connection.execute(SOURCE_COLUMNS)}
        right = {(r[0], r[1]): r[2:] for r in server.sql(TARGET_COLUMNS, db=database)}
        pairs = sorted(left.keys() & right.keys())
        lines = ["\t".join([name, *(str(int(v)) if isinstance(v, bool) else str(v) for v in left[table, name]), *right[table, name], unfit]) for table, name in pairs]
        done = subprocess.run([os.path.join(BUILD, "tests", "canonical-forms")], input="\n".join(lines) + "\n", capture_output=True, text=True, check=True, timeout=60)
        self.forms, self.types = {}, {}
        for (table, name), line in zip(pairs, done.stdout.splitlines(), strict=True):
            made = line.split("\t")
            assert made[0] != "-", line
            self.forms.setdefault(table, {})[name] = made
            self.types.setdefault(table, {})[name] = right[table, name]

    def source(self, table):
        columns = self.forms[table]
        with psycopg.connect(self.source_url, options=SETTINGS) as connection:
            return {str(row[0]): dict(zip(columns, row[1:])) for row in connection.execute(f"SELECT t.id, {', '.join(f[0] for f in columns.values())} FROM public.{table} t")}

    def target(self, table, columns=None, of=None):
        columns = columns or list(self.forms[table])
        cells = ", ".join(self.forms[of or table][c][1] for c in columns)
        rows = self.server.sql(f"SELECT t.id, {cells} FROM {table} t", db=self.database)
        return {row[0]: dict(zip(columns, (v.decode() if isinstance(v, bytes) else v for v in row[1:]))) for row in rows}

    def assert_equal(self, table):
        """Byte by byte; returns how many values there are."""
        left, right = self.source(table), self.target(table)
        assert left.keys() == right.keys()
        for number, row in left.items():
            for name, want in row.items():
                assert want == right[number][name], f"{table}.{name} id={number} {self.forms[table][name][2]}: source {want!r}, target {right[number][name]!r}"
        return sum(len(row) for row in left.values())

    def assert_changes_seen(self, table):
        """Every value of every column, changed a little in a copy of the table, has another form; returns how many were changed."""
        before, changed, ways = self.target(table), 0, {}
        for name, (kind, _, is_json) in self.types[table].items():
            ways[name] = changes(kind, is_json == "1") if name != "id" else ()
        for turn in range(max(map(len, ways.values()))):
            now = {name: way[turn].replace("$", name) for name, way in ways.items() if turn < len(way)}
            with self.server.connect(self.database) as connection:
                for statement in (f"CREATE OR REPLACE TABLE changed LIKE {table}", f"INSERT INTO changed SELECT * FROM {table}",
                                  f"UPDATE changed SET {', '.join(f'{name} = {change}' for name, change in now.items())}"):
                    run(connection, statement)
                others = ", ".join(f"NOT ({stored(self.types[table][name][0], 'o.' + name)} <=> {stored(self.types[table][name][0], 'n.' + name)})" for name in now)
                moved = {row[0]: dict(zip(now, row[1:])) for row in run(connection, f"SELECT o.id, {others} FROM {table} o JOIN changed n ON n.id = o.id")}
            for number, row in self.target("changed", list(now), table).items():
                for name, form in row.items():
                    if moved[number][name] == "1":
                        changed += 1
                        assert form != before[number][name], f"{table}.{name} id={number} {self.types[table][name]} {now[name]}: a change is not seen: {form!r}"
        self.server.sql("DROP TABLE IF EXISTS changed", db=self.database)
        return changed


def stored(kind, column):
    """What tells two values of a column apart, whatever its collation; of floats the value, of json the text."""
    return column if kind.startswith(("float", "double", "date", "time", "decimal")) or "int" in kind.partition("(")[0] else f"BINARY {column}"


def changes(kind, is_json):
    name, _, rest = kind.partition("(")
    size = rest.partition(")")[0]
    if is_json:
        return "CONCAT('[', $, ']')", "REPLACE($, '1', '2')"
    if name in ("tinyint", "smallint", "int", "bigint"):
        return ("IF($ > 0, $ - 1, $ + 1)",)
    if name == "decimal":
        scale = int(size.partition(",")[2] or 0)
        unit = "0." + "0" * (scale - 1) + "1" if scale else "1"
        return (f"IF($ > 0, $ - {unit}, $ + {unit})",)
    if name in ("float", "double"):
        return "IF($ = 0, 1e-30, $ * (1 - %s))" % ("1.2e-7" if name == "float" else "2.3e-16"), "-$"
    if name == "bit":
        return ("$ ^ 1",)
    if name in ("char", "varchar", "tinytext", "longtext"):
        last = "CONCAT(LEFT($, CHAR_LENGTH($) - 1), IF(RIGHT($, 1) = '~', '!', '~'))"
        return (last, "CONCAT('x', SUBSTR($, 2))") + (("CONCAT($, '\\t')",) if name == "longtext" else ())
    if name in ("date", "datetime", "timestamp"):
        step = "1 DAY" if name == "date" else f"{10 ** (6 - int(size or 0))} MICROSECOND"
        return (f"IF($ > '5000-01-01', $ - INTERVAL {step}, $ + INTERVAL {step})",)
    if name == "time":
        return (f"ADDTIME($, '00:00:00.{10 ** (6 - int(size)):06d}')" if size else "ADDTIME($, '00:00:01')",)
    if name == "enum":
        return ("IF($ + 0 = 1, 2, 1)",)
    if name == "uuid":
        return ("CONCAT(LEFT($, 35), IF(RIGHT($, 1) = '0', '1', '0'))",)
    if name == "inet6":
        return ("INET6_NTOA(CONCAT(LEFT(INET6_ATON($), 15), CHAR(ASCII(RIGHT(INET6_ATON($), 1)) ^ 1)))",)
    if name == "inet4":
        return ("INET_NTOA(INET_ATON($) ^ 1)",)
    return ("IF(LENGTH($) = 0, x'00', CONCAT(LEFT($, LENGTH($) - 1), CHAR(ASCII(RIGHT($, 1)) ^ 1)))",)
