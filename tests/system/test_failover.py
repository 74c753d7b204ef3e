"""The source's primary dies and a standby takes its place: capture goes on there, or says that the standby was behind."""

import json
import os
import re

import pytest

from rig import Postgres, Workdir, Writer, wait_until
from rig.privileges import CAPTURE
from rig.scenario import count, scenario
from rig.procs import lsn_value

TABLE = "CREATE TABLE t (id int PRIMARY KEY, v text);"
SCHEMA = TABLE + "INSERT INTO t SELECT i, 'x' FROM generate_series(1, 3000) i"
SYNC = {"sync_replication_slots": "on", "hot_standby_feedback": "on"}


@pytest.fixture(name="target", scope="module")
def fixture_target():
    with Workdir("failover") as folder, Postgres(folder, "target") as target:
        yield folder, target


def both(primary, standby, database):
    """One URL for whichever of the two can be written."""
    return f"postgresql://postgres@127.0.0.1:{primary.port},127.0.0.1:{standby.port}/{database}?target_session_attrs=read-write"


def synced(standby, slot, lsn):
    """The standby's copy of the slot holds this position, and everything behind it."""
    rows = standby.sql("SELECT confirmed_flush_lsn >= %s::pg_lsn FROM pg_replication_slots WHERE slot_name = %s AND synced AND NOT temporary", (lsn, slot))
    return bool(rows and rows[0][0])


def promote(standby):
    standby.sql("SELECT pg_promote(true, 60)")
    assert standby.value("SELECT NOT pg_is_in_recovery()")


@pytest.mark.parametrize("major", count((17,), (17, 18)))
def test_goes_on_at_the_promoted_standby(target, major):
    folder, target = target
    with Postgres(folder, f"primary{major}", major=major) as primary:
        standby = primary.standby(folder, f"standby{major}", settings=dict(SYNC, primary_conninfo=f"host=127.0.0.1 port={primary.port} user=postgres dbname=postgres"))
        # Nothing is decoded that the standby does not have: so it can never be behind the journal.
        primary.configure(synchronized_standby_slots=f"standby_standby{major}")
        with standby, scenario(folder, primary, target, SCHEMA, target_schema=TABLE) as s:
            s.pipeline.settings["source"]["url"] = s.pipeline.for_capture(both(primary, standby, s.name))
            s.pipeline.write()
            s.start()
            assert primary.value("SELECT failover FROM pg_replication_slots WHERE slot_name = %s", (f"crossfade_{s.name}",))
            s.source("UPDATE t SET v = 'before' WHERE id <= 1000", "INSERT INTO t VALUES (5000, 'before')")
            s.wait()
            lsn = s.capture.status()["confirmed_lsn"]
            wait_until(lambda: synced(standby, f"crossfade_{s.name}", lsn), 60, "the standby has the slot")
            primary.kill9()
            promote(standby)
            s.source_url = standby.url(s.name)
            s.source("UPDATE t SET v = 'after' WHERE id <= 500", "DELETE FROM t WHERE id = 5000")
            s.pipeline.source_url = s.source_url
            s.assert_equal()
            assert s.position()["attempt"] == 1 and s.capture.running and s.apply.running
            assert s.pipeline.run("journal", "verify").returncode == 0


def test_a_standby_that_was_behind_is_refused(target):
    """It lacks transactions that the journal holds: going on would bring two histories together."""
    folder, target = target
    with Postgres(folder, "primary", major=17) as primary:
        standby = primary.standby(folder, "behind", settings=dict(SYNC, sync_replication_slots="off", primary_conninfo=f"host=127.0.0.1 port={primary.port} user=postgres dbname=postgres"))
        with standby, scenario(folder, primary, target, SCHEMA, target_schema=TABLE) as s:
            s.pipeline.settings["source"]["url"] = s.pipeline.for_capture(both(primary, standby, s.name))
            s.pipeline.write()
            s.start()
            lsn = s.capture.status()["confirmed_lsn"]

            def has_slot():
                standby.sql("SELECT pg_sync_replication_slots()")  # as the worker does by itself, now and then
                return synced(standby, f"crossfade_{s.name}", lsn)
            wait_until(has_slot, 60, "the standby has the slot")
            standby.kill9()
            s.source("UPDATE t SET v = 'the standby never sees this'")
            s.wait()
            journaled = s.capture.status()["journaled_lsn"]
            primary.kill9()
            os.unlink(os.path.join(standby.data, "postmaster.pid"))
            standby.start()
            promote(standby)
            assert lsn_value(standby.lsn()) > 0
            s.capture.assert_exit(5, 90)
            log = s.capture.log_tail(5)
            assert "forked before the journal's end" in log and "timeline 1" in log, log
            named = re.search(r"the last fence is at ([0-9A-F]+/[0-9A-F]+)", log)  # an idle source has fences, too
            assert named and lsn_value(named[1]) >= lsn_value(journaled), log
            assert s.target("SELECT count(*) FROM t WHERE v = 'the standby never sees this'") == [(3000,)]


def writes(n):
    yield f"UPDATE t SET v = 'round {n}' WHERE id % 500 = {n % 500}"
    yield f"INSERT INTO t VALUES ({10000 + n}, 'new')"


def alone(s, primary, standby):
    """Capture reads the standby and knows of no primary: what it takes is made there beforehand."""
    with open(os.path.join(os.path.dirname(__file__), "../../schemas/sql/source.sql")) as f:
        primary.sql(f"SET ROLE {CAPTURE}; {f.read()}", db=s.name)
    primary.sql(f"CREATE PUBLICATION crossfade_{s.name} FOR TABLE crossfade.marker, t WITH (publish_via_partition_root = true)", db=s.name)
    lsn = primary.value("SELECT pg_current_wal_flush_lsn()::text")
    wait_until(lambda: standby.value("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", (lsn,)), 30, "the standby has replayed it")
    s.pipeline.settings["source"]["url"] = s.pipeline.for_capture(standby.url(s.name))
    s.pipeline.write()
    s.capture.start()
    s.apply.start()

    def complete():
        primary.sql("SELECT pg_log_standby_snapshot()")
        return (s.apply.status() or {}).get("complete")
    wait_until(complete, 60, "the copy is complete")


@pytest.mark.parametrize("major,how", [(17, "goes on"), (16, "killed"), *count((), ((17, "killed"), (18, "goes on")))])
def test_the_standby_that_is_read_is_promoted(target, major, how):
    """Under load, and with the fences still coming: none stands behind the fork with the old timeline, so every later start goes on too."""
    folder, target = target
    with Postgres(folder, f"read-primary{major}", major=major) as primary:
        standby = primary.standby(folder, f"read-standby{major}")
        with standby, scenario(folder, primary, target, SCHEMA, target_schema=TABLE) as s:
            alone(s, primary, standby)
            with Writer(both(primary, standby, s.name), writes, reconnect=True) as writer:
                writer.wait_rounds(200)
                primary.kill9()
                promote(standby)
                if how == "killed":
                    s.capture.kill9()
                    s.capture.start()
                writer.wait_rounds(300)
            s.pipeline.source_url = s.source_url = standby.url(s.name)
            s.assert_equal()
            # The marker of an earlier wait is the primary's: what counts is that the fences are the new timeline's.
            assert s.capture.terminate() == 0
            s.capture.start()
            s.source("UPDATE t SET v = 'after' WHERE id <= 100")
            s.assert_equal()
            assert s.position()["attempt"] == 1 and s.capture.running
            if how == "goes on":
                assert "gone over from timeline 1 to 2" in s.capture.log_text()
            fences = [json.loads(line) for line in s.pipeline.run("journal", "fences", "--json").stdout.splitlines()]
            fork = lsn_value(history(standby))
            assert {fence["timeline"] for fence in fences} == {1, 2}
            # What was committed before the fork and read behind it may come with the new timeline: it is on both.
            late = [fence for fence in fences if fence["timeline"] == 1 and lsn_value(fence["lsn"]) > fork]
            assert not late and any(lsn_value(fence["lsn"]) > fork for fence in fences), (fork, late)
            assert s.capture.terminate() == 0
            standby.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_type = 'logical'")


def history(server):
    """Where timeline 1 ended."""
    with open(os.path.join(server.data, "pg_wal", "00000002.history")) as f:
        return f.read().split()[1]


def test_another_standby_that_was_behind_is_refused(target):
    """The journal was written from a standby that had more: the one that became the primary lacks it."""
    folder, target = target
    with Postgres(folder, "two-primary", major=17) as primary:
        read, behind = primary.standby(folder, "two-read"), primary.standby(folder, "two-behind")
        with read, behind, scenario(folder, primary, target, SCHEMA, target_schema=TABLE) as s:
            alone(s, primary, read)
            lsn = primary.value("SELECT pg_current_wal_flush_lsn()::text")
            wait_until(lambda: behind.value("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", (lsn,)), 30, "it has the tables")
            behind.stop()
            s.source("UPDATE t SET v = 'only the one that is read has this'")
            s.wait()
            assert s.capture.terminate() == 0
            primary.kill9()
            read.stop()
            behind.start()
            promote(behind)
            s.pipeline.settings["source"]["url"] = s.pipeline.for_capture(behind.url(s.name))
            s.pipeline.write()
            s.capture.start()
            s.capture.assert_exit(5, 60)
            assert "forked before the journal's end" in s.capture.log_tail(5)
