"""compare run against MariaDB says of each row why it differs: the causes that there are on it. (On PostgreSQL: test_compare_cause.py.) Apply halts at a table
that has a trigger, or a column too narrow, as soon as it sees that: so both are made here behind all that it writes."""

import pytest

from rig import Postgres, Workdir, comparing
from rig.mariadb import ROLE_PASSWORD, MariaDB
from rig.privileges import grant_mariadb
from test_compare_cause import PLACE, RECORD, behind_the_journal, causes, check
from test_mariadb import case

SOURCE = """CREATE TABLE rogue (id int PRIMARY KEY, v text, n numeric(12,3), at timestamptz); CREATE TABLE fired (id int PRIMARY KEY, v text);
    CREATE TABLE typed (id int PRIMARY KEY, amount numeric(12,4), at timestamp(6)); CREATE TABLE padded (id int PRIMARY KEY, v text);
    CREATE TABLE held (id int PRIMARY KEY, v text); CREATE TABLE big (id int PRIMARY KEY, n int, doc text); ALTER TABLE big ALTER doc SET STORAGE EXTERNAL;
    CREATE TABLE lost (n numeric(10,3), d timestamptz, v text, PRIMARY KEY (n, d)); CREATE TABLE stale (u uuid PRIMARY KEY, v text);
    CREATE TABLE chosen (id int PRIMARY KEY, n int);
    INSERT INTO rogue SELECT i, 'v' || i, i / 8.0, '2026-01-01 00:00:00.25+00' FROM generate_series(1, 100) i; INSERT INTO fired SELECT i, 'v' FROM generate_series(1, 5) i;
    INSERT INTO typed SELECT i, i + 0.1234, '2026-01-01 00:00:00.654321' FROM generate_series(1, 2) i; INSERT INTO padded VALUES (1, 'a'), (2, 'Wort');
    INSERT INTO held VALUES (1, 'short'); INSERT INTO big SELECT i, i, repeat(md5(i::text), 300) FROM generate_series(1, 3) i;
    INSERT INTO lost SELECT i + 0.5, timestamptz '2026-01-01 00:00:00.5+00' + i * interval '1 h', 'v' FROM generate_series(1, 5) i;
    INSERT INTO stale SELECT md5(i::text)::uuid, 'old' FROM generate_series(1, 5) i; INSERT INTO chosen SELECT i, i FROM generate_series(1, 5) i; INSERT INTO chosen VALUES (2000, 1)"""
BIN = "CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin"
TARGET = f"""CREATE TABLE rogue (id int PRIMARY KEY, v longtext, n decimal(12,3), at datetime(6)) {BIN};
    CREATE TABLE fired (id int PRIMARY KEY, v longtext) {BIN};
    CREATE TABLE typed (id int PRIMARY KEY, amount decimal(12,4), at datetime(6)) {BIN};
    CREATE TABLE padded (id int PRIMARY KEY, v varchar(20)) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci;
    CREATE TABLE held (id int PRIMARY KEY, v longtext) {BIN};
    CREATE TABLE big (id int PRIMARY KEY, n int, doc longtext) {BIN};
    CREATE TABLE lost (n decimal(10,3), d datetime(6), v longtext, PRIMARY KEY (n, d)) {BIN};
    CREATE TABLE stale (u char(36) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY, v longtext) {BIN};
    CREATE TABLE chosen (id int PRIMARY KEY, n int) {BIN}"""
U = "'c4ca4238-a0b9-2382-0dcc-509a6f75849b'"
SETTINGS = {"source": {"filters": [{"table": "public.chosen", "where": "id < 1000"}]}, "apply": {"on_row_error": "dead_letter"}, "compare": {"deadline_ms": 120000}}


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("compare-cause-mariadb") as folder, Postgres(folder, "source") as source, MariaDB(folder, "target") as target:
        yield folder, source, target


EXPECTED = {
    ("rogue", "changed", "1"): ("rogue_writer", f"somebody else has changed it since{RECORD}$"),  # MariaDB does not tell who
    ("rogue", "missing", "2"): ("not_applied", f"the row is in the journal, and apply has passed it.*{RECORD}$"),
    ("rogue", "missing", "3"): ("rogue_writer", rf"equal in an earlier comparison.*; equal at fence \d+ lsn=[0-9A-F/]+; last record: op=r {PLACE}$"),
    ("rogue", "extra", "4"): ("rogue_writer", f"says that it is gone.*; last record: op=d {PLACE}$"),
    ("rogue", "extra", "900"): ("rogue_writer", r"no record of this key ever was in the journal.*; topic=\S+ partition=0 offsets=0\.\.\d+"),
    ("padded", "changed", "2"): ("collation", f"takes both sides for equal.*{RECORD}$"),
    ("held", "missing", "2"): ("dead_letter", rf"; dead letter \d+ sqlstate=\w+ {PLACE}$"),
    ("big", "changed", "1"): ("toast", f"does not carry the columns that differ.*{RECORD}$"),
    ("big", "changed", "2"): ("toast", "stands for an unchanged value"),
    ("lost", "missing", "9"): ("lost_in_journal", r"no record of this key is in the journal, and the source has the row; topic=\S+ partition=0 offsets=0\.\.\d+"),
    ("lost", "changed", "1.5"): ("lost_in_journal", f"is not what the source has; last record: op=r {PLACE}$"),
    ("stale", "changed", U.strip("'")): ("not_applied", f"as it was at an earlier record.*; last record: op=u {PLACE}; the target has: op=[ru] {PLACE}$"),
    ("chosen", "extra", "2000"): ("filter", "source.filters leaves out"),
}


def test_each_cause(servers):
    with case(servers, "causes", SOURCE, TARGET, SETTINGS) as s:
        s.start()
        s.pipeline.wait_caught_up()
        assert comparing.compare(s.pipeline)["verdict"] == "PASS"
        s.target("ALTER TABLE held ADD CONSTRAINT short CHECK (CHAR_LENGTH(v) < 7)")
        s.source("UPDATE rogue SET v = 'new' WHERE id <= 2", "DELETE FROM rogue WHERE id = 4", "UPDATE fired SET v = 'new' WHERE id = 1",
                 "INSERT INTO held VALUES (2, 'far too long')", "UPDATE big SET n = n + 1 WHERE id <= 2", f"UPDATE stale SET v = 'new' WHERE u = {U}")
        s.pipeline.wait_caught_up()
        behind_the_journal(s, s.source, "INSERT INTO lost VALUES (9, '2026-01-01 12:00+02', 'v')", "UPDATE lost SET v = 'new' WHERE n = 1.5")
        for statement in ("UPDATE rogue SET v = 'rogue' WHERE id = 1", "DELETE FROM rogue WHERE id IN (2, 3)", "INSERT INTO rogue (id, v) VALUES (4, 'rogue'), (900, 'rogue')",
                          "UPDATE big SET doc = 'other' WHERE id = 1", "UPDATE big SET doc = '__debezium_unavailable_value' WHERE id = 2",
                          f"UPDATE stale SET v = 'old' WHERE u = {U}", "INSERT INTO chosen VALUES (2000, 1)", "UPDATE padded SET v = 'WORT' WHERE id = 2"):
            s.target(statement)
        check(comparing.compare(s.pipeline, code=1), EXPECTED)


def test_type_rule(servers):
    """A column that was made narrower behind apply's back: apply does not write the table any more, and so does not look at it again."""
    schema = "CREATE TABLE typed (id int PRIMARY KEY, amount numeric(12,4), at timestamp(6)); INSERT INTO typed SELECT i, i + 0.1234, '2026-01-01 00:00:00.654321' FROM generate_series(1, 3) i"
    with case(servers, "narrow", schema, f"CREATE TABLE typed (id int PRIMARY KEY, amount decimal(12,4), at datetime(6)) {BIN}") as s:
        s.start()
        s.pipeline.wait_caught_up()
        assert comparing.compare(s.pipeline)["verdict"] == "PASS"
        s.source("UPDATE typed SET amount = 7.5 WHERE id = 3")
        s.pipeline.wait_caught_up()
        s.target("ALTER TABLE typed MODIFY amount decimal(12,1), MODIFY at datetime(0)")
        s.target("UPDATE typed SET amount = 9 WHERE id = 2")
        what = f"what its column's type makes of the source's value{RECORD}$"
        check(comparing.compare(s.pipeline, code=1), {("typed", "changed", "1"): ("type_rule", what), ("typed", "changed", "2"): ("rogue_writer", RECORD), ("typed", "changed", "3"): ("type_rule", what)})


def test_trigger(servers):
    """A trigger that was made behind apply's back, and has changed what was written: told where compare's role may see it."""
    schema = "CREATE TABLE fired (id int PRIMARY KEY, v text); INSERT INTO fired SELECT i, 'v' || i FROM generate_series(1, 3) i"
    with case(servers, "shouts", schema, f"CREATE TABLE fired (id int PRIMARY KEY, v longtext) {BIN}") as s:
        s.start()
        s.source("UPDATE fired SET v = 'new' WHERE id = 1")
        s.pipeline.wait_caught_up()
        s.target("CREATE TRIGGER shout BEFORE UPDATE ON fired FOR EACH ROW SET NEW.v = UPPER(NEW.v)")
        s.target("UPDATE fired SET v = v WHERE id = 1")
        check(comparing.compare(s.pipeline, code=1), {("fired", "changed", "1"): ("trigger", f"; trigger shout{RECORD}$")})
        grant_mariadb(s.server, s.name, "crossfade_seer", ROLE_PASSWORD, "mariadb-compare")
        s.pipeline.settings["target"]["url"] = s.server.url(s.name, "crossfade_seer")
        s.pipeline.write()
        kind, evidence = causes(comparing.compare(s.pipeline, code=1))["fired", "changed", "1"]
        assert kind == "rogue_writer" and evidence.endswith("this role may not see them (docs/PRIVILEGES.md)"), (kind, evidence)


def test_conflicts(servers):
    more = {"apply": {"conflicts": {"public.*": "target_wins"}, "dual_write_until": "2999-01-01T00:00Z"}}
    schema = "CREATE TABLE pair (a int, b timestamptz, v text, PRIMARY KEY (a, b)); INSERT INTO pair SELECT i, '2026-01-01 00:00:00.5+00', 'v' FROM generate_series(1, 5) i"
    with case(servers, "clash", schema, f"CREATE TABLE pair (a int, b datetime(6), v longtext, PRIMARY KEY (a, b)) {BIN}", more) as s:
        s.start()
        s.pipeline.wait_caught_up()
        s.apply.wait_log("dual_write tables", 60)
        assert s.pipeline.run("apply", "pause").returncode == 0
        s.target("UPDATE pair SET v = 'target' WHERE a = 1")
        s.target("DELETE FROM pair WHERE a = 2")
        s.source("UPDATE pair SET v = 'source' WHERE a <= 2")
        assert s.pipeline.run("apply", "resume").returncode == 0
        s.pipeline.wait_caught_up()
        s.target("UPDATE pair SET v = 'rogue' WHERE a = 3")
        check(comparing.compare(s.pipeline, code=1), {
            ("pair", "changed", "1"): ("conflict", r"both sides have changed the row; conflict \d+ \(update, decided for the target\) lsn="),
            ("pair", "missing", "2"): ("conflict", r"conflict \d+ \(target_deleted, decided for the target\)"),
            ("pair", "changed", "3"): ("rogue_writer", f"{RECORD}$")})
        # compare's own role sees no triggers: then that is told
        grant_mariadb(s.server, s.name, "crossfade_cmp", ROLE_PASSWORD, "mariadb-compare")
        s.pipeline.settings["target"]["url"] = s.server.url(s.name, "crossfade_cmp")
        s.pipeline.write()
        found = causes(comparing.compare(s.pipeline, "--table", "public.pair", code=1))
        assert found["pair", "changed", "3"][0] == "rogue_writer" and found["pair", "changed", "3"][1].endswith("this role may not see them (docs/PRIVILEGES.md)")
