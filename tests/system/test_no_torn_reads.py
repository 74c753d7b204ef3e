"""A reader of the target never sees half of a source transaction: transfers between rows keep their sum."""

import threading
import time

import psycopg
import pytest

from rig import Load, Pipeline, Postgres, SumReader, Workdir, check_ledger
from rig.load import load_simshop
from rig.oracle import assert_equal
from rig.postgres import copy_schema
from rig.scenario import count, scenario, seed


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("torn") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


def test_sum_of_accounts_under_load(servers):
    folder, source, target = servers
    shop, copy = source.create_db("shop"), target.create_db("shop")
    load_simshop(shop)
    copy_schema(shop, copy)
    with Pipeline(folder, shop, copy) as p, Load(shop, folder, clients=4, seed=seed(), mix={"transfer": 20}) as load, SumReader(copy, complete=True) as reader:
        p.capture.start()
        p.apply.start()
        p.apply.wait_for(lambda status: status.get("complete"), 120, "the copy is complete")
        load.wait_acked(count(3000, 30000), 300)
        p.apply.kill9()  # a batch is cut off in the middle, the next one is a large one
        load.wait_acked(500)
        p.apply.start()
        load.wait_acked(500)
        reads = reader.reads
        load.stop()
        p.wait_caught_up()
    assert reads > 100
    assert reader.torn == []
    assert_equal(shop, copy)
    ledger = check_ledger(copy, load.acked, load.unknown, load.run_id)
    assert not ledger.missing and not ledger.unexpected and not ledger.repeated


class PairReader(threading.Thread):
    """Reads two tables in one statement, again and again, and keeps every pair of values that do not belong together."""

    def __init__(self, url, query):
        super().__init__(daemon=True)
        self.url, self.query, self.reads, self.wrong, self.ended = url, query, 0, [], threading.Event()
        self.failure = None

    def run(self):
        try:
            with psycopg.connect(self.url, autocommit=True) as connection:
                while not self.ended.is_set():
                    row = connection.execute(self.query).fetchone()
                    self.reads += 1
                    if len(set(row)) != 1:
                        self.wrong.append((time.time(), row))
        except psycopg.Error as error:
            self.failure = error


def test_transactions_over_several_tables(servers):
    """Every transaction adds the same amount in three tables: one keyed, one without key, one large; and truncates a fourth."""
    folder, source, target = servers
    schema = """CREATE TABLE a (id int PRIMARY KEY, n int); CREATE TABLE b (n int); ALTER TABLE b REPLICA IDENTITY FULL; CREATE TABLE c (id serial PRIMARY KEY, pad text);
        CREATE TABLE d (id int PRIMARY KEY, n int); INSERT INTO a VALUES (1, 0); INSERT INTO b VALUES (0); INSERT INTO d VALUES (1, 0)"""
    with scenario(folder, source, target, schema) as s:
        s.start()
        reader = PairReader(s.target_url, "SELECT (SELECT n FROM a), (SELECT max(n) FROM b), (SELECT count(*)::int FROM c), (SELECT sum(n)::int FROM d)")
        reader.start()
        rounds = count(1500, 10000)
        with psycopg.connect(s.source_url, autocommit=True) as connection:
            for n in range(1, rounds):
                connection.execute(f"BEGIN; UPDATE a SET n = {n}; UPDATE b SET n = {n}; INSERT INTO c (pad) VALUES (repeat('x', {n % 50 * 100}));"
                                   + (f"TRUNCATE d; INSERT INTO d VALUES ({n}, {n});" if n % 10 == 0 else f"UPDATE d SET n = {n}, id = {n};") + "COMMIT")
        s.assert_equal()
        reader.ended.set()
        reader.join(30)
    assert reader.failure is None
    assert reader.reads > 100
    assert reader.wrong == []
