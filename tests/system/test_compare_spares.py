"""compare run waits for a source or standbys that are busy, says so, and goes on when they are not."""

import contextlib
import json
import os
import threading

import psycopg
import pytest

from rig import Postgres, Process, Workdir, wait_until
from rig.comparing import compare
from rig.privileges import run_blocks
from rig.procs import find_crossfade
from rig.scenario import scenario

ROWS = "CREATE TABLE a (id int PRIMARY KEY, v text); INSERT INTO a SELECT i, 'a' || i FROM generate_series(1, 2000) i"
REASONS = {"rows_per_second", "source_busy", "source_load", "source_latency", "replica_lag"}


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("spares") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


@contextlib.contextmanager
def busy(url, backends):
    """So many backends that work until the end of the block."""
    connections = [psycopg.connect(url, autocommit=True, application_name="busy") for _ in range(backends)]

    def work(connection):
        with contextlib.suppress(psycopg.errors.QueryCanceled):
            connection.execute("SELECT pg_sleep(3600)")
    threads = [threading.Thread(target=work, args=(c,), daemon=True) for c in connections]
    try:
        for t in threads:
            t.start()
        with psycopg.connect(url, autocommit=True) as look:
            def all_active():
                return look.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'busy' AND state = 'active'").fetchone()[0] == backends
            wait_until(all_active, 60, "the backends work")
        yield
    finally:
        for c in connections:
            c.cancel()
        for t in threads:
            t.join(60)
        for c in connections:
            c.close()


@contextlib.contextmanager
def running(s, folder, name, *words):
    """A comparison beside us: its process, whose stdout goes into a file."""
    log = os.path.join(str(folder), f"{name}.log")
    command = [find_crossfade(), "-c", s.pipeline.config_of("compare"), "compare", "run", "--json", *words]
    with Process(name, command, log) as process:
        process.start()
        yield process, log


def text_of(log):
    with open(log, encoding="utf-8") as f:
        return f.read()


def report_of(log):
    text = text_of(log)
    return json.loads(text[text.index("{"):])


def test_waits_for_a_busy_source(servers):
    folder, source, target = servers
    with scenario(folder, source, target, ROWS, more={"compare": {"chunk_rows": 100, "max_source_load": 2}}) as s:
        s.start()
        run_blocks(s.source_url, "compare-load")
        with contextlib.ExitStack() as stack:
            with busy(s.source_url, 4):
                process, log = stack.enter_context(running(s, folder, "busy"))
                wait_until(lambda: "waits: source_load" in text_of(log), 120, "the comparison says what it waits for")
                assert process.running and "0 of 1 tables" in text_of(log)
            assert process.wait(120) == 0
        report = report_of(log)
        assert report["verdict"] == "PASS" and set(report["waited_ms"]) == REASONS
        assert report["waited_ms"]["source_load"] > 1000 and report["waited_ms"]["replica_lag"] == 0
        with busy(s.source_url, 2):  # as many as may be
            assert compare(s.pipeline, "--compare.max_source_load=2", "--compare.busy_share=100")["waited_ms"]["source_load"] == 0


def test_ends_while_it_waits(servers):
    folder, source, target = servers
    with scenario(folder, source, target, ROWS, more={"compare": {"max_source_load": 1}}) as s:
        s.start()
        run_blocks(s.source_url, "compare-load")
        with busy(s.source_url, 3), running(s, folder, "ended") as (process, log):
            wait_until(lambda: "waits: source_load" in text_of(log), 120, "the comparison waits")
            process.terminate()
            assert process.wait(60) == 4
        wait_until(lambda: not s.admin("SELECT FROM pg_stat_activity WHERE application_name LIKE 'crossfade compare%' AND datname = current_database()"), 60, "nothing is left")


def test_rests_on_a_busy_source(servers):
    """By default: once it has read for a second, and the source has others' work; not on an idle one."""
    folder, source, target = servers
    slowly = ("--table", "public.a", "--where", "id % 250 <> 0 OR pg_sleep(0.15) IS NOT NULL")  # eight times, when it looks for bounds as when it reads
    with scenario(folder, source, target, ROWS, more={"compare": {"chunk_rows": 500, "busy_share": 40, "busy_burst": "0s"}}) as s:
        s.start()
        run_blocks(s.source_url, "compare-load")
        assert compare(s.pipeline, *slowly)["waited_ms"]["source_busy"] == 0
        with busy(s.source_url, 2):
            report = compare(s.pipeline, *slowly)
            assert report["verdict"] == "PASS" and report["waited_ms"]["source_busy"] > 0
            assert compare(s.pipeline, *slowly, "--compare.busy_share=100")["waited_ms"]["source_busy"] == 0


def test_rests_before_the_next_run(servers):
    """What a run reads in a burst is rested for without snapshots: by the next one, before its fence, as long as the source is busy."""
    folder, source, target = servers
    slowly = ("--table", "public.a", "--where", "id % 250 <> 0 OR pg_sleep(0.3) IS NOT NULL")
    with scenario(folder, source, target, ROWS, more={"compare": {"chunk_rows": 500, "busy_share": 1}}) as s:
        s.start()
        run_blocks(s.source_url, "compare-load")
        with busy(s.source_url, 2):
            assert compare(s.pipeline, *slowly)["waited_ms"]["source_busy"] == 0
            owed_ms = s.target("SELECT (detail->>'rest_owed_ms')::int FROM crossfade.verdict ORDER BY id DESC LIMIT 1")[0][0]
            assert owed_ms > 20000
            assert compare(s.pipeline, "--table", "public.a", "--at-once")["waited_ms"]["source_busy"] == 0
            with running(s, folder, "ended_early") as (process, log):
                wait_until(lambda: "rest: waits: source_busy" in text_of(log), 120, "the comparison rests")
                assert not s.admin("SELECT FROM pg_replication_slots WHERE temporary AND database = current_database()")
                process.terminate()
                assert process.wait(60) == 4
        with running(s, folder, "idle") as (process, log):
            assert process.wait(120) == 0
        report = report_of(log)
        assert report["verdict"] == "PASS"
        with busy(s.source_url, 2), running(s, folder, "rests") as (process, log):
            wait_until(lambda: "rest: waits: source_busy" in text_of(log), 120, "the comparison rests")
            assert process.running
            for row in s.admin("SELECT pid FROM pg_stat_activity WHERE application_name = 'busy' AND datname = current_database()"):
                s.admin(f"SELECT pg_cancel_backend({row[0]})")
            assert process.wait(120) == 0
        report = report_of(log)
        assert report["verdict"] == "PASS" and report["waited_ms"]["source_busy"] > 0


@contextlib.contextmanager
def short_statements(url):
    """A client that works all the time, one short statement after the other."""
    begun, ended = threading.Event(), threading.Event()

    def work():
        with psycopg.connect(url, autocommit=True, application_name="short") as connection:
            while not ended.is_set():
                connection.execute("SELECT count(*) FROM generate_series(1, 200000)")
                begun.set()
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        assert begun.wait(60)
        yield
    finally:
        ended.set()
        thread.join(60)


def test_rests_where_one_look_says_nothing(servers):
    """Without pg_read_all_stats the first look knows nothing of others' work, and with it, it may fall between two statements: what is owed is rested for all the same."""
    folder, source, target = servers
    with scenario(folder, source, target, ROWS) as s:
        s.start()
        s.admin("REVOKE pg_read_all_stats FROM crossfade_compare")
        assert compare(s.pipeline)["verdict"] == "PASS"
        s.target("UPDATE crossfade.verdict SET detail = coalesce(detail, '{}') || '{\"rest_owed_ms\": 3000000}'")
        with running(s, folder, "short") as (process, log):
            with short_statements(s.source_url):
                wait_until(lambda: "rest: waits: source_busy" in text_of(log), 120, "the comparison rests")
                assert process.running
            assert process.wait(120) == 0
        assert report_of(log)["waited_ms"]["source_busy"] > 0


def test_standbys_of_both_sides(servers):
    folder, source, target = servers
    with source.standby(folder, "standby-of-source") as of_source, target.standby(folder, "standby-of-target") as of_target:
        with scenario(folder, source, target, ROWS, more={"compare": {"max_replica_lag_ms": 200, "chunk_rows": 100, "max_rate_rows": 1000}}) as s:
            s.start()
            s.admin("REVOKE pg_read_all_stats FROM crossfade_compare")  # without the right the server tells of no standby: it must not look as if there were none
            refused = compare(s.pipeline, code=4)
            assert "compare.max_replica_lag_ms" in refused and "GRANT pg_read_all_stats" in refused
            for url in (s.source_url, s.target_url):
                run_blocks(url, "compare-load")
            assert compare(s.pipeline)["verdict"] == "PASS"
            for name, standby in (("late-source", of_source), ("late-target", of_target)):
                standby.sql("SELECT pg_wal_replay_pause()")
                with running(s, folder, name) as (process, log):
                    wait_until(lambda log=log: "waits: replica_lag" in text_of(log), 120, "the comparison waits for the standby")
                    standby.sql("SELECT pg_wal_replay_resume()")
                    assert process.wait(120) == 0
                report = report_of(log)
                assert report["verdict"] == "PASS" and report["waited_ms"]["replica_lag"] > 0
