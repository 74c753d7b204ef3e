"""The source's primary dies and a standby takes its place: capture goes on there, or says that the standby was behind."""

import os

import pytest

from rig import Postgres, Workdir, wait_until
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
            s.pipeline.settings["source"]["url"] = both(primary, standby, s.name)
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
            s.pipeline.settings["source"]["url"] = both(primary, standby, s.name)
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
            assert "forked before the journal's end" in log and "timeline 1" in log and journaled.split("/")[1] in log, log
            assert s.target("SELECT count(*) FROM t WHERE v = 'the standby never sees this'") == [(3000,)]
