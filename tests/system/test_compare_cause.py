"""compare run says of each row why it differs: every cause is brought about, and its kind and evidence are looked at."""

import contextlib
import re

import pytest

from rig import Kafka, Postgres, Workdir, comparing
from rig.privileges import APPLY
from rig.scenario import scenario

PLACE = r"topic=\S+ partition=\d+ offset=\d+ lsn=[0-9A-F]+/[0-9A-F]+"
RECORD = rf"; last record: op=[crud] {PLACE}"
WRITER = r"; the target's row is of transaction \d+ at 20\d\d-"
TABLES = """CREATE TABLE rogue (id int PRIMARY KEY, v text, n numeric(12,3)); CREATE TABLE fired (id int PRIMARY KEY, v text);
    CREATE TABLE typed (id int PRIMARY KEY, amount numeric(12,4), at timestamp(6)); CREATE TABLE padded (id int PRIMARY KEY, v text);
    CREATE TABLE held (id int PRIMARY KEY, v text); CREATE TABLE big (id int PRIMARY KEY, n int, doc text); ALTER TABLE big ALTER doc SET STORAGE EXTERNAL;
    CREATE TABLE lost (t text COLLATE "C", d timestamptz, c char(8), v text, PRIMARY KEY (t, d, c)); CREATE TABLE stale (id int PRIMARY KEY, v text);
    CREATE TABLE chosen (id int PRIMARY KEY, n int); CREATE TABLE keyless (v text); ALTER TABLE keyless REPLICA IDENTITY FULL;
    INSERT INTO rogue SELECT i, 'v' || i, i / 8.0 FROM generate_series(1, 100) i; INSERT INTO fired SELECT i, 'v' FROM generate_series(1, 5) i;
    INSERT INTO typed SELECT i, i + 0.1234, '2026-01-01 00:00:00.654321' FROM generate_series(1, 5) i; INSERT INTO padded VALUES (1, 'a  '), (2, 'b');
    INSERT INTO held VALUES (1, 'short'); INSERT INTO big SELECT i, i, repeat(md5(i::text), 300) FROM generate_series(1, 3) i;
    INSERT INTO lost SELECT 'k''' || i, timestamptz '2026-01-01 00:00:00.5+00' + i * interval '1 h', 'c' || i, 'v' FROM generate_series(1, 5) i;
    INSERT INTO stale SELECT i, 'old' FROM generate_series(1, 5) i; INSERT INTO chosen SELECT i, i FROM generate_series(1, 5) i; INSERT INTO chosen VALUES (2000, 1);
    INSERT INTO keyless VALUES ('x')"""
SETTINGS = {"source": {"filters": [{"table": "public.chosen", "where": "id < 1000"}]}, "apply": {"on_row_error": "dead_letter"}, "compare": {"deadline_ms": 120000}}


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with (Workdir("compare-cause") as folder, Postgres(folder, "source") as source,
          Postgres(folder, "target", settings={"track_commit_timestamp": "on"}) as target):
        yield folder, source, target


def rogue(s, *statements):
    """On the target, by somebody else than apply."""
    s.target(*(f"BEGIN; SET LOCAL session_replication_role = replica; {statement}; COMMIT" for statement in statements))


def causes(report):
    """{(table, row is, first column of its key): (kind, evidence)}"""
    return {(t["table"], d["kind"], next(iter(d["key"].values()), None)): (d["cause"]["kind"], d["cause"]["evidence"])
            for t in report["tables"] for d in t["differences"]}


def check(report, expected):
    found = causes(report)
    assert {place: kind for place, (kind, _) in found.items()} == {place: kind for place, (kind, _) in expected.items()}, found
    for place, (_, pattern) in expected.items():
        assert re.search(pattern, found[place][1]), f"{place}: {found[place][1]}"
    for t in report["tables"]:  # the sums, and every row has a cause
        kinds = [d["cause"]["kind"] for d in t["differences"]]
        assert t["causes"] == {kind: kinds.count(kind) for kind in kinds}


def behind_the_journal(s, admin, *statements):
    """What the source commits while the table is not published: nobody hears of it. Capture, which looks for such tables every now and then and ends at one,
    does not run meanwhile."""
    assert s.capture.terminate() == 0
    admin(f"ALTER PUBLICATION crossfade_{s.name} DROP TABLE lost", *statements, f"ALTER PUBLICATION crossfade_{s.name} ADD TABLE ONLY lost")
    s.capture.start()


FUNCTION = "CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.v := upper(NEW.v); RETURN NEW; END $$"
SPILL = """CREATE FUNCTION spill() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO stale VALUES (77, 'spilt') ON CONFLICT DO NOTHING; RETURN NULL; END $$"""
EXPECTED = {
    ("rogue", "changed", "1"): ("rogue_writer", f"somebody else has changed it since{RECORD}{WRITER}"),
    ("rogue", "missing", "2"): ("not_applied", f"the row is in the journal, and apply has passed it.*{RECORD}$"),
    ("rogue", "missing", "3"): ("rogue_writer", rf"equal in an earlier comparison.*; equal at fence \d+ lsn=[0-9A-F/]+; last record: op=r {PLACE}$"),
    ("rogue", "extra", "4"): ("rogue_writer", f"says that it is gone.*; last record: op=d {PLACE}{WRITER}"),
    ("rogue", "changed", "5"): ("rogue_writer", rf"by another replication{WRITER}.*, origin other_\w+|by another replication{RECORD}{WRITER}.*, origin other_\w+"),
    ("rogue", "extra", "900"): ("rogue_writer", r"no record of this key ever was in the journal.*; topic=\S+ partition=0 offsets=0\.\.\d+"),
    ("fired", "changed", "1"): ("trigger", f"; trigger shout{RECORD}{WRITER}"),
    ("typed", "changed", "1"): ("type_rule", f"what its column's type makes of the source's value{RECORD}$"),
    ("typed", "changed", "2"): ("rogue_writer", RECORD),
    ("padded", "changed", "1"): ("collation", f"takes both sides for equal.*{RECORD}{WRITER}"),
    ("held", "missing", "2"): ("dead_letter", rf"; dead letter \d+ sqlstate=22001 {PLACE}$"),
    ("big", "changed", "1"): ("toast", f"does not carry the columns that differ.*{RECORD}{WRITER}"),
    ("big", "changed", "2"): ("toast", "stands for an unchanged value"),
    ("lost", "missing", "k'9"): ("lost_in_journal", r"no record of this key is in the journal, and the source has the row; topic=\S+ partition=0 offsets=0\.\.\d+"),
    ("lost", "changed", "k'1"): ("lost_in_journal", f"is not what the source has; last record: op=r {PLACE}$"),
    ("lost", "extra", "k'2"): ("lost_in_journal", f"the source has no such row.*; last record: op=r {PLACE}$"),
    ("lost", "missing", "k'3"): ("lost_in_journal", f"says that it is gone; last record: op=d {PLACE}$"),
    ("stale", "changed", "1"): ("not_applied", f"as it was at an earlier record.*; last record: op=u {PLACE}; the target has: op=[ru] {PLACE}{WRITER}"),
    ("stale", "extra", "77"): ("rogue_writer", "no record of this key ever was in the journal"),
    ("stale", "extra", "2"): ("not_applied", f"as it was at an earlier record.*; last record: op=d {PLACE}; the target has: op=r {PLACE}{WRITER}"),
    ("chosen", "extra", "2000"): ("filter", "source.filters leaves out"),
    ("keyless", "extra", None): ("unknown", "no key"),
}
NOT_APPLY = rf"; the target's row is of transaction \d+ at 20\d\d-[^;]*, without a replication origin"
# Where apply's sessions have replication origins (docs/PRIVILEGES.md): what tells its rows from others'.
MARKED = {
    ("rogue", "changed", "1"): ("rogue_writer", f"a session that is not apply's has written the target's row{RECORD}{NOT_APPLY}$"),
    ("rogue", "extra", "4"): ("rogue_writer", f"a session that is not apply's has written the target's row; last record: op=d {PLACE}{NOT_APPLY}$"),
    ("rogue", "extra", "900"): ("rogue_writer", f"no record of this key ever was in the journal.*{NOT_APPLY}"),
    ("fired", "changed", "1"): ("trigger", rf"; trigger shout{RECORD}{WRITER}[^;]*, origin crossfade:s\d+:\d+:1:0$"),
    ("big", "changed", "1"): ("rogue_writer", f"a session that is not apply's.*{RECORD}{NOT_APPLY}$"),
    ("stale", "changed", "1"): ("rogue_writer", f"a session that is not apply's.*{RECORD}{NOT_APPLY}$"),
    ("stale", "extra", "2"): ("rogue_writer", f"a session that is not apply's.*; last record: op=d {PLACE}{NOT_APPLY}$"),
    ("stale", "extra", "77"): ("trigger", rf"a trigger of another table{WRITER}[^;]*, origin crossfade:s\d+:\d+:1:0; topic="),
}


def unmark(s):
    """Apply may have no replication origin, as on a server whose administrator has not granted it."""
    s.target(f"REVOKE EXECUTE ON FUNCTION pg_replication_origin_session_setup(text) FROM {APPLY}")


@pytest.mark.parametrize("journal, form, marked", [("lmdb", "avro", False), ("kafka", "json", True)])
def test_each_cause(servers, journal, form, marked):
    folder, source, target = servers
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(Kafka(folder)).url if journal == "kafka" else None
        with scenario(folder, source, target, TABLES, journal=url, journal_format=form, more=SETTINGS) as s:
            if not marked:
                unmark(s)
            s.start()
            s.wait()
            assert comparing.compare(s.pipeline)["verdict"] == "PASS"
            s.target(FUNCTION, "CREATE TRIGGER shout BEFORE INSERT OR UPDATE ON fired FOR EACH ROW EXECUTE FUNCTION shout()",
                     "ALTER TABLE fired ENABLE ALWAYS TRIGGER shout", SPILL, "CREATE TRIGGER z_spill AFTER UPDATE ON fired FOR EACH ROW EXECUTE FUNCTION spill()",
                     "ALTER TABLE fired ENABLE ALWAYS TRIGGER z_spill", f"GRANT ALL ON stale TO {APPLY}", "ALTER TABLE held ALTER v TYPE varchar(6)")
            s.source("UPDATE rogue SET v = 'new' WHERE id <= 2", "DELETE FROM rogue WHERE id = 4", "UPDATE fired SET v = 'new' WHERE id = 1",
                     "INSERT INTO held VALUES (2, 'far too long')", "UPDATE big SET n = n + 1 WHERE id <= 2", "UPDATE stale SET v = 'new' WHERE id = 1",
                     "DELETE FROM stale WHERE id = 2", "DELETE FROM lost WHERE t = 'k''3'")
            s.wait()
            row = "timestamptz '2026-01-01 05:00:00.5+02', 'c'"
            behind_the_journal(s, s.admin, f"INSERT INTO lost VALUES ('k''9', {row}, 'v')", "UPDATE lost SET v = 'new' WHERE t = 'k''1'", "DELETE FROM lost WHERE t = 'k''2'",
                               "INSERT INTO lost SELECT 'k''3', timestamptz '2026-01-01 00:00:00.5+00' + 3 * interval '1 h', 'c3', 'v'")
            rogue(s, "UPDATE rogue SET v = 'rogue' WHERE id = 1", "DELETE FROM rogue WHERE id IN (2, 3)", "INSERT INTO rogue VALUES (4, 'rogue', 1), (900, 'rogue', 1)",
                  "UPDATE typed SET amount = 7 WHERE id = 2", "UPDATE big SET doc = 'other' WHERE id = 1", "UPDATE big SET doc = '__debezium_unavailable_value' WHERE id = 2",
                  "UPDATE stale SET v = 'old' WHERE id = 1", "INSERT INTO stale VALUES (2, 'old')", "INSERT INTO chosen VALUES (2000, 1)", "INSERT INTO keyless VALUES ('y')")
            s.target(f"SELECT pg_replication_origin_create('other_{s.name}')", f"SELECT pg_replication_origin_session_setup('other_{s.name}')",
                     "UPDATE rogue SET v = 'origin' WHERE id = 5")
            # what the types make of values: all rows but those that fit, which this test's writer above has changed
            s.target("ALTER TABLE typed ALTER amount TYPE numeric(12,1)", "ALTER TABLE padded ALTER v TYPE char(10)")
            expected = {**EXPECTED, **{("typed", "changed", str(i)): EXPECTED["typed", "changed", "1"] for i in (3, 4, 5)}, **(MARKED if marked else {})}
            report = comparing.compare(s.pipeline, code=1)
            check(report, expected)
            # nothing of a row's values in what is told of it, and the reasons of the verdict stay
            assert not any("far too long" in evidence or "rogue'" in evidence for _, evidence in causes(report).values())
            if journal == "lmdb":
                text = s.pipeline.run("compare", "run").stdout
                assert "causes: " in text and "rogue_writer: the journal's last record" in text
            with open(f"{report['report_dir']}/report.html", encoding="utf-8") as f:
                page = f.read()
            assert "<b>lost_in_journal</b> 4" in page and "no record of this key is in the journal" in page
            s.target(f"SELECT pg_replication_origin_drop('other_{s.name}')")


def test_conflicts(servers):
    """What both sides have changed, and was decided for the target; what was decided for the source is not kept from it."""
    more = {"apply": {"conflicts": {"public.rogue": "target_wins", "public.stale": "source_wins"}, "dual_write_until": "2999-01-01T00:00Z"}}
    with scenario(*servers, TABLES, more=more) as s:
        s.start()
        s.wait()
        s.apply.wait_log("dual_write tables", 60)
        assert s.pipeline.run("apply", "pause").returncode == 0
        s.target("UPDATE rogue SET v = 'target' WHERE id = 1", "DELETE FROM rogue WHERE id = 2", "UPDATE stale SET v = 'target' WHERE id = 1")
        s.source("UPDATE rogue SET v = 'source' WHERE id IN (1, 2)", "UPDATE stale SET v = 'source' WHERE id = 1")
        assert s.pipeline.run("apply", "resume").returncode == 0
        s.wait()
        assert s.target("SELECT v FROM stale WHERE id = 1") == [("source",)]
        s.target("UPDATE rogue SET v = 'rogue' WHERE id = 3", "UPDATE stale SET v = 'rogue' WHERE id = 1")
        check(comparing.compare(s.pipeline, code=1), {
            ("rogue", "changed", "1"): ("conflict", r"both sides have changed the row; conflict \d+ \(update, decided for the target\) lsn="),
            ("rogue", "missing", "2"): ("conflict", r"conflict \d+ \(target_deleted, decided for the target\)"),
            ("rogue", "changed", "3"): ("rogue_writer", RECORD),
            ("stale", "changed", "1"): ("rogue_writer", RECORD)})


@pytest.mark.parametrize("marked", [False, True])
def test_look_up_fails(servers, marked):
    """What cannot be looked up is unknown, with the reason; the verdict and its rows are what they would be. A row's origin tells without the journal."""
    folder, source, target = servers
    with scenario(folder, source, target, TABLES, more=SETTINGS) as s:
        if not marked:
            unmark(s)
        s.start()
        s.wait()
        rogue(s, "UPDATE rogue SET v = 'rogue' WHERE id = 1")
        journal = s.pipeline.settings["journal"]
        there, journal["url"] = journal["url"], f"lmdb:{folder}/none"  # capture and apply have read theirs
        s.pipeline.write()
        expected = ("rogue_writer", f"a session that is not apply's has written the target's row{NOT_APPLY}; the journal cannot be read: ") if marked else (
            "unknown", f"could not be looked up{WRITER}.*; the journal cannot be read: ")
        check(comparing.compare(s.pipeline, code=1), {("rogue", "changed", "1"): expected})
        journal["url"] = there
        s.pipeline.write()
        check(comparing.compare(s.pipeline, code=1), {("rogue", "changed", "1"): ("rogue_writer", RECORD)})
