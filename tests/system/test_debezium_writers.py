"""Several writers, and several shards, over records as Debezium's connectors write them: killed, and their number changed."""

import json

import pytest

from rig import Postgres, Workdir
from rig.foreign import run_sql
from rig.kafka import Kafka
from rig.mariadb import MariaDB
from rig.shards import shard_roles
from rig.wait import wait_until
from test_debezium_records import Topics, row
from test_debezium_topics import Foreign

ROWS = 60


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("dbzwrite") as folder, Postgres(folder, "target", settings={"max_prepared_transactions": 10}) as target, Kafka(folder).start(240) as kafka:
        yield folder, target, kafka


def transaction(topics, number, op, v):
    """Each topic gets a change of each row, all in one transaction."""
    at = 1000 * number
    for t in topics:
        for i in range(1, ROWS + 1):
            t.change(op, row(i, v), at, at + i, number, i)
    topics[0].end(number, at + 999, ROWS * len(topics), {f"public.{t.table}": ROWS for t in topics})


class Case:
    """Tables t and u, of which two shards have one each, and apply's configuration."""

    def __init__(self, folder, kafka, name, url, apply):
        self.topics = [Topics(kafka, name), Topics(kafka, name, table="u")]
        settings = {"brokers": kafka.bootstrap, "topics": [f"{name}.public.*"], "transaction_topic": f"{name}.transaction"}
        self.f = Foreign(folder, name, url, settings)
        self.f.settings["apply"].update(apply)
        self.folder, self.name = folder, name
        with open(self.f.config, "w", encoding="utf-8") as f:
            json.dump(self.f.settings, f)

    def snapshot(self):
        self.topics[0].change("r", row(0, "snap"), None, 100, snapshot="true")
        self.topics[1].change("r", row(0, "snap"), None, 100, snapshot="last")

    def shards(self, n):
        return shard_roles(self.f.settings, self.folder, self.name, n)


def writers_are_killed(case, rows, prepared):
    """rows(): {table: [(v, count)]} on the target; prepared(): how many are left."""
    case.snapshot()
    case.f.apply.start()
    wait_until(lambda: rows() == {t: [("snap", 1)] for t in "tu"}, 90, "the snapshot is there")
    case.f.apply.terminate()
    number = 0
    for point, op in (("apply.writers_before_decision", "c"), ("apply.writers_decided", "u"), ("apply.writers_before_finish", "u")):
        number += 1
        transaction(case.topics, number, op, f"v{number}")
        case.f.apply.start(failpoint=point)
        wait_until(lambda: case.f.apply.exit_code is not None, 90, f"apply is killed at {point}")
        assert case.f.apply.exit_code == -9, case.f.apply.log_tail()
        assert point.endswith("finish") or prepared() == 2, "tables are split by key: each writer has rows"
        case.f.apply.start().wait_ready(60)  # (SIGTERM before that kills it)
        wait_until(lambda n=number: rows() == {t: [("snap", 1), (f"v{n}", ROWS)] for t in "tu"}, 90, "the transaction is there")
        wait_until(lambda: prepared() == 0, 60, "nothing is left")
        assert case.f.apply.terminate() == 0, case.f.apply.log_tail()


def test_writers_into_postgresql(servers):
    folder, target, kafka = servers
    url = target.create_db("dbzw")
    case = Case(folder, kafka, "dbzw", url, {"writers": 3, "writer_rows": 1})
    target.sql("CREATE TABLE t (id int PRIMARY KEY, v text, big text); CREATE TABLE u (id int PRIMARY KEY, v text, big text)", db="dbzw")
    with case.f:
        writers_are_killed(case, lambda: {t: case.f.rows(f"SELECT v, count(*)::int FROM {t} GROUP BY v ORDER BY v") for t in "tu"},
                           lambda: target.value("SELECT count(*) FROM pg_prepared_xacts"))


def test_writers_into_mariadb(servers):
    folder, _, kafka = servers
    with MariaDB(folder, "maria") as server:
        url = server.create_db("dbzm")
        for t in "tu":
            server.sql(f"CREATE TABLE {t} (id int PRIMARY KEY, v varchar(100), big longtext)", db="dbzm")
        case = Case(folder, kafka, "dbzm", url, {"writers": 3, "writer_rows": 1})
        with case.f:
            writers_are_killed(case, lambda: {t: [(v, int(n)) for v, n in server.sql(f"SELECT v, COUNT(*) FROM {t} GROUP BY v ORDER BY v", db="dbzm")] for t in "tu"},
                               lambda: len(server.sql("XA RECOVER")))
            # Two shards, and one again: each has counted its own fences.
            two, again = case.shards(2), case.shards(1)

            def places():
                return [(s, int(n)) for s, n in server.sql("SELECT shard, fence_id > 1000 FROM crossfade_position ORDER BY shard", db="dbzm")]

            try:
                two[0].start()
                wait_until(lambda: places() == [("1/2", 0), ("2/2", 0)], 90, "two shards have positions")
                two[0].terminate()
                server.sql("UPDATE crossfade_position SET fence_id = fence_id + 1000, offsets = JSON_SET(offsets, '$.late', JSON_ARRAY(7)) WHERE shard = '2/2'", db="dbzm")
                assert places() == [("1/2", 0), ("2/2", 1)]
                again[0].start()
                wait_until(lambda: places() == [("1/1", 1)], 90, "one has taken over, behind the highest id")
                assert not any(role.sanitizer_reports() for role in two + again)
            finally:
                for role in two + again:
                    role.close()


def test_shards_share_tables_and_their_number_changes(servers):
    """From one process to two, one of which is killed, and back to one."""
    folder, target, kafka = servers
    url = target.create_db("dbzs")
    case = Case(folder, kafka, "dbzs", url, {})
    target.sql("CREATE TABLE t (id int PRIMARY KEY, v text, big text); CREATE TABLE u (id int PRIMARY KEY, v text, big text)", db="dbzs")
    f, two, again = case.f, case.shards(2), case.shards(1)

    def wait_rows(v):
        wait_until(lambda: all(f.rows(f"SELECT count(*)::int FROM {t} WHERE v = '{v}'") == [(ROWS,)] for t in "tu"), 90, f"{v} is in both tables")
    with f:
        try:
            case.snapshot()
            transaction(case.topics, 1, "c", "one")
            f.apply.start()
            wait_rows("one")
            f.apply.terminate()
            for role in two:
                role.start().wait_ready(60)
            transaction(case.topics, 2, "u", "two")
            wait_rows("two")
            assert f.rows("SELECT table_name, shard FROM crossfade.loaded ORDER BY 1") == [("t", "2/2"), ("u", "1/2")]
            two[0].kill9()
            transaction(case.topics, 3, "u", "three")
            wait_until(lambda: f.rows("SELECT count(*)::int FROM t WHERE v = 'three'") == [(ROWS,)], 90, "one shard goes on alone")
            assert f.rows("SELECT DISTINCT v FROM u WHERE id > 0") == [("two",)]
            two[1].terminate()
            again[0].start()  # they stand at different places
            again[0].assert_exit(2, 60)
            assert "do not all stand at the same fence" in again[0].log_tail(), again[0].log_tail()
            for role in two:
                role.start()
            wait_rows("three")
            wait_until(lambda: f.rows("SELECT count(DISTINCT offsets)::int FROM crossfade.position") == [(1,)], 60, "they stand at the same place")
            for role in two:
                assert role.terminate() == 0, role.log_tail()
            # each has counted its own fences, and seen a connector's restart or not: the place is the same, and ids go on behind both
            run_sql(url, "UPDATE crossfade.position SET fence_id = fence_id + 1000, offsets = jsonb_set(offsets::jsonb, '{late}', '[7]')::text WHERE shard = '2/2'")
            again[0].start().wait_ready(60)
            transaction(case.topics, 4, "u", "four")
            wait_rows("four")
            assert f.rows("SELECT shard, fence_id > 1000 FROM crossfade.position") == [("1/1", True)]
            assert not any(role.sanitizer_reports() for role in two + again)
        finally:
            for role in two + again:
                role.close()
