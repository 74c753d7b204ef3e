"""compare shadow: a real workload on both sides. Equal answers pass; wrong rows, errors on one side and slow queries do not; writes never happen."""

import json
import os
import signal
import subprocess

import psycopg
import pytest

from rig import Postgres, Process, Workdir, wait_until
from rig.json_schema import check_schema
from rig.procs import find_crossfade
from rig.scenario import scenario, seed

SCHEMA_FILE = os.path.join(os.path.dirname(__file__), "..", "..", "schemas", "shadow-report.schema.json")
TABLES = """CREATE TABLE pgbench_accounts (aid int PRIMARY KEY, bid int, abalance int, filler char(84));
    CREATE INDEX accounts_bid ON pgbench_accounts (bid);
    CREATE TABLE written (n int PRIMARY KEY);
    CREATE FUNCTION price(n int) RETURNS int LANGUAGE sql AS 'SELECT n * 2';
    CREATE FUNCTION bump() RETURNS int LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN INSERT INTO written VALUES (1); RETURN 1; END';
    CREATE FUNCTION hold() RETURNS int LANGUAGE sql AS 'SELECT pg_advisory_lock(4711); SELECT pg_advisory_xact_lock(4712); SELECT 1';
    INSERT INTO pgbench_accounts SELECT i, i % 500, i % 7, 'x' FROM generate_series(1, 5000) i"""
QUICK = {"samples": 3, "rate": 0, "workers": 2, "min_coverage": 0, "latency_regression": "0", "rechecks": 1}


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    logging = {"shared_preload_libraries": "pg_stat_statements", "logging_collector": "on", "log_destination": "csvlog,jsonlog",
               "log_filename": "shop.log", "log_directory": "log"}
    with Workdir("shadow") as folder, Postgres(folder, "source", settings=logging) as source, Postgres(folder, "target") as target:
        yield folder, source, target


def shadow(s, *words, code=0, **options):
    """Runs compare shadow with these options of compare.shadow; the report."""
    s.pipeline.settings["compare"]["shadow"] = {**QUICK, **options}
    s.pipeline.write()
    done = s.pipeline.run("compare", "shadow", "--json", "--seed", str(seed()), *words, timeout=300)
    assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-2000:]}"
    if not done.stdout:
        return done.stderr
    report = json.loads(done.stdout)
    with open(SCHEMA_FILE, encoding="utf-8") as f:
        check_schema(json.load(f), report)
    return report


def query(report, part):
    found = [q for q in report["queries"] if part in q["sql"]]
    assert len(found) == 1, [q["sql"] for q in report["queries"]]
    return found[0]


def left_out(report):
    return {item["reason"]: item["count"] for item in report["workload"]["left_out"]}


def analyze(s):
    s.source("ANALYZE")
    s.target("ANALYZE")


@pytest.fixture(name="shop", scope="module")
def fixture_shop(servers):
    folder, source, target = servers
    with scenario(folder, source, target, TABLES, name="shadow") as s:
        s.start(timeout=240)
        analyze(s)
        yield s


def test_list(shop):
    """Equal answers; what writes is stopped by the server; what is no read is never sent."""
    report = shadow(shop, queries=[
        {"name": "one", "sql": "SELECT * FROM pgbench_accounts WHERE aid = $1", "params": [[1], [77], [None]]},
        "SELECT bid, count(*) FROM pgbench_accounts GROUP BY bid ORDER BY 2",
        "SELECT 1/0",
        "SELECT bump()",
        "SELECT nextval('nowhere')",
        "WITH w AS (INSERT INTO written VALUES (2) RETURNING n) SELECT * FROM w",
        "SELECT * FROM pgbench_accounts WHERE aid = 1 FOR UPDATE",
        "SELECT pg_backend_pid()",
        "SELECT count(*) FROM pgbench_accounts WHERE aid > $1"])
    assert report["verdict"] == "PASS" and report["fence"]["mode"] == "fence" and report["fence"]["id"] > 0
    one = query(report, "WHERE aid = $1")
    assert (one["outcome"], one["name"], one["runs"], one["equal"]) == ("equal", "one", 3, 3)
    assert one["latency"]["source"]["count"] == one["latency"]["target"]["count"] == 3
    assert not one["plan"]["changed"] and "pgbench_accounts_pkey" in one["plan"]["source"]
    assert query(report, "GROUP BY bid")["outcome"] == "equal"
    assert (query(report, "1/0")["outcome"], "22012" in query(report, "1/0")["reason"]) == ("both fail", True)
    assert (query(report, "bump")["outcome"], "25006" in query(report, "bump")["reason"]) == ("refused", True)
    assert query(report, "pg_backend_pid")["outcome"] == "unstable"
    assert (query(report, "aid > $1")["outcome"], query(report, "aid > $1")["reason"]) == ("not run", "needs parameters: $1")
    assert left_out(report) == {"not a read: function nextval": 1, "not a read: WITH that changes data": 1,
                                "not a read: SELECT … FOR UPDATE or SHARE": 1}
    assert shop.source("SELECT count(*) FROM written") == shop.target("SELECT count(*) FROM written") == [(0,)]
    assert os.path.samefile(os.path.join(shop.pipeline.report_dir, "shadow-latest"), report["report_dir"])
    with open(os.path.join(report["report_dir"], "report.html"), encoding="utf-8") as f:
        assert "needs parameters: $1" in f.read()
    assert shop.target("SELECT scope, verdict FROM crossfade.verdict ORDER BY id DESC LIMIT 1") == [("shadow", "PASS")]


def test_file_and_coverage(shop):
    path = os.path.join(shop.pipeline.folder, "queries.jsonl")
    with open(path, "w", encoding="utf-8") as f:
        f.write('{"sql": "SELECT aid FROM pgbench_accounts WHERE bid = $1 ORDER BY aid", "params": [3]}\n\n{"sql": "SELECT 2 WHERE $1 = 1"}\n')
    report = shadow(shop, code=3, file=path, min_coverage=60)
    assert report["verdict"] == "INCONCLUSIVE" and "50.0 %" in report["reason"]
    assert query(report, "ORDER BY aid")["outcome"] == "equal"
    report = shadow(shop, code=3, queries=["SELECT 1", "SELECT aid FROM pgbench_accounts WHERE aid = 1"], max_queries=1, min_coverage=60)
    assert report["summary"]["coverage_percent"] == 50  # a read that there was no room for is one that was not compared
    report = shadow(shop, queries=["SELECT 1", {"sql": "SELECT 2 WHERE true", "target_sql": "SELECT pg_advisory_lock(1)"}])
    assert left_out(report) == {"not a read: target_sql": 1}
    assert "there is no workload" in shadow(shop, code=2)
    assert "not YAML" in shadow(shop, code=2, file=__file__)
    assert "sql is missing" in shadow(shop, code=2, queries=[{"name": "x"}])


def pgbench(s, folder, mode):
    script = os.path.join(str(folder), "script.sql")
    with open(script, "w", encoding="utf-8") as f:
        f.write("\\set aid random(1, 5000)\nSELECT abalance FROM pgbench_accounts WHERE aid = :aid;\n"
                "UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = :aid;\n")
    subprocess.run([s.source_server.binary("pgbench"), "-n", "-M", mode, "-t", "15", "-f", script, s.source_url], check=True, timeout=120,
                   capture_output=True, env=dict(os.environ, PGOPTIONS="-c log_statement=all"))


def test_log(servers, shop):
    """The log of pgbench, in both formats; every statement is replayed or counted."""
    folder, source, _ = servers
    for mode in ("prepared", "simple"):
        pgbench(shop, folder, mode)
    with psycopg.connect(shop.source_url, options="-c log_statement=all") as last:
        last.execute("SELECT 'the last\nline'")
    shop.wait()
    logs = [os.path.join(source.data, "log", name) for name in ("shop.csv", "shop.json")]
    for log in logs:
        def whole(log=log):
            with open(log, encoding="utf-8", errors="replace") as f:
                return "the last" in f.read()
        wait_until(whole, 60, f"{log} has been written")
        report = shadow(shop, log=[log])
        accounts = query(report, "abalance")
        assert (accounts["outcome"], accounts["origin"], accounts["weight"]) == ("equal", "log", 30)
        assert query(report, "the last")["outcome"] == "equal"
        assert left_out(report)["not a read: UPDATE"] == 30
    sampled = shadow(shop, log=logs, sample=30, code=0)
    assert 0 < sampled["workload"]["drawn"] < sampled["workload"]["statements"]
    assert "neither a CSV nor a JSON log" in shadow(shop, code=2, log=[__file__])


def test_statements(shop):
    """pg_stat_statements: parameters are sampled from the columns they are held against."""
    shop.admin("CREATE EXTENSION IF NOT EXISTS pg_stat_statements", "GRANT pg_read_all_stats TO crossfade_compare",
               "SELECT pg_stat_statements_reset()")
    shop.source("SELECT filler FROM pgbench_accounts WHERE aid = 12 AND bid BETWEEN 1 AND 300", "SELECT sum(abalance) FROM pgbench_accounts WHERE"
                " bid IN (1, 2) OR aid = ANY ('{7,8}') LIMIT 3", "SELECT max(aid) FROM pgbench_accounts WHERE abalance + 5 > 9",
                "SELECT min(aid) FROM pgbench_accounts WHERE filler < date '2026-01-01'::text")
    report = shadow(shop, statements=True)
    assert report["verdict"] == "PASS"
    found = query(report, "SELECT filler")
    assert (found["outcome"], found["origin"], len(found["params"]), found["weight"]) == ("equal", "pg_stat_statements", 3, 1)
    assert query(report, "sum(abalance)")["outcome"] == "equal"
    assert query(report, "max(aid)")["reason"] == "needs parameters: $1 (held against no column)"
    assert query(report, "min(aid)")["outcome"] == "not run"


def test_wrong_row_and_plan(shop):
    """One value on the target is another one; an index of it is missing."""
    balance = "SELECT abalance FROM pgbench_accounts WHERE aid = 4711"
    by_bid = {"sql": "SELECT aid, abalance FROM pgbench_accounts WHERE bid = $1", "params": [[211], [5]]}
    shop.target("UPDATE pgbench_accounts SET abalance = -1 WHERE aid = 4711", "DROP INDEX accounts_bid")
    try:
        first = ("SELECT aid, abalance FROM pgbench_accounts WHERE bid = 211 AND aid > 4000 ORDER BY aid LIMIT 2",
                 {"sql": "SELECT aid, abalance a FROM pgbench_accounts WHERE bid = 211 ORDER BY aid LIMIT $1 OFFSET $2", "params": [[1, 9]]})
        ties = "SELECT filler, abalance b FROM pgbench_accounts WHERE bid = 211 AND aid > 4000 ORDER BY filler LIMIT 2"
        report = shadow(shop, code=1, queries=[balance, by_bid, "SELECT count(*) FROM pgbench_accounts", *first, {"sql": ties}])
        assert [query(report, sql)["outcome"] for sql in ("aid > 4000 ORDER BY aid", "OFFSET $2")] == ["different", "different"]
        assert query(report, "ORDER BY filler")["outcome"] in ("equal", "undecided")
        assert report["verdict"] == "FAIL" and report["summary"]["different"] == 4 and report["summary"]["plan_changes"] >= 1
        assert "with other values" in query(report, "aid = 4711")["reason"]
        assert query(report, "bid = $1")["params"] == ["211"]  # 4711 % 500
        plan = query(report, "bid = $1")["plan"]
        assert plan["changed"] and "accounts_bid" in plan["source"] and "Seq Scan" in plan["target"]
        assert query(report, "count(*)")["outcome"] == "equal"
        live = shadow(shop, "--live", code=1, queries=[balance])
        assert live["fence"]["mode"] == "live" and query(live, "aid = 4711")["outcome"] == "different"
        done = shop.pipeline.run("compare", "shadow", timeout=300)
        assert done.returncode == 1 and "different" in done.stdout and "report.html" in done.stdout
    finally:
        shop.target("UPDATE pgbench_accounts SET abalance = 4711 % 7 WHERE aid = 4711", "CREATE INDEX accounts_bid ON pgbench_accounts (bid)")


def test_slow_and_failing_on_the_target(shop):
    """A function that sleeps on the target alone is slower beyond any noise; one that sleeps on both is not; one that is gone is an error."""
    shop.target("CREATE OR REPLACE FUNCTION price(n int) RETURNS int LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.3); RETURN n * 2; END'",
                "DROP FUNCTION bump()")
    try:
        report = shadow(shop, code=1, samples=20, latency_regression="1.25", latency_floor_ms="50ms", workers=1,
                        queries=["SELECT price(3)", "SELECT pg_sleep(0.01)", "SELECT bump() WHERE false"])
        price = query(report, "price")
        assert (price["outcome"], price["latency"]["verdict"], price["runs"]) == ("equal", "slower", 20)
        assert price["latency"]["low"] > 1.25 and price["latency"]["target"]["p50_ms"] >= 300
        assert query(report, "pg_sleep")["outcome"] == "equal" and query(report, "pg_sleep")["latency"]["ratio"] is None
        assert (query(report, "bump")["outcome"], "42883" in query(report, "bump")["reason"]) == ("error", True)
    finally:
        shop.target("CREATE OR REPLACE FUNCTION price(n int) RETURNS int LANGUAGE sql AS 'SELECT n * 2'",
                    "CREATE FUNCTION bump() RETURNS int LANGUAGE sql AS 'SELECT 1'")


def test_same_server_finds_nothing(shop):
    """The source against the target, equal both, under latency rules: no findings, whatever the machine does meanwhile."""
    report = shadow(shop, samples=10, latency_regression="2", latency_floor_ms="2s", queries=[
        "SELECT bid, sum(abalance) FROM pgbench_accounts GROUP BY bid", "SELECT * FROM pgbench_accounts ORDER BY bid LIMIT 20",
        "SELECT avg(abalance::float8) FROM pgbench_accounts", "SHOW work_mem"])
    assert report["summary"]["different"] == report["summary"]["slower"] == 0
    assert query(report, "LIMIT 20")["outcome"] == "equal"


def test_stop(shop):
    """Ctrl-C ends it in the middle of a query, and nothing is left."""
    queries = [{"sql": "SELECT pg_sleep($1)", "params": [[0], [600]]}, "SELECT hold()", "SELECT count(*) FROM pgbench_accounts"]
    shop.pipeline.settings["compare"]["shadow"] = {**QUICK, "workers": 1, "samples": 2, "queries": queries, "statement_timeout_ms": "1h"}
    shop.pipeline.write()
    locks = """SELECT a.query, l.locktype, l.relation::regclass::text FROM pg_locks l JOIN pg_stat_activity a USING (pid)
        WHERE a.application_name LIKE 'crossfade compare%' AND (l.objid IN (4711, 4712) AND l.locktype = 'advisory' OR l.relation = 'pgbench_accounts'::regclass)"""
    active = "SELECT 1 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep($1)' AND state = 'active' AND clock_timestamp() > query_start + interval '2 s'"

    def sleeping():
        return shop.admin(active) or shop.target(active)
    with Process("shadow", [find_crossfade(), "-c", shop.pipeline.config_of("compare"), "compare", "shadow"],
                 os.path.join(shop.pipeline.folder, "stopped.log")) as run:
        run.start()
        wait_until(sleeping, 120, "the query runs")  # in the second round: all have run once
        assert shop.admin(locks) == [] and shop.target(locks) == []
        run.signal(signal.SIGINT)
        assert run.wait(120) == 4
    wait_until(lambda: not shop.admin("SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'crossfade compare%'"), 60, "no session is left")
    assert shop.admin("SELECT slot_name FROM pg_replication_slots WHERE slot_name LIKE 'crossfade_compare%'") == []
