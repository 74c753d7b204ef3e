"""A backlog of several batches: the next one is read while the target writes this one, and what goes wrong with one changes nothing for those behind."""

import pytest

from rig import Postgres, Workdir
from rig.procs import lsn_value
from rig.scenario import count, scenario

T = "CREATE TABLE t (id int PRIMARY KEY, v text, n int); INSERT INTO t SELECT i, 'v' || i, i FROM generate_series(1, 1000) i"
ROWS = 100  # inserts of each round; as many updates
SMALL = {"batch_max_changes": 2 * ROWS + ROWS // 2}  # a batch is a round: each has a fence of its own


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("read-ahead") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


def ready(s):
    s.start()
    s.wait()
    s.apply.terminate()


def rounds(s, first, last):
    """Transactions of inserts, updates of old rows and of new ones; each is fenced before the next one begins."""
    for number in range(first, last + 1):
        begin = 1000 + number * ROWS
        s.source(f"INSERT INTO t SELECT i, 'w' || i, 0 FROM generate_series({begin}, {begin + ROWS - 1}) i;"
                 f"UPDATE t SET n = {-number} WHERE id BETWEEN {number * 10} AND {number * 10 + ROWS // 2 - 1};"
                 f"UPDATE t SET n = {number} WHERE id BETWEEN {begin} AND {begin + ROWS // 2 - 1}")
        journaled(s)


def journaled(s):
    end = lsn_value(s.admin("SELECT pg_current_wal_flush_lsn()::text")[0][0])
    s.capture.wait_for(lambda status: lsn_value(status.get("journaled_lsn") or "0/0") >= end, 60, "the round is in the journal")


def read_ahead(s):
    return s.apply.log_text().count("apply reading_ahead ")


@pytest.mark.parametrize("more", [{}, {"writers": 2, "writer_rows": 10}], ids=["one writer", "two writers"])
def test_a_backlog(servers, more):
    with scenario(*servers, T, more={"apply": {**SMALL, **more}}) as s:
        ready(s)
        rounds(s, 1, count(8, 40))
        s.apply.start()
        s.assert_equal()
        assert read_ahead(s) == 1 and "batch_again" not in s.apply.log_text()
        s.apply.terminate()
        rounds(s, 41, 44)
        s.apply.start()
        s.assert_equal()


def test_a_row_that_is_refused(servers):
    """What was read ahead of a batch that is narrowed down is read again: rows of the refused key come behind it."""
    with scenario(*servers, T, more={"apply": {**SMALL, "on_row_error": "dead_letter"}}) as s:
        ready(s)
        s.target("ALTER TABLE t ADD CONSTRAINT never CHECK (v <> 'never')")
        rounds(s, 1, 3)
        s.source("UPDATE t SET v = 'never' WHERE id = 1000")
        journaled(s)
        s.source("UPDATE t SET n = n + 1 WHERE id <= 1000")
        journaled(s)
        rounds(s, 4, 7)
        s.apply.start()
        s.wait()
        assert read_ahead(s) == 1
        assert s.target("SELECT key_shown, behind FROM crossfade.dead_letter WHERE state = 'held' ORDER BY id") == [("id=1000", False), ("id=1000", True)]
        rows = "SELECT count(*), sum(n) FROM t WHERE id <> 1000"
        assert s.target(rows) == s.source(rows)
        s.target("ALTER TABLE t DROP CONSTRAINT never")
        assert s.pipeline.run("apply", "dlq", "retry", "--all", "--timeout", "60").returncode == 0
        s.assert_equal()


def test_a_table_that_does_not_fit(servers):
    """Apply halts in front of the first change that needs the column, with all before it on the target."""
    with scenario(*servers, T, more={"apply": SMALL}) as s:
        ready(s)
        rounds(s, 1, 3)
        s.source("ALTER TABLE t ADD COLUMN w text DEFAULT 'was there'")
        rounds(s, 4, 6)
        s.apply.start()
        s.apply.assert_exit(5, 60)
        assert read_ahead(s) == 1
        assert s.target("SELECT count(*), max(id) FROM t") == [(1000 + 3 * ROWS, 1000 + 4 * ROWS - 1)]
        s.target("ALTER TABLE t ADD COLUMN w text DEFAULT 'was there'")
        s.apply.start()
        s.assert_equal()


def test_a_new_row_that_is_there(servers):
    """Rows that the source has made go in without a look. If somebody was there first, they are written over, as any other row."""
    with scenario(*servers, T, more={"apply": SMALL}) as s:
        ready(s)
        begin = 1000 + 4 * ROWS
        s.target(f"INSERT INTO t VALUES ({begin + 7}, 'by hand', 7)")
        rounds(s, 1, 6)
        s.apply.start()
        s.assert_equal()
        assert s.apply.log_text().count("apply batch_again ") == 1 and "from=plain to=set sqlstate=23505" in s.apply.log_text()
