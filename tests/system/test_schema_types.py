"""Every type of the property test, into the columns that crossfade schema makes of it on MariaDB, read back into PostgreSQL: the same values.

What a column cannot hold is null there (target.unfit), and only what the rules say. Ranges by their bounds: columns(lower,upper).
And what `compare` compares of each pair of columns: the same text on both servers for what apply carried, another one for a value that was changed a little.
"""

import json
import random
import struct

import psycopg
import pytest

from rig import Postgres, Workdir
from rig.forms import Forms
from rig.mariadb import MariaDB
from rig.scenario import count, seed
from test_mariadb import calendar, case, decimals, double, fraction, listed, single, uuid
from test_types_property import NO_EQUALITY, SCHEMA, Maker, change, fill, kinds, tables_of

# What a column of this kind cannot hold: None for the text of such a value. Everything else has to come back.
LIMITS = {
    "float4": single, "float8": double, "numeric": decimals(20, 20), "numeric(10,2)": decimals(8, 2), "numeric(5,-2)": decimals(7, 0), "numeric(3,5)": decimals(0, 5), "dom_num": decimals(9, 3),
    "dom_dom": decimals(9, 3), "uuid": uuid, "date": calendar, "timestamp": fraction(6), "timestamp(3)": fraction(3), "timestamp(0)": fraction(0), "timestamptz": fraction(6),
    "timestamptz(3)": fraction(3), "timestamptz(0)": fraction(0), "dom_tstz": fraction(3),
}
CHOSEN = {"numeric": "decimal(40,20)"}
SETTINGS = "-c timezone=UTC -c extra_float_digits=1"


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("schematypes") as folder, Postgres(folder, "source") as source, MariaDB(folder, "target", settings={"sql-mode": "STRICT_TRANS_TABLES"}) as target:
        yield folder, source, target


def create(p, types):
    p.settings["types"] = types
    p.write()
    done = p.run("schema", "create", "--execute", "--json", timeout=200)
    return json.loads(done.stdout)


def array_text(value, delimiter):
    if value is None:
        return "NULL"
    if isinstance(value, list):
        return "{" + delimiter.join(array_text(v, delimiter) for v in value) + "}"
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def read_back(column_type):
    """The expression that reads such a column of MariaDB, and what makes PostgreSQL's text of it."""
    name = column_type.split("(")[0]
    if name == "longblob":
        return "CONCAT('\\\\x', LOWER(HEX({})))", str
    if name == "bit":
        return "LPAD(BIN({}), %s, '0')" % column_type[4:-1], str
    if name == "float":
        return "CAST({} AS double)", str
    return "{}", str


def back_rows(s, table, types, shapes):
    reads = [read_back(shapes[f"{table}.c{i}"]) for i in range(len(types))]
    cells = ", ".join(read.format(f"c{i}") for i, (read, _) in enumerate(reads))
    for row in s.target(f"SELECT id, {cells} FROM {table}"):
        values = [v.decode() if isinstance(v, bytes) else v for v in row[1:]]
        for i, kind in enumerate(types):
            if values[i] is not None and kind.endswith("[]"):
                values[i] = array_text(listed(json.loads(values[i], parse_int=str, parse_float=str)), ";" if kind == "box[]" else ",")
        yield [row[0]] + values


def held(kind, text):
    """Whether the column's rule has a place for this value."""
    if kind.endswith("[]"):
        return not text.startswith("[")  # lower bounds
    return kind not in LIMITS or LIMITS[kind](text) is not None


def canonical(kind, column):
    if kind == "tsquery":
        return f"encode(tsquerysend({column}), 'hex')"
    if kind == "tsquery[]":
        return f"encode(array_send({column}), 'hex')"
    return f"format('%s', {column})"


def assert_same_back(s, table, types, shapes):
    """Loads what MariaDB has into a table of the source's types next to the source's; returns (values, of them unfit)."""
    unfit = 0
    with psycopg.connect(s.source_url, options=SETTINGS) as connection:
        connection.execute("CREATE SCHEMA IF NOT EXISTS back")
        connection.execute(f"CREATE TABLE back.{table} (LIKE public.{table})")
        with connection.cursor().copy(f"COPY back.{table} (id, {', '.join(f'c{i}' for i in range(len(types)))}) FROM STDIN") as copy:
            for row in back_rows(s, table, types, shapes):
                copy.write_row(row)
        rows = connection.execute(f"SELECT count(*), count(b.id), (SELECT count(*) FROM back.{table}) FROM public.{table} a LEFT JOIN back.{table} b USING (id)").fetchone()
        assert rows[0] == rows[1] == rows[2]
        for i, kind in enumerate(types):
            a, b = f"a.c{i}", f"b.c{i}"
            same = f"{canonical(kind, a)} = {canonical(kind, b)}"
            if kind.removesuffix("[]").partition("(")[0] not in NO_EQUALITY:
                same = f"({same} OR {a} IS NOT DISTINCT FROM {b})"
            others = connection.execute(f"""SELECT a.id, format('%s', {a}), CASE WHEN {b}::text IS NOT NULL THEN format('%s', {b}) END FROM public.{table} a JOIN back.{table} b USING (id)
                WHERE NOT (({a}::text IS NULL AND {b}::text IS NULL) OR ({a}::text IS NOT NULL AND {b}::text IS NOT NULL AND {same})) ORDER BY 1""").fetchall()
            for number, want, got in others:
                assert got is None and not held(kind, want), f"{table}.c{i} id={number} {kind} as {shapes[f'{table}.c{i}']}: source {want!r}, read back {got!r}"
            unfit += len(others)
    return rows[0] * len(types), unfit


def assert_compared(s, tables, code):
    """compare run, with a rule for every column."""
    done = s.pipeline.run("compare", "run", "--json", timeout=300)
    assert done.returncode == code, f"{done.stdout[:3000]}\n{done.stderr[-2000:]}"
    report = json.loads(done.stdout)
    ruled = {t["table"]: {r["column"]: r["rule"] for r in t["rules"]} for t in report["tables"]}
    for table, names in tables.items():
        assert ruled[table].keys() == {"id", "v", "big", *(f"c{i}" for i in range(len(names)))} and all(": " in rule for rule in ruled[table].values())
    return report


def test_every_type_comes_back(servers):
    m = Maker(random.Random(f"{seed()} schema"))
    makers = kinds(m, False)
    tables = tables_of(makers)
    schema = SCHEMA + "".join(f"CREATE TABLE {table} (id int PRIMARY KEY, v int, big text, {', '.join(f'c{i} {kind}' for i, kind in enumerate(types))});" for table, types in tables.items())
    rows, times, compared, unfit = count(10, 120), count(15, 300), 0, 0
    with case(servers, "schema_types", schema, "", {"target": {"unfit": "null"}}) as s:
        s.server.grant(s.name, ("schema",))
        asked = create(s.pipeline, {})
        types = {}
        for decision in asked["decisions"]:
            assert decision["kind"] == "column", decision
            table, column = decision["name"].split(".")[1:]
            kind = tables[table][int(column[1:])]
            types[decision["name"]] = CHOSEN.get(kind, "longtext")
        made = create(s.pipeline, types)
        assert made["ok"], made
        shapes = {f"{t}.{c}": kind for t, c, kind in s.server.sql("SELECT table_name, column_name, column_type FROM information_schema.columns WHERE table_schema = 'schema_types'")}
        with psycopg.connect(s.source_url, autocommit=True, options="-c timezone=UTC") as connection:
            for table, names in tables.items():
                fill(connection, table, names, makers, 1, rows, m)
            s.start()
            for table, names in tables.items():
                fill(connection, table, names, makers, rows + 1, rows, m)
                with connection.transaction():
                    change(connection, table, names, makers, 2 * rows, times, m)
        s.pipeline.wait_caught_up(180)
        forms = Forms(s.source_url, s.server, "schema_types", "null")
        equal = changed = 0
        for table, names in tables.items():
            done = assert_same_back(s, table, names, shapes)
            compared, unfit = compared + done[0], unfit + done[1]
            equal += forms.assert_equal(table)
            changed += forms.assert_changes_seen(table)
        assert_compared(s, tables, 0)
        table, column = next((t, f"c{i}") for t, names in tables.items() for i, kind in enumerate(names) if kind == "float8")
        s.server.sql(f"UPDATE {table} SET {column} = IF({column} = 0, 1e-30, {column} * (1 - 2.3e-16)) WHERE {column} IS NOT NULL AND ABS({column}) > 1e-290 ORDER BY id LIMIT 1", db="schema_types")
        report = assert_compared(s, tables, 1)
        assert [(t["table"], [(d["kind"], [c["name"] for c in d["columns"]]) for d in t["differences"]]) for t in report["tables"] if t["differences"]] == [(table, [("changed", [column])])]
    print(f"{len(makers)} column types, {len(types)} without a rule, {compared} values, of which {unfit} have no place; {equal} forms equal, {changed} changes seen")
    assert 0 < unfit < compared / 4
    assert equal >= compared and changed > compared / 2


def any_double(r):
    """Any bit pattern but NaN and the infinities: subnormals, both zeros, what lies in the middle of two shortest texts."""
    value = struct.unpack("<d", r.choice((r.randbytes(8), r.randbytes(6) + bytes([r.randrange(16), r.choice((0, 128))]), struct.pack("<d", r.choice((0.0, -0.0, 1e23, 2.0 ** -44, 5e-324))))))[0]
    return value if abs(value) < float("inf") else 1.0


# PostgreSQL's type, MariaDB's that a person may choose for it, the value.
CHOICES = [
    ("int2", "decimal(7,2)", lambda m: m.integer(16)), ("int4", "double", lambda m: m.integer(32)), ("int4", "longtext", lambda m: m.integer(32)), ("bool", "bit(1)", lambda m: m.r.choice("tf")),
    ("bool", "varchar(5)", lambda m: m.r.choice("tf")), ("float8", "double", lambda m: repr(any_double(m.r))), ("float8", "longtext", lambda m: m.float(False)), ("float4", "double", lambda m: m.float(True)),
    ("numeric", "decimal(20,4)", lambda m: m.fixed(22, 5)), ("numeric", "longtext", lambda m: m.numeric()), ("money", "longtext", lambda m: m.money()), ("text", "varchar(12)", lambda m: m.text()),
    ("text", "char(12)", lambda m: m.text()), ("text", "tinytext", lambda m: m.text()), ("char(5)", "varchar(5)", lambda m: m.text(5)), ("bytea", "varbinary(20)", lambda m: m.bytea()),
    ("bytea", "binary(3)", lambda m: m.bytea()), ("bytea", "longblob", lambda m: "\\x" + "ab" * m.r.randint(1000, 1100)), ("uuid", "char(36)", lambda m: m.uuid()), ("uuid", "binary(16)", lambda m: m.uuid()),
    ("inet", "inet6", lambda m: m.inet()), ("inet", "inet4", lambda m: m.inet()), ("jsonb", "longtext", lambda m: m.json()), ("json", "longtext", lambda m: m.json()), ("date", "varchar(20)", lambda m: m.date()),
    ("timestamptz", "datetime(3)", lambda m: m.timestamp(zone="+00")), ("timestamptz", "longtext", lambda m: m.timestamp(zone="+00")), ("time", "time(2)", lambda m: m.time()),
    ("timestamptz", "timestamp(6)", lambda m: f"20{m.r.randint(10, 37)}-03-0{m.r.randint(1, 9)} {m.clock()}+00"), ("int[]", "longtext", lambda m: m.array(lambda: m.integer(32))),
    ("mood", "varchar(30)", lambda m: m.mood()), ("bit(12)", "char(12)", lambda m: m.bits(12, 12)),
]


@pytest.mark.parametrize("unfit", ["null", "nearest"])
def test_chosen_types_have_one_form_on_both_sides(servers, unfit):
    m = Maker(random.Random(f"{seed()} {unfit}"))
    # nearest halts at what is near to nothing: NaN, too many digits, too long a text
    choices = [c for c in CHOICES if unfit == "null"] or [("float8", "double", lambda m: m.float(False).replace("NaN", "1")), ("float4", "float", lambda m: m.float(True).replace("NaN", "1")),
                                                         ("date", "date", lambda m: m.date()), ("timestamp(3)", "datetime(3)", lambda m: m.timestamp(3)), ("timestamptz", "datetime(6)", lambda m: m.timestamp(zone="+00"))]
    schema = SCHEMA + f"CREATE TABLE t (id int PRIMARY KEY, v int, big text, {', '.join(f'c{i} {kind}' for i, (kind, _, _) in enumerate(choices))});"
    target = f"CREATE TABLE t (id int PRIMARY KEY, v int, big longtext COLLATE utf8mb4_nopad_bin, {', '.join(f'c{i} {kind} NULL' for i, (_, kind, _) in enumerate(choices))}) DEFAULT COLLATE utf8mb4_nopad_bin;\n"
    makers = {str(i): (lambda make: lambda: make(m))(make) for i, (_, _, make) in enumerate(choices)}
    with case(servers, f"chosen_{unfit}", schema, target, {"target": {"unfit": unfit}}) as s:
        with psycopg.connect(s.source_url, autocommit=True, options="-c timezone=UTC") as connection:
            fill(connection, "t", list(makers), makers, 1, count(60, 2000), m)
            s.start()
            fill(connection, "t", list(makers), makers, 10001, count(60, 2000), m)
        s.pipeline.wait_caught_up(180)
        forms = Forms(s.source_url, s.server, f"chosen_{unfit}", unfit)
        equal, changed = forms.assert_equal("t"), forms.assert_changes_seen("t")
    assert equal == count(120, 4000) * (len(choices) + 3) and changed > equal / 5


RANGES = {"int4range": lambda m: m.range(m.bound_int), "int8range": lambda m: m.range(lambda: m.bound_int(62)), "numrange": lambda m: m.range(m.bound_num),
          "daterange": lambda m: m.range(m.bound_date), "tsrange": lambda m: m.range(m.bound_stamp), "tstzrange": lambda m: m.range(m.bound_stamp)}


def test_bounds_of_ranges(servers):
    """columns(lower,upper): the text of each range, and its bounds as PostgreSQL's lower() and upper() have them, through the copy and the stream."""
    m = Maker(random.Random(f"{seed()} ranges"))
    names = list(RANGES)
    schema = f"CREATE TABLE t (id int PRIMARY KEY, {', '.join(f'c{i} {kind}' for i, kind in enumerate(names))}, m int4multirange);"
    with case(servers, "ranges_", schema, "") as s:
        s.server.grant(s.name, ("schema",))
        assert "columns(lower,upper) is for ranges" in str(create(s.pipeline, {"public.t.m": "columns(a,b)"})["decisions"])
        assert "has one of these names" in str(create(s.pipeline, {"public.t.c0": "columns(a,C1)"})["decisions"])
        types = {f"public.t.c{i}": f"columns(l{i}, u{i})" for i in range(len(names))}
        assert create(s.pipeline, types)["ok"] and create(s.pipeline, types)["made"] == 0
        s.server.sql("CREATE INDEX l0 ON t (l0, u0)", db="ranges_")
        rows = count(40, 400)
        with psycopg.connect(s.source_url, autocommit=True, options="-c timezone=UTC") as connection:
            def insert(first):
                for number in range(first, first + rows):
                    connection.execute(f"INSERT INTO t VALUES ({', '.join(['%s'] * (len(names) + 1))})", [number] + [make(m) for make in RANGES.values()])
            insert(1)
            s.start()
            insert(rows + 1)
            s.pipeline.wait_caught_up()
            bounds = {"numrange": "trim_scale({})", "daterange": "{}", "int4range": "{}", "int8range": "{}"}
            wanted = ", ".join(f"format('%s', c{i}), format('%s', {bounds.get(k, '{}').format(f'lower(c{i})')}), format('%s', {bounds.get(k, '{}').format(f'upper(c{i})')})" for i, k in enumerate(names))
            left = connection.execute(f"SELECT id::text, {wanted} FROM t ORDER BY t.id").fetchall()
        right = s.target(f"SELECT id, {', '.join(f'c{i}, l{i}, u{i}' for i in range(len(names)))} FROM t ORDER BY t.id")
        held = 0
        for a, b in zip(left, right, strict=True):
            for i, kind in enumerate(names):
                text, low, high = a[1 + 3 * i:4 + 3 * i]
                for want, got in ((low, b[2 + 3 * i]), (high, b[3 + 3 * i])):
                    none = want == "" or "infinity" in want or "BC" in want or want.partition("-")[0].isdigit() and len(want.partition("-")[0]) > 4 and kind in ("daterange", "tsrange", "tstzrange")
                    got = got and (got.rstrip("0").rstrip(".") if "." in got else got)
                    want = want.removesuffix("+00")
                    want = want.rstrip("0").rstrip(".") if "." in want else want
                    assert got == (None if none else want), (a[0], kind, text, want, got)
                    held += not none
                assert b[1 + 3 * i] == text
        assert held > rows
