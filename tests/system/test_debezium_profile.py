"""Apply behind `type_profile: debezium`: where a form gives back every value, the target equals the source; where not, nobody is left in the dark."""

import json
import random

import psycopg
import pytest

from rig import Postgres, Workdir
from rig.scenario import count, scenario, seed
from test_kinds import KEYS
from test_types_property import SCHEMA, Maker, assert_not_distinct, assert_same_text, change, fill, kinds, tables_of

# Modes in which as much as possible is exact.
EXACT_MODES = {"type_profile": "debezium", "decimal_mode": "string", "interval_mode": "string"}


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("profile") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


def holdable(m):
    """Column types and makers whose values these modes hold: no NaN in arrays, no dates before Christ there, no infinities …"""
    makers = kinds(m, False)
    plain = ["bool", "int2", "int4", "int8", "oid", "float4", "float8", "numeric", "numeric(10,2)", "numeric(5,-2)", "money", "text", "varchar(20)", "char(5)", "name", '"char"',
             "citext", "bytea", "json", "jsonb", "xml", "uuid", "mood", "time", "time(3)", "timestamptz", "timestamptz(3)", "interval", "interval year to month", "bit(1)", "bit(12)",
             "inet", "cidr", "macaddr", "macaddr8", "point", "line", "path", "circle", "tsvector", "tsquery", "pg_lsn", "xid", "jsonpath", "hstore", "ltree", "comp", "nest", "dom_num",
             "dom_text", "dom_mood", "int4range", "numrange", "tstzrange", "daterange", "floatrange", "int4multirange", "interval[]", "money[]", "point[]", "xml[]", "ltree[]", "tsquery[]"]
    chosen = {kind: makers[kind] for kind in plain}

    def finite(make):
        def value():
            while True:
                text = make()
                if not any(word in text for word in ("infinity", "NaN", "Infinity", "BC")) and not text.startswith(("294", "2000")):
                    return text
        return value
    for kind in ("date", "timestamp", "timestamp(3)"):
        chosen[kind] = finite(makers[kind])
    chosen["timetz"] = lambda: m.clock() + "+00"

    def flat(make):
        def value():
            inner = ["NULL" if m.r.random() < 0.2 else m.quoted(make()) for _ in range(m.r.randrange(4))]
            return "{" + ",".join(inner) + "}"
        return value
    for kind in ("int4", "int2", "int8", "bool", "float8", "float4", "text", "varchar(20)", "char(5)", "uuid", "jsonb", "json", "bytea", "inet", "citext", "oid", "int4range", "hstore", "macaddr"):
        chosen[kind + "[]"] = flat(makers[kind])
    chosen["numeric[]"], chosen["numeric(10,2)[]"] = flat(finite(makers["numeric"])), flat(finite(makers["numeric(10,2)"]))
    chosen["date[]"] = flat(lambda: f"{m.r.randint(1600, 9999)}-01-{m.r.randint(1, 28):02d}")
    chosen["timestamp[]"] = flat(lambda: f"{m.r.randint(1600, 9999)}-02-03 {m.clock()}")
    chosen["timestamptz[]"] = flat(lambda: f"{m.r.randint(1, 9999):04d}-02-03 {m.clock()}+00")
    chosen["time[]"] = flat(lambda: m.clock(3))
    return chosen


@pytest.mark.parametrize("journal_format,more", [("json", {}), ("avro", {}), ("json", {"binary_mode": "base64", "hstore_mode": "map"}), ("avro", {"binary_mode": "hex", "hstore_mode": "map"}),
                                                 ("avro", {"time_mode": "adaptive_time_microseconds"}), ("avro", {"decimal_mode": "precise"})])
def test_what_a_form_holds_comes_back(servers, journal_format, more):
    folder, source, target = servers
    m = Maker(random.Random(f"{seed()} {journal_format} {more}"))
    makers = holdable(m)
    if more.get("decimal_mode") == "precise":  # numeric without a scale loses its display scale there
        makers = {kind: make for kind, make in makers.items() if kind not in ("numeric", "numeric[]")}
        numbers = m.fixed
        m.fixed = lambda digits, scale: next(v for v in iter(lambda: numbers(digits, scale), None) if v != "NaN")
    tables = tables_of(makers)
    schema = SCHEMA + "".join(f"CREATE TABLE {t} (id int PRIMARY KEY, v int, big text, {', '.join(f'c{i} {kind}' for i, kind in enumerate(types))});"
                              f"ALTER TABLE {t} ALTER big SET STORAGE EXTERNAL;" for t, types in tables.items())
    with scenario(folder, source, target, schema, journal_format=journal_format, tables=("public.t*",), more={"journal": dict(EXACT_MODES, **more)}) as s:
        rows = count(15, 150)
        with psycopg.connect(s.source_url, autocommit=True, options="-c timezone=UTC") as connection:
            values = sum(fill(connection, table, types, makers, 1, rows, m) for table, types in tables.items())
            s.start()
            for table, types in tables.items():
                values += fill(connection, table, types, makers, rows + 1, rows, m)
                values += change(connection, table, types, makers, 2 * rows, rows, m)
                connection.execute(f"UPDATE {table} SET id = id + 100000 WHERE id % 17 = 3; DELETE FROM {table} WHERE id % 19 = 5")
        s.wait(120)
        for table, types in tables.items():
            assert_same_text(s, table, types)
            assert_not_distinct(s, table, types)
        print(f"{journal_format} {more}: {values} values")


@pytest.mark.parametrize("journal_format,modes", [("avro", {"decimal_mode": "precise"}), ("json", {"time_mode": "adaptive_time_microseconds", "binary_mode": "hex"})])
def test_keys_in_these_forms(servers, journal_format, modes):
    folder, source, target = servers
    more = {"numeric(10,2)": "i + 0.25", "timestamp(0)": "timestamp '2024-01-01' + i * interval '1 hour'", "time(3)": "time '00:00' + i * interval '1 second'", "bit(12)": "(i * 8)::bit(12)",
            "money": "i::money", "hstore": "hstore('k', i::text)", "bigint[]": "ARRAY[i, NULL]"}
    keys = {kind: value for kind, value in dict(KEYS, **more).items() if kind != "numeric" or "decimal_mode" not in modes}
    tables = {kind: f"t_{i}" for i, kind in enumerate(keys)}
    schema = "CREATE EXTENSION hstore; CREATE TYPE mood AS ENUM ('sad', 'ok', 'ha''ppy');" + "".join(
        f"CREATE TABLE {tables[kind]} (k {kind}, i int, v text, PRIMARY KEY (k, i)); INSERT INTO {tables[kind]} SELECT {value}, i, 'v' FROM generate_series(1, 20) i;"
        for kind, value in keys.items())
    with scenario(folder, source, target, schema, journal_format=journal_format, more={"journal": dict(EXACT_MODES, **modes)}) as s:
        s.start()
        for kind, value in keys.items():
            t = tables[kind]
            s.source(f"UPDATE {t} SET v = 'w' WHERE i < 5", f"DELETE FROM {t} WHERE i = 6", f"UPDATE {t} SET i = i + 100 WHERE i = 7",
                     f"INSERT INTO {t} SELECT {value}, i, 'n' FROM generate_series(201, 210) i", f"UPDATE {t} SET k = (SELECT k FROM {t} WHERE i = 9) WHERE i = 8")
        s.assert_equal()


HALTS = {
    "numeric(10,2)": ("'NaN'", {}), "numeric": ("'Infinity'", {}), "numeric[]": ("'{1,NaN}'", {"decimal_mode": "string"}), "date": ("'infinity'", {}),
    "timestamp": ("'-infinity'", {}), "timestamp(0)": ("'infinity'", {}), "timestamp(6)": ("'294276-12-31'", {}), "timetz": ("'12:00+02'", {}), "time": ("'12:00:00.0001'", {"time_mode": "connect"}),
    "interval": ("'1 mon'", {}), "int[]": ("'{{1},{2}}'", {}), "text[]": ("'[0:0]={a}'", {}), "date[]": ("'{\"0044-03-15 BC\"}'", {}), "bit(8)[]": ("ARRAY[B'10101010']", {}),
    "time[]": ("'{24:00}'", {}), "timestamptz[]": ("'{-infinity}'", {}),
}


@pytest.mark.parametrize("kind", sorted(HALTS))
def test_what_no_form_holds_halts(servers, kind):
    folder, source, target = servers
    value, modes = HALTS[kind]
    settings = {"journal": dict(modes, type_profile="debezium")}
    with scenario(folder, source, target, f"CREATE TABLE t (id int PRIMARY KEY, c {kind})", "", more=settings) as s:
        s.capture.start()
        s.capture.wait_for(lambda status: status.get("complete"), 60, "the copy is complete")
        s.source(f"INSERT INTO t VALUES (1, {value})")
        s.capture.wait(30)
        assert s.capture.exit_code == 5
        last = [line for line in s.capture.log_text().splitlines() if "halted" in line][-1]
        for part in ("table=public.t", "column=c", "lsn=", "type_profile: debezium", "journal.lossy"):
            assert part in last, last
        assert "NaN" not in last.split("Hint")[1]


def test_what_no_form_holds_halts_in_the_copy(servers):
    folder, source, target = servers
    with scenario(folder, source, target, "CREATE TABLE t (id int PRIMARY KEY, c date); INSERT INTO t VALUES (1, 'infinity')", "", more={"journal": {"type_profile": "debezium"}}) as s:
        s.capture.start()
        s.capture.wait(30)
        assert s.capture.exit_code == 5
        assert "table=public.t" in s.capture.log_tail() and "column=c" in s.capture.log_tail()


def test_apply_refuses_what_may_have_changed(servers):
    folder, source, target = servers
    schema = "CREATE TABLE t (id int PRIMARY KEY, n numeric, b bit varying); INSERT INTO t VALUES (1, 1.50, '0010')"
    with scenario(folder, source, target, schema, more={"journal": {"type_profile": "debezium"}}) as s:
        s.capture.start()
        s.apply.start()
        s.apply.wait(30)
        assert s.apply.exit_code == 5
        for part in ("table=public.t", "column=n", "NUMERIC", "journal.lossy"):
            assert part in s.apply.log_tail(), s.apply.log_tail()
        s.pipeline.settings["journal"]["lossy"] = "debezium"
        s.pipeline.write()
        s.apply.start()
        s.wait_complete()
        s.wait()
        assert s.target("SELECT n::text, b::text FROM t") == [("1.5", "10")]


def test_the_schema_says_what_may_be_lost(servers):
    folder, source, target = servers
    schema = "CREATE TABLE t (id int PRIMARY KEY, n numeric, d date, i int, h bytea); INSERT INTO t VALUES (1, 1, '2024-01-01', 1, '\\x00')"
    for lossy, expected in (("halt", {"n"}), ("debezium", {"n", "d"})):
        settings = {"journal": {"type_profile": "debezium", "lossy": lossy, "binary_mode": "hex"}}
        with scenario(folder, source, target, schema, "", more=settings, journal_format="json") as s:
            s.capture.start()
            s.capture.wait_for(lambda status: status.get("complete"), 60, "the copy is complete")
            schemas = [json.loads(line)["value"] for line in s.pipeline.run("journal", "cat", s.pipeline.name + ".schemas").stdout.strip().split("\n")]
            row = json.loads([e for e in schemas if e.get("subject", "").endswith("t-value")][-1]["schema"])["fields"][0]["fields"]
            assert {c["field"] for c in row if c["parameters"].get("crossfade.lossy") == "true"} == expected
            assert {c["field"]: c["parameters"]["crossfade.encoding"] for c in row if "crossfade.encoding" in c["parameters"]} == {"h": "hex"}
