"""What a broker and its operators can do to a pipeline: one clear line, the documented exit code, and nothing lost in silence."""

import os
import signal

import pytest

from rig import Kafka, Load, Postgres, Workdir, check_ledger, free_port, wait_until
from rig.journal import assert_journal, read_kafka
from rig.load import load_simshop
from rig.oracle import assert_equal
from rig.pipeline import Pipeline
from rig.postgres import copy_schema
from rig.procs import Role, halts, retries
from rig.scenario import count, drop_database, scenario, seed

T = "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'v' || i FROM generate_series(1, 100) i"


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("kafka") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


@pytest.fixture(name="kafka", scope="module")
def fixture_kafka(servers):
    with Kafka(servers[0]) as kafka:
        yield kafka


def admin(kafka):
    from confluent_kafka.admin import AdminClient
    return AdminClient({"bootstrap.servers": kafka.bootstrap})


def delete_records(kafka, topic):
    from confluent_kafka import TopicPartition
    messages = kafka.read(topic)
    client = admin(kafka)  # (the futures end with it)
    for future in client.delete_records([TopicPartition(topic, 0, messages[-1].offset() + 1)]).values():
        future.result(30)


def delete_topic(kafka, topic):
    client = admin(kafka)
    client.delete_topics([topic])[topic].result(30)
    wait_until(lambda: topic not in kafka.topics(), 30, "the topic is gone")


def test_broker_is_away_under_load(servers, kafka):
    folder, source, target = servers
    away_s = count(8, 70)
    shop, copy = source.create_db("away"), target.create_db("away")
    load_simshop(shop)
    copy_schema(shop, copy)
    try:
        with Pipeline(folder, shop, copy, journal=kafka.url, journal_format="json", name="away") as p:
            p.start()
            p.apply.wait_for(lambda status: status.get("complete"), 120, "the copy is complete")
            with Load(shop, folder, clients=2, rate=60, seed=seed()) as load:
                load.wait_acked(50)
                kafka.kill9()
                load.wait_acked(away_s * 40, 300)
                assert p.capture.running and p.apply.running
                kafka.start()
                load.wait_acked(100)
                kafka.restart()  # an orderly one, too
                load.wait_acked(50)
                load.stop()
                p.wait_caught_up(180)
            assert_equal(shop, copy)
            ledger = check_ledger(copy, load.acked, load.unknown, load.run_id)
            assert not ledger.missing and not ledger.unexpected
            assert_journal(*read_kafka(kafka, "away"), shop, "away")
    finally:
        drop_database(source, "away")
        drop_database(target, "away")


def test_broker_is_away_at_the_start(servers):
    folder, source, target = servers
    with Kafka(folder, "late") as late:
        late.stop()
        with scenario(folder, source, target, T, journal=late.url) as s:
            assert s.pipeline.run("check").returncode == 1
            s.start(wait=False)
            for role in (s.capture, s.apply):
                retries(role)
            late.start()
            s.wait_complete(120)
            s.assert_equal()


def test_records_that_apply_still_needs_are_deleted(servers, kafka):
    with scenario(*servers, T, journal=kafka.url) as s:
        s.start()
        s.source("UPDATE t SET v = 'applied'")
        s.wait()
        assert s.apply.terminate() == 0
        s.source("UPDATE t SET v = 'deleted before it was read' WHERE id < 50")
        s.capture.wait_lsn("journaled_lsn", s.source_server.lsn())
        delete_records(kafka, f"{s.name}.public.t")
        s.apply.start()
        halts(s.apply, 5, f"{s.name}.public.t", "offset")
        assert s.target("SELECT count(*) FROM t WHERE v <> 'applied'") == [(0,)]
        s.apply.start()  # no silent reset the second time either
        halts(s.apply, 5)


def test_records_that_apply_has_passed_are_deleted(servers, kafka):
    with scenario(*servers, T, journal=kafka.url) as s:
        s.start()
        s.source("UPDATE t SET v = 'applied'")
        s.wait()
        delete_records(kafka, f"{s.name}.public.t")
        s.source("UPDATE t SET v = 'goes on' WHERE id < 50")
        s.assert_equal()
        for role in (s.capture, s.apply):
            assert role.terminate() == 0
        s.start()
        s.source("UPDATE t SET v = 'and on' WHERE id < 30")
        s.assert_equal()


@pytest.mark.parametrize("recreate", [False, True])
def test_data_topic_is_deleted(servers, kafka, recreate):
    with scenario(*servers, T, journal=kafka.url) as s:
        s.start()
        s.source("UPDATE t SET v = 'applied'")
        s.wait()
        assert s.apply.terminate() == 0
        s.source("UPDATE t SET v = 'only in the topic' WHERE id < 50")
        s.capture.wait_lsn("journaled_lsn", s.source_server.lsn())
        assert s.capture.terminate() == 0
        delete_topic(kafka, f"{s.name}.public.t")
        if recreate:
            kafka.create_topic(f"{s.name}.public.t")
        s.apply.start()
        halts(s.apply, 5, f"{s.name}.public.t")
        assert s.target("SELECT count(*) FROM t WHERE v <> 'applied'") == [(0,)]
        s.capture.start()
        s.source("UPDATE t SET v = 'later'")
        wait_until(lambda: not s.capture.running or s.capture.status() is not None, 30, "capture decides")
        s.apply.start()
        halts(s.apply, 5)
        assert s.target("SELECT count(*) FROM t WHERE v <> 'applied'") == [(0,)]


def test_broker_lost_its_disk(servers):
    """An empty broker at the same address: what the slot has let go of is nowhere. Nobody goes on as if nothing had happened."""
    folder, source, target = servers
    with Kafka(folder, "wiped") as wiped, scenario(folder, source, target, T, journal=wiped.url) as s:
        s.start()
        s.source("UPDATE t SET v = 'applied'", "DELETE FROM t WHERE id = 1")
        s.wait()
        wiped.kill9()
        s.source("UPDATE t SET v = 'while it was away' WHERE id < 50")
        wiped.wipe()
        wiped.start()
        # Either both halt, or a new copy is made; never a target that is equal to nothing.
        wait_until(lambda: not s.capture.running or not s.apply.running or s.target("SELECT count(*) FROM t WHERE v <> 'applied'") != [(0,)], 240, "somebody notices")
        for role in (s.capture, s.apply):
            assert role.running or role.exit_code == 5, role.log_tail()
        if s.capture.running and s.apply.running:
            s.assert_equal(120)


def test_second_capture_does_not_disturb_the_first(servers, kafka):
    """Who streams from the slot is alive: the newcomer waits, and takes over when the first one dies."""
    with scenario(*servers, T, journal=kafka.url) as s:
        s.start()
        with second_capture(s) as second:
            second.start()
            retries(second, "in use", timeout=30)
            s.source("UPDATE t SET v = 'first'")
            s.assert_equal()
            assert s.capture.running and second.running
            s.capture.kill9()
            s.source("UPDATE t SET v = 'second' WHERE id < 50")
            s.assert_equal()
            assert second.running and not second.sanitizer_reports()


def second_capture(s):
    """Another process of the same pipeline, on another port."""
    path, port, config = os.path.join(s.pipeline.folder, f"{s.name}-second.yaml"), free_port(), s.pipeline.config
    listen = s.pipeline.settings["capture"]["listen"]
    s.pipeline.settings["capture"]["listen"], s.pipeline.config = f"127.0.0.1:{port}", path
    s.pipeline.write()
    s.pipeline.settings["capture"]["listen"], s.pipeline.config = listen, config
    return Role("capture", path, os.path.join(s.pipeline.folder, f"{s.name}-second.log"), port=port)


def test_capture_that_was_asleep_is_fenced(servers, kafka):
    """A capture is stopped for so long that another takes over. When it wakes up it must not write one record more."""
    folder, source, _ = servers
    with scenario(*servers, T, journal=kafka.url, journal_format="json") as s:
        s.start()
        s.source("UPDATE t SET v = 'first'")
        s.wait()
        s.capture.signal(signal.SIGSTOP)
        s.source("UPDATE t SET v = 'asleep' WHERE id < 50")
        source.sql("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active AND database = %s", (s.name,))
        with second_capture(s) as second:
            second.start()
            s.assert_equal(60)
            s.capture.signal(signal.SIGCONT)
            s.source(*(f"UPDATE t SET v = 'turn {i}' WHERE id % 10 = {i}" for i in range(10)))
            s.assert_equal(60)
            wait_until(lambda: not s.capture.running or (s.capture.status() or {}).get("phase") == "retrying", 60, "the first one notices")
            assert second.running, second.log_tail()
            assert s.capture.exit_code in (None, 4, 5)
            s.source("INSERT INTO t VALUES (1000, 'end')")
            s.assert_equal(60)
            assert second.terminate() == 0 and not second.sanitizer_reports()
        if s.capture.running:
            s.capture.kill9()
        assert_journal(*read_kafka(kafka, s.name), s.source_url, s.name)
