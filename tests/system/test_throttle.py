"""Throttle and stop: apply goes slower, waits or stops when it is told to, always at a fence, and says why."""

import os
import time
from datetime import datetime, timedelta, timezone

import psycopg
import pytest

from rig import Postgres, Workdir, privileges, wait_until
from rig.procs import halts
from rig.scenario import scenario

T = "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'v' || i FROM generate_series(1, 100) i"


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("throttle") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


def reconfigure(s, **apply):
    if s.apply.running:
        s.apply.terminate()
    s.pipeline.settings.setdefault("apply", {}).update(apply)
    s.pipeline.write()
    s.apply.start()


def waits_for(s, reason, timeout=30):
    return s.apply.wait_for(lambda status: status["throttle"] == reason, timeout, f"waits for {reason}")


def test_pause_and_resume(servers):
    with scenario(*servers, T, more={"apply": {"max_lag_ms": 2000}}) as s:
        s.start()
        s.wait()
        assert s.pipeline.run("apply", "pause").returncode == 0
        assert waits_for(s, "paused")["phase"] == "paused"
        before, told = s.position()["fence_id"], s.apply.log_text().count("apply lag_alarm ")
        s.source("INSERT INTO t VALUES (1000, 'later')")
        s.apply.wait_for(lambda status: status["lag_alarm"], 30, "the alarm")
        assert s.position()["fence_id"] == before and s.target("SELECT count(*) FROM t") == [(100,)]
        assert "crossfade_lag_alarm{" in s.apply.get("/metrics")[1]
        plan = s.pipeline.run("cutover", "plan")
        assert plan.returncode == 10 and "paused" in plan.stdout
        assert s.pipeline.run("apply", "resume").returncode == 0
        s.assert_equal()
        s.apply.wait_for(lambda status: not status["lag_alarm"] and status["phase"] == "streaming", 30, "all is well again")
        assert s.apply.log_text().count("apply lag_alarm ") == told + 1  # once per crossing
        assert s.apply.log_text().count("apply lag_alarm_over ") == told + 1
        s.apply.terminate()
        assert s.pipeline.run("apply", "pause").returncode == 4


def test_stop_file(servers):
    """It stops within a second, also while the target keeps a statement waiting; nothing of the batch is there, and nothing is lost."""
    folder = servers[0]
    path = os.path.join(folder, "stop-apply")
    with scenario(*servers, T, more={"apply": {"stop_file": path}}) as s:
        s.start()
        s.wait()
        before = s.position()["fence_id"]
        with psycopg.connect(s.target_url) as blocker:
            blocker.execute("LOCK TABLE t IN SHARE MODE")
            s.source("INSERT INTO t SELECT i, 'x' FROM generate_series(1001, 3000) i")
            wait_until(lambda: s.target("SELECT count(*) FROM pg_locks WHERE NOT granted") != [(0,)], 30, "apply waits for the lock")
            began = time.monotonic()
            with open(path, "w", encoding="utf-8"):
                pass
            s.apply.assert_exit(5, 30)
            took = time.monotonic() - began
        assert took < 3, f"{took:.1f} s"  # (a second on a machine that is not busy)
        assert "stop_file" in s.apply.log_tail()
        assert s.position()["fence_id"] >= before and s.target("SELECT count(*) FROM t") == [(100,)]
        s.apply.start()
        halts(s.apply, 5, "stop_file", path)
        assert s.target("SELECT count(*) FROM t") == [(100,)]
        os.unlink(path)
        s.apply.start()
        s.assert_equal()


def test_rows_per_second(servers):
    with scenario(*servers, T) as s:
        s.start()
        s.wait()
        reconfigure(s, max_rows_per_second=400)
        s.apply.wait_ready()
        began = time.monotonic()
        for i in range(8):
            s.source(f"INSERT INTO t SELECT 1000 + 200 * {i} + i, 'x' FROM generate_series(1, 200) i")
        waits_for(s, "rows_per_second")
        s.assert_equal()
        assert time.monotonic() - began >= 3  # 1,600 rows; what came last need not be waited for


def test_schedule(servers):
    now = datetime.now(timezone.utc)
    closed = f"{now + timedelta(hours=2):%H:%M}-{now + timedelta(hours=3):%H:%M} UTC"
    opened = f"{now - timedelta(hours=1):%H:%M}-{now + timedelta(hours=1):%H:%M}, {closed}"
    with scenario(*servers, T) as s:
        s.start()
        s.wait()
        reconfigure(s, schedule=closed)
        assert waits_for(s, "schedule")["phase"] == "paused"
        s.source("INSERT INTO t VALUES (1000, 'later')")
        s.apply.wait_for(lambda status: status["unapplied_fences"] > 0, 30, "it sees that there is work")
        assert s.target("SELECT count(*) FROM t") == [(100,)]
        reconfigure(s, schedule=opened)
        s.assert_equal()


def test_batches_get_smaller_when_the_target_is_slow(servers):
    with scenario(*servers, T, more={"capture": {"fence_max_changes": 100}}) as s:
        s.start()
        s.wait()
        s.apply.terminate()
        for i in range(10):
            s.source(f"INSERT INTO t SELECT 1000 + 300 * {i} + i, 'x' FROM generate_series(1, 300) i")
        s.target("CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.0002); RETURN new; END $$; CREATE TRIGGER slow BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION slow();"
                 "ALTER TABLE t ENABLE ALWAYS TRIGGER slow")
        reconfigure(s, batch_latency_ms=100, batch_max_changes=2000)
        s.apply.wait_for(lambda status: status["batch_changes"] < 1000, 60, "smaller batches")
        s.assert_equal()


def test_standby_of_the_target_that_is_late(servers):
    folder, source, _ = servers
    with Postgres(folder, "primary") as primary, primary.standby(folder, "late") as standby:
        with scenario(folder, source, primary, T, more={"apply": {"max_replica_lag_ms": 500}}) as s:
            s.capture.start()
            s.apply.start()  # without that right the server tells of no standby: it must not look as if there were none
            halts(s.apply, 4, "GRANT pg_read_all_stats", privileges.APPLY)
            check = s.pipeline.run("check")
            assert check.returncode == 1 and "GRANT pg_read_all_stats" in check.stdout, check.stdout
            privileges.run_blocks(s.target_url, "target-apply-standbys")
            s.apply.start()
            s.wait_complete()
            s.wait()
            standby.sql("SELECT pg_wal_replay_pause()")
            s.source("INSERT INTO t VALUES (1000, 'before it is noticed')")
            waits_for(s, "replica_lag")
            s.source("INSERT INTO t VALUES (1001, 'after')")
            s.apply.wait_for(lambda status: status["unapplied_fences"] > 0, 30, "it sees that there is work")
            assert s.target("SELECT count(*) FROM t WHERE id = 1001") == [(0,)]
            standby.sql("SELECT pg_wal_replay_resume()")
            s.assert_equal()
