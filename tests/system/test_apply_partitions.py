"""apply over topics of several partitions: what belongs together comes from different partitions, in any order of arrival.

Key changes (the old row holds the only copy of a large value), TRUNCATE, unique values that wander, and all of it in
transactions larger than apply's memory.
"""

import random

import pytest

from rig import Kafka, Postgres, Workdir
from rig.scenario import count, scenario, seed

SCHEMA = """
    CREATE TABLE t (id int PRIMARY KEY, u int UNIQUE, v text, big text);
    ALTER TABLE t ALTER big SET STORAGE EXTERNAL;
    CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child (id int PRIMARY KEY, p int REFERENCES parent);
    CREATE TABLE bare (a int, b text); ALTER TABLE bare REPLICA IDENTITY FULL;
    INSERT INTO t SELECT i, i, 'v', repeat(md5(i::text), 200) FROM generate_series(1, 300) i;
    INSERT INTO parent SELECT generate_series(1, 50); INSERT INTO child SELECT i, i FROM generate_series(1, 50) i;
    INSERT INTO bare SELECT i % 10, 'x' FROM generate_series(1, 50) i;
"""


@pytest.fixture(name="run", scope="module")
def fixture_run():
    with Workdir("parts") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target, Kafka(folder) as kafka:
        def run(**apply):
            more = {"journal": {"partitions": 4, "replication_factor": 1}, "apply": apply}
            return scenario(folder, source, target, SCHEMA, journal=kafka.url, more=more)
        yield run


MOVES = ["UPDATE t SET id = id + 1000 WHERE id % 3 = 0", "UPDATE t SET id = id + 2000 WHERE id % 7 = 0",
         "UPDATE t SET id = id - 1000, v = 'back' WHERE id > 1000 AND id < 1200"]
SWAPS = ["UPDATE t SET u = -u", "UPDATE t SET u = 100000 + u WHERE u % 2 = 0", "UPDATE t SET u = -u WHERE u < 0"]
TRUNCATES = ["INSERT INTO bare VALUES (7, 'lost')", "TRUNCATE bare, child", "INSERT INTO bare SELECT 1, 'twice' FROM generate_series(1, 20)",
             "DELETE FROM bare WHERE ctid IN (SELECT ctid FROM bare LIMIT 5)", "INSERT INTO child VALUES (1, 1)",
             "UPDATE bare SET b = 'changed' WHERE ctid = (SELECT max(ctid) FROM bare)"]


@pytest.mark.parametrize("memory", ["64MiB", "64KiB"])
def test_transactions_over_partitions(run, memory):
    with run(batch_max_bytes=memory) as s:
        s.start()
        s.source(*MOVES)
        s.source("; ".join(MOVES + SWAPS + TRUNCATES))
        s.assert_equal()
        s.source("; ".join(["UPDATE t SET v = v || 'x'"] * 10 + MOVES + SWAPS))
        s.assert_equal()
        with open(s.apply.log, encoding="utf-8") as log:
            assert ("fence_spooled" in log.read()) == (memory == "64KiB")


def test_random_histories(run):
    number = seed()
    dice = random.Random(number)
    with run(batch_max_bytes="64KiB") as s:
        s.start()
        for _ in range(count(20, 200)):
            steps = dice.sample(MOVES + SWAPS, dice.randint(1, 4))
            if dice.random() < 0.2:
                steps.append("DELETE FROM t WHERE id % 11 = 0")
                steps.append(f"INSERT INTO t SELECT i * 11, {dice.randrange(1 << 20)} + 1000000 + i, 'again', repeat('z', 5000) "
                             "FROM generate_series(1, 20) i ON CONFLICT DO NOTHING")
            try:
                s.source("BEGIN; " + "; ".join(steps) + "; COMMIT")
            except Exception as failure:  # pylint: disable=broad-except
                assert "duplicate key" in str(failure), failure  # the source itself refuses some histories
        s.assert_equal()
