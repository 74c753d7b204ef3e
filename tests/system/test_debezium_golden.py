"""`type_profile: debezium` against recordings of Debezium 3.1: its SQL runs through our capture, and each event is compared field by field.

tests/system/data/golden holds the SQL, and what the connector wrote for it while streaming (value payloads without NULL columns): a = its
defaults; b = decimal and interval string; c = decimal double, time adaptive_time_microseconds, binary hex, hstore map, unknown types; d =
time connect, binary base64; events = all kinds of events. Every difference that may be is listed here, and in docs/DEBEZIUM.md.
"""

import json
import os

import pytest

from rig import Postgres, Workdir
from rig.journal import read_cat
from rig.postgres import run_psql
from rig.privileges import OWNER
from rig.scenario import scenario

GOLDEN = os.path.join(os.path.dirname(__file__), "data", "golden")
MODES = {
    "a": {},
    "b": {"decimal_mode": "string", "interval_mode": "string"},
    "c": {"decimal_mode": "double", "time_mode": "adaptive_time_microseconds", "interval_mode": "numeric", "binary_mode": "hex", "hstore_mode": "map"},
    "d": {"time_mode": "connect", "binary_mode": "base64"},
}
# Debezium leaves these out unless told otherwise (set c), some of them always; here nothing is left out.
LEFT_OUT = {"a_interval", "a_money", "a_point", "a_comp", "a_xml", "a_domnum", "m_int4", "m_tstz", "g_line", "g_lseg", "g_box", "g_path", "g_polygon", "g_circle",
            "c_comp", "c_tsvector", "c_tsquery", "c_xid", "c_pg_lsn", "c_regclass", "c_jsonpath"}
TEMPORAL = {"c_date", "c_time", "c_time3", "c_time0", "c_ts", "c_ts3", "c_ts0", "a_date", "a_time", "a_ts", "d_date", "d_date_now", "d_time", "d_ts"}
# name: NULL in Debezium's stream. Set b is in time mode isostring, d has three digits of money. Geometric types: Java's text.
# regclass: qualified here, since the name alone depends on who reads it. The defaults that are another value each time.
SKIP = {"a": {"c_name"}, "b": {"c_name"} | TEMPORAL, "c": {"c_name", "c_regclass", "g_line", "g_lseg", "g_box", "g_path", "g_polygon", "g_circle"},
        "d": {"c_name", "c_money", "d_money"}}
CHANGING = {"d_now", "d_uuid_gen", "d_date_now"}
JSON_TEXT = {"c_hstore", "d_hstore", "h"}  # the order of keys is Java's


def golden(name):
    with open(os.path.join(GOLDEN, name + ".json"), encoding="utf-8") as f:
        return json.load(f)


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("golden") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


def run_sql(url, name, **variables):
    words = [word for key, value in variables.items() for word in ("-v", f"{key}={value}")]
    run_psql(url, *words, "-c", f"SET ROLE {OWNER}", "-f", os.path.join(GOLDEN, name + ".sql"))


def capture(s, sql, tables_of=()):
    """The golden SQL, its first part before the copy and its second while streaming; all that stands in the journal then."""
    run_sql(s.source_url, sql, ddl=1, base=0)
    s.capture.start()
    s.capture.wait_for(lambda status: status.get("complete"), 60, "the copy is complete")
    run_sql(s.source_url, sql, base=100)
    lsn = s.source("SELECT pg_current_wal_insert_lsn()::text")[0][0]
    s.capture.wait_lsn("journaled_lsn", lsn)
    topics, _ = read_cat(s.pipeline)
    return topics


def columns_of(s, topic):
    """The row's columns in the newest schema of the topic, without what is ours and without defaults."""
    found = None
    for line in s.pipeline.run("journal", "cat", s.pipeline.name + ".schemas").stdout.strip().split("\n"):
        entry = json.loads(line)["value"]
        if entry.get("subject") == topic + "-value":
            found = json.loads(entry["schema"])
    return {c["field"]: c for c in [f for f in found["fields"] if f["field"] == "after"][0]["fields"]}


def bare(column):
    def without(node):
        node = {k: v for k, v in node.items() if k != "default"}
        parameters = {k: v for k, v in node.pop("parameters", {}).items() if not k.startswith(("__debezium", "crossfade"))}
        return dict(node, **({"parameters": parameters} if parameters else {}))
    column = without(column)
    if "items" in column:
        column["items"] = without(column["items"])
    return column


def assert_schema(ours, theirs, skip):
    for column in theirs:
        name = column["field"]
        if name not in skip:
            assert bare(ours[name]) == bare(column), name
    for name in ours.keys() - {c["field"] for c in theirs}:
        assert name in LEFT_OUT, f"{name} is not in the recording"
    for name, column in ours.items():
        assert set(column["parameters"]) >= {f"__debezium.source.column.{p}" for p in ("type", "length", "scale", "name")}, name


def expected(name, value):
    if isinstance(value, list) and value and isinstance(value[0], str) and value[0].startswith("[Ljava.lang.String"):
        return [None] * len(value)  # the name of a Java object, another one each time
    return json.loads(value) if name in JSON_TEXT and isinstance(value, str) else value


def assert_row(where, ours, theirs, skip):
    for name, value in theirs.items():
        if name not in skip:
            got = json.loads(ours[name]) if name in JSON_TEXT and isinstance(ours[name], str) else ours[name]
            assert got == expected(name, value), f"{where} {name}: ours {got!r}, theirs {expected(name, value)!r}"
    for name in ours.keys() - theirs.keys() - skip - LEFT_OUT:
        assert ours[name] is None, f"{where} {name}: ours {ours[name]!r}, theirs NULL"


@pytest.mark.parametrize("journal_format", ["json", "avro"])
@pytest.mark.parametrize("name", sorted(MODES))
def test_every_type_as_recorded(servers, name, journal_format):
    folder, source, target = servers
    recorded = golden(name)
    settings = {"journal": dict(MODES[name], type_profile="debezium", lossy="debezium")}
    with scenario(folder, source, target, "", "", more=settings, journal_format=journal_format) as s:
        topics = capture(s, "types")
        for table, told in recorded.items():
            topic = f"{s.pipeline.name}.public.{table}"
            if journal_format == "json":
                assert_schema(columns_of(s, topic), told["columns"], SKIP[name])
            rows = {r.value["after"]["id"]: r.value for r in topics[topic]}
            defaults = {c["field"]: c["default"] for c in told["columns"] if "default" in c}
            for number, theirs in told["rows"].items():
                number, skip = int(number), SKIP[name] | CHANGING
                # NULL arrives as the column's default there (replace.null.with.default)
                theirs = {k: v for k, v in theirs.items() if rows[number]["after"].get(k) is not None or v != defaults.get(k)}
                assert rows[number]["op"] == "c" and rows[number - 100]["op"] == "r"
                assert_row(f"{table} id={number}", rows[number]["after"], theirs, skip)
                # The copy has the same forms, though Debezium's own differ there.
                alike = {k: v for k, v in theirs.items() if k not in ("id", "c_serial", "c_bigserial", "c_ident", "d_serial")}
                assert_row(f"{table} id={number - 100}", rows[number - 100]["after"], alike, skip | {"id", "c_serial", "c_bigserial", "c_ident", "d_serial"})


# Not comparable: tables that are refused here or whose shape changes, names that Debezium breaks, wrong keys (docs/DEBEZIUM.md).
OTHERWISE = {"ev.ev.dbz_signal", "ev.ev.nopk", "ev.ri_nothing", "ev.ev.altered", "ev.ev.altered_renamed", "ev.ev.new_table", "ev.ev.pk_and_idx", "ev.ev.ri_nothing",
             "ev.ev.part_2023", "ev.ev.part_2024", "ev.My_Schema.Weird_T__ble-1", "ev.My_Schema.Weird_T_ble-1"}


def image(ours, theirs, defaults, key_only):
    """Their image where the converter put a default for NULL, and columns that only the copy has."""
    if ours is None or theirs is None:
        return theirs
    changed = dict(theirs)
    for name, value in theirs.items():
        if name not in ours:
            assert name == "twice", name  # generated: in Debezium's copy only
            del changed[name]
        elif ours[name] is None and (value == defaults.get(name) or key_only):
            changed[name] = None
        elif name in JSON_TEXT and isinstance(value, str) and isinstance(ours[name], str) and json.loads(value) == json.loads(ours[name]):
            changed[name] = ours[name]
    return changed


def test_every_event_as_recorded(servers):
    folder, source, target = servers
    recorded = golden("events")
    settings = {"journal": {"type_profile": "debezium", "lossy": "debezium"}}
    tables = ("ev.*", '"My Schema".*', "!ev.nopk", "!ev.ri_nothing", "!ev.dbz_signal", "!ev.altered")
    schema = "CREATE EXTENSION hstore; CREATE EXTENSION citext"
    with scenario(folder, source, target, schema, "", tables=tables, more=settings, journal_format="json") as s:
        topics = capture(s, "events")
        compared = 0
        for topic, theirs in recorded.items():
            if topic in OTHERWISE:
                continue
            ours = topics[s.pipeline.name + topic.removeprefix("ev")]
            # no tombstone without a key; the recording's incremental snapshot has no counterpart
            streaming = next((i for i, e in enumerate(theirs) if e.get("op") not in ("r", None)), len(theirs))
            theirs = [e for i, e in enumerate(theirs) if not (e["key"] is None and e.get("tombstone")) and not (e.get("op") == "r" and i > streaming)]
            ours.sort(key=lambda r: json.dumps(r.key) if r.value and r.value["op"] == "r" else "~")  # the copy has no order
            theirs.sort(key=lambda e: json.dumps(e["key"]) if e.get("op") == "r" else "~")
            assert [(r.value or {}).get("op") for r in ours] == [e.get("op") for e in theirs], topic
            for record, event in zip(ours, theirs):
                assert record.key == event["key"], topic
                assert sorted(record.headers.keys() - {"crossfade.schema.id"}) == sorted(h["key"] for h in event["headers"]), (topic, record.headers)
                if record.value is not None:
                    hints = record.value.get("crossfade") or {}
                    for which in ("before", "after"):
                        mine = record.value[which]
                        assert mine == image(mine, event[which], event.get("defaults", {}), which == "before" and hints.get("before_key_only")), (topic, event["key"], which)
                compared += 1
        assert compared > 80
        print(f"{compared} events")


# -- what stands beside the changes of rows

def schemas_of(s):
    """{subject: the newest schema} of the journal's own stream."""
    lines = s.pipeline.run("journal", "cat", s.pipeline.name + ".schemas").stdout.strip().split("\n")
    return {entry["subject"]: json.loads(entry["schema"]) for entry in (json.loads(line)["value"] for line in lines) if "subject" in entry}


def shape(value):
    """The names of a payload, with what is below them, and where it is null."""
    return {k: shape(v) for k, v in value.items()} if isinstance(value, dict) else value is None


def without_ours(node):
    """A Connect schema without our parameters, our field at the envelope's end, and column defaults."""
    if isinstance(node, list):
        return [without_ours(n) for n in node if not (isinstance(n, dict) and n.get("field") == "crossfade")]
    if not isinstance(node, dict):
        return node
    parameters = {k: v for k, v in node.get("parameters", {}).items() if not k.startswith(("__debezium", "crossfade"))}
    kept = {k: without_ours(v) for k, v in node.items() if k not in ("parameters", "default")}
    return dict(kept, **({"parameters": parameters} if parameters else {}))


def renamed(node, name):
    return json.loads(json.dumps(node).replace('"ev.ev.simple', f'"{name}.ev.simple'))


def collections(end):
    """Of an END: Debezium counts a logical message among the changes, under the name of a Java object."""
    found = {c["data_collection"]: c["event_count"] for c in end["data_collections"]}
    messages = sum(found.pop(name) for name in list(found) if "LogicalDecodingMessage" in name)
    return found, end["event_count"] - messages


def check_transactions(ours, theirs):
    """BEGIN and END of every transaction that changed something, with the same counts in the same order."""
    assert [r.value["status"] for r in ours] == ["BEGIN", "END"] * (len(ours) // 2)
    for begin, end in zip(ours[::2], ours[1::2]):
        assert begin.key == end.key == {"id": end.value["id"]} and begin.value["id"] == end.value["id"], "one id, in both"
        assert begin.value["event_count"] is None and begin.value["data_collections"] is None and begin.value["ts_ms"] == end.value["ts_ms"]
    mine = [collections(r.value) for r in ours[1::2]]
    wanted = [collections(e["value"]) for e in theirs if e["value"]["status"] == "END" and len(e["value"]["data_collections"]) > 0]
    # The recording was thinned: what is left of it comes in this order. Tables that are not captured here are not in it.
    wanted = [w for w in wanted if not set(w[0]) & {"ev.nopk", "ev.ri_nothing", "ev.pk_and_idx"}]
    at = 0
    for each in wanted:
        assert each in mine[at:], (each, mine[at:])
        at = mine.index(each, at) + 1
    assert len(wanted) > 15


def check_messages(ours, theirs, name):
    assert len(ours) == len(theirs) == 3
    for record, event in zip(ours, theirs):
        mine, wanted = record.value, event["value"]
        assert record.key == event["key"] and shape(mine) == shape(wanted)
        assert mine["op"] == "m" and mine["message"] == wanted["message"]
        same = ("connector", "snapshot", "schema", "table", "xmin")
        assert {k: mine["source"][k] for k in same} == {k: wanted["source"][k] for k in same}
        assert mine["source"]["name"] == name and mine["source"]["ts_us"] // 1000 == mine["source"]["ts_ms"]
    # Inside of a transaction: the ordinal of the change before it (Debezium counts the message itself: 5).
    assert ours[0].value["transaction"]["total_order"] == 4 and ours[0].value["transaction"]["data_collection_order"] == 1
    alone = ours[2].value["source"]  # outside of transactions: its own place twice, as Debezium has it
    assert json.loads(alone["sequence"]) == [str(alone["lsn"])] * 2 and alone["txId"] is None


@pytest.mark.parametrize("journal_format", ["json", "avro"])
def test_metadata_topics_as_recorded(servers, journal_format):
    folder, source, target = servers
    recorded = golden("meta")
    settings = {"journal": {"type_profile": "debezium", "lossy": "debezium", "json_schemas": True, "transaction_topic": True,
                            "heartbeat_topic": True, "message_topic": True}, "capture": {"heartbeat_interval_ms": 200}}
    tables = ("ev.*", '"My Schema".*', "!ev.nopk", "!ev.ri_nothing", "!ev.dbz_signal", "!ev.altered", "!ev.pk_and_idx")
    schema = "CREATE EXTENSION hstore; CREATE EXTENSION citext"
    with scenario(folder, source, target, schema, "", tables=tables, more=settings, journal_format=journal_format) as s:
        topics, name = capture(s, "events"), s.pipeline.name
        heartbeats, schemas = topics[f"__debezium-heartbeat.{name}"], schemas_of(s)
        check_transactions(topics[name + ".transaction"], recorded["transaction"]["records"])
        check_messages(topics[name + ".message"], recorded["message"]["records"], name)
        assert len(heartbeats) > 3 and all(r.key == {"serverName": name} and r.value.keys() == {"ts_ms"} for r in heartbeats)
        times = [r.value["ts_ms"] for r in heartbeats]
        assert times == sorted(times)
        for kind in ("transaction", "message", "heartbeat"):
            topic = f"__debezium-heartbeat.{name}" if kind == "heartbeat" else f"{name}.{kind}"
            for part in ("key", "value"):
                if journal_format == "json":
                    assert schemas[f"{topic}-{part}"] == recorded[kind][part + "_schema"], (kind, part)
                elif kind != "heartbeat":  # not in the recording
                    assert schemas[f"{topic}-{part}"] == recorded["avro"][f"{kind}-{part}"], (kind, part)
        # The envelope itself: every field of it, of source and of transaction; and the schema, field by field.
        first = {r.value["op"]: r.value for r in reversed(topics[name + ".ev.simple"]) if r.value}
        for theirs in (e["value"] for e in recorded["envelope"]["records"]):
            mine = dict(first[theirs["op"]])
            assert mine.pop("crossfade", None) is None
            assert list(mine) == list(theirs) and list(mine["source"]) == list(theirs["source"])
            wanted = shape(theirs)
            if theirs["op"] == "r":  # the copy's rows belong to no transaction here
                wanted["transaction"] = True
            assert shape(mine) == wanted
        if journal_format == "json":
            for part in ("key", "value"):
                assert without_ours(schemas[f"{name}.ev.simple-{part}"]) == without_ours(renamed(recorded["envelope"][part + "_schema"], name))
        verify = s.pipeline.run("journal", "verify")
        assert verify.returncode == 0, verify.stdout + verify.stderr
