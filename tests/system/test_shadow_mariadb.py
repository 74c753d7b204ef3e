"""compare shadow with MariaDB as the target: pairs of queries; what is not translated is counted; writes never happen."""

import json

import pytest

from rig import Pipeline, Postgres, Workdir
from rig.mariadb import MariaDB
from rig.scenario import drop_database, seed

SOURCE = """CREATE TABLE item (id int PRIMARY KEY, name text, price numeric(10,3), sold boolean, at timestamp, raw bytea);
    INSERT INTO item SELECT i, 'item ' || i, i * 1.5, i % 2 = 0, timestamp '2026-01-01 10:00' + i * interval '1.5 s', decode('0041', 'hex') FROM generate_series(1, 50) i"""
TARGET = """CREATE TABLE item (id int PRIMARY KEY, name text, price decimal(10,3), sold tinyint(1), at datetime(6), raw longblob)"""


@pytest.fixture(name="p", scope="module")
def fixture_pipeline():
    with Workdir("shadow-maria") as folder, Postgres(folder, "source") as source, MariaDB(folder, "target") as target:
        source_url, target_url = source.create_db("shadowm"), target.create_db("shadowm", jobs=("apply",))
        source.sql(SOURCE, db="shadowm")
        target.script(TARGET, "shadowm")
        with Pipeline(folder, source_url, target_url, name="shadowm", tables=("public.*",)) as pipeline:
            pipeline.server = target
            pipeline.capture.start()
            pipeline.apply.start()
            pipeline.apply.wait_for(lambda status: status.get("complete"), 240, "the copy is complete")
            yield pipeline
        drop_database(source, "shadowm")


QUERIES = [
    {"sql": "SELECT * FROM item WHERE id = $1", "target_sql": "SELECT * FROM item WHERE id = $1", "params": [[7], [8], [999]]},
    {"sql": "SELECT sold, count(*), sum(price), avg(price::float8) FROM item GROUP BY sold",
     "target_sql": "SELECT sold, count(*), sum(price), avg(cast(price as double)) FROM item GROUP BY sold"},
    {"sql": "SELECT name FROM item WHERE id < $1 ORDER BY id", "target_sql": "SELECT name FROM item WHERE id < $1 ORDER BY id", "params": [20]},
    {"sql": "SELECT name FROM item WHERE price > 70"},
    {"sql": "SELECT 1", "target_sql": "DELETE FROM item"},
    {"sql": "SELECT 2", "target_sql": "SELECT 2 INTO OUTFILE '/tmp/crossfade-nowhere'"},
    {"sql": "SELECT 3", "target_sql": "SELECT '\\'for update', 3 FROM item FOR  UPDATE"},
    {"sql": "SELECT 4", "target_sql": "SELECT get_lock('x', 1)"},
]


@pytest.mark.parametrize("mode", ["--live", "fence"])
def test_pairs(p, mode):
    def shadow(code, queries):
        p.settings["compare"]["shadow"] = {"queries": queries, "samples": 3, "rate": 0, "min_coverage": 0, "latency_regression": "0", "rechecks": 1}
        p.write()
        done = p.run("compare", "shadow", "--json", "--seed", str(seed()), *([mode] if mode == "--live" else []), timeout=300)
        assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-2000:]}"
        report = json.loads(done.stdout)
        return report, {q["sql"]: q for q in report["queries"]}
    report, found = shadow(0, QUERIES)
    assert [found[q["sql"]]["outcome"] for q in QUERIES[:4]] == ["equal", "equal", "equal", "not run"], json.dumps(report, indent=1)[-6000:]
    assert found[QUERIES[3]["sql"]]["reason"] == "not translated: the target is MariaDB, and there is no target_sql"
    assert report["workload"]["left_out"] == [{"reason": "not a read: target_sql", "count": 4}]
    wrong = {"sql": "SELECT count(*) FROM item", "target_sql": "SELECT count(*) - 1 FROM item"}
    cent = {"sql": "SELECT 12345678901.25::numeric(20,2)", "target_sql": "SELECT CAST(12345678901.26 AS decimal(20,2))"}
    text = {"sql": "SELECT name || '1.50' FROM item", "target_sql": "SELECT concat(name, '1.5') FROM item"}
    gone = {"sql": "SELECT max(id) FROM item", "target_sql": "SELECT max(id) FROM items"}
    report, found = shadow(1, [wrong, gone, cent, text])
    assert [found[q["sql"]]["outcome"] for q in (wrong, gone, cent, text)] == ["different", "error", "different", "different"]
    assert p.server.value("SELECT count(*) FROM item", db="shadowm") == "50"
