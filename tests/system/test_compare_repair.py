"""compare repair: what differs is told first, healed when asked for, by the journal or by statements, and no change of the source is lost or undone meanwhile."""

import contextlib
import json
import os
import random
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from rig import Postgres, Workdir, Writer, wait_until
from rig.comparing import compare, of_tables, repair
from rig.kafka import Kafka
from rig.privileges import APPLY, as_role
from rig.scenario import count, scenario, seed

ROWS = 2000
SCHEMA = f"""
CREATE TYPE mood AS ENUM ('so so', 'it''s "fine"');
CREATE DOMAIN short AS varchar(20);
CREATE TABLE "Mixed Case" ("Id" int, "part of Key" text, "select" text, PRIMARY KEY ("Id", "part of Key"));
CREATE TABLE kinds (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, t text, b bytea, j json, jb jsonb, a text[], n numeric, m numeric(12,2), ts timestamp, tz timestamptz,
    d date, f float8, r real, u uuid, mo mood, s short, c char(8), v varbit, iv interval, rg int4range, i2 int[], twice numeric GENERATED ALWAYS AS (m * 2) STORED);
CREATE TABLE flow (id int PRIMARY KEY, v int NOT NULL, big text); ALTER TABLE flow ALTER big SET STORAGE EXTERNAL;
CREATE TABLE part (id int, at int, v text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (50); CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM (50) TO (100);
CREATE TABLE heap (a int, b text); ALTER TABLE heap REPLICA IDENTITY FULL;
CREATE TABLE by_time (at timestamptz, code bytea, v text, PRIMARY KEY (at, code));
INSERT INTO "Mixed Case" SELECT i, 'k\\''' || i, 'q"' || i FROM generate_series(1, {ROWS}) i;
INSERT INTO kinds (t, b, j, jb, a, n, m, ts, tz, d, f, r, u, mo, s, c, v, iv, rg, i2)
  SELECT E'it''s \\\\ and "so" \\n\\t' || i, decode(md5(i::text), 'hex'), '{{"a" :  [1.10, "\\\\u00e4"]}}', '{{"b": null, "a": 1.10}}', ARRAY['x', NULL, 'a"b\\\\', '{{}}'],
    CASE i % 4 WHEN 0 THEN 'NaN' WHEN 1 THEN 1.500 ELSE i::numeric / 7 END, i / 4.0, CASE i % 3 WHEN 0 THEN 'infinity' ELSE timestamp '2024-01-01' + i * interval '1.000001 s' END,
    CASE i % 3 WHEN 0 THEN '-infinity' ELSE timestamptz '2024-01-01 00:00+05:30' + i * interval '1 s' END, date '0044-03-15 BC' + i, i / 3.0::float8, i / 3.0::real,
    md5(i::text)::uuid, CASE WHEN i % 2 = 0 THEN 'so so' ELSE 'it''s "fine"' END::mood, 'short' || i, 'pad', B'10101', make_interval(months => i, secs => i / 3.0),
    int4range(i, i + 5), ARRAY[i, NULL] FROM generate_series(1, {ROWS}) i;
INSERT INTO kinds DEFAULT VALUES;
INSERT INTO flow SELECT i, 0, repeat(md5(i::text), 100) FROM generate_series(1, {ROWS}) i;
INSERT INTO part SELECT i, i % 100, 'p' || i FROM generate_series(1, {ROWS}) i;
INSERT INTO heap SELECT i % 50, 'x' FROM generate_series(1, 200) i;
INSERT INTO by_time SELECT timestamptz '2024-01-01' + i * interval '1 hour', decode(md5(i::text), 'hex'), 'v' FROM generate_series(1, 500) i;
"""
# What somebody else than apply has done to the target. OVERRIDING: extra rows have keys of their own.
PLANTED = (
    "DELETE FROM \"Mixed Case\" WHERE \"Id\" IN (7, 1999)", "UPDATE \"Mixed Case\" SET \"select\" = NULL WHERE \"Id\" = 8",
    "INSERT INTO \"Mixed Case\" VALUES (100000, E'it''s \\\\', 'x')",
    "DELETE FROM kinds WHERE id BETWEEN 10 AND 25 OR id = 2001",
    "UPDATE kinds SET t = t || 'x', b = b || '\\x00', j = '{}', jb = '[]', a = '{}', n = n + 1, m = -m, ts = '-infinity', tz = now(), d = 'infinity', f = 'NaN', r = -r, u = NULL, mo = NULL,"
    " s = '', c = '', v = B'0', iv = '0', rg = 'empty', i2 = '{}' WHERE id BETWEEN 100 AND 112",
    "INSERT INTO kinds (id, t) OVERRIDING SYSTEM VALUE VALUES (900001, 'extra')",
    "DELETE FROM part WHERE id % 500 = 1", "UPDATE part SET v = 'wrong' WHERE id % 500 = 2", "INSERT INTO part VALUES (99999, 3, 'extra'), (99999, 60, 'extra')",
    "UPDATE by_time SET v = 'w' WHERE at = '2024-01-01 05:00+00'", "DELETE FROM by_time WHERE at = '2024-01-01 06:00+00'",
    "INSERT INTO by_time VALUES ('2030-01-01 00:00:00.000001+00', '\\x00ff5c27', 'extra')",
)
FOUND = {"Mixed Case": (2, 1, 1), "kinds": (17, 13, 1), "part": (4, 4, 2), "by_time": (1, 1, 1)}


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("repair") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


@pytest.mark.parametrize("journal, form", [("lmdb", "avro"), ("kafka", "json")])
def test_through_the_journal(servers, journal, form):
    folder, source, target = servers
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(Kafka(folder)).url if journal == "kafka" else None
        s = stack.enter_context(scenario(folder, source, target, SCHEMA, journal=url, journal_format=form))
        s.start()
        nothing = repair(s.pipeline, "--through-journal")
        assert nothing["before"] == "PASS" and nothing["tables"] == []
        s.target(*PLANTED)
        # The dry run tells what it would do, and changes nothing.
        for _ in range(2):
            dry = repair(s.pipeline, "--through-journal", code=1)
            assert of_tables(dry, "found") == FOUND
            assert not dry["executed"] and dry["rounds"] == 0 and all(t["refused"] is None and not any(t["repaired"].values()) for t in dry["tables"])
        # Rows that the target alone has stay, unless it is said otherwise.
        some = repair(s.pipeline, "--through-journal", "--execute", "--table", 'public."Mixed Case"', code=1)
        assert some["after"] == "FAIL" and of_tables(some, "repaired") == {"Mixed Case": (2, 1, 0)}
        left = compare(s.pipeline, "--table", 'public."Mixed Case"', code=1)
        assert [(t["table"], d["kind"]) for t in left["tables"] for d in t["differences"]] == [("Mixed Case", "extra")]
        done = repair(s.pipeline, "--through-journal", "--execute", "--delete-extra")
        assert done["after"] == "PASS" and done["rounds"] == 1
        assert of_tables(done, "repaired") == {**FOUND, "Mixed Case": (0, 0, 1)}
        assert compare(s.pipeline)["verdict"] == "PASS"
        s.assert_equal()
        verified = json.loads(s.pipeline.run("journal", "verify", "--json").stdout)
        assert verified["verdict"] == "good", verified


def psql(s, path):
    """As apply's role, who may write there."""
    return subprocess.run(["psql", "-X", "-v", "ON_ERROR_STOP=1", "-d", as_role(s.target_url, APPLY), "-f", path], capture_output=True, text=True, check=False, timeout=120)


def changed_rows(done):
    """How many rows the statements of a file have changed, by what psql says of each."""
    assert done.returncode == 0, done.stderr
    return sum(int(line.split()[-1]) for line in done.stdout.splitlines() if line.split()[0] in ("INSERT", "UPDATE", "DELETE"))


def test_by_a_file(servers):
    """The file is idempotent, and leaves rows alone that have changed since."""
    folder = servers[0]
    with scenario(*servers, SCHEMA) as s:
        s.start()
        s.target(*PLANTED)
        path = str(folder) + "/repair.sql"
        dry = repair(s.pipeline, "--sql", path, "--delete-extra", code=1)
        assert of_tables(dry, "found") == FOUND and os.stat(path).st_mode & 0o077 == 0
        assert of_tables(repair(s.pipeline, "--sql", path, "--delete-extra", code=1), "found") == FOUND  # nothing was changed
        # Both have come right by the source since, and somebody has written to a third one.
        s.source("UPDATE kinds SET t = 'newer', b = NULL WHERE id = 100", "UPDATE part SET v = 'newer' WHERE id = 2")
        s.target("UPDATE kinds SET t = 'by hand' WHERE id = 101")
        s.wait()
        assert changed_rows(psql(s, path)) == sum(map(sum, FOUND.values())) - 3
        assert changed_rows(psql(s, path)) == 0
        report = compare(s.pipeline, code=1)  # by hand, and what of row 100 stays as it was planted: the source has sent it whole
        assert {(t["table"], d["kind"], d["key"].get("id")) for t in report["tables"] for d in t["differences"]} == {("kinds", "changed", "101")}
        repair(s.pipeline, "--sql", path, "--delete-extra", code=1)
        assert changed_rows(psql(s, path)) == 1
        s.assert_equal()


def test_by_statements(servers):
    """Carried out by apply's role; compare's may not."""
    with scenario(*servers, SCHEMA) as s:
        s.start()
        s.target(*PLANTED)
        assert "apply's role" in repair(s.pipeline, "--sql", "-", "--execute", "--table", "public.part", code=4)
        some = s.pipeline.run("compare", "repair", "--sql", "-", "--execute", job="repair")
        assert some.returncode == 1 and "UPDATE" in some.stdout and "extra rows stay" in some.stderr
        done = repair(s.pipeline, "--sql", str(servers[0]) + "/done.sql", "--execute", "--delete-extra", job="repair")
        assert done["after"] == "PASS" and of_tables(done, "repaired") == {table: (0, 0, counts[2]) for table, counts in FOUND.items()}
        s.assert_equal()


def writes(rng):
    """To rows that are repaired, among others: unchanged TOAST, moves, deletions, keys that come back. Rows 30 to 45 are missing on the target:
    of these all values come. So they do where a row moves: it would take a difference along, to a key that no comparison has met."""
    def one_round(_):
        n, lost = rng.randrange(1, 28), rng.randrange(30, 46)
        yield f"UPDATE flow SET v = v + 1 WHERE id BETWEEN {n} AND {n + 1}"
        yield f"DELETE FROM flow WHERE id = {n}"
        yield f"INSERT INTO flow VALUES ({n}, {rng.randrange(1000)}, repeat('n', 3000)) ON CONFLICT DO NOTHING"
        yield f"UPDATE flow SET v = v + 1, big = repeat('{n % 10}', 3000) WHERE id = {lost}"
        yield f"DELETE FROM flow WHERE id = {lost}"
        yield f"INSERT INTO flow VALUES ({lost}, {rng.randrange(1000)}, repeat('l', 3000)) ON CONFLICT DO NOTHING"
        yield f"UPDATE flow SET big = repeat('m', 3000), id = CASE WHEN id > 100000 THEN id - 100000 ELSE id + 100000 END WHERE id IN ({n + 50}, {n + 100050})"
        yield f"INSERT INTO flow VALUES ({500000 + n}, 1, 'it is') ON CONFLICT (id) DO UPDATE SET v = flow.v + 1"
        yield f"DELETE FROM flow WHERE id = {500000 + n % 7}"
        yield f"UPDATE part SET at = (at + 50) % 100, v = 'moved' WHERE id = {n}"
    return one_round


def damage(s):
    """By somebody else. Apply writes to the same rows meanwhile: the server may choose ours to end a deadlock."""
    for statement in ("UPDATE flow SET v = -7, big = 'wrong' WHERE id BETWEEN 1 AND 29 OR id BETWEEN 50 AND 200", "DELETE FROM flow WHERE id BETWEEN 30 AND 45 OR id BETWEEN 300 AND 310",
                      "INSERT INTO flow SELECT i, 1, 'extra' FROM generate_series(500001, 500040) i ON CONFLICT DO NOTHING", "UPDATE part SET v = 'wrong' WHERE id < 100"):
        def done(sql=statement):
            try:
                s.target(sql)
            except psycopg.errors.DeadlockDetected:
                return False
            return True
        wait_until(done, 60, statement)


PATIENT = {"compare": {"deadline_ms": "2m"}}


@pytest.mark.parametrize("way", ["journal", "sql"])
def test_under_writers(servers, way):
    """Rows are repaired that the source changes at the same time: no change is lost, none is undone."""
    words = ("--through-journal",) if way == "journal" else ("--sql", str(servers[0]) + "/load.sql")
    with scenario(*servers, SCHEMA, more=PATIENT) as s:
        s.start()
        with Writer(s.source_url, writes(random.Random(seed()))) as writer:
            writer.wait_rounds(3)
            for _ in range(count(2, 20)):
                damage(s)
                done = repair(s.pipeline, *words, "--execute", "--delete-extra", "--rounds", "3", job="repair")
                assert done["before"] == "FAIL" and done["after"] == "PASS" and sum(map(sum, of_tables(done, "repaired").values())) > 50
                assert compare(s.pipeline)["verdict"] == "PASS"
        s.assert_equal()


@pytest.mark.parametrize("where", ["capture.snapshot_chunk:1:kill", "capture.snapshot_ended:1:kill", "capture.snapshot_opened:1:kill"][:count(2, 3)])
def test_capture_is_killed(servers, where):
    """In the middle of a repair: the next one goes on with it."""
    with scenario(*servers, SCHEMA, more=PATIENT) as s:
        s.start()
        s.target(*PLANTED)
        s.wait()
        s.capture.terminate()
        s.capture.start(failpoint=where)
        with Writer(s.source_url, writes(random.Random(seed()))), ThreadPoolExecutor(1) as pool:
            asked = pool.submit(repair, s.pipeline, "--through-journal", "--execute", "--delete-extra")
            s.capture.assert_exit(-signal.SIGKILL, 120)
            s.capture.start()
            done = asked.result(240)
        assert done["after"] == "PASS"
        assert {t: of_tables(done, "repaired")[t] for t in FOUND if t != "part"} == {t: FOUND[t] for t in FOUND if t != "part"}  # the writers are at that one
        s.assert_equal()
