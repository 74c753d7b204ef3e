"""Several writers of a batch: the statement that decides it fails by chance. Whether it was carried out is not known, so apply connects anew
and looks, in place of doing the same work again over writers that may be committed."""

import contextlib

import psycopg

from rig import Postgres, Workdir, wait_until
from rig.scenario import scenario

BLOCKED = "SELECT pid, query LIKE '%jsonb_build_object%' FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
DECIDING = f"SELECT pid FROM ({BLOCKED}) AS b (pid, decides) WHERE decides"


@contextlib.contextmanager
def decision_waits(s):
    """With the position's row held, so that a batch's decision waits for it. A batch that was under way before may wait in its place: let go, and again."""
    for first in range(0, 20000, 2000):
        with psycopg.connect(s.target_url) as other:
            other.execute("SELECT 1 FROM crossfade.position FOR UPDATE")
            s.source(f"INSERT INTO t SELECT i, 0 FROM generate_series({first + 1}, {first + 2000}) i")
            wait_until(lambda: s.target(BLOCKED), 90, "a batch waits for its position")
            if s.target(DECIDING):
                yield
                with contextlib.suppress(psycopg.Error):
                    other.rollback()
                return
            other.rollback()
        s.wait(90)
    raise AssertionError("no decision came to wait in ten tries")


def test_decision_is_cancelled():
    with Workdir("decision") as folder, Postgres(folder, "source") as source, Postgres(folder, "target", settings={"max_prepared_transactions": 10}) as target, \
            scenario(folder, source, target, "CREATE TABLE t (id int PRIMARY KEY, v int)", more={"apply": {"writers": 3, "writer_rows": 50}, "capture": {"heartbeat_interval_ms": 600000}}) as s:
        s.start(timeout=90)
        s.wait(90)  # nothing else moves the position from here on
        with decision_waits(s):
            assert s.target("SELECT count(*) > 0 FROM pg_prepared_xacts") == [(True,)]

            def cancelled():
                s.target(f"SELECT pg_cancel_backend(pid) FROM ({DECIDING}) x")
                return "session_lost" in s.apply.log_text()
            wait_until(cancelled, 90, "apply connects anew")
        s.assert_equal(120)
        assert s.target("SELECT count(*) FROM pg_prepared_xacts") == [(0,)]
        assert s.target("SELECT count(*) FROM crossfade.position WHERE pending IS NOT NULL") == [(0,)]
        assert "batch_again" not in s.apply.log_text()
