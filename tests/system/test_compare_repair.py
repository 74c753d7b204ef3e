"""compare repair: what differs is told first, healed when asked for, by the journal or by statements, and no change of the source is lost or undone meanwhile."""

import contextlib
import json
import os
import random
import signal
import subprocess

import pytest

from rig import Postgres, Workdir, Writer, wait_until
from rig.comparing import compare
from rig.journal import assert_journal
from rig.kafka import Kafka
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
KINDS = ("missing", "changed", "extra")


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("repair") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


def repair(s, *words, code=0, timeout=240):
    done = s.pipeline.run("compare", "repair", "--json", *words, timeout=timeout)
    assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout[-6000:]}\n{done.stderr[-2000:]}"
    return json.loads(done.stdout) if done.stdout else done.stderr


def of_tables(report, what):
    return {t["table"]: tuple(t[what][kind] for kind in KINDS) for t in report["tables"]}


def writes(rng):
    """To the rows that are repaired, among others: unchanged TOAST, moves, deletions, keys that come back."""
    def one_round(_):
        n = rng.randrange(1, 60)
        yield f"UPDATE flow SET v = v + 1 WHERE id % 60 = {n}"
        yield f"DELETE FROM flow WHERE id = {n}"
        yield f"INSERT INTO flow VALUES ({n}, {rng.randrange(1000)}, repeat('n', 3000)) ON CONFLICT DO NOTHING"
        yield f"UPDATE flow SET id = id + 100000 WHERE id = {n + 1}"
        yield f"UPDATE flow SET id = id - 100000 WHERE id = {n + 100001} AND NOT EXISTS (SELECT FROM flow WHERE id = {n + 1})"
        yield f"UPDATE part SET at = (at + 50) % 100, v = v || 'x' WHERE id = {n}"
    return one_round


def damage(s):
    """Rows that the writers write to as well: apply may be at them, so it is done as often as it takes."""
    s.target("UPDATE flow SET v = -7, big = 'wrong' WHERE id BETWEEN 1 AND 200", "DELETE FROM flow WHERE id BETWEEN 30 AND 45 OR id BETWEEN 300 AND 310",
             "INSERT INTO flow SELECT i, 1, 'extra' FROM generate_series(500001, 500020) i ON CONFLICT DO NOTHING", "UPDATE part SET v = 'wrong' WHERE id < 20")


@pytest.mark.parametrize("journal, form", [("lmdb", "avro"), ("kafka", "json")])
def test_through_the_journal(servers, journal, form):
    folder, source, target = servers
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(Kafka(folder)).url if journal == "kafka" else None
        with scenario(folder, source, target, SCHEMA, journal=url, journal_format=form) as s:
            s.start()
            nothing = repair(s, "--through-journal")
            assert nothing["before"] == "PASS" and nothing["tables"] == []
            s.target(*PLANTED)
            # The dry run tells what it would do, and changes nothing.
            for _ in range(2):
                dry = repair(s, "--through-journal", code=1)
                assert of_tables(dry, "found") == FOUND
                assert not dry["executed"] and dry["rounds"] == 0 and all(t["refused"] is None and not any(t["repaired"].values()) for t in dry["tables"])
            # Rows that the target alone has stay, unless it is said otherwise.
            some = repair(s, "--through-journal", "--execute", "--table", "public.\"Mixed Case\"", code=1)
            assert some["after"] == "FAIL" and of_tables(some, "repaired") == {"Mixed Case": (2, 1, 0)}
            assert [(t["table"], d["kind"]) for t in compare(s.pipeline, "--table", "public.\"Mixed Case\"", code=1)["tables"] for d in t["differences"]] == [("Mixed Case", "extra")]
            done = repair(s, "--through-journal", "--execute", "--delete-extra")
            assert done["after"] == "PASS" and done["rounds"] == 1
            assert of_tables(done, "repaired") == {**FOUND, "Mixed Case": (0, 0, 1)}
            assert compare(s.pipeline)["verdict"] == "PASS"
            s.assert_equal()
            s.pipeline.stop() if hasattr(s.pipeline, "stop") else None
