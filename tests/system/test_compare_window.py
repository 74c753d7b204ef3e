"""compare watch, further: shadow queries beside the comparisons; whatever is killed, the window is what its rows say; the verdict's age under load."""

import contextlib
import datetime
import os
import re
import statistics
import time

import psycopg
import pytest

from rig import Pipeline, Postgres, Workdir, wait_until
from rig.mariadb import MariaDB
from rig.scenario import count, scenario
from rig.window import SECRET, Hook, clean_window, history, wait_runs, watcher
from rig.writer import Writer

TABLES = """CREATE TABLE a (id int PRIMARY KEY, v text); INSERT INTO a SELECT i, 'a' || i FROM generate_series(1, 5000) i;
    CREATE FUNCTION nap() RETURNS int LANGUAGE sql AS 'SELECT 1 FROM pg_sleep(0.3)'; CREATE FUNCTION hasty() RETURNS int LANGUAGE sql AS 'SELECT 1 FROM pg_sleep(0.1)'"""
SHADOW = {"samples": 1, "rate": 20, "workers": 1, "min_coverage": 0, "latency_regression": "0", "rechecks": 1}
INCLUDED = {"counts": ("digests", "full"), "changed": ("digests", "full"), "digests": ("full",), "full": (), "shadow": ()}


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("window") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


def windows(told):
    return {w["level"]: w for w in told["windows"]}


def at(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def expected_clean(told, level):
    """(PASSes in a row, when the first of them began) of a level by the rule of docs/COMPARE.md, from the runs, which are newest first. Only for windows that no
    change of the journal has broken."""
    window = windows(told)[level]
    rows = [r for r in reversed(told["runs"]) if at(r["finished_at"]) <= at(window["last_at"])]
    counted, before = [], None
    for run in rows:
        own = run["level"] == level
        if own and run["verdict"] == "FAIL":
            counted = []
        if run["verdict"] != "PASS" or not (own or run["level"] in INCLUDED[level]):
            continue
        began = at(run["started_at"])
        if before and began - before[0] > 3 * max(datetime.timedelta(seconds=window["every_s"]), before[1] - before[0]):
            counted = []
        if own:
            counted.append(run["started_at"])
        before = began, at(run["finished_at"])
    return len(counted), counted[0] if counted else None


def agree(told):
    """What the history says of each window is what its rows say."""
    assert len(told["runs"]) < 1000, "all rows are seen"
    for level, window in windows(told).items():
        if window["stale"]:
            assert window["clean_since"] is None and window["clean_runs"] == 0, told
        else:
            assert (window["clean_runs"], window["clean_since"]) == expected_clean(told, level), (level, told)


def test_shadow_queries_run_beside(servers):
    """Their runs are kept, count for the window, alert and close the gate, for wrong answers as for slow ones; other levels need not wait for them."""
    folder, source, target = servers
    queries = [{"name": "row", "sql": "SELECT v FROM a WHERE id = $1", "params": [[7]]}, "SELECT nap()", "SELECT hasty()"]
    with Hook() as hook:
        more = {"compare": {"deadline_ms": 120000, "shadow": {**SHADOW, "queries": queries},
                            "watch": {"digests": "30d", "changed": "1s", "shadow": "1s", "webhook": hook.url, "webhook_secret": SECRET}}, "cutover": {"clean_for": "1s"}}
        with scenario(folder, source, target, TABLES, more=more) as s:
            s.start(timeout=240)
            p = s.pipeline
            with watcher(p) as watch:
                watch.start()

                def beside(runs):
                    shadows = [r for r in runs if r["level"] == "shadow"]
                    return len(shadows) >= 2 and any(x["started_at"] < r["started_at"] and r["finished_at"] < x["finished_at"] for x in shadows for r in runs if r["level"] == "changed")
                told = wait_runs(p, watch, beside, "a comparison from begin to end while shadow queries ran")
                assert {(r["verdict"], r["tables"], r["differences"], r["fence_id"], r["reason"]) for r in told["runs"] if r["level"] == "shadow"} == {("PASS", 3, 0, 0, None)}
                assert all(r["p95_ms"]["source"] > 0 and r["p95_ms"]["target"] > 0 for r in told["runs"] if r["level"] == "shadow")
                assert all(r["p95_ms"] is None for r in told["runs"] if r["level"] != "shadow")
                assert windows(told)["shadow"]["clean_runs"] >= 2 and windows(told)["shadow"]["every_s"] == 1
                # an answer that is wrong on the target
                s.target("SET session_replication_role = replica; UPDATE a SET v = 'rogue' WHERE id = 7")
                told = wait_runs(p, watch, lambda runs: any((r["level"], r["verdict"]) == ("shadow", "FAIL") for r in runs), "the wrong answer is seen")
                failed = [r for r in told["runs"] if (r["level"], r["verdict"]) == ("shadow", "FAIL")]
                assert failed[-1]["differences"] == 1 and windows(told)["shadow"]["clean_since"] is None
                written = re.search("report: (.*)$", failed[-1]["reason"]).group(1)
                assert os.path.exists(os.path.join(written, "report.html"))
                assert len([d for d in os.listdir(p.report_dir) if re.match(r"shadow-\d", d)]) <= len(failed) + 1, "reports are of what is no PASS"
                wait_until(lambda: ("mismatch", "shadow") in [(alert["event"], alert["level"]) for alert, _ in hook.alerts], 60, "the alert")
                assert clean_window(p) == "refused"
                s.target("SET session_replication_role = replica; UPDATE a SET v = 'a7' WHERE id = 7")
                wait_until(lambda: ("recovered", "shadow") in [(alert["event"], alert["level"]) for alert, _ in hook.alerts], 120, "the alert that all is well")
                assert watch.terminate() == 0
            kept = s.target("SELECT count(*) FROM crossfade.verdict WHERE scope = 'shadow'")[0][0]
            assert kept <= 200 + 1
            # a target that is slower; the same queries at a fence
            s.target("CREATE OR REPLACE FUNCTION hasty() RETURNS int LANGUAGE sql AS 'SELECT 1 FROM pg_sleep(0.8)'")
            p.settings["compare"]["shadow"].update({"queries": ["SELECT hasty()"], "samples": 12, "latency_regression": "1.25"})
            p.settings["compare"]["watch"].update({"digests": 0, "changed": 0, "shadow": "continuous", "shadow_at": "fence"})
            p.write()
            done = p.run("compare", "watch", "--once", timeout=300)
            assert done.returncode == 1, done.stderr
            told = history(p)
            run = told["runs"][0]
            assert run["verdict"] == "FAIL" and "1 are slower" in run["reason"] and run["fence_id"] > 0 and windows(told)["shadow"]["every_s"] == 60, run
            assert run["p95_ms"]["target"] >= 800
            assert "queries" in p.run("compare", "history").stdout and f"p95 {run['p95_ms']['source']:.1f} -> {run['p95_ms']['target']:.1f} ms" in p.run("compare", "history").stdout
            p.settings["compare"]["shadow"] = {}
            p.write()
            done = p.run("compare", "watch", "--once")
            assert done.returncode == 2 and "there is no workload" in done.stderr


def compared(watch):
    """The fences of the runs that took place, from the log."""
    return [int(n) for n in re.findall(r" compared .*level=(?:counts|changed|digests) .*fence=(\d+)", watch.log_text()) if int(n) > 0]


def test_whatever_is_killed_the_window_is_what_its_rows_say(servers):
    """No run is kept twice; one that was made and is not kept was told in the log, and made again."""
    folder, source, target = servers
    more = {"compare": {"deadline_ms": 20000, "watch": {"counts": "3s", "changed": "1s", "digests": "30d"}}}
    with scenario(folder, source, target, TABLES, more=more) as s:
        s.start(timeout=240)
        p = s.pipeline
        watch, writes = watcher(p), [0]

        def statements(n):
            writes[0] = n
            yield f"UPDATE a SET v = 'w{n}' WHERE id = {n % 5000 + 1}"

        def kill_role(role):
            role.kill9()
            role.start()

        def kill_server(server):
            server.kill9()
            server.start()
        victims = {"watch": lambda: kill_role(watch), "capture": lambda: kill_role(p.capture), "apply": lambda: kill_role(p.apply), "target": lambda: kill_server(target),
                   "source": lambda: kill_server(source)}
        with watch, Writer(s.source_url, statements, reconnect=True, pause=0.02):
            watch.start()
            wait_runs(p, watch, lambda runs: {r["level"] for r in runs if r["verdict"] == "PASS"} == {"counts", "changed", "digests"}, "all levels have passed")
            for _ in range(count(1, 10)):
                for name, kill in victims.items():
                    before = len(history(p)["runs"])
                    kill()
                    told = wait_runs(p, watch, lambda runs, n=before: {r["level"] for r in runs[:len(runs) - n] if r["verdict"] == "PASS"} >= {"counts", "changed"},
                                     f"both levels pass again after kill -9 of {name}")
                    agree(told)
            assert watch.terminate() == 0, watch.log_tail()
        told = history(p)
        agree(told)
        assert {r["verdict"] for r in told["runs"]} <= {"PASS", "INCONCLUSIVE"}, [r for r in told["runs"] if r["verdict"] == "FAIL"]
        kept = s.target("SELECT fence_id FROM crossfade.comparison WHERE fence_id IS NOT NULL ORDER BY id")
        kept, logged = [row[0] for row in kept], compared(watch)
        assert len(set(kept)) == len(kept) and set(kept) <= set(logged), "no run is there twice, none that was not made"
        lost = len(logged) - len(kept)
        assert lost <= watch.log_text().count("compare_failed") + watch.log_text().count("started"), f"{lost} runs were made and neither kept nor told"
        assert kept == sorted(kept), "in the order of their fences"


def test_the_verdict_is_seconds_old_under_load(servers):
    folder, source, target = servers
    rows = count(100000, 1000000)
    more = {"compare": {"deadline_ms": 120000, "watch": {"digests": "30d", "changed": "2s"}}}
    with scenario(folder, source, target, f"CREATE TABLE a (id int PRIMARY KEY, v text); INSERT INTO a SELECT i, 'a' || i FROM generate_series(1, {rows}) i", more=more) as s:
        s.start(timeout=600)
        p = s.pipeline

        def statements(n):
            yield f"UPDATE a SET v = 'w{n}' WHERE id IN ({n % rows + 1}, {n * 7 % rows + 1}, {n * 13 % rows + 1})"
        with watcher(p) as watch, Writer(s.source_url, statements, pause=0.005):
            watch.start()
            told = wait_runs(p, watch, lambda runs: len([r for r in runs if (r["level"], r["verdict"]) == ("changed", "PASS")]) >= 8, "eight comparisons of what changed")
            runs = [r for r in reversed(told["runs"]) if (r["level"], r["verdict"]) == ("changed", "PASS")]
            # so old is the verdict at worst: from the begin of one PASS to the end of the next. The median, for a machine that stands still now and then
            ages = [(at(b["finished_at"]) - at(a["started_at"])).total_seconds() for a, b in zip(runs, runs[1:])]
            print("ages:", ages, "rows read:", [r["rows"] for r in runs])
            assert statistics.median(ages) < 30, ages
            assert not any(r["verdict"] == "FAIL" for r in told["runs"])
            built = [r["rows"] for r in runs if r["rows"] < rows / 2]
            assert len(built) >= len(runs) / 2 and any(built), "only what changed was read, and something had changed"
            watch.terminate()


# Two weeks: a count each minute, changed keys every ten seconds, all rows each hour, which takes 40 minutes and lets nothing else run meanwhile; shadow queries each minute.
ROWS = {
    "postgres": ("INSERT INTO crossfade.comparison (pipeline, level, every_s, started_at, finished_at, verdict, whole, fence_id, tables, row_count, differences, held_us, p95_source_us, p95_target_us)"
                 " SELECT {pipeline}, level, every_s, at, at + took * interval '1 second', 'PASS', true, CASE WHEN level <> 'shadow' THEN extract(epoch FROM at)::bigint - 1700000000 END, 40, 123456, 0, 3000,"
                 " CASE WHEN level = 'shadow' THEN 1234 END, CASE WHEN level = 'shadow' THEN 1357 END FROM ("
                 "SELECT level, every_s, took, now() - interval '14 days 2 minutes' + i * step * interval '1 second' AS at FROM (VALUES ('counts', 60, 1, 60), ('changed', 10, 1, 10), ('digests', 3600, 2400, 3600),"
                 " ('shadow', 60, 50, 60)) l (level, every_s, took, step), LATERAL generate_series(0, 14 * 86400 / step) i) x"
                 " WHERE level IN ('digests', 'shadow') OR extract(epoch FROM at - (now() - interval '14 days 2 minutes'))::bigint % 3600 >= 2400 ORDER BY at + took * interval '1 second', every_s DESC"),
    "mariadb": ("INSERT INTO crossfade_comparison (pipeline, level, every_s, started_at, finished_at, verdict, whole, fence_id, tables, row_count, differences, held_us, p95_source_us, p95_target_us)"
                " SELECT {pipeline}, level, every_s, at, at + INTERVAL took SECOND, 'PASS', true, IF(level <> 'shadow', UNIX_TIMESTAMP(at) - 1700000000, NULL), 40, 123456, 0, 3000,"
                " IF(level = 'shadow', 1234, NULL), IF(level = 'shadow', 1357, NULL) FROM ("
                "SELECT level, every_s, took, UTC_TIMESTAMP(6) - INTERVAL 1209720 SECOND + INTERVAL i.seq * step SECOND AS at, i.seq * step AS s FROM (SELECT 'counts' AS level, 60 AS every_s, 1 AS took, 60 AS step"
                " UNION ALL SELECT 'changed', 10, 1, 10 UNION ALL SELECT 'digests', 3600, 2400, 3600 UNION ALL SELECT 'shadow', 60, 50, 60) l JOIN seq_0_to_120960 i ON i.seq * step <= 14 * 86400) x"
                " WHERE level IN ('digests', 'shadow') OR s % 3600 >= 2400 ORDER BY at + INTERVAL took SECOND, every_s DESC"),
}
NEWEST = {"counts": "1m", "changed": "10s", "digests": "1h", "shadow": "1m"}


@pytest.mark.parametrize("engine", ["postgres", "mariadb"])
def test_two_weeks_of_all_levels(servers, engine):
    """A comparison of 40 minutes breaks no window of levels that are in it; the rows stay small, and what is asked of them is quick."""
    folder, source, target = servers
    more = {"compare": {"watch": {**NEWEST, "keep": "30d"}, "shadow": {**SHADOW, "queries": [{"sql": "SELECT count(*) FROM a", "target_sql": "SELECT count(*) FROM a"}]}}}
    with contextlib.ExitStack() as stack:
        if engine == "mariadb":
            maria = stack.enter_context(MariaDB(folder, "weeks"))
            shop, copy = source.create_db("weeks"), maria.create_db("weeks")
            with psycopg.connect(shop, autocommit=True) as connection:
                connection.execute(TABLES)
            maria.sql("CREATE TABLE a (id int PRIMARY KEY, v longtext) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin", db="weeks")
            p = stack.enter_context(Pipeline(folder, shop, copy, name="weeks", tables=["public.*"], more=more))
            p.start()
            p.apply.wait_for(lambda status: status.get("complete"), 240, "the copy is complete")

            def run(sql):
                return maria.sql(sql, db="weeks")
        else:
            s = stack.enter_context(scenario(folder, source, target, TABLES, more=more))
            s.start(timeout=240)
            p, run = s.pipeline, s.target
        p.settings["compare"]["watch"].update({"changed": 0})  # what earlier comparisons have proven is not kept on MariaDB
        p.write()
        done = p.run("compare", "watch", "--once", timeout=240)  # makes the table
        assert done.returncode == 0, done.stderr
        table = "crossfade.comparison" if engine == "postgres" else "crossfade_comparison"
        run(f"DELETE FROM {table}")
        run(ROWS[engine].format(pipeline=f"'{p.name}'"))
        told, took = None, []
        for _ in range(3):
            begin = time.monotonic()
            told = history(p)
            took.append(time.monotonic() - begin)
        print(engine, "history took", took)
        assert min(took) < 20, "a fraction of a second on a machine that does nothing else"
        for level, window in windows(told).items():
            runs = {"counts": 20160 // 3, "changed": 120960 // 3, "digests": 14 * 24, "shadow": 20160}[level]
            assert abs(window["runs"] - runs) <= 2 and window["clean_runs"] == window["runs"] and window["failed"] == 0, (level, window)
        # as soon as no other level closes it, the same gap is one
        run(f"DELETE FROM {table} WHERE level = 'digests'")
        told = history(p)
        assert windows(told)["changed"]["clean_runs"] <= 122 and windows(told)["shadow"]["clean_runs"] > 20000, windows(told)
        if engine == "postgres":
            # how big: vacuumed as autovacuum would
            s.target("VACUUM FULL crossfade.comparison", "ANALYZE crossfade.comparison")
            rows, size = s.target("SELECT count(*), pg_total_relation_size('crossfade.comparison') FROM crossfade.comparison")[0]
            print("bytes a row:", size / rows)
            assert size / rows < 250
            for rest in ("ORDER BY id DESC LIMIT 1000", "AND id > 30000 ORDER BY id LIMIT 10000"):
                plan = "\n".join(row[0] for row in s.target(f"EXPLAIN SELECT level, verdict FROM crossfade.comparison WHERE pipeline = '{p.name}' {rest}"))
                assert "Index" in plan and "Sort" not in plan, plan
