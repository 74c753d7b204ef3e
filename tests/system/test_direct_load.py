"""capture.snapshot_path: direct: rows go straight from source to target, changes wait in the journal, and whatever is killed both
ends are equal when apply has come to the first complete fence."""

import contextlib
import os
import shutil
import signal
import threading

import psycopg
import pytest

from rig import Pipeline, Postgres, Workdir, privileges, wait_until
from rig.failpoints import failpoints
from rig.postgres import run_psql
from rig.privileges import APPLY, OWNER
from rig.scenario import drop_database, scenario

TABLES = """
CREATE TABLE big (id bigint PRIMARY KEY, v text, n numeric(12,2), at timestamptz, raw bytea);
CREATE TABLE named (name text PRIMARY KEY, v int);
CREATE TABLE pair (a int, b text, v text, PRIMARY KEY (a, b));
CREATE TABLE bag (a int, b text); ALTER TABLE bag REPLICA IDENTITY FULL;
CREATE TABLE empty (id int PRIMARY KEY);
CREATE TABLE long (id int PRIMARY KEY, doc text, n int DEFAULT 0); ALTER TABLE long ALTER doc SET STORAGE EXTERNAL;
CREATE TABLE uniq (id int PRIMARY KEY, email text UNIQUE);
CREATE TYPE mood AS ENUM ('sad', 'glad');
CREATE TABLE kinds (id int PRIMARY KEY, m mood, j jsonb, a int[], r int4range, d double precision, b boolean, i interval, u uuid);
CREATE TABLE part (id int, at int, v text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (10); CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM (10) TO (20);
INSERT INTO big SELECT i, repeat(md5(i::text), 4), i / 7.0, now() + i * interval '1 s', decode(md5(i::text), 'hex') FROM generate_series(1, 6000) i;
INSERT INTO named SELECT 'n' || i || E'\\t\\\\', i FROM generate_series(1, 3000) i;
INSERT INTO pair SELECT i % 10, 'x' || i, NULL FROM generate_series(1, 2500) i;
INSERT INTO bag SELECT i % 100, CASE WHEN i % 3 = 0 THEN NULL ELSE 'x' END FROM generate_series(1, 5000) i;
INSERT INTO kinds SELECT i, 'glad', '{"a": 1}', ARRAY[1, NULL, 3], '[1,5)', 'Infinity', true, '1 mon -2 days', gen_random_uuid() FROM generate_series(1, 700) i;
INSERT INTO long SELECT i, repeat(md5(i::text), 100) FROM generate_series(1, 1200) i;
INSERT INTO uniq SELECT i, 'e' || i FROM generate_series(1, 2000) i;
INSERT INTO part SELECT i, i % 20, 'p' FROM generate_series(1, 2000) i;
ANALYZE;
"""
DIRECT = {"capture": {"snapshot_path": "direct", "snapshot_workers": 2, "snapshot_chunk_rows": 500}}


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("direct") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


def test_rows_do_not_go_by_the_journal(servers):
    with scenario(*servers, TABLES, more=DIRECT) as s:
        s.start(timeout=120)
        s.assert_equal(120)
        assert s.target("SELECT count(*) > 20, bool_and(done), count(DISTINCT lsn) FROM crossfade.direct_chunk") == [(True, True, 1)]
        assert s.apply.status()["changes"] < 1000
        s.source("UPDATE big SET v = 'new' WHERE id < 100", "DELETE FROM bag WHERE a = 7", "INSERT INTO empty VALUES (1)", "TRUNCATE named")
        s.assert_equal(120)


def change(s, step):
    """Something of everything: also rows that move without their long values, unique values that change hands, rows without a key."""
    s.source(f"UPDATE big SET v = 'step {step}' WHERE id % 17 = {step}", f"DELETE FROM big WHERE id % 23 = {step}", f"UPDATE big SET id = id + 100000 WHERE id <= 6000 AND id % 29 = {step}",
             f"INSERT INTO big SELECT i, 'in', 1 FROM generate_series({200000 + step * 100}, {200050 + step * 100}) i ON CONFLICT DO NOTHING",
             f"UPDATE long SET n = n + 1 WHERE id % 7 = {step}", f"UPDATE long SET id = id + 10000 WHERE id < 10000 AND id % 97 = {step} AND NOT EXISTS (SELECT 1 FROM long l WHERE l.id = long.id + 10000)", f"DELETE FROM long WHERE id % 31 = {step}",
             f"INSERT INTO long SELECT id - 10000, 'again' FROM long WHERE id > 10000 AND id % 5 = {step} ON CONFLICT DO NOTHING",
             f"DELETE FROM bag WHERE a = {step}", f"UPDATE bag SET b = 'y' WHERE a = {step + 20}", f"INSERT INTO bag SELECT {step + 40}, 'z' FROM generate_series(1, 3)",
             f"DELETE FROM uniq WHERE id = {step + 1}; UPDATE uniq SET email = 'e{step + 1}' WHERE id = {1900 + step}; INSERT INTO uniq VALUES ({3000 + step}, 'e{1900 + step}') ON CONFLICT DO NOTHING",
             f"UPDATE part SET at = (at + 7) % 20 WHERE id % 19 = {step}", f"UPDATE pair SET v = 'p' WHERE a = {step}",
             *(["TRUNCATE named", "INSERT INTO named VALUES ('after', 1)"] if step == 3 else []))


def chunks(s):
    return s.target("SELECT count(*) FROM crossfade.direct_chunk WHERE done")[0][0]


def test_capture_is_killed_at_each_point(servers):
    """One load, cut off again and again: chunks that were committed are not loaded once more, and nothing is missing or doubled."""
    points = ["capture.snapshot_begun", "capture.direct_claimed", "capture.direct_chunk:4", "capture.direct_copied:3", "capture.direct_chunk_done:7",
              "capture.direct_loaded", "capture.direct_finished", "capture.snapshot_copied"]
    assert {p for p in failpoints("capture", "lib/target") if p.startswith("capture.direct_") and p != "capture.direct_held"} <= {p.split(":")[0] for p in points}
    with scenario(*servers, TABLES, more=DIRECT) as s:
        s.apply.start()
        most = 0
        for step, point in enumerate(points):
            s.capture.start(failpoint=point)
            change(s, step)
            s.capture.assert_exit(-signal.SIGKILL, timeout=120)
            change(s, step + 9)
            if step in (3, 5):
                s.apply.kill9()
                s.apply.start()
            if step > 1:
                most = max(most, chunks(s))
        s.capture.start()
        s.wait_complete(120)
        s.assert_equal(120)
        assert s.position()["attempt"] == 1 and most > 10
        assert s.target("SELECT count(DISTINCT lsn) > 1 FROM crossfade.direct_chunk") == [(True,)]
        assert s.target("SELECT count(DISTINCT lsn) > 1 FROM crossfade.direct_table JOIN crossfade.direct_chunk USING (pipeline, source_oid) WHERE table_name = 'big'") == [(True,)]
        # Without a key, or with a second unique index, a table is of one snapshot.
        assert s.target("SELECT count(*) FROM (SELECT 1 FROM crossfade.direct_table JOIN crossfade.direct_chunk USING (pipeline, source_oid) "
                        "WHERE table_name IN ('bag', 'uniq') GROUP BY source_oid HAVING count(DISTINCT lsn) > 1) x") == [(0,)]
        change(s, 5)
        s.assert_equal(120)


def test_others_are_killed(servers):
    """One slow load, in which apply, the target and the source die, one after the other."""
    _, source, target = servers
    slow = {"capture": {**DIRECT["capture"], "max_rows_per_second": 4000}}
    with scenario(*servers, TABLES, more=slow) as s:
        s.capture.start()
        s.apply.start()
        wait_until(lambda: s.target("SELECT to_regclass('crossfade.direct_chunk') IS NOT NULL")[0][0], 60, "the load begins")
        for step, victim in enumerate(["apply", "target", "source"]):
            before = chunks(s)
            wait_until(lambda: chunks(s) > before + 2 or (s.position() or {}).get("complete"), 60, "chunks are loaded")
            change(s, step)
            if victim == "apply":
                s.apply.kill9()
                s.apply.start()
            else:
                server = {"source": source, "target": target}[victim]
                server.kill9()
                server.start()
            change(s, step + 9)
        s.wait_complete(120)
        change(s, 4)
        s.assert_equal(120)
        assert s.position()["attempt"] == 1


def test_keys_and_indexes_come_behind_the_rows(servers):
    """`schema create` leaves primary keys to the load, and --indexes makes what is left."""
    ddl = TABLES.split("CREATE TABLE part (")[0] + "CREATE INDEX big_v ON big (v); CREATE TABLE child (id int PRIMARY KEY, big bigint REFERENCES big); INSERT INTO big SELECT i, 'v' FROM generate_series(1, 1500) i; INSERT INTO child VALUES (1, 7);"
    with scenario(*servers, ddl, target_schema="", more={**DIRECT, "schema": {"indexes": "after_snapshot"}}) as s:
        # Keys are the business of the tables' owner: here he makes the tables, and apply's role is a member of his.
        privileges.prepare_as_target(s.target_url)
        privileges.run_blocks(s.target_url, "target-direct", owner=OWNER)

        def create(*more):
            done = s.pipeline.run("schema", "create", *more, "--execute")
            assert done.returncode == 0, done.stdout + done.stderr
        keys = "SELECT count(*) FILTER (WHERE contype = 'p'), count(*) FILTER (WHERE contype = 'f') FROM pg_constraint WHERE connamespace = 'public'::regnamespace"
        create()
        assert s.target(keys) == [(0, 0)]
        s.capture.start()
        s.apply.start()
        s.wait_complete(120)
        assert s.target(keys) == [(8, 0)]
        create("--indexes")
        assert s.target(keys) == [(8, 1)]
        assert s.target("SELECT to_regclass('big_v') IS NOT NULL") == [(True,)]
        s.target(f"REVOKE {OWNER} FROM {APPLY}")  # enough for all that comes now
        s.source("UPDATE big SET v = 'new' WHERE id < 100", "INSERT INTO bag VALUES (1, NULL)")
        s.assert_equal(120)


def test_what_does_not_fit_is_refused(servers):
    with scenario(*servers, "CREATE TABLE t (id int PRIMARY KEY, n numeric(10,2)); INSERT INTO t VALUES (1, 1.25)", more=DIRECT) as s:
        s.apply.start()
        for columns, rows, words in [("id int PRIMARY KEY, n numeric(6,1)", "", "column=n: numeric(10,2) on the source, numeric(6,1) on the target"),
                                     ("id int PRIMARY KEY", "", "there is no column n"),
                                     ("id int PRIMARY KEY, n numeric(10,2)", "; INSERT INTO t VALUES (5, 5)", "holds rows that this pipeline did not write")]:
            s.target(f"DROP TABLE t; CREATE TABLE t ({columns}){rows}")
            s.capture.start()
            s.capture.assert_exit(5, timeout=60)
            assert words in s.capture.log_text()
        s.target("DROP TABLE t; CREATE TABLE t (id bigint PRIMARY KEY, n numeric)")  # wider: text instead of binary
        s.capture.start()
        s.wait_complete(120)
        s.source("INSERT INTO t VALUES (2, 3.5)")
        s.wait()
        assert s.target("SELECT id, n::text FROM t ORDER BY id") == [(1, "1.25"), (2, "3.50")]


def test_load_waits_for_apply_and_says_so(servers):
    with scenario(*servers, "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 10)", more=DIRECT) as s:
        s.capture.start()
        s.capture.wait_for(lambda status: "crossfade apply must run" in (status.get("trouble") or ""), 60, "the load waits for apply")
        s.source("DELETE FROM t WHERE id < 4")
        assert s.target("SELECT count(*) FROM t") == [(0,)]
        s.apply.start()
        s.wait_complete(120)
        s.assert_equal(120)


def lose_slot(s):
    """The source forgets the pipeline: the next capture begins a new copy."""
    wait_until(lambda: s.source_server.value("SELECT count(*) = 0 FROM pg_replication_slots WHERE database = %s AND active", (s.name,)), 60, "the slot is free")
    s.source_server.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = %s", (s.name,))


def complete(s, attempt):
    wait_until(lambda: (p := s.position()) is not None and p["complete"] and p["attempt"] == attempt, 120, f"the copy of attempt {attempt} is complete")


def test_new_journal_is_loaded_anew(servers):
    """Its attempts have the numbers of the lost one's: what was loaded for those does not count, nor does the old position."""
    with scenario(*servers, "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'v' FROM generate_series(1, 2000) i", more=DIRECT) as s:
        s.start(timeout=120)
        s.capture.terminate()
        s.apply.terminate()
        lose_slot(s)
        shutil.rmtree(os.path.join(s.pipeline.folder, f"{s.name}-journal"))
        s.source("INSERT INTO t SELECT i, 'new' FROM generate_series(3000, 3500) i", "DELETE FROM t WHERE id < 50")
        s.capture.start()
        s.capture.wait_for(lambda status: "crossfade apply must run" in (status.get("trouble") or ""), 60, "the load waits for apply")
        s.capture.kill9()  # the next one knows where the copy began from its fence
        s.capture.start()
        s.capture.wait_for(lambda status: "crossfade apply must run" in (status.get("trouble") or ""), 60, "the load still waits for apply")
        s.target("DELETE FROM crossfade.position", "TRUNCATE t")
        s.apply.start()
        complete(s, 1)
        s.assert_equal(120)
        assert s.target("SELECT sum(rows)::int, bool_and(done) FROM crossfade.direct_chunk") == [(2452, True)]


def test_target_of_another_source_is_not_touched(servers):
    """A copied configuration: the pipeline's name and target, another source. And one that is complete, in another journal of the same source."""
    folder, _, target = servers
    table = "CREATE TABLE t (id int PRIMARY KEY, v text);"
    with scenario(*servers, table + "INSERT INTO t SELECT i, 'v' FROM generate_series(1, 500) i", more=DIRECT) as s:
        s.start(timeout=120)
        s.capture.terminate()
        s.apply.terminate()
        other = target.create_db("another_source")
        run_psql(other, "-c", table + "INSERT INTO t VALUES (1, 'other')")
        os.mkdir(os.path.join(str(folder), "another_source"))
        with Pipeline(os.path.join(str(folder), "another_source"), other, s.target_url, name=s.name, tables=["public.*"], more=DIRECT) as p:
            p.capture.start()
            p.capture.assert_exit(5, timeout=90)
            assert "the target was filled from source system" in p.capture.log_text()
        drop_database(target, "another_source")
        assert s.target("SELECT count(*), count(*) FILTER (WHERE v = 'other') FROM t") == [(500, 0)]

        lose_slot(s)
        shutil.rmtree(os.path.join(s.pipeline.folder, f"{s.name}-journal"))
        s.source("DELETE FROM t WHERE id < 50")
        s.target("UPDATE crossfade.position SET lsn = 'FFFF/0'")  # as of a source that was put back to an earlier state
        s.capture.start()
        s.capture.wait_for(lambda status: "crossfade apply must run" in (status.get("trouble") or ""), 60, "the load waits for apply")
        assert s.target("SELECT count(*) FROM t") == [(500,)]


def test_names_in_rows_are_whole(servers):
    """Each side has its own search_path; a table of such a name that the target does not have is its own trouble, which no new snapshot mends."""
    schema = "CREATE TABLE t (id int PRIMARY KEY, r regclass, rs regclass[]);"
    far = "CREATE SCHEMA app; CREATE TABLE app.far (id int);"
    with scenario(*servers, schema + "INSERT INTO t SELECT i, 't', '{t}' FROM generate_series(1, 1200) i", name="whole_names", more=DIRECT) as s:
        s.admin(far + "GRANT USAGE ON SCHEMA app TO PUBLIC; ALTER DATABASE whole_names SET search_path = app, public")
        s.admin("UPDATE t SET r = 'far', rs = '{far,t}'")
        s.apply.start()
        s.capture.start()
        s.capture.assert_exit(5, timeout=90)
        assert 'relation "app.far" does not exist' in s.capture.log_text() or 'schema "app" does not exist' in s.capture.log_text()
        s.target(far)
        s.capture.start()
        s.wait_complete(120)
        assert s.target("SELECT DISTINCT r::text, rs::text FROM t") == [("app.far", "{app.far,t}")]


def test_later_copy_takes_the_place_of_one_that_is_loaded(servers):
    with scenario(*servers, TABLES, more=DIRECT) as s:
        s.apply.start()
        s.capture.start(failpoint="capture.direct_chunk_done:5")
        s.capture.assert_exit(-signal.SIGKILL, timeout=120)
        change(s, 1)
        lose_slot(s)
        s.capture.start()
        complete(s, 2)
        change(s, 2)
        s.assert_equal(120)
        assert s.target("SELECT count(*), bool_and(done) FROM crossfade.direct_load") == [(1, True)]


@contextlib.contextmanager
def writing(s, statement):
    """A client that repeats it until the end."""
    stop, failures = threading.Event(), []

    def client():
        try:
            with psycopg.connect(s.source_url, autocommit=True) as connection:
                while not stop.is_set():
                    connection.execute(statement)
        except psycopg.Error as e:
            failures.append(e)
    thread = threading.Thread(target=client, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)
    assert not failures and not thread.is_alive()


KEYLESS = "CREATE TABLE bag (a int, b text); ALTER TABLE bag REPLICA IDENTITY FULL; INSERT INTO bag SELECT i, 'x' FROM generate_series(1, 3000) i"


def loads(s):
    wait_until(lambda: s.target("SELECT to_regclass('crossfade.direct_chunk') IS NOT NULL")[0][0] and s.target("SELECT count(*) FROM crossfade.direct_chunk")[0][0] > 0, 60, "the load runs")


def test_no_change_is_lost_at_the_end(servers):
    """Rows without a key that are written while the load ends, and a transaction that is open over its end."""
    with scenario(*servers, KEYLESS, more={"capture": {**DIRECT["capture"], "max_rows_per_second": 2000}}) as s:
        s.apply.start()
        with writing(s, "INSERT INTO bag VALUES (-1, 'loop')"):
            s.capture.start()
            loads(s)
            with psycopg.connect(s.source_url) as connection:
                connection.execute("INSERT INTO bag SELECT -2, 'long' FROM generate_series(1, 10)")
                complete(s, 1)
        s.assert_equal(120)
        assert s.target("SELECT count(*) FROM bag WHERE a = -2") == [(10,)]


def test_no_change_is_lost_behind_the_end(servers):
    """Capture dies when all is loaded: the next one has to come as far as the source is now before it says so, with much to read until there."""
    with scenario(*servers, KEYLESS, more=DIRECT) as s:
        s.apply.start()
        s.capture.start(failpoint="capture.direct_finished")
        s.capture.assert_exit(-signal.SIGKILL, timeout=120)
        s.source("SET synchronous_commit = off", "DO $$ BEGIN FOR i IN 1..30000 LOOP INSERT INTO bag VALUES (-i, 'many'); COMMIT; END LOOP; END $$")
        s.capture.start()
        complete(s, 1)
        s.assert_equal(120)


def test_snapshot_is_lost_alone(servers):
    """The connection that keeps it ends, the others do not: another one is found."""
    with scenario(*servers, TABLES, more={"capture": {**DIRECT["capture"], "max_rows_per_second": 5000}}) as s:
        s.apply.start()
        s.capture.start()
        loads(s)
        wait_until(lambda: chunks(s) > 2, 60, "chunks are loaded")
        change(s, 1)
        assert s.admin("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'idle in transaction' AND query = 'SELECT 1'") == [(1,)]
        change(s, 2)
        complete(s, 1)
        s.assert_equal(120)
        assert s.target("SELECT count(DISTINCT lsn) > 1 FROM crossfade.direct_chunk") == [(True,)]


def test_load_that_waits_for_a_lock_can_be_ended(servers):
    """Capture ends although a worker looks for the end of its next chunk in a table that somebody has locked; the load goes on later."""
    waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%FROM ONLY%OFFSET%'"
    with scenario(*servers, "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 3000); ANALYZE t", more=DIRECT) as s:
        s.capture.start()
        s.capture.wait_for(lambda status: "crossfade apply must run" in (status.get("trouble") or ""), 60, "the load waits for apply")
        with psycopg.connect(s.source_url) as holder:
            holder.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
            s.apply.start()
            wait_until(lambda: s.admin(waits) == [(1,)], 60, "a worker waits for the lock")
            s.capture.terminate()
            wait_until(lambda: s.admin(waits) == [(0,)], 90, "nothing of it is left on the source")
        s.capture.start()
        s.wait_complete(120)
        s.assert_equal(120)


def test_table_is_renamed_while_it_is_loaded(servers):
    """What was loaded lies in the target's table of the old name: the one of the new name gets all rows."""
    with scenario(*servers, "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 3000); ANALYZE t", more={"capture": {**DIRECT["capture"], "max_rows_per_second": 1000}}) as s:
        s.target("CREATE TABLE u (id int PRIMARY KEY)")
        s.apply.start()
        s.capture.start()
        loads(s)
        s.source("ALTER TABLE t RENAME TO u")
        s.wait_complete(120)
        s.source("DELETE FROM u WHERE id < 5")
        s.wait(120)
        assert s.target("SELECT count(*), min(id), max(id) FROM u") == [(2996, 5, 3000)]


def test_types_of_one_name_and_other_content(servers):
    types = "CREATE DOMAIN price AS numeric({}); CREATE DOMAIN cost AS price; CREATE TYPE pair AS (a int, c {}); CREATE TABLE other (id int PRIMARY KEY);"
    table = "CREATE TABLE t (id int PRIMARY KEY, c cost, p pair, ps pair[], r regclass, rs regtype[], m money);"
    with scenario(*servers, types.format("10,2", "cost") + table + "INSERT INTO t VALUES (1, 1.25, (1, 2.55), ARRAY[(2, 3.45)::pair], 'other', '{integer,cost}', 12.50)", target_schema=types.format("6,1", "cost") + table, more=DIRECT) as s:
        s.apply.start()
        inside = "(public.cost: public.price; public.price: numeric({}))"
        for price, member, words in [("6,1", "cost", f"column=c: type public.cost is {inside.format('10,2')} on the source, {inside.format('6,1')} on the target"),
                                     ("10,2", "text", "column=p: type public.pair is (public.cost: public.price; public.pair: a integer, c public.cost; public.price: numeric(10,2)) on the source, (public.pair: a integer, c text) on the target")]:
            s.target("DROP TABLE t, other; DROP TYPE pair; DROP DOMAIN cost, price", types.format(price, member), table)
            s.capture.start()
            s.capture.assert_exit(5, timeout=60)
            assert words in s.capture.log_text()
        s.target("DROP TABLE t, other; DROP TYPE pair; DROP DOMAIN cost, price", types.format("10,2", "cost"), table)
        s.capture.start()
        complete(s, 1)
        s.source("INSERT INTO t VALUES (2, 7.25, (1, 2.55), NULL, 'other', NULL, -0.01)")
        s.assert_equal(120)
