"""compare repair of a target on MariaDB: through the journal, or by a file of statements, while writers write to the same rows."""

import random

import pytest

from rig import Pipeline, Postgres, Workdir, Writer
from rig.comparing import compare, of_tables, repair
from rig.mariadb import MariaDB
from rig.scenario import count, seed

SOURCE = """CREATE TABLE kinds (id int PRIMARY KEY, t text, b bytea, j json, jb jsonb, a int[], n numeric(12,4), ts timestamp, tz timestamptz, d date, f float8, u uuid, yes boolean);
    CREATE TABLE item (a int, b uuid, v text, PRIMARY KEY (a, b));
    CREATE TABLE "Word" (w text PRIMARY KEY, "select" bigint);
    CREATE TABLE moment (at timestamptz, code bytea, v int, PRIMARY KEY (at, code));
    INSERT INTO kinds SELECT i, E'it''s \\\\ "so" \\n' || i, decode(md5(i::text), 'hex'), '{"a" : [1.10]}', '{"b": null}', ARRAY[i, NULL], i / 7.0, timestamp '2024-01-01' + i * interval '1.000001 s',
      timestamptz '2024-01-01 00:00+05:30' + i * interval '1 s', date '2000-01-01' + i, i / 3.0::float8, gen_random_uuid(), i % 2 = 0 FROM generate_series(1, 1000) i;
    INSERT INTO item SELECT i % 50, gen_random_uuid(), 'v' || i FROM generate_series(1, 1000) i;
    INSERT INTO "Word" SELECT E'Wört \\\\ ''' || i, i FROM generate_series(1, 500) i;
    INSERT INTO moment SELECT timestamptz '2024-01-01' + i * interval '1 hour', decode(substr(md5(i::text), 1, 8), 'hex'), i FROM generate_series(1, 500) i"""
TARGET = """CREATE TABLE kinds (id int PRIMARY KEY, t longtext, b longblob, j json, jb json, a json, n decimal(12,4), ts datetime(6), tz datetime(6), d date, f double, u uuid, yes boolean)
        CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;
    CREATE TABLE item (a int, b uuid, v longtext, PRIMARY KEY (a, b)) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;
    CREATE TABLE `Word` (w varchar(100), `select` bigint, PRIMARY KEY (w)) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;
    CREATE TABLE moment (at datetime(6), code varbinary(100), v int, PRIMARY KEY (at, code)) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin"""
PLANTED = ("DELETE FROM kinds WHERE id BETWEEN 500 AND 520", "UPDATE kinds SET t = 'x', b = NULL, j = '1', jb = '[]', a = NULL, n = -n, ts = NULL, tz = tz - INTERVAL 1 SECOND, d = NULL, f = 0, u = NULL, yes = NULL WHERE id BETWEEN 600 AND 610",
           "INSERT INTO kinds (id, t) VALUES (77777, 'extra')", "DELETE FROM item WHERE a = 13", "UPDATE item SET v = 'wrong' WHERE a = 14", "INSERT INTO item VALUES (77, '00000000-0000-0000-0000-00000000000f', 'x')",
           "DELETE FROM `Word` WHERE `select` = 7", "UPDATE `Word` SET `select` = -1 WHERE `select` = 8", "INSERT INTO `Word` VALUES ('it''s \\\\ \"extra\"', 1)",
           "DELETE FROM moment WHERE v = 5", "UPDATE moment SET v = 0 WHERE v = 6", "INSERT INTO moment VALUES ('2030-01-01 00:00:00.000001', x'005c27ff', 1)")
FOUND = {"kinds": (21, 11, 1), "item": (20, 20, 1), "Word": (1, 1, 1), "moment": (1, 1, 1)}


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("repair-mariadb") as folder, Postgres(folder, "source") as source, MariaDB(folder, "target") as target:
        yield folder, source, target


def make(servers, name):
    folder, source, target = servers
    source_url, target_url = source.create_db(name), target.create_db(name)
    source.sql(SOURCE, db=name)
    target.script(TARGET, name)
    settings = {"capture": {"heartbeat_interval_ms": 500}, "compare": {"chunk_rows": 300, "deadline_ms": "2m"}}
    return Pipeline(folder, source_url, target_url, name=name, tables=("public.*",), more=settings)


def plant(target, name, *statements):
    for statement in statements:
        target.sql_again(statement, db=name)


def writes(rng):
    def one_round(_):
        n = rng.randrange(1, 14)
        yield f"UPDATE kinds SET n = n + 1, t = 'new' WHERE id BETWEEN {600 + n} AND {602 + n}"
        yield f"INSERT INTO kinds (id, t) VALUES ({500 + n}, 'again') ON CONFLICT (id) DO UPDATE SET t = 'again', f = {n} / 7.0"
        yield f"DELETE FROM kinds WHERE id = {500 + n}"
        yield f"INSERT INTO item VALUES ({n}, gen_random_uuid(), 'größer')"
        yield f"DELETE FROM item WHERE a = {n} AND v LIKE 'gr%'"
        yield f"UPDATE item SET v = v || 'x' WHERE a = 14 AND length(v) < {20 + n}"
    return one_round


def test_by_statements(servers):
    folder, _, target = servers
    path = str(folder) + "/repair.sql"
    with make(servers, "stated") as p:
        p.start()
        p.apply.wait_for(lambda status: status.get("complete"), 120, "the copy is complete")
        plant(target, "stated", *PLANTED)
        dry = repair(p, "--sql", path, "--delete-extra", code=1)
        assert of_tables(dry, "found") == FOUND and all(t["refused"] is None for t in dry["tables"]), dry
        assert of_tables(repair(p, "--sql", path, "--delete-extra", code=1), "found") == FOUND  # nothing was changed
        target.sql("UPDATE kinds SET t = 'by hand' WHERE id = 600", db="stated")
        for _ in range(2):
            with open(path, encoding="utf-8") as f:
                target.client(f.read(), "stated")
            report = compare(p, code=1)
            assert [(t["table"], d["kind"], d["key"]) for t in report["tables"] for d in t["differences"]] == [("kinds", "changed", {"id": "600"})]
        with Writer(p.source_url, writes(random.Random(seed()))) as writer:
            writer.wait_rounds(3)
            plant(target, "stated", *PLANTED)
            done = repair(p, "--sql", path, "--execute", "--delete-extra", "--rounds", "3")
            assert done["before"] == "FAIL" and done["after"] == "PASS" and sum(map(sum, of_tables(done, "repaired").values())) > 20
        p.wait_caught_up()
        assert compare(p)["verdict"] == "PASS"


def test_through_the_journal(servers):
    target = servers[2]
    with make(servers, "repaired") as p:
        p.start()
        p.apply.wait_for(lambda status: status.get("complete"), 120, "the copy is complete")
        plant(target, "repaired", *PLANTED)
        dry = repair(p, "--through-journal", code=1)
        assert of_tables(dry, "found") == FOUND and all(t["refused"] is None for t in dry["tables"]), dry
        done = repair(p, "--through-journal", "--execute", "--delete-extra")
        assert done["after"] == "PASS" and of_tables(done, "repaired") == FOUND
        with Writer(p.source_url, writes(random.Random(seed()))) as writer:
            writer.wait_rounds(3)
            for _ in range(count(1, 10)):
                plant(target, "repaired", *PLANTED)
                done = repair(p, "--through-journal", "--execute", "--delete-extra", "--rounds", "3")
                assert done["before"] == "FAIL" and done["after"] == "PASS"
        p.wait_caught_up()
        assert compare(p)["verdict"] == "PASS"
