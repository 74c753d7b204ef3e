"""Random transactions over few keys: moves, swaps, reuse, large values, cascades, truncates, savepoints; however apply batches them.

A small key space makes rows meet each other all the time. Between rounds the oracle compares; with the seed a failure can be repeated.
"""

import random

import psycopg
import pytest

from rig import Kafka, Postgres, Workdir
from rig.scenario import count, scenario, seed

SCHEMA = """
CREATE TABLE plain (id int PRIMARY KEY, u int UNIQUE, v text, big text); ALTER TABLE plain ALTER big SET STORAGE EXTERNAL;
CREATE TABLE late (id int PRIMARY KEY, u int UNIQUE DEFERRABLE INITIALLY DEFERRED, v text);
CREATE TABLE pair (a text, b int, u int, v text, PRIMARY KEY (a, b), UNIQUE (b, u));
CREATE TABLE whole (id int PRIMARY KEY, u int, v text, big text); ALTER TABLE whole REPLICA IDENTITY FULL; ALTER TABLE whole ALTER big SET STORAGE EXTERNAL;
CREATE TABLE coded (id int, u int NOT NULL UNIQUE, v text); ALTER TABLE coded REPLICA IDENTITY USING INDEX coded_u_key;
CREATE TABLE bag (id int, v text, big text); ALTER TABLE bag REPLICA IDENTITY FULL; ALTER TABLE bag ALTER big SET STORAGE EXTERNAL;
CREATE TABLE parted (id int, u int, v text, PRIMARY KEY (u, id)) PARTITION BY RANGE (u);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (MINVALUE) TO (15); CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (15) TO (MAXVALUE);
CREATE TABLE parent (id int PRIMARY KEY, u int, v text); CREATE TABLE child (id int PRIMARY KEY, u int REFERENCES parent ON DELETE CASCADE ON UPDATE CASCADE, v text);
CREATE TABLE grand (id int PRIMARY KEY, u int REFERENCES child ON DELETE SET NULL ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED, v text);
CREATE TABLE tree (id int PRIMARY KEY, u int REFERENCES tree DEFERRABLE, v text);
CREATE TABLE once (id int PRIMARY KEY, u int, v text); CREATE UNIQUE INDEX once_u ON once ((u % 7)) WHERE v = 'only';
CREATE TABLE counted (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, u int, v text, twice int GENERATED ALWAYS AS (u * 2) STORED)
"""
BIG = ("plain", "whole", "bag")
KEYS = {"pair": "b", "coded": "u", "parted": "u"}
TABLES = ["plain", "plain", "late", "pair", "whole", "coded", "bag", "parted", "parent", "child", "grand", "tree", "once", "counted"]


class Chance:
    """Makes statements; ids come from 1 to 30."""

    def __init__(self, number):
        self.rng = random.Random(number)

    def key(self):
        return self.rng.randint(1, 30)

    def value(self, table):
        if table in BIG and self.rng.random() < 0.3:
            return f"repeat(md5('{self.rng.random()}'), {self.rng.choice([1, 70, 300])})"
        return self.rng.choice(["NULL", "'only'", f"'v{self.rng.randint(1, 5)}'", "''"])

    def insert(self, table):
        columns, values = ["id", "u", "v"], [str(self.key()), str(self.key()), self.value("")]
        if table == "bag":
            columns, values = ["id", "v", "big"], [str(self.key() % 4), self.value(""), self.value(table)]
        elif table == "pair":
            columns, values = ["a", "b", "u", "v"], [f"'k{self.key() % 3}'", str(self.key()), str(self.key()), self.value("")]
        elif table in BIG:
            columns, values = columns + ["big"], values + [self.value(table)]
        conflict = ""
        if table not in ("bag", "late", "counted") and self.rng.random() < 0.3:
            conflict = " ON CONFLICT DO NOTHING"
        return f"INSERT INTO {table} ({', '.join(columns)}) {'OVERRIDING SYSTEM VALUE ' if table == 'counted' else ''}VALUES ({', '.join(values)}){conflict}"

    def where(self, table):
        column = KEYS.get(table, "id")
        return self.rng.choice([f"{column} = {self.key()}"] * 6 + [f"{column} BETWEEN {self.key()} AND {self.key()}", f"{column} % 5 = {self.key() % 5}"])

    def update(self, table):
        column = KEYS.get(table, "id")
        sets = {"v": self.value("")}
        if self.rng.random() < 0.4 and table != "counted":
            sets[column] = self.rng.choice([str(self.key()), f"{column} + 1", f"31 - {column}"])
        if self.rng.random() < 0.3 and table != "bag":
            sets["u"] = self.rng.choice([str(self.key()), "u + 1", "NULL"])
        if table in BIG and self.rng.random() < 0.3:
            sets["big"] = self.value(table)
        if self.rng.random() < 0.3 and len(sets) > 1:
            del sets["v"]
        return f"UPDATE {table} SET {', '.join(f'{k} = {v}' for k, v in sets.items())} WHERE {self.where(table)}"

    def swap(self, table):
        column, (a, b) = KEYS.get(table, "id"), (self.key(), self.key())
        return [f"UPDATE {table} SET {column} = -1 WHERE {column} = {a}", f"UPDATE {table} SET {column} = {a} WHERE {column} = {b}", f"UPDATE {table} SET {column} = {b} WHERE {column} = -1"]

    def statements(self):
        table = self.rng.choice(TABLES)
        kind = self.rng.choices(["insert", "update", "delete", "swap", "again", "truncate"], [10, 10, 3, 2 if table != "counted" else 0, 1, 0.1])[0]
        if kind == "insert":
            return [self.insert(table)]
        if kind == "update":
            return [self.update(table)]
        if kind == "delete":
            return [f"DELETE FROM {table} WHERE {self.where(table)}"]
        if kind == "swap":
            return self.swap(table)
        if kind == "again":  # gone and back in one go
            return [f"DELETE FROM {table} WHERE {self.where(table)}", self.insert(table), self.update(table)]
        return [f"TRUNCATE {self.rng.choice(['plain', 'late', 'bag', 'parted', 'whole', 'grand', 'parent, child, grand', 'once'])}"]

    def transaction(self, connection):
        """Statements that fail are taken back alone, as far as that can be known before the commit."""
        try:
            connection.execute("BEGIN")
            for _ in range(self.rng.choice([1, 1, 2, 3, 8, 20])):
                connection.execute("SAVEPOINT s")
                try:
                    for statement in self.statements():
                        connection.execute(statement)
                except (psycopg.errors.IntegrityError, psycopg.errors.ObjectInUse):  # (TRUNCATE with deferred checks pending)
                    connection.execute("ROLLBACK TO s")
                if self.rng.random() < 0.05:
                    connection.execute("ROLLBACK TO s")
            connection.execute("ROLLBACK" if self.rng.random() < 0.05 else "COMMIT")
        except psycopg.errors.IntegrityError:  # a deferred constraint, at COMMIT
            connection.execute("ROLLBACK")


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("random") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


def run_rounds(servers, number, rounds, transactions, **pipeline):
    chance = Chance(number)
    with scenario(*servers, SCHEMA, **pipeline) as s, psycopg.connect(s.source_url, autocommit=True) as connection:
        for _ in range(50):
            chance.transaction(connection)
        s.start(wait=False)
        for turn in range(rounds):
            together = chance.rng.random() < 0.6  # apply finds all of it at once, or follows
            if together and turn and s.apply.running:
                s.apply.kill9() if chance.rng.random() < 0.3 else s.apply.terminate()
            for _ in range(chance.rng.randint(1, transactions)):
                chance.transaction(connection)
            if chance.rng.random() < 0.2:
                s.capture.kill9() if chance.rng.random() < 0.5 else s.capture.terminate()
                s.capture.start()
            if not s.apply.running:
                s.apply.start()
            s.wait_complete()
            s.assert_equal(120)


@pytest.mark.parametrize("batch", [{}, {"batch_max_changes": 1}, {"batch_max_changes": 40}, {"batch_max_bytes": "64KiB"}], ids=str)
def test_random_changes(servers, batch):
    run_rounds(servers, seed(), count(8, 60), 200, more={"apply": batch})


def test_random_changes_as_json(servers):
    run_rounds(servers, seed(), count(3, 30), 200, journal_format="json", more={"capture": {"fence_max_changes": 100}})


def test_random_changes_through_partitions_of_kafka(servers):
    """Rows of a table are spread over three partitions; a key change goes from one to another."""
    with Kafka(servers[0]) as kafka:
        run_rounds(servers, seed(), count(5, 40), 200, journal=kafka.url, more={"journal": {"partitions": 3}})
