"""What the slot holds back on the source: watched against a limit, a copy gives way, an idle slot moves on."""

import psycopg
import pytest

from rig import Kafka, Postgres, Workdir, wait_until
from rig.scenario import scenario

ROWS = 20000
SCHEMA = f"CREATE TABLE a (id int PRIMARY KEY, v text); INSERT INTO a SELECT i, 'x' FROM generate_series(1, {ROWS}) i; CREATE TABLE hot (id int PRIMARY KEY, v text); INSERT INTO hot VALUES (1, '')"
MIB = 1 << 20


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("walguard") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


def write(s, source, megabytes):
    """So much WAL, and a checkpoint, which lets the slot know what it may let go of."""
    for _ in range(megabytes):
        s.source("UPDATE hot SET v = (SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 32768)) WHERE id = 1")
    source.sql("CHECKPOINT")


def level(s, wanted):
    s.capture.wait_for(lambda status: status.get("wal_guard") == wanted, 60, f"wal_guard is {wanted}")


def test_warn_throttle_alert_and_back(servers):
    """An open transaction keeps the slot from letting go. The copy pauses; the stream does not."""
    folder, source, target = servers
    with scenario(folder, source, target, SCHEMA, more={"capture": {"max_retained_wal": "32MiB", "max_rows_per_second": 150}}) as s:
        s.apply.start()
        s.capture.start()
        s.capture.wait_for(lambda status: (status.get("snapshot") or {}).get("rows", 0) > 0, 60, "the copy goes on")
        with psycopg.connect(s.source_url) as held:
            held.execute("INSERT INTO hot VALUES (2, 'open')")
            write(s, source, 17)
            level(s, "warn")
            write(s, source, 8)
            level(s, "throttle")
            rows = s.capture.status()["snapshot"]["rows"]
            s.source("INSERT INTO hot VALUES (3, 'while the copy pauses')")
            wait_until(lambda: s.target("SELECT count(*) FROM hot WHERE id = 3") == [(1,)] or s.capture.status()["snapshot"]["rows"] > rows + 2000, 60, "the stream goes on")
            paused = s.capture.status()["snapshot"]["rows"]
            write(s, source, 10)
            level(s, "alert")
            status = s.capture.status()
            assert status["snapshot"]["rows"] <= paused + 500 < ROWS and not status["complete"]  # one window may have been open
            assert status["max_retained_wal_bytes"] == 32 * MIB <= status["retained_wal_bytes"] and status["wal_status"] in ("reserved", "extended")
            shown = s.pipeline.run("status").stdout
            assert "of 33.6 MB (alert)" in shown
            assert "crossfade_wal_guard_level" in s.capture.get("/metrics")[1]
            held.rollback()
        source.sql("CHECKPOINT")

        def goes_down():
            source.sql("CHECKPOINT")  # its record of running transactions lets the slot move
            return s.capture.status()["wal_guard"] == "ok"
        wait_until(goes_down, 60, "the slot lets go")
        s.pipeline.settings["capture"]["max_rows_per_second"] = 0
        s.pipeline.write()
        assert s.capture.terminate() == 0
        s.capture.start()
        s.wait_complete()
        log = s.capture.log_text()
        for wanted in ("level=warn", "level=throttle", "level=alert", "level=ok"):
            assert f"wal_guard {wanted}" in log
        s.assert_equal()


def test_the_servers_limit_counts(servers):
    folder, source, target = servers
    source.sql("ALTER SYSTEM SET max_slot_wal_keep_size = '64MB'")
    source.sql("SELECT pg_reload_conf()")
    try:
        with scenario(folder, source, target, SCHEMA) as s:
            s.start()
            status = s.capture.wait_for(lambda status: status.get("safe_wal_bytes") is not None, 30, "the server tells its limit")
            assert status["max_retained_wal_bytes"] == status["retained_wal_bytes"] + status["safe_wal_bytes"]
            with psycopg.connect(s.source_url) as held:
                held.execute("INSERT INTO hot VALUES (2, 'open')")
                write(s, source, 50)
                s.capture.wait_for(lambda status: status.get("wal_guard") in ("warn", "throttle", "alert"), 60, "capture warns")
                held.rollback()
    finally:
        source.sql("ALTER SYSTEM RESET max_slot_wal_keep_size")
        source.sql("SELECT pg_reload_conf()")


def test_while_the_journal_is_away(servers):
    """Capture opens the journal anew, again and again, and has no stream meanwhile: the slot is looked at all the same."""
    folder, source, target = servers
    more = {"capture": {"max_retained_wal": "32MiB"}}
    with Kafka(folder) as kafka, scenario(folder, source, target, SCHEMA, more=more, journal=kafka.url) as s:
        s.start()
        s.wait()
        kafka.stop()
        write(s, source, 20)
        level(s, "warn")
        write(s, source, 15)
        level(s, "alert")
        wait_until(lambda: 'crossfade_wal_guard_level{role="capture"' in (text := s.capture.get("/metrics")[1]) and "slot_watched" in s.capture.log_text()
                   and float(next(line for line in text.splitlines() if line.startswith("crossfade_wal_guard_level")).split()[-1]) == 3, 60, "the watch looks")
        assert s.capture.status()["retained_wal_bytes"] >= 32 * MIB and s.capture.log_text().count("wal_guard level=alert") == 1
        kafka.start()
        s.assert_equal(180)

        def goes_down():
            source.sql("CHECKPOINT")
            return s.capture.status()["wal_guard"] == "ok"
        wait_until(goes_down, 60, "the slot lets go")


def test_an_idle_slot_moves_on(servers):
    """Another database of the cluster writes; the pipeline's own tables are silent."""
    folder, source, target = servers
    with scenario(folder, source, target, SCHEMA, more={"capture": {"heartbeat_interval_ms": 200}}) as s:
        s.start()
        before = s.capture.status()["confirmed_lsn"]
        source.sql("CREATE DATABASE elsewhere")
        url = source.url("elsewhere")
        with psycopg.connect(url, autocommit=True) as other:
            other.execute("CREATE TABLE x AS SELECT repeat('y', 1000) FROM generate_series(1, 10000)")
            target_lsn = other.execute("SELECT pg_current_wal_lsn()::text").fetchone()[0]
        s.capture.wait_lsn("confirmed_lsn", target_lsn, 30)
        assert s.capture.status()["confirmed_lsn"] != before
