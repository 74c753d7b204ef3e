"""Filters: which columns and rows of a table are moved, under which names and keys, and masks that let nothing through."""

import glob
import hashlib
import json
import os
import subprocess

import pytest

from rig import Postgres, Workdir, wait_until
from rig.journal import read_cat
from rig.scenario import scenario

SALT = "pepper-and-salt-4711"
MARK = "SeCrEtMaRk"


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("filters") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


def rules(*filters, **more):
    return {"source": {"filters": list(filters), "mask_salt": SALT, **more}}


def sha(text, length=64):
    return hashlib.sha256((SALT + text).encode()).hexdigest()[:length]


def refused(s, *parts):
    """Capture does not start, and says why."""
    s.capture.start(wait=False)
    s.capture.wait_exit(30)
    text = s.capture.log_text()
    for part in parts:
        assert part in text, text[-2000:]


def test_columns_rows_keys_and_names(servers):
    folder, source, target = servers
    schema = """
      CREATE TABLE orders (id int PRIMARY KEY, region text NOT NULL, amount numeric(10,2), note text, secret text);
      ALTER TABLE orders REPLICA IDENTITY FULL;
      INSERT INTO orders SELECT i, CASE WHEN i % 2 = 0 THEN 'eu' ELSE 'us' END, i, 'n' || i, 's' || i FROM generate_series(1, 100) i;
      CREATE TABLE people (id int PRIMARY KEY, name text, password text DEFAULT 'pw', extra text);
      INSERT INTO people SELECT i, 'p' || i FROM generate_series(1, 50) i;
      CREATE TABLE keyless (a int NOT NULL, b text NOT NULL, c text); ALTER TABLE keyless REPLICA IDENTITY FULL;
      INSERT INTO keyless SELECT i, 'b' || i, 'c' FROM generate_series(1, 30) i;
      CREATE TABLE plain (id int PRIMARY KEY, v text); INSERT INTO plain VALUES (1, 'x')"""
    target_schema = """
      CREATE TABLE orders (order_id int PRIMARY KEY, region text NOT NULL, total numeric(10,2), note text);
      CREATE TABLE people (id int PRIMARY KEY, name text, password text);
      CREATE TABLE keyless (a int NOT NULL, b text NOT NULL, c text, UNIQUE (a, b));
      CREATE TABLE plain (id int PRIMARY KEY, v text)"""
    filters = rules({"table": "public.orders", "columns": ["!secret"], "where": "region = 'eu'", "topic": "orders_v2",
                     "rename": {"id": "order_id", "amount": "total"}},
                    {"table": "public.people", "columns": ["id", "name"]},
                    {"table": "public.keyless", "key": ["a", "b"]})
    with scenario(folder, source, target, schema, target_schema, more=filters) as s:
        s.start()
        lists = dict(source.sql("SELECT tablename, attnames::text FROM pg_publication_tables WHERE pubname = %s",
                                (f"crossfade_{s.name}",), db=s.name))
        assert lists["people"] == "{id,name}", lists  # the server does not send the others
        s.source("UPDATE orders SET amount = 5 WHERE id = 2", "UPDATE orders SET region = 'us' WHERE id = 4",
                 "UPDATE orders SET region = 'eu', note = 'in' WHERE id = 3", "DELETE FROM orders WHERE id = 6",
                 "INSERT INTO orders VALUES (200, 'eu', 1, 'new', 'x'), (201, 'us', 1, 'new', 'x')", "UPDATE orders SET id = 300 WHERE id = 8",
                 "UPDATE people SET name = 'q', password = 'z' WHERE id = 1", "DELETE FROM people WHERE id = 2",
                 "UPDATE keyless SET c = 'd' WHERE a = 1", "UPDATE keyless SET b = 'moved' WHERE a = 2", "DELETE FROM keyless WHERE a = 3")
        s.wait()
        moved = s.source("SELECT id, region, amount, note FROM orders WHERE region = 'eu' ORDER BY 1")
        assert s.target("SELECT order_id, region, total, note FROM orders ORDER BY 1") == moved and len(moved) > 40
        assert s.target("SELECT id, name, password FROM people ORDER BY 1") == s.source("SELECT id, name, NULL::text FROM people ORDER BY 1")
        assert s.target("SELECT * FROM keyless ORDER BY 1, 2") == s.source("SELECT * FROM keyless ORDER BY 1, 2")
        streams = json.loads(s.pipeline.run("journal", "list", "--json").stdout)
        names = {stream["stream"] for stream in streams["streams"]}
        assert f"{s.name}.orders_v2" in names and f"{s.name}.public.orders" not in names, names
        keys = {json.dumps(r["key"], sort_keys=True) for r in read_cat(s.pipeline, "public.keyless")}
        assert json.dumps({"a": 1, "b": "b1"}) in keys, keys
        report = s.pipeline.run("compare", "run", "--json")
        assert report.returncode == 0, report.stdout + report.stderr
        tables = {t["table"]: t for t in json.loads(report.stdout)["tables"]}
        notes = " ".join(tables["public.orders"]["notes"])
        assert "secret was not compared: left out" in notes and "region = 'eu'" in notes, tables
        s.target("UPDATE orders SET total = 6 WHERE order_id = 2")
        assert s.pipeline.run("compare", "run").returncode == 1
