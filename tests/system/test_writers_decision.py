"""Several writers of a batch: the statement that decides it fails by chance. Whether it was carried out is not known, so apply connects anew
and looks, in place of doing the same work again over writers that may be committed."""

import contextlib

import psycopg

from rig import Postgres, Workdir, wait_until
from rig.scenario import scenario

WAITING = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database() AND query LIKE '%jsonb_build_object%'"


def test_decision_is_cancelled():
    with Workdir("decision") as folder, Postgres(folder, "source") as source, Postgres(folder, "target", settings={"max_prepared_transactions": 10}) as target, \
            scenario(folder, source, target, "CREATE TABLE t (id int PRIMARY KEY, v int)", more={"apply": {"writers": 3, "writer_rows": 50}, "capture": {"heartbeat_interval_ms": 600000}}) as s:
        s.start(timeout=90)
        s.wait(90)  # nothing else moves the position from here on
        with psycopg.connect(s.target_url) as other:
            other.execute("SELECT 1 FROM crossfade.position FOR UPDATE")
            s.source("INSERT INTO t SELECT i, 0 FROM generate_series(1, 2000) i")
            wait_until(lambda: s.target(WAITING), 90, "the decision waits")
            assert s.target("SELECT count(*) > 0 FROM pg_prepared_xacts") == [(True,)]

            def cancelled():
                s.target(f"SELECT pg_cancel_backend(pid) FROM ({WAITING}) x")
                return "session_lost" in s.apply.log_text()
            wait_until(cancelled, 90, "apply connects anew")
            with contextlib.suppress(psycopg.Error):
                other.rollback()
        s.assert_equal(120)
        assert s.target("SELECT count(*) FROM pg_prepared_xacts") == [(0,)]
        assert s.target("SELECT count(*) FROM crossfade.position WHERE pending IS NOT NULL") == [(0,)]
        assert "batch_again" not in s.apply.log_text()
