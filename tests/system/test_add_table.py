"""Copies that are asked for while everything streams: a table that came later, a table or some of its rows once more."""

import random
import signal

import psycopg
import pytest

from rig import Postgres, Workdir, Writer, wait_until
from rig.journal import assert_journal, read_cat
from rig.postgres import run_psql
from rig.scenario import count, scenario, seed

ROWS = 4000
SCHEMA = f"""
CREATE TABLE old (id int PRIMARY KEY, v int NOT NULL, big text); ALTER TABLE old ALTER big SET STORAGE EXTERNAL;
INSERT INTO old SELECT i, 0, repeat(md5(i::text), 100) FROM generate_series(1, {ROWS}) i;
"""
LATER = f"""
CREATE TABLE later (id int PRIMARY KEY, v int NOT NULL, big text); ALTER TABLE later ALTER big SET STORAGE EXTERNAL;
CREATE TABLE heap (a int, b text); ALTER TABLE heap REPLICA IDENTITY FULL;
CREATE TABLE part (id int, at int, v int, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (50); CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM (50) TO (100);
"""
FILL = f"""
INSERT INTO later SELECT i, 0, repeat(md5(i::text), 100) FROM generate_series(1, {ROWS}) i;
INSERT INTO heap SELECT i % 500, 'x' FROM generate_series(1, {ROWS}) i;
INSERT INTO part SELECT i, i % 100, 0 FROM generate_series(1, {ROWS}) i;
"""
SLOW = {"capture": {"max_rows_per_second": 6000}}


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("addtable") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


def writes(rng):
    """To all the tables: unchanged TOAST, moves, deletions, rows that come twice."""
    def one_round(_):
        n = rng.randrange(1, ROWS)
        for table in ("old", "later"):
            yield f"UPDATE {table} SET v = v + 1 WHERE id % 97 = {n % 97}"
            yield f"UPDATE {table} SET id = id + {ROWS} WHERE id = {n}"
            yield f"DELETE FROM {table} WHERE id = {rng.randrange(1, ROWS)}"
            yield f"INSERT INTO {table} VALUES ({n}, -1, repeat('n', 3000)) ON CONFLICT DO NOTHING"
        yield f"BEGIN; UPDATE later SET v = -5 WHERE id < 50; UPDATE old SET v = (SELECT max(v) FROM later) WHERE id = {n}; COMMIT"
        yield f"UPDATE heap SET b = b || 'y' WHERE ctid = (SELECT ctid FROM heap WHERE a = {n % 500} LIMIT 1)"
        yield f"DELETE FROM heap WHERE ctid = (SELECT ctid FROM heap WHERE a = {(n + 7) % 500} LIMIT 1)"
        yield f"INSERT INTO heap VALUES ({n % 500}, 'new'), ({n % 500}, 'new')"
        yield f"UPDATE part SET at = (at + 50) % 100, v = v + 1 WHERE id = {n}"
    return one_round


def later(s):
    """Tables that come when the pipeline streams already."""
    s.source(LATER, FILL)
    run_psql(s.target_url, "-c", LATER)


def ask(s, *args):
    done = s.pipeline.run("capture", *args)
    assert done.returncode == 0, done.stderr
    return done.stdout



def copied(s, timeout=60):
    """Apply is behind the last question, and no copy is at hand any more."""
    s.wait(timeout)
    s.wait_complete(timeout)


def test_tables_that_came_later(servers):
    with scenario(*servers, SCHEMA, tables=["public.*"], more=SLOW) as s:
        s.start()
        later(s)
        with Writer(s.source_url, writes(random.Random(seed()))) as writer:
            writer.wait_rounds(3)
            for table in ("later", "heap", "part"):
                assert "published" in ask(s, "add-table", f"public.{table}")
            copied(s)
            done = s.pipeline.run("compare", "run", "--json", timeout=120)
            assert done.returncode == 0, done.stdout[-4000:] + done.stderr
            writer.wait_rounds(3)
        s.assert_equal()
        assert s.position()["attempt"] == 1 and s.position()["complete"]
        s.capture.terminate()
        assert_journal(*read_cat(s.pipeline), s.source_url, s.name)
        assert s.pipeline.run("journal", "verify").returncode == 0


def test_killed_again_and_again(servers):
    """Questions while the copy of another runs; everything dies meanwhile; what was copied is not copied again."""
    rng = random.Random(seed())
    with scenario(*servers, SCHEMA, tables=["public.*"], more={"capture": {"max_rows_per_second": 3000}}) as s:
        s.start()
        later(s)
        with Writer(s.source_url, writes(rng)):
            for table in ("later", "heap", "part"):
                ask(s, "add-table", table)
            for _ in range(count(4, 40)):
                def further(status, seen=(s.capture.status() or {}).get("fence_id") or 0):
                    return (status.get("fence_id") or 0) > seen + rng.randrange(1, 6)
                s.capture.wait_for(further, 60, "capture goes on")
                s.capture.kill9()
                if rng.random() < 0.5:
                    s.apply.kill9()
                    s.apply.start()
                s.capture.start()
            copied(s, 120)
        s.assert_equal()
        assert s.position()["attempt"] == 1
        s.capture.terminate()
        assert_journal(*read_cat(s.pipeline), s.source_url, s.name)


def test_asked_for_while_capture_is_away_or_copies(servers):
    with scenario(*servers, SCHEMA, tables=["public.*"], more={"capture": {"max_rows_per_second": 200}}) as s:
        s.start(wait=False)
        s.capture.wait_for(lambda status: (status.get("snapshot") or {}).get("rows", 0) > 0, 30, "the first copy runs")
        later(s)
        ask(s, "add-table", "later")
        s.source("UPDATE later SET v = 7 WHERE id % 2 = 0")  # big is not sent, and its rows are not there yet
        assert not s.capture.status()["complete"]
        s.capture.kill9()
        ask(s, "add-table", "heap")
        s.source("UPDATE heap SET b = 'z' WHERE a < 100")
        s.pipeline.settings["capture"]["max_rows_per_second"] = 0
        s.pipeline.write()
        s.capture.start()
        copied(s)
        s.source("DELETE FROM heap WHERE a = 3", "DELETE FROM later WHERE id = 3")
        s.assert_equal(ignore=("public.part",))
        assert s.position()["attempt"] == 1


def test_rows_once_more(servers):
    with scenario(*servers, SCHEMA, tables=["public.*"]) as s:
        s.start()
        s.target("UPDATE old SET v = -7 WHERE id <= 100", "DELETE FROM old WHERE id BETWEEN 50 AND 60")
        ask(s, "resnapshot", "public.old", "--where", "p.id <= 40 -- some")
        copied(s)
        assert s.target("SELECT count(*) FROM old WHERE v = -7") == [(49,)]  # 41 to 49, 61 to 100
        ask(s, "resnapshot", "old", "--where", "1 / (p.id - 2000) < 5")  # no number for one row: the rest of the pipeline goes on
        copied(s)
        assert "copy_failed" in s.capture.log_text() and "division by zero" in s.capture.log_text()
        s.source("UPDATE old SET v = 3 WHERE id = 3000")
        wait_until(lambda: s.target("SELECT v FROM old WHERE id = 3000") == [(3,)], 30, "the stream goes on")
        ask(s, "resnapshot", "old")
        copied(s)
        s.assert_equal()
        verified = s.pipeline.run("journal", "verify")
        assert verified.returncode == 0, verified.stdout + verified.stderr


def test_asked_for_in_one_breath(servers):
    """Capture reads all questions, and a marker of another kind behind them, at once: none is lost, and no copy starts over."""
    with scenario(*servers, SCHEMA, tables=["public.*"]) as s:
        s.start()
        later(s)
        s.capture.signal(signal.SIGSTOP)
        for table in ("later", "heap", "part"):
            ask(s, "add-table", table)
        s.admin(f"INSERT INTO crossfade.marker (pipeline, nonce, kind) VALUES ('{s.name}', 'ping1', 'ping')", "UPDATE later SET v = 5 WHERE id % 3 = 0")
        s.capture.signal(signal.SIGCONT)
        copied(s)
        s.assert_equal()
        assert s.position()["attempt"] == 1
        s.capture.terminate()
        assert_journal(*read_cat(s.pipeline), s.source_url, s.name)


def test_what_cannot_be_asked_for(servers):
    with scenario(*servers, SCHEMA + "CREATE TABLE bare (a int); ALTER TABLE bare REPLICA IDENTITY FULL;", tables=["public.*", "!public.hidden"]) as s:
        refused = s.pipeline.run("capture", "resnapshot", "old")
        assert refused.returncode == 2 and "has not begun" in refused.stderr
        s.start()
        s.source("CREATE TABLE hidden (id int PRIMARY KEY)", "CREATE TABLE nokey (id int)")
        for args, text in ((["add-table", "old"], "captured already"), (["add-table", "hidden"], "source.tables"), (["add-table", "nowhere"], "there is none"),
                           (["add-table", "nokey"], "no replica identity"), (["resnapshot", "nokey"], "not captured yet"), (["resnapshot", "bare"], "no primary key"),
                           (["resnapshot", "old", "--where", "nothing = 1"], "nothing"), (["resnapshot", "old", "--where", "true); DELETE FROM old; --"], "--where"),
                           (["add-table"], "one table"), (["add-table", "old", "--where", "true"], "resnapshot"), (["--where", "true"], "resnapshot")):
            done = s.pipeline.run("capture", *args)
            assert done.returncode in (2, 5) and text in done.stderr, (args, done.stderr)
        s.source("INSERT INTO old VALUES (100000, 1, 'x')")
        s.assert_equal(ignore=("public.nokey", "public.hidden"))


def test_old_transactions_are_waited_for(servers):
    """What ran when the copy was asked for may hide rows from snapshots: the stream goes on, the copy waits."""
    with scenario(*servers, SCHEMA, tables=["public.*"]) as s:
        s.start()
        later(s)
        with psycopg.connect(s.source_url) as held:
            held.execute("INSERT INTO old VALUES (77777, 1, 'open')")  # not the new table: the lock passes it
            ask(s, "add-table", "later")
            lsn = s.source("UPDATE old SET v = 99 WHERE id = 1", "SELECT pg_current_wal_lsn()::text")[0][0]
            wait_until(lambda: s.target("SELECT v FROM old WHERE id = 1") == [(99,)], 30, f"the stream goes on to {lsn}")
            assert s.target("SELECT count(*) FROM later") == [(0,)] and not s.apply.status()["complete"]
            held.commit()
        copied(s)
        s.assert_equal(ignore=("public.part", "public.heap"))
