"""compare's levels and checks: query pairs, figures, samples, counts, rules and contracts, at the fence while writes go on. What was planted
is found, and nothing else."""

import json
import os
import signal

import psycopg
import pytest

from rig import Postgres, Process, Workdir, wait_until
from rig.comparing import compare
from rig.procs import find_crossfade
from rig.scenario import count, scenario
from rig.writer import Writer


SHOP = """
    CREATE TABLE users (id int PRIMARY KEY, email text, status text, age int, seen timestamptz, score float8, bonus numeric(12,2), paid bool, code char(5));
    CREATE TABLE orders (id int PRIMARY KEY, user_id int, amount numeric(12,2), at timestamptz);
    CREATE TABLE busy (id int PRIMARY KEY, n bigint NOT NULL);
    CREATE TABLE "We ird""t" ("a b" int PRIMARY KEY, "Sel""ect" text, "null" int);
    INSERT INTO users SELECT i, 'u' || i || '@x.org', (ARRAY['new','paid','gone'])[1 + i % 3], i % 90, timestamptz '2026-01-01' + i * interval '1 hour',
        i / 3.0, i * 1.25, i % 2 = 0, 'c' || i % 7 FROM generate_series(1, 500) i;
    INSERT INTO orders SELECT i, 1 + i % 500, i % 100 + 0.5, timestamptz '2026-01-01' + i * interval '10 min' FROM generate_series(1, 2000) i;
    INSERT INTO busy SELECT i, 0 FROM generate_series(1, 200) i;
    INSERT INTO "We ird""t" SELECT i, E'x\\'"\\\\; -- <script>' || i, i % 5 FROM generate_series(1, 50) i;
"""

CHECKS = {
    "queries": [
        {"name": "revenue by day", "source_sql": "SELECT date_trunc('day', at) AS day, sum(amount) AS revenue FROM orders GROUP BY 1;", "key": "day"},
        {"name": "top users", "source_sql": "SELECT user_id, count(*) AS n FROM public.orders GROUP BY user_id ORDER BY n DESC, user_id LIMIT 20", "ordered": True},
        {"name": "mean score", "source_sql": "SELECT avg(score) AS mean FROM users", "tolerance": {"relative": "1e-9"}},
        {"name": "busy", "source_sql": "SELECT sum(n), count(*) FROM busy"},
        {"name": "statuses", "source_sql": "SELECT status FROM users -- all of them"},
    ],
    "aggregates": [{"table": "public.users", "measures": ["count", "nulls", "distinct", "sum", "avg", "min", "max", "quantiles", "top"]},
                   {"table": "public.busy"}],
    "samples": [{"table": "public.*", "rows": 40}],
    "counts": [{"table": "public.orders", "column": "at", "by": "day"}, {"table": "public.users", "column": "status", "by": "value"}],
    "contracts": [
        {"table": "public.users", "contract": {"email": ["not_null", "unique", "not_empty", {"length": 40}], "status": {"enum": ["new", "paid", "gone"]},
                                               "age": [{"range": {"min": 0, "max": 120}}, "not_negative"], "seen": {"not_future": "14h"}, "id": "positive"}},
        {"table": "public.\"We ird\"\"t\"", "contract": {"Sel\"ect": ["not_null", {"enum": ["x'\"\\; -- <script>%d" % i for i in range(1, 51)]}], "a b": "unique"}},
    ],
    "rules": [
        {"table": "public.orders", "column": "user_id", "check": {"references": "public.users.id"}},
        {"table": "public.orders", "columns": ["user_id", "at"], "check": "unique"},
        {"name": "no gift", "sql": "SELECT id, amount FROM public.orders WHERE amount <= 0"},
    ],
}


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("checks") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


def by_verdict(report, verdict):
    return sorted(c["name"] for c in report["checks"] if c["verdict"] == verdict)


def named(report, name):
    found = [c for c in report["checks"] if c["name"] == name]
    assert len(found) == 1, [c["name"] for c in report["checks"]]
    return found[0]


def test_checks_under_load(servers):
    folder, source, target = servers
    with scenario(folder, source, target, SHOP, more={"compare": CHECKS}) as s:
        s.start()
        with Writer(s.source_url, lambda i: [f"UPDATE busy SET n = n + {i % 7} WHERE id = {1 + i % 200}"]) as writer:
            for _ in range(count(2, 20)):
                report = compare(s.pipeline)
                assert by_verdict(report, "PASS") == sorted(c["name"] for c in report["checks"])
                writer.wait_rounds(10)
            assert report["level"] == "full" and report["scope"] == "full" and report["summary"]["checks"]["total"] > 35
        users, orders = "public.users", "public.orders"
        assert named(report, "busy")["rows_source"] == 1 and named(report, "statuses")["rows_target"] == 500
        assert named(report, f"{orders}.at: by day")["rows_source"] == 14
        assert {c["rule"] for c in report["checks"] if c["name"].startswith("public.users.age: count")} == {
            "count, nulls, distinct, sum, avg, min, max, quantiles, top values"}

        # each breach on the target is told by the checks that speak of it, and by no other
        rogue = psycopg.connect(s.target_url, autocommit=True)
        rogue.execute("SET session_replication_role = replica")
        rogue.execute("UPDATE users SET email = NULL, status = 'NEW', age = -1 WHERE id = 7")
        rogue.execute("UPDATE users SET email = 'u1@x.org', seen = now() + interval '3 days' WHERE id = 8")
        rogue.execute("UPDATE users SET email = repeat('é', 41) WHERE id = 9")
        rogue.execute("UPDATE users SET email = '' WHERE id = 10")
        rogue.execute("UPDATE orders SET user_id = 9999, amount = -0.5 WHERE id = 100")
        rogue.execute("""UPDATE "We ird""t" SET "Sel""ect" = 'x''"\\; -- <script>51' WHERE "a b" = 3""")
        report = compare(s.pipeline, code=1)
        broken = {c["name"]: (c["broken_source"], c["broken_target"]) for c in report["checks"] if c["kind"] in ("rule", "contract") and c["verdict"] != "PASS"}
        weird = 'public.We ird"t'
        assert broken == {
            f"{users}.email: not_null": (0, 1), f"{users}.email: unique": (0, 1), f"{users}.email: not_empty": (0, 1), f"{users}.email: length ..40": (0, 1),
            f"{users}.status: enum new, paid, gone": (0, 1), f"{users}.age: range 0..120": (0, 1), f"{users}.age: not_negative": (0, 1),
            f"{users}.seen: not_future (50400 s ahead are well)": (0, 1), f"{orders}.user_id: references public.users (id)": (0, 1), "no gift": (0, 1),
            next(c["name"] for c in report["checks"] if c["table"] == weird and c["rule"].startswith("enum")): (0, 1)}
        assert named(report, f"{users}.email: not_null")["offenders_target"] == [{"id": "7", "email": None}]
        assert named(report, f"{users}.email: unique")["offenders_target"] == [{"email": "u1@x.org", "copies": "2"}]
        assert named(report, f"{orders}.user_id: references public.users (id)")["offenders_target"] == [{"id": "100", "user_id": "9999"}]
        assert named(report, "no gift")["offenders_target"] == [{"id": "100", "amount": "-0.50"}]
        failed = set(by_verdict(report, "FAIL")) - set(broken)
        assert {"revenue by day", "statuses", f"{users}.status: by value"} <= failed
        assert "top users" not in failed and "busy" not in failed and "mean score" not in failed
        assert not [n for n in failed if n.startswith("public.busy") or n.startswith(f"{users}.score")], failed
        day = named(report, "revenue by day")
        assert [d["key"] for d in day["differences"]] == [{"day": "2026-01-01 00:00:00+00"}] and day["differing"] == 1
        assert by_verdict(report, "INCONCLUSIVE") == by_verdict(report, "FINDING") == []
        done = s.pipeline.run("compare", "run")
        assert done.returncode == 1 and "target: id=7 email=null" in done.stdout and "checks hold" in done.stdout
        with open(os.path.join(s.pipeline.report_dir, "latest", "report.html"), encoding="utf-8") as page:
            html = page.read()
        assert '<h2 id="checks">' in html and "-- &lt;script&gt;" in html and "-- <script>" not in html
        rogue.close()


def test_levels(servers):
    folder, source, target = servers
    more = {"compare": {"counts": CHECKS["counts"], "queries": CHECKS["queries"][:1]}}
    with scenario(folder, source, target, SHOP, more=more) as s:
        s.start()
        report = compare(s.pipeline, "--level", "counts")
        assert report["level"] == "counts" and {t["method"] for t in report["tables"]} == {"counts"} and len(report["checks"]) == 2
        assert report["summary"]["rows_source"] == report["summary"]["rows_target"] == 2750
        with psycopg.connect(s.target_url, autocommit=True) as rogue:
            rogue.execute("SET session_replication_role = replica")
            rogue.execute("UPDATE orders SET amount = amount + 1, at = at + interval '1 day' WHERE id = 5")
            report = compare(s.pipeline, "--level", "counts", code=1)  # as many rows, on other days
            assert {t["verdict"] for t in report["tables"]} == {"PASS"}
            assert [(d["key"]["part"], [(c["source"], c["target"]) for c in d["columns"]]) for d in named(report, "public.orders.at: by day")["differences"]] == [
                ("2026-01-01 00:00:00+00", [("143", "142")]), ("2026-01-02 00:00:00+00", [("144", "145")])]
            assert compare(s.pipeline, "--level", "digests", code=1)["summary"]["checks"]["total"] == 2
            rogue.execute("DELETE FROM users WHERE id IN (1, 2)")
            report = compare(s.pipeline, "--level", "counts", "--table", "public.users", code=1)
            assert [t["reason"] for t in report["tables"]] == ["2 rows missing on the target"]
        assert [r[0] for r in s.target("SELECT scope FROM crossfade.verdict ORDER BY id")] == [
            "counts of all tables", "counts of all tables", "full", "counts of public.users"]
        assert s.pipeline.run("compare", "run", "--level", "all").returncode == 2
        done = s.pipeline.run("compare", "watch", "--once", "--compare.watch.counts=1m", "--compare.watch.full=1d", timeout=300)
        assert done.returncode == 1, done.stderr
        assert sorted(s.target("SELECT level, verdict FROM crossfade.comparison")) == [("counts", "FAIL"), ("digests", "FAIL"), ("full", "FAIL")]


def test_what_both_sides_break_and_what_cannot_run(servers):
    folder, source, target = servers
    rules = [{"table": "public.users", "column": "age", "check": {"range": {"min": 10}}},
             {"name": "strict", "table": "public.users", "column": "status", "check": {"enum": ["new"]}, "severity": "error"},
             {"name": "lenient", "table": "public.orders", "column": "amount", "check": {"range": {"max": 99}}, "severity": "warn"}]
    with scenario(folder, source, target, SHOP, more={"compare": {"rules": rules[:1], "report_dir": os.path.join(str(folder), "both")}}) as s:
        s.start()
        report = compare(s.pipeline)  # a finding about the data is no difference between the sides
        check = report["checks"][0]
        assert (report["verdict"], check["verdict"], check["broken_source"], check["broken_target"]) == ("PASS", "FINDING", 59, 59)
        assert "the source breaks it as well" in check["reason"] and len(check["offenders_source"]) == 10
        run = lambda *flags, code: compare(s.pipeline, *flags, code=code)
        flag = lambda option, rule: f"--compare.{option}={json.dumps(rule)}"
        assert run(flag("rules", rules[1]), code=1)["checks"][0]["verdict"] == "FAIL"
        s.target("SET session_replication_role = replica; UPDATE orders SET amount = 99.5 WHERE id = 1; RESET session_replication_role")
        report = run(flag("rules", rules[2]), "--table", "public.orders", code=1)  # the row differs
        assert report["checks"][0]["verdict"] == "FINDING"
        s.target("SET session_replication_role = replica; UPDATE orders SET amount = 1.5 WHERE id = 1; RESET session_replication_role")
        # what could not be run is no PASS, and takes nothing else with it
        for option, rule, says in [
                ("queries", {"name": "q", "source_sql": "SELECT 1 FROM public.nosuch"}, "nosuch"),
                ("queries", {"name": "q", "source_sql": "SELECT 1", "target_sql": "SELECT 1/0"}, "target"),
                ("queries", {"name": "q", "source_sql": "SELECT id FROM public.orders", "max_rows": 1999}, "max_rows"),
                ("queries", {"name": "q", "source_sql": "SELECT 1 FROM generate_series(1, 100000) a, generate_series(1, 100000) b"}, "max_rows"),
                ("queries", {"name": "q", "source_sql": "SELECT user_id AS k, id FROM public.orders", "key": "k"}, "not unique"),
                ("queries", {"name": "q", "source_sql": "DELETE FROM public.orders"}, "syntax error"),
                ("queries", {"name": "q", "source_sql": "SELECT 1) AS x; COMMIT; SELECT * FROM (SELECT 1"}, "multiple commands"),
                ("queries", {"name": "q", "source_sql": "WITH d AS (DELETE FROM public.orders RETURNING id) SELECT id FROM d"}, "data-modifying"),
                ("queries", {"name": "q", "source_sql": "SELECT pg_sleep(600)"}, "timeout"),
                ("rules", {"table": "public.nosuch", "column": "c", "check": "not_null"}, "no table of the pipeline"),
                ("rules", {"table": "public.users", "column": "nosuch", "check": "not_null"}, "no column nosuch"),
                ("rules", {"table": "public.users", "column": "email", "check": "positive"}, "holds text"),
                ("rules", {"table": "public.users", "column": "age", "check": {"range": {"min": "x"}}}, "expected a number"),
                ("rules", {"table": "public.users", "column": "age", "check": "not_null", "where": "nosuch > 1"}, "nosuch"),
                ("aggregates", {"table": "public.users", "columns": ["nosuch"]}, "no column nosuch"),
                ("counts", {"table": "public.users", "column": "email", "by": "day"}, "no dates")]:
            report = run(flag(option, rule), *(["--compare.rules={\"table\": \"public.users\", \"column\": \"id\", \"check\": \"positive\"}"] if option != "rules" else []),
                         *(["--compare.query_timeout_s=15"] if says == "timeout" else []), code=3)
            bad = [c for c in report["checks"] if c["verdict"] == "INCONCLUSIVE"]
            assert report["verdict"] == "INCONCLUSIVE" and len(bad) == 1 and says in bad[0]["reason"], (rule, report["checks"])
            assert [c["verdict"] for c in report["checks"] if c not in bad] in ([], ["PASS"])
            assert {t["verdict"] for t in report["tables"]} == {"PASS"}
        # one bad rule of a scan: the others of that table are checked all the same
        report = run("--compare.rules={\"table\": \"public.users\", \"column\": \"code\", \"check\": [\"not_null\", {\"enum\": [\"c0\", \"c1\", \"c2\", \"c3\", \"c4\", \"c5\", \"c6\"]}]}",
                     "--compare.rules={\"table\": \"public.users\", \"column\": \"seen\", \"check\": {\"range\": {\"min\": \"no time\"}}}", code=3)
        assert [c["verdict"] for c in report["checks"]] == ["PASS", "PASS", "INCONCLUSIVE"]
        assert s.pipeline.run("compare", "run", "--compare.rules={table: public.users}").returncode == 2


def test_ends_in_the_middle(servers):
    folder, source, target = servers
    slow = {"name": "slow", "source_sql": "SELECT pg_sleep(600)"}
    with scenario(folder, source, target, SHOP, more={"compare": {"queries": [slow]}}) as s:
        s.start()
        with Process("compare", [find_crossfade(), "-c", s.pipeline.config, "compare", "run"], os.path.join(str(folder), "slow.log")) as run:
            run.start()
            wait_until(lambda: s.admin("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'crossfade compare%' AND state = 'active' AND query LIKE '%pg_sleep(600)%'")[0][0],
                       60, "the query runs")
            run.signal(signal.SIGINT)
            assert run.wait(60) == 4
        wait_until(lambda: not s.admin("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'crossfade compare%'")[0][0], 60, "no session is left")
        # a session that is lost: what it was to prove is INCONCLUSIVE
        lost = {"name": "lost", "source_sql": "SELECT pg_terminate_backend(pg_backend_pid())", "target_sql": "SELECT true"}
        report = compare(s.pipeline, f"--compare.queries={json.dumps(lost)}", code=3)
        assert report["checks"][0]["verdict"] == "INCONCLUSIVE" and {t["verdict"] for t in report["tables"]} == {"PASS"}
