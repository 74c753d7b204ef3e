"""compare repair: what it refuses or tells of, and why; nothing is changed then."""

import pytest

from rig import Postgres, Workdir, wait_until
from rig.comparing import of_tables, repair
from rig.scenario import scenario

ROWS = 2000
T = "CREATE TABLE t (id int PRIMARY KEY, v text, n numeric(10,2)); INSERT INTO t SELECT i, 'v' || i, i FROM generate_series(1, 200) i"


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("repair-refused") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


def only(report, what):
    return {table: counts for table, counts in of_tables(report, what).items() if any(counts)}


def test_what_is_refused(servers):
    schema = f"""CREATE TABLE heap (a int, b text); ALTER TABLE heap REPLICA IDENTITY FULL; INSERT INTO heap SELECT i % 50, 'x' FROM generate_series(1, 200) i;
        CREATE TABLE many (id int PRIMARY KEY, v text); INSERT INTO many SELECT i, 'x' FROM generate_series(1, {ROWS}) i;
        CREATE TABLE masked (mail text PRIMARY KEY, v text); INSERT INTO masked VALUES ('a@b', 'x');
        CREATE TABLE other (a int PRIMARY KEY, b int NOT NULL UNIQUE, v text); ALTER TABLE other REPLICA IDENTITY USING INDEX other_b_key; INSERT INTO other SELECT i, -i, 'x' FROM generate_series(1, 20) i;
        CREATE TABLE renamed (id int PRIMARY KEY, v text, secret text); INSERT INTO renamed SELECT i, 'x', 's' FROM generate_series(1, 20) i"""
    rules = [{"table": "public.masked", "mask": {"mail": "hash"}}, {"table": "public.renamed", "columns": ["!secret"], "rename": {"id": "number"}}]
    with scenario(*servers, schema, more={"source": {"filters": rules, "mask_salt": "pepper"}}) as s:
        s.target("ALTER TABLE renamed RENAME id TO number", "ALTER TABLE renamed DROP secret")
        s.start()
        s.target("DELETE FROM heap WHERE ctid = (SELECT ctid FROM heap LIMIT 1)", "UPDATE many SET v = 'y' WHERE id <= 1500", "UPDATE masked SET v = 'y'",
                 "UPDATE other SET v = 'y' WHERE a = 3", "DELETE FROM renamed WHERE number = 4", "INSERT INTO renamed VALUES (400, 'extra')")
        told = repair(s.pipeline, "--through-journal", "--execute", "--delete-extra", code=1)
        refused = {t["table"]: t["refused"] for t in told["tables"]}
        assert "no key" in refused["heap"] and "--rounds" in refused["many"] and refused["masked"]
        assert "another key" in refused["other"]
        assert only(told, "repaired") == {"renamed": (1, 0, 1)}  # by their published names
        by_sql = repair(s.pipeline, "--sql", str(servers[0]) + "/refused.sql", "--execute", job="repair", code=1)
        assert only(by_sql, "repaired") == {"other": (0, 1, 0)}
        many = repair(s.pipeline, "--through-journal", "--execute", "--rounds", "3", "--table", "public.many")
        assert many["after"] == "PASS" and many["rounds"] == 2 and of_tables(many, "repaired") == {"many": (0, 1500, 0)}
        assert s.pipeline.run("compare", "repair").returncode == 2
        assert s.pipeline.run("compare", "repair", "--sql", "-", "--through-journal").returncode == 2
        s.capture.terminate()
        assert s.pipeline.run("compare", "repair", "--through-journal", "--table", "public.nothing").returncode == 3


def refused(s, *words, job=None):
    told = repair(s.pipeline, *words, "--execute", code=1, job=job)
    assert not only(told, "repaired")
    return told["tables"][0]["refused"]


def test_dead_letters_are_settled_first(servers):
    with scenario(*servers, T, more={"apply": {"on_row_error": "dead_letter"}}) as s:
        s.start()
        s.wait()
        s.target("ALTER TABLE t ALTER v TYPE varchar(6)", "UPDATE t SET n = -n WHERE id = 5")
        s.source("INSERT INTO t VALUES (202, 'far too long', 2)")
        wait_until(lambda: s.target("SELECT count(*) FROM crossfade.dead_letter WHERE state = 'held'") == [(1,)], 60, "the row is held")
        assert "dead letters" in refused(s, "--through-journal") and "dead letters" in refused(s, "--sql", str(servers[0]) + "/letters.sql", job="repair")
        assert s.target("SELECT n FROM t WHERE id = 5") == [(-5,)]


def test_tables_written_on_both_sides_are_left_to_their_rule(servers):
    with scenario(*servers, T, more={"apply": {"conflicts": {"public.t": "source_wins"}, "dual_write_until": "2999-01-01T00:00Z"}}) as s:
        s.start()
        s.wait()
        s.apply.wait_log("dual_write tables", 60)
        s.target("UPDATE t SET n = -n WHERE id = 5")
        assert "both sides" in refused(s, "--through-journal")


def test_triggers_that_fire_are_told(servers):
    """It undoes the repair: told beforehand, and found by the comparison behind it."""
    with scenario(*servers, T) as s:
        s.start()
        s.wait()
        s.target("CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.n := NEW.n + 1; RETURN NEW; END $$",
                 "CREATE TRIGGER rogue BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION spoil()", "ALTER TABLE t ENABLE ALWAYS TRIGGER rogue", "UPDATE t SET v = 'x' WHERE id = 5")
        told = repair(s.pipeline, "--through-journal", code=1)
        assert "rogue" in told["tables"][0]["note"]
        assert repair(s.pipeline, "--through-journal", "--execute", code=1)["after"] == "FAIL"
        s.target("DROP TRIGGER rogue ON t")
        assert repair(s.pipeline, "--through-journal", "--execute")["after"] == "PASS"
        s.assert_equal()


def test_unique_values_that_changed_hands(servers):
    """Rows have each other's values, and a row of nobody has one that a missing row needs."""
    schema = T + "; CREATE TABLE mail (id int PRIMARY KEY, address text UNIQUE, v int); INSERT INTO mail SELECT i, 'a' || i, i FROM generate_series(1, 100) i"
    with scenario(*servers, schema) as s:
        s.start()
        s.wait()
        s.target("UPDATE mail SET address = 'x' WHERE id = 1", "UPDATE mail SET address = 'a1' WHERE id = 2", "UPDATE mail SET address = 'a2' WHERE id = 1",
                 "DELETE FROM mail WHERE id = 3", "INSERT INTO mail VALUES (1000, 'a3', 3)")
        assert "--delete-extra" in refused(s, "--through-journal")
        assert "unique" in repair(s.pipeline, "--sql", str(servers[0]) + "/unique.sql", "--execute", code=4, job="repair")
        done = repair(s.pipeline, "--through-journal", "--execute", "--delete-extra")
        assert done["after"] == "PASS" and of_tables(done, "repaired") == {"mail": (1, 2, 1)}
        s.assert_equal()
